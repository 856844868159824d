"""Lambda raw_writer: writes Kinesis records to S3 as gzip JSON lines, once per key.

A failed write is reported as a failure of the batch's first record (ReportBatchItemFailures). The event source mapping
then sends the same batch again, and every object is written again at its own key. If a record in the middle of the
batch were reported, the rest would get new keys, and raw/ would hold the same events twice.
"""

from __future__ import annotations

import logging
import os
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from ecommerce_events.failures import values_withheld
from ecommerce_events.memory import collect_seldom

from lambdas.raw_writer.logic import RawFile, files_of

log = logging.getLogger()
log.setLevel(logging.INFO)

BUCKET = os.environ["BUCKET"]
s3 = boto3.client("s3", config=Config(retries={"mode": "standard", "max_attempts": 4}))
collect_seldom()


def _put(file: RawFile) -> None:
    s3.put_object(Bucket=BUCKET, Key=file.key, Body=file.body, ContentType="application/gzip")


@values_withheld
def handler(event: dict[str, Any], context: object) -> dict[str, list[dict[str, str]]]:
    """Returns the partial batch response: no failures, or a failure of the batch's first record."""
    for file in files_of(event["Records"]):
        try:
            _put(file)
        except (ClientError, BotoCoreError) as error:
            log.error("put failed key=%s lines=%s error=%s", file.key, file.lines, error)
            first = event["Records"][0]["kinesis"]["sequenceNumber"]
            return {"batchItemFailures": [{"itemIdentifier": first}]}
        log.info("stored key=%s lines=%s bytes=%s", file.key, file.lines, len(file.body))
    return {"batchItemFailures": []}
