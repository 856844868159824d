"""Batches: which raw objects belong together, written down before anything is done with them.

A batch is the new raw objects of one feed. Its manifest is the only thing that later steps read, so a retry works on the
same input. The marker under `manifests/open/` says that the batch is not known to be committed: a run that dies leaves
it, and the next run takes the batch up.

    manifests/<batch id>.json            the manifest: bucket, key, etag and size of every object
    manifests/<batch id>/objects.jsonl   what the cleaning counted, by object
    manifests/<batch id>/copy.json       the COPY manifest of the batch's clean Parquet files
    manifests/open/<batch id>            marker of a batch that is not committed
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any
from urllib.parse import unquote_plus

from ecommerce_elt import listing
from ecommerce_elt.errors import PermanentError, without_values

log = logging.getLogger(__name__)

RAW_KEY = re.compile(
    r"^(raw/feed=(?P<feed>[a-z][a-z0-9_]{0,62})|quarantine/unreadable)/dt=\d{4}-\d\d-\d\d/hour=\d\d/[^/]+\.(jsonl|ndjson)\.gz$"
)
# Of raw objects whose events are taken out again, each in this version: docs/adr/0041. As LIKE has it.
WITHDRAWN = "%/landed-%-withdrawn-%"
_WITHDRAWN_KEY = re.compile(r"/landed-[^/]*-withdrawn-")
UNREADABLE = "_unreadable"  # the feed of what is no envelope: no feed of ours begins so
BATCH_ID = re.compile(r"^(?P<feed>_unreadable|[a-z][a-z0-9_]{0,62})-\d{8}T\d{6}Z-[0-9a-f]{16}(?P<replay>-replay)?$")
OPEN = "manifests/open/"
LONG_POLL_SECONDS = 1
CLAIM_THREADS = 4  # feeds at a time; a claim waits for S3 and Redshift, not for the processor
RECEIVE_MAX = 10  # ReceiveMessage and DeleteMessageBatch take ten: SQS API reference


class Engine(StrEnum):
    """What cleans a batch; AUTO decides by its size."""

    AUTO = "auto"
    DUCKDB = "duckdb"
    GLUE = "glue"


@dataclass(frozen=True, order=True)
class RawObject:
    key: str
    etag: str
    size: int
    bucket: str


@dataclass(frozen=True)
class Manifest:
    """The input of a batch; `lines` has key to lines, from 1, where the batch is a replay of some events of its objects."""

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
    """Returns the feed of a batch id: `<feed>-<UTC time of the claim>-<hash of the objects>`, and `-replay` at the end of a replay.

    Raises:
        PermanentError: the text is no batch id.
    """
    found = BATCH_ID.match(batch_id)
    if not found:
        raise PermanentError(f"batch id {batch_id!r}: expected <feed>-<YYYYMMDD>T<HHMMSS>Z-<16 hex digits>")
    return found["feed"]


def prefix_of(feed: str) -> str:
    """Returns where the feed's raw objects are."""
    return "quarantine/unreadable/" if feed == UNREADABLE else f"raw/feed={feed}/"


def claimed_at(batch_id: str) -> datetime:
    """Returns the time in a batch id: of its claim, or when its file landed. Nothing was made of the batch before."""
    feed_of(batch_id)
    return datetime.strptime(batch_id.removesuffix("-replay").split("-")[-2], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)


def new_manifest(
    feed: str, objects: Iterable[RawObject], now: datetime, lines: dict[str, list[int]] | None = None
) -> Manifest:
    """Returns the manifest of a batch; of the same objects and lines at the same time it is the same.

    Args:
        lines: of each object, where not all of its events are meant.
    """
    ordered = tuple(sorted(objects))
    content = "\n".join(f"{o.key} {o.etag} {lines[o.key] if lines else ''}".rstrip() for o in ordered)
    digest = hashlib.sha256(content.encode()).hexdigest()[:16]
    name = f"{feed}-{now.astimezone(UTC):%Y%m%dT%H%M%SZ}-{digest}"
    return Manifest(f"{name}-replay" if lines else name, feed, ordered, lines)


def is_withdrawal(key: str) -> bool:
    """Returns whether the events of a raw object are withdrawals: core loses what it has of them in a lower version."""
    return _WITHDRAWN_KEY.search(key) is not None


def feed_of_key(key: str) -> str:
    """Returns the feed of a raw object's key; UNREADABLE of what is no envelope.

    Raises:
        PermanentError: the key is none of a raw object.
    """
    found = RAW_KEY.match(key)
    if not found:
        raise PermanentError(f"key {key!r}: expected raw/feed=F/dt=YYYY-MM-DD/hour=HH/NAME.jsonl.gz")
    return found["feed"] or UNREADABLE


def objects_in_notification(body: str) -> list[RawObject]:
    """Returns the raw objects that an S3 event notification names; none for S3's test event.

    Raises:
        PermanentError: the message is no S3 notification, or names a key that is not one of raw/.
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


def open_batches(s3: Any, bucket: str) -> dict[str, datetime]:
    """Returns id to time of the last claim, of the batches that are not known to be committed, the oldest first."""
    found = {e["Key"].removeprefix(OPEN): e["LastModified"] for e in listing.objects(s3, bucket, OPEN)}
    return dict(sorted(found.items(), key=lambda entry: entry[0].split("-", 1)[1]))


def read_manifest(s3: Any, bucket: str, batch_id: str) -> Manifest:
    feed_of(batch_id)
    return Manifest.from_json(s3.get_object(Bucket=bucket, Key=f"manifests/{batch_id}.json")["Body"].read())


def close_batch(s3: Any, bucket: str, batch_id: str) -> None:
    """Takes the marker away, once the batch is committed. Idempotent."""
    s3.delete_object(Bucket=bucket, Key=OPEN + batch_id)


@dataclass(frozen=True)
class Claim:
    """What one claim did: ids of the batches to load now, and counts of objects and messages."""

    batches: tuple[str, ...]
    new_objects: int
    known_objects: int
    unreadable_messages: int


def claim(
    s3: Any,
    sqs: Any,
    *,
    bucket: str,
    queue_url: str,
    max_objects: int,
    max_bytes: int,
    retry_after: timedelta,
    loaded_keys: Callable[[str, str, str], set[str]],
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Claim:
    """Takes up open batches of dead runs, and makes new batches of the objects that the queue announces.

    The messages are deleted after the manifests are written: a claim that dies in between leaves the messages, which
    come back. An object that an open or committed batch already has is not claimed again, because S3 announces an object
    more than once now and then, and a Lambda that is retried writes its object again.

    Args:
        s3, sqs: boto3 clients.
        bucket: the lake.
        queue_url: of the queue of S3 notifications.
        max_objects, max_bytes: where to stop receiving; a message is never split, so the last one may pass them.
        retry_after: an open batch is taken up again when it was claimed so long ago, so that one that keeps failing
            neither is forgotten nor holds the others up.
        loaded_keys: (feed, first key, last key) to the keys in that range that committed batches have.
        now: the time that goes into the batch ids.
    """
    still_open = open_batches(s3, bucket)
    in_open_batches = {o.key for batch_id in still_open for o in read_manifest(s3, bucket, batch_id).objects}
    resumed = [batch_id for batch_id, claimed_at in still_open.items() if now() - claimed_at >= retry_after]
    for batch_id in resumed:
        s3.put_object(Bucket=bucket, Key=OPEN + batch_id, Body=b"")  # claimed now

    found: dict[str, RawObject] = {}
    receipts: dict[str, str] = {}  # message id to receipt handle
    seen: set[str] = set()
    unreadable = 0
    while len(found) < max_objects and sum(o.size for o in found.values()) < max_bytes:
        # SQS asks only some of its servers unless it may wait, and so answers "none" while there are some.
        wait_seconds = 0 if found else LONG_POLL_SECONDS
        messages = sqs.receive_message(
            QueueUrl=queue_url, MaxNumberOfMessages=RECEIVE_MAX, WaitTimeSeconds=wait_seconds
        ).get("Messages", [])
        # Those that came back while this claim was at work are known, but only their latest receipt deletes them.
        receipts |= {m["MessageId"]: m["ReceiptHandle"] for m in messages if m["MessageId"] in receipts}
        messages = [m for m in messages if m["MessageId"] not in seen]
        if not messages:
            break
        seen |= {m["MessageId"] for m in messages}
        for message in messages:
            try:
                found |= {o.key: o for o in objects_in_notification(message["Body"])}
            except PermanentError as error:
                # Not deleted: after its receive limit the queue moves it to the dead-letter queue, which has an alarm.
                log.error("unreadable message id=%s: %s", message["MessageId"], error)
                unreadable += 1
            else:
                receipts[message["MessageId"]] = message["ReceiptHandle"]

    by_feed: dict[str, list[RawObject]] = defaultdict(list)
    for raw in found.values():
        by_feed[feed_of_key(raw.key)].append(raw)

    def create(feed: str) -> tuple[str | None, int]:
        """Returns (batch id, objects) of a new batch of the feed's objects that no batch has; (None, 0) where each is known."""
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

    handles = list(receipts.values())
    for start in range(0, len(handles), RECEIVE_MAX):
        entries = [{"Id": str(i), "ReceiptHandle": r} for i, r in enumerate(handles[start : start + RECEIVE_MAX])]
        failed = sqs.delete_message_batch(QueueUrl=queue_url, Entries=entries).get("Failed", [])
        if failed:
            # They come back after the visibility timeout, and are then known objects.
            log.warning("%s messages could not be deleted: %s", len(failed), failed[0].get("Message"))

    return Claim((*resumed, *created), new_objects, len(found) - new_objects, unreadable)
