"""Queries of Redshift's system catalog (`catalog_views`), as clients and BI tools write them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sqlglot import exp

from local.redshift.catalog import SYSTEM_SCHEMA, Column, from_duckdb_type
from local.redshift.catalog_views import VIEWS
from local.redshift.errors import SqlError

if TYPE_CHECKING:
    from local.redshift.session import Session

VERSION = "PostgreSQL 8.0.2 on i686-pc-linux-gnu, compiled by GCC gcc (GCC) 3.4.2 20041017 (Red Hat 3.4.2-6.fc3), Redshift 1.0.0"
_SCHEMAS = {"pg_catalog", "information_schema"}


_FUNCTION_TABLES = (exp.CurrentDatabase, exp.CurrentSchema, exp.CurrentVersion, exp.CurrentUser)
_CATALOG_TYPES = {exp.DataType.Type.USERDEFINED, exp.DataType.Type.NAME}
_KNOWN: dict[type, str] = {
    exp.CurrentUser: "current_user",
    exp.SessionUser: "session_user",
    exp.CurrentDatabase: "current_database",
    exp.CurrentSchema: "current_schema",
    exp.CurrentVersion: "version",
}
# Functions that a query may call without naming a relation of the catalog.
_CATALOG_FUNCTIONS = {
    "obj_description",
    "col_description",
    "has_table_privilege",
    "has_schema_privilege",
    "has_database_privilege",
    "pg_get_userbyid",
    "pg_get_viewdef",
    "format_type",
    "format_encoding",
}
_LATE_BINDING = "pg_get_late_binding_view_cols"

_WORDS = frozenset(
    {
        *VIEWS,
        *_SCHEMAS,
        *(v.removeprefix("information_schema__") for v in VIEWS),
        _LATE_BINDING,
        *_CATALOG_FUNCTIONS,
        "current_database",
        "current_schema",
        "version",
        "current_user",
        "regclass",
    }
)


def view_of(table: exp.Table) -> str:
    """Returns the view for a table of the catalog, or an empty text for other tables.

    Raises:
        SqlError: The table is in a schema of the catalog, but is not implemented here.
    """
    schema, name = table.db.lower(), table.name.lower()
    found = f"information_schema__{name}" if schema == "information_schema" else name
    if found in VIEWS and found != "relations" and schema in {"", *_SCHEMAS}:
        return found
    if schema in _SCHEMAS:
        raise SqlError(f'ERROR: relation "{schema}.{name}" does not exist in the local Redshift stand-in')
    return ""


def _is_function(table: exp.Table) -> bool:
    return isinstance(table.this, _FUNCTION_TABLES) or _is_late_binding(table)


def _is_late_binding(table: exp.Table) -> bool:
    return isinstance(table.this, exp.Anonymous) and table.this.name.lower() == _LATE_BINDING


def may_concern(sql: str) -> bool:
    """Returns whether the text contains a name of the catalog; otherwise it is not a query of the catalog."""
    return not _WORDS.isdisjoint(re.findall(r"\w+", sql.lower()))


def is_catalog_query(tree: exp.Expr) -> bool:
    """Returns whether the query reads only the catalog, and may therefore use the syntax of tools' catalog queries."""
    ctes = {cte.alias.lower() for cte in tree.find_all(exp.CTE)}
    tables = [t for t in tree.find_all(exp.Table) if t.db or t.name.lower() not in ctes]
    if isinstance(tree, exp.Query) and not tables:
        calls = [str(call.this).lower() for call in tree.find_all(exp.Anonymous)]
        # SELECT 'shop.line'::regclass::oid calls no function, but looks a name up.
        looks_up = any(isinstance(cast.args["to"], exp.ObjectIdentifier) for cast in tree.find_all(exp.Cast))
        return (bool(calls) or looks_up) and all(call in _CATALOG_FUNCTIONS for call in calls)
    return isinstance(tree, exp.Query) and all(_is_function(t) or view_of(t) for t in tables)


def is_resolved(tree: exp.Expr) -> bool:
    """Returns whether the tree is a query of the catalog alone with names that `resolved` has replaced."""
    return bool(tree.meta.get("is_catalog_query"))


def translated(tree: exp.Expr) -> str:
    """Returns DuckDB's SQL of a query that reads only the catalog."""
    for name in tree.find_all(exp.Identifier):
        name.set("this", name.name.lower())
    for select in list(tree.find_all(exp.Select)):
        select.set("expressions", [_with_name(item) for item in select.expressions])
    return str(tree.sql("duckdb"))


def _with_name(item: exp.Expr) -> exp.Expr:
    """Names a column without an alias after its function."""
    value = item
    while isinstance(value, exp.Cast | exp.Paren):
        value = value.this
    if isinstance(item, exp.Literal):
        return exp.alias_(item.copy(), "?column?", quoted=True)
    if isinstance(item, exp.Alias | exp.Column | exp.Star) or not isinstance(value, exp.Func):
        return item
    name = value.name if isinstance(value, exp.Anonymous) else value.sql_name()
    return exp.alias_(item.copy(), name.lower())


def column_of(name: str, kind: str, *, is_catalog: bool) -> Column:
    """Returns the result column for a DuckDB type; arrays, which only the catalog has, become text: {1,2}."""
    if is_catalog and kind.endswith("[]"):
        return Column(name.lower(), "VARCHAR", 65535)
    return from_duckdb_type(name.lower(), kind)


def resolved(tree: exp.Expr, session: Session) -> exp.Expr:
    """Returns the tree with relations, functions and types of the catalog and values of the session resolved."""
    tree.meta["is_catalog_query"] = is_catalog_query(tree)
    for node in list(tree.walk(bfs=True))[::-1]:
        replacement = _resolved(node, session)
        if replacement is node:
            continue
        if node is tree:
            return replacement
        node.replace(replacement)
    return tree


def concerns(node: exp.Expr) -> bool:
    """Returns whether `resolved` may change the node, so that its statement depends on the session."""
    match node:
        case exp.Table():
            return bool(node.catalog) or node.db.lower() in _SCHEMAS or node.name.lower() in VIEWS or _is_function(node)
        case exp.Column():
            return bool(node.catalog) or node.db.lower() in _SCHEMAS
        case exp.Dot() | exp.Operator() | exp.Collate():
            return True
        case exp.Anonymous():
            return node.name.lower() == "pg_backend_pid" or node.name.lower() in _CATALOG_FUNCTIONS
        case exp.Cast():
            return isinstance(node.args["to"], exp.ObjectIdentifier) or node.args["to"].this in _CATALOG_TYPES
    return type(node) in _KNOWN


def _resolved(node: exp.Expr, session: Session) -> exp.Expr:
    if isinstance(node, exp.Table | exp.Column) and (database := node.catalog):
        if database.lower() != session.engine.database_name:
            raise SqlError(f'ERROR: database "{database}" does not exist')
        node.set("catalog", None)
    match node:
        case exp.Table() if _is_function(node):
            return _function(node, session)
        case exp.Table() if view := view_of(node):
            if not node.alias:
                node.set("alias", exp.TableAlias(this=exp.to_identifier(node.name.lower())))
            node.set("this", exp.to_identifier(view))
            node.set("db", exp.to_identifier(SYSTEM_SCHEMA))
        case exp.Column() if node.db.lower() in _SCHEMAS:
            node.set("db", None)
        case exp.Dot() if node.this.name.lower() == "pg_catalog":
            known = _known(node.expression, session)
            return _named(known[1], node, known[0]) if known else node.expression
        case exp.Func() if not isinstance(node.parent, exp.Table | exp.Dot) and (known := _known(node, session)):
            return _named(known[1], node, known[0])
        case exp.Operator():
            return _operator(node)
        case exp.Collate():
            return node.this
        case exp.Cast():
            return _cast(node)
    return node


def _known(node: exp.Expr, session: Session) -> tuple[str, exp.Expr] | None:
    """Returns the name and the value of a function that returns a property of the session, or None."""
    name = node.name.lower() if isinstance(node, exp.Anonymous) else _KNOWN.get(type(node), "")
    match name:
        case "current_user" | "session_user":
            return name, exp.Literal.string(session.user)
        case "current_database":
            return name, exp.Literal.string(session.engine.database_name)
        case "current_schema":
            return name, exp.Literal.string(session.schema)
        case "version":
            return name, exp.Literal.string(VERSION)
        case "pg_backend_pid":
            return name, exp.Literal.number(session.process_id)
    return None


def _function(node: exp.Table, session: Session) -> exp.Expr:
    """Returns the query that is equivalent to a function after FROM."""
    if _is_late_binding(node):  # such views are refused, so the result is empty
        columns = (
            [c.name for c in node.args["alias"].columns]
            if node.args.get("alias")
            else ["view_schema", "view_name", "col_name", "col_type", "col_num"]
        )
        select = exp.select(*[exp.alias_(exp.cast(exp.null(), "TEXT"), name) for name in columns]).where(exp.false())
        return exp.alias_(exp.Subquery(this=select), node.alias or _LATE_BINDING, table=True)
    known = _known(node.this, session)
    if known is None:
        raise SqlError(f"ERROR: {node.this.sql('redshift')} after FROM is not supported by the local Redshift stand-in")
    name, value = known
    return exp.alias_(exp.Subquery(this=exp.select(exp.alias_(value, name))), node.alias or name, table=True)


def _named(value: exp.Expr, node: exp.Expr, name: str) -> exp.Expr:
    """Names the literal that replaces a function after the function."""
    return exp.alias_(value, name) if isinstance(node.parent, exp.Select) and node.arg_key == "expressions" else value


def _operator(node: exp.Operator) -> exp.Expr:
    word = str(node.args["operator"]).rpartition(".")[2]
    left, right = node.this, node.expression
    match word:
        case "~":
            return exp.RegexpLike(this=left, expression=right)
        case "!~":
            return exp.Not(this=exp.RegexpLike(this=left, expression=right))
        case "~~":
            return exp.Like(this=left, expression=right)
        case "=":
            return exp.EQ(this=left, expression=right)
    return node


def _cast(node: exp.Cast) -> exp.Expr:
    """Rewrites casts to object identifiers, which are numbers here and shown as the names of their objects."""
    kind, value = node.args["to"], node.this
    is_shown = isinstance(node.parent, exp.Cast | exp.Select | exp.Alias)
    match _type_name(kind):
        case "regclass" if value.is_string:
            return exp.func("rs_regclass", value)
        case "regclass":
            return exp.func("rs_relname", value) if is_shown else value
        case "regtype":
            return exp.func("format_type", value, exp.null()) if is_shown else value
        case "oid" | "xid":
            return exp.cast(value, "BIGINT")
        case "name" | '"char"' | "regproc":
            return exp.cast(value, "TEXT")
    return node


def _type_name(kind: exp.Expr) -> str:
    if isinstance(kind, exp.DataType) and kind.this is exp.DataType.Type.USERDEFINED:
        return str(kind.args["kind"].sql("redshift")).lower()
    return str(kind.name if isinstance(kind.this, str) else kind.this.name).lower()
