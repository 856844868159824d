"""Rules for arithmetic and other operators."""

from __future__ import annotations

from sqlglot import exp

from local.redshift.casts import converted
from local.redshift.errors import SqlError, unsupported
from local.redshift.functions.call import Call, as_text, cast, func
from local.redshift.functions.numbers import modulo
from local.redshift.functions.strings import joined
from local.redshift.rules import Rules
from local.redshift.scopes import Scope
from local.redshift.types import (
    BOOLEAN,
    DATE,
    DOUBLE,
    FLOATS,
    INT,
    INTERVAL,
    NULL,
    SUPER,
    TIME,
    TIMESTAMP,
    TIMESTAMPTZ,
    UNKNOWN,
    Type,
    arithmetic,
    quotient,
    sql_name,
)


class Operators(Rules):
    """Rules for arithmetic and other operators."""

    def negative(self, node: exp.Expr, scope: Scope) -> Type:
        kind = self.visit(node.this, scope)
        if not kind.is_number and kind != INTERVAL and kind != UNKNOWN:
            raise SqlError(f"ERROR: operator does not exist: - {sql_name(kind)}")
        return kind

    def plus(self, node: exp.Expr, scope: Scope) -> Type:
        left, right = self._pair(node, scope)
        sign = "+" if isinstance(node, exp.Add) else "-"
        if left.is_number and right.is_number:
            self._widen(node, left, right)
            return arithmetic(sign, left, right)
        if (left.is_literal and right.is_number) or (right.is_literal and left.is_number):
            return self._with_literal(node, sign, left, right)
        if NULL in (left, right):
            return right if left == NULL else left
        if sign == "+" and {left, right} == {DATE, TIME}:
            return TIMESTAMP
        if left == INTERVAL and right in (DATE, TIMESTAMP, TIMESTAMPTZ) and sign == "+":
            left, right = right, left
            first, second = node.expression, node.this
            node.set("this", first)
            node.set("expression", second)
        if left in (DATE, TIMESTAMP, TIMESTAMPTZ) and right == INTERVAL:
            if left == DATE:
                node.set("this", cast(node.this, "TIMESTAMP"))
            return TIMESTAMP if left == DATE else left
        if left == DATE and right.is_integer:
            node.set("expression", cast(node.expression, "INTEGER"))
            return DATE
        if right == DATE and left.is_integer and sign == "+":
            node.set("this", cast(node.this, "INTEGER"))
            return DATE
        if sign == "-" and left == right == DATE:
            self.put(node, cast(exp.Paren(this=exp.Sub(this=node.this, expression=node.expression)), "INTEGER"))
            return INT
        if sign == "-" and {left, right} <= {DATE, TIMESTAMP}:
            return INTERVAL
        if left == right == INTERVAL:
            return INTERVAL
        raise SqlError(f"ERROR: operator does not exist: {sql_name(left)} {sign} {sql_name(right)}")

    def _widen(self, node: exp.Expr, left: Type, right: Type) -> None:
        """Makes DuckDB compute in the same type as Redshift."""
        if left.is_integer and right.is_integer:
            wide = arithmetic("+", left, right)
            for key, kind in (("this", left), ("expression", right)):
                if kind != wide or isinstance(node.args[key], exp.Literal):
                    if (
                        isinstance(node.args[key], exp.Literal)
                        and "BIGINT" not in (left.kind, right.kind)
                        and "SMALLINT" not in (left.kind, right.kind)
                        and kind == wide
                    ):
                        continue
                    node.set(key, cast(node.args[key], {"INT": "INTEGER"}.get(wide.kind, wide.kind)))
        elif (left.kind == "FLOAT") != (right.kind == "FLOAT"):
            for key, kind in (("this", left), ("expression", right)):
                if kind.kind != "DOUBLE":
                    node.set(key, cast(node.args[key], "DOUBLE"))

    def _with_literal(self, node: exp.Expr, sign: str, left: Type, right: Type) -> Type:
        """Converts a bare text literal beside a number to the number's type."""
        key, kind = ("this", right) if left.is_literal else ("expression", left)
        new, _ = converted(node.args[key], left if left.is_literal else right, kind, is_sized=False)
        node.set(key, new)
        return arithmetic(sign, kind, kind)

    def times(self, node: exp.Expr, scope: Scope) -> Type:
        left, right = self._pair(node, scope)
        if left.is_number and right.is_number:
            self._widen(node, left, right)
            return arithmetic("*", left, right)
        if INTERVAL in (left, right) and (left.is_number or right.is_number):
            key = "this" if left.is_number else "expression"
            kind = left if left.is_number else right
            span = node.args["expression" if left.is_number else "this"]
            factor = node.args[key]
            if kind.is_integer:
                self.put(node, exp.Paren(this=exp.Mul(this=span, expression=cast(factor, "BIGINT"))))
            else:
                self.put(node, func("rs_interval_times", span, cast(factor, "DOUBLE")))
            return INTERVAL
        if (left.is_literal and right.is_number) or (right.is_literal and left.is_number):
            return self._with_literal(node, "*", left, right)
        if NULL in (left, right):
            return right if left == NULL else left
        raise SqlError(f"ERROR: operator does not exist: {sql_name(left)} * {sql_name(right)}")

    def divide(self, node: exp.Expr, scope: Scope) -> Type:
        left, right = self._pair(node, scope)
        if (left.is_literal and right.is_number) or (right.is_literal and left.is_number):
            self._with_literal(node, "+", left, right)
            left = right = right if left.is_literal else left
        if NULL in (left, right):
            return right if left == NULL else left
        if not (left.is_number and right.is_number):
            raise SqlError(f"ERROR: operator does not exist: {sql_name(left)} / {sql_name(right)}")
        first, second = node.this, node.expression
        if left.is_integer and right.is_integer:
            kind = arithmetic("+", left, right)
            word = {"INT": "INTEGER"}.get(kind.kind, kind.kind)
            self.put(node, cast(func("rs_intdiv", cast(first, word), cast(second, word)), word))
            return kind
        if left.kind in FLOATS or right.kind in FLOATS:
            self.put(node, func("rs_floatdiv", cast(first, "DOUBLE"), cast(second, "DOUBLE")))
            return DOUBLE
        kind = quotient(left, right)
        self.put(node, cast(func("rs_floatdiv", first, second), f"DECIMAL({kind.precision},{kind.scale})"))
        return kind

    def remainder(self, node: exp.Expr, scope: Scope) -> Type:
        kinds = list(self._pair(node, scope))
        new, kind = modulo(Call("MOD", [node.this, node.expression], kinds, self.clock, self.facts))
        self.put(node, new)
        return kind

    def power(self, node: exp.Expr, scope: Scope) -> Type:
        self._pair(node, scope)
        self.put(node, func("power", cast(node.this, "DOUBLE"), cast(node.expression, "DOUBLE")))
        return DOUBLE

    def bits(self, node: exp.Expr, scope: Scope) -> Type:
        left, right = self._pair(node, scope)
        if "VARBINARY" in (left.kind, right.kind):
            raise unsupported("an operator of VARBYTE")
        if not (left.is_integer and right.is_integer):
            raise SqlError(f"ERROR: operator does not exist: {sql_name(left)} & {sql_name(right)}")
        return arithmetic("+", left, right)

    def concatenation(self, node: exp.Expr, scope: Scope) -> Type:
        left, right = self._pair(node, scope)
        if SUPER in (left, right) or BOOLEAN in (left, right):
            raise SqlError(f"ERROR: operator does not exist: {sql_name(left)} || {sql_name(right)}")
        node.set("this", as_text(node.this, left))
        node.set("expression", as_text(node.expression, right))
        node.set("safe", False)
        return joined([left, right])
