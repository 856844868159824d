"""Simulator of a gift shop after the UCI Online Retail data set: invoices of several lines, some canceled."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from random import Random

from producer.simulate.rhythm import Moments, moments

OPENED = datetime(2026, 1, 1, tzinfo=UTC)
INVOICES_PER_DAY = 80
PRODUCTS = 800
CUSTOMERS = 900
# Shares of the UCI data set: a quarter of the lines without a customer, 91 % from the United Kingdom, 2 % canceled.
UNKNOWN_CUSTOMER, CANCELLED, POSTAGE = 0.25, 0.02, 0.03
COUNTRIES = (
    ("United Kingdom", 910),
    ("Germany", 18),
    ("France", 16),
    ("EIRE", 15),
    ("Spain", 5),
    ("Netherlands", 4),
    ("Belgium", 4),
    ("Switzerland", 4),
    ("Portugal", 3),
    ("Australia", 2),
)
COLOURS = ["RED", "WHITE", "BLUE", "PINK", "GREEN", "IVORY", "BLACK", "RETRO", "VINTAGE", "WOODEN"]
THINGS = (
    "HANGING HEART",
    "T-LIGHT HOLDER",
    "CAKE CASES",
    "LUNCH BAG",
    "ALARM CLOCK",
    "BUNTING",
    "MUG",
    "PHOTO FRAME",
    "TEA TOWEL",
    "DOORMAT",
    "STORAGE TIN",
    "GIFT WRAP",
    "JUMBO BAG",
    "COASTERS",
    "UMBRELLA",
)


def records(
    seed: int, start: datetime, count: int, moments: Moments = moments
) -> Iterator[tuple[datetime, dict[str, object]]]:
    """Yields (event time, record) of `count` invoice lines, with values in the format of the data set."""
    random = Random(f"online_retail/{seed}")
    products = [
        (
            f"{random.randint(10000, 99999)}{random.choice(['', '', 'A', 'B'])}",
            f"{random.choice(COLOURS)} {random.choice(THINGS)}",
            f"{random.randint(19, 1295) / 100:.2f}",
        )
        for _ in range(PRODUCTS)
    ]
    popularity = [1 / rank for rank in range(1, PRODUCTS + 1)]
    names, weights = zip(*COUNTRIES, strict=True)
    customers = [(str(12346 + i), random.choices(names, weights)[0]) for i in range(CUSTOMERS)]
    # Invoice numbers depend on the start time and the seed, so that runs with other values do not reuse them.
    sent, invoice = 0, 600000 + max(0, int((start - OPENED).total_seconds())) + 10**9 * ((seed - 1) % 1000)
    for moment in moments(random, start, INVOICES_PER_DAY):
        customer, country = random.choice(customers)
        if random.random() < UNKNOWN_CUSTOMER:
            customer = ""
        cancelled = random.random() < CANCELLED
        number = f"C{invoice}" if cancelled else str(invoice)
        written = f"{moment.month}/{moment.day}/{moment.year} {moment.hour}:{moment.minute:02d}"
        to_the_minute = moment.replace(second=0)
        for _ in range(1 + min(int(random.expovariate(1 / 12)), 60)):
            code, description, price = random.choices(products, popularity)[0]
            if random.random() < POSTAGE:
                code, description, price = "POST", "POSTAGE", "18.00"
            quantity = random.choice((1, 1, 2, 3, 4, 6, 6, 8, 12, 12, 24, 48))
            yield (
                to_the_minute,
                {
                    "InvoiceNo": number,
                    "StockCode": code,
                    "Description": description,
                    "Quantity": str(-quantity if cancelled else quantity),
                    "InvoiceDate": written,
                    "UnitPrice": price,
                    "CustomerID": customer,
                    "Country": country,
                },
            )
            sent += 1
            if sent == count:
                return
        invoice += 1
