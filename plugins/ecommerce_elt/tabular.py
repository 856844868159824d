"""Files with one record a row: CSV of any spelling, packed or not, and xlsx.

The whole file is read once before anything is sent. What its bytes and values decide is detected; what they leave open
is asked for by an error that names the flag. Memory does not grow with a CSV; of a workbook, one sheet is in memory,
some 0.4 GB for half a million rows.
"""

from __future__ import annotations

import bz2
import codecs
import csv
import hashlib
import io
import itertools
import lzma
import re
import shutil
import tempfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, NamedTuple

from isal import igzip, isal_zlib
from python_calamine import CalamineError, CalamineSheet, CalamineWorkbook

from ecommerce_elt.dates import DateEvidence, read_time
from ecommerce_elt.decimal_marks import Mark, MarkEvidence, with_point
from ecommerce_elt.errors import PermanentError, without_values
from ecommerce_elt.events import as_record
from ecommerce_elt.feeds import Column, Contract, normalise_header

CHUNK_BYTES = 1 << 20
TEXT_BYTES = 1 << 16
FIELD_MAX_BYTES = 1 << 20  # a Kinesis record takes 1 MiB
SHOWN_MAX = 60  # of a name in a message
NOT_SHOWN = "The feed has personal columns, so nothing of the line is shown here: look at it in the file"
DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "pipe"}
LEGACY_ENCODINGS = ("cp1252", "iso8859-1", "cp850", "mac_roman")
# Of a workbook: what zipfile raises for a damaged one, NotImplementedError and RuntimeError for ways to pack that it lacks.
BROKEN_WORKBOOK = (CalamineError, zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError)
ERROR_CELL = re.compile(rb"""(<(?:\w+:)?c\s[^<>]*?\bt=["'])e(?=["'])""")
BLOCK_ROWS = 500  # at a time: few enough for the processor's cache, and for no round of the garbage collector
OPENERS: dict[str, Callable[..., Any]] = {".gz": igzip.open, ".bz2": bz2.open, ".xz": lzma.open}
BOMS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}

csv.field_size_limit(FIELD_MAX_BYTES)


@dataclass(frozen=True)
class Flags:
    """What the user said about the file, where it cannot be detected."""

    encoding: str | None = None
    delimiter: str | None = None
    date_order: str | None = None
    decimal_comma: bool | None = None  # False is a decimal point
    sheet: str | None = None
    columns: dict[str, str] = field(default_factory=dict)
    data_set: str | None = None
    event_version: int = 1  # above 1, the file corrects what came of the same data set before
    identity: str | None = None  # file or rows, in place of what the contract says


class Row(NamedTuple):
    """One record: its line (CSV) or row (xlsx), counted from 1, its values by key, and its time in UTC if readable."""

    line: int
    data: dict[str, Any]
    event_time: datetime | None


class Block(NamedTuple):
    """Some records that follow each other, by columns: `Row` says what they are."""

    lines: list[int]
    values: list[list[str]]
    times: list[datetime | None]


@dataclass(frozen=True)
class Survey:
    """What the first reading of the file found out."""

    path: Path
    data_set: str
    rows: int
    blank_lines: int
    uneven_rows: int
    encoding: str
    delimiter: str
    date_order: str
    keys: tuple[str, ...]
    sheet: str | None
    decimal_marks: dict[int, Mark]  # of the columns of decimals that have commas, by their place


class TabularFile:
    """One file as records of one feed."""

    def __init__(self, path: Path, contract: Contract, flags: Flags) -> None:
        self.path, self.contract, self.flags = path, contract, flags
        if not path.is_file():
            raise PermanentError(f"{path}: no such file")
        self.time_column = contract.column(contract.event_time)
        self.is_workbook = path.suffix.lower() in {".xlsx", ".xlsm"}
        self._book: CalamineWorkbook | None = None
        self._loaded_sheet: CalamineSheet | None = None
        if path.suffix.lower() in {".xls", ".xlsb", ".ods", ".parquet", ".zip"}:
            raise PermanentError(f"{path}: cannot read {path.suffix}; save it as .csv, .csv.gz or .xlsx")

    def survey(self) -> Survey:
        """Reads the whole file once.

        Raises:
            PermanentError: the file cannot be read, or its values leave open how; names the line and the flag.
        """
        data_set, encoding, sheet, delimiter = self._digest(), "", None, ""
        if self.is_workbook:
            sheet = self._sheet()
            data_set = data_set if len(self._workbook().sheet_names) == 1 else f"{data_set}/{self._shown_sheet(sheet)}"
        else:
            encoding = self._encoding()
            delimiter = self._delimiter(encoding)
        blocks = self._blocks(encoding, delimiter, sheet, itertools.repeat(BLOCK_ROWS))
        keys = self._keys(next(blocks)[1][0])
        time_at = keys.index(self.time_column.header) if self.time_column.header in keys else None
        marks = {i: MarkEvidence(key, not self.contract.is_personal) for i, key in enumerate(keys)
                 if (c := self._by_key(key)) and c.decimal}  # fmt: skip
        evidence = DateEvidence(self.time_column.header, not self.contract.is_personal)
        rows = blank = uneven = 0
        for lines, values in blocks:
            if not all(map(any, values)):
                blank += len(values)
                lines, values = _without_blank(lines, values)
                blank -= len(values)
            rows += len(values)
            widths = list(map(len, values))
            uneven += len(widths) - widths.count(len(keys))
            if time_at is not None:
                times = _column(values, time_at)
                first = dict(zip(reversed(times), reversed(lines), strict=True))
                for text, count in Counter(times).items():
                    if isinstance(text, str) and text:
                        evidence.add(first[text], text, count)
            for i, mark in marks.items():
                mark.add(lines, _column(values, i))
        try:
            order = self.flags.date_order or (evidence.order() if evidence.values else "ymd")
            decimal_marks = {
                i: self._decimal_mark(keys[i], mark) for i, mark in marks.items() if mark.values["with_comma"]
            }
        except PermanentError as error:
            raise PermanentError(f"{self.path}: {error}") from None
        return Survey(
            self.path,
            self.flags.data_set or data_set,
            rows,
            blank,
            uneven,
            encoding,
            delimiter,
            order,
            keys,
            sheet,
            decimal_marks,
        )

    def _decimal_mark(self, key: str, evidence: MarkEvidence) -> Mark:
        if self.flags.decimal_comma is not None:
            return "comma" if self.flags.decimal_comma else "point"
        column = self._by_key(key)
        if column and not {"thousands", "decimal_comma"} & set(column.numbers):
            raise PermanentError(
                f"column {key}: {evidence.values['with_comma']:,} numbers have a comma, first {evidence.at('with_comma')}. "
                "Pass --decimal-comma if it is the decimal mark, or --decimal-point if it separates thousands; or let the "
                f"contract say for all files what column {column.name} takes: numbers: [thousands, decimal_comma]"
            )
        return evidence.mark()

    def layout(self, survey: Survey) -> str:
        """Returns how the file is laid out, for a message."""
        if survey.sheet is not None:
            return f"sheet {self._shown_sheet(survey.sheet)}"
        return f"{survey.encoding}, delimiter {survey.delimiter!r}"

    def rows(self, survey: Survey) -> Iterator[Row]:
        """Yields the records in the order of the file."""
        for block in self.blocks(survey):
            for line, values, moment in zip(block.lines, block.values, block.times, strict=True):
                yield Row(line, as_record(survey.keys, values), moment)

    def blocks(self, survey: Survey, multiple: int = BLOCK_ROWS) -> Iterator[Block]:
        """Yields the records in the order of the file, BLOCK_ROWS at a time or fewer; every `multiple` rows end a block."""
        each = [BLOCK_ROWS] * (multiple // BLOCK_ROWS) + [multiple % BLOCK_ROWS] * (multiple % BLOCK_ROWS > 0)
        sizes = itertools.cycle(each)
        blocks = self._blocks(survey.encoding, survey.delimiter, survey.sheet, sizes)
        next(blocks)
        keys, width, order = survey.keys, len(survey.keys), survey.date_order
        time_at = keys.index(self.time_column.header) if self.time_column.header in keys else width
        for lines, values in _refilled(blocks, itertools.cycle(each)) if survey.blank_lines else blocks:
            moments = _column(values, time_at)
            texts = self._with_points(values, survey) if survey.decimal_marks else values
            if self.is_workbook:  # a CSV has nothing but texts
                texts = [[v if type(v) is str else _text(v) for v in row] for row in texts]
            if survey.uneven_rows:  # those with too many have no column of time
                moments = [None if len(row) > width else moment for row, moment in zip(values, moments, strict=True)]
            if self.is_workbook:
                times = [read_time(_text(m), "ymd" if isinstance(m, date) else order) if m else None for m in moments]
            else:
                times = [read_time(m, order) if m else None for m in moments]
            yield Block(lines, texts, times)

    def _with_points(self, rows: list[Any], survey: Survey) -> list[list[Any]]:
        """Returns the rows with decimal points; a number in a cell has no mark, so only texts are changed."""
        changed = [list(row) for row in rows]
        for row in changed:
            if len(row) <= len(survey.keys):
                for i, mark in survey.decimal_marks.items():
                    if i < len(row) and isinstance(row[i], str):
                        row[i] = with_point(row[i], mark)
        return changed

    # -- bytes --------------------------------------------------------------------------------------------------

    def _open(self) -> IO[bytes]:
        file: IO[bytes] = OPENERS.get(self.path.suffix.lower(), open)(self.path, "rb")
        return file

    def _chunks(self, size: int = CHUNK_BYTES) -> Iterator[bytes]:
        try:
            with self._open() as file:
                while chunk := file.read(size):
                    yield chunk
        except (EOFError, OSError, lzma.LZMAError, isal_zlib.IsalError) as error:  # type: ignore[misc]  # its stub
            raise PermanentError(f"{self.path}: cannot be unpacked: {without_values(error)}") from None

    def _digest(self) -> str:
        digest = hashlib.sha256()
        for chunk in self._chunks():
            digest.update(chunk)
        return digest.hexdigest()

    def _encoding(self) -> str:
        if self.flags.encoding:
            try:
                codecs.lookup(self.flags.encoding)
            except LookupError as error:
                raise PermanentError(f"--encoding {self.flags.encoding}: Python knows no such encoding") from error
            return self.flags.encoding
        start = next(self._chunks(), b"")
        for bom, name in BOMS.items():
            if start.startswith(bom):
                return name
        decoder = codecs.getincrementaldecoder("utf-8")()
        line = 1
        for chunk in itertools.chain(self._chunks(), [b""]):
            try:
                decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError as error:
                line += error.object[: error.start].count(b"\n")
                raise PermanentError(
                    f"{self.path}: line {line} is not UTF-8. Pass --encoding with the one that reads right: {self._readings(error)}"
                ) from None
            line += chunk.count(b"\n")
        return "utf-8"

    def _readings(self, error: UnicodeDecodeError) -> str:
        """What the place would be in other encodings, for a message; of a feed with personal columns their names alone."""
        if self.contract.is_personal:
            return f"{', '.join(LEGACY_ENCODINGS)} or another. {NOT_SHOWN}"
        bad = error.object
        begin, end = bad.rfind(b"\n", 0, error.start) + 1, bad.find(b"\n", error.start)
        sample = bad[max(begin, error.start - 30) : end if 0 <= end < error.start + 30 else error.start + 30]
        return "; ".join(f"{e}: {sample.decode(e, 'replace').strip()!r}" for e in LEGACY_ENCODINGS)

    # -- text ---------------------------------------------------------------------------------------------------

    def _lines(self, encoding: str) -> Iterator[str]:
        """Yields lines with their ends. io.TextIOWrapper asks an unpacker at each line whether it is closed, in Python."""
        return itertools.chain.from_iterable(self._whole_lines(encoding))

    def _whole_lines(self, encoding: str) -> Iterator[io.StringIO]:
        decoder = codecs.getincrementaldecoder(encoding)()
        rest = ""
        for chunk in self._chunks(TEXT_BYTES):
            text = rest + decoder.decode(chunk)
            end = max(text.rfind("\n"), text.rfind("\r", 0, -1)) + 1  # the last \r may be half of a \r\n
            yield io.StringIO(text[:end], newline="")
            rest = text[end:]
        yield io.StringIO(rest + decoder.decode(b"", True), newline="")

    def _delimiter(self, encoding: str) -> str:
        try:
            first = next((line for line in self._lines(encoding) if line.strip()), "")
        except UnicodeError as error:
            raise PermanentError(f"{self.path}: line 1: not {encoding}: {without_values(error)}") from None
        if not first:
            raise PermanentError(f"{self.path}: the file is empty")
        if self.flags.delimiter:
            return self.flags.delimiter
        missing: dict[str, list[str]] = {}
        try:
            headers = {mark: next(csv.reader([first], delimiter=mark)) for mark in DELIMITERS}
        except csv.Error as error:
            raise PermanentError(f"{self.path}: line 1: {error}. Is it text with a header?") from None
        for mark, header in headers.items():
            missing[mark] = self._missing(header)
            if not missing[mark]:
                return mark  # only one mark can split the header into all required columns
        mark = min(missing, key=lambda m: len(missing[m]))
        wanted = ", ".join(missing[mark])
        shown = self._shown(headers[mark])
        raise PermanentError(
            f"{self.path}: line 1 has no column {wanted} of feed {self.contract.feed}; {shown}. "
            f"Name it with --column '{missing[mark][0]}=HEADER OF THE FILE', or give --delimiter"
        )

    def _blocks(
        self, encoding: str, delimiter: str, sheet: str | None, sizes: Iterator[int]
    ) -> Iterator[tuple[list[int], list[Any]]]:
        """Yields lines and values of so many rows at a time, the header alone first."""
        if sheet is not None:
            yield from self._sheet_blocks(sheet, sizes)
            return
        reader = csv.reader(self._lines(encoding), delimiter=delimiter, strict=True)
        line, wanted = 1, 1
        rows: list[list[str]] = []
        try:
            while True:
                rows.extend(itertools.islice(reader, wanted))  # if it fails, `rows` has what was read
                if not rows:
                    return
                lines = _line_numbers(line, rows, reader.line_num)
                yield lines, rows
                line, rows, wanted = reader.line_num + 1, [], next(sizes)
        except csv.Error as error:
            line += sum(map(_lines_taken, rows))
            raise PermanentError(f"{self.path}: line {line}: {error}. Is a quote open, or the delimiter another than "
                                 f"{DELIMITERS.get(delimiter, delimiter)}?") from None  # fmt: skip
        except UnicodeError as error:
            line += sum(map(_lines_taken, rows))
            why = getattr(error, "reason", type(error).__name__)  # its position is of a part of the file
            raise PermanentError(f"{self.path}: after line {line}: not {encoding}: {why}") from None

    # -- workbooks ----------------------------------------------------------------------------------------------

    def _workbook(self) -> CalamineWorkbook:
        if self._book is None:
            try:
                with zipfile.ZipFile(self.path) as packed:
                    with_errors = [name for name in packed.namelist() if _has_error_cells(packed, name)]
                    self._book = (
                        _open_with_texts_for_errors(packed) if with_errors else CalamineWorkbook.from_path(self.path)
                    )
            except BROKEN_WORKBOOK as error:
                raise self._broken(error) from None
        return self._book

    def _broken(self, error: Exception) -> PermanentError:
        why = without_values(error) if self.contract.is_personal else error
        return PermanentError(f"{self.path}: cannot be read as a workbook: {why}. Copy the file anew from where it came, "
                              "or open it where it was made and save it as .xlsx or .csv")  # fmt: skip

    def _loaded(self, name: str) -> CalamineSheet:
        """Returns the sheet, which is in memory as a whole; one sheet at a time is."""
        if self._loaded_sheet is None or self._loaded_sheet.name != name:
            self._loaded_sheet = None
            try:
                self._loaded_sheet = self._workbook().get_sheet_by_name(name)
            except BROKEN_WORKBOOK as error:
                raise self._broken(error) from None
        return self._loaded_sheet

    def _sheet(self) -> str:
        names = self._workbook().sheet_names
        if self.flags.sheet:
            if self.flags.sheet not in names:
                raise PermanentError(
                    f"{self.path}: no sheet {self.flags.sheet!r}; it has {[*map(self._shown_sheet, names)]}"
                )
            return self.flags.sheet
        fitting = []
        for name in names:
            header = next(self._loaded(name).iter_rows(), [])
            if not self._missing([str(v) for v in header if v != ""]):
                fitting.append(name)
        if len(fitting) == 1:
            return fitting[0]
        found = "no sheet has" if not fitting else f"sheets {[*map(self._shown_sheet, fitting)]} have"
        raise PermanentError(f"{self.path}: {found} the columns of feed {self.contract.feed}; choose one with --sheet, "
                             f"and name columns with --column. Sheets: {[*map(self._shown_sheet, names)]}")  # fmt: skip

    def _shown_sheet(self, name: str) -> str:
        """The sheet for a message: by number, from 1, where it may be named after a person."""
        return f"no. {self._workbook().sheet_names.index(name) + 1}" if self.contract.is_personal else name

    def _sheet_blocks(self, sheet: str, sizes: Iterator[int]) -> Iterator[tuple[list[int], list[Any]]]:
        rows = self._loaded(sheet).iter_rows()
        header = next(rows, None)
        if header is None:
            raise PermanentError(f"{self.path}: sheet {self._shown_sheet(sheet)!r} is empty")
        yield [1], [header]
        first = 2
        while values := list(itertools.islice(rows, next(sizes))):
            yield list(range(first, first + len(values))), values
            first += len(values)

    # -- columns ------------------------------------------------------------------------------------------------

    def _mapped(self, header: str) -> str:
        """Returns the key that a header of the file gets in the record."""
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
        """The header for a message, unless it may be a row of data; of a feed with personal columns the known names alone."""
        names = [str(name)[:SHOWN_MAX] for name in header]
        is_known = [normalise_header(self._mapped(n)) in self.contract.headers for n in names]
        known = sum(is_known)
        if self.contract.is_personal and known * 2 >= len(names):
            keys = [self._mapped(n) for n, is_one in zip(names, is_known, strict=True) if is_one]
            others = [str(number) for number, is_one in enumerate(is_known, 1) if not is_one]
            return (
                f"the header has {', '.join(keys)}; fields {', '.join(others) or 'none'} have other names. {NOT_SHOWN}"
            )
        if known * 2 >= len(names):  # a single value may be spelt like a column: a product "Phone"
            return f"the header is {names}"
        return f"{known} of its {len(names)} fields are names that the feed knows: is it a header?"

    def _keys(self, header: list[Any]) -> tuple[str, ...]:
        keys = tuple(self._mapped(str(name)) for name in header)
        if missing := self._missing([str(name) for name in header]):
            raise PermanentError(f"{self.path}: no column {', '.join(missing)}; {self._shown(header)}. "
                                 f"Name it with --column '{missing[0]}=HEADER OF THE FILE'")  # fmt: skip
        if doubled := sorted({k for k in keys if keys.count(k) > 1}):
            raise PermanentError(f"{self.path}: two columns are read as {', '.join(doubled)}; "
                                 f"{self._shown(header)}. Say which one with --column '{doubled[0]}=HEADER OF THE FILE'")  # fmt: skip
        return keys

    def _by_key(self, key: str) -> Column | None:
        return next((c for c in self.contract.columns if c.header == key), None)


def _column(rows: Sequence[Sequence[Any]], at: int) -> list[Any]:
    """Returns a value of each row, None where it is too short."""
    try:
        return [row[at] for row in rows]
    except IndexError:
        return [row[at] if at < len(row) else None for row in rows]


def _lines_taken(row: list[str]) -> int:
    text = ",".join(row)
    return 1 + text.count("\n") + text.count("\r") - text.count("\r\n")


def _line_numbers(first: int, rows: list[list[str]], last: int) -> list[int]:
    """Returns the line on which each record begins, of those that are in the lines from `first` to `last`."""
    if last - first + 1 == len(rows):
        return list(range(first, last + 1))
    return list(itertools.accumulate(map(_lines_taken, rows[:-1]), initial=first))


def _without_blank(lines: list[int], rows: list[Any]) -> tuple[list[int], list[Any]]:
    kept = [(line, row) for line, row in zip(lines, rows, strict=True) if any(row)]
    return [line for line, _ in kept], [row for _, row in kept]


def _refilled(
    blocks: Iterator[tuple[list[int], list[Any]]], sizes: Iterator[int]
) -> Iterator[tuple[list[int], list[Any]]]:
    """Yields blocks of these sizes again, without the rows that are blank."""
    lines: list[int] = []
    rows: list[Any] = []
    size = next(sizes)
    for more_lines, more_rows in itertools.starmap(_without_blank, blocks):
        lines, rows = lines + more_lines, rows + more_rows
        while len(rows) >= size:
            yield lines[:size], rows[:size]
            lines, rows = lines[size:], rows[size:]
            size = next(sizes)
    if rows:
        yield lines, rows


def _xml_chunks(file: IO[bytes]) -> Iterator[bytes]:
    """Yields an XML file in pieces that end between tags."""
    rest = b""
    while chunk := file.read(CHUNK_BYTES):
        whole, mark, begun = (rest + chunk).rpartition(b"<")
        yield whole
        rest = mark + begun
    yield rest


def _has_error_cell(chunk: bytes) -> bool:
    return (b't="e"' in chunk or b"t='e'" in chunk) and ERROR_CELL.search(chunk) is not None


def _has_error_cells(packed: zipfile.ZipFile, name: str) -> bool:
    """Reads the whole file, and so proves its checksum."""
    with packed.open(name) as file:
        if not name.startswith("xl/worksheets/"):
            while file.read(CHUNK_BYTES):
                pass
            return False
        return sum(_has_error_cell(chunk) for chunk in _xml_chunks(file)) > 0


def _open_with_texts_for_errors(packed: zipfile.ZipFile) -> CalamineWorkbook:
    """Opens a copy in which #N/A and its like are texts: calamine gives errors as empty cells."""
    with tempfile.NamedTemporaryFile(suffix=".xlsx") as copy:
        with zipfile.ZipFile(copy, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as texts:
            for name in packed.namelist():
                with packed.open(name) as source, texts.open(name, "w", force_zip64=True) as target:
                    if name.startswith("xl/worksheets/"):
                        target.writelines(ERROR_CELL.sub(rb"\1str", chunk) for chunk in _xml_chunks(source))
                    else:
                        shutil.copyfileobj(source, target, CHUNK_BYTES)
        copy.flush()
        return CalamineWorkbook.from_path(copy.name)  # has the file open


@lru_cache(maxsize=1 << 16, typed=True)
def _text(value: Any) -> str:
    """A cell as text, as the source would write it."""
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
        case date():  # midnight, as calamine gives it
            return f"{value.isoformat()}T00:00:00"
        case None:
            return ""
        case _:
            return str(value)
