"""Files with one record per row or object: CSV of any dialect, workbooks, JSON and Parquet, packed or not.

The whole file is read once before anything is sent. Properties that the bytes and values of the file determine are
detected. If they are ambiguous, an error asks for the answer and names the option. Memory use does not grow with the
size of a file. Only of a workbook is a whole sheet in memory: some 0.4 GB for half a million rows.
"""

from __future__ import annotations

import codecs
import contextlib
import csv
import hashlib
import io
import itertools
from array import array
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeGuard

import orjson

from ecommerce_elt.errors import PermanentError, without_values
from ecommerce_elt.feeds.contracts import Contract, normalise_header
from ecommerce_elt.feeds.events import Envelopes, as_record
from ecommerce_elt.landing.columns import Columns, chunks, is_regular, parse, with_texts
from ecommerce_elt.landing.dates import DateEvidence, is_time, read_time
from ecommerce_elt.landing.decimal_marks import Mark, MarkEvidence, with_point
from ecommerce_elt.landing.fill_down import FillingDown
from ecommerce_elt.landing.json_records import JsonRecords, too_long
from ecommerce_elt.landing.open_questions import OpenQuestionError
from ecommerce_elt.landing.packed import WORKBOOKS, PackedFile
from ecommerce_elt.landing.surroundings import TOTALS_TRIED, LeftOut, Totals, is_blank, may_be_total
from ecommerce_elt.landing.workbooks import Workbook
from ecommerce_elt.settings import FileLimits, file_limits

TEXT_BYTES = 1 << 16
NOT_SHOWN = "The feed has personal columns, so nothing of the line is shown here: look at it in the file"
SHOWN_MAX = 60  # characters of a name in a message
NAMES_SHOWN = 50
HEADER_ROWS = 50  # first rows in which the header is searched
HEADER_LINES = 20  # lines that one row may span
DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "pipe"}
LEGACY_ENCODINGS = ("cp1252", "iso8859-1", "cp850", "mac_roman")
BLOCK_ROWS = 500  # rows at a time: they fit into the processor's cache and trigger no garbage collection
LONG_ROWS = 4  # rows at a time, if BLOCK_ROWS rows are longer than BLOCK_CHARS
BLOCK_CHARS = 1 << 23
BLOCK_CELLS = 1_000_000  # values at a time: rows may have many more than the header
READINGS = 3  # attempts to read a file that is replaced while it is read
SKIPPED_MAX = 1_000_000  # repeated headers, totals and blank rows, whose line numbers are kept
VALUE_MAX = 256  # characters of a time or a number: parsers cache their inputs, and longer texts would fill the cache


@dataclass(frozen=True)
class Flags:
    """Properties of the file that the user gave because they cannot be detected."""

    encoding: str | None = None
    delimiter: str | None = None
    date_order: str | None = None
    decimal_comma: bool | None = None  # False means a decimal point
    sheet: str | None = None
    columns: dict[str, str] = field(default_factory=dict)
    data_set: str | None = None
    event_version: int = 1  # above 1, the file corrects earlier events of the same data set
    identity: str | None = None  # "file" or "rows"; overrides the contract


class TimedColumns(NamedTuple):
    """Columnar records with the survey's keys as columns, and the UTC time of each distinct text of the time column."""

    found: Columns
    time_at: int
    times: list[datetime | None]


_SomeRows = Columns | tuple[list[int], list[Any]]  # lines and values


class Row(NamedTuple):
    """One record: its line, row or array position, counted from 1, its values by key, and its UTC time if readable."""

    line: int
    data: dict[str, Any]
    event_time: datetime | None


class Block(NamedTuple):
    """Some consecutive records. See `Row` for the meaning of their fields."""

    lines: Sequence[int]
    values: list[list[str]]  # for the survey's keys; empty if `records` or `by_columns` is set
    times: list[datetime | None]
    records: list[dict[str, Any]] | None = None
    by_columns: TimedColumns | None = None  # this block has the rows from `start` on
    start: int = 0


@dataclass(frozen=True)
class Survey:
    """The findings of the first reading of the file."""

    path: str
    data_set: str
    rows: int
    uneven_rows: int
    encoding: str
    delimiter: str
    date_order: str
    keys: tuple[str, ...]
    sheet: str | None
    decimal_marks: dict[str, Mark]  # by key, of decimal columns that contain commas
    kind: str
    left_out: dict[str, LeftOut]
    formulas_without_value: int = 0
    header_at: int = 1  # line or row of the header
    width: int = 0  # number of columns of the header, including blank ones
    blank_columns: tuple[int, ...] = ()  # positions of columns without a name and without values
    has_wide_rows: bool = False  # whether some rows have more cells than the header
    skipped: Sequence[int] = ()  # lines of repeated headers, totals and blank rows
    block_rows: int = BLOCK_ROWS
    filled_down: dict[str, int] = field(default_factory=dict)  # key to number of values filled down

    @property
    def blank_lines(self) -> int:
        return self.left_out["blank"].rows if "blank" in self.left_out else 0


class _LongRowsError(Exception):
    """Rows are so long that fewer of them must be in memory at a time."""


class TabularFile:
    """One file, read as records of one feed.

    Args:
        path: the file, or the file with its compression.
        contract: the contract of the feed.
        flags: properties of the file that cannot be detected.
        limits: the largest sizes that are read; from the settings by default.
        folder: where a copy is unpacked if one is needed; the temporary folder by default.
    """

    def __init__(
        self,
        path: Path | PackedFile,
        contract: Contract,
        flags: Flags,
        limits: FileLimits | None = None,
        folder: Path | None = None,
    ) -> None:
        self.source = path if isinstance(path, PackedFile) else PackedFile(path, limits or file_limits(), folder)
        self.limits = self.source.limits
        self.path, self.contract, self.flags = self.source.name, contract, flags
        self.time_column = contract.column(contract.event_time)
        self._quoting: Literal[0, 3] = csv.QUOTE_NONE if contract.quoting == "none" else csv.QUOTE_MINIMAL
        self._columns = {column.header: column for column in contract.columns}
        csv.field_size_limit(self.limits.row_bytes)
        self._begin()

    def _begin(self) -> None:
        self._state = self._state_now()
        self.kind = self.source.kind
        if self.kind == "zip":
            raise PermanentError(f"{self.path}: is a zip; its files are read one by one")
        self.is_workbook = self.kind in WORKBOOKS
        self.has_keys = self.kind in {"json", "parquet"}  # each record has its own keys
        self._book = Workbook(self.source)

    def _state_now(self) -> tuple[int, ...]:
        found = self.source.path.stat()
        return found.st_ino, found.st_size, found.st_mtime_ns

    def release(self) -> None:
        """Frees the sheet that is in memory; it is read again when it is needed."""
        self._book = Workbook(self.source)

    def first_rows(self, number: int) -> dict[str, list[list[str]]]:
        """Returns the first rows of a table as texts, for each sheet that is read or for each possible delimiter.

        Raises:
            PermanentError: the file cannot be read as text or as a workbook.
        """
        if self.is_workbook:
            names = [self.flags.sheet] if self.flags.sheet else self._book.visible
            return {
                name: [list(map(_text, row)) for row in itertools.islice(self._book.rows(name), number)]
                for name in names
                if name in self._book.names
            }
        _, encoding = self._digest()
        try:
            lines = list(itertools.islice(self._lines(encoding), number))
        except UnicodeError as error:
            raise PermanentError(f"{self.path}: line 1: not {encoding}: {without_values(error)}") from None
        except _TooLongError:
            raise too_long(f"{self.path}: line 1", self.limits) from None
        found = {}
        for mark in [self._given_delimiter()] if self.flags.delimiter else DELIMITERS:
            with contextlib.suppress(csv.Error):  # another delimiter may fit
                found[mark] = list(csv.reader(lines, delimiter=mark, quoting=self._quoting))
        return found

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
            self.source = PackedFile(self.source.path, self.limits, self.source.folder, self.path)
            self._begin()
        raise PermanentError(f"{self.path}: changes while it is read; wait until it is whole")

    def _survey(self) -> Survey:
        data_set, encoding = self._digest()
        if self.has_keys:
            return self._survey_of_records(data_set, encoding)
        sheet, delimiter = None, ""
        left_out: dict[str, LeftOut] = defaultdict(LeftOut)
        if self.is_workbook:
            sheet, header_at = self._sheet()
            data_set = data_set if len(self._book.names) == 1 else f"{data_set}/{self._shown_sheet(sheet)}"
            for number, row in enumerate(itertools.islice(self._book.rows(sheet), header_at - 1), 1):
                left_out["blank" if is_blank(row) else "title"].add(number)
        else:
            delimiter, header_at = self._header(encoding)
            for number, line in enumerate(itertools.islice(self._lines(encoding), header_at - 1), 1):
                left_out["title" if line.strip(delimiter + " \r\n\ufeff") else "blank"].add(number)
        try:
            return self._survey_of_table(data_set, encoding, sheet, delimiter, header_at, left_out, BLOCK_ROWS)
        except _LongRowsError:
            return self._survey_of_table(data_set, encoding, sheet, delimiter, header_at, left_out, LONG_ROWS)

    def _survey_of_table(
        self,
        data_set: str,
        encoding: str,
        sheet: str | None,
        delimiter: str,
        header_at: int,
        around: dict[str, LeftOut],
        block_rows: int,
    ) -> Survey:
        block_chars = BLOCK_CHARS if block_rows > LONG_ROWS else 0
        by_columns = not self.contract.fill_down
        header, blocks = self._blocks(
            encoding, delimiter, sheet, header_at, block_rows, block_chars, by_columns=by_columns
        )
        width, nameless = len(header), [i for i, name in enumerate(header) if not str(name).strip()]
        named = self._keys(header)
        time_at = self._time_at(named)
        marks = {
            i: MarkEvidence(key, not self.contract.is_personal)
            for i, key in enumerate(named)
            if (c := self._columns.get(key)) and c.decimal
        }
        evidence = DateEvidence(self.time_column.header, not self.contract.is_personal)
        odd = _OddRows(header, time_at, {kind: LeftOut(of.rows, list(of.lines)) for kind, of in around.items()})
        filling = FillingDown(self.contract, named, header) if self.contract.fill_down else None
        rows, has_wide_rows, used = 0, False, set[int]()
        widths: Counter[int] = Counter()
        for block in blocks:
            if time_at is not None and _is_of_records(block, time_at):
                _take_in(block, time_at, evidence, marks)
                used.update(i for i in nameless if i not in used and any(block.columns[i].dictionary.to_pylist()))
                rows += len(block.lines)
                widths[width] += len(block.lines)
                continue
            lines, values = _as_rows(block)
            if not all(map(any, values)):
                lines, values = odd.without_empty(lines, values)
            lengths = list(map(len, values))
            if lengths.count(width) != len(lengths):
                has_wide_rows |= max(lengths) > width
                values = _evened(values, width)
                lengths = list(map(len, values))
            if filling:
                values = filling.rows(values)
            times = _column(values, time_at) if time_at is not None else []
            counted = Counter(times)
            strange = {text for text in counted if _is_strange(text)}
            if strange and (gone := odd.found(lines, values, times, strange)):
                lines, values, lengths, times = _without(gone, lines, values, lengths, times)
                counted = Counter(times)
            if counted:
                first = dict(zip(reversed(times), reversed(lines), strict=True))
                for text, count in counted.items():
                    if isinstance(text, str) and text and len(text) <= VALUE_MAX:
                        evidence.add(first[text], text, count)
            for i, mark in marks.items():
                mark.add(
                    lines, [v if not isinstance(v, str) or len(v) <= VALUE_MAX else "" for v in _column(values, i)]
                )
            used.update(i for i in nameless if i not in used and any(_column(values, i)))
            rows += len(values)
            widths.update(lengths)
        blank_columns = tuple(i for i in nameless if i not in used)
        keys = tuple(key for i, key in enumerate(named) if i not in blank_columns)
        self._check_doubled(keys, header)
        decimal_marks = self._decimal_marks({mark.column: mark for mark in marks.values()})
        if odd.candidates and time_at is not None:
            by_place = {i: decimal_marks[key] for i, key in enumerate(named) if key in decimal_marks}
            totals = Totals(named, self._columns, by_place, time_at)
            _, again = self._blocks(encoding, delimiter, sheet, header_at, block_rows)
            kept = (
                (line, row)
                for lines, values in again
                for line, row in zip(lines, values, strict=True)
                if not is_blank(row) and not _is_in(odd.skipped, line)
            )
            for line in totals.found(kept, odd.candidates):
                odd.skip("total", line)
                rows -= 1
                widths[odd.candidates[line]] -= 1
        even = range(next(i for i in range(width, -1, -1) if i - 1 not in blank_columns), width + 1)
        odd.skipped = array("Q", sorted(odd.skipped))
        for of in odd.left_out.values():
            of.lines.sort()
        return Survey(
            self.path,
            self.flags.data_set or data_set,
            rows,
            sum(n for length, n in widths.items() if length not in even),
            encoding,
            delimiter,
            self._date_order(evidence),
            keys,
            sheet,
            decimal_marks,
            self.kind,
            dict(odd.left_out),
            self._book.formulas_without_value(sheet) if sheet else 0,
            header_at,
            width,
            blank_columns,
            has_wide_rows,
            odd.skipped,
            block_rows,
            filling.filled if filling else {},
        )

    def _survey_of_records(self, data_set: str, encoding: str) -> Survey:
        marks = {
            c.header: MarkEvidence(c.header, not self.contract.is_personal) for c in self.contract.columns if c.decimal
        }
        evidence, left_out = (
            DateEvidence(self.time_column.header, not self.contract.is_personal),
            defaultdict[str, LeftOut](LeftOut),
        )
        keys: dict[str, None] = {}
        if self.kind == "parquet":
            from ecommerce_elt.landing.parquet_records import parquet_keys

            self._check_columns(names := parquet_keys(self.source.unpacked, self.path))
            keys = dict.fromkeys(self._keys(names))
        rows, filling = 0, FillingDown(self.contract) if self.contract.fill_down else None
        for line, record in self._records(encoding, filling):
            if _is_empty(record):
                left_out["blank"].add(line)
                continue
            rows += 1
            if keys.keys() < record.keys() or not record.keys() <= keys.keys():
                keys.update(dict.fromkeys(record))
                self._check_columns(list(keys))
            if isinstance(text := record.get(self.time_column.header), str) and text and len(text) <= VALUE_MAX:
                evidence.add(line, text)
            for key, mark in marks.items():
                if isinstance(text := record.get(key), str) and len(text) <= VALUE_MAX:
                    mark.add([line], [text])
        if rows and (missing := self._missing(list(keys))):
            raise self._no_column(f"{self.path}: no record has a key", missing, list(keys))
        return Survey(
            self.path,
            self.flags.data_set or data_set,
            rows,
            0,
            encoding,
            "",
            self._date_order(evidence),
            tuple(keys),
            None,
            self._decimal_marks(marks),
            self.kind,
            dict(left_out),
            filled_down=filling.filled if filling else {},
        )

    def _date_order(self, evidence: DateEvidence) -> str:
        try:
            return self.flags.date_order or (evidence.order() if evidence.values else "ymd")
        except OpenQuestionError as question:
            raise question.of(self.path) from None

    def _decimal_marks(self, evidence: dict[str, MarkEvidence]) -> dict[str, Mark]:
        try:
            return {key: self._decimal_mark(key, mark) for key, mark in evidence.items() if mark.values["with_comma"]}
        except OpenQuestionError as question:
            raise question.of(self.path) from None

    def _decimal_mark(self, key: str, evidence: MarkEvidence) -> Mark:
        if self.flags.decimal_comma is not None:
            return "comma" if self.flags.decimal_comma else "point"
        column = self._columns.get(key)
        if column and not {"thousands", "decimal_comma"} & set(column.numbers):
            raise OpenQuestionError(
                f"column {key}: {evidence.values['with_comma']:,} numbers have a comma, first {evidence.at('with_comma')}. Pass ",
                [{"decimal_comma": True}, {"decimal_comma": False}],
                ": it is the decimal mark, or it separates thousands. Or let the contract say for all files what column "
                f"{column.name} takes: numbers: [thousands, decimal_comma]",
            )
        return evidence.mark()

    def layout(self, survey: Survey) -> str:
        """Returns a description of the file's layout, for a message."""
        if survey.sheet is not None:
            return f"sheet {self._shown_sheet(survey.sheet)}"
        if self.has_keys:
            return self.kind
        return f"{survey.encoding}, delimiter {survey.delimiter!r}"

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
                f"{self.path}: one of the records {block.lines[0]} to {block.lines[-1]} has a text that is no Unicode: "
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
        for block in self._all_blocks(survey, multiple, by_columns=by_columns):
            if self._state != self._state_now():
                raise PermanentError(f"{self.path}: was replaced while it was read; begin again")
            yield block

    def _all_blocks(self, survey: Survey, multiple: int, *, by_columns: bool) -> Iterator[Block]:
        if self.has_keys:
            yield from self._blocks_of_records(survey, _sizes(multiple, multiple, survey.block_rows))
            return
        by_columns = by_columns and not self.contract.fill_down
        header, blocks = self._blocks(
            survey.encoding, survey.delimiter, survey.sheet, survey.header_at, survey.block_rows, by_columns=by_columns
        )
        time_at = self._time_at([self._mapped(str(name)) for name in header])
        if not by_columns or time_at is None:
            sizes = _sizes(multiple, multiple, survey.block_rows)
            yield from self._blocks_of_rows(map(_as_rows, blocks), survey, sizes)
            return
        room = multiple
        for of_records, some in itertools.groupby(blocks, lambda block: _is_of_records(block, time_at)):
            found: Iterator[Block]
            if of_records:
                found = (
                    Block(columns.found.lines[start:stop], [], [], by_columns=columns, start=start)
                    for columns in map(partial(self._timed, survey=survey, time_at=time_at), some)
                    for start, stop in _parts(len(columns.found.lines), room, multiple)
                )
            else:
                sizes = _sizes(room, multiple, survey.block_rows)
                found = self._blocks_of_rows(map(_as_rows, some), survey, sizes)
            for block in found:
                yield block
                room = (room - len(block.lines)) % multiple or multiple

    def _timed(self, found: Columns, survey: Survey, time_at: int) -> TimedColumns:
        order = survey.date_order
        texts = found.columns[time_at].dictionary.to_pylist()
        times = [read_time(text, order) if text and len(text) <= VALUE_MAX else None for text in texts]
        columns = [column for i, column in enumerate(found.columns) if i not in survey.blank_columns]
        for i, key in enumerate(survey.keys):
            if mark := survey.decimal_marks.get(key):
                texts = columns[i].dictionary.to_pylist()
                points = [with_point(text, mark) if len(text) <= VALUE_MAX else text for text in texts]
                columns[i] = with_texts(columns[i], points)
        return TimedColumns(Columns(found.lines, columns), survey.keys.index(self.time_column.header), times)

    def _blocks_of_rows(
        self, blocks: Iterator[tuple[list[int], list[Any]]], survey: Survey, sizes: Iterator[int]
    ) -> Iterator[Block]:
        if survey.has_wide_rows:
            blocks = ((lines, _evened(values, survey.width)) for lines, values in blocks)
        if survey.blank_lines or survey.skipped:
            blocks = (_kept(survey.skipped, *block) for block in blocks)
        blocks = _refilled(blocks, sizes)
        if survey.blank_columns:
            blocks = ((lines, _without_columns(values, survey.blank_columns, survey.width)) for lines, values in blocks)
        if self.contract.fill_down:
            filling = FillingDown(self.contract, survey.keys)
            blocks = ((lines, filling.rows(values)) for lines, values in blocks)
        keys, width, order = survey.keys, len(survey.keys), survey.date_order
        time_at = width if (at := self._time_at(keys)) is None else at
        marks = {i: survey.decimal_marks[key] for i, key in enumerate(keys) if key in survey.decimal_marks}
        for lines, values in blocks:
            moments = _column(values, time_at)
            texts = _with_points(values, width, marks) if marks else values
            if self.is_workbook:  # in a CSV, all values are texts already
                texts = [[v if type(v) is str else _text(v) for v in row] for row in texts]
            if survey.uneven_rows:  # in rows with too many values, the time column is unknown
                moments = [None if len(row) > width else moment for row, moment in zip(values, moments, strict=True)]
            if self.is_workbook:
                times = [
                    read_time(_text(m), "ymd" if isinstance(m, date) else order) if _is_short(m) else None
                    for m in moments
                ]
            else:
                times = [read_time(m, order) if m and len(m) <= VALUE_MAX else None for m in moments]
            yield Block(lines, texts, times)

    def _time_at(self, keys: Sequence[str]) -> int | None:
        return keys.index(self.time_column.header) if self.time_column.header in keys else None

    def _blocks_of_records(self, survey: Survey, sizes: Iterator[int]) -> Iterator[Block]:
        lines: list[int] = []
        times: list[datetime | None] = []
        records: list[dict[str, Any]] = []
        wanted, chars = next(sizes), 0
        filling = FillingDown(self.contract) if self.contract.fill_down else None
        for line, record in self._records(survey.encoding, filling):
            if _is_empty(record):
                continue
            for key, mark in survey.decimal_marks.items():
                if isinstance(text := record.get(key), str) and len(text) <= VALUE_MAX:
                    record[key] = with_point(text, mark)
            moment = record.get(self.time_column.header)
            lines.append(line)
            times.append(
                read_time(moment, survey.date_order) if isinstance(moment, str) and len(moment) <= VALUE_MAX else None
            )
            records.append(record)
            chars += sum(len(value) for value in record.values() if isinstance(value, str))
            if len(lines) == wanted or chars > BLOCK_CHARS:
                yield Block(lines, [], times, records)
                wanted = wanted - len(lines) or next(sizes)
                lines, times, records, chars = [], [], [], 0
        if lines:
            yield Block(lines, [], times, records)

    def _records(self, encoding: str, filling: FillingDown | None) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yields the records of a JSON or Parquet file with the keys of the contract."""
        if self.kind == "parquet":
            from ecommerce_elt.landing.parquet_records import parquet_records

            found: Iterable[tuple[int, dict[str, Any]]] = parquet_records(self.source.unpacked, self.path, self.limits)
        else:
            found = JsonRecords(self._texts(encoding), self.path, self.limits)
        mapped: dict[str, str] = {}
        for line, record in found:
            for key in record:
                if key not in mapped:
                    mapped[key] = self._mapped(key)
            keyed = {mapped[key]: value for key, value in record.items()}
            if len(keyed) < len(record):
                self._check_doubled([mapped[key] for key in record], list(record))
            yield line, filling.record(keyed) if filling else keyed

    # -- bytes and text ---------------------------------------------------------------------------------------------------

    def _digest(self) -> tuple[str, str]:
        """Returns the SHA-256 and the encoding of the unpacked bytes; both in one pass because unpacking is slow."""
        digest, decoder, encoding = hashlib.sha256(), None, ""
        if self.kind in {"csv", "json"}:
            encoding = self.flags.encoding or self.source.bom or "utf-8"
            try:
                codecs.lookup(encoding)
            except LookupError:
                raise PermanentError(f"{self.path}: encoding {encoding}: Python knows no such encoding") from None
            if encoding == "utf-8" and not self.flags.encoding:
                decoder = codecs.getincrementaldecoder("utf-8")()
        line, without_end = 1, 0
        for chunk in itertools.chain(self.source.chunks(), [b""]):
            digest.update(chunk)
            if decoder:
                try:
                    decoder.decode(chunk, final=not chunk)
                except UnicodeDecodeError as error:
                    raise self._not_utf8(line, error) from None
                line += chunk.count(b"\n")
            if self.kind == "csv":  # detects a file that is one long line before all of it is unpacked
                end = max(chunk.rfind(b"\n"), chunk.rfind(b"\r"))
                without_end = len(chunk) - end - 1 if end >= 0 else without_end + len(chunk)
                if without_end > 4 * self.limits.row_bytes:  # a character has up to 4 bytes
                    raise too_long(f"{self.path}: line {line}", self.limits)
        return digest.hexdigest(), encoding

    def _not_utf8(self, line: int, error: UnicodeDecodeError) -> PermanentError:
        bad = error.object
        line += bad[: error.start].count(b"\n")
        answers, readings = [{"encoding": e} for e in LEGACY_ENCODINGS], f". {NOT_SHOWN}"
        if not self.contract.is_personal:
            begin, end = bad.rfind(b"\n", 0, error.start) + 1, bad.find(b"\n", error.start)
            sample = bad[max(begin, error.start - 30) : end if 0 <= end < error.start + 30 else error.start + 30]
            readings = ": " + "; ".join(f"{e}: {sample.decode(e, 'replace').strip()!r}" for e in LEGACY_ENCODINGS)
        return OpenQuestionError(
            f"{self.path}: line {line} is not UTF-8. Pass ", answers, f", whichever reads right{readings}"
        )

    def _lines(self, encoding: str) -> Iterator[str]:
        """Yields lines with their ends. io.TextIOWrapper is slower: for each line it checks `closed` in Python."""
        return itertools.chain.from_iterable(io.StringIO(text, newline="") for text in self._whole_lines(encoding))

    def _texts(self, encoding: str) -> Iterator[str]:
        decoder = codecs.getincrementaldecoder(encoding)()
        try:
            for chunk in self.source.chunks(TEXT_BYTES):
                if text := decoder.decode(chunk):
                    yield text
            yield decoder.decode(b"", True)
        except UnicodeError as error:
            why = getattr(error, "reason", type(error).__name__)
            raise PermanentError(f"{self.path}: not {encoding}: {why}") from None

    def _whole_lines(self, encoding: str) -> Iterator[str]:
        """Yields the text in pieces of whole lines.

        Raises:
            UnicodeError: the text is not in this encoding.
            _TooLongError: a line is longer than a row may be.
        """
        decoder = codecs.getincrementaldecoder(encoding)()
        rest = ""
        for chunk in self.source.chunks(TEXT_BYTES):
            text = rest + decoder.decode(chunk)
            end = max(text.rfind("\n"), text.rfind("\r", 0, -1)) + 1  # a final \r may be the first half of \r\n
            rest = text[end:]
            if len(rest) > self.limits.row_bytes:
                raise _TooLongError
            yield text[:end]
        yield rest + decoder.decode(b"", True)

    def _header(self, encoding: str) -> tuple[str, int]:
        """Returns the delimiter and line of the header: the first line with all required columns by any delimiter."""
        head: list[str] = []
        try:
            head.extend(itertools.islice(self._lines(encoding), HEADER_ROWS + HEADER_LINES))
        except UnicodeError as error:
            raise PermanentError(f"{self.path}: line 1: not {encoding}: {without_values(error)}") from None
        except _TooLongError:
            if not head:
                raise too_long(f"{self.path}: line 1", self.limits) from None
        marks = [self._given_delimiter()] if self.flags.delimiter else list(DELIMITERS)
        closest: tuple[int, int, list[str], list[str]] | None = None
        for at in range(min(HEADER_ROWS, len(head))):
            if not head[at].strip():
                continue
            for mark in marks:
                try:
                    rest = itertools.islice(head, at, None)
                    header = next(csv.reader(rest, delimiter=mark, quoting=self._quoting))
                except csv.Error:
                    continue  # e.g. a title with an open quote, or a value that is too long
                if not (missing := self._missing(header)):
                    return mark, at + 1  # only one delimiter can split a line into all required columns
                if closest is None or len(missing) < closest[0]:
                    closest = len(missing), at + 1, missing, header
        if closest is None:
            raise PermanentError(
                f"{self.path}: the file is empty"
                if not any(map(str.strip, head))
                else f"{self.path}: none of the first lines is a header. Is it a table?"
            )
        _, line, missing, header = closest
        raise self._no_column(f"{self.path}: line {line}", missing, header)

    def _given_delimiter(self) -> str:
        mark = "\t" if self.flags.delimiter == "\\t" else self.flags.delimiter or ""
        if len(mark) != 1 or mark in '\r\n"':
            raise PermanentError(f"{self.path}: delimiter {mark!r}: expected one character")
        return mark

    def _blocks(
        self,
        encoding: str,
        delimiter: str,
        sheet: str | None,
        header_at: int,
        block_rows: int,
        block_chars: int = 0,
        *,
        by_columns: bool = False,
    ) -> tuple[list[Any], Iterator[Any]]:
        """Returns the header, and an iterator over blocks of the rows after it, with their lines and values.

        Args:
            encoding: the encoding of a text file.
            delimiter: the delimiter of a text file.
            sheet: the sheet of a workbook; None for a text file.
            header_at: the line or row of the header.
            block_rows: the largest number of rows in a block.
            block_chars: the largest number of characters that are read for a block; 0 for no limit.
            by_columns: whether blocks may be columnar; these can have more rows.
        """
        if sheet is not None:
            rows = itertools.islice(self._book.rows(sheet), header_at - 1, None)
            return next(rows), _sheet_blocks(rows, header_at + 1, block_rows)
        reading = _Reading(self.limits.row_bytes, block_chars)
        texts = self._whole_lines(encoding)
        reader = _RowReader(self, texts, header_at, encoding, delimiter, reading, skip=header_at - 1)
        _, [header] = reader.read(1)
        if not by_columns or len(delimiter.encode()) > 1:
            return header, reader.blocks(block_rows)
        pieces = itertools.chain([reader.rest()], texts)
        return header, self._blocks_of_text(pieces, reader.line, encoding, delimiter, len(header), block_rows, reading)

    def _blocks_of_text(
        self,
        pieces: Iterator[str],
        line: int,
        encoding: str,
        delimiter: str,
        width: int,
        block_rows: int,
        reading: _Reading,
    ) -> Iterator[_SomeRows]:
        quotes = self._quoting == csv.QUOTE_MINIMAL
        for chunk in chunks(pieces, quotes=quotes):
            is_last, columns = chunk.is_last, None
            if not is_last:
                body = "".join(chunk.pieces).encode("utf-8", "surrogatepass")
                is_last = quotes and not is_regular(body, delimiter)
                if not is_last:
                    columns = parse(body, delimiter, width, line, self.limits.row_bytes, quotes=quotes)
            if columns is not None:
                yield columns
                line = columns.lines.stop
                continue
            texts = itertools.chain(chunk.pieces, chunk.following(pieces)) if is_last else iter(chunk.pieces)
            reader = _RowReader(self, texts, line, encoding, delimiter, reading)
            yield from reader.blocks(block_rows)
            line = reader.line

    # -- workbooks ----------------------------------------------------------------------------------------------------

    def _sheet(self) -> tuple[str, int]:
        """Returns the sheet that has the required columns, and the row of its header."""
        names = self._book.names
        if self.flags.sheet and self.flags.sheet not in names:
            raise OpenQuestionError(
                f"{self.path}: no sheet {self.flags.sheet!r}; it has {[*map(self._shown_sheet, names)]}. Choose one with ",
                self._sheets(self._book.visible),
            )
        looked_at = [self.flags.sheet] if self.flags.sheet else self._book.visible
        fitting: dict[str, int] = {}
        closest: tuple[int, int, list[str], list[str]] | None = None
        for name in looked_at:
            for number, row in enumerate(itertools.islice(self._book.rows(name), HEADER_ROWS), 1):
                header = [str(value) for value in row if value != ""]
                if not header:
                    continue
                if not (missing := self._missing(header)):
                    fitting[name] = number
                    break
                if closest is None or len(missing) < closest[0]:
                    closest = len(missing), number, missing, header
        if len(fitting) == 1:
            return next(iter(fitting.items()))
        if fitting:
            shown = f"sheets {[*map(self._shown_sheet, fitting)]} have"
            raise OpenQuestionError(
                f"{self.path}: {shown} the columns of feed {self.contract.feed}; choose one with ",
                self._sheets(list(fitting)),
            )
        if closest is None:
            raise PermanentError(
                f"{self.path}: sheet {self._shown_sheet(self.flags.sheet)!r} is empty"
                if self.flags.sheet
                else f"{self.path}: no sheet that is looked at has a row"
            )
        missing, header = closest[2:]
        hidden = len(names) - len(self._book.visible)
        raise self._no_column(
            f"{self.path}: no sheet has the columns of feed {self.contract.feed}"
            + (f" ({hidden} hidden sheets were not read)" if hidden else "")
            + f": the closest row, {closest[1]},",
            missing,
            header,
            {"sheet": ""},
        )

    def _shown_sheet(self, name: str) -> str:
        """Returns the sheet's name for a message, or its number from 1 if the name may identify a person."""
        return f"no. {self._book.names.index(name) + 1}" if self.contract.is_personal else name

    def _sheets(self, names: list[str]) -> list[dict[str, Any]]:
        return [{"sheet": ""}] if self.contract.is_personal else [{"sheet": name} for name in names[:NAMES_SHOWN]]

    # -- columns ------------------------------------------------------------------------------------------------

    def _mapped(self, header: str) -> str:
        """Returns the key under which records store the column with this header."""
        clean = header.strip().lstrip("\ufeff")
        for key, name in self.flags.columns.items():
            if normalise_header(name) == normalise_header(clean):
                return key
        column = self.contract.headers.get(normalise_header(clean))
        return column.header if column and column.header not in self.flags.columns else clean

    def _missing(self, header: list[str]) -> list[str]:
        keys = {self._mapped(name) for name in header}
        return [c.header for c in self.contract.columns if c.required and c.header not in keys]

    def _shown(self, header: Sequence[Any]) -> str:
        """Returns the header for a message: only known names for a personal feed, none if it may be a row of data."""
        names = [str(name)[:SHOWN_MAX] for name in header]
        is_known = [normalise_header(self._mapped(name)) in self.contract.headers for name in names]
        known = sum(is_known)
        if known * 2 < len(names):  # a single value can equal a column name, such as a product "Phone"
            return f"{known} of its {len(names)} fields are names that the feed knows: is it a header?"
        if self.contract.is_personal:
            keys = [self._mapped(name) for name, is_one in zip(names, is_known, strict=True) if is_one]
            others = [str(number) for number, is_one in enumerate(is_known, 1) if not is_one]
            return (
                f"the header has {', '.join(keys)}; fields {', '.join(others) or 'none'} have other names. {NOT_SHOWN}"
            )
        return f"the header is {names[:NAMES_SHOWN]}" + (" and so on" if len(names) > NAMES_SHOWN else "")

    def _no_column(
        self, what: str, missing: list[str], header: Sequence[Any], other: dict[str, Any] | None = None
    ) -> OpenQuestionError:
        named = {"columns": {missing[0]: "HEADER OF THE FILE"}}
        return OpenQuestionError(
            f"{what} has no column {', '.join(missing)} of feed {self.contract.feed}; {self._shown(header)}. Say it with ",
            [named, other or {"delimiter": ""}] if not self.has_keys else [named],
        )

    def _check_columns(self, header: Sequence[Any]) -> None:
        if len(header) > self.limits.columns:
            raise PermanentError(
                f"{self.path}: has {len(header):,} columns, and {self.limits.columns:,} are allowed. Is it one record "
                "a row? If it is, raise ECOMMERCE_FILE_COLUMNS"
            )

    def _keys(self, header: Sequence[Any]) -> tuple[str, ...]:
        self._check_columns(header)
        keys = tuple(self._mapped(str(name)) for name in header)
        if missing := self._missing([str(name) for name in header]):
            raise self._no_column(f"{self.path}:", missing, header)
        if self.has_keys:
            self._check_doubled(keys, header)
        return keys

    def _check_doubled(self, keys: Sequence[str], header: Sequence[Any]) -> None:
        if len(set(keys)) < len(keys):
            doubled = sorted(key for key, count in Counter(keys).items() if count > 1)
            raise OpenQuestionError(
                f"{self.path}: two columns are read as {', '.join(doubled)}; "
                f"{self._shown(header)}. Say which one with ",
                [{"columns": {doubled[0]: "HEADER OF THE FILE"}}],
            )


class _TooLongError(Exception):
    """A row is longer than the limit."""


class _Reading:
    """Counts the characters that are read for the rows of a block.

    Args:
        row_chars: the largest number of characters of one row.
        block_chars: the largest number of characters of a block; 0 for no limit.
    """

    def __init__(self, row_chars: int, block_chars: int) -> None:
        self.row_chars, self.block_chars = row_chars, block_chars
        self.begin([])

    def begin(self, rows: list[list[str]]) -> None:
        self.rows, self.had, self.chars, self.since_row = rows, 0, 0, 0

    def give(self, chars: int) -> None:
        if len(self.rows) != self.had:
            self.had, self.since_row = len(self.rows), 0
        self.chars += chars
        self.since_row += chars
        if self.since_row > 2 * self.row_chars + TEXT_BYTES:
            raise _TooLongError
        if self.block_chars and self.chars > self.block_chars:
            raise _LongRowsError


class _RowReader:
    """Reads rows of some text with Python's csv module.

    Args:
        file: the file, for its dialect, its limits and messages.
        texts: the text in pieces of whole lines.
        line: the line in the file at which the first row begins.
        encoding: the encoding of the file, for messages.
        delimiter: the delimiter.
        reading: counts the characters that are read.
        skip: the number of lines before the first row.
    """

    def __init__(
        self,
        file: TabularFile,
        texts: Iterator[str],
        line: int,
        encoding: str,
        delimiter: str,
        reading: _Reading,
        skip: int = 0,
    ) -> None:
        self.file, self.line, self.encoding, self.delimiter, self.reading = file, line, encoding, delimiter, reading
        self._before, self._open = line - 1, io.StringIO()
        lines = itertools.chain.from_iterable(map(self._opened, texts))
        rows = itertools.islice(lines, skip, None) if skip else lines
        self._reader = csv.reader(rows, delimiter=delimiter, quoting=file._quoting, strict=True)

    def _opened(self, text: str) -> io.StringIO:
        self.reading.give(len(text))
        self._open = io.StringIO(text, newline="")
        return self._open

    def rest(self) -> str:
        """Returns the unread rest of the current piece, and marks it as read."""
        return self._open.read()

    def blocks(self, block_rows: int) -> Iterator[_SomeRows]:
        """Yields the remaining rows in blocks of `block_rows`."""
        while (found := self.read(block_rows))[0]:
            yield found

    def read(self, wanted: int) -> tuple[list[int], list[list[str]]]:
        """Returns the lines and values of the next `wanted` rows, or of fewer at the end."""
        path, limits, rows = self.file.path, self.file.limits, list[list[str]]()
        self.reading.begin(rows)
        try:
            rows.extend(itertools.islice(self._reader, wanted))  # if this fails, `rows` has the rows read so far
        except _TooLongError:
            raise too_long(f"{path}: line {self.line + sum(map(_lines_taken, rows))}", limits) from None
        except csv.Error as error:
            line = self.line + sum(map(_lines_taken, rows))
            if "field larger" in str(error):
                raise too_long(f"{path}: line {line}", limits) from None
            raise PermanentError(
                f"{path}: line {line}: {error}. Is a quote open, or the delimiter another than "
                f"{DELIMITERS.get(self.delimiter, self.delimiter)}? Where a quotation mark is a character as any "
                f"other, let the contract say quoting: none"
            ) from error
        except UnicodeError as error:
            line = self.line + sum(map(_lines_taken, rows))
            why = getattr(error, "reason", type(error).__name__)
            raise PermanentError(f"{path}: after line {line}: not {self.encoding}: {why}") from None
        last = self._before + self._reader.line_num
        lines = _line_numbers(self.line, rows, last) if rows else []
        if self.reading.chars > limits.row_bytes:
            for at, row in zip(lines, rows, strict=True):
                if sum(map(len, row)) > limits.row_bytes:
                    raise too_long(f"{path}: line {at}", limits)
        self.line = last + 1
        return lines, rows


class _OddRows:
    """Finds rows of a table that may not be records, while the table is read."""

    def __init__(self, header: Sequence[Any], time_at: int | None, left_out: dict[str, LeftOut]) -> None:
        self.header, self.time_at = [str(name).strip() for name in header], time_at
        self.left_out = defaultdict(LeftOut, left_out)
        self.skipped = array("Q")
        self.candidates: dict[int, int] = {}  # lines of possible totals, with their numbers of cells

    def skip(self, kind: str, line: int) -> None:
        if len(self.skipped) == SKIPPED_MAX:
            raise PermanentError(
                f"line {line}: more than {SKIPPED_MAX:,} rows are headers, totals or blank: is it a file of records?"
            )
        self.skipped.append(line)
        self.left_out[kind].add(line)

    def without_empty(self, lines: list[int], rows: list[Any]) -> tuple[list[int], list[Any]]:
        for line, row in zip(lines, rows, strict=True):
            if not any(row):
                self.left_out["blank"].add(line)
        return _without_empty(lines, rows)

    def found(self, lines: list[int], rows: list[Any], times: list[Any], strange: set[Any]) -> set[int]:
        """Returns the positions of rows that are not records, among the rows whose time is in `strange`."""
        gone = set()
        for at, (line, row, time) in enumerate(zip(lines, rows, times, strict=True)):
            if time not in strange:
                continue
            if is_blank(row):
                self.skip("blank", line)
            elif [str(value).strip() for value in row] == self.header:
                self.skip("repeated_header", line)
            else:
                if self.time_at is not None and len(self.candidates) < TOTALS_TRIED and may_be_total(row, self.time_at):
                    self.candidates[line] = len(row)
                continue
            gone.add(at)
        return gone


def _sheet_blocks(rows: Iterator[Any], first: int, block_rows: int) -> Iterator[tuple[list[int], list[Any]]]:
    while values := list(itertools.islice(rows, block_rows)):
        yield list(range(first, first + len(values))), values
        first += len(values)


def _as_rows(block: _SomeRows) -> tuple[list[int], list[Any]]:
    return (list(block.lines), block.rows()) if isinstance(block, Columns) else block


def _is_of_records(block: _SomeRows, time_at: int) -> TypeGuard[Columns]:
    """Returns whether the block is columnar and each row has a time, which makes it a record."""
    if not isinstance(block, Columns):
        return False
    return not any(map(_is_strange, block.columns[time_at].dictionary.to_pylist()))


def _take_in(block: Columns, time_at: int, evidence: DateEvidence, marks: dict[int, MarkEvidence]) -> None:
    """Adds the distinct texts of the time column and of the decimal columns to the evidence for their format."""
    for text, line, count in zip(*block.counted(time_at), strict=True):
        if text and len(text) <= VALUE_MAX:
            evidence.add(line, text, count)
    for i, mark in marks.items():
        texts, lines, counts = block.counted(i)
        mark.add(lines, [text if len(text) <= VALUE_MAX else "" for text in texts], counts)


def _sizes(room: int, multiple: int, most: int) -> Iterator[int]:
    """Yields block sizes of at most `most`, so that a block ends after `room` rows and after each `multiple` more."""
    while True:
        yield (size := min(most, room))
        room = room - size or multiple


def _parts(rows: int, room: int, multiple: int) -> Iterator[tuple[int, int]]:
    """Yields start and end of parts of `rows` rows, which end after `room` rows and after each `multiple` more."""
    start = 0
    while start < rows:
        stop = min(start + room, rows)
        yield start, stop
        start, room = stop, multiple


def _column(rows: Sequence[Sequence[Any]], at: int) -> list[Any]:
    """Returns the value at one position of each row, or None for a row that is too short."""
    try:
        return [row[at] for row in rows]
    except IndexError:
        return [row[at] if at < len(row) else None for row in rows]


def _lines_taken(row: list[str]) -> int:
    text = ",".join(row)
    return 1 + text.count("\n") + text.count("\r") - text.count("\r\n")


def _line_numbers(first: int, rows: list[list[str]], last: int) -> list[int]:
    """Returns the line on which each record begins; the records fill the lines from `first` to `last`."""
    if last - first + 1 == len(rows):
        return list(range(first, last + 1))
    return list(itertools.accumulate(map(_lines_taken, rows[:-1]), initial=first))


def _without_empty(lines: list[int], rows: list[Any]) -> tuple[list[int], list[Any]]:
    kept = [(line, row) for line, row in zip(lines, rows, strict=True) if any(row)]
    return [line for line, _ in kept], [row for _, row in kept]


def _refilled(
    blocks: Iterator[tuple[list[int], list[Any]]], sizes: Iterator[int]
) -> Iterator[tuple[list[int], list[Any]]]:
    """Yields the same rows in blocks of the given sizes; a block of more than BLOCK_CELLS values is cut in two."""
    lines: list[int] = []
    rows: list[Any] = []
    size = next(sizes)
    for more_lines, more_rows in blocks:
        lines, rows = lines + more_lines, rows + more_rows
        while len(rows) >= size:
            yield lines[:size], rows[:size]
            lines, rows = lines[size:], rows[size:]
            size = next(sizes)
        if sum(map(len, rows)) > BLOCK_CELLS:
            yield lines, rows
            size -= len(rows)
            lines, rows = [], []
    if rows:
        yield lines, rows


def _is_in(ordered: Sequence[int], line: int) -> bool:
    at = bisect_left(ordered, line)
    return at < len(ordered) and ordered[at] == line


def _kept(skipped: Sequence[int], lines: list[int], rows: list[Any]) -> tuple[list[int], list[Any]]:
    """Returns the lines and rows of a block that are neither blank nor skipped."""
    if not all(map(any, rows)):
        lines, rows = _without_empty(lines, rows)
    if lines and (gone := set(skipped[bisect_left(skipped, lines[0]) : bisect_left(skipped, lines[-1] + 1)])):
        rows = [row for line, row in zip(lines, rows, strict=True) if line not in gone]
        lines = [line for line in lines if line not in gone]
    return lines, rows


def _without(gone: set[int], *lists: list[Any]) -> list[list[Any]]:
    return [[value for at, value in enumerate(values) if at not in gone] for values in lists]


def _evened(rows: list[Any], width: int) -> list[Any]:
    """Returns the rows without empty cells after the header's last column, such as those of a trailing comma."""
    return [row[:width] if len(row) > width and not any(row[width:]) else row for row in rows]


def _without_columns(rows: list[Any], gone: tuple[int, ...], width: int) -> list[Any]:
    return [[v for i, v in enumerate(row) if i not in gone] if len(row) <= width else row for row in rows]


def _with_points(rows: list[Any], width: int, marks: dict[int, Mark]) -> list[list[Any]]:
    """Returns the rows with decimal points. Only texts change, because a numeric cell has no decimal mark."""
    changed = [list(row) for row in rows]
    for row in changed:
        if len(row) <= width:
            for i, mark in marks.items():
                if i < len(row) and isinstance(row[i], str) and len(row[i]) <= VALUE_MAX:
                    row[i] = with_point(row[i], mark)
    return changed


def _is_strange(text: Any) -> bool:
    """Returns whether a row with this value as its time may not be a record."""
    return text is None or (isinstance(text, str) and (len(text) > VALUE_MAX or not is_time(text)))


def _is_short(value: Any) -> bool:
    return bool(value) and not (isinstance(value, str) and len(value) > VALUE_MAX)


def _is_empty(record: dict[str, Any]) -> bool:
    return all(value is None or value == "" for value in record.values())


@lru_cache(maxsize=1 << 16, typed=True)
def _text(value: Any) -> str:
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
