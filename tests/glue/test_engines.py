"""Both engines, DuckDB and Spark, on the same raw objects: not one row and not one reason may differ."""

import gzip
import io
import json
import shutil
import time
import uuid
from datetime import UTC, datetime
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from random import Random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ecommerce_elt.batches.manifests import Manifest, RawObject
from ecommerce_elt.batches.raw_records import EVENTS, _events_of
from ecommerce_elt.cleaning.cleaner import clean_batch
from ecommerce_elt.cleaning.spark_sql import BLANKS, spark_cleaning
from ecommerce_elt.feeds.events import envelope, event_ids
from ecommerce_elt.readers.flags import Flags
from ecommerce_elt.readers.tabular import TabularFile

from local.supervision import wait_for
from producer.simulate import simulated
from tests.lambdas.test_shared import VALUES
from tests.support import dialect_cases

pytestmark = [
    pytest.mark.nightly,
    pytest.mark.skipif(
        not find_spec("pyspark") or not shutil.which("java"),
        reason="Spark needs pyspark (make setup-spark) and Java 17",
    ),
]

SPARK_TYPES = {"event_version": "int", "schema_version": "int", "source_line": "int", "data": "array<string>"}
JOB = "ecommerce-clean-events"
# What sources write that engines like to read each in its own way.
ODD = [
    *VALUES,
    *BLANKS,
    f"{BLANKS}6{BLANKS}",
    "\t",
    "\u200b6",
    "6\u0000",
    "ß",
    "ŉ",
    "ſ",
    "İ",
    "é 1",
    "𝟔",
    "c1",
    "a1",
    "C536365",
    "\n",
    1.10,
    1e5,
    1e-8,
    1e22,
    123456789.123456789,
    0.1 + 0.2,
    -0.0,
    1e16,
    2**63,
    -(2**63) - 1,
    10**30,
    [],
    {},
    [1.50, "x\n", None, True],
    {"a": {"b": [1e5]}, "ü": '\u001f"'},
    "0",
    "00",
    "007",
    "+.5",
    "5.",
    "-",
    "+",
    ".",
    "1e5",
    "0.1" + "0" * 50,
    "9" * 50 + ".5",
    "2010-12-01T08:26:59Z",
    "2010-12-01 08:26 UTC",
    "2010-12-01 8:6",
    "2010-12-01T08:26:59.1234567891",
    "2010-12-01T23:59:60",
    "2010-12-01 24:00:00",
    "0000-01-01",
    "9999-12-31 23:59:59",
    "2010-12-01T08:26+14:59",
    "2010-12-01T08:26+15:00",
    "2010-1-1",
    "2010-12-01T08:26:59.",
    "2010-12-01T08:26 +01:00",
    "2010-12-01T08",
    "2010",
    "2010-12",
    " 2010-12-01",
    "2010-12-01Z",
    "1900-01-01T00:00:00+01:00",
    "2199-12-31T23:59:59-01:00",
    "12345-01-01",
    "-2010-12-01",
    "now",
    "2012-02-29",
    "2011-02-29",
    "sale",
    "return",
    "restock",
    "adjustment",
    -3,
    "Female",
    "female",
    "Other",
    "City, ST 12345",
    "City, APO AE 12345-6789",
    "X\nST 12345\n",
    "éST 12345",
    "_ST 12345",
    "ST 12345",
    "(555) 123-4567",
    "+1-555-123-4567x89",
    "٣٤٥",
    "17",
    "18",
    "24",
    "25",
    "64",
    "65",
    "130",
    "131",
    "-1",
    "1.999",
    "1000000",
    "1000000.01",
]


def _mutated(contract, good, seed):
    random = Random(seed)
    headers = [c.header for c in contract.columns]
    for header in headers:
        for value in ODD:
            yield {**good, header: value}
    spellings = [h for c in contract.columns for h in c.headers]
    for _ in range(2000):
        record = {**good, **{h: random.choice(ODD) for h in random.sample(spellings, 3)}}
        for header in random.sample(headers, random.choice([0, 0, 1])):
            record.pop(header)
        if random.random() < 0.1:
            record[random.choice(["colour", "größe", "a.b", "Ω\u2028"])] = random.choice(ODD)
        yield record
    for _ in range(500):
        text = "".join(chr(random.choice([*range(1, 0x250), *range(0x2000, 0x2070), 0x1F600])) for _ in range(8))
        yield {**good, random.choice(headers): text}
    yield {}
    yield {"no such key": 1}


def _fuzzed(contract, good):
    """Lines of raw objects: each mutation, with times of the envelope that are good, bad or none, some sent twice."""
    random = Random(5)
    times = [
        None,
        "2026-01-02T03:04:05Z",
        "2026-01-02T03:04:05.123456789+02:00",
        "yesterday",
        "",
        " ",
        "2026-13-01",
        *ODD,
    ]
    times = [t for t in times if t is None or isinstance(t, str)]
    for number, record in enumerate(_mutated(contract, good, 3)):
        moment = random.choice(times) if number % 3 else None
        made = {
            "event_id": f"e{random.randrange(number + 1) if number % 20 == 7 else number}",
            "feed": contract.feed,
            "schema_version": random.choice([1, 1, 2, 3]),
            "event_time": moment,
            "sent_at": "2026-01-01T00:00:00Z",
            "data": record,
        }
        if number % 5 == 2:
            made["event_version"] = random.randint(1, 3)
        yield json.dumps(made, ensure_ascii=bool(number % 2)).encode()
    # Bytes that Python's own encoder would not write.
    for number, data in enumerate(
        (
            b'{"%s": 1.10, "%s": 2}',
            b'{"%s": -0}',
            b'{"%s": 1E400}',
            b'{"%s": 0.00001}',
            b'{ "%s" : [ 1 , 2.50 ] }',
            b'{"%s": 1e-7}',
            b'{"%s": 12345678901234567890123}',
            b'{"%s": 123456789012345680.0}',
            b'{"%s": "\\u00e9\\u2003"}',
            b"[1]",
            b'"x"',
            b"3",
            b"null",
        )
    ):
        for column in contract.columns:
            filled = data.replace(b"%s", column.header.encode())
            yield b'{"event_id": "b%d-%s", "event_time": null, "data": %s}' % (number, column.name.encode(), filled)


@pytest.fixture
def lake(observer):
    return observer.s3, observer.bucket


def _put(s3, bucket, feed, name, lines):
    key = f"raw/feed={feed}/dt=2026-01-0{1 + len(name) % 2}/hour=00/{name}.jsonl.gz"
    body = gzip.compress(b"".join(line + b"\n" for line in lines), 1, mtime=0)
    etag = s3.put_object(Bucket=bucket, Key=key, Body=body)["ETag"].strip('"')
    return RawObject(key, etag, len(body), bucket)


def _manifests(s3, bucket, feed, objects):
    """Two batches of the same objects, one for each engine."""
    for day in "12":
        batch_id = f"{feed}-2026010{day}T000000Z-{uuid.uuid4().hex[:16]}"
        manifest = Manifest(batch_id, feed, tuple(sorted(objects)))
        s3.put_object(Bucket=bucket, Key=f"manifests/{manifest.batch_id}.json", Body=manifest.to_json())
        yield manifest


def run_jobs(glue, *arguments):
    """Runs the job with `--name value` arguments for each, one after the other, and returns the ended runs."""
    found = []
    for each in arguments:
        run_id = glue.start_job_run(JobName=JOB, Arguments={f"--{k}": v for k, v in each.items()})["JobRunId"]

        def ended(run_id=run_id):
            run = glue.get_job_run(JobName=JOB, RunId=run_id)["JobRun"]
            return run if "CompletedOn" in run else None

        wait_for(ended, 280, f"run {run_id}", 0.5)
        found.append(ended())
    return found


def _files(s3, bucket, batch_id):
    """Key without the batch id → table."""
    found = {}
    for prefix in ("clean/", "quarantine/"):
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        for key in (e["Key"] for page in pages for e in page.get("Contents", [])):
            if batch_id in key:
                body = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
                found[key.replace(batch_id, "")] = pq.read_table(pa.BufferReader(body))
    return found


def _rows(table):
    """Rows, times as numbers: a rejected event may have a year that Python's dates have not."""
    for index, column in enumerate(table.schema):
        if pa.types.is_timestamp(column.type):
            table = table.set_column(index, column.name, table.column(index).cast(pa.int64()))
    return table.to_pylist()


def _assert_same(s3, bucket, one, other):
    ours, theirs = _files(s3, bucket, one.batch_id), _files(s3, bucket, other.batch_id)
    assert ours.keys() == theirs.keys()
    for key, table in ours.items():
        spark = theirs[key]
        if "batch_id" in spark.column_names:
            index = spark.column_names.index("batch_id")
            spark = spark.set_column(index, "batch_id", pa.array([one.batch_id] * spark.num_rows, pa.string()))
        assert spark.schema.equals(table.schema), key
        if not spark.equals(table):
            for left, right in zip(_rows(table), _rows(spark), strict=True):
                assert left == right, key

    def counts(manifest):
        body = s3.get_object(Bucket=bucket, Key=f"manifests/{manifest.batch_id}/objects.jsonl")["Body"].read()
        return [{k: v for k, v in json.loads(line).items() if k != "batch_id"} for line in body.splitlines()]

    assert counts(one) == counts(other)

    def copied(manifest):
        entries = json.loads(
            s3.get_object(Bucket=bucket, Key=f"manifests/{manifest.batch_id}/copy.json")["Body"].read()
        )
        return [entry["url"].replace(manifest.batch_id, "") for entry in entries["entries"]]

    assert copied(one) == copied(other)
    return sum(t.num_rows for k, t in ours.items() if k.startswith("clean")), sum(
        t.num_rows for k, t in ours.items() if k.startswith("quarantine")
    )


@pytest.fixture
def glue(cloud):
    return cloud.client("glue")


@pytest.fixture
def stack_config(cloud, config, observer):
    from pydantic import SecretStr

    key = SecretStr(cloud.user_environment()["ECOMMERCE_PII_HMAC_KEY"])
    return config.model_copy(update={"bucket": observer.bucket, "pii_hmac_key": key})


@pytest.mark.timeout(600)
def test_no_difference_on_bad_input(lake, glue, stack_config, contracts):
    s3, bucket = lake
    pairs = {}
    for feed in contracts:
        [(_, good, _)] = islice(simulated(feed, 1, 1, 0.0), 1)
        lines = list(_fuzzed(contracts[feed], good))
        objects = [_put(s3, bucket, feed, f"fuzz-{'x' * i}", lines[i::3]) for i in range(3)]
        pairs[feed] = tuple(_manifests(s3, bucket, feed, objects))
    runs = run_jobs(glue, *({"batch_id": other.batch_id} for _, other in pairs.values()))
    for run, (feed, (one, other)) in zip(runs, pairs.items(), strict=True):
        ours = clean_batch(s3, one, stack_config)
        assert run["JobRunState"] == "SUCCEEDED", (feed, run.get("ErrorMessage"))
        assert _assert_same(s3, bucket, one, other) == (ours.clean, ours.quarantined)
        assert ours.clean > 200, feed
        assert ours.quarantined > 1000, feed
        assert ours.duplicates > 50, feed


@pytest.mark.timeout(600)
def test_no_difference_on_the_whole_real_file(lake, glue, stack_config, contracts, online_retail: Path):
    s3, bucket = lake
    contract = contracts["online_retail"]
    file = TabularFile(online_retail, contract, Flags())
    survey = file.survey()
    identify = event_ids(survey.data_set)
    rows = (
        envelope(
            event_id=identify(row.line),
            feed="online_retail",
            version=1,
            event_time=row.event_time,
            sent_at="2026-01-01T00:00:00Z",
            data=row.data,
        )
        for row in file.rows(survey)
    )
    objects = []
    while lines := list(islice(rows, 50_000)):
        objects.append(_put(s3, bucket, "online_retail", f"real-{len(objects):03}", lines))
    one, other = _manifests(s3, bucket, "online_retail", objects)
    ours = clean_batch(s3, one, stack_config)
    assert ours.accepted == 541_909
    [run] = run_jobs(glue, {"batch_id": other.batch_id})
    assert run["JobRunState"] == "SUCCEEDED", run.get("ErrorMessage")
    assert _assert_same(s3, bucket, one, other) == (ours.clean, ours.quarantined)


@pytest.mark.timeout(600)
def test_failures_are_reported_as_glue_reports_them_and_a_prefix_becomes_a_batch_that_is_open(lake, glue):
    s3, bucket = lake
    torn = _put(s3, bucket, "online_retail", "torn", [b'{"event_id": "1", "data": {}}', b"no json"])
    _, manifest = _manifests(s3, bucket, "online_retail", [torn])
    lines = [
        envelope(
            event_id=f"p{i}",
            feed="product_events",
            version=1,
            event_time=None,
            sent_at="2026-01-01T00:00:00Z",
            data=data,
        )
        for i, (_, data, _) in enumerate(simulated("product_events", 20, 4, 0.0))
    ]
    raw = _put(s3, bucket, "product_events", "of-a-prefix", lines)
    prefix = raw.key.rpartition("/")[0] + "/of-a-prefix"
    failed, unknown, good = run_jobs(
        glue,
        {"batch_id": manifest.batch_id},
        {"batch_id": "online_retail-20260101T000000Z-0000000000000000"},
        {"prefix": prefix},
    )
    s3.delete_object(Bucket=bucket, Key=torn.key)  # other tests read all of raw/
    assert failed["JobRunState"] == "FAILED"
    assert f"a raw object holds no JSON lines: {torn.key} line 2" in failed["ErrorMessage"]
    assert unknown["JobRunState"] == "FAILED"
    assert "NoSuchKey" in unknown["ErrorMessage"]

    assert good["JobRunState"] == "SUCCEEDED", good.get("ErrorMessage")
    opened = [e["Key"] for e in s3.list_objects_v2(Bucket=bucket, Prefix="manifests/open/product_events-")["Contents"]]
    assert len(opened) == 1
    batch_id = opened[0].rpartition("/")[2]
    s3.delete_object(Bucket=bucket, Key=opened[0])
    assert sum(table.num_rows for table in _files(s3, bucket, batch_id).values()) == 20


@pytest.mark.timeout(600)
def test_withdrawals_are_no_rows_in_either_engine(lake, glue, stack_config):
    s3, bucket = lake

    def lines(ids, version, records):
        return [
            envelope(
                event_id=f"w{i}",
                feed="product_events",
                version=2,
                event_time=datetime(2026, 1, 2, tzinfo=UTC),
                sent_at="2026-01-01T00:00:00Z",
                data=data,
                event_version=version,
            )
            for i, data in zip(ids, records, strict=True)
        ]

    records = [data for _, data, _ in simulated("product_events", 10, 4, 0.0)]
    objects = [
        _put(s3, bucket, "product_events", "landed-20260103T000000Z-rows", lines(range(10), 1, records)),
        _put(s3, bucket, "product_events", "landed-20260104T000000Z-withdrawn-a", lines([1, 3, 77], 2, [{}] * 3)),
    ]
    one, other = _manifests(s3, bucket, "product_events", objects)
    ours = clean_batch(s3, one, stack_config)
    assert (ours.accepted, ours.clean, ours.duplicates, ours.withdrawn, ours.rows) == (13, 11, 2, 3, 8)
    [run] = run_jobs(glue, {"batch_id": other.batch_id})
    assert run["JobRunState"] == "SUCCEEDED", run.get("ErrorMessage")
    assert _assert_same(s3, bucket, one, other) == (8, 0)
    found = []
    for manifest in (one, other):
        key = f"manifests/{manifest.batch_id}/withdrawn/events.jsonl"
        body = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        found.append(sorted((json.loads(row) for row in body.splitlines()), key=lambda row: row["event_id"]))
    assert found[0] == found[1]
    assert [(row["event_id"], row["event_version"], row["landed_at"]) for row in found[0]] == [
        (f"w{i}", 2, "2026-01-04 00:00:00") for i in (1, 3, 77)
    ]


def test_what_senders_write_for_a_value_is_read_as_the_cleaning_reads_it(monkeypatch):
    from pyspark.sql import SparkSession

    monkeypatch.setenv("TZ", "UTC")
    time.tzset()  # collect() gives times in the zone of the process
    body = io.BytesIO(gzip.compress(b"\n".join(dialect_cases.as_events()) + b"\n"))
    events = [row for batch in _events_of(body, "k", dialect_cases.CONTRACT.known_keys) for row in batch.to_pylist()]
    spark = SparkSession.builder.master("local[1]").getOrCreate()
    spark.conf.set("spark.sql.session.timeZone", "UTC")
    spark.conf.set("spark.sql.ansi.enabled", "false")
    names = EVENTS.names
    schema = ", ".join(f"{name} {SPARK_TYPES.get(name, 'string')}" for name in names)
    spark.createDataFrame([tuple(row[n] for n in names) for row in events], schema).createOrReplaceTempView("events")
    for name, sql in spark_cleaning(dialect_cases.CONTRACT, dialect_cases.CLEAN_SQL).items():
        spark.sql(sql).createOrReplaceTempView(name)
    rows = sorted(spark.table("cleaned").collect(), key=lambda row: row.source_line)
    rounded = spark.table("rounded").count()
    spark.stop()
    wrong = []
    for row, (column, text, right) in zip(rows, dialect_cases.CASES, strict=True):
        found = {reason["rule"] for reason in row["reasons"]} or row[column]
        wrong += [(column, text, right, found)] if found != right else []
    assert not wrong
    assert rounded == 8
