"""Reads a sample of a feed without a contract, using the reader of landed files.

The reader finds a table by the columns that its contract requires. Therefore the header is found first. Then a draft
contract that takes every column as text lets the reader work as for any file: it leaves out titles, repeated headers,
totals and blank rows, and reports ambiguities.
"""

from __future__ import annotations

import codecs
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from ecommerce_elt.errors import PermanentError
from ecommerce_elt.feeds.contracts import Column, Contract, normalise_header
from ecommerce_elt.readers.dates import is_time
from ecommerce_elt.readers.flags import Flags
from ecommerce_elt.readers.json_records import JsonRecords
from ecommerce_elt.readers.open_questions import NAMES_SHOWN, OpenQuestionError
from ecommerce_elt.readers.packed import Archive, PackedFile
from ecommerce_elt.readers.readings import Reading, read_files
from ecommerce_elt.readers.surroundings import LIKE_A_NUMBER
from ecommerce_elt.readers.tabular import TabularFile
from ecommerce_elt.scaffold import words
from ecommerce_elt.scaffold.people import mark_personal
from ecommerce_elt.scaffold.values import Found, Values
from ecommerce_elt.settings import FileLimits, file_limits

HEAD_ROWS = 200  # rows in which the header and the time columns are searched
HEAD_RECORDS = 2_000
CELLS = 4_000_000  # cells that are examined
FILLED_SHARE = 0.6  # smallest share of the widest rows' values that a header must have
NO_COLUMNS = 1_000  # Redshift has 1,600 columns in a table: `ECOMMERCE_FILE_COLUMNS`


class Sample(NamedTuple):
    """The sample, and the findings about its columns.

    Attributes:
        readings: the files; a zip can have several.
        keys: the headers, in the order of the first file.
        columns: the findings about each column.
        event_time: the header of the event's time.
        looked_at: the number of rows that were examined.
    """

    readings: list[Reading]
    keys: list[str]
    columns: list[Found]
    event_time: str
    looked_at: int

    @property
    def rows(self) -> int:
        return sum(reading.survey.rows for reading in self.readings)


@dataclass(frozen=True)
class _Head:
    """The header, and the first records."""

    keys: list[str]
    records: list[list[str]]
    flags: Flags


def read_sample(path: Path, flags: Flags, folder: Path) -> Sample:
    """Reads a sample and returns it.

    Args:
        path: the file.
        flags: properties of the file that cannot be detected.
        folder: where files of a zip are unpacked.

    Raises:
        PermanentError: the file cannot be read, is empty, or has no header or time column. The message says what to do.
    """
    limits = file_limits()
    head = _head(path, flags, folder, limits)
    _check(path, head.keys, limits)
    keys = [key for key in head.keys if key]
    event_time = _event_time(path, head, keys, flags)
    draft = _draft(keys, event_time)
    readings = read_files(path, draft, head.flags, folder, limits=limits).whole(path).files
    if not any(reading.survey.rows for reading in readings):
        raise PermanentError(f"{path}: has a header, and no row below it. Give a sample with some rows")
    most = max(CELLS // len(keys), 1000)
    rows = list(islice((row.data for each in readings for row in each.file.rows(each.survey)), most))
    columns = []
    for header, name in words.as_names(keys, event_time).items():
        try:
            values = Values(header, name, (as_text(row.get(header)) for row in rows), flags)
            columns.append(values.found())
        except OpenQuestionError as question:
            raise question.of(path) from None
        if header == event_time and columns[-1].kind != "timestamp":
            columns[-1].settings = {"type": "timestamp"}
            columns[-1].doubts = ["its times are in a format that files alone may have; by HTTP send ISO 8601"]
        mark_personal(values, columns[-1])
    return Sample(readings, keys, columns, event_time, len(rows))


def as_text(value: Any) -> str | None:
    """Returns a value of a record in the form that the cleaning gets: a text or JSON."""
    if value is None or isinstance(value, str):
        return value
    return orjson.dumps(value).decode()


# -- the header ---------------------------------------------------------------------------------------------------------


def _head(path: Path, flags: Flags, folder: Path, limits: FileLimits) -> _Head:
    source = PackedFile(path, limits, folder)
    if source.kind == "zip":
        archive = Archive(source)
        member = max(archive.members, key=lambda each: each.info.file_size)
        source = archive.extract(member, folder, f"{path}, {member.name}")
    if source.kind in {"json", "parquet"}:
        return _head_of_records(source, flags, limits)
    file = TabularFile(source, _draft(["x"], "x"), flags)
    found: dict[str, tuple[int, list[list[str]]]] = {}
    split_rows = file.first_rows(HEAD_ROWS)
    for split, rows in split_rows.items():
        if (at := _header_row(rows)) is not None:
            found[split] = at, rows
    if file.kind == "csv" and found and all(_filled(rows[at]) == 1 for at, rows in found.values()):
        found = (
            {} if any(_usual(rows) > 1 for rows in split_rows.values()) else found
        )  # rows of values in which one was taken for a name
    if not found:
        raise PermanentError(
            f"{path}: none of the first {HEAD_ROWS} rows is a header: a row of names with rows of as many values below "
            "it. Is the file empty, or has it no header? Write one into its first line"
        )
    if file.is_workbook and len(found) > 1:
        raise OpenQuestionError(
            f"{path}: sheets {list(found)} are tables; choose one with ",
            [{"sheet": name} for name in list(found)[:NAMES_SHOWN]],
        )
    split, (at, rows) = max(found.items(), key=lambda item: _filled(item[1][1][item[1][0]]))
    flags = (
        replace(flags, sheet=split) if file.is_workbook else replace(flags, delimiter="\\t" if split == "\t" else split)
    )
    return _Head([_plain(name) for name in rows[at]], rows[at + 1 :], flags)


def _head_of_records(source: PackedFile, flags: Flags, limits: FileLimits) -> _Head:
    if source.kind == "parquet":
        from ecommerce_elt.readers.parquet_records import parquet_records

        records: Iterator[tuple[int, dict[str, Any]]] = parquet_records(source.unpacked, source.name, limits)
    else:
        encoding = flags.encoding or source.bom or "utf-8"
        records = iter(JsonRecords(codecs.iterdecode(source.chunks(), encoding, "replace"), source.name, limits))
    found = [record for _, record in islice(records, HEAD_RECORDS)]
    if not found:
        raise PermanentError(f"{source.name}: has no record. Give a sample with some")
    keys = list(dict.fromkeys(key for record in found for key in record))
    return _Head([*map(_plain, keys)], [[as_text(record.get(key)) or "" for key in keys] for record in found], flags)


def _filled(row: list[str]) -> int:
    return sum(bool(cell.strip()) for cell in row)


def _usual(rows: list[list[str]]) -> int:
    """Returns the number of values in the widest of the frequent kinds of rows."""
    widths = Counter(_filled(row) for row in rows)
    return max((width for width, count in widths.items() if width and count >= max(widths.values()) / 4), default=0)


def _header_row(rows: list[list[str]]) -> int | None:
    """Returns the position of the first row of names that has about as many names as the widest rows have values."""
    usual = _usual(rows)
    for at, row in enumerate(rows):
        names = [cell.strip() for cell in row if cell.strip()]
        is_named = bool(names) and not any(LIKE_A_NUMBER.fullmatch(name) or is_time(name) for name in names)
        if is_named and len(names) >= max(1, FILLED_SHARE * usual) and len(set(names)) >= len(names) * 0.5:
            return at
    return None


def _check(path: Path, keys: list[str], limits: FileLimits) -> None:
    if len(keys) > limits.columns:
        raise PermanentError(
            f"{path}: has {len(keys):,} columns, and {limits.columns:,} are allowed. Is it one record a row? If it is, "
            "raise ECOMMERCE_FILE_COLUMNS; Redshift takes 1,600 in a table"
        )
    spellings = Counter(normalise_header(key) for key in keys if key)
    if "*" in keys:
        raise PermanentError(
            f"{path}: a column is called *, for which no engine can look. Rename it in what makes the files"
        )
    doubled = [key for key in keys if key and spellings[normalise_header(key)] > 1]
    if doubled:
        raise PermanentError(
            f"{path}: the headers {', '.join(dict.fromkeys(doubled))} are spelt alike, column "
            f"{' and '.join(str(i) for i, key in enumerate(keys, 1) if key in doubled)}; no record can have both. "
            "Rename one in what makes the files"
        )


# -- the time of the event ----------------------------------------------------------------------------------------------


def _event_time(path: Path, head: _Head, keys: list[str], flags: Flags) -> str:
    """Returns the header of the column with the time of the event."""
    if len(keys) == 1 and not head.records:
        raise PermanentError(f"{path}: has one column and no row below it. Is it a table?")
    names = words.as_names(keys)
    found = []
    for place, key in enumerate(head.keys):
        texts = [row[place] for row in head.records if key and place < len(row)]
        values = Values(key, names.get(key, ""), texts, flags) if any(map(str.strip, texts)) else None
        if values and values.total and _holds_times(values):
            found.append((_preference(values, place), key))
    if not found:
        raise PermanentError(
            f"{path}: no column holds times, and every event needs one: among {len(keys)} columns none has "
            "values such as 2026-01-31, 31.01.2026 14:05 or 1/31/2026. Give a sample with a column of times, or say "
            "how its dates are ordered with --date-order"
        )
    return max(found)[1]


def _holds_times(values: Values) -> bool:
    readable = sum(count for text, count in values.counts.items() if is_time(text))
    if readable > 0.5 * values.total:
        return True
    try:
        return values.found().kind == "timestamp"
    except OpenQuestionError:
        return False


def _preference(values: Values, place: int) -> tuple[int, float, int]:
    said = (
        2 * bool(values.words & words.EVENT)
        - 4 * bool(values.words & words.NOT_EVENT)
        + bool(values.words & words.TIMES)
    )
    return said, min(values.total / max(values.rows, 1), 0.95), -place


def _draft(keys: list[str], event_time: str) -> Contract:
    """Returns a draft contract that takes every column unchanged."""
    columns = [
        Column(
            name=f"c{number}",
            header=key,
            required=True,
            **({"type": "timestamp"} if key == event_time else {"type": "string", "max_bytes": 65535}),
        )
        for number, key in enumerate(keys)
    ]
    time = next(column.name for column, key in zip(columns, keys, strict=True) if key == event_time)
    return Contract(
        feed="sample",
        version=1,
        grain="one row",
        event_time=time,
        partition_key=time,
        staging="staging.sample",
        tables=("core.sample",),
        columns=tuple(columns),
    )


def _plain(key: str) -> str:
    """Returns the header without quotes and extra blanks: engines compare only letters and digits of headers."""
    return " ".join(key.replace('"', "").lstrip("\ufeff").split())
