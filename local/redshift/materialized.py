"""Materialized views: a table with the result of a query, and the query.

A refresh computes the whole result again, which equals the result of Redshift's incremental refresh. A view is stale if
a table that it reads was written since the last refresh. Source: Redshift Developer Guide, CREATE, REFRESH and DROP
MATERIALIZED VIEW, SVV_MV_INFO.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import duckdb
from sqlglot import exp

from local.redshift import attributes, dialect, views
from local.redshift.catalog import SYSTEM_SCHEMA, Column
from local.redshift.errors import SqlError, unsupported
from local.redshift.names import DDL_LOCK, quoted, split
from local.redshift.reader import Reader
from local.redshift.results import Result
from local.redshift.tables import described, exists, make_table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from local.redshift.session import Session

KEPT, STALE = f"{SYSTEM_SCHEMA}.materialized", f"{SYSTEM_SCHEMA}.stale"
# A row of `stale` records that a table of the view was written. Rows are only added, so writers do not conflict.
BOOTSTRAP = f"""
CREATE TABLE IF NOT EXISTS {KEPT} (table_schema VARCHAR, table_name VARCHAR, statement VARCHAR, search_path VARCHAR);
CREATE TABLE IF NOT EXISTS {STALE} (table_schema VARCHAR, table_name VARCHAR);
"""
VIEW = f"""
    SELECT {{db}} AS database_name, m.table_schema AS schema_name, 'admin' AS user_name, m.table_name AS name,
        CASE WHEN EXISTS (FROM {STALE} s WHERE s.table_schema = m.table_schema AND s.table_name = m.table_name)
            THEN 't' ELSE 'f' END AS is_stale,
        0 AS state, 0 AS autorefresh, CAST(NULL AS INTEGER) AS autorewrite
    FROM {KEPT} m"""
_LEADER_ONLY = {
    "CURRENT_SCHEMA",
    "CURRENT_SCHEMAS",
    "HAS_DATABASE_PRIVILEGE",
    "HAS_SCHEMA_PRIVILEGE",
    "HAS_TABLE_PRIVILEGE",
}


@dataclass(frozen=True)
class Known:
    """The materialized views of a database, as schema.name, and which of them read a table."""

    names: frozenset[str]
    readers: dict[str, list[str]]


def known(con: duckdb.DuckDBPyConnection) -> Known:
    """Returns the materialized views that the connection sees."""
    names = frozenset(f"{s}.{n}" for s, n in con.execute(f"SELECT table_schema, table_name FROM {KEPT}").fetchall())
    rows = con.execute(
        f"""SELECT d.table_schema || '.' || d.table_name, d.view_schema || '.' || d.view_name FROM {SYSTEM_SCHEMA}.dependencies d
        JOIN {KEPT} m ON m.table_schema = d.view_schema AND m.table_name = d.view_name"""
    ).fetchall()
    readers: dict[str, list[str]] = {}
    for table, name in rows:
        readers.setdefault(table, []).append(name)
    return Known(names, readers)


def refuse(session: Session, name: str) -> None:
    """Raises SqlError if the name is that of a materialized view, which only a refresh can change."""
    full = name if "." in name else f"public.{name}"
    if name not in session.temporary and full in session.materialized().names:
        raise SqlError(f'ERROR: cannot change materialized view "{split(full)[1]}"')


def mark_stale(session: Session, tables: Iterable[str]) -> None:
    """Marks the views that read these tables, named with their schemas, as stale."""
    readers = session.materialized().readers
    for name in {name for table in tables for name in readers.get(table, ())}:
        session.con.execute(f"INSERT INTO {STALE} VALUES (?, ?)", list(split(name)))


def create(session: Session, tree: exp.Create, sql: str) -> Result:
    """Runs CREATE MATERIALIZED VIEW.

    Raises:
        SqlError: The query uses a feature that is not allowed in such a view, or AUTO REFRESH YES is requested.
    """
    for option in tree.args["properties"].find_all(exp.AutoRefreshProperty):
        if option.this.name.upper() == "YES":
            raise unsupported("AUTO REFRESH YES: nothing refreshes by itself here, so it")
    place, name = tree.this.db.lower() or "public", tree.this.name.lower()
    bases = _bases(session, tree.expression)
    session.lock([DDL_LOCK, *bases])  # concurrent writes would be missed
    session.begin()
    session.note(reads=bases)
    if exists(session, place, name):
        raise SqlError(f'ERROR: Relation "{name}" already exists')
    compiled = session.translator(sql).query(tree.expression.copy())
    columns = described(session, compiled)
    make_table(session, place, name, columns)
    declared = attributes.attributes_of(tree, sql)
    if declared.diststyle == "AUTO":
        declared.diststyle = "EVEN"  # the default of such a view
    attributes.keep(session.con, place, name, declared)
    session.con.execute(f"INSERT INTO {KEPT} VALUES (?, ?, ?, ?)", [place, name, sql, ",".join(session.search_path())])
    views.keep(session.con, place, name, [split(base) for base in bases])
    session.con.execute(f"INSERT INTO {quoted(place, name)} {compiled.sql}")
    return Result(touched=0)


def _bases(session: Session, query: exp.Expr) -> list[str]:
    """Returns the tables of the query with their schemas."""
    found = []
    for node in query.find_all(exp.Order, exp.Limit, exp.Offset):
        if isinstance(node, exp.Limit | exp.Offset) or isinstance(node.parent, exp.Query):
            raise SqlError(f"ERROR: materialized views do not support {node.key.upper()}")
    for call in query.find_all(exp.Anonymous, exp.CurrentSchema):
        if call.name.upper() in _LEADER_ONLY or isinstance(call, exp.CurrentSchema):
            raise SqlError("ERROR: materialized views do not support leader node-only functions")
    for table in dialect.tables_of(query):
        place, name, _ = session.lookup(*split(table))
        if not place:
            raise SqlError(f'ERROR: materialized views do not support temporary tables: "{name}"')
        if place == SYSTEM_SCHEMA:
            raise SqlError(f'ERROR: materialized views do not support system tables: "{name}"')
        if views.kind(session.con, place, name) == "VIEW":
            raise SqlError(f'ERROR: materialized views do not support regular views: "{name}"')
        found.append(f"{place}.{name}")
    return found


def refresh(session: Session, sql: str, in_transaction: bool) -> Result:
    """Runs REFRESH MATERIALIZED VIEW."""
    reader = Reader(sql)
    reader.expect("REFRESH", "MATERIALIZED", "VIEW")
    path = reader.path()
    if reader.accept("CASCADE"):
        raise unsupported("REFRESH MATERIALIZED VIEW ... CASCADE")
    reader.accept("RESTRICT")
    reader.end()
    if in_transaction:  # only a full refresh sees the transaction's own rows
        raise unsupported("REFRESH MATERIALIZED VIEW in a transaction block")
    place, name, _ = session.lookup(path[-2] if len(path) > 1 else "", path[-1])
    session.lock([f"{place}.{name}"])
    session.begin()
    row = session.con.execute(
        f"SELECT statement, search_path FROM {KEPT} WHERE table_schema = ? AND table_name = ?", [place, name]
    ).fetchone()
    if row is None:
        raise SqlError(f'ERROR: "{name}" is not a materialized view')
    statement, search_path = row

    def lookup(schema: str, table: str) -> tuple[str, str, list[Column]]:
        for where in [schema] if schema else str(search_path).split(","):
            if columns := session.catalog.find(session.con, where, table):
                return where, table, columns
        raise SqlError(f'ERROR: relation "{table}" does not exist')

    query = dialect.parse(str(statement)).expression
    translator = session.translator(str(statement))
    translator.lookup = lookup
    compiled = translator.query(query)
    columns = described(session, compiled)
    table = quoted(place, name)
    session.con.execute(f"DELETE FROM {table}")
    session.con.execute(f"INSERT INTO {table} {compiled.sql}")
    session.con.execute(f"DELETE FROM {STALE} WHERE table_schema = ? AND table_name = ?", [place, name])
    session.mark_blanks(place, name, session.lookup(place, name)[2], {c.name for c in columns if c.has_blanks})
    mark_stale(session, [f"{place}.{name}"])
    return Result(touched=0)


def drop(session: Session, place: str, name: str) -> None:
    """Drops a view that is known to be materialized."""
    session.con.execute(f"DROP TABLE {quoted(place, name)}")
    for kept in (KEPT, STALE):
        session.con.execute(f"DELETE FROM {kept} WHERE table_schema = ? AND table_name = ?", [place, name])
    session.con.execute(
        f"DELETE FROM {SYSTEM_SCHEMA}.dependencies WHERE view_schema = ? AND view_name = ?", [place, name]
    )


def statement_of(session: Session, place: str, name: str) -> str | None:
    """Returns the statement that created the view, or None if it is not a materialized view."""
    row = session.con.execute(
        f"SELECT statement FROM {KEPT} WHERE table_schema = ? AND table_name = ?", [place, name]
    ).fetchone()
    return str(row[0]).rstrip("; \n") + ";" if row else None
