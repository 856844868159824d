"""Results of queries as Athena gives them: types, texts of values, and reasons of failures."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

_ATHENA = {
    "BOOLEAN": "boolean",
    "TINYINT": "tinyint",
    "SMALLINT": "smallint",
    "INTEGER": "integer",
    "BIGINT": "bigint",
    "HUGEINT": "bigint",
    "FLOAT": "float",
    "DOUBLE": "double",
    "VARCHAR": "varchar",
    "BLOB": "varbinary",
    "DATE": "date",
    "TIMESTAMP": "timestamp",
    "TIMESTAMP WITH TIME ZONE": "timestamp with time zone",
}
PRECISION = {"varchar": 2147483647, "integer": 10, "bigint": 19, "double": 17, "boolean": 0, "timestamp": 3, "date": 0}


class QueryFailed(Exception):  # noqa: N818
    """The query ends as FAILED with this reason."""


@dataclass(frozen=True)
class Result:
    """The result of a query.

    Attributes:
        columns: (name, Athena type) of each column.
        rows: texts as Athena writes them, or None for NULL.
    """

    columns: list[tuple[str, str]]
    rows: list[list[str | None]]
    scanned_bytes: int
    scanned_objects: list[str]
    written_rows: int = -1  # of CREATE TABLE AS and UNLOAD
    manifest: str = ""  # URL of the list of written files
    has_header: bool = True  # results of SHOW and DESCRIBE have none


def athena_type(kind: str) -> str:
    if kind.startswith("DECIMAL"):
        return kind.lower()
    if kind.endswith("[]"):
        return "array"
    return "row" if kind.startswith("STRUCT") else "map" if kind.startswith("MAP") else _ATHENA.get(kind, "varchar")


def text_of(value: Any, kind: str) -> str | None:
    """Returns a value in the form in which Athena writes it to its result."""
    if value is None:
        return None
    if kind == "timestamp":
        return str(value.strftime("%Y-%m-%d %H:%M:%S.") + f"{value.microsecond // 1000:03d}")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k}={text_of(v, '')}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(str(text_of(v, "")) for v in value) + "]"
    if isinstance(value, bytes):
        return value.hex(" ")
    return str(value)


def column_info(name: str, kind: str) -> dict[str, Any]:
    """Returns GetQueryResults' metadata of a column of this Athena type."""
    digits = re.fullmatch(r"decimal\((\d+),\s*(\d+)\)", kind)
    precision, scale = (int(digits[1]), int(digits[2])) if digits else (PRECISION.get(kind, 0), 0)
    return {
        "CatalogName": "hive",
        "SchemaName": "",
        "TableName": "",
        "Name": name,
        "Label": name,
        "Type": kind.partition("(")[0],
        "Nullable": "UNKNOWN",
        "CaseSensitive": kind == "varchar",
        "Precision": precision,
        "Scale": scale,
    }
