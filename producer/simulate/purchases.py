"""Simulator of purchases, with names, addresses and phone numbers made up by Faker."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from random import Random

from faker import Faker

from producer.simulate.rhythm import Moments, moments

PURCHASES_PER_DAY = 900
PEOPLE_PER_PURCHASE = 0.15
PEOPLE = 10_000  # created at the start, in about 0.2 ms each
PRODUCTS = (
    "Laptop",
    "Phone",
    "Headphones",
    "Coffee Maker",
    "Desk Lamp",
    "Backpack",
    "Running Shoes",
    "Water Bottle",
    "Board Game",
    "Novel",
    "Cookbook",
    "Yoga Mat",
    "Sunglasses",
    "Wrist Watch",
    "Rain Jacket",
    "Blender",
    "Monitor",
    "Keyboard",
    "Office Chair",
    "Picnic Basket",
)


def records(
    seed: int, start: datetime, count: int, moments: Moments = moments
) -> Iterator[tuple[datetime, dict[str, object]]]:
    """Yields (event time, record) of `count` purchases. A person may buy several times."""
    random = Random(f"purchases/{seed}")
    fake = Faker("en_US")
    fake.seed_instance(random.getrandbits(64))
    people = [
        {
            "Name": fake.name(),
            "Address": fake.address().replace("\n", ", "),
            "Phone": fake.numerify("(###) ###-####"),
            "Age": str(random.randint(16, 88)),
            "Gender": random.choices(("Female", "Male", "Other"), (50, 47, 3))[0],
        }
        for _ in range(min(PEOPLE, max(20, int(count * PEOPLE_PER_PURCHASE))))
    ]
    prices = {product: random.randint(500, 90000) / 100 for product in PRODUCTS}
    for _, moment in zip(range(count), moments(random, start, PURCHASES_PER_DAY), strict=False):
        product = random.choice(PRODUCTS)
        amount = prices[product] * random.uniform(0.8, 1.1)
        yield (
            moment,
            {
                **random.choice(people),
                "Product Name": product,
                "Amount": f"{amount:.2f}",
                "Purchase Date": moment.strftime("%Y-%m-%d %H:%M:%S"),
            },
        )
