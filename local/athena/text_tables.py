"""Reads the rows of tables over text: OpenCSVSerde and LazySimpleSerDe.

Source: Athena user guide, and Trino's readers of both.

OpenCSVSerde: every column is read as text and then converted: BOOLEAN, INT, BIGINT and DOUBLE directly, DATE from days
and TIMESTAMP from milliseconds since 1970. An empty value is the empty string in a text column, and an error in a
number.

LazySimpleSerDe: values are not quoted. `serialization.null.format`, by default \\N, is NULL, and so is an empty value
of a type other than text. For both, a value that is missing at the end of a line is NULL, and an additional value is
ignored.

Refused because the result on Athena is uncertain: escaped characters, quotes within a value, values that do not match
their type, nested types, and compression other than gzip.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

OPEN_CSV = "org.apache.hadoop.hive.serde2.OpenCSVSerde"
LAZY_SIMPLE = "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe"
PACKED = (".bz2", ".deflate", ".snappy", ".zst", ".lzo", ".lz4", ".xz", ".zip")
KNOWN = {
    OPEN_CSV: {"separatorChar", "quoteChar", "escapeChar", "serialization.format"},
    LAZY_SIMPLE: {"field.delim", "serialization.format", "escape.delim", "line.delim", "serialization.null.format"},
}

Row = list[str | None]


class Unreadable(Exception):  # noqa: N818
    """The rows cannot be read, or Athena may read them differently. The message is Athena's StateChangeReason."""


@dataclass(frozen=True)
class TextTable:
    """The rules for reading the lines of one table."""

    split: Callable[[str], Row]
    header_lines: int
    columns: Sequence[tuple[str, str]]
    casts: Mapping[str, str]  # column to an expression of DuckDB over the text {0}

    def rows(self, body: bytes, url: str) -> Iterator[Row]:
        """Yields the rows of an object, with a text or None for each column.

        Raises:
            Unreadable: With the line and its number.
        """
        if url.endswith(PACKED):
            raise Unreadable(f"NOT_SUPPORTED: {url}: the local Athena stand-in reads text plain or by gzip")
        try:
            text = (gzip.decompress(body) if url.endswith(".gz") else body).decode("utf-8")
        except (OSError, EOFError, UnicodeDecodeError) as error:
            raise Unreadable(f"HIVE_BAD_DATA: {url}: {error}") from error
        lines = re.split(r"\r\n|\n|\r", text)
        if lines[-1] == "":
            lines.pop()
        for number, line in enumerate(lines[self.header_lines :], self.header_lines + 1):
            try:
                values = self.split(line)
            except Unreadable as error:
                raise Unreadable(f"{error}: {url}, line {number}: {line[:200]!r}") from error
            yield (values + [None] * len(self.columns))[: len(self.columns)]


def text_table(table: Mapping[str, Any]) -> TextTable | None:
    """Returns the rules for reading a table of the catalog, or None if the table is not text.

    Raises:
        Unreadable: The meaning of a setting or a type is uncertain.
    """
    storage = table["StorageDescriptor"]
    library, settings = storage["SerdeInfo"]["SerializationLibrary"], storage["SerdeInfo"].get("Parameters", {})
    if library not in KNOWN:
        return None
    kept = table.get("Parameters", {})
    unknown = settings.keys() - KNOWN[library] | {k for k in kept if k.startswith(("skip.footer", "use.null"))}
    if unknown or settings.get("line.delim", "\n") != "\n":
        raise Unreadable(
            f"NOT_SUPPORTED: {sorted(unknown) or 'line.delim'} is not supported by the local Athena stand-in"
        )
    is_csv = library == OPEN_CSV
    columns = [(column["Name"], column["Type"].lower()) for column in storage["Columns"]]
    return TextTable(
        _quoted(settings) if is_csv else _delimited(settings),
        int(kept.get("skip.header.line.count", 0)),
        columns,
        {name: _cast(name, kind, is_csv=is_csv) for name, kind in columns},
    )


def _quoted(settings: Mapping[str, str]) -> Callable[[str], Row]:
    separator, quote = settings.get("separatorChar", ","), settings.get("quoteChar", '"')
    escape = settings.get("escapeChar", "\\")
    s, q = re.escape(separator), re.escape(quote)
    field = re.compile(f"(?:{q}((?:[^{q}]|{q}{q})*){q}|([^{s}{q}]*))({s}|$)")

    def split(line: str) -> Row:
        if not line:
            return []
        if escape in line:
            raise Unreadable("NOT_SUPPORTED: an escaped character is not supported by the local Athena stand-in")
        if quote not in line:
            return list(line.split(separator))
        values: Row = []
        place, is_last = 0, False
        while not is_last:
            found = field.match(line, place)
            if not found:
                raise Unreadable(
                    "NOT_SUPPORTED: a quote within a value, or one that does not end in its line, is not supported by "
                    "the local Athena stand-in"
                )
            values.append(found[2] if found[1] is None else found[1].replace(quote * 2, quote))
            place, is_last = found.end(), not found[3]
        return values

    return split


def _delimited(settings: Mapping[str, str]) -> Callable[[str], Row]:
    separator = settings.get("field.delim") or settings.get("serialization.format") or "\x01"
    separator = {"1": "\x01", "\\t": "\t"}.get(separator, separator)
    null, escape = settings.get("serialization.null.format", "\\N"), settings.get("escape.delim")

    def split(line: str) -> Row:
        values = line.split(separator)
        if escape and escape in "".join(value for value in values if value != null):
            raise Unreadable("NOT_SUPPORTED: an escaped character is not supported by the local Athena stand-in")
        return [None if value == null else value for value in values]

    return split


_WHOLE, _NUMBER = r"[+-]?\d+", r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"
_BOOLEAN = r"(?i:true|false)"
_COMMON = {
    "boolean": (_BOOLEAN, "BOOLEAN"),
    "int": (_WHOLE, "INTEGER"),
    "bigint": (_WHOLE, "BIGINT"),
    "double": (_NUMBER, "DOUBLE"),
}
_CSV = _COMMON | {
    "date": (_WHOLE, "DATE", "DATE '1970-01-01' + CAST({0} AS INTEGER)"),
    "timestamp": (_WHOLE, "TIMESTAMP", "EPOCH_MS(CAST({0} AS BIGINT))"),
}
_SIMPLE = _COMMON | {
    "tinyint": (_WHOLE, "TINYINT"),
    "smallint": (_WHOLE, "SMALLINT"),
    "float": (_NUMBER, "FLOAT"),
    "date": (r"\d{4}-\d\d-\d\d", "DATE"),
    "timestamp": (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{1,3})?", "TIMESTAMP"),
}


def _cast(name: str, kind: str, *, is_csv: bool) -> str:
    if kind == "string":
        return "{0}"
    rules = _CSV if is_csv else _SIMPLE
    if found := re.fullmatch(r"decimal\(\d+, ?(\d+)\)", kind) if not is_csv else None:
        rules = {kind: (rf"[+-]?\d+(\.\d{{0,{found[1]}}})?", kind.upper())}  # more digits would be rounded
    if kind not in rules:
        raise Unreadable(
            f"NOT_SUPPORTED: column {name} of type {kind} in text is not supported by the local Athena stand-in"
        )
    pattern, target, *how = rules[kind]
    value = how[0] if how else f"CAST({{0}} AS {target})"
    wrong = f"error('HIVE_BAD_DATA: Error parsing a value of column {name}, of type {kind}: ' || {{0}})"
    empty = "" if is_csv else "WHEN {0} = '' THEN NULL "
    return (
        f"CASE WHEN {{0}} IS NULL THEN NULL {empty}"
        f"WHEN NOT REGEXP_FULL_MATCH({{0}}, '{pattern}') THEN CAST({wrong} AS {target}) ELSE {value} END"
    )
