"""Builds sqlglot trees from snippets of DuckDB's SQL."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from sqlglot import exp, parse_one

DIALECT = "duckdb"
logging.getLogger("sqlglot").setLevel(logging.ERROR)  # it logs a warning for each list index, in every batch


def sql(snippet: str, **values: exp.Expr) -> exp.Expr:
    """Returns the tree of the snippet, with each placeholder `$name` replaced by a tree."""
    return exp.replace_placeholders(parse_one(snippet, read=DIALECT), **values)


def whole(pattern: str) -> exp.Expr:
    """Returns the pattern in a form that has to match the whole text."""
    return exp.Literal.string(rf"^(?:{pattern})\z")


def literals(words: Iterable[str]) -> list[exp.Expr]:
    return [exp.Literal.string(word) for word in words]
