"""The demand as a matrix: what is read, what is refused, and what may be known at an origin."""

from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pytest

from forecast import metrics, panel

START = date(2024, 1, 1)  # a Monday


def table(*rows):
    """Rows are (product, days after START, units, revenue)."""
    columns = list(zip(*rows, strict=True))
    days = [START + timedelta(days=n) for n in columns[1]]
    return pa.table([["till"] * len(rows), list(columns[0]), days, *map(list, columns[2:])], schema=panel.SCHEMA)


def test_days_without_demand_are_zero_and_closed_weekdays_are_left_out():
    weekdays = [n for n in range(70) if (START + timedelta(days=n)).weekday() != 5]
    made = panel.read(
        table(*[("A", n, 2.0, 5.0) for n in weekdays if n != 8], ("B", 67, 3.0, 3.0), ("B", 69, -4.0, 0.0))
    )
    assert made.season == 6
    assert made.units.shape == (2, len(weekdays))
    assert not np.isin(panel.weekday(made.days), 5).any()
    assert made.units[0, weekdays.index(8)] == 0
    assert made.units[1].sum() == 3  # more was cancelled than sold: no demand
    assert list(made.prices()[0, -1:]) == [2.5]
    ahead = panel.horizon(made)
    assert ahead[0] == np.datetime64(START) + 70
    assert len(ahead) == 24
    assert not np.isin(panel.weekday(ahead), 5).any()


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (table(("A", 0, 1.0, 1.0), ("A", 0, 2.0, 1.0)), "product till/A is twice on 2024-01-01"),
        (table(("A", 0, -1.0, 1.0)), "no row has units above zero"),
        (table(("A", 0, 1.0, 1.0)).drop_columns(["day"]), r"columns \['day'\] are missing"),
        (table(("A", 0, None, 1.0)), r"columns \['units'\] have empty values"),
    ],
    ids=["twice", "nothing", "no_column", "empty"],
)
def test_broken_demand_is_refused_by_name(broken, message):
    with pytest.raises(ValueError, match=message):
        panel.read(broken)


def test_with_two_days_of_a_past_no_weekday_is_taken_for_closed():
    made = panel.read(table(("A", 0, 2.0, 5.0), ("A", 1, 2.0, 5.0)))
    assert made.season == 7
    assert len(panel.horizon(made)) == 28


def test_what_is_older_than_three_years_is_left_out():
    made = panel.read(table(*[("A", n, 1.0, 1.0) for n in range(60)], ("A", -panel.LONGEST_DAYS, 9.0, 9.0)))
    assert made.days[0] == np.datetime64(START)
    assert made.units.sum() == 60


def test_at_an_origin_only_the_past_is_known():
    made = panel.read(table(*[("A", n, 1.0, 1.0) for n in range(60)], ("LATER", 50, 9.0, 9.0)))
    known = made.until(np.datetime64(START) + 50)
    assert known.end == np.datetime64(START) + 50
    assert list(known.products) == ["till/A"]
    assert list(made.until(np.datetime64(START) + 51).products) == ["till/A", "till/LATER"]


def test_classes_follow_syntetos_and_boylan():
    rows = [("steady", n, 5.0, 1.0) for n in range(120)]
    rows += [("erratic", n, 1.0 + 20 * (n % 5 == 0), 1.0) for n in range(120)]
    rows += [("rare", n, 3.0, 1.0) for n in range(0, 120, 9)]
    rows += [("lumpy", n, 1.0 + 50 * (n % 18 == 0), 1.0) for n in range(0, 120, 9)]
    rows += [("young", n, 5.0, 1.0) for n in range(100, 120)]
    made = panel.read(table(*rows))
    assert dict(zip(made.products.tolist(), made.classes().tolist(), strict=True)) == {
        "till/steady": "smooth",
        "till/erratic": "erratic",
        "till/rare": "intermittent",
        "till/lumpy": "lumpy",
        "till/young": "new",
    }


def test_the_fingerprint_changes_with_the_demand_alone():
    rows = [("A", n, 1.0, 1.0) for n in range(30)]
    one = panel.read(table(*rows)).fingerprint()
    assert panel.read(table(*reversed(rows))).fingerprint() == one
    assert panel.read(table(*rows[:-1], ("A", 29, 2.0, 1.0))).fingerprint() != one


def test_pinball_coverage_and_rmsse_by_hand():
    actual = np.array([[10.0, 0.0]])
    forecast = np.array([[[0.0, 4.0, 8.0, 12.0, 20.0], [1.0, 1.0, 1.0, 1.0, 1.0]]])
    first = 0.05 * 10 + 0.25 * 6 + 0.5 * 2 + 0.25 * 2 + 0.05 * 10
    second = 0.95 + 0.75 + 0.5 + 0.25 + 0.05
    assert metrics.pinball(actual, forecast) == pytest.approx([(first + second) / 10])
    assert metrics.coverage(actual, forecast) == 0.5
    past = np.array([[0.0, 2.0, 4.0, 2.0]])  # steps since the first demand: 2, -2
    assert metrics.rmsse(actual, forecast, past, np.array([1.0])) == pytest.approx(np.sqrt((4 + 1) / 2 / 4))
