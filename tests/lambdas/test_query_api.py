import json
from decimal import Decimal

import pytest

from tests.conftest import PROJECT
from tests.lambdas.event_source import Mapping
from tests.lambdas.test_dynamodb_writer import event, shard


@pytest.fixture
def api(handler_of, tables):
    """The handler on tables that dynamodb_writer has filled."""
    writer = handler_of(
        "dynamodb_writer", INVOICES_TABLE=tables[0], CUSTOMERS_TABLE=tables[1], RETENTION_DAYS="0", THREADS="2"
    )
    lines = [event(1), event(2, quantity=-1, price="0.001", time="2010-12-01 08:25"), event(3, code="POST", price="18")]
    lines += [event(10 + i, invoice=f"C{5 + i}", customer="1", time=f"2010-12-{28 - i:02d} 09:00") for i in range(25)]
    lines += [event(40, invoice="A/1 é", code="X?&", customer="")]
    Mapping(writer.handler).deliver(shard(lines))
    return handler_of("query_api", INVOICES_TABLE=tables[0], CUSTOMERS_TABLE=tables[1], CUSTOMERS_BY_DATE="by-date")


def get(api, route, query=None, *, may="read", **path):
    authorizer = {"lambda": {"key": "shop", "may": may}}
    answer = api.handler(
        {
            "routeKey": f"GET {route}",
            "pathParameters": path,
            "queryStringParameters": query,
            "requestContext": {"authorizer": authorizer},
        },
        None,
    )
    return answer["statusCode"], json.loads(answer["body"], parse_float=Decimal)


def test_the_sample_event(api):
    answer = api.handler(json.loads((PROJECT / "lambdas/query_api/event.json").read_text()), None)
    assert (answer["statusCode"], json.loads(answer["body"])["stock_code"]) == (200, "85123A")


def test_an_invoice(api):
    status, found = get(api, "/invoices/{InvoiceNo}", InvoiceNo="536365")
    assert status == 200
    assert {k: v for k, v in found.items() if k != "items"} == {
        "invoice_no": "536365",
        "customer_id": "17850",
        "country": "United Kingdom",
        "line_count": 3,
        "quantity": 11,
        "invoice_date": "2010-12-01T08:25:00Z",
        "total": Decimal("123.299"),
    }
    lantern, post = found["items"]
    assert (lantern["stock_code"], lantern["quantity"], lantern["total"]) == ("85123A", 5, Decimal("15.299"))
    assert [(x["event_id"], x["unit_price"]) for x in lantern["lines"]] == [
        ("e2", Decimal("0.001")),
        ("e1", Decimal("2.55")),
    ]
    assert (post["unit_price"], post["description"]) == (18, "LANTERN")


def test_who_may_not_read_is_told_so(api):
    status, answer = get(api, "/invoices/{InvoiceNo}", may="send,correct", InvoiceNo="536365")
    assert (status, answer) == (403, {"message": "the key shop may not read; it may send, correct"})
    nobody = api.handler({"routeKey": "GET /invoices/{InvoiceNo}", "pathParameters": {"InvoiceNo": "1"}}, None)
    assert nobody["statusCode"] == 403


def test_an_item_in_any_case_and_with_any_character(api):
    path = {"InvoiceNo": "536365", "StockCode": "85123a"}
    assert get(api, "/invoices/{InvoiceNo}/items/{StockCode}", **path)[1]["line_count"] == 2
    odd = {"InvoiceNo": "A%2F1%20%C3%A9", "StockCode": "X%3F%26"}
    assert get(api, "/invoices/{InvoiceNo}/items/{StockCode}", **odd)[1]["invoice_no"] == "A/1 é"


def test_a_customers_invoices_newest_first_page_by_page(api):
    route, seen, query = "/customers/{CustomerID}/invoices", [], {"limit": "10"}
    while True:
        status, page = get(api, route, query, CustomerID="1")
        assert status == 200
        seen += page["invoices"]
        if page["next_cursor"] is None:
            break
        query = {"limit": "10", "cursor": page["next_cursor"]}
    assert [x["invoice_no"] for x in seen] == [f"C{5 + i}" for i in range(25)]
    assert [x["invoice_date"] for x in seen] == sorted((x["invoice_date"] for x in seen), reverse=True)
    assert seen[0]["total"] == Decimal("15.3")
    assert get(api, route, CustomerID="unknown")[1]["invoices"][0]["invoice_no"] == "A/1 é"


@pytest.mark.parametrize(
    ("route", "path", "says"),
    [
        ("/invoices/{InvoiceNo}", {"InvoiceNo": "0"}, "no invoice 0"),
        (
            "/invoices/{InvoiceNo}/items/{StockCode}",
            {"InvoiceNo": "536365", "StockCode": "zz"},
            "no item ZZ in invoice 536365",
        ),
        ("/customers/{CustomerID}/invoices", {"CustomerID": "0"}, "no customer 0"),
    ],
    ids=["invoice", "item", "customer"],
)
def test_what_is_not_there_is_named(api, route, path, says):
    assert get(api, route, **path) == (404, {"message": says})


@pytest.mark.parametrize(
    ("query", "customer", "says"),
    [
        pytest.param({"limit": "0"}, "1", "limit", id="limit_0"),
        pytest.param({"limit": "501"}, "1", "limit", id="limit_501"),
        pytest.param({"limit": "ten"}, "1", "limit", id="limit_word"),
        pytest.param({"cursor": "x"}, "1", "cursor", id="cursor"),
        pytest.param({"cursor": ""}, "1", "cursor", id="empty_cursor"),
        pytest.param({"cursor": "WzEsMl0="}, "1", "cursor", id="cursor_of_numbers"),
        pytest.param({"cursor": "é"}, "1", "cursor", id="cursor_not_ascii"),
        pytest.param({}, "", "CustomerID", id="empty_key"),
        pytest.param({}, "x" * 1025, "CustomerID", id="long_key"),
        pytest.param({}, "%FF", "CustomerID", id="key_not_utf8"),
        pytest.param({}, "a%00b", "CustomerID", id="control_character"),
    ],
)
def test_bad_requests_say_what_was_expected(api, query, customer, says):
    status, body = get(api, "/customers/{CustomerID}/invoices", query, CustomerID=customer)
    assert (status, says in body["message"]) == (400, True)


def test_throttled_tables_are_429(api, monkeypatch):
    from botocore.exceptions import ClientError

    def throttled(**kwargs):
        raise ClientError({"Error": {"Code": "ProvisionedThroughputExceededException", "Message": "slow"}}, "Query")

    monkeypatch.setattr(api.dynamodb, "query", throttled)
    request = {
        "routeKey": "GET /customers/{CustomerID}/invoices",
        "pathParameters": {"CustomerID": "1"},
        "requestContext": {"authorizer": {"lambda": {"key": "shop", "may": "read"}}},
    }
    answer = api.handler(request, None)
    assert (answer["statusCode"], answer["headers"]["Retry-After"]) == (429, "1")
