"""Results of statements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import duckdb

from local.redshift.catalog import Column, from_duckdb_type
from local.redshift.errors import SqlError, unsupported
from local.redshift.scopes import Columns

if TYPE_CHECKING:
    from local.redshift.translation import Compiled

RESULT_MAX_BYTES = 500 * 1024**2  # Data API: "Database response exceeded size limit"
ROW_MAX_BYTES = 64 * 1024  # Data API: "Packet for query is too large"
FETCH_ROWS = 10_000


@dataclass
class Result:
    """The result of one statement: rows with their columns, or the number of affected rows."""

    columns: list[Column] = field(default_factory=list)
    rows: list[tuple[Any, ...]] = field(default_factory=list)
    has_rows: bool = False
    touched: int = -1
    size_bytes: int = -1

    @property
    def row_count(self) -> int:
        return len(self.rows) if self.has_rows else self.touched


def fetched(cursor: duckdb.DuckDBPyConnection, columns: list[Column]) -> Result:
    """Returns all rows of a query.

    Raises:
        SqlError: The result exceeds the limits of the Data API.
    """
    rows: list[tuple[Any, ...]] = []
    size = 0
    while chunk := cursor.fetchmany(FETCH_ROWS):
        for row in chunk:
            row_bytes = sum(len(v) if isinstance(v, str) else 8 for v in row)
            if row_bytes > ROW_MAX_BYTES:
                raise SqlError("ERROR: Packet for query is too large")
            size += row_bytes
        if size > RESULT_MAX_BYTES:
            raise SqlError("ERROR: Database response exceeded size limit")
        rows += chunk
    return Result(columns, rows, has_rows=True, size_bytes=size)


def result_columns(columns: Columns, described: Sequence[Any]) -> list[Column]:
    """Returns the columns with Redshift's types.

    Raises:
        SqlError: DuckDB computes another type, so the values may differ as well.
    """
    found = []
    for (name, kind), (_, duckdb_type, *_) in zip(columns, described, strict=True):
        if str(duckdb_type) == "INTERVAL":
            raise unsupported("a result of type interval")
        computed = from_duckdb_type(name, str(duckdb_type))
        if kind.kind in {"NULL", "UNKNOWN"}:
            found.append(Column(name, "VARCHAR", 65535) if kind.kind == "NULL" else computed)
            continue
        column = kind.column(name)
        if _family(column) != _family(computed):
            raise unsupported(f"the result {name}, of type {column.sql_type}: DuckDB computes {computed.sql_type},")
        if column.kind == "DECIMAL" and column.scale != computed.scale:
            column = computed
        found.append(column)
    return found


def _family(column: Column) -> str:
    if column.kind in {"SMALLINT", "INT", "BIGINT"} or (column.kind == "DECIMAL" and not column.scale):
        return "whole"
    return {"CHAR": "VARCHAR", "FLOAT": "DOUBLE"}.get(column.kind, column.kind)


def padded(query: Compiled) -> str:
    """Returns DuckDB's SQL of the query with CHAR values padded with blanks, as Redshift returns them."""
    if all(kind.kind != "CHAR" for _, kind in query.columns):
        return query.sql
    names = [f"c{i}" for i in range(len(query.columns))]
    values = [
        f"rpad({n}, {k.length or 1}, ' ')" if k.kind == "CHAR" else n
        for n, (_, k) in zip(names, query.columns, strict=True)
    ]
    return f"SELECT {', '.join(values)} FROM ({query.sql}) AS padded({', '.join(names)})"
