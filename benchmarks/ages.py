"""How old an event is when it can be queried: events put on a stream at a rate, and a watch on what the warehouse shows."""

from __future__ import annotations

import gzip
import json
import random
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

from ecommerce_elt.batches import manifests
from ecommerce_elt.feeds.events import envelope

from benchmarks.report import Row
from benchmarks.stacks import Beside
from local.observer import Observer

POLL_SECONDS = 0.2
TICK_SECONDS = 0.2
PUT_MAX = 500  # PutRecords: Kinesis API reference
RECORDS: dict[str, Callable[[random.Random, str], dict[str, str]]] = {
    "product_events": lambda chance, now: {
        "event_time": now,
        "product_id": f"P{chance.randrange(4000)}",
        "quantity": str(chance.randrange(1, 20)),
        "price": f"{chance.randrange(100, 9999) / 100}",
    },
    "online_retail": lambda chance, now: {
        "InvoiceNo": str(chance.randrange(500_000, 600_000)),
        "StockCode": str(chance.randrange(20_000, 24_000)),
        "Description": "WHITE METAL LANTERN",
        "Quantity": str(chance.randrange(1, 20)),
        "InvoiceDate": now,
        "UnitPrice": f"{chance.randrange(100, 9999) / 100}",
        "CustomerID": str(chance.randrange(12_000, 18_000)),
        "Country": "United Kingdom",
    },
}


class Sender:
    """Puts events of the feeds, in turn, at a steady rate; `put_at` has event id to the time of the put."""

    def __init__(self, kinesis: Any, stream: str, feeds: Sequence[str], rate: float) -> None:
        self.kinesis, self.stream, self.feeds, self.rate = kinesis, stream, feeds, rate
        self.put_at: dict[str, float] = {}
        self.prefix = "age"
        self.chance = random.Random(1)

    def send_for(self, seconds: float) -> None:
        """Returns after so long, with all events put. A sender that falls behind sends at once what is due."""
        started, first = time.monotonic(), len(self.put_at)
        while (left := started + seconds - time.monotonic()) > 0:
            self._send_up_to(first + int((seconds - left) * self.rate))
            time.sleep(min(TICK_SECONDS, left))
        self._send_up_to(first + int(seconds * self.rate))

    def _send_up_to(self, count: int) -> None:
        while (due := count - len(self.put_at)) > 0:
            self._put(min(PUT_MAX, due))

    def _put(self, count: int) -> None:
        moment = datetime.now(UTC)
        now = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        waiting = []
        for _ in range(count):
            number = len(self.put_at)
            feed, event_id = self.feeds[number % len(self.feeds)], f"{self.prefix}-{number:09d}"
            self.put_at[event_id] = time.monotonic()
            data = RECORDS[feed](self.chance, now)
            body = envelope(event_id=event_id, feed=feed, version=1, event_time=moment, sent_at=now, data=data)
            waiting.append({"Data": body, "PartitionKey": event_id})
        while waiting:
            answer = self.kinesis.put_records(StreamName=self.stream, Records=waiting)["Records"]
            waiting = [record for record, put in zip(waiting, answer, strict=True) if "ErrorCode" in put]


class Watch(Beside):
    """Keeps when each of the things that `look` returns was first seen."""

    def __init__(self, look: Callable[[], Iterable[str]]) -> None:
        super().__init__(self._see, POLL_SECONDS)
        self.look, self.seen_at = look, dict[str, float]()

    def _see(self) -> None:
        for what in self.look():
            self.seen_at.setdefault(what, time.monotonic())


def committed(observer: Observer) -> Iterable[str]:
    """Returns the ids of the batches that core shows; a batch's events and its row of the audit come in one transaction."""
    return [row[0] for row in observer.warehouse.query("SELECT batch_id FROM ops.batch_audit")]


def of_batches(observer: Observer, sender: Sender, seen_at: dict[str, float]) -> dict[str, float]:
    """Returns event id to seconds from its put to the time when core showed its batch."""

    def read(batch_id: str) -> list[str]:
        found = []
        for raw in manifests.read_manifest(observer.s3, observer.bucket, batch_id).objects:
            body = observer.s3.get_object(Bucket=raw.bucket, Key=raw.key)["Body"].read()
            found += [json.loads(line)["event_id"] for line in gzip.decompress(body).splitlines()]
        return found

    ages: dict[str, float] = {}
    with ThreadPoolExecutor(8) as pool:
        for batch_id, events in zip(seen_at, pool.map(read, seen_at), strict=True):
            for event_id in events:
                if event_id in sender.put_at:  # an object that two batches have was seen with the first
                    age = seen_at[batch_id] - sender.put_at[event_id]
                    ages[event_id] = min(age, ages.get(event_id, age))
    return ages


def summary(ages: Iterable[float]) -> Row:
    """Returns p50, p95 and the highest of the ages, in seconds."""
    found = sorted(ages)
    if len(found) < 2:
        return {"events": len(found)}
    cuts = statistics.quantiles(found, n=20, method="inclusive")
    return {"events": len(found), "p50 s": cuts[9], "p95 s": cuts[18], "worst s": found[-1]}
