"""Files with one record per row or object: CSV of any dialect, workbooks, JSON and Parquet, packed or not.

The whole file is read once before anything is sent. Properties that the bytes and values of the file determine are
detected. If they are ambiguous, an error asks for the answer and names the option. Memory use does not grow with the
size of a file. Only of a workbook is a whole sheet in memory: some 0.4 GB for half a million rows.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

import orjson

from ecommerce_elt.errors import PermanentError
from ecommerce_elt.feeds.contracts import Contract
from ecommerce_elt.feeds.events import Envelopes, as_record
from ecommerce_elt.readers.blocks import BLOCK_ROWS, LONG_ROWS, Block, Row, sizes
from ecommerce_elt.readers.csv_rows import LongRowsError
from ecommerce_elt.readers.file_text import FileText
from ecommerce_elt.readers.flags import Flags
from ecommerce_elt.readers.headers import Headers
from ecommerce_elt.readers.keyed_records import KeyedRecords
from ecommerce_elt.readers.packed import WORKBOOKS, PackedFile
from ecommerce_elt.readers.sheet_table import Sheets, SheetTable
from ecommerce_elt.readers.survey import Survey
from ecommerce_elt.readers.table_blocks import TableBlocks
from ecommerce_elt.readers.table_survey import TableSurvey
from ecommerce_elt.readers.text_table import TextTable, dialect_of, find_text_table, first_rows
from ecommerce_elt.readers.workbooks import Workbook
from ecommerce_elt.settings import file_limits

READINGS = 3  # attempts to read a file that is replaced while it is read


class TabularFile:
    """One file, read as records of one feed.

    Args:
        path: the file, or the file with its compression and limits; by default the limits are those of the settings.
        contract: the contract of the feed.
        flags: properties of the file that cannot be detected.

    Raises:
        PermanentError: there is no such file, or it is a zip.
    """

    def __init__(self, path: Path | PackedFile, contract: Contract, flags: Flags) -> None:
        self.source = path if isinstance(path, PackedFile) else PackedFile(path, file_limits())
        self.name, self.contract, self.flags = self.source.name, contract, flags
        csv.field_size_limit(self.source.limits.row_bytes)
        self._begin()

    def _begin(self) -> None:
        self._state = self._state_now()
        self.kind = self.source.kind
        if self.kind == "zip":
            raise PermanentError(f"{self.name}: is a zip; its files are read one by one")
        self.is_workbook = self.kind in WORKBOOKS
        other = {"json": "", "parquet": "", "csv": "delimiter"}.get(self.kind, "sheet")
        self._headers = Headers(self.name, self.contract, self.flags, self.source.limits, other)
        self._text = FileText(self.source, self.contract, self.flags)
        self._records = KeyedRecords(self._text, self._headers) if self.kind in {"json", "parquet"} else None
        self.release()

    def _state_now(self) -> tuple[int, ...]:
        found = self.source.path.stat()
        return found.st_ino, found.st_size, found.st_mtime_ns

    def release(self) -> None:
        """Frees the sheet that is in memory; it is read again when it is needed."""
        self._sheets = Sheets(Workbook(self.source), self._headers)

    def first_rows(self, number: int) -> dict[str, list[list[str]]]:
        """Returns the first rows of a table as texts, for each sheet that is read or for each possible delimiter.

        Raises:
            PermanentError: the file cannot be read as text or as a workbook.
        """
        if self.is_workbook:
            return self._sheets.first_rows(number)
        _, encoding = self._text.digest()
        return first_rows(self._text, encoding, number)

    def survey(self) -> Survey:
        """Reads the whole file once and returns the findings; reads it again if it is replaced meanwhile.

        Raises:
            PermanentError: the file cannot be read, or is ambiguous. The message names the line and the option.
        """
        for _ in range(READINGS):
            try:
                survey = self._survey()
            except PermanentError:
                if self._state == self._state_now():
                    raise
            else:
                if self._state == self._state_now():
                    return survey
            self.source = PackedFile(self.source.path, self.source.limits, self.source.folder, self.name)
            self._begin()
        raise PermanentError(f"{self.name}: changes while it is read; wait until it is whole")

    def _survey(self) -> Survey:
        data_set, encoding = self._text.digest()
        if self._records:
            return self._records.survey(self.flags.data_set or data_set, encoding)
        table: TextTable | SheetTable
        if self.is_workbook:
            table = self._sheets.find()
            if len(table.book.names) > 1:
                data_set = f"{data_set}/{self._sheets.shown(table.sheet)}"
        else:
            table = find_text_table(self._text, self._headers, encoding)
        data_set = self.flags.data_set or data_set
        try:
            return TableSurvey(table, self._headers, BLOCK_ROWS).survey(data_set, self.kind)
        except LongRowsError:
            return TableSurvey(table, self._headers, LONG_ROWS).survey(data_set, self.kind)

    def layout(self, survey: Survey) -> str:
        """Returns a description of the file's layout, for a message."""
        if survey.sheet is not None:
            return f"sheet {self._sheets.shown(survey.sheet)}"
        return self.kind if self._records else f"{survey.encoding}, delimiter {survey.delimiter!r}"

    def rows(self, survey: Survey) -> Iterator[Row]:
        """Yields the records in file order."""
        for block in self.blocks(survey):
            records = block.records
            if records is None:
                records = [as_record(survey.keys, values) for values in block.values]
            yield from map(Row, block.lines, records, block.times)

    def encoded(self, block: Block, ids: Sequence[bytes], envelopes: Envelopes, sent_at: str) -> bytes:
        """Returns the events of a block, one per line."""
        if block.records is None:
            return envelopes.encode(ids, block.times, block.values, sent_at)
        try:
            return envelopes.encode_records(ids, block.times, block.records, sent_at)
        except (TypeError, orjson.JSONEncodeError):
            raise PermanentError(
                f"{self.name}: one of the records {block.lines[0]} to {block.lines[-1]} has a text that is no Unicode: "
                "half of a surrogate pair"
            ) from None

    def blocks(self, survey: Survey, multiple: int = BLOCK_ROWS, *, by_columns: bool = False) -> Iterator[Block]:
        """Yields the records in file order, up to BLOCK_ROWS at a time; a block ends after every `multiple` rows.

        Args:
            survey: the findings of the first reading.
            multiple: the number of rows at whose multiples a block ends.
            by_columns: whether blocks may be columnar; these can have more rows.

        Raises:
            PermanentError: the file was replaced after its survey, so that the ids would belong to other records.
        """
        for block in self._blocks(survey, multiple, by_columns=by_columns):
            if self._state != self._state_now():
                raise PermanentError(f"{self.name}: was replaced while it was read; begin again")
            yield block

    def _blocks(self, survey: Survey, multiple: int, *, by_columns: bool) -> Iterator[Block]:
        if self._records:
            return self._records.blocks(survey, sizes(multiple, multiple, survey.block_rows))
        table: TextTable | SheetTable
        if survey.sheet is None:
            dialect = dialect_of(self._text, survey.encoding, survey.delimiter)
            table = TextTable(self._text, dialect, survey.header_at)
        else:
            table = SheetTable(self._sheets.book, survey.sheet, survey.header_at)
        header, found = table.read(survey.block_rows, by_columns=by_columns and not self.contract.fill_down)
        return TableBlocks(self._headers, survey, header).blocks(found, multiple)
