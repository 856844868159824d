"""Finds the columns of a sample that are parts of a sale, for `plays` in the contract."""

from __future__ import annotations

from collections.abc import Callable

from ecommerce_elt.feeds.roles import CURRENCY, SCALE_MAX, WIDTHS
from ecommerce_elt.scaffold import words
from ecommerce_elt.scaffold.contract_file import names_an_order
from ecommerce_elt.scaffold.sample import Sample
from ecommerce_elt.scaffold.values import Found


def sale_of(sample: Sample, currency: str | None) -> tuple[list[str], list[str]]:
    """Returns the contract's lines for the role of a sale, empty if the feed has none, and the doubts about them.

    Each choice depends on those before it, so the function is not divided.

    Args:
        sample: the sample.
        currency: the currency of all amounts, if the user gave it.
    """
    columns = [column for column in sample.columns if column.filled]
    texts = [c for c in columns if c.kind in {"string", "identifier"} and not c.is_personal]
    quantity = _best(columns, lambda c: c.kind in {"integer", "bigint"} and c.words & words.QUANTITIES)
    money = [c for c in columns if c.kind.startswith("decimal") and int(c.kind[:-1].split(",")[1]) <= SCALE_MAX]
    price = _best(
        money,
        lambda c: (
            c.words & words.PRICES and not c.words & words.OF_THE_ORDER and not c.words & {"total", "gesamt", "compare"}
        ),
    )
    amount = (
        _best(money, lambda c: c.words & words.MONEY and not c.words & words.OF_THE_ORDER - {"subtotal"})
        if not price
        else None
    )
    products = [
        c
        for c in texts
        if c.words & words.PRODUCTS and not c.words & {"category", "kategorie", "type", "image", "url", "review"}
    ]
    products = [c for c in products if not c.words & words.ORDERS]
    if not products or not (price or amount) or (not quantity and not price):
        return [], []
    money_column = price or amount
    assert money_column
    codes = _best(texts, lambda c: c.words & words.CURRENCIES)
    said = currency or (codes.name if codes else "") or money_column.currency
    if not said:
        return [], [
            "the columns are those of a sale, and nothing tells its currency: with --currency EUR its lines get into the marts of sales"
        ]
    if codes and not currency and not _is_narrow(codes, WIDTHS["currency"]):
        return [], [f"{codes.name} is no currency as core.sale takes it, of {WIDTHS['currency']} bytes"]
    product = _best(products, lambda c: c.kind == "identifier") or products[0]
    name = _best(products, lambda c: c.words & words.TITLES and c is not product) or product
    parts = {
        "order": max(
            (c for c in texts if c.is_full and c.kind == "identifier" and names_an_order(c)),
            key=names_an_order,
            default=None,
        ),
        "product": product,
        "product_name": name if name is not product else None,
        "quantity": quantity,
        "unit_price" if price else "amount": money_column,
        "customer": _customer(columns),
        "country": _best(texts, lambda c: c.words & words.COUNTRIES),
    }
    lines = ["plays:", "  sale:"]
    for part, column in parts.items():
        if column is None or (part in WIDTHS and not _is_narrow(column, WIDTHS[part])):
            continue
        value = column.name
        if part == "product" and not column.is_full and name is not column and _is_narrow(name, WIDTHS["product"]):
            value = f"[{column.name}, {name.name}]   # the first that has a value"
        lines.append(f"    {part}: {value}")
    lines.append(f"    currency: {said}")
    lines[1] += "   # confirm"
    unsure = [
        "the parts of a sale, by which its lines get into the marts: discounts, fees, refunds and cancelled lines are not told by a sample"
    ]
    if price and quantity:
        unsure.append(
            f"{price.name} is taken for the price of one piece; where it is the line's, write amount in place of unit_price"
        )
    return lines, unsure


def _best(columns: list[Found], fits: Callable[[Found], object]) -> Found | None:
    """Returns the fitting column with the most values; the first one if there are several."""
    return max((c for c in columns if fits(c)), key=lambda c: c.filled, default=None)


def _customer(columns: list[Found]) -> Found | None:
    named = [c for c in columns if c.kind in {"string", "identifier"} and c.words & words.CUSTOMERS]
    kept = [c for c in named if c.settings.get("privacy", "keep") == "keep" and c.kind == "identifier"]
    hashed = [c for c in columns if c.settings.get("privacy") == "hmac"]
    return next(iter([*kept, *hashed]), None)


def _is_narrow(column: Found, width: int) -> bool:
    """Limits the column to the width in core.sale, and returns whether its values fit."""
    if column.settings.get("privacy") == "hmac":
        return True
    if column.settings.get("max_bytes", 0) > width:
        if column.longest > width:
            return False
        column.settings["max_bytes"] = width
    return True


def is_currency(text: str) -> bool:
    """Returns whether the text has the form of a currency code of ISO 4217."""
    return bool(CURRENCY.match(text))
