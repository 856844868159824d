"""What the real data must come to, computed by pandas straight from the CSV, by rules written down anew.

Nothing of the product is imported here: an error in its SQL cannot hide in both.
"""

from decimal import Decimal

import pandas as pd


class KnownAnswers:
    def __init__(self, path):
        raw = pd.read_csv(path, dtype=str, keep_default_na=False)
        lines = pd.DataFrame(
            {
                "invoice": raw["InvoiceNo"].str.strip(),
                "product": raw["StockCode"].str.strip().str.upper(),
                "quantity": raw["Quantity"].astype(int),
                "at": pd.to_datetime(raw["InvoiceDate"], format="%m/%d/%Y %H:%M"),
                # In thousandths of a pound, so that sums are exact.
                "price": raw["UnitPrice"].map(lambda text: int(Decimal(text) * 1000)),
                "customer": raw["CustomerID"].str.strip().str.removesuffix(".0"),
                "country": raw["Country"].str.strip(),
            }
        )
        lines["amount"] = lines["quantity"] * lines["price"]
        lines["day"] = lines["at"].dt.normalize()
        lines["is_product"] = lines["product"].str.match(r"\d{5}")
        lines["is_cancelled"] = lines["invoice"].str.startswith("C")
        lines["is_adjusted"] = ~lines["is_cancelled"] & (lines["invoice"].str.startswith("A") | (lines["quantity"] < 0))
        lines["is_charged"] = ~lines["is_cancelled"] & ~lines["is_adjusted"]
        self.lines = lines

    @staticmethod
    def pounds(thousandths):
        return {key: Decimal(int(value)) / 1000 for key, value in thousandths.items()}

    def net_revenue(self, frequency):
        """Period's first day, as text, to net revenue. frequency: a pandas period, M or Q."""
        start = self.lines["at"].dt.to_period(frequency).dt.start_time.dt.strftime("%Y-%m-%d")
        return self.pounds(self.lines.groupby(start)["amount"].sum())

    def invoices_and_customers(self):
        """Month's first day to (invoices, known customers) with a charge."""
        charged = self.lines[self.lines["is_charged"]]
        month = charged["at"].dt.strftime("%Y-%m-01")
        known = charged[charged["customer"] != ""]
        customers = known.groupby(known["at"].dt.strftime("%Y-%m-01"))["customer"].nunique()
        return {m: (int(n), int(customers[m])) for m, n in charged.groupby(month)["invoice"].nunique().items()}

    def top_products_by_season(self, count=10):
        """(first day of the season) to the products with the most net revenue, best first."""
        goods = self.lines[self.lines["is_product"]].copy()
        moved = goods["at"] + pd.DateOffset(months=1)  # December belongs to the winter that ends in February
        quarter = moved.dt.to_period("Q").dt.start_time - pd.DateOffset(months=1)
        sums = goods.groupby([quarter.dt.strftime("%Y-%m-%d"), "product"])["amount"].sum().reset_index(name="amount")
        sums.columns = ["season", "product", "amount"]
        sums = sums.sort_values(["season", "amount", "product"], ascending=[True, False, True])
        return {
            s: list(zip(g["product"][:count], [Decimal(int(a)) / 1000 for a in g["amount"][:count]], strict=True))
            for s, g in sums.groupby("season")
        }

    def top_countries(self, count=10):
        sums = self.lines.groupby("country")["amount"].sum().sort_values(ascending=False)[:count]
        return list(self.pounds(sums).items())

    def customers(self):
        """Customer to (first purchase, last purchase, invoices, net revenue, scores, segment)."""
        known = self.lines[self.lines["customer"] != ""]
        charged = known[known["is_charged"]]
        first = charged.groupby("customer")["day"].min()
        frame = pd.DataFrame(
            {
                "first": first,
                "last": charged.groupby("customer")["day"].max(),
                # An invoice is counted on each day that it has lines on.
                "invoices": charged.drop_duplicates(["customer", "day", "invoice"]).groupby("customer").size(),
            }
        )
        frame["net"] = known.groupby("customer")["amount"].sum()
        number = len(frame)

        def fifth(values):
            return 1 + (values.rank(method="min").astype(int) - 1) * 5 // number

        frame["r"], frame["f"], frame["m"] = fifth(frame["last"]), fifth(frame["invoices"]), fifth(frame["net"])

        def segment(row):
            if min(row["r"], row["f"], row["m"]) >= 4:
                return "champions"
            if min(row["r"], row["f"]) >= 3:
                return "loyal"
            if row["r"] >= 4:
                return "recent"
            if row["f"] >= 3:
                return "at_risk"
            return "fading" if row["r"] == 3 else "lost"

        return {
            customer: (
                row["first"].strftime("%Y-%m-%d"),
                row["last"].strftime("%Y-%m-%d"),
                int(row["invoices"]),
                Decimal(int(row["net"])) / 1000,
                (int(row["r"]), int(row["f"]), int(row["m"])),
                segment(row),
            )
            for customer, row in frame.iterrows()
        }
