"""From an event on the stream to a row of firehose_transactions: pure, without I/O."""

from __future__ import annotations

import base64
import json
from binascii import a2b_base64
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from ecommerce_events.contracts import BreaksContract, capitals, contracts, typed
from ecommerce_events.records import Part, Place, parts_of

FEED = "online_retail"
ANSWER_MAX_BYTES = 6_000_000  # Lambda takes 6,291,556 for an answer: Lambda quotas
RESULT_BYTES = 80  # of one record in the answer, beside its data and its id
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def row_of(envelope: Mapping[str, Any], arrived: float) -> bytes:
    """Returns the row of an invoice line, as a line of JSON.

    Raises:
        BreaksContract: says why the invoice line is no row.
    """
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


def transformed(record: Mapping[str, Any], payload: bytes) -> tuple[str, bytes]:
    """Returns (Ok, Dropped or ProcessingFailed; the data) of one record as Firehose hands it over.

    Ok with the rows of all good invoice lines, where there is one; else as `failure_of`.
    """
    arrived = record["approximateArrivalTimestamp"] / 1000
    parts = parts_of(payload, record, _place)
    rows: list[bytes] = []
    for part in parts:
        if part.envelope and part.envelope["feed"] == FEED:
            try:
                rows.append(row_of(part.envelope, arrived))
            except BreaksContract:
                continue  # without any row, the record fails; load_events counts the line and says why
    return ("Ok", b"".join(rows)) if rows else _failure(parts, payload)


def _failure(parts: Iterable[Part], payload: bytes) -> tuple[str, bytes]:
    """Returns ProcessingFailed with the payload where the record holds invoice lines and nothing else, else Dropped.

    Firehose keeps a failed record whole. What is no invoice line may hold personal data, which must not lie there, too;
    raw_writer keeps it.
    """
    if all(part.envelope and part.envelope["feed"] == FEED for part in parts):
        return "ProcessingFailed", payload
    return "Dropped", b""


def _place(record: Mapping[str, Any]) -> Place | None:
    """Returns where the record lies in the stream. Firehose takes aggregated records apart itself, and counts what is in them."""
    found = record.get("kinesisRecordMetadata")
    if not found:
        return None  # put to Firehose, not to a stream
    arrived = record["approximateArrivalTimestamp"] / 1000
    return Place(found["shardId"], found["sequenceNumber"], arrived, int(found["subsequenceNumber"] or 0))


def answer_of(records: Sequence[Mapping[str, Any]]) -> tuple[list[dict[str, str]], int]:
    """Returns (each record by recordId, with its result and data; how many fail because their rows do not fit).

    Only records that are packed hold so many. Firehose cannot take their rows; raw_writer keeps them all the same.
    """
    found: list[dict[str, str]] = []
    left = ANSWER_MAX_BYTES - sum(RESULT_BYTES + len(record["recordId"]) for record in records)
    unfit = 0
    for record in records:
        payload = a2b_base64(record["data"])
        result, data = transformed(record, payload)
        packed = base64.b64encode(data).decode()
        if len(packed) > left:
            unfit += 1
            result, packed = _failure(parts_of(payload, record, _place), payload)[0], ""
        left -= len(packed)
        found.append({"recordId": record["recordId"], "result": result, "data": packed})
    return found, unfit
