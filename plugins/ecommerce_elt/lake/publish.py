"""Adds the files of a committed batch to the lists of their days, and takes out the events that the batch corrected."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from ecommerce_elt import listing
from ecommerce_elt.batches.clean_files import S3_THREADS, CleanBatch
from ecommerce_elt.errors import PermanentError
from ecommerce_elt.lake.lists import Notes, change_list, days, supersede
from ecommerce_elt.lake.parquet_files import new_url, object_of, read, write
from ecommerce_elt.settings import Settings
from ecommerce_elt.warehouse.redshift import Warehouse, role_of, run_file

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

MANY_DAYS = 20
_CLEAN_KEY = re.compile(r"^clean/feed=[a-z0-9_]+/dt=(?P<day>\d{4}-\d\d-\d\d)/[^/]+\.parquet$")


def publish_batch(
    s3: S3Client, target: Warehouse, batch: CleanBatch, settings: Settings, *, overlaps: bool, again: bool
) -> int:
    """Adds the files of a committed batch to the lists of their days, and returns how many lists changed. Idempotent.

    Events that the batch corrected are removed, in the same write if the event stays on its day. Events that a later
    batch corrected are not added. A later batch may commit and publish while this one writes, so corrections are
    applied again at the end.

    Args:
        s3: boto3 client.
        target: the warehouse.
        batch: the committed batch.
        settings: the settings.
        overlaps: whether core had some events of the batch before; then only the others are added.
        again: whether the batch, or files made of it, may be in the lists already.
    """
    bucket, feed = settings.bucket, batch.feed
    known = _known_events(s3, target, batch, settings) if overlaps else None
    replaced = _replaced(target, batch, settings)
    versions = {event: version for of_day in replaced.values() for event, version in of_day.items()}
    urls = _files_of_batch(s3, bucket, batch.batch_id)
    # For a batch of many days, as a landed file is, one listing says which lists need not be read.
    listed = set(days(s3, bucket, feed)) if len(urls) > MANY_DAYS else {_day_of(url) for url in urls}

    def add(url: str) -> bool:
        day = _day_of(url)
        added = _without(s3, url, known, versions) if known is not None or versions else url
        if added is None:
            return False  # core, and therefore the lists, had all its events
        events = read(s3, added, ["event_id"])["event_id"] if again else None
        notes = Notes(s3, bucket, feed, day, batch.batch_id)

        def change(now: list[str]) -> list[str]:
            kept = _without_replaced(s3, bucket, feed, day, replaced.get(day, {}), now)
            # A replaced file was in the list before. A delayed run must not add it again.
            is_there = added in now or notes.name(added)
            if is_there or (events is not None and _has_some(s3, kept, events)):
                return kept
            return [*kept, added]

        if added != url:
            supersede(s3, bucket, feed, day, [url])
        # If there is no list yet, no file was ever removed from it, so notes need not be read.
        return change_list(s3, bucket, feed, day, change, first=[added], was_there=day in listed)

    with ThreadPoolExecutor(S3_THREADS) as pool:
        changed = sum(pool.map(add, urls))
    for day, newest in _replaced(target, batch, settings).items():
        changed += change_list(s3, bucket, feed, day, partial(_without_replaced, s3, bucket, feed, day, newest))
    return changed


def known_by_object(s3: S3Client, bucket: str, batch_id: str) -> Counter[str]:
    """Returns by raw key the number of clean events of a published batch that core had before the batch."""
    known = _read_known(s3, bucket, batch_id)
    found: Counter[str] = Counter()
    for url in _files_of_batch(s3, bucket, batch_id):
        rows = read(s3, url, ["event_id", "source_object"])
        ids, keys = rows["event_id"].to_pylist(), rows["source_object"].to_pylist()
        found.update(key for event_id, key in zip(ids, keys, strict=True) if event_id in known)
    return found


def _files_of_batch(s3: S3Client, bucket: str, batch_id: str) -> list[str]:
    """Returns the URLs of the clean files of the batch."""
    body = s3.get_object(Bucket=bucket, Key=f"manifests/{batch_id}/copy.json")["Body"].read()
    return [entry["url"] for entry in json.loads(body)["entries"]]


def _day_of(url: str) -> str:
    match = _CLEAN_KEY.match(object_of(url)["Key"])
    if not match:
        raise PermanentError(f"{url}: expected s3://bucket/clean/feed=F/dt=YYYY-MM-DD/NAME.parquet")
    return match["day"]


def _known_prefix(batch_id: str) -> str:
    return f"manifests/{batch_id}/known/"


def _known_events(s3: S3Client, target: Warehouse, batch: CleanBatch, settings: Settings) -> frozenset[str]:
    """Returns the ids of the events of the batch that core had before it."""
    names = {
        "batch_id": batch.batch_id,
        "copy_role": role_of(settings),
        "known_prefix": f"s3://{settings.bucket}/{_known_prefix(batch.batch_id)}",
    }
    run_file(target, settings.sql_dir / "ops/known_event/unload.sql", names)
    return _read_known(s3, settings.bucket, batch.batch_id)


def _read_known(s3: S3Client, bucket: str, batch_id: str) -> frozenset[str]:
    unloaded = [entry["Key"] for entry in listing.objects(s3, bucket, _known_prefix(batch_id)) if entry["Size"]]
    tables = [read(s3, f"s3://{bucket}/{key}", ["event_id"]) for key in unloaded]
    return frozenset(event_id for table in tables for event_id in table["event_id"].to_pylist())


def _replaced(target: Warehouse, batch: CleanBatch, settings: Settings) -> dict[str, dict[str, int]]:
    """Returns day to event id to the newest version, of events that this batch and later ones corrected."""
    sql = (settings.sql_dir / "ops/correction/since_batch.sql").read_text("utf-8")
    found: dict[str, dict[str, int]] = defaultdict(dict)
    for day, event_id, version in target.query(sql, {"batch_id": batch.batch_id}):
        found[day][event_id] = max(int(version), found[day].get(event_id, 0))
    return found


def _without_replaced(
    s3: S3Client, bucket: str, feed: str, day: str, versions: dict[str, int], urls: list[str]
) -> list[str]:
    """Returns the URLs; each file with a replaced event is exchanged for a new file without the event."""
    if not versions:
        return urls
    found = []
    for url in urls:
        rows = read(s3, url)
        kept = _up_to_date(rows, versions)
        if kept.num_rows == rows.num_rows:
            found.append(url)
            continue
        made = []
        if kept.num_rows:
            made = [new_url(bucket, feed, day, "corrected")]
            write(s3, made[0], kept)
        supersede(s3, bucket, feed, day, [url, *made])
        found += made
    return found


def _without(s3: S3Client, url: str, events: frozenset[str] | None, versions: dict[str, int]) -> str | None:
    """Returns the URL of a file without the rows of `events` and without rows of a version below `versions`.

    Returns the URL of the same file if all rows stay, and None if no row stays.
    """
    rows = read(s3, url)
    kept = _up_to_date(rows, versions)
    if events is not None:
        kept = kept.filter(pa.array([event_id not in events for event_id in kept["event_id"].to_pylist()], pa.bool_()))
    if kept.num_rows in {0, rows.num_rows}:
        return url if kept.num_rows else None
    fresh = url.removesuffix(".parquet") + "-fresh.parquet"
    write(s3, fresh, kept)
    return fresh


def _up_to_date(rows: pa.Table, versions: dict[str, int]) -> pa.Table:
    """Returns the rows without events in `versions` that have a lower version."""
    if not versions:
        return rows
    at = pc.index_in(rows["event_id"], value_set=pa.array(versions.keys(), pa.string()))
    # A file without the column is older than the column. At that time, all events had version 1.
    own = rows["event_version"] if "event_version" in rows.column_names else pa.scalar(1, pa.int32())
    highest = pc.take(pa.array(versions.values(), pa.int32()), at)
    return rows.filter(pc.fill_null(pc.greater_equal(own, highest), True))


def _has_some(s3: S3Client, urls: Iterable[str], events: pa.ChunkedArray) -> bool:
    """Returns whether one of the files has one of the events. One event is not enough: it may be corrected since."""
    return any(pc.any(pc.is_in(events, value_set=read(s3, url, ["event_id"])["event_id"])).as_py() for url in urls)
