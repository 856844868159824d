"""What senders write for a value is read alike, as the contract switches it on."""

import pytest
import yaml
from ecommerce_elt.feeds.contracts import load_contract

from tests.plugins.feeds.test_feeds import _with_column
from tests.support.cleaning_bench import clean, line, rules
from tests.support.dialect_cases import CASES, CLEAN_SQL, CONTRACT, as_events


@pytest.fixture
def dialects(config, tmp_path):
    folder = tmp_path / "include" / "sql" / "clean"
    folder.mkdir(parents=True)
    (folder / "dialects.sql").write_text(CLEAN_SQL)
    return config.model_copy(update={"include_dir": tmp_path / "include"})


def test_every_case_in_the_cleaning(tmp_path, dialects):
    rows = clean(tmp_path, dialects, CONTRACT, "dialects", as_events())
    found = [{rule for _, rule in rules(row)} or row[column] for row, (column, *_) in zip(rows, CASES, strict=True)]
    wrong = [(*case, is_read) for case, is_read in zip(CASES, found, strict=True) if is_read != case[2]]
    assert not wrong


def test_a_number_with_two_readings_is_told_with_both(tmp_path, dialects):
    event = line("dialects", {"price": "£1,234"}, event_time=None)
    [row] = clean(tmp_path, dialects, CONTRACT, "dialects", [event])
    assert [reason["expected"] for reason in row["reasons"]] == ["one reading, not 1234 or 1.234"]


def test_events_of_an_earlier_version_are_read_without_dialects(tmp_path, dialects):
    old = CONTRACT.model_copy(update={"dialects_since": 2})
    wanted = {"17850.0", "None", "1,234.50", "2.5499999999999998", "12/1/2010 8:26", "M", "0.125", "8.52E+04"}
    rows = clean(tmp_path, dialects, old, "dialects", as_events(version=1))
    found = {
        text: {rule for _, rule in rules(row)} or row[column]
        for row, (column, text, _) in zip(rows, CASES, strict=True)
        if text in wanted and column != "kept"
    }
    assert found == {
        "17850.0": "17850.0",
        "None": "None",
        "8.52E+04": "8.52E+04",
        "1,234.50": {"type"},
        "M": {"accepted"},
        "2.5499999999999998": {"scale"},
        "12/1/2010 8:26": {"type"},
        "0.125": {"scale"},
    }
    assert clean(tmp_path, dialects, old, "dialects", as_events(version=2)) == clean(
        tmp_path, dialects, CONTRACT, "dialects", as_events(version=2)
    )


@pytest.mark.parametrize(
    ("column", "says"),
    [
        pytest.param(
            {"type": "timestamp", "formats": ["M/D/YYYY", "D/M/YYYY H:MM"]},
            "differently, such as 3/4/2011",
            id="two_orders_with_one_mark",
        ),
        pytest.param({"type": "timestamp", "formats": ["D/M/YY", "YYYY/M/D"]}, "differently", id="day_or_year_first"),
        pytest.param({"type": "timestamp", "formats": ["DD.MM.YYYY"]}, "'DD.MM.YYYY' is none", id="no_format"),
        pytest.param({"type": "integer", "numbers": ["decimal_comma"]}, "is for decimals", id="comma_of_an_integer"),
        pytest.param({"type": "integer", "round": "half_even"}, "round cannot be said", id="rounding_of_an_integer"),
        pytest.param({"type": "decimal(9,0)", "round": "half_even"}, "have a scale", id="rounding_to_whole_numbers"),
        pytest.param(
            {"type": "string", "accepted": {"A": ["x"], "B": ["x"]}}, "x stands for two words", id="one_spelling_of_two"
        ),
        pytest.param({"type": "identifier"}, "needs max_bytes", id="identifier_without_length"),
    ],
)
def test_a_dialect_with_two_meanings_is_refused_when_the_contract_is_loaded(tmp_path, column, says):
    path = tmp_path / "orders.yaml"
    path.write_text(yaml.safe_dump(_with_column(**column)))
    with pytest.raises(Exception, match=r"orders\.yaml") as raised:
        load_contract(path)
    assert says in str(raised.value)
