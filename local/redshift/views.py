"""The dependencies of views on tables."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import duckdb
import sqlglot
from sqlglot import exp

from local.redshift.catalog import SYSTEM_SCHEMA

BOOTSTRAP = f"""
CREATE TABLE IF NOT EXISTS {SYSTEM_SCHEMA}.dependencies (
    view_schema VARCHAR, view_name VARCHAR, table_schema VARCHAR, table_name VARCHAR
);
"""


@dataclass(frozen=True)
class View:
    """One view with its definition in DuckDB."""

    schema: str
    name: str
    tree: exp.Expr

    def reads(self, schema: str, name: str) -> list[exp.Table]:
        return [t for t in self.tree.expression.find_all(exp.Table) if (t.db or "public", t.name) == (schema, name)]

    def following(self, schema: str, name: str, new: str) -> str:
        """Returns the DDL of the view with the new name of the table."""
        for table in self.reads(schema, name):
            if not table.alias:
                table.set("alias", exp.TableAlias(this=exp.to_identifier(name, quoted=True)))
            table.set("this", exp.to_identifier(new, quoted=True))
        self.tree.set("replace", True)
        return str(self.tree.sql("duckdb"))


def keep(con: duckdb.DuckDBPyConnection, schema: str, name: str, tables: Iterable[tuple[str, str]]) -> None:
    """Records the tables that the view reads, and replaces those of an earlier view of this name."""
    con.execute(f"DELETE FROM {SYSTEM_SCHEMA}.dependencies WHERE view_schema = ? AND view_name = ?", [schema, name])
    for table in sorted(set(tables)):
        con.execute(f"INSERT INTO {SYSTEM_SCHEMA}.dependencies VALUES (?, ?, ?, ?)", [schema, name, *table])


def rename(con: duckdb.DuckDBPyConnection, schema: str, name: str, new: str) -> None:
    """Renames a table or view in the recorded dependencies."""
    for of in ("view", "table"):
        con.execute(
            f"UPDATE {SYSTEM_SCHEMA}.dependencies SET {of}_name = ? WHERE {of}_schema = ? AND {of}_name = ?",
            [new, schema, name],
        )


def readers(con: duckdb.DuckDBPyConnection, schema: str, name: str) -> list[View]:
    """Returns the views that read the table or view directly."""
    rows = con.execute(
        f"SELECT schema_name, v.view_name, sql FROM duckdb_views() v JOIN {SYSTEM_SCHEMA}.dependencies d "
        "ON d.view_schema = v.schema_name AND d.view_name = v.view_name "
        "WHERE NOT internal AND NOT temporary AND d.table_schema = ? AND d.table_name = ?",
        [schema, name],
    ).fetchall()
    return [View(of, view, sqlglot.parse_one(sql, read="duckdb")) for of, view, sql in rows]


def kind(con: duckdb.DuckDBPyConnection, schema: str, name: str) -> str:
    """Returns TABLE or VIEW."""
    found = con.execute(
        "SELECT 1 FROM duckdb_views() WHERE schema_name = ? AND view_name = ?", [schema, name]
    ).fetchone()
    return "VIEW" if found else "TABLE"
