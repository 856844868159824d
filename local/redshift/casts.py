"""Conversions between types: casts, comparisons of different types, and values that are stored in a column.

Source: Redshift Developer Guide, "Type compatibility and conversion", "Character types".
"""

from __future__ import annotations

import re
from collections.abc import Callable

from sqlglot import exp

from local.redshift.catalog import Column
from local.redshift.errors import SqlError, unsupported
from local.redshift.functions.call import cast, func, without_blanks
from local.redshift.functions.semistructured import as_super
from local.redshift.functions.times import iso
from local.redshift.marks import is_mark, of_kind, text_of
from local.redshift.types import BOOLEAN, DATE, FLOATS, NULL, SUPER, TIMES, UNKNOWN, Type, sql_name, varchar

_DUCKDB = {"INT": "INTEGER", "VARBINARY": "BLOB", "CHAR": "VARCHAR", "SUPER": "JSON"}


def duckdb_type(kind: Type) -> str:
    if kind.kind == "DECIMAL":
        return f"DECIMAL({kind.precision},{kind.scale})"
    return _DUCKDB.get(kind.kind, kind.kind)


def converted(node: exp.Expr, given: Type, wanted: Type, *, is_sized: bool) -> tuple[exp.Expr, Type]:
    """Returns (CAST(node AS wanted), its type).

    Raises:
        SqlError: Redshift has no such cast, or its result may differ from that of DuckDB.
    """
    if given == NULL:
        return cast(node, duckdb_type(wanted)), wanted
    if given == UNKNOWN:
        raise unsupported("a cast of a value whose type is not known")
    if wanted == SUPER:
        return as_super(node, given), SUPER
    if given == SUPER:
        return _from_super(node, wanted, is_sized)
    if wanted.is_text:
        return _to_text(node, given, wanted, is_sized)
    if given.is_text:
        return _from_text(node, given, wanted)
    if given.kind == wanted.kind and given.kind != "DECIMAL":
        return node, wanted
    if given.is_integer and wanted.kind == "VARBINARY":
        return func("rs_varbyte_of_number", node, {"SMALLINT": 4, "INT": 8, "BIGINT": 16}[given.kind]), wanted
    if wanted == BOOLEAN and not given.is_integer:
        raise _no_cast(given, wanted)
    if given == BOOLEAN and not wanted.is_integer:
        raise _no_cast(given, wanted)
    if (
        (given.is_number and wanted.is_number)
        or (given.kind in TIMES and wanted.kind in TIMES)
        or BOOLEAN in (given, wanted)
    ):
        return cast(node, duckdb_type(wanted)), wanted
    if given.kind in {"TIMESTAMP", "TIMESTAMPTZ"} and wanted.kind == "TIME":
        return cast(node, "TIME"), wanted
    raise _no_cast(given, wanted)


def _no_cast(given: Type, wanted: Type) -> SqlError:
    return SqlError(f"ERROR: cannot cast type {sql_name(given)} to {sql_name(wanted)}")


def _to_text(node: exp.Expr, given: Type, wanted: Type, is_sized: bool) -> tuple[exp.Expr, Type]:
    if given == BOOLEAN or given.kind == "INTERVAL":
        raise _no_cast(given, wanted)
    if given.kind == "VARBINARY":  # bytes that are not UTF-8 fail
        node, given = func("decode", node), varchar(has_blanks=True)
    if given.kind in FLOATS:
        text = func("rs_float_text", node, 15 if given.kind == "DOUBLE" else 6)
    else:
        text = node if given.is_text else cast(node, "VARCHAR")
    if is_sized and not (given.is_text and (given.length or 65536) <= (wanted.length or 0)):
        text = func("rs_cut", text, int(wanted.length or 0))
    if wanted.kind == "CHAR":
        return func("rtrim", text, " "), wanted
    cuts = is_sized and given.is_text and (given.length or 65536) > (wanted.length or 0)
    return text, varchar(wanted.length or 65535, has_blanks=given.has_blanks or cuts)


def _integer(text: str) -> str:
    if not re.fullmatch(r"\s*[+-]?\d+\s*", text):
        raise SqlError(f'ERROR: invalid input syntax for integer: "{text}"')
    return text


def _number(text: str) -> str:
    if not re.fullmatch(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*|(?i:nan|-?infinity)", text):
        raise SqlError(f'ERROR: invalid input syntax for type numeric: "{text}"')
    return text


def _boolean(text: str) -> str:
    word = text.strip().lower()
    if word not in {"t", "true", "y", "yes", "1", "f", "false", "n", "no", "0"}:
        raise SqlError(f'ERROR: invalid input syntax for type boolean: "{text}"')
    return "true" if word in {"t", "true", "y", "yes", "1"} else "false"


# Conversions of a bare text literal to another type. For a parameter they are applied when its value is inserted.
LITERALS: dict[str, Callable[[str], str]] = {"time": iso, "integer": _integer, "number": _number, "boolean": _boolean}


def _read(node: exp.Expr, kind: str) -> exp.Expr:
    return of_kind(node, kind) if is_mark(node) else exp.Literal.string(LITERALS[kind](node.name))


def _from_text(node: exp.Expr, given: Type, wanted: Type) -> tuple[exp.Expr, Type]:
    is_literal = isinstance(node, exp.Literal)
    if wanted.kind in TIMES:
        if is_literal:
            read = _read(node, "time")
            return cast(cast(read, "TIMESTAMP") if wanted == DATE else read, wanted.kind), wanted
        if wanted.kind == "TIMESTAMPTZ":
            raise unsupported("a cast of a text that is no literal to TIMESTAMPTZ")
        made = func("rs_timestamp", node)
        return cast(made, wanted.kind) if wanted == DATE else made, wanted
    if wanted.is_integer:
        return cast(_read(node, "integer") if is_literal else func("rs_whole", node), duckdb_type(wanted)), wanted
    if wanted.is_number:
        return cast(_read(node, "number") if is_literal else func("rs_number", node), duckdb_type(wanted)), wanted
    if wanted == BOOLEAN:
        if not is_literal:
            raise _no_cast(given, wanted)
        return cast(_read(node, "boolean"), "BOOLEAN"), BOOLEAN
    if wanted.kind == "TIME":
        return cast(node, "TIME"), wanted
    if wanted.kind == "VARBINARY":
        return func("encode", func("rpad", node, given.length or 1, " ") if given.kind == "CHAR" else node), wanted
    raise _no_cast(given, wanted)


def _from_super(node: exp.Expr, wanted: Type, is_sized: bool) -> tuple[exp.Expr, Type]:
    if wanted.is_text:
        text = func("rs_super_text", node)
        return (func("rs_cut", text, int(wanted.length or 0)) if is_sized else text), varchar(
            wanted.length or 65535, has_blanks=True
        )
    if wanted.is_number or wanted == BOOLEAN:
        return cast(func("rs_super_number", node), duckdb_type(wanted)), wanted
    if wanted.kind in {"DATE", "TIMESTAMP"}:
        return cast(func("rs_timestamp", func("rs_super_text", node)), wanted.kind), wanted
    raise _no_cast(SUPER, wanted)


def as_compared(left: exp.Expr, first: Type, right: exp.Expr, second: Type) -> tuple[exp.Expr, exp.Expr]:
    """Returns both sides of a comparison, rewritten so that DuckDB compares them like Redshift.

    Raises:
        SqlError: Redshift does not compare these types, or may compare them differently than DuckDB.
    """
    if UNKNOWN in (first, second) or NULL in (first, second):
        return left, right
    if first.is_literal and not second.is_literal and not second.is_text:
        return _literal(left, first, second), right
    if second.is_literal and not first.is_literal and not first.is_text:
        return left, _literal(right, second, first)
    if first.is_text and second.is_text:
        return without_blanks(left, first), without_blanks(right, second)
    if first.is_number and second.is_number:
        return left, right
    if (first.kind in TIMES and second.kind in TIMES) or (first == second and first != SUPER):
        return left, right
    raise unsupported(f"a comparison of {sql_name(first)} and {sql_name(second)} without a cast")


def _literal(node: exp.Expr, given: Type, other: Type) -> exp.Expr:
    """Returns a bare text literal as a value of the type with which it is compared."""
    if other == SUPER:
        raise unsupported("a comparison of SUPER and a text without a cast")
    if not isinstance(node, exp.Literal):  # parenthesized, or rewritten
        return node
    if other == DATE:
        return converted(node, given, DATE, is_sized=False)[0]
    return converted(node, given, other, is_sized=False)[0]


def stored(node: exp.Expr, given: Type, column: Column) -> tuple[exp.Expr, bool]:
    """Returns (the value as the column stores it, whether it may end with blanks)."""
    wanted = Type(column.kind, column.length, column.precision, column.scale)
    if given in (NULL, UNKNOWN) or given == wanted:
        return node, False
    if wanted.is_text and given.is_text:
        if wanted.kind == "CHAR":
            return func("rtrim", node, " ") if given.has_blanks or given.kind != "CHAR" else node, False
        if not given.has_blanks:
            return node, False
        if isinstance(node, exp.Literal):
            text = text_of(node)
            if len(text.encode()) > (column.length or 0) >= len(text.rstrip(" ").encode()):
                text = text.rstrip(" ") + " " * ((column.length or 0) - len(text.rstrip(" ").encode()))
            return exp.Literal.string(text), text.endswith(" ")
        return func("rs_fit", node, int(column.length or 0)), True
    if wanted.is_text:
        return _to_text(node, given, wanted, False)[0], False
    if given.is_text and not given.is_literal:
        raise SqlError(
            f'ERROR: column "{column.name}" is of type {sql_name(wanted)} but expression is of type {sql_name(given)}'
        )
    if given == SUPER and wanted != SUPER:
        raise SqlError(f'ERROR: column "{column.name}" is of type {sql_name(wanted)} but expression is of type super')
    if given.is_literal and not isinstance(node, exp.Literal):
        return cast(node, duckdb_type(wanted)), False
    return converted(node, given, wanted, is_sized=False)[0], False
