"""Messages of the frontend/backend protocol, version 3: PostgreSQL documentation, 54.7 "Message Formats"."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from local.redshift.catalog import Column
from local.redshift.wire.values import TEXT, TypeOf

PROTOCOL_3 = 3 << 16
SSL_REQUEST = 80877103
GSS_REQUEST = 80877104
CANCEL_REQUEST = 80877102
STARTUP_MAX_BYTES = 10_000  # PostgreSQL's own limit; an HTTP request begins with bytes that exceed it
MESSAGE_MAX_BYTES = 128 * 1024**2


class ProtocolError(Exception):
    """The client violated the protocol. The connection ends with this message."""


class Body:
    """Reads the fields of one message."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def _take(self, count: int) -> bytes:
        if count < 0 or self._at + count > len(self._data):
            raise ProtocolError("insufficient data left in message")
        self._at += count
        return self._data[self._at - count : self._at]

    def int16(self) -> int:
        return int(struct.unpack("!h", self._take(2))[0])

    def count(self) -> int:
        return int(struct.unpack("!H", self._take(2))[0])

    def int32(self) -> int:
        return int(struct.unpack("!i", self._take(4))[0])

    def byte(self) -> bytes:
        return self._take(1)

    def text(self) -> str:
        end = self._data.find(b"\0", self._at)
        if end < 0:
            raise ProtocolError("a string of the message is not terminated")
        found = self._take(end - self._at)
        self._at += 1
        try:
            return found.decode()
        except UnicodeDecodeError as error:
            raise ProtocolError("a string of the message is no UTF-8") from error

    def value(self) -> bytes | None:
        length = self.int32()
        return None if length == -1 else self._take(length)

    def rest(self) -> bytes:
        return self._take(len(self._data) - self._at)


def message(code: bytes, body: bytes = b"") -> bytes:
    return code + struct.pack("!i", len(body) + 4) + body


def _text(value: str) -> bytes:
    return value.replace("\0", "").encode() + b"\0"


def authentication(kind: int, more: bytes = b"") -> bytes:
    return message(b"R", struct.pack("!i", kind) + more)


def parameter_status(name: str, value: str) -> bytes:
    return message(b"S", _text(name) + _text(value))


def backend_key(process: int, secret: int) -> bytes:
    return message(b"K", struct.pack("!iI", process, secret))


def protocol_versions(minor: int, options: Sequence[str]) -> bytes:
    """Returns NegotiateProtocolVersion with the newest supported minor version and the unknown options."""
    return message(b"v", struct.pack("!ii", minor, len(options)) + b"".join(map(_text, options)))


def ready(status: bytes) -> bytes:
    return message(b"Z", status)


def row_description(columns: Sequence[Column], formats: Sequence[int]) -> bytes:
    body = struct.pack("!h", len(columns))
    for column, form in zip(columns, formats, strict=True):
        kind = TypeOf(column)
        body += _text(column.name) + struct.pack("!ihihih", 0, 0, kind.oid, kind.size, kind.modifier, form)
    return message(b"T", body)


def parameter_description(oids: Sequence[int]) -> bytes:
    return message(b"t", struct.pack(f"!h{len(oids)}i", len(oids), *oids))


def data_row(values: Sequence[bytes | None]) -> bytes:
    parts = [struct.pack("!h", len(values))]
    for value in values:
        parts.append(struct.pack("!i", -1) if value is None else struct.pack("!i", len(value)) + value)
    return message(b"D", b"".join(parts))


def command_complete(tag: str) -> bytes:
    return message(b"C", _text(tag))


def error(severity: str, state: str, text: str, position: str = "") -> bytes:
    fields = {b"S": severity, b"C": state, b"M": text, **({b"P": position} if position else {})}
    return message(b"E", b"".join(code + _text(value) for code, value in fields.items()) + b"\0")


def formats(given: Sequence[int], count: int) -> list[int]:
    """Returns the format of each value (PostgreSQL documentation, 54.7, Bind).

    A client sends one format for all values, one for each, or none, which means text.

    Raises:
        ProtocolError: The client sent another number of formats.
    """
    if len(given) <= 1:
        return [given[0] if given else TEXT] * count
    if len(given) != count:
        raise ProtocolError(f"{len(given)} format codes for {count} values")
    return list(given)
