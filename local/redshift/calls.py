"""Rules for calls of functions, aggregates and windows."""

from __future__ import annotations

from sqlglot import exp

from local.redshift.errors import SqlError, at_word, unsupported
from local.redshift.functions import FUNCTIONS
from local.redshift.functions.aggregates import AGGREGATES, FRAMED, WINDOW_ONLY, percentile
from local.redshift.functions.call import Call, cast, func, without_blanks
from local.redshift.functions.conditions import FUNCTIONS as CONDITIONS
from local.redshift.functions.times import PARTS
from local.redshift.marks import text_of
from local.redshift.rules import Rules
from local.redshift.scopes import Scope
from local.redshift.types import (
    BIGINT,
    DOUBLE,
    FLOATS,
    UNKNOWN,
    Type,
)

WITH_PARTS = {"DATEADD", "DATE_ADD", "DATEDIFF", "DATE_DIFF", "DATE_TRUNC", "DATE_PART", "PGDATE_PART"}
_AGGREGATES_OF_DUCKDB = {
    "sum",
    "avg",
    "count",
    "min",
    "max",
    "stddev_samp",
    "stddev_pop",
    "var_samp",
    "var_pop",
    "median",
    "any_value",
    "bool_and",
    "bool_or",
    "bit_and",
    "bit_or",
    "string_agg",
    "quantile_cont",
    "quantile_disc",
    "row_number",
    "rank",
    "dense_rank",
    "percent_rank",
    "cume_dist",
    "ntile",
    "lag",
    "lead",
    "first_value",
    "last_value",
    "nth_value",
}


class Calls(Rules):
    """Rules for calls of functions, aggregates and windows."""

    def call(self, node: exp.Expr, scope: Scope) -> Type:
        name = str(node.this).upper() if isinstance(node.this, str) else node.name.upper()
        if name in WINDOW_ONLY and not self._in_window(node):
            raise SqlError(f"ERROR: window function {name.lower()} requires an OVER clause")
        return self._called(node, name, scope)

    def _in_window(self, node: exp.Expr) -> bool:
        parent = node.parent
        while isinstance(parent, exp.IgnoreNulls | exp.RespectNulls | exp.WithinGroup):
            parent = parent.parent
        return isinstance(parent, exp.Window)

    def _called(self, node: exp.Expr, name: str, scope: Scope) -> Type:
        function = FUNCTIONS.get(name)
        if function is None:
            raise unsupported(f"function {name.lower()}()")
        if name in WITH_PARTS and node.expressions and isinstance(node.expressions[0], exp.Column):
            first = node.expressions[0]
            if first.name.lower() in PARTS and not first.args.get("table"):
                self.put(first, exp.Var(this=first.name))
        first = node.expressions[0] if node.expressions else None
        if isinstance(first, exp.Distinct) and len(first.expressions) > 1:  # LISTAGG(DISTINCT value, 'delimiter')
            node.set("expressions", [exp.Distinct(expressions=first.expressions[:1]), *first.expressions[1:]])
        kinds = []
        for argument in list(node.expressions):
            if isinstance(argument, exp.Star) and name == "COUNT":
                kinds.append(BIGINT)
            elif isinstance(argument, exp.Var):
                kinds.append(UNKNOWN)
            elif isinstance(argument, exp.Distinct):
                kinds.append(self._distinct(argument, name, scope))
            else:
                kinds.append(self.visit(argument, scope))
        if UNKNOWN in kinds and name not in WITH_PARTS and name not in CONDITIONS:
            raise unsupported(f"{name} of a value whose type is not known")
        new, kind = function(Call(name, list(node.expressions), kinds, self.clock, self.facts))
        self.put(node, new)
        return kind

    def _distinct(self, node: exp.Expr, name: str, scope: Scope) -> Type:
        if name not in AGGREGATES or len(node.expressions) != 1:
            raise unsupported(f"DISTINCT in {name}")
        kind = self.visit(node.expressions[0], scope)
        if kind.has_blanks:
            node.set("expressions", [without_blanks(node.expressions[0], kind)])
        return kind

    def within_group(self, node: exp.Expr, scope: Scope) -> Type:
        inner, order = node.this, node.expression
        name = str(inner.this).upper() if isinstance(inner, exp.Anonymous) else ""
        if name == "LISTAGG":
            kind = self._called(inner, name, scope)
            self.ordered(order, scope)
            aggregate = node.this
            last = aggregate.expressions[-1]
            self.put(
                node,
                func("string_agg", *aggregate.expressions[:-1], exp.Order(this=last, expressions=order.expressions)),
            )
            return kind
        if (
            name not in {"PERCENTILE_CONT", "PERCENTILE_DISC"}
            or len(order.expressions) != 1
            or len(inner.expressions) != 1
        ):
            raise unsupported(f"{name or 'an expression'} WITHIN GROUP")
        item = order.expressions[0]
        kind = self.visit(item.this, scope)
        call = Call(name, [item.this], [kind], self.clock, self.facts)
        share = inner.expressions[0]
        if not isinstance(share, exp.Literal):
            raise unsupported(f"{name} with a share that is no literal")
        result = percentile(name, kind, call, text_of(share))
        share = func("rs_rest", share) if item.args.get("desc") else share
        value = (
            cast(item.this, "DOUBLE")
            if name == "PERCENTILE_CONT" and result.kind in {"DOUBLE", "DECIMAL"}
            else item.this
        )
        found = func("quantile_cont" if name == "PERCENTILE_CONT" else "quantile_disc", value, share)
        self.put(
            node,
            cast(found, f"DECIMAL(38,{result.scale})")
            if result.kind == "DECIMAL" and name == "PERCENTILE_CONT"
            else found,
        )
        return result

    def window(self, node: exp.Expr, scope: Scope) -> Type:
        inner = node.this
        name = str(inner.this).upper() if isinstance(inner, exp.Anonymous) else ""
        if node.args.get("alias"):
            raise unsupported("a named window")
        if name in FRAMED and node.args.get("order") and not node.args.get("spec"):
            raise SqlError(
                f"ERROR: Aggregate window functions with an ORDER BY clause require a frame clause{at_word(self.sql, 'OVER')}"
            )
        if name == "RATIO_TO_REPORT":
            return self._ratio(node, scope)
        nulls: type[exp.Expr] | None = None
        if isinstance(inner, exp.IgnoreNulls | exp.RespectNulls):
            nulls = type(inner)
            node.set("this", inner.this)
        elif (
            isinstance(inner, exp.Anonymous)
            and inner.expressions
            and isinstance(inner.expressions[0], exp.IgnoreNulls | exp.RespectNulls)
        ):
            nulls = type(inner.expressions[0])
            self.put(inner.expressions[0], inner.expressions[0].this)
        called = str(node.this.this).upper() if isinstance(node.this, exp.Anonymous) else ""
        if not isinstance(node.this, exp.WithinGroup) and called not in AGGREGATES and called not in WINDOW_ONLY:
            raise SqlError(
                f"ERROR: OVER specified, but {called.lower() or 'this'} is not a window function nor an aggregate function"
            )
        kind = self.visit(node.this, scope)
        self._window_parts(node, scope)
        around = node.this
        for aggregate in [n for n in around.walk() if isinstance(n, exp.Anonymous) and n.this in _AGGREGATES_OF_DUCKDB]:
            inside = nulls(this=aggregate.copy()) if nulls else aggregate.copy()
            parts = {k: node.args.get(k) for k in ("partition_by", "order", "spec", "over")}
            made = exp.Window(
                this=inside,
                **{k: [p.copy() for p in v] if isinstance(v, list) else _copied(v) for k, v in parts.items()},
            )
            if aggregate is around:
                around = made
            else:
                aggregate.replace(made)
        self.put(node, around)
        return kind

    def _window_parts(self, node: exp.Expr, scope: Scope) -> None:
        parts = node.args.get("partition_by") or []
        for i in range(len(parts)):
            kind = self.visit(parts[i], scope)
            self.put(parts[i], without_blanks(parts[i].copy(), kind) if kind.has_blanks else parts[i])
        if node.args.get("order"):
            self.ordered(node.args["order"], scope)

    def _ratio(self, node: exp.Expr, scope: Scope) -> Type:
        value = node.this.expressions[0]
        kind = self.visit(value, scope)
        if kind.kind not in FLOATS:
            raise unsupported("RATIO_TO_REPORT of another type than FLOAT, whose digits are not documented")
        self._window_parts(node, scope)
        value = node.this.expressions[0]
        total = exp.Window(this=func("sum", value.copy()), partition_by=node.args.get("partition_by"), over="OVER")
        self.put(node, func("rs_floatdiv", value, total))
        return DOUBLE

    def ordered(self, order: exp.Expr, scope: Scope) -> None:
        """Visits ORDER BY within an aggregate or a window."""
        for item in order.expressions:
            if isinstance(item.this, exp.Literal):
                raise SqlError("ERROR: constant expressions are not supported in ORDER BY of a window")
            kind = self.visit(item.this, scope)
            item.set("this", without_blanks(item.this, kind))


def _copied(value: object) -> object:
    return value.copy() if isinstance(value, exp.Expr) else value
