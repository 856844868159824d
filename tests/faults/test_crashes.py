"""A run of load_events that is killed before any of its AWS calls, or stops there and wakes up late."""

import signal

import psutil
import pytest

from local.supervision import wait_for
from tests.faults.world import Runner
from tests.plugins.cleaning.test_cleaning import MOVE

pytestmark = pytest.mark.timeout(1200)  # a test has some fifty runs, each broken at another call
EVENTS = [MOVE | {"event_time": f"2026-01-0{1 + n % 2}T00:00:00Z", "product_id": f"P{n}"} for n in range(5)]


def a_batch(world):
    """An object with good, broken, repeated and corrected events, and others that core has from the batch before."""
    number = world.batches
    ids = [f"crash-{number}-{n}" for n in range(5)]
    payloads = world.events("product_events", EVENTS, ids)
    payloads += world.events("product_events", [MOVE | {"quantity": "x"}], [f"crash-{number}-bad"])
    payloads += [payloads[0], *world.events("product_events", [EVENTS[1] | {"quantity": "9"}], [ids[1]], version=2)]
    if number:
        payloads += world.events("product_events", EVENTS[:1], [f"crash-{number - 1}-0"])
        payloads += world.events(
            "product_events", [EVENTS[2] | {"quantity": "8"}], [f"crash-{number - 1}-2"], version=2
        )
    world.land("product_events", payloads)


def check_batch(world):
    """What can be said of this batch at once; world.check says the rest."""
    prefix = f"crash-{world.batches}-"
    rows = world.target.query(
        f"SELECT event_id FROM core.fact_product_event WHERE event_id LIKE '{prefix}%' ORDER BY 1"
    )
    assert [row[0] for row in rows] == [f"{prefix}{n}" for n in range(5)]
    world.batches += 1


@pytest.fixture(scope="module")
def undisturbed(world):
    """(AWS calls, how many of them write) of a run that is left alone."""
    for _ in range(2):
        a_batch(world)
        assert world.runner.run() == 0, world.runner.error
        check_batch(world)
    found = len(world.runner.calls), world.runner.writes
    assert found[0] > found[1] > 15
    return found


def test_a_run_that_is_killed_before_any_write_is_made_good_by_the_next(world, undisturbed):
    """So before any call, and after any: between two writes a run changes nothing that another process sees."""
    for at in range(undisturbed[1]):
        a_batch(world)
        assert world.runner.run(at=at, how="kill_before", of="writes") == -signal.SIGKILL, world.runner.error
        world.kills += 1
        world.finish()
        check_batch(world)
    world.check()


@pytest.mark.parametrize("every", [4, pytest.param(1, marks=pytest.mark.nightly)])
def test_a_run_that_stops_at_any_call_and_wakes_up_after_another_has_done_its_work_changes_nothing(
    world, undisturbed, every
):
    """A zombie: the process stands still, is taken for dead, and goes on later."""
    other = Runner(world.stack, world.folder / f"other-{every}")
    for at in range(0, undisturbed[0], every):
        a_batch(world)
        zombie = psutil.Process(world.runner.start(at=at, how="stop"))
        wait_for(lambda process=zombie: _stands_still(process), 60, "a run that stands still", 0.02)
        world.finish(other)
        if zombie.is_running():
            zombie.send_signal(signal.SIGCONT)
        assert world.runner.end() in {0, 1}  # it may find that its batch is done, or fail over it
        world.finish(other)
        check_batch(world)
    other.close()
    world.check()


def _stands_still(process):
    return not process.is_running() or process.status() in {psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE}
