"""Deploys the packages and the stacks, and creates the warehouse's tables. Idempotent.

`python -m infra.deploy` works against the AWS account or the local cloud that boto3's variables name.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import boto3
import typer
from botocore.exceptions import BotoCoreError, ClientError
from ecommerce_elt import aws_names
from ecommerce_elt.errors import PermanentError, TransientError
from ecommerce_elt.feeds import sales
from ecommerce_elt.feeds.contracts import load_contracts
from ecommerce_elt.marts import builds
from ecommerce_elt.settings import PROJECT_DIR
from ecommerce_elt.warehouse import redshift
from ecommerce_elt.warehouse import tables as warehouse_tables
from ecommerce_elt.warehouse.migrations import migrate
from ecommerce_elt.warehouse.redshift import Warehouse
from more_itertools import chunked
from rich.console import Console

from infra import mwaa
from infra.airflow_environment import variables
from infra.api_keys import ensure_keys
from infra.packages import FUNCTIONS, LAMBDAS, SQL, package, package_job, package_layer, upload
from infra.stacks import STACKS, TEMPLATES, Approve, declared, deploy_stack, described

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
err = Console(stderr=True)


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
    known = {name for stack in stacks for name in declared(stack)}
    if unknown := sorted(set(parameters) - known):
        raise PermanentError(
            f"--parameter {', '.join(unknown)}: no template has it; there are {', '.join(sorted(known))}"
        )
    packages = (
        {"SharedLayerKey": package_layer()}
        | {parameter: package(LAMBDAS / folder) for folder, parameter in FUNCTIONS.items()}
        | package_job()
    )
    secret = ensure_secret(aws_names.hmac_secret(prefix), os.environ.get("ECOMMERCE_PII_HMAC_KEY", ""))
    keys = ensure_keys(prefix, _deployed_before(prefix, "ApiKeySha256"))
    values = upload(prefix, packages) | {"PiiHmacSecretArn": secret, "ApiKeysSecretArn": keys} | parameters
    outputs: dict[str, str] = {}
    for stack in stacks:
        if stack == "orchestration":
            version = values.get("AirflowVersion", mwaa.DEFAULT)
            values |= mwaa.upload(
                values["CodeBucket"], variables(values | outputs | {"Settings": json.dumps(settings or {})}), version
            )
        outputs |= deploy_stack(aws_names.stack(prefix, stack), TEMPLATES / f"{stack}.yaml", outputs | values, approve)
    return outputs


def _deployed_before(prefix: str, parameter: str) -> list[str]:
    """Returns the values of a parameter in the last deployment of the streaming stack.

    The current template may no longer have the parameter.
    """
    found = described(boto3.client("cloudformation"), aws_names.stack(prefix, "streaming")).get("Parameters", [])
    text = next((p["ParameterValue"] for p in found if p["ParameterKey"] == parameter), "")
    return [value for value in text.split(",") if value]


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
    prefix: Annotated[str, typer.Option(help="Prefix of all names.")] = aws_names.PREFIX,
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
