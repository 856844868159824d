import base64
import json

import pytest

from tests.conftest import PROJECT
from tests.lambdas.test_dynamodb_writer import event
from tests.support.cleaning_bench import line


@pytest.fixture
def transform(handler_of):
    return handler_of("firehose_transform")


def request(payloads):
    records = [
        {"recordId": str(i), "approximateArrivalTimestamp": 1767225600123, "data": base64.b64encode(p).decode()}
        for i, p in enumerate(payloads)
    ]
    return {"records": records}


def results(transform, payloads):
    answer = transform.handler(request(payloads), None)["records"]
    assert [r["recordId"] for r in answer] == [str(i) for i in range(len(payloads))]
    return [(r["result"], base64.b64decode(r["data"])) for r in answer]


def test_the_sample_event(transform):
    [record] = transform.handler(json.loads((PROJECT / "lambdas/firehose_transform/event.json").read_text()), None)[
        "records"
    ]
    assert record["result"] == "Ok"


def test_a_line_becomes_a_row(transform):
    [(result, data)] = results(
        transform, [event(1, code="85123a", price="16.13", customer="", time="2010-12-01T08:26+02:00")]
    )
    assert (result, data.endswith(b"}\n")) == ("Ok", True)
    assert json.loads(data) == {
        "event_id": "e1",
        "event_version": 1,
        "InvoiceNo": "536365",
        "StockCode": "85123A",
        "Description": "LANTERN",
        "Quantity": 6,
        "InvoiceDate": "2010-12-01 06:26:00.000000",
        "UnitPrice": "16.13",
        "CustomerID": None,
        "Country": "United Kingdom",
        "arrival_time": "2026-01-01 00:00:00.123000",
    }


def test_other_feeds_are_dropped_and_bad_lines_fail_whole(transform):
    """What is no envelope may hold personal data of another feed: it stays in quarantine/unreadable/ alone."""
    bad = event(2, quantity="many")
    found = results(transform, [line("purchases", {"Name": "A"}), bad, b'{"Name": "A. Person', event(3)])
    assert [result for result, _ in found] == ["Dropped", "ProcessingFailed", "Dropped", "Ok"]
    assert (found[1][1], found[2][1]) == (bad, b"")


def test_a_poison_record_among_ten_thousand_lets_the_others_land(transform):
    payloads = [event(i) for i in range(10_000)]
    payloads[6170] = event(6170, quantity="9" * 4000)
    found = results(transform, payloads)
    assert [i for i, (result, _) in enumerate(found) if result != "Ok"] == [6170]
