"""Conditional expressions. Source: Redshift Developer Guide, "Conditional expressions"."""

from __future__ import annotations

from sqlglot import exp

from local.redshift.functions.call import Call, Function, checked, func, without_blanks
from local.redshift.types import Type, common


def _coalesce(call: Call) -> tuple[exp.Expr, Type]:
    checked(call, 1, 1000)
    return func("coalesce", *call.args), common(call.types, "COALESCE")


def _nvl2(call: Call) -> tuple[exp.Expr, Type]:
    checked(call, 3, 3)
    given = exp.Not(this=exp.Is(this=exp.Paren(this=call.args[0]), expression=exp.Null()))
    case = exp.Case(ifs=[exp.If(this=given, true=call.args[1])], default=call.args[2])
    return case, common(call.types[1:], "CASE")


def _chosen(name: str) -> Function:
    """Returns the function GREATEST or LEAST, which ignores NULL."""

    def made(call: Call) -> tuple[exp.Expr, Type]:
        checked(call, 1, 1000)
        kind = common(call.types, name)
        return func(name.lower(), *call.args), kind

    return made


def _decode(call: Call) -> tuple[exp.Expr, Type]:
    """Rewrites DECODE to a CASE in which NULL equals NULL."""
    checked(call, 3, 1000)
    value, rest, kinds = call.args[0], call.args[1:], call.types[1:]
    ifs, results = [], []
    for i in range(0, len(rest) - 1, 2):
        hit = func("rs_same", without_blanks(value.copy(), call.types[0]), without_blanks(rest[i], kinds[i]))
        ifs.append(exp.If(this=hit, true=rest[i + 1]))
        results.append(kinds[i + 1])
    default = rest[-1] if len(rest) % 2 else None
    if default is not None:
        results.append(kinds[-1])
    return exp.Case(ifs=ifs, default=default), common(results, "CASE")


def _nullif(call: Call) -> tuple[exp.Expr, Type]:
    checked(call, 2, 2)
    common(call.types, "NULLIF")
    if not any(t.has_blanks for t in call.types):
        return func("nullif", *call.args), call.types[0]
    first, second = (without_blanks(a.copy(), t) for a, t in zip(call.args, call.types, strict=True))
    hit = exp.If(this=exp.EQ(this=first, expression=second), true=exp.Null())
    return exp.Case(ifs=[hit], default=call.args[0]), call.types[0]


FUNCTIONS: dict[str, Function] = {
    "COALESCE": _coalesce,
    "NVL": _coalesce,
    "NVL2": _nvl2,
    "NULLIF": _nullif,
    "DECODE": _decode,
    "GREATEST": _chosen("GREATEST"),
    "LEAST": _chosen("LEAST"),
}
