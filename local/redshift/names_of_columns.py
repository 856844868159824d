"""Redshift's names for result columns without an alias."""

from __future__ import annotations

from sqlglot import exp

_CALLS = {
    "DATEDIFF": "date_diff",
    "DATEADD": "date_add",
    "DATE_PART": "pgdate_part",
    "NVL": "coalesce",
    "TRIM": "btrim",
    "IFNULL": "coalesce",
    "DECODE": "case",
    "NVL2": "case",
    "LENGTH": "len",
    "CHAR_LENGTH": "len",
    "CHARACTER_LENGTH": "len",
    "TEXTLEN": "len",
    "SUBSTR": "substring",
    "CEIL": "ceiling",
}
_TYPES = {
    "INT": "int4",
    "BIGINT": "int8",
    "SMALLINT": "int2",
    "DOUBLE": "float8",
    "FLOAT": "float4",
    "DECIMAL": "numeric",
    "BOOLEAN": "bool",
    "TIMESTAMP": "timestamp",
    "TIMESTAMPTZ": "timestamptz",
    "VARCHAR": "varchar",
    "CHAR": "bpchar",
    "DATE": "date",
    "TIME": "time",
    "SUPER": "super",
}
_NAMES = (
    (exp.Extract, "date_part"),
    (exp.Trim, "btrim"),
    (exp.StrPosition, "position"),
    (exp.Substring, "substring"),
    (exp.CurrentDate, "date"),
    (exp.CurrentUser | exp.SessionUser, "current_user"),
    (exp.AtTimeZone, "timezone"),
)


def default_name(node: exp.Expr) -> str:
    """Returns the name according to PostgreSQL 8.0 and the examples of the Developer Guide."""
    match node:
        case exp.Column() | exp.Dot():
            return str(node.name).lower()
        case exp.Paren() | exp.Bracket():
            return default_name(node.this)
        case exp.Cast():
            inner = default_name(node.this)
            return inner if inner != "?column?" else _TYPES.get(getattr(node.args["to"].this, "name", ""), "?column?")
        case exp.Anonymous():
            name = str(node.this).upper()
            return _CALLS.get(name, name.lower())
        case exp.Window() | exp.WithinGroup() | exp.IgnoreNulls() | exp.RespectNulls():
            return default_name(node.this)
        case exp.Case():
            default = node.args.get("default")
            return str(default.name).lower() if isinstance(default, exp.Column) else "case"
        case exp.CurrentTimestamp():
            return "timestamp" if node.args.get("sysdate") else "timestamptz"
    return next((name for kind, name in _NAMES if isinstance(node, kind)), "?column?")
