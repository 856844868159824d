"""The HTTP API as it runs on the local cloud, held against docs/openapi.yaml: no 5xx, and no event lost, for any input."""

import csv
import gzip
import io
import json
import uuid
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
import schemathesis
import yaml
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from local.supervision import wait_for
from tests.conftest import PROJECT

OPENAPI = PROJECT / "docs" / "openapi.yaml"
accepted: dict[str, None] = {}  # event ids that the API has answered 202 for


def csv_text(rows):
    """Rows below a header of product_events, as a spreadsheet writes them."""
    text = io.StringIO()
    csv.writer(text).writerows([["event_time", "product_id", "quantity", "price"], *rows])
    return text.getvalue().encode()


characters = st.characters(exclude_categories=["Cs"])
rows = st.lists(st.lists(st.text(characters, min_size=1), min_size=4, max_size=4), min_size=1, max_size=5)
schemathesis.openapi.media_type("text/csv", rows.map(csv_text) | st.text(characters).map(str.encode))


schema = schemathesis.openapi.from_path(OPENAPI)


@pytest.fixture(scope="module")
def api(cloud):
    env = cloud.user_environment()
    with httpx.Client(
        base_url=env["ECOMMERCE_API_URL"], headers={"x-api-key": env["ECOMMERCE_API_KEY"]}, timeout=35
    ) as client:
        yield client


def test_the_document_names_the_feeds(contracts):
    assert yaml.safe_load(OPENAPI.read_text())["components"]["schemas"]["Feed"]["enum"] == sorted(contracts)


def test_the_document_and_the_template_name_the_same_routes():
    import cfnlint.decode

    template, _ = cfnlint.decode.decode(str(PROJECT / "infra" / "streaming.yaml"))
    routes = {
        r["Properties"]["RouteKey"] for r in template["Resources"].values() if r["Type"] == "AWS::ApiGatewayV2::Route"
    }
    paths = yaml.safe_load(OPENAPI.read_text())["paths"]
    assert routes == {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}


@schema.parametrize()
@settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_any_request_is_answered_as_the_document_says(case, cloud):
    env = cloud.user_environment()
    headers = {"x-api-key": env["ECOMMERCE_API_KEY_CORRECT"]}
    answer = case.call(base_url=env["ECOMMERCE_API_URL"], headers=headers)
    case.validate_response(
        answer,
        headers=headers,
        checks=(schemathesis.checks.not_a_server_error, schemathesis.checks.response_schema_conformance),
    )
    if answer.status_code == 202:
        accepted.update(dict.fromkeys(answer.json()["event_ids"]))


def _in_raw(observer):
    found = set()
    for key in observer.keys("raw/"):
        body = observer.s3.get_object(Bucket=observer.bucket, Key=key)["Body"].read()
        found |= {json.loads(text)["event_id"] for text in gzip.decompress(body).splitlines()}
    return found


def test_every_event_that_was_accepted_is_in_raw(observer, api):
    assert len(accepted) > 10  # of the requests above
    wait_for(lambda: set(accepted) <= _in_raw(observer), 60, "the accepted events", 0.5)


def test_repeating_a_request_changes_nothing_but_raw(api, observer):
    ids = [str(uuid.uuid4()) for _ in range(3)]
    line = {
        "InvoiceNo": f"T{ids[0][:8]}",
        "StockCode": "A1",
        "Quantity": 2,
        "InvoiceDate": "2026-01-02 03:04",
        "UnitPrice": "16.13",
        "Country": "France",
    }
    body = [{"feed": "online_retail", "event_id": i, "data": line} for i in ids]
    for _ in range(3):
        answer = api.post("/events", json=body)
        assert (answer.status_code, answer.json()["event_ids"]) == (202, ids)
    url = f"/invoices/{line['InvoiceNo']}"
    wait_for(lambda: api.get(url).status_code == 200 and api.get(url).json()["line_count"] == 3, 60, "the invoice", 0.2)
    found = api.get(f"{url}/items/a1").text
    assert '"total": 96.78' in found  # exact, to the last digit
    assert (
        api.get("/customers/unknown/invoices", params={"limit": 1}).json()["invoices"][0]["invoice_no"]
        == line["InvoiceNo"]
    )
    query = "SELECT COUNT(*), SUM(Quantity * UnitPrice) FROM core.firehose_transactions_once WHERE InvoiceNo = :number"
    wait_for(lambda: observer.warehouse.query(query, {"number": line["InvoiceNo"]})[0][0] == 3, 60, "the delivery", 0.5)
    assert float(observer.warehouse.query(query, {"number": line["InvoiceNo"]})[0][1]) == 96.78


@pytest.mark.parametrize(("headers", "status"), [({}, 401), ({"x-api-key": "wrong"}, 403)])
def test_without_a_known_key_nobody_gets_in(cloud, headers, status):
    url = cloud.user_environment()["ECOMMERCE_API_URL"]
    assert httpx.post(f"{url}/events", json=[], headers=headers).status_code == status
    assert httpx.get(f"{url}/invoices/1", headers=headers).status_code == status


def test_requests_at_the_same_time(api, observer):
    """Several connections in flight, as `producer --sink http` has them."""

    def post(number):
        body = [
            {"feed": "product_events", "event_id": f"par-{number}-{i}", "data": {"product_id": "P"}} for i in range(100)
        ]
        return api.post("/events", json=body).status_code

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(post, range(16))) == {202}
    wanted = {f"par-{n}-{i}" for n in range(16) for i in range(100)}
    wait_for(lambda: wanted <= _in_raw(observer), 60, "the events", 0.5)


def test_csv_goes_the_whole_way(api, observer):
    invoice = f"T{uuid.uuid4().hex[:8]}"
    header = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country"
    row = f'{invoice},22633,"HAND WARMER, ""UNION"" JÄCK",6,2010-12-01 08:28,1.85,17850,United Kingdom'
    body = f"\ufeff{header}\r\n{row}\r\n\r\n{row}\r\n".encode()
    headers = {"Content-Type": "text/csv", "Idempotency-Key": invoice}
    answers = [api.post("/events?feed=online_retail", content=body, headers=headers) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [202, 202]
    assert answers[0].json() == answers[1].json()
    url = f"/invoices/{invoice}"
    wait_for(lambda: api.get(url).status_code == 200 and api.get(url).json()["line_count"] == 2, 60, "the invoice", 0.2)
    assert api.get(url).json()["items"][0]["description"] == 'HAND WARMER, "UNION" JÄCK'


@pytest.mark.parametrize(
    ("content_type", "status"),
    [("text/csv", 400), ("application/csv; charset=windows-1252", 202), ("text/csv; charset=windows-1252", 415)],
)
def test_bytes_that_are_no_utf_8_are_never_taken_for_other_characters(api, content_type, status):
    body = "event_time,product_id,quantity,price,note\n2026-01-02T03:04:05Z,P-1,-2,9.95,MÜLLER\n".encode("cp1252")
    answer = api.post("/events?feed=product_events", content=body, headers={"Content-Type": content_type})
    assert answer.status_code == status, answer.text


def test_strict_refuses_what_is_else_taken_with_warnings(api):
    broken = {"event_time": "2026-01-02T03:04:05Z", "product_id": "P-1", "quantity": "many", "price": "9.95"}
    told = api.post("/events", json=broken)
    assert told.status_code == 202
    refused = api.post("/events?strict=true", json=broken)
    assert (refused.status_code, refused.json()["errors"]) == (400, told.json()["warnings"])


def test_no_lambda_of_the_api_may_scan():
    text = (PROJECT / "infra" / "streaming.yaml").read_text()
    assert "dynamodb:Scan" not in text
    assert "dynamodb:*" not in text
