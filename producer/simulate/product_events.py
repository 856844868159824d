"""A stock room: sales take from the shelf, and a shelf that runs low is filled again."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from random import Random

from producer.simulate.rhythm import moments

MOVEMENTS_PER_DAY = 900
PRODUCTS = 250
LOW, FULL = 20, 200


def records(random: Random, start: datetime, count: int) -> Iterator[tuple[datetime, dict[str, object]]]:
    """Yields (event time, record) of `count` movements: sold is negative, restocked positive."""
    shelf = {f"P{number:05d}": random.randint(LOW, FULL) for number in range(1, PRODUCTS + 1)}
    price = {product: random.randint(99, 19999) / 100 for product in shelf}
    names = list(shelf)
    for _, moment in zip(range(count), moments(random, start, MOVEMENTS_PER_DAY), strict=False):
        product = names[min(int(random.expovariate(1 / 60)), PRODUCTS - 1)]
        quantity = FULL - shelf[product] if shelf[product] < LOW else -random.randint(1, min(5, shelf[product]))
        shelf[product] += quantity
        yield moment, {
            "event_time": moment.isoformat().replace("+00:00", "Z"), "product_id": product, "quantity": quantity,
            "price": price[product],
        }  # fmt: skip
