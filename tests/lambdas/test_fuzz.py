"""10,000 broken records for each Lambda and for the cleaning: each comes out as clean or as rejected, none vanishes.

Then the same in every framing that a record of the stream may have.
"""

import base64
import gzip
import json
from datetime import UTC, datetime
from random import Random

import pytest
from ecommerce_elt.cleaning.cleaner import run_cleaning

from tests.lambdas.event_source import kinesis_record
from tests.plugins.cleaning.test_cleaning import LINE, MOVE, PERSON
from tests.support.cleaning_bench import line

pytestmark = pytest.mark.slow
COUNT = 10_000
FEEDS = {"online_retail": LINE | {"InvoiceDate": "2010-12-01 08:26"}, "product_events": MOVE, "purchases": PERSON}
VALUES = [
    None,
    True,
    False,
    0,
    -1,
    10**40,
    1e308,
    -0.0,
    0.1,
    "",
    " ",
    "x" * 3000,
    "é\u0000",
    "\ud83d\ude00",
    "NaN",
    "1e5",
    "1,5",
    str(2**63),
    "0001-01-01",
    "9999-12-31 23:59:60",
    "12345-01-01",
    [],
    {},
    [1, {"a": None}],
    {"a": {"b": []}},
    "\u202e",
    "５",
    "\\",
    '"',
    "'; --",
]


def _broken(random):
    """Yields records that are wrong in some way: as values, keys, envelope, JSON or bytes; a few happen to be good."""
    for number in range(COUNT):
        feed = random.choice([*FEEDS])
        record = dict(FEEDS[feed])
        for _ in range(random.randint(0, 3)):
            record[random.choice([*record, "unknown", "Qty", "größe"])] = random.choice(VALUES)
        if random.random() < 0.2:
            record.pop(random.choice([*record]))
        payload = line(
            feed,
            record,
            f"e{number}",
            random.choice([None, "2026-01-02T03:04:05Z", "yesterday", "", "12345-01-01"]),
            random.choice([1, 1, 1, 2]),
        )
        match random.randrange(5):
            case 0:  # a key of the envelope
                event = json.loads(payload)
                key = random.choice([*event, "event_version", "more"])
                event[key] = random.choice([*VALUES, feed, "../x", "a" * 64])
                if random.random() < 0.3:
                    del event[key]
                payload = json.dumps(event, ensure_ascii=bool(number % 2)).encode("utf-8", "surrogatepass")
            case 1:  # bytes
                broken = bytearray(payload)
                for _ in range(random.randint(1, 4)):
                    at = random.randrange(len(broken))
                    how = random.randrange(3)
                    if how == 0:
                        broken[at] = random.randrange(256)
                    elif how == 1:
                        del broken[at : at + random.randint(1, 20)]
                    else:
                        broken[at:at] = random.randbytes(random.randint(1, 5))
                payload = bytes(broken)
            case 2 if random.random() < 0.3:  # no record at all
                payload = random.choice(
                    [b"", b"\n", b"null", b"[]", b"{}", b'"x"', b"\xff\xfe", b"{" * 900, payload * 2, payload[:-1]]
                )
        yield payload


@pytest.fixture(scope="module")
def payloads():
    return list(_broken(Random(20261121)))


def test_raw_writer_and_the_cleaning(payloads, logic_of, contracts, config, tmp_path):
    files = logic_of("raw_writer").files_of(kinesis_record(p, n) for n, p in enumerate(payloads))
    assert _records(files) == COUNT
    total = sum(file.lines for file in files)
    assert COUNT <= total < COUNT + 500  # what is broken may have fallen apart
    counted = 0
    for file in files:
        lines = gzip.decompress(file.body).splitlines()
        assert len(lines) == file.lines
        if file.key.startswith("quarantine/unreadable/"):
            counted += len(lines)
            for text in lines:
                kept = json.loads(text)
                assert kept["reason"]
                base64.b64decode(kept.get("data_base64", ""), validate=True)
            continue
        feed = file.key.split("/")[1].removeprefix("feed=")
        path = tmp_path / f"{feed}.gz"
        path.write_bytes(file.body)
        import duckdb

        with duckdb.connect() as engine:
            run_cleaning(engine, {file.key: path}, feed, contracts.get(feed), config)
            [(events, clean, rejected, repeated)] = engine.sql("""
                SELECT COUNT(*), COUNT(*) FILTER (copy_number = 1 AND LEN(reasons) = 0),
                    COUNT(*) FILTER (copy_number = 1 AND LEN(reasons) > 0), COUNT(*) FILTER (copy_number > 1) FROM cleaned
            """).fetchall()
        assert events == len(lines) == clean + rejected + repeated
        counted += events
        if feed in contracts:
            assert clean > 100
            assert rejected > 100
    assert counted == total


def _records(files):
    """How many lines are the first of their record."""
    lines = [text for file in files for text in gzip.decompress(file.body).splitlines()]
    return sum("record_index" not in json.loads(text) for text in lines)


def _framed(payloads, random):
    """Yields records that hold one or several of the payloads, each framed somehow, and cut or changed now and then."""
    from aws_kinesis_agg.aggregator import RecordAggregator

    def text(some):
        if random.random() < 0.5:  # without their envelopes, as far as they have any
            some = [bare(payload) for payload in some]
        return random.choice([b"\n".join, b"".join, lambda some: b"[" + b",".join(some) + b"]"])(some)

    def bare(payload):
        try:
            return json.dumps(json.loads(payload)["data"], ensure_ascii=False).encode()
        except (ValueError, KeyError, TypeError):
            return payload

    def packed(some):
        found = text(some)
        how = random.randrange(4)
        if how == 1:
            return b"\xef\xbb\xbf" + found
        if how == 2:
            return b"\xff\xfe" + found.decode("utf-8", "replace").encode("utf-16-le")
        return gzip.compress(found, 1) if how == 3 else found

    waiting = list(payloads)
    while waiting:
        some, waiting = waiting[: (size := random.randint(1, 6))], waiting[size:]
        if random.random() < 0.3:
            aggregator = RecordAggregator()
            for payload in some:
                aggregator.add_user_record("key", packed([payload]))
            found = aggregator.clear_and_get().get_contents()[2]
        else:
            found = packed(some)
        if random.random() < 0.1:
            at = random.randrange(len(found) + 1)
            found = random.choice([found[:at], found[:at] + random.randbytes(2) + found[at + 2 :]])
        yield found


def test_framed_records(payloads, logic_of):
    """Every record has its first line, all three consumers agree on the invoice lines, and nothing fails."""
    records = [kinesis_record(payload, n) for n, payload in enumerate(_framed(payloads, Random(7)))]
    raw, dynamodb, firehose = (logic_of(name) for name in ("raw_writer", "dynamodb_writer", "firehose_transform"))
    files = raw.files_of(records)
    assert raw.files_of(records) == files
    assert _records(files) == len(records)
    events = unreadable = 0
    ids = set()
    for file in files:
        lines = [json.loads(text) for text in gzip.decompress(file.body).splitlines()]
        if file.key.startswith("quarantine/unreadable/"):
            unreadable += len(lines)
            assert all(line["reason"] for line in lines)
            assert len({line["event_source_id"] for line in lines}) == len(lines)
        else:
            events += len(lines)
            if "feed=online_retail/" in file.key:
                ids |= {line["event_id"] for line in lines}
    assert events > 4000
    assert unreadable > 1000
    stored = {line.event_id for line in dynamodb.lines_of(records)[0]}
    rows = set()
    for record in records:
        kinesis = record["kinesis"]
        payload = base64.b64decode(kinesis["data"])
        metadata = {
            "shardId": "shardId-000000000000",
            "sequenceNumber": kinesis["sequenceNumber"],
            "subsequenceNumber": 0,
        }
        result, data = firehose.transformed(
            {"approximateArrivalTimestamp": 1_700_000_000_000, "kinesisRecordMetadata": metadata}, payload
        )
        assert result in {"Ok", "Dropped", "ProcessingFailed"}
        rows |= {json.loads(row)["event_id"] for row in data.splitlines()} if result == "Ok" else set()
    assert stored == rows
    assert stored <= ids
    assert len(stored) > 500


def test_dynamodb_writer(payloads, logic_of):
    logic = logic_of("dynamodb_writer")
    good = broken = other = 0
    for n, payload in enumerate(payloads):
        lines, rejected = logic.lines_of([kinesis_record(payload, n)])
        good, broken, other = good + len(lines), broken + rejected, other + (not lines and not rejected)
        assert all(write.item for write in logic.writes_of(lines, {}, 30))
    assert COUNT <= good + broken + other < COUNT + 500
    assert min(good, broken, other) > 300


def test_firehose_transform(payloads, logic_of):
    logic = logic_of("firehose_transform")
    results = []
    for payload in payloads:
        result, data = logic.transformed({"approximateArrivalTimestamp": 1_700_000_000_000}, payload)
        assert data == {"Dropped": b"", "ProcessingFailed": payload}.get(result, data)
        if result == "Ok":
            assert all(json.loads(row)["event_id"] for row in data.splitlines())
        results.append(result)
    assert len(results) == COUNT
    assert set(results) == {"Ok", "Dropped", "ProcessingFailed"}


def test_ingest_api(payloads):
    from ecommerce_events.callers import Caller
    from ecommerce_events.contracts import contracts
    from ecommerce_events.envelope import read_envelope

    from lambdas.ingest_api.items import json_items
    from lambdas.ingest_api.logic import events_of
    from lambdas.ingest_api.request import Asked, Refused

    taken = refused = 0
    statuses = set()
    for payload in payloads:
        for feed in (None, "purchases"):
            asked = Asked(Caller("shop", frozenset({"send", "correct"})), feed)
            try:
                text = payload.decode("utf-8")
                events = events_of(json_items(text), asked, contracts(), datetime(2026, 1, 1, tzinfo=UTC)).events
            except (Refused, UnicodeDecodeError) as error:
                statuses.add(getattr(error, "status", 400))
                refused += 1
                continue
            taken += 1
            for event in events:
                read_envelope(event.data)  # what is taken can be read again by every consumer
    assert taken + refused == 2 * COUNT
    assert statuses <= {400, 413}
    assert min(taken, refused) > 1000
