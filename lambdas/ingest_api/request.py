"""The options of an HTTP request and the text of its body, or the reason why it is refused. Pure, without I/O."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ecommerce_events.callers import SEND, Caller

_JSON_TYPE = re.compile(r"application/([a-z0-9.+-]+\+)?json", re.IGNORECASE)
_CSV_TYPE = re.compile(r"(text|application)/csv", re.IGNORECASE)
_PARAMETER = re.compile(r';\s*([a-z]+)\s*=\s*"?([^\s;"]+)', re.IGNORECASE)
# IANA names of charsets and the matching Python codecs. Python also has codecs that are not charsets.
_CHARSETS = {
    "utf-8": "utf-8",
    "utf8": "utf-8",
    "us-ascii": "utf-8",
    "utf-16": "utf-16",
    "utf-16le": "utf-16-le",
    "utf-16be": "utf-16-be",
    "iso-8859-1": "latin-1",
    "iso-8859-15": "iso8859-15",
    "windows-1250": "cp1250",
    "windows-1252": "cp1252",
}
_TRUTH = {"true": True, "1": True, "": True, "false": False, "0": False}
_IDEMPOTENCY_KEY = re.compile(r"[\x20-\x7e]{1,255}")
_QUOTED = re.compile(r'"((?:[^"\\]|\\["\\])*)"')  # a string of RFC 9651, as the draft of the header requires


@dataclass(frozen=True)
class Asked:
    """The caller, query parameters and headers of a request."""

    caller: Caller
    feed: str | None = None
    strict: bool = False
    idempotency_key: str | None = None


class Refused(Exception):  # noqa: N818
    """The request is refused. It has the status and the body of the response; its message is also logged."""

    def __init__(self, status: int, message: str, errors: list[dict[str, Any]] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.body: dict[str, Any] = {"message": message} | ({"errors": errors} if errors else {})


def _headers(request: Mapping[str, Any]) -> dict[str, str]:
    return {name.lower(): value for name, value in (request.get("headers") or {}).items()}


def asked_of(request: Mapping[str, Any], caller: Caller) -> Asked:
    """Returns the options from the query and headers of the request.

    Raises:
        Refused: the caller may not send, or `strict` or Idempotency-Key is invalid.
    """
    if lack := caller.lacks(SEND):
        raise Refused(403, lack)
    query = request.get("queryStringParameters") or {}
    strict = _TRUTH.get(query.get("strict", "false").lower())
    if strict is None:
        raise Refused(400, "strict: expected true or false")
    return Asked(caller, query.get("feed"), strict, _idempotency_key(_headers(request).get("idempotency-key")))


def _idempotency_key(text: str | None) -> str | None:
    """Returns the key in Idempotency-Key, which has quotes in the draft; most clients send it without quotes."""
    if text is None:
        return None
    quoted = _QUOTED.fullmatch(text.strip())
    key = re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else text.strip()
    if not _IDEMPOTENCY_KEY.fullmatch(key):
        raise Refused(400, "Idempotency-Key: expected 1 to 255 printable ASCII characters")
    return key


def body_of(request: Mapping[str, Any], max_bytes: int) -> tuple[str, bool]:
    """Returns the text of the body, and whether it is CSV.

    Raises:
        Refused: 415 for an unsupported content type, charset or encoding, 413 for more than `max_bytes`, and 400 for a
            body that is not valid in its charset.
    """
    headers = _headers(request)
    content_type = headers.get("content-type", "").strip()
    kind = content_type.partition(";")[0].strip()
    parameters = {name.lower(): value.lower() for name, value in _PARAMETER.findall(content_type)}
    is_csv = bool(_CSV_TYPE.fullmatch(kind))
    charset = _CHARSETS.get(parameters.get("charset", "utf-8"))
    if not (is_csv and charset) and not (_JSON_TYPE.fullmatch(kind) and charset == "utf-8"):
        raise Refused(415, "Content-Type: expected application/json in UTF-8, or text/csv")
    if is_csv and parameters.get("header") == "absent":
        raise Refused(415, "text/csv: expected a header row, which names the columns; found header=absent")
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise Refused(415, "Content-Encoding: send the body unpacked")
    body = request.get("body") or ""
    packed = bool(request.get("isBase64Encoded"))
    try:
        raw = base64.b64decode(body) if packed else body.encode("utf-8")
        if len(raw) > max_bytes:
            raise Refused(413, f"the body has {len(raw):,} bytes; at most {max_bytes:,} are taken. Send fewer events")
        if not packed:
            _check_text(body, raw, headers, charset)
        return (raw.decode(charset) if packed and charset else body).removeprefix("\ufeff"), is_csv
    except (UnicodeError, binascii.Error) as error:
        raise Refused(400, f"the body is not {charset if is_csv else 'UTF-8'}") from error


def _check_text(body: str, raw: bytes, headers: Mapping[str, str], charset: str | None) -> None:
    """Raises Refused if API Gateway may have changed the body.

    API Gateway reads text/* and application/json as UTF-8, whatever their charset, and replaces invalid bytes by
    U+FFFD.
    """
    if charset != "utf-8" and not body.isascii():
        raise Refused(
            415,
            "charset: API Gateway hands text/csv on in UTF-8 alone. Send UTF-8, or the same bytes as application/csv "
            "with their charset",
        )
    if "\ufffd" in body and headers.get("content-length", str(len(raw))) != str(len(raw)):
        raise Refused(400, "the body is not UTF-8")
