"""Small inputs from the field, with the values that are right: what people report of exports, loaders and spreadsheets."""

import json
from decimal import Decimal

import pytest
from ecommerce_elt.feeds.events import Envelopes
from ecommerce_elt.landing.identity import FileIdentity
from ecommerce_elt.readers.blocks import BLOCK_ROWS
from ecommerce_elt.readers.flags import Flags
from ecommerce_elt.readers.readings import read_files

from tests.conftest import PROJECT
from tests.support.cleaning_bench import clean, rules

CASES = PROJECT.parent / "shared" / "cases"


@pytest.fixture
def loaded(tmp_path, config, contracts):
    """Returns what reads one of the files and cleans its records."""
    if not CASES.is_dir():
        pytest.skip(f"{CASES} is not there")

    def load(name):
        readings, _, _ = read_files(CASES / name, contracts["online_retail"], Flags(), tmp_path)
        events: list[bytes] = []
        for _, source, survey in readings:
            envelopes = Envelopes(survey.keys, feed="online_retail", version=1)
            with FileIdentity(source, survey, tmp_path) as identity:
                for block, ids in identity.blocks(BLOCK_ROWS):
                    events += source.encoded(block, ids, envelopes, "2026-01-01T00:00:00Z").splitlines()
        load.left_out = {kind: of.lines for kind, of in survey.left_out.items()}
        load.uneven_rows = survey.uneven_rows
        return clean(tmp_path, config, contracts["online_retail"], "online_retail", events)

    return load


@pytest.mark.parametrize(
    ("name", "prices"),
    [
        pytest.param("01_thousands.csv", ["1234.500", "2.550"], id="thousands"),
        pytest.param("03_german.csv", ["2.550", "1234.500"], id="german"),
        pytest.param("35_float_price.csv", ["2.550", "2.550"], id="binary_floats"),
    ],
)
def test_prices(loaded, name, prices):
    rows = loaded(name)
    assert [rules(row) for row in rows] == [set()] * len(prices)
    assert [row["unit_price"] for row in rows] == [Decimal(price) for price in prices]


def test_ids_that_went_through_pandas(loaded):
    rows = loaded("11_float_ids.csv")
    assert [rules(row) for row in rows] == [set(), set()]
    assert [(row["invoice_no"], row["stock_code"], row["customer_id"]) for row in rows] == [
        ("536365", "22423", "17850"),
        ("536365", "85123A", "unknown"),
    ]


def test_words_that_mean_nothing(loaded):
    rows = loaded("12_nullwords.csv")
    assert [(rules(row), row["customer_id"], row["description"]) for row in rows] == [(set(), "unknown", None)] * 3


@pytest.mark.parametrize("name", ["18_zip.zip", "29_gz_as_csv.csv", "32_lines.jsonl", "33.parquet"])
def test_formats(loaded, name):
    [row] = loaded(name)
    assert rules(row) == set()
    assert (row["stock_code"], row["quantity"], row["unit_price"], row["customer_id"]) == (
        "85123A",
        6,
        Decimal("2.55"),
        "17850",
    )
    assert f"{row['event_time']:%Y-%m-%d %H:%M}" == "2011-05-13 08:26"


def test_a_title_and_a_total(loaded):
    rows = loaded("05_title_total.xlsx")
    assert [rules(row) for row in rows] == [set(), set()]
    assert {kind: len(lines) for kind, lines in loaded.left_out.items() if kind != "blank"} == {"title": 1, "total": 1}


def test_a_header_that_is_repeated(loaded):
    rows = loaded("16_repeat_header.csv")
    assert [(row["invoice_no"], rules(row)) for row in rows] == [("C16A", set()), ("C16B", set())]
    assert loaded.left_out == {"blank": [3], "repeated_header": [4]}


def test_a_comma_at_the_end_is_no_column_and_a_short_row_is_quarantined(loaded):
    whole, short = loaded("15_ragged.csv")
    assert (rules(whole), whole["extra"]) == (set(), None)
    assert rules(short)
    assert loaded.uneven_rows == 1


def test_what_the_sources_own_producers_send(tmp_path, config, contracts):
    if not CASES.is_dir():
        pytest.skip(f"{CASES} is not there")
    feeds = {"Name": "purchases", "InvoiceNo": "online_retail", "product_id": "product_events"}
    tried = 0
    for text in (CASES / "seed_records.jsonl").read_text().splitlines():
        case = json.loads(text)
        if "record" not in case:
            continue
        feed = feeds[next(iter(feeds.keys() & case["record"].keys()))]
        version = contracts[feed].version
        event = {
            "event_id": "e",
            "feed": feed,
            "schema_version": version,
            "event_time": None,
            "sent_at": "2026-01-01T00:00:00Z",
            "data": case["record"],
        }
        [row] = clean(tmp_path, config, contracts[feed], feed, [json.dumps(event).encode()])
        assert rules(row) == set()
        shown = {name: str(row[name]) for name in case["expect"] if name in row}
        assert shown == {name: str(value) for name, value in case["expect"].items() if name in row}
        tried += bool(shown)
    assert tried == 4
