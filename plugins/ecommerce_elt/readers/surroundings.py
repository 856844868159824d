"""Detects rows of a table that are not records: titles, repeated headers, totals and blank rows.

A row is left out only on evidence. All left-out rows are counted, and the first ones of each kind are listed by line.
"""

from __future__ import annotations

import re
from array import array
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, time, timedelta
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from types import SimpleNamespace
from typing import Any

from ecommerce_elt.errors import PermanentError
from ecommerce_elt.feeds.contracts import Column
from ecommerce_elt.feeds.dialects import DECIMAL, rewrites
from ecommerce_elt.readers.dates import is_time
from ecommerce_elt.readers.decimal_marks import Mark, with_point

LISTED_LINES = 100  # listed for each kind
SKIPPED_MAX = 1_000_000  # repeated headers, totals and blank rows, whose line numbers are kept
TOTALS_TRIED = 10_000  # candidates for totals; if more rows look like totals, they are data
NUMBER_MAX = 64  # characters
LIKE_A_NUMBER = re.compile(
    r"[^\w.,]{0,3}(?:[A-Z]{3} ?)?[^\w.,]{0,2}[0-9][0-9.,'’\u00a0\u202f ]*(?:[ )-]|[^\w.,]|[A-Z]{3}){0,4}"
)
PLAIN = re.compile(DECIMAL)
# Spreadsheets and pandas add binary floats: 0.1 + 0.2 is 0.30000000000000004.
FLOAT_NOISE = Decimal("1e-9")
SIGNS = ("£", "€", "$", "¥", "GBP", "EUR", "USD")


@dataclass
class LeftOut:
    """Rows of one kind that are not records."""

    rows: int = 0
    lines: list[int] = field(default_factory=list)  # the first ones

    def add(self, line: int) -> None:
        self.rows += 1
        if len(self.lines) < LISTED_LINES:
            self.lines.append(line)


def is_blank(row: Sequence[Any]) -> bool:
    """Returns whether all cells of the row are empty or contain only blanks."""
    return not any(value.strip() if isinstance(value, str) else value is not None for value in row)


def is_strange(moment: Any) -> bool:
    """Returns whether a row with this value as its time may not be a record."""
    return moment is None or (isinstance(moment, str) and not is_time(moment))


class OddRows:
    """Finds rows of a table that may not be records, while the table is read.

    Args:
        header: the header.
        time_at: the position of the column with the event's time, if there is one.
        above: whether each row above the header is blank.

    Attributes:
        left_out: the rows that are not records, by kind.
        skipped: the lines of the rows below the header that are not records, without the empty ones.
        candidates: the lines of possible totals, with their numbers of cells.
    """

    def __init__(self, header: Sequence[Any], time_at: int | None, above: Iterable[bool]) -> None:
        self.header, self.time_at = [str(name).strip() for name in header], time_at
        self.left_out: defaultdict[str, LeftOut] = defaultdict(LeftOut)
        self.skipped = array("Q")
        self.candidates: dict[int, int] = {}
        for number, row_is_blank in enumerate(above, 1):
            self.left_out["blank" if row_is_blank else "title"].add(number)

    def add_empty(self, lines: Sequence[int], rows: Sequence[Any]) -> None:
        """Counts the rows that have no value."""
        for line, row in zip(lines, rows, strict=True):
            if not any(row):
                self.left_out["blank"].add(line)

    def skip(self, kind: str, line: int) -> None:
        """Leaves out a row.

        Raises:
            PermanentError: more rows are left out than a file of records can have.
        """
        if len(self.skipped) == SKIPPED_MAX:
            raise PermanentError(
                f"line {line}: more than {SKIPPED_MAX:,} rows are headers, totals or blank: is it a file of records?"
            )
        self.skipped.append(line)
        self.left_out[kind].add(line)

    def found(self, lines: list[int], rows: list[Any], times: list[Any], strange: set[Any]) -> set[int]:
        """Leaves out the rows that are not records, among those whose time is in `strange`; returns their positions."""
        gone = set()
        for at, (line, row, moment) in enumerate(zip(lines, rows, times, strict=True)):
            if moment not in strange:
                continue
            if is_blank(row):
                self.skip("blank", line)
            elif [str(value).strip() for value in row] == self.header:
                self.skip("repeated_header", line)
            else:
                if self.time_at is not None and len(self.candidates) < TOTALS_TRIED and may_be_total(row, self.time_at):
                    self.candidates[line] = len(row)
                continue
            gone.add(at)
        return gone

    def in_order(self) -> None:
        """Sorts the lines; totals are found after the others."""
        self.skipped = array("Q", sorted(self.skipped))
        for of in self.left_out.values():
            of.lines.sort()


def may_be_total(row: Sequence[Any], time_at: int) -> bool:
    """Returns whether a row can be a total: no time, at least one number, and at most one text that is not a number."""
    texts = numbers = 0
    for i, value in enumerate(row):
        if isinstance(value, date | time | timedelta):
            return False
        text = value.strip() if isinstance(value, str) else value
        if text in {"", None}:
            continue
        if isinstance(text, str) and not (len(text) <= NUMBER_MAX and LIKE_A_NUMBER.fullmatch(text)):
            texts += 1
            if texts > 1:
                return False
        elif i == time_at:
            return False
        else:
            numbers += 1
    return numbers > 0


class Totals:
    """Sums the columns of a table, and determines which of the candidate rows are totals.

    Args:
        keys: the keys of the file's columns.
        columns: the columns of the contract, by key.
        marks: the decimal marks of the file's columns, by position, as far as they are known.
        time_at: the position of the column with the event's time.
    """

    def __init__(self, keys: Sequence[str], columns: dict[str, Column], marks: dict[int, Mark], time_at: int) -> None:
        self.keys, self.columns, self.time_at = keys, columns, time_at
        known = set(marks.values())
        common: Mark | None = known.pop() if len(known) == 1 else None
        self.readers = [_Reader(columns.get(key), marks.get(i, common)) for i, key in enumerate(keys)]
        of = {i: column for i, key in enumerate(keys) if (column := columns.get(key))}
        wholes = [i for i, column in of.items() if column.type in {"integer", "bigint"}]
        # Below a price column, spreadsheets often show the sum of the amounts: quantity times price.
        self.products = [(i, j) for i, column in of.items() if column.decimal for j in wholes]

    def found(self, rows: Iterator[tuple[int, Sequence[Any]]], candidates: Collection[int]) -> list[int]:
        """Returns the lines of the totals.

        Args:
            rows: line and values of all rows that are not left out for another reason.
            candidates: lines of the rows that may be totals.
        """
        tried, totals = set(candidates), []
        since_header, since_total = _Sums(self.products), _Sums(self.products)
        for line, row in rows:
            numbers = {
                i: n
                for i, (read, value) in enumerate(zip(self.readers, row, strict=False))
                if (n := read(value)) is not None
            }
            if line in tried and self._is_total(row, numbers, since_header, since_total):
                totals.append(line)
                since_total = _Sums(self.products)
                continue
            is_dated = self.time_at < len(row) and any(map(str.isdigit, str(row[self.time_at])[:NUMBER_MAX]))
            since_header.add(numbers, is_dated)
            since_total.add(numbers, is_dated)
        return totals

    def _is_total(self, row: Sequence[Any], numbers: dict[int, Decimal], *sums: _Sums) -> bool:
        others = sum(not is_blank([value]) for i, value in enumerate(row) if i not in numbers)
        if not numbers or others > 1:
            return False
        # A record that has lost its time and equals the only record before it is not a total.
        is_record = all(
            not is_blank([row[i]])
            for i, key in enumerate(self.keys)
            if i != self.time_at and i < len(row) and (c := self.columns.get(key)) and c.required
        )
        return any(each.rows > is_record and each.are(numbers) for each in sums)


class _Sums:
    """Sums of columns, and of products of two columns, over some rows.

    Args:
        products: for each product, the positions of the two columns.
    """

    def __init__(self, products: Sequence[tuple[int, int]]) -> None:
        self.rows = 0  # rows with a time, since a total sums records
        self.columns: defaultdict[int, Decimal] = defaultdict(Decimal)
        self.products = dict.fromkeys(products, Decimal(0))

    def add(self, numbers: dict[int, Decimal], is_dated: bool) -> None:
        self.rows += is_dated
        for i, number in numbers.items():
            self.columns[i] += number
        for i, j in self.products:
            if i in numbers and j in numbers:
                self.products[i, j] += numbers[i] * numbers[j]

    def are(self, numbers: dict[int, Decimal]) -> bool:
        """Returns whether each number equals the sum of its column, or the sum of one of the column's products."""
        return all(
            any(
                abs(total - number) <= FLOAT_NOISE * max(Decimal(1), abs(number))
                for total in (self.columns[i], *(total for (of, _), total in self.products.items() if of == i))
            )
            for i, number in numbers.items()
        )


class _Reader:
    """Reads the numbers of one column, using its type in the contract and the decimal mark of the file."""

    def __init__(self, column: Column | None, mark: Mark | None) -> None:
        self.mark = mark
        is_whole = column is not None and column.type in {"integer", "bigint"}
        numbers = ("thousands", "accounting") if is_whole else ("thousands", "decimal_comma", "accounting")
        signs = column.currency if column and column.currency else SIGNS
        dialect = SimpleNamespace(
            name="", type="decimal(38,9)", formats=(), numbers=numbers, currency=signs, accepted=None
        )
        self.rewrites = [(re.compile(r.pattern), r.replacement) for r in rewrites(dialect)]
        self._read = lru_cache(maxsize=1 << 14)(self._of_text)

    def __call__(self, value: Any) -> Decimal | None:
        if isinstance(value, str):
            return self._read(value) if 0 < len(value) <= NUMBER_MAX else None
        if isinstance(value, int | float) and not isinstance(value, bool):
            return Decimal(repr(value)) if value == value and abs(value) != float("inf") else None
        return None

    def _of_text(self, text: str) -> Decimal | None:
        number = text.strip()
        if self.mark:
            number = with_point(number, self.mark)
        for pattern, replacement in self.rewrites:
            if found := pattern.fullmatch(number):
                number = found.expand(replacement)
        try:
            return Decimal(number) if PLAIN.fullmatch(number) else None
        except InvalidOperation:
            return None
