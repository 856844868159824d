"""UNLOAD to S3 as Parquet with Hive partitions, as CSV or as delimited text, with an optional manifest.

Source: Redshift Developer Guide, UNLOAD.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from local.redshift import dialect
from local.redshift.errors import SqlError, syntax_error, unsupported
from local.redshift.translation import Compiled
from local.redshift.unload_text import write_text

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client
    from types_boto3_s3.type_defs import ObjectIdentifierTypeDef

ROWS_PER_READ = 100_000
NO_PARTITION_VALUE = "__HIVE_DEFAULT_PARTITION__"


@dataclass(frozen=True)
class Unload:
    query: str
    bucket: str
    prefix: str
    format: str
    options: dict[str, str]
    partition_by: tuple[str, ...]
    include: bool

    def has(self, option: str) -> bool:
        return option in self.options


# Whether a value follows each option.
OPTIONS = {
    "HEADER": False,
    "GZIP": False,
    "BZIP2": False,
    "ZSTD": False,
    "ESCAPE": False,
    "ALLOWOVERWRITE": False,
    "CLEANPATH": False,
    "DELIMITER": True,
    "NULL": True,
    "REGION": True,
    "EXTENSION": True,
}
NOT_DONE = {"ADDQUOTES", "FIXEDWIDTH", "ENCRYPTED", "KMS_KEY_ID", "MASTER_SYMMETRIC_KEY", "MAXFILESIZE", "ROWGROUPSIZE"}
PARQUET_REFUSED = {"DELIMITER", "ESCAPE", "NULL", "HEADER", "GZIP", "BZIP2", "ZSTD", "ADDQUOTES", "FIXEDWIDTH"}


def parse_unload(sql: str) -> Unload:
    """Returns the parsed statement.

    Raises:
        SqlError: The statement is invalid or not supported.
    """
    bare = re.sub(r"\A(?:\s|--[^\n]*\n|/\*.*?\*/)+", "", sql, flags=re.DOTALL)
    head = re.match(
        r"UNLOAD\s*\(\s*(?:'((?:[^'\\]|''|\\.)*)'|\$\$(.*?)\$\$)\s*\)\s*TO\s*'s3://([^/']+)/([^']*)'(.*)\Z",
        bare,
        re.IGNORECASE | re.DOTALL,
    )
    if not head:
        raise syntax_error(sql, "UNLOAD")
    quoted = head[2] if head[2] is not None else re.sub(r"''|\\(.)", lambda m: m[1] or "'", head[1], flags=re.DOTALL)
    rest = head[5]
    partition = re.search(r"\bPARTITION\s+BY\s*\(([^)]*)\)(\s*INCLUDE)?", rest, re.IGNORECASE)
    if partition:
        rest = rest.replace(partition[0], " ")
    kind, options = _options(sql, rest)
    if kind == "PARQUET" and (refused := sorted(PARQUET_REFUSED & options.keys())):
        raise SqlError(f"ERROR: {refused[0]} is not supported for UNLOAD to PARQUET")
    if not_done := sorted(NOT_DONE & options.keys()):
        raise unsupported(f"UNLOAD with {not_done[0]}")
    if {"CLEANPATH", "ALLOWOVERWRITE"} <= options.keys():
        raise SqlError("ERROR: CLEANPATH and ALLOWOVERWRITE cannot be used together")
    if kind == "JSON":
        raise unsupported("UNLOAD FORMAT JSON")
    if partition and kind != "PARQUET":
        raise unsupported(f"UNLOAD {kind} with PARTITION BY")
    return Unload(
        quoted,
        head[3],
        head[4],
        kind,
        options,
        tuple(c.strip().lower() for c in partition[1].split(",")) if partition else (),
        bool(partition and partition[2]),
    )


def _options(sql: str, rest: str) -> tuple[str, dict[str, str]]:
    stream = [t.text for t in dialect.tokens(rest) if t.text not in {";"}]
    kind, options, has_credentials, at = "TEXT", {}, False, 0
    while at < len(stream):
        word = stream[at].upper()
        at += 1
        if word in {"AS", "WITH"}:
            continue
        following = [w for w in stream[at : at + 2] if w.upper() != "AS"]
        if word in {"IAM_ROLE", "CREDENTIALS", "ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN"}:
            has_credentials = True
            at += 1 + (stream[at : at + 1] == ["AS"])
        elif word == "FORMAT":
            continue
        elif word in {"PARQUET", "CSV", "JSON"}:
            kind = word
        elif word == "MANIFEST":
            options[word] = "VERBOSE" if following and following[0].upper() == "VERBOSE" else ""
            at += bool(options[word])
        elif word == "PARALLEL":
            options[word] = "ON"
            if following and following[0].upper() in {"ON", "OFF", "TRUE", "FALSE"}:
                options[word] = "OFF" if following[0].upper() in {"OFF", "FALSE"} else "ON"
                at += 1
        elif OPTIONS.get(word):
            at += stream[at : at + 1] in (["AS"], ["as"])
            if at >= len(stream):
                raise syntax_error(sql, "end of input", r"$")
            options[word] = stream[at]
            at += 1
        elif word in OPTIONS or word in NOT_DONE:
            options[word] = ""
            if word == "MAXFILESIZE":
                raise unsupported("UNLOAD with MAXFILESIZE")
        else:
            raise syntax_error(sql, word)
    if not has_credentials:
        raise SqlError("ERROR: Must specify an IAM role or credentials")
    return kind, options


def run_unload(con: duckdb.DuckDBPyConnection, s3: S3Client, sql: str, compiled: Callable[[str], Compiled]) -> int:
    """Runs an UNLOAD and returns the number of written rows.

    Raises:
        SqlError: The statement is invalid, or files exist at the destination.
    """
    unload = parse_unload(sql)
    query = compiled(unload.query)
    relation = con.sql(query.sql)
    names = [name.lower() for name in relation.columns]
    if missing := [c for c in unload.partition_by if c not in names]:
        raise SqlError(f'ERROR: partition column "{missing[0]}" is not in the SELECT')
    if len(unload.partition_by) >= len(names):
        raise SqlError("ERROR: UNLOAD needs at least one column that is no partition column")
    _make_room(s3, unload)
    reader = relation.to_arrow_reader(ROWS_PER_READ)
    with tempfile.TemporaryDirectory(prefix="unload-") as directory:
        if unload.format == "PARQUET":
            written = _write(reader, unload, Path(directory))
        else:
            written = write_text(reader, query.columns, unload.prefix, unload.format, unload.options, Path(directory))
        entries: list[dict[str, Any]] = []
        for key, (path, rows) in sorted(written.items()):
            s3.upload_file(str(path), unload.bucket, key)
            meta: dict[str, int] = {"content_length": path.stat().st_size}
            if unload.options.get("MANIFEST"):
                meta["record_count"] = rows
            entries.append({"url": f"s3://{unload.bucket}/{key}", "meta": meta})
    total = sum(rows for _, rows in written.values())
    if unload.has("MANIFEST"):
        manifest: dict[str, Any] = {"entries": entries}
        if unload.options["MANIFEST"]:
            fields = [{"name": f.name.lower(), "type": {"base": str(f.type)}} for f in reader.schema]
            size = sum(e["meta"]["content_length"] for e in entries)
            manifest |= {
                "schema": {"elements": fields},
                "meta": {"content_length": size, "record_count": total},
                "author": {"name": "Amazon Redshift", "version": "1.0"},
            }
        s3.put_object(Bucket=unload.bucket, Key=f"{unload.prefix}manifest", Body=json.dumps(manifest).encode())
    return total


def _make_room(s3: S3Client, unload: Unload) -> None:
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=unload.bucket, Prefix=unload.prefix)
    keys = [o["Key"] for page in pages for o in page.get("Contents", [])]
    if unload.has("CLEANPATH"):
        for start in range(0, len(keys), 1000):
            objects: list[ObjectIdentifierTypeDef] = [{"Key": key} for key in keys[start : start + 1000]]
            s3.delete_objects(Bucket=unload.bucket, Delete={"Objects": objects})
    elif keys and not unload.has("ALLOWOVERWRITE"):
        raise SqlError(
            "ERROR: Specified unload destination on S3 is not empty. Consider using a different bucket / prefix, "
            "manually removing the target files in S3, or using the ALLOWOVERWRITE option."
        )


def _write(reader: pa.RecordBatchReader, unload: Unload, directory: Path) -> dict[str, tuple[Path, int]]:
    """Writes the files, and returns (local file, rows) for each key."""
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
