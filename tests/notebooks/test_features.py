"""The examples of docs/features.md run on a version of the local cloud, and what they learn is better than the base rate."""

import os
import re
import subprocess
from pathlib import Path

import nbformat
import pytest
from ecommerce_elt.features import versions as features_versions
from nbclient import NotebookClient

from tests.conftest import PROJECT
from tests.plugins.features.test_features import Learning, load_real, year

FORECAST = Path(os.environ.get("FORECAST_PYTHON", PROJECT / ".venv" / "forecast" / "bin" / "python"))


def exported(shop):
    made, _ = shop.export(cut_offs=None)
    features_versions.point_to(shop.s3, shop.config.bucket, made.version, made.read_at)
    return made


@pytest.fixture
def simulated_version(observer, config, contracts):
    shop = Learning(observer, config, contracts)
    customers = [f"8{n:05}" for n in range(300)]
    # Some buy every week, most twice a year: there is something to learn.
    shop.load("online_retail", year(2500, 400, customers, [1 / (1 + n / 10) for n in range(300)]))
    return exported(shop)


@pytest.fixture
def real_version(observer, config, contracts, online_retail):
    shop = Learning(observer, config, contracts)
    load_real(shop, online_retail)
    return exported(shop)


def texts_of_notebook(cloud, monkeypatch):
    for name, value in cloud.user_environment().items():
        monkeypatch.setenv(name, value)
    notebook = nbformat.read(PROJECT / "notebooks" / "features.ipynb", as_version=4)
    assert all(not cell.get("outputs") for cell in notebook.cells), "clear the outputs before you commit"
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(PROJECT / "notebooks")}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    pictures = [o for o in outputs if "application/vnd.plotly.v1+json" in o.get("data", {})]
    assert len(pictures) == 1
    assert pictures[0]["data"]["application/vnd.plotly.v1+json"]["data"]
    return [o.get("text") or o.get("data", {}).get("text/plain", "") for o in outputs]


def brier_scores(texts):
    """Those of the model and of the base rate, as the notebook's table has them."""
    [table] = [text for text in texts if "Brier score" in text]
    return [float(found) for found in re.findall(r"^(?:model|base rate, [\d.]+%)\s+([\d.]+)", table, re.MULTILINE)]


@pytest.mark.nightly
def test_the_notebook_runs_and_beats_the_base_rate(simulated_version, cloud, monkeypatch):
    texts = texts_of_notebook(cloud, monkeypatch)
    assert any(simulated_version.version in text for text in texts)
    model, base_rate = brier_scores(texts)
    assert model < base_rate
    assert any("the four weeks before are off by" in text for text in texts)


def run_tensorflow(cloud):
    if subprocess.run([FORECAST, "-c", "import tensorflow, boto3, pyarrow"], capture_output=True).returncode:
        pytest.skip(f"{FORECAST} has no TensorFlow, boto3 and pyarrow: make setup-forecast, or set FORECAST_PYTHON")
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | cloud.user_environment()
    done = subprocess.run(
        [FORECAST, PROJECT / "notebooks" / "features_tensorflow.py"], env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    return done.stdout


@pytest.mark.nightly
@pytest.mark.timeout(900)
@pytest.mark.skipif(
    not FORECAST.exists(), reason=f"{FORECAST} is not there: make setup-forecast, or set FORECAST_PYTHON"
)
def test_tensorflow_reads_the_real_version_and_beats_the_base_rate(real_version, cloud):
    said = run_tensorflow(cloud)
    model, base_rate = map(float, re.search(r"Brier score ([\d.]+), of the base rate [\d.]+% ([\d.]+)", said).groups())
    assert model < base_rate
    assert len(re.findall(r"^said .* came .* customers", said, re.MULTILINE)) == 5


@pytest.mark.nightly
@pytest.mark.timeout(900)
def test_the_notebook_on_the_real_version(real_version, cloud, monkeypatch):
    texts = texts_of_notebook(cloud, monkeypatch)
    model, base_rate = brier_scores(texts)
    assert model < base_rate
