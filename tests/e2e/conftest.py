import pytest
from rich.console import Console

from local import lifecycle
from tests.conftest import new_stack


@pytest.fixture(scope="session")
def stack(tmp_path_factory):
    """The whole local cloud with Airflow under its real scheduler."""
    stack = new_stack(tmp_path_factory.mktemp("stack"))
    console = Console(quiet=True)
    lifecycle.up(stack, console)
    yield stack
    lifecycle.down(stack, console)
