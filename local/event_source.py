"""Event source mappings for Kinesis by AWS's rules.

Source: AWS Lambda Developer Guide, "Process Amazon Kinesis Data Streams records with Lambda", and the API reference of
CreateEventSourceMapping. A shard's records come in order, in batches of at most `BatchSize` records and 6 MB. Where the
function fails, the batch comes again, in halves if `BisectBatchOnFunctionError`, which takes no attempt; where it
reports failures (`ReportBatchItemFailures`), all from the lowest reported record comes again. When the attempts or the
records' age are used up, what is left goes to the on-failure destination and the shard moves on.
`ParallelizationFactor` batches of one shard run at a time, those of one partition key in order.
"""

from __future__ import annotations

import logging
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from more_itertools import constrained_batches

log = logging.getLogger("event-source")

Record = Mapping[str, Any]  # as Lambda gets it: {"kinesis": {...}, "eventID": ...}
Invoke = Callable[[dict[str, Any]], Mapping[str, Any] | None]

PAYLOAD_MAX_BYTES = 6 * 1024**2  # of an invocation: Lambda quotas
METADATA_BYTES = 420  # what a record brings along beside its data


@dataclass(frozen=True)
class Rules:
    """The settings of a mapping, by the names of CreateEventSourceMapping in snake case."""

    batch_size: int = 100
    maximum_retry_attempts: int = -1  # -1: for ever
    maximum_record_age_in_seconds: int = -1
    bisect_batch_on_function_error: bool = False
    report_batch_item_failures: bool = False
    parallelization_factor: int = 1

    @classmethod
    def of(cls, mapping: Mapping[str, Any]) -> Rules:
        """Returns the rules in an EventSourceMappingConfiguration."""

        def number(name: str, default: int) -> int:
            value = mapping.get(name)
            return default if value is None else int(value)

        return cls(
            number("BatchSize", 100),
            number("MaximumRetryAttempts", -1),
            number("MaximumRecordAgeInSeconds", -1),
            str(mapping.get("BisectBatchOnFunctionError", "")).lower() == "true",
            "ReportBatchItemFailures" in (mapping.get("FunctionResponseTypes") or []),
            number("ParallelizationFactor", 1),
        )


@dataclass(frozen=True)
class Discarded:
    """What goes to the on-failure destination: Kinesis keeps the records, this says which."""

    records: list[Record]
    condition: str
    invocations: int


class Delivery:
    """Delivers records of one shard to one function.

    Args:
        rules: of the mapping.
        invoke: calls the function with an event and returns its answer; raises what the function raised.
        discard: takes what is given up.
        pause: called before an attempt that repeats one, with the number of times that this batch failed.
        now: seconds since the epoch.
    """

    def __init__(
        self,
        rules: Rules,
        invoke: Invoke,
        discard: Callable[[Discarded], None],
        pause: Callable[[int], None] = lambda tries: None,
        now: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self.rules, self.invoke, self.discard, self.pause, self.now = rules, invoke, discard, pause, now

    def deliver(self, records: Sequence[Record]) -> None:
        """Returns when each record is delivered or discarded."""
        lanes = self._lanes(records)
        if len(lanes) == 1:
            self._lane(lanes[0])
            return
        with ThreadPoolExecutor(len(lanes)) as pool:
            for _ in pool.map(self._lane, lanes):
                pass

    def _lanes(self, records: Sequence[Record]) -> list[list[Record]]:
        lanes: list[list[Record]] = [[] for _ in range(self.rules.parallelization_factor)]
        for record in records:
            lanes[zlib.crc32(record["kinesis"]["partitionKey"].encode()) % len(lanes)].append(record)
        return [lane for lane in lanes if lane] or [[]]

    def _lane(self, records: list[Record]) -> None:
        for batch in self._batches(records):
            self._batch(list(batch), self.rules.maximum_retry_attempts, 0)

    def _batches(self, records: list[Record]) -> Iterator[tuple[Record, ...]]:
        return constrained_batches(
            records,
            PAYLOAD_MAX_BYTES,
            self.rules.batch_size,
            strict=False,
            get_len=lambda record: len(record["kinesis"]["data"]) + METADATA_BYTES,
        )

    def _batch(self, records: list[Record], retries: int, attempts: int) -> None:
        tries = 0
        while records:
            failed_at, reported = self._invoke(records)
            attempts, tries = attempts + 1, tries + 1
            if failed_at is None:
                return
            records = records[failed_at:]  # what lies before the lowest reported record is done
            if self.rules.bisect_batch_on_function_error and not reported and len(records) > 1:
                half = len(records) // 2
                for part in (records[:half], records[half:]):
                    self._batch(part, retries, attempts)
                return
            age = self.rules.maximum_record_age_in_seconds
            if 0 <= age < self.now() - records[0]["kinesis"]["approximateArrivalTimestamp"]:
                self.discard(Discarded(records, "RecordAgeExpired", attempts))
                return
            if failed_at:
                tries = 0
                continue
            if retries == 0:
                self.discard(Discarded(records, "RetryAttemptsExhausted", attempts))
                return
            retries -= 1
            self.pause(tries)

    def _invoke(self, records: list[Record]) -> tuple[int | None, bool]:
        """Returns (index from which the batch failed, or None; whether the function reported it)."""
        try:
            answer = self.invoke({"Records": records})
        except Exception as error:  # whatever it was, the records come again
            log.warning("the function failed on %d records: %s", len(records), error)
            return 0, False
        failures = (answer or {}).get("batchItemFailures") or []
        if not self.rules.report_batch_item_failures or not failures:
            return None, False
        index = {record["kinesis"]["sequenceNumber"]: i for i, record in enumerate(records)}
        wanted = [failure.get("itemIdentifier") for failure in failures]
        if any(number not in index for number in wanted):
            return 0, False  # an empty or unknown identifier fails the whole batch
        return min(index[number] for number in wanted), True
