"""Operators, sensors and hooks of Airflow's Amazon provider, each run once against the local cloud, as a task would call it.

The connection aws_default and the endpoints come from the environment, as `make env` gives them; no Airflow runs.
"""

import json
import uuid
from typing import ClassVar

import pytest
from airflow.providers.amazon.aws.hooks.firehose import FirehoseHook
from airflow.providers.amazon.aws.hooks.kinesis import KinesisHook
from airflow.providers.amazon.aws.hooks.quicksight import QuickSightHook
from airflow.providers.amazon.aws.operators.athena import AthenaOperator
from airflow.providers.amazon.aws.operators.glue import GlueJobOperator
from airflow.providers.amazon.aws.operators.glue_catalog import (
    GlueCatalogCreateDatabaseOperator,
    GlueCatalogDeleteDatabaseOperator,
)
from airflow.providers.amazon.aws.operators.glue_crawler import GlueCrawlerCreateOperator, GlueCrawlerRunOperator
from airflow.providers.amazon.aws.operators.lambda_function import (
    LambdaCreateFunctionOperator,
    LambdaInvokeFunctionOperator,
)
from airflow.providers.amazon.aws.operators.quicksight import QuickSightCreateIngestionOperator
from airflow.providers.amazon.aws.operators.redshift_data import RedshiftDataOperator
from airflow.providers.amazon.aws.operators.s3 import (
    S3CopyObjectOperator,
    S3CreateBucketOperator,
    S3CreateObjectOperator,
    S3DeleteBucketOperator,
    S3DeleteObjectsOperator,
    S3FileTransformOperator,
    S3ListOperator,
    S3PutBucketTaggingOperator,
    S3ReadObjectOperator,
)
from airflow.providers.amazon.aws.operators.sns import SnsPublishOperator
from airflow.providers.amazon.aws.operators.sqs import SqsPublishOperator
from airflow.providers.amazon.aws.sensors.athena import AthenaSensor
from airflow.providers.amazon.aws.sensors.glue_catalog_partition import GlueCatalogPartitionSensor
from airflow.providers.amazon.aws.sensors.quicksight import QuickSightSensor
from airflow.providers.amazon.aws.sensors.s3 import S3KeySensor
from airflow.providers.amazon.aws.sensors.sqs import SqsSensor
from airflow.providers.amazon.aws.transfers.redshift_to_s3 import RedshiftToS3Operator
from airflow.providers.amazon.aws.transfers.s3_to_redshift import S3ToRedshiftOperator
from airflow.sdk.exceptions import TaskDeferred
from ecommerce_elt.dashboards import operators
from ecommerce_elt.dashboards.operators import IngestDataSetOperator

from infra.packages import package
from local.supervision import wait_for

ACCOUNT = "000000000000"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/any"
WAREHOUSE = {"workgroup_name": "ecommerce", "database": "ecommerce", "poll_interval": 0.2}


class TaskInstance(dict):
    """What operators ask of a context's task instance: it keeps what is pushed."""

    stats_tags: ClassVar[dict] = {}

    def xcom_push(self, key, value):
        self[key] = value


@pytest.fixture
def run(cloud, monkeypatch):
    """Executes an operator and returns its result; asks a sensor once, and returns whether it is satisfied."""
    for name, value in cloud.user_environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", "aws://")
    monkeypatch.setenv("AIRFLOW_CONN_REDSHIFT_DEFAULT", "aws://")

    def execute(kind, **arguments):
        task = kind(task_id=f"t{uuid.uuid4().hex[:8]}", **arguments)
        context = {"ti": TaskInstance()}
        return bool(task.poke(context)) if hasattr(task, "poke") else task.execute(context)

    return execute


@pytest.fixture
def name():
    return f"op{uuid.uuid4().hex[:10]}"


def test_s3(run, name, s3):
    run(S3CreateBucketOperator, bucket_name=name)
    run(S3PutBucketTaggingOperator, bucket_name=name, key="team", value="a")
    assert not run(S3KeySensor, bucket_key=f"s3://{name}/in/*.csv", wildcard_match=True)
    run(S3CreateObjectOperator, s3_bucket=name, s3_key="in/a.csv", data="x,1\n")
    assert run(S3KeySensor, bucket_key=f"s3://{name}/in/*.csv", wildcard_match=True)
    run(
        S3CopyObjectOperator,
        source_bucket_name=name,
        source_bucket_key="in/a.csv",
        dest_bucket_name=name,
        dest_bucket_key="in/b.csv",
    )
    run(
        S3FileTransformOperator,
        source_s3_key=f"s3://{name}/in/b.csv",
        dest_s3_key=f"s3://{name}/in/c.csv",
        transform_script="/bin/cp",
    )
    assert run(S3ListOperator, bucket=name, prefix="in/") == ["in/a.csv", "in/b.csv", "in/c.csv"]
    assert run(S3ReadObjectOperator, s3_key=f"s3://{name}/in/c.csv") == "x,1\n"
    assert s3.get_bucket_tagging(Bucket=name)["TagSet"] == [{"Key": "team", "Value": "a"}]
    run(S3DeleteObjectsOperator, bucket=name, prefix="in/")
    assert run(S3ListOperator, bucket=name) == []
    run(S3DeleteBucketOperator, bucket_name=name)
    assert name not in [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]


@pytest.mark.parametrize("method", ["APPEND", "REPLACE", "UPSERT"])
def test_s3_to_redshift_and_back(run, name, s3, bucket, method):
    """Their COPY and UNLOAD have the keys of the connection as CREDENTIALS."""
    data_api = {"redshift_data_api_kwargs": WAREHOUSE}
    table = f"core.{name}"
    sql = [
        f"CREATE TABLE {table} (id INT, word VARCHAR(20), PRIMARY KEY (id))",
        f"INSERT INTO {table} VALUES (1, 'old')",
    ]
    run(RedshiftDataOperator, sql=sql, **WAREHOUSE)
    s3.put_object(Bucket=bucket, Key="in/a.csv", Body=b'1,"new, one"\n2,two\n')
    run(
        S3ToRedshiftOperator,
        schema="core",
        table=name,
        s3_bucket=bucket,
        s3_key="in/",
        copy_options=["CSV"],
        method=method,
        upsert_keys=["id"],
        **data_api,
    )
    run(
        RedshiftToS3Operator,
        s3_bucket=bucket,
        s3_key="out/",
        select_query=f"SELECT id, word FROM {table} WHERE word <> ''x'' ORDER BY id, word",
        unload_options=["CSV", "PARALLEL OFF"],
        include_header=True,
        **data_api,
    )
    [key] = [each["Key"] for each in s3.list_objects_v2(Bucket=bucket, Prefix="out/")["Contents"]]
    old = "1,old\n" if method == "APPEND" else ""
    written = s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode()
    assert written == f'id,word\n1,"new, one"\n{old}2,two\n'
    run(RedshiftDataOperator, sql=f"DROP TABLE {table}", **WAREHOUSE)


def test_glue_and_athena(run, name, bucket, s3, cloud):
    s3.put_object(Bucket=bucket, Key=f"lake/{name}/dt=2026-01-01/a.json", Body=b'{"n": 2}\n{"n": 3}\n')
    run(GlueCatalogCreateDatabaseOperator, database_name=name)
    crawler = {
        "Name": name,
        "Role": ROLE,
        "DatabaseName": name,
        "Targets": {"S3Targets": [{"Path": f"s3://{bucket}/lake/{name}/"}]},
        "Configuration": json.dumps({"Version": 1.0, "Grouping": {"TableLevelConfiguration": 3}}),
    }
    run(GlueCrawlerCreateOperator, config=crawler)
    run(GlueCrawlerRunOperator, crawler_name=name, poll_interval=1)
    assert run(GlueCatalogPartitionSensor, table_name=name, database_name=name, expression="dt='2026-01-01'")
    query = f"SELECT SUM(n) AS total FROM {name}"
    output = {"output_location": f"s3://{bucket}/results/", "database": name}
    query_id = run(AthenaOperator, query=query, sleep_time=1, **output)
    assert run(AthenaSensor, query_execution_id=query_id)
    found = cloud.client("athena").get_query_results(QueryExecutionId=query_id)["ResultSet"]["Rows"]
    assert found[1]["Data"] == [{"VarCharValue": "5"}]
    with pytest.raises(Exception, match="TABLE_NOT_FOUND"):
        run(AthenaOperator, query="SELECT * FROM none", sleep_time=1, **output)
    cloud.client("glue").delete_crawler(Name=name)
    cloud.client("glue").delete_table(DatabaseName=name, Name=name)
    run(GlueCatalogDeleteDatabaseOperator, database_name=name)


def test_glue_job(run, name, bucket, s3, cloud):
    script = "import sys\nassert sys.argv[sys.argv.index('--word') + 1] == 'x'\n"
    s3.put_object(Bucket=bucket, Key="job.py", Body=script.encode())
    job = {
        "job_name": name,
        "script_location": f"s3://{bucket}/job.py",
        "iam_role_arn": ROLE,
        "create_job_kwargs": {"GlueVersion": "5.0", "NumberOfWorkers": 2, "WorkerType": "G.1X"},
        "job_poll_interval": 1,
    }
    run(GlueJobOperator, script_args={"--word": "x"}, **job)
    with pytest.raises(Exception, match="FAILED"):
        run(GlueJobOperator, script_args={"--word": "y"}, **job)
    states = [one["JobRunState"] for one in cloud.client("glue").get_job_runs(JobName=name)["JobRuns"]]
    assert sorted(states) == ["FAILED", "SUCCEEDED"]
    cloud.client("glue").delete_job(JobName=name)


def test_lambda(run, name, cloud, tmp_path):
    (tmp_path / "handler.py").write_text("def handler(event, context):\n    return {'twice': 2 * event['n']}\n")
    code = {"ZipFile": package(tmp_path)[1]}
    run(
        LambdaCreateFunctionOperator,
        function_name=name,
        runtime="python3.13",
        role=ROLE,
        handler="handler.handler",
        code=code,
        wait_for_completion=True,
    )
    answer = run(LambdaInvokeFunctionOperator, function_name=name, payload=json.dumps({"n": 21}))
    assert json.loads(answer) == {"twice": 42}
    with pytest.raises(Exception, match="Unhandled|KeyError"):
        run(LambdaInvokeFunctionOperator, function_name=name, payload="{}")
    cloud.client("lambda").delete_function(FunctionName=name)


def test_firehose_and_kinesis(run, name, bucket, s3, cloud):
    firehose, kinesis = cloud.client("firehose"), cloud.client("kinesis")
    destination = {
        "RoleARN": ROLE,
        "BucketARN": f"arn:aws:s3:::{bucket}",
        "BufferingHints": {"IntervalInSeconds": 1, "SizeInMBs": 1},
    }
    firehose.create_delivery_stream(DeliveryStreamName=name, ExtendedS3DestinationConfiguration=destination)
    answer = FirehoseHook(name, aws_conn_id="aws_default").put_records([{"Data": b"a\n"}, {"Data": b"b\n"}])
    assert answer["FailedPutCount"] == 0
    wait_for(lambda: s3.list_objects_v2(Bucket=bucket).get("KeyCount"), 30, "the object", 0.2)
    [key] = [each["Key"] for each in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == b"a\nb\n"
    firehose.delete_delivery_stream(DeliveryStreamName=name)
    kinesis.create_stream(StreamName=name, ShardCount=1)
    sent = KinesisHook(aws_conn_id="aws_default").get_conn().put_record(StreamName=name, Data=b"x", PartitionKey="k")
    assert sent["ShardId"] == "shardId-000000000000"
    kinesis.delete_stream(StreamName=name)


def test_sqs_and_sns(run, name, cloud):
    sqs, sns = cloud.client("sqs"), cloud.client("sns")
    queue = sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    waiting = {"sqs_queue": queue, "wait_time_seconds": 1, "max_messages": 1}
    assert not run(SqsSensor, **waiting)
    run(SqsPublishOperator, sqs_queue=queue, message_content="by hand")
    assert run(SqsSensor, **waiting)
    assert not run(SqsSensor, **waiting)  # which deleted it
    topic = sns.create_topic(Name=name)["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    run(SnsPublishOperator, target_arn=topic, subject="of it", message="by the topic")
    [message] = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=5)["Messages"]
    said = json.loads(message["Body"])
    assert (said["Subject"], said["Message"]) == ("of it", "by the topic")
    sns.delete_topic(TopicArn=topic)
    sqs.delete_queue(QueueUrl=queue)


def test_quicksight(run, name, cloud, monkeypatch):
    client = cloud.client("quicksight")
    host = f"ecommerce.{ACCOUNT}.us-east-1.redshift-serverless.amazonaws.com"
    source = client.create_data_source(
        AwsAccountId=ACCOUNT,
        DataSourceId=name,
        Name=name,
        Type="REDSHIFT",
        DataSourceParameters={"RedshiftParameters": {"Host": host, "Port": 5439, "Database": "ecommerce"}},
        Credentials={"SecretArn": f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:x"},
    )["Arn"]
    sql = {
        "DataSourceArn": source,
        "Name": "q",
        "SqlQuery": "SELECT 1 AS n",
        "Columns": [{"Name": "n", "Type": "INTEGER"}],
    }
    client.create_data_set(
        AwsAccountId=ACCOUNT, DataSetId=name, Name=name, ImportMode="SPICE", PhysicalTableMap={"t": {"CustomSql": sql}}
    )
    run(QuickSightCreateIngestionOperator, data_set_id=name, ingestion_id=name, waiter_delay=1)
    assert run(QuickSightSensor, data_set_id=name, ingestion_id=name)
    found = client.describe_ingestion(AwsAccountId=ACCOUNT, DataSetId=name, IngestionId=name)["Ingestion"]
    assert (found["IngestionStatus"], found["RowInfo"]["RowsIngested"]) == ("COMPLETED", 1)
    # Ours does not defer what is completed in a moment, and leaves what fails, or takes longer, to the trigger.
    assert run(IngestDataSetOperator, data_set_id=name, ingestion_id=f"{name}-soon", deferrable=True)["Status"] == 201
    with monkeypatch.context() as slow:
        slow.setattr(operators, "MOMENT_SECONDS", 0)
        slow.setattr(QuickSightHook, "get_status", lambda *args, **kwargs: "RUNNING")
        with pytest.raises(TaskDeferred):
            run(IngestDataSetOperator, data_set_id=name, ingestion_id=f"{name}-slow", deferrable=True)
    wrong = {"t": {"CustomSql": {**sql, "SqlQuery": "SELECT 1 AS n FROM mart.nothing"}}}
    client.update_data_set(AwsAccountId=ACCOUNT, DataSetId=name, Name=name, ImportMode="SPICE", PhysicalTableMap=wrong)
    with pytest.raises(TaskDeferred):
        run(IngestDataSetOperator, data_set_id=name, ingestion_id=f"{name}-failed", deferrable=True)
    client.delete_data_set(AwsAccountId=ACCOUNT, DataSetId=name)
