import base64
import json

import pytest
from botocore.exceptions import ClientError

from tests.conftest import PROJECT

MOVEMENT = {"event_time": "2026-01-02T03:04:05Z", "product_id": "P-1", "quantity": -2, "price": "9.95"}


class Context:
    """What Lambda hands over: how long the invocation may still run."""

    def __init__(self, seconds=29.0):
        self.milliseconds = int(seconds * 1000)

    def get_remaining_time_in_millis(self):
        return self.milliseconds


class Stream:
    """Kinesis, failing as it fails: some records of a request, or the request."""

    def __init__(self, fails=lambda call, index: None):
        self.fails, self.calls, self.stored = fails, 0, []

    def put_records(self, StreamName, Records):  # noqa: N803
        self.calls += 1
        assert 1 <= len(Records) <= 500
        assert sum(len(r["Data"]) + len(r["PartitionKey"]) for r in Records) <= 5 * 1024**2
        results = []
        for index, record in enumerate(Records):
            code = self.fails(self.calls, index)
            if code == "all":
                raise ClientError({"Error": {"Code": "ResourceNotFoundException", "Message": "no"}}, "PutRecords")
            if code:
                results.append({"ErrorCode": code, "ErrorMessage": "later"})
            else:
                results.append({"SequenceNumber": "1", "ShardId": "shardId-000000000000"})
                self.stored.append(json.loads(record["Data"]))
        return {"Records": results}


@pytest.fixture
def api(handler_of):
    return handler_of("ingest_api", STREAM="ecommerce-events", BODY_MAX_BYTES=str(5 * 1024**2))


def post(api, monkeypatch, body, *, stream=None, query=None, content_type="application/json", seconds=29.0, **more):
    """Returns (status, body, headers, stream)."""
    stream = stream or Stream()
    monkeypatch.setattr(api, "kinesis", stream)
    text = body if isinstance(body, str) else json.dumps(body)
    request = {"headers": {"Content-Type": content_type}, "body": text, "isBase64Encoded": False, **more}
    if query:
        request["queryStringParameters"] = query
    answer = api.handler(request, Context(seconds))
    return answer["statusCode"], json.loads(answer["body"]), answer["headers"], stream


def envelope(event_id=None, feed="product_events", data=None):
    return {"feed": feed, "data": data or MOVEMENT} | ({"event_id": event_id} if event_id else {})


def test_the_sample_event(api, monkeypatch):
    stream = Stream()
    monkeypatch.setattr(api, "kinesis", stream)
    answer = api.handler(json.loads((PROJECT / "lambdas/ingest_api/event.json").read_text()), Context())
    assert (answer["statusCode"], json.loads(answer["body"])["event_ids"]) == (202, ["shop-7/till-3/000042"])


def test_an_envelope_gets_what_it_lacks_and_keeps_what_it_has(api, monkeypatch):
    status, body, _, stream = post(api, monkeypatch, [envelope("mine"), envelope()])
    assert (status, body["accepted"]) == (202, 2)
    first, second = stream.stored
    assert (first["event_id"], body["event_ids"]) == ("mine", ["mine", second["event_id"]])
    assert len(second["event_id"]) == 36
    assert (first["schema_version"], first["event_time"], first["data"]) == (2, None, MOVEMENT)
    assert first["sent_at"].endswith("Z")


def test_a_bare_record_names_its_feed_in_the_query(api, monkeypatch):
    status, body, _, stream = post(api, monkeypatch, MOVEMENT, query={"feed": "product_events"})
    assert (status, len(body["event_ids"])) == (202, 1)
    assert (stream.stored[0]["feed"], stream.stored[0]["data"]) == ("product_events", MOVEMENT)


def test_data_goes_on_byte_for_byte(api, monkeypatch):
    class Bytes(Stream):
        def put_records(self, StreamName, Records):  # noqa: N803
            self.raw = [r["Data"] for r in Records]
            return super().put_records(StreamName, Records)

    data = '{"price": 1.10, "big": 12345678901234567890.123456789, "text": "\\u00a3 \u2028", "e": 1E400}'
    _, _, _, stream = post(
        api,
        monkeypatch,
        f' [ {{"data" :\n {data} , "feed":"product_events"}}, {{"feed":"purchases","data":{{}}}} ] ',
        stream=Bytes(),
    )
    assert data.encode() in stream.raw[0]
    assert b'"data": {}}' in stream.raw[1]


@pytest.mark.parametrize(
    ("body", "status", "field", "rule"),
    [
        pytest.param("{", 400, None, "not JSON", id="no_json"),
        pytest.param("", 400, None, "not JSON", id="empty"),
        pytest.param("[]", 400, None, "found none", id="no_event"),
        pytest.param('{"feed":"purchases","feed":"purchases","data":{}}', 400, None, "a key twice", id="key_twice"),
        pytest.param('[{"feed":"purchases","data":{"x":NaN}}]', 400, None, "NaN", id="nan"),
        pytest.param('{"feed":"purchases","data":{"x":"\\ud800"}}', 400, None, "surrogate", id="surrogate"),
        pytest.param("[" * 100_000, 400, None, "not JSON", id="nested"),
        pytest.param([1], 400, "", "found a number", id="number"),
        pytest.param(["x"], 400, "", "found a text", id="text"),
        pytest.param([{"a": 1}], 400, "feed", "?feed=", id="bare_record_without_feed"),
        pytest.param([{"feed": "purchases"}], 400, "data", "missing", id="no_data"),
        pytest.param([envelope(feed="sales")], 400, "feed", "expected one of online_retail", id="unknown_feed"),
        pytest.param([envelope(feed=7)], 400, "feed", "expected one of", id="feed_is_a_number"),
        pytest.param([{**envelope(), "data": [1]}], 400, "data", "JSON object", id="data_is_an_array"),
        pytest.param([{**envelope(), "event_id": ""}], 400, "event_id", "1 to 128 bytes", id="empty_id"),
        pytest.param([{**envelope(), "event_id": "é" * 65}], 400, "event_id", "1 to 128 bytes", id="long_id"),
        pytest.param([{**envelope(), "schema_version": True}], 400, "schema_version", "whole number", id="version"),
        pytest.param([{**envelope(), "event_time": 5}], 400, "event_time", "ISO 8601", id="time"),
        pytest.param([{**envelope(), "extra": 5}], 400, "extra", "no key of the envelope", id="extra_key"),
        pytest.param([envelope("same"), envelope("same")], 400, "event_id", "index 0 has the same", id="same_id_twice"),
        pytest.param([envelope()] * 501, 413, None, "at most 500", id="too_many"),
        pytest.param(
            [envelope(data={"x": "y" * 1024**2})], 413, "data", "at most 1,048,576 bytes", id="too_large_an_event"
        ),
        pytest.param([envelope(data={"x": "y" * 5 * 1024**2})], 413, None, "at most 5,242,880", id="too_large_a_body"),
    ],
)
def test_what_is_refused_says_why_and_nothing_is_accepted(api, monkeypatch, body, status, field, rule):
    found, answer, _, stream = post(api, monkeypatch, body)
    assert (found, stream.calls) == (status, 0)
    if field is None:
        assert rule in answer["message"]
    else:
        [error] = answer["errors"]
        assert (error["field"], rule in error["rule"]) == (field, True), error


def test_every_wrong_event_is_named_by_its_index(api, monkeypatch):
    bad = [envelope(), {"feed": "x", "data": {}}, envelope(), 7]
    status, answer, _, stream = post(api, monkeypatch, bad)
    assert (status, [e["index"] for e in answer["errors"]], stream.calls) == (400, [1, 3], 0)
    assert "2 of 4" in answer["message"]


@pytest.mark.parametrize(
    "content_type",
    ["", "text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin-1", "application/jsonx"],
)
def test_other_content_types(api, monkeypatch, content_type):
    assert post(api, monkeypatch, envelope(), content_type=content_type)[0] == 415


@pytest.mark.parametrize(
    "content_type", ["application/json", "Application/JSON; charset=UTF-8", "application/cloudevents+json"]
)
def test_json_content_types(api, monkeypatch, content_type):
    assert post(api, monkeypatch, envelope(), content_type=content_type)[0] == 202


def test_a_body_in_base64(api, monkeypatch):
    packed = base64.b64encode(json.dumps(envelope("b")).encode()).decode()
    assert post(api, monkeypatch, packed, isBase64Encoded=True)[1]["event_ids"] == ["b"]
    assert post(api, monkeypatch, base64.b64encode(b"\xff").decode(), isBase64Encoded=True)[0] == 400


def test_partial_failures_are_retried_inside(api, monkeypatch):
    stream = Stream(lambda call, index: "ProvisionedThroughputExceededException" if index % 2 and call < 4 else None)
    status, body, _, stream = post(api, monkeypatch, [envelope(f"e{i}") for i in range(20)], stream=stream)
    assert (status, body["accepted"]) == (202, 20)
    assert sorted(e["event_id"] for e in stream.stored) == sorted(f"e{i}" for i in range(20))


def test_what_still_fails_is_in_the_answer_by_index(api, monkeypatch):
    class Hot(Stream):
        def put_records(self, StreamName, Records):  # noqa: N803
            ids = [json.loads(r["Data"])["event_id"] for r in Records]
            bad = {"e1": "ProvisionedThroughputExceededException", "e3": "InternalFailure"}
            self.fails = lambda call, index: bad.get(ids[index])
            return super().put_records(StreamName, Records)

    status, body, headers, stream = post(
        api, monkeypatch, [envelope(f"e{i}") for i in range(5)], stream=Hot(), seconds=2.5
    )
    assert (status, headers["Retry-After"], body["accepted"]) == (207, "1", 3)
    assert [r["status"] for r in body["results"]] == [202, 429, 202, 503, 202]
    assert sorted(e["event_id"] for e in stream.stored) == ["e0", "e2", "e4"]


@pytest.mark.parametrize(
    ("code", "status"), [("ProvisionedThroughputExceededException", 429), ("InternalFailure", 503), ("all", 503)]
)
def test_when_nothing_is_accepted_the_client_is_told_when_to_come_back(api, monkeypatch, code, status):
    found, body, headers, stream = post(
        api, monkeypatch, [envelope("a")], stream=Stream(lambda call, index: code), seconds=2.5
    )
    assert (found, headers["Retry-After"], body["event_ids"], stream.stored) == (status, "1", ["a"], [])


def test_large_requests_are_split_for_the_stream(api, monkeypatch):
    monkeypatch.setattr(api, "BODY_MAX_BYTES", 20 * 1024**2)
    events = [envelope(f"e{i}", data={"x": "y" * 900_000}) for i in range(12)]
    status, _, _, stream = post(api, monkeypatch, events)
    assert (status, stream.calls, len(stream.stored)) == (202, 3, 12)


def test_events_of_one_entity_share_a_partition_key_with_the_producer(logic_of):
    from datetime import UTC, datetime

    from ecommerce_events.contracts import contracts

    from producer.__main__ import _key

    logic = logic_of("ingest_api")
    body = json.dumps([{"feed": "online_retail", "data": {h: "536365"}} for h in ("InvoiceNo", "Invoice", "InvoiceNo")])
    events = logic.events_of(body, {}, contracts(), datetime.now(UTC))
    assert {e.partition_key for e in events} == {_key("536365")}
