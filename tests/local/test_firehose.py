"""The Firehose stand-in, driven with boto3: buffering, keys, the Lambda, COPY with its retry, at-least-once."""

import gzip
import json
import re
import resource
import signal
import urllib.request
import uuid

import boto3
import cfnlint.decode
import pytest
from botocore.exceptions import ClientError
from ecommerce_elt.warehouse.redshift import render

from infra.packages import package
from local.firehose.sources import Journal
from local.redshift.copy_from_s3 import parse_copy
from local.redshift.copy_jobs import parse_create
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
                "RoleARN": ROLE,
                "ClusterJDBCURL": JDBC,
                "CopyCommand": {
                    "DataTableName": self.table,
                    "DataTableColumns": "event_id, Quantity",
                    "CopyOptions": options,
                },
                "RetryOptions": {"DurationInSeconds": retry_seconds},
                "ProcessingConfiguration": {"Enabled": bool(self.processors), "Processors": self.processors},
                "S3Configuration": self.s3_configuration(seconds, megabytes, compression),
            },
        )

    def create_to_s3(self, **more):
        self.firehose.create_delivery_stream(
            DeliveryStreamName=self.name,
            DeliveryStreamType="KinesisStreamAsSource",
            KinesisStreamSourceConfiguration={"KinesisStreamARN": self.source, "RoleARN": ROLE},
            ExtendedS3DestinationConfiguration=self.s3_configuration(1, 1, "GZIP") | more,
        )

    def s3_configuration(self, seconds, megabytes, compression):
        return {
            "RoleARN": ROLE,
            "BucketARN": f"arn:aws:s3:::{self.bucket}",
            "Prefix": "firehose/",
            "ErrorOutputPrefix": "firehose/errors/",
            "CompressionFormat": compression,
            "BufferingHints": {"IntervalInSeconds": seconds, "SizeInMBs": megabytes},
        }

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


def create_direct(pipe, **more):
    pipe.firehose.create_delivery_stream(
        DeliveryStreamName=pipe.name,
        DeliveryStreamType="DirectPut",
        ExtendedS3DestinationConfiguration=pipe.s3_configuration(1, 1, "UNCOMPRESSED") | more,
    )


def delivered(pipe):
    return b"".join(pipe.read(key) for key in pipe.keys("firehose/2")).splitlines(keepends=True)


def test_records_that_are_put_directly_arrive(pipe):
    create_direct(pipe)
    one = pipe.firehose.put_record(DeliveryStreamName=pipe.name, Record={"Data": b"first\n"})
    many = pipe.firehose.put_record_batch(
        DeliveryStreamName=pipe.name, Records=[{"Data": f"{i}\n".encode()} for i in range(500)]
    )
    assert many["FailedPutCount"] == 0
    assert len({one["RecordId"], *(answer["RecordId"] for answer in many["RequestResponses"])}) == 501
    wait_for(lambda: len(delivered(pipe)) >= 501, 30, "the records", 0.2)
    assert delivered(pipe) == [b"first\n", *(f"{i}\n".encode() for i in range(500))]
    described = pipe.firehose.describe_delivery_stream(DeliveryStreamName=pipe.name)["DeliveryStreamDescription"]
    assert described["DeliveryStreamType"] == "DirectPut"
    assert "Source" not in described
    found = pipe.firehose.list_delivery_streams(DeliveryStreamType="DirectPut")["DeliveryStreamNames"]
    assert pipe.name in found
    assert "ecommerce-transactions" not in found


def test_a_lambda_gets_what_is_put_directly_without_a_stream(pipe, tmp_path):
    (tmp_path / "handler.py").write_text(
        "import base64, json\n"
        "def handler(event, context):\n"
        "    said = {'stream': 'sourceKinesisStreamArn' in event, 'keys': sorted(event['records'][0])}\n"
        "    data = base64.b64encode(json.dumps(said).encode()).decode()\n"
        "    return {'records': [{'recordId': r['recordId'], 'result': 'Ok', 'data': data} for r in event['records']]}\n"
    )
    name = f"seeing-{pipe.name}"
    pipe.functions.create_function(
        FunctionName=name,
        Runtime="python3.13",
        Role=ROLE,
        Handler="handler.handler",
        Code={"ZipFile": package(tmp_path)[1]},
    )
    pipe.use_lambda(name)
    create_direct(pipe, ProcessingConfiguration={"Enabled": True, "Processors": pipe.processors})
    pipe.firehose.put_record(DeliveryStreamName=pipe.name, Record={"Data": b"x"})
    wait_for(lambda: delivered(pipe), 30, "the record", 0.2)
    assert [json.loads(line) for line in delivered(pipe)] == [
        {"stream": False, "keys": ["approximateArrivalTimestamp", "data", "recordId"]}
    ]
    pipe.functions.delete_function(FunctionName=name)


def test_a_kill_loses_nothing_that_was_put_directly(pipe):
    create_direct(pipe, BufferingHints={"IntervalInSeconds": 2, "SizeInMBs": 1})
    put = [f"{i}\n".encode() for i in range(100)]
    pipe.firehose.put_record_batch(DeliveryStreamName=pipe.name, Records=[{"Data": data} for data in put])
    [process] = [p for p in members(pipe.cloud) if "local.firehose" in p.cmdline()]
    process.kill()
    wait_for(lambda: set(delivered(pipe)) == set(put), 60, "the records", 0.5)


@pytest.mark.parametrize(
    ("destination", "said"),
    [
        ({"CompressionFormat": "ZIP"}, "CompressionFormat ZIP"),
        ({"Prefix": "x/!{timestamp:yyyy}/"}, "an expression in Prefix"),
        ({"DynamicPartitioningConfiguration": {"Enabled": True}}, "DynamicPartitioningConfiguration"),
        ({"FileExtension": ".json"}, "FileExtension"),
        ({"S3BackupMode": "Enabled"}, "S3BackupMode"),
        ({"ProcessingConfiguration": {"Enabled": True, "Processors": [{"Type": "Decompression"}]}}, "Decompression"),
    ],
)
def test_settings_without_effect_are_refused(pipe, destination, said):
    with pytest.raises(pipe.firehose.exceptions.InvalidArgumentException, match=said):
        create_direct(pipe, **destination)


def test_what_is_too_much_to_put_is_refused(pipe):
    create_direct(pipe, DynamicPartitioningConfiguration={"Enabled": False})
    refused = pipe.firehose.exceptions.InvalidArgumentException
    with pytest.raises(refused, match="bytes in a record"):
        pipe.firehose.put_record(DeliveryStreamName=pipe.name, Record={"Data": b"x" * (1000 * 1024 + 1)})
    for records in ([{"Data": b"x"}] * 501, [{"Data": b"x" * 1000 * 1024}] * 5):
        with pytest.raises(refused, match="at most"):
            pipe.firehose.put_record_batch(DeliveryStreamName=pipe.name, Records=records)


def test_tags(pipe):
    pipe.firehose.create_delivery_stream(
        DeliveryStreamName=pipe.name,
        ExtendedS3DestinationConfiguration=pipe.s3_configuration(1, 1, "GZIP"),
        Tags=[{"Key": "team", "Value": "a"}],
    )
    name = {"DeliveryStreamName": pipe.name}
    pipe.firehose.tag_delivery_stream(**name, Tags=[{"Key": "team", "Value": "b"}, {"Key": "cost"}])
    first = pipe.firehose.list_tags_for_delivery_stream(**name, Limit=1)
    assert (first["Tags"], first["HasMoreTags"]) == ([{"Key": "cost", "Value": ""}], True)
    rest = pipe.firehose.list_tags_for_delivery_stream(**name, ExclusiveStartTagKey="cost")
    assert (rest["Tags"], rest["HasMoreTags"]) == ([{"Key": "team", "Value": "b"}], False)
    pipe.firehose.untag_delivery_stream(**name, TagKeys=["cost", "none"])
    assert [tag["Key"] for tag in pipe.firehose.list_tags_for_delivery_stream(**name)["Tags"]] == ["team"]
    many = [{"Key": f"k{i}", "Value": ""} for i in range(50)]
    with pytest.raises(pipe.firehose.exceptions.LimitExceededException):
        pipe.firehose.tag_delivery_stream(**name, Tags=many)


def test_a_journal_reads_on_where_it_was_delivered(tmp_path, monkeypatch):
    monkeypatch.setattr("local.firehose.sources.SEGMENT_BYTES", 50)
    journal = Journal(tmp_path)
    for number in range(6):
        journal.append([f"{number}".encode()] * 2)
    first = journal.read(Journal.SHARD)
    assert [taken.data for taken in first] == [b"0", b"0"]
    second = journal.read(Journal.SHARD)
    journal.delivered({Journal.SHARD: second[0].sequence_number})
    last = max(tmp_path.iterdir())
    with last.open("ab") as file:
        file.write(b'[1.0, "dG9')  # what a kill left of a line
    again = Journal(tmp_path, second[0].sequence_number)
    again.append([b"new"])
    found = []
    while more := again.read(Journal.SHARD):
        found += [taken.data for taken in more]
    assert found == [b"1", b"2", b"2", b"3", b"3", b"4", b"4", b"5", b"5", b"new"]


def test_a_journal_that_could_not_keep_a_record_keeps_the_next(tmp_path):
    journal = Journal(tmp_path)
    journal.append([b"before"])
    [file] = tmp_path.iterdir()
    limits, action = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (file.stat().st_size + 10, limits[1]))  # a disk with 10 bytes left
    try:
        with pytest.raises(OSError, match="File too large"):
            journal.append([b"refused"])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, action)
    assert not file.read_bytes().endswith(b"\n")
    journal.append([b"after"])
    found = []
    while more := journal.read(Journal.SHARD):
        found += [taken.data for taken in more]
    assert found == [b"before", b"after"]


def _reachable_rows(pipe):
    return [event_id for event_id, _ in pipe.rows()]


def test_what_the_service_refuses_is_refused(pipe):
    pipe.create_table()
    pipe.create()
    for call, code in [
        (lambda: pipe.create(), "ResourceInUseException"),
        (
            lambda: pipe.firehose.put_record(DeliveryStreamName=pipe.name, Record={"Data": b"x"}),
            "InvalidArgumentException",
        ),
        (lambda: pipe.firehose.describe_delivery_stream(DeliveryStreamName="none"), "ResourceNotFoundException"),
        (lambda: pipe.firehose.delete_delivery_stream(DeliveryStreamName="none"), "ResourceNotFoundException"),
        (lambda: pipe.firehose.create_delivery_stream(DeliveryStreamName="direct"), "InvalidArgumentException"),
        (
            lambda: pipe.firehose.start_delivery_stream_encryption(DeliveryStreamName=pipe.name),
            "UnknownOperationException",
        ),
        (
            lambda: pipe.firehose.update_destination(
                DeliveryStreamName=pipe.name,
                CurrentDeliveryStreamVersionId="7",
                DestinationId="destinationId-000000000001",
                RedshiftDestinationUpdate={},
            ),
            "ConcurrentModificationException",
        ),
    ]:
        with pytest.raises(ClientError) as caught:
            call()
        assert caught.value.response["Error"]["Code"] == code


def test_files_that_a_copy_job_loads_are_in_the_table_once(pipe):
    """The way without a network to the warehouse: Firehose to S3, and Redshift takes each file by itself."""
    pipe.create_table()
    source = f"'s3://{pipe.bucket}/firehose/2' IAM_ROLE '{ROLE}' FORMAT AS JSON 'auto ignorecase' GZIP"
    job = f"job_{pipe.name[5:]}"
    pipe.warehouse.run([f"COPY {pipe.table} (event_id, Quantity) FROM {source} JOB CREATE {job} AUTO ON"])
    pipe.create_to_s3()
    for start in (0, 40):
        pipe.put([row(i) for i in range(start, start + 40)])
        pipe.wait_for_rows(start + 40)
    assert pipe.rows() == [(f"e{i:06d}", i) for i in range(80)]
    files = pipe.keys("firehose/2")
    assert pipe.keys("firehose/manifests/") == pipe.keys("firehose/errors/") == []
    detail = f"SELECT file_name, status FROM sys_copy_job_detail WHERE job_name = '{job}' ORDER BY 1"
    assert pipe.warehouse.query(detail) == [(key, "I") for key in files]
    described = pipe.firehose.describe_delivery_stream(DeliveryStreamName=pipe.name)["DeliveryStreamDescription"]
    [destination] = described["Destinations"]
    assert destination["ExtendedS3DestinationDescription"]["Prefix"] == "firehose/"
    assert "RedshiftDestinationDescription" not in destination
    pipe.warehouse.run([f"COPY JOB DROP {job}"])


def test_the_destination_may_become_another_and_the_place_stays(pipe):
    pipe.create_table()
    pipe.create()
    pipe.put([row(i) for i in range(3)])
    pipe.wait_for_rows(3)
    pipe.firehose.update_destination(
        DeliveryStreamName=pipe.name,
        CurrentDeliveryStreamVersionId="1",
        DestinationId="destinationId-000000000001",
        ExtendedS3DestinationUpdate=pipe.s3_configuration(1, 1, "UNCOMPRESSED") | {"Prefix": "files/"},
    )
    pipe.put([row(7)])
    wait_for(lambda: pipe.keys("files/2"), 30, "the file")
    [key] = pipe.keys("files/2")
    assert pipe.read(key) == row(7)
    assert len(pipe.rows()) == 3


def test_an_update_keeps_the_place(pipe):
    pipe.create_table()
    pipe.create()
    pipe.put([row(i) for i in range(3)])
    pipe.wait_for_rows(3)
    pipe.firehose.update_destination(
        DeliveryStreamName=pipe.name,
        CurrentDeliveryStreamVersionId="1",
        DestinationId="destinationId-000000000001",
        RedshiftDestinationUpdate={
            "S3Update": {"RoleARN": ROLE, "BucketARN": f"arn:aws:s3:::{pipe.bucket}", "Prefix": "new/"}
        },
    )
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
            pipe.cloud.url("firehose"), json.dumps(members).encode(), {"X-Amz-Target": f"Firehose_20150804.{operation}"}
        )
        with urllib.request.urlopen(request) as answer:
            check_shape(model.operation_model(operation).output_shape, json.loads(answer.read()), operation)

    call("DescribeDeliveryStream", DeliveryStreamName=pipe.name)
    call("DescribeDeliveryStream", DeliveryStreamName="ecommerce-transactions")  # one that delivers to S3
    call("ListDeliveryStreams")
    call("DeleteDeliveryStream", DeliveryStreamName=pipe.name)


def test_the_template_defines_the_stream_that_is_there(cloud):
    client = boto3.client(
        "firehose",
        endpoint_url=cloud.url("firehose"),
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    found = client.describe_delivery_stream(DeliveryStreamName="ecommerce-transactions")["DeliveryStreamDescription"]
    [destination] = found["Destinations"]
    described = destination["ExtendedS3DestinationDescription"]
    assert (described["Prefix"], described["BufferingHints"]["IntervalInSeconds"]) == ("firehose/rows/", 5)


def test_both_ways_fill_the_same_columns(observer):
    """All but nothing of the table: a column that COPY does not name keeps its default, whatever the row says."""
    template = cfnlint.decode.decode(str(PROJECT / "infra/streaming.yaml"))[0]
    _, by_redshift, _ = template["Resources"]["Delivery"]["Properties"]["RedshiftDestinationConfiguration"]["Fn::If"]
    copy = by_redshift["CopyCommand"]
    job = parse_copy(
        parse_create(
            render(
                (PROJECT / "include/sql/core/firehose_transactions/copy_job.sql").read_text(),
                {"delivered_rows": "s3://bucket/firehose/rows/", "copy_role": f"'{ROLE}'"},
            )
        )[0]
    )
    assert copy["DataTableName"] == job.table == "core.firehose_transactions"
    named = [name.strip().lower() for name in copy["DataTableColumns"].split(",")]
    columns = observer.warehouse.query(
        "SELECT column_name FROM svv_columns WHERE table_schema = 'core' AND table_name = 'firehose_transactions' ORDER BY ordinal_position"
    )
    assert named == job.columns == [name for (name,) in columns]
