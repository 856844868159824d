"""Parser for CSV with a header row, as in RFC 4180 or with another delimiter. All values stay texts."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, field

DELIMITERS = ",;\t|"
FIELD_MAX_CHARACTERS = 1024**2  # a longer value would not fit into a record of the stream


class NotCsv(ValueError):  # noqa: N818  # names the state of the text, not a failure of this code
    """The text is not CSV with a header row. The message names the line and the expectation, never a value."""


@dataclass(frozen=True)
class Row:
    """One row of a CSV text.

    Attributes:
        line: the line of the text where the row begins, from 1.
        record: the values by column name; empty if there is a problem.
        problem: why the row is not a record; empty if it is one.
    """

    line: int
    record: dict[str, str]
    problem: str = ""


@dataclass
class Table:
    """The header and rows of a CSV text, and the skipped lines, each with the reason."""

    header: list[str]
    rows: list[Row] = field(default_factory=list)
    left_out: list[tuple[int, str]] = field(default_factory=list)


def read_csv(text: str) -> Table:
    """Returns the rows of a CSV text.

    Blank lines are ignored. Rows of empty values and repetitions of the header are skipped and listed in `left_out`.
    The delimiter is the one of DELIMITERS that occurs most often in the first line. Unnamed columns at the end of the
    header, which spreadsheets may write, are ignored as long as they are empty.

    Raises:
        NotCsv: the text has no header row, the header repeats a name or has an unnamed column before a named one, or a
            quoted value is not closed.
    """
    csv.field_size_limit(FIELD_MAX_CHARACTERS)
    first = next((line for line in io.StringIO(text, newline="") if line.strip()), "")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(DELIMITERS, key=first.count), strict=True)
    table: Table | None = None
    line = 1
    try:
        for values in reader:
            here, line = line, reader.line_num + 1  # a quoted value may span lines
            if not values:
                continue
            if table is None:
                table = Table(_header(values, here))
                continue
            _add(table, values, here)
    except csv.Error as error:
        raise NotCsv(f"line {line}: {error}") from error
    if table is None:
        raise NotCsv("expected a header row, found nothing")
    return table


def _header(values: list[str], line: int) -> list[str]:
    names = _trimmed([name.strip() for name in values], 0)
    if not names:
        raise NotCsv(f"line {line}: expected a header row, found no name in it")
    for number, name in enumerate(names, 1):
        if not name:
            raise NotCsv(f"line {line}: column {number} of the header has no name")
        if name in names[: number - 1]:
            raise NotCsv(f"line {line}: columns {names.index(name) + 1} and {number} of the header have the same name")
    return names


def _add(table: Table, values: list[str], line: int) -> None:
    names = table.header
    values = _trimmed(values, len(names))
    if not any(value.strip() for value in values):
        table.left_out.append((line, "no value in it"))
    elif [value.strip() for value in values] == names:
        table.left_out.append((line, "the header again"))
    elif len(values) != len(names):
        problem = f"line {line}: expected {len(names)} values, one for each column of the header, found {len(values)}"
        table.rows.append(Row(line, {}, problem))
    else:
        table.rows.append(Row(line, dict(zip(names, values, strict=True))))


def _trimmed(values: list[str], at_least: int) -> list[str]:
    """Returns the values without the empty ones at the end, but never fewer than the first `at_least`."""
    end = len(values)
    while end > at_least and not values[end - 1].strip():
        end -= 1
    return values[:end]
