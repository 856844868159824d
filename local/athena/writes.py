"""CREATE TABLE AS and UNLOAD, which write the rows of a query to Parquet files in S3.

Source: Athena user guide, CREATE TABLE AS, UNLOAD.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

if TYPE_CHECKING:
    from types_boto3_glue.client import GlueClient
    from types_boto3_glue.type_defs import StorageDescriptorTypeDef, TableInputTypeDef
    from types_boto3_s3.client import S3Client

COMPRESSIONS = {"SNAPPY": "snappy", "GZIP": "gzip", "ZSTD": "zstd", "NONE": "uncompressed"}
_HIVE = {"varchar": "string", "integer": "int"}
_SAME = {"boolean", "tinyint", "smallint", "bigint", "float", "double", "date", "timestamp"}


class WriteRefused(Exception):  # noqa: N818
    """The statement is invalid or not supported. The message is Athena's StateChangeReason."""


@dataclass(frozen=True)
class Write:
    """The target of a query's rows: files under `location`, and for CREATE TABLE AS a table (database or '', name)."""

    select: str
    location: str
    compression: str
    table: tuple[str, str] | None = None


def parsed(sql: str, dialect: Any) -> Write | None:
    """Returns the parsed statement, or None if it is another kind of statement.

    Raises:
        WriteRefused: The statement is invalid or not supported.
    """
    text = re.sub(r"\A(?:\s|--[^\n]*\n|/\*.*?\*/)+", "", sql, flags=re.DOTALL).rstrip("; \n")
    if re.match(r"UNLOAD\b", text, re.IGNORECASE):
        found = re.fullmatch(
            r"UNLOAD\s*\((.*)\)\s*TO\s*'(s3://[^']+)'\s*WITH\s*\((.*?)\)", text, re.IGNORECASE | re.DOTALL
        )
        if not found:
            raise WriteRefused(
                "SYNTAX_ERROR: UNLOAD: expected UNLOAD (SELECT ...) TO 's3://...' WITH (format = 'PARQUET')"
            )
        options = {k.lower(): v for k, v in re.findall(r"(\w+)\s*=\s*'([^']*)'", found[3])}
        leftover = re.sub(r"\w+\s*=\s*'[^']*'|[\s,]", "", found[3])
        if leftover or "format" not in options:
            raise WriteRefused(
                f"NOT_SUPPORTED: UNLOAD WITH ({found[3].strip()}): the stand-in takes format and compression"
            )
        return _checked(found[1], found[2], options, None)
    if not re.match(r"CREATE\s+TABLE\b", text, re.IGNORECASE):
        return None
    try:
        tree = sqlglot.parse_one(text, read=dialect)
    except SqlglotError as error:
        raise WriteRefused(f"SYNTAX_ERROR: {error}") from error
    if not isinstance(tree, exp.Create) or not isinstance(tree.expression, exp.Query) or tree.args.get("exists"):
        return None
    options, properties = {}, tree.args.get("properties")
    for item in properties.expressions if properties else []:
        if isinstance(item, exp.FileFormatProperty):
            options["format"] = item.this.name
        elif isinstance(item, exp.Property) and isinstance(item.args.get("value"), exp.Literal):
            options[item.name.lower()] = item.args["value"].name
        else:
            raise WriteRefused(f"NOT_SUPPORTED: CREATE TABLE AS with {item.sql('athena')[:80]}")
    table = tree.this
    return _checked(tree.expression.sql(dialect), options.pop("external_location", ""), options, (table.db, table.name))


def _checked(select: str, location: str, options: dict[str, str], table: tuple[str, str] | None) -> Write:
    kind = options.pop("format", "PARQUET").upper()
    if kind != "PARQUET":
        raise WriteRefused(f"NOT_SUPPORTED: the format {kind}: the stand-in writes PARQUET")
    packed = [options.pop(k) for k in ("write_compression", "parquet_compression", "compression") if k in options]
    compression = COMPRESSIONS.get((packed or ["GZIP"])[0].upper())
    if compression is None or options:
        raise WriteRefused(
            f"NOT_SUPPORTED: {', '.join(options) or packed[0]}: the stand-in takes format, write_compression and external_location"
        )
    return Write(select, location, compression, table)


class Writer:
    """Writes the rows of one query.

    Args:
        s3, glue: boto3 clients.
        output: the location to which Athena writes the query's own result, `s3://bucket/prefix/<query id>.csv`.
    """

    def __init__(self, s3: S3Client, glue: GlueClient, output: str, database: str) -> None:
        self.s3, self.glue, self.output, self.database = s3, glue, output, database

    def write(
        self, engine: duckdb.DuckDBPyConnection, sql: str, write: Write, work: Path, columns: list[tuple[str, str]]
    ) -> tuple[int, str]:
        """Runs `sql`, writes its rows and returns (number of rows, URL of the list of files)."""
        folder, _, query_id = self.output.removesuffix(".csv").rpartition("/")
        location = (write.location or f"{folder}/tables/{query_id}").rstrip("/") + "/"
        bucket, _, prefix = location.removeprefix("s3://").partition("/")
        if self.s3.list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=1).get("KeyCount"):
            raise WriteRefused(f"HIVE_PATH_ALREADY_EXISTS: Target directory for table already exists: {location}")
        hive = [(name, _hive(name, kind)) for name, kind in columns]
        path = work / "written.parquet"
        quoted = str(path).replace("'", "''")
        [rows] = engine.execute(
            f"COPY ({sql}) TO '{quoted}' (FORMAT parquet, COMPRESSION {write.compression})"
        ).fetchone() or (0,)
        key = f"{prefix}{query_id}_0"
        if rows:
            self.s3.upload_file(str(path), bucket, key)
        if write.table:
            self._create(write.table, location, hive)
        listed = f"{folder}/tables/{query_id}-manifest.csv" if write.table else f"{folder}/{query_id}-manifest.csv"
        at, _, name = listed.removeprefix("s3://").partition("/")
        self.s3.put_object(Bucket=at, Key=name, Body=f"s3://{bucket}/{key}".encode() if rows else b"")
        return int(rows), listed

    def _create(self, table: tuple[str, str], location: str, columns: list[tuple[str, str]]) -> None:
        io = "org.apache.hadoop.hive.ql.io.parquet.MapredParquet"
        storage: StorageDescriptorTypeDef = {
            "Columns": [{"Name": name, "Type": kind} for name, kind in columns],
            "Location": location,
            "InputFormat": f"{io}InputFormat",
            "OutputFormat": f"{io}OutputFormat",
            "SerdeInfo": {
                "SerializationLibrary": "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe",
                "Parameters": {},
            },
        }
        made: TableInputTypeDef = {
            "Name": table[1],
            "TableType": "EXTERNAL_TABLE",
            "StorageDescriptor": storage,
            "PartitionKeys": [],
            "Parameters": {"EXTERNAL": "TRUE", "classification": "parquet", "has_encrypted_data": "false"},
        }
        try:
            self.glue.create_table(DatabaseName=table[0] or self.database, TableInput=made)
        except self.glue.exceptions.AlreadyExistsException as error:
            raise WriteRefused(
                f"TABLE_ALREADY_EXISTS: Table '{table[0] or self.database}.{table[1]}' already exists"
            ) from error


def _hive(name: str, kind: str) -> str:
    if kind in _HIVE or kind in _SAME or kind.startswith("decimal"):
        return _HIVE.get(kind, kind)
    raise WriteRefused(f"NOT_SUPPORTED: column {name} of type {kind} in a table that is written")
