"""UNLOAD to S3 as Parquet, with Hive partitions and a manifest. Source: Redshift Developer Guide, UNLOAD."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from local.redshift.errors import SqlError, syntax_error, unsupported

ROWS_PER_READ = 100_000
NO_PARTITION_VALUE = "__HIVE_DEFAULT_PARTITION__"
PARQUET_REFUSED = r"\b(DELIMITER|FIXEDWIDTH|ADDQUOTES|ESCAPE|NULL\s+AS|HEADER|GZIP|BZIP2|ZSTD)\b"


@dataclass(frozen=True)
class Unload:
    query: str
    bucket: str
    prefix: str
    partition_by: tuple[str, ...]
    include: bool
    manifest: bool
    verbose: bool
    allow_overwrite: bool
    clean_path: bool


def parse_unload(sql: str) -> Unload:
    head = re.match(
        r"\s*(?:--[^\n]*\n\s*)*UNLOAD\s*\(\s*'((?:[^']|'')*)'\s*\)\s*TO\s*'s3://([^/']+)/([^']*)'(.*)$", sql,
        re.IGNORECASE | re.DOTALL,
    )  # fmt: skip
    if not head:
        raise syntax_error(sql, "UNLOAD")
    rest = head[4]
    if not re.search(r"\b(IAM_ROLE|CREDENTIALS|ACCESS_KEY_ID)\b", rest, re.IGNORECASE):
        raise SqlError("ERROR: Must specify an IAM role or credentials")
    if not re.search(r"\b(FORMAT\s+(AS\s+)?)?PARQUET\b", rest, re.IGNORECASE):
        raise unsupported("UNLOAD in another format than PARQUET")
    if refused := re.search(PARQUET_REFUSED, rest, re.IGNORECASE):
        raise SqlError(f"ERROR: {refused[1].upper()} is not supported for UNLOAD to PARQUET")
    partition = re.search(r"\bPARTITION\s+BY\s*\(([^)]*)\)(\s*INCLUDE)?", rest, re.IGNORECASE)
    clean, overwrite = (bool(re.search(rf"\b{w}\b", rest, re.IGNORECASE)) for w in ("CLEANPATH", "ALLOWOVERWRITE"))
    if clean and overwrite:
        raise SqlError("ERROR: CLEANPATH and ALLOWOVERWRITE cannot be used together")
    return Unload(
        head[1].replace("''", "'"), head[2], head[3],
        tuple(c.strip().lower() for c in partition[1].split(",")) if partition else (),
        bool(partition and partition[2]),
        bool(re.search(r"\bMANIFEST\b", rest, re.IGNORECASE)),
        bool(re.search(r"\bMANIFEST\s+VERBOSE\b", rest, re.IGNORECASE)),
        overwrite, clean,
    )  # fmt: skip


def run_unload(con: duckdb.DuckDBPyConnection, s3: Any, sql: str, translated: Callable[[str], str]) -> int:
    """Runs an UNLOAD and returns the rows written.

    Raises:
        SqlError: the statement is wrong, or files lie there already.
    """
    unload = parse_unload(sql)
    relation = con.sql(translated(unload.query))
    names = [name.lower() for name in relation.columns]
    if missing := [c for c in unload.partition_by if c not in names]:
        raise SqlError(f'ERROR: partition column "{missing[0]}" is not in the SELECT')
    if len(unload.partition_by) >= len(names):
        raise SqlError("ERROR: UNLOAD needs at least one column that is no partition column")
    _make_room(s3, unload)
    reader = relation.to_arrow_reader(ROWS_PER_READ)
    with tempfile.TemporaryDirectory(prefix="unload-") as directory:
        written = _write(reader, unload, Path(directory))
        entries: list[dict[str, Any]] = []
        for key, (path, rows) in sorted(written.items()):
            s3.upload_file(str(path), unload.bucket, key)
            meta: dict[str, int] = {"content_length": path.stat().st_size}
            if unload.verbose:
                meta["record_count"] = rows
            entries.append({"url": f"s3://{unload.bucket}/{key}", "meta": meta})
    total = sum(rows for _, rows in written.values())
    if unload.manifest:
        manifest: dict[str, Any] = {"entries": entries}
        if unload.verbose:
            fields = [{"name": f.name.lower(), "type": {"base": str(f.type)}} for f in reader.schema]
            size = sum(e["meta"]["content_length"] for e in entries)
            manifest |= {"schema": {"elements": fields}, "meta": {"content_length": size, "record_count": total},
                         "author": {"name": "Amazon Redshift", "version": "1.0"}}  # fmt: skip
        s3.put_object(Bucket=unload.bucket, Key=f"{unload.prefix}manifest", Body=json.dumps(manifest).encode())
    return total


def _make_room(s3: Any, unload: Unload) -> None:
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=unload.bucket, Prefix=unload.prefix)
    keys = [o["Key"] for page in pages for o in page.get("Contents", [])]
    if unload.clean_path:
        for start in range(0, len(keys), 1000):
            objects = [{"Key": key} for key in keys[start : start + 1000]]
            s3.delete_objects(Bucket=unload.bucket, Delete={"Objects": objects})
    elif keys and not unload.allow_overwrite:
        raise SqlError(
            "ERROR: Specified unload destination on S3 is not empty. Consider using a different bucket / prefix, "
            "manually removing the target files in S3, or using the ALLOWOVERWRITE option."
        )


def _write(reader: pa.RecordBatchReader, unload: Unload, directory: Path) -> dict[str, tuple[Path, int]]:
    """Returns key to (local file, rows)."""
    writers: dict[str, tuple[pq.ParquetWriter, Path, int]] = {}
    for batch in reader:
        table = pa.Table.from_batches([batch]).rename_columns([n.lower() for n in batch.schema.names])
        for folder, part in _partitions(table, unload):
            key = f"{unload.prefix}{folder}0000_part_00.parquet"
            if key not in writers:
                path = directory / f"{len(writers):06d}.parquet"
                writers[key] = (pq.ParquetWriter(path, part.schema, use_deprecated_int96_timestamps=True), path, 0)
            writer, path, rows = writers[key]
            writer.write_table(part)
            writers[key] = (writer, path, rows + part.num_rows)
    for writer, _, _ in writers.values():
        writer.close()
    return {key: (path, rows) for key, (_, path, rows) in writers.items()}


def _partitions(table: pa.Table, unload: Unload) -> list[tuple[str, pa.Table]]:
    if not unload.partition_by:
        return [("", table)] if table.num_rows else []
    keys = table.select(list(unload.partition_by))
    found = []
    for values in keys.group_by(list(unload.partition_by)).aggregate([]).to_pylist():
        mask = None
        for name, value in values.items():
            hit = pc.is_null(table[name]) if value is None else pc.fill_null(pc.equal(table[name], value), False)
            mask = hit if mask is None else pc.and_(mask, hit)
        part = table.filter(mask)
        folder = "".join(f"{n}={NO_PARTITION_VALUE if v is None else v}/" for n, v in values.items())
        found.append((folder, part if unload.include else part.drop_columns(list(unload.partition_by))))
    return found
