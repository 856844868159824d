"""Simulated shops. The same seed gives the same events, some of which are broken on purpose."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from random import Random

from ecommerce_elt.errors import PermanentError

from producer.simulate import online_retail, product_events, purchases, rhythm
from producer.simulate.broken import BREAKERS, Broken

START = datetime(2026, 1, 1, tzinfo=UTC)
SHOPS = {
    "online_retail": online_retail.records,
    "purchases": purchases.records,
    "product_events": product_events.records,
}


def simulated(
    feed: str, count: int | None, seed: int, bad_rate: float
) -> Iterator[tuple[datetime, dict[str, object], Broken | None]]:
    """Yields (event time, record, way in which it is broken or None), `count` times.

    Args:
        feed: one of SHOPS.
        count: number of events; None yields events without end, each at the current time.
        seed: the same seed gives the same events, whatever `bad_rate` is.
        bad_rate: share of broken events, from 0 to 1.

    Raises:
        PermanentError: there is no simulator for the feed.
    """
    if feed not in SHOPS:
        raise PermanentError(f"feed {feed!r} has no simulator; there are {', '.join(SHOPS)}")
    spoiler = Random(f"{feed}/{seed}/broken")
    times = (START, count, rhythm.moments) if count is not None else (datetime.now(UTC), sys.maxsize, rhythm.present)
    for moment, record in SHOPS[feed](seed, *times):
        broken = spoiler.choice(BREAKERS[feed]) if spoiler.random() < bad_rate else None
        yield moment, record, broken
