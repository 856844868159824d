"""The ways in which a simulated event can be broken. The pipeline must keep each such event, with the reason."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Broken:
    """One way to break an event.

    Attributes:
        data: changes the record.
        line: changes the encoded envelope, which is then no longer an envelope.
        time_is_lost: whether the event has no valid event time.
    """

    name: str
    data: Callable[[Mapping[str, object]], dict[str, object]] | None = None
    line: Callable[[bytes], bytes] | None = None
    time_is_lost: bool = False


def _with(**changes: object) -> Callable[[Mapping[str, object]], dict[str, object]]:
    return lambda record: {**record, **changes}


def _without(key: str) -> Callable[[Mapping[str, object]], dict[str, object]]:
    return lambda record: {k: v for k, v in record.items() if k != key}


NO_ENVELOPE = (
    Broken("truncated_json", line=lambda line: line[:-10]),
    Broken("not_utf8", line=lambda line: line.replace(b'"feed"', b'"feed\xff"')),
    Broken("no_event_id", line=lambda line: line.replace(b'"event_id"', b'"id"', 1)),
)

BREAKERS: dict[str, tuple[Broken, ...]] = {
    "online_retail": (
        Broken("quantity_is_text", _with(Quantity="a dozen")),
        Broken("price_missing", _without("UnitPrice")),
        Broken("price_too_fine", _with(UnitPrice="2.123456")),
        Broken("day_31_of_june", _with(InvoiceDate="6/31/2026 10:00"), time_is_lost=True),
        Broken("two_faults", lambda r: {**_without("Country")(r), "Quantity": "1.5"}),
        *NO_ENVELOPE,
    ),
    "purchases": (
        Broken("age_impossible", _with(Age="200")),
        Broken("gender_unknown", _with(Gender="x")),
        Broken("amount_negative", _with(Amount="-5.00")),
        Broken("name_missing", _without("Name")),
        Broken("date_is_text", lambda r: {**r, "Purchase Date": "yesterday"}, time_is_lost=True),
        *NO_ENVELOPE,
    ),
    "product_events": (
        Broken("quantity_is_fraction", _with(quantity=2.5)),
        Broken("quantity_too_large", _with(quantity=99_999_999)),
        Broken("sale_below_zero", _with(event_type="sale", quantity=-2)),
        Broken("type_unknown", _with(event_type="gift")),
        Broken("product_with_blank", _with(product_id="P 0001")),
        Broken("price_is_null", _with(price=None)),
        *NO_ENVELOPE,
    ),
}
