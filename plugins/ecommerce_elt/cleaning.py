"""Cleaning one batch with DuckDB, in bounded memory: raw JSON lines in, Parquet and counts out.

Written for a batch, all at keys derived from the batch id, so that a retry overwrites its own files:

    clean/feed=F/dt=<event date>/<batch id>.parquet        the rows, sorted by event time
    quarantine/feed=F/dt=<arrival date>/<batch id>.parquet  what broke the contract: ids, reasons, where it lies in raw/
    manifests/<batch id>/objects.jsonl, copy.json           what COPY reads
"""

from __future__ import annotations

import json
import logging
import re
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ecommerce_elt.batches import Manifest, RawObject
from ecommerce_elt.errors import PermanentError, TransientError
from ecommerce_elt.feeds import Contract, load_contracts
from ecommerce_elt.settings import Settings
from ecommerce_elt.typing_sql import DIALECT, cleaning_query

log = logging.getLogger(__name__)

S3_THREADS = 8
ROWS_PER_READ = 50_000
HMAC_BLOCK_BYTES = 64  # SHA-256, RFC 2104

# What raw/ holds: the envelope, one JSON object a line. `data` stays text until the contract types it.
READ_EVENTS = """
CREATE TABLE events AS
SELECT
    event_id,
    event_time,
    data,
    source_object,
    CAST(row_number - MIN(row_number) OVER (PARTITION BY source_object) + 1 AS INTEGER) AS source_line
FROM (
    SELECT *, filename AS source_object, ROW_NUMBER() OVER () AS row_number
    FROM read_json(
        $files,
        format = 'newline_delimited',
        columns = {event_id: 'VARCHAR', event_time: 'VARCHAR', data: 'JSON'},
        filename = true
    )
)
"""

# A feed that has no contract (yet): nothing can be said about the event but that.
WITHOUT_CONTRACT = """
SELECT
    event_id,
    TRY_CAST(TRY_CAST(event_time AS TIMESTAMPTZ) AS TIMESTAMP) AS event_time,
    source_object,
    source_line,
    [{'column_name': 'feed', 'rule': 'known', 'expected': 'a feed with a contract in include/feeds/'}] AS reasons,
    ROW_NUMBER() OVER (PARTITION BY event_id ORDER BY source_object, source_line) AS copy_number
FROM events
"""

COUNT_BY_OBJECT = """
SELECT
    source_object AS object_key,
    COUNT(*) AS accepted,
    COUNT(*) FILTER (copy_number = 1 AND LEN(reasons) = 0) AS clean,
    COUNT(*) FILTER (copy_number = 1 AND LEN(reasons) > 0) AS quarantined,
    COUNT(*) FILTER (copy_number > 1) AS duplicates
FROM cleaned
GROUP BY source_object
ORDER BY source_object
"""

SELECT_CLEAN = """
SELECT * EXCLUDE (reasons, copy_number)
FROM cleaned
WHERE copy_number = 1 AND LEN(reasons) = 0
ORDER BY event_time, event_id
"""

SELECT_QUARANTINED = """
SELECT
    event_id,
    $feed AS feed,
    'clean' AS stage,
    event_time,
    reasons,
    source_object,
    source_line,
    $batch_id AS batch_id
FROM cleaned
WHERE copy_number = 1 AND LEN(reasons) > 0
ORDER BY source_object, source_line
"""


@dataclass(frozen=True)
class CleanBatch:
    """Counts of events of a cleaned batch."""

    batch_id: str
    feed: str
    accepted: int
    clean: int
    quarantined: int
    duplicates: int


def clean_batch(s3: Any, manifest: Manifest, settings: Settings) -> CleanBatch:
    """Cleans the batch of `manifest` and writes its files to the lake.

    Raises:
        PermanentError: a raw object changed since it was claimed, or is not what raw_writer writes.
        TransientError: S3 did not deliver.
    """
    contract = load_contracts(settings.include_dir / "feeds").get(manifest.feed)
    with tempfile.TemporaryDirectory(prefix="clean-", dir=settings.work_dir) as name:
        work = Path(name)
        files = _download(s3, manifest, work / "raw")
        with duckdb.connect(
            work / "batch.duckdb",
            config={
                "memory_limit": f"{settings.clean_memory_bytes // 1024**2}MiB",
                "threads": settings.clean_threads,
                "temp_directory": str(work / "spill"),
                "autoinstall_known_extensions": False,
            },
        ) as engine:
            run_cleaning(engine, files, manifest.feed, contract, settings)
            counts = _write_counts(s3, engine, manifest, settings.bucket)
            if contract:
                copies = _write_clean(s3, engine, manifest, settings.bucket, work)
                _put_json(s3, settings.bucket, f"manifests/{manifest.batch_id}/copy.json", {"entries": copies})
            _write_quarantine(s3, engine, manifest, settings.bucket, work)
    result = CleanBatch(manifest.batch_id, manifest.feed, **counts)
    log.info("cleaned %s", " ".join(f"{k}={v}" for k, v in asdict(result).items()))
    if result.accepted != result.clean + result.quarantined + result.duplicates:
        raise PermanentError(f"batch {manifest.batch_id} does not conserve its events: {result}")
    return result


def run_cleaning(
    engine: duckdb.DuckDBPyConnection, files: dict[str, Path], feed: str, contract: Contract | None, settings: Settings
) -> None:
    """Leaves the table `cleaned` in `engine`: the feed's columns, source_object, source_line, reasons, copy_number.

    Args:
        engine: an empty database.
        files: raw key to the local file with its content.
        feed: for messages.
        contract: of the feed, or None where it has none; then every event is rejected for that reason.
        settings: where the feed's SQL lies, and the key of the HMAC.
    """
    engine.execute("SET TimeZone = 'UTC'")
    paths = {str(path): key for key, path in files.items()}
    try:
        engine.execute(READ_EVENTS, {"files": list(paths)})
    except duckdb.Error as error:
        text = str(error)
        for path, key in paths.items():
            text = text.replace(path, key)
        raise PermanentError(f"feed {feed}: a raw object holds no JSON lines: {text}") from error
    engine.execute("CREATE TABLE source_objects (path VARCHAR, key VARCHAR)")
    engine.executemany("INSERT INTO source_objects VALUES ($1, $2)", list(paths.items()))
    engine.execute("UPDATE events SET source_object = key FROM source_objects WHERE path = source_object")
    parameters: dict[str, str] = {}
    sql = WITHOUT_CONTRACT
    if contract:
        sql = cleaning_query(contract, (settings.sql_dir / f"clean/{feed}.sql").read_text("utf-8")).sql(DIALECT)
        parameters = {k: v for k, v in hmac_pads(settings.pii_hmac_key.get_secret_value()).items() if f"${k}" in sql}
    engine.execute("CREATE TABLE cleaned AS " + sql, parameters)
    engine.execute("DROP TABLE events")


def hmac_pads(key: str) -> dict[str, str]:
    """Returns the inner and the outer pad of HMAC-SHA256 for `key`, in hex, as the cleaning SQL takes them (RFC 2104)."""
    block = key.encode()
    if len(block) > HMAC_BLOCK_BYTES:
        raise PermanentError(f"ECOMMERCE_PII_HMAC_KEY: {len(block)} bytes, expected 16 to {HMAC_BLOCK_BYTES}")
    block = block.ljust(HMAC_BLOCK_BYTES, b"\0")
    return {
        "hmac_inner_pad": bytes(b ^ 0x36 for b in block).hex(),
        "hmac_outer_pad": bytes(b ^ 0x5C for b in block).hex(),
    }


def _download(s3: Any, manifest: Manifest, directory: Path) -> dict[str, Path]:
    directory.mkdir()

    def fetch(numbered: tuple[int, RawObject]) -> tuple[str, Path]:
        number, raw = numbered
        try:
            response = s3.get_object(Bucket=raw.bucket, Key=raw.key)
        except s3.exceptions.NoSuchKey as error:
            raise PermanentError(
                f"s3://{raw.bucket}/{raw.key} is gone since the batch was claimed; restore it, or give the batch up: "
                "docs/runbooks/cleaning-fails.md"
            ) from error
        if (etag := response["ETag"].strip('"')) != raw.etag:
            raise PermanentError(
                f"s3://{raw.bucket}/{raw.key}: etag was {raw.etag} when the batch was claimed and is {etag} now; "
                "objects in raw/ never change. Restore that version, then clear this task"
            )
        path = directory / f"{number:06d}.jsonl.gz"
        with path.open("wb") as file:
            for chunk in response["Body"].iter_chunks(1024**2):
                file.write(chunk)
        if path.stat().st_size != response["ContentLength"]:
            raise TransientError(
                f"s3://{raw.bucket}/{raw.key}: got {path.stat().st_size} bytes of {response['ContentLength']}"
            )
        return raw.key, path

    with ThreadPoolExecutor(S3_THREADS) as pool:
        return dict(pool.map(fetch, enumerate(manifest.objects)))


def _write_counts(s3: Any, engine: duckdb.DuckDBPyConnection, manifest: Manifest, bucket: str) -> dict[str, int]:
    names = ("accepted", "clean", "quarantined", "duplicates")
    by_object = {row[0]: dict(zip(names, row[1:], strict=True)) for row in engine.execute(COUNT_BY_OBJECT).fetchall()}
    none = dict.fromkeys(names, 0)
    lines = [
        {"batch_id": manifest.batch_id, "feed": manifest.feed, "object_key": raw.key, "etag": raw.etag,
         **by_object.get(raw.key, none)}
        for raw in manifest.objects
    ]  # fmt: skip
    body = "".join(json.dumps(line) + "\n" for line in lines)
    s3.put_object(Bucket=bucket, Key=f"manifests/{manifest.batch_id}/objects.jsonl", Body=body.encode())
    return {name: sum(line[name] for line in lines) for name in names}


def _write_clean(
    s3: Any, engine: duckdb.DuckDBPyConnection, manifest: Manifest, bucket: str, work: Path
) -> list[dict[str, Any]]:
    """Writes one Parquet file per event date and returns the entries of the COPY manifest."""
    reader = engine.sql(SELECT_CLEAN).to_arrow_reader(ROWS_PER_READ)
    written: list[tuple[str, Path]] = []
    for date, path in _split_by_date(reader, work):
        written.append((f"clean/feed={manifest.feed}/dt={date}/{manifest.batch_id}.parquet", path))
    _upload(s3, bucket, written)
    return [
        {"url": f"s3://{bucket}/{key}", "mandatory": True, "meta": {"content_length": path.stat().st_size}}
        for key, path in written
    ]


def _split_by_date(reader: pa.RecordBatchReader, work: Path) -> Iterator[tuple[str, Path]]:
    """Yields (date, closed file) for a stream of rows that is sorted by event_time."""
    writer: pq.ParquetWriter | None = None
    current: tuple[str, Path] | None = None
    for batch in reader:
        dates = pc.strftime(batch.column("event_time"), "%Y-%m-%d")
        runs = pc.run_end_encode(dates)
        start = 0
        for date, end in zip(runs.values.to_pylist(), runs.run_ends.to_pylist(), strict=True):
            if current is None or current[0] != date:
                if writer and current:
                    writer.close()
                    yield current
                current = (date, work / f"clean-{date}.parquet")
                # INT96 is the encoding of times that COPY is known to read: docs/adr/0004.
                writer = pq.ParquetWriter(current[1], reader.schema, use_deprecated_int96_timestamps=True)
            assert writer is not None
            writer.write_batch(batch.slice(start, end - start))
            start = end
    if writer and current:
        writer.close()
        yield current


def _write_quarantine(s3: Any, engine: duckdb.DuckDBPyConnection, manifest: Manifest, bucket: str, work: Path) -> None:
    rows = engine.sql(
        SELECT_QUARANTINED, params={"feed": manifest.feed, "batch_id": manifest.batch_id}
    ).to_arrow_table()
    if not rows.num_rows:
        return
    arrived = pa.array([re.search(r"/dt=([^/]+)/", key)[1] for key in rows["source_object"].to_pylist()])  # type: ignore[index]
    written = []
    for date in pc.unique(arrived).to_pylist():
        path = work / f"quarantine-{date}.parquet"
        pq.write_table(rows.filter(pc.equal(arrived, date)), path)
        written.append((f"quarantine/feed={manifest.feed}/dt={date}/{manifest.batch_id}.parquet", path))
    _upload(s3, bucket, written)


def _upload(s3: Any, bucket: str, files: list[tuple[str, Path]]) -> None:
    def put(entry: tuple[str, Path]) -> None:
        key, path = entry
        with path.open("rb") as file:
            s3.put_object(Bucket=bucket, Key=key, Body=file)

    with ThreadPoolExecutor(S3_THREADS) as pool:
        list(pool.map(put, files))


def _put_json(s3: Any, bucket: str, key: str, value: object) -> None:
    s3.put_object(Bucket=bucket, Key=key, Body=json.dumps(value).encode())
