"""The questions to AWS, asked of the local cloud; and that the calls they make are there in the services' models."""

import boto3
import botocore.session
import pytest
from typer.testing import CliRunner

from infra import first_run, questions
from infra.first_run import REMOVALS
from infra.questions import QUESTIONS
from tests.conftest import PROJECT

# What the local warehouse does not know, and says so: it has no blocks and no bill; and its one database has one COPY job of the
# name, which watches the lake of the stack and not that of the stage here (tests/local/test_copy_jobs.py asks the same).
ONLY_AWS = {"ranges from a subquery", "money", "COPY job"}


def test_a_dry_run_lists_the_questions_and_asks_nobody(monkeypatch):
    monkeypatch.setattr(boto3, "client", None)
    result = CliRunner().invoke(first_run.app, ["--dry-run"], env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    assert all(question.name in result.output for question in QUESTIONS)


def test_each_question_of_the_page_is_asked():
    """docs/redshift.md says what no test here can prove."""
    text = (PROJECT / "docs" / "redshift.md").read_text().partition("## What is not proven here")[2].partition("## ")[0]
    named = {line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| ")} - {
        "in the table",
        "--",
    }
    assert named <= {question.name for question in QUESTIONS}


@pytest.mark.parametrize("kind", REMOVALS)
def test_what_is_left_is_removed_by_a_call_that_there_is(kind):
    service, operation, parameter = REMOVALS[kind]
    model = botocore.session.get_session().get_service_model(service).operation_model(operation)
    assert parameter in model.input_shape.members
    assert set(model.input_shape.required_members) <= {parameter}


def test_everything_that_a_stack_retains_is_removed():
    retained = {
        resource["Type"]
        for stack in first_run.ASKED
        for resource in first_run_template(stack)["Resources"].values()
        if resource.get("DeletionPolicy") == "Retain"
    }
    assert retained <= set(REMOVALS)


def first_run_template(stack):
    import cfnlint.decode

    return cfnlint.decode.decode(str(PROJECT / "infra" / f"{stack}.yaml"))[0]


@pytest.mark.nightly
def test_the_local_cloud_is_asked_and_cleaned_up(cloud, monkeypatch):
    """All that AWS will be asked, from the deployment to the last bucket; what AWS alone knows is told as a difference."""
    for name, value in cloud.user_environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("ECOMMERCE_PII_HMAC_KEY", raising=False)
    monkeypatch.setattr(questions, "COPY_JOB_SECONDS", 1)
    words = [
        "--prefix",
        "first-run-test",
        "--workgroup",
        "ecommerce",
        "--without",
        "warehouse",
        "--without",
        "network",
        "--parameter",
        "FirehoseBufferSeconds=5",
        "--parameter",
        "RedshiftWorkgroupArn=arn:aws:redshift-serverless:us-east-1:000000000000:workgroup/ecommerce",
    ]
    result = CliRunner().invoke(first_run.app, words, env={"COLUMNS": "250"})
    assert isinstance(result.exception, SystemExit), result.exc_info
    assert result.exit_code == 1, result.output
    [differ] = [line for line in result.output.splitlines() if line.startswith("differ: ")]
    assert set(differ.removeprefix("differ: ").split(", ")) == ONLY_AWS, result.output
    assert "left:" not in result.output
    buckets = {bucket["Name"] for bucket in boto3.client("s3").list_buckets()["Buckets"]}
    assert not any(name.startswith("first-run-test") for name in buckets)
