"""The program as a whole: no leakage, the same from the same seed, choice, drift, and what it writes."""

import json
from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

pytest.importorskip(
    "statsforecast", reason="in the environment of requirements-forecast.txt alone: make setup-forecast"
)
pytest.importorskip("tensorflow", reason="in the environment of requirements-forecast.txt alone: make setup-forecast")

from forecast import backtest, baselines, panel, run
from forecast.network import Ensemble, Network, Training

START = date(2024, 1, 1)
DAYS = 301
QUICK = {"epochs": 1, "windows_an_epoch": 2048, "batch_size": 256}
ASKED = {
    "lead_days": dict.fromkeys(panel.CLASSES, 7),
    "service_levels": dict.fromkeys(panel.CLASSES, 0.95),
    "training": QUICK,
}


def demand(days=DAYS, products=30, seed=3):
    """A shop that is closed on Saturdays, with steady, rare and new products and a weekly pattern."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(products):
        mean, first = rng.gamma(1.2, 6), days - 30 if number % 10 == 9 else 0
        for day in range(first, days):
            at = START + timedelta(days=day)
            if at.weekday() == 5 or (number % 3 == 1 and rng.random() < 0.8):
                continue
            units = rng.poisson(mean * (1 + 0.5 * (at.weekday() == 0)))
            if units:
                rows.append(("till", f"P{number:03}", at, float(units), float(units) * 2.5))
    return pa.table([list(column) for column in zip(*rows, strict=True)], schema=panel.SCHEMA)


@pytest.fixture(scope="module")
def shop():
    return panel.read(demand())


@pytest.fixture(scope="module")
def network(shop):
    return Network.trained(shop.until(shop.end - 28), 1, Training(**QUICK))


def with_a_future(shop, origin):
    """The same shop with something else from the origin on."""
    rng = np.random.default_rng(9)
    later = shop.days >= origin
    units, revenue = shop.units.copy(), shop.revenue.copy()
    units[:, later] = rng.poisson(500, (len(shop.products), int(later.sum())))
    revenue[:, later] = units[:, later]
    return panel.Panel(shop.products, shop.days, units, revenue, shop.season)


@pytest.mark.parametrize("name", [*baselines.BASELINES, backtest.NETWORK])
def test_a_planted_future_changes_no_forecast(shop, network, name):
    origin = shop.end - 28
    methods = backtest.baselines() | {backtest.NETWORK: lambda past: network.forecast(past)}
    planted = with_a_future(shop, origin)
    one, other = (backtest.fold(each, origin, {name: methods[name]}) for each in (shop, planted))
    assert not np.array_equal(one.actual, other.actual)
    assert np.array_equal(one.forecasts[name], other.forecasts[name])
    assert np.array_equal(one.classes, other.classes)


def test_a_planted_future_changes_no_training(shop):
    origin = shop.end - 28
    one, other = (
        Network.trained(each.until(origin), 1, Training(**QUICK)) for each in (shop, with_a_future(shop, origin))
    )
    for left, right in zip(one.model.get_weights(), other.model.get_weights(), strict=True):
        assert np.array_equal(left, right)


def test_seeds_make_the_network(shop, network):
    known = shop.until(shop.end - 28)
    again, other = (Network.trained(known, seed, Training(**QUICK)).forecast(known) for seed in (1, 2))
    first = network.forecast(known)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    mean = Ensemble([network, network]).forecast(known)
    assert mean == pytest.approx(first)


def test_a_network_forecasts_a_product_that_it_never_saw(shop, network):
    known = shop.until(shop.end - 28)
    renamed = panel.Panel(np.char.add("X", known.products), known.days, known.units, known.revenue, known.season)
    found = network.forecast(renamed)
    assert found.shape == (len(known.products), 24, 5)
    assert (np.diff(found, axis=2) >= 0).all()
    assert (found >= 0).all()


@pytest.mark.parametrize("name", list(baselines.BASELINES))
def test_baselines_give_ascending_quantiles(shop, name):
    found = backtest.baselines()[name](shop)
    assert found.shape == (len(shop.products), 24, 5)
    assert (np.diff(found, axis=2) >= 0).all()
    assert (found >= 0).all()


def test_no_class_has_a_method_that_was_worse_than_the_seasonal_naive(shop):
    folds = [backtest.fold(shop, origin, backtest.baselines()) for origin in backtest.origins(shop, 4)]
    backtest.add_mean_of_best(folds)
    names = [*baselines.BASELINES, baselines.MEAN_OF_BEST]
    for name, method in backtest.winners(folds, names).items():
        lost = {m: sum(f.by_class(m)[name][0] for f in folds) for m in names}
        assert lost[method] <= lost[backtest.NAIVE] or not sum(f.by_class(method)[name][1] for f in folds)


def test_a_run_writes_what_the_warehouse_loads_and_is_not_made_twice(tmp_path):
    places = [f"{tmp_path}/{name}/" for name in ("demand", "runs", "models")]
    (tmp_path / "demand").mkdir()
    pq.write_table(demand(), tmp_path / "demand" / "0000_part_00.parquet")
    summary = run.run(*places, ASKED)
    assert summary["unchanged"] is False
    assert summary["origin"] == str(START + timedelta(days=DAYS))
    assert {summary["methods"][name] for name in run.BY_BASELINE_ALONE}.isdisjoint({backtest.NETWORK})
    forecast = pq.read_table(summary["forecast"]).to_pandas()
    assert list(forecast.columns) == [
        "feed",
        "product_id",
        "forecast_date",
        "units_p05",
        "units_p25",
        "units_p50",
        "units_p75",
        "units_p95",
        "demand_class",
        "method",
        "origin_date",
        "fingerprint",
    ]
    assert (forecast.groupby("product_id").size() == 28).all()
    assert (forecast[forecast["forecast_date"].map(lambda day: day.weekday() == 5)]["units_p95"] == 0).all()
    levels = pq.read_table(summary["lead_time"]).to_pandas()
    assert set(levels["product_id"]) == set(forecast["product_id"])
    assert (levels["order_up_to"] >= levels["reorder_point"]).all()
    if backtest.NETWORK in summary["methods"].values():
        about = json.loads((tmp_path / "models" / summary["fingerprint"] / "about.json").read_text())
        assert about["fingerprint"] == summary["fingerprint"]
        assert (tmp_path / "models" / summary["fingerprint"] / "seed=1" / "model.keras").stat().st_size > 0
    again = run.run(*places, ASKED)
    assert again["unchanged"] is True
    assert again["fingerprint"] == summary["fingerprint"]
    assert (
        run.run(*places, ASKED | {"lead_days": dict.fromkeys(panel.CLASSES, 3)})["fingerprint"]
        != summary["fingerprint"]
    )


def test_a_week_that_is_not_as_forecast_falls_back_to_the_baselines(shop):
    units = shop.units.copy()
    units[:, -6:] = 40 * units[:, -6:].max(axis=1, keepdims=True)
    broken = panel.Panel(shop.products, shop.days, units, shop.revenue, shop.season)
    usual, drifted = (run.forecast(each, run.Parameters(**ASKED)).summary for each in (shop, broken))
    assert usual["drift"] is False
    assert drifted["drift"] is True
    assert drifted["last_week_loss"] > backtest.DRIFT_FACTOR * drifted["fold_loss"]
    assert backtest.NETWORK not in drifted["methods"].values()


def test_a_short_past_is_forecast_without_a_comparison():
    made = run.forecast(panel.read(demand(days=60)), run.Parameters(**ASKED))
    assert set(made.by_class.values()) == {backtest.FALLBACK}
    assert "too few to compare" in made.summary["note"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lead_days": {"smooth": 7}}, "expected each of"),
        ({"lead_days": dict.fromkeys(panel.CLASSES, 22)}, "expected 1 to 21"),
        ({"service_levels": dict.fromkeys(panel.CLASSES, 1.0)}, "from 0.5 to below 1"),
    ],
    ids=["a_class_is_missing", "longer_than_the_forecast", "certainty"],
)
def test_wrong_parameters_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        run.Parameters(**(ASKED | change))
