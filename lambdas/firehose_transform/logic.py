"""Conversion of an event on the stream to a row of firehose_transactions. Pure, without I/O."""

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
ANSWER_MAX_BYTES = 6_000_000  # Lambda's limit for a response is 6,291,556: Lambda quotas
RESULT_BYTES = 80  # size of one record in the response, without its data and its id
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def row_of(envelope: Mapping[str, Any], arrived: float) -> bytes:
    """Returns the row of an invoice line, as a line of JSON.

    Raises:
        BreaksContract: the invoice line breaks its contract; the exception has the reasons.
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
    """Returns the result (Ok, Dropped or ProcessingFailed) and the data of one record from Firehose.

    The result is Ok, with the rows of all valid invoice lines, if the record has at least one. Otherwise, it is that of
    `_failure`.
    """
    arrived = record["approximateArrivalTimestamp"] / 1000
    parts = parts_of(payload, record, _place)
    rows: list[bytes] = []
    for part in parts:
        if part.envelope and part.envelope["feed"] == FEED:
            try:
                rows.append(row_of(part.envelope, arrived))
            except BreaksContract:
                continue  # a record without any row fails; load_events counts the line and reports the reasons
    return ("Ok", b"".join(rows)) if rows else _failure(parts, payload)


def _failure(parts: Iterable[Part], payload: bytes) -> tuple[str, bytes]:
    """Returns ProcessingFailed with the payload if the record holds only invoice lines, and Dropped otherwise.

    Firehose stores a failed record whole under its error prefix. Content that is not an invoice line may hold personal
    data, which must not be stored in a second place. raw_writer stores such a record.
    """
    if all(part.envelope and part.envelope["feed"] == FEED for part in parts):
        return "ProcessingFailed", payload
    return "Dropped", b""


def _place(record: Mapping[str, Any]) -> Place | None:
    """Returns the place of the record in the stream, or None if it came from no stream.

    Firehose deaggregates records itself and numbers the user records in them.
    """
    found = record.get("kinesisRecordMetadata")
    if not found:
        return None  # it was put directly to Firehose
    arrived = record["approximateArrivalTimestamp"] / 1000
    return Place(found["shardId"], found["sequenceNumber"], arrived, int(found["subsequenceNumber"] or 0))


def answer_of(records: Sequence[Mapping[str, Any]]) -> tuple[list[dict[str, str]], int]:
    """Returns the result and data of each record, and the number of records whose rows do not fit into the response.

    Only compressed records have so many rows. Firehose cannot receive these rows, but raw_writer stores the records.
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
