"""The way of a forecast from core to the marts: demand unloaded, the program in its own environment, what it wrote published."""

import os
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from airflow.dag_processing.dagbag import DagBag
from ecommerce_elt.marts import builds
from ecommerce_elt.settings import settings
from ecommerce_elt.warehouse.redshift import run_file

from tests.conftest import PROJECT
from tests.plugins.forecast.test_forecast_marts import Shop, move, sale
from tests.plugins.marts.test_marts import SQL

pytestmark = pytest.mark.slow
KEYS = {"AIRFLOW_CONN_AWS_FORECAST": "aws://forecast:local@/?region_name=us-east-1"}


@pytest.fixture
def shop(observer, config, contracts):
    if not settings().forecast_python.is_file():
        pytest.skip(f"{settings().forecast_python} is not there: run make setup-forecast")
    made = Shop(observer, config, contracts)
    made.target.run([f"DELETE FROM {mart.table}" for mart in builds.FORECASTS])
    return made


@pytest.fixture
def operator(cloud, monkeypatch):
    for name, value in {**cloud.user_environment(), **KEYS}.items():
        monkeypatch.setenv(name, value)
    # Neither the tests' own path nor their coverage belongs to the program's environment.
    monkeypatch.delenv("PYTHONPATH", raising=False)
    dags = DagBag(str(PROJECT / "dags" / "forecast_demand.py"), safe_mode=False).dags
    return dags["forecast_demand"].task_dict["forecast"]


@pytest.mark.timeout(600)
def test_from_the_core_to_what_to_order(shop, operator, monkeypatch):
    first = datetime(2025, 1, 6, tzinfo=UTC)
    days = [(first + timedelta(days=n)).date().isoformat() for n in range(40)]
    shop.load("online_retail", [sale(f"6{n:05}", "85123A", 5 + n % 3, "2.50", day) for n, day in enumerate(days)])
    moves = [move(n, "KETTLE", 4, "sale", day) for n, day in enumerate(days)]
    shop.load("product_events", [move(99, "KETTLE", 170, "restock", days[0]), *moves])
    shop.build()
    place = {"forecast_files": f"s3://{shop.config.bucket}/forecast/demand/", "copy_role": "default"}
    run_file(shop.target, SQL / "ops/forecast/unload.sql", place)
    told = []
    monkeypatch.setattr(
        "ecommerce_elt.airflow.lineage.moved", lambda inputs, outputs: told.append((list(inputs), list(outputs)))
    )
    context = {"ti": SimpleNamespace(bundle_instance=None), "run_id": "by hand"}
    summary = operator.execute(context)
    assert summary["products"] == 2
    assert summary["unchanged"] is False
    assert "too few to compare" in summary["note"]
    assert os.environ["AWS_ACCESS_KEY_ID"] != "forecast"
    assert operator.env_vars["AWS_ACCESS_KEY_ID"] == "forecast"
    [(inputs, outputs)] = told
    assert inputs == [f"s3://{shop.config.bucket}/forecast/demand"]
    assert f"s3://{shop.config.bucket}/forecast/runs" in outputs
    with shop.target.session() as session:
        for mart, where in zip(builds.FORECASTS, ("forecast", "lead_time"), strict=True):
            names = {"forecast_files": summary[where], "copy_role": "default"}
            assert builds.build_given(session, mart, SQL, names).warnings == ()
        builds.build(session, next(mart for mart in builds.MARTS if mart.table == "mart.reorder_level"), SQL)
    rows = shop.target.query(
        "SELECT feed, product_id, on_hand, reorder_point, order_quantity FROM mart.reorder_level ORDER BY 1"
    )
    [(_, code, unknown, _, none), (_, product, on_hand, point, order)] = rows
    assert (code, unknown, none) == ("85123A", None, None)
    assert (product, on_hand) == ("KETTLE", 10)
    assert point >= 7 * 4 - 2
    assert (
        order
        == shop.target.query("SELECT order_up_to - on_hand FROM mart.reorder_level WHERE product_id = 'KETTLE'")[0][0]
    )
    assert operator.execute(context)["unchanged"] is True
