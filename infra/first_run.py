"""Checks the assumptions about AWS that only AWS can confirm.

It uses a stage of its own with the smallest warehouse, and removes the stage at the end.
`python -m infra.first_run --dry-run` lists the questions, which the last column of docs/redshift.md names. A run costs
some minutes of a warehouse and of a NAT gateway, less than a dollar. It takes about half an hour, most of it for the
stacks.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from typing import Annotated, Any, cast

import boto3
import typer
from botocore.exceptions import BotoCoreError, ClientError, WaiterError
from ecommerce_elt import aws_names
from ecommerce_elt.errors import PermanentError, TransientError
from rich.console import Console
from rich.table import Column, Table

from infra.deploy import create_tables, deploy_all
from infra.questions import QUESTIONS, Place, Question
from infra.stacks import STACKS, described

ASKED = tuple(stack for stack in STACKS if stack not in {"orchestration", "forecast", "monitoring", "budget"})
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
out = Console()
# Resources that a stack retains on purpose: CloudFormation type to the service, operation and parameter of their
# removal.
REMOVALS = {
    "AWS::Kinesis::Stream": ("kinesis", "DeleteStream", "StreamName"),
    "AWS::SQS::Queue": ("sqs", "DeleteQueue", "QueueUrl"),
    "AWS::DynamoDB::Table": ("dynamodb", "DeleteTable", "TableName"),
    "AWS::RedshiftServerless::Workgroup": ("redshift-serverless", "DeleteWorkgroup", "workgroupName"),
    "AWS::RedshiftServerless::Namespace": ("redshift-serverless", "DeleteNamespace", "namespaceName"),
    "AWS::KMS::Key": ("kms", "ScheduleKeyDeletion", "KeyId"),
    "AWS::S3::Bucket": ("s3", "DeleteBucket", "Bucket"),
}


def ask(place: Place, questions: tuple[Question, ...] = QUESTIONS) -> Iterator[tuple[Question, str]]:
    """Yields each question with its answer. An error is an answer, too."""
    for question in questions:
        try:
            found = question.ask(place)
        except (PermanentError, TransientError, ClientError, BotoCoreError) as error:
            found = f"refused: {error}"
        yield question, found


def clean_up(prefix: str, code_bucket: str) -> Iterator[str]:
    """Deletes the stacks in reverse order and the resources that they retain; yields what could not be deleted."""
    cloudformation = boto3.client("cloudformation")
    kept: list[tuple[str, str]] = []
    for stack in reversed(ASKED):
        name = aws_names.stack(prefix, stack)
        if described(cloudformation, name).get("StackStatus", "DELETE_COMPLETE") == "DELETE_COMPLETE":
            continue
        resources = cloudformation.describe_stack_resources(StackName=name)["StackResources"]
        kept += [(r["ResourceType"], r["PhysicalResourceId"]) for r in resources if r["ResourceType"] in REMOVALS]
        cloudformation.delete_stack(StackName=name)
        with contextlib.suppress(WaiterError):  # a stack that is left is reported below
            cloudformation.get_waiter("stack_delete_complete").wait(
                StackName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 3600}
            )
        if described(cloudformation, name).get("StackStatus", "DELETE_COMPLETE") != "DELETE_COMPLETE":
            yield f"stack {name}"
    order = list(REMOVALS)
    for kind, name in sorted([*kept, ("AWS::S3::Bucket", code_bucket)], key=lambda one: order.index(one[0])):
        try:
            _remove(kind, name)
        except (ClientError, BotoCoreError) as error:
            if not _is_gone(error):
                yield f"{kind} {name}: {error}"
    secrets_client = boto3.client("secretsmanager")
    for secret in (aws_names.hmac_secret(prefix), aws_names.api_keys_secret(prefix)):
        try:
            secrets_client.delete_secret(SecretId=secret, ForceDeleteWithoutRecovery=True)
        except ClientError as error:
            if not _is_gone(error):
                yield f"secret {secret}: {error}"


def _is_gone(error: ClientError | BotoCoreError) -> bool:
    code = error.response["Error"]["Code"] if isinstance(error, ClientError) else ""
    return any(word in code for word in ("NotFound", "NonExistent", "NoSuch", "KMSInvalidState")) or code == "404"


def _remove(kind: str, name: str) -> None:
    service, operation, parameter = REMOVALS[kind]
    client: Any = boto3.client(cast("Any", service))  # the stubs know only literal names
    if kind == "AWS::S3::Bucket":
        for page in client.get_paginator("list_object_versions").paginate(Bucket=name):
            found = [
                {"Key": o["Key"], "VersionId": o["VersionId"]}
                for o in page.get("Versions", []) + page.get("DeleteMarkers", [])
            ]
            if found:
                client.delete_objects(Bucket=name, Delete={"Objects": found})
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=name):
            for o in page.get("Contents", []):
                client.delete_object(Bucket=name, Key=o["Key"])
    more = {"PendingWindowInDays": 7} if kind == "AWS::KMS::Key" else {}
    getattr(client, _method(client, operation))(**{parameter: name, **more})


def _method(client: Any, operation: str) -> str:
    methods: dict[str, str] = client.meta.method_to_api_mapping
    return next(method for method, api in methods.items() if api == operation)


@app.command()
def first_run(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list the questions.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Do not remove the environment at the end.")] = False,
    prefix: Annotated[str, typer.Option(help="Prefix of the environment. By default a new one each time.")] = "",
    parameter: Annotated[list[str] | None, typer.Option(help="Template parameter, Key=Value. Repeatable.")] = None,
    without: Annotated[
        list[str] | None, typer.Option(help=f"Stack to leave out, one of {', '.join(ASKED)}. Repeatable.")
    ] = None,
    workgroup: Annotated[str, typer.Option(help="Redshift Serverless workgroup. By default the prefix.")] = "",
    database: Annotated[str, typer.Option()] = "ecommerce",
) -> None:
    """Deploy an environment, check each assumption, show those that do not hold, and remove the environment.

    Exits with 1 if an assumption does not hold.
    """
    if dry_run:
        _show([(question, "") for question in QUESTIONS], title="would be asked")
        return
    prefix = prefix or f"first-run-{secrets.token_hex(3)}"
    workgroup = workgroup or prefix
    parameters = {
        "RedshiftWorkgroup": workgroup,
        "RedshiftDatabase": database,
        "RedshiftBaseCapacity": "8",
        "RedshiftMaxCapacity": "8",
        "Shards": "1",
        "RawRetentionDays": "10",
    }
    parameters |= dict(p.split("=", 1) for p in parameter or [])
    stacks = [stack for stack in ASKED if stack not in (without or [])]
    parameters = {k: v for k, v in parameters.items() if "warehouse" in stacks or not k.endswith("Capacity")}
    answers: list[tuple[Question, str]] = []
    account = boto3.client("sts").get_caller_identity()["Account"]
    try:
        outputs = deploy_all(prefix, parameters, stacks)
        create_tables(workgroup, database, outputs)
        answers = list(ask(Place(outputs, workgroup, database, prefix)))
    finally:
        left = [] if keep else list(clean_up(prefix, aws_names.code_bucket(prefix, account)))
    _show(answers, title="asked")
    for what in left:
        out.print(f"[red]left:[/] {what}", highlight=False, soft_wrap=True)
    differing = [question.name for question, found in answers if found != question.assumed]
    out.print(f"differ: {', '.join(differing) or 'none'}", highlight=False, soft_wrap=True)
    if differing or left:
        raise typer.Exit(1)


def _show(answers: list[tuple[Question, str]], title: str) -> None:
    name = Column("question", no_wrap=True)  # docs/redshift.md names it
    table = Table(name, "asks", "assumed", "found", title=title, title_justify="left")
    for question, found in answers:
        colour = "" if not found else "green" if found == question.assumed else "red"
        table.add_row(question.name, question.asks, question.assumed, f"[{colour}]{found}[/]" if colour else "")
    out.print(table)


if __name__ == "__main__":
    app()
