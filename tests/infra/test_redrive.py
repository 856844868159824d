"""Delivering again what a mapping gave up: all of it, and once."""

import json
import uuid

import boto3
import pytest
from ecommerce_elt.errors import PermanentError

from infra.packages import package
from infra.redrive import redrive

BODY: list[str] = []  # of the message that the fixture sent

HANDLER = """
import base64, os, boto3
s3 = boto3.client("s3")

def handler(event, context):
    for record in event["Records"]:
        text = base64.b64decode(record["kinesis"]["data"]).decode()
        if text in os.environ["FAILING"].split(","):
            raise RuntimeError("still failing")
        s3.put_object(Bucket=os.environ["BUCKET"], Key="done/" + text, Body=b"")
"""


@pytest.fixture
def given_up(cloud, bucket, monkeypatch, tmp_path):
    """A stream of forty records, a function, and a message that says that ten of them were given up."""
    for name, value in cloud.user_environment().items():
        monkeypatch.setenv(name, value)
    kinesis, functions, sqs = (boto3.client(name) for name in ("kinesis", "lambda", "sqs"))
    prefix = f"t{uuid.uuid4().hex[:8]}"
    kinesis.create_stream(StreamName=f"{prefix}-events", ShardCount=1)
    arn = kinesis.describe_stream_summary(StreamName=f"{prefix}-events")["StreamDescriptionSummary"]["StreamARN"]
    records = [{"Data": f"{i:02d}".encode(), "PartitionKey": "k"} for i in range(40)]
    numbers = [
        r["SequenceNumber"] for r in kinesis.put_records(StreamName=f"{prefix}-events", Records=records)["Records"]
    ]
    (tmp_path / "handler.py").write_text(HANDLER)
    functions.create_function(
        FunctionName=f"{prefix}-writer",
        Runtime="python3.13",
        Role="arn:aws:iam::000000000000:role/x",
        Handler="handler.handler",
        Code={"ZipFile": package(tmp_path)[1]},
        Environment={"Variables": {"BUCKET": bucket, "FAILING": "15,17"}},
    )
    queue = sqs.create_queue(QueueName=f"{prefix}-writer-failures")["QueueUrl"]
    shard = kinesis.list_shards(StreamARN=arn)["Shards"][0]["ShardId"]
    batch = {
        "shardId": shard,
        "startSequenceNumber": numbers[10],
        "endSequenceNumber": numbers[19],
        "batchSize": 10,
        "streamArn": arn,
    }
    BODY[:] = [json.dumps({"KinesisBatchInfo": batch})]
    sqs.send_message(QueueUrl=queue, MessageBody=BODY[0])
    yield prefix, queue, functions
    functions.delete_function(FunctionName=f"{prefix}-writer")
    sqs.delete_queue(QueueUrl=queue)
    kinesis.delete_stream(StreamName=f"{prefix}-events")


def _done(s3, bucket):
    return {o["Key"][5:] for o in s3.list_objects_v2(Bucket=bucket, Prefix="done/").get("Contents", [])}


@pytest.mark.slow
def test_what_fails_stays_in_the_queue_and_the_rest_is_done(given_up, s3, bucket, capsys):
    prefix, queue, functions = given_up
    assert redrive(prefix, "writer") == (0, 1)
    assert _done(s3, bucket) == {f"{i}" for i in range(10, 20)} - {"15", "17"}
    assert capsys.readouterr().err.count("still failing") == 2
    assert redrive(prefix, "writer") == (0, 0)  # what was left shows again later
    functions.update_function_configuration(
        FunctionName=f"{prefix}-writer", Environment={"Variables": {"BUCKET": bucket, "FAILING": "none"}}
    )
    _show_again(queue)
    assert redrive(prefix, "writer") == (1, 0)
    assert _done(s3, bucket) == {f"{i}" for i in range(10, 20)}


def _show_again(queue):
    """Sends the hidden message anew: the test does not wait for its visibility to end."""
    sqs = boto3.client("sqs")
    attributes = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["ApproximateNumberOfMessagesNotVisible"])
    assert attributes["Attributes"]["ApproximateNumberOfMessagesNotVisible"] == "1"
    sqs.send_message(QueueUrl=queue, MessageBody=BODY[0])


@pytest.mark.parametrize(("end", "by"), [("startSequenceNumber", -1), ("endSequenceNumber", 10**12)])
def test_records_that_the_stream_forgot_are_an_error(given_up, s3, bucket, end, by):
    """Of either end: what is left must not pass for the whole, and the message must stay."""
    prefix, queue, _ = given_up
    batch = json.loads(BODY[0])
    batch["KinesisBatchInfo"][end] = str(int(batch["KinesisBatchInfo"][end]) + by)
    sqs = boto3.client("sqs")
    sqs.purge_queue(QueueUrl=queue)
    sqs.send_message(QueueUrl=queue, MessageBody=json.dumps(batch))
    with pytest.raises(PermanentError, match="retention is over"):
        redrive(prefix, "writer")
    assert _done(s3, bucket) == set()
    attributes = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["ApproximateNumberOfMessagesNotVisible"])
    assert attributes["Attributes"]["ApproximateNumberOfMessagesNotVisible"] == "1"
