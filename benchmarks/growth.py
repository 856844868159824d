"""Growth: `python -m benchmarks.growth [--unit-events 30000] [--scales 1,10,50] [--batches 8640]`.

What the same work costs when there is more of everything: a few batches of new events, cleaned, loaded, published, built into
marts, reconciled, compacted and kept in order, beside 1, 10 and 50 times the data, and beside a month of micro-batches. It
calls the product's functions in this process, against the local cloud without Airflow. A unit of data is UNIT_DAYS days of
events of all feeds, and more data is more days, as history is: every unit goes through the cleaning, the load and the lake.
"""

from __future__ import annotations

import gzip
import itertools
import json
import os
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer
from ecommerce_elt.batches import manifests
from ecommerce_elt.cleaning import cleaner
from ecommerce_elt.feeds.contracts import load_contracts
from ecommerce_elt.feeds.events import envelope
from ecommerce_elt.lake import compact, lists, retention
from ecommerce_elt.lake.publish import publish_batch
from ecommerce_elt.load import transaction as load_transaction
from ecommerce_elt.marts import builds
from ecommerce_elt.reconcile import arrivals
from ecommerce_elt.reconcile.days import reconcile_days
from ecommerce_elt.reconcile.hours import reconcile_hours
from ecommerce_elt.settings import Settings, settings
from ecommerce_elt.warehouse import redshift
from ecommerce_elt.warehouse import tables as warehouse_tables

from benchmarks import report, stacks
from benchmarks.report import Row
from local.stack import Stack
from producer.simulate import SHOPS

SHARES = {"online_retail": 0.7, "purchases": 0.15, "product_events": 0.15}  # of the events, by feed
UNIT_DAYS = 20
LINES_A_MOMENT = {
    "online_retail": 12.5,
    "purchases": 1,
    "product_events": 1,
}  # events of the simulated shop at one time
# History ends here, and the probes come after it.
LAST_DAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=30)
PROBE_EVENTS = 3000  # of all feeds, of one day
REPEATS = 3
BATCH_MINUTES = 5  # of the simulated month: a batch of each feed in so many minutes
LEVEL = 1.3  # times the cost at 1 x; less may be noise
PUTS_AT_ONCE = 16
MONTH = "a month of batches"


@dataclass
class Lake:
    """The local cloud as the product's functions take it."""

    s3: Any
    dynamodb: Any
    target: redshift.Warehouse
    config: Settings
    lines: Iterator[int] = field(default_factory=itertools.count)

    @classmethod
    def of(cls, stack: Stack) -> Lake:
        config = settings()
        target = redshift.warehouse(stack.client("redshift-data"), config)
        return cls(stack.client("s3"), stack.client("dynamodb"), target, config)

    @property
    def contracts(self) -> dict[str, Any]:
        return load_contracts(self.config.include_dir / "feeds")

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        return self.target.query(sql)


class Stopwatch:
    """Seconds of each step, in the order in which they come."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = {}

    def time(self, step: str, do: Callable[[], Any]) -> Any:
        started = time.monotonic()
        found = do()
        self.seconds.setdefault(step, []).append(time.monotonic() - started)
        return found

    def sum_last(self, step: str, parts: int) -> None:
        """Makes one figure of the last ones of a step, which came feed by feed."""
        found = self.seconds[step]
        found[-parts:] = [sum(found[-parts:])]


# -- events -------------------------------------------------------------------------------------------------------------


def shared(events: int) -> dict[str, int]:
    return {feed: max(20, round(events * share)) for feed, share in SHARES.items()}


def records(
    feed: str, start: datetime, count: int, days: float, seed: int
) -> Iterator[tuple[datetime, dict[str, object]]]:
    """Yields (event time, record) of so many events that are spread over the days."""

    whole = timedelta(days=days)
    step = whole * LINES_A_MOMENT[feed] / (count + 1)

    def evenly(random: Any, begin: datetime, per_day: int) -> Iterator[datetime]:
        return (begin + step * number % whole for number in itertools.count())

    return itertools.islice(SHOPS[feed](seed, start, count, evenly), count)


def raw_object(lake_: Lake, feed: str, start: datetime, count: int, days: float) -> manifests.RawObject:
    """Writes events of the days as one object of raw/, which arrived in this hour."""
    seed = next(lake_.lines)
    sent = f"{LAST_DAY:%Y-%m-%dT%H:%M:%SZ}"
    lines = [
        envelope(event_id=f"growth-{seed}-{number}", feed=feed, version=1, event_time=at, sent_at=sent, data=data)
        for number, (at, data) in enumerate(records(feed, start, count, days, seed))
    ]
    return put_raw(lake_, feed, lines, datetime.now(UTC))


def put_raw(lake_: Lake, feed: str, lines: list[bytes], arrived: datetime) -> manifests.RawObject:
    body = gzip.compress(b"\n".join(lines) + b"\n", 1, mtime=0)
    key = f"{arrivals.folder_of(feed, arrived)}landed-{uuid.uuid4().hex}.ndjson.gz"  # .jsonl.gz would be announced
    etag = lake_.s3.put_object(Bucket=lake_.config.bucket, Key=key, Body=body)["ETag"].strip('"')
    return manifests.RawObject(key, etag, len(body), lake_.config.bucket)


def load(lake_: Lake, raw: manifests.RawObject, feed: str, clock: Stopwatch) -> str:
    """Cleans, loads and publishes one object as a batch; returns its id."""
    manifest = manifests.new_manifest(feed, [raw], datetime.now(UTC))
    lake_.s3.put_object(Bucket=raw.bucket, Key=f"manifests/{manifest.batch_id}.json", Body=manifest.to_json())
    batch = clock.time("clean", lambda: cleaner.clean_batch(lake_.s3, manifest, lake_.config))
    counts = clock.time("load", lambda: load_transaction.load_batch(lake_.target, batch, lake_.config))
    assert counts["clean"] > 0.9 * counts["accepted"], counts
    clock.time(
        "publish",
        lambda: publish_batch(lake_.s3, lake_.target, batch, lake_.config, overlaps=False, again=False),
    )
    return manifest.batch_id


# -- what there is already ----------------------------------------------------------------------------------------------


def add_unit(lake_: Lake, number: int, events: int) -> None:
    """Loads UNIT_DAYS days more, before those that are there."""
    start = LAST_DAY - timedelta(days=UNIT_DAYS * (number + 1))
    for feed, count in shared(events).items():
        load(lake_, raw_object(lake_, feed, start, count, UNIT_DAYS), feed, Stopwatch())


def catch_up(lake_: Lake) -> None:
    """Brings marts, reconciliation and the lake up to core, as they are in a system that runs."""
    clock = Stopwatch()
    keep_order(lake_, clock)
    build_marts(lake_, clock)
    reconcile_all(lake_, clock)
    told = {step: round(sum(seconds), 1) for step, seconds in clock.seconds.items()}
    print(f"caught up, seconds: {told}", flush=True)


def add_month(lake_: Lake, batch_ids: dict[str, str], count: int) -> None:
    """What a month of micro-batches leaves: objects in raw/ and manifests/, notes in published/, rows in ops.

    Each batch repeats an event that core has, so that no layer has an event more, and all agree. The objects and rows are
    copies of a real batch's, with ids and times of their own.
    """
    s3, bucket, end = lake_.s3, lake_.config.bucket, datetime.now(UTC)
    lake_.target.run([_numbers(count)])
    assert lake_.query("SELECT COUNT(*) FROM public.number") == [(count,)], (
        "a unit has fewer lines than the month batches"
    )
    with ThreadPoolExecutor(PUTS_AT_ONCE) as pool:
        for feed, batch_id in batch_ids.items():
            manifest = json.loads(s3.get_object(Bucket=bucket, Key=f"manifests/{batch_id}.json")["Body"].read())
            source = manifest["objects"][0]
            body = gzip.decompress(s3.get_object(Bucket=bucket, Key=source["key"])["Body"].read())
            line = gzip.compress(body.splitlines()[0] + b"\n", 1, mtime=0)
            files = {
                key.removeprefix(f"manifests/{batch_id}"): s3.get_object(Bucket=bucket, Key=key)["Body"].read()
                for key in _keys(s3, bucket, f"manifests/{batch_id}")
            }

            def put(
                number: int,
                feed: str = feed,
                batch_id: str = batch_id,
                line: bytes = line,
                files: dict[str, bytes] = files,
            ) -> None:
                at = end - timedelta(minutes=BATCH_MINUTES * number)
                s3.put_object(Bucket=bucket, Key=_raw_key(feed, at, number), Body=line)
                copy = _batch_id(feed, at, number)
                for name, content in files.items():
                    told = content.replace(batch_id.encode(), copy.encode())
                    s3.put_object(Bucket=bucket, Key=f"manifests/{copy}{name}", Body=told)

            list(pool.map(put, range(1, count + 1)))
            _copy_rows(lake_, feed, batch_id, count, end)
        day = f"{LAST_DAY:%Y-%m-%d}"
        note = json.dumps({"since": end.isoformat(), "files": []}).encode()
        folder = lists.folder_of("online_retail", day)
        # A day's notes stay for the grace period: one a batch of a day.
        keys = [f"{folder}_superseded-{number:016x}.json" for number in range(24 * 60 // BATCH_MINUTES)]
        list(pool.map(lambda key: s3.put_object(Bucket=bucket, Key=key, Body=note), keys))
    _copy_checks(lake_)


def _keys(s3: Any, bucket: str, prefix: str) -> Iterable[str]:
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return [entry["Key"] for page in pages for entry in page.get("Contents", [])]


def _batch_id(feed: str, at: datetime, number: int) -> str:
    return f"{feed}-{at:%Y%m%dT%H%M%SZ}-{number:016d}"


def _raw_key(feed: str, at: datetime, number: int) -> str:
    return f"{arrivals.folder_of(feed, at)}landed-month-{number:08d}.ndjson.gz"


def _numbers(count: int) -> str:
    """A table of 1 to `count`; what it is counted from has more rows."""
    return f"""CREATE TABLE public.number AS
        SELECT n FROM (SELECT ROW_NUMBER() OVER (ORDER BY event_id) AS n FROM core.fact_invoice_line) AS line WHERE n <= {count}"""


def _copy_rows(lake_: Lake, feed: str, batch_id: str, count: int, end: datetime) -> None:
    at = f"DATEADD(minute, CAST(-{BATCH_MINUTES} * n AS INTEGER), CAST('{end:%Y-%m-%d %H:%M:%S}' AS TIMESTAMP))"
    padded = "RIGHT('0000000000000000' || CAST(n AS VARCHAR), 16)"
    day = f"TO_CHAR({at}, 'YYYY-MM-DD')"
    new_id = f"'{feed}-' || TO_CHAR({at}, 'YYYYMMDD') || 'T' || TO_CHAR({at}, 'HH24MISS') || 'Z-' || {padded}"
    key = (
        f"'{manifests.prefix_of(feed)}dt=' || {day} || '/hour=' || TO_CHAR({at}, 'HH24') || "
        f"'/landed-month-' || RIGHT({padded}, 8) || '.ndjson.gz'"
    )
    new = {
        "batch_id": new_id,
        "committed_at": at,
        "object_key": key,
        "accepted": "1",
        "duplicates": "1",
        "clean": "0",
        "quarantined": "0",
        "corrected": "0",
    }
    for table in ("ops.batch_audit", "ops.batch_object"):
        names = [column.name for column in lake_.target.table(f"SELECT * FROM {table} WHERE 1 = 0")[0]]
        values = ", ".join(f"{new[name]} AS {name}" if name in new else f"model.{name}" for name in names)
        sql = f"""INSERT INTO {table} ({", ".join(names)}) SELECT {values} FROM {table} AS model CROSS JOIN public.number
            WHERE model.batch_id = '{batch_id}'"""
        lake_.target.run([sql])
    known = f"INSERT INTO ops.known_event (batch_id, event_id) SELECT {new_id}, 'growth-0-0' FROM public.number"
    lake_.target.run([known])


def _copy_checks(lake_: Lake) -> None:
    """A month of builds: the results of the last build of each mart, once for each batch."""
    names = [column.name for column in lake_.target.table("SELECT * FROM ops.check_results WHERE 1 = 0")[0]]
    values = ", ".join(f"'month-' || CAST(n AS VARCHAR) AS {n}" if n == "build_id" else f"model.{n}" for n in names)
    sql = f"""INSERT INTO ops.check_results ({", ".join(names)}) SELECT {values} FROM ops.check_results AS model
        INNER JOIN ops.mart_build AS mart ON model.build_id = mart.published_build_id CROSS JOIN public.number"""
    lake_.target.run([sql])


# -- the probe ----------------------------------------------------------------------------------------------------------


def build_marts(lake_: Lake, clock: Stopwatch) -> None:
    for subject in dict.fromkeys(mart.subject for mart in builds.MARTS):
        clock.time(f"marts: {subject}", lambda s=subject: builds.build_subject(lake_.target, s, lake_.config.sql_dir))


def reconcile_all(lake_: Lake, clock: Stopwatch) -> None:
    """As the task of `reconcile_layers` does, feed by feed.

    Raises:
        AssertionError: layers differ, and so the measurement is of something else.
    """
    config, now = lake_.config, datetime.now(UTC)
    for feed, contract in lake_.contracts.items():
        _, found, _ = clock.time(
            "reconcile: hours", lambda f=feed: reconcile_hours(lake_.s3, lake_.target, f, config, now)
        )
        _, more = clock.time(
            "reconcile: days",
            lambda c=contract: reconcile_days(lake_.s3, lake_.dynamodb, lake_.target, c, config, now),
        )
        assert not found + more, "\n".join(map(str, found + more))
    for step in ("reconcile: hours", "reconcile: days"):
        clock.sum_last(step, len(lake_.contracts))


def keep_order(lake_: Lake, clock: Stopwatch) -> None:
    for feed in lake_.contracts:
        clock.time("compaction", lambda f=feed: compact.compact_feed(lake_.s3, f, lake_.config))
    clock.sum_last("compaction", len(lake_.contracts))
    clock.time("removal of what compaction replaced", lambda: retention.remove_superseded(lake_.s3, lake_.config))
    clock.time("retention", lambda: _retention(lake_))


def _retention(lake_: Lake) -> None:
    warehouse_tables.prune(lake_.target, lake_.config)
    retention.apply_retention(lake_.s3, lake_.config)


def probe(lake_: Lake) -> tuple[dict[str, float], dict[str, str]]:
    """Does the same work REPEATS times, and returns (step to the median of its seconds, feed to a batch of it)."""
    clock, last = Stopwatch(), {}
    for turn in range(REPEATS):
        start = LAST_DAY + timedelta(days=turn)
        made = {feed: raw_object(lake_, feed, start, count, 0.9) for feed, count in shared(PROBE_EVENTS).items()}
        for feed, raw in made.items():
            last[feed] = load(lake_, raw, feed, clock)
        for step in ("clean", "load", "publish"):
            clock.sum_last(step, len(made))
        build_marts(lake_, clock)
        reconcile_all(lake_, clock)
        keep_order(lake_, clock)
    return {step: statistics.median(seconds) for step, seconds in clock.seconds.items()}, last


def size(lake_: Lake, name: str) -> Row:
    """What there is when a scale is measured."""
    found: Row = {"scale": name}
    for feed, contract in lake_.contracts.items():
        found[f"rows of {feed}"] = int(lake_.query(f"SELECT COUNT(*) FROM {contract.tables[0]}")[0][0])
    for table in ("batch_audit", "batch_object", "check_results"):
        found[f"ops.{table}"] = int(lake_.query(f"SELECT COUNT(*) FROM ops.{table}")[0][0])
    for prefix in ("raw/", "manifests/", "clean/", "published/"):
        found[prefix] = len(list(_keys(lake_.s3, lake_.config.bucket, prefix)))
    return found


def grow(lake_: Lake, unit_events: int, scales: list[int], sizes: list[Row]) -> dict[str, dict[str, float]]:
    """Fills the lake to scale after scale, and returns scale to step to seconds."""
    found: dict[str, dict[str, float]] = {}
    units = 0
    for scale in scales:
        started, name = time.monotonic(), f"{scale} x"
        while units < scale:
            add_unit(lake_, units, unit_events)
            units += 1
        catch_up(lake_)
        sizes.append(size(lake_, name))
        print(f"{name}: filled in {time.monotonic() - started:.0f} s", flush=True)
        found[name], _ = probe(lake_)
    return found


def live_a_month(lake_: Lake, unit_events: int, count: int, sizes: list[Row]) -> dict[str, dict[str, float]]:
    """Returns the seconds of each step before and after a month of micro-batches, in a lake with one unit of data."""
    add_unit(lake_, 0, unit_events)
    catch_up(lake_)
    before, batch_ids = probe(lake_)
    started = time.monotonic()
    add_month(lake_, batch_ids, count)
    catch_up(lake_)
    sizes.append(size(lake_, MONTH))
    print(f"{MONTH}: filled in {time.monotonic() - started:.0f} s", flush=True)
    after, _ = probe(lake_)
    return {"before": before, MONTH: after}


def rows_of(grown: dict[str, dict[str, float]], lived: dict[str, dict[str, float]]) -> list[Row]:
    """Returns a row a step: its cost at the first scale, and how many times as much it is at the others."""
    first, *others = grown
    rows = []
    for step, seconds in grown[first].items():
        row: Row = {"step": step, f"s at {first}": seconds, "µs an event": 1e6 * seconds / events_of_probe()}
        ratios = {name: grown[name][step] / seconds for name in others}
        if lived:
            ratios[MONTH] = lived[MONTH][step] / lived["before"][step]
        row |= {f"{name}, ratio": ratio for name, ratio in ratios.items()}
        more = [name for name, ratio in ratios.items() if ratio > LEVEL]
        rows.append(row | {"level": f"no: {', '.join(more)}" if more else "yes"})
    return rows


def events_of_probe() -> int:
    return sum(shared(PROBE_EVENTS).values())


def main(
    unit_events: Annotated[int, typer.Option(help=f"Events of all feeds in {UNIT_DAYS} days, which are 1 x.")] = 30_000,
    scales: Annotated[str, typer.Option(help="Times the data, the first is what is compared with.")] = "1,10,50",
    month: Annotated[
        int, typer.Option(help=f"Batches of a feed in a month of one in {BATCH_MINUTES} minutes; 0: none.")
    ] = 8640,
) -> None:
    sizes: list[Row] = []
    with _lake() as lake_:
        grown = grow(lake_, unit_events, [int(scale) for scale in scales.split(",")], sizes)
    lived: dict[str, dict[str, float]] = {}
    if month:
        with _lake() as lake_:
            lived = live_a_month(lake_, unit_events, month, sizes)
    rows = rows_of(grown, lived)
    title = f"Cost of {events_of_probe():,} new events of {len(SHARES)} feeds, beside what there is"
    report.publish("growth", {title: rows, "What there is": sizes})
    for row in rows:
        if row["level"] != "yes":
            print(f"not level: {row['step']} ({row['level'].removeprefix('no: ')})")


@contextmanager
def _lake() -> Iterator[Lake]:
    """The product's settings are those of a local cloud of its own."""
    with tempfile.TemporaryDirectory() as folder, stacks.started(airflow=False) as stack:
        os.environ.update(stack.user_environment() | {"ECOMMERCE_WORK_DIR": folder})
        settings.cache_clear()
        yield Lake.of(stack)


if __name__ == "__main__":
    typer.run(main)
