"""Marks: what stands in a statement for a parameter's value, so that it is read and translated once for all values.

A mark is a string literal, as the value would be. Where the translation makes something of a literal, as of a time in a text, the
mark says what (its kind), and that is done when the value is put in. Where the value decides about the translation, there is
`NeedsValue`, and the statement is read with its values.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from sqlglot import exp

from local.redshift.errors import SqlError

# Of Unicode's private use, so that no SQL has them; between them are the parameter's name and the kind.
OPEN, CLOSE = "\ue0a1", "\ue0a2"
_MARK = re.compile(f"{OPEN}([^{CLOSE}]+?)(?:/([a-z]+))?{CLOSE}")
_SOLE = re.compile(f"'{OPEN}[^{CLOSE}]+{CLOSE}'")


class NeedsValue(SqlError):  # noqa: N818
    """What is translated depends on the value of a parameter."""


def mark(name: str, kind: str = "") -> str:
    return f"{OPEN}{name}{f'/{kind}' if kind else ''}{CLOSE}"


def is_mark(node: exp.Expr) -> bool:
    return isinstance(node, exp.Literal) and _MARK.fullmatch(node.name) is not None


def of_kind(node: exp.Expr, kind: str) -> exp.Expr:
    """The mark, with what is made of its value."""
    found = _MARK.fullmatch(node.name)
    if not found or found[2] not in (None, kind):
        raise NeedsValue(f"the parameter in {node.name}")
    return exp.Literal.string(mark(found[1], kind))


def text_of(node: exp.Expr) -> str:
    """The text of a literal that the translation reads.

    Raises:
        NeedsValue: it is a mark.
    """
    if is_mark(node):
        raise NeedsValue(f"the parameter in {node.name}")
    return str(node.name)


def is_fillable(sql: str, names: frozenset[str]) -> bool:
    """Whether each mark in DuckDB's SQL is a literal by itself, and none of the names got lost."""
    found = {m[1] for m in _MARK.finditer(sql)}
    return names <= found and sql.count(OPEN) == len(_SOLE.findall(sql))


def filled(sql: str, values: Mapping[str, str], kinds: Mapping[str, Callable[[str], str]]) -> str:
    """Returns DuckDB's SQL with the values in the place of the marks."""

    def value(found: re.Match[str]) -> str:
        given = values[found[1]]
        return (kinds[found[2]](given) if found[2] else given).replace("'", "''")

    return _MARK.sub(value, sql)
