"""The lists of Parquet files that make up each day of a feed in the lake, compaction, and retention. See docs/adr/0015.

    published/feed=F/dt=D/symlink.txt         the list of files, one s3:// URL per line; replaced by a conditional write
    published/feed=F/dt=D/_superseded-*.json  files that were removed from the list, and when

A reader that uses the list sees every event of a committed batch exactly once. A batch is added to a day's list as a
whole. Compaction replaces files by one file with the same rows, in one write. Replaced files are kept for
`lake_grace_hours`, for readers that read the list earlier.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import tempfile
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from more_itertools import chunked

from ecommerce_elt import listing
from ecommerce_elt.batches.clean_files import S3_THREADS, CleanBatch, parquet_writer
from ecommerce_elt.batches.manifests import OPEN, claimed_at, open_batches
from ecommerce_elt.cleaning.cleaner import clean_schema
from ecommerce_elt.cleaning.engine import engine_of
from ecommerce_elt.errors import PermanentError
from ecommerce_elt.feeds.contracts import load_contracts
from ecommerce_elt.settings import Settings
from ecommerce_elt.warehouse.redshift import Warehouse, role_of, run_file

log = logging.getLogger(__name__)

PUBLISHED = "published/"
LIST = "symlink.txt"
COMPACTED = "manifests/compacted/"  # for each feed, when the last compaction of all days began, and for which columns
CLOCKS_DIFFER = timedelta(hours=1)  # largest clock skew between S3 and a writer
CLEAN_KEY = re.compile(r"^clean/feed=(?P<feed>[a-z0-9_]+)/dt=(?P<day>\d{4}-\d\d-\d\d)/[^/]+\.parquet$")
LIST_KEY = re.compile(rf"^{PUBLISHED}feed=(?P<feed>[a-z0-9_]+)/dt=(?P<day>\d{{4}}-\d\d-\d\d)/[^/]+$")
DAY_KEY = re.compile(rf"^{PUBLISHED}feed=(?P<feed>[a-z0-9_]+)/dt=(?P<day>\d{{4}}-\d\d-\d\d)/$")
PARTITIONS_A_CALL = 100  # BatchCreatePartition: Glue API reference
SYMLINK_INPUT = "org.apache.hadoop.hive.ql.io.SymlinkTextInputFormat"
SYMLINK_OUTPUT = "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat"


def folder_of(feed: str, day: str) -> str:
    """Returns the folder of a day's list."""
    return f"{PUBLISHED}feed={feed}/dt={day}/"


def days(s3: Any, bucket: str, feed: str) -> list[str]:
    """Returns the days that have a list, in ascending order."""
    found = [DAY_KEY.match(folder) for folder in listing.folders(s3, bucket, f"{PUBLISHED}feed={feed}/")]
    return sorted(match["day"] for match in found if match)


def files(s3: Any, bucket: str, feed: str, first: date | str = date.min, last: date | str = date.max) -> list[str]:
    """Returns the s3:// URLs of the Parquet files that make up the feed's days from `first` to `last`, both included."""
    wanted = [day for day in days(s3, bucket, feed) if str(first) <= day <= str(last)]
    with ThreadPoolExecutor(S3_THREADS) as pool:
        return [url for urls, _ in pool.map(lambda day: _read_list(s3, bucket, feed, day), wanted) for url in urls]


def _read_list(s3: Any, bucket: str, feed: str, day: str) -> tuple[list[str], str | None]:
    """Returns the URLs and the ETag of the day's list, or ([], None) if there is no list."""
    try:
        found = s3.get_object(Bucket=bucket, Key=folder_of(feed, day) + LIST)
    except s3.exceptions.NoSuchKey:
        return [], None
    return found["Body"].read().decode().split(), found["ETag"]


def _change_list(
    s3: Any,
    bucket: str,
    feed: str,
    day: str,
    change: Callable[[list[str]], list[str] | None],
    *,
    first: list[str] | None = None,
) -> bool:
    """Replaces the day's list by the result of `change`, in one conditional write that is repeated after a conflict.

    Args:
        s3: boto3 client.
        bucket: the bucket of the lake.
        feed: the feed.
        day: the day.
        change: returns the new list, or None to keep the list.
        first: the new list if there is none yet; by default, the result of `change` for an empty list.

    Returns:
        Whether the list changed.
    """
    while True:
        urls, etag = _read_list(s3, bucket, feed, day)
        wanted = first if etag is None and first is not None else change(urls)
        if wanted is None or wanted == urls:
            return False
        condition = {"IfMatch": etag} if etag else {"IfNoneMatch": "*"}
        body = "".join(url + "\n" for url in wanted).encode()
        try:
            s3.put_object(Bucket=bucket, Key=folder_of(feed, day) + LIST, Body=body, **condition)
        except s3.exceptions.ClientError as error:
            if error.response["Error"]["Code"] not in {"PreconditionFailed", "ConditionalRequestConflict"}:
                raise
            continue  # another writer changed the list: read it again
        return True


def _supersede(s3: Any, bucket: str, feed: str, day: str, urls: list[str]) -> None:
    """Writes a note of files that the next change of the list removes, or may fail to add.

    Files of a note that are in no list are deleted after the grace period. The note is written before the change, so
    that a task that dies in between leaves no file that is never deleted.
    """
    note = json.dumps({"since": datetime.now(UTC).isoformat(), "files": urls}).encode()
    name = hashlib.sha256(note).hexdigest()[:16]
    s3.put_object(Bucket=bucket, Key=f"{folder_of(feed, day)}_superseded-{name}.json", Body=note)


class _Notes:
    """The files that were removed from a day's list since a batch was claimed, which may be files of the batch."""

    def __init__(self, s3: Any, bucket: str, feed: str, day: str, batch_id: str) -> None:
        self._s3, self._bucket, self._prefix = s3, bucket, f"{folder_of(feed, day)}_superseded-"
        self._since = claimed_at(batch_id) - CLOCKS_DIFFER
        self._files: dict[str, list[str]] = {}  # by key of the notes read so far; notes never change

    def name(self, url: str) -> bool:
        """Returns whether a note names the file. Looks for new notes, because compaction may just have written one."""
        listed = [
            e["Key"] for e in listing.objects(self._s3, self._bucket, self._prefix) if e["LastModified"] >= self._since
        ]
        with ThreadPoolExecutor(S3_THREADS) as pool:
            self._files |= pool.map(self._read, [key for key in listed if key not in self._files])
        return any(url in files for files in self._files.values())

    def _read(self, key: str) -> tuple[str, list[str]]:
        body = self._s3.get_object(Bucket=self._bucket, Key=key)["Body"].read()
        return key, json.loads(body)["files"]


# -- batches --------------------------------------------------------------------------------------------------------


def publish_batch(
    s3: Any,
    target: Warehouse,
    batch: CleanBatch,
    settings: Settings,
    *,
    overlaps: bool,
    again: bool,
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
    bucket = settings.bucket
    urls = _files_of_batch(s3, bucket, batch.batch_id)
    known = _known_events(s3, target, batch, settings) if overlaps else None
    replaced = _replaced(target, batch, settings)
    versions = {event: version for of_day in replaced.values() for event, version in of_day.items()}

    def add(url: str) -> bool:
        day = _day_of(url)
        added = _without(s3, url, known, versions) if known is not None or versions else url
        if added is None:
            return False  # core, and therefore the lists, had all its events
        events = _read(s3, added, ["event_id"])["event_id"] if again else None
        notes = _Notes(s3, bucket, batch.feed, day, batch.batch_id)

        def change(now: list[str]) -> list[str]:
            kept = _without_replaced(s3, bucket, batch.feed, day, now, replaced.get(day, {}))
            # A replaced file was in the list before. A delayed run must not add it again.
            is_there = added in now or notes.name(added)
            if is_there or (events is not None and _has_some(s3, kept, events)):
                return kept
            return [*kept, added]

        if added != url:
            _supersede(s3, bucket, batch.feed, day, [url])
        # If there is no list yet, no file was ever removed from it, so notes need not be read.
        return _change_list(s3, bucket, batch.feed, day, change, first=[added])

    with ThreadPoolExecutor(S3_THREADS) as pool:
        changed = sum(pool.map(add, urls))
    for day, versions in _replaced(target, batch, settings).items():
        changed += _change_list(
            s3,
            bucket,
            batch.feed,
            day,
            lambda now, day=day, versions=versions: _without_replaced(s3, bucket, batch.feed, day, now, versions),  # type: ignore[misc]
        )
    return changed


def _replaced(target: Warehouse, batch: CleanBatch, settings: Settings) -> dict[str, dict[str, int]]:
    """Returns day to event id to the newest version, of events that this batch and later ones corrected."""
    sql = (settings.sql_dir / "ops/correction/since_batch.sql").read_text("utf-8")
    found: dict[str, dict[str, int]] = defaultdict(dict)
    for day, event_id, version in target.query(sql, {"batch_id": batch.batch_id}):
        found[day][event_id] = max(int(version), found[day].get(event_id, 0))
    return found


def _without_replaced(
    s3: Any, bucket: str, feed: str, day: str, urls: list[str], versions: dict[str, int]
) -> list[str]:
    """Returns the URLs; each file with a replaced event is exchanged for a new file without the event."""
    if not versions:
        return urls
    found = []
    for url in urls:
        rows = _read(s3, url)
        kept = _up_to_date(rows, versions)
        if kept.num_rows == rows.num_rows:
            found.append(url)
            continue
        made = []
        if kept.num_rows:
            key = f"clean/feed={feed}/dt={day}/corrected-{uuid.uuid4().hex}.parquet"
            _write(s3, bucket, key, kept)
            made = [f"s3://{bucket}/{key}"]
        _supersede(s3, bucket, feed, day, [url, *made])
        found += made
    return found


def _up_to_date(rows: pa.Table, versions: dict[str, int]) -> pa.Table:
    """Returns the rows without events in `versions` that have a lower version."""
    if not versions:
        return rows
    at = pc.index_in(rows["event_id"], value_set=pa.array(versions.keys(), pa.string()))
    # A file without the column is older than the column. At that time, all events had version 1.
    own = rows["event_version"] if "event_version" in rows.column_names else pa.scalar(1, pa.int32())
    highest = pc.take(pa.array(versions.values(), pa.int32()), at)
    return rows.filter(pc.fill_null(pc.greater_equal(own, highest), True))


def _write(s3: Any, bucket: str, key: str, rows: pa.Table) -> None:
    with tempfile.NamedTemporaryFile(suffix=".parquet") as file:
        with parquet_writer(Path(file.name), rows.schema) as writer:
            writer.write_table(rows)
        s3.upload_file(file.name, bucket, key)


def _day_of(url: str) -> str:
    match = CLEAN_KEY.match(urlparse(url).path.lstrip("/"))
    if not match:
        raise PermanentError(f"{url}: expected s3://bucket/clean/feed=F/dt=YYYY-MM-DD/NAME.parquet")
    return match["day"]


def _files_of_batch(s3: Any, bucket: str, batch_id: str) -> list[str]:
    """Returns the URLs of the clean files of the batch."""
    body = s3.get_object(Bucket=bucket, Key=f"manifests/{batch_id}/copy.json")["Body"].read()
    return [entry["url"] for entry in json.loads(body)["entries"]]


def _known_prefix(batch_id: str) -> str:
    return f"manifests/{batch_id}/known/"


def _known_events(s3: Any, target: Warehouse, batch: CleanBatch, settings: Settings) -> frozenset[str]:
    """Returns the ids of the events of the batch that core had before it."""
    names = {
        "batch_id": batch.batch_id,
        "copy_role": role_of(settings),
        "known_prefix": f"s3://{settings.bucket}/{_known_prefix(batch.batch_id)}",
    }
    run_file(target, settings.sql_dir / "ops/known_event/unload.sql", names)
    return _read_known(s3, settings.bucket, batch.batch_id)


def _read_known(s3: Any, bucket: str, batch_id: str) -> frozenset[str]:
    unloaded = [entry["Key"] for entry in listing.objects(s3, bucket, _known_prefix(batch_id)) if entry["Size"]]
    tables = [_read(s3, f"s3://{bucket}/{key}", ["event_id"]) for key in unloaded]
    return frozenset(event_id for table in tables for event_id in table["event_id"].to_pylist())


def known_by_object(s3: Any, bucket: str, batch_id: str) -> Counter[str]:
    """Returns by raw key the number of clean events of a published batch that core had before the batch."""
    known = _read_known(s3, bucket, batch_id)
    found: Counter[str] = Counter()
    for url in _files_of_batch(s3, bucket, batch_id):
        rows = _read(s3, url, ["event_id", "source_object"])
        ids, keys = rows["event_id"].to_pylist(), rows["source_object"].to_pylist()
        found.update(key for event_id, key in zip(ids, keys, strict=True) if event_id in known)
    return found


def _read(s3: Any, url: str, columns: list[str] | None = None) -> pa.Table:
    where = urlparse(url)
    body = s3.get_object(Bucket=where.netloc, Key=where.path.lstrip("/"))["Body"].read()
    return pq.read_table(pa.BufferReader(body), columns=columns)


def _without(s3: Any, url: str, events: frozenset[str] | None, versions: dict[str, int]) -> str | None:
    """Returns the URL of a file without the rows of `events` and without rows of a version below `versions`.

    Returns the URL of the same file if all rows stay, and None if no row stays.
    """
    rows = _read(s3, url)
    kept = _up_to_date(rows, versions)
    if events is not None:
        kept = kept.filter(pa.array([event_id not in events for event_id in kept["event_id"].to_pylist()], pa.bool_()))
    if kept.num_rows in {0, rows.num_rows}:
        return url if kept.num_rows else None
    where = urlparse(url)
    key = where.path.lstrip("/").removesuffix(".parquet") + "-fresh.parquet"
    _write(s3, where.netloc, key, kept)
    return f"s3://{where.netloc}/{key}"


def _has_some(s3: Any, urls: Iterable[str], events: pa.ChunkedArray) -> bool:
    """Returns whether one of the files has one of the events. One event is not enough: it may be corrected since."""
    return any(pc.any(pc.is_in(events, value_set=_read(s3, url, ["event_id"])["event_id"])).as_py() for url in urls)


# -- tables of the catalog ------------------------------------------------------------------------------------------


def publish_tables(glue: Any, s3: Any, feeds: Iterable[str], settings: Settings) -> dict[str, int]:
    """Updates each feed's table in the Glue catalog to the lists, and returns the number of new partitions by table.

    A table has the columns of `clean_feed_<feed>`, the table that the crawler made from the feed's files.
    """
    created = {}
    for feed in feeds:
        known = days(s3, settings.bucket, feed)
        if not known:
            continue  # no event of the feed was loaded yet
        try:
            crawled = glue.get_table(DatabaseName=settings.lake_database, Name=f"clean_feed_{feed}")["Table"]
        except glue.exceptions.EntityNotFoundException as error:
            raise PermanentError(
                f"table {settings.lake_database}.clean_feed_{feed} is missing, although feed {feed} has files: "
                f"look at the last run of crawler {settings.stack_prefix}-clean"
            ) from error
        columns = crawled["StorageDescriptor"]["Columns"]
        _publish_table(glue, feed, columns, settings)
        created[feed] = _publish_partitions(glue, feed, columns, known, settings)
    return created


def _storage(location: str, columns: list[dict[str, str]]) -> dict[str, Any]:
    serde = "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"
    return {
        "Columns": columns,
        "Location": location,
        "InputFormat": SYMLINK_INPUT,
        "OutputFormat": SYMLINK_OUTPUT,
        "SerdeInfo": {"SerializationLibrary": serde, "Parameters": {"serialization.format": "1"}},
    }


def _publish_table(glue: Any, feed: str, columns: list[dict[str, str]], settings: Settings) -> None:
    location = f"s3://{settings.bucket}/{PUBLISHED}feed={feed}/"
    table = {
        "Name": feed,
        "Description": f"Events of {feed}, each once. dt is the day of event_time.",
        "TableType": "EXTERNAL_TABLE",
        "PartitionKeys": [{"Name": "dt", "Type": "string"}],
        "StorageDescriptor": _storage(location, columns),
        "Parameters": {"EXTERNAL": "TRUE", "classification": "parquet"},
    }
    try:
        old = glue.get_table(DatabaseName=settings.lake_database, Name=feed)["Table"]
    except glue.exceptions.EntityNotFoundException:
        glue.create_table(DatabaseName=settings.lake_database, TableInput=table)
        return
    if old["StorageDescriptor"]["Columns"] != columns:
        glue.update_table(DatabaseName=settings.lake_database, TableInput=table)


def _publish_partitions(
    glue: Any, feed: str, columns: list[dict[str, str]], known: list[str], settings: Settings
) -> int:
    target = {"DatabaseName": settings.lake_database, "TableName": feed}
    pages = glue.get_paginator("get_partitions").paginate(**target)
    there = {p["Values"][0]: p["StorageDescriptor"]["Columns"] for page in pages for p in page["Partitions"]}

    def partition(day: str) -> dict[str, Any]:
        location = f"s3://{settings.bucket}/{folder_of(feed, day)}"
        return {"Values": [day], "StorageDescriptor": _storage(location, columns)}

    new = [day for day in known if day not in there]
    changed = [day for day in known if day in there and there[day] != columns]
    for some in _chunks(new):
        answer = glue.batch_create_partition(PartitionInputList=[partition(day) for day in some], **target)
        _refuse(answer)
    for some in _chunks(changed):
        entries = [{"PartitionValueList": [day], "PartitionInput": partition(day)} for day in some]
        _refuse(glue.batch_update_partition(Entries=entries, **target))
    return len(new)


def _chunks(entries: list[str]) -> Iterator[list[str]]:
    return (entries[start : start + PARTITIONS_A_CALL] for start in range(0, len(entries), PARTITIONS_A_CALL))


def _refuse(answer: dict[str, Any]) -> None:
    errors = [e for e in answer.get("Errors", []) if e["ErrorDetail"]["ErrorCode"] != "AlreadyExistsException"]
    if errors:
        raise PermanentError(f"the catalog refused a partition: {errors[0]}")


# -- upkeep ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Compacted:
    """The result of compacting one feed: days, and files and bytes before and after."""

    feed: str
    days: int = 0
    files_before: int = 0
    files_after: int = 0
    bytes_before: int = 0
    bytes_after: int = 0

    def __add__(self, other: Compacted) -> Compacted:
        return Compacted(
            self.feed,
            self.days + other.days,
            self.files_before + other.files_before,
            self.files_after + other.files_after,
            self.bytes_before + other.bytes_before,
            self.bytes_after + other.bytes_after,
        )


def compact_feed(s3: Any, feed: str, settings: Settings) -> Compacted:
    """Compacts each day of the feed whose list names several small files, and returns what it did.

    Files that an older contract or clean SQL made are rewritten with the current columns. A missing column is NULL, or
    is computed by `sql/lake/<feed>.sql` from the other columns. Days whose list has not changed since the last
    compaction are skipped, unless the columns have changed.
    """
    contract = load_contracts(settings.include_dir / "feeds").get(feed)
    schema = clean_schema(contract, settings) if contract else None
    state = f"{COMPACTED}{feed}.json"
    columns, began = str(schema), datetime.now(UTC)
    try:
        last = json.loads(s3.get_object(Bucket=settings.bucket, Key=state)["Body"].read())
    except s3.exceptions.NoSuchKey:
        last = {"columns": None, "began": None}
    since = datetime.fromisoformat(last["began"]) - CLOCKS_DIFFER if last["columns"] == columns else None
    total = Compacted(feed)
    for day, changed in sorted(changes(s3, settings.bucket, feed).items()):
        if since is None or changed >= since:
            total += compact_day(s3, feed, day, settings, schema)
    body = json.dumps({"columns": columns, "began": began.isoformat()}).encode()
    s3.put_object(Bucket=settings.bucket, Key=state, Body=body)
    return total


def changes(s3: Any, bucket: str, feed: str) -> dict[str, datetime]:
    """Returns the time of the last change of each day's list, by day."""
    found = {}
    for entry in listing.objects(s3, bucket, f"{PUBLISHED}feed={feed}/"):
        match = LIST_KEY.match(entry["Key"])
        if match and entry["Key"].endswith(f"/{LIST}"):
            found[match["day"]] = entry["LastModified"]
    return found


def compact_day(s3: Any, feed: str, day: str, settings: Settings, schema: pa.Schema | None = None) -> Compacted:
    """Merges the day's small files into files of about `compact_target_bytes`; readers see no change.

    A file is small if it has less than half of the target. Rows stay sorted by event time.

    Args:
        s3: boto3 client.
        feed: the feed.
        day: the day.
        settings: the settings.
        schema: the current columns; files with other columns are rewritten, whatever their size.

    Returns:
        What the compaction did.
    """
    bucket = settings.bucket
    urls, _ = _read_list(s3, bucket, feed, day)
    outdated = [url for url in urls if schema and not schema_of(s3, url).equals(schema)]
    if len(urls) < 2 and not outdated:
        return Compacted(feed)
    sizes = sizes_of(s3, bucket, feed, day)
    if missing := [url for url in urls if url not in sizes]:
        raise PermanentError(
            f"{missing[0]} is in the list of feed {feed} of {day}, and not in S3: restore it, or clean its batch again"
        )
    small = [url for url in urls if url in outdated or sizes[url] < settings.compact_target_bytes / 2]
    done = Compacted(feed)
    for group in _groups(small, sizes, settings.compact_target_bytes):
        if len(group) == 1 and group[0] not in outdated:
            continue
        made, size = _merge(s3, bucket, feed, day, group, settings, schema)

        def change(listed: list[str], group: list[str] = group, made: str = made) -> list[str] | None:
            if not set(group) <= set(listed):
                return None  # another compaction was faster
            return [made, *(url for url in listed if url not in group)]

        _supersede(s3, bucket, feed, day, [*group, made])
        if _change_list(s3, bucket, feed, day, change):
            done += Compacted(feed, 1, len(group), 1, sum(sizes[url] for url in group), size)
    return done


def sizes_of(s3: Any, bucket: str, feed: str, day: str) -> dict[str, int]:
    """Returns the size in bytes of each file of a day by URL, whether the file is in the list or not."""
    prefix = f"clean/feed={feed}/dt={day}/"
    return {f"s3://{bucket}/{entry['Key']}": entry["Size"] for entry in listing.objects(s3, bucket, prefix)}


def _groups(urls: list[str], sizes: dict[str, int], target: int) -> Iterator[list[str]]:
    """Yields groups of files with a total size of at least the target; the last group may be smaller."""
    group: list[str] = []
    size = 0
    for url in urls:
        group.append(url)
        size += sizes[url]
        if size >= target:
            yield group
            group, size = [], 0
    if group:
        yield group


TAIL_BYTES = 64 * 1024  # more than the footer of a file with a few dozen columns


def schema_of(s3: Any, url: str) -> pa.Schema:
    """Returns the columns of a Parquet file, read from its end."""
    where = urlparse(url)
    target = {"Bucket": where.netloc, "Key": where.path.lstrip("/")}
    tail = s3.get_object(**target, Range=f"bytes=-{TAIL_BYTES}")["Body"].read()
    if int.from_bytes(tail[-8:-4], "little") + 8 > len(tail):  # https://parquet.apache.org/docs/file-format/
        tail = s3.get_object(**target)["Body"].read()
    fields = pq.read_schema(pa.BufferReader(tail))
    times = (
        pa.field(f.name, pa.timestamp("us")) if pa.types.is_timestamp(f.type) else f for f in fields
    )  # INT96 has no unit
    return pa.schema(times)


def _merge(
    s3: Any, bucket: str, feed: str, day: str, group: list[str], settings: Settings, schema: pa.Schema | None
) -> tuple[str, int]:
    """Writes one file with the rows of the group, and returns its URL and its size in bytes."""
    # Always a new name: an earlier file of the same name may be noted for deletion.
    key = f"clean/feed={feed}/dt={day}/compacted-{uuid.uuid4().hex}.parquet"
    with tempfile.TemporaryDirectory(prefix="compact-", dir=settings.work_dir) as folder:
        work = Path(folder)

        def fetch(numbered: tuple[int, str]) -> str:
            number, url = numbered
            path = work / f"{number:06d}.parquet"
            s3.download_file(bucket, urlparse(url).path.lstrip("/"), str(path))
            return str(path)

        with ThreadPoolExecutor(S3_THREADS) as pool:
            inputs = list(pool.map(fetch, enumerate(group)))
        out = work / "compacted.parquet"
        with engine_of(settings, work) as engine:
            wanted = schema or pq.read_schema(inputs[0])
            read = "read_parquet($files, hive_partitioning = false, union_by_name = true)"
            there = {row[0] for row in engine.execute(f"DESCRIBE FROM {read}", {"files": inputs}).fetchall()}
            columns = ", ".join(f'{_read_as(name, there)} AS "{name}"' for name in wanted.names)
            if lost := sorted(there - {*wanted.names}):
                log.info("feed=%s day=%s dropped columns=%s", feed, day, lost)
            sql = f"SELECT {columns} FROM {read}"  # noqa: S608  # names of a contract
            if (meaning := settings.sql_dir / f"lake/{feed}.sql").exists():
                sql = f"WITH files AS ({sql}) {meaning.read_text('utf-8')}"
            rows = engine.sql(f"{sql} ORDER BY event_time, event_id", params={"files": inputs}).to_arrow_reader()
            with parquet_writer(out, wanted) as writer:
                for batch in rows:
                    writer.write_batch(batch.cast(writer.schema))
        _check_same_rows(inputs, out, key)
        s3.upload_file(str(out), bucket, key)
        return f"s3://{bucket}/{key}", out.stat().st_size


def _read_as(name: str, there: set[str]) -> str:
    """Returns the SQL of a column that files may lack; without the column event_version, an event has version 1."""
    column = f'"{name}"' if name in there else "NULL"
    return f"COALESCE({column}, 1)" if name == "event_version" else column


def _check_same_rows(inputs: list[str], out: Path, key: str) -> None:
    before = sum(pq.read_metadata(file).num_rows for file in inputs)
    after = pq.read_metadata(out).num_rows
    if before != after:
        raise PermanentError(f"{key}: {after} rows, its {len(inputs)} files have {before}; nothing was changed")


def remove_superseded(s3: Any, settings: Settings, *, now: datetime | None = None) -> int:
    """Deletes the files that have been in no list for `lake_grace_hours`, and returns how many."""
    limit = (now or datetime.now(UTC)) - timedelta(hours=settings.lake_grace_hours)
    notes: dict[tuple[str, str], list[str]] = defaultdict(list)
    for entry in listing.objects(s3, settings.bucket, PUBLISHED):
        if "/_superseded-" in entry["Key"] and entry["LastModified"] <= limit:  # written at its time or later
            named = LIST_KEY.match(entry["Key"])
            assert named is not None
            notes[named["feed"], named["day"]].append(entry["Key"])

    def remove(of_day: tuple[tuple[str, str], list[str]]) -> int:
        (feed, day), keys = of_day
        read = [json.loads(s3.get_object(Bucket=settings.bucket, Key=key)["Body"].read()) for key in keys]
        listed, _ = _read_list(s3, settings.bucket, feed, day)
        left = {urlparse(url).path.lstrip("/") for note in read for url in note["files"] if url not in listed}
        listing.delete(s3, settings.bucket, sorted(left))
        listing.delete(s3, settings.bucket, keys)  # the notes last, so that a deletion that died is repeated
        return len(left)

    with ThreadPoolExecutor(S3_THREADS) as pool:
        return sum(pool.map(remove, notes.items()))


def apply_retention(s3: Any, settings: Settings, *, now: datetime | None = None) -> dict[str, int]:
    """Deletes objects older than `retention_days` of their prefix; returns the number of deleted objects by prefix."""
    removed = dict.fromkeys(settings.retention_days, 0)
    still_open = open_batches(s3, settings.bucket)  # their objects are kept, whatever their age
    for prefix, kept_days in settings.retention_days.items():
        limit = (now or datetime.now(UTC)) - timedelta(days=kept_days)
        found = listing.older(s3, settings.bucket, prefix, limit)
        old = (key for key in found if not key.startswith(OPEN) and not any(batch_id in key for batch_id in still_open))
        for some in chunked(old, listing.DELETED_AT_ONCE):
            listing.delete(s3, settings.bucket, some)
            removed[prefix] += len(some)
    return removed
