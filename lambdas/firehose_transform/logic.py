"""From an event on the stream to a row of firehose_transactions: pure, without I/O."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from ecommerce_events.contracts import BreaksContract, capitals, contracts, typed
from ecommerce_events.envelope import NotAnEnvelope, read_envelope

FEED = "online_retail"
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def row_of(payload: bytes, arrived: float) -> bytes | None:
    """Returns the row as a line of JSON, or None for what is no invoice line.

    Raises:
        BreaksContract: says why the invoice line is no row.
    """
    try:
        envelope = read_envelope(payload)
    except NotAnEnvelope:
        return None  # kept by raw_writer; it may be of a feed with personal data, which must not lie here too
    if envelope["feed"] != FEED:
        return None
    values = typed(contracts()[FEED], envelope)
    row = {
        "event_id": envelope["event_id"],
        "event_version": envelope.get("event_version", 1),
        "InvoiceNo": values["invoice_no"],
        "StockCode": capitals(values["stock_code"]),
        "Description": values["description"],
        "Quantity": values["quantity"],
        "InvoiceDate": _text(values["invoice_date"]),
        "UnitPrice": str(values["unit_price"]),
        "CustomerID": values["customer_id"],
        "Country": values["country"],
        "arrival_time": _text(datetime.fromtimestamp(arrived, UTC)),
    }
    return _encode(row).encode("utf-8") + b"\n"


def _text(moment: datetime) -> str:
    return moment.isoformat(" ", "microseconds")[:26]  # without the zone, which is UTC


def transformed(record: dict[str, Any], payload: bytes) -> tuple[str, bytes]:
    """Returns (Ok, Dropped or ProcessingFailed; the data) of one record as Firehose hands it over."""
    try:
        row = row_of(payload, record["approximateArrivalTimestamp"] / 1000)
    except BreaksContract:
        return "ProcessingFailed", payload
    return ("Dropped", b"") if row is None else ("Ok", row)
