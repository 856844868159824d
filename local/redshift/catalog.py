"""What DuckDB does not keep of a Redshift table: lengths in bytes, identities, the words of the types.

Kept in the same database, so that it commits and rolls back with the DDL. Temporary tables live in their session.
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
CREATE TABLE IF NOT EXISTS main.sys_load_error_detail (
    user_id INTEGER, query_id BIGINT, transaction_id BIGINT, session_id INTEGER, database_name VARCHAR, table_id INTEGER,
    start_time TIMESTAMP, file_name VARCHAR, line_number BIGINT, column_name VARCHAR, column_type VARCHAR,
    column_length VARCHAR, position INTEGER, error_code INTEGER, error_message VARCHAR
);
CREATE OR REPLACE VIEW main.svv_tables AS
    SELECT current_database() AS table_catalog, table_schema, table_name, table_type
    FROM information_schema.tables WHERE table_schema NOT IN ('{SYSTEM_SCHEMA}');
CREATE OR REPLACE VIEW main.svv_columns AS
    SELECT table_schema, table_name, name AS column_name, position AS ordinal_position,
        CASE WHEN nullable THEN 'YES' ELSE 'NO' END AS is_nullable,
        CASE kind WHEN 'VARCHAR' THEN 'character varying' WHEN 'CHAR' THEN 'character' WHEN 'INT' THEN 'integer'
            WHEN 'DECIMAL' THEN 'numeric' WHEN 'DOUBLE' THEN 'double precision' WHEN 'FLOAT' THEN 'real'
            WHEN 'TIMESTAMP' THEN 'timestamp without time zone' WHEN 'TIMESTAMPTZ' THEN 'timestamp with time zone'
            WHEN 'VARBINARY' THEN 'binary varying' ELSE lower(kind) END AS data_type,
        length AS character_maximum_length, precision AS numeric_precision, scale AS numeric_scale
    FROM {SYSTEM_SCHEMA}.columns;
"""

# Redshift's words for a type, to DuckDB's type and the Data API's typeName.
KINDS = {
    "SMALLINT": ("SMALLINT", "int2"), "INT": ("INTEGER", "int4"), "BIGINT": ("BIGINT", "int8"),
    "DECIMAL": ("DECIMAL", "numeric"), "FLOAT": ("FLOAT", "float4"), "DOUBLE": ("DOUBLE", "float8"),
    "BOOLEAN": ("BOOLEAN", "bool"), "CHAR": ("VARCHAR", "bpchar"), "VARCHAR": ("VARCHAR", "varchar"),
    "DATE": ("DATE", "date"), "TIME": ("TIME", "time"), "TIMETZ": ("TIMETZ", "timetz"),
    "TIMESTAMP": ("TIMESTAMP", "timestamp"), "TIMESTAMPTZ": ("TIMESTAMPTZ", "timestamptz"), "SUPER": ("JSON", "super"),
    "VARBINARY": ("BLOB", "varbyte"),
}  # fmt: skip
_SAME = {"TEXT": "VARCHAR", "NVARCHAR": "VARCHAR", "NCHAR": "CHAR", "BPCHAR": "CHAR", "TIMESTAMPNTZ": "TIMESTAMP",
         "JSON": "SUPER", "NUMERIC": "DECIMAL", "HUGEINT": "DECIMAL", "INT128": "DECIMAL", "INTEGER": "INT", "BLOB": "VARBINARY",
         "TIMESTAMP WITH TIME ZONE": "TIMESTAMPTZ"}  # fmt: skip


@dataclass(frozen=True)
class Column:
    """One column: `kind` is a key of KINDS, length in bytes, identity the (seed, step) sequence's name."""

    name: str
    kind: str
    length: int | None = None
    precision: int | None = None
    scale: int | None = None
    nullable: bool = True
    default_sql: str | None = None
    identity_of: str | None = None

    @property
    def sql_type(self) -> str:
        """The type as Redshift writes it."""
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
    """Returns a column without name that has this type, with Redshift's defaults for lengths.

    Raises:
        SqlError: Redshift has no such type, or the length is out of its bounds.
    """
    word = kind.this.name if isinstance(kind.this, exp.DataType.Type) else str(kind.this)
    name = _SAME.get(word, word)
    if name not in KINDS:
        raise SqlError(f'ERROR: type "{word.lower()}" does not exist')
    sizes = [p.name.upper() for p in kind.expressions]
    if name in {"VARCHAR", "CHAR"}:
        largest, default = (65535, 256) if name == "VARCHAR" else (4096, 1)
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
    """Returns the column that a query's result column of DuckDB type `kind` is in Redshift."""
    if found := re.fullmatch(r"DECIMAL\((\d+),(\d+)\)", kind):
        return Column(name, "DECIMAL", precision=int(found[1]), scale=int(found[2]))
    word = {"INTEGER": "INT", "HUGEINT": "BIGINT", "UBIGINT": "BIGINT", "UINTEGER": "BIGINT", "TINYINT": "SMALLINT",
            '"NULL"': "VARCHAR", "UUID": "VARCHAR", "INTERVAL": "VARCHAR"}.get(kind, _SAME.get(kind, kind))  # fmt: skip
    if word not in KINDS:
        raise unsupported(f"a result of type {kind}")
    return Column(name, word, length=65535 if word == "VARCHAR" else None)


class Catalog:
    """Columns of tables, by (schema, name). Temporary tables have the schema ''."""

    def __init__(self, temporary: dict[str, list[Column]]) -> None:
        self.temporary = temporary

    def columns(self, con: duckdb.DuckDBPyConnection, schema: str, table: str) -> list[Column]:
        """Returns the columns in order; raises SqlError where there is no such table."""
        if not schema and table in self.temporary:
            return self.temporary[table]
        rows = con.execute(
            f"SELECT name, kind, length, precision, scale, nullable, default_sql, identity_of "
            f"FROM {SYSTEM_SCHEMA}.columns WHERE table_schema = ? AND table_name = ? ORDER BY position",
            [schema or "public", table],
        ).fetchall()
        if not rows:
            raise SqlError(f'ERROR: relation "{schema + "." if schema else ""}{table}" does not exist')
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

    def types(self, con: duckdb.DuckDBPyConnection) -> dict[str, dict[str, str]]:
        """Returns every table's columns and types, as sqlglot's optimizer takes them."""
        found: dict[str, dict[str, str]] = {
            name: {c.name: c.sql_type for c in columns} for name, columns in self.temporary.items()
        }
        rows = con.execute(
            "SELECT table_schema, table_name, name, kind, length, precision, scale "
            f"FROM {SYSTEM_SCHEMA}.columns ORDER BY ALL"
        ).fetchall()
        for schema, table, name, kind, length, precision, scale in rows:
            column = Column(name, kind, length, precision, scale)
            found.setdefault(f"{schema}.{table}", {})[name] = column.sql_type
        return found


def renamed(column: Column, name: str) -> Column:
    return replace(column, name=name)
