"""MiniStack with our fixes: what a stream forgets was read, nobody's place is lost, and mappings follow AWS's rules."""

import json
import sys
import time
import uuid

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError

from infra.packages import package
from local.cloud.json_text import json_text
from local.supervision import members, wait_for


@pytest.fixture(scope="module")
def ministack():
    """MiniStack can be imported, and so can what mends it; other tests import it with other settings."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"PERSIST_STATE": "0", "IOT_MTLS_ENABLED": "0", "SFTP_ENABLED": "0"}.items():
            patch.setenv(name, value)
        from local.cloud import fixes  # noqa: F401
    yield
    for name in [n for n in sys.modules if n.startswith(("ministack", "local.cloud"))]:
        sys.modules.pop(name)


def test_only_old_records_that_all_have_read_are_forgotten(ministack):
    from ministack.services import kinesis
    from ministack.services import lambda_svc as lambdas

    from local.cloud.mappings import KEPT_SECONDS, forget_read_records

    old, now = time.time() - KEPT_SECONDS - 60, time.time()
    records = [
        {"SequenceNumber": str(i), "ApproximateArrivalTimestamp": old if i < 6 else now, "Data": "", "PartitionKey": ""}
        for i in range(10)
    ]
    arn = "arn:aws:kinesis:us-east-1:000000000000:stream/s"
    kinesis._streams._data[("000000000000", "us-east-1", "s")] = {
        "StreamARN": arn,
        "shards": {"shard-0": {"records": records}},
    }
    for mapping_id, position in (("fast", 9), ("slow", 4)):
        lambdas._esms._data[("000000000000", "us-east-1", mapping_id)] = {"UUID": mapping_id, "EventSourceArn": arn}
        lambdas._kinesis_positions._data[("000000000000", "us-east-1", mapping_id)] = {"shard-0": position}
    kinesis._shard_iterators._data[("000000000000", "us-east-1", "token")] = {
        "stream": "s",
        "shard_id": "shard-0",
        "position": 7,
    }

    forget_read_records()

    assert [r["SequenceNumber"] for r in records] == ["4", "5", "6", "7", "8", "9"]
    positions = {key[-1]: p["shard-0"] for key, p in lambdas._kinesis_positions._data.items()}
    assert positions == {"fast": 5, "slow": 0}
    assert kinesis._shard_iterators._data[("000000000000", "us-east-1", "token")]["position"] == 3


@pytest.mark.parametrize(
    "value",
    [
        {"a": [1, None, True, 0.5, "ü\u2028"]},
        {1: "a number as a key"},
        2**70,
        "half a pair \ud800",
        "plain",
        [],
    ],
)
def test_json_is_written_to_the_same_value(value):
    for options in ({}, {"ensure_ascii": False}, {"sort_keys": True}):
        text = json_text(value, **options)
        assert json.loads(text) == json.loads(json.dumps(value, **options))


def test_an_item_has_the_size_that_ministack_gives_it(ministack):
    from ministack.services import dynamodb

    from local.cloud.tables import item_size

    item = {
        "Key": {"S": "ü" * 3},
        "é": {"S": "plain"},
        "Number": {"N": "-12.50"},
        "No": {"NULL": True},
        "None": {"S": ""},
        "Lines": {"M": {"e1": {"S": "text"}, "e2": {"L": [{"BOOL": True}, {"SS": ["a", "ß"]}]}}},
        "Wrong": {},
    }
    for name, value in item.items():
        size = len(name.encode()) + dynamodb._attribute_value_size(value)
        assert item_size({name: value}) == size, name


def test_what_is_too_large_for_dynamodb_is_still_refused(ministack, monkeypatch):
    from ministack.services import dynamodb

    from local.cloud import mappings
    from local.cloud.fixes import apply_fixes

    monkeypatch.setattr(mappings, "supervise", lambda: None)
    apply_fixes()
    dynamodb._create_table(
        {
            "TableName": "large",
            "BillingMode": "PAY_PER_REQUEST",
            "KeySchema": [{"AttributeName": "K", "KeyType": "HASH"}],
            "AttributeDefinitions": [{"AttributeName": "K", "AttributeType": "S"}],
        }
    )

    def put(*sizes):
        items = [{"K": {"S": str(i)}, "V": {"S": "x" * size}} for i, size in enumerate(sizes)]
        actions = [{"Put": {"TableName": "large", "Item": item}} for item in items]
        status, _, body = dynamodb._transact_write_items({"TransactItems": actions})
        return status, json.loads(body).get("message", "")

    fits = 400 * 1024 - 3  # the key's name and value, and the other name
    assert put(fits)[0] == 200
    assert put(fits + 1) == (400, "Item size has exceeded the maximum allowed size")
    assert put(*[fits] * 10)[0] == 200
    assert "4MB" in put(*[fits] * 11)[1]


HANDLER = """
import base64, json, boto3, os
s3 = boto3.client("s3")

def handler(event, context):
    done = [base64.b64decode(r["kinesis"]["data"]).decode() for r in event["Records"]]
    if any("poison" in text for text in done):
        raise RuntimeError("poison")
    for text in done[:40]:
        s3.put_object(Bucket=os.environ["BUCKET"], Key="done/" + text, Body=b"")
    rest = event["Records"][40:41]  # no more at a time, as if it were throttled
    return {"batchItemFailures": [{"itemIdentifier": r["kinesis"]["sequenceNumber"]} for r in rest]}
"""


def test_a_mapping_gives_up_the_poison_record_alone_and_tells_the_queue(cloud, observer, bucket, tmp_path):
    session = boto3.session.Session("test", "test", region_name="us-east-1")
    kinesis, functions, sqs = (session.client(n, endpoint_url=cloud.cloud_url) for n in ("kinesis", "lambda", "sqs"))
    name = f"test-{uuid.uuid4().hex[:8]}"
    (tmp_path / "handler.py").write_text(HANDLER)
    kinesis.create_stream(StreamName=name, ShardCount=1)
    arn = kinesis.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]["StreamARN"]
    queue = sqs.create_queue(QueueName=name)["QueueUrl"]
    queue_arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    functions.create_function(
        FunctionName=name,
        Runtime="python3.13",
        Role="arn:aws:iam::000000000000:role/x",
        Handler="handler.handler",
        Code={"ZipFile": package(tmp_path)[1]},
        Environment={"Variables": {"BUCKET": bucket}},
    )
    records = [{"Data": b"poison" if i == 61 else f"{i:03d}".encode(), "PartitionKey": "k"} for i in range(100)]
    kinesis.put_records(StreamName=name, Records=records)
    mapping = functions.create_event_source_mapping(
        EventSourceArn=arn,
        FunctionName=name,
        StartingPosition="TRIM_HORIZON",
        BatchSize=1000,
        MaximumRetryAttempts=1,
        BisectBatchOnFunctionError=True,
        FunctionResponseTypes=["ReportBatchItemFailures"],
        DestinationConfig={"OnFailure": {"Destination": queue_arn}},
    )
    wait_for(
        lambda: len(observer.s3.list_objects_v2(Bucket=bucket, Prefix="done/").get("Contents", [])) == 99,
        60,
        "the rest",
        0.2,
    )
    messages = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=20)["Messages"]
    document = json.loads(messages[0]["Body"])
    assert document["requestContext"]["condition"] == "RetryAttemptsExhausted"
    assert (document["KinesisBatchInfo"]["batchSize"], document["KinesisBatchInfo"]["streamArn"]) == (1, arn)
    number = document["KinesisBatchInfo"]["startSequenceNumber"]
    found = kinesis.get_shard_iterator(
        StreamName=name,
        ShardId=document["KinesisBatchInfo"]["shardId"],
        ShardIteratorType="AT_SEQUENCE_NUMBER",
        StartingSequenceNumber=number,
    )
    assert kinesis.get_records(ShardIterator=found["ShardIterator"], Limit=1)["Records"][0]["Data"] == b"poison"
    functions.delete_event_source_mapping(UUID=mapping["UUID"])
    functions.delete_function(FunctionName=name)


def test_tables_are_there_after_a_kill(cloud, observer):
    def process():
        port = str(cloud.ports["dynamodb"])
        found = [
            p for p in members(cloud) if p.cmdline()[-1:] == ["local.cloud"] and p.environ()["GATEWAY_PORT"] == port
        ]
        return found[0] if found else None

    killed = process()
    killed.kill()
    killed.wait(10)

    def answers():
        try:
            return observer.dynamodb.describe_table(TableName="ecommerce-invoices")["Table"]["TableStatus"] == "ACTIVE"
        except EndpointConnectionError:
            return False

    wait_for(answers, 60, "the tables", 0.2)
    settings = observer.dynamodb.describe_time_to_live(TableName="ecommerce-customers")["TimeToLiveDescription"]
    assert settings["TimeToLiveStatus"] == "ENABLED"
    assert process().pid != killed.pid


def test_shards_are_listed_page_by_page_by_the_token_alone(cloud):
    """The token names the stream: Kinesis API reference, ListShards."""
    kinesis, name = cloud.client("kinesis"), f"test-{uuid.uuid4().hex[:8]}"
    kinesis.create_stream(StreamName=name, ShardCount=5)
    kinesis.get_waiter("stream_exists").wait(StreamName=name, WaiterConfig={"Delay": 1})
    page = kinesis.list_shards(StreamName=name, MaxResults=2)
    found = [page["Shards"]]
    token = page["NextToken"]
    while "NextToken" in page:
        page = kinesis.list_shards(NextToken=page["NextToken"], MaxResults=2)
        found.append(page["Shards"])
    assert [len(shards) for shards in found] == [2, 2, 1]
    assert len({shard["ShardId"] for shards in found for shard in shards}) == 5
    for wrong, said in (
        ({"StreamName": name, "NextToken": token}, "NextToken and StreamName cannot be provided together"),
        (
            {"StreamARN": "arn:aws:kinesis:us-east-1:000000000000:stream/x", "NextToken": token},
            "NextToken and StreamARN cannot be provided together",
        ),
        ({"NextToken": token, "ExclusiveStartShardId": "shardId-000000000000"}, "cannot be provided together"),
        ({"NextToken": "e30="}, "NextToken is invalid"),
        ({}, "Either NextToken or StreamName"),
    ):
        with pytest.raises(kinesis.exceptions.InvalidArgumentException, match=said):
            kinesis.list_shards(**wrong)
    kinesis.delete_stream(StreamName=name)
