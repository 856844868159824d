"""A stock room: it opens with what is on the shelves, sales take from them, and one that runs low is filled again."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from random import Random

from producer.simulate.rhythm import Moments, moments

MOVEMENTS_PER_DAY = 900
PRODUCTS = 250
LOW, FULL = 20, 200


def records(
    seed: int, start: datetime, count: int, moments: Moments = moments
) -> Iterator[tuple[datetime, dict[str, object]]]:
    """Yields (event time, record) of `count` movements: sold is negative, opening stock and restocked positive."""
    random = Random(f"product_events/{seed}")
    shelf = {f"P{number:05d}": random.randint(LOW, FULL) for number in range(1, PRODUCTS + 1)}
    price = {product: random.randint(99, 19999) / 100 for product in shelf}

    def record(moment: datetime, product: str, quantity: int) -> tuple[datetime, dict[str, object]]:
        return moment, {
            "event_time": moment.isoformat().replace("+00:00", "Z"), "product_id": product, "quantity": quantity,
            "price": price[product],
        }  # fmt: skip

    names = list(shelf)
    for product in names[:count]:
        yield record(start, product, shelf[product])
    for _, moment in zip(range(count - len(names)), moments(random, start, MOVEMENTS_PER_DAY), strict=False):
        product = names[min(int(random.expovariate(1 / 60)), PRODUCTS - 1)]
        quantity = FULL - shelf[product] if shelf[product] < LOW else -random.randint(1, min(5, shelf[product]))
        shelf[product] += quantity
        yield record(moment, product, quantity)
