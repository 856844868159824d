"""Math functions. Source: Redshift Developer Guide, "Math functions"."""

from __future__ import annotations

from sqlglot import exp

from local.redshift.errors import unsupported
from local.redshift.functions.call import Call, Function, cast, checked, func, plain, refused
from local.redshift.types import DATE, DOUBLE, FLOATS, INT, Type, arithmetic, decimal


def number(call: Call, index: int = 0) -> Type:
    """Returns the type of a numeric argument; a bare text literal is a float."""
    kind = call.types[index]
    if kind.is_open:
        return DOUBLE
    if not kind.is_number:
        raise call.wrong()
    return kind


def _floats(name: str, fewest: int = 1, most: int | None = None) -> Function:
    """Returns a function of float8 values."""

    def made(call: Call) -> tuple[exp.Expr, Type]:
        checked(call, fewest, fewest if most is None else most)
        args = []
        for i, node in enumerate(call.args):
            number(call, i)
            args.append(cast(node, "DOUBLE"))
        return func(name, *args), DOUBLE

    return made


def _whole(name: str) -> Function:
    """Returns the function CEILING or FLOOR."""

    def made(call: Call) -> tuple[exp.Expr, Type]:
        checked(call, 1, 1)
        kind = number(call)
        if kind.is_integer:
            return call.args[0], kind
        if kind.kind == "DECIMAL":
            precision, scale = kind.decimal
            result = decimal(max(precision - scale + 1, 1), 0)
            return cast(func(name, call.args[0]), f"DECIMAL({result.precision},0)"), result
        return func(name, call.args[0]), kind

    return made


def _round(call: Call) -> tuple[exp.Expr, Type]:
    checked(call, 1, 2)
    kind = number(call)
    digits = int(call.literal(1, "number of digits")) if len(call.args) > 1 else 0
    if kind.is_integer:
        return (call.args[0], kind) if digits >= 0 else (cast(func("round", call.args[0], digits), kind.kind), kind)
    if kind.kind == "DECIMAL":
        precision, scale = kind.decimal
        kept = min(max(digits, 0), scale)
        result = decimal(min(precision - scale + kept + 1, 38), kept)
        return cast(func("round", call.args[0], digits), f"DECIMAL({result.precision},{kept})"), result
    return func("round", call.args[0], digits), DOUBLE


def truncated(call: Call) -> tuple[exp.Expr, Type]:
    checked(call, 1, 2)
    if call.types[0].kind in {"TIMESTAMP", "DATE", "TIMESTAMPTZ"} or call.types[0].is_open:
        if len(call.args) > 1 or call.types[0].is_open:
            raise call.wrong()
        return cast(call.args[0], "DATE"), DATE
    kind = number(call)
    digits = int(call.literal(1, "number of digits")) if len(call.args) > 1 else 0
    if kind.kind in FLOATS:
        if digits:
            raise unsupported("TRUNC of a float to digits: cast it to DECIMAL")
        return func("trunc", call.args[0]), kind
    precision, scale = kind.decimal
    if digits >= scale:
        return call.args[0], kind
    kept = max(digits, 0)
    unit = exp.Literal.number(f"0.{'0' * (digits - 1)}1" if digits > 0 else f"1{'0' * -digits}")
    rest = exp.Mod(this=exp.Paren(this=call.args[0].copy()), expression=unit)
    cut = exp.Sub(this=exp.Paren(this=call.args[0]), expression=rest)
    if kind.is_integer:
        return cast(exp.Paren(this=cut), {"INT": "INTEGER"}.get(kind.kind, kind.kind)), kind
    return cast(exp.Paren(this=cut), f"DECIMAL({precision},{kept})"), decimal(precision, kept)


def modulo(call: Call) -> tuple[exp.Expr, Type]:
    checked(call, 2, 2)
    left, right = number(call, 0), number(call, 1)
    if left.kind in FLOATS or right.kind in FLOATS:
        raise unsupported("MOD of floats")
    return func("rs_mod", *call.args), arithmetic("%", left, right)


def _absolute(call: Call) -> tuple[exp.Expr, Type]:
    checked(call, 1, 1)
    return func("abs", call.args[0]), number(call)


def _sign(call: Call) -> tuple[exp.Expr, Type]:
    checked(call, 1, 1)
    kind = number(call)
    if kind.kind in FLOATS:
        return cast(func("sign", call.args[0]), "DOUBLE"), DOUBLE
    if kind.kind == "DECIMAL":  # as documented, a DECIMAL returns a DECIMAL(1,0)
        return cast(func("sign", call.args[0]), "DECIMAL(1,0)"), decimal(1, 0)
    return cast(func("sign", call.args[0]), "INTEGER"), INT


def _log(call: Call) -> tuple[exp.Expr, Type]:
    checked(call, 1, 1)
    number(call)
    return func("rs_log10", cast(call.args[0], "DOUBLE")), DOUBLE


def _random(call: Call) -> tuple[exp.Expr, Type]:
    checked(call, 0, 0)
    return func("random"), DOUBLE


def _pi(call: Call) -> tuple[exp.Expr, Type]:
    checked(call, 0, 0)
    return func("pi"), DOUBLE


FUNCTIONS: dict[str, Function] = {
    "ABS": _absolute,
    "CEIL": _whole("ceil"),
    "CEILING": _whole("ceil"),
    "FLOOR": _whole("floor"),
    "ROUND": _round,
    "TRUNC": truncated,
    "MOD": modulo,
    "SIGN": _sign,
    "ACOS": _floats("acos"),
    "ASIN": _floats("asin"),
    "ATAN": _floats("atan"),
    "ATAN2": _floats("atan2", 2),
    "COS": _floats("cos"),
    "SIN": _floats("sin"),
    "TAN": _floats("tan"),
    "COT": _floats("cot"),
    "CBRT": _floats("cbrt"),
    "SQRT": _floats("sqrt"),
    "EXP": _floats("exp"),
    "DEXP": _floats("exp"),
    "LN": _floats("ln"),
    "DLOG1": _floats("ln"),
    "LOG": _log,
    "DLOG10": _log,
    "POWER": _floats("power", 2),
    "POW": _floats("power", 2),
    "DEGREES": _floats("degrees"),
    "RADIANS": _floats("radians"),
    "PI": _pi,
    "RANDOM": _random,
    "CHECKSUM": refused("its value is not computed"),
    "BIT_COUNT": plain(INT, 1, name="bit_count"),
}
