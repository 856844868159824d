import pytest
from rich.console import Console

from local import lifecycle
from tests.conftest import discard, new_stack
from tests.faults.world import World


def pytest_collection_modifyitems(items):
    for item in items:
        if "tests/faults" in str(item.path):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="package")
def world(tmp_path_factory):
    """A local cloud of these tests' own, without Airflow, with nothing in it."""
    stack = new_stack(tmp_path_factory.mktemp("faults"))
    console = Console(quiet=True)
    lifecycle.up(stack, console, airflow=False)
    made = World.of(stack, tmp_path_factory.mktemp("world"))
    yield made
    made.runner.close()
    discard(stack)
