"""Records that the stream has and raw/ has not, and consumers that are late."""

import gzip
import json
import uuid
from datetime import UTC, datetime, timedelta

import orjson
from ecommerce_elt.batches.manifests import UNREADABLE, RawObject
from ecommerce_elt.reconcile import arrivals
from ecommerce_elt.reconcile.stream import reconcile_stream, watch

from tests.lambdas.conftest import layer, logic_of  # noqa: F401
from tests.lambdas.event_source import kinesis_record
from tests.lambdas.test_records import aggregated
from tests.plugins.cleaning.test_cleaning import MOVE
from tests.support.cleaning_bench import line


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
        found = reconcile_stream(self.cloudwatch, shop.s3, shop.target, [shop.name, *feeds], shop.config, now)
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
                assert again.startswith(arrivals.NOT_FIRST) == text.startswith(arrivals.NOT_FIRST)
        assert stream.lost(UNREADABLE) == []
    shop.load_object(loaded)
    assert shop.hours()[1] == []
    assert shop.kept()[0][:3] == (7, 7, 7)
    stream.put(1)
    assert stream.lost(UNREADABLE) == ["1 records that the stream has are in no object of raw/; the most of that hour"]


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
    [late] = watch(cloudwatch, shop.s3, shop.config, now + timedelta(seconds=30))
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
