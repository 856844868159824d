"""Public holidays: nothing is forecast for those on which the shop was always closed, and no future tells which these are."""

from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pytest

pytest.importorskip("holidays", reason="in the environment of requirements-forecast.txt alone: make setup-forecast")

from forecast import backtest, panel

START, DAYS = date(2011, 1, 1), 232  # up to 20 August; the next holiday of England is 29 August


def shop(open_on=()):
    """Sells every day, but on the public holidays of England that are not in `open_on`."""
    closed = {
        date(2011, 1, 1),
        date(2011, 1, 3),
        date(2011, 4, 22),
        date(2011, 4, 25),
        date(2011, 4, 29),
        date(2011, 5, 2),
        date(2011, 5, 30),
    }
    days = [START + timedelta(days=n) for n in range(DAYS)]
    sold = [day for day in days if day not in closed - set(open_on)]
    columns = [["till"] * len(sold), ["P1"] * len(sold), sold, [5.0] * len(sold), [9.0] * len(sold)]
    return panel.read(pa.table(columns, schema=panel.SCHEMA))


def shut(of, country):
    ahead = panel.horizon(of)
    return [str(day) for day in ahead[panel.closed(of, ahead, country)]]


@pytest.mark.parametrize(
    ("of", "country", "expected"),
    [
        (shop(), "GB-ENG", ["2011-08-29"]),
        (shop(), "", []),
        (shop(), "DE", []),
        (shop(open_on=[date(2011, 5, 30)]), "GB-ENG", []),
    ],
    ids=["closed_on_all", "no_country", "another_countrys", "open_on_one"],
)
def test_which_holidays_the_shop_is_closed_on(of, country, expected):
    assert shut(of, country) == expected


def test_too_few_holidays_tell_nothing():
    known = shop()
    few = panel.Panel(known.products, known.days[120:], known.units[:, 120:], known.revenue[:, 120:], known.season)
    assert shut(few, "GB-ENG") == []


def test_an_unknown_country_is_named():
    with pytest.raises(ValueError, match="country 'XX'"):
        shut(shop(), "XX")


def test_all_methods_know_them_and_none_knows_the_future():
    known, origin = shop(), np.datetime64("2011-07-30")
    later = panel.Panel(known.products, known.days, known.units.copy(), known.revenue, known.season)
    later.units[:, later.days >= origin] = 999
    methods = {
        name: method for name, method in backtest.baselines().items() if name in {"moving window", backtest.NAIVE}
    }
    one, other = (backtest.fold(of, origin, methods, country="GB-ENG").forecasts for of in (known, later))
    assert all(np.array_equal(one[name], other[name]) for name in methods)
    whole = backtest.open_days_only(backtest.baselines()["moving window"](known), known, "GB-ENG")
    day = list(map(str, panel.horizon(known))).index("2011-08-29")
    assert whole[:, day].max() == 0 < whole[:, day - 1].min()
