"""Converts the fields of a COPY: NULL, texts truncated to their length, numbers, times in a given format."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation

from local.redshift.catalog import Column
from local.redshift.copy_errors import Detail
from local.redshift.copy_statement import Copy
from local.redshift.errors import SqlError, unsupported

_INTEGER = re.compile(r"\s*[+-]?\d+\s*")
_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*")
_LIMITS = {"SMALLINT": 2**15, "INT": 2**31, "BIGINT": 2**63}
_DATE = re.compile(r"\d{4}-\d{1,2}-\d{1,2}")
_TIMESTAMP = re.compile(r"\d{4}-\d{1,2}-\d{1,2}([ T]\d{1,2}:\d{2}(:\d{2}(\.\d{1,6})?)?)?")
_ZONED = re.compile(_TIMESTAMP.pattern + r"\s*(Z|UTC|GMT|[+-]\d{2}(:?\d{2})?)?")
_TRUE, _FALSE = {"t", "true", "y", "yes", "1"}, {"f", "false", "n", "no", "0"}
# Source: "DATEFORMAT and TIMEFORMAT strings".
_PATTERNS = {
    "YYYY": "%Y",
    "YY": "%y",
    "MON": "%b",
    "MM": "%m",
    "DD": "%d",
    "HH24": "%H",
    "HH12": "%I",
    "HH": "%H",
    "MI": "%M",
    "SS": "%S",
    "AM": "%p",
    "PM": "%p",
}


def _python_format(pattern: str, option: str) -> str:
    out, at = "", 0
    keys = sorted(_PATTERNS, key=len, reverse=True)
    while at < len(pattern):
        key = next((k for k in keys if pattern[at:].upper().startswith(k)), None)
        if key:
            out += _PATTERNS[key]
            at += len(key)
        elif pattern[at].isalpha() and pattern[at] != "T":
            raise unsupported(f"COPY with {option} '{pattern}' at '{pattern[at:]}'")
        else:
            out += pattern[at].replace("%", "%%")
            at += 1
    return out


class Values:
    """The fields of one COPY."""

    def __init__(self, copy: Copy) -> None:
        self.copy = copy
        self.formats: dict[str, str] = {}
        self.automatic: set[str] = set()
        for option, kind in (("DATEFORMAT", "DATE"), ("TIMEFORMAT", "TIMESTAMP")):
            given = copy.options.get(option)
            if given == "auto":  # default formats are read, others refused: see `time`
                self.automatic.add(kind)
            elif given in {"epochsecs", "epochmillisecs"} and kind == "TIMESTAMP":
                self.formats[kind] = given
            elif given:
                self.formats[kind] = _python_format(given, option)

    def made(self, value: str | None, column: Column) -> str | None:
        """Returns the field as it is stored in the column, or None for NULL."""
        options = self.copy.options
        if value is None or value == options.get("NULL", "\\N"):
            return None
        is_text = column.kind in {"VARCHAR", "CHAR"}
        if value == "" and (not is_text or "EMPTYASNULL" in options):
            return None
        if not value.strip() and (not is_text or "BLANKSASNULL" in options):
            return None
        if column.kind == "VARCHAR" and "TRIMBLANKS" in options:
            value = value.rstrip()
        is_long = is_text and len(value.encode()) > (column.length or 0)
        if is_long and ("TRUNCATECOLUMNS" in options or len(value.rstrip(" ").encode()) <= (column.length or 0)):
            value = value.encode()[: column.length].decode(errors="ignore")
        return value.rstrip(" ") if column.kind == "CHAR" else value

    def problem(self, value: str | None, column: Column, file_name: str, line_number: int) -> Detail | None:
        """Returns the error of the field, as sys_load_error_detail reports it, or None."""

        def wrong(code: int, message: str) -> Detail:
            return Detail(file_name, line_number, column.name, column.type_name, column.length, code, message)

        if value is None:
            return None if column.nullable or column.default_sql else wrong(1213, "Missing data for not-null field")
        kind = column.kind
        if kind in {"VARCHAR", "CHAR"}:
            if len(value.encode()) > (column.length or 0):
                return wrong(1204, "String length exceeds DDL length")
            if kind == "CHAR" and not value.isascii():
                return wrong(1204, "Char length exceeds DDL length: CHAR takes single-byte characters only")
        elif kind in _LIMITS:
            if not _INTEGER.fullmatch(value):
                return wrong(1207, f"Invalid digit, Value '{value[:1]}', Type: {column.sql_type}")
            if not -_LIMITS[kind] <= int(value) < _LIMITS[kind]:
                return wrong(1216, f"Overflow, Type: {column.sql_type}")
        elif kind in {"DECIMAL", "FLOAT", "DOUBLE"}:
            return self._number_problem(value, column, wrong)
        elif kind == "BOOLEAN":
            if value.strip().lower() not in _TRUE | _FALSE:
                return wrong(1210, f"Unknown boolean format: '{value[:20]}'")
        elif kind in {"DATE", "TIMESTAMP", "TIMESTAMPTZ"} and self.time(value, kind) is None:
            what = "date" if kind == "DATE" else "timestamp"
            return wrong(1205 if kind == "DATE" else 1206, f"Invalid {what} format or value: '{value[:40]}'")
        elif kind == "SUPER" and not _is_json(value):
            return wrong(1224, f"Invalid JSON: '{value[:40]}'")
        elif kind in {"TIME", "TIMETZ", "VARBINARY"}:
            raise unsupported(f"COPY of text into {kind}")
        return None

    def _number_problem(self, value: str, column: Column, wrong: Callable[[int, str], Detail]) -> Detail | None:
        if not _NUMBER.fullmatch(value):
            return wrong(1207, f"Invalid digit, Value '{value[:1]}', Type: {column.sql_type}")
        if column.kind == "DECIMAL":
            try:
                whole = abs(Decimal(value.strip()))
            except InvalidOperation:
                return wrong(1207, f"Invalid digit, Value '{value[:1]}', Type: {column.sql_type}")
            if whole >= Decimal(10) ** ((column.precision or 18) - (column.scale or 0)):
                return wrong(1216, f"Numeric overflow, Type: {column.sql_type}")
        return None

    def final(self, value: str | None, column: Column) -> str | None:
        """Returns a field without a problem in the form that `cast` reads."""
        if value is None:
            return None
        if column.kind == "BOOLEAN":
            return "true" if value.strip().lower() in _TRUE else "false"
        if column.kind in {"DATE", "TIMESTAMP", "TIMESTAMPTZ"}:
            return self.time(value, column.kind)
        return value

    def time(self, value: str, kind: str) -> str | None:
        """Returns the field as a time that DuckDB reads, or None if it does not have the given format.

        Raises:
            SqlError: The format is 'auto', and the field has none of the default formats. Redshift also recognizes
                others ("Using automatic recognition with DATEFORMAT and TIMEFORMAT"), some by guessing.
        """
        found = self._time(value, kind)
        if found is None and ("DATE" if kind == "DATE" else "TIMESTAMP") in self.automatic:
            raise unsupported(f"COPY with {'DATE' if kind == 'DATE' else 'TIME'}FORMAT 'auto' of '{value[:40]}'")
        return found

    def _time(self, value: str, kind: str) -> str | None:
        text = value.strip()
        given = self.formats.get("DATE" if kind == "DATE" else "TIMESTAMP")
        try:
            if given in {"epochsecs", "epochmillisecs"}:
                number = Decimal(text) / (1 if given == "epochsecs" else 1000)
                return datetime.fromtimestamp(float(number), UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
            if given:
                return datetime.strptime(text, given).strftime("%Y-%m-%d %H:%M:%S.%f")
            pattern = {"DATE": _DATE, "TIMESTAMP": _TIMESTAMP}.get(kind, _ZONED)
            shape = pattern.fullmatch(text) or (_TIMESTAMP.fullmatch(text) if kind == "DATE" else None)
            if not shape:
                return None
            datetime.strptime(re.split(r"[ T]", text)[0], "%Y-%m-%d")
        except (ValueError, InvalidOperation, OverflowError):
            return None
        return text

    def cast(self, name: str, column: Column) -> str:
        """Returns the DuckDB expression that converts the text to the column's type."""
        if column.kind == "DECIMAL":  # COPY truncates decimals, 20.259 is 20.25, and rounds them with ROUNDEC
            if (column.scale or 0) > 18 or (column.precision or 18) - (column.scale or 0) > 20:
                raise SqlError(
                    f"ERROR: COPY of text into {column.sql_type} is not supported by the local Redshift stand-in"
                )
            wide = f"CAST({name} AS DECIMAL(38, 18))"
            if "ROUNDEC" in self.copy.options:
                return f"CAST({wide} AS {column.duckdb_type})"
            unit = f"CAST('1E-{column.scale}' AS DECIMAL(38, 18))"  # power() returns a float: 16.13 becomes 16.129
            return f"CAST({wide} - {wide} % {unit} AS {column.duckdb_type})"
        if column.kind == "SUPER":
            return f"json({name})"
        return f"CAST({name} AS {column.duckdb_type})"


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True
