"""COPY from S3: Parquet by position and exact type, CSV and JSON by text, with Redshift's errors by line.

Sources: Redshift Developer Guide, COPY and its usage notes; sys_load_error_detail.
"""

from __future__ import annotations

import csv
import gzip
import json
import re
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import botocore.exceptions
import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from sqlglot.tokenizer_core import Token, TokenType

from local.redshift import dialect
from local.redshift.catalog import Column
from local.redshift.errors import SqlError, syntax_error, unsupported

S3_THREADS = 8
DETAILS_MAX = 100  # rows that one failed load leaves in sys_load_error_detail
PARQUET_REFUSED = {"MAXERROR", "ACCEPTANYDATE", "REGION", "IGNOREALLERRORS", "DELIMITER", "TRUNCATECOLUMNS", "GZIP",
                   "BZIP2", "ZSTD", "NULL", "IGNOREHEADER", "COMPUPDATE", "QUOTE", "DATEFORMAT", "TIMEFORMAT",
                   "EMPTYASNULL", "BLANKSASNULL"}  # fmt: skip
# word: does a value follow
OPTIONS = {"GZIP": False, "MANIFEST": False, "FILLRECORD": False, "ACCEPTINVCHARS": False, "TRUNCATECOLUMNS": False,
           "EMPTYASNULL": False, "BLANKSASNULL": False, "MAXERROR": True, "IGNOREHEADER": True, "DELIMITER": True,
           "NULL": True, "QUOTE": True, "DATEFORMAT": True, "TIMEFORMAT": True, "REGION": True, "COMPUPDATE": True,
           "STATUPDATE": True, "EXPLICIT_IDS": False}  # fmt: skip


@dataclass(frozen=True)
class Detail:
    """One row of sys_load_error_detail."""

    file_name: str
    line_number: int
    column_name: str
    column_type: str
    column_length: int | None
    code: int
    message: str


class LoadError(Exception):
    def __init__(self, table: str, details: list[Detail]) -> None:
        super().__init__(details[0].message)
        self.table, self.details = table, details


@dataclass
class Copy:
    """A parsed COPY statement."""

    table: str
    columns: list[str]
    source: str
    format: str = "TEXT"
    json_paths: str = "auto"
    options: dict[str, str] = field(default_factory=dict)


def parse_copy(sql: str) -> Copy:
    stream = dialect.tokens(sql)
    position = 0

    def peek() -> Token | None:
        return stream[position] if position < len(stream) else None

    def take(*expected: str) -> Token:
        nonlocal position
        token = peek()
        if token is None:
            raise syntax_error(sql, "end of input", r"$")
        if expected and token.text.upper() not in expected:
            raise SqlError(f'ERROR: syntax error at or near "{token.text}"\n  Position: {token.start + 1}')
        position += 1
        return token

    def take_string() -> str:
        token = take()
        if token.token_type is not TokenType.STRING:
            raise SqlError(f'ERROR: syntax error at or near "{token.text}"\n  Position: {token.start + 1}')
        return str(token.text)

    take("COPY")
    table = take().text.lower()
    if (dot := peek()) and dot.token_type is TokenType.DOT:
        take()
        table = f"{table}.{take().text.lower()}"
    columns: list[str] = []
    if (paren := peek()) and paren.token_type is TokenType.L_PAREN:
        take()
        while True:
            columns.append(take().text.lower())
            if take(",", ")").text == ")":
                break
    take("FROM")
    copy = Copy(table, columns, take_string())
    if not copy.source.startswith("s3://"):
        raise unsupported(f"COPY from {copy.source.split(':', 1)[0]}")
    credentials = False
    while token := peek():
        word = take().text.upper()
        if word in {"WITH", "AS", ";"}:
            continue
        if word == "IAM_ROLE":
            role = take()
            if role.text.lower() != "default" and not re.match(r"arn:aws[a-z-]*:iam::\d{12}:role/", role.text):
                raise SqlError("ERROR: Invalid IAM role: expected default or the ARN of a role")
            credentials = True
        elif word in {"CREDENTIALS", "ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN"}:
            take_string()
            credentials = True
        elif word == "FORMAT":
            if (following := peek()) and following.text.upper() == "AS":
                take()
            copy.format = take("PARQUET", "CSV", "JSON", "ORC", "AVRO").text.upper()
        elif word in {"PARQUET", "CSV", "JSON", "ORC", "AVRO"}:
            copy.format = word
        elif word in OPTIONS:
            if OPTIONS[word]:
                if (following := peek()) and following.text.upper() == "AS":
                    take()
                copy.options[word] = take().text
            else:
                copy.options[word] = ""
        else:
            raise SqlError(f'ERROR: syntax error at or near "{token.text}"\n  Position: {token.start + 1}')
        if word in {"FORMAT", "JSON", "CSV"} or (word in {"AS"} and copy.format == "JSON"):
            if (following := peek()) and following.text.upper() == "AS":
                take()
            if copy.format == "JSON" and (following := peek()) and following.token_type is TokenType.STRING:
                copy.json_paths = take_string()
    if not credentials:
        raise SqlError("ERROR: Must specify an IAM role or credentials")
    if copy.format in {"ORC", "AVRO", "TEXT"}:
        raise unsupported(f"COPY {copy.format}")
    if copy.format == "PARQUET" and (refused := sorted(PARQUET_REFUSED & copy.options.keys())):
        raise SqlError(f"ERROR: {refused[0]} argument is not supported for PARQUET based COPY")
    return copy


def run_copy(
    con: duckdb.DuckDBPyConnection,
    s3: Any,
    sql: str,
    columns_of: Callable[[str], list[Column]],
    quoted: Callable[[str], str],
    folder: Path,
) -> int:
    """Runs a COPY inside the caller's transaction and returns the rows loaded.

    Raises:
        SqlError: the statement is wrong, or S3 lacks what it names.
        LoadError: the data does not fit the table; with what sys_load_error_detail shows.
    """
    copy = parse_copy(sql)
    columns = columns_of(copy.table)
    loadable = [c for c in columns if not c.identity_of]
    if copy.columns:
        by_name = {c.name: c for c in columns}
        if unknown := [c for c in copy.columns if c not in by_name]:
            raise SqlError(f'ERROR: column "{unknown[0]}" of relation "{copy.table}" does not exist')
        loadable = [by_name[name] for name in copy.columns]
    with tempfile.TemporaryDirectory(prefix="copy-", dir=folder) as name:
        files = _download(s3, _objects(s3, copy), Path(name))
        names = ", ".join(f'"{c.name}"' for c in loadable)
        into = f"INSERT INTO {quoted(copy.table)} ({names})"
        if copy.format == "PARQUET":
            return _copy_parquet(con, copy, loadable, files, into)
        return _copy_text(con, s3, copy, loadable, files, into)


# -- which objects ------------------------------------------------------------------------------------------------


def _split_url(url: str) -> tuple[str, str]:
    found = re.fullmatch(r"s3://([^/]+)/(.*)", url)
    if not found:
        raise SqlError(f"ERROR: Invalid S3 URI: {url}")
    return found[1], found[2]


def _objects(s3: Any, copy: Copy) -> list[str]:
    """Returns the URLs to load: those of the manifest, or all keys that start with the prefix."""
    bucket, key = _split_url(copy.source)
    try:
        if "MANIFEST" not in copy.options:
            pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=key)
            found = [f"s3://{bucket}/{o['Key']}" for page in pages for o in page.get("Contents", []) if o["Size"]]
            if not found:
                raise SqlError(f"ERROR: The specified S3 prefix '{key}' does not exist")
            return found
        manifest = json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
        entries = manifest["entries"]
    except s3.exceptions.NoSuchKey as error:
        raise SqlError(f"ERROR: Problem reading manifest file - S3ServiceException:The specified key does not exist., "
                       f"Key {key}") from error  # fmt: skip
    except s3.exceptions.NoSuchBucket as error:
        raise SqlError(f"ERROR: S3ServiceException:The specified bucket does not exist, Bucket {bucket}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise SqlError(f"ERROR: Problem reading manifest file - Invalid JSON object, Key {key}") from error
    if copy.format == "PARQUET" and any("content_length" not in e.get("meta", {}) for e in entries):
        raise SqlError(f"ERROR: Manifest file {key} is missing meta.content_length, which columnar formats need")
    present = [e["url"] for e in entries if e.get("mandatory") or _exists(s3, e["url"])]
    if not present:
        raise SqlError(f"ERROR: Manifest {key} names no file that exists")
    return present


def _exists(s3: Any, url: str) -> bool:
    bucket, key = _split_url(url)
    try:
        s3.head_object(Bucket=bucket, Key=key)
    except botocore.exceptions.ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
            return False
        raise SqlError(f"ERROR: S3ServiceException:{error}, Key {key}") from error
    return True


def _download(s3: Any, urls: list[str], directory: Path) -> dict[str, Path]:
    """Returns URL (with its number, because a URL listed twice loads twice) to local file."""

    def fetch(numbered: tuple[int, str]) -> tuple[str, Path]:
        number, url = numbered
        bucket, key = _split_url(url)
        path = directory / f"{number:06d}"
        try:
            path.write_bytes(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
        except botocore.exceptions.ClientError as error:
            raise SqlError(f"ERROR: S3ServiceException:The specified key does not exist., Key {key}") from error
        return f"{url}#{number}", path

    with ThreadPoolExecutor(S3_THREADS) as pool:
        return dict(pool.map(fetch, enumerate(urls)))


# -- Parquet ------------------------------------------------------------------------------------------------------

_ARROW_OF = {
    "SMALLINT": [pa.int16()], "INT": [pa.int32()], "BIGINT": [pa.int64()], "FLOAT": [pa.float32()],
    "DOUBLE": [pa.float64()], "BOOLEAN": [pa.bool_()], "CHAR": [pa.string(), pa.large_string()],
    "VARCHAR": [pa.string(), pa.large_string()], "DATE": [pa.date32()], "VARBINARY": [pa.binary()],
}  # fmt: skip


def _copy_parquet(
    con: duckdb.DuckDBPyConnection, copy: Copy, columns: list[Column], files: dict[str, Path], into: str
) -> int:
    for url, path in files.items():
        _check_schema(url.rpartition("#")[0], path, columns)
    paths = [str(p) for p in files.values()]
    names = [f"c{i}" for i in range(len(columns))]
    source = f"read_parquet($files, filename = true) AS f({', '.join(names)}, file_name)"
    texts = [(n, c) for n, c in zip(names, columns, strict=True) if c.kind in {"VARCHAR", "CHAR"}]
    longest = ", ".join(f"MAX(strlen({name}))" for name, _ in texts) or "NULL"
    lengths = con.execute(f"SELECT {longest} FROM {source}", {"files": paths}).fetchone()
    for (name, column), length in zip(texts, lengths or (), strict=False):
        if length is not None and length > column.length:
            [path] = con.execute(
                f"SELECT file_name FROM {source} WHERE strlen({name}) = $n LIMIT 1", {"files": paths, "n": length}
            ).fetchone()
            url = next(u for u, p in files.items() if str(p) == path).rpartition("#")[0]
            raise LoadError(copy.table, [Detail(
                url, 0, column.name, column.kind.lower(), column.length, 1204,
                f"The length of the data column {column.name} is longer than the length defined in the table. "
                f"Table: {column.length}, Data: {length}, File: {url}")])  # fmt: skip
    values = ", ".join(names)
    return int(con.execute(f"{into} SELECT {values} FROM {source}", {"files": paths}).fetchone()[0])


def _check_schema(url: str, path: Path, columns: list[Column]) -> None:
    try:
        parquet = pq.ParquetFile(path)
    except pa.ArrowInvalid as error:
        raise SqlError(f"ERROR: Spectrum Scan Error code: 15001 context: File '{url}' is no Parquet file") from error
    with parquet:
        schema = parquet.schema_arrow
        physical = [parquet.schema.column(i) for i in range(len(parquet.schema.names))]
    if len(schema) != len(columns):
        raise SqlError(
            "ERROR: Spectrum Scan Error code: 15007 context: Unmatched number of columns between table and file. "
            f"Table columns: {len(columns)}, Data columns: {len(schema)}, File name: {url}"
        )
    for found, column, stored in zip(schema, columns, physical, strict=False):
        if not _fits(found.type, column, stored):
            raise SqlError(
                f"ERROR: Spectrum Scan Error code: 15001 context: File '{url}' has an incompatible Parquet schema for "
                f"column '{column.name}'. Column type: {column.sql_type}, Parquet schema: {stored.physical_type} "
                f"{found.name} ({found.type})"
            )


def _fits(kind: pa.DataType, column: Column, stored: Any) -> bool:
    if column.kind == "DECIMAL":
        return bool(pa.types.is_decimal(kind) and (kind.precision, kind.scale) == (column.precision, column.scale))
    if column.kind == "TIMESTAMP":
        # INT64 times were misread or refused in older reports, so only the proven encoding passes: docs/adr/0004.
        return bool(pa.types.is_timestamp(kind) and stored.physical_type == "INT96")
    if column.kind == "SUPER":
        return bool(pa.types.is_string(kind) or pa.types.is_nested(kind))
    return kind in _ARROW_OF.get(column.kind, [])


# -- CSV and JSON -------------------------------------------------------------------------------------------------


def _copy_text(
    con: duckdb.DuckDBPyConnection, s3: Any, copy: Copy, columns: list[Column], files: dict[str, Path], into: str
) -> int:
    reader = _read_csv if copy.format == "CSV" else _json_reader(s3, copy)
    most_errors = int(copy.options.get("MAXERROR", 0))
    good: list[list[str | None]] = []
    wrong: list[Detail] = []
    for url, path in files.items():
        name = url.rpartition("#")[0]
        for line_number, values in reader(path, name, copy, columns):
            if isinstance(values, str):
                wrong.append(Detail(name, line_number, "", "", None, 1202, values))
                continue  # counted against MAXERROR below
            cut = [_text_value(value, column, copy) for value, column in zip(values, columns, strict=True)]
            problem = next(
                (d for v, c in zip(cut, columns, strict=True) if (d := _misfit(v, c, name, line_number))), None
            )
            if problem:
                wrong.append(problem)
            else:
                good.append(cut)
    con.execute(
        "CREATE OR REPLACE TEMPORARY TABLE copy_text (" + ", ".join(f"c{i} VARCHAR" for i in range(len(columns))) + ")"
    )
    if good:
        table = pa.table({f"c{i}": pa.array([row[i] for row in good], pa.string()) for i in range(len(columns))})
        con.register("copy_text_arrow", table)
        con.execute("INSERT INTO copy_text SELECT * FROM copy_text_arrow")
        con.unregister("copy_text_arrow")
    for i, column in enumerate(columns):
        if column.kind in {"VARCHAR", "CHAR"}:
            continue
        cast = f"TRY_CAST(c{i} AS {column.duckdb_type})"
        rows = con.execute(f"SELECT c{i} FROM copy_text WHERE c{i} IS NOT NULL AND {cast} IS NULL LIMIT 1").fetchall()
        if rows:
            wrong.append(Detail(copy.source, 0, column.name, column.type_name, column.length, 1207,
                                f"Invalid value '{rows[0][0][:40]}' for column {column.name} of type {column.sql_type}"))  # fmt: skip
            most_errors = 0
    if len(wrong) > most_errors:
        con.execute("DROP TABLE copy_text")
        raise LoadError(copy.table, wrong[:DETAILS_MAX])
    values = ", ".join(_cast_sql(f"c{i}", column) for i, column in enumerate(columns))
    loaded = int(con.execute(f"{into} SELECT {values} FROM copy_text").fetchone()[0])
    con.execute("DROP TABLE copy_text")
    return loaded


def _cast_sql(name: str, column: Column) -> str:
    if column.kind == "DECIMAL":  # COPY truncates decimals: 20.259 is 20.25
        wide = f"CAST({name} AS DECIMAL(38, 18))"
        unit = f"CAST('1E-{column.scale}' AS DECIMAL(38, 18))"  # power() would make it a float, and 16.13 to 16.129
        return f"CAST({wide} - {wide} % {unit} AS {column.duckdb_type})"
    return f"CAST({name} AS {column.duckdb_type})"


def _text_value(value: str | None, column: Column, copy: Copy) -> str | None:
    if value is None or value == copy.options.get("NULL", "\\N"):
        return None
    is_text = column.kind in {"VARCHAR", "CHAR"}
    if value == "" and (not is_text or "EMPTYASNULL" in copy.options):
        return None
    if "BLANKSASNULL" in copy.options and not value.strip():
        return None
    if is_text and "TRUNCATECOLUMNS" in copy.options:
        return value.encode()[: column.length].decode(errors="ignore")
    return value


_SHAPES = {
    "int": re.compile(r"\s*[+-]?\d+\s*"),
    "number": re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*"),
}


def _misfit(value: str | None, column: Column, name: str, line_number: int) -> Detail | None:
    kind = column.type_name
    if value is None:
        if column.nullable or column.default_sql:
            return None
        return Detail(name, line_number, column.name, kind, column.length, 1213, "Missing data for not-null field")
    if column.kind in {"VARCHAR", "CHAR"} and len(value.rstrip(" ").encode()) > (column.length or 0):
        return Detail(name, line_number, column.name, kind, column.length, 1204, "String length exceeds DDL length")
    shape = _SHAPES.get("int" if column.kind in {"SMALLINT", "INT", "BIGINT"} else
                        "number" if column.kind in {"DECIMAL", "FLOAT", "DOUBLE"} else "")  # fmt: skip
    if shape and not shape.fullmatch(value):
        return Detail(name, line_number, column.name, kind, column.length, 1207,
                      f"Invalid digit, Value '{value[:1]}', Type: {column.sql_type}")  # fmt: skip
    return None


def _open(path: Path, copy: Copy) -> Any:
    if "GZIP" in copy.options:
        return gzip.open(path, "rt", encoding="utf-8", newline="")
    return path.open(encoding="utf-8", newline="")


Lines = Iterator[tuple[int, list[str | None] | str]]


def _read_csv(path: Path, name: str, copy: Copy, columns: list[Column]) -> Lines:
    skip = int(copy.options.get("IGNOREHEADER", 0))
    with _open(path, copy) as file:
        reader = csv.reader(
            file, delimiter=copy.options.get("DELIMITER", ","), quotechar=copy.options.get("QUOTE", '"')
        )
        for number, row in enumerate(reader, 1):
            if number <= skip:
                continue
            if len(row) < len(columns) and "FILLRECORD" in copy.options:
                yield number, [*row, *[None] * (len(columns) - len(row))]
            elif len(row) != len(columns):
                yield number, "Extra column(s) found" if len(row) > len(columns) else "Delimiter not found"
            else:
                yield number, list(row)


def _json_reader(s3: Any, copy: Copy) -> Callable[[Path, str, Copy, list[Column]], Lines]:
    mode = copy.json_paths.lower()
    if mode == "noshred":
        raise unsupported("COPY JSON 'noshred'")
    paths: list[str] | None = None
    if mode not in {"auto", "auto ignorecase"}:
        bucket, key = _split_url(copy.json_paths)
        found = json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read())["jsonpaths"]
        paths = [re.sub(r"^\$\.?|\['?|'?\]", "", p) for p in found]

    def read(path: Path, name: str, copy: Copy, columns: list[Column]) -> Lines:
        decoder = json.JSONDecoder(parse_float=str, parse_int=str)
        with _open(path, copy) as file:
            text = file.read()
        at, number = 0, 0
        while at < len(text):
            if text[at].isspace():
                at += 1
                continue
            number += 1
            try:
                record, at = decoder.raw_decode(text, at)
            except json.JSONDecodeError as error:
                yield number, f"Invalid JSON format: {error}"
                return
            if mode == "auto ignorecase":
                record = {k.lower(): v for k, v in record.items()}
            keys = paths or [c.name for c in columns]
            yield number, [_json_text(record.get(key)) for key in keys]

    return read


def _json_text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    return json.dumps(value)
