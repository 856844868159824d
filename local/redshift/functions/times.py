"""Date and time functions. Source: Redshift Developer Guide, "Date and time functions".

The module is long because it is a table: each function rewrites one of Redshift's, and FUNCTIONS names all of them.
"""

from __future__ import annotations

import re
from functools import lru_cache

import sqlglot
from sqlglot import exp

from local.redshift.errors import SqlError, unsupported
from local.redshift.functions import formats
from local.redshift.functions.call import Call, Clock, Function, as_text, cast, checked, constant, func
from local.redshift.functions.numbers import truncated
from local.redshift.marks import is_mark, of_kind, text_of
from local.redshift.types import (
    BIGINT,
    DATE,
    DOUBLE,
    INT,
    TIME,
    TIMESTAMP,
    TIMESTAMPTZ,
    Type,
    decimal,
    varchar,
)

# Source: "Date parts for date or timestamp functions".
PARTS = {
    word: part
    for part, words in {
        "millennium": "millennium millennia mil mils",
        "century": "century centuries c cent cents",
        "decade": "decade decades dec decs",
        "epoch": "epoch",
        "year": "year years y yr yrs",
        "quarter": "quarter quarters qtr qtrs",
        "month": "month months mon mons",
        "week": "week weeks w",
        "dayofweek": "dayofweek dow dw weekday",
        "dayofyear": "dayofyear doy dy yearday",
        "day": "day days d",
        "hour": "hour hours h hr hrs",
        "minute": "minute minutes m min mins",
        "second": "second seconds s sec secs",
        "millisecond": "millisecond milliseconds ms msec msecs msecond mseconds millisec millisecs millisecon",
        "microsecond": "microsecond microseconds microsec microsecs usecond useconds us usec usecs",
    }.items()
    for word in words.split()
}
STEPS = ("year", "quarter", "month", "week", "day", "hour", "minute", "second", "millisecond", "microsecond")


CLOCK_STEPS = ("hour", "minute", "second", "millisecond", "microsecond")


def part(call: Call, index: int, known: tuple[str, ...] = ()) -> str:
    """Returns the date part that an argument names, as a word or a text."""
    node = call.args[index]
    word = text_of(node) if isinstance(node, exp.Var | exp.Literal) else ""
    found = PARTS.get(word.lower())
    if not found:
        raise SqlError(f'ERROR: timestamp units "{word or node.sql("redshift")}" not recognized')
    if known and found not in known:
        raise unsupported(f"{call.name} with the date part {word}")
    return found


def moment(call: Call, index: int) -> tuple[exp.Expr, Type]:
    """Returns an argument as a DATE or TIMESTAMP; a bare text literal becomes a TIMESTAMP."""
    node, kind = call.args[index], call.types[index]
    if kind.is_open:
        return timestamp(node), TIMESTAMP
    if kind.is_text:
        return func("rs_timestamp", node), TIMESTAMP
    if kind not in (DATE, TIMESTAMP):
        if kind in (TIMESTAMPTZ, Type("TIME"), Type("TIMETZ")):
            raise unsupported(f"{call.name} of {kind.kind}")
        raise call.wrong()
    return node, kind


def timestamp(node: exp.Expr) -> exp.Expr:
    """Returns a bare text literal as a TIMESTAMP."""
    if isinstance(node, exp.Literal):
        return cast(time_literal(node), "TIMESTAMP")
    return cast(node, "TIMESTAMP")


def time_literal(node: exp.Expr) -> exp.Expr:
    """Returns a time literal in the form that DuckDB reads; a parameter is converted when its value is known."""
    return of_kind(node, "time") if is_mark(node) else exp.Literal.string(iso(node.name))


def iso(text: str) -> str:
    """Converts a time in Redshift's forms (20080305 12:25:29, 12-31-2008, 12/31/2008) to the form that DuckDB reads.

    Raises:
        SqlError: The time has another form, which DuckDB may interpret differently.
    """
    if text == "epoch":
        return "1970-01-01 00:00:00"
    found = re.fullmatch(r"\s*(\S+?)(?:[T ]+(.+?))?\s*", text)
    date, clock = (found[1], found[2]) if found else (text, None)
    if plain := re.fullmatch(r"(\d{4})-(\d{1,2})-(\d{1,2})|(\d{4})(\d{2})(\d{2})", date):
        year, month, day = [g for g in plain.groups() if g]
    elif american := re.fullmatch(r"(\d{1,2})[-/](\d{1,2})[-/](\d{4})", date):
        month, day, year = american.groups()
    else:
        raise unsupported(f"the time '{text}'")
    if clock is not None and not re.fullmatch(
        r"\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?(\s*(Z|UTC|GMT|[+-]\d{2}(:?\d{2})?))?", clock
    ):
        raise unsupported(f"the time '{text}'")
    return f"{year}-{int(month):02d}-{int(day):02d}" + (f" {clock}" if clock else "")


def _dateadd(call: Call) -> tuple[exp.Expr, Type]:
    checked(call, 3, 3)
    step = part(call, 0, STEPS)
    if call.types[2] == TIME:
        if step not in CLOCK_STEPS:
            raise unsupported(f"DATEADD({step}) of a TIME")
        return cast(
            func(
                "rs_add_" + step,
                exp.Add(this=cast(constant("2000-01-01"), "DATE"), expression=call.args[2]),
                call.args[1],
            ),
            "TIME",
        ), TIME
    node, _ = moment(call, 2)
    if not (call.types[1].is_integer or call.types[1].is_open):
        raise unsupported(f"DATEADD with an interval of {call.types[1].kind}")
    return func(f"rs_add_{step}", node, call.args[1]), TIMESTAMP


def _datediff(call: Call) -> tuple[exp.Expr, Type]:
    checked(call, 3, 3)
    step = part(call, 0, STEPS)
    if call.types[1] == call.types[2] == TIME:
        if step not in CLOCK_STEPS:
            raise unsupported(f"DATEDIFF({step}) of a TIME")
        return func("date_diff", step, *call.args[1:]), BIGINT
    (first, _), (second, _) = moment(call, 1), moment(call, 2)
    if step == "week":
        return func("rs_weeks_between", first, second), BIGINT
    return func("date_diff", step, first, second), BIGINT


def _date_trunc(call: Call) -> tuple[exp.Expr, Type]:
    checked(call, 2, 2)
    step = part(call, 0)
    if step in {"dayofweek", "dayofyear", "epoch"}:
        raise SqlError(f'ERROR: timestamp units "{step}" not supported')
    node, _ = moment(call, 1)
    if step in {"millennium", "century"}:  # they begin with the year 1: 2001-01-01
        years = 1000 if step == "millennium" else 100
        return func("rs_trunc_years", node, years), TIMESTAMP
    return cast(func("date_trunc", step, node), "TIMESTAMP"), TIMESTAMP


_EXTRACTED = {
    "year": "year",
    "quarter": "quarter",
    "month": "month",
    "week": "weekofyear",
    "day": "day",
    "dayofweek": "dayofweek",
    "dayofyear": "dayofyear",
    "hour": "hour",
    "minute": "minute",
    "second": "second",
    "century": "century",
    "millennium": "rs_millennium",
    "decade": "rs_decade",
    "millisecond": "rs_milliseconds",
    "microsecond": "rs_microseconds",
    "epoch": "rs_epoch",
}


def extracted(step: str, node: exp.Expr, kind: Type) -> tuple[exp.Expr, Type]:
    """Rewrites EXTRACT(step FROM node), which returns only that part as an integer."""
    if kind.is_text or kind.is_open:
        node = timestamp(node)
    elif kind == Type("TIME"):
        if step not in {"hour", "minute", "second", "millisecond", "microsecond"}:
            raise unsupported(f"EXTRACT({step}) of a TIME")
    elif kind not in (DATE, TIMESTAMP):
        raise unsupported(f"EXTRACT of {kind.kind}")
    found = func(_EXTRACTED[step], node)
    return (cast(found, "BIGINT"), BIGINT) if step == "epoch" else (cast(found, "INTEGER"), INT)


def _date_part(call: Call) -> tuple[exp.Expr, Type]:
    checked(call, 2, 2)
    step = part(call, 0)
    node, _ = moment(call, 1)
    if step in {"second", "epoch"}:  # DATE_PART keeps the fraction, EXTRACT does not
        return func(f"rs_part_{step}", node), DOUBLE
    return cast(func(_EXTRACTED[step], node), "DOUBLE"), DOUBLE


def _date_part_year(call: Call) -> tuple[exp.Expr, Type]:
    checked(call, 1, 1)
    node, _ = moment(call, 0)
    return cast(func("year", node), "INTEGER"), INT


def _add_months(call: Call) -> tuple[exp.Expr, Type]:
    checked(call, 2, 2)
    node, _ = moment(call, 0)
    return func("rs_add_months", node, call.args[1]), TIMESTAMP


def _last_day(call: Call) -> tuple[exp.Expr, Type]:
    checked(call, 1, 1)
    node, _ = moment(call, 0)
    return cast(func("last_day", node), "DATE"), DATE


def _months_between(call: Call) -> tuple[exp.Expr, Type]:
    checked(call, 2, 2)
    return func("rs_months_between", moment(call, 0)[0], moment(call, 1)[0]), DOUBLE


# Valid values of NEXT_DAY's day.
_DAYS = {
    "su": 0,
    "sun": 0,
    "sunday": 0,
    "m": 1,
    "mo": 1,
    "mon": 1,
    "monday": 1,
    "tu": 2,
    "tues": 2,
    "tuesday": 2,
    "w": 3,
    "we": 3,
    "wed": 3,
    "wednesday": 3,
    "th": 4,
    "thu": 4,
    "thurs": 4,
    "thursday": 4,
    "f": 5,
    "fr": 5,
    "fri": 5,
    "friday": 5,
    "sa": 6,
    "sat": 6,
    "saturday": 6,
}


def _next_day(call: Call) -> tuple[exp.Expr, Type]:
    checked(call, 2, 2)
    day = _DAYS.get(call.literal(1, "day").lower())
    if day is None:
        raise unsupported(f"NEXT_DAY with the day '{call.literal(1, 'day')}'")
    return func("rs_next_day", cast(moment(call, 0)[0], "DATE"), day), DATE


def _compared(call: Call) -> tuple[exp.Expr, Type]:
    """Rewrites DATE_CMP and similar functions, which return -1, 0 or 1."""
    checked(call, 2, 2)
    return func("rs_time_cmp", cast(moment(call, 0)[0], "TIMESTAMP"), cast(moment(call, 1)[0], "TIMESTAMP")), INT


_OFFSETS = {
    "UTC": 0,
    "GMT": 0,
    "EST": -300,
    "EDT": -240,
    "CST": -360,
    "CDT": -300,
    "MST": -420,
    "MDT": -360,
    "PST": -480,
    "PDT": -420,
    "CET": 60,
    "CEST": 120,
    "BST": 60,
    "JST": 540,
}


def _zone(call: Call, index: int) -> str | int:
    """Returns the name of a zone, or minutes east of UTC for an abbreviation, which has no daylight saving time."""
    name = call.literal(index, "time zone")
    if name.upper() in _OFFSETS:
        return _OFFSETS[name.upper()]
    if not re.fullmatch(r"[A-Z][A-Za-z]+/[A-Za-z_/]+|Singapore|Japan|Turkey|Israel|Iran|Egypt|Cuba", name):
        raise unsupported(f"the time zone '{name}'")
    return name


def _to_utc(node: exp.Expr, zone: str | int) -> exp.Expr:
    if isinstance(zone, int):
        return func("rs_add_minute", node, -zone) if zone else cast(node, "TIMESTAMP")
    return func("timezone", "UTC", func("timezone", zone, cast(node, "TIMESTAMP")))


def _from_utc(node: exp.Expr, zone: str | int) -> exp.Expr:
    if isinstance(zone, int):
        return func("rs_add_minute", node, zone) if zone else node
    return func("timezone", zone, func("timezone", "UTC", node))


def _convert_timezone(call: Call) -> tuple[exp.Expr, Type]:
    checked(call, 2, 3)
    source = _zone(call, 0) if len(call.args) == 3 else 0
    target = _zone(call, len(call.args) - 2)
    node, _ = moment(call, len(call.args) - 1)
    return _from_utc(_to_utc(node, source), target), TIMESTAMP


def at_zone(call: Call) -> tuple[exp.Expr, Type]:
    """Rewrites TIMEZONE('zone', t) and t AT TIME ZONE 'zone'."""
    checked(call, 2, 2)
    zone = _zone(call, 0)
    if call.types[1] == TIMESTAMPTZ:
        return _from_utc(func("timezone", "UTC", call.args[1]), zone), TIMESTAMP
    node, _ = moment(call, 1)
    return func("timezone", "UTC", _to_utc(node, zone)), TIMESTAMPTZ


def _now(call: Call) -> tuple[exp.Expr, Type]:
    checked(call, 0, 0)
    return cast(func("date_trunc", "second", statement_start(call.clock)), "TIMESTAMP"), TIMESTAMP


def statement_start(clock: Clock) -> exp.Expr:
    return cast(exp.Literal.string(clock.statement), "TIMESTAMP")


def transaction_start(clock: Clock) -> exp.Expr:
    return cast(exp.Literal.string(clock.transaction), "TIMESTAMP")


@lru_cache(1000)
def _template(sql: str) -> exp.Expr:
    return sqlglot.parse_one(sql, read="duckdb")


def filled(sql: str, node: exp.Expr) -> exp.Expr:
    """Returns DuckDB's expression `sql` with its column t__ replaced by `node`."""
    tree = exp.Paren(this=_template(sql).copy())
    for column in list(tree.find_all(exp.Column)):
        if column.name == "t__":
            column.replace(node.copy())
    return tree


def _to_char(call: Call) -> tuple[exp.Expr, Type]:
    checked(call, 2, 2)
    pattern = call.literal(1, "format")
    if call.types[0].is_number:
        return _number_to_char(call, pattern)
    node, _ = moment(call, 0)
    sql, has_blanks = formats.to_char(pattern)
    return filled(sql.format(t="t__"), node), varchar(len(pattern) * 9, has_blanks=has_blanks)


def _number_to_char(call: Call, pattern: str) -> tuple[exp.Expr, Type]:
    """Rewrites TO_CHAR with the patterns 9, 0, D or ., G or , and a leading FM; a positive number gets a blank."""
    found = re.fullmatch(r"(FM)?([09,G]*[09])(?:([.D])([09]*))?", pattern.upper())
    if not found or call.types[0].kind in {"DOUBLE", "FLOAT"}:
        raise unsupported(f"TO_CHAR of {call.types[0].kind} with the format '{pattern}'")
    whole, fraction = found[2], found[4] or ""
    if found[1] and fraction and "9" in fraction:
        raise unsupported(f"TO_CHAR of {call.types[0].kind} with the format '{pattern}'")
    digits = whole.replace(",", "").replace("G", "")
    if (
        re.search("0.*9", digits)
        or ("0" in digits and re.search("[,G]", whole))
        or not re.fullmatch(r"([09]{1,3}([,G][09]{3})*|[09]+)", whole)
    ):
        raise unsupported(f"TO_CHAR of a number with the format '{pattern}'")
    zeros = len(digits) - digits.index("0") if "0" in digits else 0
    width = len(whole)
    return func(
        "rs_number_text",
        call.args[0],
        len(digits),
        len(fraction),
        zeros,
        width if not found[1] else 0,
        1 if re.search("[,G]", whole) else 0,
    ), varchar(64)


def _to_date(call: Call) -> tuple[exp.Expr, Type]:
    checked(call, 2, 2)
    node = as_text(call.args[0], call.types[0])
    return cast(func("strptime", node, formats.to_time(call.literal(1, "format"))), "DATE"), DATE


def _to_timestamp(call: Call) -> tuple[exp.Expr, Type]:
    checked(call, 2, 2)
    node = as_text(call.args[0], call.types[0])
    parsed = func("strptime", node, formats.to_time(call.literal(1, "format")))
    return func("timezone", "UTC", parsed), TIMESTAMPTZ


def _to_number(call: Call) -> tuple[exp.Expr, Type]:
    """Rewrites TO_NUMBER with the patterns 9, 0, D or ., G or , and S at the end."""
    checked(call, 2, 2)
    pattern = call.literal(1, "format").upper()
    found = re.fullmatch(r"[09,G]*[09](?:[.D]([09]*))?(S)?", pattern)
    if not found:
        raise unsupported(f"TO_NUMBER with the format '{pattern}'")
    scale = len(found[1] or "")
    return cast(func("rs_to_number_text", call.args[0], 1 if found[2] else 0), f"DECIMAL(38,{scale})"), decimal(
        38, scale
    )


FUNCTIONS: dict[str, Function] = {
    "DATEADD": _dateadd,
    "DATE_ADD": _dateadd,
    "DATEDIFF": _datediff,
    "DATE_DIFF": _datediff,
    "DATE_TRUNC": _date_trunc,
    "DATE_PART": _date_part,
    "PGDATE_PART": _date_part,
    "DATE_PART_YEAR": _date_part_year,
    "ADD_MONTHS": _add_months,
    "LAST_DAY": _last_day,
    "MONTHS_BETWEEN": _months_between,
    "NEXT_DAY": _next_day,
    "DATE_CMP": _compared,
    "DATE_CMP_TIMESTAMP": _compared,
    "TIMESTAMP_CMP": _compared,
    "TIMESTAMP_CMP_DATE": _compared,
    "CONVERT_TIMEZONE": _convert_timezone,
    "TIMEZONE": at_zone,
    "GETDATE": _now,
    "TRUNC": truncated,
    "TO_CHAR": _to_char,
    "TO_DATE": _to_date,
    "TO_TIMESTAMP": _to_timestamp,
    "TO_NUMBER": _to_number,
}
