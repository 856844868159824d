"""A stage from its first deployment to its end, on the local cloud as far as that goes."""

import boto3
import pytest
from ecommerce_elt.errors import PermanentError
from typer.testing import CliRunner

from infra import mwaa, preflight, stage, stage_file
from infra.cost import estimate
from infra.stacks import STACKS, TEMPLATES
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
    monkeypatch.setattr(stage_file, "STAGES", tmp_path)
    monkeypatch.setattr(stage, "DEPLOYED", tmp_path / "deployed")
    (tmp_path / "shop.yaml").write_text(FILE.format(without=", ".join(NOT_LOCAL)))

    def run(*words, typed=""):
        return CliRunner().invoke(stage.app, words, input=typed)

    return run


@pytest.mark.slow
def test_from_the_first_deployment_to_the_end(shop):
    refused = shop("deploy", "shop", typed="n\n")
    assert refused.exit_code == 1
    for said in (
        "✓ credentials",
        "✓ bucket: corner-shop-lake-000000000000 will be made",
        "? Kinesis shards",
        "✓ Lambda concurrency",
        "corner-shop-streaming",
        f"Left out: {', '.join(NOT_LOCAL)}",
        "DynamoDB",
    ):
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

    check = preflight._bucket_is_free(S3(), "taken")
    assert (check.good, check.found) == (False, "taken is somebody else's")


@pytest.mark.parametrize(("version", "good"), [("3.0.6", False), ("3.3.1", None), ("3.2.1", None)])
def test_an_airflow_that_the_dags_have_no_packages_for_is_refused(version, good):
    check = preflight._mwaa_version(boto3.session.Session(region_name="us-east-1"), version)
    # This boto3 lists versions up to 3.0.6: a newer one that lists ours makes it True.
    assert check.good in ({True, good} if good is None else {good})
    if check.good is not True:
        assert "docs/deploy.md" in check.do


def test_the_template_takes_the_versions_that_there_are_packages_for():
    import cfnlint.decode

    template = cfnlint.decode.decode(str(TEMPLATES / "orchestration.yaml"))[0]
    version = template["Parameters"]["AirflowVersion"]
    assert version["AllowedValues"] == list(mwaa.REQUIREMENTS)
    assert version["Default"] == mwaa.DEFAULT
    assert {folder.name for folder in mwaa.FOLDER.iterdir() if folder.is_dir()} == set(mwaa.REQUIREMENTS)


@pytest.mark.parametrize("name", [file.stem for file in (TEMPLATES / "stages").glob("*.yaml")])
def test_every_stage_names_what_is_there(name):
    import cfnlint.decode

    found = stage_file.load_stage(name)
    known = {p for s in STACKS for p in cfnlint.decode.decode(str(TEMPLATES / f"{s}.yaml"))[0]["Parameters"]}
    assert set(found.parameters) <= known
    items = estimate(found.events_per_second, found.parameters, found.stacks, found.settings)
    assert sum(item.dollars for item in items) > 0


def test_the_page_about_cost_says_what_the_estimate_says():
    prod = stage_file.load_stage("prod")
    items = estimate(prod.events_per_second, prod.parameters, prod.stacks, prod.settings)
    page = (PROJECT / "docs" / "cost.md").read_text()
    for item in items:
        assert f"| {item.what} | {item.why} | {item.dollars:,.0f} |" in page
    assert f"| all |  | {sum(item.dollars for item in items):,.0f} |" in page


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("prefix: a\nwith: []", "with"),
        ("[]", "shop.yaml"),
        ("prefix: a\nwithout: [moon]", "without: moon: expected streaming"),
    ],
)
def test_a_wrong_stage_is_said_to_be_wrong(text, says, monkeypatch, tmp_path):
    monkeypatch.setattr(stage_file, "STAGES", tmp_path)
    monkeypatch.setattr(stage_file, "PROJECT_DIR", tmp_path)
    (tmp_path / "shop.yaml").write_text(text)
    with pytest.raises(PermanentError, match=says):
        stage_file.load_stage("shop")
    with pytest.raises(PermanentError, match="there are shop"):
        stage_file.load_stage("none")
