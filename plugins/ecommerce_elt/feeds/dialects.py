"""Dialects: the ways in which senders write a value, besides the plain form that the cleaning step converts.

The dialect of a column is a list of rewrites, each with a regular expression and a replacement. They are applied in
turn to a text that is not in the plain form: `£1,234.50` becomes `1,234.50` and then `1234.50`. A text that no rewrite
matches stays unchanged, and the column's type rejects it. DuckDB, Spark and the Lambdas run the same rewrites. For this
reason, the patterns use only features that RE2, Java and Python treat alike: ASCII classes, no look-around, and at most
nine groups.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple, Protocol

# The plain forms. INTEGER and DECIMAL cover the numbers of JSON, with an optional sign.
INTEGER = r"[+-]?[0-9]+([.]0+)?"
DECIMAL = r"[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)"
# ISO 8601 with one or two digits per part. All engines read texts of this form alike, but differ for other forms.
TIME = (
    r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([ T]([01]?[0-9]|2[0-3]):[0-5]?[0-9](:[0-5]?[0-9]([.][0-9]{1,9})?)?"
    r"(Z| UTC|[+-](0[0-9]|1[0-4])(:?[0-5][0-9])?)?)?"
)
# Ruby, and therefore Shopify, writes a blank before the offset: 2024-01-05 10:12:13 -0500.
OFFSET_APART = r"([0-9]{4}-[0-9]{1,2}-[0-9]{1,2}[ T][0-9:.]{3,18}) ([+-][0-9]{2}:?[0-9]{2})"
EPOCH = r"@[0-9]{15,16}"  # microseconds since 1970, the result of the rewrites of epoch formats


class Rewrite(NamedTuple):
    """A pattern that has to match a whole text, and its replacement, with `\\1` to `\\9` for the groups."""

    pattern: str
    replacement: str


THOUSANDS_GROUPS = 5  # up to 999,999,999,999,999,999
DATE_ORDERS = {"M/D/Y", "D/M/Y", "Y/M/D", "M.D.Y", "D.M.Y", "Y.M.D", "M-D-Y", "D-M-Y"}
_FORMAT = re.compile(r"(?P<date>(?:M|D|YYYY|YY)(?P<mark>[/.-])(?:M|D)(?P=mark)(?:M|D|YYYY|YY))(?P<time> H:MM(?: AM)?)?")
_SPACES = "[ \u00a0\u202f'\u2019]"  # thousands marks without another meaning: blanks, no-break blanks and apostrophes

EPOCH_DIGITS = {"epoch_seconds": (9, 10), "epoch_millis": (12, 13)}  # for 1973 to 2286; the two never overlap
OTHER_FORMATS = {"YYYYMMDD": Rewrite("([0-9]{4})([01][0-9])([0-3][0-9])", r"\1-\2-\3")}
# Spreadsheets and pandas write a long number as 8.52E+04. Digits are lost, so no rewrite can restore them.
DAMAGED = r"[0-9]([.][0-9]+)?[eE][+][0-9]{2,3}|[0-9][.][0-9]+[eE][+-]?[0-9]{1,3}"
# If both marks are allowed, 1,234 is either 1234 or 1.234.
TWO_READINGS = r"[+-]?[1-9][0-9]{0,2},[0-9]{3}"


class Dialect(Protocol):
    """The settings of a column that define its dialect; see the contract's columns."""

    @property
    def name(self) -> str: ...
    @property
    def type(self) -> str: ...
    @property
    def formats(self) -> tuple[str, ...]: ...
    @property
    def numbers(self) -> tuple[str, ...]: ...
    @property
    def currency(self) -> tuple[str, ...]: ...
    @property
    def accepted(self) -> dict[str, tuple[str, ...]] | None: ...


def rewrites(column: Dialect) -> list[Rewrite]:
    """Returns the rewrites of the column's dialect, in the order in which they run.

    Raises:
        ValueError: two of its formats could read a text differently, or a format is invalid.
    """
    match column.type:
        case "string":
            return [
                Rewrite("|".join(map(re.escape, words)), word)
                for word, words in (column.accepted or {}).items()
                if words
            ]
        case "identifier":
            return [Rewrite("([0-9]+)[.]0+", r"\1")]
        case "timestamp":
            return [Rewrite(OFFSET_APART, r"\1\2"), *_times(column)]
        case "boolean":
            return []
        case _:
            return [*_amounts(column), *_marks(column)]


def has_two_readings(column: Dialect) -> bool:
    """Returns whether a comma in the column's numbers may be a thousands mark or a decimal comma."""
    return {"thousands", "decimal_comma"} <= set(column.numbers)


def _times(column: Dialect) -> Iterator[Rewrite]:
    orders: dict[str, str] = {}
    for name in column.formats:
        if name in EPOCH_DIGITS:
            yield from _epoch(name)
            continue
        if name in OTHER_FORMATS:
            yield OTHER_FORMATS[name]
            continue
        found = _FORMAT.fullmatch(name)
        order = re.sub("Y+", "Y", found["date"]) if found else ""
        if not found or order not in DATE_ORDERS:
            raise ValueError(
                f"column {column.name}: format {name!r} is none. Write day, month and year as D, M and YYYY or YY with one "
                "of / . - between them, and H:MM or H:MM AM behind a blank where it has a time; or YYYYMMDD, "
                "epoch_seconds, epoch_millis. Year-month-day with hyphens is ISO 8601, which is always read"
            )
        if orders.setdefault(found["mark"], order) != order:
            raise ValueError(
                f"column {column.name}: formats {orders[found['mark']]} and {order} could read one text differently, such as "
                f"3{found['mark']}4{found['mark']}2011; keep the one that the sender means"
            )
        yield from _dates(found["date"], found["mark"], found["time"] or "")


def _dates(date: str, mark: str, time: str) -> Iterator[Rewrite]:
    parts = date.split(mark)
    place = {part[0]: f"\\{number}" for number, part in enumerate(parts, 1)}
    # POSIX's rule for two-digit years: 69 to 99 are in the 1900s.
    years = {"": "([0-9]{4})"} if "YYYY" in parts else {"20": "([0-5][0-9]|6[0-8])", "19": "([7-9][0-9]|69)"}
    for century, year in years.items():
        pattern = f"[{mark}]".join(year if part[0] == "Y" else "([0-9]{1,2})" for part in parts)
        day = f"{century}{place['Y']}-{place['M']}-{place['D']}"
        seconds = "((?::[0-9]{1,2}(?:[.][0-9]{1,9})?)?)"
        if not time:
            yield Rewrite(pattern, day)
        elif time == " H:MM":
            yield Rewrite(f"{pattern} ([0-9]{{1,2}}:[0-9]{{2}}){seconds}", rf"{day} \4\5")
        else:
            for hour in range(24):
                half = "[aA]" if hour < 12 else "[pP]"
                yield Rewrite(
                    f"{pattern} 0?{hour % 12 or 12}(:[0-9]{{2}}){seconds} ?{half}[.]?[mM][.]?", rf"{day} {hour}\4\5"
                )


def _epoch(name: str) -> Iterator[Rewrite]:
    for digits in EPOCH_DIGITS[name]:
        if name == "epoch_millis":
            yield Rewrite(f"([0-9]{{{digits}}})(?:[.]0*)?", r"@\1000")
        else:
            yield Rewrite(f"([0-9]{{{digits}}})(?:[.]([0-9]*))?", r"@\1\2000000")
            yield Rewrite(f"(@[0-9]{{{digits + 6}}})[0-9]*", r"\1")


def _amounts(column: Dialect) -> Iterator[Rewrite]:
    """Yields the rewrites that remove currency marks, and turn accounting brackets or a trailing minus into a sign."""
    inner = f"[0-9.,{_SPACES[1:-1]}]*"
    if column.currency:
        marks = "|".join(map(re.escape, column.currency))
        yield Rewrite(f"([+(-]?)(?:{marks}) ?([+(-]?{inner}[)-]?)", r"\1\2")
        yield Rewrite(f"([+(-]?{inner}[0-9.,]) ?(?:{marks})([)-]?)", r"\1\2")
    if "accounting" in column.numbers:
        yield Rewrite(f"[(]({inner})[)]", r"-\1")
        yield Rewrite(f"({inner})-", r"-\1")


def _marks(column: Dialect) -> Iterator[Rewrite]:
    """Yields the rewrites that remove thousands marks and turn a decimal comma into a point.

    They match only texts with a single reading.
    """
    comma = "decimal_comma" in column.numbers
    if "thousands" in column.numbers:
        for groups in range(1, THOUSANDS_GROUPS + 1):
            joined = "".join(f"\\{number}" for number in range(1, groups + 3))
            yield Rewrite(_grouped(groups, _SPACES) + "([.,][0-9]*|)", joined)
            point = "([.][0-9]*)" if comma and groups == 1 else "([.][0-9]*|)"  # 1,234 alone has two readings
            yield Rewrite(_grouped(groups, ",") + point, joined)
            if comma:
                yield Rewrite(_grouped(groups, "[.]") + ("(,[0-9]*)" if groups == 1 else "(,[0-9]*|)"), joined)
    if comma:
        if has_two_readings(column):
            yield Rewrite("([+-]?[0-9]*),([0-9]{1,2}|[0-9]{4,})", r"\1.\2")
            yield Rewrite("([+-]?(?:0[0-9]*|[0-9]{4,}|)),([0-9]{3})", r"\1.\2")
        else:
            yield Rewrite("([+-]?[0-9]*),([0-9]+)", r"\1.\2")


def _grouped(groups: int, mark: str) -> str:
    return "([+-]?[1-9][0-9]{0,2})" + f"{mark}([0-9]{{3}})" * groups
