"""Lambda dynamodb_writer: writes invoice lines from Kinesis to the tables `invoices` and `customers`.

The items of an invoice and the summary of its customer are put in one transaction. Each put has the condition that the
item has not changed since it was read. If an item has changed, the items are read and the writes computed again.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from ecommerce_events.failures import values_withheld, without_values
from ecommerce_events.memory import collect_seldom
from ecommerce_events.retry import attempts, deadline_of

from lambdas.dynamodb_writer.logic import (
    CUSTOMERS,
    INVOICES,
    KEYS,
    Item,
    Key,
    Line,
    Write,
    lines_of,
    summaries_left,
    writes_of,
)

log = logging.getLogger()
log.setLevel(logging.INFO)

TABLES = {INVOICES: os.environ["INVOICES_TABLE"], CUSTOMERS: os.environ["CUSTOMERS_TABLE"]}
RETENTION_DAYS = int(os.environ["RETENTION_DAYS"])
THREADS = int(os.environ["THREADS"])
TRANSACTION_MAX_ACTIONS = 100  # TransactWriteItems, API reference
READ_MAX_KEYS = 100  # BatchGetItem, API reference
LINES_A_TRANSACTION = 85  # a line needs an item, and an invoice needs a summary for each of its customers
ATTEMPTS = 10
ANSWER_SECONDS = 5.0
# Reasons that another attempt with items read again can resolve. It cannot resolve others, such as an item over 400 KB.
CURABLE = {
    "ConditionalCheckFailed",
    "TransactionConflict",
    "ThrottlingError",
    "ProvisionedThroughputExceeded",
    "RequestLimitExceeded",
    "None",
}
# Without parameter validation: the requests are built from typed values, and it takes a third of the time.
dynamodb = boto3.client(
    "dynamodb",
    config=Config(
        retries={"mode": "standard", "max_attempts": 3},
        max_pool_connections=THREADS,
        parameter_validation=False,
    ),
)
collect_seldom()


class PoisonRecord(Exception):  # noqa: N818
    """A line can never be written.

    It is raised so that the event source mapping halves the batch until the record of the line is alone.
    """


class _Failed(Exception):  # noqa: N818
    """The lines cannot be written now, or never (`for_good`)."""

    def __init__(self, message: str, *, for_good: bool) -> None:
        super().__init__(message)
        self.for_good = for_good


def _read(keys: Iterable[Key], deadline: float) -> dict[Key, Item]:
    """Returns the existing items from a consistent read. Keys that DynamoDB leaves unprocessed are requested again."""
    found: dict[Key, Item] = {}
    ordered = sorted(set(keys))
    for start in range(0, len(ordered), READ_MAX_KEYS):
        waiting: dict[str, Any] = {}
        for table, partition, sort in ordered[start : start + READ_MAX_KEYS]:
            request = waiting.setdefault(TABLES[table], {"Keys": [], "ConsistentRead": True})
            request["Keys"].append({KEYS[table][0]: {"S": partition}, KEYS[table][1]: {"S": sort}})
        for _ in attempts(ATTEMPTS, deadline=deadline):
            answer = dynamodb.batch_get_item(RequestItems=waiting)
            for table, (partition, sort) in KEYS.items():
                for item in answer["Responses"].get(TABLES[table], []):
                    found[table, item[partition]["S"], item[sort]["S"]] = item
            waiting = answer.get("UnprocessedKeys") or {}
            if not waiting:
                break
        if waiting:
            raise _Failed("keys stay unprocessed", for_good=False)
    return found


def _action(write: Write) -> dict[str, Any]:
    table = write.key[0]
    condition: dict[str, Any] = {"ConditionExpression": f"attribute_not_exists({KEYS[table][0]})"}
    if write.lines_before or write.corrections_before:
        corrections = "Corrections = :corrections" if write.corrections_before else "attribute_not_exists(Corrections)"
        values = {":before": {"N": str(write.lines_before)}}
        if write.corrections_before:
            values[":corrections"] = {"N": str(write.corrections_before)}
        condition = {
            "ConditionExpression": f"LineCount = :before AND {corrections}",
            "ExpressionAttributeValues": values,
        }
    return {"Put": {"TableName": TABLES[table], "Item": write.item, **condition}}


def _as_written(params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
    """Inserts the actions of `_transact` into the request body before the request is signed."""
    if actions := getattr(_actions, "waiting", None):
        params["body"] = params["body"].replace(b'"TransactItems": []', b'"TransactItems": ' + actions, 1)


def _transact(actions: list[dict[str, Any]]) -> None:
    """Calls TransactWriteItems with the actions as JSON.

    The actions already have DynamoDB's JSON form. boto3 would serialize each of their values by its service model to
    the same JSON, which costs more than the rest of the call.
    """
    _actions.waiting = _encode(actions).encode()
    try:
        dynamodb.transact_write_items(TransactItems=[])
    finally:
        _actions.waiting = None


_encode = json.JSONEncoder(separators=(",", ":")).encode
_actions = threading.local()  # one thread makes, signs and sends a call
dynamodb.meta.events.register("before-call.dynamodb.TransactWriteItems", _as_written)


def _store(lines: list[Line], deadline: float) -> None:
    """Writes the lines of some invoices, at most LINES_A_TRANSACTION, in one transaction.

    Lines that need more than TRANSACTION_MAX_ACTIONS writes are written in halves.

    Raises:
        _Failed: the lines were not written; `for_good` is true if another attempt cannot succeed.
    """
    reasons: set[str] = set()
    for _ in attempts(ATTEMPTS, deadline=deadline):
        try:
            existing = _read((key for line in lines for key in (line.item, line.summary)), deadline)
            if left := summaries_left(lines, existing):
                existing |= _read(left, deadline)
            writes = writes_of(lines, existing, RETENTION_DAYS)
            if not writes:
                return
            if len(writes) > TRANSACTION_MAX_ACTIONS:  # many customers or corrections in few lines
                half = len(lines) // 2
                _store(lines[:half], deadline)
                _store(lines[half:], deadline)
                return
            _transact([_action(write) for write in writes])
            return
        except dynamodb.exceptions.TransactionCanceledException as error:
            reasons = {reason["Code"] for reason in error.response["CancellationReasons"]}
            if reasons - CURABLE:
                raise _Failed(f"DynamoDB refuses: {sorted(reasons - CURABLE)}", for_good=True) from None
        except (ClientError, BotoCoreError) as error:
            if isinstance(error, ClientError) and error.response["Error"]["Code"] == "ValidationException":
                raise _Failed(f"DynamoDB refuses: {without_values(error)}", for_good=True) from None
            reasons = {type(error).__name__}
    raise _Failed(f"time or attempts used up: {sorted(reasons)}", for_good=False)


def _chains(lines: list[Line]) -> Iterator[list[list[Line]]]:
    """Yields lists of parts, where a part is written in one transaction.

    A list with several parts holds one large invoice. Its parts must be written one after the other.
    """
    by_invoice: dict[str, list[Line]] = {}
    for line in lines:
        by_invoice.setdefault(line.invoice_no, []).append(line)
    part: list[Line] = []
    for invoice in by_invoice.values():
        if len(invoice) > LINES_A_TRANSACTION:
            yield [invoice[i : i + LINES_A_TRANSACTION] for i in range(0, len(invoice), LINES_A_TRANSACTION)]
            continue
        if len(part) + len(invoice) > LINES_A_TRANSACTION:
            yield [part]
            part = []
        part += invoice
    if part:
        yield [part]


def _stored(lines: list[Line], deadline: float) -> list[tuple[Line, _Failed]]:
    """Writes the lines and returns those that failed. Lines that fail for good together are retried in halves."""
    try:
        _store(lines, deadline)
    except _Failed as failed:
        if not failed.for_good or len(lines) == 1:
            return [(line, failed) for line in lines]
        half = len(lines) // 2
        return _stored(lines[:half], deadline) + _stored(lines[half:], deadline)
    return []


def _chain_stored(chain: list[list[Line]], deadline: float) -> list[tuple[Line, _Failed]]:
    return [failure for part in chain for failure in _stored(part, deadline)]


@values_withheld
def handler(event: dict[str, Any], context: Any) -> dict[str, list[dict[str, str]]]:
    """Returns the partial batch response, with the first record to retry, or without failures.

    Raises:
        PoisonRecord: the first failed record is the first of the batch, and it can never be written.
    """
    records = event["Records"]
    lines, rejected = lines_of(records)
    deadline = deadline_of(context, ANSWER_SECONDS)
    with ThreadPoolExecutor(THREADS) as pool:
        results = pool.map(lambda chain: _chain_stored(chain, deadline), _chains(lines))
        failures = [failure for result in results for failure in result]
    log.info("records=%s lines=%s rejected=%s failed=%s", len(records), len(lines), rejected, len(failures))
    if not failures:
        return {"batchItemFailures": []}
    line, failed = min(failures, key=lambda pair: int(pair[0].sequence_number))
    log.error("first failure sequence_number=%s reason=%s", line.sequence_number, failed)
    if failed.for_good and line.sequence_number == records[0]["kinesis"]["sequenceNumber"]:
        raise PoisonRecord(f"sequence number {line.sequence_number}: {failed}")
    return {"batchItemFailures": [{"itemIdentifier": line.sequence_number}]}
