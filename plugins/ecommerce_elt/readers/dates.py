"""Detects the order of day, month and year in a file. The values decide; nothing is guessed."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache

from ecommerce_elt.readers.open_questions import OpenQuestionError

_DATE = re.compile(
    r"^\s*(?P<a>\d{1,4}|[A-Za-z]{3,9})\s*[-/. ]\s*(?P<b>\d{1,2}|[A-Za-z]{3,9})\s*[-/., ]\s*(?P<c>\d{1,4})"
    r"(?:(?:[T,]|\s)\s*(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,](?P<fraction>\d{1,9}))?)?"
    r"\s*(?P<half>[AaPp]\.?[Mm]\.?)?)?\s*(?P<zone>Z|[+-]\d{2}:?\d{2})?\s*$"
)
_MONTHS = {
    m: i for i, m in enumerate(["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"], 1)
}

ORDERS = {"month/day/year": "mdy", "day/month/year": "dmy", "year-month-day": "ymd"}
DISTINCT_KEPT = 1 << 16
TIME_MAX = 256  # characters of a time; longer texts would fill the caches


def _year(text: str) -> int | None:
    if not text.isdigit():
        return None
    if len(text) == 4:
        return int(text)
    # The POSIX rule for two digits: 69-99 are in the 1900s.
    return int(text) + (1900 if int(text) >= 69 else 2000) if len(text) == 2 else None


def _month(text: str) -> int | None:
    return _MONTHS.get(text[:3].lower()) if text.isalpha() else int(text) if len(text) <= 2 else None


def _day(text: str) -> int | None:
    return int(text) if text.isdigit() and len(text) <= 2 else None


def read_time(text: str, order: str) -> datetime | None:
    """Returns the time in UTC, or None if the text is not a time in this order (`mdy`, `dmy`, `ymd`).

    A text without a zone is taken as UTC. Fractions of a second are truncated to microseconds.
    """
    return _read_time(text, order) if len(text) <= TIME_MAX else None


@lru_cache(maxsize=DISTINCT_KEPT)
def _read_time(text: str, order: str) -> datetime | None:
    found = _DATE.match(text)
    if not found:
        return None
    parts = _parts(order, found["a"], found["b"], found["c"])
    year, month, day = parts["y"], parts["m"], parts["d"]
    if year is None or month is None or day is None:
        return None
    hour = int(found["hour"] or 0)
    if found["half"]:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if found["half"][0] in "pP" else 0)
    try:
        moment = datetime(
            year,
            month,
            day,
            hour,
            int(found["minute"] or 0),
            int(found["second"] or 0),
            int((found["fraction"] or "0").ljust(6, "0")[:6]),
            tzinfo=_zone(found["zone"]),
        )
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None  # not a time in this order, e.g. June 31


@lru_cache(maxsize=DISTINCT_KEPT)
def _parts(order: str, *texts: str) -> dict[str, int | None]:
    reader: dict[str, Callable[[str], int | None]] = {"d": _day, "m": _month, "y": _year}
    return {letter: reader[letter](text) for letter, text in zip(order, texts, strict=True)}


def _zone(text: str | None) -> timezone:
    if not text or text == "Z":
        return UTC
    digits = text[1:].replace(":", "")
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return timezone(-offset if text[0] == "-" else offset)


@lru_cache(maxsize=DISTINCT_KEPT)
def _fitting(text: str) -> tuple[tuple[str, ...], bool]:
    """Returns the orders in which the text is a time, and whether they give different times."""
    times = {name: time for name, order in ORDERS.items() if (time := _read_time(text, order)) is not None}
    return tuple(times), len(set(times.values())) > 1


def is_time(text: str) -> bool:
    """Returns whether the text is a time in at least one order."""
    return len(text) <= TIME_MAX and bool(_fitting(text)[0])


@dataclass
class DateEvidence:
    """Collects the evidence for the date order of one column.

    Add every value of the file. Equal values can be added at once.

    Args:
        column: the name of the column, for messages.
        is_shown: whether a message may quote a value.
    """

    column: str
    is_shown: bool
    values: int = 0
    fits: dict[str, int] = field(default_factory=lambda: dict.fromkeys(ORDERS, 0))
    only: dict[str, int] = field(default_factory=lambda: dict.fromkeys(ORDERS, 0))
    first_only: dict[str, tuple[int, str]] = field(default_factory=dict)
    first_shared: dict[frozenset[str], tuple[int, str]] = field(default_factory=dict)
    shared: dict[frozenset[str], int] = field(default_factory=dict)

    def add(self, line: int, text: str, count: int = 1) -> None:
        """Adds a value that occurs `count` times, first on this line. No text, or a longer one than a time, is no evidence."""
        if not text or len(text) > TIME_MAX:
            return
        self.values += count
        fitting, depends = _fitting(text)
        for name in fitting:
            self.fits[name] += count
        if len(fitting) == 1:
            self.only[fitting[0]] += count
            self.first_only.setdefault(fitting[0], (line, text))
        elif depends:
            key = frozenset(fitting)
            self.shared[key] = self.shared.get(key, 0) + count
            self.first_shared.setdefault(key, (line, text))

    def order(self) -> str:
        """Returns the order of the file: `mdy`, `dmy` or `ymd`.

        Raises:
            OpenQuestionError: the values fit several orders, or prove different ones. The message names lines and the
                option.
        """
        proven = [name for name in ORDERS if self.only[name]]
        if len(proven) > 1:
            seen = "; ".join(
                f"{self.only[name]:,} are {name} only, first {self._at(*self.first_only[name])}" for name in proven
            )
            raise OpenQuestionError(
                f"column {self.column}: dates are written in different orders: {seen}. Pass ",
                [{"date_order": ORDERS[name]} for name in proven],
                "; the others will be quarantined",
            )
        if proven:
            return ORDERS[proven[0]]
        possible = [name for name in ORDERS if self.fits[name] == max(self.fits.values())]
        if not self.shared:
            return ORDERS[possible[0]]  # no value depends on the order
        names, first = max(self.first_shared.items(), key=lambda item: self.shared[item[0]])
        ordered = [name for name in ORDERS if name in names]
        raise OpenQuestionError(
            f"column {self.column}: all {self.values:,} dates fit {' and '.join(ordered)}, e.g. {self._at(*first)}. Pass ",
            [{"date_order": ORDERS[name]} for name in ordered],
        )

    def _at(self, line: int, text: str) -> str:
        return f"line {line} ({text!r})" if self.is_shown else f"line {line}"
