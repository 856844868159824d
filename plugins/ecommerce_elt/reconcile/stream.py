"""Compares the stream's records with those in raw/, and finds consumers and batches that are late. See docs/adr/0022."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from ecommerce_elt import aws_names
from ecommerce_elt.batches.manifests import OPEN, claimed_at, open_batches
from ecommerce_elt.reconcile.arrivals import counted, objects_by_hour
from ecommerce_elt.reconcile.differences import NAMED, Difference, keep_hour
from ecommerce_elt.settings import Settings
from ecommerce_elt.warehouse.redshift import Warehouse

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

ALL = "*"  # the stream as a whole, in place of a feed


def reconcile_stream(
    cloudwatch: Any, s3: S3Client, target: Warehouse, feeds: Iterable[str], settings: Settings, now: datetime
) -> list[Difference]:
    """Compares the stream's count of records with those in raw/ and quarantine/unreadable/, and stores both by hour.

    Returns the differences. A record may contain several events, in objects of several feeds, but exactly one of its
    lines is the first. The comparison covers a whole day that ends some minutes ago, because records near the edge of
    an hour can be in the hour of the first record of their object. A surplus of stored records is not a difference,
    because a Lambda that is retried may write a record twice.
    """
    end = (now - timedelta(minutes=settings.reconcile_settle_minutes)).replace(second=0, microsecond=0)
    start = (end - timedelta(days=1)).replace(minute=0)
    put = _put_by_hour(cloudwatch, settings, start, end)
    stored, edge = _stored_by_hour(s3, feeds, settings, start, now)
    lost = put.total() - stored.total() - edge
    differences = []
    if lost > 0:
        worst = max(put, key=lambda hour: put[hour] - stored[hour])
        text = f"{lost} records that the stream has are in no object of raw/; the most of that hour"
        differences.append(Difference(ALL, "kinesis", f"{worst:%Y-%m-%dT%H:00Z}", text))
    for hour in sorted({*put, *stored}):
        found = [difference for difference in differences if difference.where == f"{hour:%Y-%m-%dT%H:00Z}"]
        keep_hour(target, ALL, hour, {"kinesis": put[hour], "raw": stored[hour]}, found, settings, now)
    return differences


def _put_by_hour(cloudwatch: Any, settings: Settings, start: datetime, end: datetime) -> Counter[datetime]:
    """Returns the number of records that the stream received, by hour."""
    points = cloudwatch.get_metric_statistics(
        Namespace="AWS/Kinesis",
        MetricName="IncomingRecords",
        Statistics=["Sum"],
        Period=60 * 5,
        Dimensions=[{"Name": "StreamName", "Value": aws_names.stream(settings.stack_prefix)}],
        StartTime=start,
        EndTime=end,
    )["Datapoints"]
    put: Counter[datetime] = Counter()
    for point in points:
        put[point["Timestamp"].astimezone(UTC).replace(minute=0, second=0, microsecond=0)] += int(point["Sum"])
    return put


def _stored_by_hour(
    s3: S3Client, feeds: Iterable[str], settings: Settings, start: datetime, now: datetime
) -> tuple[Counter[datetime], int]:
    """Returns the stored records by hour from `start` on, and how many of the hour before were stored from `start` on."""
    stored: Counter[datetime] = Counter()
    edge = 0
    for feed in feeds:
        for hour, objects in objects_by_hour(s3, settings.bucket, feed, start - timedelta(hours=1), now).items():
            streamed = [entry for entry in objects if "/landed-" not in entry["Key"]]
            if not streamed or hour < start - timedelta(hours=1):
                continue
            counts = counted(s3, settings.bucket, feed, hour, objects)
            if hour < start:
                edge += sum(counts[entry["Key"]].records for entry in streamed if entry["LastModified"] >= start)
            else:
                stored[hour] += sum(counts[entry["Key"]].records for entry in streamed)
    return stored, edge


def watch(cloudwatch: Any, s3: S3Client, settings: Settings, now: datetime) -> list[Difference]:
    """Returns differences for batches that stay uncommitted, and for consumers that lag behind the stream."""
    limit = now - timedelta(minutes=settings.stuck_batch_minutes)
    stuck = [batch_id for batch_id in open_batches(s3, settings.bucket) if claimed_at(batch_id) < limit]
    found = []
    if stuck:
        text = f"{len(stuck)} batches were claimed more than {settings.stuck_batch_minutes} minutes ago"
        found.append(Difference(ALL, "staging audit", "", text, [OPEN + batch_id for batch_id in stuck[:NAMED]]))
    for consumer in (aws_names.RAW_WRITER, aws_names.DYNAMODB_WRITER):
        points = cloudwatch.get_metric_statistics(
            Namespace="AWS/Lambda",
            MetricName="IteratorAge",
            Statistics=["Maximum"],
            Period=60,
            Dimensions=[{"Name": "FunctionName", "Value": aws_names.function(settings.stack_prefix, consumer)}],
            StartTime=now - timedelta(minutes=5),
            EndTime=now,
        )["Datapoints"]
        age = max((point["Maximum"] for point in points), default=0) / 1000
        if age > settings.consumer_lag_seconds:
            found.append(Difference(ALL, consumer, "", f"reads the stream {age:.0f} seconds late"))
    return found
