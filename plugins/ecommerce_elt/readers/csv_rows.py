"""Reads the rows of delimited text in blocks: by columns with Arrow where possible, else with Python's csv module."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from ecommerce_elt.errors import PermanentError
from ecommerce_elt.readers.columns import chunks, is_regular, parse
from ecommerce_elt.readers.file_text import TEXT_BYTES, TooLongError
from ecommerce_elt.readers.json_records import too_long
from ecommerce_elt.readers.table_rows import SomeRows
from ecommerce_elt.settings import FileLimits

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "pipe"}


class LongRowsError(Exception):
    """Rows are so long that fewer of them must be in memory at a time."""


@dataclass(frozen=True)
class CsvDialect:
    """How a file writes its rows, with its name for messages and its limits."""

    name: str
    limits: FileLimits
    encoding: str
    delimiter: str
    quotes: bool  # whether quotation marks enclose values

    @property
    def quoting(self) -> Literal[0, 3]:
        return csv.QUOTE_MINIMAL if self.quotes else csv.QUOTE_NONE


class CharCounter:
    """Counts the characters that are read for the rows of a block.

    Args:
        row_chars: the largest number of characters of one row.
        block_chars: the largest number of characters of a block; 0 for no limit.
    """

    def __init__(self, row_chars: int, block_chars: int) -> None:
        self.row_chars, self.block_chars = row_chars, block_chars
        self.begin([])

    def begin(self, rows: list[list[str]]) -> None:
        """Begins a block, whose rows are being added to this list."""
        self.rows, self.had, self.chars, self.since_row = rows, 0, 0, 0

    def add(self, chars: int) -> None:
        """Adds characters that are read.

        Raises:
            TooLongError: a row is longer than the limit.
            LongRowsError: the block is longer than its limit.
        """
        if len(self.rows) != self.had:
            self.had, self.since_row = len(self.rows), 0
        self.chars += chars
        self.since_row += chars
        if self.since_row > 2 * self.row_chars + TEXT_BYTES:
            raise TooLongError
        if self.block_chars and self.chars > self.block_chars:
            raise LongRowsError


class RowReader:
    """Reads rows of some text with Python's csv module.

    Args:
        dialect: the dialect of the text.
        texts: the text in pieces of whole lines.
        line: the line in the file at which the first row begins.
        counter: counts the characters that are read.
        skip: the number of lines before the first row.
    """

    def __init__(
        self, dialect: CsvDialect, texts: Iterator[str], line: int, counter: CharCounter, skip: int = 0
    ) -> None:
        self.dialect, self.line, self.counter = dialect, line, counter
        self._before, self._open = line - 1, io.StringIO()
        lines = itertools.chain.from_iterable(map(self._opened, texts))
        rows = itertools.islice(lines, skip, None) if skip else lines
        self._reader = csv.reader(rows, delimiter=dialect.delimiter, quoting=dialect.quoting, strict=True)

    def _opened(self, text: str) -> io.StringIO:
        self.counter.add(len(text))
        self._open = io.StringIO(text, newline="")
        return self._open

    def rest(self) -> str:
        """Returns the unread rest of the current piece, and marks it as read."""
        return self._open.read()

    def blocks(self, block_rows: int) -> Iterator[SomeRows]:
        """Yields the remaining rows in blocks of `block_rows`."""
        while (found := self.read(block_rows))[0]:
            yield found

    def read(self, wanted: int) -> tuple[list[int], list[list[str]]]:
        """Returns the lines and values of the next `wanted` rows, or of fewer at the end.

        Raises:
            PermanentError: the text is not in its encoding or dialect, or a row is too long.
            LongRowsError: the rows are too long for a block.
        """
        name, limits, rows = self.dialect.name, self.dialect.limits, list[list[str]]()
        self.counter.begin(rows)
        try:
            rows.extend(itertools.islice(self._reader, wanted))  # if this fails, `rows` has the rows read so far
        except TooLongError:
            raise too_long(f"{name}: line {self._next_line(rows)}", limits) from None
        except csv.Error as error:
            line = self._next_line(rows)
            if "field larger" in str(error):
                raise too_long(f"{name}: line {line}", limits) from None
            raise PermanentError(
                f"{name}: line {line}: {error}. Is a quote open, or the delimiter another than "
                f"{DELIMITERS.get(self.dialect.delimiter, self.dialect.delimiter)}? Where a quotation mark is a "
                f"character as any other, let the contract say quoting: none"
            ) from error
        except UnicodeError as error:
            why = getattr(error, "reason", type(error).__name__)
            raise PermanentError(
                f"{name}: after line {self._next_line(rows)}: not {self.dialect.encoding}: {why}"
            ) from None
        last = self._before + self._reader.line_num
        lines = _line_numbers(self.line, rows, last) if rows else []
        if self.counter.chars > limits.row_bytes:
            for at, row in zip(lines, rows, strict=True):
                if sum(map(len, row)) > limits.row_bytes:
                    raise too_long(f"{name}: line {at}", limits)
        self.line = last + 1
        return lines, rows

    def _next_line(self, rows: list[list[str]]) -> int:
        return self.line + sum(map(_lines_taken, rows))


def blocks_of_text(
    dialect: CsvDialect, pieces: Iterator[str], line: int, width: int, block_rows: int, counter: CharCounter
) -> Iterator[SomeRows]:
    """Yields the rows of some text in blocks. Where Arrow can read them these are columnar, and can have more rows.

    Args:
        dialect: the dialect of the text, with a delimiter of one byte.
        pieces: the text in pieces of whole lines.
        line: the line in the file at which the first row begins.
        width: the number of columns.
        block_rows: the largest number of rows in a block that is not columnar.
        counter: counts the characters that are read for such blocks.
    """
    for chunk in chunks(pieces, quotes=dialect.quotes):
        is_last, columns = chunk.is_last, None
        if not is_last:
            body = "".join(chunk.pieces).encode("utf-8", "surrogatepass")
            is_last = dialect.quotes and not is_regular(body, dialect.delimiter)
            if not is_last:
                columns = parse(body, dialect.delimiter, width, line, dialect.limits.row_bytes, quotes=dialect.quotes)
        if columns is not None:
            yield columns
            line = columns.lines.stop
            continue
        texts = itertools.chain(chunk.pieces, chunk.following(pieces)) if is_last else iter(chunk.pieces)
        reader = RowReader(dialect, texts, line, counter)
        yield from reader.blocks(block_rows)
        line = reader.line


def _lines_taken(row: list[str]) -> int:
    text = ",".join(row)
    return 1 + text.count("\n") + text.count("\r") - text.count("\r\n")


def _line_numbers(first: int, rows: list[list[str]], last: int) -> list[int]:
    """Returns the line on which each record begins; the records fill the lines from `first` to `last`."""
    if last - first + 1 == len(rows):
        return list(range(first, last + 1))
    return list(itertools.accumulate(map(_lines_taken, rows[:-1]), initial=first))
