"""The roles of a contract's columns: the parts of a sale, and values that a file writes once per order."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

if TYPE_CHECKING:
    from ecommerce_elt.feeds.contracts import Column, Derived

CURRENCY = re.compile(r"^[A-Z]{3}$")  # ISO 4217
# The column widths of core.sale in bytes. A CAST in Redshift truncates longer values, so a contract must not exceed
# them.
WIDTHS = {"order": 128, "product": 512, "product_name": 1024, "customer": 128, "country": 128, "currency": 8}
SCALE_MAX = 3  # decimals of money in core.sale
TEXTS, WHOLE, MONEY = ("string", "identifier"), ("integer", "bigint"), ("decimal",)
KINDS = {
    "order": TEXTS,
    "product": TEXTS,
    "product_name": TEXTS,
    "customer": TEXTS,
    "country": TEXTS,
    "currency": TEXTS,
    "quantity": WHOLE,
    "unit_price": MONEY,
    "amount": MONEY,
    "discount": MONEY,
}


class Sale(BaseModel):
    """The columns that describe a sale. The time is the contract's event_time. An event is one line of an order."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    order: str | None = Field(default=None, description="Without it, every event is an order.")
    product: tuple[str, ...] = Field(min_length=1, description="The first of them that has a value names the product.")
    product_name: str | None = Field(default=None, description="Without it, the product's own value.")
    quantity: str | None = Field(default=None, description="Without it, 1. Below zero where goods came back.")
    unit_price: str | None = Field(
        default=None, description="Of one piece; the line's amount is quantity x unit_price."
    )
    amount: str | None = Field(default=None, description="Of the line, in place of unit_price.")
    discount: str | None = Field(
        default=None, description="Taken off the line's amount, with whatever sign it is written."
    )
    customer: str | None = Field(default=None, description="Without it or a value, unknown. Of a person: privacy hmac.")
    country: str | None = Field(default=None, description="Without it or a value, unknown.")
    currency: str = Field(description="A column, or the feed's one currency, as ISO 4217 has it: GBP.")
    cancelled_where: dict[str, tuple[str, ...] | Literal["any"]] = Field(
        default={}, description="Column to the words that say that the line was cancelled; any is every value."
    )
    once_an_order: dict[str, Literal["fee", "discount", "refund"]] = Field(
        default={}, description="Column of an amount that one line of an order has, to what the amount is."
    )

    @field_validator("product", mode="before")
    @classmethod
    def _one_or_several(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _has_one_price(self) -> Sale:
        if (self.unit_price is None) == (self.amount is None):
            raise ValueError("expected unit_price or amount, one of them")
        return self

    @property
    def currency_column(self) -> str | None:
        """The column with the currency of each line, or None if the feed has one currency."""
        return None if CURRENCY.match(self.currency) else self.currency

    def columns(self) -> Iterator[tuple[str, str]]:
        """Yields (part, column) for each column of the sale."""
        for part in KINDS:
            value = self.currency_column if part == "currency" else getattr(self, part)
            for name in value if isinstance(value, tuple) else (value,) if value else ():
                yield part, name
        yield from (("cancelled_where", name) for name in self.cancelled_where)
        yield from (("once_an_order", name) for name in self.once_an_order)

    def check(self, columns: Mapping[str, Column | Derived]) -> None:
        """Checks that each part names a column of core that is suitable for it.

        Raises:
            ValueError: a part names an unknown or unsuitable column.
        """
        for part, name in self.columns():
            if (column := columns.get(name)) is None:
                hint = " A currency is three capitals" if part == "currency" else ""
                raise ValueError(f"plays.sale.{part}: {name!r} is no column; columns are {[*columns]}.{hint}")
            kind = "decimal" if column.decimal else column.type
            expected = MONEY if part == "once_an_order" else KINDS.get(part, (kind,))
            if kind not in expected:
                raise ValueError(
                    f"plays.sale.{part}: {name} is of the type {column.type}; expected {' or '.join(expected)}"
                )
            if column.decimal and column.decimal[1] > SCALE_MAX:
                raise ValueError(
                    f"plays.sale.{part}: {name} has {column.decimal[1]} decimals; core.sale has {SCALE_MAX}"
                )
            privacy = getattr(column, "privacy", "keep")  # a column derived by the clean SQL is not personal
            if privacy != "hmac" and (column.max_bytes or 0) > WIDTHS.get(part, 65535):
                raise ValueError(
                    f"plays.sale.{part}: {name} may have {column.max_bytes} bytes; core.sale has {WIDTHS[part]}. Lower max_bytes"
                )
            if privacy != "keep" and not (part == "customer" and privacy == "hmac"):
                raise ValueError(
                    f"plays.sale.{part}: {name} is personal (privacy: {privacy}); only customer may be, with hmac"
                )
        for name, words in self.cancelled_where.items():
            accepted = getattr(columns[name], "accepted", None)
            if accepted is not None and words != "any" and (unknown := [w for w in words if w not in accepted]):
                raise ValueError(f"plays.sale.cancelled_where: {name} never is {unknown}; accepted are {[*accepted]}")


class Plays(BaseModel):
    """The roles of the feed. With `sql`, the feed has its own SELECT in include/sql/core/sale/<feed>.sql."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sale: Sale | Literal["sql"] | None = None


class FillDown(BaseModel):
    """Columns that files write only on the first row of an order, and the key that all rows of the order have."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    columns: tuple[str, ...] = Field(min_length=1)

    def check(self, columns: Sequence[str]) -> None:
        """Checks the names of the columns.

        Raises:
            ValueError: a name is not a column, or the key is among the columns.
        """
        if unknown := [name for name in (self.key, *self.columns) if name not in columns]:
            raise ValueError(f"fill_down: {unknown} are no columns; columns are {[*columns]}")
        if self.key in self.columns:
            raise ValueError(
                f"fill_down: {self.key} is the key, which every row of an order has; leave it out of columns"
            )
