"""Redelivers the records that an event source mapping gave up: `python -m infra.redrive dynamodb-writer`.

A mapping that gives up records sends a message with their shard and sequence numbers to a queue, and Kinesis keeps the
records. This command reads them from Kinesis and passes them to the same function, in halves if it fails. It deletes a
message once all of its records are processed. A second run changes nothing, because every consumer deduplicates events
by their ids. The command works against the account or local cloud that boto3's variables name.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import boto3
import typer
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from ecommerce_elt import aws_names
from ecommerce_elt.errors import PermanentError
from more_itertools import constrained_batches
from rich.console import Console

if TYPE_CHECKING:
    from types_boto3_kinesis.client import KinesisClient
    from types_boto3_lambda.client import LambdaClient

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
err = Console(stderr=True)

VISIBILITY_SECONDS = 900  # the longest time that a function may run
PAYLOAD_MAX_BYTES = 4 * 1024**2  # limit for the records' data in base64; an invocation accepts 6 MB in all
METADATA_BYTES = 500  # size of a record without its data


class Consumer(StrEnum):
    """The functions whose event source mappings have a failure queue."""

    RAW_WRITER = aws_names.RAW_WRITER
    DYNAMODB_WRITER = aws_names.DYNAMODB_WRITER


class _LeftOver(Exception):  # noqa: N818
    """The function still fails for one or more records."""


def _records(kinesis: KinesisClient, batch: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yields the records of a message in the form that the function receives.

    Raises:
        PermanentError: the stream no longer has the records.
    """
    stream, shard = batch["streamArn"], batch["shardId"]
    first, last = int(batch["startSequenceNumber"]), int(batch["endSequenceNumber"])
    gone = PermanentError(
        f"{shard}: the stream no longer has sequence numbers {first} to {last}; its retention is over"
    )
    begun = False
    iterator = kinesis.get_shard_iterator(
        StreamARN=stream,
        ShardId=shard,
        ShardIteratorType="AT_SEQUENCE_NUMBER",
        StartingSequenceNumber=batch["startSequenceNumber"],
    )["ShardIterator"]
    while iterator:
        answer = kinesis.get_records(ShardIterator=iterator, StreamARN=stream, Limit=10_000)
        for record in answer["Records"]:
            # A stream drops its oldest records first. If the first and last record exist, so do those between them.
            number = int(record["SequenceNumber"])
            if number > last or not (begun or number == first):
                raise gone
            begun = True
            yield {
                "kinesis": {
                    "kinesisSchemaVersion": "1.0",
                    "partitionKey": record["PartitionKey"],
                    "sequenceNumber": record["SequenceNumber"],
                    "data": base64.b64encode(record["Data"]).decode(),
                    "approximateArrivalTimestamp": record["ApproximateArrivalTimestamp"].timestamp(),
                },
                "eventSource": "aws:kinesis",
                "eventVersion": "1.0",
                "eventName": "aws:kinesis:record",
                "eventID": f"{shard}:{record['SequenceNumber']}",
                "eventSourceARN": stream,
            }
            if number == last:
                return
        if not answer["Records"] and not answer.get("MillisBehindLatest"):
            break
        iterator = answer.get("NextShardIterator")
    raise gone


def _invoke(functions: LambdaClient, name: str, records: list[dict[str, Any]]) -> None:
    """Passes the records to the function until all are processed.

    Raises:
        _LeftOver: at least one record fails even when it is passed alone.
    """
    payload = json.dumps({"Records": records}).encode()
    answer = functions.invoke(FunctionName=name, Payload=payload)
    body = json.loads(answer["Payload"].read() or b"null")
    if not answer.get("FunctionError"):
        failures = (body or {}).get("batchItemFailures") or []
        if not failures:
            return
        numbers = [r["kinesis"]["sequenceNumber"] for r in records]
        at = min(numbers.index(failure["itemIdentifier"]) for failure in failures)
        if at:
            _invoke(functions, name, records[at:])
            return
    if len(records) == 1:
        raise _LeftOver(f"{records[0]['eventID']}: {json.dumps(body)[:500]}")
    half = len(records) // 2
    left: list[str] = []
    for part in (records[:half], records[half:]):
        try:
            _invoke(functions, name, part)
        except _LeftOver as error:
            left.append(str(error))
    if left:
        raise _LeftOver("; ".join(left))


def redrive(prefix: str, function: str) -> tuple[int, int]:
    """Returns the number of delivered batches, and of those left in the queue because a record still fails.

    Args:
        prefix: prefix of all names.
        function: raw-writer or dynamodb-writer.

    Raises:
        PermanentError: the stream no longer has the records of a message.
    """
    session = boto3.session.Session()
    sqs, kinesis = session.client("sqs"), session.client("kinesis")
    functions = session.client("lambda", config=Config(read_timeout=VISIBILITY_SECONDS, retries={"max_attempts": 0}))
    queue = sqs.get_queue_url(QueueName=aws_names.failures_queue(prefix, function))["QueueUrl"]
    done = left = 0
    while messages := sqs.receive_message(
        QueueUrl=queue, MaxNumberOfMessages=1, VisibilityTimeout=VISIBILITY_SECONDS, WaitTimeSeconds=1
    ).get("Messages"):
        [message] = messages
        batch = json.loads(message["Body"])["KinesisBatchInfo"]
        what = f"{batch['batchSize']} records of {batch['shardId']} from {batch['startSequenceNumber']}"
        try:
            for part in constrained_batches(
                list(_records(kinesis, batch)),
                PAYLOAD_MAX_BYTES,
                strict=False,
                get_len=lambda record: len(record["kinesis"]["data"]) + METADATA_BYTES,
            ):
                _invoke(functions, aws_names.function(prefix, function), list(part))
        except _LeftOver as error:
            err.print(f"[red]left[/] {what}: {error}", highlight=False, soft_wrap=True)
            left += 1
            continue
        sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
        err.print(f"[green]done[/] {what}", highlight=False, soft_wrap=True)
        done += 1
    return done, left


@app.command()
def main(
    function: Annotated[Consumer, typer.Argument(help="Function whose records are delivered again.")],
    prefix: Annotated[str, typer.Option(help="Prefix of all names.")] = aws_names.PREFIX,
) -> None:
    """Deliver the records again on which the function's event source mapping gave up. Fix the cause first."""
    try:
        done, left = redrive(prefix, function)
    except (PermanentError, ClientError, BotoCoreError) as error:
        err.print(f"[red]redrive:[/] {error}", highlight=False, soft_wrap=True)
        raise typer.Exit(1) from error
    typer.echo(f"{done} batches delivered, {left} left")
    if left:
        err.print(
            f"those that are left show again in the queue after {VISIBILITY_SECONDS // 60} minutes", highlight=False
        )
        raise typer.Exit(1)


if __name__ == "__main__":
    app()
