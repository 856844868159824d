"""The AWS CLI asks each service of the local cloud once, with the environment of `make env`."""

import json
import uuid

import pytest

from local.shell import OWN_NAMES

ACCOUNT = "000000000000"


@pytest.fixture
def aws(cloud, monkeypatch, capsys, tmp_path):
    """Runs a command of the CLI in this process, which saves a second each, and returns its answer."""
    from awscli.clidriver import create_clidriver

    for name, value in cloud.user_environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))

    def run(*words):
        capsys.readouterr()
        # As the shell function `aws` of `make env`, which tests/local/test_shell.py is about.
        where = ["--endpoint-url", cloud.cloud_url] if words[0] in OWN_NAMES else []
        status = create_clidriver().main([*words, *where, "--output", "json"])
        said = capsys.readouterr()
        assert status == 0, said.err
        return json.loads(said.out) if said.out.strip() else {}

    return run


def test_each_service_answers(aws, bucket, tmp_path):
    name = f"cli{uuid.uuid4().hex[:10]}"
    body = tmp_path / "a.txt"
    body.write_text("x")
    aws("s3api", "put-object", "--bucket", bucket, "--key", "a.txt", "--body", str(body))
    assert [o["Key"] for o in aws("s3api", "list-objects-v2", "--bucket", bucket)["Contents"]] == ["a.txt"]
    assert aws("sts", "get-caller-identity")["Account"] == ACCOUNT
    aws("kinesis", "create-stream", "--stream-name", name, "--shard-count", "2")
    assert len(aws("kinesis", "list-shards", "--stream-name", name)["Shards"]) == 2
    destination = f"RoleARN=arn:aws:iam::{ACCOUNT}:role/x,BucketARN=arn:aws:s3:::{bucket}"
    named = ("--delivery-stream-name", name)
    aws("firehose", "create-delivery-stream", *named, "--extended-s3-destination-configuration", destination)
    aws("firehose", "tag-delivery-stream", *named, "--tags", "Key=team,Value=a")
    assert aws("firehose", "list-tags-for-delivery-stream", *named)["Tags"] == [{"Key": "team", "Value": "a"}]
    assert "RecordId" in aws("firehose", "put-record", *named, "--record", "Data=eA==")
    aws("firehose", "delete-delivery-stream", *named)
    aws("kinesis", "delete-stream", "--stream-name", name)
    aws("glue", "create-database", "--database-input", f"Name={name}")
    aws("glue", "create-table", "--database-name", name, "--table-input", f"Name={name}t")
    assert [table["Name"] for table in aws("glue", "search-tables", "--search-text", f"{name}t")["TableList"]] == [
        f"{name}t"
    ]
    assert aws("athena", "list-data-catalogs")["DataCatalogsSummary"][0]["CatalogName"] == "AwsDataCatalog"
    tables = aws("athena", "list-table-metadata", "--catalog-name", "AwsDataCatalog", "--database-name", name)
    assert [table["Name"] for table in tables["TableMetadataList"]] == [f"{name}t"]
    aws("glue", "delete-table", "--database-name", name, "--name", f"{name}t")
    aws("glue", "delete-database", "--name", name)
    users = aws("quicksight", "list-users", "--aws-account-id", ACCOUNT, "--namespace", "default")
    assert "UserList" in users
    queue = aws("sqs", "create-queue", "--queue-name", name)["QueueUrl"]
    assert queue in aws("sqs", "list-queues", "--queue-name-prefix", name)["QueueUrls"]
    aws("sqs", "delete-queue", "--queue-url", queue)
    topic = aws("sns", "create-topic", "--name", name)["TopicArn"]
    assert {"TopicArn": topic} in aws("sns", "list-topics")["Topics"]
    aws("sns", "delete-topic", "--topic-arn", topic)
    assert "Functions" in aws("lambda", "list-functions")
    assert "TableNames" in aws("dynamodb", "list-tables")
