"""Each part of the whole stack, Airflow and all, killed while a task runs and events stream in."""

import threading

import pytest
from rich.console import Console

from local import lifecycle
from local.supervision import wait_for
from tests.conftest import discard, new_stack
from tests.faults.chaos import Chaos, Step, drain
from tests.faults.world import World

PARTS = [
    "airflow-scheduler",
    "airflow-dag-processor",
    "airflow-triggerer",
    "airflow-api-server",
    "postgres",
    "redshift",
    "firehose",
    "lambda",
    "task",
]
KILLS = 3  # of each part, as soon as it runs again


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    stack = new_stack(tmp_path_factory.mktemp("parts"))
    console = Console(quiet=True)
    lifecycle.up(stack, console)
    yield World.of(stack, tmp_path_factory.mktemp("world"))
    discard(stack)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("part", PARTS)
def test_a_part_that_is_killed_while_events_stream_in_loses_and_doubles_nothing(world, part):
    chaos = Chaos(world, 1 + PARTS.index(part))
    feeder = threading.Thread(target=chaos.feed, args=(30,))
    feeder.start()
    try:
        for _ in range(KILLS):
            wait_for(lambda: chaos.act(Step(0.0, part, 0.0)), 120, f"{part} to kill", 0.2)
    finally:
        chaos.stop.set()
        feeder.join()
    drain(world)
    world.check()
