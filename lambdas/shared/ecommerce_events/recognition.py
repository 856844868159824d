"""Recognition of the feed of a record without an envelope, by its keys alone. Pure, without I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ecommerce_events.contracts import Contract
from ecommerce_events.envelope import NotAnEnvelope


def is_meant_as_envelope(record: Mapping[str, Any], contracts: Mapping[str, Contract]) -> bool:
    """Returns whether the object is an envelope or an attempt at one, and not a bare record.

    The keys `feed` and `data` decide. Every envelope has them, in HTTP requests and on the stream, and no bare record
    does. A key that any contract declares for itself does not count. The other keys of the envelope do not count
    either: product_events has a column `event_time`, and a record may have its own `event_id` or `sent_at`.
    A valid envelope is one regardless of this function, which decides only about other objects.
    """
    return any(
        key in record and not any(key in c["known_keys"] for c in contracts.values()) for key in ("feed", "data")
    )


def recognised_feed(record: Mapping[str, Any], contracts: Mapping[str, Contract]) -> str:
    """Returns the feed of the one contract that fits the record's keys.

    A contract fits if the record has a key for each required column, whatever its value, and if the contract knows all
    keys of the record or keeps unknown ones. A contract that knows all keys is preferred. A key that is personal in any
    contract is never kept as an unknown key.

    Raises:
        NotAnEnvelope: no contract or several fit. The message quotes keys of the contracts, never keys of the record,
            which may name a person.
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
    """Returns the required columns that the record does not have, each by the preferred spelling of its key."""
    required = (column["headers"] for column in contract["columns"] if column["required"])
    return [headers[0] for headers in required if not any(header in record for header in headers)]


def _distance(contract: Contract, missing: list[str]) -> tuple[float, int]:
    required = sum(1 for column in contract["columns"] if column["required"])
    return len(missing) / max(1, required), len(missing)
