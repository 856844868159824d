"""Conversion of an HTTP request to the Kinesis records of its events. Pure, without I/O.

A request is accepted as a whole or refused as a whole, with all reasons. The `data` of a JSON event keeps the bytes
that the client wrote. Values of CSV stay texts.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, NamedTuple

from ecommerce_events.callers import CORRECT, Caller
from ecommerce_events.contracts import BreaksContract, Contract, typed
from ecommerce_events.envelope import NotAnEnvelope, problems_of
from ecommerce_events.recognition import is_meant_as_envelope, recognised_feed

from lambdas.ingest_api.items import Item, csv_items, json_items, member
from lambdas.ingest_api.request import Asked, Refused, asked_of, body_of

RECORD_MAX_BYTES = 1024**2  # Kinesis, data and partition key together
ENVELOPE_KEYS = {"event_id", "feed", "schema_version", "event_version", "event_time", "sent_at", "data"}
_IDEMPOTENT = uuid.uuid5(uuid.NAMESPACE_URL, "urn:ecommerce-elt:idempotency-key")
# For these rules, typed() quotes the value, which helps to repair the quarantine. A response must not contain values.
_WITHOUT_VALUE = {"ambiguous": "one reading: the comma is a thousands mark or a decimal mark"}


@dataclass(frozen=True)
class Event:
    """One event in the form of a Kinesis record."""

    event_id: str
    data: bytes
    partition_key: str


class Problem(NamedTuple):
    """One error of an event, without its values, and the HTTP status of a response that refuses it."""

    field: str
    rule: str
    expected: str = ""
    status: int = 400


@dataclass(frozen=True)
class Taken:
    """The accepted events of a request.

    Attributes:
        events: the events, in the order of the request.
        warnings: the broken rules for which the cleaning step will reject events.
        left_out: the skipped lines of a CSV body, with reasons.
        is_idempotent: whether the request has an Idempotency-Key.
    """

    events: list[Event]
    warnings: list[dict[str, Any]] = field(default_factory=list)
    left_out: list[dict[str, Any]] = field(default_factory=list)
    is_idempotent: bool = False


def taken(
    request: Mapping[str, Any], caller: Caller, contracts: Mapping[str, Contract], now: datetime, max_bytes: int
) -> Taken:
    """Returns the events of an API Gateway request in payload format 2.0.

    Raises:
        Refused: 403 if the caller lacks the right, 415 for an unsupported content type, 413 for a body that is too
            large, an event that is too large or too many events, and 400 for every other error.
    """
    asked = asked_of(request, caller)
    body, is_csv = body_of(request, max_bytes)
    items, left_out = csv_items(body, asked.feed, contracts) if is_csv else (json_items(body), [])
    found = events_of(items, asked, contracts, now)
    lines = [{"line": line, "rule": rule} for line, rule in left_out]
    return Taken(found.events, found.warnings, lines, asked.idempotency_key is not None)


def events_of(items: Sequence[Item], asked: Asked, contracts: Mapping[str, Contract], now: datetime) -> Taken:
    """Returns the events in order, with warnings for those that the cleaning step will reject.

    Args:
        items: if `asked.feed` is set, each item is a record of that feed. Otherwise, each item is an envelope with at
            least feed and data, or a bare record whose keys fit one contract.
        asked: the options of the request.
        contracts: the contracts by feed.
        now: the value of sent_at if the client sets none.

    Raises:
        Refused: at least one event is wrong. The response has the index, field and rule of every error. The status is
            403 if the caller may not correct and an event is a correction, else 413 if an event is too large, else 400.
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
    """Returns (errors of the event, contract rules that it breaks, the event or None if there are errors)."""
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
        record, data_text = value, member(item.text, "data")
    else:
        try:
            record = {"feed": recognised_feed(value, contracts), "data": value}
        except NotAnEnvelope as error:
            return [Problem("", f"{error}. ?feed= names the feed of bare records")], [], None
    name = record["feed"]
    contract = contracts.get(name) if isinstance(name, str) else None
    # In a feed with personal data, a key may name a person, and senders log the response.
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
    problems += [problem for problem in wrong if problem.field != "feed"]  # reported above, with the known feeds
    if (lack := asked.caller.lacks(CORRECT)) and _corrects(whole):
        problems.append(Problem("event_version", f"{lack}: expected 1, or none", status=403))
    if problems or not contract:
        return problems, [], None
    head = json.dumps({key: value for key, value in whole.items() if key != "data"}, ensure_ascii=False)
    line = f'{head[:-1]}, "data": {data_text}}}'
    event = Event(str(whole["event_id"]), line.encode("utf-8"), _partition_key(contract, whole))
    try:
        return [], _broken(contract, whole), event
    except RecursionError:  # the nesting was just shallow enough to be parsed
        return [Problem("data", "nested too deeply")], [], None


def _new_id(index: int, data_text: str, asked: Asked) -> str:
    """Returns an event_id for an event that has none.

    With an Idempotency-Key, the same caller, key, index and data give the same event_id. The data is included so that
    another request with a reused key loses no event.
    """
    if asked.idempotency_key is None:
        return str(uuid.uuid4())
    data = sha256(data_text.encode("utf-8", "replace")).hexdigest()
    return str(uuid.uuid5(_IDEMPOTENT, f"{asked.caller.name}/{asked.idempotency_key}/{index}/{data}"))


def _corrects(envelope: Mapping[str, Any]) -> bool:
    version = envelope.get("event_version", 1)
    return isinstance(version, int) and version > 1


def _broken(contract: Contract, envelope: Mapping[str, Any]) -> list[Problem]:
    """Returns the rules for which the cleaning step will reject the event, with the keys as the sender wrote them."""
    try:
        typed(contract, envelope)
    except BreaksContract as error:
        return [
            Problem(_sent_as(column, contract, envelope), rule, _WITHOUT_VALUE.get(rule, expected))
            for column, rule, expected in error.reasons
        ]
    return []


def _sent_as(column: str, contract: Contract, envelope: Mapping[str, Any]) -> str:
    """Returns the key of the column in the event, or the preferred key if the event has none."""
    if column == contract["event_time"] and envelope["event_time"] is not None:
        return "event_time"
    headers = next((c["headers"] for c in contract["columns"] if c["name"] == column), [column])
    return str(next((header for header in headers if header in envelope["data"]), headers[0]))


def _partition_key(contract: Contract, envelope: Mapping[str, Any]) -> str:
    """Returns the hash of the event's entity, so that the events of an entity stay in order.

    It is hashed because an entity may be a person. The producer does the same.
    """
    [headers] = [c["headers"] for c in contract["columns"] if c["name"] == contract["partition_key"]]
    entity = next((envelope["data"][h] for h in headers if h in envelope["data"]), envelope["event_id"])
    return sha256(str(entity).encode("utf-8", "replace")).hexdigest()[:32]


def _kind(value: Any) -> str:
    return {list: "an array", str: "a text", bool: "true or false", type(None): "null"}.get(type(value), "a number")
