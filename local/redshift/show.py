"""SHOW of settings, and of lists of schemas, tables and columns.

Source: Redshift Developer Guide, SHOW and the pages that follow it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from local.redshift import materialized
from local.redshift.catalog import SYSTEM_SCHEMA, Column
from local.redshift.ddl import SETTINGS
from local.redshift.errors import SqlError, unsupported
from local.redshift.names import bare
from local.redshift.reader import Reader
from local.redshift.results import Result

if TYPE_CHECKING:
    from local.redshift.session import Session

ROWS_MAX = 10_000
# The values of settings before a session sets them.
_UNSET = {"search_path": '"$user", public', "timezone": "UTC", "statement_timeout": "0", "application_name": ""}
_TEXT, _NUMBER, _TIME = ("VARCHAR", 128), ("INT", None), ("TIMESTAMP", None)
_SCHEMAS = {
    "database_name": _TEXT,
    "schema_name": _TEXT,
    "schema_owner": _NUMBER,
    "schema_type": _TEXT,
    "schema_acl": _TEXT,
    "source_database": _TEXT,
    "schema_option": _TEXT,
}
_TABLES = {
    "database_name": _TEXT,
    "schema_name": _TEXT,
    "table_name": _TEXT,
    "table_type": _TEXT,
    "table_acl": _TEXT,
    "remarks": _TEXT,
    "owner": _TEXT,
    "last_altered_time": _TIME,
    "last_modified_time": _TIME,
    "dist_style": _TEXT,
    "table_subtype": _TEXT,
}
_COLUMNS = {
    "database_name": _TEXT,
    "schema_name": _TEXT,
    "table_name": _TEXT,
    "column_name": _TEXT,
    "ordinal_position": _NUMBER,
    "column_default": _TEXT,
    "is_nullable": _TEXT,
    "data_type": _TEXT,
    "character_maximum_length": _NUMBER,
    "numeric_precision": _NUMBER,
    "numeric_scale": _NUMBER,
    "remarks": _TEXT,
    "sort_key_type": _TEXT,
    "sort_key": _NUMBER,
    "dist_key": _NUMBER,
    "encoding": _TEXT,
    "collation": _TEXT,
}


def show(session: Session, sql: str, in_transaction: bool) -> Result:
    """Runs SHOW.

    Raises:
        SqlError: The object does not exist, or Redshift's output for it is not known.
    """
    reader = Reader(sql)
    reader.expect("SHOW")
    if reader.accept("SCHEMAS", "FROM", "DATABASE"):
        session.begin()
        _same_database(session, reader.name())
        query = f"SELECT {', '.join(_SCHEMAS)} FROM {SYSTEM_SCHEMA}.svv_all_schemas WHERE TRUE"
        return _listed(session, reader, query, _SCHEMAS, "schema_name", [])
    if reader.accept("TABLES", "FROM", "SCHEMA"):
        session.begin()
        query = f"""SELECT a.database_name, a.schema_name, a.table_name, a.table_type, a.table_acl, a.remarks, a.table_owner, NULL, NULL,
            CASE WHEN t.diststyle <> 'AUTO' THEN t.diststyle END, CASE WHEN m.table_name IS NOT NULL THEN 'MATERIALIZED VIEW'
                WHEN a.table_type = 'VIEW' THEN 'REGULAR VIEW' ELSE 'REGULAR TABLE' END
            FROM {SYSTEM_SCHEMA}.svv_all_tables a LEFT JOIN {SYSTEM_SCHEMA}.attributes t
                ON t.table_schema = a.schema_name AND t.table_name = a.table_name AND a.table_type = 'TABLE'
            LEFT JOIN {materialized.KEPT} m ON m.table_schema = a.schema_name AND m.table_name = a.table_name
            WHERE a.schema_name = ?"""
        return _listed(session, reader, query, _TABLES, "a.table_name", [_schema(session, reader)])
    if reader.accept("COLUMNS", "FROM", "TABLE"):
        session.begin()
        schema, name = _table(session, reader)
        query = f"""SELECT c.database_name, c.schema_name, c.table_name, c.column_name, c.ordinal_position, c.column_default, c.is_nullable,
            c.data_type, c.character_maximum_length, c.numeric_precision, c.numeric_scale, c.remarks,
            CASE WHEN len(t.sortkey) > 0 THEN CASE WHEN t.is_interleaved THEN 'INTERLEAVED' ELSE 'COMPOUND' END END,
            a.attsortkeyord, CAST(a.attisdistkey AS INTEGER), format_encoding(a.attencodingtype), NULL
            FROM {SYSTEM_SCHEMA}.svv_all_columns c
            JOIN {SYSTEM_SCHEMA}.relations r ON r.schema = c.schema_name AND r.name = c.table_name
            JOIN {SYSTEM_SCHEMA}.pg_attribute a ON a.attrelid = r.oid AND a.attname = c.column_name
            LEFT JOIN {SYSTEM_SCHEMA}.attributes t ON r.kind = 'r' AND t.table_schema = r.schema AND t.table_name = r.name
            WHERE c.schema_name = ? AND c.table_name = ?"""
        return _listed(session, reader, query, _COLUMNS, "c.column_name", [schema, name], order="c.ordinal_position")
    if reader.accept("TABLE"):
        session.begin()
        schema, name = _table(session, reader)
        reader.end()
        return _text("Show Table DDL statement", _table_ddl(session, schema, name))
    if reader.accept("VIEW"):
        session.begin()
        statement = materialized.statement_of(session, *_table(session, reader))
        reader.end()
        if statement is not None:
            return _text("Show View DDL statement", statement)
        raise unsupported("SHOW VIEW: Redshift writes the query anew, which")
    name = bare(sql).rstrip("; ").split()[-1].lower()
    if name not in SETTINGS or len(bare(sql).split()) > 2:
        raise unsupported(f"SHOW {' '.join(bare(sql).rstrip('; ').split()[1:3])}")
    return _text(name, session.settings.get(name, _UNSET.get(name, "unset")), 256)


def _text(name: str, value: str, length: int = 65535) -> Result:
    return Result([Column(name, "VARCHAR", length)], [(value,)], has_rows=True, size_bytes=0)


def _same_database(session: Session, database: str) -> None:
    if database != session.engine.database_name:
        raise SqlError(f'ERROR: database "{database}" does not exist')


def _schema(session: Session, reader: Reader) -> str:
    path = reader.path()
    if len(path) > 1:
        _same_database(session, path[0])
    known = session.con.execute(f"SELECT 1 FROM {SYSTEM_SCHEMA}.pg_namespace WHERE nspname = ?", [path[-1]])
    if not known.fetchone():
        raise SqlError(f'ERROR: schema "{path[-1]}" does not exist')
    return path[-1]


def _table(session: Session, reader: Reader) -> tuple[str, str]:
    path = reader.path()
    if len(path) > 2:
        _same_database(session, path[0])
    schema, name, _ = session.lookup(path[-2] if len(path) > 1 else "", path[-1])
    if schema in {"", SYSTEM_SCHEMA}:
        raise unsupported(f"SHOW of {'.'.join(path)}, which is temporary or the system's,")
    return schema, name


def _listed(
    session: Session,
    reader: Reader,
    query: str,
    columns: dict[str, tuple[str, int | None]],
    filtered: str,
    values: list[object],
    order: str = "",
) -> Result:
    """Returns the rows of the query, with the LIKE and LIMIT of the statement."""
    if reader.accept("LIKE"):
        query, values = f"{query} AND {filtered} LIKE ?", [*values, reader.text()]
    limit = reader.number() if reader.accept("LIMIT") else None
    reader.end()
    if limit is not None and limit > ROWS_MAX:
        raise SqlError(f"ERROR: LIMIT must be between 0 and {ROWS_MAX}")
    rows = session.con.execute(f"{query} ORDER BY {order or filtered}", values).fetchall()
    if limit is None and len(rows) > ROWS_MAX:
        raise SqlError(f"ERROR: more than {ROWS_MAX} rows: write LIMIT")
    made = [Column(name, kind, length) for name, (kind, length) in columns.items()]
    return Result(made, rows[:limit], has_rows=True, size_bytes=0)


def _table_ddl(session: Session, schema: str, name: str) -> str:
    con = session.con
    oid, kind = con.execute(
        f"SELECT oid, kind FROM {SYSTEM_SCHEMA}.relations WHERE schema = ? AND name = ?", [schema, name]
    ).fetchall()[0]
    if kind != "r":
        raise SqlError(f'ERROR: "{name}" is not a table')
    columns = con.execute(
        "SELECT attname, format_type(atttypid, atttypmod), attnotnull, format_encoding(attencodingtype), attisdistkey, atthasdef "
        f"FROM {SYSTEM_SCHEMA}.pg_attribute WHERE attrelid = ? ORDER BY attnum",
        [oid],
    ).fetchall()
    if any(row[-1] for row in columns):
        raise unsupported("SHOW TABLE of a table with defaults: Redshift writes their expressions anew, which")
    lines = [
        f"{column} {kind}{' NOT NULL' if not_null else ''}{f' ENCODE {encoding}' if encoding != 'none' else ''}"
        f"{' distkey' if is_distkey else ''}"
        for column, kind, not_null, encoding, is_distkey, _ in columns
    ]
    keys = (
        f"SELECT definition FROM {SYSTEM_SCHEMA}.pg_constraint WHERE conrelid = ? ORDER BY contype = 'f', contype, oid"
    )
    lines += [definition for (definition,) in con.execute(keys, [oid]).fetchall()]
    style, sortkey, is_interleaved = con.execute(
        f"SELECT diststyle, sortkey, is_interleaved FROM {SYSTEM_SCHEMA}.attributes WHERE table_schema = ? AND table_name = ?",
        [schema, name],
    ).fetchall()[0]
    body = ",\n".join(f"    {line}" for line in lines)
    tail = f"\n{'INTERLEAVED ' if is_interleaved else ''}SORTKEY ( {', '.join(sortkey)} )" if sortkey else ""
    return f"CREATE TABLE {schema}.{name} (\n{body}\n)\nDISTSTYLE {style}{tail};"
