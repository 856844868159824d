"""Invoices and customers in DynamoDB: right after any retry, replay, reordering, partial batch and parallel writer."""

import json
import threading
from collections import defaultdict
from decimal import Decimal
from random import Random

import boto3
import pytest
from botocore.exceptions import ClientError

from tests.lambdas.event_source import Mapping, kinesis_record
from tests.support.cleaning_bench import line


def event(
    number,
    invoice="536365",
    code="85123A",
    quantity=6,
    price="2.55",
    customer="17850",
    time="2010-12-01 08:26",
    version=1,
    **more,
):
    data = {
        "InvoiceNo": invoice,
        "StockCode": code,
        "Description": "LANTERN",
        "Quantity": str(quantity),
        "InvoiceDate": time,
        "UnitPrice": price,
        "CustomerID": customer,
        "Country": "United Kingdom",
        **more,
    }
    return line("online_retail", data, f"e{number}", None, version)


def shard(events, start=0):
    return [kinesis_record(payload, start + i) for i, payload in enumerate(events)]


def a_shop(count, seed=1):
    """Lines of a few invoices with repeated products, several customers and several times each."""
    random = Random(seed)
    return [
        event(
            i,
            invoice=f"{500000 + random.randrange(count // 10 + 1)}",
            code=random.choice(["A", "b", "B", "C1", "D"]),
            quantity=random.randint(-3, 9),
            price=f"{random.randint(0, 999) / 100:.2f}",
            customer=random.choice(["1", "2", ""]),
            time=f"2010-12-{random.randint(1, 28):02d} 08:{random.randint(0, 59):02d}",
        )
        for i in range(count)
    ]


def expected(events):
    """What the tables must hold, by a plain loop over the events."""
    items, customers = defaultdict(list), defaultdict(list)
    for payload in events:
        data, event_id = json.loads(payload)["data"], json.loads(payload)["event_id"]
        amount = int(data["Quantity"]) * Decimal(data["UnitPrice"])
        row = (event_id, int(data["Quantity"]), amount, data["InvoiceDate"].replace(" ", "T") + ":00Z")
        items[data["InvoiceNo"], data["StockCode"].upper()].append(row)
        customers[data["CustomerID"] or "unknown", data["InvoiceNo"]].append(row)
    return items, customers


def scan(table):
    pages = boto3.client("dynamodb").get_paginator("scan").paginate(TableName=table)
    return [item for page in pages for item in page["Items"]]


def content(tables):
    return tuple(sorted(json.dumps(item, sort_keys=True) for item in scan(table)) for table in tables)


def check(tables, events):
    items, customers = expected(events)
    found = {(i["InvoiceNo"]["S"], i["StockCode"]["S"]): i for i in scan(tables[0])}
    assert set(found) == set(items)
    for key, rows in items.items():
        assert set(found[key]["Lines"]["M"]) == {row[0] for row in rows}
        check_totals(found[key], rows)
    summaries = {(i["CustomerID"]["S"], i["InvoiceNo"]["S"]): i for i in scan(tables[1])}
    assert set(summaries) == set(customers)
    for key, rows in customers.items():
        check_totals(summaries[key], rows)


def check_totals(item, rows):
    assert int(item["LineCount"]["N"]) == len(rows)
    assert int(item["Quantity"]["N"]) == sum(row[1] for row in rows)
    assert Decimal(item["Total"]["N"]) == sum(row[2] for row in rows)
    assert item["InvoiceDate"]["S"] == min(row[3] for row in rows)


@pytest.fixture
def writer(handler_of, tables):
    return handler_of(
        "dynamodb_writer", INVOICES_TABLE=tables[0], CUSTOMERS_TABLE=tables[1], RETENTION_DAYS="0", THREADS="4"
    )


@pytest.fixture
def logic(logic_of):
    return logic_of("dynamodb_writer")


def test_the_sample_event(writer, tables):
    from tests.conftest import PROJECT

    sample = json.loads((PROJECT / "lambdas/dynamodb_writer/event.json").read_text())
    assert writer.handler(sample, None) == {"batchItemFailures": []}
    assert [i["InvoiceNo"]["S"] for i in scan(tables[0])] == ["536365"]


def test_items_keep_their_lines_apart_and_their_totals_are_right(writer, tables):
    events = a_shop(600)
    Mapping(writer.handler, batch_size=200).deliver(shard(events))
    check(tables, events)


def test_a_big_invoice_spans_transactions(writer, tables):
    events = [event(i, code=f"S{i % 300}") for i in range(700)]
    Mapping(writer.handler).deliver(shard(events))
    check(tables, events)


def test_replays_reordering_and_other_batches_end_in_the_same_content(handler_of, writer, tables):
    events = a_shop(400, seed=2)
    Mapping(writer.handler, batch_size=150).deliver(shard(events))
    first = content(tables)
    Mapping(writer.handler, batch_size=37).deliver(shard(events[::-1]))
    assert content(tables) == first
    for table in tables:  # and from nothing, in another order, each event several times
        keys = {"i": ("InvoiceNo", "StockCode"), "c": ("CustomerID", "InvoiceNo")}[table[0]]
        for item in scan(table):
            boto3.client("dynamodb").delete_item(TableName=table, Key={k: item[k] for k in keys})
    mixed = events * 2
    Random(3).shuffle(mixed)
    Mapping(writer.handler, batch_size=61).deliver(shard(mixed))
    check(tables, events)
    assert content(tables) == first


def test_parallel_writers_of_one_invoice_lose_nothing(writer, tables):
    events = [event(i, code=f"S{i % 3}") for i in range(240)]
    parts = [shard(events[i::6], start=1000 * i) for i in range(6)]
    threads = [threading.Thread(target=Mapping(writer.handler, batch_size=10).deliver, args=(part,)) for part in parts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    check(tables, events)


def _failing(writer, monkeypatch, operation, fails, code="ProvisionedThroughputExceededException"):
    """Lets calls fail as DynamoDB fails, before or after they took effect."""
    real = getattr(writer.dynamodb, operation)
    error = ClientError({"Error": {"Code": code, "Message": "slow down"}}, operation)

    def flaky(**kwargs):
        when = fails(kwargs)
        if when == "before":
            raise error
        answer = real(**kwargs)
        if when == "after":
            raise error
        return answer

    monkeypatch.setattr(writer.dynamodb, operation, flaky)


def test_throttling_and_lost_answers_lose_and_double_nothing(writer, tables, monkeypatch):
    random = Random(4)
    pick = lambda kwargs: random.choices(["before", "after", None], [2, 2, 6])[0]  # noqa: E731
    _failing(writer, monkeypatch, "transact_write_items", pick)
    events = a_shop(500, seed=5)
    Mapping(writer.handler, batch_size=100).deliver(shard(events))
    check(tables, events)


def test_unprocessed_keys_are_read_again(writer, tables, monkeypatch):
    real, random, held_back = writer.dynamodb.batch_get_item, Random(6), []

    def partial(RequestItems):  # noqa: N803
        kept = {t: {**r, "Keys": [k for k in r["Keys"] if random.random() < 0.6]} for t, r in RequestItems.items()}
        rest = {t: {**r, "Keys": [k for k in r["Keys"] if k not in kept[t]["Keys"]]} for t, r in RequestItems.items()}
        rest = {t: r for t, r in rest.items() if r["Keys"]}
        held_back.append(len(rest))
        asked = {t: r for t, r in kept.items() if r["Keys"]}
        answer = real(RequestItems=asked) if asked else {"Responses": {}}
        return {**answer, "UnprocessedKeys": rest}

    events = a_shop(200, seed=7)
    Mapping(writer.handler).deliver(shard(events[:120]))
    monkeypatch.setattr(writer.dynamodb, "batch_get_item", partial)
    Mapping(writer.handler).deliver(shard(events))
    check(tables, events)
    assert sum(held_back) > 0


def test_what_stays_throttled_is_reported_and_comes_again(writer, tables, monkeypatch):
    monkeypatch.setattr(writer, "ATTEMPTS", 2)
    calls = []
    _failing(
        writer,
        monkeypatch,
        "transact_write_items",
        lambda kwargs: calls.append(1) or ("before" if len(calls) < 9 else None),
    )
    events = a_shop(60, seed=8)
    mapping = Mapping(writer.handler)
    mapping.deliver(shard(events))
    assert (mapping.given_up, mapping.invocations > 1) == ([], True)
    check(tables, events)


def test_a_poison_record_among_two_thousand_lets_the_others_land(writer, tables):
    """An item at DynamoDB's limit of 400 KB takes no further line."""
    full = {
        "InvoiceNo": {"S": "full"},
        "StockCode": {"S": "F"},
        "LineCount": {"N": "1"},
        "FirstLine": {"S": "2010"},
        "InvoiceDate": {"S": "2010-01-01T00:00:00Z"},
        "Country": {"S": "France"},
        "Quantity": {"N": "1"},
        "Total": {"N": "1"},
        "UnitPrice": {"N": "1"},
        "CustomerID": {"S": "9"},
        "Description": {"NULL": True},
        "Lines": {"M": {"old": {"S": "x" * 409_350}}},
    }
    boto3.client("dynamodb").put_item(TableName=tables[0], Item=full)
    events = [event(i, invoice=f"{600000 + i // 20}", code=f"S{i % 20}") for i in range(2000)]
    events[1234] = event(1234, invoice="full", code="F", customer="9")
    records = shard(events)
    mapping = Mapping(writer.handler, maximum_retry_attempts=1)
    mapping.deliver(records)
    assert mapping.given_up == [records[1234]["kinesis"]["sequenceNumber"]]
    stored = [i for i in scan(tables[0]) if i["InvoiceNo"]["S"] != "full"]
    assert sum(int(i["LineCount"]["N"]) for i in stored) == 1999


def test_what_breaks_its_contract_is_counted_and_left_to_the_warehouses_quarantine(writer, tables, caplog):
    caplog.set_level("INFO")
    events = [event(1), event(2, quantity="many"), b"no envelope", line("purchases", {"Name": "A"}, "p")]
    mapping = Mapping(writer.handler)
    mapping.deliver(shard(events))
    assert (mapping.given_up, mapping.invocations) == ([], 1)
    check(tables, events[:1])
    assert "rejected=2" in caplog.text
    assert "many" not in caplog.text


def test_retention_counts_from_the_newest_arrival(logic):
    [late], _ = logic.lines_of([kinesis_record(event(1), 5, arrived=2000.0)])
    [early], _ = logic.lines_of([kinesis_record(event(2), 6, arrived=1000.0)])
    [first, _] = logic.writes_of([late], {}, 2)
    assert first.item["ExpiresAt"] == {"N": str(2000 + 2 * 86400)}
    [again, _] = logic.writes_of([early], {first.key: first.item}, 2)
    assert again.item["ExpiresAt"] == first.item["ExpiresAt"]
    [kept, _] = logic.writes_of([late], {}, 0)
    assert "ExpiresAt" not in kept.item


CORRECTED = [
    event(0),
    event(1, quantity=2),
    event(2, code="B"),
    event(0, version=2, quantity=7, price="1.10", time="2010-12-03 08:26"),
    event(0, version=3, quantity=8, price="3.00", time="2010-12-02 08:26", Description="LAMP"),
    event(1, version=2, customer="99"),  # the summary of the first customer loses it
    event(2, version=2, customer="", code="b"),
]
LATEST = [CORRECTED[4], CORRECTED[5], CORRECTED[6]]


@pytest.mark.parametrize("seed", range(6))
def test_versions_in_any_order_split_and_repetition_end_in_the_highest(writer, tables, seed):
    random = Random(seed)
    events = CORRECTED + random.choices(CORRECTED, k=5)
    random.shuffle(events)
    for start in range(0, len(events), 3):
        assert writer.handler({"Records": shard(events[start : start + 3])}, None) == {"batchItemFailures": []}
    items, customers = expected(LATEST)
    found = {(i["InvoiceNo"]["S"], i["StockCode"]["S"]): i for i in scan(tables[0])}
    assert set(found) == set(items)
    for key, rows in items.items():
        check_totals(found[key], rows)
    assert found["536365", "85123A"]["Description"]["S"] == "LANTERN"  # of its earliest line, which is the other one
    summaries = {(i["CustomerID"]["S"], i["InvoiceNo"]["S"]): i for i in scan(tables[1]) if i["LineCount"]["N"] != "0"}
    assert set(summaries) == set(customers)
    for key, rows in customers.items():
        assert int(summaries[key]["LineCount"]["N"]) == len(rows)
        assert int(summaries[key]["Quantity"]["N"]) == sum(row[1] for row in rows)
        assert Decimal(summaries[key]["Total"]["N"]) == sum(row[2] for row in rows)


def test_corrections_by_parallel_writers_are_not_lost(writer, tables):
    count = 12
    Mapping(writer.handler).deliver(shard([event(n) for n in range(count)]))
    threads = [
        threading.Thread(target=writer.handler, args=({"Records": shard([event(n, version=2, quantity=n)])}, None))
        for n in range(count)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    Mapping(writer.handler).deliver(shard([event(n, version=2, quantity=n) for n in range(count)]))  # who lost the race
    [item] = scan(tables[0])
    assert int(item["Quantity"]["N"]) == sum(range(count))
    assert int(item["LineCount"]["N"]) == count


# -- withdrawals --------------------------------------------------------------------------------------------------------


def withdrawn(records, numbers):
    """The records as load_history gives them: those of the numbers take their line out."""
    return [record | {"withdrawn": True} if number in numbers else record for number, record in enumerate(records)]


def test_a_line_that_is_taken_out_leaves_the_totals_and_a_higher_version_brings_it_back(writer, tables):
    lines = [event(1), event(2, quantity=4, time="2010-12-01 07:00"), event(3, code="B")]
    writer.handler({"Records": shard(lines)}, None)
    out = event(2, quantity=4, time="2010-12-01 07:00", version=2)
    for _ in range(2):  # idempotent
        assert writer.handler({"Records": withdrawn(shard([out]), {0})}, None) == {"batchItemFailures": []}
    for again in (lines, [out]):  # lower, and the same: a line of the stream, which is no withdrawal
        writer.handler({"Records": shard(again)}, None)
    found = {item["StockCode"]["S"]: item for item in scan(tables[0])}
    check_totals(found["85123A"], [("e1", 6, 6 * Decimal("2.55"), "2010-12-01T08:26:00Z")])
    assert json.loads(found["85123A"]["Lines"]["M"]["e2"]["S"]) == {"withdrawn": True, "event_version": 2}
    [summary] = scan(tables[1])
    assert (summary["LineCount"]["N"], summary["Quantity"]["N"]) == ("2", "12")
    back = event(2, quantity=4, time="2010-12-01 07:00", version=3)
    writer.handler({"Records": shard([back])}, None)
    [item] = [item for item in scan(tables[0]) if item["StockCode"]["S"] == "85123A"]
    assert (item["LineCount"]["N"], item["Quantity"]["N"], item["InvoiceDate"]["S"]) == (
        "2",
        "10",
        "2010-12-01T07:00:00Z",
    )
    assert [summary["LineCount"]["N"] for summary in scan(tables[1])] == ["3"]


@pytest.mark.parametrize("seed", range(4))
def test_withdrawals_in_any_order_split_and_repetition_end_in_the_highest_version(writer, tables, seed):
    random = Random(seed)
    versions = {n: random.randint(1, 4) for n in range(40)}
    takes_out = {(n, v): random.random() < 0.4 for n, highest in versions.items() for v in range(1, highest + 1)}
    records = []
    for (n, version), is_out in takes_out.items():
        [record] = shard(
            [
                event(
                    n,
                    invoice=f"{n % 5}",
                    code=f"P{n % 3}",
                    quantity=n + 10 * version,
                    version=version,
                    customer=f"{version % 2}",
                    time=f"2010-12-{1 + n % 9:02d} 08:26",
                )
            ]
        )
        records.append(record | ({"withdrawn": True} if is_out else {}))
    mixed = records + random.sample(records, 20)
    random.shuffle(mixed)
    for number, record in enumerate(mixed):
        mixed[number] = {**record, "kinesis": {**record["kinesis"], "sequenceNumber": str(number)}}
    for start in range(0, len(mixed), 13):
        assert writer.handler({"Records": mixed[start : start + 13]}, None) == {"batchItemFailures": []}
    live = {n: v for n, v in versions.items() if not takes_out[n, v]}
    items = {(item["InvoiceNo"]["S"], item["StockCode"]["S"]): item for item in scan(tables[0])}
    for key, item in items.items():
        lines = [
            (f"e{n}", n + 10 * v, (n + 10 * v) * Decimal("2.55"), f"2010-12-{1 + n % 9:02d}T08:26:00Z")
            for n, v in live.items()
            if (f"{n % 5}", f"P{n % 3}") == key
        ]
        assert {e for e, text in item["Lines"]["M"].items() if "withdrawn" not in text["S"]} == {
            line[0] for line in lines
        }
        if lines:
            check_totals(item, lines)
        else:
            assert (item["LineCount"]["N"], item["Quantity"]["N"], item["Total"]["N"]) == ("0", "0", "0")
    of_customer = defaultdict(int)
    for n, v in live.items():
        of_customer[f"{v % 2}", f"{n % 5}"] += n + 10 * v
    found = {(i["CustomerID"]["S"], i["InvoiceNo"]["S"]): int(i["Quantity"]["N"]) for i in scan(tables[1])}
    assert {key: quantity for key, quantity in found.items() if quantity} == dict(of_customer)
