"""The marts of the forecast on the Redshift stand-in: which demand is unloaded, what is published, what is refused, what to order."""

import io
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ecommerce_elt.marts import builds
from ecommerce_elt.marts.builds import ChecksFailed, Mart
from ecommerce_elt.settings import Settings
from ecommerce_elt.warehouse.redshift import run_file

from forecast.panel import CLASSES, HORIZON_DAYS
from tests.plugins.marts.test_marts import SQL, Shop, sale

ORIGIN = date(2011, 1, 2)
REORDER = next(mart for mart in builds.MARTS if mart.table == "mart.reorder_level")


@pytest.fixture
def shop(observer, config, contracts):
    made = Shop(observer, config, contracts)
    made.target.run([f"DELETE FROM {mart.table}" for mart in builds.FORECASTS])
    return made


def move(number, product, quantity, kind, day):
    at = datetime.fromisoformat(day).replace(hour=9, tzinfo=UTC)
    data = {"event_time": at.isoformat(), "product_id": product, "quantity": quantity, "price": 2, "event_type": kind}
    return f"move-{number}", at, data


def unloaded(shop):
    folder = "forecast/demand/"
    names = {"forecast_files": f"s3://{shop.config.bucket}/{folder}", "copy_role": "default"}
    run_file(shop.target, SQL / "ops/forecast/unload.sql", names)
    found = shop.observer.s3.list_objects_v2(Bucket=shop.config.bucket, Prefix=folder).get("Contents", [])
    bodies = [
        shop.observer.s3.get_object(Bucket=shop.config.bucket, Key=entry["Key"])["Body"].read() for entry in found
    ]
    rows = [row for body in bodies for row in pq.read_table(io.BytesIO(body)).to_pylist()]
    return sorted((row["feed"], row["product_id"], str(row["day"]), row["units"], row["revenue"]) for row in rows)


def put(shop, name, table):
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    key = f"forecast/runs/{name}/part-0.parquet"
    shop.observer.s3.put_object(Bucket=shop.config.bucket, Key=key, Body=buffer.getvalue())
    return {"forecast_files": f"s3://{shop.config.bucket}/forecast/runs/{name}/", "copy_role": "default"}


def feed_of(product):
    return "online_retail" if product[:1].isdigit() else "product_events"


def forecast(products, days=HORIZON_DAYS, units=(0, 1, 2, 3, 4), fingerprint="f1"):
    """As forecast.run.forecast_table writes it."""
    rows = [(p, ORIGIN + timedelta(days=d)) for p in products for d in range(days)]
    count = len(rows)
    columns = {"feed": [feed_of(p) for p, _ in rows], "product_id": [p for p, _ in rows]}
    columns["forecast_date"] = pa.array([d for _, d in rows], pa.date32())
    columns |= {f"units_{name}": [units[i]] * count for i, name in enumerate(("p05", "p25", "p50", "p75", "p95"))}
    columns |= {
        "demand_class": ["lumpy"] * count,
        "method": ["moving window"] * count,
        "origin_date": pa.array([ORIGIN] * count, pa.date32()),
        "fingerprint": [fingerprint] * count,
    }
    return pa.table(columns)


def lead_time(products, fingerprint="f1", point=20, up_to=40):
    """As forecast.run.lead_time_table writes it."""
    count = len(products)
    return pa.table(
        {
            "feed": [feed_of(p) for p in products],
            "product_id": products,
            "demand_class": ["lumpy"] * count,
            "origin_date": pa.array([ORIGIN] * count, pa.date32()),
            "lead_days": pa.array([7] * count, pa.int32()),
            "service_level": pa.array([Decimal("0.9000")] * count, pa.decimal128(18, 4)),
            "expected_units": pa.array([Decimal("14.00")] * count, pa.decimal128(18, 2)),
            "reorder_point": [point] * count,
            "order_up_to": [up_to] * count,
            "fingerprint": [fingerprint] * count,
        }
    )


def publish(shop, mart: Mart, table: pa.Table, name: str):
    with shop.target.session() as session:
        return builds.build_given(session, mart, SQL, put(shop, name, table))


def test_demand_is_what_was_sold_by_feed_and_product(shop):
    today = datetime.now(UTC).date().isoformat()
    shop.load(
        "online_retail",
        [
            sale("1", "85123A", 6, "2.50", "2010-12-01"),
            sale("C2", "85123A", -2, "2.50", "2010-12-01"),
            sale("C3", "85123A", -5, "2.50", "2010-12-02"),  # more came back than was sold: no demand
            sale("4", "71053", 900, "0", "2010-12-03"),  # a correction of the stock
            sale("5", "71053", 3, "4.00", "2010-12-04"),
            sale("6", "22222", 1, "4.00", "2010-12-04"),
            sale("7", "71053", 3, "4.00", today),  # today has not ended
        ],
    )
    shop.load(
        "product_events", [move(1, "22222", 30, "restock", "2010-12-01"), move(2, "22222", 7, "sale", "2010-12-05")]
    )
    shop.build("products", "inventory")
    expected = [
        ("online_retail", "22222", "2010-12-04", 1, 4),
        ("online_retail", "71053", "2010-12-04", 3, 12),
        ("online_retail", "85123A", "2010-12-01", 4, 15),
        ("product_events", "22222", "2010-12-05", 7, 14),
    ]
    assert unloaded(shop) == expected
    assert unloaded(shop) == expected  # earlier files are not beside the new ones


def test_a_forecast_is_published_and_says_what_to_order(shop):
    shop.load("online_retail", [sale("1", "85123A", 6, "2.50", "2011-01-01")])
    moves = [("LOW", 15), ("FULL", 50), ("OUT", 4)]
    shop.load("product_events", [move(n, p, q, "restock", "2011-01-01") for n, (p, q) in enumerate(moves)])
    shop.load("product_events", [move(9, "OUT", 4, "sale", "2011-01-01")])
    shop.build()
    products = ["85123A", "LOW", "FULL", "OUT"]
    for mart, table in zip(builds.FORECASTS, (forecast(products), lead_time(products)), strict=True):
        built = publish(shop, mart, table, mart.table)
        assert built.warnings == ()
    assert builds.stale(shop.target, SQL) == {"mart.reorder_level": 1}
    with shop.target.session() as session:
        assert builds.build(session, REORDER, SQL).days == 1
    assert builds.stale(shop.target, SQL) == {}
    assert shop.target.query("SELECT COUNT(*), MIN(units_p05), MAX(units_p95) FROM mart.demand_forecast") == [
        (112, 0, 4)
    ]
    rows = shop.target.query(
        "SELECT product_id, on_hand, safety_stock, order_quantity, days_until_stock_out FROM mart.reorder_level ORDER BY 1"
    )
    assert [(p, hand, float(safety), order, days and float(days)) for p, hand, safety, order, days in rows] == [
        ("85123A", None, 6.0, None, None),
        ("FULL", 50, 6.0, 0, 25.0),
        ("LOW", 15, 6.0, 25, 7.5),
        ("OUT", 0, 6.0, 40, 0.0),
    ]
    shop.load("product_events", [move(20, "OUT", 60, "restock", "2011-01-01")])
    shop.build("inventory")  # what is on hand moves the order, without a new forecast
    assert shop.target.query("SELECT order_quantity FROM mart.reorder_level WHERE product_id = 'OUT'") == [(0,)]


def test_a_second_publication_replaces_the_first(shop):
    shop.load("online_retail", [sale("1", "A1", 6, "2.50", "2011-01-01"), sale("2", "85123A", 6, "2.50", "2011-01-01")])
    shop.build()
    demand, _ = builds.FORECASTS
    for products in (["85123A", "71053"], ["85123A"], ["85123A"]):
        publish(shop, demand, forecast(products), f"again{len(products)}")
    assert shop.target.query("SELECT COUNT(*), COUNT(DISTINCT product_id) FROM mart.demand_forecast") == [(28, 1)]


@pytest.mark.parametrize(
    ("table", "check"),
    [
        (forecast(["85123A"], units=(0, 2, 1, 3, 4)), "quantiles ascend from zero"),
        (forecast(["85123A"], days=27), "each product has the 28 days from the origin"),
        (pa.concat_tables([forecast(["85123A"])] * 2), "product_id and forecast_date are unique"),
    ],
    ids=["order", "days", "twice"],
)
def test_a_broken_forecast_leaves_the_mart_as_it_was(shop, table, check):
    shop.load("online_retail", [sale("1", "85123A", 6, "2.50", "2011-01-01")])
    shop.build()
    demand, _ = builds.FORECASTS
    publish(shop, demand, forecast(["71053"]), "good")
    with pytest.raises(ChecksFailed, match=check):
        publish(shop, demand, table, "broken")
    assert shop.target.query("SELECT DISTINCT product_id FROM mart.demand_forecast") == [("71053",)]


def test_levels_of_another_forecast_are_refused(shop):
    shop.load("online_retail", [sale("1", "85123A", 6, "2.50", "2011-01-01")])
    shop.build()
    demand, levels = builds.FORECASTS
    publish(shop, demand, forecast(["85123A"]), "one")
    with pytest.raises(ChecksFailed, match="has the products of the forecast"):
        publish(shop, levels, lead_time(["85123A"], fingerprint="f2"), "levels")


def test_settings_name_every_class_of_the_program(config):
    assert set(config.forecast_lead_days) == set(CLASSES)
    with pytest.raises(ValueError, match="expected each of smooth, erratic"):
        Settings(bucket="lake", forecast_lead_days={"smooth": 7})
    with pytest.raises(ValueError, match="expected 1 to 21 days"):
        Settings(bucket="lake", forecast_lead_days=dict.fromkeys(CLASSES, 22))
    with pytest.raises(ValueError, match=r"from 0\.5 to below 1"):
        Settings(bucket="lake", forecast_service_levels=dict.fromkeys(CLASSES, 1.0))
