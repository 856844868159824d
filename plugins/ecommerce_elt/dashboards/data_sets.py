"""The data sets for BI tools, which are based on the marts, and the times of their refreshes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ecommerce_elt.warehouse.redshift import Column, Warehouse


@dataclass(frozen=True)
class DataSet:
    """One data set. Its SQL is `include/sql/export/<id>/select.sql`, and its rows come from the marts."""

    id: str
    title: str
    marts: tuple[str, ...]

    def sql(self, sql_dir: Path) -> str:
        return (sql_dir / "export" / self.id / "select.sql").read_text("utf-8")

    def columns(self, target: Warehouse, sql_dir: Path) -> list[Column]:
        """Returns the current columns of the SQL's result in the warehouse."""
        return target.table(self.sql(sql_dir).rstrip() + "\nLIMIT 0")[0]

    def physical_id(self, prefix: str) -> str:
        """Returns the id in a QuickSight account, prefixed because several stacks can share the account."""
        return f"{prefix}-{self.id.replace('_', '-')}"


DATA_SETS = (
    DataSet("sales_trends", "Sales trends", ("mart.sales_daily",)),
    DataSet("quarterly_revenue", "Quarterly revenue", ("mart.sales_quarterly",)),
    DataSet("sales_by_country", "Sales by country", ("mart.sales_by_country",)),
    DataSet(
        "best_sellers",
        "Best sellers",
        tuple(f"mart.best_sellers_{p}" for p in ("daily", "monthly", "quarterly", "seasonal")),
    ),
    DataSet("basket_pairs", "Bought together", ("mart.basket_pairs_monthly",)),
    DataSet("customer_behaviour", "Customer behaviour", ("mart.customer_behaviour",)),
    DataSet("customer_cohorts", "Customer cohorts", ("mart.customer_cohorts",)),
    DataSet("demographics", "Demographics", ("mart.demographics_daily",)),
    DataSet("consumption_patterns", "Consumption patterns", ("mart.consumption_monthly",)),
    DataSet("inventory", "Inventory", ("mart.inventory_level",)),
    DataSet("demand_forecast", "Demand forecast", ("mart.demand_forecast",)),
    DataSet("reorder_level", "Reorder levels", ("mart.reorder_level",)),
)


def changed_at(data_sets: Iterable[DataSet], published: Mapping[str, datetime]) -> datetime | None:
    """Returns the time at which a mart of the data sets was last published; None if none was.

    Args:
        data_sets: the data sets.
        published: the time of each mart's last publication, in UTC.
    """
    return max((published[m] for d in data_sets for m in d.marts if m in published), default=None)


def last_refresh(ingestions: Iterable[Mapping[str, Any]]) -> datetime | None:
    """Returns the start of the last ingestion that did not fail; `ingestions` are from QuickSight's ListIngestions."""
    good = [i["CreatedTime"] for i in ingestions if i["IngestionStatus"] not in {"FAILED", "CANCELLED"}]
    return max(good, default=None)


def due(changed: datetime | None, last: datetime | None, *, now: datetime, every: timedelta) -> bool:
    """Returns whether the marts changed after the last refresh began, and that refresh is long enough ago.

    Args:
        changed: the time of the last publication; None if there was none.
        last: the start of the last refresh; None if there was none.
        now: the current time.
        every: the shortest time between two refreshes. QuickSight allows 32 a day (Refreshing SPICE data, user guide).
    """
    if changed is None:
        return False
    return last is None or (changed > last and now - last >= every)


def utc(text: str) -> datetime:
    """Returns the time of a text from the Data API, in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
