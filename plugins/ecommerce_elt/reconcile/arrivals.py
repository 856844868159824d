"""The raw objects by hour of arrival: lists them, counts their lines, and announces those that S3 did not."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote_plus

from ecommerce_elt import listing
from ecommerce_elt.batches.clean_files import S3_THREADS
from ecommerce_elt.batches.manifests import RawObject, prefix_of
from ecommerce_elt.settings import Settings

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client
    from types_boto3_s3.type_defs import ObjectTypeDef
    from types_boto3_sqs.client import SQSClient
    from types_boto3_sqs.literals import QueueAttributeNameType

STATE = "manifests/reconcile/"
KEPT_DAYS = 8  # Kinesis retains records for seven days, so older hours get no new objects
# The prefix that raw_writer writes for a line that is not the first of its Kinesis record.
NOT_FIRST = b'{"record_index":'
_HOUR = re.compile(r"/dt=(?P<day>\d{4}-\d\d-\d\d)/hour=(?P<hour>\d\d)/")


class Count(NamedTuple):
    """The counts of an object in raw/ or quarantine/unreadable/. `records` counts first lines of Kinesis records."""

    etag: str
    lines: int
    records: int


def hour_of(key: str) -> datetime:
    found = _HOUR.search(key)
    assert found is not None, key
    return datetime.fromisoformat(f"{found['day']}T{found['hour']}:00:00+00:00")


def folder_of(feed: str, hour: datetime) -> str:
    return f"{prefix_of(feed)}dt={hour:%Y-%m-%d}/hour={hour:%H}/"


def objects_by_hour(
    s3: S3Client, bucket: str, feed: str, since: datetime, now: datetime
) -> dict[datetime, list[ObjectTypeDef]]:
    """Returns the listed raw objects by hour of arrival."""
    found: dict[datetime, list[ObjectTypeDef]] = {}
    for days in range((now.date() - since.date()).days + 1):
        day = f"{prefix_of(feed)}dt={since.date() + timedelta(days=days)}/"
        for entry in listing.objects(s3, bucket, day):
            found.setdefault(hour_of(entry["Key"]), []).append(entry)
    return found


def counted(s3: S3Client, bucket: str, feed: str, hour: datetime, objects: list[ObjectTypeDef]) -> dict[str, Count]:
    """Returns the counts by key. Counts are stored for each hour with the ETag, so that no object is read twice."""
    state = f"{STATE}{feed}/{hour:%Y-%m-%dT%H}.json"
    try:
        known = json.loads(s3.get_object(Bucket=bucket, Key=state)["Body"].read())
    except s3.exceptions.NoSuchKey:
        known = {}

    def count(entry: ObjectTypeDef) -> tuple[str, Count]:
        key, etag = entry["Key"], entry["ETag"].strip('"')
        kept = known.get(key, [])
        if len(kept) == len(Count._fields) and kept[0] == etag:  # shorter if an older version of this code counted it
            return key, Count(*kept)
        with gzip.open(s3.get_object(Bucket=bucket, Key=key)["Body"]) as file:
            lines = [line.startswith(NOT_FIRST) for line in file if line.strip()]
        return key, Count(etag, len(lines), lines.count(False))

    with ThreadPoolExecutor(S3_THREADS) as pool:
        found = dict(pool.map(count, objects))
    if {key: list(count) for key, count in found.items()} != known:
        s3.put_object(Bucket=bucket, Key=state, Body=json.dumps(found).encode())
    return found


def announce(sqs: SQSClient, objects: Iterable[RawObject], settings: Settings) -> int:
    """Announces raw objects again whose notification S3 lost, and returns their number.

    Nothing is announced while messages wait in the queue, because they may announce these objects. load_events ignores
    objects that it knows.
    """
    url = sqs.get_queue_url(QueueName=settings.raw_objects_queue)["QueueUrl"]
    names: list[QueueAttributeNameType] = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    if any(int(n) for n in sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"].values()):
        return 0
    announced = 0
    for raw in objects:
        sqs.send_message(QueueUrl=url, MessageBody=notification(raw))
        announced += 1
    return announced


def notification(raw: RawObject) -> str:
    """Returns the part of an S3 event notification for a new object that load_events reads."""
    written = {"key": quote_plus(raw.key, safe="/"), "eTag": raw.etag, "size": raw.size}
    return json.dumps({"Records": [{"s3": {"bucket": {"name": raw.bucket}, "object": written}}]})
