"""Reads workbooks: xlsx, xlsm, xlsb, xls and ods.

One sheet at a time is in memory, with some 80 bytes a cell. `FileLimits` has the limit.
"""

from __future__ import annotations

import posixpath
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from python_calamine import (
    CalamineError,
    CalamineSheet,
    CalamineWorkbook,
    PasswordError,
    SheetTypeEnum,
    SheetVisibleEnum,
)

from ecommerce_elt.errors import PermanentError, without_values
from ecommerce_elt.readers.packed import BROKEN_ZIP, CHUNK_BYTES, PackedFile, ZipPart, open_zip

BROKEN: tuple[type[Exception], ...] = (CalamineError, ElementTree.ParseError, KeyError, zlib.error, *BROKEN_ZIP)
SHEETS = "xl/worksheets/"
ERROR_CELL = re.compile(rb"""(<(?:\w+:)?c\s[^<>]*?\bt=["'])e(?=["'])""")
# A column after Z or a row after 999,999. Smaller sheets cannot have many more cells than their bytes suggest.
FAR_CELL = re.compile(rb'r="[A-Z](?:[A-Z]|\d{7})')
CELL = re.compile(rb'r="([A-Z]{1,7})(\d{1,10})"')
FORMULA = re.compile(rb"<c\b[^>]*>\s*<f\b[^>]*(?:/>|>[^<]*</f>)\s*(?:<v\s*/>|<v>\s*</v>)?\s*</c>")
SAMPLED = 4  # cells are counted in every fourth piece of a sheet's XML
LONG_TEXT_BYTES = CHUNK_BYTES << 2
SMALLEST_CELL = 16  # bytes of XML: <c><v>1</v></c>
# Tests whether a sheet can be read within a memory limit. It runs in a separate process because calamine aborts the
# process that runs out of memory.
TRIAL = (
    "import resource, sys; resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[1]),) * 2); "
    "from python_calamine import CalamineWorkbook; book = CalamineWorkbook.from_path(sys.argv[2]); "
    "[book.get_sheet_by_name(name) for name in sys.argv[3:]]"
)


class Workbook:
    """A workbook whose sheets are read one at a time."""

    def __init__(self, source: PackedFile) -> None:
        self.source, self.limits = source, source.limits
        self._loaded: CalamineSheet | None = None
        self._doubtful = False  # whether an xlsx may take more memory than its size suggests
        self._texts = 0  # estimated number of cells of an xlsx with a shared text
        self._without_value: dict[str, int] = {}  # part of an xlsx to number of formulas without a value

    @cached_property
    def _book(self) -> CalamineWorkbook:
        try:
            if self.source.kind != "xlsx":
                self._try()
                return self._opened(self.source.unpacked)
            with open_zip(self.source.unpacked, self.limits) as packed:
                has_errors = self._look_through(packed)
                if self._doubtful:
                    self._try()
                if has_errors:
                    return self._with_texts_for_errors(packed)
            return self._opened(self.source.unpacked)
        except BROKEN as error:
            raise self._broken(error) from None

    def _broken(self, error: Exception) -> PermanentError:
        if isinstance(error, PasswordError):
            return self.source.broken_workbook("it has a password")
        return self.source.broken_workbook(error if isinstance(error, BROKEN_ZIP) else without_values(error))

    def _opened(self, path: Path) -> CalamineWorkbook:
        """Opens the file through a link with the right suffix, because calamine detects the format by the file name."""
        with tempfile.TemporaryDirectory(dir=self.source.folder) as folder:
            link = Path(folder) / f"book.{self.source.kind}"
            link.symlink_to(path.absolute())
            return CalamineWorkbook.from_path(link)  # it keeps the file open

    @property
    def names(self) -> list[str]:
        """The names of all sheets, in the workbook's order."""
        return list(self._book.sheet_names)

    @property
    def visible(self) -> list[str]:
        """The names of the visible worksheets, without chart sheets."""
        return [
            sheet.name
            for sheet in self._book.sheets_metadata
            if sheet.visible == SheetVisibleEnum.Visible and sheet.typ == SheetTypeEnum.WorkSheet
        ]

    def rows(self, name: str) -> Iterator[list[Any]]:
        """Yields the rows of a sheet from the first one, all with the same number of cells."""
        if self._loaded is None or self._loaded.name != name:
            self._loaded = None
            try:
                if self.source.kind != "xlsx" or self._doubtful:
                    self._try(name)
                self._loaded = self._book.get_sheet_by_name(name)
            except BROKEN as error:
                raise self._broken(error) from None
        return self._loaded.iter_rows()

    def formulas_without_value(self, name: str) -> int:
        """Returns the number of cells of a sheet with a formula and no value; always 0 if the file is not xlsx."""
        return self._without_value.get(self._parts.get(name, ""), 0)

    # -- limits -------------------------------------------------------------------------------------------------------

    def _try(self, *names: str) -> None:
        """Opens the workbook and reads sheets in a separate process, to test whether they exceed the memory limit."""
        with tempfile.TemporaryDirectory(dir=self.source.folder) as folder:
            link = Path(folder) / f"book.{self.source.kind}"
            link.symlink_to(self.source.unpacked.absolute())
            trial = [sys.executable, "-c", TRIAL, str(self.limits.sheet_memory_bytes), str(link), *names]
            done = subprocess.run(trial, capture_output=True, text=True, check=False)
        if done.returncode < 0 or "MemoryError" in done.stderr:
            raise PermanentError(
                f"{self.source.name}: the workbook takes more than {self.limits.sheet_memory_bytes:,} bytes of memory. "
                "Save the sheet as .csv, or raise ECOMMERCE_FILE_SHEET_MEMORY_BYTES"
            )

    def _look_through(self, packed: zipfile.ZipFile) -> bool:
        """Reads all parts, which verifies their checksums, and returns whether a sheet has error cells."""
        has_errors, longest = False, 0
        with self.source.unpacked.open("rb") as file:
            for info in packed.infolist():
                if info.file_size > self.limits.sheet_bytes:
                    raise PermanentError(
                        f"{self.source.name}: {info.filename} has {info.file_size:,} bytes, and {self.limits.sheet_bytes:,} are allowed. "
                        "Save the sheet as .csv, or raise ECOMMERCE_FILE_SHEET_BYTES"
                    )
                chunks = ZipPart(file, info).chunks()
                if info.filename.startswith(SHEETS):
                    has_errors |= self._look_at_sheet(info, chunks)
                elif info.filename.endswith("sharedStrings.xml"):
                    longest = _longest(chunks, b"</si>")
                    self._doubtful |= info.file_size > self.limits.sheet_memory_bytes // 8
                else:
                    for _ in chunks:
                        pass
        # Each cell has its own copy of a shared text.
        self._doubtful |= self._texts * longest > self.limits.sheet_memory_bytes // 2
        return has_errors

    def _look_at_sheet(self, info: zipfile.ZipInfo, chunks: Iterator[bytes]) -> bool:
        """Returns whether the sheet has error cells, and records its size, formulas and shared texts."""
        has_errors = has_formulas = is_far = False
        cells, count = 0, info.file_size // SMALLEST_CELL > self.limits.sheet_cells
        for number, chunk in enumerate(_between(chunks, b"<")):
            has_errors = has_errors or _has_error_cell(chunk)
            has_formulas = has_formulas or b"</f>" in chunk or b"<f " in chunk
            is_far = is_far or FAR_CELL.search(chunk) is not None
            self._doubtful |= len(chunk) > LONG_TEXT_BYTES
            if number % SAMPLED == 0:
                self._texts += SAMPLED * chunk.count(b't="s"')
                cells += SAMPLED * chunk.count(b"</c>") if count else 0
        if cells > self.limits.sheet_cells:
            raise self._too_many_cells(info, cells)
        with self.source.unpacked.open("rb") as file:
            if is_far:
                self._check_extent(info, ZipPart(file, info).chunks())
            if has_formulas:
                pieces = _between(ZipPart(file, info).chunks(), b"<c ")
                self._without_value[info.filename] = sum(len(FORMULA.findall(piece)) for piece in pieces)
        return has_errors

    def _check_extent(self, info: zipfile.ZipInfo, chunks: Iterator[bytes]) -> None:
        """Checks the sheet's extent against the limits. The extent includes the empty cells between filled ones."""
        columns = rows = 0
        for chunk in _between(chunks, b"<"):
            for column, row in set(CELL.findall(chunk)):
                columns, rows = max(columns, _number(column)), max(rows, int(row))
        if columns > self.limits.columns:
            raise PermanentError(
                f"{self.source.name}: {info.filename} has cells up to column {columns:,}, and "
                f"{self.limits.columns:,} columns "
                "are allowed. Clear what is beside the table, or raise ECOMMERCE_FILE_COLUMNS"
            )
        if columns * rows > self.limits.sheet_cells:
            raise self._too_many_cells(info, columns * rows)

    def _too_many_cells(self, info: zipfile.ZipInfo, cells: int) -> PermanentError:
        return PermanentError(
            f"{self.source.name}: {info.filename} has some {cells:,} cells from the first to the last, and "
            f"{self.limits.sheet_cells:,} are allowed. Save it as .csv, or raise ECOMMERCE_FILE_SHEET_CELLS"
        )

    # -- parts of an xlsx ---------------------------------------------------------------------------------------------

    @cached_property
    def _parts(self) -> dict[str, str]:
        """The path of each sheet's part of an xlsx, by sheet name."""
        if self.source.kind != "xlsx":
            return {}
        with open_zip(self.source.unpacked, self.limits) as packed:
            try:
                # Expat limits the expansion of entities, and the parts are within the size limit.
                relations = ElementTree.fromstring(packed.read("xl/_rels/workbook.xml.rels"))  # noqa: S314
                book = ElementTree.fromstring(packed.read("xl/workbook.xml"))  # noqa: S314
            except KeyError:
                return {}  # a workbook whose parts have other names, which calamine can read
        targets = {r.get("Id"): r.get("Target", "") for r in relations}
        found: dict[str, str] = {}
        for sheet in book.iter():
            if sheet.tag.endswith("}sheet"):
                by = next((value for key, value in sheet.attrib.items() if key.endswith("}id")), None)
                found[sheet.get("name", "")] = posixpath.normpath(posixpath.join("/xl", targets.get(by, "")))[1:]
        return found

    def _with_texts_for_errors(self, packed: zipfile.ZipFile) -> CalamineWorkbook:
        """Opens a copy in which errors such as #N/A are texts, because calamine reads error cells as empty."""
        with tempfile.NamedTemporaryFile(suffix=".xlsx", dir=self.source.folder) as copy:
            with zipfile.ZipFile(copy, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as texts:
                for name in packed.namelist():
                    with packed.open(name) as source, texts.open(name, "w", force_zip64=True) as target:
                        if name.startswith(SHEETS):
                            pieces = _between(iter(lambda: source.read(CHUNK_BYTES), b""), b"<")
                            target.writelines(ERROR_CELL.sub(rb"\1str", piece) for piece in pieces)
                        else:
                            shutil.copyfileobj(source, target, CHUNK_BYTES)
            copy.flush()
            return CalamineWorkbook.from_path(copy.name)  # it keeps the file open


def _between(chunks: Iterator[bytes], mark: bytes) -> Iterator[bytes]:
    """Yields bytes in pieces that end before a mark, so that each piece has whole tags or whole cells."""
    rest = b""
    for chunk in chunks:
        whole, found, begun = (rest + chunk).rpartition(mark)
        rest = found + begun
        if len(rest) > LONG_TEXT_BYTES:
            whole, rest = whole + rest, b""
        yield whole
    yield rest


def _has_error_cell(chunk: bytes) -> bool:
    return (b't="e"' in chunk or (b"'" in chunk and b"t='e'" in chunk)) and ERROR_CELL.search(chunk) is not None


def _longest(chunks: Iterator[bytes], mark: bytes) -> int:
    longest = 0
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(mark)
        longest = max(longest, len(rest), max(map(len, whole), default=0))
        rest = rest[-CHUNK_BYTES:]
    return longest


def _number(letters: bytes) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + letter - 64
    return number
