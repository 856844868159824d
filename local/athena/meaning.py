"""Rewrites expressions that Athena and DuckDB interpret differently.

Source: Trino's documentation, to which Athena's documentation refers.

Numbers: a division of integers returns an integer, one of decimals a decimal of the larger scale, and in both cases
division by zero fails. Times: date_diff counts whole units, and a DATE with an interval of days or longer returns a
DATE. An unknown function is refused.
"""

from __future__ import annotations

from typing import Any

from sqlglot import exp
from sqlglot.optimizer.annotate_types import annotate_types

INTEGERS = {exp.DType.TINYINT, exp.DType.SMALLINT, exp.DType.INT, exp.DType.BIGINT}
FLOATS = {exp.DType.FLOAT, exp.DType.DOUBLE}
DIGITS = {exp.DType.TINYINT: 3, exp.DType.SMALLINT: 5, exp.DType.INT: 10, exp.DType.BIGINT: 19}
MACROS = """
CREATE MACRO athena_intdiv(a, b) AS CASE WHEN b = 0 THEN error('DIVISION_BY_ZERO: Division by zero') ELSE a // b END;
CREATE MACRO athena_mod(a, b) AS CASE WHEN b = 0 THEN error('DIVISION_BY_ZERO: Division by zero') ELSE a % b END;
CREATE MACRO athena_div(a, b) AS CASE WHEN b = 0 THEN error('DIVISION_BY_ZERO: Division by zero') ELSE a / b END;
CREATE MACRO athena_floatdiv(a, b) AS CASE WHEN b = 0 AND a = 0 THEN 'nan'::DOUBLE WHEN b = 0 THEN a * 'infinity'::DOUBLE ELSE a / b END;
"""


class NotKnown(Exception):  # noqa: N818
    """An expression that DuckDB may interpret differently."""


def as_trino(tree: exp.Query, schema: dict[str, Any], dialect: Any) -> exp.Query:
    """Returns the qualified query with DuckDB expressions of the same meaning.

    Raises:
        NotKnown: A function has no rule, or the meaning depends on a type that cannot be determined.
    """
    typed = annotate_types(tree, schema=schema, dialect=dialect)
    holder = exp.Subquery(this=typed)
    for node in reversed(list(holder.walk(bfs=True))):  # children first: a parent's rewrite moves them
        rule = _RULES.get(type(node))
        if rule is None:
            continue
        kind = node.type
        made = rule(node)
        if made is not node:
            made.type = kind if made.type is None or made.is_type(exp.DType.UNKNOWN) else made.type
            place = exp.Placeholder()
            node.replace(place)
            place.replace(made)
    found: exp.Query = holder.this
    return found


def _kind(node: exp.Expr) -> exp.DType | None:
    if isinstance(node, exp.Literal) and not node.is_string:
        if "e" in node.name.lower():
            return exp.DType.DOUBLE
        return exp.DType.DECIMAL if "." in node.name else exp.DType.INT if int(node.name) < 2**31 else exp.DType.BIGINT
    if isinstance(node, exp.Neg | exp.Paren):
        return _kind(node.this)
    return node.type.this if node.type is not None else None


def _digits(node: exp.Expr) -> tuple[int, int]:
    """Returns (precision, scale) of an integer or decimal."""
    if isinstance(node, exp.Neg | exp.Paren):
        return _digits(node.this)
    if isinstance(node, exp.Literal):
        whole, dot, fraction = node.name.partition(".")
        if not dot:
            return DIGITS[_kind(node) or exp.DType.INT], 0
        return max(len(whole.lstrip("0")) + len(fraction), 1), len(fraction)
    kind = _kind(node)
    if kind in DIGITS:
        return DIGITS[kind], 0
    sizes = [int(p.name) for p in node.type.expressions] if node.type is not None else []
    if len(sizes) != 2:
        raise NotKnown(f"the digits of {node.sql('athena')[:60]}")
    return sizes[0], sizes[1]


def _func(name: str, *args: exp.Expr) -> exp.Expr:
    return exp.Anonymous(this=name, expressions=list(args))


def _cast(node: exp.Expr, kind: str) -> exp.Expr:
    made = exp.cast(node, exp.DataType.build(kind, dialect="duckdb"))
    made.type = made.to
    return made


def _divide(node: exp.Expr) -> exp.Expr:
    left, right = node.this, node.expression
    kinds = {_kind(left), _kind(right)}
    if kinds <= INTEGERS:
        wide = "BIGINT" if exp.DType.BIGINT in kinds else "INTEGER"
        return _cast(_func("athena_intdiv", left, right), wide)
    if kinds <= INTEGERS | {exp.DType.DECIMAL}:
        (p1, s1), (_, s2) = _digits(left), _digits(right)
        scale = max(s1, s2)
        precision = min(38, p1 + s2 + max(s2 - s1, 0))
        return _cast(_func("athena_div", left, right), f"DECIMAL({precision},{scale})")
    if kinds & FLOATS and kinds <= INTEGERS | FLOATS | {exp.DType.DECIMAL}:
        return _cast(_func("athena_floatdiv", _cast(left, "DOUBLE"), _cast(right, "DOUBLE")), "DOUBLE")
    raise NotKnown(f"the division {node.sql('athena')[:80]}")


def _remainder(node: exp.Expr) -> exp.Expr:
    if {_kind(node.this), _kind(node.expression)} & FLOATS:
        return node
    return _func("athena_mod", node.this, node.expression)


def _average(node: exp.Expr) -> exp.Expr:
    if _kind(node.this) == exp.DType.DECIMAL:
        precision, scale = _digits(node.this)
        return _cast(exp.Avg(this=node.this), f"DECIMAL({precision},{scale})")
    return node


def _total(node: exp.Expr) -> exp.Expr:
    return _cast(exp.Sum(this=node.this), "BIGINT") if _kind(node.this) in INTEGERS else node


def _difference(node: exp.Expr) -> exp.Expr:
    """Rewrites date_diff(unit, from, to) to DuckDB's date_sub, which counts whole units."""
    unit = node.args.get("unit")
    if unit is None:
        raise NotKnown("date_diff without a unit")
    return _func("date_sub", exp.Literal.string(unit.name.lower()), _moment(node.expression), _moment(node.this))


def _moment(node: exp.Expr) -> exp.Expr:
    kind = _kind(node)
    if kind not in {exp.DType.DATE, exp.DType.TIMESTAMP, exp.DType.TIMESTAMPTZ}:
        raise NotKnown(f"date_diff of {node.sql('athena')[:60]}")
    return node


def _shifted(node: exp.Expr) -> exp.Expr:
    """Casts DATE + INTERVAL '1' DAY to DATE."""
    left, right = node.this, node.expression
    if isinstance(right, exp.Interval) and _kind(left) == exp.DType.DATE:
        if str(right.args.get("unit") or "").upper().rstrip("S") not in {"DAY", "WEEK", "MONTH", "YEAR"}:
            raise NotKnown("a DATE and an interval below a day")
        return _cast(node.copy(), "DATE")
    return node


def _added(node: exp.Expr) -> exp.Expr:
    """Casts date_add(unit, n, date) of a DATE to DATE."""
    if _kind(node.this) == exp.DType.DATE:
        return _cast(node.copy(), "DATE")
    return node


def _truncated(node: exp.Expr) -> exp.Expr:
    """Casts date_trunc of a DATE to DATE."""
    return _cast(node.copy(), "DATE") if _kind(node.this) == exp.DType.DATE else node


def _replaced(node: exp.Expr) -> exp.Expr:
    """Makes regexp_replace replace every match."""
    if node.args.get("modifiers"):
        return node
    with_what = node.args.get("replacement") or exp.Literal.string("")
    if not isinstance(with_what, exp.Literal) or "$" in with_what.name or "\\" in with_what.name:
        raise NotKnown("regexp_replace with a reference in the replacement")
    return exp.RegexpReplace(
        this=node.this, expression=node.expression, replacement=with_what, modifiers=exp.Literal.string("g")
    )


def named(tree: exp.Expr) -> None:
    """Names columns without a name as Athena does: _col0, _col1 by position."""
    first = tree
    while isinstance(first, exp.SetOperation | exp.Subquery):
        first = first.this
    if isinstance(first, exp.Select):
        for i, item in enumerate(list(first.expressions)):
            if not isinstance(item, exp.Alias | exp.Column | exp.Star):
                item.replace(exp.alias_(item.copy(), f"_col{i}", quoted=True))


def _unknown(node: exp.Expr) -> exp.Expr:
    name = str(node.this).lower()
    if name.startswith("athena_") or name in {"date_sub"}:
        return node
    raise NotKnown(f"function {name}()")


def _windowed(node: exp.Expr) -> exp.Expr:
    """Moves a cast around an aggregate to the outside of its window."""
    around = node.this
    if not isinstance(around, exp.Cast):
        return node
    aggregate = around.this
    kind = around.args["to"]
    node.set("this", aggregate)
    made = exp.cast(node.copy(), kind)
    made.type = kind
    return made


_RULES = {
    exp.Div: _divide,
    exp.IntDiv: _divide,
    exp.Mod: _remainder,
    exp.Avg: _average,
    exp.Sum: _total,
    exp.DateDiff: _difference,
    exp.Add: _shifted,
    exp.Sub: _shifted,
    exp.DateAdd: _added,
    exp.Anonymous: _unknown,
    exp.DateTrunc: _truncated,
    exp.TimestampTrunc: _truncated,
    exp.RegexpReplace: _replaced,
    exp.Window: _windowed,
}
