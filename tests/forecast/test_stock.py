"""Reorder points from quantiles, and the simulation of stock."""

import numpy as np
import pytest

from forecast import stock
from forecast.panel import CLASSES

NEVER, ALWAYS_TEN = [0.0] * 5, [10.0] * 5


def test_sums_of_certain_demand_are_certain_but_for_the_days_below_the_lowest_quantile():
    drawn = stock.sums(np.array([[ALWAYS_TEN] * 3, [NEVER] * 3]))
    assert drawn[0].max() == pytest.approx(30)
    assert np.mean(np.isclose(drawn[0], 30)) == pytest.approx(0.95**3, abs=0.03)
    assert drawn[1] == pytest.approx(0)


def test_sums_are_drawn_from_the_quantiles():
    drawn = stock.sums(np.array([[[5.0, 25.0, 50.0, 75.0, 95.0]]]), draws=20_000)
    assert np.quantile(drawn, [0.05, 0.25, 0.5, 0.75, 0.95]) == pytest.approx([5, 25, 50, 75, 95], abs=1.5)
    assert drawn.max() > 110  # the tail goes on


def test_levels_have_the_lead_time_and_the_service_of_the_class():
    origin = np.datetime64("2024-01-01")
    dates = origin + np.arange(28)
    how = stock.Replenishment(
        lead_days=dict.fromkeys(CLASSES, 7) | {"lumpy": 14}, service_levels=dict.fromkeys(CLASSES, 0.95)
    )
    found = stock.levels(np.array([[ALWAYS_TEN] * 28] * 2), dates, origin, np.array(["smooth", "lumpy"]), how)
    assert list(found.reorder_point) == [70, 140]
    assert list(found.order_up_to) == [140, 210]
    assert found.expected == pytest.approx([70, 140], rel=0.03)


def test_simulated_stock_by_hand():
    demand = np.array([[4.0, 4.0, 4.0, 4.0]])
    found = stock.simulate(demand, np.array([[10.0, 10.0]]), np.array([0, 2]), lead=1)
    # 10: sells 4, 4 -> 2; at day 2 orders 8, sells 2 of 4; day 3 has 8, sells 4.
    assert found.stock == pytest.approx((6 + 2 + 0 + 4) / 4)
    assert found.sold_share == pytest.approx(14 / 16)
    assert found.out_share == pytest.approx(1 / 4)


def test_stock_at_a_share_is_read_between_the_points_and_never_beyond():
    curve = [stock.Outcome(10, 0.8, 0.2), stock.Outcome(20, 0.9, 0.1)]
    assert stock.stock_at(0.85, curve) == pytest.approx(15)
    with pytest.raises(ValueError, match="not within 0.800 to 0.900"):
        stock.stock_at(0.95, curve)
