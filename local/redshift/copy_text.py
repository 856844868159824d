"""COPY of delimited text, CSV and JSON. Each line is checked separately, so MAXERROR can skip invalid lines."""

from __future__ import annotations

import bz2
import csv
import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa

from local.redshift.catalog import Column
from local.redshift.copy_errors import DETAILS_MAX, Detail, LoadError
from local.redshift.copy_json import json_records
from local.redshift.copy_statement import Copy
from local.redshift.copy_values import Values
from local.redshift.errors import unsupported

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

Lines = Iterator[tuple[int, list[str | None] | str]]


def copy_text(
    con: duckdb.DuckDBPyConnection, s3: S3Client, copy: Copy, columns: list[Column], files: dict[str, Path], into: str
) -> tuple[int, set[str], list[Detail]]:
    """Loads the files.

    Returns (rows loaded, columns with new texts that end with blanks, invalid rows that MAXERROR allowed).

    Raises:
        LoadError: There are more invalid rows than MAXERROR allows.
    """
    reader = json_records(s3, copy, columns) if copy.format == "JSON" else None
    values = Values(copy)
    good: list[list[str | None]] = []
    wrong: list[Detail] = []
    for url, path in files.items():
        name = url.rpartition("#")[0]
        text, bad_bytes = _text(path, copy)
        if bad_bytes:
            wrong.append(
                Detail(name, bad_bytes, "", "", None, 1220, "String contains invalid or unsupported UTF8 codepoints")
            )
            continue
        lines = (
            reader(text)
            if reader
            else _csv(text, copy, columns)
            if copy.format == "CSV"
            else _delimited(text, copy, columns)
        )
        for number, found in lines:
            if isinstance(found, str):
                wrong.append(Detail(name, number, "", "", None, 1202, found))
                continue  # counted against MAXERROR below
            row = [values.made(value, column) for value, column in zip(found, columns, strict=True)]
            problem = next(
                (p for v, c in zip(row, columns, strict=True) if (p := values.problem(v, c, name, number))), None
            )
            if problem:
                wrong.append(problem)
            else:
                good.append([values.final(value, column) for value, column in zip(row, columns, strict=True)])
    if wrong and len(wrong) >= copy.most_errors:
        raise LoadError(copy.table, wrong[:DETAILS_MAX])
    blanks = {
        c.name
        for i, c in enumerate(columns)
        if c.kind == "VARCHAR" and any(row[i] is not None and str(row[i]).endswith(" ") for row in good)
    }
    return _stored(con, good, columns, values, into), blanks, wrong


def _stored(
    con: duckdb.DuckDBPyConnection, rows: list[list[str | None]], columns: list[Column], values: Values, into: str
) -> int:
    if not rows:
        return 0
    table = pa.table({f"c{i}": pa.array([row[i] for row in rows], pa.string()) for i in range(len(columns))})
    con.register("copy_text_arrow", table)
    try:
        selected = ", ".join(values.cast(f"c{i}", column) for i, column in enumerate(columns))
        counted = con.execute(f"{into} SELECT {selected} FROM copy_text_arrow").fetchone()
    finally:
        con.unregister("copy_text_arrow")
    return int(counted[0]) if counted else 0


def _text(path: Path, copy: Copy) -> tuple[str, int]:
    """Returns (the text of the object, the line of its first invalid byte or 0)."""
    raw = path.read_bytes()
    if "GZIP" in copy.options:
        raw = gzip.decompress(raw)
    elif "BZIP2" in copy.options:
        raw = bz2.decompress(raw)
    elif "ZSTD" in copy.options:
        raw = pa.CompressedInputStream(pa.BufferReader(raw), "zstd").read()
    try:
        return raw.decode(), 0
    except UnicodeDecodeError as error:
        if "ACCEPTINVCHARS" not in copy.options:
            return "", raw[: error.start].count(b"\n") + 1
    mark = copy.options["ACCEPTINVCHARS"]
    out, at = "", 0
    while at < len(raw):
        try:
            return out + raw[at:].decode(), 0
        except UnicodeDecodeError as error:  # one replacement character for each invalid byte
            out += raw[at : at + error.start].decode() + mark * (error.end - error.start)
            at += error.end
    return out, 0


def _delimiter(copy: Copy, usual: str) -> str:
    given = copy.options.get("DELIMITER", usual)
    found = {"\\t": "\t", "\t": "\t", "t": "t"}.get(given, given)
    if len(found) == 4 and found[0] == "\\" and found[1:].isdigit():
        found = chr(int(found[1:], 8))
    if len(found) != 1:
        raise unsupported(f"COPY with the delimiter '{given}'")
    return found


def _filled(
    number: int, row: list[str | None], copy: Copy, columns: list[Column]
) -> tuple[int, list[str | None] | str]:
    if len(row) < len(columns) and "FILLRECORD" in copy.options:
        missing = columns[len(row) :]
        return number, [*row, *["" if c.kind == "VARCHAR" else None for c in missing]]
    if len(row) != len(columns):
        return number, "Extra column(s) found" if len(row) > len(columns) else "Delimiter not found"
    return number, row


def _csv(text: str, copy: Copy, columns: list[Column]) -> Lines:
    skip = int(copy.options.get("IGNOREHEADER", 0))
    lines = text.splitlines(keepends=True)
    reader = csv.reader(lines[skip:], delimiter=_delimiter(copy, ","), quotechar=copy.options.get("QUOTE", '"'))
    for row in reader:
        number = reader.line_num + skip
        if not row:
            if "IGNOREBLANKLINES" in copy.options:
                continue  # as documented, blank lines are not loaded
            row = [""]
        yield _filled(number, list(row), copy, columns)


def _delimited(text: str, copy: Copy, columns: list[Column]) -> Lines:
    skip, delimiter = int(copy.options.get("IGNOREHEADER", 0)), _delimiter(copy, "|")
    number = 0
    for number, record in _records(text, "ESCAPE" in copy.options):
        if number <= skip:
            continue
        if record == "" and "IGNOREBLANKLINES" in copy.options:
            continue  # as documented, blank lines are not loaded
        yield _filled(number, _fields(record, delimiter, "ESCAPE" in copy.options), copy, columns)


def _records(text: str, has_escapes: bool) -> Iterator[tuple[int, str]]:
    """Yields (number of the last line, record), split at line feeds that are not escaped."""
    held, number = "", 0
    lines = text.split("\n")
    if lines and lines[-1] == "":
        lines.pop()
    for number, line in enumerate(lines, 1):
        held += line.removesuffix("\r")
        if has_escapes and (len(held) - len(held.rstrip("\\"))) % 2:
            held += "\n"
            continue
        yield number, held
        held = ""
    if held:
        yield number, held


def _fields(record: str, delimiter: str, has_escapes: bool) -> list[str | None]:
    if not has_escapes:
        return list(record.split(delimiter))
    fields, current, at = [], "", 0
    while at < len(record):
        letter = record[at]
        if letter == "\\" and at + 1 < len(record):
            following = record[at + 1]
            # The text for NULL is \\N, with and without ESCAPE.
            current += "\\N" if following == "N" and current == "" else following
            at += 2
            continue
        if letter == delimiter:
            fields.append(current)
            current = ""
        else:
            current += letter
        at += 1
    return [*fields, current]
