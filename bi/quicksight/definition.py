"""The analysis and the dashboard as code: sheets with visuals on the data sets, in the form of QuickSight's API.

Shapes: Amazon QuickSight API reference, DashboardVersionDefinition. `sheets` is one table of visuals, and is therefore
not divided.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ecommerce_elt.dashboards.data_sets import DATA_SETS

ROWS_IN_A_RANKING = 15


@dataclass(frozen=True)
class Sheet:
    """One page of the dashboard.

    Attributes:
        filters: (column, accepted value) by visual id, for visuals that show only the rows with this value.
    """

    id: str
    title: str
    visuals: tuple[Mapping[str, Any], ...]
    filters: Mapping[str, tuple[Mapping[str, str], str]] = field(default_factory=dict)


class Visuals:
    """Creates the visuals of one data set."""

    def __init__(self, data_set: str) -> None:
        self.data_set = data_set

    def column(self, name: str) -> dict[str, str]:
        return {"DataSetIdentifier": self.data_set, "ColumnName": name}

    def _id(self, visual: str, name: str) -> str:
        return f"{visual}.{name}"

    def category(self, visual: str, name: str) -> dict[str, Any]:
        return {"CategoricalDimensionField": {"FieldId": self._id(visual, name), "Column": self.column(name)}}

    def number(self, visual: str, name: str) -> dict[str, Any]:
        return {"NumericalDimensionField": {"FieldId": self._id(visual, name), "Column": self.column(name)}}

    def date(self, visual: str, name: str, granularity: str) -> dict[str, Any]:
        return {
            "DateDimensionField": {
                "FieldId": self._id(visual, name),
                "Column": self.column(name),
                "DateGranularity": granularity,
            }
        }

    def measure(self, visual: str, name: str, how: str = "SUM") -> dict[str, Any]:
        return {
            "NumericalMeasureField": {
                "FieldId": self._id(visual, name),
                "Column": self.column(name),
                "AggregationFunction": {"SimpleNumericalAggregation": how},
            }
        }

    def count(self, visual: str, name: str) -> dict[str, Any]:
        return {
            "CategoricalMeasureField": {
                "FieldId": self._id(visual, name),
                "Column": self.column(name),
                "AggregationFunction": "COUNT",
            }
        }

    @staticmethod
    def _visual(
        kind: str, visual: str, title: str, wells: str | None, fields: dict[str, Any], **more: Any
    ) -> dict[str, Any]:
        return {
            kind: {
                "VisualId": visual,
                "Title": {"Visibility": "VISIBLE", "FormatText": {"PlainText": title}},
                "ChartConfiguration": {"FieldWells": {wells: fields} if wells else fields, **more},
            }
        }

    def line(
        self, visual: str, title: str, date: str, granularity: str, measures: Sequence[str], *, each: str = ""
    ) -> dict[str, Any]:
        fields = {
            "Category": [self.date(visual, date, granularity)],
            "Values": [self.measure(visual, m) for m in measures],
        } | self._each(visual, each)
        return self._visual("LineChartVisual", visual, title, "LineChartAggregatedFieldWells", fields)

    def bars(
        self,
        visual: str,
        title: str,
        category: str,
        measure: dict[str, Any],
        *,
        by: str = "",
        ranking: bool = False,
        each: str = "",
    ) -> dict[str, Any]:
        fields: dict[str, Any] = {"Category": [self.category(visual, category)], "Values": [measure]}
        fields |= self._each(visual, each)
        if by:
            fields["Colors"] = [self.category(visual, by)]
        [value] = measure.values()
        order = (
            {
                "CategorySort": [{"FieldSort": {"FieldId": value["FieldId"], "Direction": "DESC"}}],
                "CategoryItemsLimit": {"ItemsLimit": ROWS_IN_A_RANKING, "OtherCategories": "EXCLUDE"},
            }
            if ranking
            else {"CategorySort": [{"FieldSort": {"FieldId": self._id(visual, category), "Direction": "ASC"}}]}
        )
        direction = "HORIZONTAL" if ranking else "VERTICAL"
        return self._visual(
            "BarChartVisual",
            visual,
            title,
            "BarChartAggregatedFieldWells",
            fields,
            Orientation=direction,
            SortConfiguration=order,
        )

    def date_bars(
        self, visual: str, title: str, date: str, granularity: str, measures: Sequence[str], *, each: str = ""
    ) -> dict[str, Any]:
        fields = {
            "Category": [self.date(visual, date, granularity)],
            "Values": [self.measure(visual, m) for m in measures],
        } | self._each(visual, each)
        return self._visual("BarChartVisual", visual, title, "BarChartAggregatedFieldWells", fields)

    def _each(self, visual: str, name: str) -> dict[str, Any]:
        """Returns one panel per value, so that no bar or line mixes two currencies; empty without a column."""
        return {"SmallMultiples": [self.category(visual, name)]} if name else {}

    def kpi(self, visual: str, title: str, measure: dict[str, Any]) -> dict[str, Any]:
        return self._visual("KPIVisual", visual, title, None, {"Values": [measure]})

    def heat_map(
        self, visual: str, title: str, row: dict[str, Any], column: dict[str, Any], measure: dict[str, Any]
    ) -> dict[str, Any]:
        fields = {"Rows": [row], "Columns": [column], "Values": [measure]}
        return self._visual("HeatMapVisual", visual, title, "HeatMapAggregatedFieldWells", fields)

    def table(self, visual: str, title: str, by: Sequence[str], measures: Sequence[dict[str, Any]]) -> dict[str, Any]:
        fields = {"GroupBy": [self.category(visual, name) for name in by], "Values": list(measures)}
        return self._visual("TableVisual", visual, title, "TableAggregatedFieldWells", fields)


def sheets() -> tuple[Sheet, ...]:
    """Returns the pages, one for each question that the dashboard answers."""
    sales, quarters, countries = Visuals("sales_trends"), Visuals("quarterly_revenue"), Visuals("sales_by_country")
    sellers, pairs = Visuals("best_sellers"), Visuals("basket_pairs")
    customers, cohorts = Visuals("customer_behaviour"), Visuals("customer_cohorts")
    people, patterns, stock = Visuals("demographics"), Visuals("consumption_patterns"), Visuals("inventory")
    forecast, orders = Visuals("demand_forecast"), Visuals("reorder_level")
    period = sellers.column("period")
    return (
        Sheet(
            "sales-trends",
            "Sales trends",
            (
                sales.bars(
                    "net-revenue",
                    "Net revenue by feed",
                    "feed",
                    sales.measure("net-revenue", "net_revenue"),
                    each="currency",
                ),
                sales.kpi("units-sold", "Units", sales.measure("units-sold", "units")),
                sales.line(
                    "revenue-by-week", "Net revenue by week", "sale_date", "WEEK", ["net_revenue"], each="currency"
                ),
                sales.date_bars(
                    "gross-and-cancelled",
                    "Gross and cancelled by month",
                    "sale_date",
                    "MONTH",
                    ["gross_revenue", "cancelled_revenue"],
                    each="currency",
                ),
                quarters.date_bars(
                    "revenue-by-quarter",
                    "Net revenue by quarter",
                    "quarter_start",
                    "QUARTER",
                    ["net_revenue"],
                    each="currency",
                ),
                countries.bars(
                    "top-countries",
                    "Net revenue by country",
                    "country",
                    countries.measure("top-countries", "net_revenue"),
                    ranking=True,
                    each="currency",
                ),
            ),
        ),
        Sheet(
            "best-sellers",
            "Best sellers",
            (
                sellers.bars(
                    "sellers-by-season",
                    "Best sellers by season",
                    "description",
                    sellers.measure("sellers-by-season", "net_revenue"),
                    by="season",
                    ranking=True,
                    each="currency",
                ),
                sellers.bars(
                    "sellers-by-quarter",
                    "Best sellers by quarter",
                    "description",
                    sellers.measure("sellers-by-quarter", "net_revenue"),
                    ranking=True,
                    each="currency",
                ),
                pairs.table(
                    "bought-together",
                    "Bought together",
                    ["description_a", "description_b"],
                    [
                        pairs.measure("bought-together", "invoices_together"),
                        pairs.measure("bought-together", "lift", "AVERAGE"),
                    ],
                ),
            ),
            {"sellers-by-season": (period, "season"), "sellers-by-quarter": (period, "quarter")},
        ),
        Sheet(
            "behaviour",
            "Customer behaviour",
            (
                customers.bars(
                    "segments",
                    "Customers by segment",
                    "segment",
                    customers.count("segments", "customer_id"),
                    ranking=True,
                ),
                customers.bars(
                    "revenue-by-segment",
                    "Net revenue by segment",
                    "segment",
                    customers.measure("revenue-by-segment", "net_revenue"),
                    ranking=True,
                    each="currency",
                ),
                customers.bars(
                    "first-and-repeat",
                    "Bought once, bought again",
                    "customer_type",
                    customers.count("first-and-repeat", "customer_id"),
                ),
                cohorts.heat_map(
                    "cohorts",
                    "Customers who came back, by months since the first purchase",
                    cohorts.date("cohorts", "cohort_month", "MONTH"),
                    cohorts.number("cohorts", "months_since_first"),
                    cohorts.measure("cohorts", "retention", "AVERAGE"),
                ),
            ),
        ),
        Sheet(
            "demographics",
            "Demographics",
            (
                people.bars(
                    "age-groups",
                    "Spent by age group and gender",
                    "age_group",
                    people.measure("age-groups", "amount"),
                    by="gender",
                ),
                people.bars("states", "Spent by state", "state", people.measure("states", "amount"), ranking=True),
                people.line("purchases-by-day", "Purchases by day", "purchase_date", "DAY", ["purchases"]),
            ),
        ),
        Sheet(
            "consumption",
            "Consumption patterns",
            (
                patterns.heat_map(
                    "affinity",
                    "Who buys what more often than others (1 is average)",
                    patterns.category("affinity", "product_name"),
                    patterns.category("affinity", "age_group"),
                    patterns.measure("affinity", "affinity", "AVERAGE"),
                ),
                patterns.bars(
                    "products",
                    "Purchases by product and gender",
                    "product_name",
                    patterns.measure("products", "purchases"),
                    by="gender",
                    ranking=True,
                ),
            ),
        ),
        Sheet(
            "inventory",
            "Inventory",
            (
                stock.bars(
                    "stock-status", "Products by stock status", "status", stock.count("stock-status", "product_id")
                ),
                stock.table(
                    "cover",
                    "Stock and sales",
                    ["product_id", "status"],
                    [
                        stock.measure("cover", name)
                        for name in ("on_hand", "days_of_cover", "sold_last_28_days", "stock_out_days")
                    ],
                ),
            ),
        ),
        Sheet(
            "forecast",
            "Demand forecast",
            (
                forecast.line(
                    "forecast-by-day",
                    "Median of the demand by day, all products",
                    "forecast_date",
                    "DAY",
                    ["units_p50"],
                ),
                forecast.bars(
                    "forecast-by-class",
                    "Median of the demand by class",
                    "demand_class",
                    forecast.measure("forecast-by-class", "units_p50"),
                    by="method",
                ),
                orders.table(
                    "what-to-order",
                    "What to order",
                    ["product_id", "description", "demand_class"],
                    [
                        orders.measure("what-to-order", name)
                        for name in (
                            "order_quantity",
                            "on_hand",
                            "days_until_stock_out",
                            "reorder_point",
                            "safety_stock",
                        )
                    ],
                ),
            ),
        ),
    )


def definition(arn_of: Mapping[str, str]) -> dict[str, Any]:
    """Returns the definition for the analysis and for the dashboard.

    Args:
        arn_of: ARN of each data set by its id.
    """
    pages = sheets()
    return {
        "DataSetIdentifierDeclarations": [{"Identifier": d.id, "DataSetArn": arn_of[d.id]} for d in DATA_SETS],
        "Sheets": [
            {"SheetId": page.id, "Name": page.title, "ContentType": "INTERACTIVE", "Visuals": list(page.visuals)}
            for page in pages
        ],
        "FilterGroups": [
            _only(page.id, visual, column, value) for page in pages for visual, (column, value) in page.filters.items()
        ],
        "AnalysisDefaults": {
            "DefaultNewSheetConfiguration": {
                "InteractiveLayoutConfiguration": {
                    "Grid": {"CanvasSizeOptions": {"ScreenCanvasSizeOptions": {"ResizeOption": "RESPONSIVE"}}}
                },
                "SheetContentType": "INTERACTIVE",
            }
        },
    }


def _only(sheet: str, visual: str, column: Mapping[str, str], value: str) -> dict[str, Any]:
    return {
        "FilterGroupId": f"only-{visual}",
        "CrossDataset": "SINGLE_DATASET",
        "Status": "ENABLED",
        "Filters": [
            {
                "CategoryFilter": {
                    "FilterId": f"only-{visual}",
                    "Column": dict(column),
                    "Configuration": {
                        "FilterListConfiguration": {"MatchOperator": "CONTAINS", "CategoryValues": [value]}
                    },
                }
            }
        ],
        "ScopeConfiguration": {
            "SelectedSheets": {
                "SheetVisualScopingConfigurations": [
                    {"SheetId": sheet, "Scope": "SELECTED_VISUALS", "VisualIds": [visual]}
                ]
            }
        },
    }
