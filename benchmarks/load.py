"""The load: `python -m benchmarks.load`, which is `make benchmark-load`.

How long 10,000 new events take from clean files to core, into facts of three sizes, in one run: through the load's whole
transaction; through a COPY and one MERGE by event id, which asks the whole fact; and as a bare COPY, which asks nothing. Then
10,000 events that core has, and 10,000 corrections of one day in the past. Event ids are random, as those of senders are.
"""

from __future__ import annotations

import gzip
import hashlib
import itertools
import os
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from ecommerce_elt.batches.clean_files import CleanBatch
from rich.console import Console
from rich.table import Table

from benchmarks import stacks
from local.observer import Observer
from local.stack import Stack

FEED, FACT, STAGING = "product_events", "core.fact_product_event", "staging.product_events"
EVENTS = 10_000
STEP = 1_000_000  # rows of one INSERT that fills the fact
FIRST = datetime(2024, 1, 1, tzinfo=UTC)
SECONDS_APART = 2  # 30 million rows are 694 days
console = Console(width=None if sys.stdout.isatty() else 110)


_DIGITS = " UNION ALL ".join(f"SELECT {n} AS n" for n in range(10))
_NUMBERS = f"""CREATE TABLE benchmark_number AS
WITH digit AS ({_DIGITS})
SELECT a.n * 100000 + b.n * 10000 + c.n * 1000 + d.n * 100 + e.n * 10 + f.n AS n
FROM digit AS a CROSS JOIN digit AS b CROSS JOIN digit AS c CROSS JOIN digit AS d CROSS JOIN digit AS e CROSS JOIN digit AS f"""
_EVENTS = f"""SELECT MD5(CAST(CAST(:first AS BIGINT) + n AS VARCHAR)) AS event_id,
    DATEADD(second, {SECONDS_APART} * (CAST(:first AS BIGINT) + n), CAST('{FIRST:%Y-%m-%d}' AS TIMESTAMP)) AS event_time
FROM benchmark_number WHERE n < CAST(:rows AS BIGINT)"""
_FILL = (
    f"""INSERT INTO {FACT} (event_id, event_time, event_version, product_id, quantity, price, movement, units, stock_change)
SELECT event_id, event_time, 1, 'P' || LEFT(event_id, 3), 1, 2.5, 'sale', 1, -1 FROM ({_EVENTS}) AS event ORDER BY event_time""",
    f"""INSERT INTO ops.event_day (event_key, event_date)
SELECT STRTOL(LEFT(MD5(event_id), 12), 16), CAST(event_time AS DATE) FROM ({_EVENTS}) AS event ORDER BY event_time""",
)
_MERGE = f"""MERGE INTO {FACT} USING {STAGING} AS source ON {FACT}.event_id = source.event_id
WHEN MATCHED THEN UPDATE SET event_id = source.event_id
WHEN NOT MATCHED THEN INSERT (event_id, event_time, event_version, product_id, quantity, price, movement, units, stock_change)
VALUES (source.event_id, source.event_time, source.event_version, source.product_id, source.quantity, source.price,
    source.movement, source.units, source.stock_change)"""


class Shop:
    """The feed's fact, as many rows as one asks for, and batches of EVENTS events."""

    def __init__(self, stack: Stack, work: Path) -> None:
        from ecommerce_elt.feeds.contracts import load_contracts
        from ecommerce_elt.settings import settings

        observer = Observer.of(stack)
        self.s3, self.target, self.rows, self.work = observer.s3, observer.warehouse, 0, work
        self.config = settings().model_copy(update={"bucket": observer.bucket, "work_dir": work})
        self.contract = load_contracts(self.config.include_dir / "feeds")[FEED]
        self.target.run([_NUMBERS])

    def grow(self, rows: int) -> None:
        """Fills the fact, and what the load keeps beside it, up to so many rows in the order of their time."""
        for first in range(self.rows, rows, STEP):
            values = {"first": str(first), "rows": str(min(STEP, rows - first))}
            self.target.run(_FILL, values)
        self.rows = rows
        for table in (FACT, "ops.event_day"):
            self.target.run([f"VACUUM {table}"])

    def batch(self, ids: Sequence[str], times: Sequence[datetime], version: int = 1) -> CleanBatch:
        """Returns a cleaned batch with an event a minute, or at the times that are given."""
        from ecommerce_elt.batches import manifests
        from ecommerce_elt.cleaning import cleaner
        from ecommerce_elt.feeds import events

        lines = [
            events.envelope(
                event_id=event_id,
                feed=FEED,
                version=2,
                event_time=at,
                sent_at="",
                event_version=version,
                data={"event_time": f"{at:%Y-%m-%dT%H:%M:%SZ}", "product_id": "P1", "quantity": "1", "price": "2.50"},
            )
            for event_id, at in zip(ids, times, strict=True)
        ]
        body = gzip.compress(b"\n".join(lines) + b"\n", 1)
        key = f"raw/feed={FEED}/dt=2026-01-01/hour=00/benchmark-{uuid.uuid4().hex}.jsonl.gz"
        etag = self.s3.put_object(Bucket=self.config.bucket, Key=key, Body=body)["ETag"].strip('"')
        raw = manifests.RawObject(key, etag, len(body), self.config.bucket)
        cleaned = cleaner.clean_batch(self.s3, manifests.new_manifest(FEED, [raw], datetime.now(UTC)), self.config)
        assert cleaned.clean == len(ids), cleaned
        return cleaned

    def at(self, first: int) -> list[datetime]:
        """The times of EVENTS rows of the fact, from row `first`."""
        return [FIRST + timedelta(seconds=SECONDS_APART * n) for n in range(first, first + EVENTS)]

    def ids(self, first: int) -> list[str]:
        return [hashlib.md5(str(n).encode(), usedforsecurity=False).hexdigest() for n in range(first, first + EVENTS)]

    def new(self) -> CleanBatch:
        return self.batch([str(uuid.uuid4()) for _ in range(EVENTS)], self.at(self.rows))

    def known(self) -> CleanBatch:
        return self.batch(self.ids(self.rows // 2), self.at(self.rows // 2))

    def corrected(self) -> CleanBatch:
        self.version += 1
        return self.batch(self.ids(0), self.at(0), self.version)

    version = 1

    def load(self, batch: CleanBatch) -> None:
        from ecommerce_elt.load import transaction as load_transaction

        counts = load_transaction.load_batch(self.target, batch, self.config)
        assert counts["accepted"] == EVENTS, counts

    def merge(self, batch: CleanBatch) -> None:
        """The rival: what is in core is found by one MERGE over the whole fact; nothing is counted or kept."""
        self.target.run([*self._copy(batch), _MERGE])

    def copy(self, batch: CleanBatch) -> None:
        """The bare engine: the files are in staging, and that is all."""
        self.target.run(self._copy(batch))

    def _copy(self, batch: CleanBatch) -> list[str]:
        from ecommerce_elt.warehouse import redshift

        wanted = ("ops/load/lock_staging.sql", "ops/load/empty_staging.sql", "ops/load/copy_events.sql")
        names = {
            "staging": STAGING,
            "copy_role": redshift.role_of(self.config),
            "copy_manifest": f"s3://{self.config.bucket}/manifests/{batch.batch_id}/copy.json",
        }
        return redshift.texts(self.config.sql_dir, wanted, names)


WAYS: dict[str, tuple[Callable[[Shop], CleanBatch], Callable[[Shop, CleanBatch], None]]] = {
    "load of 10,000 new events": (Shop.new, Shop.load),
    "load of 10,000 events that core has": (Shop.known, Shop.load),
    "load of 10,000 corrections of an old day": (Shop.corrected, Shop.load),
    "rival: COPY and MERGE by event id": (Shop.new, Shop.merge),
    "bare engine: COPY alone": (Shop.new, Shop.copy),
}


def seconds(make: Callable[[], CleanBatch], load: Callable[[CleanBatch], None], times: int) -> float:
    """Returns the median of several loads, each of a batch of its own; one more before them warms what there is to warm."""
    load(make())
    found = []
    for batch in [make() for _ in range(times)]:
        started = time.monotonic()
        load(batch)
        found.append(time.monotonic() - started)
    return statistics.median(found)


def main(
    rows: Annotated[str, typer.Option(help="Sizes of the fact, rising, with commas.")] = "20000,10000000,30000000",
    times: Annotated[int, typer.Option(help="Loads of which the median counts.")] = 7,
) -> None:
    os.environ.setdefault("ECOMMERCE_BUCKET", "benchmark")
    os.environ.setdefault("ECOMMERCE_PII_HMAC_KEY", "a key for the benchmark")
    sizes = [int(size) for size in rows.split(",")]
    table = Table(
        "seconds, into a fact of", *(f"{size:,} rows" for size in sizes), "x, last to first", title_justify="left"
    )
    found: dict[str, list[float]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as folder, stacks.started(airflow=False) as stack:
        shop = Shop(stack, Path(folder))
        for size, (way, (make, load)) in itertools.product(sizes, WAYS.items()):
            if shop.rows < size:
                shop.grow(size)
            found[way].append(seconds(partial(make, shop), partial(load, shop), times))
    for way, took in found.items():
        table.add_row(way, *(f"{s:.2f}" for s in took), f"{took[-1] / took[0]:.2f}")
    console.print(f"{os.cpu_count()} cores, Python {sys.version.split()[0]}", highlight=False)
    console.print(table)


if __name__ == "__main__":
    typer.run(main)
