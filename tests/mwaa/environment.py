"""Makes a virtual environment with MWAA's packages and ours, as MWAA's image installs them: `python -m tests.mwaa.environment 3.3.1 FOLDER`.

The image has the packages of infra/mwaa/<version>/packages.txt. At its start it runs pip on our requirements, constrained by what
it lets nobody override (bin/airflow-user/safe-pip-install of amazon-mwaa-docker-images). Nothing else is installed here: pytest
lies in a folder beside, for the path of Python alone.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from infra.mwaa import FOLDER, requirements

PROJECT = Path(__file__).resolve().parents[2]
UV = str(Path(sys.executable).parent / "uv")
PYTHON = "3.12"
# The image builds these two from source. Of psycopg2 it has the binary package, too; pycurl is of Celery's SQS transport.
BUILT = ("psycopg2==", "pycurl==")
# What the list of the image's packages leaves out.
UNLISTED = ("pip", "setuptools", "wcwidth")
# Of pytest, what MWAA does not have; the rest of what they need it has.
TOOLS = ("pytest", "iniconfig", "hypothesis", "sortedcontainers", "faker")
# How Airflow reaches the local cloud's PostgreSQL; 3.2.1 of MWAA has another driver.
DRIVER = ("psycopg", "psycopg-binary")


def python() -> str:
    """Returns MWAA's version of Python where there is one, else this one, and says so."""
    # Of pyenv this chooses the version; without it, it says nothing.
    found = subprocess.run(
        [UV, "python", "find", "--no-python-downloads", PYTHON],
        env=os.environ | {"PYENV_VERSION": PYTHON},
        capture_output=True,
        text=True,
        check=False,
    )
    if found.returncode == 0:
        return found.stdout.strip()
    here = ".".join(map(str, sys.version_info[:2]))
    sys.stderr.write(f"test-mwaa: MWAA has Python {PYTHON}, and there is none here; with Python {here} instead\n")
    return sys.executable


def make(version: str, folder: Path) -> None:
    """Makes the environment anew."""
    listed = (FOLDER / version / "packages.txt").read_text().splitlines()
    image = [line for line in listed if not line.startswith(BUILT)]
    constraints = FOLDER / version / "airflow_constraints.txt"
    uv = [UV, "pip", "install", "--quiet", "--python", str(folder / "bin" / "python")]
    subprocess.run([UV, "venv", "--quiet", "--clear", "--python", python(), str(folder)], check=True)
    subprocess.run([*uv, "--no-deps", *image], check=True)
    subprocess.run([*uv, "-c", str(constraints), *UNLISTED], check=True)
    essential = FOLDER / version / "mwaa_essential_constraints.txt"
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--constraint", str(essential), "-r", str(requirements(version))], check=True)
    subprocess.run([UV, "pip", "check", "--quiet", "--python", str(folder / "bin" / "python")], check=True)
    pins = [word for name in ("requirements.txt", "requirements-dev.txt") for word in ("-c", str(PROJECT / name))]
    subprocess.run([*uv, "--no-deps", "--target", str(folder / "tools"), *pins, *TOOLS, *DRIVER], check=True)


if __name__ == "__main__":
    make(sys.argv[1], Path(sys.argv[2]))
