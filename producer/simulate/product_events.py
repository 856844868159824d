"""Simulator of a stock room: it starts with an opening stock, sales reduce it, and low products are restocked.

A few movements are returns. In others, an inventory count finds less than expected. Some tills send sales and returns
without event_type; the sign of the quantity then distinguishes them.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from random import Random

from producer.simulate.rhythm import Moments, moments

MOVEMENTS_PER_DAY = 900
PRODUCTS = 250
LOW, FULL = 20, 200
RETURNED, ADJUSTED = 0.04, 0.01  # shares of the movements
WITHOUT_TYPE = 0.3  # share of the sales and returns


def records(
    seed: int, start: datetime, count: int, moments: Moments = moments
) -> Iterator[tuple[datetime, dict[str, object]]]:
    """Yields (event time, record) of `count` movements. The opening stock comes first, as restocks."""
    random = Random(f"product_events/{seed}")
    shelf = {f"P{number:05d}": random.randint(LOW, FULL) for number in range(1, PRODUCTS + 1)}
    price = {product: random.randint(99, 19999) / 100 for product in shelf}

    def record(moment: datetime, product: str, event_type: str, quantity: int) -> tuple[datetime, dict[str, object]]:
        return moment, {
            "event_time": moment.isoformat().replace("+00:00", "Z"),
            "product_id": product,
            "quantity": quantity,
            "price": price[product],
            "event_type": event_type,
        }

    names = list(shelf)
    for product in names[:count]:
        yield record(start, product, "restock", shelf[product])
    for _, moment in zip(range(count - len(names)), moments(random, start, MOVEMENTS_PER_DAY), strict=False):
        product = names[min(int(random.expovariate(1 / 60)), PRODUCTS - 1)]
        kind = random.random()
        if shelf[product] < LOW:
            event_type, quantity = "restock", FULL - shelf[product]
        elif kind < RETURNED:
            event_type, quantity = "return", 1
        elif kind < RETURNED + ADJUSTED:
            event_type, quantity = "adjustment", -1
        else:
            event_type, quantity = "sale", random.randint(1, min(5, shelf[product]))
        shelf[product] += -quantity if event_type == "sale" else quantity
        moment, moved = record(moment, product, event_type, quantity)
        if event_type in {"sale", "return"} and random.random() < WITHOUT_TYPE:
            del moved["event_type"]
            moved["quantity"] = quantity if event_type == "sale" else -quantity
        yield moment, moved
