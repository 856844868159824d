"""Which feed a record without an envelope is of: pure, by its keys alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ecommerce_events.contracts import Contract
from ecommerce_events.envelope import NotAnEnvelope


def is_meant_as_envelope(record: Mapping[str, Any], contracts: Mapping[str, Contract]) -> bool:
    """Returns whether the object is an envelope or an attempt at one, and so no record by itself.

    `feed` and `data` decide: every envelope has them, in HTTP requests as on the stream, and no record does. The other keys
    of the envelope do not: product_events has a column `event_time`, and a record may well bring an `event_id` or a
    `sent_at` of its own. Nor does `feed` or `data` where it is a key of some contract. What is a whole envelope is one
    whatever this function says; it tells which of the two an object is that is not.
    """
    return any(
        key in record and not any(key in c["known_keys"] for c in contracts.values()) for key in ("feed", "data")
    )


def recognised_feed(record: Mapping[str, Any], contracts: Mapping[str, Contract]) -> str:
    """Returns the feed of the one contract that the record's keys fit; an exact fit goes before one with unknown keys.

    Keys fit where every required column has one, be its value what it may, and where the contract knows them all or keeps
    unknown ones. A key that is personal in any contract is kept as unknown by none.

    Raises:
        NotAnEnvelope: no contract or several; with keys of contracts, never with those of the record, which may name a person.
    """
    missing = {feed: _missing(record, contract) for feed, contract in contracts.items()}
    unknown = {
        feed: {key for key in record if key not in contract["known_keys"]} for feed, contract in contracts.items()
    }
    personal = {
        header
        for contract in contracts.values()
        for column in contract["columns"]
        if column["privacy"] != "keep"
        for header in column["headers"]
    }
    whole = [feed for feed in contracts if not missing[feed]]
    exact = [feed for feed in whole if not unknown[feed]]
    fitting = exact or [
        feed for feed in whole if contracts[feed]["unknown_keys"] == "keep" and personal.isdisjoint(unknown[feed])
    ]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise NotAnEnvelope(f"no envelope, and the keys fit several contracts: {', '.join(fitting)}")
    if whole:
        raise NotAnEnvelope(
            f"no envelope, and beside the keys of {whole[0]} there are some that its records must not have"
        )
    nearest = min(contracts, key=lambda feed: _distance(contracts[feed], missing[feed]), default="")
    if not nearest:
        raise NotAnEnvelope("no envelope, and there is no contract")
    raise NotAnEnvelope(
        f"no envelope, and the keys fit no contract; the nearest is {nearest}, without {', '.join(missing[nearest])}"
    )


def _missing(record: Mapping[str, Any], contract: Contract) -> list[str]:
    """Returns the keys, in their preferred spelling, of the required columns that the record does not have."""
    required = (column["headers"] for column in contract["columns"] if column["required"])
    return [headers[0] for headers in required if not any(header in record for header in headers)]


def _distance(contract: Contract, missing: list[str]) -> tuple[float, int]:
    required = sum(1 for column in contract["columns"] if column["required"])
    return len(missing) / max(1, required), len(missing)
