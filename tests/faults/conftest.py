import pytest
from ecommerce_elt.settings import settings
from rich.console import Console

from local import lifecycle
from local.demo import Observer
from tests.conftest import new_stack
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
    folder = tmp_path_factory.mktemp("world")
    config = settings().model_copy(update={
        "work_dir": folder, "bucket": Observer.of(stack).bucket,
        "pii_hmac_key": settings().pii_hmac_key.__class__(stack.user_environment()["ECOMMERCE_PII_HMAC_KEY"])})  # fmt: skip
    made = World(stack, Observer.of(stack), config, folder)
    yield made
    made.runner.close()
    lifecycle.down(stack, console)
