"""The notebook runs from the first to the last cell, on the local cloud, and draws its pictures."""

import re

import nbformat
import pytest
from nbclient import NotebookClient

from producer.simulate import simulated
from tests.conftest import PROJECT
from tests.plugins.marts.test_marts import Shop


@pytest.fixture
def filled(observer, config, contracts):
    shop = Shop(observer, config, contracts)
    for feed in contracts:
        shop.load(feed, [(f"nb-{feed}-{i}", at, data) for i, (at, data, _) in enumerate(simulated(feed, 1500, 3, 0))])
    shop.build()
    return shop


@pytest.mark.nightly
def test_the_notebook_runs(filled, cloud, monkeypatch):
    for name, value in cloud.user_environment().items():
        monkeypatch.setenv(name, value)
    notebook = nbformat.read(PROJECT / "notebooks" / "ecommerce.ipynb", as_version=4)
    assert all(not cell.get("outputs") for cell in notebook.cells), "clear the outputs before you commit"
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(PROJECT / "notebooks")}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    pictures = [o for o in outputs if "application/vnd.plotly.v1+json" in o.get("data", {})]
    assert len(pictures) == 4
    assert all(picture["data"]["application/vnd.plotly.v1+json"]["data"] for picture in pictures)
    assert any(re.search(r"[\d,]+ invoice lines in s3:", o.get("text", "")) for o in outputs)
