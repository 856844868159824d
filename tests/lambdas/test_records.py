"""Whatever way senders put events into records of the stream: all consumers find the same events, under the same ids."""

import base64
import gzip
import json
import subprocess
import sys
import uuid

import pytest

from tests.lambdas.event_source import Mapping, kinesis_record
from tests.plugins.cleaning.test_cleaning import MOVE, PERSON
from tests.support.cleaning_bench import clean, line

INVOICE = {
    "InvoiceNo": "536365",
    "StockCode": "85123A",
    "Description": "LANTERN £",
    "Quantity": "6",
    "InvoiceDate": "2010-12-01 08:26",
    "UnitPrice": "2.55",
    "CustomerID": "17850",
    "Country": "EIRE",
}
INVOICES = [INVOICE | {"StockCode": code} for code in ("A1", "B2", "C3")]
BROKEN = b'{"InvoiceNo": "1", "StockCode": '


def text_of(record, **how):
    return json.dumps(record, **how).encode()


def aggregated(*payloads):
    """One Kinesis record, as the Kinesis Producer Library aggregates user records."""
    from aws_kinesis_agg.aggregator import RecordAggregator

    aggregator = RecordAggregator()
    for number, payload in enumerate(payloads):
        assert aggregator.add_user_record(f"key {number}", payload) is None
    _, _, data = aggregator.clear_and_get().get_contents()
    return data


def as_firehose(record):
    """The records that Firehose makes of one of the stream, before it calls the transformation."""
    from aws_kinesis_agg.deaggregator import deaggregate_records

    return [
        {
            "recordId": str(number),
            "data": base64.b64encode(base64.b64decode(found["kinesis"]["data"])).decode(),
            "approximateArrivalTimestamp": int(found["kinesis"]["approximateArrivalTimestamp"] * 1000),
            "kinesisRecordMetadata": {
                "shardId": record["eventID"].split(":")[0],
                "sequenceNumber": found["kinesis"]["sequenceNumber"],
                "subsequenceNumber": found["kinesis"].get("subSequenceNumber", 0),
            },
        }
        for number, found in enumerate(deaggregate_records([record]))
    ]


class Consumers:
    """What the three consumers make of the same records."""

    def __init__(self, logic_of):
        self.logic_of = logic_of

    def lines(self, records):
        """Feed, or "unreadable", to the lines that raw_writer stores."""
        found = {}
        for file in self.logic_of("raw_writer").files_of(records):
            name = file.key.split("/dt=")[0].rsplit("/", 1)[1].removeprefix("feed=")
            found[name] = [json.loads(text) for text in gzip.decompress(file.body).splitlines()]
            assert len(found[name]) == file.lines
        return found

    def in_raw(self, records):
        return {line["event_id"]: line["data"] for line in self.lines(records).get("online_retail", [])}

    def in_dynamodb(self, records):
        lines, _ = self.logic_of("dynamodb_writer").lines_of(records)
        return {line.event_id: line.stock_code for line in lines}

    def in_firehose(self, records):
        logic = self.logic_of("firehose_transform")
        answers = [logic.answer_of(as_firehose(record))[0] for record in records]
        rows = [base64.b64decode(r["data"]) for answer in answers for r in answer if r["result"] == "Ok"]
        found = [json.loads(row) for row in b"".join(rows).splitlines()]
        return {row["event_id"]: row["StockCode"] for row in found}


@pytest.fixture
def consumers(layer, logic_of):
    return Consumers(logic_of)


FRAMINGS = {
    "one_bare_record": lambda: [text_of(INVOICES[0])],
    "pretty_printed": lambda: [text_of(INVOICES[0], indent=2)],
    "numbers_as_numbers": lambda: [text_of(INVOICES[0] | {"Quantity": 6, "UnitPrice": 2.55, "CustomerID": 17850})],
    "byte_order_mark": lambda: [b"\xef\xbb\xbf" + text_of(INVOICES[0])],
    "utf_16": lambda: [json.dumps(INVOICES[0], ensure_ascii=False).encode("utf-16")],
    "utf_16_big_endian": lambda: [b"\xfe\xff" + json.dumps(INVOICES[0], ensure_ascii=False).encode("utf-16-be")],
    "json_lines": lambda: [b"".join(text_of(r) + b"\n" for r in INVOICES)],
    "json_lines_of_windows": lambda: [b"\xef\xbb\xbf" + b"\r\n\r\n".join(map(text_of, INVOICES))],
    "concatenated": lambda: [b"".join(map(text_of, INVOICES))],
    "commas_without_brackets": lambda: [b",\n".join(map(text_of, INVOICES))],
    "array": lambda: [text_of(INVOICES)],
    "pretty_array": lambda: [text_of(INVOICES, indent=1)],
    "arrays_in_lines": lambda: [text_of(INVOICES[:1]) + b"\n" + text_of(INVOICES[1:])],
    "gzip": lambda: [gzip.compress(text_of(INVOICES[0]))],
    "gzip_of_an_array": lambda: [gzip.compress(text_of(INVOICES))],
    "gzip_members": lambda: [b"".join(gzip.compress(text_of(r)) for r in INVOICES)],
    "gzip_of_utf_16": lambda: [gzip.compress(json.dumps(INVOICES[0]).encode("utf-16"))],
    "aggregated": lambda: [aggregated(*map(text_of, INVOICES))],
    "aggregated_one": lambda: [aggregated(text_of(INVOICES[0]))],
    "aggregated_of_everything": lambda: [
        aggregated(
            text_of(INVOICES),
            gzip.compress(text_of(INVOICES[0])),
            line("online_retail", INVOICE, "e1"),
            b"\xef\xbb\xbf[]",
        )
    ],
    "envelopes_in_an_array": lambda: [
        b"[" + b",".join(line("online_retail", r, f"e{n}") for n, r in enumerate(INVOICES)) + b"]"
    ],
    "several_records": lambda: [
        text_of(INVOICES),
        line("online_retail", INVOICE, "e"),
        text_of(INVOICE),
        text_of(INVOICE),
    ],
    "other_feeds_between": lambda: [text_of([MOVE, INVOICES[0], PERSON, INVOICES[1]])],
}


@pytest.mark.parametrize("framing", FRAMINGS)
def test_all_consumers_find_the_same_events_under_the_same_ids(consumers, framing):
    records = [kinesis_record(payload, number) for number, payload in enumerate(FRAMINGS[framing]())]
    raw = consumers.in_raw(records)
    codes = {event_id: data["StockCode"] for event_id, data in raw.items()}
    assert codes
    assert consumers.in_dynamodb(records) == codes
    assert consumers.in_firehose(records) == codes
    assert consumers.in_raw(records) == raw  # a Lambda that runs again
    first = [line for lines in consumers.lines(records).values() for line in lines if "record_index" not in line]
    assert len(first) == len(records)


def test_every_event_of_a_framing_is_there(consumers):
    counts = {
        name: len(consumers.in_raw([kinesis_record(p, n) for n, p in enumerate(make())]))
        for name, make in FRAMINGS.items()
    }
    assert counts == {
        "one_bare_record": 1,
        "pretty_printed": 1,
        "numbers_as_numbers": 1,
        "byte_order_mark": 1,
        "utf_16": 1,
        "utf_16_big_endian": 1,
        "json_lines": 3,
        "json_lines_of_windows": 3,
        "concatenated": 3,
        "commas_without_brackets": 3,
        "array": 3,
        "pretty_array": 3,
        "arrays_in_lines": 3,
        "gzip": 1,
        "gzip_of_an_array": 3,
        "gzip_members": 3,
        "gzip_of_utf_16": 1,
        "aggregated": 3,
        "aggregated_one": 1,
        "aggregated_of_everything": 5,
        "envelopes_in_an_array": 3,
        "several_records": 6,
        "other_feeds_between": 2,
    }


def test_the_id_comes_from_the_place_in_the_stream(layer):
    from ecommerce_events.records import parts_of

    def ids(payload, sequence=1, shard="shardId-000000000000"):
        return [part.envelope["event_id"] for part in parts_of(payload, kinesis_record(payload, sequence, shard))]

    several = text_of(INVOICES)
    assert len({*ids(several), *ids(several, 2), *ids(several, 1, "shardId-000000000001")}) == 9
    assert len(set(ids(aggregated(several, several)))) == 6
    assert ids(several)[0] == ids(text_of(PERSON))[0]  # whatever lies there
    namespace = uuid.uuid5(uuid.NAMESPACE_URL, "urn:ecommerce-elt:stream")
    place = f"shardId-000000000000/{kinesis_record(b'', 1)['kinesis']['sequenceNumber']}"
    assert ids(several)[2] == str(uuid.uuid5(namespace, f"{place}/0/2"))
    assert ids(aggregated(several, several))[4] == str(uuid.uuid5(namespace, f"{place}/1/1"))


def test_raw_has_the_record_byte_for_byte(logic_of):
    records = [
        '{"event_time": "2026-01-02", "product_id":18,  "quantity": 1.0e1, "price": 86.26903632435094}',
        '{"event_time":"2026-01-02",\n "product_id": "\\u00a3£", "quantity": 1, "price": 2.50}',
    ]
    [file] = logic_of("raw_writer").files_of([kinesis_record("".join(records).encode(), 7, arrived=1767225600.1)])
    first, second = gzip.decompress(file.body).decode().splitlines()
    [start] = [json.loads(first)["event_id"]]
    head = f'{{"event_id": "{start}", "feed": "product_events", "schema_version": 2, "event_time": null, "sent_at": "2026-01-01T00:00:00.107Z", "data": '
    assert first == head + records[0] + "}"
    assert second.startswith('{"record_index": 1, "event_id": ')
    assert second.endswith('"data": ' + records[1].replace("\n", "") + "}")


def test_the_cleaning_takes_what_raw_writer_made(logic_of, tmp_path, config, contracts):
    payload = aggregated(text_of([MOVE, MOVE | {"quantity": 5}]), line("product_events", MOVE, "mine"))
    [file] = logic_of("raw_writer").files_of([kinesis_record(payload, 1)])
    rows = clean(
        tmp_path, config, contracts["product_events"], "product_events", gzip.decompress(file.body).splitlines()
    )
    assert [row["reasons"] for row in rows] == [[], [], []]
    assert sorted(row["event_time"].isoformat() for row in rows) == ["2026-01-02T03:04:05"] * 3


@pytest.mark.parametrize(
    ("payload", "good", "kept"),
    [
        pytest.param(
            text_of(INVOICES[0]) + b"\n" + BROKEN + b"\n" + text_of(INVOICES[1]),
            2,
            [BROKEN + b"\n"],
            id="line_in_the_middle",
        ),
        pytest.param(text_of(INVOICES[0]) + b"\n" + BROKEN, 1, [BROKEN], id="cut_last_line"),
        pytest.param(
            text_of(INVOICES[0]) + BROKEN + text_of(INVOICES[1]), 1, [BROKEN + text_of(INVOICES[1])], id="concatenated"
        ),
        pytest.param(b"garbage\nmore\n" + text_of(INVOICES[0]), 1, [b"garbage\nmore\n"], id="garbage_before"),
        pytest.param(
            text_of([INVOICES[0], {"a": 1}, 5, INVOICES[1]]), 2, [b'{"a": 1}', b"5"], id="array_with_strangers"
        ),
        pytest.param(
            text_of(INVOICES)[:-20], 2, [text_of(INVOICES)[text_of(INVOICES).rindex(b"{") : -20]], id="cut_array"
        ),
        pytest.param(b"[" + text_of(INVOICES[0]), 1, [b""], id="array_without_end"),
        pytest.param(
            b"[\n" + text_of(INVOICES[0]) + b",\n" + BROKEN + b",\n" + text_of(INVOICES[1]) + b"\n]\n",
            2,
            [BROKEN + b",\n"],
            id="line_of_an_array",
        ),
        pytest.param(
            text_of(INVOICES[0]) + b"\n" + text_of(INVOICE).replace(b'"6"', b'"6", "Quantity": "7"'),
            1,
            [text_of(INVOICE).replace(b'"6"', b'"6", "Quantity": "7"')],
            id="key_twice_beside_a_good_one",
        ),
        pytest.param(
            text_of(INVOICES[0]) + b'\n{"a": "\xa3"}\n' + text_of(INVOICES[1]),
            2,
            [b'{"a": "\xa3"}'],
            id="a_line_in_latin_1",
        ),
        pytest.param(
            text_of(INVOICES[0]) + b'\n{"a": [\n{"InvoiceNo": "nested",\n' + text_of(INVOICES[1], indent=2)[:-3],
            1,
            None,
            id="broken_inside",
        ),
        pytest.param(
            text_of(INVOICES[0]) + b'{"feed": "online_retail", "data": {}}',
            1,
            [b'{"feed": "online_retail", "data": {}}'],
            id="half_an_envelope",
        ),
    ],
)
def test_what_is_broken_goes_alone_and_with_its_bytes(consumers, payload, good, kept):
    for framed in (payload, gzip.compress(payload, mtime=0), aggregated(payload, b"[]")):
        records = [kinesis_record(framed, 1)]
        lines = consumers.lines(records)
        assert len(lines["online_retail"]) == good
        found = [
            line["data"].encode() if "data" in line else base64.b64decode(line["data_base64"])
            for line in lines["unreadable"]
        ]
        if kept is not None:
            assert found == [*kept, *([b"[]"] if framed.startswith(b"\xf3") else [])]
        assert all(line["reason"] for line in lines["unreadable"])
        ids = [line["event_source_id"] for line in lines["unreadable"]]
        assert len(set(ids)) == len(ids)  # else the cleaning would count one as the other's duplicate
        assert len(consumers.in_firehose(records)) == len(consumers.in_dynamodb(records)) == good


def test_a_gzip_bomb_is_unreadable_with_a_reason(consumers):
    bomb = gzip.compress(b"[" + b" " * 2**24 + b"]")
    assert len(bomb) < 2**16
    lines = consumers.lines([kinesis_record(bomb, 1), kinesis_record(gzip.compress(text_of(INVOICE)), 2)])
    [kept] = lines["unreadable"]
    assert kept["reason"] == "gzip that unpacks to more than 16,777,216 bytes"
    assert base64.b64decode(kept["data_base64"]) == bomb
    assert len(lines["online_retail"]) == 1


def test_a_text_of_endless_breaks_is_given_up_in_one_piece(layer):
    from ecommerce_events.records import BREAKS_MAX, parts_of

    text = b'{"a": [\n' * 50_000
    parts = parts_of(text, kinesis_record(text, 1))
    assert len(parts) == BREAKS_MAX + 2
    assert b"".join(part.content for part in parts) == text
    assert parts[-1].reason.startswith("the rest of a text of more than")


def test_an_aggregated_record_without_events_is_one_unreadable_line(consumers):
    from hashlib import md5

    from aws_kinesis_agg import MAGIC

    for payload in (MAGIC + md5(b"").digest(), aggregated(b""), MAGIC + b"\x0f" + md5(b"\x0f").digest()):
        [kept] = consumers.lines([kinesis_record(payload, 1)])["unreadable"]
        assert "record_index" not in kept
        assert kept["reason"]


def test_the_reason_names_no_value_and_no_unknown_key(consumers):
    lines = consumers.lines(
        [kinesis_record(text_of(PERSON | {"Jane Example": "Cliffs"}), 1), kinesis_record(b'{"Jane": "Cliffs"', 2)]
    )
    for kept in lines["unreadable"]:
        assert "Jane" not in kept["reason"]
        assert "Cliffs" not in kept["reason"]


def test_retries_and_halves_write_the_same_events(handler_of, on_cloud, s3, bucket, monkeypatch):
    """The function fails in every other call, and batches come again in halves: the events and ids stay what they were."""
    writer = handler_of("raw_writer", BUCKET=bucket)
    shard = [kinesis_record(make()[0], number) for number, make in enumerate([*FRAMINGS.values()] * 3)]
    calls = iter(range(10**6))

    def failing(event, context):
        answer = writer.handler(event, context)
        if next(calls) % 2 == 0:
            raise RuntimeError("the function times out after the put")
        return answer

    Mapping(failing, batch_size=40).deliver(shard)
    stored = set()
    for found in s3.list_objects_v2(Bucket=bucket)["Contents"]:
        body = gzip.decompress(s3.get_object(Bucket=bucket, Key=found["Key"])["Body"].read())
        stored |= {(found["Key"].split("/dt=")[0], text) for text in body.splitlines()}
    once = {
        (file.key.split("/dt=")[0], text)
        for file in writer.files_of(shard)
        for text in gzip.decompress(file.body).splitlines()
    }
    assert stored == once


# -- firehose_transform ----------------------------------------------------------------------------------------------


def results(logic, *payloads):
    records = [
        {
            "recordId": str(n),
            "data": base64.b64encode(p).decode(),
            "approximateArrivalTimestamp": 1767225600123,
            "kinesisRecordMetadata": {
                "shardId": "shardId-000000000000",
                "sequenceNumber": str(n),
                "subsequenceNumber": "",
            },
        }
        for n, p in enumerate(payloads)
    ]
    answer, unfit = logic.answer_of(records)
    assert [r["recordId"] for r in answer] == [r["recordId"] for r in records]
    assert len(json.dumps({"records": answer})) < 6_291_556  # of a synchronous invocation: Lambda quotas
    return [(r["result"], base64.b64decode(r["data"])) for r in answer], unfit


def test_a_record_with_good_and_broken_lines_is_ok_with_the_good_ones(logic_of):
    bad = INVOICE | {"Quantity": "many"}
    found, unfit = results(
        logic_of("firehose_transform"),
        text_of([bad, INVOICE, {"a": 1}, PERSON]),
        text_of([bad, bad]),
        text_of([bad, PERSON]),
        text_of([bad, 1]),
        b"[]",
        text_of([PERSON, MOVE]),
    )
    assert [result for result, _ in found] == ["Ok", "ProcessingFailed", "Dropped", "Dropped", "Dropped", "Dropped"]
    assert [json.loads(row)["StockCode"] for row in found[0][1].splitlines()] == ["85123A"]
    assert found[1][1] == text_of([bad, bad])
    assert unfit == 0


def test_rows_beyond_the_limit_of_an_answer_fail_alone(logic_of):
    packed = gzip.compress(text_of([INVOICE] * 17_000))
    mixed = gzip.compress(text_of([PERSON] + [INVOICE] * 17_000))
    found, unfit = results(logic_of("firehose_transform"), text_of(INVOICE), packed, mixed, text_of(INVOICE))
    assert [result for result, _ in found] == ["Ok", "ProcessingFailed", "Dropped", "Ok"]
    assert unfit == 2


def test_what_was_put_to_firehose_itself_has_no_place_in_a_stream(logic_of):
    record = {"approximateArrivalTimestamp": 1767225600123}
    logic = logic_of("firehose_transform")
    assert logic.transformed(record, text_of(INVOICE)) == ("Dropped", b"")
    assert logic.transformed(record, line("online_retail", INVOICE, "e"))[0] == "Ok"


# -- the layer ---------------------------------------------------------------------------------------------------------


def test_the_layer_alone_reads_aggregated_records(layer):
    """On a Lambda there is nothing but the layer and Python: no compiled protobuf, no package of this environment."""
    record = kinesis_record(aggregated(text_of(MOVE), text_of(MOVE)), 1)
    program = (
        "import base64, json, sys; sys.path.insert(0, sys.argv[1]); record = json.load(sys.stdin)\n"
        "from ecommerce_events.records import parts_of\n"
        "parts = parts_of(base64.b64decode(record['kinesis']['data']), record)\n"
        "import google.protobuf, aws_kinesis_agg\n"
        "assert google.protobuf.__file__.startswith(sys.argv[1]) and aws_kinesis_agg.__file__.startswith(sys.argv[1])\n"
        "print([part.envelope['feed'] for part in parts])\n"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program, str(layer)],
        input=json.dumps(record),
        text=True,
        capture_output=True,
        check=True,
    )
    assert done.stdout.strip() == "['product_events', 'product_events']"
