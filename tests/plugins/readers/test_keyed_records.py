"""Records with keys of their own are matched and decided on as the rows of a table."""

from datetime import UTC, datetime

from ecommerce_elt.feeds.events import Envelopes

from tests.support.file_formats import as_lines


def test_keys_of_json_are_matched_like_headers_and_values_stay_json(read):
    text = (
        '{"timestamp": "2026-01-01", "SKU": 7, "Qty": 6.0, "Unit Price": 2.5499999999999998, "tags": ["a", {"b": null}],'
        ' "big": 123456789012345678901234567890, "gone": NaN}\n\n{"SKU": "P2", "qty": null}\n'
    )
    survey, rows, source = read(text.encode("utf-8-sig"))
    assert [row.line for row in rows] == [1, 3]
    assert list(rows[1].data) == ["product_id", "quantity"]  # a key that is missing stays so
    [first, _] = source.encoded(
        next(source.blocks(survey)), [b"1", b"2"], Envelopes(survey.keys, feed="f", version=1), "now"
    ).splitlines()
    assert first.endswith(
        b'"data":{"event_time":"2026-01-01","product_id":7,"quantity":6.0,"price":2.5499999999999998,"tags":["a",{"b":null}],'
        b'"big":123456789012345678901234567890,"gone":"NaN"}}'
    )


def test_decimal_commas_and_dates_of_json_texts_are_decided_by_the_file(read):
    records = [
        {"InvoiceNo": "1", "StockCode": "a", "Quantity": 1, "InvoiceDate": day, "UnitPrice": price, "Country": "DE"}
        for day, price in (("13.05.2011 08:26", "1.234,50"), ("01.02.2011", "2,55"))
    ]
    survey, rows, _ = read(as_lines(records), feed="online_retail")
    assert [row.data["UnitPrice"] for row in rows] == ["1234.50", "2.55"]
    assert (survey.date_order, rows[1].event_time) == ("dmy", datetime(2011, 2, 1, tzinfo=UTC))
