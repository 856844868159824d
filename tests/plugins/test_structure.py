"""The folders of the package import in one direction."""

import ast

import pytest

from tests.conftest import PROJECT

PACKAGE = PROJECT / "plugins" / "ecommerce_elt"
# From the top: a folder imports what is in a later line, and nothing else of the package.
ORDER = (
    {"page", "scaffold"},
    {"erasure"},
    {"bigquery"},
    {"landing", "quarantine", "reconcile", "features", "forecast"},
    {"load"},
    {"lake"},
    {"marts"},
    {"dashboards"},
    {"cleaning"},
    {"airflow"},
    {"warehouse"},
    {"feeds"},
    {"batches"},
    {"listing"},
    {"errors", "settings"},
)
LINE = {name: number for number, names in enumerate(ORDER) for name in names}
FOLDERS = sorted(path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__")


def _imports(path):
    """Returns what the file imports of the package, folders and modules at its top."""
    for node in ast.walk(ast.parse(path.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
        if isinstance(node, ast.ImportFrom):
            names = (
                [f"{node.module}.{name}" for name in names] if node.module == "ecommerce_elt" else [node.module or ""]
            )
        yield from (name.split(".")[1] for name in names if name.startswith("ecommerce_elt."))


def test_every_folder_and_module_has_its_line():
    modules = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__"}
    assert set(LINE) == {*FOLDERS, *modules}


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_folder_imports_only_what_is_below_it(folder):
    found = {
        (str(path.relative_to(PACKAGE)), name) for path in (PACKAGE / folder).rglob("*.py") for name in _imports(path)
    }
    assert found or folder == "airflow"
    upwards = {(path, name) for path, name in found if name != folder and LINE[name] <= LINE[folder]}
    assert upwards == set()
