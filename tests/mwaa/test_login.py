"""The page behind the login of MWAA's kind: its Airflow has the FAB auth manager. Runs with MWAA's packages, in `make test-mwaa`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import PROJECT

USER, PASSWORD = "analyst", "correct horse battery staple"
ASK = """
import sys
from fastapi.testclient import TestClient
from airflow.api_fastapi.app import create_app

with TestClient(create_app()) as client:
    print(client.get("/ecommerce/").status_code)
    token = client.post("/auth/token", json={"username": sys.argv[1], "password": sys.argv[2]}).json()["access_token"]
    page = client.get("/ecommerce/", headers={"Authorization": f"Bearer {token}"})
    print(page.status_code, "E-commerce" in page.text)
    print(client.get("/ecommerce/runbooks/loading-fails", headers={"Authorization": f"Bearer {token}"}).status_code)
"""


@pytest.mark.skipif("mwaa-" not in sys.prefix, reason="this needs MWAA's packages; run: make test-mwaa")
def test_the_page_asks_for_a_login_and_shows_itself_after_it(tmp_path):
    bin_dir = Path(sys.executable).parent
    env = os.environ | {
        "AIRFLOW_HOME": str(tmp_path),
        "PATH": f"{bin_dir}:{os.environ['PATH']}",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__AUTH_MANAGER": "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager",
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(PROJECT / "plugins"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(tmp_path / "dags"),
        "AIRFLOW__API_AUTH__JWT_SECRET": "0123456789abcdef" * 4,
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR",
    }

    def run(*command):
        done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run("airflow", "db", "migrate")
    run(
        "airflow",
        "users",
        "create",
        "--username",
        USER,
        "--password",
        PASSWORD,
        "--role",
        "Viewer",
        "--firstname",
        "A",
        "--lastname",
        "B",
        "--email",
        "analyst@example.com",
    )
    assert run(sys.executable, "-c", ASK, USER, PASSWORD).splitlines()[-3:] == ["401", "200 True", "200"]
