"""A minute of chaos (`make chaos` has ten): a plan comes from its seed alone, and parts of a whole stack are killed by it."""

import pytest
from rich.console import Console

from local import lifecycle
from tests.conftest import new_stack
from tests.faults import chaos


def test_of_one_seed_the_plan_is_the_same():
    assert chaos.plan(7, 600) == chaos.plan(7, 600) != chaos.plan(8, 600)
    assert {step.action for step in chaos.plan(7, 600)} == set(chaos.ACTIONS)


@pytest.mark.timeout(1500)
def test_a_minute_of_kills_loses_and_doubles_nothing(tmp_path):
    stack = new_stack(tmp_path / "stack")
    (tmp_path / "world").mkdir()
    console = Console(quiet=True)
    try:
        lifecycle.up(stack, console)
        done = chaos.run(stack, 60, 5, 30, console, tmp_path / "world")
    finally:
        lifecycle.down(stack, console)
    assert chaos.kills(done) >= 15
