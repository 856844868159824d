"""Event source mappings for Kinesis, according to the rules of AWS.

Source: AWS Lambda Developer Guide, "Process Amazon Kinesis Data Streams records with Lambda", and the API reference of
CreateEventSourceMapping. The records of a shard are delivered in order, in batches of at most `BatchSize` records and 6
MB. If the function fails, the batch is delivered again, in halves if `BisectBatchOnFunctionError` is set, which uses up
no attempt. If the function reports failures (`ReportBatchItemFailures`), all records from the lowest reported one on
are delivered again. When the attempts or the maximum age of the records are exceeded, the remaining records are sent to
the on-failure destination and the shard continues. `ParallelizationFactor` batches of one shard are processed at a
time, and those of one partition key in order.
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

Record = Mapping[str, Any]  # as Lambda receives it: {"kinesis": {...}, "eventID": ...}
Invoke = Callable[[dict[str, Any]], Mapping[str, Any] | None]

PAYLOAD_MAX_BYTES = 6 * 1024**2  # of an invocation: Lambda quotas
METADATA_BYTES = 420  # size of a record beside its data


@dataclass(frozen=True)
class Rules:
    """The settings of a mapping, by the names of CreateEventSourceMapping in snake case."""

    batch_size: int = 100
    maximum_retry_attempts: int = -1  # -1: forever
    maximum_record_age_in_seconds: int = -1
    bisect_batch_on_function_error: bool = False
    report_batch_item_failures: bool = False
    parallelization_factor: int = 1

    @classmethod
    def of(cls, mapping: Mapping[str, Any]) -> Rules:
        """Returns the rules of an EventSourceMappingConfiguration."""

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
    """A batch for the on-failure destination. Kinesis still has the records; this object identifies them."""

    records: list[Record]
    condition: str
    invocations: int


class Delivery:
    """Delivers records of one shard to one function.

    Args:
        rules: settings of the mapping.
        invoke: calls the function with an event and returns its response; raises the error of the function.
        discard: receives the records that are given up.
        pause: called before a repeated attempt, with the number of times that this batch has failed.
        now: returns the current time in seconds since the epoch.
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
        """Delivers the records, and returns when each of them is delivered or discarded."""
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
            records = records[failed_at:]  # records before the lowest reported one are done
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
        except Exception as error:  # the records are delivered again after any error
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
