"""Batches and their manifests, which are written before the objects of a batch are processed.

A batch consists of the new raw objects of one feed. Later steps read only its manifest, so a retry works on the same
input. The marker under `manifests/open/` means that the batch is not known to be committed. A run that fails leaves the
marker, and a later run resumes the batch.

    manifests/<batch id>.json            the manifest: bucket, key, etag and size of every object
    manifests/<batch id>/objects.jsonl   the counts of the cleaning step, by object
    manifests/<batch id>/copy.json       the COPY manifest of the batch's clean Parquet files
    manifests/open/<batch id>            marker of a batch that is not committed
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

from ecommerce_elt import listing
from ecommerce_elt.errors import PermanentError, without_values

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client
    from types_boto3_sqs.client import SQSClient
    from types_boto3_sqs.type_defs import DeleteMessageBatchRequestEntryTypeDef

log = logging.getLogger(__name__)

RAW_KEY = re.compile(
    r"^(raw/feed=(?P<feed>[a-z][a-z0-9_]{0,62})|quarantine/unreadable)/dt=\d{4}-\d\d-\d\d/hour=\d\d/[^/]+\.(jsonl|ndjson)\.gz$"
)
# LIKE pattern of raw objects whose lines withdraw events, each with the version of the withdrawal: docs/adr/0041.
WITHDRAWN = "%/landed-%-withdrawn-%"
_WITHDRAWN_KEY = re.compile(r"/landed-[^/]*-withdrawn-")
UNREADABLE = "_unreadable"  # feed of records that are not envelopes; the names of other feeds start with a letter
BATCH_ID = re.compile(r"^(?P<feed>_unreadable|[a-z][a-z0-9_]{0,62})-\d{8}T\d{6}Z-[0-9a-f]{16}(?P<replay>-replay)?$")
OPEN = "manifests/open/"
LONG_POLL_SECONDS = 1
CLAIM_THREADS = 4  # feeds at a time; a claim waits for S3 and Redshift, not for the processor
RECEIVE_MAX = 10  # limit of ReceiveMessage and DeleteMessageBatch: SQS API reference


class Engine(StrEnum):
    """The engine that cleans a batch. AUTO chooses it by the size of the batch."""

    AUTO = "auto"
    DUCKDB = "duckdb"
    GLUE = "glue"


@dataclass(frozen=True, order=True)
class RawObject:
    key: str
    etag: str
    size: int
    bucket: str

    @classmethod
    def listed(cls, entry: Mapping[str, Any], bucket: str) -> RawObject:
        """Returns the object of an entry in a listing of S3."""
        return cls(entry["Key"], entry["ETag"].strip('"'), entry["Size"], bucket)


@dataclass(frozen=True)
class Manifest:
    """The input of a batch.

    Attributes:
        lines: line numbers by object key, from 1, if the batch replays only some events of its objects.
    """

    batch_id: str
    feed: str
    objects: tuple[RawObject, ...]
    lines: dict[str, list[int]] | None = None

    def to_json(self) -> bytes:
        return json.dumps({k: v for k, v in asdict(self).items() if v is not None}, indent=1).encode()

    @classmethod
    def from_json(cls, text: bytes) -> Manifest:
        found = json.loads(text)
        objects = tuple(RawObject(**o) for o in found["objects"])
        return cls(found["batch_id"], found["feed"], objects, found.get("lines"))


def feed_of(batch_id: str) -> str:
    """Returns the feed of a batch id.

    A batch id is `<feed>-<UTC time of the claim>-<hash of the objects>`, with `-replay` at the end for a replay.

    Raises:
        PermanentError: the text is not a batch id.
    """
    found = BATCH_ID.match(batch_id)
    if not found:
        raise PermanentError(f"batch id {batch_id!r}: expected <feed>-<YYYYMMDD>T<HHMMSS>Z-<16 hex digits>")
    return found["feed"]


def prefix_of(feed: str) -> str:
    """Returns the prefix of the feed's raw objects."""
    return "quarantine/unreadable/" if feed == UNREADABLE else f"raw/feed={feed}/"


def claimed_at(batch_id: str) -> datetime:
    """Returns the time in a batch id, at which it was claimed or its file landed. No output of the batch is older."""
    feed_of(batch_id)
    return datetime.strptime(batch_id.removesuffix("-replay").split("-")[-2], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)


def new_manifest(
    feed: str, objects: Iterable[RawObject], now: datetime, lines: dict[str, list[int]] | None = None
) -> Manifest:
    """Returns the manifest of a batch. The same objects and lines at the same time give the same manifest.

    Args:
        feed: the feed.
        objects: the raw objects.
        now: the time for the batch id.
        lines: line numbers by object key, if the batch does not have all events of its objects.
    """
    ordered = tuple(sorted(objects))
    content = "\n".join(f"{o.key} {o.etag} {lines[o.key] if lines else ''}".rstrip() for o in ordered)
    digest = hashlib.sha256(content.encode()).hexdigest()[:16]
    name = f"{feed}-{now.astimezone(UTC):%Y%m%dT%H%M%SZ}-{digest}"
    return Manifest(f"{name}-replay" if lines else name, feed, ordered, lines)


def is_withdrawal(key: str) -> bool:
    """Returns whether the events of a raw object are withdrawals, which remove lower versions of them from core."""
    return _WITHDRAWN_KEY.search(key) is not None


def feed_of_key(key: str) -> str:
    """Returns the feed of a raw object's key, or UNREADABLE for an object of unreadable records.

    Raises:
        PermanentError: the key is not that of a raw object.
    """
    found = RAW_KEY.match(key)
    if not found:
        raise PermanentError(f"key {key!r}: expected raw/feed=F/dt=YYYY-MM-DD/hour=HH/NAME.jsonl.gz")
    return found["feed"] or UNREADABLE


def objects_in_notification(body: str) -> list[RawObject]:
    """Returns the raw objects in an S3 event notification, which are none for S3's test event.

    Raises:
        PermanentError: the message is not an S3 notification, or a key in it is not that of a raw object.
    """
    try:
        message = json.loads(body)
        if message.get("Event") == "s3:TestEvent":
            return []
        found = [
            RawObject(
                key=unquote_plus(record["s3"]["object"]["key"]),
                etag=record["s3"]["object"]["eTag"].strip('"'),
                size=int(record["s3"]["object"]["size"]),
                bucket=record["s3"]["bucket"]["name"],
            )
            for record in message["Records"]
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise PermanentError(f"message is no S3 notification: {without_values(error)}") from None
    for raw in found:
        feed_of_key(raw.key)
    return found


def objects_under(s3: S3Client, bucket: str, prefix: str) -> Iterator[RawObject]:
    """Yields the objects under the prefix, ordered by key."""
    return (RawObject.listed(entry, bucket) for entry in listing.objects(s3, bucket, prefix))


def open_batches(s3: S3Client, bucket: str) -> dict[str, datetime]:
    """Returns the time of the last claim by batch id, for batches not known to be committed, the oldest first."""
    found = {e["Key"].removeprefix(OPEN): e["LastModified"] for e in listing.objects(s3, bucket, OPEN)}
    return dict(sorted(found.items(), key=lambda entry: entry[0].split("-", 1)[1]))


def read_manifest(s3: S3Client, bucket: str, batch_id: str) -> Manifest:
    feed_of(batch_id)
    return Manifest.from_json(s3.get_object(Bucket=bucket, Key=f"manifests/{batch_id}.json")["Body"].read())


def close_batch(s3: S3Client, bucket: str, batch_id: str) -> None:
    """Removes the marker of a batch that is committed. Idempotent."""
    s3.delete_object(Bucket=bucket, Key=OPEN + batch_id)


@dataclass(frozen=True)
class Claim:
    """The result of a claim: ids of the batches to load now, and counts of objects and messages."""

    batches: tuple[str, ...]
    new_objects: int
    known_objects: int
    unreadable_messages: int


def _receive(
    sqs: SQSClient, queue_url: str, max_objects: int, max_bytes: int
) -> tuple[dict[str, RawObject], dict[str, str], int]:
    """Receives messages up to the limits of `claim`.

    Returns the objects by key, the receipt handles of readable messages by message id, and the number of unreadable
    messages.
    """
    found: dict[str, RawObject] = {}
    receipts: dict[str, str] = {}  # message id to receipt handle
    seen: set[str] = set()
    unreadable = 0
    while len(found) < max_objects and sum(o.size for o in found.values()) < max_bytes:
        # Without long polling, SQS queries only some of its servers and may return no message although there are some.
        wait_seconds = 0 if found else LONG_POLL_SECONDS
        messages = sqs.receive_message(
            QueueUrl=queue_url, MaxNumberOfMessages=RECEIVE_MAX, WaitTimeSeconds=wait_seconds
        ).get("Messages", [])
        # A message that was received again during this claim is known, but only its latest receipt handle deletes it.
        receipts |= {m["MessageId"]: m["ReceiptHandle"] for m in messages if m["MessageId"] in receipts}
        messages = [m for m in messages if m["MessageId"] not in seen]
        if not messages:
            break
        seen |= {m["MessageId"] for m in messages}
        for message in messages:
            try:
                found |= {o.key: o for o in objects_in_notification(message["Body"])}
            except PermanentError as error:
                # It is not deleted. After its receive limit, the queue moves it to the dead-letter queue, which has an
                # alarm.
                log.error("unreadable message id=%s: %s", message["MessageId"], error)
                unreadable += 1
            else:
                receipts[message["MessageId"]] = message["ReceiptHandle"]
    return found, receipts, unreadable


def _delete(sqs: SQSClient, queue_url: str, handles: list[str]) -> None:
    """Deletes the messages with these receipt handles."""
    for start in range(0, len(handles), RECEIVE_MAX):
        entries: list[DeleteMessageBatchRequestEntryTypeDef] = [
            {"Id": str(i), "ReceiptHandle": r} for i, r in enumerate(handles[start : start + RECEIVE_MAX])
        ]
        failed = sqs.delete_message_batch(QueueUrl=queue_url, Entries=entries).get("Failed", [])
        if failed:
            # They are received again after the visibility timeout, and their objects are known then.
            log.warning("%s messages could not be deleted: %s", len(failed), failed[0].get("Message"))


def claim(
    s3: S3Client,
    sqs: SQSClient,
    *,
    bucket: str,
    queue_url: str,
    max_objects: int,
    max_bytes: int,
    retry_after: timedelta,
    loaded_keys: Callable[[str, str, str], set[str]],
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Claim:
    """Resumes open batches of failed runs, and creates new batches of the objects in the queue's notifications.

    The messages are deleted after the manifests are written. If a claim fails in between, the messages stay and are
    received again. An object of an open or committed batch is not claimed again, because S3 may send several
    notifications for an object, and a retried Lambda writes its object again.

    Args:
        s3: boto3 client for S3.
        sqs: boto3 client for SQS.
        bucket: the bucket of the lake.
        queue_url: URL of the queue of S3 notifications.
        max_objects: number of objects at which to stop receiving. A message is never split, so the last one may exceed
            it.
        max_bytes: number of bytes at which to stop receiving, with the same exception.
        retry_after: time after its last claim at which an open batch is resumed. This way, a batch that keeps failing
            is neither forgotten nor blocks the others.
        loaded_keys: returns the keys of committed batches for (feed, first key, last key), within that range.
        now: returns the current time, which is also used for the batch ids.
    """
    still_open = open_batches(s3, bucket)
    in_open_batches = {o.key for batch_id in still_open for o in read_manifest(s3, bucket, batch_id).objects}
    resumed = [batch_id for batch_id, claimed_at in still_open.items() if now() - claimed_at >= retry_after]
    for batch_id in resumed:
        s3.put_object(Bucket=bucket, Key=OPEN + batch_id, Body=b"")  # renews the time of the claim

    found, receipts, unreadable = _receive(sqs, queue_url, max_objects, max_bytes)
    by_feed: dict[str, list[RawObject]] = defaultdict(list)
    for raw in found.values():
        by_feed[feed_of_key(raw.key)].append(raw)

    def create(feed: str) -> tuple[str | None, int]:
        """Creates a batch of the feed's objects that are in no batch, and returns its id and number of objects.

        It returns (None, 0) if all objects are known.
        """
        objects = by_feed[feed]
        keys = sorted(o.key for o in objects)
        known = in_open_batches | loaded_keys(feed, keys[0], keys[-1])
        fresh = [o for o in objects if o.key not in known]
        if not fresh:
            return None, 0
        manifest = new_manifest(feed, fresh, now())
        s3.put_object(Bucket=bucket, Key=f"manifests/{manifest.batch_id}.json", Body=manifest.to_json())
        s3.put_object(Bucket=bucket, Key=OPEN + manifest.batch_id, Body=b"")
        return manifest.batch_id, len(fresh)

    with ThreadPoolExecutor(CLAIM_THREADS) as pool:
        made = list(pool.map(create, sorted(by_feed)))
    created = [batch_id for batch_id, _ in made if batch_id]
    new_objects = sum(objects for _, objects in made)

    _delete(sqs, queue_url, list(receipts.values()))
    return Claim((*resumed, *created), new_objects, len(found) - new_objects, unreadable)
