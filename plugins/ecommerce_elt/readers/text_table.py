"""Finds the table of a delimited text file, with its delimiter and header, and reads its rows."""

from __future__ import annotations

import contextlib
import csv
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from ecommerce_elt.errors import PermanentError
from ecommerce_elt.readers.csv_rows import DELIMITERS, CharCounter, CsvDialect, RowReader, blocks_of_text
from ecommerce_elt.readers.file_text import FileText
from ecommerce_elt.readers.headers import HEADER_ROWS, Candidate, Headers
from ecommerce_elt.readers.table_rows import SomeRows

HEADER_LINES = 20  # lines that one row may span


@dataclass(frozen=True)
class TextTable:
    """The table of a delimited text file, whose header begins on the line `header_at`."""

    text: FileText
    dialect: CsvDialect
    header_at: int
    sheet = None
    formulas_without_value = 0

    @property
    def encoding(self) -> str:
        return self.dialect.encoding

    @property
    def delimiter(self) -> str:
        return self.dialect.delimiter

    def above(self) -> Iterator[bool]:
        """Yields whether each line above the header is blank."""
        for line in itertools.islice(self.text.lines(self.encoding), self.header_at - 1):
            yield not line.strip(self.delimiter + " \r\n\ufeff")

    def read(
        self, block_rows: int, block_chars: int = 0, *, by_columns: bool = False
    ) -> tuple[list[Any], Iterator[SomeRows]]:
        """Returns the header, and an iterator over blocks of the rows below it.

        Args:
            block_rows: the largest number of rows in a block.
            block_chars: the largest number of characters that are read for a block; 0 for no limit.
            by_columns: whether blocks may be columnar; these can have more rows.
        """
        counter = CharCounter(self.text.limits.row_bytes, block_chars)
        texts = self.text.whole_lines(self.encoding)
        reader = RowReader(self.dialect, texts, self.header_at, counter, skip=self.header_at - 1)
        _, [header] = reader.read(1)
        if not by_columns or len(self.delimiter.encode()) > 1:
            return header, reader.blocks(block_rows)
        pieces = itertools.chain([reader.rest()], texts)
        return header, blocks_of_text(self.dialect, pieces, reader.line, len(header), block_rows, counter)


def find_text_table(text: FileText, headers: Headers, encoding: str) -> TextTable:
    """Returns the table whose header is the first line with all required columns by any delimiter.

    Raises:
        PermanentError: no line is such a header. The message names the columns that the closest line lacks.
    """
    head = text.first_lines(encoding, HEADER_ROWS + HEADER_LINES)
    dialects = _dialects(text, encoding)
    closest: Candidate | None = None
    for at in range(min(HEADER_ROWS, len(head))):
        if not head[at].strip():
            continue
        for dialect in dialects:
            try:
                header = next(_split(dialect, itertools.islice(head, at, None)))
            except csv.Error:
                continue  # e.g. a title with an open quote, or a value that is too long
            if not (missing := headers.missing(header)):
                return TextTable(text, dialect, at + 1)  # only one delimiter can split it into all columns
            closest = Candidate(at + 1, missing, header).or_closer(closest)
    if closest is None:
        raise PermanentError(
            f"{text.name}: the file is empty"
            if not any(map(str.strip, head))
            else f"{text.name}: none of the first lines is a header. Is it a table?"
        )
    raise headers.no_column(f"{text.name}: line {closest.at}", closest.missing, closest.header)


def first_rows(text: FileText, encoding: str, number: int) -> dict[str, list[list[str]]]:
    """Returns the first rows of a text file for each possible delimiter."""
    lines = text.first_lines(encoding, number)
    found = {}
    for dialect in _dialects(text, encoding):
        with contextlib.suppress(csv.Error):  # another delimiter may fit
            found[dialect.delimiter] = list(_split(dialect, lines))
    return found


def dialect_of(text: FileText, encoding: str, delimiter: str) -> CsvDialect:
    """Returns the dialect of a text file with this delimiter."""
    return CsvDialect(text.name, text.limits, encoding, delimiter, quotes=text.contract.quoting != "none")


def _split(dialect: CsvDialect, lines: Iterable[str]) -> Iterator[list[str]]:
    return csv.reader(lines, delimiter=dialect.delimiter, quoting=dialect.quoting)


def _dialects(text: FileText, encoding: str) -> list[CsvDialect]:
    """Returns the dialect with the delimiter that the user gave, or those with each delimiter that is tried.

    Raises:
        PermanentError: the given delimiter is not one character.
    """
    if not text.flags.delimiter:
        return [dialect_of(text, encoding, mark) for mark in DELIMITERS]
    mark = "\t" if text.flags.delimiter == "\\t" else text.flags.delimiter
    if len(mark) != 1 or mark in '\r\n"':
        raise PermanentError(f"{text.name}: delimiter {mark!r}: expected one character")
    return [dialect_of(text, encoding, mark)]
