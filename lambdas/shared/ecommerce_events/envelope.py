"""The envelope of an event and its strict reader. An envelope that passes can be stored in raw/ and read again."""

from __future__ import annotations

import json
import re
from typing import Any

FEED = re.compile(r"[a-z][a-z0-9_]{0,62}")
EVENT_ID_MAX_BYTES = 128  # staging and core keep it in a VARCHAR(128)
VERSION_MAX = 2**31 - 1
RECORD_INDEX = "record_index"  # position of the event in its Kinesis record, set if it is not the first


class NotAnEnvelope(ValueError):  # noqa: N818  # names the state of the record, not a failure of this code
    """The record is not an envelope. The message is the reason, without the record's content."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise NotAnEnvelope("a JSON object has a key twice")
    return found


def _no_constant(name: str) -> None:
    raise NotAnEnvelope(f"{name} is no JSON")


_decoder = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant)


def read_json(text: str) -> Any:
    """Returns the value of a JSON text.

    Raises:
        NotAnEnvelope: the text is not JSON, or it is JSON that readers treat differently: a duplicate key, NaN or
            Infinity, or half of a surrogate pair.
    """
    try:
        value = _decoder.decode(text)
    except (ValueError, RecursionError) as error:
        raise _refusal(error) from error
    if "\\u" in text:
        _check_surrogates(value)
    return value


def scan_json(text: str, at: int) -> tuple[Any, int]:
    """Returns the JSON value that begins at `at`, and its end.

    Raises:
        NotAnEnvelope: for the same reasons as `read_json`.
    """
    try:
        value, end = _decoder.raw_decode(text, at)
    except (ValueError, RecursionError) as error:
        raise _refusal(error) from error
    if text.find("\\u", at, end) >= 0:
        _check_surrogates(value)
    return value, end


def _refusal(error: Exception) -> NotAnEnvelope:
    if isinstance(error, NotAnEnvelope):
        return error
    if isinstance(error, json.JSONDecodeError):
        return NotAnEnvelope(f"not JSON: {error.msg} at character {error.pos}")
    return NotAnEnvelope(f"not JSON that can be read: {error}")  # nested too deeply, or a number of thousands of digits


def _check_surrogates(value: Any) -> None:
    """Raises NotAnEnvelope if the value has a lone surrogate.

    JSON allows a lone surrogate as an escape, but it is not a character, and the engines that read raw/ would reject
    the whole object.
    """
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError as error:
        raise NotAnEnvelope("a \\u escape is half of a surrogate pair") from error


def read_envelope(payload: bytes) -> dict[str, Any]:
    """Returns the envelope in the data of a Kinesis record.

    Its keys are event_id, feed, schema_version, event_time, sent_at and data. An event that is not of version 1 also
    has event_version. An event replaces an earlier one that has the same event_id and a lower event_version.

    Raises:
        NotAnEnvelope: the message names the wrong key and what was expected.
    """
    try:
        text = payload.decode("utf-8")
    except UnicodeDecodeError as error:
        raise NotAnEnvelope(f"not UTF-8 at byte {error.start}") from error
    record = read_json(text)
    if not isinstance(record, dict):
        raise NotAnEnvelope(f"expected a JSON object, found {type(record).__name__}")
    for problem in problems_of(record):
        raise NotAnEnvelope(": ".join(problem))
    return record


def problems_of(record: dict[str, Any]) -> list[tuple[str, str]]:
    """Returns (key, expectation) for each key of the envelope that is wrong."""
    found = []
    event_id, feed = record.get("event_id"), record.get("feed")
    version, event_version = record.get("schema_version"), record.get("event_version", 1)
    event_time = record.get("event_time")
    if not isinstance(event_id, str) or not 1 <= _bytes_of(event_id) <= EVENT_ID_MAX_BYTES:
        found.append(("event_id", f"expected a text of 1 to {EVENT_ID_MAX_BYTES} bytes"))
    if not isinstance(feed, str) or not FEED.fullmatch(feed):
        found.append(("feed", "expected lower-case letters, digits and underscores, at most 63"))
    if type(version) is not int or not 1 <= version <= VERSION_MAX:
        found.append(("schema_version", "expected a whole number from 1"))
    if type(event_version) is not int or not 1 <= event_version <= VERSION_MAX:
        found.append(("event_version", "expected a whole number from 1"))
    if event_time is not None and not isinstance(event_time, str):
        found.append(("event_time", "expected an ISO 8601 time as text, or null"))
    if not isinstance(record.get("sent_at"), str):
        found.append(("sent_at", "expected an ISO 8601 time as text"))
    if not isinstance(record.get("data"), dict):
        found.append(("data", "expected a JSON object"))
    if RECORD_INDEX in record:
        found.append((RECORD_INDEX, "expected none: raw_writer counts the events of a record with it"))
    return found


def _bytes_of(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
