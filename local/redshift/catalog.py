"""Metadata of Redshift tables that DuckDB does not store: lengths in bytes, identity columns, names of types.

It is stored in the same database, so it is committed and rolled back with the DDL. The metadata of temporary tables is
kept in their session.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import astuple, dataclass, replace

import duckdb
from sqlglot import exp

from local.redshift.errors import SqlError, unsupported

SYSTEM_SCHEMA = "redshift_standin"

BOOTSTRAP = f"""
CREATE SCHEMA IF NOT EXISTS {SYSTEM_SCHEMA};
CREATE TABLE IF NOT EXISTS {SYSTEM_SCHEMA}.columns (
    table_schema VARCHAR, table_name VARCHAR, position INTEGER, name VARCHAR, kind VARCHAR, length INTEGER,
    precision INTEGER, scale INTEGER, nullable BOOLEAN, default_sql VARCHAR, identity_of VARCHAR
);
ALTER TABLE {SYSTEM_SCHEMA}.columns ADD COLUMN IF NOT EXISTS has_blanks BOOLEAN DEFAULT FALSE;
CREATE TABLE IF NOT EXISTS main.sys_load_error_detail (
    user_id INTEGER, query_id BIGINT, transaction_id BIGINT, session_id INTEGER, database_name VARCHAR, table_id INTEGER,
    start_time TIMESTAMP, file_name VARCHAR, line_number BIGINT, column_name VARCHAR, column_type VARCHAR,
    column_length VARCHAR, position INTEGER, error_code INTEGER, error_message VARCHAR
);
CREATE TABLE IF NOT EXISTS {SYSTEM_SCHEMA}.isolation (level VARCHAR);
INSERT INTO {SYSTEM_SCHEMA}.isolation SELECT 'SNAPSHOT' WHERE NOT EXISTS (FROM {SYSTEM_SCHEMA}.isolation);
"""

# Maps Redshift's name of a type to DuckDB's type and the Data API's typeName.
KINDS = {
    "SMALLINT": ("SMALLINT", "int2"),
    "INT": ("INTEGER", "int4"),
    "BIGINT": ("BIGINT", "int8"),
    "DECIMAL": ("DECIMAL", "numeric"),
    "FLOAT": ("FLOAT", "float4"),
    "DOUBLE": ("DOUBLE", "float8"),
    "BOOLEAN": ("BOOLEAN", "bool"),
    "CHAR": ("VARCHAR", "bpchar"),
    "VARCHAR": ("VARCHAR", "varchar"),
    "DATE": ("DATE", "date"),
    "TIME": ("TIME", "time"),
    "TIMETZ": ("TIMETZ", "timetz"),
    "TIMESTAMP": ("TIMESTAMP", "timestamp"),
    "TIMESTAMPTZ": ("TIMESTAMPTZ", "timestamptz"),
    "SUPER": ("JSON", "super"),
    "VARBINARY": ("BLOB", "varbyte"),
}
_SAME = {
    "TEXT": "VARCHAR",
    "NVARCHAR": "VARCHAR",
    "NCHAR": "CHAR",
    "BPCHAR": "CHAR",
    "TIMESTAMPNTZ": "TIMESTAMP",
    "JSON": "SUPER",
    "DATETIME": "TIMESTAMP",
    "NUMERIC": "DECIMAL",
    "HUGEINT": "DECIMAL",
    "INT128": "DECIMAL",
    "INTEGER": "INT",
    "BLOB": "VARBINARY",
    "TIMESTAMP WITH TIME ZONE": "TIMESTAMPTZ",
}


@dataclass(frozen=True)
class Column:
    """One column: `kind` is a key of KINDS, `length` is in bytes, `identity_of` is the sequence of an identity."""

    name: str
    kind: str
    length: int | None = None
    precision: int | None = None
    scale: int | None = None
    nullable: bool = True
    default_sql: str | None = None
    identity_of: str | None = None
    has_blanks: bool = False  # a text that may end with blanks was stored

    @property
    def sql_type(self) -> str:
        """The type in Redshift's notation."""
        if self.kind == "DECIMAL":
            return f"DECIMAL({self.precision},{self.scale})"
        return f"{self.kind}({self.length})" if self.length else self.kind

    @property
    def duckdb_type(self) -> str:
        base = KINDS[self.kind][0]
        return f"DECIMAL({self.precision},{self.scale})" if self.kind == "DECIMAL" else base

    @property
    def type_name(self) -> str:
        return KINDS[self.kind][1]

    def ddl(self) -> str:
        parts = [f'"{self.name}" {self.duckdb_type}']
        if not self.nullable:
            parts.append("NOT NULL")
        if self.default_sql:
            parts.append(f"DEFAULT {self.default_sql}")
        if self.identity_of:
            parts.append(f"DEFAULT nextval('{self.identity_of}')")
        if self.kind in {"VARCHAR", "CHAR"}:
            parts.append(f"CHECK (strlen(rtrim(\"{self.name}\", ' ')) <= {self.length})")
        return " ".join(parts)


def column_type(kind: exp.DataType) -> Column:
    """Returns a column without a name that has this type, with Redshift's default lengths.

    Raises:
        SqlError: Redshift has no such type, or the length is out of range.
    """
    word = kind.this.name if isinstance(kind.this, exp.DType) else str(kind.this)
    if not isinstance(kind, exp.DataType) or word in {"INTERVAL", "USERDEFINED", "OBJECT_IDENTIFIER"}:
        raise unsupported(f"the type {kind.sql('redshift')}")
    name = _SAME.get(word, word)
    if name not in KINDS:
        raise SqlError(f'ERROR: type "{word.lower()}" does not exist')
    sizes = [str(getattr(p, "name", p)).upper() for p in kind.expressions]
    if name in {"VARCHAR", "CHAR"}:
        largest, default = (65535, 256) if name == "VARCHAR" else (4096, 256 if word == "BPCHAR" else 1)
        length = default if not sizes else largest if sizes[0] == "MAX" else int(sizes[0])
        if not 1 <= length <= largest:
            raise SqlError(f"ERROR: length for type {name.lower()} cannot exceed {largest}")
        return Column("", name, length=length)
    if name == "DECIMAL":
        precision = int(sizes[0]) if sizes else 18
        scale = int(sizes[1]) if len(sizes) > 1 else 0
        if not 1 <= precision <= 38 or not 0 <= scale <= min(37, precision):
            raise SqlError(f"ERROR: NUMERIC precision {precision} must be between 1 and 38")
        return Column("", name, precision=precision, scale=scale)
    return Column("", name)


def from_duckdb_type(name: str, kind: str) -> Column:
    """Returns the Redshift column for a result column of the DuckDB type `kind`."""
    if found := re.fullmatch(r"DECIMAL\((\d+),(\d+)\)", kind):
        return Column(name, "DECIMAL", precision=int(found[1]), scale=int(found[2]))
    word = {
        "INTEGER": "INT",
        "HUGEINT": "BIGINT",
        "UBIGINT": "BIGINT",
        "UINTEGER": "BIGINT",
        "TINYINT": "SMALLINT",
        '"NULL"': "VARCHAR",
        "UUID": "VARCHAR",
        "INTERVAL": "VARCHAR",
    }.get(kind, _SAME.get(kind, kind))
    if word not in KINDS:
        raise unsupported(f"a result of type {kind}")
    return Column(name, word, length=65535 if word == "VARCHAR" else None)


class Catalog:
    """Columns of tables, by (schema, name). Temporary tables have the schema ''."""

    def __init__(self, temporary: dict[str, list[Column]]) -> None:
        self.temporary = temporary

    def columns(self, con: duckdb.DuckDBPyConnection, schema: str, table: str) -> list[Column]:
        """Returns the columns in order. Raises SqlError if the table does not exist."""
        if not schema and table in self.temporary:
            return self.temporary[table]
        found = self.find(con, schema or "public", table)
        if not found:
            raise SqlError(f'ERROR: relation "{schema + "." if schema else ""}{table}" does not exist')
        return found

    def find(self, con: duckdb.DuckDBPyConnection, schema: str, table: str) -> list[Column]:
        """Returns the columns of a table or view, or an empty list if it does not exist."""
        rows = con.execute(
            "SELECT name, kind, length, precision, scale, nullable, default_sql, identity_of, has_blanks "
            f"FROM {SYSTEM_SCHEMA}.columns WHERE table_schema = ? AND table_name = ? ORDER BY position",
            [schema, table],
        ).fetchall()
        return [Column(*row) for row in rows]

    def keep(self, con: duckdb.DuckDBPyConnection, schema: str, table: str, columns: Iterable[Column]) -> None:
        if not schema:
            self.temporary[table] = list(columns)
            return
        self.drop(con, schema, table)
        rows = [(schema, table, i, *astuple(column)) for i, column in enumerate(columns, 1)]
        marks = ", ".join("?" * len(rows[0]))
        con.executemany(f"INSERT INTO {SYSTEM_SCHEMA}.columns VALUES ({marks})", rows)

    def drop(self, con: duckdb.DuckDBPyConnection, schema: str, table: str) -> None:
        if not schema:
            self.temporary.pop(table, None)
        con.execute(
            f"DELETE FROM {SYSTEM_SCHEMA}.columns WHERE table_schema = ? AND table_name = ?",
            [schema, table],
        )

    def mark_blanks(
        self, con: duckdb.DuckDBPyConnection, schema: str, table: str, columns: list[Column], names: Iterable[str]
    ) -> None:
        """Records that texts with trailing blanks were stored in these columns."""
        new = {c.name for c in columns if c.name in set(names) and not c.has_blanks}
        if not new:
            return
        if not schema:
            self.temporary[table] = [replace(c, has_blanks=c.has_blanks or c.name in new) for c in columns]
            return
        for name in new:
            con.execute(
                f"UPDATE {SYSTEM_SCHEMA}.columns SET has_blanks = TRUE WHERE table_schema = ? AND table_name = ? AND name = ?",
                [schema, table, name],
            )


def renamed(column: Column, name: str) -> Column:
    return replace(column, name=name)
