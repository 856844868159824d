"""Packages the Lambdas, deploys the stack and creates the warehouse's tables. Twice is once.

`python -m infra.deploy` works against whatever boto3's variables name: an AWS account, or the local cloud.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Annotated, Any

import boto3
import typer
from botocore.exceptions import BotoCoreError, ClientError, WaiterError
from ecommerce_elt.errors import PermanentError, TransientError
from ecommerce_elt.feeds import load_contracts
from ecommerce_elt.settings import PROJECT_DIR
from ecommerce_elt.warehouse import BATCH_MAX_STATEMENTS, Warehouse, create_statements
from rich.console import Console

TEMPLATE = PROJECT_DIR / "infra" / "streaming.yaml"
LAMBDAS = PROJECT_DIR / "lambdas"
LAYER = LAMBDAS / "shared"
# Folder to the template's parameter with the key of its package.
FUNCTIONS = {
    "raw_writer": "RawWriterKey",
    "ingest_api": "IngestApiKey",
    "query_api": "QueryApiKey",
    "api_authorizer": "ApiAuthorizerKey",
    "dynamodb_writer": "DynamodbWriterKey",
    "firehose_transform": "FirehoseTransformKey",
}
ZIP_EPOCH = (2020, 1, 1, 0, 0, 0)  # the same code gives the same archive, and so the same key

app = typer.Typer(add_completion=False)
err = Console(stderr=True)


def _archive(name: str, files: dict[str, bytes]) -> tuple[str, bytes]:
    """Returns (key with the content's hash, zip archive)."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in sorted(files.items()):
            info = zipfile.ZipInfo(path, ZIP_EPOCH)
            info.external_attr = 0o644 << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, content)
    body = buffer.getvalue()
    return f"lambdas/{name}-{hashlib.sha256(body).hexdigest()[:16]}.zip", body


def package(directory: Path) -> tuple[str, bytes]:
    """Returns (key with the content's hash, zip archive) of one Lambda's folder."""
    return _archive(directory.name, {path.name: path.read_bytes() for path in directory.glob("*.py")})


def package_layer() -> tuple[str, bytes]:
    """Returns (key with the content's hash, zip archive) of what all Lambdas share, with the contracts as JSON."""
    files = {f"python/{path.relative_to(LAYER)}": path.read_bytes() for path in LAYER.rglob("*.py")}
    files["python/ecommerce_events/contracts.json"] = json.dumps(lambda_contracts(), indent=1).encode()
    return _archive("shared", files)


def lambda_contracts() -> dict[str, dict[str, Any]]:
    """Returns feed to contract, as the Lambdas read them."""
    return {
        feed: {
            "feed": feed, "version": contract.version, "event_time": contract.event_time,
            "partition_key": contract.partition_key,
            "columns": [
                column.model_dump(include={"name", "type", "required", "min", "max", "max_bytes", "pattern", "accepted"})
                | {"headers": column.headers}
                for column in contract.columns
            ],
        }
        for feed, contract in load_contracts(PROJECT_DIR / "include" / "feeds").items()
    }  # fmt: skip


def _ensure_bucket(s3: Any, name: str, region: str) -> None:
    location = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    try:
        s3.create_bucket(Bucket=name, **location)
    except (s3.exceptions.BucketAlreadyOwnedByYou, s3.exceptions.BucketAlreadyExists):
        s3.head_bucket(Bucket=name)  # ours, or an error that says it is not


def deploy_stack(prefix: str, parameters: dict[str, str]) -> dict[str, str]:
    """Creates or updates the streaming stack and returns its outputs.

    Args:
        prefix: what all names derive from; the stack is `<prefix>-streaming`.
        parameters: of the template, beside those that the packaging gives.

    Raises:
        PermanentError: CloudFormation refused or rolled back; with the first reason that it gives.
    """
    session = boto3.session.Session()
    if not session.region_name:
        raise PermanentError("no AWS region: set AWS_DEFAULT_REGION")
    s3, cloudformation = session.client("s3"), session.client("cloudformation")
    account = session.client("sts").get_caller_identity()["Account"]
    code_bucket = f"{prefix}-code-{account}"
    _ensure_bucket(s3, code_bucket, session.region_name)
    packages = {"SharedLayerKey": package_layer()} | {
        parameter: package(LAMBDAS / folder) for folder, parameter in FUNCTIONS.items()
    }
    for key, body in packages.values():
        s3.put_object(Bucket=code_bucket, Key=key, Body=body)

    stack = f"{prefix}-streaming"
    keys = {parameter: key for parameter, (key, _) in packages.items()}
    values = {"Prefix": prefix, "CodeBucket": code_bucket, **keys, **parameters}
    template = TEMPLATE.read_text("utf-8")
    try:
        [found] = cloudformation.describe_stacks(StackName=stack)["Stacks"]
    except ClientError as error:
        if "does not exist" not in str(error):
            raise
        found = {}
    exists = bool(found)
    request: dict[str, Any] = {
        "StackName": stack,
        "TemplateBody": template,
        "Parameters": [{"ParameterKey": k, "ParameterValue": v} for k, v in values.items()],
        "Capabilities": ["CAPABILITY_NAMED_IAM"],
    }
    # What an earlier deployment chose, stays: another deployment need not say it again.
    declared = {p["ParameterKey"] for p in cloudformation.validate_template(TemplateBody=template)["Parameters"]}
    request["Parameters"] += [
        {"ParameterKey": parameter["ParameterKey"], "UsePreviousValue": True}
        for parameter in found.get("Parameters", [])
        if parameter["ParameterKey"] in declared - set(values)
    ]
    try:
        if exists:
            cloudformation.update_stack(**request)
        else:
            cloudformation.create_stack(**request, OnFailure="DELETE")
        waiter = cloudformation.get_waiter("stack_update_complete" if exists else "stack_create_complete")
        waiter.wait(StackName=stack, WaiterConfig={"Delay": 1, "MaxAttempts": 1800})
    except ClientError as error:
        if "No updates are to be performed" not in str(error):
            raise PermanentError(f"stack {stack}: {error}") from error
    except WaiterError as error:
        raise PermanentError(f"stack {stack}: {_first_failure(cloudformation, stack) or error}") from error
    described = cloudformation.describe_stacks(StackName=stack)["Stacks"][0]
    return {o["OutputKey"]: o["OutputValue"] for o in described.get("Outputs", [])}


def _first_failure(cloudformation: Any, stack: str) -> str:
    events = cloudformation.describe_stack_events(StackName=stack)["StackEvents"]
    failed = [e for e in reversed(events) if e.get("ResourceStatus", "").endswith("_FAILED")]
    return f"{failed[0]['LogicalResourceId']}: {failed[0].get('ResourceStatusReason', '')}" if failed else ""


def create_tables(workgroup: str, database: str) -> None:
    """Creates the schemas and tables of the warehouse that are not there yet."""
    contracts = load_contracts(PROJECT_DIR / "include" / "feeds").values()
    statements = create_statements(PROJECT_DIR / "include" / "sql", contracts)
    target = Warehouse(boto3.client("redshift-data"), workgroup, database)
    for start in range(0, len(statements), BATCH_MAX_STATEMENTS):
        target.run(statements[start : start + BATCH_MAX_STATEMENTS], name="create tables")


@app.command()
def deploy(
    prefix: Annotated[str, typer.Option(help="What all names derive from.")] = "ecommerce",
    parameter: Annotated[list[str] | None, typer.Option(help="Template parameter, Key=Value. Repeatable.")] = None,
    workgroup: Annotated[str, typer.Option(help="Redshift Serverless workgroup.")] = "ecommerce",
    database: Annotated[str, typer.Option()] = "ecommerce",
    outputs_file: Annotated[Path | None, typer.Option(help="Also write the outputs here, as JSON.")] = None,
) -> None:
    """Deploy the streaming stack and the warehouse's tables; print the stack's outputs."""
    try:
        outputs = deploy_stack(prefix, dict(p.split("=", 1) for p in parameter or []))
        create_tables(workgroup, database)
    except (PermanentError, TransientError, ClientError, BotoCoreError) as error:
        err.print(f"[red]deploy:[/] {error}", highlight=False)
        raise typer.Exit(1) from error
    if outputs_file:
        outputs_file.write_text(json.dumps(outputs, indent=1, sort_keys=True), "utf-8")
    for name, value in sorted(outputs.items()):
        typer.echo(f"{name}={value}")


if __name__ == "__main__":
    app()
