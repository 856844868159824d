"""What all Lambdas share. The typing of a record must be the cleaning's: same events accepted, same values."""

import json
from datetime import datetime
from decimal import Decimal
from random import Random

import pytest

from infra.packages import lambda_contract
from tests.support import dialect_cases
from tests.support.cleaning_bench import clean, line, rules

GOOD = {
    "InvoiceNo": "536365",
    "StockCode": "85123A",
    "Description": "LANTERN",
    "Quantity": "6",
    "InvoiceDate": "2010-12-01 08:26",
    "UnitPrice": "2.55",
    "CustomerID": "17850",
    "Country": "United Kingdom",
}

# Values that a source might write, good and bad, for every type.
VALUES = [
    None,
    "",
    " ",
    "x",
    "6",
    " 6 ",
    "+6",
    "-6",
    "6.0",
    "6.5",
    "6.",
    ".5",
    "-.5",
    "1e3",
    "1E400",
    "0x10",
    "٣",
    "1,5",
    "1_000",
    "2147483647",
    "2147483648",
    "-2147483648",
    "-2147483649",
    "1000000",
    "1000001",
    "-1000001",
    "9" * 30,
    "9" * 400,
    "0.001",
    "0.0010",
    "0.0015",
    "999999999.999",
    "1000000000",
    "1000000.0001",
    "NaN",
    "inf",
    "-0",
    "--1",
    "1 2",
    "true",
    "TRUE",
    "t",
    "2010-12-01",
    "2010-12-01 08:26:59",
    "2010-12-01T08:26:59.123456Z",
    "2010-12-01T08:26:59+02:00",
    "2010-12-01 08:26+0530",
    "2010-12-1 8:26",
    "12/1/2010 8:26",
    "2010-13-01",
    "2010-02-30",
    "2010-12-01 24:00",
    "2010-12-01 08:60",
    "1899-12-31",
    "1900-01-01",
    "2199-12-31 23:59:59",
    "2200-01-01",
    "2010-12-01T08:26:59.1234567",
    "today",
    "infinity",
    "epoch",
    *(text for _, text, _ in dialect_cases.CASES),
    "17850.0 ",
    "5 GBP-",
    "1,234",
    "(1,234)",
    "2.5551",
    "a" * 32,
    "a" * 33,
    "£" * 16,
    "£" * 17,
    "\t6",
    "6\n",
    "é",
    6,
    6.5,
    2.55,
    True,
    False,
    [1],
    {"a": 1},
    10**20,
    -1,
]


@pytest.fixture
def shared(layer):
    from ecommerce_events import contracts

    return contracts


def _lambda_view(shared, events):
    """(event id → typed values, or the rules that it breaks)."""
    found = {}
    for event in events:
        envelope = json.loads(event)
        try:
            found[envelope["event_id"]] = shared.typed(shared.contracts()["online_retail"], envelope)
        except shared.BreaksContract as error:
            found[envelope["event_id"]] = {(column, rule) for column, rule, _ in error.reasons}
    return found


def _mutated():
    """Every value in every column, and random mixtures of several."""
    random = Random(7)
    for column in GOOD:
        for value in VALUES:
            yield {**GOOD, column: value}
    for _ in range(400):
        yield {**GOOD, **{column: random.choice(VALUES) for column in random.sample(list(GOOD), 3)}}
    yield {k: v for k, v in GOOD.items() if k != "InvoiceNo"} | {"Invoice": "C1"}
    yield {}


def test_the_lambdas_and_the_cleaning_accept_the_same_events_with_the_same_values(shared, tmp_path, config, contracts):
    random = Random(8)
    times = [None, "2026-01-02T03:04:05Z", "2026-01-02T03:04:05.5+02:00", "yesterday", ""]
    events = [
        line("online_retail", data, f"e{i}", event_time=random.choice(times) if i % 3 else None)
        for i, data in enumerate(_mutated())
    ]
    cleaned = {
        row["event_id"]: row for row in clean(tmp_path, config, contracts["online_retail"], "online_retail", events)
    }
    ours = _lambda_view(shared, events)
    assert set(ours) == set(cleaned)
    accepted = 0
    for event_id, found in ours.items():
        row, source = cleaned[event_id], events[int(event_id[1:])].decode()
        if isinstance(found, set):
            # The columns that are wrong must be the same; of one column's rules the cleaning may name more.
            assert {column for column, _ in found} == {column for column, _ in rules(row)}, source
            continue
        assert rules(row) == set(), source
        accepted += 1
        assert found["quantity"] == row["quantity"], source
        assert found["unit_price"] == row["unit_price"], source
        assert found["invoice_date"].replace(tzinfo=None) == row["event_time"], source
        assert (found["customer_id"] or "unknown", shared.capitals(found["stock_code"])) == (
            row["customer_id"],
            row["stock_code"],
        )
        assert (found["description"], found["country"], found["invoice_no"]) == (
            row["description"],
            row["country"],
            row["invoice_no"],
        ), source
    assert 150 < accepted < len(events) - 150


def test_what_senders_write_for_a_value_is_read_as_the_cleaning_reads_it(shared):
    contract = json.loads(json.dumps(lambda_contract(dialect_cases.CONTRACT)))
    wrong = []
    for event, (column, text, right) in zip(dialect_cases.as_events(), dialect_cases.CASES, strict=True):
        try:
            found = shared.typed(contract, json.loads(event))[column]
            found = found.replace(tzinfo=None) if isinstance(found, datetime) else found
        except shared.BreaksContract as error:
            found = {rule for _, rule, _ in error.reasons}
        wrong += [(column, text, right, found)] if found != right else []
    assert not wrong


def test_money_is_exact(shared):
    envelope = json.loads(line("online_retail", {**GOOD, "UnitPrice": "16.13"}, event_time=None))
    assert shared.typed(shared.contracts()["online_retail"], envelope)["unit_price"] == Decimal("16.13")


def test_every_feed_has_its_contract_in_the_layer(shared, contracts):
    assert set(shared.contracts()) == set(contracts)


def test_attempts_end_at_the_deadline(layer):
    import time

    from ecommerce_events.retry import attempts

    # A thousand attempts with these waits would take minutes.
    assert len(list(attempts(1000, first=0.05, deadline=time.monotonic() + 0.2))) < 1000
    assert list(attempts(5, deadline=time.monotonic() - 1)) == [0]
    assert list(attempts(3, first=0.001)) == [0, 1, 2]
