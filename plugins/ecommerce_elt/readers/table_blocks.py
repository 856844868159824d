"""Makes blocks of records from the rows of a table, by its survey."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from datetime import date
from typing import Any

from ecommerce_elt.readers.blocks import Block, TimedColumns, parts, refilled, sizes
from ecommerce_elt.readers.columns import Columns, with_texts
from ecommerce_elt.readers.dates import read_time
from ecommerce_elt.readers.decimal_marks import with_point
from ecommerce_elt.readers.fill_down import FillingDown
from ecommerce_elt.readers.headers import Headers
from ecommerce_elt.readers.sheet_table import cell_text
from ecommerce_elt.readers.survey import Survey
from ecommerce_elt.readers.table_rows import (
    Rows,
    SomeRows,
    as_rows,
    column,
    evened,
    is_of_records,
    with_points,
    without_columns,
    without_skipped,
)


class TableBlocks:
    """Makes blocks of records from rows as the table has them.

    Args:
        headers: matches the header to the contract.
        survey: the survey of the table.
        header: the header of the table.
    """

    def __init__(self, headers: Headers, survey: Survey, header: Sequence[Any]) -> None:
        self.headers, self.survey = headers, survey
        self.time_at = headers.time_at([headers.key(str(name)) for name in header])

    def blocks(self, found: Iterator[SomeRows], multiple: int) -> Iterator[Block]:
        """Yields blocks of records; a block ends after every `multiple` rows."""
        room = multiple
        for of_records, some in itertools.groupby(found, lambda block: is_of_records(block, self.time_at)):
            made: Iterator[Block]
            if of_records:
                made = (
                    Block(columns.found.lines[start:stop], [], [], by_columns=columns, start=start)
                    for columns in (self._timed(block) for block in some if isinstance(block, Columns))
                    for start, stop in parts(len(columns.found.lines), room, multiple)
                )
            else:
                made = self._of_rows(map(as_rows, some), sizes(room, multiple, self.survey.block_rows))
            for block in made:
                yield block
                room = (room - len(block.lines)) % multiple or multiple

    def _timed(self, found: Columns) -> TimedColumns:
        assert self.time_at is not None
        survey = self.survey
        times = [read_time(text, survey.date_order) for text in found.columns[self.time_at].dictionary.to_pylist()]
        columns = [column for i, column in enumerate(found.columns) if i not in survey.blank_columns]
        for i, key in enumerate(survey.keys):
            if mark := survey.decimal_marks.get(key):
                columns[i] = with_texts(columns[i], [with_point(t, mark) for t in columns[i].dictionary.to_pylist()])
        return TimedColumns(Columns(found.lines, columns), survey.keys.index(self.headers.time_key), times)

    def _of_rows(self, blocks: Iterator[Rows], wanted: Iterator[int]) -> Iterator[Block]:
        survey, contract = self.survey, self.headers.contract
        if survey.has_wide_rows:
            blocks = ((lines, evened(values, survey.width)) for lines, values in blocks)
        if survey.blank_lines or survey.skipped:
            blocks = (without_skipped(survey.skipped, *block) for block in blocks)
        blocks = refilled(blocks, wanted)
        if survey.blank_columns:
            blocks = ((lines, without_columns(values, survey.blank_columns, survey.width)) for lines, values in blocks)
        if contract.fill_down:
            filling = FillingDown(contract, survey.keys)
            blocks = ((lines, filling.rows(values)) for lines, values in blocks)
        keys, width, order = survey.keys, len(survey.keys), survey.date_order
        time_at = width if (at := self.headers.time_at(keys)) is None else at
        marks = {i: survey.decimal_marks[key] for i, key in enumerate(keys) if key in survey.decimal_marks}
        for lines, values in blocks:
            moments = column(values, time_at)
            texts = with_points(values, width, marks) if marks else values
            if survey.uneven_rows:  # in rows with too many values, the time column is unknown
                moments = [None if len(row) > width else moment for row, moment in zip(values, moments, strict=True)]
            if survey.sheet is None:
                times = [read_time(m, order) if m else None for m in moments]
            else:  # its cells are not only texts
                texts = [[v if type(v) is str else cell_text(v) for v in row] for row in texts]
                times = [
                    read_time(cell_text(m), "ymd" if isinstance(m, date) else order) if m else None for m in moments
                ]
            yield Block(lines, texts, times)
