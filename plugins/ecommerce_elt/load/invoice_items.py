"""Sends the lines of a loaded batch to the Lambda dynamodb_writer, so that DynamoDB also has data from landing/.

The Lambda receives the lines in the format of the stream, and is the only code that makes items. A line that an item
has in the same or a higher version changes nothing, so lines can be sent again.
"""

from __future__ import annotations

import base64
import gzip
import json
import logging
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from more_itertools import constrained_batches
from tenacity import before_sleep_log, retry, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from ecommerce_elt import aws_names, listing
from ecommerce_elt.batches.clean_files import get_raw
from ecommerce_elt.batches.manifests import claimed_at, is_withdrawal, read_manifest
from ecommerce_elt.batches.raw_lines import event_id_of, in_version, version_of
from ecommerce_elt.errors import PermanentError, TransientError
from ecommerce_elt.load.known_rows import skipped_url
from ecommerce_elt.settings import Settings
from ecommerce_elt.warehouse.redshift import Warehouse

if TYPE_CHECKING:
    from types_boto3_lambda.client import LambdaClient
    from types_boto3_s3.client import S3Client

log = logging.getLogger(__name__)

DELIVERED_FEED = "online_retail"  # the only feed that firehose_transform and dynamodb_writer accept
LINES_AT_ONCE = 1000  # some hundreds of invoices, which the Lambda can write within its 120 seconds
BYTES_AT_ONCE = 3 << 20  # base64 turns 3 bytes into 4; a payload may have 6 MB: Lambda quotas, invocation payload
INVOCATIONS_AT_ONCE = 4
ATTEMPTS = 8  # for throttled invocations and tables; the Lambda itself retries ten times
PAUSE_SECONDS = (1, 30)  # upper limits of the first pause and of all pauses; each pause is random


class _Line(NamedTuple):
    text: bytes
    is_withdrawn: bool


class _LeftError(TransientError):
    """The Lambda has not written all lines yet."""


def write(functions: LambdaClient, s3: S3Client, target: Warehouse, batch_id: str, settings: Settings) -> int:
    """Sends the lines of a committed batch of landed files to the Lambda, and returns their number.

    Lines that core has under other ids are left out. A line that was withdrawn from core meanwhile is sent as a
    withdrawal, which removes it from its item.

    Args:
        functions: boto3 client of Lambda.
        s3: boto3 client of S3.
        target: the warehouse.
        batch_id: the id of the batch.
        settings: the settings.

    Raises:
        PermanentError: the Lambda fails, or a line can never be written.
        TransientError: tables or the Lambda are still throttled after ATTEMPTS.
    """
    sql = (settings.sql_dir / "ops/withdrawal/versions.sql").read_text("utf-8")
    out = {event_id: int(version) for event_id, version in target.query(sql, {"feed": DELIVERED_FEED})}
    lines = _lines(s3, batch_id, out, settings)
    batches = constrained_batches(
        lines, BYTES_AT_ONCE, LINES_AT_ONCE, get_len=lambda line: len(line.text), strict=False
    )
    arrived, written = claimed_at(batch_id), 0
    with ThreadPoolExecutor(INVOCATIONS_AT_ONCE) as pool:
        waiting: list[Future[int]] = []
        for some in batches:  # only a few are in memory at a time
            waiting.append(pool.submit(_give, functions, some, arrived, settings))
            if len(waiting) > INVOCATIONS_AT_ONCE:
                written += waiting.pop(0).result()
        written += sum(each.result() for each in waiting)
    log.info("batch_id=%s lines_to_dynamodb=%s", batch_id, written)
    return written


def _lines(s3: S3Client, batch_id: str, out: Mapping[str, int], settings: Settings) -> Iterator[_Line]:
    skipped = _skipped(s3, batch_id, settings.bucket)
    for raw in read_manifest(s3, settings.bucket, batch_id).objects:
        takes_out = is_withdrawal(raw.key)
        for text in gzip.decompress(get_raw(s3, raw)["Body"].read()).splitlines():
            event_id = event_id_of(text)
            if event_id in skipped:
                continue
            is_out = out.get(event_id, 0) > version_of(text)
            yield _Line(in_version(text, out[event_id]) if is_out else text, takes_out or is_out)


def _skipped(s3: S3Client, batch_id: str, bucket: str) -> frozenset[str]:
    """Returns the ids of lines that core, and therefore the items, have under other ids."""
    url = skipped_url(s3, batch_id, bucket)
    if not url:
        return frozenset()
    keys = [entry["Key"] for entry in listing.objects(s3, bucket, url.removeprefix(f"s3://{bucket}/")) if entry["Size"]]
    bodies = [s3.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys]
    return frozenset(e for body in bodies for e in pq.read_table(pa.BufferReader(body))["event_id"].to_pylist())


def _give(functions: LambdaClient, lines: tuple[_Line, ...], arrived: datetime, settings: Settings) -> int:
    """Invokes the Lambda until it has written all lines, and returns their number."""
    left = list(enumerate(lines, start=1))

    @retry(
        retry=retry_if_exception_type(_LeftError),
        stop=stop_after_attempt(ATTEMPTS),
        wait=wait_random_exponential(*PAUSE_SECONDS),
        before_sleep=before_sleep_log(log, logging.WARNING),
        reraise=True,
    )
    def give() -> None:
        nonlocal left
        records = [_record(number, line, arrived) for number, line in left]
        name = aws_names.function(settings.stack_prefix, aws_names.DYNAMODB_WRITER)
        try:
            answer = functions.invoke(FunctionName=name, Payload=json.dumps({"Records": records}).encode())
        except functions.exceptions.TooManyRequestsException as error:
            raise _LeftError(f"Lambda {name} is throttled") from error
        found = json.loads(answer["Payload"].read())
        if "FunctionError" in answer:
            raise PermanentError(f"Lambda {name} fails: {found.get('errorType')}: {found.get('errorMessage')}")
        if failed := found["batchItemFailures"]:  # the first failure; all lines before it are written
            first = int(failed[0]["itemIdentifier"])
            left = [(number, line) for number, line in left if number >= first]
            raise _LeftError(f"Lambda {name} left {len(left)} lines to be written again: its log says why")

    give()
    return len(lines)


def _record(number: int, line: _Line, arrived: datetime) -> dict[str, Any]:
    """Returns the line as a Kinesis record. `withdrawn` is an addition that records of the stream do not have."""
    data = base64.b64encode(line.text).decode()
    kinesis = {"sequenceNumber": str(number), "data": data, "approximateArrivalTimestamp": arrived.timestamp()}
    return {"kinesis": kinesis, **({"withdrawn": True} if line.is_withdrawn else {})}
