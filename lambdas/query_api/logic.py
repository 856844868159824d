"""Parsing of requests for invoices and customers, and their responses as JSON. Pure, without I/O."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any
from urllib.parse import unquote

KEY_MAX_BYTES = 1024  # DynamoDB's limit for a sort key; a partition key may have 2,048
PAGE_DEFAULT, PAGE_MAX = 50, 500


class BadRequest(ValueError):  # noqa: N818
    """The request is invalid. The message names the wrong part and what was expected."""


def path_key(parameters: Mapping[str, str], name: str) -> str:
    """Returns a URL-decoded path parameter.

    Raises:
        BadRequest: the parameter is empty, too long, not valid UTF-8 or has control characters.
    """
    value = unquote(parameters.get(name, ""), errors="strict") if _decodes(parameters.get(name, "")) else ""
    if not 1 <= len(value.encode("utf-8", "replace")) <= KEY_MAX_BYTES or any(ord(c) < 32 for c in value):
        raise BadRequest(f"{name}: expected a text of 1 to {KEY_MAX_BYTES} bytes without control characters")
    return value


def _decodes(text: str) -> bool:
    try:
        unquote(text, errors="strict").encode("utf-8")
    except UnicodeError:
        return False
    return True


def page_size(query: Mapping[str, str]) -> int:
    """Returns the query parameter `limit`, or PAGE_DEFAULT if it is absent.

    Raises:
        BadRequest: the parameter is not a whole number from 1 to PAGE_MAX.
    """
    text = query.get("limit", str(PAGE_DEFAULT))
    if not re.fullmatch(r"[0-9]{1,4}", text, re.ASCII) or not 1 <= int(text) <= PAGE_MAX:
        raise BadRequest(f"limit: expected a whole number from 1 to {PAGE_MAX}")
    return int(text)


def cursor_of(last_key: Mapping[str, Any] | None) -> str | None:
    """Returns an opaque cursor for the next page, or None after the last page."""
    if not last_key:
        return None
    return base64.urlsafe_b64encode(
        json.dumps([last_key["InvoiceDate"]["S"], last_key["InvoiceNo"]["S"]]).encode()
    ).decode()


def start_of(cursor: str, customer_id: str) -> dict[str, Any]:
    """Returns the key after which the page begins.

    Raises:
        BadRequest: the cursor was not made by `cursor_of`.
    """
    try:
        date, invoice = json.loads(base64.b64decode(cursor.encode("ascii"), altchars=b"-_", validate=True))
        if not (isinstance(date, str) and isinstance(invoice, str) and date and invoice):
            raise ValueError("not two texts")
        (date + invoice).encode("utf-8")
    except (ValueError, TypeError, binascii.Error, RecursionError) as error:
        raise BadRequest("cursor: expected the next_cursor of an earlier answer, unchanged") from error
    return {"CustomerID": {"S": customer_id}, "InvoiceNo": {"S": invoice}, "InvoiceDate": {"S": date}}


def plain(attribute: Mapping[str, Any]) -> Any:
    """Returns the value of a text, number or NULL attribute in DynamoDB's JSON."""
    [(kind, value)] = attribute.items()
    if kind == "N":
        return int(value) if re.fullmatch(r"-?[0-9]+", value) else Decimal(value)
    return None if kind == "NULL" else value


def line(event_id: str, kept: str) -> dict[str, Any]:
    """Returns one line of an item from its stored JSON text."""
    values = json.loads(kept)
    return {"event_id": event_id, **values, "unit_price": Decimal(values["unit_price"])}


def has_lines(item: Mapping[str, Any]) -> bool:
    """Returns whether the item still has a line. Corrections and withdrawals may leave an item without lines."""
    return bool(item["LineCount"]["N"] != "0")


def invoice_item(item: Mapping[str, Any]) -> dict[str, Any]:
    """Returns one item of the table `invoices`, with its lines by date and without withdrawn lines."""
    kept = {event_id: text["S"] for event_id, text in item["Lines"]["M"].items()}
    lines = [line(event_id, text) for event_id, text in kept.items() if "withdrawn" not in json.loads(text)]
    return {
        "invoice_no": item["InvoiceNo"]["S"],
        "stock_code": item["StockCode"]["S"],
        "description": plain(item["Description"]),
        "quantity": plain(item["Quantity"]),
        "unit_price": plain(item["UnitPrice"]),
        "total": plain(item["Total"]),
        "customer_id": item["CustomerID"]["S"],
        "invoice_date": item["InvoiceDate"]["S"],
        "country": item["Country"]["S"],
        "line_count": plain(item["LineCount"]),
        "lines": sorted(lines, key=lambda kept: (kept["invoice_date"], kept["event_id"])),
    }


def invoice(items: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Returns a whole invoice. Its customer, country and date come from its earliest line."""
    ordered = sorted(items, key=lambda item: item["StockCode"]["S"])
    first = min(ordered, key=lambda item: item["FirstLine"]["S"])
    parts = [invoice_item(item) for item in ordered]
    return {
        "invoice_no": first["InvoiceNo"]["S"],
        "customer_id": first["CustomerID"]["S"],
        "country": first["Country"]["S"],
        "invoice_date": first["InvoiceDate"]["S"],
        "line_count": sum(part["line_count"] for part in parts),
        "quantity": sum(part["quantity"] for part in parts),
        "total": sum(part["total"] for part in parts),
        "items": parts,
    }


def summary(item: Mapping[str, Any]) -> dict[str, Any]:
    """Returns one item of the table `customers`."""
    return {
        "invoice_no": item["InvoiceNo"]["S"],
        "invoice_date": item["InvoiceDate"]["S"],
        "country": item["Country"]["S"],
        "line_count": plain(item["LineCount"]),
        "quantity": plain(item["Quantity"]),
        "total": plain(item["Total"]),
    }


def to_json(value: Any) -> str:
    """Returns JSON in which a Decimal keeps its exact digits. The module `json` would need a float."""
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(name)}: {to_json(inner)}" for name, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(to_json, value)) + "]"
    return json.dumps(value, ensure_ascii=False)
