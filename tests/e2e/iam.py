"""What IAM asks of a recorded call, and what the roles that are deployed allow."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from local.stack import ACCOUNT, REGION
from tests.conftest import PROJECT

# Service Authorization Reference: the action where it is not the operation's name.
ACTIONS = {
    "s3": {
        "HeadObject": "GetObject",
        "CreateMultipartUpload": "PutObject",
        "UploadPart": "PutObject",
        "CompleteMultipartUpload": "PutObject",
        "DeleteObjects": "DeleteObject",
        "ListObjectsV2": "ListBucket",
        "ListObjects": "ListBucket",
        "HeadBucket": "ListBucket",
    },
    "sqs": {"DeleteMessageBatch": "DeleteMessage", "SendMessageBatch": "SendMessage"},
    "lambda": {"Invoke": "InvokeFunction"},
}
WRITES = {"Put": "PutItem", "Update": "UpdateItem", "Delete": "DeleteItem", "ConditionCheck": "ConditionCheckItem"}
CATALOG = {"Database", "Databases", "Table", "Tables", "Partition", "Partitions"}
# Role, action, resource, and why a grant is there that no call of the local cloud uses.
FORECASTS = (PROJECT / ".venv" / "forecast" / "bin" / "python").is_file()  # make setup-forecast
# Where the environment of forecasts is not installed, their DAG is skipped.
_WITHOUT_FORECASTS = [
    ("ecommerce-stage-forecast", "*", "*", "forecast_demand is skipped without its environment"),
    ("ecommerce-copy", "s3:*", "*/forecast/*", "forecast_demand is skipped without its environment"),
]
NOT_SEEN_HERE = [
    *([] if FORECASTS else _WITHOUT_FORECASTS),
    ("ecommerce-stage-forecast", "s3:PutObject", "*/models/[*]", "a network takes 28 weeks of demand: tests/forecast"),
    ("*", "logs:*", "*", "Lambda, Glue and Firehose write logs with the role; the code makes no call"),
    ("ecommerce-*-writer", "kinesis:*", "*", "the event source mapping reads the stream with the function's role"),
    (
        "ecommerce-*-writer",
        "sqs:SendMessage",
        "*-failures",
        "Lambda sends what a mapping gives up, with the function's role",
    ),
    (
        "ecommerce-delivery",
        "*",
        "*",
        "Firehose developer guide, 'Grant Firehose access to an Amazon Redshift destination'",
    ),
    ("ecommerce-crawler", "glue:*", "*", "what a crawler calls depends on what changed since the last crawl"),
    ("ecommerce-stage-lake", "s3:GetObject", "*/quarantine/feed=[*]", "Athena reads with the rights of its caller"),
    (
        "ecommerce-stage-reconcile",
        "sqs:*",
        "*",
        "where a notification was lost: tests/plugins/reconcile/test_hours.py",
    ),
    (
        "ecommerce-stage-reconcile",
        "dynamodb:*",
        "*",
        "events of earlier hours: tests/plugins/reconcile/test_days.py",
    ),
    ("ecommerce-stage-erase", "s3:*", "*/bigquery/[*]", "no BigQuery is in this stack: tests/e2e/test_bigquery.py"),
    (
        "ecommerce-stage-bigquery",
        "*",
        "*",
        "no BigQuery is in this stack: tests/plugins/bigquery/test_export_bigquery.py",
    ),
    (
        "ecommerce-copy",
        "s3:PutObject",
        "*/bigquery/[*]",
        "no BigQuery is in this stack: tests/plugins/bigquery/test_export_bigquery.py",
    ),
    ("ecommerce-stage-*", "sns:Publish", "*", "an alert: tests/e2e/test_load_events.py"),
    ("ecommerce-stage-lake", "glue:*Update*", "*", "where a table's columns changed since the last run"),
    ("ecommerce-*", "redshift-data:DescribeStatement", "*", "asked only of a statement that takes time"),
    (
        "ecommerce-stage-lake",
        "s3:DeleteObject",
        "*",
        "after a day's grace, or years of retention: tests/plugins/lake/test_retention.py",
    ),
]


@dataclass(frozen=True, order=True)
class Need:
    """One action on one resource; `prefix` is what a listing asks for."""

    action: str
    resource: str
    prefix: str = field(default="", compare=False)


def arn(service: str, resource: str) -> str:
    return f"arn:aws:{service}:{REGION}:{ACCOUNT}:{resource}"


def needs(service: str, operation: str, on: dict[str, Any]) -> Iterator[Need]:
    """Yields the permissions that the call needs.

    Raises:
        KeyError: of an operation of which nothing is known here.
    """
    action = ACTIONS.get(service, {}).get(operation, operation)
    if service == "s3":
        bucket = f"arn:aws:s3:::{on['Bucket']}"
        if action == "ListBucket":
            yield Need("s3:ListBucket", bucket, on.get("Prefix", ""))
        elif operation == "CopyObject":
            yield Need("s3:PutObject", f"{bucket}/{on['Key']}")
            yield Need("s3:GetObject", f"arn:aws:s3:::{on['CopySource']}")
        elif "Keys" in on or "Key" in on:
            for key in on.get("Keys") or [on["Key"]]:
                yield Need(f"s3:{action}", f"{bucket}/{key}")
        else:
            yield Need(f"s3:{action}", bucket)
    elif service == "sqs":
        yield Need(f"sqs:{action}", arn("sqs", (on.get("QueueName") or on["QueueUrl"]).rsplit("/", 1)[-1]))
    elif service == "kinesis":
        name = (
            on.get("StreamName") or on.get("StreamARN", "ecommerce-events").rsplit("/", 1)[-1]
        )  # or an iterator of it
        yield Need(f"kinesis:{action}", arn("kinesis", f"stream/{name}"))
    elif service == "redshift-data":
        on_workgroup = operation in {"ExecuteStatement", "BatchExecuteStatement"}  # or on a session of it
        yield Need(
            f"redshift-data:{action}", arn("redshift-serverless", "workgroup/ecommerce") if on_workgroup else "*"
        )
        if on_workgroup:
            yield Need("redshift-serverless:GetCredentials", arn("redshift-serverless", "workgroup/ecommerce"))
    elif service == "dynamodb":
        if operation == "TransactWriteItems":
            for kind, table in on["Items"]:
                yield Need(f"dynamodb:{WRITES[kind]}", arn("dynamodb", f"table/{table}"))
        else:
            for table in on.get("Tables") or [on["TableName"]]:
                index = f"/index/{on['IndexName']}" if "IndexName" in on else ""
                yield Need(f"dynamodb:{action}", arn("dynamodb", f"table/{table}{index}"))
    elif service == "glue":
        if re.sub(r"^(Batch)?(Create|Get|Update|Delete)", "", operation) in CATALOG:
            parts = ["catalog"]
            if database := on.get("DatabaseName") or (on.get("Name") if "Database" in operation else None):
                parts.append(f"database/{database}")
                if "Database" not in operation:
                    parts.append(f"table/{database}/{on.get('TableName') or on.get('Name') or '...'}")
            for part in parts:
                yield Need(f"glue:{action}", arn("glue", part))
        elif "Crawler" in operation:
            yield Need(f"glue:{action}", arn("glue", f"crawler/{on['Name']}"))
        else:
            yield Need(f"glue:{action}", arn("glue", f"job/{on['JobName']}"))
    elif (service, operation) == ("athena", "GetTableMetadata"):
        yield Need(f"athena:{action}", arn("athena", f"datacatalog/{on['CatalogName']}"))
        for part in ("catalog", f"database/{on['DatabaseName']}", f"table/{on['DatabaseName']}/{on['TableName']}"):
            yield Need("glue:GetTable", arn("glue", part))  # Athena user guide, "Fine-grained access to databases"
    elif service == "athena":
        yield Need(f"athena:{action}", arn("athena", f"workgroup/{on.get('WorkGroup', 'ecommerce')}"))
    elif service == "quicksight":
        data_set = f"dataset/{on['DataSetId']}"
        of_run = "/ingestion/..." if operation in {"CreateIngestion", "DescribeIngestion"} else ""
        yield Need(f"quicksight:{action}", arn("quicksight", data_set + of_run))
    elif service == "sns":
        yield Need(f"sns:{action}", on.get("TopicArn") or on["TargetArn"])
    elif service == "secretsmanager":
        name = on["SecretId"]
        yield Need(
            f"secretsmanager:{action}",
            name if name.startswith("arn:") else arn("secretsmanager", f"secret:{name}-......"),
        )
    elif service == "lambda":
        yield Need(
            f"lambda:{action}",
            on["FunctionName"]
            if on["FunctionName"].startswith("arn:")
            else arn("lambda", f"function:{on['FunctionName']}"),
        )
    elif (service, operation) == ("sts", "GetCallerIdentity"):
        return  # needs no permission
    elif (service, operation) == ("cloudwatch", "PutMetricData") and on["Namespace"].startswith("AWS/"):
        return  # a metric of the service itself
    elif service == "cloudwatch":
        yield Need(f"cloudwatch:{action}", "*")
    else:
        raise KeyError(f"{service} {operation}: say in {__name__} what it needs")


@dataclass
class Grant:
    """One action on one resource that a policy allows."""

    action: str
    resource: str
    prefixes: tuple[str, ...]
    used: bool = False

    def allows(self, need: Need) -> bool:
        return (
            self.action == need.action
            and (fnmatchcase(need.resource, self.resource) or need.resource == self.resource[:-6] + "......")
            and (not self.prefixes or any(fnmatchcase(need.prefix, p) for p in self.prefixes))
        )


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def grants(iam: Any, role: str) -> list[Grant]:
    """Returns what the role, or the managed policy of that name, allows, as it is deployed."""
    try:
        names = iam.list_role_policies(RoleName=role)["PolicyNames"]
        documents = [iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"] for name in names]
    except iam.exceptions.NoSuchEntityException:
        policy = arn("iam", f"policy/{role}").replace(f":{REGION}:", "::")
        version = iam.get_policy(PolicyArn=policy)["Policy"]["DefaultVersionId"]
        documents = [iam.get_policy_version(PolicyArn=policy, VersionId=version)["PolicyVersion"]["Document"]]
    found = []
    for document in documents:
        for statement in (json.loads(document) if isinstance(document, str) else document)["Statement"]:
            assert statement["Effect"] == "Allow"
            prefixes = tuple(_list(statement.get("Condition", {}).get("StringLike", {}).get("s3:prefix", [])))
            found += [
                Grant(action, resource, prefixes)
                for action in _list(statement["Action"])
                for resource in _list(statement["Resource"])
            ]
    return found
