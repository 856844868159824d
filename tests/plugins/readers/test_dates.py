from datetime import UTC, datetime

import pytest
from ecommerce_elt.errors import PermanentError
from ecommerce_elt.readers.dates import DateEvidence, read_time


@pytest.mark.parametrize(
    ("text", "order", "expected"),
    [
        pytest.param("12/1/2010 8:26", "mdy", datetime(2010, 12, 1, 8, 26), id="online_retail"),
        pytest.param("12/1/2010 8:26", "dmy", datetime(2010, 1, 12, 8, 26), id="british"),
        pytest.param("2010-12-01T08:26:30.123456Z", "ymd", datetime(2010, 12, 1, 8, 26, 30, 123456), id="iso"),
        pytest.param("2010-12-01 08:26:30+02:00", "ymd", datetime(2010, 12, 1, 6, 26, 30), id="iso_with_offset"),
        pytest.param("01.12.10", "dmy", datetime(2010, 12, 1), id="german_two_digit_year"),
        pytest.param("1-Dec-2010", "dmy", datetime(2010, 12, 1), id="month_by_name"),
        pytest.param("Dec 1, 2010", "mdy", datetime(2010, 12, 1), id="american_month_by_name"),
        pytest.param("12/1/2010 12:05 AM", "mdy", datetime(2010, 12, 1, 0, 5), id="midnight_with_am"),
        pytest.param("12/1/2010 1:05 pm", "mdy", datetime(2010, 12, 1, 13, 5), id="afternoon"),
        pytest.param("6/31/2010", "mdy", None, id="31_june"),
        pytest.param("13/1/2010", "mdy", None, id="month_13"),
        pytest.param("12/1/2010 25:00", "mdy", None, id="hour_25"),
        pytest.param("yesterday", "mdy", None, id="word"),
        pytest.param("1291190760", "mdy", None, id="epoch"),
    ],
)
def test_read_time(text, order, expected):
    assert read_time(text, order) == (expected and expected.replace(tzinfo=UTC))


def evidence(*texts):
    found = DateEvidence("InvoiceDate", is_shown=True)
    for line, text in enumerate(texts, 2):
        found.add(line, text)
    return found


def test_one_value_decides_for_all():
    assert evidence("1/2/2010", "1/3/2010", "1/13/2010").order() == "mdy"
    assert evidence("1/2/2010", "1/3/2010", "13/1/2010").order() == "dmy"


def test_values_that_no_order_fits_decide_nothing():
    assert evidence("1/13/2010", "99/99/2010", "soon").order() == "mdy"


def test_values_that_mean_the_same_either_way_need_no_answer():
    assert evidence("1/1/2010", "2/2/2010").order() in {"mdy", "dmy"}


def test_an_ambiguous_file_asks():
    with pytest.raises(
        PermanentError,
        match=r"all 2 dates fit month/day/year and day/month/year, e\.g\. line 2 .*--date-order mdy or --date-order dmy",
    ):
        evidence("1/2/2010", "3/4/2010").order()


def test_a_file_with_two_orders_asks():
    with pytest.raises(
        PermanentError,
        match="different orders: 1 are month/day/year only, first line 2 .*; 1 are day/month/year only, first line 3",
    ):
        evidence("1/13/2010", "13/1/2010").order()
