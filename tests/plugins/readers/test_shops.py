"""The ready contracts of include/feeds/ready: a file as the shop exports it, dropped into landing/, to the figures of the marts."""

import json
import shutil
import threading
import uuid
from contextlib import contextmanager
from dataclasses import asdict

import httpx
import pytest
import uvicorn
from ecommerce_elt.cleaning import task_cleaning
from ecommerce_elt.erasure.customers import Customer, finder, key_of_text
from ecommerce_elt.erasure.raw_records import without_person
from ecommerce_elt.feeds import feed_sql, sales
from ecommerce_elt.feeds.contracts import load_contract, load_contracts
from ecommerce_elt.landing import conversion, reports
from ecommerce_elt.load import transaction as load_transaction
from ecommerce_elt.marts import builds
from ecommerce_elt.marts.builds import MARTS
from ecommerce_elt.readers.flags import Flags
from ecommerce_elt.readers.tabular import TabularFile

from local.supervision import wait_for
from tests.conftest import free_ports
from tests.e2e.browser import chromium, keep
from tests.plugins.load.test_known_rows import Shop as Landing
from tests.plugins.marts.test_marts import SQL
from tests.support import shop_files
from tests.support.cleaning_bench import clean, line
from tests.support.landing_tasks import check_known_rows

READY = SQL.parent / "feeds" / "ready"
FEEDS = sorted(path.stem for path in READY.glob("*.yaml"))


class Shops(Landing):
    """The local warehouse with the ready contracts beside the product's own."""

    def __init__(self, observer, config, monkeypatch, include):
        super().__init__(observer, config, monkeypatch)
        self.config = self.config.model_copy(update={"include_dir": include})
        self.contracts = load_contracts(include / "feeds")
        self.target = observer.warehouse
        self.query = self.target.query

    def create(self):
        made = [feed_sql.statements(self.contracts[feed], self.config.sql_dir) for feed in FEEDS]
        tables = [text for statements in made for path, text in statements.items() if path.endswith("create.sql")]
        self.target.run([*tables, sales.view(SQL, self.contracts.values())])

    def drop_tables(self, contracts):
        of_feeds = [t for feed in FEEDS for t in (self.contracts[feed].staging, *self.contracts[feed].tables)]
        forget = [f"DELETE FROM ops.mart WHERE source = '{feed}'" for feed in FEEDS]
        self.target.run(
            [
                sales.view(SQL, contracts.values()),
                *(f"DROP TABLE {t}" for t in of_feeds),
                *forget,
                "DELETE FROM ops.stale_date",
            ]
        )
        self.target.run([f"DELETE FROM {mart.table}" for mart in MARTS if mart.table != "core.dim_date"])

    def drop_file(self, feed, body, name="export.csv"):
        """Lands a file, loads it and returns its report."""
        key = f"landing/{feed}/{uuid.uuid4().hex[:8]}-{name}"
        self.s3.put_object(Bucket=self.config.bucket, Key=key, Body=body)
        group = conversion.land_files(self.s3, [(key, None)], self.contracts, Flags(), self.config)
        check_known_rows(json.loads(json.dumps(asdict(group))), "stop", "duckdb")
        loaded = {}
        for batch_id in group.batches:
            batch = task_cleaning.clean_where_needed(self.s3, batch_id, self.config, committed=False)
            loaded[batch_id] = load_transaction.load_batch(self.target, batch, self.config)
        [report] = reports.report_loaded(self.s3, group, loaded, self.config)
        return report

    def build(self):
        builds.register(self.target, self.config.sql_dir, self.contracts)
        for subject in (builds.DIMENSIONS, "sales", "products"):
            builds.build_subject(self.target, subject, self.config.sql_dir)

    def days(self, feed):
        """Returns (day, currency) to gross, cancelled and net revenue, invoices, cancellations, customers and units."""
        found = self.query(
            "SELECT period_start, currency, gross_revenue, cancelled_revenue, net_revenue, invoices, cancellations, "
            "customers, units FROM mart.sales_daily WHERE feed = :feed",
            {"feed": feed},
        )
        return {(day, currency): tuple(rest) for day, currency, *rest in found}


@pytest.fixture
def shops(observer, config, contracts, monkeypatch, tmp_path):
    include = tmp_path / "include"
    include.mkdir()
    (include / "sql").symlink_to(SQL)
    shutil.copytree(SQL.parent / "feeds", include / "feeds")
    for feed in FEEDS:
        shutil.copy(READY / f"{feed}.yaml", include / "feeds")
    found = Shops(observer, config, monkeypatch, include)
    found.create()
    yield found
    found.drop_tables(contracts)


def test_the_ready_contracts_are_not_loaded_until_they_are_copied(contracts):
    assert not set(FEEDS) & set(contracts)
    assert FEEDS == ["amazon_orders", "shopify_orders", "woocommerce_orders"]


@pytest.mark.parametrize("feed", FEEDS)
def test_a_ready_contract_makes_its_sql_and_names_its_source(feed):
    contract = load_contract(READY / f"{feed}.yaml")
    feed_sql.check(contract, SQL)
    assert "Export" in contract.description or "report" in contract.description
    personal = [column.name for column in contract.columns if column.privacy != "keep"]
    assert personal
    if contract.erasure:
        assert set(personal) == set(contract.erasure.record)  # nobody's name stays in raw/


def test_a_customer_of_a_shop_is_named_by_the_hmac_of_the_address_and_can_be_erased(tmp_path, config):
    shopify = load_contract(READY / "shopify_orders.yaml")
    (tmp_path / "export.csv").write_bytes(shop_files.shopify())
    source = TabularFile(tmp_path / "export.csv", shopify, Flags())
    lines = [line("shopify_orders", row.data, f"e{row.line}") for row in source.rows(source.survey())]
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    before = clean(tmp_path / "a", config, shopify, "shopify_orders", lines)
    ada = key_of_text(" Ada@Example.com", config.pii_hmac_key.get_secret_value())
    assert [row["email"] == ada for row in before] == [True, True, False, True, False, False, False]
    customer = Customer(shopify, ada)
    gone = [
        without_person(text, customer) if row["email"] == ada else text for row, text in zip(before, lines, strict=True)
    ]
    assert b"ada@" not in b"".join(gone).lower()
    assert b"Rue Exemple" not in gone[0]
    after = clean(tmp_path / "b", config, shopify, "shopify_orders", gone)
    assert [row | {"email": None} for row in after] == [row | {"email": None} for row in before]
    assert [row["email"] for row in after[:2]] == ["erased", "erased"]
    # Records that could not be read are searched for the address itself.
    names = finder(customer, config)
    assert names('{"broken": "<ADA@example.com>"')
    assert not names("ada@example.community wrote")


def test_a_shopify_export_to_its_figures(shops):
    report = shops.drop_file("shopify_orders", shop_files.shopify(), "orders_export_1.csv")
    assert (report["state"], report["rows"], report["clean"], report["quarantined"]) == ("loaded", 7, 7, 0)
    # What the first rows of #1001 and #1005 have, their second rows got: #1005 has no customer and no country to give.
    assert report["filled_down"] == {
        "Email": 1,
        "Financial Status": 2,
        "Currency": 2,
        "Created at": 2,
        "Billing Country": 1,
        "Payment Method": 2,
        "Source": 2,
        "Id": 2,
    }
    core = shops.query(
        "SELECT order_name, lineitem_sku, lineitem_quantity, email, billing_country, event_time, shipping "
        "FROM core.fact_shopify_order_line ORDER BY 1, 3 DESC"
    )
    assert [row[:3] for row in core[:2]] == [("#1001", "MASK-50", 2), ("#1001", None, 1)]
    assert core[0][3] == core[1][3] == core[3][3] != core[2][3]  # one HMAC of one customer, in whatever letters
    assert len(core[0][3]) == 64
    assert [row[3:5] for row in core[5:]] == [(None, None), (None, None)]
    assert [row[5] for row in core[:2]] == ["2024-01-06 04:30:00.0"] * 2
    assert [row[6] for row in core[:2]] == ["4.900", None]  # what is once an order is not filled down
    shops.build()
    assert shops.days("shopify_orders") == {
        ("2024-01-06", "EUR"): ("103.610", "0.000", "103.610", 1, 0, 1, 3),
        ("2024-01-07", "EUR"): ("24.900", "24.900", "0.000", 1, 1, 1, 0),
        ("2024-01-07", "USD"): ("30.000", "10.000", "20.000", 1, 1, 1, 3),
        ("2024-01-08", "EUR"): ("22.500", "15.000", "7.500", 2, 1, 1, 3),
    }
    products = "SELECT stock_code, currency, SUM(units), SUM(net_revenue) FROM mart.product_sales_daily WHERE feed = 'shopify_orders' GROUP BY 1, 2 ORDER BY 1, 2"
    assert [(code, currency, int(units), net) for code, currency, units, net in shops.query(products)] == [
        ("CARD", "EUR", 1, "5.000"),
        ("MASK-50", "EUR", 2, "69.800"),
        ("MASK-50", "USD", 3, "30.000"),
        ("PEN", "EUR", 2, "2.500"),
        ("Poster", "EUR", 1, "39.900"),
    ]
    # The same export again, and one with more orders, bring nothing twice.
    again = shops.drop_file("shopify_orders", shop_files.shopify(), "orders_export_2.csv")
    assert (again["clean"], again["duplicates"]) == (0, 7)


@pytest.mark.parametrize("first_row_only", [True, False], ids=["1st_row_only", "all_rows"])
def test_a_woocommerce_export_to_its_figures(shops, first_row_only):
    report = shops.drop_file("woocommerce_orders", shop_files.woocommerce(first_row_only=first_row_only))
    assert (report["clean"], report["quarantined"]) == (5, 0)
    assert report["filled_down"].get("Email (Billing)", 0) == int(first_row_only)
    shops.build()
    # 2 x 12.50 + 8.00 and 12.50; 8.00 cancelled; of the refunded order nothing was left to charge.
    assert shops.days("woocommerce_orders") == {("2024-02-01", "EUR"): ("53.500", "8.000", "45.500", 3, 2, 2, 4)}
    countries = "SELECT country, net_revenue FROM mart.sales_by_country WHERE feed = 'woocommerce_orders' ORDER BY 1"
    assert shops.query(countries) == [("AT", "12.500"), ("DE", "33.000")]


def test_an_amazon_report_to_its_figures(shops):
    report = shops.drop_file("amazon_orders", shop_files.amazon(), "62345019000.txt")
    assert (report["clean"], report["quarantined"], report["layout"]) == (6, 0, "utf-8, delimiter '\\t', dates ymd")
    shops.build()
    assert shops.days("amazon_orders") == {
        # 30.00 - 3.00 + 7.50, with a shipping that a promotion took off again.
        ("2024-03-01", "GBP"): ("34.500", "0.000", "34.500", 1, 0, 0, 3),
        # Cancelled before it had a price; one that waits for its price has pieces, and no amount.
        ("2024-03-02", "unknown"): ("0.000", "0.000", "0.000", 1, 1, 0, 1),
        ("2024-03-02", "EUR"): ("105.450", "89.950", "15.500", 2, 1, 0, 1),
    }
    named = (
        "SELECT product_id, description FROM core.dim_product WHERE feed = 'amazon_orders' AND is_product ORDER BY 1"
    )
    assert shops.query(named) == [("SKU-1", '"SKU-1" lamp, 12" wide'), ("SKU-2", '"SKU-2" lamp, 12" wide')]
    columns = "SELECT column_name FROM svv_columns WHERE table_name = 'fact_amazon_order_item'"
    assert not {"ship_city", "ship_postal_code", "cpf"} & {name for (name,) in shops.query(columns)}


@contextmanager
def served(app):
    """Serves the page's application on a free port, for whoever asks."""
    [port] = free_ports(1)
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_for(lambda: server.started, 60, "the page", 0.1)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(30)


@pytest.mark.nightly
@pytest.mark.timeout(900)
def test_files_of_three_shops_are_on_the_page_by_feed_and_currency(shops, cloud, monkeypatch):
    """From landing/ through core and the marts to a browser, without Airflow around it."""
    for name, value in cloud.user_environment().items():
        monkeypatch.setenv(name, value)
    from ecommerce_elt.page import app as page
    from ecommerce_elt.page import figures

    monkeypatch.setattr(figures, "settings", lambda: shops.config)
    monkeypatch.setattr(figures, "_clients", {})
    [signed_in] = page.app.router.dependencies
    monkeypatch.setitem(page.app.dependency_overrides, signed_in.dependency, lambda: None)
    shops.target.run(["DELETE FROM core.fact_invoice_line"])  # of tests before
    shops.drop_file("shopify_orders", shop_files.shopify())
    shops.drop_file("woocommerce_orders", shop_files.woocommerce(first_row_only=True))
    shops.drop_file("amazon_orders", shop_files.amazon(), "62345019000.txt")
    builds.register(shops.target, shops.config.sql_dir, shops.contracts, rebuild=True)
    shops.build()
    builds.build_subject(shops.target, "customers", shops.config.sql_dir)
    with served(page.app) as url:
        business = f"{url}/data/business?from=2024-01-01&to=2024-03-31"
        found = httpx.get(business, timeout=60).raise_for_status().json()
        # Four orders of Shopify, three of WooCommerce and two of Amazon in euros; the others have one each.
        assert (found["currency"], found["currencies"]) == ("EUR", ["EUR", "GBP", "USD", "unknown"])
        assert found["totals"]["net_revenue"] == pytest.approx(111.11 + 45.50 + 15.50)
        assert found["totals"]["customers"] == 4
        one = httpx.get(f"{business}&feed=shopify_orders&currency=USD", timeout=60).json()
        assert (one["feed"], one["currencies"], one["totals"]["net_revenue"]) == (
            "shopify_orders",
            ["EUR", "USD"],
            20.0,
        )
        # A currency that the feed has not, and a feed without sales, show what there is.
        other = httpx.get(f"{business}&feed=amazon_orders&currency=USD", timeout=60).json()
        assert (other["currency"], other["totals"]["net_revenue"]) == ("EUR", 15.5)
        assert httpx.get(f"{business}&feed=purchases", timeout=60).json()["feed"] == "all"
        with chromium() as browser:
            tab = browser.new_page(viewport={"width": 1440, "height": 900})
            tab.set_default_timeout(120_000)
            tab.goto(f"{url}/")
            tab.get_by_role("button", name="All").click()
            tab.locator("#feed option[value=shopify_orders]").wait_for(state="attached")
            tab.locator("#feed").select_option("shopify_orders")
            tab.locator("#net_revenue strong", has_text="€111.11").wait_for()
            tab.get_by_text("Mask, 50 ml").first.wait_for()
            keep(tab, "shops-shopify-eur")
            tab.locator("#currency").select_option("USD")
            tab.locator("#net_revenue strong", has_text="US$20.00").wait_for()
            tab.locator("#feed").select_option("amazon_orders")
            tab.locator("#net_revenue strong", has_text="€15.50").wait_for()
            tab.locator("#currency").select_option("GBP")
            tab.locator("#net_revenue strong", has_text="£34.50").wait_for()
            keep(tab, "shops-amazon-gbp")
