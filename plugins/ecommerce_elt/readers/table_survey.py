"""Reads a table once, and makes its survey."""

from __future__ import annotations

from collections import Counter
from typing import Any

from ecommerce_elt.readers.blocks import BLOCK_CHARS, LONG_ROWS
from ecommerce_elt.readers.columns import Columns
from ecommerce_elt.readers.decimal_marks import Mark
from ecommerce_elt.readers.fill_down import FillingDown
from ecommerce_elt.readers.headers import Headers
from ecommerce_elt.readers.sheet_table import SheetTable
from ecommerce_elt.readers.surroundings import OddRows, Totals, is_strange
from ecommerce_elt.readers.survey import Evidence, Survey
from ecommerce_elt.readers.table_rows import as_rows, column, evened, is_of_records, without_empty, without_skipped
from ecommerce_elt.readers.text_table import TextTable


class TableSurvey:
    """Reads a table once, block by block, and collects what the survey needs.

    Args:
        table: the table.
        headers: matches its header to the contract.
        block_rows: the largest number of rows in a block; at most LONG_ROWS for rows of any length.

    Raises:
        PermanentError: the rows cannot be read, or are ambiguous. The message names the line and the option.
        LongRowsError: the rows are too long for so many of them.
    """

    def __init__(self, table: TextTable | SheetTable, headers: Headers, block_rows: int) -> None:
        self.table, self.headers, self.block_rows = table, headers, block_rows
        contract = headers.contract
        block_chars = BLOCK_CHARS if block_rows > LONG_ROWS else 0
        self.header, self._blocks = table.read(block_rows, block_chars, by_columns=not contract.fill_down)
        self.width, self.keys = len(self.header), headers.keys(self.header)
        self.nameless = [i for i, name in enumerate(self.header) if not str(name).strip()]
        self.time_at = headers.time_at(self.keys)
        self.evidence = Evidence(headers, self.keys)
        self.marks = {i: self.evidence.marks[key] for i, key in enumerate(self.keys) if key in self.evidence.marks}
        self.odd = OddRows(self.header, self.time_at, table.above())
        self.filling = FillingDown(contract, self.keys, self.header) if contract.fill_down else None
        self.rows, self.has_wide_rows = 0, False
        self.widths: Counter[int] = Counter()
        self.used: set[int] = set()  # columns without a name that have values

    def survey(self, data_set: str, kind: str) -> Survey:
        """Reads the table to its end, and returns the survey."""
        for block in self._blocks:
            if is_of_records(block, self.time_at):
                self._add_columns(block)
            else:
                self._add_rows(*as_rows(block))
        blank_columns = tuple(i for i in self.nameless if i not in self.used)
        keys = tuple(key for i, key in enumerate(self.keys) if i not in blank_columns)
        self.headers.check_doubled(keys, self.header)
        decimal_marks = self.evidence.decimal_marks()
        self._leave_out_totals(decimal_marks)
        self.odd.in_order()
        even = range(next(i for i in range(self.width, -1, -1) if i - 1 not in blank_columns), self.width + 1)
        return Survey(
            kind=kind,
            data_set=data_set,
            rows=self.rows,
            keys=keys,
            date_order=self.evidence.date_order(),
            decimal_marks=decimal_marks,
            left_out=dict(self.odd.left_out),
            encoding=self.table.encoding,
            delimiter=self.table.delimiter,
            sheet=self.table.sheet,
            header_at=self.table.header_at,
            width=self.width,
            blank_columns=blank_columns,
            uneven_rows=sum(rows for width, rows in self.widths.items() if width not in even),
            has_wide_rows=self.has_wide_rows,
            formulas_without_value=self.table.formulas_without_value,
            skipped=self.odd.skipped,
            block_rows=self.block_rows,
            filled_down=self.filling.filled if self.filling else {},
        )

    def _add_columns(self, block: Columns) -> None:
        """Adds columnar records. Each distinct text of the time column and of the decimal columns is added once."""
        assert self.time_at is not None
        for text, line, count in zip(*block.counted(self.time_at), strict=True):
            self.evidence.dates.add(line, text, count)
        for i, mark in self.marks.items():
            texts, lines, counts = block.counted(i)
            mark.add(lines, texts, counts)
        unused = (i for i in self.nameless if i not in self.used)
        self.used.update([i for i in unused if any(block.columns[i].dictionary.to_pylist())])
        self.rows += len(block.lines)
        self.widths[self.width] += len(block.lines)

    def _add_rows(self, lines: list[int], values: list[Any]) -> None:
        """Adds rows, and leaves out those that are not records, except totals."""
        if not all(map(any, values)):
            self.odd.add_empty(lines, values)
            lines, values = without_empty(lines, values)
        widths = list(map(len, values))
        if widths.count(self.width) != len(widths):
            self.has_wide_rows |= max(widths) > self.width
            values = evened(values, self.width)
            widths = list(map(len, values))
        if self.filling:
            values = self.filling.rows(values)
        times = column(values, self.time_at) if self.time_at is not None else []
        strange = set(filter(is_strange, set(times)))
        if strange and (gone := self.odd.found(lines, values, times, strange)):
            lines, values, widths, times = _without(gone, lines, values, widths, times)
        first = dict(zip(reversed(times), reversed(lines), strict=True)) if times else {}
        for text, count in Counter(times).items():
            if isinstance(text, str):
                self.evidence.dates.add(first[text], text, count)
        for i, mark in self.marks.items():
            mark.add(lines, column(values, i))
        self.used.update([i for i in self.nameless if i not in self.used and any(column(values, i))])
        self.rows += len(values)
        self.widths.update(widths)

    def _leave_out_totals(self, decimal_marks: dict[str, Mark]) -> None:
        """Leaves out totals, which takes a second reading if a row may be one."""
        if not self.odd.candidates or self.time_at is None:
            return
        marks = {i: decimal_marks[key] for i, key in enumerate(self.keys) if key in decimal_marks}
        columns = {c.header: c for c in self.headers.contract.columns}
        totals = Totals(self.keys, columns, marks, self.time_at)
        _, blocks = self.table.read(self.block_rows)
        kept = (
            (line, row)
            for block in blocks
            for line, row in zip(*without_skipped(self.odd.skipped, *as_rows(block)), strict=True)
        )
        for line in totals.found(kept, self.odd.candidates):
            self.odd.skip("total", line)
            self.rows -= 1
            self.widths[self.odd.candidates[line]] -= 1


def _without(gone: set[int], *lists: list[Any]) -> list[list[Any]]:
    return [[value for at, value in enumerate(values) if at not in gone] for values in lists]
