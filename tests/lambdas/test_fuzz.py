"""10,000 broken records for each Lambda and for the cleaning: each comes out as clean or as rejected, none vanishes."""

import base64
import gzip
import json
from datetime import UTC, datetime
from random import Random

import pytest
from ecommerce_elt.cleaning import run_cleaning

from tests.lambdas.event_source import kinesis_record
from tests.plugins.cleaning_bench import line
from tests.plugins.test_cleaning import LINE, MOVE, PERSON

pytestmark = pytest.mark.slow
COUNT = 10_000
FEEDS = {"online_retail": LINE | {"InvoiceDate": "2010-12-01 08:26"}, "product_events": MOVE, "purchases": PERSON}
VALUES = [
    None, True, False, 0, -1, 10**40, 1e308, -0.0, 0.1, "", " ", "x" * 3000, "é\u0000", "\ud83d\ude00", "NaN", "1e5", "1,5", str(2**63),
    "0001-01-01", "9999-12-31 23:59:60", "12345-01-01", [], {}, [1, {"a": None}], {"a": {"b": []}}, "\u202e", "５", "\\", '"', "'; --",
]  # fmt: skip


def _broken(random):
    """Yields records that are wrong in some way: as values, keys, envelope, JSON or bytes; a few happen to be good."""
    for number in range(COUNT):
        feed = random.choice([*FEEDS])
        record = dict(FEEDS[feed])
        for _ in range(random.randint(0, 3)):
            record[random.choice([*record, "unknown", "Qty", "größe"])] = random.choice(VALUES)
        if random.random() < 0.2:
            record.pop(random.choice([*record]))
        payload = line(feed, record, f"e{number}", random.choice([None, "2026-01-02T03:04:05Z", "yesterday", "", "12345-01-01"]),
                       random.choice([1, 1, 1, 2]))  # fmt: skip
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
    assert sum(file.records for file in files) == COUNT
    counted = 0
    for file in files:
        lines = gzip.decompress(file.body).splitlines()
        assert len(lines) == file.records
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
    assert counted == COUNT


def test_dynamodb_writer(payloads, logic_of):
    logic = logic_of("dynamodb_writer")
    good = broken = other = 0
    for n, payload in enumerate(payloads):
        lines, rejected = logic.lines_of([kinesis_record(payload, n)])
        good, broken, other = good + len(lines), broken + rejected, other + (not lines and not rejected)
        assert all(write.item for write in logic.writes_of(lines, {}, 30))
    assert good + broken + other == COUNT
    assert min(good, broken, other) > 300


def test_firehose_transform(payloads, logic_of):
    logic = logic_of("firehose_transform")
    results = []
    for payload in payloads:
        result, data = logic.transformed({"approximateArrivalTimestamp": 1_700_000_000_000}, payload)
        assert data == {"Dropped": b"", "ProcessingFailed": payload}.get(result, data)
        if result == "Ok":
            assert json.loads(data)["event_id"]
        results.append(result)
    assert len(results) == COUNT
    assert set(results) == {"Ok", "Dropped", "ProcessingFailed"}


def test_ingest_api(payloads, logic_of):
    from ecommerce_events.contracts import contracts
    from ecommerce_events.envelope import read_envelope

    logic = logic_of("ingest_api")
    taken = refused = 0
    statuses = set()
    for payload in payloads:
        for feed in (None, "purchases"):
            asked = logic.Asked(logic.Caller("shop", frozenset({"send", "correct"})), feed)
            try:
                text = payload.decode("utf-8")
                events = logic.events_of(
                    logic.json_items(text), asked, contracts(), datetime(2026, 1, 1, tzinfo=UTC)
                ).events
            except (logic.Refused, UnicodeDecodeError) as error:
                statuses.add(getattr(error, "status", 400))
                refused += 1
                continue
            taken += 1
            for event in events:
                read_envelope(event.data)  # what is taken can be read again by every consumer
    assert taken + refused == 2 * COUNT
    assert statuses <= {400, 413}
    assert min(taken, refused) > 1000
