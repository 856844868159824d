"""No Lambda prints, raises or answers what a person's record says, whatever is wrong with the record or breaks beside it."""

import base64
import json
import logging
import traceback

import pytest
from botocore.exceptions import ClientError, ParamValidationError

from tests.conftest import PROJECT
from tests.lambdas.event_source import kinesis_record
from tests.support.cleaning_bench import line

MARKS = ("Quirinius", "Zzyzx", "867-5309")
PERSON = {
    "Name": "Quirinius Zzyzx",
    "Address": "1 Zzyzx Road",
    "Phone": "(555) 867-5309",
    "Age": "36",
    "Gender": "Female",
    "Product Name": "Novel",
    "Amount": "9.50",
    "Purchase Date": "2026-02-03 10:00:00",
}
GOOD = line("purchases", PERSON)
INVOICE = {
    "InvoiceNo": "536365",
    "StockCode": "85123A",
    "Description": "Quirinius",
    "Quantity": "6",
    "InvoiceDate": "2026-01-02 03:04",
    "UnitPrice": "2.55",
    "CustomerID": "17850",
    "Country": "Zzyzx",
}
RECORDS = {
    "torn_json": GOOD[:-30],
    "no_json": b"Quirinius Zzyzx, 867-5309",
    "bare": json.dumps(PERSON).encode(),
    "array": b"[" + GOOD + b"]",
    "cp1252": GOOD.replace(b"Zzyzx", "Zzyzx José".encode("cp1252")),
    "nan": GOOD.replace(b'"36"', b"NaN"),
    "key_twice": GOOD.replace(b'"Age"', b'"Name"'),
    "half_a_pair": GOOD.replace(b"Zzyzx", rb"Zzyzx \ud800"),
    "version_is_a_name": GOOD.replace(b'"schema_version": 1', b'"schema_version": "Quirinius"'),
    "feed_is_a_name": GOOD.replace(b'"feed": "purchases"', b'"feed": "Quirinius"'),
    "time_is_an_object": GOOD.replace(b'"event_time": "2026-01-02T03:04:05Z"', b'"event_time": {"Quirinius": 1}'),
    "data_is_a_name": json.dumps(json.loads(GOOD) | {"data": "Quirinius Zzyzx"}).encode(),
    "digits": GOOD.replace(b'"36"', b"8675309" * 1000),
    "nested": GOOD.replace(b'"36"', b'{"Zzyzx":' * 100_000),
    "key_is_a_name": GOOD.replace(b'"sent_at"', b'"Quirinius": 1, "sent_at"'),
    "invoice": line("online_retail", INVOICE),
    "invoice_broken": line(
        "online_retail", INVOICE | {"Quantity": "Quirinius", "UnitPrice": "8.675309", "InvoiceDate": "Zzyzx"}
    ),
}


def marks_in(*said):
    return [mark for mark in MARKS if mark in "".join(said)]


def shown(error):
    return "".join([str(error), repr(error), *traceback.format_exception(error)])


def outcome(function, event):
    """What a caller and a log get of an invocation."""
    try:
        return json.dumps(function.handler(event, None))
    except Exception as error:
        return shown(error)


@pytest.fixture
def logged(caplog):
    caplog.set_level(logging.DEBUG)
    return caplog


class Broken:
    """A client of AWS whose calls fail with an error that quotes what they were given."""

    def __init__(self, error):
        self.error = error

    def __getattr__(self, name):
        def call(**request):
            raise self.error(str(request)) if callable(self.error) else self.error

        return call


def refused(said):
    return ClientError({"Error": {"Code": "ValidationException", "Message": f"Value {said}"}}, "PutObject")


def invalid(said):
    return ParamValidationError(report=f"Invalid type for parameter Body, value: {said}")


def test_every_lambda_is_kept_from_letting_values_out():
    handlers = sorted((PROJECT / "lambdas").glob("*/handler.py"))
    assert len(handlers) > 5
    assert [path for path in handlers if "\n@values_withheld\ndef handler(" not in path.read_text()] == []


@pytest.mark.parametrize("case", RECORDS)
def test_a_poison_record(handler_of, monkeypatch, logged, case):
    record = kinesis_record(RECORDS[case], 1)
    put = {}

    class S3:
        def put_object(self, **request):
            put.update(request)

    writer = handler_of("raw_writer", BUCKET="lake")
    monkeypatch.setattr(writer, "s3", S3())
    assert writer.handler({"Records": [record]}, None) == {"batchItemFailures": []}
    assert put["Key"].startswith(("raw/", "quarantine/unreadable/"))
    transform = handler_of("firehose_transform")
    data = {
        "recordId": "1",
        "approximateArrivalTimestamp": 0,
        "data": record["kinesis"]["data"],
        "kinesisRecordMetadata": {"shardId": "s", "sequenceNumber": "1", "subsequenceNumber": ""},
    }
    [answer] = transform.handler({"records": [data]}, None)["records"]
    assert answer["result"] in {"Ok", "Dropped", "ProcessingFailed"}
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    dynamodb = handler_of("dynamodb_writer", INVOICES_TABLE="i", CUSTOMERS_TABLE="c", RETENTION_DAYS="1", THREADS="1")
    if case != "invoice":
        assert dynamodb.handler({"Records": [record]}, None) == {"batchItemFailures": []}
    assert marks_in(logged.text) == []


@pytest.mark.parametrize("error", [refused, invalid, KeyError, ValueError], ids=["refused", "invalid", "key", "value"])
def test_what_breaks_beside_the_record_quotes_nothing(handler_of, monkeypatch, logged, error):
    """Of raw_writer, firehose_transform, ingest_api, query_api and dynamodb_writer, whichever error gets out."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    record = kinesis_record(RECORDS["invoice"], 1)
    request = {
        "headers": {"Content-Type": "application/json"},
        "body": json.dumps({"feed": "purchases", "data": PERSON}),
        "requestContext": {"authorizer": {"lambda": {"key": "shop", "may": "send,read"}}},
        "routeKey": "GET /invoices/{InvoiceNo}",
        "pathParameters": {"InvoiceNo": "Quirinius"},
    }
    functions = {
        "raw_writer": ("s3", {"BUCKET": "lake"}, {"Records": [record]}),
        "ingest_api": ("kinesis", {"STREAM": "s", "BODY_MAX_BYTES": "1000000", "CORRECTORS": ""}, request),
        "query_api": ("dynamodb", {"INVOICES_TABLE": "i", "CUSTOMERS_TABLE": "c", "CUSTOMERS_BY_DATE": "d"}, request),
    }
    outcomes = []
    for name, (client, environment, event) in functions.items():
        function = handler_of(name, **environment)
        monkeypatch.setattr(function, client, Broken(error))
        outcomes.append(outcome(function, event))
        assert "statusCode" in outcomes[-1] or "batchItem" in outcomes[-1] or f"{name}/handler.py" in outcomes[-1]
    transform = handler_of("firehose_transform")
    unpadded = base64.b64encode(MARKS[1].encode()).decode()[:-1]
    outcomes.append(outcome(transform, {"records": [{"recordId": "1", "data": unpadded}]}))
    assert "WithheldError: Error" in outcomes[-1]
    assert len(outcomes) == 4
    assert marks_in(logged.text, *outcomes) == []


@pytest.mark.parametrize("error", [refused, invalid, KeyError], ids=["refused", "invalid", "key"])
def test_dynamodb_that_refuses_quotes_nothing(handler_of, monkeypatch, logged, error):
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    writer = handler_of("dynamodb_writer", INVOICES_TABLE="i", CUSTOMERS_TABLE="c", RETENTION_DAYS="1", THREADS="1")

    def fail(**request):
        raise error(f"{request} {MARKS}")

    monkeypatch.setattr(writer.dynamodb, "batch_get_item", fail)
    monkeypatch.setattr(writer, "ATTEMPTS", 1)
    said = outcome(writer, {"Records": [kinesis_record(RECORDS["invoice"], 1)]})
    assert {refused: "ValidationException", invalid: "batchItemFailures", KeyError: "WithheldError: KeyError"}[
        error
    ] in said
    assert marks_in(logged.text, said) == []


@pytest.mark.parametrize("case", [name for name in RECORDS if name not in {"invoice", "bare", "array"}])
def test_answers_of_the_api(handler_of, monkeypatch, logged, case):
    api = handler_of("ingest_api", STREAM="s", BODY_MAX_BYTES=str(5 * 1024**2), CORRECTORS="")
    monkeypatch.setattr(api, "kinesis", Broken(refused))
    request = {
        "headers": {"Content-Type": "application/json"},
        "body": base64.b64encode(RECORDS[case]).decode(),
        "isBase64Encoded": True,
        "requestContext": {"authorizer": {"lambda": {"key": "shop", "may": "send"}}},
    }
    answer = api.handler(request, None)
    assert answer["statusCode"] in {400, 413, 503}
    assert marks_in(json.dumps(answer), logged.text) == []


@pytest.mark.parametrize(
    "body", ['Name,Age\r\n"Quirinius', "Name\tName\r\nZzyzx\tx", "Quirinius,Zzyzx\r\n1,2", 'a,b\n"Quirinius"x,867-5309']
)
def test_answers_of_the_api_to_csv(handler_of, monkeypatch, logged, body):
    api = handler_of("ingest_api", STREAM="s", BODY_MAX_BYTES=str(5 * 1024**2), CORRECTORS="")
    monkeypatch.setattr(api, "kinesis", Broken(refused))
    for query in ({}, {"feed": "purchases"}):
        request = {
            "headers": {"Content-Type": "text/csv"},
            "body": body,
            "queryStringParameters": query,
            "requestContext": {"authorizer": {"lambda": {"key": "shop", "may": "send"}}},
        }
        answer = api.handler(request, None)
        assert answer["statusCode"] in {400, 503}
        assert marks_in(json.dumps(answer), logged.text) == []
