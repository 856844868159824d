"""The stacks of CloudFormation: their order, and the creation or update of one by a change set."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.exceptions import ClientError, WaiterError
from ecommerce_elt.errors import PermanentError
from ecommerce_elt.settings import PROJECT_DIR

if TYPE_CHECKING:
    from types_boto3_cloudformation.client import CloudFormationClient
    from types_boto3_cloudformation.type_defs import ResourceChangeTypeDef

TEMPLATES = PROJECT_DIR / "infra"

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
Approve = Callable[[str, "list[ResourceChangeTypeDef]"], bool]


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
    known = {p["ParameterKey"] for p in cloudformation.validate_template(TemplateBody=template)["Parameters"]}
    change_set = f"deploy-{secrets.token_hex(6)}"
    request: dict[str, Any] = {
        "StackName": name,
        "ChangeSetName": change_set,
        "ChangeSetType": "UPDATE" if exists else "CREATE",
        "TemplateBody": template,
        "Parameters": [{"ParameterKey": k, "ParameterValue": v} for k, v in values.items() if k in known],
        "Capabilities": ["CAPABILITY_NAMED_IAM"],
        "Tags": [{"Key": "product", "Value": values["Prefix"]}],  # the budget filters by this tag
    }
    request["Parameters"] += [
        {"ParameterKey": parameter["ParameterKey"], "UsePreviousValue": True}
        for parameter in found.get("Parameters", [])
        if parameter["ParameterKey"] in known - set(values)
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


def described(cloudformation: CloudFormationClient, name: str) -> dict[str, Any]:
    """Returns the description of the stack, or an empty dict if it does not exist."""
    try:
        [found] = cloudformation.describe_stacks(StackName=name)["Stacks"]
    except ClientError as error:
        if "does not exist" not in str(error):
            raise
        return {}
    return dict(found)


def _changes(cloudformation: CloudFormationClient, name: str, change_set: str) -> list[ResourceChangeTypeDef]:
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


def declared(stack: str) -> list[str]:
    template = (TEMPLATES / f"{stack}.yaml").read_text("utf-8")
    found = boto3.client("cloudformation").validate_template(TemplateBody=template)
    return [parameter["ParameterKey"] for parameter in found["Parameters"]]


def _first_failure(cloudformation: CloudFormationClient, stack: str) -> str:
    events = cloudformation.describe_stack_events(StackName=stack)["StackEvents"]
    failed = [e for e in reversed(events) if e.get("ResourceStatus", "").endswith("_FAILED")]
    return f"{failed[0]['LogicalResourceId']}: {failed[0].get('ResourceStatusReason', '')}" if failed else ""
