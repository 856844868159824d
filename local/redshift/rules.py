"""The base class of the rules of expressions."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from sqlglot import exp

from local.redshift.errors import unsupported
from local.redshift.functions.call import Clock
from local.redshift.scopes import Columns, Scope
from local.redshift.types import Type


class Rules:
    """The rules of expressions; `query` compiles the queries within them."""

    _RULES: ClassVar[dict[type[exp.Expr], Callable[..., Type]]] = {}

    def __init__(self, sql: str, clock: Clock, facts: dict[str, str]) -> None:
        self.sql, self.clock, self.facts = sql, clock, facts

    def query(self, node: exp.Expr, scope: Scope) -> Columns:
        raise NotImplementedError

    def visit(self, node: exp.Expr, scope: Scope) -> Type:
        """Rewrites the expression in place and returns its type."""
        rule = self._RULES.get(type(node))
        if rule is None:
            raise unsupported(f"the expression {node.sql('redshift')[:80]}")
        return rule(self, node, scope)

    def put(self, node: exp.Expr, new: exp.Expr) -> None:
        if new is not node:
            place = exp.Placeholder()
            node.replace(place)
            place.replace(new)

    def _pair(self, node: exp.Expr, scope: Scope) -> tuple[Type, Type]:
        return self.visit(node.this, scope), self.visit(node.args["expression"], scope)
