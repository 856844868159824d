"""The demand as a matrix of products and days, and the part of it that is known at an origin."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

HORIZON_DAYS = 28
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
ACTIVE_DAYS = 91  # a product without demand for longer is not forecast, because for most such products it stays zero
LONGEST_DAYS = 3 * 366  # older demand adds little information and takes memory
NEW_DAYS = 56  # two horizons: a product with a shorter past has no weekly pattern to learn from
ENOUGH_HOLIDAYS = 3  # holidays without a sale; on fewer, the shop may have sold nothing by chance
OPEN_WEEKDAY_DAYS = 56  # the shop is closed on a weekday without any sale in this period

# Syntetos, Boylan, Croston (2005), On the categorization of demand patterns, JORS 56: the cut-off values.
ADI_CUT, CV2_CUT = 1.32, 0.49
CLASSES = ("smooth", "erratic", "intermittent", "lumpy", "new")

SCHEMA = pa.schema(
    [
        ("feed", pa.string()),
        ("product_id", pa.string()),
        ("day", pa.date32()),
        ("units", pa.float64()),
        ("revenue", pa.float64()),
    ]
)
BETWEEN = "/"  # separates feed and product in a panel's id; the name of a feed has no slash


@dataclass(frozen=True)
class Panel:
    """Units and revenue of each product and day, including the last day.

    Attributes:
        products: feed, BETWEEN and product id; sorted; shape (n,).
        days: the days on weekdays on which the shop is open, without other gaps; shape (t,), datetime64[D].
        units: units of demand, zero on days without demand; shape (n, t).
        revenue: revenue of these units; shape (n, t).
        season: number of open days per week.
    """

    products: np.ndarray
    days: np.ndarray
    units: np.ndarray
    revenue: np.ndarray
    season: int

    def until(self, origin: np.datetime64) -> Panel:
        """Returns the panel that a forecast at the origin may use.

        It has the days before the origin, and the products that had demand on them.
        """
        cut = int(np.searchsorted(self.days, origin))
        known = self.units[:, :cut].sum(axis=1) > 0
        return Panel(
            self.products[known], self.days[:cut], self.units[known, :cut], self.revenue[known, :cut], self.season
        )

    def recent(self, days: int) -> Panel:
        """Returns the panel of the last `days` calendar days."""
        cut = int(np.searchsorted(self.days, self.end - days))
        return Panel(self.products, self.days[cut:], self.units[:, cut:], self.revenue[:, cut:], self.season)

    def of(self, chosen: np.ndarray) -> Panel:
        """Returns the panel of the chosen products, given as a mask or as positions."""
        return Panel(self.products[chosen], self.days, self.units[chosen], self.revenue[chosen], self.season)

    @property
    def end(self) -> np.datetime64:
        """The day after the last day, which is the origin of a forecast from this panel."""
        return np.datetime64(self.days[-1] + 1)

    def active(self) -> np.ndarray:
        """Returns a mask of the products to forecast, with demand in the last ACTIVE_DAYS; shape (n,), boolean."""
        return np.asarray(self.recent(ACTIVE_DAYS).units.sum(axis=1) > 0)

    def first_days(self) -> np.ndarray:
        """Returns the day of each product's first demand; shape (n,), datetime64[D]. Each product has one."""
        return np.asarray(self.days[np.argmax(self.units > 0, axis=1)])

    def prices(self) -> np.ndarray:
        """Returns the price of each product as of each day; shape (n, t).

        It is the revenue per unit on the last day with a sale, and 0 before the first sale.
        """
        sold = (self.units > 0) & (self.revenue > 0)
        last = np.maximum.accumulate(np.where(sold, np.arange(len(self.days)), -1), axis=1)
        price = np.divide(self.revenue, self.units, out=np.zeros_like(self.units), where=sold)
        return np.where(last >= 0, np.take_along_axis(price, np.maximum(last, 0), axis=1), 0)

    def classes(self) -> np.ndarray:
        """Returns the class of each product, by its last ACTIVE_DAYS; shape (n,), strings of CLASSES."""
        units = self.recent(ACTIVE_DAYS).units
        sold = units > 0
        count = sold.sum(axis=1)
        interval = units.shape[1] / np.maximum(count, 1)
        mean = units.sum(axis=1) / np.maximum(count, 1)
        spread = np.where(sold, (units - mean[:, None]) ** 2, 0).sum(axis=1) / np.maximum(count, 1)
        varies = spread / np.maximum(mean, 1e-9) ** 2 >= CV2_CUT
        rare = interval >= ADI_CUT
        found = np.select([rare & varies, rare, varies], ["lumpy", "intermittent", "erratic"], "smooth")
        return np.where(self.end - self.first_days() < np.timedelta64(NEW_DAYS, "D"), "new", found)

    def fingerprint(self) -> str:
        """Returns a digest of the panel's content. The same demand has the same digest."""
        digest = hashlib.sha256()
        for part in ("\n".join(self.products).encode(), self.days.astype("int64").tobytes()):
            digest.update(part)
        for values in (self.units, self.revenue):
            digest.update(np.ascontiguousarray(values.round(3)).tobytes())
        return digest.hexdigest()


def horizon(panel: Panel, days: int = HORIZON_DAYS) -> np.ndarray:
    """Returns the open days among the next `days` calendar days; shape (h,), datetime64[D]."""
    following = panel.end + np.arange(days)
    if panel.season == 7:
        return following
    return following[np.isin(weekday(following), np.unique(weekday(panel.days[-2 * panel.season :])))]


def closed(panel: Panel, ahead: np.ndarray, country: str) -> np.ndarray:
    """Returns which of the days ahead are public holidays on which the shop is closed; shape (h,), boolean.

    The shop counts as closed on public holidays if it sold nothing on those of the panel, and if these are at least
    ENOUGH_HOLIDAYS.

    Args:
        panel: the demand.
        ahead: the days to check; shape (h,).
        country: code of the country in ISO 3166-1, or of its subdivision in ISO 3166-2, such as GB-ENG. If it is empty,
            there are no holidays.

    Raises:
        ValueError: the package `holidays` does not know the code.
    """
    if not country:
        return np.zeros(len(ahead), dtype=bool)
    import holidays

    years = range(int(str(panel.days[0])[:4]), int(str(ahead[-1])[:4]) + 1)
    code, _, part = country.partition("-")
    try:
        found = holidays.country_holidays(code, subdiv=part or None, years=years)
    except NotImplementedError as error:
        raise ValueError(f"country {country!r}: {error}") from error
    public = np.array(sorted(found), dtype="datetime64[D]")
    past = np.isin(panel.days, public)
    is_closed = past.sum() >= ENOUGH_HOLIDAYS and not panel.units[:, past].any()
    return np.isin(ahead, public) & is_closed


def weekday(days: np.ndarray) -> np.ndarray:
    """Returns the weekday of each day; Monday is 0."""
    return (days.astype("datetime64[D]").astype("int64") + 3) % 7


def read(table: pa.Table) -> Panel:
    """Returns the panel of rows (feed, product_id, day, units, revenue), one per product and day with demand.

    Negative units (more was canceled than sold) do not count as demand. Days LONGEST_DAYS or more before the last day
    are excluded. Weekdays without a sale in the last OPEN_WEEKDAY_DAYS are excluded as well, because the shop is closed
    on them.

    Raises:
        ValueError: a column is missing, has another type or has empty values, a product has two rows for a day, or
            there is no demand.
    """
    if missing := [name for name in SCHEMA.names if name not in table.column_names]:
        raise ValueError(f"demand: columns {missing} are missing; expected {SCHEMA.names}, found {table.column_names}")
    table = table.select(SCHEMA.names).cast(SCHEMA)
    if nulls := [name for name in SCHEMA.names if table[name].null_count]:
        raise ValueError(f"demand: columns {nulls} have empty values; expected none")
    table = table.filter(pc.greater(table["units"], 0))
    if not table.num_rows:
        raise ValueError("demand: no row has units above zero; there is nothing to learn from")
    begin = pc.max(table["day"]).as_py() - timedelta(days=LONGEST_DAYS)
    table = table.filter(pc.greater(table["day"], begin))
    ids = pc.binary_join_element_wise(table["feed"], table["product_id"], BETWEEN)
    names, row = np.unique(ids.to_numpy(zero_copy_only=False).astype(str), return_inverse=True)
    when = table["day"].to_numpy().astype("datetime64[D]")
    days = np.arange(when.min(), when.max() + 1)
    column = (when - days[0]).astype("int64")
    cells = row * len(days) + column
    if len(np.unique(cells)) < len(cells):
        twice = cells[np.argmax(np.bincount(cells)[cells] > 1)]
        raise ValueError(
            f"demand: product {names[twice // len(days)]} is twice on {days[twice % len(days)]}; expected one row"
        )
    units, revenue = (np.zeros((len(names), len(days))) for _ in range(2))
    units[row, column] = table["units"].to_numpy()
    revenue[row, column] = table["revenue"].to_numpy()
    last = weekday(days)[-OPEN_WEEKDAY_DAYS:], units.sum(axis=0)[-OPEN_WEEKDAY_DAYS:]
    is_known = len(days) >= OPEN_WEEKDAY_DAYS  # with a shorter past, every weekday counts as open
    open_days = np.isin(weekday(days), np.unique(last[0][last[1] > 0])) | (not is_known)
    season = len(np.unique(weekday(days[open_days]))) if is_known else 7
    return Panel(names, days[open_days], units[:, open_days], revenue[:, open_days], season)
