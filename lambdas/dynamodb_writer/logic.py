"""From invoice lines to the items of the tables `invoices` and `customers`: pure, without I/O.

An item keeps its lines apart by event id, so a line that comes again changes nothing, and the totals are sums over the
lines that an item got. Each write names the number of lines it was computed from; see docs/adr/0009.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from ecommerce_events.contracts import BreaksContract, capitals, contracts, typed
from ecommerce_events.envelope import NotAnEnvelope, read_envelope

FEED = "online_retail"
UNKNOWN = "unknown"  # the warehouse's name for a customer whom the shop did not know
INVOICES, CUSTOMERS = "invoices", "customers"
KEYS = {INVOICES: ("InvoiceNo", "StockCode"), CUSTOMERS: ("CustomerID", "InvoiceNo")}

Key = tuple[str, str, str]  # table, partition key, sort key
Item = Mapping[str, Any]  # in DynamoDB's JSON: {"Quantity": {"N": "6"}, ...}


@dataclass(frozen=True)
class Line:
    """One invoice line, typed."""

    event_id: str
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
    """One item to put, if it still has the number of lines from which it was computed; 0 where there was none."""

    key: Key
    item: Item
    lines_before: int


def line_of(record: Mapping[str, Any]) -> Line | None:
    """Returns the invoice line in a Kinesis record, or None for an event of another feed.

    Raises:
        NotAnEnvelope, BreaksContract: say why the event is no invoice line.
    """
    kinesis = record["kinesis"]
    envelope = read_envelope(base64.b64decode(kinesis["data"]))
    if envelope["feed"] != FEED:
        return None
    values = typed(contracts()[FEED], envelope)
    return Line(
        event_id=envelope["event_id"],
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
    )


def lines_of(records: Iterable[Mapping[str, Any]]) -> tuple[list[Line], int]:
    """Returns (the invoice lines, each event id once; how many records break their contract or are no envelope).

    What is no good line is not an error here: raw_writer keeps every record, and load_events quarantines it with reasons.
    """
    found: dict[str, Line] = {}
    rejected = 0
    for record in records:
        try:
            line = line_of(record)
        except (NotAnEnvelope, BreaksContract):
            rejected += 1
            continue
        if line:
            found.setdefault(line.event_id, line)
    return list(found.values()), rejected


def writes_of(lines: Iterable[Line], existing: Mapping[Key, Item], retention_days: int) -> list[Write]:
    """Returns the puts for those lines that are new: their items, then the summaries of their customers.

    Args:
        lines: each event id once.
        existing: the items as they are, by key, of all keys that the lines have.
        retention_days: after which DynamoDB may delete an item that got no new line; 0 keeps it.
    """
    fresh = [line for line in lines if line.event_id not in existing.get(line.item, {}).get("Lines", {}).get("M", {})]
    by_key: dict[Key, list[Line]] = {}
    for line in fresh:
        by_key.setdefault(line.item, []).append(line)
    for line in fresh:
        by_key.setdefault(line.summary, []).append(line)
    return [_write(key, new, existing.get(key, {}), retention_days) for key, new in by_key.items()]


def _write(key: Key, new: list[Line], old: Item, retention_days: int) -> Write:
    table, partition, sort = key
    before = int(old["LineCount"]["N"]) if old else 0
    # What describes an item comes from its earliest line, so that the order of arrival does not matter.
    first = min(new, key=_order)
    old_first = old["FirstLine"]["S"] if old else None
    describes = old_first is None or " ".join(_order(first)) < old_first
    item: dict[str, Any] = {
        KEYS[table][0]: {"S": partition},
        KEYS[table][1]: {"S": sort},
        "InvoiceDate": {"S": first.invoice_date} if describes else old["InvoiceDate"],
        "Country": {"S": first.country} if describes else old["Country"],
        "Quantity": {"N": str(sum((line.quantity for line in new), int(old["Quantity"]["N"]) if old else 0))},
        "Total": {"N": _number(sum((line.amount for line in new), Decimal(old["Total"]["N"]) if old else Decimal(0)))},
        "LineCount": {"N": str(before + len(new))},
        "FirstLine": {"S": " ".join(_order(first))} if describes else old["FirstLine"],
    }
    if table == INVOICES:
        item["Description"] = _optional(first.description) if describes else old["Description"]
        item["UnitPrice"] = {"N": _number(first.unit_price)} if describes else old["UnitPrice"]
        item["CustomerID"] = {"S": first.customer_id} if describes else old["CustomerID"]
        item["Lines"] = {"M": {**old.get("Lines", {}).get("M", {}), **{line.event_id: _kept(line) for line in new}}}
    if retention_days:
        ends = datetime.fromtimestamp(max(line.arrived for line in new), UTC) + timedelta(days=retention_days)
        expires = max(int(ends.timestamp()), int(old.get("ExpiresAt", {"N": "0"})["N"]))
        item["ExpiresAt"] = {"N": str(expires)}
    return Write(key, item, before)


def _order(line: Line) -> tuple[str, str]:
    return line.invoice_date, line.event_id


def _kept(line: Line) -> dict[str, str]:
    """The line as JSON text: nobody asks DynamoDB for a part of it, and as a map it would double the attributes."""
    kept = {
        "description": line.description,
        "quantity": line.quantity,
        "unit_price": _number(line.unit_price),
        "customer_id": line.customer_id,
        "invoice_date": line.invoice_date,
        "country": line.country,
    }
    return {"S": json.dumps(kept, ensure_ascii=False, separators=(",", ":"))}


def _optional(text: str | None) -> dict[str, Any]:
    return {"NULL": True} if text is None else {"S": text}


def _number(value: Decimal) -> str:
    """Without an exponent and without trailing zeros, as DynamoDB gives numbers back."""
    return format(value.normalize() + 0, "f")
