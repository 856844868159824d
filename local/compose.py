"""What the containers of docker-compose.yaml run once: `python -m local.compose init` and `deploy`."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import boto3
import typer
from cryptography.fernet import Fernet

from local import google_cloud
from local.lifecycle import dashboards_command, deploy_command, give_api_keys
from local.services import DEFAULT_PORTS, SERVICES
from local.stack import Stack

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__, pretty_exceptions_enable=False)


def _stack() -> Stack:
    """Returns the stack as seen by a client on the host; its state folder is a volume with only the secrets."""
    ports = {s.name: int(os.environ[s.variable]) for s in SERVICES if s.variable in os.environ}
    stack = Stack(Path(os.environ["ECOMMERCE_STATE"]))
    return replace(stack, ports=DEFAULT_PORTS | ports) if ports else Stack.load(stack.state) or stack


@app.command()
def init() -> None:
    """Make the secrets that are not there, write the login of the UI, and bring Airflow's database up to date."""
    stack = _stack()
    stack.save()
    for name in ("airflow_api", "airflow_jwt", "warehouse"):
        stack.secret(name)
    fernet = stack.state / "secrets" / "airflow_fernet"
    if not fernet.exists():
        fernet.touch(mode=0o600)
        fernet.write_bytes(Fernet.generate_key())
    login = stack.state / "secrets" / "airflow_passwords.json"
    login.touch(mode=0o600)
    login.write_text(json.dumps({os.environ["AIRFLOW_USER"]: os.environ["AIRFLOW_PASSWORD"]}))
    subprocess.run(["airflow", "db", "migrate"], check=True)  # noqa: S607


@app.command()
def deploy() -> None:
    """Deploy the stacks, the warehouse's tables and the dashboards, as a user would to AWS."""
    stack = _stack()
    environment = os.environ | {"ECOMMERCE_PII_HMAC_KEY": stack.secret("pii_hmac_key")}
    for command in (deploy_command(stack), dashboards_command()):
        subprocess.run(command, env=environment, check=True)
    give_api_keys(stack, boto3.client("secretsmanager"))
    if os.environ.get("ECOMMERCE_BIGQUERY_PROJECT"):
        urls = (os.environ["BIGQUERY_EMULATOR_HOST"], os.environ["STORAGE_EMULATOR_HOST"])
        google_cloud.deploy(*google_cloud.clients(*urls), os.environ["ECOMMERCE_BIGQUERY_BUCKET"])


if __name__ == "__main__":
    app()
