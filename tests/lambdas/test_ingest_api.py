import base64
import json

import pytest
from botocore.exceptions import ClientError

from tests.conftest import PROJECT

CORRECTOR = "arn:aws:sts::123456789012:assumed-role/corrections"
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
    return handler_of("ingest_api", STREAM="ecommerce-events", BODY_MAX_BYTES=str(5 * 1024**2), CORRECTORS=CORRECTOR)


def post(
    api,
    monkeypatch,
    body,
    *,
    stream=None,
    query=None,
    content_type="application/json",
    seconds=29.0,
    headers=None,
    may="send,read",
    key="shop",
    **more,
):
    """Returns (status, body, headers, stream)."""
    stream = stream or Stream()
    monkeypatch.setattr(api, "kinesis", stream)
    text = body if isinstance(body, str) else json.dumps(body)
    request = {
        "headers": {"Content-Type": content_type, **(headers or {})},
        "body": text,
        "isBase64Encoded": False,
        "requestContext": {"authorizer": {"lambda": {"key": key, "may": may}}},
        **more,
    }
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
        pytest.param([{"a": 1}], 400, "", "?feed=", id="bare_record_of_no_feed"),
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


def test_events_of_one_entity_share_a_partition_key_with_the_producer(layer):
    from datetime import UTC, datetime

    from ecommerce_events.callers import Caller
    from ecommerce_events.contracts import contracts

    from lambdas.ingest_api.items import json_items
    from lambdas.ingest_api.logic import events_of
    from lambdas.ingest_api.request import Asked
    from producer.events import partition_key

    body = json.dumps([{"feed": "online_retail", "data": {h: "536365"}} for h in ("InvoiceNo", "Invoice", "InvoiceNo")])
    asked = Asked(Caller("shop", frozenset({"send"})))
    events = events_of(json_items(body), asked, contracts(), datetime.now(UTC)).events
    assert {e.partition_key for e in events} == {partition_key("536365")}


# -- CSV ------------------------------------------------------------------------------------------------------------

HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country"
ROW = "536366,22633,HAND WARMER UNION JACK,6,2010-12-01 08:28,1.85,17850,United Kingdom"
RETAIL = {"feed": "online_retail"}
QUOTED, INCHES = '"A, ""B""\n C"', '5" HÄND'


def row_of(description):
    return ROW.replace("HAND WARMER UNION JACK", description)


def post_csv(api, monkeypatch, body, *, query=RETAIL, content_type="text/csv", **more):
    return post(api, monkeypatch, body, query=query, content_type=content_type, **more)


def test_csv_as_a_shop_sends_it(api, monkeypatch):
    rows = [
        "536366,22633,HAND WARMER UNION JACK,6,12/1/2010 8:28,1.85,17850,United Kingdom",
        "536366,22632,HAND WARMER RED POLKA DOT,6,12/1/2010 8:28,1.85,17850,United Kingdom",
    ]
    status, body, _, stream = post_csv(api, monkeypatch, "\n".join([HEADER, *rows, ""]))
    assert (status, body["accepted"], len(set(body["event_ids"]))) == (202, 2, 2)
    assert [list(e["data"].values()) for e in stream.stored] == [row.split(",") for row in rows]
    assert "warnings" not in body


@pytest.mark.parametrize(
    "record",
    [
        {
            "InvoiceNo": 536365,
            "StockCode": 71053,
            "Description": "WHITE METAL LANTERN",
            "Quantity": 6,
            "InvoiceDate": "12/1/2010 8:26",
            "UnitPrice": 3.39,
            "CustomerID": 17850.0,
            "Country": "United Kingdom",
        },
        {"event_time": "2011-05-13T08:26:00", "product_id": "P-1", "quantity": 3, "price": 2.5499999999999998},
    ],
    ids=["numbers_as_numbers", "a_float"],
)
def test_bare_records_as_programs_send_them(api, monkeypatch, record):
    status, body, _, stream = post(api, monkeypatch, record)
    assert (status, stream.stored[0]["data"]) == (202, record)
    assert "warnings" not in body


def test_a_number_of_two_readings_is_named_without_it(api, monkeypatch):
    _, body, _, _ = post(api, monkeypatch, LINE | {"UnitPrice": "7,891"})
    [warning] = body["warnings"]
    assert (warning["field"], warning["rule"]) == ("UnitPrice", "ambiguous")
    assert "7" not in warning["expected"]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(f"{HEADER}\n{ROW}\n", ["HAND WARMER UNION JACK"], id="plain"),
        pytest.param(f"{HEADER}\n{ROW}", ["HAND WARMER UNION JACK"], id="no_line_end_at_the_end"),
        pytest.param(f"\ufeff{HEADER}\r\n{ROW}\r\n", ["HAND WARMER UNION JACK"], id="byte_order_mark_and_crlf"),
        pytest.param(f"{HEADER}\r{ROW}\r", ["HAND WARMER UNION JACK"], id="cr"),
        pytest.param(f"\n\n{HEADER}\n\n{ROW}\n\n\n{ROW}\n", ["HAND WARMER UNION JACK"] * 2, id="blank_lines"),
        pytest.param(f"{HEADER},\n{ROW},\n{ROW}\n", ["HAND WARMER UNION JACK"] * 2, id="comma_at_the_end"),
        pytest.param(f"{HEADER}\n{row_of(QUOTED)}\n", ['A, "B"\n C'], id="quoted"),
        pytest.param(f"{HEADER}\n{ROW.replace('HAND', ' 007')}\n", [" 007 WARMER UNION JACK"], id="as_written"),
        pytest.param(f"{HEADER}\n{ROW}\n".replace(",", ";"), ["HAND WARMER UNION JACK"], id="semicolons"),
        pytest.param(f"{HEADER}\n{ROW}\n".replace(",", "\t"), ["HAND WARMER UNION JACK"], id="tabs"),
        pytest.param(f"{HEADER}\n{row_of(INCHES)}\n", ['5" HÄND'], id="inches"),
    ],
)
def test_csv_of_every_spelling(api, monkeypatch, body, expected):
    status, answer, _, stream = post_csv(api, monkeypatch, body)
    assert status == 202, answer
    assert [e["data"]["Description"] for e in stream.stored] == expected
    assert all(list(e["data"]) == HEADER.split(",") and e["feed"] == "online_retail" for e in stream.stored)
    assert not answer.keys() & {"warnings", "left_out"}


def test_csv_lines_that_are_no_events_are_left_out_and_named(api, monkeypatch):
    status, answer, _, stream = post_csv(api, monkeypatch, f"{HEADER}\n{ROW}\n,,,,,,,\n{HEADER}\n{ROW}\n")
    assert (status, answer["accepted"], len(stream.stored)) == (202, 2, 2)
    assert answer["left_out"] == [{"line": 3, "rule": "no value in it"}, {"line": 4, "rule": "the header again"}]


def test_ragged_csv_is_refused_whole_with_the_lines_and_what_was_expected(api, monkeypatch):
    body = f"{HEADER}\n{ROW.replace('HAND', chr(34) + 'a' + chr(10) + 'b' + chr(34), 1).replace(' WARMER UNION JACK', '')}\n"
    body += f"{ROW},more\n\n{ROW}\n{ROW.rpartition(',')[0]}\n"
    status, answer, _, stream = post_csv(api, monkeypatch, body)
    assert (status, stream.calls) == (400, 0)
    rule = "line {}: expected 8 values, one for each column of the header, found {}"
    assert answer["errors"] == [
        {"index": 1, "line": 4, "field": "", "rule": rule.format(4, 9)},
        {"index": 3, "line": 7, "field": "", "rule": rule.format(7, 7)},
    ]
    assert "2 of 4" in answer["message"]


@pytest.mark.parametrize(
    ("body", "query", "status", "says"),
    [
        pytest.param("", RETAIL, 400, "expected a header row, found nothing", id="empty"),
        pytest.param(HEADER, RETAIL, 400, "1 to 500 rows, found no row", id="header_alone"),
        pytest.param(
            f"{ROW}\n{ROW}\n",
            RETAIL,
            400,
            "the first row is no header of the feed online_retail; expected some of InvoiceNo, StockCode",
            id="no_header",
        ),
        pytest.param(
            f"{HEADER},Country\n{ROW},x",
            RETAIL,
            400,
            "columns 8 and 9 of the header have the same name",
            id="name_twice",
        ),
        pytest.param(f"a,,{HEADER}\n,,{ROW}", RETAIL, 400, "column 2 of the header has no name", id="no_name"),
        pytest.param(f'{HEADER}\n"{ROW}\n', RETAIL, 400, "line 2: unexpected end of data", id="quote_without_end"),
        pytest.param(f"{HEADER}\n" + f"{ROW}\n" * 501, RETAIL, 413, "501 events; at most 500", id="too_many"),
        pytest.param(f"{HEADER}\n{ROW}\n", {"feed": "sales"}, 400, "1 of 1 events are wrong", id="unknown_feed"),
    ],
)
def test_csv_that_is_refused(api, monkeypatch, caplog, body, query, status, says):
    caplog.set_level("INFO")
    found, answer, _, stream = post_csv(api, monkeypatch, body, query=query)
    assert (found, stream.calls) == (status, 0)
    assert says in answer["message"]
    assert "HAND WARMER" not in json.dumps(answer) + caplog.text


def test_csv_without_feed_is_recognised_by_its_header(api, monkeypatch):
    status, _, _, stream = post_csv(api, monkeypatch, f"{HEADER}\n{ROW}\n", query=None)
    assert (status, stream.stored[0]["feed"]) == (202, "online_retail")


@pytest.mark.parametrize(
    ("content_type", "codec", "status"),
    [
        ("application/csv; charset=windows-1252", "cp1252", 202),
        ('application/csv;charset="ISO-8859-1"', "latin-1", 202),
        ("application/csv; charset=utf-16", "utf-16", 202),
        ("application/csv", "utf-8-sig", 202),
        ("application/csv", "cp1252", 400),
        ("application/csv; charset=utf-7", "utf-8", 415),
        ("text/csv; header=absent", "utf-8", 415),
        ("text/csvx", "utf-8", 415),
        ("Text/CSV; charset=UTF-8; header=present", "utf-8", 202),
    ],
)
def test_charsets_of_csv(api, monkeypatch, content_type, codec, status):
    packed = base64.b64encode(f"{HEADER}\n{ROW.replace('HAND', 'HÄND')}\n".encode(codec)).decode()
    found, _, _, stream = post_csv(api, monkeypatch, packed, content_type=content_type, isBase64Encoded=True)
    assert (found, [e["data"]["Description"] for e in stream.stored]) == (
        status,
        ["HÄND WARMER UNION JACK"] if status == 202 else [],
    )


@pytest.mark.parametrize(
    ("content_type", "text", "status"),
    [
        ("text/csv; charset=windows-1252", "HAND", 202),
        ("text/csv; charset=windows-1252", "H\ufffdND", 415),
        ("text/csv", "H\ufffdND", 400),
        ("text/csv; charset=us-ascii", "HÄND", 202),
    ],
)
def test_text_that_api_gateway_has_read_as_utf_8(api, monkeypatch, content_type, text, status):
    """API Gateway hands on text, in which U+FFFD stands for each byte that is no UTF-8; Content-Length tells."""
    body = f"{HEADER}\n{ROW.replace('HAND', text)}\n"
    length = str(len(body.replace("\ufffd", "?").encode()))
    assert post_csv(api, monkeypatch, body, content_type=content_type, headers={"Content-Length": length})[0] == status
    own = post_csv(api, monkeypatch, body, headers={"Content-Length": str(len(body.encode()))})
    assert own[0] == 202  # a replacement character that the sender has itself


def test_json_with_damaged_bytes_or_a_byte_order_mark(api, monkeypatch):
    body = json.dumps(envelope(data=MOVEMENT | {"note": "M\ufffdller"}), ensure_ascii=False)
    assert post(api, monkeypatch, body, headers={"content-length": str(len(body.encode()) - 2)})[0] == 400
    assert post(api, monkeypatch, body, headers={"content-length": str(len(body.encode()))})[0] == 202
    assert post(api, monkeypatch, "\ufeff" + json.dumps(envelope()))[0] == 202


# -- what the cleaning would reject ------------------------------------------------------------------------------------

BROKEN = {"event_time": "yesterday", "product_id": "P-1", "quantity": "a secret"}
REASONS = [
    ("event_time", "type", "an ISO 8601 time"),
    ("quantity", "type", "a whole number"),
    ("price", "required", "a value"),
]


def test_what_the_cleaning_will_reject_is_taken_with_warnings(api, monkeypatch, caplog):
    caplog.set_level("INFO")
    status, answer, _, stream = post(api, monkeypatch, [MOVEMENT, BROKEN], query={"feed": "product_events"})
    assert (status, answer["accepted"], len(stream.stored)) == (202, 2, 2)
    found = [(w["index"], w["field"], w["rule"]) for w in answer["warnings"]]
    assert found == [(1, field, rule) for field, rule, _ in REASONS]
    assert all(warning["expected"] for warning in answer["warnings"])
    assert "a secret" not in json.dumps(answer) + caplog.text
    assert "yesterday" not in json.dumps(answer) + caplog.text


@pytest.mark.parametrize("strict", ["true", "True", "1", ""])
def test_strict_refuses_it_with_the_same_list(api, monkeypatch, strict):
    _, taken, _, _ = post(api, monkeypatch, [MOVEMENT, BROKEN], query={"feed": "product_events"})
    status, answer, _, stream = post(
        api, monkeypatch, [MOVEMENT, BROKEN], query={"feed": "product_events", "strict": strict}
    )
    assert (status, stream.calls, answer["errors"]) == (400, 0, taken["warnings"])
    assert post(api, monkeypatch, MOVEMENT, query={"feed": "product_events", "strict": strict})[0] == 202


def test_strict_is_true_or_false(api, monkeypatch):
    assert post(api, monkeypatch, envelope(), query={"strict": "false"})[0] == 202
    assert post(api, monkeypatch, envelope(), query={"strict": "please"})[0] == 400


def test_warnings_name_the_keys_that_the_sender_wrote(api, monkeypatch):
    record = {"Invoice": "1", "SKU": "a", "Qty": "x", "Date": "x", "Price": "x"}
    _, answer, _, _ = post(api, monkeypatch, record, query=RETAIL)
    assert [w["field"] for w in answer["warnings"]] == ["Qty", "Date", "Price", "Country"]
    wrong_time = envelope() | {"event_time": "x"}
    _, answer, _, _ = post(api, monkeypatch, wrong_time)
    assert [w["field"] for w in answer["warnings"]] == ["event_time"]


def test_warnings_of_csv_have_their_lines(api, monkeypatch):
    _, answer, _, _ = post_csv(api, monkeypatch, f"{HEADER}\n{ROW}\n\n{ROW.replace(',6,', ',many,')}\n")
    assert [(w["index"], w["line"], w["field"]) for w in answer["warnings"]] == [(1, 4, "Quantity")]


@pytest.mark.parametrize("depth", [100, 900, 950, 970, 980, 985, 990, 995])
def test_nested_records_are_answered(api, monkeypatch, depth):
    data = json.dumps(MOVEMENT)[:-1] + ', "quantity": ' + "[" * depth + "]" * depth + "}"
    body = data.replace('"quantity": -2, ', "")
    assert post(api, monkeypatch, body, query={"feed": "product_events"})[0] in {202, 400}


# -- records without an envelope ------------------------------------------------------------------------------------------

LINE = dict(zip(HEADER.split(","), ROW.split(","), strict=True))


@pytest.mark.parametrize("as_array", [True, False])
def test_a_record_without_feed_is_recognised_by_its_keys(api, monkeypatch, as_array):
    records = [LINE, MOVEMENT] if as_array else LINE
    status, answer, _, stream = post(api, monkeypatch, records)
    assert (status, len(answer["event_ids"])) == (202, 2 if as_array else 1)
    assert [(e["feed"], e["data"]) for e in stream.stored] == [("online_retail", LINE), ("product_events", MOVEMENT)][
        : 1 + as_array
    ]


def test_a_record_that_fits_no_feed_is_told_what_the_nearest_lacks(api, monkeypatch):
    short = {key: value for key, value in LINE.items() if key not in {"UnitPrice", "Country"}}
    status, answer, _, stream = post(api, monkeypatch, [LINE, short])
    assert (status, stream.calls) == (400, 0)
    [error] = answer["errors"]
    assert (error["index"], error["field"]) == (1, "")
    assert "the nearest is online_retail, without UnitPrice, Country" in error["rule"]


# -- Idempotency-Key ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "more"),
    [
        pytest.param([envelope(), envelope()], {}, id="envelopes"),
        pytest.param([MOVEMENT, MOVEMENT], {"query": {"feed": "product_events"}}, id="feed_in_the_query"),
        pytest.param([LINE, MOVEMENT], {}, id="recognised"),
        pytest.param(f"{HEADER}\n{ROW}\n{ROW}\n", {"query": RETAIL, "content_type": "text/csv"}, id="csv"),
    ],
)
def test_the_same_idempotency_key_gives_the_same_ids(api, monkeypatch, body, more):
    def ids(idempotency_key, **other):
        headers = {"Idempotency-Key": idempotency_key}
        status, answer, _, _ = post(api, monkeypatch, body, headers=headers, **more, **other)
        assert status == 202
        return answer["event_ids"]

    first = ids("8e03978e-40d5-43dd-bc93-6894a57f9324")
    assert ids('"8e03978e-40d5-43dd-bc93-6894a57f9324"') == first  # as the draft writes it
    assert len(set(first)) == 2
    assert not set(first) & set(ids("another"))
    assert not set(first) & set(ids("8e03978e-40d5-43dd-bc93-6894a57f9324", key="another shop"))


def test_other_events_under_a_used_idempotency_key_are_not_lost(api, monkeypatch):
    headers = {"Idempotency-Key": "k"}
    _, first, _, _ = post(api, monkeypatch, [MOVEMENT], headers=headers)
    _, second, _, _ = post(api, monkeypatch, [MOVEMENT | {"quantity": 77}, MOVEMENT], headers=headers)
    assert len({*first["event_ids"], *second["event_ids"]}) == 3


def test_an_event_id_goes_before_the_idempotency_key(api, monkeypatch):
    _, answer, _, _ = post(api, monkeypatch, [envelope("mine"), envelope()], headers={"idempotency-key": "k"})
    assert answer["event_ids"][0] == "mine"
    assert len(answer["event_ids"][1]) == 36


@pytest.mark.parametrize("key", ["", '""', "é", "x" * 256, "a\tb"])
def test_idempotency_keys_that_are_none(api, monkeypatch, key):
    status, answer, _, stream = post(api, monkeypatch, envelope(), headers={"Idempotency-Key": key})
    assert (status, stream.calls) == (400, 0)
    assert answer["message"].startswith("Idempotency-Key: expected")


def test_what_is_left_of_a_request_with_a_key_is_sent_again_whole(api, monkeypatch):
    stream = Stream(lambda call, index: "InternalFailure" if index == 0 else None)
    status, answer, _, _ = post(
        api, monkeypatch, [MOVEMENT, MOVEMENT], stream=stream, seconds=2.0, headers={"Idempotency-Key": "k"}
    )
    assert (status, "with the same Idempotency-Key" in answer["message"]) == (207, True)


# -- rights -----------------------------------------------------------------------------------------------------------------


def test_who_may_not_send_is_told_so(api, monkeypatch):
    status, answer, _, stream = post(api, monkeypatch, envelope(), may="read")
    assert (status, answer["message"], stream.calls) == (403, "the key shop may not send; it may read", 0)


def test_who_may_not_correct_is_refused_by_index(api, monkeypatch, caplog):
    caplog.set_level("INFO")
    events = [
        envelope("a"),
        envelope("b") | {"event_version": 2},
        envelope("c") | {"event_version": 1},
        {"feed": "x", "data": {}},
    ]
    status, answer, _, stream = post(api, monkeypatch, events)
    assert (status, stream.calls) == (403, 0)
    assert [(e["index"], e["field"]) for e in answer["errors"]] == [(1, "event_version"), (3, "feed")]
    assert "the key shop may not correct; it may send, read" in answer["message"]
    assert "key=shop refused status=403" in caplog.text
    status, _, _, stream = post(api, monkeypatch, events[:3], may="send,correct")
    assert (status, [e.get("event_version") for e in stream.stored]) == (202, [None, 2, 1])


def test_with_iam_only_named_principals_correct(api, monkeypatch):
    correction = envelope("a") | {"event_version": 2}

    def status(arn):
        return post(api, monkeypatch, correction, requestContext={"authorizer": {"iam": {"userArn": arn}}})[0]

    assert status(f"{CORRECTOR}/session-1") == 202
    assert status("arn:aws:sts::123456789012:assumed-role/corrections-too/session-1") == 403
    assert status("arn:aws:iam::123456789012:user/corrections") == 403
    assert post(api, monkeypatch, envelope(), requestContext={})[0] == 403  # no authorizer has seen it
