"""Rules for logical operators and comparisons."""

from __future__ import annotations

import re

from sqlglot import exp

from local.redshift.casts import as_compared
from local.redshift.errors import SqlError, unsupported
from local.redshift.functions.call import as_text, func, without_blanks
from local.redshift.marks import is_mark, text_of
from local.redshift.rules import Rules
from local.redshift.scopes import Scope
from local.redshift.types import (
    BOOLEAN,
    UNKNOWN,
    Type,
    common,
    sql_name,
)


class Comparisons(Rules):
    """Rules for logical operators and comparisons."""

    def connector(self, node: exp.Expr, scope: Scope) -> Type:
        self._pair(node, scope)
        return BOOLEAN

    def negation(self, node: exp.Expr, scope: Scope) -> Type:
        self.visit(node.this, scope)
        return BOOLEAN

    def comparison(self, node: exp.Expr, scope: Scope) -> Type:
        left, right = self._pair(node, scope)
        if isinstance(node.expression, exp.Any | exp.All) or isinstance(node.this, exp.Tuple):
            if left.has_blanks or right.has_blanks:
                raise unsupported("ANY, ALL or a row of texts that may end with blanks: TRIM them")
            return BOOLEAN
        first, second = as_compared(node.this, left, node.args["expression"], right)
        node.set("this", first)
        node.set("expression", second)
        return BOOLEAN

    def between(self, node: exp.Expr, scope: Scope) -> Type:
        value = self.visit(node.this, scope)
        for key in ("low", "high"):
            kind = self.visit(node.args[key], scope)
            _, bound = as_compared(node.this.copy(), value, node.args[key].copy(), kind)
            node.set(key, bound)
        node.set("this", without_blanks(node.this, value))
        return BOOLEAN

    def contained(self, node: exp.Expr, scope: Scope) -> Type:
        value = self.visit(node.this, scope)
        query = node.args.get("query")
        if query is not None:
            columns = self.query(query, scope)
            kinds = [kind for _, kind in columns]
            if any(kind.has_blanks for kind in kinds) or (value.has_blanks and len(kinds) > 1):
                self.trim_outputs(query)
            if len(kinds) == 1:
                as_compared(node.this.copy(), value, exp.column(columns[0][0]), kinds[0])
                node.set("this", without_blanks(node.this, value))
            return BOOLEAN
        if node.args.get("unnest") or node.args.get("field"):
            raise unsupported(f"the expression {node.sql('redshift')[:80]}")
        items = node.expressions
        for i in range(len(items)):
            kind = self.visit(items[i], scope)
            if not isinstance(items[i], exp.Tuple):
                _, bound = as_compared(node.this.copy(), value, items[i].copy(), kind)
                self.put(items[i], bound)
        node.set("this", without_blanks(node.this, value))
        return BOOLEAN

    def trim_outputs(self, query: exp.Expr) -> None:
        inner = query.this if isinstance(query, exp.Subquery) else query
        if not isinstance(inner, exp.Select) or any(isinstance(e, exp.Star) or e.is_star for e in inner.selects):
            raise unsupported("IN of a query whose texts may end with blanks: TRIM them")
        for item in list(inner.selects):
            value = item.this if isinstance(item, exp.Alias) else item
            self.put(value, func("rtrim", value.copy(), " "))

    def is_(self, node: exp.Expr, scope: Scope) -> Type:
        self.visit(node.this, scope)
        return BOOLEAN

    def like(self, node: exp.Expr, scope: Scope) -> Type:
        left, right = self._pair(node, scope)
        self._texts(node, left, right)
        pattern = node.expression
        if not isinstance(node.parent, exp.Escape) and not (
            isinstance(pattern, exp.Literal) and not is_mark(pattern) and "\\" not in pattern.name
        ):
            place = exp.Placeholder()
            node.replace(place)
            place.replace(exp.Escape(this=node, expression=exp.Literal.string("\\")))
        return BOOLEAN

    def escape(self, node: exp.Expr, scope: Scope) -> Type:
        if not isinstance(node.this, exp.Like | exp.ILike) or not isinstance(node.expression, exp.Literal):
            raise unsupported(f"the expression {node.sql('redshift')[:80]}")
        return self.visit(node.this, scope)

    def _texts(self, node: exp.Expr, left: Type, right: Type) -> None:
        if not right.is_text and not right.is_open:
            raise SqlError(f"ERROR: operator does not exist: {sql_name(left)} ~~ {sql_name(right)}")
        node.set("this", as_text(node.this, left))

    def similar(self, node: exp.Expr, scope: Scope) -> Type:
        left, right = self._pair(node, scope)
        self._texts(node, left, right)
        if not isinstance(node.expression, exp.Literal):
            raise unsupported("SIMILAR TO with a pattern that is no literal")
        self.put(node, func("regexp_full_match", node.this, _similar(text_of(node.expression)), "s"))
        return BOOLEAN

    def matches(self, node: exp.Expr, scope: Scope) -> Type:
        left, right = self._pair(node, scope)
        self._texts(node, left, right)
        if not isinstance(node.expression, exp.Literal) or node.args.get("flag"):
            raise unsupported("~ with a pattern that is no literal")
        text = text_of(node.expression)
        if re.search(r"\(\?|\\[0-9]|[*+?}][?+]", text):
            raise unsupported(f"~ with the pattern '{text}'")
        self.put(node, func("regexp_matches", node.this, text, "s"))
        return BOOLEAN

    def exists(self, node: exp.Expr, scope: Scope) -> Type:
        self.query(node.this, scope)
        return BOOLEAN

    def subquery(self, node: exp.Expr, scope: Scope) -> Type:
        columns = self.query(node, scope)
        if len(columns) != 1:
            return UNKNOWN
        return columns[0][1]

    def quantified(self, node: exp.Expr, scope: Scope) -> Type:
        if not isinstance(node.this, exp.Query):
            raise unsupported(f"the expression {node.sql('redshift')[:80]}")
        return self.subquery(node.this, scope)

    def case(self, node: exp.Expr, scope: Scope) -> Type:
        value = self.visit(node.this, scope) if node.this else None
        results = []
        for branch in node.args["ifs"]:
            kind = self.visit(branch.this, scope)
            if value is not None:
                first, second = as_compared(node.this.copy(), value, branch.this, kind)
                branch.set("this", exp.EQ(this=first, expression=second))
            results.append(self.visit(branch.args["true"], scope))
        if node.args.get("default") is not None:
            results.append(self.visit(node.args["default"], scope))
        if value is not None:
            node.set("this", None)
        return common(results, "CASE")


def _similar(pattern: str) -> str:
    """Returns the regular expression for a SIMILAR TO pattern: % and _, and | * + ? {} () [] as in POSIX."""
    out, i = "", 0
    while i < len(pattern):
        letter = pattern[i]
        if letter == "\\" and i + 1 < len(pattern):
            out += re.escape(pattern[i + 1])
            i += 2
            continue
        out += {"%": ".*", "_": "."}.get(letter, "\\" + letter if letter in ".^$\\" else letter)
        i += 1
    return out
