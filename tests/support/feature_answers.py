"""What the data sets for learning must come to on the real file, computed by pandas straight from the CSV, by rules written anew.

Nothing of the product is imported here: an error in its SQL cannot hide in both.
"""

import pandas as pd

from tests.e2e.known_answers import KnownAnswers


class FeatureAnswers(KnownAnswers):
    def customers_of(self, cut_off):
        """One row a customer who bought before the day, indexed by customer; money in thousandths of a pound."""
        day = pd.Timestamp(cut_off)
        known = self.lines[self.lines["customer"] != ""]
        past, future = known[known["at"] < day], known[(known["at"] >= day) & known["is_charged"]]
        bought = past[past["is_charged"]]
        of_customer = bought.groupby("customer")
        frame = pd.DataFrame(
            {
                "recency_days": (day - of_customer["day"].max()).dt.days,
                "tenure_days": (day - of_customer["day"].min()).dt.days,
                "purchase_days": of_customer["day"].nunique(),
                "invoices": of_customer["invoice"].nunique(),
            }
        )
        for days in (30, 90):
            recent = bought[bought["day"] >= day - pd.Timedelta(days=days)]
            frame[f"invoices_{days}_days"] = recent.groupby("customer")["invoice"].nunique()
        recent = past[past["day"] >= day - pd.Timedelta(days=90)]
        frame["net_revenue"] = past.groupby("customer")["amount"].sum()
        frame["net_revenue_90_days"] = recent.groupby("customer")["amount"].sum()
        charged = of_customer["amount"].sum()
        frame["average_basket"] = charged / frame["invoices"]
        moved = past[past["is_product"] & ~past["is_adjusted"]]
        frame["units"] = moved.groupby("customer")["quantity"].sum()
        frame["different_products"] = bought[bought["is_product"]].groupby("customer")["product"].nunique()
        cancelled = past[past["is_cancelled"]].groupby("customer")
        frame["cancellations"] = cancelled["invoice"].nunique()
        frame["returned_share"] = (-cancelled["amount"].sum() / charged.where(charged > 0)).clip(upper=1)
        frame = frame.fillna(0)
        for days in (30, 90):
            soon = future[future["day"] < day + pd.Timedelta(days=days)]
            frame[f"label_bought_{days}_days"] = frame.index.isin(soon["customer"])
        return frame

    def product_weeks(self):
        """Pieces sold by product and Monday, a column a week; 0 where none was."""
        sold = self.lines[self.lines["is_charged"] & self.lines["is_product"]]
        monday = sold["day"] - pd.to_timedelta(sold["day"].dt.weekday, unit="D")
        table = sold.groupby(["product", monday])["quantity"].sum().unstack(fill_value=0)
        weeks = pd.date_range(table.columns.min(), table.columns.max(), freq="W-MON")
        return table.reindex(columns=weeks, fill_value=0)
