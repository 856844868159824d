"""Writes the files of an UNLOAD as delimited text or CSV."""

from __future__ import annotations

import bz2
import gzip
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa

from local.redshift.errors import unsupported
from local.redshift.scopes import Columns

ENDINGS = {"GZIP": ".gz", "BZIP2": ".bz2", "ZSTD": ".zst"}


def write_text(
    reader: pa.RecordBatchReader, columns: Columns, prefix: str, kind: str, options: dict[str, str], directory: Path
) -> dict[str, tuple[Path, int]]:
    """Writes the file, and returns (local file, rows) for each key."""
    packed = next((word for word in ENDINGS if word in options), "")
    name = "000" if options.get("PARALLEL") == "OFF" else "0000_part_00"
    ending = f".{options['EXTENSION'].lstrip('.')}" if "EXTENSION" in options else ENDINGS.get(packed, "")
    delimiter = {"\\t": "\t"}.get(options.get("DELIMITER", ""), options.get("DELIMITER", "")) or (
        "," if kind == "CSV" else "|"
    )
    null = options.get("NULL", "")
    lines: list[str] = []
    if "HEADER" in options:
        lines.append(delimiter.join(name for name, _ in columns))
    rows = 0
    for batch in reader:
        for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            rows += 1
            values = zip(row, columns, strict=True)
            fields = [null if v is None else _text(v, found.kind, found.length) for v, (_, found) in values]
            is_null = [v is None for v in row]
            if kind == "CSV":
                fields = [f if n else _csv(f, delimiter) for f, n in zip(fields, is_null, strict=True)]
            elif "ESCAPE" in options:
                fields = [f if n else _escaped(f, delimiter) for f, n in zip(fields, is_null, strict=True)]
            lines.append(delimiter.join(fields))
    if not rows:
        return {}
    body = ("\n".join(lines) + "\n").encode()
    path = directory / "part"
    path.write_bytes(_packed(body, packed))
    return {f"{prefix}{name}{ending}": (path, rows)}


def _packed(body: bytes, how: str) -> bytes:
    match how:
        case "GZIP":
            return gzip.compress(body)
        case "BZIP2":
            return bz2.compress(body)
        case "ZSTD":
            return bytes(pa.Codec("zstd").compress(body, asbytes=True))
    return body


def _text(value: Any, kind: str, length: int | None) -> str:
    match value:
        case bool():
            return "t" if value else "f"
        case float():
            text = f"{value:.15g}"
            if float(text) != value:
                raise unsupported("UNLOAD of a float with more than 15 digits as text: cast it to DECIMAL")
            return text
        case datetime():
            if value.tzinfo:
                raise unsupported("UNLOAD of TIMESTAMPTZ as text")
            return f"{value:%Y-%m-%d %H:%M:%S}" + (f".{value.microsecond:06d}".rstrip("0") if value.microsecond else "")
        case Decimal():
            return f"{value:f}"
        case bytes():
            raise unsupported("UNLOAD of VARBYTE as text")
        case _:
            text = str(value)
            return text.ljust(length or 1) if kind == "CHAR" else text


def _csv(field: str, delimiter: str) -> str:
    if any(mark in field for mark in (delimiter, '"', "\n", "\r")):
        return '"' + field.replace('"', '""') + '"'
    return field


def _escaped(field: str, delimiter: str) -> str:
    for mark in ("\\", delimiter, "\n", "\r"):
        field = field.replace(mark, f"\\{mark}")
    return field
