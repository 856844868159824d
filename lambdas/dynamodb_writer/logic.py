"""Conversion of invoice lines to items of the tables `invoices` and `customers`. Pure, without I/O.

An item stores its lines by event id, so a line that arrives twice changes nothing. The totals are sums over the lines
of an item. Each write carries the line count that it was computed from; see docs/adr/0009.
"""

from __future__ import annotations

import json
from binascii import a2b_base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from ecommerce_events.contracts import BreaksContract, capitals, contracts, typed
from ecommerce_events.records import parts_of

FEED = "online_retail"
UNKNOWN = "unknown"  # the warehouse's value for a customer that the shop did not identify
INVOICES, CUSTOMERS = "invoices", "customers"
WITHDRAWN = "withdrawn"  # key next to `kinesis` in a record of load_history, and in the tombstone of a line in an item
KEYS = {INVOICES: ("InvoiceNo", "StockCode"), CUSTOMERS: ("CustomerID", "InvoiceNo")}

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode

Key = tuple[str, str, str]  # table, partition key, sort key
Item = Mapping[str, Any]  # in DynamoDB's JSON: {"Quantity": {"N": "6"}, ...}


@dataclass(frozen=True)
class Line:
    """One invoice line with typed values."""

    event_id: str
    version: int
    sequence_number: str
    arrived: float
    invoice_no: str
    stock_code: str
    description: str | None
    quantity: int
    unit_price: Decimal
    customer_id: str
    invoice_date: str  # ISO 8601, UTC
    country: str
    is_withdrawn: bool = False  # the line removes the event from its item

    @property
    def amount(self) -> Decimal:
        return self.quantity * self.unit_price

    @property
    def item(self) -> Key:
        return (INVOICES, self.invoice_no, self.stock_code)

    @property
    def summary(self) -> Key:
        return (CUSTOMERS, self.customer_id, self.invoice_no)


@dataclass(frozen=True)
class Write:
    """One item to put, on condition that no other writer has changed it since it was read.

    Attributes:
        lines_before: line count of the item before the write; 0 if there was no item.
        corrections_before: number of corrections and withdrawals in the item before the write. The two counts together
            never return to an earlier state.
    """

    key: Key
    item: Item
    lines_before: int
    corrections_before: int


def line_of(envelope: Mapping[str, Any], kinesis: Mapping[str, Any], *, is_withdrawn: bool = False) -> Line:
    """Returns the invoice line in an envelope of FEED that arrived in a Kinesis record.

    Args:
        envelope: the envelope of the event.
        kinesis: the `kinesis` part of the record.
        is_withdrawn: whether the event has been withdrawn. Only records of load_history set it, never records of the
            stream.

    Raises:
        BreaksContract: the event is not a valid invoice line; the exception has the reasons.
    """
    values = typed(contracts()[FEED], envelope)
    return Line(
        event_id=envelope["event_id"],
        version=envelope.get("event_version", 1),
        sequence_number=kinesis["sequenceNumber"],
        arrived=kinesis["approximateArrivalTimestamp"],
        invoice_no=values["invoice_no"],
        stock_code=capitals(values["stock_code"]),
        description=values["description"],
        quantity=values["quantity"],
        unit_price=values["unit_price"],
        customer_id=values["customer_id"] or UNKNOWN,
        invoice_date=values["invoice_date"].isoformat().replace("+00:00", "Z"),
        country=values["country"],
        is_withdrawn=is_withdrawn,
    )


def lines_of(records: Iterable[Mapping[str, Any]]) -> tuple[list[Line], int]:
    """Returns the valid invoice lines of the records, and the number of rejected parts.

    Each event id occurs once among the lines, in its highest version. A part is rejected if it is not an event, or if
    it is an invoice line that breaks its contract. A rejected part is not an error here: raw_writer stores every
    record, and load_events quarantines such a part with its reasons.
    """
    found: dict[str, Line] = {}
    rejected = 0
    for record in records:
        kinesis = record["kinesis"]
        for part in parts_of(a2b_base64(kinesis["data"]), record):
            if not part.envelope:
                rejected += 1
                continue
            if part.envelope["feed"] != FEED:
                continue
            try:
                line = line_of(part.envelope, kinesis, is_withdrawn=record.get(WITHDRAWN) is True)
            except BreaksContract:
                rejected += 1
                continue
            if line.event_id not in found or found[line.event_id].version < line.version:
                found[line.event_id] = line
    return list(found.values()), rejected


@dataclass(frozen=True)
class _Replaced:
    """The stored values of a line that a higher version replaces."""

    event_id: str
    quantity: int
    amount: Decimal
    customer_id: str


def _kept_version(event_id: str, item: Item) -> int:
    """Returns the version of the event's line in the item, or 0 if the item has no line of the event."""
    kept = item.get("Lines", {}).get("M", {}).get(event_id)
    return json.loads(kept["S"]).get("event_version", 1) if kept else 0


def _replaced(line: Line, existing: Mapping[Key, Item]) -> _Replaced | None:
    item = existing.get(line.item, {})
    if not 0 < _kept_version(line.event_id, item) < line.version:
        return None
    kept = json.loads(item["Lines"]["M"][line.event_id]["S"])
    if WITHDRAWN in kept:
        return None  # a tombstone is part of no total
    amount = kept["quantity"] * Decimal(kept["unit_price"])
    return _Replaced(line.event_id, kept["quantity"], amount, kept["customer_id"])


def summaries_left(lines: Iterable[Line], existing: Mapping[Key, Item]) -> set[Key]:
    """Returns the keys of summaries that counted the previous version of a line, under another customer than now."""
    found = ((line, _replaced(line, existing)) for line in lines)
    keys = {(CUSTOMERS, old.customer_id, line.invoice_no) for line, old in found if old}
    return keys - {line.summary for line in lines}


def writes_of(lines: Iterable[Line], existing: Mapping[Key, Item], retention_days: int) -> list[Write]:
    """Returns the writes for the lines that are new, correct a line or withdraw one.

    The writes of the invoice items come first, then those of the customer summaries. A correction finds the line that
    it replaces by invoice and stock code, so it must not change these.

    Args:
        lines: the lines; each event id occurs once.
        existing: the current items by key, for all keys of the lines and of their previous versions (`summaries_left`).
        retention_days: number of days after which DynamoDB may delete an item that received no new line; 0 keeps items.
    """
    fresh = [line for line in lines if _kept_version(line.event_id, existing.get(line.item, {})) < line.version]
    replaced = {line.event_id: old for line in fresh if (old := _replaced(line, existing))}
    by_key: dict[Key, tuple[list[Line], list[_Replaced]]] = {}

    def change(key: Key, new: Line | None, old: _Replaced | None) -> None:
        news, olds = by_key.setdefault(key, ([], []))
        news += [new] if new else []
        olds += [old] if old else []

    for line in fresh:
        change(line.item, line, replaced.get(line.event_id))
    for line in fresh:
        old = replaced.get(line.event_id)
        stays = old is not None and old.customer_id == line.customer_id and not line.is_withdrawn
        if not line.is_withdrawn:
            change(line.summary, line, old if stays else None)
        if old and not stays:
            change((CUSTOMERS, old.customer_id, line.invoice_no), None, old)
    return [_write(key, new, old, existing.get(key, {}), retention_days) for key, (new, old) in by_key.items()]


def _write(key: Key, lines: list[Line], replaced: list[_Replaced], old: Item, retention_days: int) -> Write:
    table, partition, sort = key
    new = [line for line in lines if not line.is_withdrawn]
    # The withdrawal of a line that has not arrived yet is a change, too, because the item stores its tombstone.
    changes = len(replaced) + sum(
        line.is_withdrawn and line.event_id not in {r.event_id for r in replaced} for line in lines
    )
    before = int(old["LineCount"]["N"]) if old else 0
    corrections = int(old.get("Corrections", {"N": "0"})["N"])
    # A summary whose last line moved to another customer stays, without lines, until it expires. If it were deleted and
    # created again, another writer could take it for the summary that it had read.
    count = before + len(new) - len(replaced)
    quantity = int(old["Quantity"]["N"]) if old else 0
    total = Decimal(old["Total"]["N"]) if old else Decimal(0)
    item: dict[str, Any] = {
        KEYS[table][0]: {"S": partition},
        KEYS[table][1]: {"S": sort},
        "Quantity": {"N": str(quantity + sum(line.quantity for line in new) - sum(r.quantity for r in replaced))},
        "Total": {"N": _number(total + sum(line.amount for line in new) - sum(r.amount for r in replaced))},
        "LineCount": {"N": str(count)},
        **_described(table, new, replaced, old if before else {}, old or _described(table, lines, [], {}, {})),
    }
    if corrections + changes:
        item["Corrections"] = {"N": str(corrections + changes)}
    if table == INVOICES:
        item["Lines"] = {"M": {**old.get("Lines", {}).get("M", {}), **{line.event_id: _kept(line) for line in lines}}}
    if retention_days and lines:
        ends = datetime.fromtimestamp(max(line.arrived for line in lines), UTC) + timedelta(days=retention_days)
        expires = max(int(ends.timestamp()), int(old.get("ExpiresAt", {"N": "0"})["N"]))
        item["ExpiresAt"] = {"N": str(expires)}
    elif "ExpiresAt" in old:
        item["ExpiresAt"] = old["ExpiresAt"]
    return Write(key, item, before, corrections)


def _described(table: str, new: list[Line], replaced: list[_Replaced], old: Item, otherwise: Item) -> dict[str, Any]:
    """Returns the descriptive attributes of an item.

    They come from its earliest line, so that the order of arrival does not matter. A summary stores no lines: if its
    earliest line was replaced, the earliest new line describes it. If there is no line to use, the attributes are those
    of `old`, or of `otherwise` if `old` is empty.
    """
    was = old["FirstLine"]["S"] if old else None
    gone = {line.event_id for line in replaced}
    others: list[tuple[tuple[str, str], dict[str, Any]]] = []
    if was is not None and was.partition(" ")[2] in gone:
        was = None
        if table == INVOICES:
            kept = {event: json.loads(value["S"]) for event, value in old["Lines"]["M"].items() if event not in gone}
            others = [((line["invoice_date"], event), line) for event, line in kept.items() if WITHDRAWN not in line]
    first = min(new, key=_order, default=None)
    names = [
        "InvoiceDate",
        "Country",
        "FirstLine",
        *(["Description", "UnitPrice", "CustomerID"] if table == INVOICES else []),
    ]
    if others and (first is None or min(others)[0] < _order(first)):
        order, line = min(others)
        values = [
            {"S": line["invoice_date"]},
            {"S": line["country"]},
            {"S": " ".join(order)},
            _optional(line["description"]),
            {"N": line["unit_price"]},
            {"S": line["customer_id"]},
        ]
    elif first is None or (was is not None and was <= " ".join(_order(first))):
        return {name: (old or otherwise)[name] for name in names}
    else:
        values = [
            {"S": first.invoice_date},
            {"S": first.country},
            {"S": " ".join(_order(first))},
            _optional(first.description),
            {"N": _number(first.unit_price)},
            {"S": first.customer_id},
        ]
    return dict(zip(names, values, strict=False))


def _order(line: Line) -> tuple[str, str]:
    return line.invoice_date, line.event_id


def _kept(line: Line) -> dict[str, str]:
    """Returns the line as JSON text in DynamoDB's form.

    It is text because nobody queries a part of a line, and a map would double the number of attributes. For a withdrawn
    line, only a tombstone with the version is stored. Only a higher version restores the line.
    """
    if line.is_withdrawn:
        return {"S": _encode({WITHDRAWN: True, "event_version": line.version})}
    kept = {
        "description": line.description,
        "quantity": line.quantity,
        "unit_price": _number(line.unit_price),
        "customer_id": line.customer_id,
        "invoice_date": line.invoice_date,
        "country": line.country,
        **({"event_version": line.version} if line.version > 1 else {}),
    }
    return {"S": _encode(kept)}


def _optional(text: str | None) -> dict[str, Any]:
    return {"NULL": True} if text is None else {"S": text}


def _number(value: Decimal) -> str:
    """Returns the number without an exponent and without trailing zeros, as DynamoDB returns numbers."""
    return format(value.normalize() + 0, "f")
