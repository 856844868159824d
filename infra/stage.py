"""An environment of the product in an AWS account: `python -m infra.stage deploy dev`, `undeploy dev`, `env dev`.

`deploy` runs checks, shows the resources and their cost, asks for confirmation, and deploys. It is idempotent.
"""

from __future__ import annotations

import json
import shlex
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import boto3
import typer
from botocore.exceptions import BotoCoreError, ClientError, WaiterError
from cfnlint.decode import cfn_yaml
from ecommerce_elt import aws_names
from ecommerce_elt.errors import PermanentError, TransientError
from ecommerce_elt.settings import PROJECT_DIR
from rich.console import Console
from rich.table import Table

from infra.airflow_environment import variables
from infra.cost import estimate
from infra.deploy import create_tables, deploy_all, name_queries
from infra.preflight import preflight
from infra.stacks import TEMPLATES, NotApproved, described
from infra.stage_file import Stage, load_stage

if TYPE_CHECKING:
    from types_boto3_cloudformation.type_defs import ResourceChangeTypeDef

DEPLOYED = PROJECT_DIR / ".deployed"  # outputs, one file per stage; ignored by git
app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__, pretty_exceptions_enable=False)
out, err = Console(), Console(stderr=True)
Name = Annotated[str, typer.Argument(metavar="STAGE", help="A file of infra/stages/, without .yaml.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")]


def _fail(message: object) -> NoReturn:
    err.print(f"[red]stage:[/] {message}", highlight=False, soft_wrap=True)
    raise typer.Exit(1)


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


def _show_changes(stack: str, changes: list[ResourceChangeTypeDef]) -> None:
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


def _approved(stack: str, changes: list[ResourceChangeTypeDef], *, yes: bool) -> bool:
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
