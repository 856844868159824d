"""Interval literals: INTERVAL '3 hours, 35 minutes'. Source: Redshift Developer Guide, "Interval literals"."""

from __future__ import annotations

import re
from decimal import Decimal

from sqlglot import exp

from local.redshift.errors import SqlError, unsupported
from local.redshift.functions.call import cast
from local.redshift.functions.times import PARTS
from local.redshift.marks import text_of

_MONTHS = {"year": 12, "quarter": 3, "month": 1, "decade": 120, "century": 1200, "millennium": 12000}
_MICROSECONDS = {
    "week": 604_800_000_000,
    "day": 86_400_000_000,
    "hour": 3_600_000_000,
    "minute": 60_000_000,
    "second": 1_000_000,
    "millisecond": 1000,
    "microsecond": 1,
}


def interval(node: exp.Expr) -> exp.Expr:
    """Returns the DuckDB constant for an interval literal.

    Raises:
        SqlError: It is not a literal, or its unit is not a date part.
    """
    value, unit = node.this, node.args.get("unit")
    if isinstance(value, exp.Neg) and isinstance(value.this, exp.Literal):
        text = f"-{value.this.name}"
    elif isinstance(value, exp.Literal):
        text = text_of(value)
    else:
        raise unsupported("an INTERVAL that is no literal")
    if unit is not None:
        if not isinstance(unit, exp.Var):
            raise unsupported("an INTERVAL from one unit to another")
        text = f"{text} {unit.name}"
    months, microseconds = 0, Decimal(0)
    at = 0
    text = text.strip()
    while at < len(text):
        found = re.compile(r"\s*,?\s*([+-]?\d*\.?\d+)\s*([A-Za-z]*)\s*").match(text, at)
        if not found or found.end() == at:
            raise SqlError(f'ERROR: invalid input syntax for type interval: "{text}"')
        number, word = Decimal(found[1]), found[2].lower() or "second"
        part = PARTS.get(word)
        if part in _MONTHS:
            if number * _MONTHS[part] % 1:
                raise unsupported(f"INTERVAL '{text}' with a part of a month")
            months += int(number * _MONTHS[part])
        elif part in _MICROSECONDS:
            microseconds += number * _MICROSECONDS[part]
        else:
            raise SqlError(f'ERROR: invalid input syntax for type interval: "{text}"')
        at = found.end()
    whole_days, rest = divmod(int(microseconds), 86_400_000_000)
    return cast(exp.Literal.string(f"{months} months {whole_days} days {rest} microseconds"), "INTERVAL")
