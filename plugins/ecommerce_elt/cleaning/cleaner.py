"""Cleaning of one batch with DuckDB in bounded memory, from raw JSON lines to Parquet and counts (clean_files)."""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa

from ecommerce_elt.batches.clean_files import (
    COUNTS,
    S3_THREADS,
    CleanBatch,
    download_raw,
    write_clean,
    write_copy_manifest,
    write_counts,
    write_quarantine,
    write_withdrawn,
)
from ecommerce_elt.batches.hmac_pads import hmac_pads
from ecommerce_elt.batches.manifests import UNREADABLE, WITHDRAWN, Manifest, RawObject, is_withdrawal
from ecommerce_elt.cleaning.engine import COMPARE_WORDS, engine_of
from ecommerce_elt.cleaning.stages import cleaned_by, cleaning_sql
from ecommerce_elt.errors import PermanentError, without_values
from ecommerce_elt.feeds.contracts import Contract, load_contracts
from ecommerce_elt.feeds.feed_sql import clean_sql
from ecommerce_elt.settings import Settings

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

log = logging.getLogger(__name__)

ROWS_PER_READ = 50_000
NO_CONTRACT = "none"

# Reads raw/ with one envelope per line. `data` becomes the texts of the keys that the contract knows. If a record has
# only the columns' headers as keys, as most records have, other spellings are not searched, which would double the
# time. The table is filled in the order of files and lines, so that rowid numbers the lines.
READ_EVENTS = """
CREATE TEMP TABLE read_events AS
SELECT
    event_id,
    event_time,
    -- What replaces an event has its id and a higher version.
    COALESCE(event_version, 1) AS event_version,
    COALESCE(schema_version, 1) AS schema_version,
    texts AS data,
    -- RFC 7396: a null in the patch takes the key away, so what is left are the keys that the contract does not know.
    -- A record with no more keys than were found of the known ones has none, which is cheaper to see.
    CASE
        WHEN width > LIST_COUNT(texts) AND JSON_TYPE(json) = 'OBJECT'
            THEN NULLIF(CAST(JSON_MERGE_PATCH(json, CAST($known_keys AS JSON)) AS VARCHAR), '{}')
    END AS extra,
    file_index
FROM (
    SELECT
        *,
        -- Behind the end of a list is NULL.
        CASE WHEN width <= LIST_COUNT(of_headers) THEN of_headers ELSE JSON_EXTRACT_STRING(json, $paths) END AS texts
    FROM (
        SELECT
            event_id,
            event_time,
            event_version,
            schema_version,
            data AS json,
            LEN(JSON_KEYS(data)) AS width,
            JSON_EXTRACT_STRING(data, $headers) AS of_headers,
            file_index
        FROM read_json(
            $files,
            format = 'newline_delimited',
            columns = {
                event_id: 'VARCHAR',
                event_time: 'VARCHAR',
                event_version: 'INTEGER',
                schema_version: 'INTEGER',
                data: 'JSON'
            }
        )
    )
)
"""

# Reads from quarantine/unreadable/ only the id that Kinesis gave to the record. The other columns are always NULL. They
# are read because DuckDB 2.0 keeps the buffers of all files, 32 MiB each, if it reads a single column.
READ_UNREADABLE = """
CREATE TEMP TABLE read_events AS
SELECT event_source_id, file_index
FROM read_json(
    $files,
    format = 'newline_delimited',
    columns = {event_id: 'VARCHAR', event_time: 'VARCHAR', event_source_id: 'VARCHAR'}
)
"""

SOURCE_OBJECTS = """
CREATE TEMP TABLE source_objects AS
SELECT file_index, key, first_row
FROM (SELECT UNNEST($keys) AS key, UNNEST(RANGE(LEN($keys))) AS file_index)
JOIN (SELECT file_index, MIN(rowid) AS first_row FROM read_events GROUP BY file_index) USING (file_index)
"""
ARRIVED = """
CREATE TEMP VIEW arrived AS
SELECT
    read_events.* EXCLUDE (file_index),
    -- An event whose file is not one of the batch must not drop out of the join in silence.
    COALESCE(key, error('no raw object of the batch has number ' || file_index)) AS source_object,
    CAST(read_events.rowid - first_row + 1 AS INTEGER) AS source_line
FROM read_events
LEFT JOIN source_objects USING (file_index)
"""
ALL_EVENTS = "CREATE TEMP VIEW events AS FROM arrived"
MEANT_EVENTS = """
CREATE TEMP VIEW events AS
FROM arrived WHERE (source_object, source_line) IN (SELECT source_object, source_line FROM meant)
"""

UNREADABLE_EVENTS = """
SELECT
    event_source_id AS event_id,
    CAST(NULL AS TIMESTAMP) AS event_time,
    1 AS event_version,
    source_object,
    source_line,
    [{'column_name': 'envelope', 'rule': 'envelope', 'expected': 'an envelope; why it is none is in the source object'}] AS reasons,
    ROW_NUMBER() OVER (PARTITION BY event_source_id ORDER BY source_object, source_line) AS copy_number
FROM events
"""

# Events of a feed without a contract: the missing contract is their only reason.
WITHOUT_CONTRACT = """
SELECT
    event_id,
    TRY_CAST(TRY_CAST(event_time AS TIMESTAMPTZ) AS TIMESTAMP) AS event_time,
    event_version,
    source_object,
    source_line,
    [{'column_name': 'feed', 'rule': 'known', 'expected': 'a feed with a contract in include/feeds/'}] AS reasons,
    ROW_NUMBER() OVER (PARTITION BY event_id, event_version ORDER BY source_object, source_line) AS copy_number
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

COUNT_ROUNDED = """
SELECT source_object AS object_key, COUNT(*) AS rounded
FROM cleaned
JOIN rounded USING (source_object, source_line)
WHERE copy_number = 1 AND LEN(reasons) = 0
GROUP BY source_object
"""

COUNT_UNKNOWN_KEYS = """
SELECT key, COUNT(*) AS events
FROM (SELECT UNNEST(JSON_KEYS(extra)) AS key FROM cleaned WHERE copy_number = 1 AND LEN(reasons) = 0 AND extra IS NOT NULL)
GROUP BY key
"""

SELECT_CLEAN = f"""
SELECT * EXCLUDE (reasons, copy_number, rejected_version)
FROM cleaned
WHERE copy_number = 1 AND LEN(reasons) = 0 AND source_object NOT LIKE '{WITHDRAWN}'
ORDER BY event_time, event_id
"""  # noqa: S608  # a constant

SELECT_WITHDRAWN = f"""
SELECT event_id, event_version, event_time, source_object
FROM cleaned
WHERE copy_number = 1 AND LEN(reasons) = 0 AND source_object LIKE '{WITHDRAWN}'
ORDER BY event_id
"""  # noqa: S608  # a constant

SELECT_QUARANTINED = """
SELECT
    event_id,
    $feed AS feed,
    $stage AS stage,
    event_time,
    event_version,
    reasons,
    source_object,
    source_line,
    $batch_id AS batch_id
FROM cleaned
WHERE copy_number = 1 AND LEN(reasons) > 0
ORDER BY source_object, source_line
"""


def render(settings: Settings) -> None:
    """Renders the SQL of all feeds, so that processes forked from this one have it in their cache."""
    for contract in load_contracts(settings.include_dir / "feeds").values():
        cleaning_sql(contract, clean_sql(contract, settings.sql_dir))


def clean_batch(s3: S3Client, manifest: Manifest, settings: Settings) -> CleanBatch:
    """Cleans the batch of `manifest` and writes its files to the lake.

    Raises:
        PermanentError: a raw object changed since it was claimed, or does not consist of JSON lines.
        TransientError: S3 delivered only a part of an object.
    """
    contract = load_contracts(settings.include_dir / "feeds").get(manifest.feed)
    with tempfile.TemporaryDirectory(prefix="clean-", dir=settings.work_dir) as name:
        work = Path(name)
        files = download(s3, manifest.objects, work / "raw")
        with engine_of(settings, work, "batch.duckdb") as engine:
            run_cleaning(engine, files, manifest.feed, contract, settings, lines=manifest.lines)
            if contract:
                rows = engine.sql(SELECT_CLEAN).to_arrow_reader(ROWS_PER_READ)
                written = write_clean(s3, settings.bucket, manifest, rows, work)
                write_copy_manifest(s3, settings.bucket, manifest, written)
                if any(is_withdrawal(raw.key) for raw in manifest.objects):
                    write_withdrawn(s3, settings.bucket, manifest, engine.sql(SELECT_WITHDRAWN).to_arrow_table())
            stage = "raw_writer" if manifest.feed == UNREADABLE else "clean"
            names = {"feed": manifest.feed, "batch_id": manifest.batch_id, "stage": stage}
            rejected = engine.sql(SELECT_QUARANTINED, params=names).to_arrow_table()
            write_quarantine(s3, settings.bucket, manifest, rejected, work)
            counted = engine.execute(COUNT_BY_OBJECT).fetchall()
            rounds = contract and any(column.round for column in contract.columns)
            rounded = dict(engine.execute(COUNT_ROUNDED).fetchall()) if rounds else {}
            unknown = (
                engine.execute(COUNT_UNKNOWN_KEYS).fetchall() if contract and contract.unknown_keys == "keep" else []
            )
    by_object = {key: dict(zip(COUNTS, counts, strict=True)) for key, *counts in counted}
    made_by = cleaned_by(contract, clean_sql(contract, settings.sql_dir)) if contract else NO_CONTRACT
    result = write_counts(
        s3, settings.bucket, manifest, by_object, rounded=rounded, unknown_keys=unknown, cleaned_by=made_by
    )
    log.info("cleaned %s", " ".join(f"{k}={v}" for k, v in asdict(result).items()))
    return result


def clean_schema(contract: Contract, settings: Settings) -> pa.Schema:
    """Returns the schema of the feed's clean files for the current contract and clean SQL."""
    none = (
        "SELECT '' AS event_id, '' AS event_time, 1 AS event_version, 1 AS schema_version, [''] AS data, '' AS extra, "
        "'' AS source_object, 1 AS source_line LIMIT 0"
    )
    with duckdb.connect() as engine:
        engine.execute("SET TimeZone = 'UTC'")
        engine.execute(f"CREATE TABLE events AS {none}")
        for name, query in cleaning_sql(contract, clean_sql(contract, settings.sql_dir)).items():
            parameters = {pad: "" for pad in ("hmac_inner_pad", "hmac_outer_pad") if f"${pad}" in query}
            engine.execute(f"CREATE TABLE {name} AS {query}", parameters)
        return engine.sql(SELECT_CLEAN).to_arrow_table().schema


def is_outdated(batch: CleanBatch, settings: Settings) -> bool:
    """Returns whether the batch's files were made by another contract or clean SQL than the current ones."""
    contract = load_contracts(settings.include_dir / "feeds").get(batch.feed)
    return batch.cleaned_by != (
        cleaned_by(contract, clean_sql(contract, settings.sql_dir)) if contract else NO_CONTRACT
    )


def run_cleaning(
    engine: duckdb.DuckDBPyConnection,
    files: dict[str, Path],
    feed: str,
    contract: Contract | None,
    settings: Settings,
    *,
    lines: dict[str, list[int]] | None = None,
) -> None:
    """Creates the relation `cleaned` in `engine`.

    It has the feed's columns, source_object, source_line, reasons and copy_number.

    Args:
        engine: an empty database.
        files: local files with the raw objects, by raw key.
        feed: the feed; UNREADABLE for records that are not envelopes.
        contract: the contract of the feed, or None if it has none; then every event is rejected for that reason.
        settings: the folder of the feed's SQL, and the HMAC key.
        lines: line numbers to clean by raw key, from 1; None means all.

    Raises:
        PermanentError: a raw object does not consist of JSON lines.
    """
    engine.execute("SET TimeZone = 'UTC'")
    engine.execute(COMPARE_WORDS)
    _read_events(engine, files, feed, contract)
    engine.execute(SOURCE_OBJECTS, {"keys": list(files)})
    engine.execute(ARRIVED)
    if lines is None:
        engine.execute(ALL_EVENTS)
    else:
        keys = [key for key, numbers in lines.items() for _ in numbers]
        meant = pa.table({"source_object": keys, "source_line": [n for numbers in lines.values() for n in numbers]})
        engine.register("meant_lines", meant)
        engine.execute("CREATE TEMP TABLE meant AS FROM meant_lines")
        engine.unregister("meant_lines")
        engine.execute(MEANT_EVENTS)
    if not contract:
        engine.execute(
            "CREATE TEMP TABLE cleaned AS " + (UNREADABLE_EVENTS if feed == UNREADABLE else WITHOUT_CONTRACT)
        )
        engine.execute("DROP TABLE read_events")
        return
    stages = cleaning_sql(contract, clean_sql(contract, settings.sql_dir))
    pads = hmac_pads(settings.pii_hmac_key.get_secret_value())
    for name, query in stages.items():
        kind = "VIEW" if name == "cleaned" else "TABLE"
        engine.execute(f"CREATE TEMP {kind} {name} AS {query}", {k: v for k, v in pads.items() if f"${k}" in query})
        if name == "judged":
            engine.execute("DROP TABLE read_events")


def _read_events(
    engine: duckdb.DuckDBPyConnection, files: dict[str, Path], feed: str, contract: Contract | None
) -> None:
    """Creates the table `read_events` from the files. Raises PermanentError as `run_cleaning` does."""
    paths = [str(path) for path in files.values()]
    known = contract.known_keys if contract else ()
    places = [f'$."{key}"' for key in known]  # JSON paths
    try:
        if feed == UNREADABLE:
            engine.execute(READ_UNREADABLE, {"files": paths})
        else:
            values = {
                "headers": places[: len(contract.columns)] if contract else [],
                "paths": places,
                "known_keys": json.dumps(dict.fromkeys(known)),
            }
            engine.execute(READ_EVENTS, {"files": paths, **values})
    except duckdb.Error as error:
        text = without_values(error)
        for key, path in files.items():
            text = text.replace(str(path), key)
        raise PermanentError(f"feed {feed}: a raw object holds no JSON lines: {text}") from None


def download(s3: S3Client, objects: Iterable[RawObject], directory: Path) -> dict[str, Path]:
    """Writes raw objects into a new directory, and returns the files by raw key.

    Raises:
        PermanentError: as in `clean_files.download_raw`.
        TransientError: as in `clean_files.download_raw`.
    """
    directory.mkdir()

    def fetch(numbered: tuple[int, RawObject]) -> tuple[str, Path]:
        number, raw = numbered
        path = directory / f"{number:06d}.jsonl.gz"
        download_raw(s3, raw, path)
        return raw.key, path

    with ThreadPoolExecutor(S3_THREADS) as pool:
        return dict(pool.map(fetch, enumerate(objects)))
