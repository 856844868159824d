"""When a wait for the turn of the marts ends. With Airflow's scheduler: tests/e2e/test_load_events.py."""

import asyncio
import time

import pytest
from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
from ecommerce_elt.marts.operators import TurnTrigger


@pytest.fixture
def queued(monkeypatch):
    """The runs that Airflow answers with, one a question; the last answer stays."""
    answers = [0]

    def count(dag_id, states):
        assert (dag_id, states) == ("build_marts", ["queued"])
        return answers.pop(0) if len(answers) > 1 else answers[0]

    monkeypatch.setattr(RuntimeTaskInstance, "get_dr_count", staticmethod(count))
    return answers


def waited(trigger):
    async def first():
        return await anext(trigger.run())

    began = time.monotonic()
    event = asyncio.run(first())
    return event.payload, time.monotonic() - began


def test_it_fires_when_the_time_is_over(queued):
    payload, seconds = waited(TurnTrigger("build_marts", 0.3, 0.05))
    assert payload == {"is_asked_for": False}
    assert 0.3 <= seconds < 5


def test_it_fires_as_soon_as_somebody_asks(queued):
    queued[:] = [0, 0, 1]
    payload, seconds = waited(TurnTrigger("build_marts", 60, 0.05))
    assert payload == {"is_asked_for": True}
    assert seconds < 10


def test_it_is_the_same_after_the_triggerer_read_it_back():
    path, arguments = TurnTrigger("build_marts", 12.5, 0.5).serialize()
    assert path == "ecommerce_elt.marts.operators.TurnTrigger"
    assert TurnTrigger(**arguments).serialize() == (path, arguments)
