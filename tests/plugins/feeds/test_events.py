import json
import uuid
from datetime import UTC, datetime

import pytest
from ecommerce_elt.feeds import events
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize("line", [1, 2, 541_910, 10**12])
def test_event_ids_are_uuid5_of_data_set_and_line(line):
    namespace = uuid.uuid5(uuid.uuid5(uuid.NAMESPACE_URL, "urn:ecommerce-elt:data-set"), "some file")
    assert events.event_ids("some file")(line) == str(uuid.uuid5(namespace, str(line)))


def test_data_sets_do_not_collide():
    assert events.event_ids("a")(1) != events.event_ids("b")(1)


@given(st.text(max_size=30), st.text(max_size=30), st.integers(0, 10**15), st.integers(0, 10**15))
def test_an_id_is_of_one_data_set_and_line_alone(one, other, line, another):
    ids = {events.event_ids(data_set)(number) for data_set in (one, other) for number in (line, another)}
    assert len(ids) == len({(data_set, number) for data_set in (one, other) for number in (line, another)})
    assert events.event_ids(one)(line) == events.event_ids(one)(line)


def test_the_envelope_is_one_line_of_json():
    made = events.envelope(
        event_id="e",
        feed="f",
        version=1,
        event_time=datetime(2026, 1, 2, tzinfo=UTC),
        sent_at="now",
        data={"Text": "a\nb £"},
    )
    assert b"\n" not in made
    assert json.loads(made) == {
        "event_id": "e",
        "feed": "f",
        "schema_version": 1,
        "event_time": "2026-01-02T00:00:00Z",
        "sent_at": "now",
        "data": {"Text": "a\nb £"},
    }


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=6) | st.sampled_from(
    ["\x7f", '"', "\\", "\n", "£ 漢 😀"]
)
TIMES = st.none() | st.datetimes(timezones=st.just(UTC))


@given(
    st.lists(TEXTS, min_size=1, max_size=4, unique=True),
    st.lists(st.tuples(TIMES, st.lists(TEXTS, min_size=1, max_size=5)), min_size=1, max_size=6),
    st.integers(0, 10**12),
    st.booleans(),
    st.sampled_from([1, 2]),
)
def test_many_envelopes_are_the_bytes_of_each(keys, rows, first, even, event_version):
    lines, times = range(first, first + len(rows)), [time for time, _ in rows]
    values = [(row * 4)[: len(keys)] if even else row for _, row in rows]
    more = {"feed": "f", "version": 3, "event_version": event_version}
    identify = events.event_ids("some file")
    each = [
        events.envelope(
            event_id=identify(line), event_time=time, sent_at="now", data=events.as_record(keys, row), **more
        )
        for line, time, row in zip(lines, times, values, strict=True)
    ]
    ids = events.event_ids_of("some file")(lines)
    assert events.Envelopes(keys, **more).encode(ids, times, values, "now") == b"\n".join([*each, b""])
