"""The template as CloudFormation reads it, the package, and the deployment to the local cloud."""

import io
import json
import re
import sys
import zipfile

import boto3
import cfnlint.decode
import pytest

from infra.packages import FUNCTIONS, LAMBDAS, package, package_layer
from infra.stacks import TEMPLATES


@pytest.fixture(scope="module")
def resources():
    template, problems = cfnlint.decode.decode(str(TEMPLATES / "streaming.yaml"))
    assert problems == []
    return template["Resources"]


@pytest.mark.parametrize("name", ["RawWriter", "DynamodbWriter"])
def test_the_mappings_follow_the_rules_that_the_tests_prove(resources, name):
    mapping = resources[f"{name}Mapping"]["Properties"]
    assert mapping["BisectBatchOnFunctionError"] is True
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert mapping["StartingPosition"] == "TRIM_HORIZON"
    assert mapping["MaximumRetryAttempts"] > 0
    assert mapping["DestinationConfig"]["OnFailure"]["Destination"] == {"Fn::GetAtt": [f"{name}Failures", "Arn"]}
    assert mapping["MaximumRecordAgeInSeconds"] < resources["Events"]["Properties"]["RetentionPeriodHours"] * 3600


@pytest.mark.parametrize("name", ["Lake", "Events", "RawObjectsQueue", "Invoices", "Customers"])
def test_what_holds_events_outlives_the_stack(resources, name):
    assert (resources[name]["DeletionPolicy"], resources[name]["UpdateReplacePolicy"]) == ("Retain", "Retain")


def test_the_lake_is_closed(resources):
    block = resources["Lake"]["Properties"]["PublicAccessBlockConfiguration"]
    assert set(block) == {"BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"}
    assert all(block.values())
    closed, told = resources["LakePolicy"]["Properties"]["PolicyDocument"]["Statement"]
    assert (closed["Effect"], closed["Condition"]) == ("Deny", {"Bool": {"aws:SecureTransport": "false"}})
    condition, statement, _ = told["Fn::If"]  # the event integration of a COPY job: no object is read or written by it
    assert (condition, statement["Principal"]) == ("AutoCopies", {"Service": "redshift.amazonaws.com"})
    assert {action for action in statement["Action"] if "Object" in action} == set()
    assert statement["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}


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
    assert rules == {
        "raw/",
        "landing/",
        "quarantine/unreadable/",
        "firehose/errors/",
        "athena/",
        "bigquery/",
        "forecast/",
        "models/",
    }


def test_the_same_code_gives_the_same_package():
    assert package(LAMBDAS / "raw_writer") == package(LAMBDAS / "raw_writer")
    assert package_layer() == package_layer()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_package_has_its_handler_at_the_top_and_every_module_that_is_imported(name):
    with zipfile.ZipFile(io.BytesIO(package(LAMBDAS / name)[1])) as archive:
        texts = {file: archive.read(file).decode() for file in archive.namelist()}
    imported = {module for text in texts.values() for module in re.findall(r"^from (lambdas\S+) import", text, re.M)}
    assert imported
    assert texts.keys() == {"handler.py", *(f"{module.replace('.', '/')}.py" for module in imported)}


def test_every_lambda_is_deployed_with_the_shared_layer_and_has_a_sample_event(resources):
    folders = {path.parent.name for path in LAMBDAS.glob("*/handler.py")}
    assert folders == set(FUNCTIONS)
    functions = [r["Properties"] for r in resources.values() if r["Type"] == "AWS::Lambda::Function"]
    assert {f["Code"]["S3Key"]["Ref"] for f in functions} == set(FUNCTIONS.values())
    assert all(f["Layers"] == [{"Ref": "SharedLayer"}] for f in functions)
    assert all((LAMBDAS / name / "event.json").exists() for name in folders)


def test_tables_are_on_demand_with_point_in_time_recovery_and_expiry(resources):
    for name in ("Invoices", "Customers"):
        table = resources[name]["Properties"]
        assert table["BillingMode"] == "PAY_PER_REQUEST"
        assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
        assert table["TimeToLiveSpecification"] == {"AttributeName": "ExpiresAt", "Enabled": True}


def test_nobody_calls_the_api_unasked(resources):
    routes = [r["Properties"] for r in resources.values() if r["Type"] == "AWS::ApiGatewayV2::Route"]
    assert len(routes) == 4
    assert all(r["AuthorizationType"] == {"Fn::If": ["ByKey", "CUSTOM", "AWS_IAM"]} for r in routes)
    settings = resources["ApiStage"]["Properties"]["DefaultRouteSettings"]
    assert {"ThrottlingRateLimit", "ThrottlingBurstLimit"} <= set(settings)


def test_a_revoked_key_is_out_within_a_minute(resources):
    """API Gateway remembers the authorizer's answer, and that what it has read."""
    remembered = resources["Authorizer"]["Properties"]["AuthorizerResultTtlInSeconds"]
    source = (LAMBDAS / "api_authorizer" / "handler.py").read_text()
    [kept] = re.findall(r"^KEPT_SECONDS = (\d+)$", source, re.MULTILINE)
    assert 0 < remembered + int(kept) <= 60


def test_the_access_log_names_the_key(resources):
    line = json.loads(resources["ApiStage"]["Properties"]["AccessLogSettings"]["Format"])
    assert line["key"] == "$context.authorizer.key"
    assert {"requestId", "principal", "route", "status"} <= set(line)


def test_only_the_authorizer_reads_the_keys_and_nothing_else(resources):
    readers = {}
    for name, resource in resources.items():
        if resource["Type"] != "AWS::IAM::Role":
            continue
        for policy in resource["Properties"]["Policies"]:
            for statement in policy["PolicyDocument"]["Statement"]:
                if isinstance(statement, dict) and statement.get("Resource") == {"Ref": "ApiKeysSecretArn"}:
                    readers[name] = statement["Action"]
    assert readers == {"ApiAuthorizerRole": "secretsmanager:GetSecretValue"}


def test_nothing_filters_the_stream(resources):
    """A filter on `data` drops what is no JSON object (Lambda guide, "Event filtering"): gzip, arrays, KPL aggregates."""
    mappings = [r for r in resources.values() if r["Type"] == "AWS::Lambda::EventSourceMapping"]
    assert len(mappings) == 2
    assert not [m for m in mappings if "FilterCriteria" in m["Properties"]]


def test_deploying_again_changes_nothing(cloud):
    from local.lifecycle import _run, deploy_command

    session = boto3.session.Session("test", "test", region_name="us-east-1")
    names = ("cloudformation", "lambda", "kinesis")
    cloudformation, functions, kinesis = (session.client(n, endpoint_url=cloud.cloud_url) for n in names)

    def state():
        stack = cloudformation.describe_stacks(StackName="ecommerce-streaming")["Stacks"][0]
        mappings = [m["UUID"] for m in functions.list_event_source_mappings()["EventSourceMappings"]]
        stream = kinesis.describe_stream_summary(StreamName="ecommerce-events")["StreamDescriptionSummary"]
        return stack["Outputs"], mappings, stream["StreamCreationTimestamp"], stream["OpenShardCount"]

    before = state()
    assert len(before[1]) == 2
    _run(cloud, deploy_command(cloud), "deploy-again")
    assert state() == before


@pytest.mark.slow
def test_a_deployment_keeps_the_parameters_that_it_does_not_name(cloud, monkeypatch):
    from local.lifecycle import NOT_LOCAL, _run

    for name, value in cloud.user_environment().items():
        monkeypatch.setenv(name, value)
    cloudformation = boto3.client("cloudformation")

    def parameters():
        [stack] = cloudformation.describe_stacks(StackName="ecommerce-streaming")["Stacks"]
        return {p["ParameterKey"]: p["ParameterValue"] for p in stack["Parameters"]}

    deploy = [sys.executable, "-m", "infra.deploy", *(word for name in NOT_LOCAL for word in ("--without", name))]
    before = parameters()
    assert before["ApiKeysSecretArn"].startswith("arn:")
    _run(cloud, [*deploy, "--parameter", "LogRetentionDays=31"], "deploy-31")
    assert parameters() == before | {"LogRetentionDays": "31"}
    _run(cloud, [*deploy, "--parameter", "LogRetentionDays=30"], "deploy-30")
