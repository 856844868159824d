"""The view core.sale with the sales of all feeds.

Each feed whose contract plays a sale is one part of the view, generated from the contract. If the contract has
`sale: sql`, its part is the SQL file include/sql/core/sale/<feed>.sql. Every column is cast to a fixed type, because
Redshift replaces a view only if the columns and their types stay the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from ecommerce_elt.feeds.contracts import Contract
from ecommerce_elt.feeds.roles import WIDTHS, Sale

SALE = "sale"  # source name of marts that are built from all feeds that play a sale
VIEW = "core.sale"
_EMPTY = """SELECT
    CAST(NULL AS VARCHAR(64)) AS feed, CAST(NULL AS VARCHAR(128)) AS event_id, CAST(NULL AS TIMESTAMP) AS event_time,
    CAST(NULL AS VARCHAR(128)) AS order_id, CAST(NULL AS VARCHAR(512)) AS product_id, CAST(NULL AS VARCHAR(1024)) AS product_name,
    CAST(NULL AS VARCHAR(128)) AS customer_id, CAST(NULL AS VARCHAR(128)) AS country, CAST(NULL AS VARCHAR(8)) AS currency,
    CAST(NULL AS VARCHAR(16)) AS line_type, FALSE AS is_cancelled, FALSE AS is_product, CAST(NULL AS BIGINT) AS quantity,
    CAST(NULL AS DECIMAL(18, 3)) AS unit_price, CAST(NULL AS DECIMAL(18, 3)) AS amount
WHERE 1 = 0"""
_HEADER = """-- grain: one line of an order, or an amount that an order has beside its lines
-- source: the contracts that play a sale
-- idempotent: a view
-- re-run: defines the same view
"""


def feeds_of_sales(contracts: Mapping[str, Contract]) -> list[str]:
    """Returns the feeds whose contract plays a sale."""
    return [name for name, contract in contracts.items() if contract.plays.sale]


def view(sql_dir: Path, contracts: Iterable[Contract]) -> str:
    """Returns the statement that defines core.sale."""
    parts = [part for contract in contracts for part in _parts(sql_dir, contract)]
    return f"{_HEADER}CREATE OR REPLACE VIEW {VIEW} AS\n" + "\nUNION ALL\n".join(parts or [_EMPTY])


def _parts(sql_dir: Path, contract: Contract) -> Iterator[str]:
    sale = contract.plays.sale
    if sale == "sql":
        yield (sql_dir / VIEW.replace(".", "/") / f"{contract.feed}.sql").read_text("utf-8").rstrip()
    elif sale:
        yield _lines(contract, sale)
        yield from (_amounts(contract, sale, column) for column in sale.once_an_order)


def _lines(contract: Contract, sale: Sale) -> str:
    quantity = sale.quantity or "1"
    if sale.unit_price:
        price = f"COALESCE({sale.unit_price}, 0)"
        full = f"{quantity} * {price}"
    else:
        full = f"COALESCE({sale.amount}, 0)"
        price = f"{full} / NULLIF({quantity}, 0)"
    amount = full
    if sale.discount:
        # The discount reduces the amount of a sale and the amount of a return.
        amount = f"{full} - CASE WHEN {full} < 0 THEN -1 ELSE 1 END * ABS(COALESCE({sale.discount}, 0))"
    came_back = f"{full} < 0" + (f" OR {sale.quantity} < 0" if sale.quantity else "")
    names = ", ".join(sale.product)
    product = f"COALESCE({names}, 'unknown')"
    named = f"COALESCE({sale.product_name}, {names}, 'unknown')" if sale.product_name else product
    return _select(
        contract,
        sale,
        product=product,
        product_name=named,
        line_type=f"CASE WHEN {came_back} THEN 'cancellation' ELSE 'sale' END",
        is_cancelled=f"CASE WHEN {came_back} THEN FALSE WHEN {_cancelled(sale)} THEN TRUE ELSE FALSE END",
        is_product="TRUE",
        quantity=quantity,
        unit_price=price,
        amount=amount,
    )


def _amounts(contract: Contract, sale: Sale, column: str) -> str:
    """Returns the SELECT of an order-level amount: a row in addition to the order's lines, named after its column."""
    kind, cancelled = sale.once_an_order[column], _cancelled(sale)
    where = f"\nWHERE {column} <> 0"
    if kind == "refund":  # a canceled order is reversed as a whole already
        where += f" AND NOT ({cancelled})"
    return (
        _select(
            contract,
            sale,
            product=f"'{column}'",
            product_name=f"'{column.replace('_', ' ')}'",
            line_type=f"'{kind}'",
            is_cancelled="FALSE" if kind == "refund" else f"CASE WHEN {cancelled} THEN TRUE ELSE FALSE END",
            is_product="FALSE",
            quantity="0",
            unit_price="NULL",
            amount=column if kind == "fee" else f"-ABS({column})",
        )
        + where
    )


def _select(contract: Contract, sale: Sale, **parts: str) -> str:
    customer, country = sale.customer or "NULL", sale.country or "NULL"
    if sale.customer and contract.erasure and (erased := contract.erasure.row.get(sale.customer)):
        customer = f"NULLIF({customer}, {_text(erased)})"  # an erased customer is unknown
    currency = f"UPPER({sale.currency})" if sale.currency_column else f"'{sale.currency}'"
    columns = {
        "feed": f"CAST('{contract.feed}' AS VARCHAR(64))",
        "event_id": "event_id",
        "event_time": "event_time",
        "order_id": _cast(sale.order or "event_id", "order"),
        "product_id": _cast(parts["product"], "product"),
        "product_name": _cast(parts["product_name"], "product_name"),
        "customer_id": _cast(f"COALESCE({customer}, 'unknown')", "customer"),
        "country": _cast(f"COALESCE({country}, 'unknown')", "country"),
        "currency": _cast(f"COALESCE({currency}, 'unknown')", "currency"),
        "line_type": f"CAST({parts['line_type']} AS VARCHAR(16))",
        "is_cancelled": parts["is_cancelled"],
        "is_product": parts["is_product"],
        "quantity": f"CAST({parts['quantity']} AS BIGINT)",
        "unit_price": f"CAST({parts['unit_price']} AS DECIMAL(18, 3))",
        "amount": f"CAST({parts['amount']} AS DECIMAL(18, 3))",
    }
    selected = ",\n".join(f"    {text}" if text == name else f"    {text} AS {name}" for name, text in columns.items())
    return f"SELECT\n{selected}\nFROM {contract.tables[0]}"


def _cast(text: str, part: str) -> str:
    return f"CAST({text} AS VARCHAR({WIDTHS[part]}))"


def _cancelled(sale: Sale) -> str:
    """Returns the condition for a canceled line, which is true or false and never NULL."""
    said = [
        f"{column} IS NOT NULL"
        if words == "any"
        else f"COALESCE({column}, '') IN ({', '.join(_text(word) for word in words)})"
        for column, words in sale.cancelled_where.items()
    ]
    return " OR ".join(said) or "1 = 0"


def _text(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"
