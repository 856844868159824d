"""The DAG package in Airflow with MWAA's packages, on the local cloud: one load end to end, dashboards, and the page.

`make test-mwaa` makes the environments and runs this; the local cloud itself runs with the packages of requirements.txt.
"""

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from rich.console import Console

from infra import mwaa
from local import lifecycle
from local.stack import PROJECT_DIR
from tests.conftest import new_stack

pytestmark = pytest.mark.timeout(900)
ENVIRONMENTS = Path(os.environ.get("MWAA_ENVIRONMENTS", PROJECT_DIR / ".venv"))


@pytest.fixture(scope="module", params=list(mwaa.REQUIREMENTS))
def stack(request, tmp_path_factory):
    """A stack whose Airflow is of the environment of that version."""
    airflow = ENVIRONMENTS / f"mwaa-{request.param}" / "bin" / "airflow"
    assert airflow.exists(), f"{airflow} is not there; run: make test-mwaa"
    stack = new_stack(tmp_path_factory.mktemp("stack"), airflow_command=str(airflow))
    console = Console(quiet=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(airflow.parents[1] / "tools"))  # the driver of the local PostgreSQL
        patch.setenv("ECOMMERCE_SPILL_MAX_BYTES", str(mwaa.SPILL_MAX_BYTES))
        patch.setattr(lifecycle, "READY_SECONDS", 300)  # the first start compiles Airflow's modules
        lifecycle.up(stack, console)
    yield stack, request.param
    lifecycle.down(stack, console)


def test_airflow_is_of_that_version_and_knows_the_plugin(stack):
    stack, version = stack
    assert httpx.get(f"{stack.airflow_url}/api/v2/version").json()["version"] == version
    plugins = httpx.get(f"{stack.airflow_url}/api/v2/plugins").json()["plugins"]
    assert "ecommerce" in {plugin["name"] for plugin in plugins}
    assert httpx.get(f"{stack.airflow_url}/api/v2/plugins/importErrors").json()["import_errors"] == []


def test_events_come_to_the_dashboards_and_none_is_lost(stack):
    stack, _ = stack
    command = [sys.executable, "-m", "local", "demo", "--state", str(stack.state), "--rows", "3000"]
    done = subprocess.run(command, cwd=PROJECT_DIR, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "I1 holds" in done.stdout
    assert "I2 holds" in done.stdout


def test_the_page_shows_the_figures(stack):
    stack, _ = stack
    page = httpx.get(f"{stack.airflow_url}/ecommerce/")
    assert page.status_code == 200
    assert "E-commerce" in page.text
    business = httpx.get(f"{stack.airflow_url}/ecommerce/data/business", timeout=60)
    assert business.status_code == 200, business.text
    assert business.json()["span"]["last_day"]
    assert httpx.get(f"{stack.airflow_url}/ecommerce/data/pipeline", timeout=60).status_code == 200
    assert "<h1" in httpx.get(f"{stack.airflow_url}/ecommerce/runbooks/loading-fails").text
