"""Blocks of consecutive records, and where they are cut."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from ecommerce_elt.readers.columns import Columns
from ecommerce_elt.readers.table_rows import Rows

BLOCK_ROWS = 500  # rows at a time: they fit into the processor's cache and trigger no garbage collection
LONG_ROWS = 4  # rows at a time, if BLOCK_ROWS rows are longer than BLOCK_CHARS
BLOCK_CHARS = 1 << 23
BLOCK_CELLS = 1_000_000  # values at a time: rows may have many more than the header


class Row(NamedTuple):
    """One record: its line, row or array position, counted from 1, its values by key, and its UTC time if readable."""

    line: int
    data: dict[str, Any]
    event_time: datetime | None


class TimedColumns(NamedTuple):
    """Columnar records with the survey's keys as columns, and the UTC time of each distinct text of the time column."""

    found: Columns
    time_at: int
    times: list[datetime | None]


class Block(NamedTuple):
    """Some consecutive records. See `Row` for the meaning of their fields."""

    lines: Sequence[int]
    values: list[list[str]]  # for the survey's keys; empty if `records` or `by_columns` is set
    times: list[datetime | None]
    records: list[dict[str, Any]] | None = None
    by_columns: TimedColumns | None = None  # this block has the rows from `start` on
    start: int = 0


def sizes(room: int, multiple: int, most: int) -> Iterator[int]:
    """Yields block sizes of at most `most`, so that a block ends after `room` rows and after each `multiple` more."""
    while True:
        yield (size := min(most, room))
        room = room - size or multiple


def parts(rows: int, room: int, multiple: int) -> Iterator[tuple[int, int]]:
    """Yields start and end of parts of `rows` rows, which end after `room` rows and after each `multiple` more."""
    start = 0
    while start < rows:
        stop = min(start + room, rows)
        yield start, stop
        start, room = stop, multiple


def refilled(blocks: Iterator[Rows], wanted: Iterator[int]) -> Iterator[Rows]:
    """Yields the same rows in blocks of the wanted sizes; a block of more than BLOCK_CELLS values is cut in two."""
    lines: list[int] = []
    rows: list[Any] = []
    size = next(wanted)
    for more_lines, more_rows in blocks:
        lines, rows = lines + more_lines, rows + more_rows
        while len(rows) >= size:
            yield lines[:size], rows[:size]
            lines, rows = lines[size:], rows[size:]
            size = next(wanted)
        if sum(map(len, rows)) > BLOCK_CELLS:
            yield lines, rows
            size -= len(rows)
            lines, rows = [], []
    if rows:
        yield lines, rows
