"""Values of results and parameters, in the protocol's text and binary formats."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from local.redshift.catalog import Column
from local.redshift.errors import SqlError

TEXT, BINARY = 0, 1
# OID and size of types, from pg_type and for Redshift's SUPER and VARBYTE from redshift_connector.utils.oids.
OIDS = {
    "BOOLEAN": (16, 1),
    "BIGINT": (20, 8),
    "SMALLINT": (21, 2),
    "INT": (23, 4),
    "FLOAT": (700, 4),
    "DOUBLE": (701, 8),
    "CHAR": (1042, -1),
    "VARCHAR": (1043, -1),
    "DATE": (1082, 4),
    "TIME": (1083, 8),
    "TIMESTAMP": (1114, 8),
    "TIMESTAMPTZ": (1184, 8),
    "TIMETZ": (1266, 12),
    "DECIMAL": (1700, -1),
    "SUPER": (4000, -1),
    "VARBINARY": (6551, -1),
}
TEXTS = {18, 19, 25, 1042, 1043, 114, 4000}  # "char", name, text, bpchar, varchar, json, super
UNKNOWN = 705
_KINDS = {oid: kind for kind, (oid, _) in OIDS.items()}
_INTEGERS = {21: "!h", 23: "!i", 20: "!q", 26: "!I"}
_FLOATS = {700: "!f", 701: "!d"}
_EPOCH = datetime(2000, 1, 1)


@dataclass(frozen=True)
class TypeOf:
    """The protocol's type of a column."""

    column: Column

    @property
    def oid(self) -> int:
        return OIDS[self.column.kind][0]

    @property
    def size(self) -> int:
        return OIDS[self.column.kind][1]

    @property
    def modifier(self) -> int:
        """atttypmod: length + 4 of strings, (precision << 16 | scale) + 4 of decimals, else -1."""
        c = self.column
        if c.kind in {"VARCHAR", "CHAR"} and c.length:
            return c.length + 4
        if c.kind == "DECIMAL" and c.precision:
            return (c.precision << 16 | (c.scale or 0)) + 4
        return -1


def encoded(value: Any, column: Column, form: int) -> bytes | None:
    """Returns a value of a result in the format that the client requested: text (0) or binary (1)."""
    if value is None:
        return None
    return as_text(value).encode() if form == TEXT else _binary(value, column.kind)


def as_text(value: Any) -> str:
    match value:
        case bool():
            return "t" if value else "f"
        case float():
            if math.isnan(value) or math.isinf(value):
                return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[repr(value)]
            return repr(value).removesuffix(".0")
        case Decimal():
            return f"{value:f}"
        case datetime():
            moment = value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
            text = moment.isoformat(sep=" ")
            return (text.rstrip("0") if moment.microsecond else text) + ("+00" if value.tzinfo else "")
        case date() | time():
            return value.isoformat()
        case bytes():
            return value.hex()
        case list() | tuple():
            return "{" + ",".join("NULL" if item is None else as_text(item) for item in value) + "}"
    return str(value)


def _binary(value: Any, kind: str) -> bytes:
    match kind:
        case "BOOLEAN":
            return b"\1" if value else b"\0"
        case "SMALLINT":
            return struct.pack("!h", int(value))
        case "INT":
            return struct.pack("!i", int(value))
        case "BIGINT":
            return struct.pack("!q", int(value))
        case "FLOAT":
            return struct.pack("!f", float(value))
        case "DOUBLE":
            return struct.pack("!d", float(value))
        case "DECIMAL":
            return _numeric(Decimal(value))
        case "DATE":
            return struct.pack("!i", (value - _EPOCH.date()).days)
        case "TIMESTAMP":
            return struct.pack("!q", _microseconds(value - _EPOCH))
        case "TIMESTAMPTZ":
            return struct.pack("!q", _microseconds(value - _EPOCH.replace(tzinfo=UTC)))
        case "TIME":
            return struct.pack("!q", _microseconds(_since_midnight(value)))
        case "TIMETZ":
            west = -int((value.utcoffset() or timedelta()).total_seconds())
            return struct.pack("!qi", _microseconds(_since_midnight(value)), west)
        case "VARBINARY":
            return bytes(value)
    return as_text(value).encode()


def _microseconds(span: timedelta) -> int:
    return span // timedelta(microseconds=1)


def _since_midnight(value: time) -> timedelta:
    return timedelta(hours=value.hour, minutes=value.minute, seconds=value.second, microseconds=value.microsecond)


def _numeric(value: Decimal) -> bytes:
    """Returns PostgreSQL's binary numeric: digits in base 10,000, the weight of the first, sign and scale."""
    if value.is_nan():
        return struct.pack("!hhHh", 0, 0, 0xC000, 0)
    sign, digits, exponent = value.as_tuple()
    scale = max(0, -int(exponent))
    whole = "".join(map(str, digits)) + "0" * max(0, int(exponent))
    before, after = (whole[:-scale], whole[-scale:]) if scale else (whole, "")
    after = after.rjust(scale, "0")
    before = before.rjust(-(-len(before) // 4) * 4, "0")
    after = after.ljust(-(-len(after) // 4) * 4, "0")
    groups = [int((before + after)[i : i + 4]) for i in range(0, len(before) + len(after), 4)]
    weight = len(before) // 4 - 1
    while groups and groups[0] == 0:
        groups.pop(0)
        weight -= 1
    while groups and groups[-1] == 0:
        groups.pop()
    negative = 0x4000 if sign and groups else 0
    return struct.pack(f"!hhHh{len(groups)}h", len(groups), weight if groups else 0, negative, scale, *groups)


def _from_numeric(raw: bytes) -> Decimal:
    count, weight, sign, scale = struct.unpack("!hhHh", raw[:8])
    if sign == 0xC000:
        return Decimal("NaN")
    groups = struct.unpack(f"!{count}h", raw[8 : 8 + count * 2])
    value = sum((Decimal(group).scaleb(4 * (weight - i)) for i, group in enumerate(groups)), Decimal(0))
    return (-value if sign == 0x4000 else value).quantize(Decimal(1).scaleb(-scale))


def literal(raw: bytes | None, oid: int, form: int) -> str:
    """Returns a parameter's value as one SQL literal that cannot be parsed as anything else.

    Args:
        raw: the value as it was sent; None is NULL.
        oid: the type that the client specified; 0 and 705 are unknown and determined by the position in the statement.
        form: text (0) or binary (1).

    Raises:
        SqlError: The value is not valid for its type, or the type is not supported for parameters.
    """
    known = _KINDS.get(oid)
    if raw is None:
        return f"CAST(NULL AS {_cast(known)})" if known else "NULL"
    try:
        return _literal(raw, oid, form)
    except (ValueError, InvalidOperation, struct.error, OverflowError) as error:
        if isinstance(error, UnicodeDecodeError):
            raise SqlError("ERROR: invalid byte sequence for encoding UTF8 in a parameter") from error
        raise SqlError(
            f"ERROR: invalid input syntax for type {_cast(known or 'VARCHAR').lower()} in a parameter"
        ) from error


def null_of(oid: int) -> str:
    return literal(None, oid, TEXT)


def _literal(raw: bytes, oid: int, form: int) -> str:
    if oid in {0, UNKNOWN}:
        return quoted(raw.decode())
    if oid in TEXTS:
        return quoted(raw.decode())
    if oid in _INTEGERS:
        number = struct.unpack(_INTEGERS[oid], raw)[0] if form == BINARY else int(raw)
        return str(number) if number >= 0 else f"({number})"  # in parentheses: a minus before it would begin a comment
    if oid in _FLOATS:
        real = struct.unpack(_FLOATS[oid], raw)[0] if form == BINARY else float(raw)
        return f"CAST({quoted(as_text(real))} AS {_cast(_KINDS[oid])})"
    if oid == 16:
        truth = raw != b"\0" if form == BINARY else _truth(raw.decode())
        return "TRUE" if truth else "FALSE"
    if oid == 1700:
        exact = _from_numeric(raw) if form == BINARY else Decimal(raw.decode())
        return exact_literal(exact)
    if oid in _KINDS and form == TEXT:
        return f"CAST({quoted(raw.decode())} AS {_cast(_KINDS[oid])})"
    value: Any
    match oid:
        case 1082:
            value = _EPOCH.date() + timedelta(days=struct.unpack("!i", raw)[0])
        case 1083:
            value = (_EPOCH + timedelta(microseconds=struct.unpack("!q", raw)[0])).time()
        case 1114:
            value = _EPOCH + timedelta(microseconds=struct.unpack("!q", raw)[0])
        case 1184:
            value = _EPOCH.replace(tzinfo=UTC) + timedelta(microseconds=struct.unpack("!q", raw)[0])
        case _:
            raise SqlError(
                f"ERROR: a parameter of the type with OID {oid} is not supported by the local Redshift stand-in"
            )
    return f"CAST({quoted(as_text(value))} AS {_cast(_KINDS[oid])})"


def exact_literal(value: Decimal) -> str:
    """Returns a decimal as a literal with its own precision and scale, as Redshift types a number in a statement."""
    if not value.is_finite():
        raise ValueError(value)
    text = f"{value:f}"
    scale = len(text.partition(".")[2])
    precision = max(len(text.replace("-", "").replace(".", "").lstrip("0")), scale, 1)
    if precision > 38:
        raise SqlError("ERROR: numeric value out of range")
    return f"CAST({quoted(text)} AS DECIMAL({precision},{scale}))"


def quoted(text: str) -> str:
    """Returns a string literal. A backslash escapes in Redshift's strings, so it is doubled, like quotation marks."""
    if "\0" in text:
        raise SqlError("ERROR: invalid byte sequence for encoding UTF8: 0x00")
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def _truth(text: str) -> bool:
    word = text.strip().lower()
    if word in {"t", "true", "y", "yes", "on", "1"}:
        return True
    if word in {"f", "false", "n", "no", "off", "0"}:
        return False
    raise ValueError(text)


def _cast(kind: str | None) -> str:
    words = {
        "DOUBLE": "DOUBLE PRECISION",
        "FLOAT": "REAL",
        "VARBINARY": "VARBYTE",
        "VARCHAR": "VARCHAR(65535)",
        "CHAR": "VARCHAR(65535)",
        "DECIMAL": "DECIMAL(38,0)",
    }
    return words.get(kind or "VARCHAR", kind or "VARCHAR")
