"""infra/gcp/setup.sh: what it would run, what it refuses, and that a second run makes nothing twice."""

import os
import subprocess

import pytest
import yaml

from infra.airflow_environment import of_bigquery
from infra.stage_file import BigQuery
from tests.conftest import PROJECT

SCRIPT = PROJECT / "infra" / "gcp" / "setup.sh"
GOOD = ["--project", "my-project-1", "--aws-account", "123456789012", "--prefix", "ecommerce-dev"]
# Stands for gcloud and bq: remembers what was made, and knows it afterwards.
FAKE = """#!/bin/bash
cd "$(dirname "$0")"
line="$(basename "$0") $*"
key=$(sed -E 's/ (describe|create|create-aws) ([^ @]+).*/ create \\2/' <<<"$line")
case "$line" in
    *"projects describe"*) echo 421337 ;;
    *" describe "*) grep -qxF "$key" asked || exit 1 ;;
    *" show "*) grep -F " mk --dataset " asked | grep -qF "${line##* }" || exit 1 ;;
    *) echo "$line" >>all; echo "$key" >>asked ;;
esac
"""


def setup(*arguments, path=None):
    env = os.environ | ({"PATH": f"{path}:{os.environ['PATH']}"} if path else {})
    return subprocess.run([SCRIPT, *arguments], capture_output=True, text=True, env=env, check=False)


def test_a_dry_run_prints_each_command_and_needs_no_gcloud():
    done = setup(*GOOD, "--dry-run")
    assert done.returncode == 0, done.stderr
    commands = [line.split()[0] for line in done.stdout.split("\n\n")[0].splitlines()]
    assert set(commands) == {"gcloud", "bq"}
    for words in (
        "attribute.aws_role\\ ==\\ \\'ecommerce-dev-stage-bigquery\\'",
        "--account-id=123456789012",
        "--max_time_travel_hours=48",
        "--public-access-prevention",
        "roles/bigquery.jobUser",
    ):
        assert words in done.stdout
    assert "keys" not in done.stdout  # none of a service account is made


def test_what_it_prints_is_what_a_stage_takes():
    done = setup(*GOOD, "--dry-run", "--location", "EU")
    block = yaml.safe_load(done.stdout[done.stdout.index("bigquery:") :])["bigquery"]
    found = of_bigquery(BigQuery(**block).outputs())
    assert found["ECOMMERCE_BIGQUERY_PROJECT"] == "my-project-1"
    assert found["ECOMMERCE_BIGQUERY_BUCKET"] == "my-project-1-ecommerce-dev-export"
    assert "workloadIdentityPools/ecommerce-dev-aws/providers/aws-account" in found["AIRFLOW_CONN_GCP_BIGQUERY"]
    assert of_bigquery({}) == {}


def test_with_the_transfer_service_its_number_is_printed_and_its_role_is_made_known():
    done = setup(*GOOD, "--transfer", "--dry-run")
    assert done.returncode == 0, done.stderr
    for words in (
        "storagetransfer.googleapis.com",
        "roles/storagetransfer.user",
        "roles/storage.legacyBucketReader",
        "project-000000000000@storage-transfer-service.iam.gserviceaccount.com",
    ):
        assert words in done.stdout
    block = yaml.safe_load(done.stdout[done.stdout.index("bigquery:") :])["bigquery"]
    assert BigQuery(**block).transfer_subject == "0" * 21
    outputs = BigQuery(**block).outputs() | {
        "TransferRoleArn": "arn:aws:iam::123456789012:role/ecommerce-google-transfer"
    }
    assert of_bigquery(outputs)["ECOMMERCE_BIGQUERY_TRANSFER_ROLE_ARN"] == outputs["TransferRoleArn"]
    assert "storagetransfer" not in setup(*GOOD, "--dry-run").stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--project", "P"], "--project: expected the id"),
        ([*GOOD, "--bucket", "A b"], "--bucket: expected"),
        (["--project", "my-project-1", "--aws-account", "12"], "twelve digits"),
        (["--sprject", "x"], "--sprject is not known"),
        ([*GOOD, "--location"], "a value is missing"),
    ],
)
def test_wrong_arguments_are_named(arguments, says):
    done = setup(*arguments, "--dry-run")
    assert done.returncode == 1
    assert says in done.stderr


def test_a_second_run_makes_nothing_twice(tmp_path):
    for name in ("gcloud", "bq"):
        (tmp_path / name).write_text(FAKE)
        (tmp_path / name).chmod(0o755)
    first = setup(*GOOD, path=tmp_path)
    assert first.returncode == 0, first.stderr
    assert "provider: projects/421337/" in first.stdout
    made = (tmp_path / "all").read_text().splitlines()
    (tmp_path / "all").unlink()
    assert setup(*GOOD, path=tmp_path).returncode == 0
    again = (tmp_path / "all").read_text().splitlines()
    assert [line for line in made if line not in again] == [
        line for line in made if " create" in line or " mk " in line
    ]
