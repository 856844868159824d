import os

import pytest
from rich.console import Console

from local import lifecycle
from tests.conftest import new_stack


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    """The whole local cloud with Airflow under its real scheduler; a file of tests may end it."""
    os.environ["ECOMMERCE_TASK_RETRY_DELAY_SECONDS"] = "1"  # the tests wait for what is retried
    stack = new_stack(tmp_path_factory.mktemp("stack"))
    console = Console(quiet=True)
    lifecycle.up(stack, console)
    yield stack
    lifecycle.down(stack, console)
