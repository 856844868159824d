"""A reader of the lists that never stops, while batches come and files are compacted and deleted."""

import threading
import time
from collections import Counter

import pytest
from ecommerce_elt.lake import compact, retention

from tests.plugins.lake.conftest import FEED


@pytest.mark.slow
def test_a_reader_that_never_stops_sees_every_row_once(shop):
    """While batches come, some of them overlapping, and the day is compacted again and again, and old files go."""
    grace = shop.config.model_copy(update={"lake_grace_hours": 2 / 3600})
    seen, wrong, published = [], [], []
    done = threading.Event()

    def read():
        while not done.is_set():
            sure = set(published)  # what was published before the reading began must be seen
            rows = shop.rows()
            if set(rows.values()) - {1} or sure - set(rows):
                wrong.append(rows)
            seen.append(len(rows))

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    began = time.monotonic()
    for number in range(12):
        names = [f"e{number}-{i}" for i in range(3)] + ([f"e{number - 1}-0"] if number % 3 == 2 else [])
        shop.add(names)
        published.extend(names)
        if number % 2:
            compact.compact_day(shop.s3, FEED, shop.days[0], grace)
            retention.remove_superseded(shop.s3, grace)
    while time.monotonic() - began < 4:  # the grace period passes with readers at work
        retention.remove_superseded(shop.s3, grace)
    done.set()
    for reader in readers:
        reader.join()
    assert wrong == []
    assert len(seen) > 20
    assert seen[-1] == 36
    assert shop.rows() == Counter(f"e{n}-{i}" for n in range(12) for i in range(3))
