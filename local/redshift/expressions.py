"""Rules that assign Redshift's type to each expression and rewrite it to a DuckDB expression of the same value.

An expression without a rule is refused by name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from sqlglot import exp

from local.redshift.calls import Calls
from local.redshift.casts import converted
from local.redshift.catalog import column_type
from local.redshift.comparisons import Comparisons
from local.redshift.errors import SqlError, at_word, unsupported
from local.redshift.functions.call import Call, cast, constant, func
from local.redshift.functions.strings import FUNCTIONS as STRINGS
from local.redshift.functions.times import PARTS, at_zone, extracted, statement_start, transaction_start
from local.redshift.intervals import interval
from local.redshift.marks import is_mark, text_of
from local.redshift.operators import Operators
from local.redshift.scopes import Scope
from local.redshift.types import (
    BOOLEAN,
    DATE,
    INTERVAL,
    LONGEST_TEXT,
    NULL,
    SUPER,
    TIMESTAMP,
    TIMESTAMPTZ,
    UNKNOWN,
    Type,
    of_column,
    of_number,
    sql_name,
    varchar,
)


class Expressions(Comparisons, Operators, Calls):
    """The rules of expressions; `query` compiles the queries within them."""

    # -- names and values ---------------------------------------------------------------------------------------

    def column(self, node: exp.Expr, scope: Scope) -> Type:
        if isinstance(node.this, exp.Star):
            raise unsupported(f"{node.sql('redshift')} in an expression")
        name, table, schema = node.name.lower(), node.args.get("table"), node.args.get("db")
        if table is None:
            kind = scope.column(name)
            if kind is None:
                raise SqlError(f'ERROR: column "{name}" does not exist{at_word(self.sql, node.name)}')
            return kind
        owner = table.name.lower()
        source = scope.source(owner)
        if source is not None and schema is None:
            kind = source.get(name)
            if kind is not None:
                return kind
            raise SqlError(f"ERROR: column {owner}.{name} does not exist{at_word(self.sql, node.name)}")
        if source is not None and source.schema and schema is not None and schema.name.lower() == source.schema:
            kind = source.get(name)
            if kind is not None:
                node.set("db", None)
                return kind
        path = [part.name.lower() for part in (node.args.get("catalog"), schema, table) if part is not None] + [name]
        return self._super_column(node, path, scope)

    def _super_column(self, node: exp.Expr, path: list[str], scope: Scope) -> Type:
        """Rewrites column.key.key, or table.column.key, of a SUPER."""
        if scope.super_source(path[0]):
            base, keys = exp.column(path[0]), path[1:]
        else:
            source = scope.source(path[0])
            if source is None or len(path) < 3 or source.get(path[1]) != SUPER:
                raise SqlError(f'ERROR: relation "{path[0]}" does not exist{at_word(self.sql, path[0])}')
            base, keys = exp.column(path[1], table=path[0]), path[2:]
        self.put(node, func("rs_super_at", base, "$" + "".join(f'."{key}"' for key in keys)))
        return SUPER

    def literal(self, node: exp.Expr, scope: Scope) -> Type:
        if node.args.get("is_string"):
            text = str(node.this)
            if is_mark(node):  # statements with empty values or trailing blanks are not cached
                return Type("VARCHAR", LONGEST_TEXT, is_literal=True)
            return Type(
                "VARCHAR", max(len(text.encode()), 1), has_blanks=text == "" or text.endswith(" "), is_literal=True
            )
        return of_number(str(node.this))

    def null(self, node: exp.Expr, scope: Scope) -> Type:
        return NULL

    def boolean(self, node: exp.Expr, scope: Scope) -> Type:
        return BOOLEAN

    def paren(self, node: exp.Expr, scope: Scope) -> Type:
        return self.visit(node.this, scope)

    def alias(self, node: exp.Expr, scope: Scope) -> Type:
        return self.visit(node.this, scope)

    def row(self, node: exp.Expr, scope: Scope) -> Type:
        for item in list(node.expressions):
            self.visit(item, scope)
        return UNKNOWN

    def cast(self, node: exp.Expr, scope: Scope) -> Type:
        target = node.args["to"]
        if target.this == exp.DType.INTERVAL and isinstance(node.this, exp.Literal):
            self.put(node, interval(exp.Interval(this=node.this.copy(), unit=target.args.get("unit"))))
            return INTERVAL
        given = self.visit(node.this, scope)
        wanted = of_column(column_type(target))
        if wanted.kind == "VARCHAR" and not target.expressions:
            wanted = varchar(given.length or 65535, has_blanks=given.has_blanks)
            if target.this == exp.DType.TEXT and given.length is None:
                wanted = varchar(256, has_blanks=given.has_blanks)
        new, kind = converted(node.this, given, wanted, is_sized=bool(target.expressions) or wanted.kind == "CHAR")
        self.put(node, new)
        return kind

    # -- expressions with a syntax of their own -----------------------------------------------------------------

    def extract(self, node: exp.Expr, scope: Scope) -> Type:
        step = PARTS.get(node.name.lower())
        if not step:
            raise unsupported(f"EXTRACT({node.name})")
        kind = self.visit(node.expression, scope)
        new, found = extracted(step, node.expression, kind)
        self.put(node, new)
        return found

    def trim(self, node: exp.Expr, scope: Scope) -> Type:
        kinds = [self.visit(node.this, scope)]
        args = [node.this]
        if node.args.get("expression"):
            kinds.append(self.visit(node.expression, scope))
            args.append(node.expression)
        name = {"LEADING": "LTRIM", "TRAILING": "RTRIM"}.get(str(node.args.get("position") or "").upper(), "BTRIM")
        new, kind = STRINGS[name](Call(name, args, kinds, self.clock, self.facts))
        self.put(node, new)
        return kind

    def position(self, node: exp.Expr, scope: Scope) -> Type:
        kinds = [self.visit(node.this, scope), self.visit(node.args["substr"], scope)]
        new, kind = STRINGS["STRPOS"](Call("STRPOS", [node.this, node.args["substr"]], kinds, self.clock, self.facts))
        self.put(node, new)
        return kind

    def substring(self, node: exp.Expr, scope: Scope) -> Type:
        keys = [k for k in ("this", "start", "length") if node.args.get(k) is not None]
        kinds = [self.visit(node.args[k], scope) for k in keys]
        new, kind = STRINGS["SUBSTRING"](Call("SUBSTRING", [node.args[k] for k in keys], kinds, self.clock, self.facts))
        self.put(node, new)
        return kind

    def interval(self, node: exp.Expr, scope: Scope) -> Type:
        self.put(node, interval(node))
        return INTERVAL

    def zone(self, node: exp.Expr, scope: Scope) -> Type:
        kind = self.visit(node.this, scope)
        new, found = at_zone(
            Call("AT TIME ZONE", [node.args["zone"], node.this], [varchar(), kind], self.clock, self.facts)
        )
        self.put(node, new)
        return found

    def now(self, node: exp.Expr, scope: Scope) -> Type:
        if node.args.get("sysdate"):
            self.put(node, transaction_start(self.clock))
            return TIMESTAMP
        self.put(node, func("timezone", "UTC", statement_start(self.clock)))
        return TIMESTAMPTZ

    def today(self, node: exp.Expr, scope: Scope) -> Type:
        self.put(node, cast(statement_start(self.clock), "DATE"))
        return DATE

    def user(self, node: exp.Expr, scope: Scope) -> Type:
        self.put(node, constant(self.facts["user"]))
        return varchar(128)

    def navigation(self, node: exp.Expr, scope: Scope) -> Type:
        """Rewrites value[0].key of a SUPER: positions count from 0, and keys are folded to lower case."""
        path, base = "", node
        while isinstance(base, exp.Bracket | exp.Dot):
            if isinstance(base, exp.Bracket):
                if len(base.expressions) != 1 or not isinstance(base.expressions[0], exp.Literal):
                    raise unsupported("SUPER at a place that is no literal")
                place = base.expressions[0]
                text_of(place)
                path = (f'."{place.name}"' if place.is_string else f"[{place.name}]") + path
            elif isinstance(base.expression, exp.Identifier):
                path = f'."{base.expression.name.lower()}"' + path
            else:
                raise unsupported(f"the expression {node.sql('redshift')[:80]}")
            base = base.this
        holder = exp.Paren(this=base)
        kind = self.visit(base, scope)
        if kind != SUPER:
            raise SqlError(f"ERROR: operator does not exist: {sql_name(kind)}[]")
        self.put(node, func("rs_super_at", holder.this, f"${path}"))
        return SUPER

    _RULES: ClassVar[dict[type[exp.Expr], Callable[..., Type]]] = {
        exp.Column: column,
        exp.Literal: literal,
        exp.Null: null,
        exp.Boolean: boolean,
        exp.Paren: paren,
        exp.Alias: alias,
        exp.Tuple: row,
        exp.Cast: cast,
        exp.And: Comparisons.connector,
        exp.Or: Comparisons.connector,
        exp.Not: Comparisons.negation,
        exp.EQ: Comparisons.comparison,
        exp.NEQ: Comparisons.comparison,
        exp.GT: Comparisons.comparison,
        exp.GTE: Comparisons.comparison,
        exp.LT: Comparisons.comparison,
        exp.LTE: Comparisons.comparison,
        exp.Between: Comparisons.between,
        exp.In: Comparisons.contained,
        exp.Is: Comparisons.is_,
        exp.Like: Comparisons.like,
        exp.ILike: Comparisons.like,
        exp.Escape: Comparisons.escape,
        exp.SimilarTo: Comparisons.similar,
        exp.RegexpLike: Comparisons.matches,
        exp.Exists: Comparisons.exists,
        exp.Subquery: Comparisons.subquery,
        exp.Select: Comparisons.subquery,
        exp.Any: Comparisons.quantified,
        exp.All: Comparisons.quantified,
        exp.Case: Comparisons.case,
        exp.Neg: Operators.negative,
        exp.Add: Operators.plus,
        exp.Sub: Operators.plus,
        exp.Mul: Operators.times,
        exp.Div: Operators.divide,
        exp.Mod: Operators.remainder,
        exp.Pow: Operators.power,
        exp.BitwiseAnd: Operators.bits,
        exp.BitwiseOr: Operators.bits,
        exp.BitwiseLeftShift: Operators.bits,
        exp.BitwiseRightShift: Operators.bits,
        exp.DPipe: Operators.concatenation,
        exp.Anonymous: Calls.call,
        exp.WithinGroup: Calls.within_group,
        exp.Window: Calls.window,
        exp.Extract: extract,
        exp.Trim: trim,
        exp.StrPosition: position,
        exp.Substring: substring,
        exp.Interval: interval,
        exp.AtTimeZone: zone,
        exp.CurrentTimestamp: now,
        exp.CurrentDate: today,
        exp.CurrentUser: user,
        exp.SessionUser: user,
        exp.Bracket: navigation,
        exp.Dot: navigation,
    }
