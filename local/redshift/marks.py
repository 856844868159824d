"""Marks, which represent parameter values in a statement, so that it is parsed and translated once for all values.

A mark is a string literal, as the value would be. If the translation converts a literal, such as a time in a text, the
mark records the conversion (its kind), which is applied when the value is inserted. If the translation depends on the
value, it raises `NeedsValue`, and the statement is parsed with its values.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from sqlglot import exp

from local.redshift.errors import SqlError

# Characters of Unicode's private use area, which no SQL contains. The parameter's name and the kind are between them.
OPEN, CLOSE = "\ue0a1", "\ue0a2"
_MARK = re.compile(f"{OPEN}([^{CLOSE}]+?)(?:/([a-z]+))?{CLOSE}")
_SOLE = re.compile(f"'{OPEN}[^{CLOSE}]+{CLOSE}'")


class NeedsValue(SqlError):  # noqa: N818
    """The translation depends on the value of a parameter."""


def mark(name: str, kind: str = "") -> str:
    return f"{OPEN}{name}{f'/{kind}' if kind else ''}{CLOSE}"


def is_mark(node: exp.Expr) -> bool:
    return isinstance(node, exp.Literal) and _MARK.fullmatch(node.name) is not None


def of_kind(node: exp.Expr, kind: str) -> exp.Expr:
    """Returns the mark with the conversion of its value."""
    found = _MARK.fullmatch(node.name)
    if not found or found[2] not in (None, kind):
        raise NeedsValue(f"the parameter in {node.name}")
    return exp.Literal.string(mark(found[1], kind))


def text_of(node: exp.Expr) -> str:
    """Returns the text of a literal whose value the translation needs.

    Raises:
        NeedsValue: It is a mark.
    """
    if is_mark(node):
        raise NeedsValue(f"the parameter in {node.name}")
    return str(node.name)


def is_fillable(sql: str, names: frozenset[str]) -> bool:
    """Returns whether each mark in DuckDB's SQL is a separate literal, and all names are present."""
    found = {m[1] for m in _MARK.finditer(sql)}
    return names <= found and sql.count(OPEN) == len(_SOLE.findall(sql))


def filled(sql: str, values: Mapping[str, str], kinds: Mapping[str, Callable[[str], str]]) -> str:
    """Returns DuckDB's SQL with the marks replaced by the values."""

    def value(found: re.Match[str]) -> str:
        given = values[found[1]]
        return (kinds[found[2]](given) if found[2] else given).replace("'", "''")

    return _MARK.sub(value, sql)
