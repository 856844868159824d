"""Reads delimited text by columns with Arrow, where the result is certain to be the same as by rows.

Arrow is several times as fast. Python's csv module is the reference for the meaning of a text. Arrow reads only text
that both read alike: each row is on one line and has all columns, and each quotation mark encloses a whole value or is
doubled within one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv

CHUNK_CHARS = 1 << 22  # text at a time: a value that repeats within it is processed once
OPEN_CHARS = 1 << 20  # further characters, until the last quotation mark is closed
_LINE_FEED, _CARRIAGE_RETURN, _QUOTE = b'\n\r"'


class Columns(NamedTuple):
    """Consecutive rows, stored by columns.

    A column is dictionary-encoded: it has its distinct texts, and an index for each row. The texts of a column are in
    the order of their first occurrence, unless they were changed later.
    """

    lines: range
    columns: list[pa.DictionaryArray]

    def slice(self, start: int, stop: int) -> Columns:
        """Returns some of the rows, with all texts of the columns."""
        return Columns(self.lines[start:stop], [column.slice(start, stop - start) for column in self.columns])

    def rows(self) -> list[list[str]]:
        """Returns the values row by row."""
        values = []
        for column in self.columns:
            texts = column.dictionary.to_pylist()
            values.append(list(map(texts.__getitem__, column.indices.to_pylist())))
        return list(map(list, zip(*values, strict=True)))

    def places(self, column: int) -> np.ndarray:
        """Returns the index of each row's text."""
        return np.asarray(self.columns[column].indices.to_numpy(zero_copy_only=False))

    def counted(self, column: int) -> tuple[list[str], list[int], list[int]]:
        """Returns the distinct texts of a column, the line of each one's first row, and its number of rows."""
        places, found = self.places(column), self.columns[column].dictionary.to_pylist()
        first = np.zeros(len(found), np.int64)
        first[places[::-1]] = np.arange(len(places) - 1, -1, -1)  # the last assignment of an index wins
        counts = np.bincount(places, minlength=len(found))
        return found, (first + self.lines.start).tolist(), counts.tolist()


class Chunk(NamedTuple):
    """Some text, in pieces of whole lines.

    Args:
        pieces: the pieces of text.
        is_last: whether the last row may continue after this chunk, so that the rest must be read together with it.
        error: the exception that reading the next piece raised, if any.
    """

    pieces: list[str]
    is_last: bool
    error: Exception | None = None

    def following(self, pieces: Iterator[str]) -> Iterator[str]:
        """Yields the pieces after the chunk, or raises the exception that reading them raised."""
        if self.error:
            raise self.error
        yield from pieces


def chunks(pieces: Iterator[str], *, quotes: bool) -> Iterator[Chunk]:
    """Yields the text in chunks that end at the end of a row, if quotation marks are used as in RFC 4180.

    Args:
        pieces: the text in pieces of whole lines.
        quotes: whether quotation marks enclose values.
    """
    held: list[str] = []
    chars = marks = 0
    while True:
        try:
            piece = next(pieces)
        except StopIteration:
            break
        except Exception as error:  # it is raised again after the rows before it are read
            yield Chunk(held, is_last=True, error=error)
            return
        held.append(piece)
        chars += len(piece)
        marks += piece.count('"') if quotes else 0
        if chars >= CHUNK_CHARS and (marks % 2 == 0 or chars >= CHUNK_CHARS + OPEN_CHARS):
            yield Chunk(held, is_last=marks % 2 == 1)
            held, chars, marks = [], 0, 0
    if held:
        yield Chunk(held, is_last=marks % 2 == 1)


def is_regular(body: bytes, delimiter: str) -> bool:
    """Returns whether each quotation mark in these whole rows begins or ends a value, or is doubled within one."""
    text = np.frombuffer(body, np.uint8)
    marks = np.flatnonzero(text == _QUOTE)
    if not len(marks):
        return True
    if len(marks) % 2:
        return False
    opening, closing = marks[::2], marks[1::2]
    ends = np.array([ord(delimiter), _LINE_FEED, _CARRIAGE_RETURN], np.uint8)
    at_begin = (opening == 0) | np.isin(text[opening - 1], ends)
    at_end = (closing == len(text) - 1) | np.isin(text[np.minimum(closing + 1, len(text) - 1)], ends)
    doubled = closing[:-1] + 1 == opening[1:]
    return bool(at_begin[0] and at_end[-1] and (at_begin[1:] | doubled).all() and (at_end[:-1] | doubled).all())


def parse(body: bytes, delimiter: str, width: int, first_line: int, row_bytes: int, *, quotes: bool) -> Columns | None:
    """Returns whole rows with regular quotation marks by columns, or None if they have to be read row by row.

    Args:
        body: the rows as UTF-8.
        delimiter: the delimiter.
        width: the number of columns.
        first_line: the line of the first row in the file.
        row_bytes: the largest number of bytes of a row.
        quotes: whether quotation marks enclose values.
    """
    text = np.frombuffer(body, np.uint8)
    ends = np.flatnonzero(text == _LINE_FEED)
    rows = len(ends) + (not body.endswith(b"\n"))
    returns = np.flatnonzero(text == _CARRIAGE_RETURN)
    lone_returns = np.setdiff1d(returns + 1, ends, assume_unique=True).size
    longest = int(np.diff(ends, prepend=-1, append=len(body)).max(initial=0))
    if lone_returns or longest > row_bytes or b"\0" in body or body.startswith(b"\xef\xbb\xbf"):
        return None
    names = [str(number) for number in range(width)]
    try:
        found = pa_csv.read_csv(
            pa.BufferReader(body),
            pa_csv.ReadOptions(use_threads=False, block_size=len(body) + 1, column_names=names),
            pa_csv.ParseOptions(
                delimiter=delimiter, quote_char='"' if quotes else False, double_quote=True, newlines_in_values=quotes
            ),
            pa_csv.ConvertOptions(column_types=dict.fromkeys(names, pa.dictionary(pa.int32(), pa.string()))),
        )
    except pa.ArrowInvalid:  # a row has too many or too few values
        return None
    if found.num_rows != rows:  # there are blank lines, or a value spans several lines
        return None
    columns = [column.chunk(0) if column.num_chunks == 1 else column.combine_chunks() for column in found.columns]
    return Columns(range(first_line, first_line + rows), columns)


def with_texts(column: pa.DictionaryArray, texts: Sequence[str]) -> pa.DictionaryArray:
    """Returns the column with its distinct texts replaced one by one."""
    return pa.DictionaryArray.from_arrays(column.indices, pa.array(texts, pa.string()))
