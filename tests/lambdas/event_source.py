"""An event source mapping for Kinesis that follows AWS's rules, which the local emulator lacks.

Source: AWS Lambda Developer Guide, "Process Amazon Kinesis Data Streams records with Lambda" and the API reference of
CreateEventSourceMapping: batches by shard in order; on an error or a reported failure the batch is retried, bisected
where that is on, or, with a partial batch response, from the lowest reported sequence number; after the retries the
batch goes to the on-failure destination and the shard moves on.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any


def kinesis_record(
    payload: bytes, sequence: int, shard: str = "shardId-000000000000", arrived: float = 1767225600.0
) -> dict[str, Any]:
    number = f"4960000000000000000000000000{sequence:012d}"
    return {
        "kinesis": {"partitionKey": "key", "sequenceNumber": number, "data": base64.b64encode(payload).decode(),
                    "approximateArrivalTimestamp": arrived + sequence / 1000, "kinesisSchemaVersion": "1.0"},
        "eventSource": "aws:kinesis", "eventID": f"{shard}:{number}", "eventName": "aws:kinesis:record",
    }  # fmt: skip


@dataclass
class EventSourceMapping:
    function: Callable[[dict[str, Any], object], dict[str, Any] | None]
    batch_size: int = 10_000
    maximum_retry_attempts: int = 100
    bisect_batch_on_function_error: bool = True
    report_batch_item_failures: bool = True
    on_failure: list[list[dict[str, Any]]] = field(default_factory=list)
    invocations: int = 0

    def deliver(self, shard: Sequence[dict[str, Any]]) -> None:
        """Delivers all records of one shard, in order."""
        for start in range(0, len(shard), self.batch_size):
            self._batch(list(shard[start : start + self.batch_size]), self.maximum_retry_attempts)

    def _batch(self, records: list[dict[str, Any]], retries: int) -> None:
        while records:
            failed_at = self._invoke(records)
            if failed_at is None:
                return
            if retries == 0:
                self.on_failure.append(records[failed_at:])
                return
            retries -= 1
            reported = failed_at > 0
            records = records[failed_at:]  # what lies before the lowest reported record is done
            if self.bisect_batch_on_function_error and not reported and len(records) > 1:
                half = len(records) // 2
                self._batch(records[:half], retries)
                self._batch(records[half:], retries)
                return

    def _invoke(self, records: list[dict[str, Any]]) -> int | None:
        """Returns the index from which the batch failed, or None when all of it is done."""
        self.invocations += 1
        try:
            answer = self.function({"Records": records}, None) or {}
        except Exception:
            return 0
        failures = answer.get("batchItemFailures") or []
        if not self.report_batch_item_failures or not failures:
            return None
        numbers = [r["kinesis"]["sequenceNumber"] for r in records]
        wanted = [f.get("itemIdentifier") for f in failures]
        if any(w not in numbers for w in wanted):
            return 0  # an empty or unknown identifier fails the whole batch
        return min(numbers.index(w) for w in wanted)
