"""Derives types of the Data Catalog, which are those of Hive, from Parquet footers and from sampled JSON."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

Columns = dict[str, Any]  # column name to type: a text, {"struct": Columns} or {"array": type}

JSON_SAMPLE_BYTES = 1 << 18
INT_MAX = 2**31


class Unreadable(Exception):  # noqa: N818
    """The object is not valid in its format; the message does not name the object."""


# -- Parquet ------------------------------------------------------------------------------------------------------


def parquet_columns(file: Any) -> tuple[Columns, int]:
    """Returns (columns, rows) of a Parquet file from its footer.

    Raises:
        Unreadable: The file has no valid footer.
    """
    try:
        footer = pq.ParquetFile(file)
    except (pa.ArrowException, OSError) as error:
        raise Unreadable(f"no Parquet: {error}") from error
    return {field.name: _hive(field.type) for field in footer.schema_arrow}, footer.metadata.num_rows


def _hive(kind: pa.DataType) -> Any:
    t = pa.types
    if t.is_struct(kind):
        return {"struct": {kind.field(i).name: _hive(kind.field(i).type) for i in range(kind.num_fields)}}
    if t.is_list(kind) or t.is_large_list(kind):
        return {"array": _hive(kind.value_type)}
    if t.is_decimal(kind):
        return f"decimal({kind.precision},{kind.scale})"
    for is_kind, name in (
        (t.is_boolean, "boolean"),
        (t.is_int8, "tinyint"),
        (t.is_int16, "smallint"),
        (t.is_int32, "int"),
        (t.is_int64, "bigint"),
        (t.is_float32, "float"),
        (t.is_float64, "double"),
        (t.is_timestamp, "timestamp"),
        (t.is_date, "date"),
        (t.is_string, "string"),
        (t.is_large_string, "string"),
        (t.is_binary, "binary"),
    ):
        if is_kind(kind):
            return name
    raise Unreadable(f"the stand-in knows no type of the catalog for {kind}")


# -- JSON lines ------------------------------------------------------------------------------------------------------


def json_columns(start: bytes, *, packed: bool, whole: bool) -> tuple[Columns, int]:
    """Returns (columns, records) of the first bytes of an object of JSON lines.

    Args:
        start: the first bytes of the object, compressed if `packed`.
        whole: `start` is the whole object.

    Raises:
        Unreadable: A line is not a JSON object.
    """
    try:
        text = zlib.decompressobj(16 + zlib.MAX_WBITS).decompress(start) if packed else start
    except (zlib.error, gzip.BadGzipFile) as error:
        raise Unreadable(f"not gzip: {error}") from error
    lines = text.split(b"\n")
    if not whole:
        lines.pop()  # cut off
    columns: Columns = {}
    found = 0
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue  # an empty line is not a record
        try:
            record = json.loads(line)
        except ValueError as error:
            raise Unreadable(f"line {number} is no JSON: {error}") from error
        if not isinstance(record, dict):
            raise Unreadable(f"line {number} is no JSON object")
        columns = merge(columns, {name: _of_value(value) for name, value in record.items()})
        found += 1
    return columns, found


def _of_value(value: Any) -> Any:
    match value:
        case None:
            return None  # the type is unknown
        case bool():
            return "boolean"
        case int():
            return "int" if -INT_MAX <= value < INT_MAX else "bigint"
        case float():
            return "double"
        case str():
            return "string"
        case list():
            kind: Any = None
            for inner in value:
                kind = _merged(kind, _of_value(inner))
            return {"array": kind}
        case _:
            return {"struct": {name: _of_value(inner) for name, inner in value.items()}}


# -- both ------------------------------------------------------------------------------------------------------------

_WIDER = ["tinyint", "smallint", "int", "bigint", "float", "double"]


def merge(columns: Columns, more: Columns) -> Columns:
    """Returns the columns of both, in order of appearance; different types are widened, ultimately to string."""
    merged = dict(columns)
    for name, kind in more.items():
        merged[name] = _merged(merged.get(name), kind)
    return merged


def _merged(one: Any, other: Any) -> Any:
    if one is None or one == other:
        return other
    if other is None:
        return one
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        if "struct" in one:
            return {"struct": merge(one["struct"], other["struct"])}
        return {"array": _merged(one["array"], other["array"])}
    if one in _WIDER and other in _WIDER:
        return max(one, other, key=_WIDER.index)
    return "string"


def written(kind: Any) -> str:
    """Returns a type as text, such as struct<a:int,b:array<string>>. A type that was never seen is string."""
    match kind:
        case None:
            return "string"
        case {"struct": fields}:
            return "struct<" + ",".join(f"{name}:{written(inner)}" for name, inner in fields.items()) + ">"
        case {"array": inner}:
            return f"array<{written(inner)}>"
        case _:
            return str(kind)
