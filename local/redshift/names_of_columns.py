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


def default_name(node: exp.Expr) -> str:
    """Returns the name according to PostgreSQL 8.0 and the examples of the Developer Guide."""
    match node:
        case exp.Column():
            return str(node.name).lower()
        case exp.Paren():
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
        case exp.Extract():
            return "date_part"
        case exp.Trim():
            return "btrim"
        case exp.StrPosition():
            return "position"
        case exp.Substring():
            return "substring"
        case exp.CurrentTimestamp():
            return "timestamp" if node.args.get("sysdate") else "timestamptz"
        case exp.CurrentDate():
            return "date"
        case exp.CurrentUser() | exp.SessionUser():
            return "current_user"
        case exp.Dot():
            return str(node.name).lower()
        case exp.Bracket():
            return default_name(node.this)
        case exp.AtTimeZone():
            return "timezone"
        case exp.Exists():
            return "?column?"
    return "?column?"
