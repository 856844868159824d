"""The wheel has every package of the project and names what they import."""

import pkgutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from tests.conftest import PROJECT

UV = str(Path(sys.executable).parent / "uv")
SETUPTOOLS = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["setuptools"]
FOLDERS = {name: PROJECT / SETUPTOOLS["package-dir"][name] for name in SETUPTOOLS["package-dir"]}


def packages():
    """Name to folder of everything that is a package."""
    return {
        ".".join([top, *path.parent.relative_to(folder).parts]): path.parent
        for top, folder in FOLDERS.items()
        for path in folder.rglob("__init__.py")
    }


def test_every_package_is_named():
    assert set(SETUPTOOLS["packages"]) == set(packages())


@pytest.mark.nightly
@pytest.mark.timeout(900)
def test_the_wheel_is_whole_in_an_empty_environment(tmp_path):
    subprocess.run([UV, "build", "--quiet", "--wheel", "--out-dir", str(tmp_path), str(PROJECT)], check=True)
    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        names = set(packed.namelist())
    assert {"ecommerce_elt/page/static/index.html", "infra/streaming.yaml", "infra/stages/dev.yaml"} <= names

    python = tmp_path / "empty" / "bin" / "python"
    subprocess.run([UV, "venv", "--quiet", "--python", sys.executable, str(tmp_path / "empty")], check=True)
    pins = [word for name in ("requirements.txt", "requirements-dev.txt") for word in ("-c", str(PROJECT / name))]
    subprocess.run([UV, "pip", "install", "--quiet", "--python", str(python), *pins, f"{wheel}[deploy]"], check=True)
    modules = [
        f"{name}.{module.name}"
        for name, folder in packages().items()
        for module in pkgutil.iter_modules([str(folder)])
        if not module.ispkg
    ]
    assert len(modules) > 90
    code = f"import importlib; [importlib.import_module(name) for name in {modules!r}]"
    # Away from the project, so that nothing is found but what was installed.
    env = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(tmp_path),
        "AIRFLOW_HOME": str(tmp_path / "airflow"),
        "AWS_DEFAULT_REGION": "us-east-1",
        "ECOMMERCE_BUCKET": "b",
        "ECOMMERCE_PII_HMAC_KEY": "0123456789abcdef",
    }
    done = subprocess.run([str(python), "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
