"""Runs the tests that need TensorFlow and statsforecast in the environment of the program."""

import subprocess

import pytest

from tests.conftest import PROJECT

PYTHON = PROJECT / ".venv" / "forecast" / "bin" / "python"
TESTS = "tests/forecast/environment"


@pytest.mark.nightly
@pytest.mark.timeout(900)
def test_the_program_in_its_own_environment():
    if not PYTHON.exists():
        pytest.skip(f"{PYTHON} is not there: run make setup-forecast")
    command = [
        PYTHON,
        "-m",
        "pytest",
        "-q",
        "-rs",
        "-p",
        "no:cacheprovider",
        "-c",
        "/dev/null",
        "--rootdir",
        ".",
        "--confcutdir",
        TESTS,
        TESTS,
    ]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout
