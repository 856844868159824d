"""Erases one customer from the warehouse, and counts the rows that name one."""

from __future__ import annotations

from ecommerce_elt.erasure.customers import Customer
from ecommerce_elt.settings import Settings
from ecommerce_elt.warehouse.redshift import Warehouse, render, texts

# The transaction that erases a customer. These statements precede erase.sql of each table that names customers.
ERASE = ("ops/load/lock_staging.sql", "ops/load/empty_staging.sql", "ops/erase/mark_stale_dates.sql")


def erase_core(target: Warehouse, customer: Customer, settings: Settings, *, request: str) -> None:
    """Erases the customer from the feed's tables in one transaction, and marks their days for every mart of the feed.

    Args:
        target: the warehouse.
        customer: the customer.
        settings: the settings.
        request: the name of the change in ops.stale_date.
    """
    names = {
        "staging": customer.contract.staging,
        "fact": customer.contract.tables[0],
        "customer": customer.erasure.customer,
    }
    steps = [*ERASE, *(f"{table.replace('.', '/')}/erase.sql" for table in customer.erasure.tables)]
    values = {"feed": customer.feed, "customer_id": customer.name, "request": request}
    target.run(texts(settings.sql_dir, steps, names), values, name=f"erase {request}")


def count_in_warehouse(target: Warehouse, customer: Customer, settings: Settings) -> dict[str, int]:
    """Returns the number of rows that name the customer, by table with a column for the feed's customers."""
    sql = (settings.sql_dir / "ops/erase_search/columns.sql").read_text("utf-8")
    count = (settings.sql_dir / "ops/erase_search/count.sql").read_text("utf-8")
    columns = {customer.erasure.customer, customer.erasure.customer.replace("_", "")}
    found = {}
    for table, column in target.query(sql):
        if column in columns:
            names = {"table": table, "customer": column}
            found[table] = int(target.query(render(count, names), {"customer_id": customer.name})[0][0])
    return found
