"""PutRecords as the service wants it: full requests, several in flight, and only what failed sent again."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from random import SystemRandom
from typing import Any

from ecommerce_elt.errors import PermanentError, TransientError

# Kinesis API reference, PutRecords.
REQUEST_MAX_RECORDS = 500
REQUEST_MAX_BYTES = 5 * 1024**2
RECORD_MAX_BYTES = 1024**2  # data and partition key together

ATTEMPTS = 12
BACKOFF_FIRST_SECONDS = 0.1
BACKOFF_MAX_SECONDS = 10.0


@dataclass(frozen=True)
class Record:
    """What goes on the stream, and under which count it is reported."""

    data: bytes
    partition_key: str
    counted_as: str


@dataclass
class Report:
    """What a producer did. `sent` counts what Kinesis confirmed, by feed."""

    sent: Counter[str] = field(default_factory=Counter)
    resent: int = 0
    seconds: float = 0.0


class KinesisSink:
    """Sends records to a stream. Use as a context manager: leaving it flushes and waits.

    Args:
        client: boto3 kinesis client; thread-safe.
        stream: name.
        in_flight: requests at a time.
        on_sent: called with the number of records that a request confirmed.
    """

    def __init__(
        self, client: Any, stream: str, *, in_flight: int = 4, on_sent: Callable[[int], None] = lambda n: None
    ) -> None:
        self.client, self.stream, self.on_sent = client, stream, on_sent
        self.report = Report()
        self._batch: list[Record] = []
        self._batch_bytes = 0
        self._pool = ThreadPoolExecutor(in_flight, thread_name_prefix="put-records")
        self._room = threading.Semaphore(in_flight + 1)
        self._lock = threading.Lock()
        self._error: BaseException | None = None
        self._jitter = SystemRandom()
        self._started = time.monotonic()

    def __enter__(self) -> KinesisSink:
        return self

    def __exit__(self, *exc: object) -> None:
        try:
            if not self._error:
                self.flush()
        finally:
            self._pool.shutdown(wait=True)
            self.report.seconds = time.monotonic() - self._started
        if self._error and exc[0] is None:
            raise self._error

    def put(self, record: Record) -> None:
        """Queues one record; waits while all requests are in flight.

        Raises:
            PermanentError: the record is larger than Kinesis takes, or the stream refused the request for good.
            TransientError: records still failed after the last attempt.
        """
        size = len(record.data) + len(record.partition_key.encode())
        if size > RECORD_MAX_BYTES:
            raise PermanentError(f"a {record.counted_as} record has {size:,} bytes; Kinesis takes {RECORD_MAX_BYTES:,}")
        if len(self._batch) == REQUEST_MAX_RECORDS or self._batch_bytes + size > REQUEST_MAX_BYTES:
            self.flush()
        self._batch.append(record)
        self._batch_bytes += size

    def flush(self) -> None:
        """Sends what is queued, without waiting for the answer."""
        if self._error:
            raise self._error
        if not self._batch:
            return
        batch, self._batch, self._batch_bytes = self._batch, [], 0
        self._room.acquire()
        self._pool.submit(self._send, batch).add_done_callback(self._done)

    def _done(self, future: Future[None]) -> None:
        self._room.release()
        if error := future.exception():
            with self._lock:
                self._error = self._error or error

    def _send(self, batch: list[Record]) -> None:
        waiting = batch
        for attempt in range(ATTEMPTS):
            if attempt:
                ceiling = min(BACKOFF_MAX_SECONDS, BACKOFF_FIRST_SECONDS * 2 ** (attempt - 1))
                time.sleep(self._jitter.uniform(0, ceiling))  # full jitter: AWS Architecture Blog, 2015
                with self._lock:
                    self.report.resent += len(waiting)
            entries = [{"Data": r.data, "PartitionKey": r.partition_key} for r in waiting]
            answer = self.client.put_records(StreamName=self.stream, Records=entries)
            failed: list[Record] = []
            codes: Counter[str] = Counter()
            for record, result in zip(waiting, answer["Records"], strict=True):
                if "ErrorCode" in result:
                    failed.append(record)
                    codes[result["ErrorCode"]] += 1
            with self._lock:
                gone = {id(r) for r in failed}
                self.report.sent.update(r.counted_as for r in waiting if id(r) not in gone)
            self.on_sent(len(waiting) - len(failed))
            if not failed:
                return
            waiting = failed
        raise TransientError(f"stream {self.stream}: {len(waiting)} records failed {ATTEMPTS} times: {dict(codes)}")
