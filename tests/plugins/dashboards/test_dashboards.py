"""When a data set is due for a refresh."""

from datetime import UTC, datetime, timedelta

import pytest
from ecommerce_elt.dashboards.data_sets import DATA_SETS, changed_at, due, last_refresh
from ecommerce_elt.marts.builds import FORECASTS, MARTS, VIEWS

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
[SALES] = [d for d in DATA_SETS if d.id == "sales_trends"]


def at(hours, status="COMPLETED"):
    return {"CreatedTime": NOW - hours * HOUR, "IngestionStatus": status}


@pytest.mark.parametrize(
    ("published", "ingestions", "expected"),
    [
        pytest.param(None, [], False, id="never_published"),
        pytest.param(1, [], True, id="never_refreshed"),
        pytest.param(1, [at(2)], True, id="published_after_the_refresh"),
        pytest.param(3, [at(2)], False, id="refreshed_after_the_publication"),
        pytest.param(0.1, [at(0.5)], False, id="too_early_for_another"),
        pytest.param(3, [at(2, "FAILED")], True, id="the_refresh_failed"),
        pytest.param(3, [at(2, "CANCELLED"), at(4)], True, id="cancelled_after_a_good_one"),
        pytest.param(3, [at(2, "RUNNING")], False, id="it_runs"),
    ],
)
def test_due(published, ingestions, expected):
    times = {"mart.sales_daily": NOW - published * HOUR} if published is not None else {}
    changed = changed_at([SALES], times)
    assert due(changed, last_refresh(ingestions), now=NOW, every=HOUR) is expected


def test_every_data_set_names_its_marts_and_has_its_sql(config):
    tables = {mart.table for mart in (*MARTS, *FORECASTS)}
    for data_set in DATA_SETS:
        assert set(data_set.marts) <= tables
        sql = data_set.sql(config.sql_dir)
        named = {name for name in (*tables, *VIEWS) if name in sql}
        assert named, data_set.id
    assert {p.name for p in (config.sql_dir / "export").iterdir()} == {d.id for d in DATA_SETS}
