"""Reconciliation: green over what is right, red over every way in which layers can differ, with what differs by name."""

import gzip
import json
import re
import uuid
from datetime import UTC, date, datetime, timedelta

import orjson
import pytest
from ecommerce_elt.batches.manifests import OPEN, UNREADABLE, RawObject, new_manifest, objects_in_notification
from ecommerce_elt.cleaning.cleaner import clean_batch
from ecommerce_elt.feeds import feed_sql
from ecommerce_elt.feeds.contracts import load_contract
from ecommerce_elt.lake import lists as lake_lists
from ecommerce_elt.load import transaction as load_transaction
from ecommerce_elt.reconcile import compare as reconcile_compare
from ecommerce_elt.warehouse import redshift
from ecommerce_elt.warehouse import tables as warehouse_tables

from tests.conftest import PROJECT
from tests.lambdas.conftest import layer, logic_of  # noqa: F401
from tests.lambdas.event_source import kinesis_record
from tests.lambdas.test_records import aggregated
from tests.plugins.cleaning.test_cleaning import LINE, MOVE
from tests.support.cleaning_bench import line

BAD = MOVE | {"quantity": "x"}


@pytest.fixture
def shop(observer, bucket, config, tmp_path):
    return Shop(observer, bucket, config, tmp_path)


@pytest.fixture
def retail(observer, bucket, config, tmp_path):
    return Shop(observer, bucket, config, tmp_path, "online_retail", "fact_invoice_line")


class Shop:
    """A feed, tables and a bucket of the test's own."""

    def __init__(self, observer, bucket, config, folder, like="product_events", fact="fact_product_event"):
        self.like, self.like_fact = like, fact
        self.s3, self.target, self.name = observer.s3, observer.warehouse, f"moves_{uuid.uuid4().hex[:8]}"
        self.dynamodb = observer.dynamodb
        include = folder / "include"
        (include / "feeds").mkdir(parents=True)
        for path in config.sql_dir.rglob("*.sql"):
            copy = include / "sql" / self.renamed(str(path.relative_to(config.sql_dir)))
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(self.renamed(path.read_text()))
        contract = (config.include_dir / f"feeds/{like}.yaml").read_text()
        (include / "feeds" / f"{self.name}.yaml").write_text(self.renamed(contract))
        self.contract = load_contract(include / "feeds" / f"{self.name}.yaml")
        self.config = config.model_copy(
            update={
                "include_dir": include,
                "bucket": bucket,
                "reconcile_settle_minutes": 0,
                "reconcile_days_a_run": 0,
                "stack_prefix": self.name.replace("_", "-"),
            }
        )
        self.target.run(warehouse_tables.ddl(include / "sql", (self.contract.staging, *self.contract.tables)))
        self.hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=3)

    @property
    def fact(self):
        return f"fact_{self.name}"

    def renamed(self, text):
        return text.replace(self.like, self.name).replace(self.like_fact, self.fact)

    def put(self, key, body):
        return self.s3.put_object(Bucket=self.config.bucket, Key=key, Body=body)["ETag"].strip('"')

    def raw(self, records, name, hour=None):
        body = gzip.compress(
            b"".join(line(self.name, r, f"{name}-{i}") + b"\n" for i, r in enumerate(records)), mtime=0
        )
        key = f"{reconcile_compare.folder_of(self.name, hour or self.hour)}{name}.jsonl.gz"
        return RawObject(key, self.put(key, body), len(body), self.config.bucket)

    def load(self, records, name, hour=None, claimed_at=None):
        return self.load_object(self.raw(records, name, hour), claimed_at)

    def load_object(self, raw, claimed_at=None):
        manifest = new_manifest(self.name, [raw], claimed_at or datetime.now(UTC))
        batch = clean_batch(self.s3, manifest, self.config)
        counts = load_transaction.load_batch(self.target, batch, self.config)
        lake_lists.publish_batch(
            self.s3, self.target, batch, self.config, overlaps=counts["duplicates"] > 0, again=False
        )
        return manifest.objects[0].key

    def hours(self):
        summary, found, self.unclaimed = reconcile_compare.reconcile_hours(
            self.s3, self.target, self.name, self.config, datetime.now(UTC)
        )
        return summary, [(d.layer, d.text.partition(":")[0], d.objects) for d in found]

    def days(self, config=None):
        config = config or self.config
        now = datetime.now(UTC) + timedelta(seconds=1)  # what changes in the second of the comparison is compared again
        return reconcile_compare.reconcile_days(self.s3, self.dynamodb, self.target, self.contract, config, now)

    def kept(self):
        return self.target.query(
            "SELECT raw, accepted, clean, quarantined, duplicates, quarantine_rows, waiting, is_sealed, difference "
            f"FROM ops.reconciliation WHERE feed = '{self.name}' ORDER BY hour_start"
        )

    def sql(self, text):
        self.target.run([text.replace("FACT", f"core.{self.fact}")])


@pytest.fixture(autouse=True)
def looks_follow_at_once(monkeypatch):
    monkeypatch.setattr(reconcile_compare, "LOOK_SECONDS", 0.0)


def test_what_is_right_is_sealed_and_no_object_is_read_twice(shop, monkeypatch):
    shop.load([MOVE, BAD, MOVE], "a")
    shop.load([MOVE] * 2, "b", datetime.now(UTC))
    assert shop.hours()[1] == []
    [over, current] = shop.kept()
    assert over == (3, 3, 2, 1, 0, 1, 0, True, None)
    assert current[:7] == (2, 2, 2, 0, 0, 0, 0)
    assert current[7] is False  # more may come
    monkeypatch.setattr(reconcile_compare.gzip, "open", None)  # nothing is read again
    assert shop.hours()[1] == []
    assert shop.days()[0] == {"feed": shop.name, "days": 1, "changed": 1, "outdated": 0, "differences": 0}
    assert shop.days()[0]["days"] == 0


def test_an_hour_that_is_sealed_is_counted_again_where_an_object_came_since(shop):
    shop.load([MOVE], "a")
    shop.hours()
    shop.load([MOVE, MOVE], "late")  # after an outage, by its hour of arrival
    assert shop.hours()[1] == []
    assert shop.kept() == [(3, 3, 3, 0, 0, 0, 0, True, None)]


def test_a_row_of_core_that_is_deleted_doubled_or_altered_is_named(shop):
    shop.load([MOVE] * 5, "a")
    assert (shop.hours()[1], shop.days()[1]) == ([], [])
    every = shop.config.model_copy(update={"reconcile_days_a_run": 10})
    for change, what, events, core_rows in (
        ("DELETE FROM FACT WHERE event_id = 'a-1'", "1 events not in core", ["a-1"], 4),
        ("INSERT INTO FACT SELECT * FROM FACT WHERE event_id = 'a-2'", "1 events doubled in core", ["a-2"], 5),
        ("UPDATE FACT SET quantity = 7 WHERE event_id = 'a-3'", "1 events altered", ["a-3"], 5),
    ):
        shop.sql(change)
        found = shop.days(every)[1]
        assert [(d.layer, d.where, d.text, d.events) for d in found if d.text == what] == [
            ("core", "2026-01-02", what, events)
        ]
        total = [d for d in shop.hours()[1] if d[0] == "core"]
        expected = [("core", f"core.{shop.fact} has {core_rows} rows, the loads brought 5", [])]
        assert total == (expected if core_rows != 5 else [])
    # What differed is compared again until it is mended.
    assert len(shop.days()[1]) == 3
    shop.sql("DELETE FROM FACT")
    assert [d.text for d in shop.days()[1]] == ["5 events not in core"]


def test_all_days_of_a_feed_are_compared_in_one_session(shop, monkeypatch):
    """Redshift's Data API allows 500 sessions, and a session stays until some time after its last statement."""
    lines = [line(shop.name, MOVE, f"e{day}", f"2026-01-{day:02}T00:00:00Z") for day in range(1, 6)]
    body = gzip.compress(b"\n".join(lines) + b"\n", mtime=0)
    key = f"{reconcile_compare.folder_of(shop.name, shop.hour)}a.jsonl.gz"
    shop.load_object(RawObject(key, shop.put(key, body), len(body), shop.config.bucket))
    opened, session = [], redshift.Warehouse.session
    monkeypatch.setattr(redshift.Warehouse, "session", lambda self: opened.append(self) or session(self))
    summary, differences = shop.days()
    assert (summary["days"], differences, len(opened)) == (5, [], 1)


def test_the_runbook_mends_core(shop):
    """Its statements, word by word, with another table and day."""
    shop.load([MOVE] * 3, "a")
    other_day = MOVE | {"event_time": "2026-03-01T00:00:00Z"}
    shop.load([other_day], "b")
    shop.sql("DELETE FROM FACT WHERE event_id = 'a-0'")
    shop.sql("UPDATE FACT SET quantity = 77 WHERE event_id = 'a-1'")
    shop.sql("INSERT INTO FACT SELECT * FROM FACT WHERE event_id = 'a-2'")
    [(day, *_)] = {(d.where,) for d in shop.days()[1]}
    after = f"{date.fromisoformat(day) + timedelta(days=1)}"
    page = (PROJECT / "docs/runbooks/layers-differ.md").read_text()
    [written] = re.findall(r"^BEGIN;\n(.*?)^COMMIT;", page, re.MULTILINE | re.DOTALL)
    merge = feed_sql.read(shop.config.sql_dir, f"core/{shop.fact}/merge.sql")
    text = shop.renamed(re.sub("-- then .*", lambda _: merge + ";", written))
    for word, meant in (("2026-01-03", after), ("2026-01-02", day), ("<lake>", shop.config.bucket)):
        text = text.replace(word, meant)
    shop.target.run([statement for statement in text.split(";\n") if statement.strip()])
    assert shop.days()[1] == []
    assert shop.hours()[1] == []


def test_what_the_lake_lost_or_has_twice_is_named(shop):
    shop.load([MOVE] * 3, "a")
    [url] = lake_lists.files(shop.s3, shop.config.bucket, shop.name)
    listed = lake_lists.folder_of(shop.name, "2026-01-02") + lake_lists.LIST
    shop.put(listed, f"{url}\n{url}\n".encode())
    assert [d.text for d in shop.days()[1]] == ["3 events doubled in the lake"]
    shop.put(listed, b"")
    assert [d.text for d in shop.days()[1]] == ["3 events not in the lake"]


def test_a_notification_that_was_lost_and_a_batch_that_is_stuck_are_told_apart(shop, cloud):
    shop.load([MOVE], "a")
    lost, open_ = shop.raw([MOVE], "lost"), shop.raw([MOVE], "open")
    manifest = new_manifest(shop.name, [open_], datetime.now(UTC))
    shop.put(f"manifests/{manifest.batch_id}.json", manifest.to_json())
    shop.put(OPEN + manifest.batch_id, b"")
    summary, found = shop.hours()
    assert found == [
        ("staging audit", "1 objects of raw/ in no batch", [lost.key]),
        ("staging audit", "1 objects of raw/ in a batch that does not get committed", [open_.key]),
    ]
    assert summary["waiting"] == 2
    # What was lost is announced as S3 would have announced it.
    assert shop.unclaimed == [lost]
    sqs = cloud.client("sqs")
    queue = sqs.create_queue(QueueName=shop.name)["QueueUrl"]
    config = shop.config.model_copy(update={"raw_objects_queue": shop.name})
    assert reconcile_compare.announce(sqs, shop.unclaimed, config) == 1
    assert reconcile_compare.announce(sqs, shop.unclaimed, config) == 0  # it waits there
    [message] = sqs.receive_message(QueueUrl=queue)["Messages"]
    assert objects_in_notification(message["Body"]) == [lost]
    assert shop.kept()[0][6:8] == (2, False)
    # What is on its way is no difference yet.
    patient = shop.config.model_copy(update={"reconcile_settle_minutes": 15})
    now = datetime.now(UTC)
    assert reconcile_compare.reconcile_hours(shop.s3, shop.target, shop.name, patient, now)[1] == []
    later = now + timedelta(minutes=40)
    [stuck] = reconcile_compare.watch(boto3_stub(), shop.s3, shop.config, later)
    assert (stuck.text, stuck.objects) == (
        "1 batches were claimed more than 30 minutes ago",
        [OPEN + manifest.batch_id],
    )


def boto3_stub():
    """A CloudWatch without metrics; the real one is asked in the other tests."""

    class NoMetrics:
        def get_metric_statistics(self, **_):
            return {"Datapoints": []}

    return NoMetrics()


def test_raw_that_lost_a_line_or_an_object_is_named(shop):
    key, other = shop.load([MOVE, MOVE], "a"), shop.load([MOVE], "b")
    shop.put(key, gzip.compress(line(shop.name, MOVE, "a-0") + b"\n"))
    shop.s3.delete_object(Bucket=shop.config.bucket, Key=other)
    assert shop.hours()[1] == [
        ("raw", "1 objects that were loaded are gone", [other]),
        ("staging audit", "1 objects of which not all lines were accepted", [f"{key} (1 lines, 2 accepted)"]),
    ]


def test_an_hour_that_lost_all_its_objects_is_named(shop):
    key = shop.load([MOVE], "a", datetime.now(UTC))
    assert shop.hours()[1] == []  # not over, so not sealed
    shop.s3.delete_object(Bucket=shop.config.bucket, Key=key)
    assert shop.hours()[1] == [("raw", "1 objects that were loaded are gone", [key])]


def test_a_sealed_hour_that_lost_an_object_is_named(shop):
    kept, lost = shop.load([MOVE], "a"), shop.load([MOVE, BAD], "b")
    alone = shop.load([MOVE], "c", shop.hour - timedelta(hours=1))
    assert shop.hours()[1] == []
    assert [row[-2] for row in shop.kept()] == [True, True]
    for key in (lost, alone):
        shop.s3.delete_object(Bucket=shop.config.bucket, Key=key)
    gone = [("raw", "1 objects that were loaded are gone", [key]) for key in (alone, lost)]
    assert shop.hours()[1] == shop.hours()[1] == gone
    assert shop.s3.head_object(Bucket=shop.config.bucket, Key=kept)


def test_an_object_that_comes_while_an_hour_is_counted_is_not_missed(shop, monkeypatch):
    shop.load([MOVE], "a")
    listed = reconcile_compare._objects

    def then_one_more(*arguments):
        found = listed(*arguments)
        shop.load([MOVE, MOVE], "meanwhile")
        return found

    monkeypatch.setattr(reconcile_compare, "_objects", then_one_more)
    shop.hours()
    monkeypatch.setattr(reconcile_compare, "_objects", listed)
    assert shop.hours()[1] == []
    assert shop.kept() == [(3, 3, 3, 0, 0, 0, 0, True, None)]


def test_an_object_that_a_late_claim_put_into_a_second_batch_arrived_once(shop):
    records = [MOVE, MOVE, BAD]
    shop.load(records, "a")
    shop.load(records, "a", claimed_at=datetime.now(UTC) - timedelta(minutes=3))
    assert shop.hours()[1] == []
    assert shop.kept() == [(3, 3, 2, 1, 0, 1, 0, True, None)]


def test_quarantine_that_lost_a_row_is_named(shop):
    key = shop.load([BAD, BAD], "a")
    shop.target.run([f"DELETE FROM ops.quarantine_reason WHERE feed = '{shop.name}' AND event_id = 'a-1'"])
    assert shop.hours()[1] == [
        (
            "quarantine",
            "1 objects whose rejected events are not all in ops.quarantine_reason",
            [f"{key} (2 rejected, 1 there)"],
        )
    ]


def test_an_audit_that_was_altered_is_named(shop):
    shop.load([MOVE, MOVE], "a")
    shop.target.run([f"UPDATE ops.batch_audit SET accepted = 3 WHERE feed = '{shop.name}'"])
    [(where, text, _)] = shop.hours()[1]
    assert where == "staging audit"
    assert text.endswith("has 3 events, its objects have 2")


class Stream:
    """What the stream's metric says, and what of it is lost."""

    def __init__(self, shop, cloud):
        self.shop, self.cloudwatch = shop, cloud.client("cloudwatch")

    def put(self, records):
        dimensions = [{"Name": "StreamName", "Value": f"{self.shop.config.stack_prefix}-events"}]
        at = self.shop.hour + timedelta(minutes=5)
        metric = {
            "MetricName": "IncomingRecords",
            "Dimensions": dimensions,
            "Timestamp": at,
            "Value": records,
            "Unit": "Count",
        }
        self.cloudwatch.put_metric_data(Namespace="AWS/Kinesis", MetricData=[metric])

    def lost(self, *feeds):
        shop, now = self.shop, datetime.now(UTC)
        found = reconcile_compare.reconcile_stream(
            self.cloudwatch, shop.s3, shop.target, [shop.name, *feeds], shop.config, now
        )
        return [d.text for d in found]


def test_records_that_the_stream_has_and_raw_has_not(shop, cloud):
    stream = Stream(shop, cloud)
    stream.put(3)
    assert stream.lost() == ["3 records that the stream has are in no object of raw/; the most of that hour"]
    shop.load([MOVE] * 2, "a")
    assert stream.lost() == ["1 records that the stream has are in no object of raw/; the most of that hour"]
    shop.load([MOVE] * 2, "b")  # one of them again, by a Lambda that was tried twice
    assert stream.lost() == []


def test_records_of_several_events_are_counted_once_and_their_events_each(shop, cloud, logic_of):  # noqa: F811
    events = [line(shop.name, MOVE, f"e{number}") for number in range(7)]
    payloads = [
        aggregated(b"[" + b",".join(events[:2]) + b"]", events[2], b"[]"),
        events[3] + b"\n{broken\n" + events[4],
        gzip.compress(events[5]),
        events[6],
        b"",
        aggregated(b"", b"garbage"),
    ]
    arrived = (shop.hour + timedelta(minutes=5)).timestamp()
    records = [kinesis_record(payload, number, arrived=arrived) for number, payload in enumerate(payloads)]
    stream = Stream(shop, cloud)
    stream.put(len(payloads))
    for _ in range(2):  # a Lambda that runs again writes its own objects again
        for file in logic_of("raw_writer").files_of(records):
            raw = RawObject(file.key, shop.put(file.key, file.body), len(file.body), shop.config.bucket)
            if "feed=" in file.key:
                loaded = raw
            for text in gzip.decompress(file.body).splitlines():  # erase_customer writes a line anew by orjson
                again = orjson.dumps(json.loads(text))
                assert again.startswith(reconcile_compare.NOT_FIRST) == text.startswith(reconcile_compare.NOT_FIRST)
        assert stream.lost(UNREADABLE) == []
    shop.load_object(loaded)
    assert shop.hours()[1] == []
    assert shop.kept()[0][:3] == (7, 7, 7)
    stream.put(1)
    assert stream.lost(UNREADABLE) == ["1 records that the stream has are in no object of raw/; the most of that hour"]


def test_a_feed_that_is_silent_too_long(shop):
    shop.load([MOVE], "a")
    contract = shop.config.include_dir / f"feeds/{shop.name}.yaml"
    contract.write_text(contract.read_text() + "max_silence_minutes: 30\n")
    assert shop.hours()[1] == []
    later = datetime.now(UTC) + timedelta(minutes=45)
    [difference] = reconcile_compare.reconcile_hours(shop.s3, shop.target, shop.name, shop.config, later)[1]
    assert difference.text == "nothing arrived for 45 minutes; the contract expects something every 30"


def test_a_consumer_that_is_late(shop, cloud):
    cloudwatch, now = cloud.client("cloudwatch"), datetime.now(UTC)
    name = f"{shop.config.stack_prefix}-raw-writer"
    cloudwatch.put_metric_data(
        Namespace="AWS/Lambda",
        MetricData=[
            {
                "MetricName": "IteratorAge",
                "Dimensions": [{"Name": "FunctionName", "Value": name}],
                "Timestamp": now,
                "Value": 1_000_000,
                "Unit": "Milliseconds",
            }
        ],
    )
    [late] = reconcile_compare.watch(cloudwatch, shop.s3, shop.config, now + timedelta(seconds=30))
    assert (late.layer, late.text) == ("raw-writer", "reads the stream 1000 seconds late")


def test_the_local_cloud_has_the_metrics_of_its_stream(cloud):
    kinesis, cloudwatch = cloud.client("kinesis"), cloud.client("cloudwatch")
    begin = datetime.now(UTC) - timedelta(minutes=5)

    def total():
        points = cloudwatch.get_metric_statistics(
            Namespace="AWS/Kinesis",
            MetricName="IncomingRecords",
            Statistics=["Sum"],
            Period=60,
            Dimensions=[{"Name": "StreamName", "Value": "ecommerce-events"}],
            StartTime=begin,
            EndTime=datetime.now(UTC) + timedelta(minutes=1),
        )["Datapoints"]
        return sum(point["Sum"] for point in points)

    before = total()
    record = {"Data": line("product_events", MOVE, f"metric-{uuid.uuid4()}"), "PartitionKey": "1"}
    kinesis.put_records(StreamName="ecommerce-events", Records=[record] * 3)
    kinesis.put_record(StreamName="ecommerce-events", **record)
    assert total() - before == 4


def test_metrics_by_feed(shop, cloud):
    cloudwatch, now = cloud.client("cloudwatch"), datetime.now(UTC)
    shop.load([MOVE], "a")
    summary, _ = shop.hours()
    found = [reconcile_compare.Difference(shop.name, "core", "", "x")]
    reconcile_compare.put_metrics(cloudwatch, [summary], found, shop.config, now)
    names = {
        (m["MetricName"], len(m["Dimensions"]))
        for m in cloudwatch.list_metrics(Namespace=shop.config.stack_prefix)["Metrics"]
    }
    assert names == {
        ("Differences", 0),
        ("Differences", 1),
        ("WaitingObjects", 1),
        ("OldestWaitingSeconds", 1),
        ("FreshnessSeconds", 1),
    }


def test_what_firehose_and_dynamodb_lack_is_named(retail, monkeypatch):
    monkeypatch.setattr(reconcile_compare, "DELIVERED_FEED", retail.name)
    table = f"{retail.config.stack_prefix}-invoices"
    retail.dynamodb.create_table(
        TableName=table,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[
            {"AttributeName": "InvoiceNo", "KeyType": "HASH"},
            {"AttributeName": "StockCode", "KeyType": "RANGE"},
        ],
        AttributeDefinitions=[{"AttributeName": a, "AttributeType": "S"} for a in ("InvoiceNo", "StockCode")],
    )
    name = retail.name
    retail.load([LINE, LINE | {"StockCode": "22"}], name)
    retail.load([LINE], f"landed-{name}")  # not by the stream: in neither
    days = lambda: [(d.layer, d.text, d.events) for d in retail.days()[1]]  # noqa: E731
    both = [f"{name}-0", f"{name}-1"]
    assert days() == [
        ("firehose", "2 events were not delivered", both),
        ("dynamodb", "2 of 2 events are in no item", both),
    ]
    retail.sql(
        "INSERT INTO core.firehose_transactions (event_id, InvoiceNo, StockCode, Quantity, InvoiceDate, UnitPrice, Country, "
        "arrival_time) SELECT event_id, invoice_no, stock_code, quantity, event_time, unit_price, country, GETDATE() FROM FACT"
    )
    for number, code in ((0, "85123A"), (1, "22")):
        retail.dynamodb.put_item(
            TableName=table,
            Item={
                "InvoiceNo": {"S": "536365"},
                "StockCode": {"S": code},
                "Lines": {"M": {f"{name}-{number}": {"S": "{}"}}},
            },
        )
    assert days() == []
    assert retail.days()[0]["days"] == 0


@pytest.mark.parametrize("feed", ["retail", "shop"])
def test_a_landed_file_whose_run_stopped_is_named_and_not_loaded_by_another_dag(feed, request):
    """load_events would load it without a look for rows that core has under other ids."""
    of = request.getfixturevalue(feed)
    raw = of.raw([LINE if feed == "retail" else MOVE], "landed-stopped")
    key = raw.key.replace(".jsonl.gz", ".ndjson.gz")
    of.put(key, of.s3.get_object(Bucket=raw.bucket, Key=raw.key)["Body"].read())
    of.s3.delete_object(Bucket=raw.bucket, Key=raw.key)
    text = "1 objects of landed files that are not loaded" if feed == "retail" else "1 objects of raw/ in no batch"
    assert of.hours()[1] == [("staging audit", text, [key])]
    # By the line of the file, whoever loads it, its events are the same.
    assert [raw.key for raw in of.unclaimed] == ([] if feed == "retail" else [key])
