"""An environment of the product in an AWS account: `python -m infra.stage deploy dev`, `undeploy dev`, `env dev`.

`deploy` runs checks, shows the resources and their cost, asks for confirmation, and deploys. It is idempotent.
"""

from __future__ import annotations

import json
import re
import shlex
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NoReturn

import boto3
import typer
import yaml
from botocore.exceptions import BotoCoreError, ClientError, WaiterError
from cfnlint.decode import cfn_yaml
from ecommerce_elt import aws_names
from ecommerce_elt.errors import PermanentError, TransientError
from ecommerce_elt.settings import PROJECT_DIR, Settings
from pydantic import BaseModel, Field, ValidationError
from rich.console import Console
from rich.table import Table

from infra import mwaa
from infra.cost import estimate
from infra.deploy import (
    STACKS,
    TEMPLATES,
    NotApproved,
    create_tables,
    deploy_all,
    described,
    name_queries,
    variables,
)

STAGES = TEMPLATES / "stages"
DEPLOYED = PROJECT_DIR / ".deployed"  # outputs, one file per stage; ignored by git
# What's New, "Amazon Redshift Serverless now supports 4 RPU minimum capacity", June 2025. More regions have followed.
HAS_4_RPUS = {
    "us-east-1",
    "us-east-2",
    "us-west-2",
    "ap-south-1",
    "ap-southeast-1",
    "ap-southeast-2",
    "ap-northeast-1",
    "eu-west-1",
    "eu-north-1",
}
API_CONCURRENCY = 50  # concurrency of the HTTP API's functions at the default throttling

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__, pretty_exceptions_enable=False)
out, err = Console(), Console(stderr=True)

Name = Annotated[str, typer.Argument(metavar="STAGE", help="A file of infra/stages/, without .yaml.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")]


class BigQuery(BaseModel, extra="forbid"):
    """The resources that infra/gcp/setup.sh created, with the values that it prints."""

    project: str = Field(pattern=r"^[a-z0-9:.-]{6,63}$")
    bucket: str = Field(pattern=r"^[a-z0-9._-]{3,63}$")
    dataset: str = Field(default="ecommerce", pattern=r"^[A-Za-z0-9_]{1,100}$")
    location: str = "EU"
    provider: str = Field(
        pattern=r"^projects/\d+/locations/global/workloadIdentityPools/[a-z0-9-]{4,32}/providers/[a-z0-9-]{4,32}$"
    )
    service_account: str = Field(pattern=r"^[a-z0-9-]{6,30}@[a-z0-9.-]+\.iam\.gserviceaccount\.com$")
    # Subject of Google's Storage Transfer Service in the project. If it is empty, the task copies the files itself.
    transfer_subject: str = Field(default="", pattern=r"^[0-9]{0,30}$")

    def outputs(self) -> dict[str, str]:
        """Returns the values for the environment of Airflow, in the form of stack outputs."""
        words = self.model_dump()
        return {f"Bigquery{''.join(word.title() for word in name.split('_'))}": value for name, value in words.items()}


class Stage(BaseModel, extra="forbid"):
    """The content of a file of infra/stages/."""

    prefix: str
    without: list[str] = []
    events_per_second: float = 100
    parameters: dict[str, str] = {}
    settings: dict[str, str] = {}
    bigquery: BigQuery | None = None

    @property
    def stacks(self) -> list[str]:
        return [stack for stack in STACKS if stack not in self.without]


@dataclass(frozen=True)
class Check:
    """One precondition of a deployment."""

    what: str
    good: bool | None  # None: unknown
    found: str
    do: str = ""


def _fail(message: object) -> NoReturn:
    err.print(f"[red]stage:[/] {message}", highlight=False, soft_wrap=True)
    raise typer.Exit(1)


def load_stage(name: str) -> Stage:
    """Returns the stage.

    Raises:
        PermanentError: there is no such file, or it is invalid.
    """
    path = STAGES / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in STAGES.glob("*.yaml")))
        raise PermanentError(f"no stage {name!r}; there are {known}. A new one is a file of infra/stages/")
    try:
        stage = Stage(**yaml.safe_load(path.read_text("utf-8")))
    except (ValidationError, TypeError, yaml.YAMLError) as error:
        raise PermanentError(f"{path.relative_to(PROJECT_DIR)}: {error}") from error
    variables_known = {f"ECOMMERCE_{name.upper()}" for name in Settings.model_fields}
    if unknown := sorted(set(stage.settings) - variables_known):
        raise PermanentError(
            f"{path.relative_to(PROJECT_DIR)}: settings: {', '.join(unknown)}: docs/settings.md has those that there are"
        )
    if unknown := sorted(set(stage.without) - set(STACKS)):
        raise PermanentError(
            f"{path.relative_to(PROJECT_DIR)}: without: {', '.join(unknown)}: expected {', '.join(STACKS)}"
        )
    return stage


# -- preflight ------------------------------------------------------------------------------------------------------


def preflight(stage: Stage) -> Iterator[Check]:
    """Yields the preconditions with their current state. It changes nothing."""
    session = boto3.session.Session()
    region = session.region_name
    yield Check("region", bool(region), region or "none", "set AWS_DEFAULT_REGION")
    if not region:
        return
    try:
        caller = session.client("sts").get_caller_identity()
    except (ClientError, BotoCoreError) as error:
        yield Check("credentials", False, str(error), "aws configure, or set AWS_PROFILE")
        return
    yield Check("credentials", True, f"{caller['Arn']} in account {caller['Account']}")
    yield _bucket_is_free(session.client("s3"), aws_names.lake_bucket(stage.prefix, caller["Account"]))
    yield _asked("Kinesis shards", lambda what: _shards(session, stage, what))
    yield _asked("Lambda concurrency", lambda what: _concurrency(session, stage, what))
    if "network" in stage.stacks:
        yield _asked("VPCs", lambda what: _vpcs(session, aws_names.stack(stage.prefix, "network"), what))
    if stage.bigquery:
        account = caller["Account"]
        yield Check(
            "BigQuery",
            None,
            f"project {stage.bigquery.project}, which only Google can say more of",
            f"infra/gcp/setup.sh must have been run for account {account} and prefix {stage.prefix}",
        )
    if "forecast" in stage.stacks:
        yield _forecast_network(stage)
        yield _asked("forecast image", lambda what: _forecast_image(session, stage, what))
    if "warehouse" in stage.stacks:
        yield _capacity(region, stage.parameters.get("RedshiftBaseCapacity", "8"))
    if "orchestration" in stage.stacks:
        yield _mwaa_version(session, stage.parameters.get("AirflowVersion", mwaa.DEFAULT))


def _asked(what: str, ask: Callable[[str], Check]) -> Check:
    """Returns the check of a quota, as unknown if the call fails.

    Such a failure does not stop the deployment, because CloudFormation reports an exceeded quota anyway.
    """
    try:
        return ask(what)
    except (ClientError, BotoCoreError) as error:
        return Check(what, None, str(error), "look at the quota yourself")


def _shards(session: Any, stage: Stage, what: str) -> Check:
    limits = session.client("kinesis").describe_limits()
    wanted, free = int(stage.parameters.get("Shards", "2")), limits["ShardLimit"] - limits["OpenShardCount"]
    return Check(what, free >= wanted, f"{wanted} of the {free} that are free", "ask for a higher quota")


def _concurrency(session: Any, stage: Stage, what: str) -> Check:
    most = session.client("lambda").get_account_settings()["AccountLimit"]["ConcurrentExecutions"]
    shards = int(stage.parameters.get("Shards", "2"))
    needed = shards * (1 + int(stage.parameters.get("DynamodbWriterParallelization", "4"))) + API_CONCURRENCY
    return Check(what, most >= needed, f"some {needed} of {most}", "ask for a higher quota")


def _bucket_is_free(s3: Any, name: str) -> Check:
    try:
        s3.head_bucket(Bucket=name)
    except ClientError as error:
        free = error.response["Error"]["Code"] in {"404", "NoSuchBucket"}
        return Check(
            "bucket",
            free,
            f"{name} {'will be made' if free else 'is somebody else' + chr(39) + 's'}",
            "choose another prefix",
        )
    return Check("bucket", True, f"{name} is there, and stays")


def _vpcs(session: Any, stack: str, what: str) -> Check:
    try:
        session.client("cloudformation").describe_stacks(StackName=stack)
    except ClientError:
        count = len(session.client("ec2").describe_vpcs()["Vpcs"])
        quotas = session.client("service-quotas")
        most = int(quotas.get_service_quota(ServiceCode="vpc", QuotaCode="L-F678F1CE")["Quota"]["Value"])
        return Check(what, count < most, f"{count} of {most} are there", "ask for a higher quota")
    return Check(what, True, "the stage's own is there")


def _forecast_network(stage: Stage) -> Check:
    if "network" not in stage.stacks:
        return Check(
            "forecast network", False, "the task has no subnets", "take network out of without, or put forecast into it"
        )
    if stage.parameters.get("NatGateway", "true") != "true":
        return Check(
            "forecast network",
            None,
            "there is no NAT gateway by which the task pulls its image",
            'NatGateway: "true", or endpoints of ECR and logs of your own',
        )
    return Check("forecast network", True, "private subnets with a NAT gateway")


def _forecast_image(session: Any, stage: Stage, what: str) -> Check:
    image = stage.parameters.get("ForecastImage", "")
    if not image:
        return Check(
            what, False, "ForecastImage is not set", "build docker/forecast.Dockerfile and push it: docs/forecast.md"
        )
    named = re.fullmatch(
        r"(\d{12})\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?/([^:@]+)(?::([^@]+))?(?:@(.+))?", image
    )
    if not named:
        return Check(
            what, None, f"{image} is in a registry that nobody here can ask", "see that the execution role may pull it"
        )
    account, region, repository, tag, digest = named.groups()
    ecr = session.client("ecr", region_name=region)
    wanted = {"imageDigest": digest} if digest else {"imageTag": tag or "latest"}
    try:
        ecr.describe_images(registryId=account, repositoryName=repository, imageIds=[wanted])
    except (ecr.exceptions.ImageNotFoundException, ecr.exceptions.RepositoryNotFoundException):
        return Check(
            what, False, f"{image} is not there", "build docker/forecast.Dockerfile and push it: docs/forecast.md"
        )
    return Check(what, True, image)


def _capacity(region: str, rpus: str) -> Check:
    """Returns the check of the base capacity.

    No API lists the capacities of a region. CloudFormation accepts 4 everywhere, and the workgroup then fails.
    """
    if int(rpus) > 4 or region in HAS_4_RPUS:
        return Check("Redshift", True, f"{rpus} RPUs at least")
    return Check(
        "Redshift",
        None,
        f"4 RPUs are not known to be there in {region}",
        "set RedshiftBaseCapacity to 8 if the workgroup cannot be made",
    )


def _mwaa_version(session: Any, wanted: str) -> Check:
    """Returns the check of the Airflow version.

    MWAA has no API that lists its versions. The model of its API lists them in its documentation, but later than the
    images are published.
    """
    shape = session.client("mwaa").meta.service_model.operation_model("CreateEnvironment").input_shape
    known = re.findall(r"\b\d+\.\d+\.\d+\b", shape.members["AirflowVersion"].documentation)
    if wanted not in mwaa.REQUIREMENTS:
        return Check(
            "MWAA",
            False,
            f"Airflow {wanted} is wanted, the DAGs have packages for {', '.join(mwaa.REQUIREMENTS)}",
            "set AirflowVersion to one of them; or leave MWAA out (without: [orchestration]): docs/deploy.md",
        )
    if wanted in known:
        return Check("MWAA", True, f"has Airflow {wanted}")
    return Check(
        "MWAA",
        None,
        f"AWS has published an image of Airflow {wanted}; this boto3 does not list it yet",
        "where MWAA lacks it, leave it out (without: [orchestration]): docs/deploy.md",
    )


# -- output ---------------------------------------------------------------------------------------------------------


def _resources(stack: str) -> Counter[str]:
    template = cfn_yaml.load(str(TEMPLATES / f"{stack}.yaml"))
    return Counter(resource["Type"] for resource in template["Resources"].values())


def _show_plan(stage: Stage) -> None:
    table = Table("stack", "makes", title="Stacks", title_justify="left")
    for stack in stage.stacks:
        kinds = _resources(stack)
        named = ", ".join(f"{count} {kind.removeprefix('AWS::')}" for kind, count in kinds.most_common(6))
        more = sum(kinds.values()) - sum(count for _, count in kinds.most_common(6))
        table.add_row(aws_names.stack(stage.prefix, stack), named + (f" and {more} more" if more else ""))
    out.print(table)
    if stage.without:
        out.print(f"Left out: {', '.join(stage.without)}", highlight=False)
    costs = Table(
        "part",
        "for",
        title=f"A month at {stage.events_per_second:g} events/s, list prices of us-east-1",
        title_justify="left",
    )
    costs.add_column("dollars", justify="right")
    stacks = [*stage.stacks, *(["bigquery"] if stage.bigquery else [])]
    items = estimate(stage.events_per_second, stage.parameters, stacks, stage.settings)
    for item in items:
        costs.add_row(item.what, item.why, f"{item.dollars:,.0f}")
    costs.add_section()
    costs.add_row("all", "docs/cost.md says what is assumed", f"{sum(item.dollars for item in items):,.0f}")
    out.print(costs)


def _show_changes(stack: str, changes: list[dict[str, Any]]) -> None:
    table = Table("", "resource", "type", "replaced", title=stack, title_justify="left", box=None)
    colour = {"Add": "green", "Remove": "red"}
    for change in changes:
        replaced = change.get("Replacement", "")
        table.add_row(
            f"[{colour.get(change['Action'], 'yellow')}]{change['Action']}[/]",
            change["LogicalResourceId"],
            change["ResourceType"],
            f"[red]{replaced}[/]" if replaced in {"True", "Conditional"} else "",
        )
    out.print(table)


# -- commands -------------------------------------------------------------------------------------------------------


@app.command()
def deploy(name: Name, yes: Yes = False) -> None:
    """Check, show the changes, ask, create or update the environment, and write its outputs for `env`."""
    try:
        stage = load_stage(name)
        checks = list(preflight(stage))
        for check in checks:
            mark = {True: "[green]✓[/]", False: "[red]✗[/]", None: "[yellow]?[/]"}[check.good]
            out.print(
                f"{mark} {check.what}: {check.found}" + ("" if check.good else f"; {check.do}"),
                highlight=False,
                soft_wrap=True,
            )
        if any(check.good is False for check in checks):
            _fail("nothing was changed")
        _show_plan(stage)
        if not yes and not typer.confirm(f"Create or update the stacks of {stage.prefix}?"):
            _fail("nothing was changed")
        parameters = stage.parameters | _of_transfer(stage)
        outputs = deploy_all(
            stage.prefix, parameters, stage.stacks, lambda s, c: _approved(s, c, yes=yes), stage.settings
        )
        name_queries(outputs["AthenaWorkgroup"], outputs["LakeDatabase"])
        workgroup, database = (stage.parameters.get(k, "ecommerce") for k in ("RedshiftWorkgroup", "RedshiftDatabase"))
        create_tables(workgroup, database, outputs)
    except (NotApproved, PermanentError, TransientError, ClientError, BotoCoreError) as error:
        _fail(error)
    outputs |= {
        "Prefix": stage.prefix,
        "RedshiftWorkgroup": workgroup,
        "RedshiftDatabase": database,
        "Region": boto3.session.Session().region_name,
        "Settings": json.dumps(stage.settings),
    }
    outputs |= stage.bigquery.outputs() if stage.bigquery else {}
    DEPLOYED.mkdir(exist_ok=True)
    _outputs_file(name).write_text(json.dumps(outputs, indent=1, sort_keys=True), "utf-8")
    out.print(
        f'deployed; clients: eval "$(make -s env STAGE={name})"; a key of the HTTP API: '
        f"make -s api-key NAME=... MAY=send,read STAGE={name}",
        highlight=False,
        soft_wrap=True,
    )


def _of_transfer(stage: Stage) -> dict[str, str]:
    """Returns the template parameter for the role of Google's Storage Transfer Service."""
    subject = stage.bigquery.transfer_subject if stage.bigquery else ""
    return {"GoogleTransferSubject": subject} if "access" in stage.stacks else {}


def _approved(stack: str, changes: list[dict[str, Any]], *, yes: bool) -> bool:
    _show_changes(stack, changes)
    dangerous = any(c["Action"] == "Remove" or c.get("Replacement") in {"True", "Conditional"} for c in changes)
    return yes or not dangerous or typer.confirm(f"{stack}: resources are removed or replaced. Go on?")


@app.command()
def undeploy(name: Name, yes: Yes = False) -> None:
    """Delete the stacks of the environment. Resources that hold events stay: lake, stream, tables, warehouse."""
    try:
        stage = load_stage(name)
    except PermanentError as error:
        _fail(error)
    if not yes and typer.prompt(f"This deletes all stacks of {stage.prefix}. Type its prefix to go on") != stage.prefix:
        _fail("nothing was changed")
    cloudformation = boto3.client("cloudformation")
    for stack in reversed(stage.stacks):
        full = aws_names.stack(stage.prefix, stack)
        if described(cloudformation, full).get("StackStatus", "DELETE_COMPLETE") == "DELETE_COMPLETE":
            out.print(f"{full}: is not there", highlight=False)
            continue
        resources = cloudformation.describe_stack_resources(StackName=full)["StackResources"]
        kept = [r["PhysicalResourceId"] for r in resources if _is_kept(stack, r["LogicalResourceId"])]
        try:
            cloudformation.delete_stack(StackName=full)
            waiter = cloudformation.get_waiter("stack_delete_complete")
            waiter.wait(StackName=full, WaiterConfig={"Delay": 1, "MaxAttempts": 3600})
        except (ClientError, WaiterError) as error:
            _fail(f"{full}: {error}. The stack's events in the console say why")
        out.print(f"{full}: deleted" + (f"; stays: {', '.join(kept)}" if kept else ""), highlight=False, soft_wrap=True)
    _outputs_file(name).unlink(missing_ok=True)


def _is_kept(stack: str, logical_id: str) -> bool:
    template = cfn_yaml.load(str(TEMPLATES / f"{stack}.yaml"))
    return bool(template["Resources"].get(logical_id, {}).get("DeletionPolicy") == "Retain")


@app.command()
def env(name: Name) -> None:
    """Print export lines for clients and Airflow, and nothing else."""
    path = _outputs_file(name)
    if not path.is_file():
        _fail(f"stage {name} was not deployed from here; run: make deploy STAGE={name}")
    found = json.loads(path.read_text("utf-8"))
    region = {
        "AWS_DEFAULT_REGION": found["Region"],
        "ECOMMERCE_STREAM": found["Stream"],
        "ECOMMERCE_API_URL": found["ApiUrl"],
    }
    for key, value in (region | variables(found)).items():
        typer.echo(f"export {key}={shlex.quote(value)}")


def _outputs_file(name: str) -> Path:
    return DEPLOYED / f"{name}.json"


if __name__ == "__main__":
    app()
