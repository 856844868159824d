"""Merges the small files of a day into larger ones with the same rows and the current columns."""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from ecommerce_elt.batches.clean_files import S3_THREADS, parquet_writer
from ecommerce_elt.cleaning.cleaner import clean_schema
from ecommerce_elt.cleaning.engine import engine_of
from ecommerce_elt.errors import PermanentError
from ecommerce_elt.feeds.contracts import load_contracts
from ecommerce_elt.lake.lists import CLOCKS_DIFFER, change_list, changes, read_list, sizes_of, supersede
from ecommerce_elt.lake.parquet_files import new_url, object_of, schema_of
from ecommerce_elt.settings import Settings

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

log = logging.getLogger(__name__)

COMPACTED = "manifests/compacted/"  # for each feed, when the last compaction of all days began, and for which columns


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
        return Compacted(self.feed, *map(sum, zip(astuple(self)[1:], astuple(other)[1:], strict=True)))


def compact_feed(s3: S3Client, feed: str, settings: Settings) -> Compacted:
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


def compact_day(s3: S3Client, feed: str, day: str, settings: Settings, schema: pa.Schema | None = None) -> Compacted:
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

    Raises:
        PermanentError: a file of the list is missing.
    """
    bucket = settings.bucket
    urls, _ = read_list(s3, bucket, feed, day)
    outdated = [url for url in urls if schema and not schema_of(s3, url).equals(schema)]
    if len(urls) < 2 and not outdated:
        return Compacted(feed)
    sizes = sizes_of(s3, bucket, feed, day, urls)
    small = [url for url in urls if url in outdated or sizes[url] < settings.compact_target_bytes / 2]
    done = Compacted(feed)
    for group in _groups(small, sizes, settings.compact_target_bytes):
        if len(group) == 1 and group[0] not in outdated:
            continue
        made, size = _merge(s3, feed, day, group, settings, schema)

        def change(listed: list[str], group: list[str] = group, made: str = made) -> list[str] | None:
            if not set(group) <= set(listed):
                return None  # another compaction was faster
            return [made, *(url for url in listed if url not in group)]

        supersede(s3, bucket, feed, day, [*group, made])
        if change_list(s3, bucket, feed, day, change):
            done += Compacted(feed, 1, len(group), 1, sum(sizes[url] for url in group), size)
    return done


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


def _merge(
    s3: S3Client, feed: str, day: str, group: list[str], settings: Settings, schema: pa.Schema | None
) -> tuple[str, int]:
    """Writes one file with the rows of the group, and returns its URL and its size in bytes."""
    url = new_url(settings.bucket, feed, day, "compacted")
    with tempfile.TemporaryDirectory(prefix="compact-", dir=settings.work_dir) as folder:
        work = Path(folder)

        def fetch(numbered: tuple[int, str]) -> str:
            number, url = numbered
            path = work / f"{number:06d}.parquet"
            s3.download_file(**object_of(url), Filename=str(path))
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
        _check_same_rows(inputs, out, url)
        s3.upload_file(str(out), **object_of(url))
        return url, out.stat().st_size


def _read_as(name: str, there: set[str]) -> str:
    """Returns the SQL of a column that files may lack; without the column event_version, an event has version 1."""
    column = f'"{name}"' if name in there else "NULL"
    return f"COALESCE({column}, 1)" if name == "event_version" else column


def _check_same_rows(inputs: list[str], out: Path, url: str) -> None:
    before = sum(pq.read_metadata(file).num_rows for file in inputs)
    after = pq.read_metadata(out).num_rows
    if before != after:
        raise PermanentError(f"{url}: {after} rows, its {len(inputs)} files have {before}; nothing was changed")
