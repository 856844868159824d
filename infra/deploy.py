"""Packages the Lambdas and the Glue job, deploys the stacks and creates the warehouse's tables. Idempotent.

`python -m infra.deploy` works against the AWS account or the local cloud that boto3's variables name.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Callable, Sequence
from importlib.metadata import distribution
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode

import boto3
import typer
from botocore.exceptions import BotoCoreError, ClientError, WaiterError
from ecommerce_elt.cleaning.spark_sql import spark_cleaning
from ecommerce_elt.cleaning.typing_sql import cleaned_by
from ecommerce_elt.errors import PermanentError, TransientError
from ecommerce_elt.feeds import sales
from ecommerce_elt.feeds.contracts import Contract, load_contracts
from ecommerce_elt.feeds.dialects import has_two_readings, rewrites
from ecommerce_elt.feeds.feed_sql import clean_sql
from ecommerce_elt.marts import builds
from ecommerce_elt.settings import PROJECT_DIR
from ecommerce_elt.warehouse import redshift
from ecommerce_elt.warehouse import tables as warehouse_tables
from ecommerce_elt.warehouse.migrations import migrate
from ecommerce_elt.warehouse.redshift import Warehouse
from more_itertools import chunked
from rich.console import Console

from infra import mwaa
from infra.api_keys import ensure_keys

TEMPLATES = PROJECT_DIR / "infra"
SQL = PROJECT_DIR / "include" / "sql"
PACKAGE = PROJECT_DIR / "plugins" / "ecommerce_elt"
JOB = PROJECT_DIR / "glue" / "clean_events.py"
# Modules that the job imports. Glue has pyarrow and boto3, but none of the other packages.
JOB_MODULES = (
    *(PACKAGE / f"{name}.py" for name in ("__init__", "errors", "listing")),
    *sorted((PACKAGE / "batches").glob("*.py")),
)
LAMBDAS = PROJECT_DIR / "lambdas"
LAYER = LAMBDAS / "shared"
# Folder to the template parameter for the key of its package.
FUNCTIONS = {
    "raw_writer": "RawWriterKey",
    "ingest_api": "IngestApiKey",
    "query_api": "QueryApiKey",
    "api_authorizer": "ApiAuthorizerKey",
    "dynamodb_writer": "DynamodbWriterKey",
    "firehose_transform": "FirehoseTransformKey",
}
LAYER_PACKAGES = ("aws-kinesis-agg", "protobuf", "six")
# In the order in which they need each other's outputs.
STACKS = (
    "streaming",
    "network",
    "analytics",
    "warehouse",
    "access",
    "forecast",
    "orchestration",
    "monitoring",
    "budget",
)

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
err = Console(stderr=True)


def _archive(name: str, files: dict[str, bytes]) -> tuple[str, bytes]:
    """Returns (key with the hash of the content, zip archive)."""
    body = mwaa.archive(files)
    return f"lambdas/{name}-{hashlib.sha256(body).hexdigest()[:16]}.zip", body


def package(directory: Path) -> tuple[str, bytes]:
    """Returns (key with the hash of the content, zip archive) of one Lambda's folder.

    handler.py is at the top of the archive, where Lambda looks for `handler.handler`. It imports the other modules as
    `lambdas.<folder>.<module>`, as in this repository.
    """
    inside = f"lambdas/{directory.name}/"
    paths = directory.glob("*.py")
    return _archive(directory.name, {("" if p.stem == "handler" else inside) + p.name: p.read_bytes() for p in paths})


def package_layer() -> tuple[str, bytes]:
    """Returns (key with the hash of the content, zip archive) of the shared layer, with the contracts as JSON.

    Only the Python files of packages are included, so that one layer runs on every processor. This makes protobuf
    slower, but it is used only for aggregated records.
    """
    files = {f"python/{path.relative_to(LAYER)}": path.read_bytes() for path in LAYER.rglob("*.py")}
    for name in LAYER_PACKAGES:
        files |= {
            f"python/{file}": file.read_binary()
            for file in distribution(name).files or ()
            if file.suffix == ".py" and ".." not in file.parts
        }
    files["python/ecommerce_events/contracts.json"] = json.dumps(lambda_contracts(), indent=1).encode()
    return _archive("shared", files)


LAMBDA_COLUMN = {"name", "type", "required", "min", "max", "max_bytes", "pattern", "privacy", "formats", "round"}


def lambda_contract(contract: Contract) -> dict[str, Any]:
    """Returns the contract in the form for the Lambdas."""
    return {
        "feed": contract.feed,
        "version": contract.version,
        "event_time": contract.event_time,
        "partition_key": contract.partition_key,
        "unknown_keys": contract.unknown_keys,
        "known_keys": contract.known_keys,
        "dialects_since": contract.dialects_since,
        "columns": [
            column.model_dump(include=LAMBDA_COLUMN)
            | {
                "headers": column.headers,
                "accepted": None if column.accepted is None else list(column.accepted),
                "missing": contract.missing_words(column),
                "rewrites": rewrites(column),
                "two_readings": has_two_readings(column),
                "is_personal": contract.is_personal,
            }
            for column in contract.columns
        ],
    }


def lambda_contracts() -> dict[str, dict[str, Any]]:
    """Returns the contracts of all feeds in the form for the Lambdas, by feed."""
    return {
        feed: lambda_contract(contract) for feed, contract in load_contracts(PROJECT_DIR / "include" / "feeds").items()
    }


def _ensure_bucket(s3: Any, name: str, region: str) -> None:
    location = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    try:
        s3.create_bucket(Bucket=name, **location)
    except (s3.exceptions.BucketAlreadyOwnedByYou, s3.exceptions.BucketAlreadyExists):
        s3.head_bucket(Bucket=name)  # fails if another account owns it
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})  # MWAA requires it


def package_job() -> dict[str, tuple[str, bytes]]:
    """Returns (key with the hash of the content, content) of the Glue job's files, by analytics template parameter."""
    modules = {str(path.relative_to(PACKAGE.parent)): path.read_bytes() for path in JOB_MODULES}
    cleaning = {
        feed: {
            "stages": spark_cleaning(contract, clean_sql(contract, SQL)),
            "known_keys": contract.known_keys,
            "cleaned_by": cleaned_by(contract, clean_sql(contract, SQL)),
        }
        for feed, contract in load_contracts(PROJECT_DIR / "include" / "feeds").items()
    }
    script, translated = JOB.read_bytes(), json.dumps(cleaning, indent=1).encode()
    key, archive = _archive("ecommerce_elt", modules)
    return {
        "JobPackageKey": (key.replace("lambdas/", "glue/"), archive),
        "JobScriptKey": (f"glue/clean_events-{_hash(script)}.py", script),
        "JobCleaningKey": (f"glue/cleaning-{_hash(translated)}.json", translated),
    }


def _hash(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()[:16]


def upload(prefix: str, packages: dict[str, tuple[str, bytes]]) -> dict[str, str]:
    """Uploads the packages to the code bucket, creates it if needed, and returns the parameters that name them."""
    session = boto3.session.Session()
    s3, account = session.client("s3"), session.client("sts").get_caller_identity()["Account"]
    bucket = f"{prefix}-code-{account}"
    _ensure_bucket(s3, bucket, session.region_name)
    for key, body in packages.values():
        s3.put_object(Bucket=bucket, Key=key, Body=body)
    return {"Prefix": prefix, "CodeBucket": bucket} | {parameter: key for parameter, (key, _) in packages.items()}


Approve = Callable[[str, list[dict[str, Any]]], bool]


class NotApproved(Exception):  # noqa: N818
    """The changes were shown and not approved."""


def deploy_stack(
    name: str, template_file: Path, values: dict[str, str], approve: Approve = lambda stack, changes: True
) -> dict[str, str]:
    """Creates or updates a stack by a change set, and returns its outputs.

    Args:
        name: name of the stack.
        template_file: the template.
        values: values of the template's parameters. A parameter that is missing here keeps its value from the last
            deployment.
        approve: called with the name of the stack and its changes, as CloudFormation lists them. If it returns False,
            nothing is deployed.

    Raises:
        NotApproved: `approve` returned False.
        PermanentError: CloudFormation refused or rolled back; the message has the first reason.
    """
    cloudformation = boto3.client("cloudformation")
    template = template_file.read_text("utf-8")
    found = described(cloudformation, name)
    exists = found.get("StackStatus", "REVIEW_IN_PROGRESS") != "REVIEW_IN_PROGRESS"
    declared = {p["ParameterKey"] for p in cloudformation.validate_template(TemplateBody=template)["Parameters"]}
    change_set = f"deploy-{secrets.token_hex(6)}"
    request: dict[str, Any] = {
        "StackName": name,
        "ChangeSetName": change_set,
        "ChangeSetType": "UPDATE" if exists else "CREATE",
        "TemplateBody": template,
        "Parameters": [{"ParameterKey": k, "ParameterValue": v} for k, v in values.items() if k in declared],
        "Capabilities": ["CAPABILITY_NAMED_IAM"],
        "Tags": [{"Key": "product", "Value": values["Prefix"]}],  # the budget filters by this tag
    }
    request["Parameters"] += [
        {"ParameterKey": parameter["ParameterKey"], "UsePreviousValue": True}
        for parameter in found.get("Parameters", [])
        if parameter["ParameterKey"] in declared - set(values)
    ]
    if not exists:
        request["OnStackFailure"] = "DELETE"
    try:
        cloudformation.create_change_set(**request)
        if changes := _changes(cloudformation, name, change_set):
            if not approve(name, changes):
                cloudformation.delete_change_set(StackName=name, ChangeSetName=change_set)
                raise NotApproved(f"stack {name}: nothing was changed")
            cloudformation.execute_change_set(StackName=name, ChangeSetName=change_set)
            waiter = cloudformation.get_waiter("stack_update_complete" if exists else "stack_create_complete")
            waiter.wait(StackName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 7200})
    except ClientError as error:
        raise PermanentError(f"stack {name}: {error}") from error
    except WaiterError as error:
        raise PermanentError(f"stack {name}: {_first_failure(cloudformation, name) or error}") from error
    return {o["OutputKey"]: o["OutputValue"] for o in described(cloudformation, name).get("Outputs", [])}


def described(cloudformation: Any, name: str) -> dict[str, Any]:
    """Returns the description of the stack, or an empty dict if it does not exist."""
    try:
        [found] = cloudformation.describe_stacks(StackName=name)["Stacks"]
    except ClientError as error:
        if "does not exist" not in str(error):
            raise
        return {}
    return dict(found)


def _changes(cloudformation: Any, name: str, change_set: str) -> list[dict[str, Any]]:
    """Returns the changes of a change set after its creation. A change set without changes is deleted."""
    try:
        cloudformation.get_waiter("change_set_create_complete").wait(
            StackName=name, ChangeSetName=change_set, WaiterConfig={"Delay": 1, "MaxAttempts": 300}
        )
    except WaiterError:
        described = cloudformation.describe_change_set(StackName=name, ChangeSetName=change_set)
        reason = described.get("StatusReason", "")
        if "didn't contain changes" not in reason and "No updates are to be performed" not in reason:
            raise PermanentError(f"stack {name}: {reason}") from None
        cloudformation.delete_change_set(StackName=name, ChangeSetName=change_set)
        return []
    pages = cloudformation.get_paginator("describe_change_set").paginate(StackName=name, ChangeSetName=change_set)
    return [change["ResourceChange"] for page in pages for change in page["Changes"]]


def deploy_all(
    prefix: str,
    parameters: dict[str, str],
    stacks: Sequence[str],
    approve: Approve = lambda stack, changes: True,
    settings: dict[str, str] | None = None,
) -> dict[str, str]:
    """Creates or updates the stacks and returns their outputs.

    Args:
        prefix: prefix of all names; a stack is called `<prefix>-<name>`.
        parameters: template parameters, in addition to those from packaging and from earlier stacks.
        stacks: some of STACKS, in their order.
        approve: as in `deploy_stack`.
        settings: settings of Airflow for MWAA, in addition to those that follow from the stacks.

    Raises:
        NotApproved: as in `deploy_stack`.
        PermanentError: as in `deploy_stack`; or there is no region, or no template has a given parameter.
    """
    if not boto3.session.Session().region_name:
        raise PermanentError("no AWS region: set AWS_DEFAULT_REGION")
    known = {name for stack in stacks for name in _declared(stack)}
    if unknown := sorted(set(parameters) - known):
        raise PermanentError(
            f"--parameter {', '.join(unknown)}: no template has it; there are {', '.join(sorted(known))}"
        )
    packages = (
        {"SharedLayerKey": package_layer()}
        | {parameter: package(LAMBDAS / folder) for folder, parameter in FUNCTIONS.items()}
        | package_job()
    )
    secret = ensure_secret(f"{prefix}/pii-hmac-key", os.environ.get("ECOMMERCE_PII_HMAC_KEY", ""))
    keys = ensure_keys(prefix, _deployed_before(prefix, "ApiKeySha256"))
    values = upload(prefix, packages) | {"PiiHmacSecretArn": secret, "ApiKeysSecretArn": keys} | parameters
    outputs: dict[str, str] = {}
    for stack in stacks:
        if stack == "orchestration":
            version = values.get("AirflowVersion", mwaa.DEFAULT)
            values |= mwaa.upload(
                values["CodeBucket"], variables(values | outputs | {"Settings": json.dumps(settings or {})}), version
            )
        outputs |= deploy_stack(f"{prefix}-{stack}", TEMPLATES / f"{stack}.yaml", outputs | values, approve)
    return outputs


def _deployed_before(prefix: str, parameter: str) -> list[str]:
    """Returns the values of a parameter in the last deployment of the streaming stack.

    The current template may no longer have the parameter.
    """
    found = described(boto3.client("cloudformation"), f"{prefix}-streaming").get("Parameters", [])
    text = next((p["ParameterValue"] for p in found if p["ParameterKey"] == parameter), "")
    return [value for value in text.split(",") if value]


def variables(outputs: dict[str, str]) -> dict[str, str]:
    """Returns the environment of Airflow for a deployment: the pipeline's settings, and the connections of its stages.

    Args:
        outputs: outputs of the stacks, and the parameters Prefix, RedshiftWorkgroup and RedshiftDatabase. The last two
            may be missing if they have their defaults. A stage with BigQuery also has the result of
            `infra.stage.BigQuery.outputs`. `Settings` has the stage's own settings as JSON.
    """
    prefix = outputs["Prefix"]
    found = {
        "ECOMMERCE_STACK_PREFIX": prefix,
        "ECOMMERCE_BUCKET": outputs["Bucket"],
        "ECOMMERCE_RAW_OBJECTS_QUEUE": outputs["RawObjectsQueueName"],
        "ECOMMERCE_ALERTS_TOPIC_ARN": outputs["AlertsTopicArn"],
        "ECOMMERCE_WORKGROUP": outputs.get("RedshiftWorkgroup", "ecommerce"),
        "ECOMMERCE_DATABASE": outputs.get("RedshiftDatabase", "ecommerce"),
        "ECOMMERCE_LAKE_DATABASE": outputs["LakeDatabase"],
        "ECOMMERCE_ATHENA_WORKGROUP": outputs["AthenaWorkgroup"],
        "ECOMMERCE_PII_HMAC_SECRET": f"{prefix}/pii-hmac-key",
        "ECOMMERCE_HAS_DELIVERY": str(outputs["DeliveryTo"] != "none").lower(),
    }
    for stage in ("Load", "Marts", "Dashboards", "Lake", "Erase", "Reconcile", "Features", "Bigquery", "Forecast"):
        extra = {"role_arn": outputs[f"{stage}RoleArn"], "region_name": boto3.session.Session().region_name}
        found[f"AIRFLOW_CONN_AWS_{stage.upper()}"] = f"aws://?{urlencode(extra)}"
    own: dict[str, str] = json.loads(outputs.get("Settings", "{}"))
    return found | _of_bigquery(outputs) | _of_forecast(outputs) | own


def _of_forecast(outputs: dict[str, str]) -> dict[str, str]:
    """Returns the settings for forecasts as an ECS task, which are empty if the stage has no forecasts."""
    if "ForecastTaskDefinitionArn" not in outputs:
        return {}
    return {
        "ECOMMERCE_FORECAST_TASK_DEFINITION": outputs["ForecastTaskDefinitionArn"],
        "ECOMMERCE_FORECAST_CLUSTER": outputs["ForecastCluster"],
        "ECOMMERCE_FORECAST_LOG_GROUP": outputs["ForecastLogGroup"],
        "ECOMMERCE_FORECAST_SUBNETS": json.dumps(outputs["SubnetIds"].split(",")),
        "ECOMMERCE_FORECAST_SECURITY_GROUPS": json.dumps([outputs["AirflowGroupId"]]),
    }


def _of_bigquery(outputs: dict[str, str]) -> dict[str, str]:
    """Returns the settings and the connection of the export to BigQuery, empty if the stage has no export.

    The connection contains no secret.
    """
    if "BigqueryProject" not in outputs:
        return {}
    accounts = "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts"
    config = {
        "type": "external_account",
        "audience": f"//iam.googleapis.com/{outputs['BigqueryProvider']}",
        "subject_token_type": "urn:ietf:params:aws:token-type:aws4_request",
        "token_url": "https://sts.googleapis.com/v1/token",
        "service_account_impersonation_url": f"{accounts}/{outputs['BigqueryServiceAccount']}:generateAccessToken",
    }
    connection = {"conn_type": "google_cloud_platform", "extra": {"credential_config_file": config}}
    return {
        "ECOMMERCE_BIGQUERY_PROJECT": outputs["BigqueryProject"],
        "ECOMMERCE_BIGQUERY_BUCKET": outputs["BigqueryBucket"],
        "ECOMMERCE_BIGQUERY_DATASET": outputs["BigqueryDataset"],
        "ECOMMERCE_BIGQUERY_LOCATION": outputs["BigqueryLocation"],
        "AIRFLOW_CONN_GCP_BIGQUERY": json.dumps(connection),
        **({"ECOMMERCE_BIGQUERY_TRANSFER_ROLE_ARN": role} if (role := outputs.get("TransferRoleArn")) else {}),
    }


def _declared(stack: str) -> list[str]:
    template = (TEMPLATES / f"{stack}.yaml").read_text("utf-8")
    found = boto3.client("cloudformation").validate_template(TemplateBody=template)
    return [parameter["ParameterKey"] for parameter in found["Parameters"]]


def ensure_secret(name: str, value: str) -> str:
    """Returns the ARN of the secret, which is created if it does not exist.

    Args:
        name: name of the secret.
        value: the expected value. If it is empty, the existing value is used, or a random one is created.

    Raises:
        PermanentError: the secret has another value, so that the same person would get another pseudonym.
    """
    client = boto3.client("secretsmanager")
    try:
        found = client.get_secret_value(SecretId=name)
    except client.exceptions.ResourceNotFoundException:
        return str(client.create_secret(Name=name, SecretString=value or secrets.token_hex(32))["ARN"])
    if value and found["SecretString"] != value:
        raise PermanentError(
            f"secret {name} is another key than ECOMMERCE_PII_HMAC_KEY. The key must never change: unset the variable"
        ) from None
    return str(found["ARN"])


def name_queries(workgroup: str, database: str) -> None:
    """Creates or updates Athena's named queries from include/sql/athena/, one per file, with its name."""
    athena = boto3.client("athena")
    pages = athena.get_paginator("list_named_queries").paginate(WorkGroup=workgroup)
    ids = [query_id for page in pages for query_id in page["NamedQueryIds"]]
    known = {query["Name"]: query for query in (athena.get_named_query(NamedQueryId=i)["NamedQuery"] for i in ids)}
    for file in sorted((SQL / "athena").glob("*.sql")):
        sql = file.read_text("utf-8")
        described = sql.splitlines()[0].removeprefix("-- ")
        if file.stem not in known:
            athena.create_named_query(
                Name=file.stem, Description=described, Database=database, QueryString=sql, WorkGroup=workgroup
            )
        elif known[file.stem]["QueryString"] != sql:
            query_id = known[file.stem]["NamedQueryId"]
            athena.update_named_query(NamedQueryId=query_id, Name=file.stem, Description=described, QueryString=sql)


def _first_failure(cloudformation: Any, stack: str) -> str:
    events = cloudformation.describe_stack_events(StackName=stack)["StackEvents"]
    failed = [e for e in reversed(events) if e.get("ResourceStatus", "").endswith("_FAILED")]
    return f"{failed[0]['LogicalResourceId']}: {failed[0].get('ResourceStatusReason', '')}" if failed else ""


def create_tables(workgroup: str, database: str, outputs: dict[str, str]) -> None:
    """Creates the missing schemas and tables of the warehouse, and migrates the others.

    Args:
        workgroup: the Redshift Serverless workgroup.
        database: the database.
        outputs: outputs of the stacks. They determine where Firehose delivers to, and so whether a COPY job is needed.
            If they include those of the warehouse stack, the statements run as its administrator, and the roles of the
            stages are granted their privileges.
    """
    contracts = load_contracts(PROJECT_DIR / "include" / "feeds")
    is_ours = "RedshiftNamespace" in outputs
    secret = _administrator(outputs["RedshiftNamespace"]) if is_ours else ""
    target = Warehouse(boto3.client("redshift-data"), workgroup, database, secret_arn=secret)
    statements = warehouse_tables.create_statements(SQL, contracts.values()) + warehouse_tables.ddl(
        SQL, builds.tables()
    )
    for some in chunked(statements, redshift.BATCH_MAX_STATEMENTS):
        target.run(some, name="create tables")
    tables, built = (
        [*warehouse_tables.tables(contracts.values()), *builds.tables()],
        [mart.table for mart in builds.MARTS],
    )
    for name in migrate(target, SQL, contracts.values(), tables, built):
        err.print(f"migrated the warehouse: {name}", highlight=False)
    views = [sales.view(SQL, contracts.values()), *warehouse_tables.ddl(SQL, [*warehouse_tables.VIEWS, *builds.VIEWS])]
    target.run(views, name="create views")
    target.run(builds.seed_statements(SQL), name="seed tables")
    builds.register(target, SQL, contracts)
    warehouse_tables.set_copy_job(
        target,
        SQL,
        rows=f"s3://{outputs['Bucket']}/firehose/rows/",
        role_arn=outputs["CopyRoleArn"],
        wanted=outputs["DeliveryTo"] == "auto-copy",
    )
    if is_ours:
        warehouse_tables.grant_access(target, SQL)


def _administrator(namespace: str) -> str:
    """Returns the ARN of the secret that Redshift created for the administrator of the namespace.

    An IAM identity without grants cannot create anything, so a deployment has to run as this user.
    """
    client = boto3.client("redshift-serverless")
    return str(client.get_namespace(namespaceName=namespace)["namespace"]["adminPasswordSecretArn"])


@app.command()
def deploy(
    prefix: Annotated[str, typer.Option(help="Prefix of all names.")] = "ecommerce",
    parameter: Annotated[list[str] | None, typer.Option(help="Template parameter, Key=Value. Repeatable.")] = None,
    workgroup: Annotated[str, typer.Option(help="Redshift Serverless workgroup.")] = "ecommerce",
    database: Annotated[str, typer.Option()] = "ecommerce",
    without: Annotated[
        list[str] | None, typer.Option(help=f"Stack to leave out, one of {', '.join(STACKS)}. Repeatable.")
    ] = None,
    outputs_file: Annotated[Path | None, typer.Option(help="Also write the outputs here, as JSON.")] = None,
) -> None:
    """Deploy the stacks, the named queries and the warehouse's tables without asking; print the stacks' outputs."""
    try:
        stacks = [stack for stack in STACKS if stack not in (without or [])]
        outputs = deploy_all(prefix, dict(p.split("=", 1) for p in parameter or []), stacks)
        if without:
            err.print(f"not deployed: {', '.join(without)}", highlight=False)
        name_queries(outputs["AthenaWorkgroup"], outputs["LakeDatabase"])
        create_tables(workgroup, database, outputs)
    except (PermanentError, TransientError, ClientError, BotoCoreError) as error:
        err.print(f"[red]deploy:[/] {error}", highlight=False)
        raise typer.Exit(1) from error
    if outputs_file:
        outputs_file.write_text(json.dumps(outputs, indent=1, sort_keys=True), "utf-8")
    for name, value in sorted(outputs.items()):
        typer.echo(f"{name}={value}")


if __name__ == "__main__":
    app()
