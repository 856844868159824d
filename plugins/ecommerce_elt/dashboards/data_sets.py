"""What the BI tools get: data sets on the marts, and when one is due for a refresh."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ecommerce_elt.warehouse.redshift import Column, Warehouse


@dataclass(frozen=True)
class DataSet:
    """One data set: its SQL is `include/sql/export/<id>/select.sql`, its rows are those of the marts."""

    id: str
    title: str
    marts: tuple[str, ...]

    def sql(self, sql_dir: Path) -> str:
        return (sql_dir / "export" / self.id / "select.sql").read_text("utf-8")

    def columns(self, target: Warehouse, sql_dir: Path) -> list[Column]:
        """Returns the columns that the SQL gives on the warehouse now."""
        return target.table(self.sql(sql_dir).rstrip() + "\nLIMIT 0")[0]

    def physical_id(self, prefix: str) -> str:
        """The id in a QuickSight account, where other stacks may have the same data sets."""
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
    """Returns when a mart of the data sets was last published, None where none was.

    Args:
        published: mart to the time of its last publication, in UTC.
    """
    return max((published[m] for d in data_sets for m in d.marts if m in published), default=None)


def last_refresh(ingestions: Iterable[Mapping[str, Any]]) -> datetime | None:
    """Returns when the last ingestion that did not fail began; `ingestions` are members of QuickSight's ListIngestions."""
    good = [i["CreatedTime"] for i in ingestions if i["IngestionStatus"] not in {"FAILED", "CANCELLED"}]
    return max(good, default=None)


def due(changed: datetime | None, last: datetime | None, *, now: datetime, every: timedelta) -> bool:
    """Tells whether the marts changed after the last refresh began, and that refresh is long enough ago.

    Args:
        every: the least time between two refreshes. QuickSight takes 32 a day (Refreshing SPICE data, user guide).
    """
    if changed is None:
        return False
    return last is None or (changed > last and now - last >= every)


def utc(text: str) -> datetime:
    """Returns the time that the Data API wrote as text."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
