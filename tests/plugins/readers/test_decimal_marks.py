"""A column decides on its decimal mark, or the user is asked."""

import pytest
from ecommerce_elt.errors import PermanentError

from tests.support.online_retail import TWO, csv_text, read_file


@pytest.mark.parametrize(
    ("prices", "flag", "read_as"),
    [
        pytest.param(["1,234.50", "2.55", "1,234"], None, ["1234.50", "2.55", "1234"], id="points"),
        pytest.param(
            ["1,234,567", "1,234", "1.234"], None, ["1234567", "1234", "1.234"], id="points_by_two_thousands_marks"
        ),
        pytest.param(["1.234,50", "2,55", "1.234", "1,234"], None, ["1234.50", "2.55", "1234", "1.234"], id="commas"),
        pytest.param(["£1.234,50", "-£1,234", "5"], None, ["£1234.50", "-£1.234", "5"], id="commas_with_currency"),
        pytest.param(["1,234"], True, ["1.234"], id="comma_by_flag"),
        pytest.param(["1,234", "1.234"], False, ["1234", "1.234"], id="point_by_flag"),
        pytest.param(["1.234,50", "2.55"], True, ["1234.50", "2.55"], id="what_is_only_the_other_stays"),
        pytest.param(["1.234", "x,y", "2.55"], None, ["1.234", "x,y", "2.55"], id="no_numbers_with_commas"),
    ],
)
def test_a_column_decides_on_its_decimal_mark(tmp_path, contracts, prices, flag, read_as):
    path = tmp_path / "shop.csv"
    path.write_text(csv_text(";", rows=[[*TWO[:5], price, *TWO[6:]] for price in prices]))
    _, rows = read_file(path, contracts, decimal_comma=flag)
    assert [row.data["UnitPrice"] for row in rows] == read_as


def test_commas_of_a_contract_without_them_are_asked_about(tmp_path, contracts):
    path = tmp_path / "moves.csv"
    path.write_text("event_time,product_id,quantity,price\n2026-01-02,P1,1,'2,5'\n".replace("'", '"'))
    with pytest.raises(
        PermanentError, match=r"column price: 1 numbers have a comma, first line 2 \('2,5'\).*numbers: \[thousands"
    ):
        read_file(path, contracts, feed="product_events")
