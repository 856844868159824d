"""From an HTTP request to the Kinesis records of its events: pure, without I/O.

A request is taken whole or refused whole, with every reason. `data` goes on byte for byte as the client wrote it.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from ecommerce_events.contracts import Contract
from ecommerce_events.envelope import NotAnEnvelope, problems_of, read_json

EVENTS_MAX = 500  # PutRecords takes as many
RECORD_MAX_BYTES = 1024**2  # Kinesis, data and partition key together
ENVELOPE_KEYS = {"event_id", "feed", "schema_version", "event_version", "event_time", "sent_at", "data"}

_JSON_TYPE = re.compile(r"application/([a-z0-9.+-]+\+)?json(\s*;.*)?", re.IGNORECASE)
_CHARSET = re.compile(r";\s*charset\s*=\s*\"?([^\s;\"]+)", re.IGNORECASE)
_scan = json.JSONDecoder().raw_decode


@dataclass(frozen=True)
class Event:
    """One event, ready for the stream."""

    event_id: str
    data: bytes
    partition_key: str


class Refused(Exception):  # noqa: N818
    """The request is not taken. Carries the status and the body of the answer."""

    def __init__(self, status: int, message: str, errors: list[dict[str, Any]] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.body: dict[str, Any] = {"message": message} | ({"errors": errors} if errors else {})


def body_of(request: Mapping[str, Any], max_bytes: int) -> str:
    """Returns the text of the body of an API Gateway event, payload format 2.0.

    Raises:
        Refused: 415 for another content type, 413 for more than `max_bytes`, 400 for what is not UTF-8.
    """
    headers = {k.lower(): v for k, v in (request.get("headers") or {}).items()}
    content_type = headers.get("content-type", "").strip()
    charset = _CHARSET.search(content_type)
    if not _JSON_TYPE.fullmatch(content_type) or (charset and charset[1].lower() not in {"utf-8", "utf8"}):
        raise Refused(415, f"Content-Type: expected application/json in UTF-8, found {content_type[:80] or 'none'!r}")
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise Refused(415, "Content-Encoding: send the body unpacked")
    body = request.get("body") or ""
    try:
        raw = base64.b64decode(body) if request.get("isBase64Encoded") else body.encode("utf-8")
        if len(raw) > max_bytes:
            raise Refused(413, f"the body has {len(raw):,} bytes; at most {max_bytes:,} are taken. Send fewer events")
        return raw.decode("utf-8")
    except (UnicodeError, binascii.Error) as error:
        raise Refused(400, "the body is not UTF-8") from error


def _token(text: str, at: int) -> int:
    """Returns where the next token begins, at `at` or after the blanks there, in JSON that is known to be valid."""
    while text[at] in " \t\r\n":
        at += 1
    return at


def _array(text: str) -> list[str]:
    """Returns the text of each element of a JSON array that is known to be valid."""
    found = []
    at = _token(text, _token(text, 0) + 1)
    while text[at] != "]":
        _, end = _scan(text, at)
        found.append(text[at:end])
        at = _token(text, end)
        if text[at] == ",":
            at = _token(text, at + 1)
    return found


def _member(text: str, wanted: str) -> str:
    """Returns the text of one member's value of a JSON object that is known to be valid and to have it."""
    at = _token(text, _token(text, 0) + 1)
    while True:
        key, end = _scan(text, at)
        at = _token(text, _token(text, end) + 1)  # past the colon
        _, end = _scan(text, at)
        if key == wanted:
            return text[at:end]
        at = _token(text, _token(text, end) + 1)  # past the comma


def events_of(text: str, query: Mapping[str, str], contracts: Mapping[str, Contract], now: datetime) -> list[Event]:
    """Returns the events in a request's body, in its order.

    Args:
        text: the body: one event, or an array of 1 to EVENTS_MAX. With `?feed=F` each is a record of that feed;
            without, each is an envelope with at least feed and data.
        query: the query string.
        contracts: by feed.
        now: becomes sent_at where the client gives none.

    Raises:
        Refused: 400 with the index, field and rule of every error; 413 for too many or too large events.
    """
    try:
        body = read_json(text)
    except NotAnEnvelope as error:
        raise Refused(400, f"the body: {error}") from error
    items, texts = (body, _array(text)) if isinstance(body, list) else ([body], [text])
    if not items:
        raise Refused(400, "the body: an array of 1 to 500 events, found none")
    if len(items) > EVENTS_MAX:
        raise Refused(413, f"{len(items):,} events; at most {EVENTS_MAX} are taken in one request")
    errors: list[dict[str, Any]] = []
    events: list[Event] = []
    sent_at = now.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    first_use: dict[str, int] = {}
    too_large = False
    for index, (item, item_text) in enumerate(zip(items, texts, strict=True)):
        problems, event = _event(item, item_text, query.get("feed"), contracts, sent_at)
        if event:
            if event.event_id in first_use:
                problems.append(
                    ("event_id", f"expected an id of its own; index {first_use[event.event_id]} has the same")
                )
            first_use.setdefault(event.event_id, index)
            if len(event.data) + len(event.partition_key) > RECORD_MAX_BYTES:
                too_large = True
                found = f"{len(event.data):,}"
                problems.append(
                    ("data", f"with its envelope: expected at most {RECORD_MAX_BYTES:,} bytes, found {found}")
                )
            events.append(event)
        errors += [{"index": index, "field": field, "rule": rule} for field, rule in problems]
    if errors:
        wrong = len({error["index"] for error in errors})
        raise Refused(
            413 if too_large else 400, f"nothing was accepted: {wrong} of {len(items)} events are wrong", errors
        )
    return events


def _event(
    item: Any, text: str, feed: str | None, contracts: Mapping[str, Contract], sent_at: str
) -> tuple[list[tuple[str, str]], Event | None]:
    """Returns (what is wrong, the event where nothing is)."""
    if not isinstance(item, dict):
        return [("", f"expected a JSON object, found {_kind(item)}")], None
    record = {"feed": feed, "data": item} if feed is not None else item
    data_text = text.strip(" \t\r\n") if feed is not None else None
    if feed is None and ("feed" not in item or "data" not in item):
        missing = "feed" if "feed" not in item else "data"
        return [
            (missing, "missing: send an envelope with feed and data, or name the feed of a bare record as ?feed=")
        ], None
    problems: list[tuple[str, str]] = []
    for unknown in sorted(set(record) - ENVELOPE_KEYS):
        problems.append((unknown[:80], f"no key of the envelope; it has {', '.join(sorted(ENVELOPE_KEYS))}"))
    name = record["feed"]
    contract = contracts.get(name) if isinstance(name, str) else None
    if not contract:
        problems.append(("feed", f"expected one of {', '.join(contracts)}"))
    whole = {
        "event_id": str(uuid.uuid4()) if record.get("event_id") is None else record["event_id"],
        "feed": name,
        "schema_version": record.get("schema_version", contract["version"] if contract else 1),
        **({"event_version": record["event_version"]} if "event_version" in record else {}),
        "event_time": record.get("event_time"),
        "sent_at": record.get("sent_at", sent_at),
        "data": record["data"],
    }
    problems += [
        problem for problem in problems_of(whole) if problem[0] != "feed"
    ]  # said above, with the feeds there are
    if problems or not contract:
        return problems, None
    head = json.dumps({key: value for key, value in whole.items() if key != "data"}, ensure_ascii=False)
    if data_text is None:
        data_text = _member(text, "data")
    line = f'{head[:-1]}, "data": {data_text}}}'
    return [], Event(str(whole["event_id"]), line.encode("utf-8"), _partition_key(contract, whole))


def _partition_key(contract: Contract, envelope: Mapping[str, Any]) -> str:
    """The entity, so that its events stay in order; hashed, because an entity may be a person (as the producer does)."""
    [headers] = [c["headers"] for c in contract["columns"] if c["name"] == contract["partition_key"]]
    entity = next((envelope["data"][h] for h in headers if h in envelope["data"]), envelope["event_id"])
    return sha256(str(entity).encode("utf-8", "replace")).hexdigest()[:32]


def _kind(value: Any) -> str:
    return {list: "an array", str: "a text", bool: "true or false", type(None): "null"}.get(type(value), "a number")
