"""Attributes of CREATE TABLE beside columns and types: distribution, sort order, encodings, and keys.

None of them changes a result here, and keys are not enforced. They are stored for the system catalog, from which tools
read them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import duckdb
from sqlglot import exp
from sqlglot.tokenizer_core import Token, TokenType

from local.redshift import dialect
from local.redshift.catalog import SYSTEM_SCHEMA

TABLES = ("attributes", "encodings", "keys")
BOOTSTRAP = f"""
CREATE TABLE IF NOT EXISTS {SYSTEM_SCHEMA}.attributes (
    table_schema VARCHAR, table_name VARCHAR, diststyle VARCHAR, distkey VARCHAR, sortkey VARCHAR[], is_interleaved BOOLEAN
);
CREATE TABLE IF NOT EXISTS {SYSTEM_SCHEMA}.encodings (table_schema VARCHAR, table_name VARCHAR, name VARCHAR, encoding VARCHAR);
CREATE TABLE IF NOT EXISTS {SYSTEM_SCHEMA}.keys (
    table_schema VARCHAR, table_name VARCHAR, name VARCHAR, kind VARCHAR, columns VARCHAR[],
    other_schema VARCHAR, other_table VARCHAR, other_columns VARCHAR[]
);
"""


@dataclass(frozen=True)
class Key:
    """A constraint: kind is p (primary), u (unique) or f (foreign), as in pg_constraint."""

    name: str
    kind: str
    columns: list[str]
    other: tuple[str, str, list[str]] | None = None


@dataclass
class Attributes:
    """The attributes that CREATE TABLE declared, with AUTO as the default distribution style."""

    diststyle: str = "AUTO"
    distkey: str | None = None
    sortkey: list[str] = field(default_factory=list)
    is_interleaved: bool = False
    encodings: dict[str, str] = field(default_factory=dict)
    keys: list[Key] = field(default_factory=list)


def attributes_of(tree: exp.Create, sql: str) -> Attributes:
    """Returns the attributes that the statement declares; `tree` is the parsed statement."""
    found = Attributes()
    depth, column, is_new_item = 0, "", False
    stream = dialect.tokens(sql)
    for i, token in enumerate(stream):
        word = token.text.upper()
        if token.token_type in {TokenType.L_PAREN, TokenType.R_PAREN}:
            depth += 1 if token.token_type is TokenType.L_PAREN else -1
            is_new_item = depth == 1 and token.token_type is TokenType.L_PAREN
            column = column if depth else ""
        elif token.token_type is TokenType.COMMA and depth == 1:
            is_new_item = True
        elif is_new_item:
            column, is_new_item = token.text.lower(), False
        elif word == "ENCODE" and depth == 1:
            found.encodings[column] = stream[i + 1].text.lower()
        elif word == "DISTSTYLE" and depth == 0:
            found.diststyle = stream[i + 1].text.upper()
        elif word == "DISTKEY":
            found.diststyle, found.distkey = "KEY", next(_listed(stream, i), column)
        elif word == "SORTKEY":
            found.sortkey = list(_listed(stream, i)) or ([column] if depth == 1 else [])
            found.is_interleaved = stream[i - 1].text.upper() == "INTERLEAVED"
        elif word in {"AS", "SELECT"} and depth == 0:
            break
    found.keys = list(_keys(tree))
    return found


def _listed(stream: tuple[Token, ...], i: int) -> Iterator[str]:
    """Yields the names in the parentheses after the token."""
    if i + 1 >= len(stream) or stream[i + 1].token_type is not TokenType.L_PAREN:
        return
    for token in stream[i + 2 :]:
        if token.token_type is TokenType.R_PAREN:
            return
        if token.token_type is not TokenType.COMMA:
            yield token.text.lower()


def _keys(tree: exp.Create) -> Iterator[Key]:
    schema = tree.this
    if not isinstance(schema, exp.Schema):
        return
    table = schema.this.name.lower()
    for item in schema.expressions:
        if isinstance(item, exp.ColumnDef):
            name = item.name.lower()
            for constraint in item.args.get("constraints") or []:
                match constraint.kind:
                    case exp.PrimaryKeyColumnConstraint():
                        yield Key(f"{table}_pkey", "p", [name])
                    case exp.UniqueColumnConstraint():
                        yield Key(f"{table}_{name}_key", "u", [name])
                    case exp.Reference() as other:
                        yield Key(f"{table}_{name}_fkey", "f", [name], _other(other))
            continue
        given = item.name.lower() if isinstance(item, exp.Constraint) else ""
        for part in item.expressions if isinstance(item, exp.Constraint) else [item]:
            match part:
                case exp.PrimaryKey():
                    yield Key(given or f"{table}_pkey", "p", _names(part.expressions))
                case exp.UniqueColumnConstraint():
                    columns = _names(part.this.expressions if part.this else [])
                    yield Key(given or f"{table}_{'_'.join(columns)}_key", "u", columns)
                case exp.ForeignKey():
                    columns = _names(part.expressions)
                    name = given or f"{table}_{'_'.join(columns)}_fkey"
                    yield Key(name, "f", columns, _other(part.args["reference"]))


def _names(nodes: list[exp.Expr]) -> list[str]:
    return [node.name.lower() for node in nodes]


def _other(reference: exp.Reference) -> tuple[str, str, list[str]]:
    target = reference.this
    table = target.this if isinstance(target, exp.Schema) else target
    columns = target.expressions if isinstance(target, exp.Schema) else []
    return table.db.lower() or "public", table.name.lower(), _names(columns)


def keep(con: duckdb.DuckDBPyConnection, schema: str, table: str, found: Attributes) -> None:
    """Stores the attributes, and replaces those of an earlier table of this name."""
    for name in TABLES:
        con.execute(f"DELETE FROM {SYSTEM_SCHEMA}.{name} WHERE table_schema = ? AND table_name = ?", [schema, table])
    con.execute(
        f"INSERT INTO {SYSTEM_SCHEMA}.attributes VALUES (?, ?, ?, ?, ?, ?)",
        [schema, table, found.diststyle, found.distkey, found.sortkey, found.is_interleaved],
    )
    for column, encoding in found.encodings.items():
        con.execute(f"INSERT INTO {SYSTEM_SCHEMA}.encodings VALUES (?, ?, ?, ?)", [schema, table, column, encoding])
    for key in found.keys:
        con.execute(
            f"INSERT INTO {SYSTEM_SCHEMA}.keys VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [schema, table, key.name, key.kind, key.columns, *(key.other or (None, None, None))],
        )


def rename(con: duckdb.DuckDBPyConnection, schema: str, table: str, old: str, new: str) -> None:
    """Renames a column in the stored attributes."""
    where = "WHERE table_schema = ? AND table_name = ?"
    renamed = "list_transform({}, lambda c: CASE c WHEN ? THEN ? ELSE c END)"
    con.execute(
        f"UPDATE {SYSTEM_SCHEMA}.attributes SET distkey = CASE distkey WHEN ? THEN ? ELSE distkey END, "
        f"sortkey = {renamed.format('sortkey')} {where}",
        [old, new, old, new, schema, table],
    )
    con.execute(
        f"UPDATE {SYSTEM_SCHEMA}.keys SET columns = {renamed.format('columns')} {where}", [old, new, schema, table]
    )
    con.execute(f"UPDATE {SYSTEM_SCHEMA}.encodings SET name = ? {where} AND name = ?", [new, schema, table, old])
