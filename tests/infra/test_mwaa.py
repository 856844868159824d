"""What MWAA gets, as its containers find it: folders, sizes, versions of S3, the startup script."""

import io
import json
import os
import subprocess
import sys
import uuid
import zipfile

import boto3
import pytest
from ecommerce_elt.errors import PermanentError

from infra import mwaa

VARIABLES = {"ECOMMERCE_BUCKET": "a b", "ECOMMERCE_STACK_PREFIX": "shop"}
PLUGINS_MAX_BYTES = 1024**3  # MWAA user guide, "Custom plugins directory and size limits": less is recommended


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder as /usr/local/airflow of MWAA's containers."""
    home = tmp_path_factory.mktemp("airflow")
    files = mwaa.files(VARIABLES)
    for name, body in files.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_bytes(body)
    with zipfile.ZipFile(home / "plugins.zip") as packed:
        packed.extractall(home / "plugins")
    return home


def test_plugins_zip_has_the_plugins_at_its_top_and_little_else():
    body = mwaa.files(VARIABLES)["plugins.zip"]
    with zipfile.ZipFile(io.BytesIO(body)) as packed:
        names = packed.namelist()
        assert sum(info.file_size for info in packed.infolist()) < PLUGINS_MAX_BYTES / 50
    assert {name.partition("/")[0] for name in names} == {
        ".airflowignore",
        "ecommerce_elt",
        "ecommerce_page.py",
        "warm_imports.py",
    }
    assert {"ecommerce_elt/page/app.py", "ecommerce_elt/page/static/index.html"} <= set(names)
    assert [name for name in names if name.endswith(".pyc")] == []


def test_the_startup_script_sets_variables_and_does_nothing_else(home):
    """MWAA's image sources it in bash, and writes the environment down after it; five minutes are its limit."""
    lines = (home / "startup.sh").read_text().splitlines()
    assert lines[0] == "#!/bin/sh"
    assert [line for line in lines[1:] if not line.startswith("export ECOMMERCE_")] == []
    done = subprocess.run(
        ["/bin/bash", "-c", "source startup.sh && env -0"], cwd=home, env={}, capture_output=True, text=True, check=True
    )
    found = dict(line.split("=", 1) for line in done.stdout.split("\0") if line)
    assert found["ECOMMERCE_BUCKET"] == "a b"
    assert found["ECOMMERCE_INCLUDE_DIR"] == "/usr/local/airflow/dags/include"
    assert found["ECOMMERCE_SPILL_MAX_BYTES"] == str(mwaa.SPILL_MAX_BYTES)


def test_dags_and_page_are_whole_in_the_layout_of_mwaa(home):
    """With nothing of this project on the path but what was uploaded."""
    code = """
import json
from pathlib import Path
from airflow.dag_processing.dagbag import DagBag
bag = DagBag("dags")
import ecommerce_elt
from ecommerce_elt.cleaning.cleaner import render
from ecommerce_elt.feeds.contracts import load_contracts
from ecommerce_elt.page import app
from ecommerce_elt.settings import settings
render(settings())
pages = [path.stem for path in settings().runbooks_dir.glob("*.md")]
print(json.dumps({"errors": bag.import_errors, "dags": sorted(bag.dags), "package": ecommerce_elt.__path__[0],
                  "feeds": sorted(load_contracts(settings().include_dir / "feeds")), "runbooks": pages}))
"""
    env = {
        "PATH": os.environ["PATH"],
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR",
        "PYTHONPATH": str(home / "plugins"),
        "ECOMMERCE_BUCKET": "b",
        "ECOMMERCE_INCLUDE_DIR": str(home / "dags" / "include"),
        "ECOMMERCE_RUNBOOKS_DIR": str(home / "dags" / "runbooks"),
        "ECOMMERCE_PII_HMAC_KEY": "0123456789abcdef",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    done = subprocess.run([sys.executable, "-c", code], cwd=home, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["errors"] == {}
    assert {"load_events", "refresh_dashboards"} <= set(found["dags"])
    assert found["package"] == str(home / "plugins" / "ecommerce_elt")
    assert "online_retail" in found["feeds"]
    assert "loading-fails" in found["runbooks"]


def test_the_requirements_are_those_of_the_version():
    for version, name in mwaa.REQUIREMENTS.items():
        assert mwaa.files(VARIABLES, version)["requirements.txt"] == (mwaa.PROJECT_DIR / name).read_bytes()
    with pytest.raises(PermanentError, match=r"AirflowVersion 3\.3\.2: expected one of 3\.3\.1, 3\.2\.1"):
        mwaa.files(VARIABLES, "3.3.2")


@pytest.mark.slow
def test_what_did_not_change_keeps_its_version_and_what_somebody_changed_does_not(cloud, monkeypatch):
    for name, value in cloud.user_environment().items():
        monkeypatch.setenv(name, value)
    s3, bucket = boto3.client("s3"), f"for-mwaa-{uuid.uuid4().hex[:12]}"
    s3.create_bucket(Bucket=bucket)
    with pytest.raises(PermanentError, match="enable versioning"):
        mwaa.upload(bucket, VARIABLES)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    first = mwaa.upload(bucket, VARIABLES)
    assert mwaa.upload(bucket, VARIABLES) == first
    key = f"{first['AirflowFolder']}/startup.sh"
    script = s3.get_object(Bucket=bucket, Key=key, VersionId=first["StartupObjectVersion"])["Body"].read().decode()
    assert cloud.secret("pii_hmac_key") not in script

    s3.put_object(Bucket=bucket, Key=key, Body=b"curl somewhere")
    second = mwaa.upload(bucket, VARIABLES)
    assert second["StartupObjectVersion"] != first["StartupObjectVersion"]
    assert {k: v for k, v in second.items() if k != "StartupObjectVersion"} == {
        k: v for k, v in first.items() if k != "StartupObjectVersion"
    }
    found = s3.get_object(Bucket=bucket, Key=key, VersionId=second["StartupObjectVersion"])["Body"].read().decode()
    assert found == script
