"""The checks before a deployment. They read quotas and what is there, and change nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError
from ecommerce_elt import aws_names

from infra import mwaa
from infra.stage_file import Stage

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

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


@dataclass(frozen=True)
class Check:
    """One precondition of a deployment."""

    what: str
    good: bool | None  # None: unknown
    found: str
    do: str = ""


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


def _bucket_is_free(s3: S3Client, name: str) -> Check:
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
