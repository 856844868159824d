"""Finds the sheet of a workbook that has the table of a feed, and reads its rows."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

from ecommerce_elt.errors import PermanentError
from ecommerce_elt.readers.headers import HEADER_ROWS, Candidate, Headers
from ecommerce_elt.readers.open_questions import NAMES_SHOWN, OpenQuestionError
from ecommerce_elt.readers.surroundings import is_blank
from ecommerce_elt.readers.table_rows import SomeRows
from ecommerce_elt.readers.workbooks import Workbook


@dataclass(frozen=True)
class SheetTable:
    """The table of a sheet, whose header is in the row `header_at`."""

    book: Workbook
    sheet: str
    header_at: int
    encoding = delimiter = ""

    @property
    def formulas_without_value(self) -> int:
        return self.book.formulas_without_value(self.sheet)

    def above(self) -> Iterator[bool]:
        """Yields whether each row above the header is blank."""
        return map(is_blank, itertools.islice(self.book.rows(self.sheet), self.header_at - 1))

    def read(
        self, block_rows: int, block_chars: int = 0, *, by_columns: bool = False
    ) -> tuple[list[Any], Iterator[SomeRows]]:
        """Returns the header, and an iterator over blocks of up to `block_rows` of the rows below it.

        The other arguments are those of `TextTable.read`. They change nothing, because the sheet is in memory.
        """
        rows = itertools.islice(self.book.rows(self.sheet), self.header_at - 1, None)
        return next(rows), _blocks(rows, self.header_at + 1, block_rows)


def _blocks(rows: Iterator[Any], first: int, block_rows: int) -> Iterator[SomeRows]:
    while values := list(itertools.islice(rows, block_rows)):
        yield list(range(first, first + len(values))), values
        first += len(values)


class Sheets:
    """The sheets of a workbook.

    Args:
        book: the workbook.
        headers: matches the header of a sheet to the contract.
    """

    def __init__(self, book: Workbook, headers: Headers) -> None:
        self.book, self.headers = book, headers
        self.name, self.contract, self.chosen = headers.name, headers.contract, headers.flags.sheet

    def first_rows(self, number: int) -> dict[str, list[list[str]]]:
        """Returns the first rows of each sheet that is read, as texts."""
        return {
            name: [list(map(cell_text, row)) for row in itertools.islice(self.book.rows(name), number)]
            for name in self._read
            if name in self.book.names
        }

    def find(self) -> SheetTable:
        """Returns the only sheet with a row that has the required columns.

        Raises:
            PermanentError: no sheet has rows.
            OpenQuestionError: no sheet or several have the required columns. The message names the sheets or the
                columns that the closest row lacks.
        """
        names = self.book.names
        if self.chosen and self.chosen not in names:
            raise OpenQuestionError(
                f"{self.name}: no sheet {self.chosen!r}; it has {[*map(self.shown, names)]}. Choose one with ",
                self._answers(self.book.visible),
            )
        fitting, closest = self._search()
        if len(fitting) == 1:
            return fitting[0]
        if fitting:
            shown = [self.shown(table.sheet) for table in fitting]
            raise OpenQuestionError(
                f"{self.name}: sheets {shown} have the columns of feed {self.contract.feed}; choose one with ",
                self._answers([table.sheet for table in fitting]),
            )
        if closest is None:
            raise PermanentError(
                f"{self.name}: sheet {self.shown(self.chosen)!r} is empty"
                if self.chosen
                else f"{self.name}: no sheet that is looked at has a row"
            )
        hidden = len(names) - len(self.book.visible)
        raise self.headers.no_column(
            f"{self.name}: no sheet has the columns of feed {self.contract.feed}"
            + (f" ({hidden} hidden sheets were not read)" if hidden else "")
            + f": the closest row, {closest.at},",
            closest.missing,
            closest.header,
        )

    def shown(self, name: str) -> str:
        """Returns the sheet's name for a message, or its number from 1 if the name may identify a person."""
        return f"no. {self.book.names.index(name) + 1}" if self.contract.is_personal else name

    @property
    def _read(self) -> list[str]:
        return [self.chosen] if self.chosen else self.book.visible

    def _search(self) -> tuple[list[SheetTable], Candidate | None]:
        """Returns the tables of all sheets with a header, and otherwise the row that is closest to one."""
        fitting: list[SheetTable] = []
        closest: Candidate | None = None
        for name in self._read:
            for number, row in enumerate(itertools.islice(self.book.rows(name), HEADER_ROWS), 1):
                header = [str(value) for value in row if value != ""]
                if not header:
                    continue
                if not (missing := self.headers.missing(header)):
                    fitting.append(SheetTable(self.book, name, number))
                    break
                closest = Candidate(number, missing, header).or_closer(closest)
        return fitting, closest

    def _answers(self, names: list[str]) -> list[dict[str, Any]]:
        return [{"sheet": ""}] if self.contract.is_personal else [{"sheet": name} for name in names[:NAMES_SHOWN]]


@lru_cache(maxsize=1 << 16, typed=True)
def cell_text(value: Any) -> str:
    """Returns a cell as text, as the source would write it."""
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case float() if value.is_integer() and abs(value) < 1e16:
            return str(int(value))
        case float():
            return format(Decimal(repr(value)), "f")
        case datetime():
            return value.isoformat()
        case date():  # calamine returns midnight as a date
            return f"{value.isoformat()}T00:00:00"
        case None:
            return ""
        case _:
            return str(value)
