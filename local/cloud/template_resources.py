"""Resources of a CloudFormation template that other processes serve: delivery streams, tables, crawlers, jobs, workgroups."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, cast

import boto3
from botocore.model import ListShape, Shape, StructureShape


def _firehose() -> Any:
    return boto3.client("firehose", endpoint_url=os.environ["AWS_ENDPOINT_URL_FIREHOSE"])


def _as_shape(value: Any, shape: Shape) -> Any:
    """Returns a value of a template with the types of the API's model, because all parameters of a stack are text."""
    if isinstance(shape, StructureShape):
        return {name: _as_shape(inner, shape.members[name]) for name, inner in value.items()}
    if isinstance(shape, ListShape):
        return [_as_shape(inner, shape.member) for inner in value]
    if shape.type_name in {"integer", "long"}:
        return int(value)
    if shape.type_name == "boolean":
        return str(value).lower() == "true"
    return value


def _delivery_create(logical_id: str, properties: dict[str, Any], stack_name: str) -> tuple[str, dict[str, str]]:
    client = _firehose()
    shape = client.meta.service_model.operation_model("CreateDeliveryStream").input_shape
    created = client.create_delivery_stream(**_as_shape(properties, shape))
    return properties["DeliveryStreamName"], {"Arn": created["DeliveryStreamARN"]}


def _delivery_update(
    name: str, old: dict[str, Any], new: dict[str, Any], stack_name: str
) -> tuple[str, dict[str, str]]:
    client = _firehose()
    described = client.describe_delivery_stream(DeliveryStreamName=name)["DeliveryStreamDescription"]
    if redshift := new.get("RedshiftDestinationConfiguration"):
        kind, change = "RedshiftDestinationUpdate", {k: v for k, v in redshift.items() if k != "S3Configuration"}
        change["S3Update"] = redshift["S3Configuration"]
    else:
        kind, change = "ExtendedS3DestinationUpdate", new["ExtendedS3DestinationConfiguration"]
    shape = client.meta.service_model.operation_model("UpdateDestination").input_shape
    client.update_destination(
        DeliveryStreamName=name,
        CurrentDeliveryStreamVersionId=described["VersionId"],
        DestinationId=described["Destinations"][0]["DestinationId"],
        **{kind: _as_shape(change, shape.members[kind])},
    )
    return name, {"Arn": described["DeliveryStreamARN"]}


def _delivery_delete(name: str, properties: dict[str, Any]) -> None:
    _firehose().delete_delivery_stream(DeliveryStreamName=name)


def _dynamodb() -> Any:
    return boto3.client("dynamodb", endpoint_url=os.environ["AWS_ENDPOINT_URL_DYNAMODB"])


def _table_create(logical_id: str, properties: dict[str, Any], stack_name: str) -> tuple[str, dict[str, str]]:
    client, name = _dynamodb(), properties["TableName"]
    shape = client.meta.service_model.operation_model("CreateTable").input_shape
    request = {key: value for key, value in properties.items() if key in shape.members}
    if "SSESpecification" in request:  # CloudFormation has another name for it
        request["SSESpecification"] = {"Enabled": request["SSESpecification"]["SSEEnabled"]}
    arn = client.create_table(**_as_shape(request, shape))["TableDescription"]["TableArn"]
    _table_settings(client, name, {}, properties)
    return name, {"Arn": arn}


def _table_update(name: str, old: dict[str, Any], new: dict[str, Any], stack_name: str) -> tuple[str, dict[str, str]]:
    client = _dynamodb()
    changed = {key for key in {*old, *new} if old.get(key) != new.get(key)}
    if beyond := changed - {"TimeToLiveSpecification", "PointInTimeRecoverySpecification"}:
        raise ValueError(
            f"table {name}: the local cloud does not change {sorted(beyond)} of a table; make reset begins anew"
        )
    _table_settings(client, name, old, new)
    return name, {"Arn": client.describe_table(TableName=name)["Table"]["TableArn"]}


def _table_settings(client: Any, name: str, old: dict[str, Any], new: dict[str, Any]) -> None:
    for key, change in (
        ("TimeToLiveSpecification", client.update_time_to_live),
        ("PointInTimeRecoverySpecification", client.update_continuous_backups),
    ):
        if key in new and new[key] != old.get(key):
            operation = client.meta.method_to_api_mapping[change.__name__]
            shape = client.meta.service_model.operation_model(operation).input_shape
            change(TableName=name, **{key: _as_shape(new[key], shape.members[key])})


def _table_delete(name: str, properties: dict[str, Any]) -> None:
    _dynamodb().delete_table(TableName=name)


Handlers = dict[str, Callable[..., Any]]


def _request(service: str, operation: str, properties: dict[str, Any], inside: str = "") -> Any:
    """Returns the properties of a resource that are members of the operation, or of its member `inside`."""
    client: Any = boto3.client(cast("Any", service))  # the stubs know only literal names
    shape = client.meta.service_model.operation_model(operation).input_shape
    shape = shape.members[inside] if inside else shape
    return dict(_as_shape({k: v for k, v in properties.items() if k in shape.members}, shape))


def _crawler_handlers() -> Handlers:
    def create(logical_id: str, properties: dict[str, Any], stack_name: str) -> tuple[str, dict[str, str]]:
        boto3.client("glue").create_crawler(**_request("glue", "CreateCrawler", properties))
        return properties["Name"], {}

    def update(name: str, old: dict[str, Any], new: dict[str, Any], stack_name: str) -> tuple[str, dict[str, str]]:
        boto3.client("glue").update_crawler(**_request("glue", "UpdateCrawler", new))
        return name, {}

    def delete(name: str, properties: dict[str, Any]) -> None:
        boto3.client("glue").delete_crawler(Name=name)

    return {"create": create, "update": update, "delete": delete}


def _job_handlers() -> Handlers:
    def create(logical_id: str, properties: dict[str, Any], stack_name: str) -> tuple[str, dict[str, str]]:
        boto3.client("glue").create_job(**_request("glue", "CreateJob", properties))
        return properties["Name"], {}

    def update(name: str, old: dict[str, Any], new: dict[str, Any], stack_name: str) -> tuple[str, dict[str, str]]:
        boto3.client("glue").update_job(JobName=name, JobUpdate=_request("glue", "UpdateJob", new, "JobUpdate"))
        return name, {}

    def delete(name: str, properties: dict[str, Any]) -> None:
        boto3.client("glue").delete_job(JobName=name)

    return {"create": create, "update": update, "delete": delete}


def _workgroup_handlers() -> Handlers:
    def create(logical_id: str, properties: dict[str, Any], stack_name: str) -> tuple[str, dict[str, str]]:
        request = properties | {"Configuration": properties["WorkGroupConfiguration"]}
        boto3.client("athena").create_work_group(**_request("athena", "CreateWorkGroup", request))
        return properties["Name"], {}

    def update(name: str, old: dict[str, Any], new: dict[str, Any], stack_name: str) -> tuple[str, dict[str, str]]:
        changed = dict(new["WorkGroupConfiguration"])
        changed["ResultConfigurationUpdates"] = changed.pop("ResultConfiguration")
        request = _request("athena", "UpdateWorkGroup", {"ConfigurationUpdates": changed})
        boto3.client("athena").update_work_group(WorkGroup=name, **request)
        return name, {}

    def delete(name: str, properties: dict[str, Any]) -> None:
        boto3.client("athena").delete_work_group(WorkGroup=name, RecursiveDeleteOption=True)

    return {"create": create, "update": update, "delete": delete}


HANDLERS: dict[str, Handlers] = {
    "AWS::KinesisFirehose::DeliveryStream": {
        "create": _delivery_create,
        "update": _delivery_update,
        "delete": _delivery_delete,
    },
    "AWS::DynamoDB::Table": {"create": _table_create, "update": _table_update, "delete": _table_delete},
    "AWS::Glue::Crawler": _crawler_handlers(),
    "AWS::Glue::Job": _job_handlers(),
    "AWS::Athena::WorkGroup": _workgroup_handlers(),
}
