import gzip
import json
from random import Random

import pytest

from tests.conftest import PROJECT
from tests.lambdas.event_source import Mapping, kinesis_record
from tests.support.cleaning_bench import line


@pytest.fixture
def logic(logic_of):
    return logic_of("raw_writer")


@pytest.fixture
def writer(handler_of, on_cloud, bucket):
    """The handler as Lambda loads it, on the local cloud's S3."""
    return handler_of("raw_writer", BUCKET=bucket)


def stored(s3, bucket, prefix=""):
    """Key to lines of every object."""
    keys = [o["Key"] for o in s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])]
    return {k: gzip.decompress(s3.get_object(Bucket=bucket, Key=k)["Body"].read()).splitlines() for k in keys}


def shard_of(count, feeds=("purchases", "product_events"), seed=1):
    random = Random(seed)
    return [kinesis_record(line(random.choice(feeds), {"n": i}, f"e{i}"), i) for i in range(count)]


def event_ids(objects):
    return [json.loads(text)["event_id"] for lines in objects.values() for text in lines]


def test_the_sample_event(writer, s3, bucket):
    sample = json.loads((PROJECT / "lambdas/raw_writer/event.json").read_text())
    assert writer.handler(sample, None) == {"batchItemFailures": []}
    [(key, _)] = stored(s3, bucket).items()
    assert key.startswith("raw/feed=online_retail/dt=2026-01-01/hour=00/shardId-000000000000-")


def test_the_key_comes_from_the_records_alone(logic):
    records = [kinesis_record(line("purchases", {}, str(i)), i) for i in range(3)]
    first, again = logic.files_of(records), logic.files_of(records)
    assert first == again
    [file] = first
    low, high = records[0]["kinesis"]["sequenceNumber"], records[2]["kinesis"]["sequenceNumber"]
    assert file.key == f"raw/feed=purchases/dt=2026-01-01/hour=00/shardId-000000000000-{low}-{high}.jsonl.gz"


def test_lines_are_the_records_byte_for_byte(logic):
    payloads = [
        line("f", {"text": "£ and \u2028 and 1.10", "n": 1.10}, "a"),
        b' {"event_id":"b","feed":"f",\n "schema_version":1,"sent_at":"x","data":{}} ',
    ]
    [file] = logic.files_of([kinesis_record(p, i) for i, p in enumerate(payloads)])
    lines = gzip.decompress(file.body).splitlines()
    assert lines[0] == payloads[0]
    assert json.loads(lines[1]) == json.loads(payloads[1])


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        pytest.param(b"\xff\x00\x01", "not UTF-8 at character 0", id="binary"),
        pytest.param(b"{", "not JSON", id="truncated"),
        pytest.param(b"", "no event", id="empty"),
        pytest.param(b" \r\n", "no event", id="blank"),
        pytest.param(b"[]", "no event", id="empty_list"),
        pytest.param(b"[1]", "expected a JSON object, found int", id="a_list"),
        pytest.param(b'"x"', "expected a JSON object, found str", id="a_text"),
        pytest.param(b"1,2\n3,4\n", "expected a JSON object, found int", id="csv"),
        pytest.param(line("f", {}).replace(b'"feed"', b'"record_index": 1, "feed"'), "record_index", id="record_index"),
        pytest.param(b"\x1f\x8b\x08", "gzip that cannot be unpacked: EOFError", id="cut_gzip"),
        pytest.param(b"\xf3\x89\x9a\xc2" + b"x" * 40, "aggregated record whose MD5", id="damaged_aggregation"),
        pytest.param(line("f", {}, ""), "event_id", id="empty_event_id"),
        pytest.param(line("f", {}, "x" * 129), "event_id", id="long_event_id"),
        pytest.param(line("../x", {}), "feed", id="path_as_feed"),
        pytest.param(line("F", {}), "feed", id="feed_in_capitals"),
        pytest.param(
            line("f", {}).replace(b'"schema_version": 1', b'"schema_version": true'),
            "schema_version",
            id="version_true",
        ),
        pytest.param(line("f", {}).replace(b'"data": {}', b'"data": []'), "data", id="data_is_a_list"),
        pytest.param(line("f", {}).replace(b'"sent_at"', b'"sent"'), "sent_at", id="not_sent"),
        pytest.param(line("f", {}, event_time=5), "event_time", id="time_is_a_number"),
        pytest.param(line("f", {"x": 1}).replace(b'"x": 1', b'"x": NaN'), "NaN is no JSON", id="nan"),
        pytest.param(line("f", {"x": 1}).replace(b'"x": 1', b'"x": 1, "x": 2'), "a key twice", id="key_twice"),
        pytest.param(line("f", {"x": "Q"}).replace(b'"Q"', b'"\\ud800"'), "surrogate", id="half_a_surrogate_pair"),
        pytest.param(b'{"a":' * 5000, "not JSON", id="deeply_nested"),
        pytest.param(line("f", {"x": 1}).replace(b'"x": 1', b'"x": ' + b"1" * 5000), "not JSON", id="endless_number"),
    ],
)
def test_what_is_no_envelope_is_kept_whole_and_explained(logic, payload, reason):
    good = kinesis_record(line("purchases", {}), 2)
    files = logic.files_of([kinesis_record(payload, 1), good])
    assert [f.key.split("/dt=")[0] for f in files] == ["quarantine/unreadable", "raw/feed=purchases"]
    [kept] = [json.loads(text) for text in gzip.decompress(files[0].body).splitlines()]
    assert reason in kept["reason"]
    import base64

    whole = kept["data"].encode() if "data" in kept else base64.b64decode(kept["data_base64"])
    assert whole == payload


def test_every_record_is_stored_once(writer, s3, bucket):
    shard = shard_of(500)
    Mapping(writer.handler, batch_size=100).deliver(shard)
    assert sorted(event_ids(stored(s3, bucket))) == sorted(f"e{i}" for i in range(500))


def test_a_retried_batch_overwrites_its_own_objects(writer, s3, bucket):
    records = {"Records": shard_of(100)}
    writer.handler(records, None)
    first = stored(s3, bucket)
    writer.handler(records, None)
    assert stored(s3, bucket) == first


def _failing(writer, monkeypatch, fails):
    """Lets puts fail as S3 fails: with a ClientError, before the object is there."""
    from botocore.exceptions import ClientError

    put = writer.s3.put_object

    def flaky(**kwargs):
        if fails(kwargs["Key"]):
            raise ClientError(
                {"Error": {"Code": "SlowDown", "Message": "Please reduce your request rate."}}, "PutObject"
            )
        return put(**kwargs)

    monkeypatch.setattr(writer.s3, "put_object", flaky)


@pytest.mark.parametrize("report", [True, False], ids=["partial_batch_response", "without"])
def test_failing_puts_lose_and_double_nothing(writer, s3, bucket, monkeypatch, report):
    random = Random(3)
    _failing(writer, monkeypatch, lambda key: random.random() < 0.3)
    mapping = Mapping(
        writer.handler if report else _raising(writer),
        batch_size=50,
        report_batch_item_failures=report,
        bisect_batch_on_function_error=False,
    )
    mapping.deliver(shard_of(400))
    assert mapping.invocations > 8
    assert mapping.given_up == []
    assert sorted(event_ids(stored(s3, bucket))) == sorted(f"e{i}" for i in range(400))


def _raising(writer):
    def function(event, context):
        if writer.handler(event, context)["batchItemFailures"]:
            raise RuntimeError("the function times out")

    return function


def test_bisecting_loses_nothing_and_the_copies_carry_the_same_ids(writer, s3, bucket, monkeypatch):
    random = Random(5)
    _failing(writer, monkeypatch, lambda key: random.random() < 0.3)
    Mapping(_raising(writer), batch_size=50).deliver(shard_of(200))
    ids = event_ids(stored(s3, bucket))
    assert set(ids) == {f"e{i}" for i in range(200)}


def test_what_cannot_be_stored_goes_to_the_failure_queue_and_the_shard_moves_on(writer, s3, bucket, monkeypatch):
    _failing(writer, monkeypatch, lambda key: "purchases" in key)
    mapping = Mapping(writer.handler, batch_size=10, maximum_retry_attempts=2)
    shard = [kinesis_record(line("purchases" if i < 10 else "product_events", {}, f"e{i}"), i) for i in range(30)]
    mapping.deliver(shard)
    assert mapping.given_up == [r["kinesis"]["sequenceNumber"] for r in shard[:10]]
    assert sorted(event_ids(stored(s3, bucket))) == sorted(f"e{i}" for i in range(10, 30))


def test_a_record_that_is_no_envelope_never_blocks_its_shard(writer, s3, bucket):
    shard = [kinesis_record(b"\x00" if i % 3 == 0 else line("purchases", {}, f"e{i}"), i) for i in range(30)]
    mapping = Mapping(writer.handler, batch_size=10)
    mapping.deliver(shard)
    assert mapping.invocations == 3
    assert sum(len(x) for x in stored(s3, bucket, "quarantine/unreadable/").values()) == 10
    assert sum(len(x) for x in stored(s3, bucket, "raw/").values()) == 20


def test_a_poison_record_among_ten_thousand_lets_the_others_land(writer, logic, s3, bucket, monkeypatch):
    """One record makes the function fail, whatever it is; halving finds it."""
    real = logic.parts_of

    def failing(payload, record):
        if b'"e6170"' in payload:
            raise MemoryError("the function died")
        return real(payload, record)

    monkeypatch.setattr(logic, "parts_of", failing)
    shard = shard_of(10_000)
    mapping = Mapping(writer.handler, maximum_retry_attempts=2)
    mapping.deliver(shard)
    assert mapping.given_up == [shard[6170]["kinesis"]["sequenceNumber"]]
    assert set(event_ids(stored(s3, bucket))) == {f"e{i}" for i in range(10_000)} - {"e6170"}
