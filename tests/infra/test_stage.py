"""A stage from its first deployment to its end, on the local cloud as far as that goes."""

import json

import boto3
import pytest
from ecommerce_elt.errors import PermanentError
from typer.testing import CliRunner

from infra import stage
from infra.cost import estimate
from infra.deploy import STACKS, upload_airflow
from local.lifecycle import NOT_LOCAL
from tests.conftest import PROJECT

FILE = """prefix: corner-shop
without: [{without}]
parameters:
  Shards: "1"
  RedshiftWorkgroupArn: arn:aws:redshift-serverless:us-east-1:000000000000:workgroup/ecommerce
"""


@pytest.fixture
def shop(cloud, monkeypatch, tmp_path):
    """Runs a command of infra.stage with a stage `shop` of its own."""
    for name, value in cloud.user_environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("ECOMMERCE_PII_HMAC_KEY")
    monkeypatch.setattr(stage, "STAGES", tmp_path)
    monkeypatch.setattr(stage, "DEPLOYED", tmp_path / "deployed")
    (tmp_path / "shop.yaml").write_text(FILE.format(without=", ".join(NOT_LOCAL)))

    def run(*words, typed=""):
        return CliRunner().invoke(stage.app, words, input=typed)

    return run


def test_from_the_first_deployment_to_the_end(shop):
    refused = shop("deploy", "shop", typed="n\n")
    assert refused.exit_code == 1
    for said in ("✓ credentials", "✓ bucket: corner-shop-lake-000000000000 will be made", "? Kinesis shards", "✓ Lambda concurrency",
                 "corner-shop-streaming", f"Left out: {', '.join(NOT_LOCAL)}", "DynamoDB"):  # fmt: skip
        assert said in refused.output
    cloudformation = boto3.client("cloudformation")
    with pytest.raises(cloudformation.exceptions.ClientError, match="does not exist"):
        cloudformation.describe_stacks(StackName="corner-shop-streaming")

    done = shop("deploy", "shop", typed="y\n")
    assert done.exit_code == 0, done.output
    assert "Add" in done.output
    env = shop("env", "shop").output
    assert "export ECOMMERCE_BUCKET=corner-shop-lake-000000000000\n" in env
    assert "role_arn=arn%3Aaws%3Aiam%3A%3A000000000000%3Arole%2Fcorner-shop-stage-load" in env
    assert "API_KEY" not in env  # printed once, when it is made, and kept nowhere

    again = shop("deploy", "shop", "--yes")
    assert again.exit_code == 0, again.output
    assert "Add" not in again.output
    assert "is there, and stays" in again.output

    wrong = shop("undeploy", "shop", typed="other\n")
    assert wrong.exit_code == 1
    gone = shop("undeploy", "shop", typed="corner-shop\n")
    assert gone.exit_code == 0, gone.output
    assert "corner-shop-lake-000000000000" in gone.output
    boto3.client("s3").head_bucket(Bucket="corner-shop-lake-000000000000")
    assert shop("env", "shop").exit_code == 1
    assert "is not there" in shop("undeploy", "shop", "--yes").output


def test_a_bucket_of_somebody_else_stops_before_anything_is_made(monkeypatch):
    class S3:
        def head_bucket(self, Bucket):  # noqa: N803
            raise boto3.client("s3", region_name="us-east-1").exceptions.ClientError(
                {"Error": {"Code": "403"}}, "HeadBucket"
            )

    check = stage._bucket_is_free(S3(), "taken")
    assert (check.good, check.found) == (False, "taken is somebody else's")


def test_mwaa_without_the_version_is_refused():
    check = stage._mwaa_version(boto3.session.Session(region_name="us-east-1"), "3.0.6")
    assert not check.good  # the DAGs need 3.3
    assert "docs/deploy.md" in check.do


@pytest.mark.parametrize("name", [file.stem for file in (stage.TEMPLATES / "stages").glob("*.yaml")])
def test_every_stage_names_what_is_there(name):
    import cfnlint.decode

    found = stage.load_stage(name)
    known = {p for s in STACKS for p in cfnlint.decode.decode(str(stage.TEMPLATES / f"{s}.yaml"))[0]["Parameters"]}
    assert set(found.parameters) <= known
    assert sum(item.dollars for item in estimate(found.events_per_second, found.parameters, found.stacks)) > 0


def test_the_page_about_cost_says_what_the_estimate_says():
    prod = stage.load_stage("prod")
    items = estimate(prod.events_per_second, prod.parameters, prod.stacks)
    page = (PROJECT / "docs" / "cost.md").read_text()
    for item in items:
        assert f"| {item.what} | {item.why} | {item.dollars:,.0f} |" in page
    assert f"| all | | {sum(item.dollars for item in items):,.0f} |" in page


@pytest.mark.parametrize(("text", "says"), [
    ("prefix: a\nwith: []", "with"), ("[]", "shop.yaml"), ("prefix: a\nwithout: [moon]", "without: moon: expected streaming"),
])  # fmt: skip
def test_a_wrong_stage_is_said_to_be_wrong(text, says, monkeypatch, tmp_path):
    monkeypatch.setattr(stage, "STAGES", tmp_path)
    monkeypatch.setattr(stage, "PROJECT_DIR", tmp_path)
    (tmp_path / "shop.yaml").write_text(text)
    with pytest.raises(PermanentError, match=says):
        stage.load_stage("shop")
    with pytest.raises(PermanentError, match="there are shop"):
        stage.load_stage("none")


def test_what_mwaa_gets_is_whole_and_has_no_secret(cloud, monkeypatch):
    for name, value in cloud.user_environment().items():
        monkeypatch.setenv(name, value)
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket="for-mwaa")
    folder = upload_airflow("for-mwaa", {"ECOMMERCE_BUCKET": "a b"})
    assert upload_airflow("for-mwaa", {"ECOMMERCE_BUCKET": "a b"}) == folder
    keys = {
        o["Key"].removeprefix(folder + "/") for o in s3.list_objects_v2(Bucket="for-mwaa", Prefix=folder)["Contents"]
    }
    assert {
        "plugins.zip",
        "requirements.txt",
        "startup.sh",
        "dags/load_events.py",
        "dags/include/feeds/purchases.yaml",
    } <= keys
    startup = s3.get_object(Bucket="for-mwaa", Key=f"{folder}/startup.sh")["Body"].read().decode()
    assert "export ECOMMERCE_BUCKET='a b'\n" in startup
    assert json.dumps(cloud.secret("pii_hmac_key")) not in startup
