"""`make up LOGIN=1`: Airflow asks for the password that the stack has made."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from local.stack import Stack
from local.supervision import parts
from tests.conftest import PROJECT

ASK = """
import sys
from fastapi.testclient import TestClient
from airflow.api_fastapi.app import create_app

with TestClient(create_app()) as client:
    asked = ["/ecommerce/", "/api/v2/dags"]
    print("without", [client.get(path).status_code for path in asked])
    wrong = client.post("/auth/token", json={"username": sys.argv[1], "password": "wrong"})
    print("wrong", wrong.status_code)
    token = client.post("/auth/token", json={"username": sys.argv[1], "password": sys.argv[2]}).json()["access_token"]
    print("with", [client.get(path, headers={"Authorization": f"Bearer {token}"}).status_code for path in asked])
"""


def test_a_stack_has_a_login_where_it_is_asked_for(tmp_path):
    plain, guarded = Stack(tmp_path / "plain"), Stack(tmp_path / "guarded", extras=("login",))
    assert plain.environment()["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS"] == "True"
    assert "AIRFLOW_PASSWORD" not in plain.user_environment()
    assert plain.airflow_headers() == {}
    environment, password = guarded.environment(), guarded.user_environment()["AIRFLOW_PASSWORD"]
    assert environment["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS"] == "False"
    assert password not in environment.values()
    assert not any(password in word for part in parts(guarded) for word in part.command)
    guarded.keep_login()
    assert json.loads(guarded.passwords_file.read_text()) == {"admin": password}
    assert guarded.passwords_file.stat().st_mode & 0o777 == 0o600
    guarded.save()
    assert Stack.load(guarded.state).has_login


@pytest.mark.nightly  # it migrates a database for Airflow
def test_airflow_and_the_page_ask_for_the_password(tmp_path):
    stack = Stack(tmp_path / "state", extras=("login",))
    stack.keep_login()
    bin_dir = Path(sys.executable).parent
    env = (
        {k: v for k, v in os.environ.items() if not k.startswith("AIRFLOW")}
        | stack._login_environment()
        | {
            "AIRFLOW_HOME": str(tmp_path),
            "PATH": f"{bin_dir}:{os.environ['PATH']}",
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(PROJECT / "plugins"),
            "AIRFLOW__CORE__DAGS_FOLDER": str(tmp_path / "dags"),
            "AIRFLOW__API_AUTH__JWT_SECRET": "0123456789abcdef" * 4,
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR",
        }
    )

    def run(*command):
        done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run("airflow", "db", "migrate")
    user = stack.user_environment()
    said = run(sys.executable, "-c", ASK, user["AIRFLOW_USER"], user["AIRFLOW_PASSWORD"])
    assert said.splitlines()[-3:] == ["without [401, 401]", "wrong 401", "with [200, 200]"]
