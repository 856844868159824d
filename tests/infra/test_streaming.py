"""The template as CloudFormation reads it, the package, and the deployment to the local cloud."""

import boto3
import cfnlint.decode
import pytest

from infra.deploy import LAMBDAS, TEMPLATE, package


@pytest.fixture(scope="module")
def resources():
    template, problems = cfnlint.decode.decode(str(TEMPLATE))
    assert problems == []
    return template["Resources"]


def test_the_mapping_follows_the_rules_that_the_tests_prove(resources):
    mapping = resources["RawWriterMapping"]["Properties"]
    assert mapping["BisectBatchOnFunctionError"] is True
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert mapping["StartingPosition"] == "TRIM_HORIZON"
    assert mapping["MaximumRetryAttempts"] > 0
    assert mapping["DestinationConfig"]["OnFailure"]["Destination"] == {"Fn::GetAtt": ["RawWriterFailures", "Arn"]}
    assert mapping["MaximumRecordAgeInSeconds"] < resources["Events"]["Properties"]["RetentionPeriodHours"] * 3600


@pytest.mark.parametrize("name", ["Lake", "Events", "RawObjectsQueue"])
def test_what_holds_events_outlives_the_stack(resources, name):
    assert (resources[name]["DeletionPolicy"], resources[name]["UpdateReplacePolicy"]) == ("Retain", "Retain")


def test_the_lake_is_closed(resources):
    block = resources["Lake"]["Properties"]["PublicAccessBlockConfiguration"]
    assert set(block) == {"BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"}
    assert all(block.values())
    [statement] = resources["LakePolicy"]["Properties"]["PolicyDocument"]["Statement"]
    assert (statement["Effect"], statement["Condition"]) == ("Deny", {"Bool": {"aws:SecureTransport": "false"}})


def test_raw_writer_may_write_and_nothing_more(resources):
    [policy] = resources["RawWriterRole"]["Properties"]["Policies"]
    allowed = {}
    for statement in policy["PolicyDocument"]["Statement"]:
        actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
        allowed |= dict.fromkeys(actions, statement["Resource"])
    assert {a for a in allowed if a.startswith("s3:")} == {"s3:PutObject"}
    assert all("*" not in action for action in allowed)


def test_personal_data_in_raw_ends(resources):
    rules = {
        r["Prefix"]
        for r in resources["Lake"]["Properties"]["LifecycleConfiguration"]["Rules"]
        if "ExpirationInDays" in r
    }
    assert rules == {"raw/", "quarantine/unreadable/"}


def test_the_same_code_gives_the_same_package():
    assert package(LAMBDAS / "raw_writer") == package(LAMBDAS / "raw_writer")


def test_deploying_again_changes_nothing(cloud):
    from local.lifecycle import LOCAL_PARAMETERS, _run

    session = boto3.session.Session("test", "test", region_name="us-east-1")
    names = ("cloudformation", "lambda", "kinesis")
    cloudformation, functions, kinesis = (session.client(n, endpoint_url=cloud.cloud_url) for n in names)

    def state():
        stack = cloudformation.describe_stacks(StackName="ecommerce-streaming")["Stacks"][0]
        mappings = [m["UUID"] for m in functions.list_event_source_mappings()["EventSourceMappings"]]
        stream = kinesis.describe_stream_summary(StreamName="ecommerce-events")["StreamDescriptionSummary"]
        return stack["Outputs"], mappings, stream["StreamCreationTimestamp"], stream["OpenShardCount"]

    import sys

    before = state()
    assert len(before[1]) == 1
    parameters = [word for k, v in LOCAL_PARAMETERS.items() for word in ("--parameter", f"{k}={v}")]
    _run(cloud, [sys.executable, "-m", "infra.deploy", *parameters], "deploy-again")
    assert state() == before
