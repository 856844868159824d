"""Sales of any feed: what a contract may say of its columns, and what becomes of them in core.sales_line and the marts."""

import shutil

import pytest
import yaml
from ecommerce_elt.errors import PermanentError
from ecommerce_elt.feeds import feed_sql, sales
from ecommerce_elt.feeds.contracts import load_contract
from ecommerce_elt.marts.builds import MARTS

from local.redshift import dialect
from tests.plugins.marts.test_marts import SQL, Shop, sale

CONTRACT = """
feed: market_lines
version: 1
grain: one line of an order
event_time: ordered_at
partition_key: order_no
staging: staging.market_lines
tables: [core.fact_market_line]
unknown_keys: quarantine
plays:
  sale:
    order: order_no
    product: [sku, title]
    product_name: title
    quantity: quantity
    unit_price: price
    discount: rebate
    customer: buyer
    country: land
    currency: currency
    cancelled_where: {status: [voided], cancelled_at: any}
    once_an_order: {shipping: fee, coupon: discount, paid_back: refund}
columns:
  - {name: order_no, header: Order, type: identifier, max_bytes: 32, required: true}
  - {name: ordered_at, header: Ordered, type: timestamp, required: true}
  - {name: sku, header: SKU, type: identifier, max_bytes: 64}
  - {name: title, header: Title, type: string, max_bytes: 255}
  - {name: quantity, header: Quantity, type: integer}
  - {name: price, header: Price, type: "decimal(12,2)"}
  - {name: rebate, header: Rebate, type: "decimal(12,2)"}
  - {name: buyer, header: Buyer, type: string, max_bytes: 128, privacy: hmac}
  - {name: land, header: Land, type: string, max_bytes: 64}
  - {name: currency, header: Currency, type: string, max_bytes: 3}
  - {name: status, header: Status, type: string, accepted: {paid: [], voided: []}}
  - {name: cancelled_at, header: Cancelled at, type: timestamp}
  - {name: shipping, header: Shipping, type: "decimal(12,2)"}
  - {name: coupon, header: Coupon, type: "decimal(12,2)"}
  - {name: paid_back, header: Paid back, type: "decimal(12,2)"}
"""
NAMES = (
    "event_id",
    "event_time",
    "order_no",
    "sku",
    "title",
    "quantity",
    "price",
    "rebate",
    "buyer",
    "land",
    "currency",
    "status",
    "cancelled_at",
    "shipping",
    "coupon",
    "paid_back",
)
LINES = [
    # An order of two lines, with what is given once: 2 x 10.00 - 1.00 + 5.00, shipping 4.00, less a coupon of 3.00.
    (
        "1",
        "2024-01-05 10:00",
        "#1",
        "M1",
        "Mug",
        2,
        "10.00",
        "1.00",
        "ann",
        "GB",
        "EUR",
        "paid",
        None,
        "4.00",
        "3.00",
        "0.00",
    ),
    (
        "2",
        "2024-01-05 10:00",
        "#1",
        None,
        "Poster",
        1,
        "5.00",
        None,
        "ann",
        "GB",
        "EUR",
        "paid",
        None,
        None,
        None,
        None,
    ),
    # The same customer in dollars.
    ("3", "2024-01-05 11:00", "#2", "M1", "Mug", 1, "12.00", None, "ann", None, "usd", "paid", None, None, None, None),
    # Partly paid back.
    ("4", "2024-01-06 09:00", "#3", "M1", "Mug", 3, "10.00", None, None, "FR", "EUR", "paid", None, None, None, "7.50"),
    # Cancelled, with a shipping and a refund: nothing is left of it, and nothing is taken off twice.
    (
        "5",
        "2024-01-06 09:30",
        "#4",
        "M1",
        "Mug",
        1,
        "10.00",
        None,
        "bob",
        "FR",
        "EUR",
        "voided",
        None,
        "2.00",
        None,
        "12.00",
    ),
    (
        "6",
        "2024-01-06 09:40",
        "#5",
        "M1",
        "Mug",
        1,
        "20.00",
        None,
        "bob",
        "FR",
        "EUR",
        "paid",
        "2024-01-07",
        None,
        None,
        None,
    ),
    # Came back: a line below zero, less its discount.
    (
        "7",
        "2024-01-07 08:00",
        "#1",
        "M1",
        "Mug",
        -1,
        "10.00",
        "0.50",
        "ann",
        "GB",
        "EUR",
        "paid",
        None,
        None,
        None,
        None,
    ),
    # Cancelled before it had a price or a currency.
    ("8", "2024-01-07 08:00", "#6", "M1", "Mug", 0, None, None, None, None, None, None, "2024-01-07", None, None, None),
]


def _contract(tmp_path, change=lambda raw: None):
    raw = yaml.safe_load(CONTRACT)
    change(raw)
    path = tmp_path / f"{raw['feed']}.yaml"
    path.write_text(yaml.safe_dump(raw, sort_keys=False))
    return load_contract(path)


def _sale(**parts):
    def change(raw):
        for part, value in parts.items():
            raw["plays"]["sale"].pop(part, None) if value is None else raw["plays"]["sale"].update({part: value})

    return change


def _value(value):
    return "NULL" if value is None else f"'{value}'"


@pytest.fixture
def market(observer, config, contracts, tmp_path):
    """A shop with the sales of a second feed in core."""
    shop = Shop(observer, config, contracts | {"market_lines": _contract(tmp_path)}, tables=contracts)
    rows = ", ".join(f"({', '.join(map(_value, row))}, 1)" for row in LINES)
    insert = f"INSERT INTO core.fact_market_line ({', '.join(NAMES)}, event_version) VALUES {rows}"
    (tmp_path / "include").mkdir()
    (tmp_path / "include/sql").symlink_to(SQL)
    shutil.copytree(SQL.parent / "feeds", tmp_path / "include/feeds")
    shutil.copy(tmp_path / "market_lines.yaml", tmp_path / "include/feeds")
    made = feed_sql.statements(shop.contracts["market_lines"], tmp_path / "include/sql")
    tables = [made["staging/market_lines/create.sql"], made["core/fact_market_line/create.sql"]]
    shop.target.run([*tables, insert, sales.view(SQL, shop.contracts.values())])
    yield shop
    shop.target.run(
        [
            sales.view(SQL, contracts.values()),
            "DROP TABLE core.fact_market_line",
            "DROP TABLE staging.market_lines",
            "DELETE FROM ops.mart WHERE source = 'market_lines'",
            "DELETE FROM ops.stale_date",
        ]
    )
    shop.target.run([f"DELETE FROM {mart.table}" for mart in MARTS if mart.table != "core.dim_date"])


def test_the_view_is_what_redshift_reads_and_has_one_type_a_column(contracts, tmp_path):
    statement = sales.view(SQL, [*contracts.values(), _contract(tmp_path)])
    tree = dialect.parse(statement)
    dialect.check_known(tree)
    assert statement.count("UNION ALL") == 4  # the shop's lines and the three amounts that an order has once
    assert "CAST(NULL AS VARCHAR(64)) AS feed" in sales.view(SQL, [])  # no feed plays a sale


def test_figures_of_two_feeds_and_three_currencies_counted_by_hand(market):
    market.load("online_retail", [sale("536365", "85123A", 6, "2.55", "2024-01-05", customer="ann")])
    market.build("sales", "products", "customers")
    columns = (
        "gross_revenue, cancelled_revenue, adjusted_revenue, net_revenue, invoices, cancellations, customers, units, "
        "average_basket"
    )
    found = {
        (day, feed, currency): rest
        for day, feed, currency, *rest in market.target.query(
            f"SELECT period_start, feed, currency, {columns} FROM mart.sales_daily"
        )
    }
    feed = "market_lines"
    assert found == {
        ("2024-01-05", "online_retail", "GBP"): ["15.300", "0.000", "0.000", "15.300", 1, 0, 1, 6, "15.30"],
        ("2024-01-05", feed, "EUR"): ["25.000", "0.000", "0.000", "25.000", 1, 0, 1, 3, "25.00"],
        ("2024-01-05", feed, "USD"): ["12.000", "0.000", "0.000", "12.000", 1, 0, 1, 1, "12.00"],
        # 30.00 sold, 7.50 of it paid back; 10.00 with 2.00 shipping and 20.00 cancelled.
        ("2024-01-06", feed, "EUR"): ["62.000", "39.500", "0.000", "22.500", 3, 3, 1, 3, "20.67"],
        ("2024-01-07", feed, "EUR"): ["0.000", "9.500", "0.000", "-9.500", 0, 1, 0, -1, None],
        ("2024-01-07", feed, "unknown"): ["0.000", "0.000", "0.000", "0.000", 0, 1, 0, 0, None],
    }
    # The customer ann of two shops, and of two currencies, is three rows: nothing is summed over them.
    behaviour = (
        "SELECT feed, currency, customer_id, net_revenue, monetary_score FROM mart.customer_behaviour ORDER BY 1, 2, 3"
    )
    assert market.target.query(behaviour) == [
        (feed, "EUR", "ann", "15.500", 3),
        (feed, "EUR", "bob", "0.000", 1),
        (feed, "USD", "ann", "12.000", 1),
        ("online_retail", "GBP", "ann", "15.300", 1),
    ]
    products = "SELECT feed, currency, stock_code, units, net_revenue FROM mart.product_sales_daily ORDER BY 1, 2, 3, period_start"
    assert [row for row in market.target.query(products) if row[0] == feed] == [
        (feed, "EUR", "M1", 2, "19.000"),
        (feed, "EUR", "M1", 3, "30.000"),
        (feed, "EUR", "M1", -1, "-9.500"),
        (feed, "EUR", "Poster", 1, "5.000"),
        (feed, "USD", "M1", 1, "12.000"),
        (feed, "unknown", "M1", 0, "0.000"),
    ]
    named = "SELECT product_id, description, is_product, last_price FROM core.dim_product WHERE feed = 'market_lines' ORDER BY 1"
    assert market.target.query(named) == [
        ("M1", "Mug", True, "20.000"),
        ("Poster", "Poster", True, "5.000"),
        ("coupon", "coupon", False, None),
        ("paid_back", "paid back", False, None),
        ("shipping", "shipping", False, None),
    ]
    countries = "SELECT country, iso_code, region FROM core.dim_country ORDER BY 1"
    assert market.target.query(countries) == [
        ("FR", "FR", "Western Europe"),
        ("GB", "GB", "Northern Europe"),
        ("United Kingdom", "GB", "Northern Europe"),
        ("unknown", None, "unknown"),
    ]
    [[failed]] = market.target.query(
        "SELECT COUNT(*) FROM ops.check_results WHERE severity = 'fail' AND failed_rows > 0"
    )
    assert failed == 0


def test_a_new_feed_has_all_its_days_built_and_the_others_none(market):
    market.build("sales")
    assert market.build("sales")["sales"] == []
    market.target.run(["DELETE FROM ops.mart WHERE source = 'market_lines'"])  # as if the contract had come now
    days = {b.mart: b.days for b in market.build("sales")["sales"]}
    assert days["mart.sales_daily"] == 3


def test_quantity_order_and_amount_may_be_missing(observer, contracts, tmp_path):
    parts = _sale(
        order=None,
        quantity=None,
        unit_price=None,
        amount="price",
        product="title",
        product_name=None,
        discount=None,
        customer=None,
        country=None,
        currency="JPY",
        cancelled_where=None,
        once_an_order=None,
    )
    statement = sales.view(SQL, [_contract(tmp_path, parts)])
    row = "'2' AS event_id, 'Poster' AS title, CAST('5.00' AS DECIMAL(12, 2)) AS price"
    select = statement.partition(" AS\n")[2].replace("core.fact_market_line", "line")
    [found] = observer.warehouse.query(
        f"WITH line AS (SELECT {row}, CAST('2024-01-05' AS TIMESTAMP) AS event_time) "
        f"SELECT order_id, product_id, product_name, customer_id, country, currency, line_type, quantity, unit_price, amount FROM ({select}) AS part"
    )
    assert found == ("2", "Poster", "Poster", "unknown", "unknown", "JPY", "sale", 1, "5.000", "5.000")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        pytest.param(
            _sale(order="nothing"),
            r"plays.sale.order: 'nothing' is no column; columns are \['order_no'",
            id="no_column",
        ),
        pytest.param(_sale(currency="euro"), "A currency is three capitals", id="no_currency"),
        pytest.param(_sale(currency=None), "plays.sale.*currency: Field required", id="currency_is_asked_for"),
        pytest.param(_sale(unit_price=None), "expected unit_price or amount, one of them", id="no_price"),
        pytest.param(_sale(amount="shipping"), "expected unit_price or amount, one of them", id="two_prices"),
        pytest.param(
            _sale(quantity="price"), "price is of the type decimal.*expected integer or bigint", id="quantity_of_money"
        ),
        pytest.param(_sale(country="buyer"), "buyer is personal .*only customer may be, with hmac", id="personal"),
        pytest.param(
            _sale(cancelled_where={"status": ["gone"]}), r"status never is \['gone'\]; accepted are \['paid'", id="word"
        ),
        pytest.param(_sale(once_an_order={"shipping": "gift"}), "'fee', 'discount' or 'refund'", id="kind"),
        pytest.param(
            lambda raw: raw["columns"][0].update(max_bytes=200),
            "order_no may have 200 bytes; core.sale has 128",
            id="width",
        ),
        pytest.param(
            lambda raw: raw["columns"][5].update(type="decimal(12,4)"),
            "price has 4 decimals; core.sale has 3",
            id="scale",
        ),
    ],
)
def test_a_part_that_cannot_be_played_is_named(tmp_path, change, why):
    with pytest.raises(PermanentError, match=why):
        _contract(tmp_path, change)


def test_no_mart_adds_up_two_currencies(contracts):
    """Every mart with money of sales is told apart by currency, so a sum over its rows has to choose."""
    for mart in MARTS:
        text = (SQL / (mart.like or mart.table).replace(".", "/") / "create.sql").read_text()
        if "_revenue DECIMAL" in text:
            assert "    currency VARCHAR(8) NOT NULL" in text, mart.table
