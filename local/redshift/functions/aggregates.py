"""Aggregate and window functions. Source: Redshift Developer Guide, "Aggregate functions", "Window functions".

SUM and AVG return the aggregate with the casts that DuckDB needs around it. If the call has an OVER, the caller applies
it to the inner aggregate.
"""

from __future__ import annotations

from sqlglot import exp

from local.redshift.errors import SqlError, unsupported
from local.redshift.functions.call import Call, Function, cast, checked, func
from local.redshift.types import BIGINT, BOOLEAN, DATE, DOUBLE, FLOATS, INT, TEXT, TIMESTAMP, TIMESTAMPTZ, Type, decimal


def _argument(call: Call) -> tuple[exp.Expr, Type]:
    checked(call, 1, 1)
    return call.args[0], call.types[0]


def _count(call: Call) -> tuple[exp.Expr, Type]:
    checked(call, 1, 1)
    return func("count", call.args[0]), BIGINT


def _sum(call: Call) -> tuple[exp.Expr, Type]:
    node, kind = _argument(call)
    total = func("sum", node)
    if kind.kind in {"SMALLINT", "INT"}:
        return cast(total, "BIGINT"), BIGINT
    if kind.kind == "BIGINT":
        return cast(total, "DECIMAL(38,0)"), decimal(38, 0)
    if kind.kind == "DECIMAL":
        return cast(total, f"DECIMAL(38,{kind.scale})"), decimal(38, kind.scale or 0)
    if kind.kind in FLOATS:
        return total, DOUBLE
    raise call.wrong()


def _avg(call: Call) -> tuple[exp.Expr, Type]:
    node, kind = _argument(call)
    mean = func("avg", node)
    if kind.is_integer:
        return cast(func("trunc", mean), "BIGINT"), BIGINT
    if kind.kind == "DECIMAL":
        return _decimal_mean(node, kind.scale or 0), decimal(38, kind.scale or 0)
    if kind.kind in FLOATS:
        return mean, DOUBLE
    raise call.wrong()


def _decimal_mean(node: exp.Expr, scale: int) -> exp.Expr:
    """Returns the mean of decimals, truncated to their scale.

    For 2.50, 3.75 and 1.90 it is 2.71 (FROM clause, "PIVOT examples").
    """
    total = cast(func("sum", node), f"DECIMAL(38,{scale})")
    if not scale:
        whole = cast(total, "HUGEINT")
    else:
        whole = cast(exp.Paren(this=exp.Mul(this=total, expression=exp.Literal.number(10**scale))), "HUGEINT")
    mean = cast(func("rs_cut_mean", whole, func("count", node.copy())), "DECIMAL(38,0)")
    if scale:
        mean = exp.Paren(this=exp.Mul(this=mean, expression=exp.Literal.number(f"0.{'0' * (scale - 1)}1")))
    return cast(mean, f"DECIMAL(38,{scale})")


def _extreme(name: str) -> Function:
    def made(call: Call) -> tuple[exp.Expr, Type]:
        node, kind = _argument(call)
        if kind.kind in {"BOOLEAN", "SUPER"}:
            raise call.wrong()
        return func(name, node), kind

    return made


def _spread(name: str) -> Function:
    def made(call: Call) -> tuple[exp.Expr, Type]:
        node, kind = _argument(call)
        if not kind.is_number:
            raise call.wrong()
        return func(name, cast_inside(node, "DOUBLE")), DOUBLE

    return made


def cast_inside(node: exp.Expr, kind: str) -> exp.Expr:
    """Casts the argument of an aggregate, inside of its DISTINCT."""
    if isinstance(node, exp.Distinct):
        return exp.Distinct(expressions=[cast(node.expressions[0], kind)])
    return cast(node, kind)


def _middle(kind: Type, call: Call) -> Type:
    if kind.is_integer:
        return decimal(38, 1)
    if kind.kind == "DECIMAL":
        return decimal(38, min((kind.scale or 0) + 1, 37)) if (kind.scale or 0) == 0 else decimal(38, kind.scale or 0)
    if kind.kind in FLOATS:
        return DOUBLE
    if kind in (DATE, TIMESTAMP, TIMESTAMPTZ):
        return kind
    raise call.wrong()


def _median(call: Call) -> tuple[exp.Expr, Type]:
    node, kind = _argument(call)
    result = _middle(kind, call)
    if kind.kind == "DECIMAL" and kind.scale:
        raise unsupported("MEDIAN of a DECIMAL with a scale, whose result has digits that are not documented")
    if result.kind == "DECIMAL":
        return cast(func("median", cast(node, "DOUBLE")), f"DECIMAL(38,{result.scale})"), result
    return cast(func("median", node), result.kind), result


def _grouping(call: Call) -> tuple[exp.Expr, Type]:
    """The bits of GROUPING, the last argument's lowest (GROUP BY clause, "Aggregation extensions")."""
    return cast(func("grouping", *call.args), "INT"), INT


def _any_value(call: Call) -> tuple[exp.Expr, Type]:
    node, kind = _argument(call)
    return func("any_value", node), kind


def _logical(name: str) -> Function:
    def made(call: Call) -> tuple[exp.Expr, Type]:
        node, kind = _argument(call)
        if kind != BOOLEAN:
            raise call.wrong()
        return func(name, node), BOOLEAN

    return made


def _bits(name: str) -> Function:
    def made(call: Call) -> tuple[exp.Expr, Type]:
        node, kind = _argument(call)
        if not kind.is_integer:
            raise call.wrong()
        return func(name, node), kind

    return made


def _listagg(call: Call) -> tuple[exp.Expr, Type]:
    """Rewrites LISTAGG; the caller adds its WITHIN GROUP."""
    checked(call, 1, 2)
    kind = call.types[0]
    node = call.args[0] if kind.is_text or kind.is_open else cast_inside(call.args[0], "VARCHAR")
    if kind.kind in (*FLOATS, "BOOLEAN", "SUPER"):
        raise unsupported(f"LISTAGG of {kind.kind}")
    return func("string_agg", node, call.args[1] if len(call.args) > 1 else exp.Literal.string("")), TEXT


AGGREGATES: dict[str, Function] = {
    "COUNT": _count,
    "SUM": _sum,
    "AVG": _avg,
    "MIN": _extreme("min"),
    "MAX": _extreme("max"),
    "STDDEV": _spread("stddev_samp"),
    "STDDEV_SAMP": _spread("stddev_samp"),
    "STDDEV_POP": _spread("stddev_pop"),
    "VARIANCE": _spread("var_samp"),
    "VAR_SAMP": _spread("var_samp"),
    "VAR_POP": _spread("var_pop"),
    "MEDIAN": _median,
    "ANY_VALUE": _any_value,
    "BOOL_AND": _logical("bool_and"),
    "BOOL_OR": _logical("bool_or"),
    "BIT_AND": _bits("bit_and"),
    "BIT_OR": _bits("bit_or"),
    "LISTAGG": _listagg,
}


# -- functions that need an OVER ----------------------------------------------------------------------------------


def _ranked(name: str, kind: Type) -> Function:
    def made(call: Call) -> tuple[exp.Expr, Type]:
        checked(call, 0, 0)
        return cast(func(name), "INTEGER") if kind == INT else func(name), kind

    return made


def _ntile(call: Call) -> tuple[exp.Expr, Type]:
    checked(call, 1, 1)
    return func("ntile", call.args[0]), BIGINT


def _neighbour(name: str) -> Function:
    def made(call: Call) -> tuple[exp.Expr, Type]:
        checked(call, 1, 3)
        if len(call.args) == 3:
            raise SqlError(f"ERROR: Default parameter not be supported for window function {name}")
        return func(name, *call.args), call.types[0]

    return made


def _value(name: str, arguments: int) -> Function:
    def made(call: Call) -> tuple[exp.Expr, Type]:
        checked(call, arguments, arguments)
        return func(name, *call.args), call.types[0]

    return made


WINDOW_ONLY: dict[str, Function] = {
    "ROW_NUMBER": _ranked("row_number", BIGINT),
    "RANK": _ranked("rank", INT),
    "DENSE_RANK": _ranked("dense_rank", INT),
    "PERCENT_RANK": _ranked("percent_rank", DOUBLE),
    "CUME_DIST": _ranked("cume_dist", DOUBLE),
    "NTILE": _ntile,
    "LAG": _neighbour("lag"),
    "LEAD": _neighbour("lead"),
    "FIRST_VALUE": _value("first_value", 1),
    "LAST_VALUE": _value("last_value", 1),
    "NTH_VALUE": _value("nth_value", 2),
}
FRAMED = {
    "SUM",
    "AVG",
    "COUNT",
    "MIN",
    "MAX",
    "FIRST_VALUE",
    "LAST_VALUE",
    "NTH_VALUE",
    "STDDEV",
    "STDDEV_SAMP",
    "STDDEV_POP",
    "VARIANCE",
    "VAR_SAMP",
    "VAR_POP",
}

# PERCENTILE_CONT and PERCENTILE_DISC, RATIO_TO_REPORT and APPROXIMATE are compiled where they stand.
FUNCTIONS: dict[str, Function] = AGGREGATES | WINDOW_ONLY | {"GROUPING": _grouping, "GROUPING_ID": _grouping}


def percentile(name: str, kind: Type, call: Call, share: str) -> Type:
    if name == "PERCENTILE_DISC":
        return kind
    if share == "0.5":
        if kind.kind == "DECIMAL" and kind.scale:
            raise unsupported(
                "PERCENTILE_CONT of a DECIMAL with a scale, whose result has digits that are not documented"
            )
        return _middle(kind, call)
    if kind.kind == "DECIMAL" and kind.scale:
        raise unsupported("PERCENTILE_CONT of a DECIMAL with a scale, whose result has digits that are not documented")
    if kind.kind == "DECIMAL" or kind.is_integer:
        raise unsupported("PERCENTILE_CONT of integers, whose result has digits that are not documented: cast to FLOAT")
    return _middle(kind, call)
