"""Base class of the sinks: it sends full requests, several at a time, and reports the confirmed records."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from random import SystemRandom
from typing import NamedTuple, Self

from ecommerce_elt.errors import PermanentError

ATTEMPTS = 12
BACKOFF_FIRST_SECONDS = 0.1
BACKOFF_MAX_SECONDS = 10.0


class Record(NamedTuple):
    """One event to send, and the name under which the report counts it."""

    data: bytes
    partition_key: str
    counted_as: str


@dataclass
class Report:
    """The result of a producer run.

    Attributes:
        sent: number of records that the receiver confirmed, by feed.
        refused: number of records that the receiver refused for good, by feed.
        refusals: the first reasons of refusals.
        warned: number of events that the receiver accepted although they break their contract.
        warnings: the first reasons of warnings.
        resent: number of records sent again.
        seconds: duration of the run.
    """

    sent: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    refusals: list[str] = field(default_factory=list)
    warned: int = 0
    warnings: list[str] = field(default_factory=list)
    resent: int = 0
    seconds: float = 0.0


def _bytes_of(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


class Sink(ABC):
    """Sends records. Use it as a context manager: its exit flushes the queue and waits for all requests.

    Args:
        in_flight: number of concurrent requests.
        on_sent: called with the number of records that a request settled.
    """

    request_max_records: int
    request_max_bytes: int
    record_max_bytes: int
    takes: str  # name of the receiver in error messages about the record size

    def __init__(self, *, in_flight: int = 4, on_sent: Callable[[int], None] = lambda n: None) -> None:
        self.on_sent = on_sent
        self.report = Report()
        self._batch: list[Record] = []
        self._batch_bytes = 0
        self._pool = ThreadPoolExecutor(in_flight, thread_name_prefix="send")
        self._room = threading.Semaphore(in_flight + 1)
        self._lock = threading.Lock()
        self._error: BaseException | None = None
        self._jitter = SystemRandom()
        self._started = time.monotonic()

    def __enter__(self) -> Self:
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
        """Queues one record. It waits while the maximum number of requests is in flight.

        Raises:
            PermanentError: the record exceeds the size limit, or a request was refused for good.
            TransientError: records still failed after the last attempt.
        """
        size = len(record.data) + _bytes_of(record.partition_key)
        if size > self.record_max_bytes:
            raise PermanentError(
                f"a {record.counted_as} record has {size:,} bytes; {self.takes} takes {self.record_max_bytes:,}"
            )
        if len(self._batch) == self.request_max_records or self._batch_bytes + size > self.request_max_bytes:
            self.flush()
        self._batch.append(record)
        self._batch_bytes += size

    def flush(self) -> None:
        """Sends the queued records without waiting for the response."""
        if self._error:
            raise self._error
        if not self._batch:
            return
        batch, self._batch, self._batch_bytes = self._batch, [], 0
        self._room.acquire()
        self._pool.submit(self._send, batch).add_done_callback(self._done)

    @abstractmethod
    def _send(self, batch: list[Record]) -> None:
        """Sends the batch, retries failed records, and returns when all records are settled."""

    def _done(self, future: Future[None]) -> None:
        self._room.release()
        if error := future.exception():
            with self._lock:
                self._error = self._error or error

    def _wait_before(self, attempt: int, waiting: int, at_least: float = 0.0) -> None:
        """Waits with full jitter (AWS Architecture Blog, 2015) and counts the records that are sent again."""
        if attempt == 0:
            return
        ceiling = min(BACKOFF_MAX_SECONDS, BACKOFF_FIRST_SECONDS * 2 ** (attempt - 1))
        time.sleep(max(at_least, self._jitter.uniform(0, ceiling)))
        with self._lock:
            self.report.resent += waiting

    def _settled(self, sent: list[Record]) -> None:
        with self._lock:
            self.report.sent.update([record.counted_as for record in sent])
        self.on_sent(len(sent))
