"""Marts on the Redshift stand-in: right figures, incremental as from nothing, checked before they are seen, fenced."""

import gzip
import shutil
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from ecommerce_elt.batches.manifests import RawObject, new_manifest
from ecommerce_elt.cleaning.cleaner import clean_batch
from ecommerce_elt.errors import PermanentError
from ecommerce_elt.feeds.events import envelope
from ecommerce_elt.feeds.sales import SALE
from ecommerce_elt.load import transaction as load_transaction
from ecommerce_elt.marts import builds
from ecommerce_elt.marts.builds import MARTS, ChecksFailed

from producer.simulate import simulated
from tests.conftest import PROJECT

SQL = PROJECT / "include" / "sql"
SUBJECTS = list(dict.fromkeys(mart.subject for mart in MARTS))
TABLES = [mart.table for mart in MARTS]


class Shop:
    """Loads events through the product's own cleaning and load, and builds marts."""

    def __init__(self, observer, config, contracts, tables=None):
        self.observer, self.contracts, self.target = observer, contracts, observer.warehouse
        self.config = config.model_copy(update={"bucket": observer.bucket})
        core = {t for c in (tables or contracts).values() for t in (*c.tables, c.staging)}
        state = {"ops.batch_audit", "ops.batch_object", "ops.stale_date", "ops.check_results"}
        state |= {"mart.demand_forecast", "mart.lead_time_demand"}
        builds.register(self.target, SQL, tables or contracts)
        emptied = sorted(core | state | (set(TABLES) - {"core.dim_date"}))
        for start in range(0, len(emptied), 30):
            self.target.run([f"DELETE FROM {table}" for table in emptied[start : start + 30]])
        # The calendar takes a while to write: only what tests added to it goes.
        self.target.run(["DELETE FROM core.dim_date WHERE date_day < '2000-01-01' OR date_day > '2049-12-31'"])

    def load(self, feed, events, version=1):
        """events: (event id, moment, record)."""
        lines = [
            envelope(
                event_id=i,
                feed=feed,
                version=1,
                event_time=at,
                sent_at="2026-01-01T00:00:00Z",
                data=data,
                event_version=version,
            )
            for i, at, data in events
        ]
        body = gzip.compress(b"".join(line + b"\n" for line in lines), 1, mtime=0)
        key = f"raw/feed={feed}/dt=2026-01-01/hour=00/{uuid.uuid4().hex}.jsonl.gz"
        etag = self.observer.s3.put_object(Bucket=self.config.bucket, Key=key, Body=body)["ETag"].strip('"')
        manifest = new_manifest(feed, [RawObject(key, etag, len(body), self.config.bucket)], datetime.now(UTC))
        return load_transaction.load_batch(
            self.target, clean_batch(self.observer.s3, manifest, self.config), self.config
        )

    def build(self, *subjects, rebuild=False):
        builds.register(self.target, SQL, self.contracts, rebuild=rebuild)
        chosen = [builds.DIMENSIONS, *subjects] if subjects else SUBJECTS
        return {s: builds.build_subject(self.target, s, SQL) for s in chosen}

    def content(self, *tables):
        return {t: sorted(self.target.query(f"SELECT * FROM {t}"), key=repr) for t in tables or TABLES}


@pytest.fixture
def shop(observer, config, contracts):
    return Shop(observer, config, contracts)


def sale(invoice, code, quantity, price, day, customer="17850", country="United Kingdom", name="MUG"):
    at = datetime.fromisoformat(day).replace(hour=10, tzinfo=UTC)
    record = {
        "InvoiceNo": invoice,
        "StockCode": code,
        "Description": name,
        "Quantity": str(quantity),
        "InvoiceDate": at.strftime("%Y-%m-%d %H:%M"),
        "UnitPrice": str(price),
        "CustomerID": customer,
        "Country": country,
    }
    return f"{invoice}-{code}-{quantity}-{day}", at, record


WEEK = [
    sale("536365", "85123A", 6, "2.55", "2010-12-01"),
    sale("536365", "71053", 2, "3.00", "2010-12-01", name="LANTERN"),
    sale("536366", "POST", 1, "18.00", "2010-12-01", customer="", country="France"),
    sale("C536379", "85123A", -2, "2.55", "2010-12-02"),
    sale("536380", "85123A", 10, "2.50", "2010-12-31", customer="13047", country="EIRE"),
    sale("536381", "71053", -3, "0", "2010-12-31", customer=""),
    sale("536390", "85123A", 1, "2.50", "2011-01-01", country="EIRE"),
    sale("A563185", "B", 1, "-11.00", "2011-01-01", customer=""),
]


def test_an_event_40_days_late_and_a_correction_land_on_their_days(shop):
    today = datetime.now(UTC).date()
    late, then = (today - timedelta(days=40)).isoformat(), (today - timedelta(days=41)).isoformat()

    def days():
        shop.build("sales")
        return dict(shop.target.query("SELECT period_start, units FROM mart.sales_daily"))

    shop.load("online_retail", [sale("1", "85123A", 5, "2.00", today.isoformat())])
    assert days() == {today.isoformat(): 5}
    event, at, record = sale("2", "85123A", 7, "2.00", late)
    shop.load("online_retail", [(event, at, record)])
    assert days() == {late: 7, today.isoformat(): 5}
    shop.load("online_retail", [(event, at, record | {"Quantity": "3"})], version=2)
    assert days() == {late: 3, today.isoformat(): 5}
    shop.load("online_retail", [(event, at, record)])  # the first version again
    assert days() == {late: 3, today.isoformat(): 5}
    shop.load("online_retail", [(event, at - timedelta(days=1), record)], version=3)
    assert days() == {then: 7, today.isoformat(): 5}


def test_each_measure_on_lines_counted_by_hand(shop):
    shop.load("online_retail", WEEK)
    shop.build("sales", "products")
    columns = (
        "period_start, gross_revenue, cancelled_revenue, adjusted_revenue, net_revenue, invoices, cancellations, "
        "customers, units, average_basket"
    )
    day = {row[0]: row[1:] for row in shop.target.query(f"SELECT {columns} FROM mart.sales_daily")}
    # 6 x 2.55 + 2 x 3.00 + postage 18.00; the invoice without a customer counts as an invoice and not as a customer.
    assert day["2010-12-01"] == ("39.300", "0.000", "0.000", "39.300", 2, 0, 1, 8, "19.65")
    assert day["2010-12-02"] == ("0.000", "5.100", "0.000", "-5.100", 0, 1, 0, -2, None)
    assert day["2010-12-31"] == ("25.000", "0.000", "0.000", "25.000", 1, 0, 1, 10, "25.00")
    assert day["2011-01-01"] == ("2.500", "0.000", "-11.000", "-8.500", 1, 0, 1, 1, "2.50")
    weeks = dict(shop.target.query("SELECT period_start, net_revenue FROM mart.sales_weekly"))
    assert weeks == {"2010-11-29": "34.200", "2010-12-27": "16.500"}  # Friday and Saturday share a week, not a year
    quarters = shop.target.query("SELECT * FROM mart.quarterly_revenue ORDER BY period_start")
    assert quarters == [
        ("2010-10-01", "online_retail", "GBP", "59.200", None, None, None),
        ("2011-01-01", "online_retail", "GBP", "-8.500", "59.200", "-67.700", "-1.1436"),
    ]
    seasons = shop.target.query(
        "SELECT season, revenue_rank, description, units FROM mart.best_sellers WHERE period = 'season' ORDER BY 2"
    )
    assert seasons == [("winter", 1, "MUG", 15), ("winter", 2, "LANTERN", 2)]
    assert shop.target.query("SELECT country, iso_code, region FROM core.dim_country ORDER BY 1") == [
        ("EIRE", "IE", "Northern Europe"),
        ("France", "FR", "Western Europe"),
        ("United Kingdom", "GB", "Northern Europe"),
    ]


def test_customers_first_repeat_cohorts_and_segments(shop):
    shop.load("online_retail", WEEK)
    shop.build("customers")
    behaviour = shop.target.query(
        "SELECT customer_id, first_purchase_date, purchase_days, is_repeat, days_between_purchases FROM mart.customer_behaviour ORDER BY 1"
    )
    assert behaviour == [("13047", "2010-12-31", 1, False, None), ("17850", "2010-12-01", 2, True, "31.00")]
    cohorts = shop.target.query(
        "SELECT cohort_month, months_since_first, cohort_customers, customers, retention FROM mart.customer_cohorts ORDER BY 1, 2"
    )
    assert cohorts == [("2010-12-01", 0, 2, 2, "1.0000"), ("2010-12-01", 1, 2, 1, "0.5000")]
    # A purchase of the year before arrives late: the customer's first purchase, and all that hangs on it, move.
    shop.load("online_retail", [sale("500001", "71053", 1, "3.00", "2009-11-05", name="LANTERN")])
    shop.build("customers")
    types = shop.target.query(
        "SELECT period_start, customer_type, customers FROM mart.customer_types_monthly ORDER BY 1, 2"
    )
    assert types == [
        ("2009-11-01", "first", 1),
        ("2010-12-01", "first", 1),
        ("2010-12-01", "repeat", 1),
        ("2011-01-01", "repeat", 1),
    ]
    assert shop.target.query(
        "SELECT cohort_month, customers FROM mart.customer_cohorts WHERE months_since_first = 0 ORDER BY 1"
    ) == [("2009-11-01", 1), ("2010-12-01", 1)]


def test_the_latest_description_wins_in_whatever_order_lines_arrive(shop):
    new = sale("536500", "85123A", 1, "2.95", "2011-06-01", name="WHITE HANGING HEART")
    old = sale("536400", "85123A", 1, "2.55", "2010-12-05", name="MUG")
    shop.load("online_retail", [new])
    builds.build_subject(shop.target, builds.DIMENSIONS, SQL)
    shop.load("online_retail", [old])
    builds.build_subject(shop.target, builds.DIMENSIONS, SQL)
    assert shop.target.query("SELECT description, last_price, first_seen_at, last_seen_at FROM core.dim_product") == [
        ("WHITE HANGING HEART", "2.950", "2010-12-05 10:00:00.0", "2011-06-01 10:00:00.0")
    ]


def test_inventory_from_movements(shop):
    def move(number, product, quantity, day):
        at = datetime.fromisoformat(day).replace(tzinfo=UTC)
        return f"m{number}", at, {"event_time": at.isoformat(), "product_id": product, "quantity": quantity, "price": 2}

    shop.load(
        "product_events",
        [
            move(1, "P1", 100, "2026-01-01"),
            move(2, "P1", -28, "2026-02-20"),
            move(3, "P1", -14, "2026-01-20"),
            move(4, "P2", 5, "2026-02-10"),
            move(5, "P2", -5, "2026-02-12"),
            move(6, "P2", 3, "2026-02-14"),
            move(7, "P2", -3, "2026-02-27"),
            move(8, "P3", 9, "2026-01-01"),
            move(9, "P1", 1, "2026-02-28"),
        ],
    )
    shop.build("inventory")
    found = shop.target.query(
        "SELECT product_id, on_hand, sold_last_28_days, sold_28_days_before, sales_trend, days_of_cover, stock_out_days, status FROM mart.inventory_level ORDER BY 1"
    )
    assert found == [
        ("P1", 59, 28, 14, "1.0000", "59.0", 0, "good"),
        ("P2", 0, 8, 0, None, "0.0", 4, "out"),  # empty on 12 and 13 February, and from the 27th to the 28th
        ("P3", 9, 0, 0, None, None, 0, "idle"),
    ]


def test_baskets_and_consumption(shop):
    together = [
        sale(f"5370{i:02}", code, 1, "1.00", "2011-03-01", name=code) for i in range(6) for code in ("10001", "10002")
    ]
    alone = [sale(f"5380{i:02}", "10001", 1, "1.00", "2011-03-02", name="10001") for i in range(4)]
    shop.load("online_retail", together + alone)
    people = [
        (
            f"p{n}",
            datetime(2026, 1, 1 + n, tzinfo=UTC),
            {
                "Name": "A",
                "Address": "1 Main St, Town, CA 90001",
                "Phone": f"555-000-{n:04}",
                "Age": age,
                "Gender": gender,
                "Product Name": product,
                "Amount": "10.00",
                "Purchase Date": f"2026-01-{1 + n:02} 00:00:00",
            },
        )
        for n, (age, gender, product) in enumerate(
            [(20, "Male", "Novel"), (20, "Male", "Novel"), (40, "Female", "Novel"), (40, "Female", "Lamp")]
        )
    ]
    shop.load("purchases", people)
    shop.build("products", "demographics")
    # 6 of 10 invoices have both, 10 have the one and 6 the other: as by chance.
    assert shop.target.query(
        "SELECT stock_code_a, stock_code_b, invoices_together, invoices_a, invoices_b, invoices, lift FROM mart.basket_pairs_monthly"
    ) == [("10001", "10002", 6, 10, 6, 10, "1.00")]
    assert shop.target.query(
        "SELECT product_name, age_group, purchases, group_share, affinity FROM mart.consumption_patterns ORDER BY 1, 2"
    ) == [
        ("Lamp", "35-44", 1, "0.5000", "2.00"),
        ("Novel", "18-24", 2, "1.0000", "1.33"),
        ("Novel", "35-44", 1, "0.5000", "0.67"),
    ]
    assert shop.target.query("SELECT SUM(customers), MIN(state) FROM mart.demographics_daily") == [("4", "CA")]


def _shuffled_batches():
    """Batches of three feeds, overlapping in time, with days that arrive late and events that arrive twice."""
    for feed, count in (("online_retail", 4000), ("purchases", 1200), ("product_events", 1200)):
        events = [(f"{feed}-{i}", at, data) for i, (at, data, _) in enumerate(simulated(feed, count, 5, 0.01)) if at]
        parts = [events[0::4], events[2::4], events[1::4] + events[0::8], events[3::4]]
        for number, part in enumerate(parts):
            yield number, feed, part


@pytest.mark.timeout(600)
@pytest.mark.nightly
def test_incremental_builds_end_in_what_a_rebuild_from_nothing_gives(shop):
    before = -1
    for number, feed, part in sorted(_shuffled_batches(), key=lambda b: b[0]):
        if number != before and number in {1, 3}:
            shop.build()
        before = number
        shop.load(feed, part)
    built = shop.build()
    assert {b.mart for subject in built.values() for b in subject} == set(TABLES)
    incremental = shop.content()
    # Nothing was forecast, so there is nothing to order.
    assert {table for table, rows in incremental.items() if not rows} == {"mart.reorder_level"}
    assert builds.stale(shop.target, SQL) == {}
    shop.target.run([f"DELETE FROM {table}" for table in TABLES if table != "core.dim_date"])
    shop.build(rebuild=True)
    rebuilt = shop.content()
    for table in TABLES:
        assert incremental[table] == rebuilt[table], table


def test_only_the_days_that_a_batch_touched_are_built(shop):
    shop.load("online_retail", WEEK)
    shop.build("sales")
    shop.load("online_retail", [sale("536999", "71053", 1, "9.00", "2010-12-02", name="LANTERN")])
    assert builds.stale(shop.target, SQL)["mart.sales_daily"] == 1
    statements = shop.target.statements
    statements.clear()
    built = {b.mart: b.days for b in builds.build_subject(shop.target, "sales", SQL)}
    assert built == dict.fromkeys([m.table for m in MARTS if m.subject == "sales"], 1)
    described = (shop.target.client.describe_statement(Id=statement) for statement in statements)
    first = next(one for one in described if "from_day" in {p["name"] for p in one.get("QueryParameters", [])})
    given = {p["name"]: p["value"] for p in first["QueryParameters"]}
    assert (given["from_day"], given["to_day"]) == ("2010-12-02", "2010-12-03")


def test_a_rebuild_removes_periods_without_events_and_can_be_interrupted(shop):
    shop.load("online_retail", WEEK)
    shop.build("sales")
    before = shop.content("mart.sales_daily", "mart.sales_monthly")
    zeros = ", ".join("0" * 9)
    shop.target.run(
        [
            f"INSERT INTO mart.{t} VALUES ('2001-01-01', 'online_retail', 'GBP', {zeros})"
            for t in ("sales_daily", "sales_monthly")
        ]
    )
    builds.register(shop.target, SQL, shop.contracts, rebuild=True)
    builds.build_subject(shop.target, builds.DIMENSIONS, SQL)
    [daily] = [m for m in MARTS if m.table == "mart.sales_daily"]
    with shop.target.session() as session:
        builds.build(session, daily, SQL)
    # The task dies here, and a batch arrives before its next try.
    shop.load("online_retail", [sale("536999", "71053", 1, "9.00", "2010-12-02", name="LANTERN")])
    builds.build_subject(shop.target, builds.DIMENSIONS, SQL)
    builds.build_subject(shop.target, "sales", SQL)
    after = shop.content("mart.sales_daily", "mart.sales_monthly")
    assert [row[0] for row in after["mart.sales_daily"]] == [row[0] for row in before["mart.sales_daily"]]
    assert [row[0] for row in after["mart.sales_monthly"]] == [row[0] for row in before["mart.sales_monthly"]]


def test_a_mart_that_is_up_to_date_is_left_alone(shop):
    shop.load("online_retail", WEEK)
    shop.build()
    published = shop.target.query("SELECT mart, published_build_id FROM ops.mart_build ORDER BY 1")
    assert shop.build() == {subject: [] for subject in SUBJECTS}
    assert shop.target.query("SELECT mart, published_build_id FROM ops.mart_build ORDER BY 1") == published


def test_the_age_of_the_marts_is_that_of_the_last_publication(shop):
    shop.target.run(["UPDATE ops.mart_build SET published_at = NULL"])
    assert builds.seconds_since_publication(shop.target, SQL) is None
    shop.load("online_retail", WEEK)
    shop.build("sales")
    assert 0 <= builds.seconds_since_publication(shop.target, SQL) < 60
    shop.target.run(["UPDATE ops.mart_build SET published_at = DATEADD(second, -900, GETDATE())"])
    assert 900 <= builds.seconds_since_publication(shop.target, SQL) < 960


@pytest.fixture
def broken(shop, tmp_path):
    """A shop whose sales_daily comes out wrong: net revenue is a pound too high."""
    shutil.copytree(SQL, tmp_path / "sql")
    path = tmp_path / "sql/mart/sales_daily/build.sql"
    path.write_text(path.read_text().replace("SUM(line.net_revenue),", "SUM(line.net_revenue) + 1,"))
    return tmp_path / "sql"


def test_a_failed_check_stops_what_follows_and_keeps_the_mart_of_before(shop, broken):
    shop.load("online_retail", WEEK)
    shop.build("sales")
    before = shop.content("mart.sales_daily", "mart.sales_weekly")
    shop.load("online_retail", [sale("536999", "71053", 1, "9.00", "2010-12-02", name="LANTERN")])
    builds.build_subject(shop.target, builds.DIMENSIONS, SQL)
    [[published_at]] = shop.target.query("SELECT published_at FROM ops.mart_build WHERE mart = 'mart.sales_daily'")
    with pytest.raises(
        ChecksFailed, match=r"mart\.sales_daily keeps its previous rows: net = gross.*net_revenue is the sum"
    ) as stopped:
        builds.build_subject(shop.target, "sales", broken)
    told = f"""Mart: mart.sales_daily
Check: net = gross - cancelled + adjusted
Found: 2010-12-02
Check: net_revenue is the sum of core
Found: 2010-12-02 online_retail GBP: 4.900 instead of 3.900
Days that wait: 2010-12-02
Meanwhile the page, dashboards and exports show its content of {published_at[:19]} UTC. What is made of it waits, too; other subjects go on.
What to do: https://airflow/ecommerce/runbooks/check-failed
Then run: airflow dags trigger build_marts. It takes in all days that wait."""
    assert stopped.value.explained("https://airflow/ecommerce/runbooks/check-failed") == told
    assert shop.content("mart.sales_daily", "mart.sales_weekly") == before
    results = shop.target.query(
        "SELECT check_name, failed_rows, detail FROM ops.check_results AS r INNER JOIN ops.mart_build AS b ON r.build_id = b.build_id WHERE r.severity = 'fail' AND failed_rows > 0 ORDER BY 1"
    )
    assert results == [
        ("net = gross - cancelled + adjusted", 1, "2010-12-02"),
        ("net_revenue is the sum of core", 1, "2010-12-02 online_retail GBP: 4.900 instead of 3.900"),
    ]
    page = (SQL / "page/checks.sql").read_text()
    assert [
        (mart, check, found, shown, int(days), first, last)
        for mart, check, _, _, found, _, shown, days, first, last in shop.target.query(page)
        if mart == "mart.sales_daily" and check.startswith("net_revenue")
    ] == [
        (
            "mart.sales_daily",
            "net_revenue is the sum of core",
            "2010-12-02 online_retail GBP: 4.900 instead of 3.900",
            published_at,
            1,
            "2010-12-02",
            "2010-12-02",
        )
    ]
    # Nothing is forgotten: with the SQL mended the next build takes the day in.
    assert "mart.sales_daily" in builds.stale(shop.target, SQL)
    shop.build("sales")
    assert shop.target.query("SELECT net_revenue FROM mart.sales_daily WHERE period_start = '2010-12-02'") == [
        ("3.900",)
    ]


def test_a_mart_that_was_never_published_says_so_and_names_some_of_many_days(shop, broken):
    shop.load("online_retail", [sale(f"5370{n:02}", "71053", 1, "1.00", f"2010-12-{n:02}") for n in range(1, 9)])
    shop.target.run(["UPDATE ops.mart_build SET published_at = NULL"])
    builds.build_subject(shop.target, builds.DIMENSIONS, SQL)
    with pytest.raises(ChecksFailed) as stopped:
        builds.build_subject(shop.target, "sales", broken)
    text = stopped.value.explained("x")
    assert "Found: 2010-12-01 online_retail GBP: 2.000 instead of 1.000, and 7 more" in text
    assert "Days that wait: 2010-12-01, 2010-12-02, 2010-12-03, 2010-12-04, 2010-12-05 and 3 more" in text
    assert "exports show nothing, it was never published" in text


def test_unusual_data_that_is_right_stops_no_mart(shop):
    """Each of it came from a real shop, or is what a contract allows."""
    shop.load(
        "online_retail",
        [
            # One invoice of two customers, and of one whose id a spreadsheet has spelled in two ways.
            sale("536365", "85123A", 6, "2.55", "2010-12-01", customer="17850"),
            sale("536365", "71053", 1, "3.00", "2010-12-01", customer="13047"),
            sale("536365", "84406B", 1, "2.75", "2010-12-01", customer="17850.0"),
            # A credit note with a line above zero, alone on its day.
            sale("C536379", "85123A", 2, "2.55", "2010-12-02"),
            # Nothing but a fee, nothing but a gift, an adjustment without a customer, and what nets to zero.
            sale("536380", "POST", 1, "18.00", "2010-12-03"),
            sale("536381", "71053", 1, "0", "2010-12-04"),
            sale("A563185", "B", 1, "-11062.06", "2010-12-05", customer=""),
            sale("536382", "71053", 1, "5.00", "2010-12-06"),
            sale("C536383", "71053", -1, "5.00", "2010-12-06"),
            # A customer of whom there is a cancellation alone, the longest product code, and a country that is none.
            sale("C536384", "71053", -1, "5.00", "2010-12-07", customer="99999"),
            sale("536385", "gift_0001_20", 1, "20.00", "2011-01-31", country="Unspecified"),
            sale("536386", "85123A", 80995, "1.04", "2011-12-31", customer="16446"),
        ],
    )
    at = datetime(2026, 1, 2, tzinfo=UTC)
    move = {"event_time": at.isoformat(), "product_id": "P1", "price": 0}
    shop.load(
        "product_events",
        [
            ("m1", at, move | {"quantity": 0}),
            ("m2", at, move | {"quantity": -5}),
            ("m3", at, move | {"event_type": "return", "quantity": 2}),
            ("m4", at, move | {"event_type": "adjustment", "quantity": -9}),
        ],
    )
    built = [mart for subject in shop.build().values() for mart in subject]
    warned = {warning.name for mart in built for warning in mart.warnings}
    assert {
        "not more customers than invoices",
        "cancelled_revenue is not negative",
        "on_hand is not below zero",
    } <= warned
    assert builds.stale(shop.target, SQL) == {}


def test_a_warning_is_kept_and_does_not_stop(shop):
    shop.load("online_retail", [sale("536999", "71053", 1, "9.00", "2010-12-02", country="Atlantis")])
    built = builds.build_subject(shop.target, builds.DIMENSIONS, SQL)
    [country] = [b for b in built if b.mart == "core.dim_country"]
    assert [str(w) for w in country.warnings] == ["the country is known to ISO 3166: 1 (Atlantis)"]
    assert shop.target.query("SELECT country, iso_code, region FROM core.dim_country") == [
        ("Atlantis", None, "unknown")
    ]


def test_a_build_that_wakes_up_late_cannot_publish(shop):
    """A worker is frozen between its checks and its publication; a later build takes over."""
    shop.load("online_retail", WEEK[:3])
    builds.register(shop.target, SQL, shop.contracts)
    builds.build_subject(shop.target, builds.DIMENSIONS, SQL)
    [daily] = [m for m in MARTS if m.table == "mart.sales_daily"]
    frozen, go_on = threading.Event(), threading.Event()
    outcome = []

    with shop.target.session() as session:

        class Slow(type(session)):
            def run(self, statements, parameters=None, *, name=""):
                if name.startswith("publish"):
                    frozen.set()
                    go_on.wait(60)
                return super().run(statements, parameters, name=name)

        slow = Slow(session.client, session.workgroup, session.database, session.session_id)

        def build():
            try:
                outcome.append(builds.build(slow, daily, SQL))
            except PermanentError as error:
                outcome.append(error)

        thread = threading.Thread(target=build)
        thread.start()
        assert frozen.wait(60)
        shop.load("online_retail", WEEK[3:])
        builds.build_subject(shop.target, builds.DIMENSIONS, SQL)
        with shop.target.session() as other:
            builds.build(other, daily, SQL)
        published = shop.content("mart.sales_daily")
        go_on.set()
        thread.join(60)
    assert isinstance(outcome[0], PermanentError)
    assert "claimed by the later build" in str(outcome[0])
    assert shop.content("mart.sales_daily") == published
    assert len(published["mart.sales_daily"]) == 4


def test_a_load_during_a_build_is_not_forgotten(shop):
    """Its marks stay, because a publication takes away only those that it has read."""
    shop.load("online_retail", WEEK[:3])
    shop.build("sales")
    shop.load("online_retail", [WEEK[3]])
    [daily] = [m for m in MARTS if m.table == "mart.sales_daily"]
    with shop.target.session() as session:
        run = session.run
        loaded = []

        class Loading(type(session)):
            def run(self, statements, parameters=None, *, name=""):
                if name.startswith("publish"):
                    loaded.append(shop.load("online_retail", WEEK[4:]))
                return run(statements, parameters, name=name)

        builds.build(Loading(session.client, session.workgroup, session.database, session.session_id), daily, SQL)
    assert loaded
    left = shop.target.query(
        "SELECT DISTINCT event_date FROM ops.stale_date WHERE mart = 'mart.sales_daily' ORDER BY 1"
    )
    assert left == [("2010-12-31",), ("2011-01-01",)]


def test_what_arrives_after_the_dimensions_were_built_is_no_failed_check(shop):
    """A batch with a new product and a new country, between two tasks of one run."""
    shop.load("online_retail", WEEK[:3])
    builds.build_subject(shop.target, builds.DIMENSIONS, SQL)
    late = sale("536999", "99999", 1, "9.00", "2010-12-01", country="Norway", name="NEW")
    outside = sale("537000", "71053", 1, "9.00", "1980-01-01", name="LANTERN")
    shop.load("online_retail", [late, outside])
    for subject in ("sales", "products"):
        builds.build_subject(shop.target, subject, SQL)
    shown = shop.target.query((SQL / "export/sales_by_country/select.sql").read_text())
    assert [row[3:6] for row in shown if row[3] == "Norway"] == [("Norway", None, None)]
    # A day that the calendar lacks stays marked, and the next run takes it in.
    left = shop.target.query("SELECT DISTINCT event_date FROM ops.stale_date WHERE mart = 'mart.sales_daily'")
    assert left == [("1980-01-01",)]
    shop.build("sales", "products")
    assert shop.target.query("SELECT net_revenue FROM mart.sales_daily WHERE period_start = '1980-01-01'") == [
        ("9.000",)
    ]
    # But a dimension that lacks a row and is not behind is an error.
    shop.load("online_retail", [sale("537001", "71053", 1, "9.00", "2010-12-01", name="LANTERN")])
    builds.build_subject(shop.target, builds.DIMENSIONS, SQL)
    shop.target.run(["DELETE FROM core.dim_product WHERE product_id = '99999'"])
    with pytest.raises(ChecksFailed, match="product is in core.dim_product"):
        builds.build_subject(shop.target, "products", SQL)


def test_a_new_mart_gets_the_days_of_before(shop):
    shop.target.run(["DELETE FROM ops.mart"])
    shop.load("online_retail", WEEK)  # nothing is registered, as before the first build of all
    assert builds.stale(shop.target, SQL) == {}
    builds.register(shop.target, SQL, shop.contracts)
    assert builds.stale(shop.target, SQL)["mart.sales_monthly"] == 4


@pytest.mark.nightly
def test_subjects_that_are_built_side_by_side_do_not_conflict(shop):
    """As build_marts does it, but all at once, while batches arrive: no statement fails, so that none has to be tried again."""
    shop.load("online_retail", WEEK)
    shop.load("product_events", [_move(0)])
    shop.build()
    subjects = [subject for subject in SUBJECTS if subject != builds.DIMENSIONS]
    since = datetime.now(UTC)
    for round_number in range(5):
        shop.load("online_retail", [sale(f"54{round_number:04}", "71053", 1, "9.00", "2010-12-02", name="LANTERN")])
        shop.load("product_events", [_move(1 + round_number)])
        builds.build_subject(shop.target, builds.DIMENSIONS, SQL)
        begin = threading.Barrier(len(subjects) + 1, timeout=60)

        def build(subject, begin=begin):
            begin.wait()
            return [built.mart for built in builds.build_subject(shop.target, subject, SQL)]

        def load(number=round_number, begin=begin):
            begin.wait()
            return shop.load(
                "online_retail", [sale(f"55{number:04}", "71053", 1, "9.00", "2010-12-02", name="LANTERN")]
            )

        with ThreadPoolExecutor(len(subjects) + 1) as pool:
            loading = pool.submit(load)
            published = [mart for marts_built in pool.map(build, subjects) for mart in marts_built]
            assert loading.result()["clean"] == 1
        assert {"mart.sales_daily", "mart.customer_cohorts", "mart.inventory_level"} <= set(published)
    failed = shop.target.client.list_statements(Status="FAILED")["Statements"]
    assert [s["StatementName"] for s in failed if s["CreatedAt"] >= since] == []
    shop.build()
    assert builds.stale(shop.target, SQL) == {}
    lines = len(WEEK) + 2 * 5
    assert shop.target.query("SELECT COUNT(*) FROM core.fact_invoice_line") == [(lines,)]
    assert shop.target.query("SELECT SUM(net_revenue) FROM mart.sales_daily") == shop.target.query(
        "SELECT SUM(amount) FROM core.fact_invoice_line"
    )


def _move(number):
    at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=number)
    data = {"event_time": at.isoformat(), "product_id": "P1", "quantity": 1, "price": 2}
    return f"side-by-side-{number}", at, data


def test_every_mart_has_its_files_and_every_source_comes_before():
    seen = {SALE, "purchases", "product_events", "mart.lead_time_demand"}
    for mart in MARTS:
        assert set(mart.sources) <= seen, mart.table
        seen.add(mart.table)
        folder = SQL / mart.table.replace(".", "/")
        assert (folder / "create.sql").exists()
        base = SQL / (mart.like or mart.table).replace(".", "/")
        assert "INSERT INTO staged" in (base / "build.sql").read_text()
        if (mart.like or mart.table) == mart.table:
            assert {path.name for path in folder.iterdir()} == {"create.sql", "build.sql", "checks.yaml"}
    folders = {f"mart.{p.name}" for p in (SQL / "mart").iterdir()}
    forecast = {mart.table for mart in builds.FORECASTS}  # tests/plugins/forecast/test_forecast_marts.py
    assert folders == {t for t in (*TABLES, *builds.VIEWS) if t.startswith("mart.")} | forecast


def test_decimals_add_up_over_periods(shop):
    shop.load("online_retail", WEEK)
    shop.build("sales")
    sums = {
        shop.target.query(f"SELECT SUM(net_revenue) FROM mart.{t}")[0][0]
        for t in ("sales_daily", "sales_weekly", "sales_monthly", "sales_quarterly", "sales_by_country")
    }
    assert {Decimal(s) for s in sums} == {Decimal("50.700")}


def test_days_outside_of_the_calendar_are_added_to_it(shop):
    shop.load(
        "online_retail", [sale("1", "71053", 1, "9.00", "1971-05-05"), sale("2", "71053", 1, "9.00", "2070-05-05")]
    )
    builds.build_subject(shop.target, builds.DIMENSIONS, SQL)
    assert shop.target.query(
        "SELECT date_day, season_start FROM core.dim_date WHERE date_day < '2000-01-01' OR date_day > '2049-12-31' ORDER BY 1"
    ) == [("1971-05-05", "1971-03-01"), ("2070-05-05", "2070-03-01")]
    days = shop.target.query("SELECT COUNT(*) FROM core.dim_date")[0][0]
    assert days == (datetime(2050, 1, 1) - datetime(2000, 1, 1)) / timedelta(days=1) + 2
