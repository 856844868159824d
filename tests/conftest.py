"""Fixtures of all tests. The stacks are real: processes on loopback, each with a state folder of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import tempfile
import uuid
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]
ONLINE_RETAIL = Path(os.environ.get("ONLINE_RETAIL_CSV", PROJECT.parent / "shared" / "data" / "online_retail.csv.gz"))

# What the product needs to be imported, as an installation sets it. Tests that talk to a stack take its own values.
os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="ecommerce-test-airflow-"))
os.environ.setdefault("AIRFLOW__CORE__LOAD_EXAMPLES", "False")
os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")
os.environ.setdefault("ECOMMERCE_BUCKET", "ecommerce-lake-000000000000")
os.environ.setdefault("ECOMMERCE_PII_HMAC_KEY", "a key that only the tests have")

from ecommerce_elt.feeds.contracts import load_contracts  # noqa: E402
from ecommerce_elt.settings import Settings, settings  # noqa: E402

from local.services import DEFAULT_PORTS  # noqa: E402
from local.stack import Stack  # noqa: E402


@pytest.fixture(scope="session")
def online_retail() -> Path:
    """The UCI Online Retail data set."""
    if not ONLINE_RETAIL.is_file():
        pytest.skip(f"{ONLINE_RETAIL} is not there; set ONLINE_RETAIL_CSV to the UCI Online Retail data as CSV")
    return ONLINE_RETAIL


@pytest.fixture(scope="session")
def contracts():
    return load_contracts(PROJECT / "include" / "feeds")


@pytest.fixture
def config(tmp_path) -> Settings:
    return settings().model_copy(update={"work_dir": tmp_path})


def free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def discard(stack: Stack) -> None:
    """Ends a stack whose state nobody reads again: only the database, which would leave shared memory, is not just killed.

    `down` stops each part in its turn and lets it write its state. It is a subject of tests/local/test_lifecycle.py and tests/e2e.
    """
    # Not at the top: what the local cloud needs is not where the package alone is tested, with MWAA's packages.
    import psutil

    from local.supervision import members

    for _ in range(10):  # what was being started meanwhile is found by the next look
        left = members(stack)
        if not left:
            return
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGQUIT if "postgres" in process.name() else signal.SIGKILL)
        psutil.wait_procs(left, timeout=10)
    raise AssertionError(f"{left} of {stack.state} do not end")


def new_stack(folder: Path, airflow_command: str = "") -> Stack:
    ports = dict(zip(DEFAULT_PORTS, free_ports(len(DEFAULT_PORTS)), strict=True))
    return Stack(folder, ports, airflow_command=airflow_command)


@pytest.fixture(scope="session")
def cloud(tmp_path_factory):
    """The local cloud without Airflow, deployed."""
    from rich.console import Console

    from local import lifecycle

    stack = new_stack(tmp_path_factory.mktemp("cloud"))
    console = Console(quiet=True)
    lifecycle.up(stack, console, airflow=False)
    yield stack
    discard(stack)


@pytest.fixture(scope="session")
def observer(cloud):
    from local.observer import Observer

    return Observer.of(cloud)


@pytest.fixture(scope="session")
def s3(observer):
    return observer.s3


@pytest.fixture
def bucket(s3) -> str:
    """A bucket of the test's own."""
    name = f"test-{uuid.uuid4().hex[:12]}"
    s3.create_bucket(Bucket=name)
    return name
