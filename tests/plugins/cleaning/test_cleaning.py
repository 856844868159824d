import gzip
import hashlib
import hmac
import json
from datetime import datetime
from decimal import Decimal

import duckdb
import pytest
import sqlglot
from ecommerce_elt.batches.hmac_pads import hmac_pads
from ecommerce_elt.cleaning.cleaner import run_cleaning
from ecommerce_elt.errors import PermanentError
from ecommerce_elt.feeds import feed_sql
from ecommerce_elt.feeds.contracts import Contract
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlglot import exp

from producer.simulate import simulated
from producer.simulate.broken import BREAKERS
from tests.support.cleaning_bench import clean, line, rules

LINE = {
    "InvoiceNo": "536365",
    "StockCode": "85123a",
    "Description": "  WHITE HEART ",
    "Quantity": "6",
    "InvoiceDate": "12/1/2010 8:26",
    "UnitPrice": "2.55",
    "CustomerID": "17850",
    "Country": "United Kingdom",
}
PERSON = {
    "Name": "Ada Lovelace",
    "Address": "12 Analytical Way, London, NY 10001",
    "Phone": "(555) 123-4567",
    "Age": "36",
    "Gender": "Female",
    "Product Name": "Novel",
    "Amount": "12.50",
    "Purchase Date": "2026-01-02 03:04:05",
}
MOVE = {"event_time": "2026-01-02T03:04:05Z", "product_id": "P1", "quantity": -3, "price": 2.5}


def test_an_invoice_line_is_typed(tmp_path, config, contracts):
    [row] = clean(tmp_path, config, contracts["online_retail"], "online_retail", [line("online_retail", LINE)])
    assert row["reasons"] == []
    assert (row["stock_code"], row["description"]) == ("85123A", "WHITE HEART")
    assert (row["quantity"], row["unit_price"], row["amount"]) == (6, Decimal("2.550"), Decimal("15.300"))
    assert row["event_time"] == datetime(2026, 1, 2, 3, 4, 5)  # the envelope's, because the sender knew the format
    assert row["line_type"] == "sale"
    assert (row["source_line"], row["copy_number"]) == (1, 1)


@pytest.mark.parametrize(
    ("changes", "line_type", "zero"),
    [
        pytest.param({}, "sale", False, id="sale"),
        pytest.param({"InvoiceNo": "C536379", "Quantity": "-1"}, "cancellation", False, id="cancellation"),
        pytest.param({"InvoiceNo": "c536379", "Quantity": "-1"}, "cancellation", False, id="cancellation_small_c"),
        pytest.param(
            {"InvoiceNo": "A563186", "StockCode": "B", "UnitPrice": "-11062.06"}, "adjustment", False, id="bad_debt"
        ),
        pytest.param({"Quantity": "-10", "UnitPrice": "0"}, "adjustment", True, id="negative_without_c"),
        pytest.param({"StockCode": "POST"}, "fee", False, id="postage"),
        pytest.param({"StockCode": "gift_0001_20"}, "fee", False, id="voucher"),
        pytest.param({"UnitPrice": "0.000"}, "sale", True, id="zero_price"),
    ],
)
def test_line_types(tmp_path, config, contracts, changes, line_type, zero):
    [row] = clean(
        tmp_path, config, contracts["online_retail"], "online_retail", [line("online_retail", LINE | changes)]
    )
    assert (row["reasons"], row["line_type"], row["is_zero_price"]) == ([], line_type, zero)


@pytest.mark.parametrize(
    ("schema_version", "event_type", "quantity", "expected"),
    [
        pytest.param(1, None, -3, ("sale", 3, -3), id="1_negative_was_sold"),
        pytest.param(1, None, 5, ("restock", 5, 5), id="1_positive_was_restocked"),
        pytest.param(1, None, 0, ("restock", 0, 0), id="1_zero"),
        pytest.param(1, "sale", -3, ("sale", 3, -3), id="1_a_type_beside_the_old_sign"),
        pytest.param(2, None, 10, ("sale", 10, -10), id="2_positive_is_a_sale"),
        pytest.param(2, None, -4, ("return", 4, 4), id="2_negative_is_a_return"),
        pytest.param(2, None, 0, ("adjustment", 0, 0), id="2_zero_moves_nothing"),
        pytest.param(2, "", 10, ("sale", 10, -10), id="2_an_empty_type_is_none"),
        pytest.param(2, "sale", 3, ("sale", 3, -3), id="2_sale"),
        pytest.param(2, "return", 3, ("return", 3, 3), id="2_return"),
        pytest.param(2, "return", -3, ("return", 3, 3), id="2_a_return_with_the_sign_of_one"),
        pytest.param(2, "restock", 3, ("restock", 3, 3), id="2_restock"),
        pytest.param(2, "adjustment", 3, ("adjustment", 3, 3), id="2_found"),
        pytest.param(2, "adjustment", -3, ("adjustment", 3, -3), id="2_lost"),
        pytest.param(2, "sale", -3, {("quantity", "sign")}, id="2_sold_or_brought_back"),
        pytest.param(2, "restock", -3, {("quantity", "sign")}, id="2_sent_back_or_taken_away"),
        pytest.param(2, "adjustment", -(2**31), {("quantity", "min")}, id="2_the_smallest_number"),
        pytest.param(1, None, -(2**31), {("quantity", "min")}, id="1_the_smallest_number"),
        pytest.param(2, "gift", -3, {("event_type", "accepted")}, id="2_no_such_type"),
        pytest.param(3, None, 10, ("sale", 10, -10), id="a_later_version_means_the_same"),
    ],
)
def test_a_movement_is_what_its_type_or_its_sign_says(
    tmp_path, config, contracts, schema_version, event_type, quantity, expected
):
    record = MOVE | {"quantity": quantity} | ({} if event_type is None else {"event_type": event_type})
    event = line("product_events", record, schema_version=schema_version)
    [row] = clean(tmp_path, config, contracts["product_events"], "product_events", [event])
    if isinstance(expected, set):
        assert rules(row) == expected
    else:
        assert (row["reasons"], row["movement"], row["units"], row["stock_change"]) == ([], *expected)


def test_a_record_of_a_shop_is_a_sale(tmp_path, config, contracts):
    """As the second seed sends it: numbers as numbers, and no type."""
    record = {"event_time": "2026-11-27T11:34:39.314505", "product_id": 18, "quantity": 10, "price": 86.27}
    event = line("product_events", record, event_time=None, schema_version=contracts["product_events"].version)
    [row] = clean(tmp_path, config, contracts["product_events"], "product_events", [event])
    assert (row["reasons"], row["product_id"], row["price"]) == ([], "18", Decimal("86.27"))
    assert (row["movement"], row["units"], row["stock_change"]) == ("sale", 10, -10)


def test_an_empty_customer_is_unknown(tmp_path, config, contracts):
    events = [line("online_retail", LINE | {"CustomerID": value}, str(i)) for i, value in enumerate(["", "  ", None])]
    rows = clean(tmp_path, config, contracts["online_retail"], "online_retail", events)
    assert [(r["customer_id"], r["reasons"]) for r in rows] == [("unknown", [])] * 3


@pytest.mark.parametrize(
    ("feed", "changes", "expected"),
    [
        pytest.param("online_retail", {"Quantity": "1.5"}, {("quantity", "type")}, id="fraction"),
        pytest.param("online_retail", {"Quantity": "6.0"}, set(), id="whole_number_with_point"),
        pytest.param("online_retail", {"Quantity": "6\n"}, {("quantity", "type")}, id="number_with_line_break"),
        pytest.param("online_retail", {"Quantity": "9" * 30}, {("quantity", "range")}, id="number_of_30_digits"),
        pytest.param("online_retail", {"Quantity": "1000001"}, {("quantity", "max")}, id="too_many"),
        pytest.param("online_retail", {"UnitPrice": "2,55,1"}, {("unit_price", "type")}, id="two_commas"),
        pytest.param("online_retail", {"UnitPrice": "2.5555"}, {("unit_price", "scale")}, id="four_decimals"),
        pytest.param("online_retail", {"UnitPrice": "2.5500"}, set(), id="zeros_behind_are_no_decimals"),
        pytest.param("online_retail", {"UnitPrice": "inf"}, {("unit_price", "type")}, id="not_a_number"),
        pytest.param("online_retail", {"UnitPrice": "1" * 12}, {("unit_price", "range")}, id="price_of_12_digits"),
        pytest.param("online_retail", {"Country": "é" * 65}, {("country", "max_bytes")}, id="bytes_count_not_letters"),
        pytest.param(
            "online_retail",
            {"InvoiceNo": "", "Quantity": "x", "UnitPrice": None},
            {("invoice_no", "required"), ("quantity", "type"), ("unit_price", "required")},
            id="all_reasons_at_once",
        ),
        pytest.param("purchases", {"Age": "131"}, {("age", "max")}, id="too_old"),
        pytest.param("purchases", {"Gender": "W"}, {("gender", "accepted")}, id="unknown_gender"),
        pytest.param("purchases", {"Amount": "-1"}, {("amount", "min")}, id="negative_amount"),
        pytest.param("purchases", {"Name": ""}, {("name", "required")}, id="nameless"),
        pytest.param("product_events", {"product_id": "P 1"}, {("product_id", "pattern")}, id="blank_in_the_id"),
        pytest.param("product_events", {"product_id": "P1\n"}, {("product_id", "pattern")}, id="line_break_in_the_id"),
        pytest.param("product_events", {"quantity": 2.5}, {("quantity", "type")}, id="json_fraction"),
        pytest.param("product_events", {"quantity": True}, {("quantity", "type")}, id="json_boolean"),
    ],
)
def test_every_broken_rule_is_named(tmp_path, config, contracts, feed, changes, expected):
    record = {"online_retail": LINE, "purchases": PERSON, "product_events": MOVE}[feed] | changes
    [row] = clean(tmp_path, config, contracts[feed], feed, [line(feed, record)])
    assert rules(row) == expected


@pytest.mark.parametrize(
    ("event_time", "expected"),
    [
        pytest.param("2026-01-02T03:04:05+02:00", datetime(2026, 1, 2, 1, 4, 5), id="offset_becomes_utc"),
        pytest.param("2026-01-02 03:04:05", datetime(2026, 1, 2, 3, 4, 5), id="no_zone_is_utc"),
        pytest.param("2026-01-02", datetime(2026, 1, 2), id="date_alone"),
        pytest.param("2026-02-30T00:00:00Z", {("event_time", "type")}, id="30_february"),
        pytest.param("1815-12-10T00:00:00Z", {("event_time", "range")}, id="before_1900"),
        pytest.param("9999-01-01T00:00:00Z", {("event_time", "range")}, id="far_future"),
    ],
)
def test_times(tmp_path, config, contracts, event_time, expected):
    [row] = clean(
        tmp_path,
        config,
        contracts["product_events"],
        "product_events",
        [line("product_events", MOVE, event_time=event_time)],
    )
    assert (rules(row) if isinstance(expected, set) else row["event_time"]) == expected


def test_a_time_that_the_sender_could_not_read_is_rejected(tmp_path, config, contracts):
    event = line("online_retail", LINE | {"InvoiceDate": "6/31/2011 10:00"}, event_time=None)
    [row] = clean(tmp_path, config, contracts["online_retail"], "online_retail", [event])
    assert rules(row) == {("invoice_date", "type")}


def test_headers_have_aliases(tmp_path, config, contracts):
    data = {("Invoice" if k == "InvoiceNo" else "Price" if k == "UnitPrice" else k): v for k, v in LINE.items()}
    [row] = clean(tmp_path, config, contracts["online_retail"], "online_retail", [line("online_retail", data)])
    assert (row["reasons"], row["invoice_no"], row["unit_price"]) == ([], "536365", Decimal("2.550"))


@pytest.mark.parametrize(
    ("spellings", "expected"),
    [
        ({"InvoiceNo": "", "Invoice": "5"}, "5"),
        ({"InvoiceNo": " 4 ", "Invoice": "5"}, "4"),
        ({"InvoiceNo": None, "Invoice": " ", "Order No": " 6 "}, "6"),
        ({"InvoiceNo": "\u00a0", "Invoice": None}, None),
    ],
    ids=["blank header", "both", "blank alias", "none"],
)
def test_the_first_spelling_that_is_not_blank_counts(tmp_path, config, contracts, spellings, expected):
    [row] = clean(
        tmp_path, config, contracts["online_retail"], "online_retail", [line("online_retail", LINE | spellings)]
    )
    assert (row["invoice_no"], rules(row)) == (expected, set() if expected else {("invoice_no", "required")})


def test_copies_of_an_event_count_once_and_the_good_one_wins(tmp_path, config, contracts):
    bad, good = line("product_events", MOVE | {"quantity": "x"}), line("product_events", MOVE)
    rows = clean(tmp_path, config, contracts["product_events"], "product_events", [bad, good], [good])
    assert [r["copy_number"] for r in rows] == [3, 1, 2]
    assert [r["source_line"] for r in rows] == [1, 2, 1]


def test_equal_records_with_different_ids_are_different_events(tmp_path, config, contracts):
    events = [line("online_retail", LINE, "a"), line("online_retail", LINE, "b")]
    assert [r["copy_number"] for r in clean(tmp_path, config, contracts["online_retail"], "online_retail", events)] == [
        1,
        1,
    ]


def test_the_phone_goes_on_as_a_real_hmac(tmp_path, config, contracts):
    [row] = clean(tmp_path, config, contracts["purchases"], "purchases", [line("purchases", PERSON)])
    key = config.pii_hmac_key.get_secret_value().encode()
    assert row["customer_key"] == hmac.new(key, b"5551234567", hashlib.sha256).hexdigest()
    assert (row["age_group"], row["state"]) == ("35-44", "NY")


def test_personal_data_stops_at_clean(tmp_path, config, contracts):
    events = [line("purchases", PERSON, "good"), line("purchases", PERSON | {"Gender": "?"}, "bad")]
    rows = clean(tmp_path, config, contracts["purchases"], "purchases", events)
    assert [bool(r["reasons"]) for r in rows] == [False, True]
    text = json.dumps(rows, default=str)
    for personal in ("Ada", "Lovelace", "Analytical", "London", "10001", "123-4567", "5551234567"):
        assert personal not in text


def test_a_feed_without_a_contract_is_kept_and_explained(tmp_path, config):
    rows = clean(tmp_path, config, None, "unheard_of", [line("unheard_of", {"a": 1}, "x"), line("unheard_of", {}, "x")])
    assert [rules(r) for r in rows] == [{("feed", "known")}] * 2
    assert [r["copy_number"] for r in rows] == [1, 2]


def test_every_event_knows_its_object_and_line(tmp_path, config, contracts):
    objects = [[line("product_events", MOVE, f"{n}/{i}") for i in range(1, 40_001)] for n in range(3)]
    rows = clean(tmp_path, config, contracts["product_events"], "product_events", *objects)
    assert len(rows) == 120_000
    for row in rows:
        number = row["source_object"].split("object-")[1].split(".")[0]
        assert row["event_id"] == f"{number}/{row['source_line']}"


@pytest.mark.parametrize("feed", ["product_events", "unheard_of", "_unreadable"])
def test_only_the_lines_that_are_meant_are_cleaned(tmp_path, config, contracts, feed):
    files, lines = {}, {"raw/b": [2], "raw/a": [1, 3]}
    for name in "ab":
        path = files[f"raw/{name}"] = tmp_path / f"{name}.jsonl.gz"
        made = [line(feed, MOVE, f"{name}{n}") for n in range(1, 5)]
        if feed == "_unreadable":
            made = [json.dumps({"event_source_id": f"{name}{n}"}).encode() for n in range(1, 5)]
        path.write_bytes(gzip.compress(b"\n".join(made)))
    with duckdb.connect() as engine:
        run_cleaning(engine, files, feed, contracts.get(feed), config, lines=lines)
        found = engine.sql("SELECT source_object, source_line, event_id FROM cleaned ORDER BY ALL").fetchall()
    assert found == [("raw/a", 1, "a1"), ("raw/a", 3, "a3"), ("raw/b", 2, "b2")]


def test_a_corrupt_raw_object_is_named(tmp_path, config, contracts):
    with pytest.raises(PermanentError, match="object-0"):
        clean(tmp_path, config, contracts["purchases"], "purchases", [b'{"event_id": '])


def test_a_key_longer_than_a_block_is_refused():
    with pytest.raises(PermanentError, match="65 bytes, expected 16 to 64"):
        hmac_pads("k" * 65)


@pytest.mark.parametrize("feed", BREAKERS)
def test_every_simulated_fault_is_found_and_nothing_else(tmp_path, config, contracts, feed):
    made = list(simulated(feed, 400, seed=7, bad_rate=0.5))
    events, broken = [], []
    for number, (moment, data, fault) in enumerate(made):
        if fault and fault.line:
            continue  # no envelope: raw_writer's case
        time = None if fault and fault.time_is_lost else moment.isoformat()
        record = fault.data(data) if fault else data
        events.append(line(feed, record, str(number), time, schema_version=contracts[feed].version))
        broken.append(fault is not None)
    rows = clean(tmp_path, config, contracts[feed], feed, events)
    assert [bool(r["reasons"]) for r in rows] == broken
    assert sum(broken) > 50


@pytest.mark.parametrize("feed", BREAKERS)
def test_clean_columns_are_the_staging_columns(tmp_path, config, contracts, feed):
    """COPY of Parquet goes by position and exact type, so both sides must say the same."""
    event = line(feed, {"online_retail": LINE, "purchases": PERSON, "product_events": MOVE}[feed])
    path = tmp_path / "one.gz"
    path.write_bytes(gzip.compress(event + b"\n"))
    with duckdb.connect() as engine:
        run_cleaning(engine, {f"raw/feed={feed}/dt=2026-01-01/hour=00/x.jsonl.gz": path}, feed, contracts[feed], config)
        found = engine.execute(
            "DESCRIBE SELECT * EXCLUDE (reasons, copy_number, rejected_version) FROM cleaned"
        ).fetchall()
    ddl = sqlglot.parse_one(feed_sql.read(config.sql_dir, f"staging/{feed}/create.sql"), read="redshift")
    columns = [(c.name, c.args["kind"]) for c in ddl.find_all(exp.ColumnDef)]

    def kind(declared: exp.DataType) -> str:
        text = declared.sql("duckdb").split("(")[0]
        return (
            declared.sql("duckdb").replace(", ", ",")
            if text == "DECIMAL"
            else {"TEXT": "VARCHAR", "INT": "INTEGER"}.get(text, text)
        )

    assert [(row[0], row[1]) for row in found] == [(name, kind(declared)) for name, declared in columns]


_values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=60),
    st.sampled_from(["1e5", "0x10", "-", "+1", ".", "1.", "١٢"]),
)


@hypothesis_settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_no_value_gets_lost_or_breaks_the_batch(tmp_path, config, contracts, data):
    """Whatever the values are, each event is clean with all its required columns, or rejected with a reason."""
    feed = data.draw(st.sampled_from(sorted(BREAKERS)))
    contract: Contract = contracts[feed]
    keys = [column.header for column in contract.columns]
    base = {"online_retail": LINE, "purchases": PERSON, "product_events": MOVE}[feed]
    records = [base | data.draw(st.dictionaries(st.sampled_from(keys), _values)) for _ in range(5)]
    rows = clean(tmp_path, config, contract, feed, [line(feed, r, str(i)) for i, r in enumerate(records)])
    assert len(rows) == 5
    needed = {
        "online_retail": "quantity unit_price country amount",
        "purchases": "amount customer_key state gender",
        "product_events": "product_id quantity price movement units stock_change",
    }[feed].split()
    for row in rows:
        if not row["reasons"]:
            assert all(row[name] is not None for name in [*needed, "event_time"])


@pytest.mark.parametrize("feed", ["_unreadable", "product_events"])
def test_many_small_objects_are_read_in_bounded_memory(tmp_path, config, contracts, feed):
    files = {}
    for number in range(60):
        record = {"stage": "raw_writer", "reason": "not JSON", "event_source_id": f"s:{number}", "data": "x"}
        body = json.dumps(record).encode() if feed == "_unreadable" else line(feed, MOVE, f"e{number}")
        path = tmp_path / f"{number}.jsonl.gz"
        path.write_bytes(gzip.compress(body + b"\n"))
        files[f"raw/feed={feed}/dt=2026-01-01/hour=00/{number:04d}.jsonl.gz"] = path
    with duckdb.connect(config={"memory_limit": "512MiB", "threads": 2}) as engine:
        run_cleaning(engine, files, feed, contracts.get(feed), config)
        assert engine.sql("SELECT COUNT(*), COUNT(DISTINCT source_object) FROM cleaned").fetchall() == [(60, 60)]
