"""Lambda ingest_api: puts the events of POST /events on Kinesis. It returns 202 only if all are durably stored."""

from __future__ import annotations

import json
import logging
import os
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from ecommerce_events.callers import caller_of
from ecommerce_events.contracts import contracts
from ecommerce_events.failures import values_withheld
from ecommerce_events.retry import attempts, deadline_of

from lambdas.ingest_api.logic import Event, taken
from lambdas.ingest_api.request import Refused

if TYPE_CHECKING:
    from types_boto3_kinesis.type_defs import PutRecordsRequestEntryTypeDef

log = logging.getLogger()
log.setLevel(logging.INFO)

STREAM = os.environ["STREAM"]
BODY_MAX_BYTES = int(os.environ["BODY_MAX_BYTES"])
CORRECTORS = frozenset(filter(None, os.environ["CORRECTORS"].split(",")))
PUT_MAX_BYTES = 5 * 1024**2  # PutRecords, API reference
ATTEMPTS = 8
ANSWER_SECONDS = 2.0  # reserved for the response before the function times out
THROTTLED = {"ProvisionedThroughputExceededException", "KMSThrottlingException", "LimitExceededException"}
kinesis = boto3.client("kinesis", config=Config(retries={"mode": "standard", "max_attempts": 2}))


def _requests(waiting: dict[int, Event]) -> Iterator[dict[int, Event]]:
    """Yields the events in parts that fit into one PutRecords call."""
    part: dict[int, Event] = {}
    size = 0
    for index, event in waiting.items():
        more = len(event.data) + len(event.partition_key)
        if part and size + more > PUT_MAX_BYTES:
            yield part
            part, size = {}, 0
        part[index] = event
        size += more
    yield part


def _put(events: dict[int, Event]) -> dict[int, str]:
    """Returns the index and error code of each event that is not on the stream."""
    entries: list[PutRecordsRequestEntryTypeDef] = [
        {"Data": e.data, "PartitionKey": e.partition_key} for e in events.values()
    ]
    try:
        answer = kinesis.put_records(StreamName=STREAM, Records=entries)
    except ClientError as error:
        return dict.fromkeys(events, error.response["Error"]["Code"])
    except BotoCoreError as error:
        return dict.fromkeys(events, type(error).__name__)
    pairs = zip(events, answer["Records"], strict=True)
    return {index: result["ErrorCode"] for index, result in pairs if "ErrorCode" in result}


def _put_all(events: list[Event], deadline: float) -> dict[int, str]:
    """Puts the events, retries those that failed, and returns the error code of each remaining one by its index."""
    waiting = dict(enumerate(events))
    failed: dict[int, str] = {}
    for _ in attempts(ATTEMPTS, deadline=deadline):
        failed = {index: code for part in _requests(waiting) for index, code in _put(part).items()}
        if not failed:
            break
        waiting = {index: waiting[index] for index in sorted(failed)}
    return failed


def _answer(status: int, body: dict[str, Any], **headers: str) -> dict[str, Any]:
    return {"statusCode": status, "headers": {"Content-Type": "application/json", **headers}, "body": json.dumps(body)}


@values_withheld
def handler(request: dict[str, Any], context: Any) -> dict[str, Any]:
    """Returns the response in payload format 2.0: 202, 207 if some events failed, 400, 403, 413, 415, 429 or 503."""
    caller = caller_of(request, CORRECTORS)
    try:
        found = taken(request, caller, contracts(), datetime.now(UTC), BODY_MAX_BYTES)
    except Refused as refused:
        log.info("key=%s refused status=%s reason=%s", caller.name, refused.status, refused)
        return _answer(refused.status, refused.body)
    events, ids = found.events, [event.event_id for event in found.events]
    failed = _put_all(events, deadline_of(context, ANSWER_SECONDS))
    counts = f"events={len(events)} warnings={len(found.warnings)} failed={len(failed)}"
    level = logging.ERROR if failed else logging.INFO
    log.log(level, "key=%s %s codes=%s", caller.name, counts, dict(Counter(failed.values())))
    more = {
        name: found_items
        for name, found_items in (("warnings", found.warnings), ("left_out", found.left_out))
        if found_items
    }
    if not failed:
        return _answer(202, {"accepted": len(events), "event_ids": ids, **more})
    throttled = any(code in THROTTLED for code in failed.values())
    if len(failed) == len(events):
        message = "the stream is throttled" if throttled else "the stream does not answer"
        return _answer(
            429 if throttled else 503,
            {"message": f"{message}; nothing was accepted. Send the same again", "event_ids": ids},
            **{"Retry-After": "1"},
        )
    results = [
        {"index": i, "event_id": ids[i], "status": 202 if i not in failed else 429 if failed[i] in THROTTLED else 503}
        for i in range(len(events))
    ]
    again = "send those again whose status is not 202, as envelopes with their event_id"
    if found.is_idempotent:
        again = "send the whole request again, with the same Idempotency-Key"
    body = {"message": again, "results": results, "accepted": len(events) - len(failed), **more}
    return _answer(207, body, **{"Retry-After": "1"})
