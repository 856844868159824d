"""What is installed where: the DAG package's requirements name what it imports, and MWAA can install them."""

import re
import sys
from importlib.metadata import packages_distributions

import pytest

from tests.conftest import PROJECT
from tests.support.imports import imported_at_run_time

# What Airflow loads by a setting, and no file of ours imports.
NOT_IMPORTED = {"apache-airflow-providers-openlineage"}
# Imported where it is there, by warm_imports.py.
OPTIONAL = {"pandas"}
# The program of forecasts, which runs in an environment of its own: requirements-forecast.in.
PROGRAM = "forecast"
# A command of the machine on which feeds are written, which Airflow never imports.
ELSEWHERE = PROJECT / "plugins" / "ecommerce_elt" / "scaffold"
COMPILED = sorted(path.name for path in PROJECT.glob("requirements*.txt"))
# infra/mwaa/README.md
MWAA = {"3.3.1": "requirements-mwaa.txt", "3.2.1": "requirements-mwaa-3.2.1.txt"}
OURS = re.compile(re.search(r"^MWAA_321_OURS := (.*)$", (PROJECT / "Makefile").read_text(), re.MULTILINE)[1])


def normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(path):
    """Name to version of a requirements or constraints file."""
    found = re.findall(r"^([A-Za-z0-9][\w.-]*)(?:\[[^\]]*\])?==([^\s;\\]+)", path.read_text(), re.MULTILINE)
    return {normal(name): version for name, version in found}


def imported_modules(folder):
    """Dotted names that the files of the folder import from elsewhere."""
    found = set()
    for path in (PROJECT / folder).rglob("*.py"):
        if ELSEWHERE in path.parents:
            continue
        found |= set(imported_at_run_time(path))
    own = {path.stem for path in (PROJECT / "plugins").iterdir()} | {PROGRAM}
    return {name for name in found if name.partition(".")[0] not in sys.stdlib_module_names | own}


DISTRIBUTIONS = packages_distributions()


def distribution_of(module):
    if provider := re.match(r"airflow\.providers\.(\w+)", module):
        return f"apache-airflow-providers-{provider[1]}"
    if google := re.match(r"google\.((?:cloud\.)?\w+)", module):  # a package of many distributions
        return normal(f"google-{google[1].replace('.', '-')}")
    top = module.partition(".")[0]
    return "apache-airflow" if top == "airflow" else normal(DISTRIBUTIONS[top][0])


def test_the_dag_package_requires_what_it_imports_and_no_more():
    listed = re.findall(r"^[a-z][\w.-]*", (PROJECT / "requirements-airflow.in").read_text(), re.MULTILINE)
    imported = {distribution_of(module) for folder in ("dags", "plugins") for module in imported_modules(folder)}
    assert set(listed) - NOT_IMPORTED == imported - OPTIONAL


@pytest.mark.parametrize("name", COMPILED)
def test_each_package_has_hashes(name):
    text = (PROJECT / name).read_text()
    packages = re.split(r"^(?=[a-z][\w.-]*(?:\[[^\]]*\])?==)", text, flags=re.MULTILINE)[1:]
    assert packages
    assert [package.partition("==")[0] for package in packages if "--hash=sha256:" not in package] == []


@pytest.mark.parametrize("version", sorted(MWAA))
def test_mwaa_forbids_none_of_our_versions(version):
    ours, folder = pins(PROJECT / MWAA[version]), PROJECT / "infra" / "mwaa" / version
    assert ours["apache-airflow"] == version
    for file in ("airflow_constraints.txt", "mwaa_essential_constraints.txt", "packages.txt"):
        theirs = pins(folder / file)
        assert theirs
        others = {name: ours[name] for name in ours.keys() & theirs.keys() if ours[name] != theirs[name]}
        assert others == {} or (version, file != "mwaa_essential_constraints.txt") == ("3.2.1", True), file
        assert {name for name in others if not OURS.fullmatch(name)} == set(), file


@pytest.mark.parametrize("version", sorted(MWAA))
def test_what_mwaa_leaves_open_has_the_version_that_the_other_tests_have(version):
    ours, tested = pins(PROJECT / MWAA[version]), pins(PROJECT / "requirements.txt")
    fixed = pins(PROJECT / "infra" / "mwaa" / version / "airflow_constraints.txt")
    engines = {"duckdb", "isal", "python-calamine", "tableauhyperapi"}
    assert engines <= ours.keys() - fixed.keys()
    assert {name: ours[name] for name in engines} == {name: tested[name] for name in engines}


@pytest.mark.parametrize("version", sorted(MWAA))
def test_mwaa_builds_nothing_and_forces_no_other_constraints(version):
    """Its image looks for this expression in each line, comments too, and forces its own constraints where none has it.

    The versions are within them already. Forced, a later image with another version of one package could install nothing.
    """
    lines = (PROJECT / MWAA[version]).read_text().splitlines()
    assert any(re.search(r"-c |--constraint ", line) for line in lines)
    assert "--only-binary :all:" in lines


def test_installations_refuse_what_has_other_hashes():
    lines = (PROJECT / "Makefile").read_text().splitlines()
    installs = [line for line in lines if "pip install" in line and " -r " in line]
    assert len(installs) >= 6
    assert [line for line in installs if "--require-hashes" not in line] == []


def test_actions_are_pinned_by_commit_with_their_version_beside():
    used = [
        line.strip()
        for path in (PROJECT / ".github" / "workflows").iterdir()
        for line in path.read_text().splitlines()
        if "uses:" in line
    ]
    assert used
    assert [line for line in used if not re.fullmatch(r"- uses: [\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line)] == []
