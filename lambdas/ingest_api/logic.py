"""From an HTTP request to the Kinesis records of its events: pure, without I/O.

A request is taken whole or refused whole, with every reason. `data` of JSON goes on byte for byte as the client wrote it,
values of CSV as the texts that they are.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, NamedTuple

from ecommerce_events.callers import CORRECT, SEND, Caller
from ecommerce_events.contracts import BreaksContract, Contract, typed
from ecommerce_events.csv_records import NotCsv, read_csv
from ecommerce_events.envelope import NotAnEnvelope, problems_of, read_json
from ecommerce_events.recognition import is_meant_as_envelope, recognised_feed

EVENTS_MAX = 500  # PutRecords takes as many
RECORD_MAX_BYTES = 1024**2  # Kinesis, data and partition key together
ENVELOPE_KEYS = {"event_id", "feed", "schema_version", "event_version", "event_time", "sent_at", "data"}

_JSON_TYPE = re.compile(r"application/([a-z0-9.+-]+\+)?json", re.IGNORECASE)
_CSV_TYPE = re.compile(r"(text|application)/csv", re.IGNORECASE)
_PARAMETER = re.compile(r';\s*([a-z]+)\s*=\s*"?([^\s;"]+)', re.IGNORECASE)
# Names of charsets, as IANA registers them, to Python's; other codecs of Python's are no charsets.
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
_QUOTED = re.compile(r'"((?:[^"\\]|\\["\\])*)"')  # a string of RFC 9651, as the draft of the header wants it
_IDEMPOTENT = uuid.uuid5(uuid.NAMESPACE_URL, "urn:ecommerce-elt:idempotency-key")
# What typed() says of these rules has the value in it, for who mends the quarantine; an answer has none.
_WITHOUT_VALUE = {"ambiguous": "one reading: the comma is a thousands mark or a decimal mark"}
_scan = json.JSONDecoder().raw_decode


@dataclass(frozen=True)
class Event:
    """One event, ready for the stream."""

    event_id: str
    data: bytes
    partition_key: str


class Item(NamedTuple):
    """One event as the client sent it: its value, the text of that in JSON, and of CSV its line or what is wrong with it."""

    value: Any
    text: str
    line: int | None = None
    problem: str = ""


class Problem(NamedTuple):
    """What is wrong with one event, without its values, and the status of an answer that refuses it."""

    field: str
    rule: str
    expected: str = ""
    status: int = 400


@dataclass(frozen=True)
class Asked:
    """What a request says beside its body."""

    caller: Caller
    feed: str | None = None
    strict: bool = False
    idempotency_key: str | None = None


@dataclass(frozen=True)
class Taken:
    """The events of a request, in its order, with what the cleaning will reject of them and the lines that are no events."""

    events: list[Event]
    warnings: list[dict[str, Any]] = field(default_factory=list)
    left_out: list[dict[str, Any]] = field(default_factory=list)
    is_idempotent: bool = False


class Refused(Exception):  # noqa: N818
    """The request is not taken. Carries the status and the body of the answer; the message is for the log, too."""

    def __init__(self, status: int, message: str, errors: list[dict[str, Any]] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.body: dict[str, Any] = {"message": message} | ({"errors": errors} if errors else {})


def taken(
    request: Mapping[str, Any], caller: Caller, contracts: Mapping[str, Contract], now: datetime, max_bytes: int
) -> Taken:
    """Returns the events of an API Gateway event, payload format 2.0.

    Raises:
        Refused: 403 without the right; 415 for another content type; 413 for what is too large or too much; 400 for all else.
    """
    asked = asked_of(request, caller)
    body, is_csv = body_of(request, max_bytes)
    items, left_out = csv_items(body, asked.feed, contracts) if is_csv else (json_items(body), [])
    found = events_of(items, asked, contracts, now)
    lines = [{"line": line, "rule": rule} for line, rule in left_out]
    return Taken(found.events, found.warnings, lines, asked.idempotency_key is not None)


def _headers(request: Mapping[str, Any]) -> dict[str, str]:
    return {name.lower(): value for name, value in (request.get("headers") or {}).items()}


def asked_of(request: Mapping[str, Any], caller: Caller) -> Asked:
    """Returns what the request's query and headers ask for.

    Raises:
        Refused: the caller may not send, or `strict` or Idempotency-Key is not what it must be.
    """
    if lack := caller.lacks(SEND):
        raise Refused(403, lack)
    query = request.get("queryStringParameters") or {}
    strict = _TRUTH.get(query.get("strict", "false").lower())
    if strict is None:
        raise Refused(400, "strict: expected true or false")
    return Asked(caller, query.get("feed"), strict, _idempotency_key(_headers(request).get("idempotency-key")))


def _idempotency_key(text: str | None) -> str | None:
    """Returns the key in Idempotency-Key: a text in quotes, or as most clients send it without."""
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
        Refused: 415 for another content type or charset, 413 for more than `max_bytes`, 400 for what is not of its charset.
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
    """API Gateway reads text/* and application/json as UTF-8, whatever their charset, and replaces what is none by U+FFFD."""
    if charset != "utf-8" and not body.isascii():
        raise Refused(
            415,
            "charset: API Gateway hands text/csv on in UTF-8 alone. Send UTF-8, or the same bytes as application/csv "
            "with their charset",
        )
    if "\ufffd" in body and headers.get("content-length", str(len(raw))) != str(len(raw)):
        raise Refused(400, "the body is not UTF-8")


def json_items(text: str) -> list[Item]:
    """Returns the events of a JSON body: one object, or an array of 1 to EVENTS_MAX.

    Raises:
        Refused: no JSON, none or too many.
    """
    try:
        body = read_json(text)
    except NotAnEnvelope as error:
        raise Refused(400, f"the body: {error}") from error
    items = list(map(Item, body, _array(text))) if isinstance(body, list) else [Item(body, text)]
    _check_count(len(items), "the body: an array of 1 to 500 events, found none")
    return items


def csv_items(
    text: str, feed: str | None, contracts: Mapping[str, Contract]
) -> tuple[list[Item], list[tuple[int, str]]]:
    """Returns the records of a CSV body, 1 to EVENTS_MAX, and the lines that are none, with the reason.

    Raises:
        Refused: no CSV, a header that names no column of the feed, none or too many rows.
    """
    try:
        table = read_csv(text)
    except NotCsv as error:
        raise Refused(400, f"the body: {error}") from error
    contract = contracts.get(feed) if feed is not None else None
    if contract and not set(table.header) & set(contract["known_keys"]):
        known = ", ".join(column["headers"][0] for column in contract["columns"])
        raise Refused(
            400, f"the body: the first row is no header of the feed {contract['feed']}; expected some of {known}"
        )
    _check_count(len(table.rows), "the body: a header row and 1 to 500 rows, found no row")
    items = [Item(row.record, json.dumps(row.record, ensure_ascii=False), row.line, row.problem) for row in table.rows]
    return items, table.left_out


def _check_count(count: int, none: str) -> None:
    if not count:
        raise Refused(400, none)
    if count > EVENTS_MAX:
        raise Refused(413, f"{count:,} events; at most {EVENTS_MAX} are taken in one request")


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


def events_of(items: Sequence[Item], asked: Asked, contracts: Mapping[str, Contract], now: datetime) -> Taken:
    """Returns the events, in their order, with what the cleaning will reject of them.

    Args:
        items: with `asked.feed` each is a record of that feed; without, each is an envelope with at least feed and data, or
            a record whose keys fit one contract.
        contracts: by feed.
        now: becomes sent_at where the client gives none.

    Raises:
        Refused: with the index, field and rule of every error: 403 where one is a correction by who may not correct, else 413
            for too large events, else 400.
    """
    errors: list[dict[str, Any]] = []
    warnings: list[dict[str, Any]] = []
    events: list[Event] = []
    statuses: set[int] = set()
    sent_at = now.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    first_use: dict[str, int] = {}
    for index, item in enumerate(items):
        problems, broken, event = _event(index, item, asked, contracts, sent_at)
        if event:
            if event.event_id in first_use:
                rule = f"expected an id of its own; index {first_use[event.event_id]} has the same"
                problems.append(Problem("event_id", rule))
            first_use.setdefault(event.event_id, index)
            if len(event.data) + len(event.partition_key) > RECORD_MAX_BYTES:
                rule = f"with its envelope: expected at most {RECORD_MAX_BYTES:,} bytes, found {len(event.data):,}"
                problems.append(Problem("data", rule, status=413))
            events.append(event)
        if asked.strict:
            problems += broken
        statuses.update(problem.status for problem in problems)
        errors += [_told(index, item, problem) for problem in problems]
        warnings += [_told(index, item, problem) for problem in broken]
    if errors:
        wrong = len({error["index"] for error in errors})
        status = next(status for status in (403, 413, 400) if status in statuses)
        why = f"; {asked.caller.lacks(CORRECT)}" if status == 403 else ""
        raise Refused(status, f"nothing was accepted: {wrong} of {len(items)} events are wrong{why}", errors)
    return Taken(events, warnings)


def _told(index: int, item: Item, problem: Problem) -> dict[str, Any]:
    place = {"index": index} if item.line is None else {"index": index, "line": item.line}
    expected = {"expected": problem.expected} if problem.expected else {}
    return {**place, "field": problem.field, "rule": problem.rule, **expected}


def _event(
    index: int, item: Item, asked: Asked, contracts: Mapping[str, Contract], sent_at: str
) -> tuple[list[Problem], list[Problem], Event | None]:
    """Returns (what is wrong, how the event breaks its contract, the event where nothing is wrong)."""
    value, data_text = item.value, item.text.strip(" \t\r\n")
    if item.problem:
        return [Problem("", item.problem)], [], None
    if not isinstance(value, dict):
        return [Problem("", f"expected a JSON object, found {_kind(value)}")], [], None
    if asked.feed is not None:
        record = {"feed": asked.feed, "data": value}
    elif is_meant_as_envelope(value, contracts):
        if missing := next((key for key in ("feed", "data") if key not in value), ""):
            return (
                [Problem(missing, "missing: an envelope has feed and data; ?feed= names that of bare records")],
                [],
                None,
            )
        record, data_text = value, _member(item.text, "data")
    else:
        try:
            record = {"feed": recognised_feed(value, contracts), "data": value}
        except NotAnEnvelope as error:
            return [Problem("", f"{error}. ?feed= names the feed of bare records")], [], None
    name = record["feed"]
    contract = contracts.get(name) if isinstance(name, str) else None
    # A key may name a person where a record is of one, and senders log the answer.
    is_shown = contract and all(column["privacy"] == "keep" for column in contract["columns"])
    problems = [
        Problem(unknown[:80] if is_shown else "", f"no key of the envelope; it has {', '.join(sorted(ENVELOPE_KEYS))}")
        for unknown in sorted(set(record) - ENVELOPE_KEYS)
    ]
    if not contract:
        problems.append(Problem("feed", f"expected one of {', '.join(contracts)}"))
    whole = {
        "event_id": _new_id(index, data_text, asked) if record.get("event_id") is None else record["event_id"],
        "feed": name,
        "schema_version": record.get("schema_version", contract["version"] if contract else 1),
        **({"event_version": record["event_version"]} if "event_version" in record else {}),
        "event_time": record.get("event_time"),
        "sent_at": record.get("sent_at", sent_at),
        "data": record["data"],
    }
    wrong = [Problem(*problem) for problem in problems_of(whole)]
    problems += [problem for problem in wrong if problem.field != "feed"]  # said above, with the feeds there are
    if (lack := asked.caller.lacks(CORRECT)) and _corrects(whole):
        problems.append(Problem("event_version", f"{lack}: expected 1, or none", status=403))
    if problems or not contract:
        return problems, [], None
    head = json.dumps({key: value for key, value in whole.items() if key != "data"}, ensure_ascii=False)
    line = f'{head[:-1]}, "data": {data_text}}}'
    event = Event(str(whole["event_id"]), line.encode("utf-8"), _partition_key(contract, whole))
    try:
        return [], _broken(contract, whole), event
    except RecursionError:  # what could only just be read
        return [Problem("data", "nested too deeply")], [], None


def _new_id(index: int, data_text: str, asked: Asked) -> str:
    """Returns an id of an event that has none: with Idempotency-Key the same one for the same caller, key, place and data.

    The data counts, so that another request under a key that was used before loses no event.
    """
    if asked.idempotency_key is None:
        return str(uuid.uuid4())
    data = sha256(data_text.encode("utf-8", "replace")).hexdigest()
    return str(uuid.uuid5(_IDEMPOTENT, f"{asked.caller.name}/{asked.idempotency_key}/{index}/{data}"))


def _corrects(envelope: Mapping[str, Any]) -> bool:
    version = envelope.get("event_version", 1)
    return isinstance(version, int) and version > 1


def _broken(contract: Contract, envelope: Mapping[str, Any]) -> list[Problem]:
    """Returns what the cleaning will reject, by the keys that the sender wrote."""
    try:
        typed(contract, envelope)
    except BreaksContract as error:
        return [
            Problem(_sent_as(column, contract, envelope), rule, _WITHOUT_VALUE.get(rule, expected))
            for column, rule, expected in error.reasons
        ]
    return []


def _sent_as(column: str, contract: Contract, envelope: Mapping[str, Any]) -> str:
    """Returns the key of the column in the event, or how it is best called where the event has none."""
    if column == contract["event_time"] and envelope["event_time"] is not None:
        return "event_time"
    headers = next((c["headers"] for c in contract["columns"] if c["name"] == column), [column])
    return str(next((header for header in headers if header in envelope["data"]), headers[0]))


def _partition_key(contract: Contract, envelope: Mapping[str, Any]) -> str:
    """The entity, so that its events stay in order; hashed, because an entity may be a person (as the producer does)."""
    [headers] = [c["headers"] for c in contract["columns"] if c["name"] == contract["partition_key"]]
    entity = next((envelope["data"][h] for h in headers if h in envelope["data"]), envelope["event_id"])
    return sha256(str(entity).encode("utf-8", "replace")).hexdigest()[:32]


def _kind(value: Any) -> str:
    return {list: "an array", str: "a text", bool: "true or false", type(None): "null"}.get(type(value), "a number")
