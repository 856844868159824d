"""The events in the text of a body, as the client wrote them. Pure, without I/O."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from ecommerce_events.contracts import Contract
from ecommerce_events.csv_records import NotCsv, read_csv
from ecommerce_events.envelope import NotAnEnvelope, read_json

from lambdas.ingest_api.request import Refused

EVENTS_MAX = 500  # the limit of PutRecords
_scan = json.JSONDecoder().raw_decode


class Item(NamedTuple):
    """One event as the client sent it.

    Attributes:
        value: the parsed value.
        text: the value as JSON text.
        line: the line in a CSV body; None for JSON.
        problem: why a CSV row is not a record; otherwise empty.
    """

    value: Any
    text: str
    line: int | None = None
    problem: str = ""


def json_items(text: str) -> list[Item]:
    """Returns the events of a JSON body: one object, or an array of 1 to EVENTS_MAX.

    Raises:
        Refused: the body is not JSON, or has no event or too many.
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
    """Returns the records of a CSV body, 1 to EVENTS_MAX, and the skipped lines with their reasons.

    Raises:
        Refused: the body is not CSV, its header names no column of the feed, or it has no row or too many.
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
    """Returns the start of the next token, at `at` or after the blanks there. The JSON text must be valid."""
    while text[at] in " \t\r\n":
        at += 1
    return at


def _array(text: str) -> list[str]:
    """Returns the text of each element of a JSON array, which must be valid."""
    found = []
    at = _token(text, _token(text, 0) + 1)
    while text[at] != "]":
        _, end = _scan(text, at)
        found.append(text[at:end])
        at = _token(text, end)
        if text[at] == ",":
            at = _token(text, at + 1)
    return found


def member(text: str, wanted: str) -> str:
    """Returns the text of a member's value in a JSON object, which must be valid and have that member."""
    at = _token(text, _token(text, 0) + 1)
    while True:
        key, end = _scan(text, at)
        at = _token(text, _token(text, end) + 1)  # past the colon
        _, end = _scan(text, at)
        if key == wanted:
            return text[at:end]
        at = _token(text, _token(text, end) + 1)  # past the comma
