"""Reads JSON and Parquet files, in which each record has its own keys: once for the survey, and again in blocks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from ecommerce_elt.readers.blocks import BLOCK_CHARS, Block
from ecommerce_elt.readers.dates import read_time
from ecommerce_elt.readers.decimal_marks import with_point
from ecommerce_elt.readers.file_text import FileText
from ecommerce_elt.readers.fill_down import FillingDown
from ecommerce_elt.readers.headers import Headers
from ecommerce_elt.readers.json_records import JsonRecords
from ecommerce_elt.readers.surroundings import LeftOut
from ecommerce_elt.readers.survey import Evidence, Survey


class KeyedRecords:
    """The records of a JSON or Parquet file.

    Args:
        text: the file, which is decoded if it is JSON.
        headers: matches the keys of the records to the contract.
    """

    def __init__(self, text: FileText, headers: Headers) -> None:
        self.text, self.source, self.headers = text, text.source, headers
        self.contract, self.name = headers.contract, headers.name

    def survey(self, data_set: str, encoding: str) -> Survey:
        """Reads all records, and returns the survey.

        Raises:
            PermanentError: they cannot be read, or are ambiguous. The message names the record and the option.
        """
        evidence = Evidence(self.headers, [column.header for column in self.contract.columns])
        left_out: defaultdict[str, LeftOut] = defaultdict(LeftOut)
        keys: dict[str, None] = {}
        if self.source.kind == "parquet":
            from ecommerce_elt.readers.parquet_records import parquet_keys

            names = parquet_keys(self.source.unpacked, self.name)
            keys = dict.fromkeys(self.headers.keys(names))
            self.headers.check_doubled([self.headers.key(name) for name in names], names)
        rows, filling = 0, FillingDown(self.contract) if self.contract.fill_down else None
        for line, record in self._records(encoding, filling):
            if _is_empty(record):
                left_out["blank"].add(line)
                continue
            rows += 1
            if keys.keys() < record.keys() or not record.keys() <= keys.keys():
                keys.update(dict.fromkeys(record))
                self.headers.check_number(list(keys))
            if isinstance(text := record.get(self.headers.time_key), str):
                evidence.dates.add(line, text)
            for key, mark in evidence.marks.items():
                if isinstance(text := record.get(key), str):
                    mark.add([line], [text])
        if rows and (missing := self.headers.missing(list(keys))):
            raise self.headers.no_column(f"{self.name}: no record has a key", missing, list(keys))
        return Survey(
            kind=self.source.kind,
            data_set=data_set,
            rows=rows,
            keys=tuple(keys),
            date_order=evidence.date_order(),
            decimal_marks=evidence.decimal_marks(),
            left_out=dict(left_out),
            encoding=encoding,
            filled_down=filling.filled if filling else {},
        )

    def blocks(self, survey: Survey, sizes: Iterator[int]) -> Iterator[Block]:
        """Yields blocks of the records that are not empty; long records are in smaller blocks than `sizes` says."""
        lines: list[int] = []
        times: list[datetime | None] = []
        records: list[dict[str, Any]] = []
        wanted, chars = next(sizes), 0
        for line, record in self._records(
            survey.encoding, FillingDown(self.contract) if self.contract.fill_down else None
        ):
            if _is_empty(record):
                continue
            for key, mark in survey.decimal_marks.items():
                if isinstance(text := record.get(key), str):
                    record[key] = with_point(text, mark)
            moment = record.get(self.headers.time_key)
            lines.append(line)
            times.append(read_time(moment, survey.date_order) if isinstance(moment, str) else None)
            records.append(record)
            chars += sum(len(value) for value in record.values() if isinstance(value, str))
            if len(lines) == wanted or chars > BLOCK_CHARS:
                yield Block(lines, [], times, records)
                wanted = wanted - len(lines) or next(sizes)
                lines, times, records, chars = [], [], [], 0
        if lines:
            yield Block(lines, [], times, records)

    def _records(self, encoding: str, filling: FillingDown | None) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yields the place of each record, and the record with the keys of the contract."""
        if self.source.kind == "parquet":
            from ecommerce_elt.readers.parquet_records import parquet_records

            found: Iterable[tuple[int, dict[str, Any]]] = parquet_records(
                self.source.unpacked, self.name, self.source.limits
            )
        else:
            found = JsonRecords(self.text.pieces(encoding), self.name, self.source.limits)
        mapped: dict[str, str] = {}
        for line, record in found:
            for key in record:
                if key not in mapped:
                    mapped[key] = self.headers.key(key)
            keyed = {mapped[key]: value for key, value in record.items()}
            if len(keyed) < len(record):
                self.headers.check_doubled([mapped[key] for key in record], list(record))
            yield line, filling.record(keyed) if filling else keyed


def _is_empty(record: dict[str, Any]) -> bool:
    return all(value is None or value == "" for value in record.values())
