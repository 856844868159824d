"""Files with one record a row: CSV of any spelling, packed or not, and xlsx.

The whole file is read once before anything is sent. What its bytes and values decide is detected; what they leave open
is asked for by an error that names the flag. Memory does not grow with the file.
"""

from __future__ import annotations

import bz2
import codecs
import csv
import gzip
import hashlib
import io
import itertools
import lzma
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import IO, Any, NamedTuple

import openpyxl

from ecommerce_elt.dates import DateEvidence, read_time
from ecommerce_elt.errors import PermanentError
from ecommerce_elt.feeds import Column, Contract, normalise_header

CHUNK_BYTES = 1 << 20
FIELD_MAX_BYTES = 1 << 20  # a Kinesis record takes 1 MiB
SHOWN_MAX = 60  # of a name in a message
DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "pipe"}
LEGACY_ENCODINGS = ("cp1252", "iso8859-1", "cp850", "mac_roman")
OPENERS: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
BOMS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}

csv.field_size_limit(FIELD_MAX_BYTES)


@dataclass(frozen=True)
class Flags:
    """What the user said about the file, where it cannot be detected."""

    encoding: str | None = None
    delimiter: str | None = None
    date_order: str | None = None
    decimal_comma: bool = False
    sheet: str | None = None
    columns: dict[str, str] = field(default_factory=dict)
    data_set: str | None = None
    event_version: int = 1  # above 1, the file corrects what came of the same data set before


class Row(NamedTuple):
    """One record: its line (CSV) or row (xlsx), counted from 1, its values by key, and its time in UTC if readable."""

    line: int
    data: dict[str, Any]
    event_time: datetime | None


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


class TabularFile:
    """One file as records of one feed."""

    def __init__(self, path: Path, contract: Contract, flags: Flags) -> None:
        self.path, self.contract, self.flags = path, contract, flags
        if not path.is_file():
            raise PermanentError(f"{path}: no such file")
        self.time_column = contract.column(contract.event_time)
        self.is_workbook = path.suffix.lower() in {".xlsx", ".xlsm"}
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
            data_set = data_set if self._sheet_count() == 1 else f"{data_set}/{sheet}"
        else:
            encoding = self._encoding()
            delimiter = self._delimiter(encoding)
        records = self._records(encoding, delimiter, sheet)
        _, header = next(records)
        keys = self._keys(header)
        time_at = keys.index(self.time_column.header) if self.time_column.header in keys else None
        decimals = [i for i, key in enumerate(keys) if (c := self._by_key(key)) and c.decimal]
        evidence = DateEvidence(self.time_column.header)
        rows = blank = uneven = commas = 0
        first_comma: tuple[int, str, str] | None = None
        for line, values in records:
            if not any(values):
                blank += 1
                continue  # counted in blank_lines
            rows += 1
            uneven += len(values) != len(keys)
            width = len(values)
            if time_at is not None and time_at < width and isinstance(time := values[time_at], str) and time:
                evidence.add(line, time)
            for i in decimals:
                if i < width and isinstance(values[i], str) and "," in values[i]:
                    commas += 1
                    first_comma = first_comma or (line, keys[i], values[i])
        if first_comma and not self.flags.decimal_comma:
            line, key, value = first_comma
            raise PermanentError(f"{self.path}: column {key}: {commas:,} numbers have a comma, first line {line} ({value!r}). "
                                 "Pass --decimal-comma if it is the decimal mark; else take the commas out")  # fmt: skip
        try:
            order = self.flags.date_order or (evidence.order() if evidence.values else "ymd")
        except PermanentError as error:
            raise PermanentError(f"{self.path}: {error}") from error
        return Survey(
            self.path, self.flags.data_set or data_set, rows, blank, uneven, encoding, delimiter, order, keys, sheet
        )

    def rows(self, survey: Survey) -> Iterator[Row]:
        """Yields the records in the order of the file."""
        records = self._records(survey.encoding, survey.delimiter, survey.sheet)
        next(records)
        keys, order = survey.keys, survey.date_order
        time_at = keys.index(self.time_column.header) if self.time_column.header in keys else len(keys)
        decimals = [key for key in keys if (c := self._by_key(key)) and c.decimal] if self.flags.decimal_comma else []
        for line, values in records:
            if not any(values):
                continue  # counted by the survey
            if len(values) > len(keys):
                # Which value is one too many cannot be told: keep them all, and let the cleaning reject the record.
                yield Row(line, {"unassigned": [_text(v) for v in values]}, None)
                continue
            texts = map(_text, values) if self.is_workbook else values  # a CSV has nothing but texts
            data = dict(zip(keys, texts, strict=False))
            for key in decimals:
                if key in data:
                    data[key] = data[key].replace(",", ".")
            moment = values[time_at] if time_at < len(values) else None
            if isinstance(moment, datetime):
                time: datetime | None = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
            else:
                time = read_time(data[keys[time_at]], order) if moment else None
            yield Row(line, data, time)

    # -- bytes --------------------------------------------------------------------------------------------------

    def _open(self) -> IO[bytes]:
        file: IO[bytes] = OPENERS.get(self.path.suffix.lower(), open)(self.path, "rb")
        return file

    def _chunks(self) -> Iterator[bytes]:
        try:
            with self._open() as file:
                while chunk := file.read(CHUNK_BYTES):
                    yield chunk
        except (EOFError, OSError, lzma.LZMAError) as error:
            raise PermanentError(f"{self.path}: cannot be unpacked: {error}") from error

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
                bad = error.object
                line += bad[: error.start].count(b"\n")
                begin = bad.rfind(b"\n", 0, error.start) + 1
                end = bad.find(b"\n", error.start)
                sample = bad[max(begin, error.start - 30) : end if 0 <= end < error.start + 30 else error.start + 30]
                readings = {e: sample.decode(e, "replace").strip() for e in LEGACY_ENCODINGS}
                shown = "; ".join(f"{e}: {text!r}" for e, text in readings.items())
                raise PermanentError(
                    f"{self.path}: line {line} is not UTF-8. Pass --encoding with the one that reads right: {shown}"
                ) from error
            line += chunk.count(b"\n")
        return "utf-8"

    # -- text ---------------------------------------------------------------------------------------------------

    def _text(self, encoding: str) -> io.TextIOWrapper:
        return io.TextIOWrapper(self._open(), encoding, newline="")

    def _delimiter(self, encoding: str) -> str:
        try:
            with self._text(encoding) as text:
                first = next((line for line in text if line.strip()), "")
        except UnicodeError as error:
            raise PermanentError(f"{self.path}: line 1: not {encoding}: {error}") from error
        if not first:
            raise PermanentError(f"{self.path}: the file is empty")
        if self.flags.delimiter:
            return self.flags.delimiter
        missing: dict[str, list[str]] = {}
        for mark in DELIMITERS:
            header = next(csv.reader([first], delimiter=mark))
            missing[mark] = self._missing(header)
            if not missing[mark]:
                return mark  # only one mark can split the header into all required columns
        mark = min(missing, key=lambda m: len(missing[m]))
        wanted = ", ".join(missing[mark])
        shown = self._shown(next(csv.reader([first.strip()], delimiter=mark)))
        raise PermanentError(
            f"{self.path}: line 1 has no column {wanted} of feed {self.contract.feed}; {shown}. "
            f"Name it with --column '{missing[mark][0]}=HEADER OF THE FILE', or give --delimiter"
        )

    def _records(self, encoding: str, delimiter: str, sheet: str | None) -> Iterator[tuple[int, list[Any]]]:
        """Yields (line, values), the header first."""
        if self.is_workbook:
            yield from self._sheet_rows(sheet)
            return
        with self._text(encoding) as text:
            reader = csv.reader(text, delimiter=delimiter, strict=True)
            line = 1
            try:
                for values in reader:
                    yield line, values
                    line = reader.line_num + 1
            except csv.Error as error:
                raise PermanentError(f"{self.path}: line {line}: {error}. Is a quote open, or the delimiter another than "
                                     f"{DELIMITERS.get(delimiter, delimiter)}?") from error  # fmt: skip
            except UnicodeDecodeError as error:
                raise PermanentError(f"{self.path}: after line {line}: not {encoding}: {error.reason}") from error

    # -- workbooks ----------------------------------------------------------------------------------------------

    def _workbook(self) -> Any:
        try:
            return openpyxl.load_workbook(self.path, read_only=True, data_only=True)
        except Exception as error:  # openpyxl raises what zipfile, xml and its own readers raise
            raise PermanentError(f"{self.path}: cannot be read as a workbook: {error}") from error

    def _sheet_count(self) -> int:
        book = self._workbook()
        try:
            return len(book.sheetnames)
        finally:
            book.close()

    def _sheet(self) -> str:
        book = self._workbook()
        try:
            if self.flags.sheet:
                if self.flags.sheet not in book.sheetnames:
                    raise PermanentError(f"{self.path}: no sheet {self.flags.sheet!r}; it has {book.sheetnames}")
                return self.flags.sheet
            fitting = []
            for name in book.sheetnames:
                header = next(book[name].iter_rows(values_only=True), ())
                if not self._missing([str(v) for v in header if v is not None]):
                    fitting.append(name)
            if len(fitting) == 1:
                return str(fitting[0])
            found = "no sheet has" if not fitting else f"sheets {fitting} have"
            raise PermanentError(f"{self.path}: {found} the columns of feed {self.contract.feed}; choose one with --sheet, "
                                 f"and name columns with --column. Sheets: {book.sheetnames}")  # fmt: skip
        finally:
            book.close()

    def _sheet_rows(self, sheet: str | None) -> Iterator[tuple[int, list[Any]]]:
        book = self._workbook()
        try:
            for number, values in enumerate(book[sheet].iter_rows(values_only=True), 1):
                yield number, ["" if v is None else v for v in values]
        finally:
            book.close()

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
        """The header for a message, unless it may be a row of data: messages go to logs, and people's data does not."""
        names = [str(name)[:SHOWN_MAX] for name in header]
        known = sum(normalise_header(self._mapped(n)) in self.contract.headers for n in names)
        if known * 2 >= len(names):  # a single value may be spelt like a column: a product "Phone"
            return f"the header is {names}"
        return f"{known} of its {len(names)} fields are names that the feed knows: is it a header?"

    def _keys(self, header: list[Any]) -> tuple[str, ...]:
        keys = tuple(self._mapped(str(name)) for name in header)
        if missing := self._missing([str(name) for name in header]):
            raise PermanentError(f"{self.path}: no column {', '.join(missing)}; {self._shown(header)}. "
                                 f"Name it with --column '{missing[0]}=HEADER OF THE FILE'")  # fmt: skip
        if doubled := sorted({k for k in keys if keys.count(k) > 1}):
            raise PermanentError(f"{self.path}: two columns are read as {', '.join(doubled)}; the header is "
                                 f"{[str(h) for h in header]}. Say which one with --column '{doubled[0]}=HEADER OF THE FILE'")  # fmt: skip
        return keys

    def _by_key(self, key: str) -> Column | None:
        return next((c for c in self.contract.columns if c.header == key), None)


def _text(value: Any) -> str:
    """A cell as text, as the source would write it."""
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case float() if value.is_integer() and abs(value) < 1e15:
            return str(int(value))
        case float():
            return format(Decimal(repr(value)), "f")
        case datetime():
            return value.isoformat()
        case None:
            return ""
        case _:
            return str(value)
