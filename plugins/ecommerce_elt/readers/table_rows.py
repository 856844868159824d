"""Rows of a table, as lists of values or by columns, and what is changed or left out before they become records."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Any, TypeGuard

from ecommerce_elt.readers.columns import Columns
from ecommerce_elt.readers.decimal_marks import Mark, with_point
from ecommerce_elt.readers.surroundings import is_strange

Rows = tuple[list[int], list[Any]]  # the line of each row, and its values
SomeRows = Columns | Rows


def as_rows(block: SomeRows) -> Rows:
    """Returns the lines and values of the rows of a block."""
    return (list(block.lines), block.rows()) if isinstance(block, Columns) else block


def is_of_records(block: SomeRows, time_at: int | None) -> TypeGuard[Columns]:
    """Returns whether the block is columnar and each row has a time, which makes it a record."""
    if time_at is None or not isinstance(block, Columns):
        return False
    return not any(map(is_strange, block.columns[time_at].dictionary.to_pylist()))


def column(rows: Sequence[Sequence[Any]], at: int) -> list[Any]:
    """Returns the value at one position of each row, or None for a row that is too short."""
    try:
        return [row[at] for row in rows]
    except IndexError:
        return [row[at] if at < len(row) else None for row in rows]


def without_empty(lines: list[int], rows: list[Any]) -> Rows:
    """Returns the lines and rows without the rows that have no value."""
    kept = [(line, row) for line, row in zip(lines, rows, strict=True) if any(row)]
    return [line for line, _ in kept], [row for _, row in kept]


def without_skipped(skipped: Sequence[int], lines: list[int], rows: list[Any]) -> Rows:
    """Returns the lines and rows without the rows that have no value and those on the ordered lines `skipped`."""
    if not all(map(any, rows)):
        lines, rows = without_empty(lines, rows)
    if lines and (gone := set(skipped[bisect_left(skipped, lines[0]) : bisect_left(skipped, lines[-1] + 1)])):
        rows = [row for line, row in zip(lines, rows, strict=True) if line not in gone]
        lines = [line for line in lines if line not in gone]
    return lines, rows


def without_columns(rows: list[Any], gone: tuple[int, ...], width: int) -> list[Any]:
    """Returns the rows without some columns. A row with more values than the header is not changed."""
    return [[v for i, v in enumerate(row) if i not in gone] if len(row) <= width else row for row in rows]


def evened(rows: list[Any], width: int) -> list[Any]:
    """Returns the rows without empty cells after the header's last column, such as those of a trailing comma."""
    return [row[:width] if len(row) > width and not any(row[width:]) else row for row in rows]


def with_points(rows: list[Any], width: int, marks: dict[int, Mark]) -> list[list[Any]]:
    """Returns the rows with decimal points. Only texts change, because a numeric cell has no decimal mark."""
    changed = [list(row) for row in rows]
    for row in changed:
        if len(row) <= width:
            for i, mark in marks.items():
                if i < len(row) and isinstance(row[i], str):
                    row[i] = with_point(row[i], mark)
    return changed
