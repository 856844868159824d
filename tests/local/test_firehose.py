"""The Firehose stand-in, driven with boto3: buffering, keys, the Lambda, COPY with its retry, at-least-once."""

import gzip
import json
import re
import urllib.request
import uuid

import boto3
import pytest
from botocore.exceptions import ClientError

from infra.deploy import package
from local.supervision import members, wait_for
from tests.conftest import PROJECT
from tests.lambdas.test_dynamodb_writer import event
from tests.lambdas.test_records import aggregated
from tests.local.shapes import check_shape

ROLE = "arn:aws:iam::000000000000:role/ecommerce-delivery"
JDBC = "jdbc:redshift://ecommerce.000000000000.us-east-1.redshift-serverless.amazonaws.com:5439/ecommerce"


class Pipe:
    """A stream, a table and a bucket of the test's own, and the delivery stream between them."""

    def __init__(self, cloud, observer, bucket):
        env = cloud.user_environment()
        session = boto3.session.Session("test", "test", region_name="us-east-1")
        self.kinesis, self.s3 = (session.client(n, endpoint_url=cloud.cloud_url) for n in ("kinesis", "s3"))
        self.firehose = session.client("firehose", endpoint_url=env["AWS_ENDPOINT_URL_FIREHOSE"])
        self.functions = session.client("lambda", endpoint_url=cloud.cloud_url)
        self.cloud, self.warehouse, self.bucket = cloud, observer.warehouse, bucket
        self.name = f"test-{uuid.uuid4().hex[:8]}"
        self.table = f"core.delivered_{self.name[5:]}"
        self.kinesis.create_stream(StreamName=self.name, ShardCount=2)
        self.source = self.kinesis.describe_stream_summary(StreamName=self.name)["StreamDescriptionSummary"][
            "StreamARN"
        ]
        self.processors = []

    def create_table(self):
        self.warehouse.run([f"CREATE TABLE {self.table} (event_id VARCHAR(128), Quantity INTEGER)"])

    def use_lambda(self, function):
        arn = self.functions.get_function(FunctionName=function)["Configuration"]["FunctionArn"]
        parameters = [
            {"ParameterName": "LambdaArn", "ParameterValue": arn},
            {"ParameterName": "NumberOfRetries", "ParameterValue": "1"},
        ]
        self.processors = [{"Type": "Lambda", "Parameters": parameters}]

    def create(self, seconds=1, megabytes=1, retry_seconds=60, compression="GZIP"):
        options = "FORMAT AS JSON 'auto ignorecase'" + (" GZIP" if compression == "GZIP" else "")
        self.firehose.create_delivery_stream(
            DeliveryStreamName=self.name,
            DeliveryStreamType="KinesisStreamAsSource",
            KinesisStreamSourceConfiguration={"KinesisStreamARN": self.source, "RoleARN": ROLE},
            RedshiftDestinationConfiguration={
                "RoleARN": ROLE, "ClusterJDBCURL": JDBC,
                "CopyCommand": {"DataTableName": self.table, "DataTableColumns": "event_id, Quantity", "CopyOptions": options},
                "RetryOptions": {"DurationInSeconds": retry_seconds},
                "ProcessingConfiguration": {"Enabled": bool(self.processors), "Processors": self.processors},
                "S3Configuration": {
                    "RoleARN": ROLE, "BucketARN": f"arn:aws:s3:::{self.bucket}", "Prefix": "firehose/",
                    "ErrorOutputPrefix": "firehose/errors/", "CompressionFormat": compression,
                    "BufferingHints": {"IntervalInSeconds": seconds, "SizeInMBs": megabytes},
                },
            },
        )  # fmt: skip

    def put(self, payloads):
        for start in range(0, len(payloads), 500):
            records = [{"Data": p, "PartitionKey": str(i)} for i, p in enumerate(payloads[start : start + 500])]
            assert self.kinesis.put_records(StreamName=self.name, Records=records)["FailedRecordCount"] == 0

    def rows(self):
        return self.warehouse.query(f"SELECT event_id, Quantity FROM {self.table} ORDER BY event_id")

    def wait_for_rows(self, count, seconds=30):
        wait_for(lambda: len(self.rows()) >= count, seconds, f"{count} delivered rows", 0.2)

    def keys(self, prefix):
        return sorted(o["Key"] for o in self.s3.list_objects_v2(Bucket=self.bucket, Prefix=prefix).get("Contents", []))

    def read(self, key):
        body = self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        return gzip.decompress(body) if key.endswith(".gz") else body


@pytest.fixture
def pipe(cloud, observer, bucket):
    made = Pipe(cloud, observer, bucket)
    yield made
    for name in made.firehose.list_delivery_streams()["DeliveryStreamNames"]:
        if name == made.name:
            made.firehose.delete_delivery_stream(DeliveryStreamName=name)


def row(number, size=0):
    return json.dumps({"event_id": f"e{number:06d}", "quantity": number, "x": "y" * size}).encode() + b"\n"


def test_records_arrive_at_keys_of_firehoses_form(pipe):
    pipe.create_table()
    pipe.create()
    pipe.put([row(i) for i in range(50)])
    pipe.wait_for_rows(50)
    assert pipe.rows() == [(f"e{i:06d}", i) for i in range(50)]
    [key] = pipe.keys("firehose/2")
    stamp = r"\d{4}/\d\d/\d\d/\d\d/" + re.escape(pipe.name) + r"-1-\d{4}(-\d\d){5}-[0-9a-f-]{36}\.gz"
    assert re.fullmatch("firehose/" + stamp, key)
    assert pipe.read(key).count(b"\n") == 50
    [manifest] = pipe.keys("firehose/manifests/")
    assert json.loads(pipe.read(manifest)) == {"entries": [{"url": f"s3://{pipe.bucket}/{key}", "mandatory": True}]}
    assert pipe.keys("firehose/errors/") == []


def test_the_buffer_ends_by_size_before_its_time(pipe):
    pipe.create_table()
    pipe.create(seconds=900, megabytes=1, compression="UNCOMPRESSED")
    pipe.put([row(i, size=9_000) for i in range(150)])
    pipe.wait_for_rows(100)
    sizes = [len(pipe.read(key)) for key in pipe.keys("firehose/2")]
    assert sizes
    assert min(sizes) >= 1024**2


def test_the_lambda_decides_what_is_delivered_and_failures_are_kept(pipe):
    pipe.create_table()
    pipe.use_lambda("ecommerce-firehose-transform")
    pipe.create()
    bad = event(2, quantity="many")
    pipe.put(
        [
            event(1, quantity=4),
            bad,
            b'{"event_id":"p","feed":"purchases","schema_version":1,"sent_at":"x","data":{}}',
            event(3),
        ]
    )
    pipe.wait_for_rows(2)
    assert pipe.rows() == [("e1", 4), ("e3", 6)]
    [key] = pipe.keys("firehose/errors/processing-failed/")
    import base64

    [kept] = [json.loads(text) for text in pipe.read(key).splitlines()]
    assert (base64.b64decode(kept["rawData"]), kept["errorCode"]) == (bad, "Lambda.ProcessingFailedStatus")


def test_an_aggregated_record_is_taken_apart_before_the_lambda(pipe):
    pipe.create_table()
    pipe.create()  # without a Lambda, so that the rows are what was taken apart
    pipe.put([aggregated(row(1), row(2)), row(3)])
    pipe.wait_for_rows(3)
    assert pipe.rows() == [(f"e{number:06d}", number) for number in (1, 2, 3)]


def test_a_lambda_that_fails_leaves_the_records_under_the_error_prefix(pipe, tmp_path):
    folder = tmp_path / "broken"
    folder.mkdir()
    (folder / "handler.py").write_text("def handler(event, context):\n    raise RuntimeError('out of order')\n")
    name = f"broken-{pipe.name}"
    pipe.functions.create_function(
        FunctionName=name,
        Runtime="python3.13",
        Role=ROLE,
        Handler="handler.handler",
        Code={"ZipFile": package(folder)[1]},
    )
    pipe.create_table()
    pipe.use_lambda(name)
    pipe.create()
    pipe.put([row(1)])
    wait_for(lambda: pipe.keys("firehose/errors/processing-failed/"), 30, "the failed record")
    [kept] = [json.loads(x) for x in pipe.read(pipe.keys("firehose/errors/processing-failed/")[0]).splitlines()]
    assert (kept["attemptsMade"], kept["errorCode"], "out of order" in kept["errorMessage"]) == (
        2,
        "Lambda.FunctionError",
        True,
    )
    pipe.functions.delete_function(FunctionName=name)


def test_copy_is_tried_until_it_succeeds(pipe):
    pipe.create(retry_seconds=60)
    pipe.put([row(i) for i in range(5)])
    wait_for(lambda: pipe.keys("firehose/manifests/"), 30, "the first COPY")  # the table is not there yet
    pipe.create_table()
    pipe.wait_for_rows(5)
    assert pipe.keys("firehose/errors/") == []


def test_what_cannot_be_copied_in_time_is_listed_and_the_stream_moves_on(pipe):
    pipe.create(retry_seconds=1)
    pipe.put([row(i) for i in range(5)])
    wait_for(lambda: pipe.keys("firehose/errors/manifests/"), 30, "the manifest of what was skipped")
    [manifest] = pipe.keys("firehose/errors/manifests/")
    skipped = json.loads(pipe.read(manifest))
    [skipped_key] = pipe.keys("firehose/2")
    assert skipped["entries"] == [{"url": f"s3://{pipe.bucket}/{skipped_key}", "mandatory": True}]
    pipe.create_table()
    pipe.put([row(9)])
    pipe.wait_for_rows(1)
    assert pipe.rows() == [("e000009", 9)]
    # As the runbook says: copy by hand from the manifest that lists it.
    source = f"'s3://{pipe.bucket}/{manifest}' IAM_ROLE default MANIFEST FORMAT AS JSON 'auto ignorecase' GZIP"
    pipe.warehouse.run([f"COPY {pipe.table} (event_id, Quantity) FROM {source}"])
    assert len(pipe.rows()) == 6


def test_a_kill_loses_nothing_and_may_repeat(pipe):
    pipe.create_table()
    pipe.create()
    pipe.put([row(i) for i in range(2000)])
    pipe.wait_for_rows(1)
    [process] = [p for p in members(pipe.cloud) if "local.firehose" in p.cmdline()]
    process.kill()
    pipe.put([row(i) for i in range(2000, 4000)])
    wait_for(lambda: len(set(_reachable_rows(pipe))) == 4000, 60, "all rows", 0.5)


def _reachable_rows(pipe):
    return [event_id for event_id, _ in pipe.rows()]


def test_what_the_service_refuses_is_refused(pipe):
    pipe.create_table()
    pipe.create()
    for call, code in [
        (lambda: pipe.create(), "ResourceInUseException"),
        (lambda: pipe.firehose.put_record(DeliveryStreamName=pipe.name, Record={"Data": b"x"}), "InvalidArgumentException"),
        (lambda: pipe.firehose.describe_delivery_stream(DeliveryStreamName="none"), "ResourceNotFoundException"),
        (lambda: pipe.firehose.delete_delivery_stream(DeliveryStreamName="none"), "ResourceNotFoundException"),
        (lambda: pipe.firehose.create_delivery_stream(DeliveryStreamName="direct"), "InvalidArgumentException"),
        (lambda: pipe.firehose.list_tags_for_delivery_stream(DeliveryStreamName=pipe.name), "UnknownOperationException"),
        (lambda: pipe.firehose.update_destination(
            DeliveryStreamName=pipe.name, CurrentDeliveryStreamVersionId="7", DestinationId="destinationId-000000000001",
            RedshiftDestinationUpdate={}), "ConcurrentModificationException"),
    ]:  # fmt: skip
        with pytest.raises(ClientError) as caught:
            call()
        assert caught.value.response["Error"]["Code"] == code


def test_an_update_keeps_the_place(pipe):
    pipe.create_table()
    pipe.create()
    pipe.put([row(i) for i in range(3)])
    pipe.wait_for_rows(3)
    pipe.firehose.update_destination(
        DeliveryStreamName=pipe.name, CurrentDeliveryStreamVersionId="1", DestinationId="destinationId-000000000001",
        RedshiftDestinationUpdate={"S3Update": {"RoleARN": ROLE, "BucketARN": f"arn:aws:s3:::{pipe.bucket}", "Prefix": "new/"}},
    )  # fmt: skip
    pipe.put([row(7)])
    pipe.wait_for_rows(4)
    assert len(pipe.rows()) == 4
    assert [key for key in pipe.keys("new/2") if f"{pipe.name}-2-" in key]


def test_answers_have_the_shapes_of_the_service_model(pipe):
    pipe.create_table()
    pipe.create()
    model = pipe.firehose.meta.service_model

    def call(operation, **members):
        request = urllib.request.Request(
            pipe.cloud.firehose_url, json.dumps(members).encode(), {"X-Amz-Target": f"Firehose_20150804.{operation}"}
        )
        with urllib.request.urlopen(request) as answer:
            check_shape(model.operation_model(operation).output_shape, json.loads(answer.read()), operation)

    call("DescribeDeliveryStream", DeliveryStreamName=pipe.name)
    call("ListDeliveryStreams")
    call("DeleteDeliveryStream", DeliveryStreamName=pipe.name)


def test_the_template_defines_the_stream_that_is_there(cloud):
    client = boto3.client("firehose", endpoint_url=cloud.firehose_url, region_name="us-east-1",
                          aws_access_key_id="test", aws_secret_access_key="test")  # fmt: skip
    found = client.describe_delivery_stream(DeliveryStreamName="ecommerce-transactions")["DeliveryStreamDescription"]
    [destination] = found["Destinations"]
    copy = destination["RedshiftDestinationDescription"]["CopyCommand"]
    assert copy["DataTableName"] == "core.firehose_transactions"
    ddl = (PROJECT / "include/sql/core/firehose_transactions/create.sql").read_text()
    assert all(f"    {column.strip()} " in ddl for column in copy["DataTableColumns"].split(","))
