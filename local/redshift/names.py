"""Names of tables, as schema.table or table."""

from __future__ import annotations

import re

import duckdb
from sqlglot import exp

TABLE_NAME = r'((?:"?[\w#]+"?\.)?"?[\w#]+"?)'
DDL_LOCK = "catalog"  # DDL transactions are serialized


def bare(sql: str) -> str:
    return re.sub(r"--[^\n]*|/\*.*?\*/", "", sql, flags=re.DOTALL).strip()


def unquoted(name: str) -> str:
    return name.replace('"', "").lower()


def split(name: str) -> tuple[str, str]:
    schema, _, table = name.rpartition(".")
    return schema, table


def name_of(table: exp.Expr) -> str:
    return f"{table.args['db'].name.lower()}.{table.name.lower()}" if table.args.get("db") else table.name.lower()


def target_of(tree: exp.Expr) -> str:
    table = tree.this.this if isinstance(tree.this, exp.Schema) else tree.this
    return name_of(table)


def quoted(schema: str, name: str) -> str:
    return f'"{schema}"."{name}"' if schema else f'"{name}"'


def quoted_name(name: str) -> str:
    return quoted(*split(name))


def count_of(cursor: duckdb.DuckDBPyConnection) -> int:
    row = cursor.fetchone()
    return int(row[0]) if row else 0
