"""After `eval "$(make -s env)"` nothing goes to AWS: each client that botocore knows, and the AWS CLI, ask the local cloud."""

import json
import re
import subprocess
import sys

import pytest

from local import shell
from local.services import DEFAULT_PORTS
from local.stack import Stack
from tests.conftest import PROJECT, free_ports

# A shell that was used with AWS before, and a configuration that leads there.
BEFORE = {
    "AWS_PROFILE": "prod",
    "AWS_SESSION_TOKEN": "t",
    "AWS_REGION": "eu-west-1",
    "AWS_ENDPOINT_URL_SQS": "https://sqs.amazonaws.com",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true",
    "AWS_USE_FIPS_ENDPOINT": "true",
}
CONFIG = """[default]
region = eu-west-1
ignore_configured_endpoint_urls = true
services = real
[profile prod]
region = eu-west-1
[services real]
sqs =
    endpoint_url = https://sqs.eu-west-1.amazonaws.com
"""


def services_of_the_product():
    """What the roles may call, what the code makes clients of, and what the documentation types."""
    found = {line.split("|")[1].split()[0] for line in (PROJECT / "infra" / "calls.txt").read_text().splitlines()}
    for folder in ("producer", "infra", "bi", "plugins", "lambdas", "glue", "local"):
        for path in (PROJECT / folder).rglob("*.py"):
            found |= set(re.findall(r"""client\(["']([a-z0-9-]+)["']""", path.read_text()))
    for path in (PROJECT / "README.md", *(PROJECT / "docs").rglob("*.md")):
        found |= set(re.findall(r"^ *aws ([a-z0-9-]+) [a-z]", path.read_text(), re.MULTILINE))
    return sorted(found)


@pytest.fixture
def stack(tmp_path):
    """A stack that does not run. Nothing listens on its ports, also where another stack has the default ones."""
    return Stack(tmp_path / "state", dict(zip(DEFAULT_PORTS, free_ports(len(DEFAULT_PORTS)), strict=True)))


@pytest.fixture
def sh(stack, tmp_path):
    """Runs a command in a shell that evaluated `make env`, and which was used with AWS before."""
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "config").write_text(CONFIG)
    before = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)} | BEFORE
    text = "\n".join(shell.lines(stack.user_environment(), before))

    def run(command):
        return subprocess.run(["/bin/sh", "-c", f"{text}\n{command}"], env=before, capture_output=True, text=True)

    return run


@pytest.fixture
def environment(sh):
    return dict(line.split("=", 1) for line in sh("env -0").stdout.split("\0") if line)


def test_each_client_asks_the_local_cloud(environment, stack):
    services = services_of_the_product()
    assert {"s3", "sqs", "sns", "kinesis", "redshift-data", "secretsmanager", "dynamodb", "glue", "athena"} <= set(
        services
    )
    code = """
import json, sys
import boto3
session = boto3.session.Session()
print(json.dumps({name: session.client(name).meta.endpoint_url for name in sys.argv[1:]}))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, *services], env=environment, capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout)
    assert {name: url for name, url in found.items() if not url.startswith("http://127.0.0.1:")} == {}
    assert found["sqs"] == f"http://127.0.0.1:{stack.ports['cloud']}"


@pytest.mark.parametrize(
    "command",
    [
        "sqs list-queues",
        "--region us-east-1 sqs list-queues",
        "s3 ls",
        "redshift-data list-statements",
        "sns list-topics",
        "sts get-caller-identity",
        "rds describe-db-instances",
    ],
)
def test_the_aws_cli_asks_the_local_cloud(sh, command):
    """Nothing listens there: the error names whom it asked."""
    done = sh(f"export AWS_MAX_ATTEMPTS=1 AWS_EC2_METADATA_DISABLED=true\naws {command}")
    assert done.returncode != 0
    assert re.findall(r'endpoint URL: "(http://127\.0\.0\.1:\d+)/', done.stderr), done.stderr
    assert "amazonaws" not in done.stderr


def test_the_services_with_urls_of_the_cli_are_those_that_it_has():
    from awscli.customizations.overridesslcommonname import SSL_COMMON_NAMES

    assert set(shell.OWN_NAMES) == set(SSL_COMMON_NAMES)


@pytest.mark.parametrize(
    ("version", "refused"),
    [
        ("aws-cli/2.9.19 Python/3.11.2 Linux/6.1.0", True),
        ("aws-cli/1.22.34 Python/3.10.6", True),
        ("aws-cli/2.13.0 Python/3.11.4", False),
        ("aws-cli/1.46.2 Python/3.11.7", False),
        ("no AWS CLI at all", False),
    ],
)
def test_an_aws_cli_that_does_not_know_the_variable_is_refused(tmp_path, version, refused):
    command = tmp_path / "aws"
    command.write_text(f"#!/bin/sh\necho '{version}'\n")
    command.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    text = "\n".join(shell.lines({"AWS_ENDPOINT_URL": "http://127.0.0.1:4566"}, environment))
    done = subprocess.run(
        ["/bin/sh", "-c", f"{text}\naws sqs list-queues"], env=environment, capture_output=True, text=True
    )
    assert (done.returncode != 0) is refused
    if refused:
        assert "would ask AWS itself: use .venv/bin/aws" in done.stderr
        assert done.stdout == ""
