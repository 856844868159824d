"""The protocol holds in every interleaving, and breaks without each of its precautions: the model sees what it should see."""

from dataclasses import fields, replace

import pytest

from tests.support.batches_model import STARTS, Rules, State, check

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("title", STARTS)
def test_every_interleaving_keeps_the_promises(title):
    states, promise, way = check(start=STARTS[title])
    assert promise is None, way
    assert states > 1000


@pytest.mark.parametrize("rule", [field.name for field in fields(Rules)])
def test_without_a_precaution_a_promise_breaks(rule):
    starts = (
        State(crashes=1),
        STARTS["one object, a crash, a repeated message"],
        STARTS["an event and its correction"],
    )
    assert any(check(replace(Rules(), **{rule: False}), start)[1] for start in starts), rule
