"""A publisher of batches whose days no other test has."""

import itertools
from collections import Counter
from dataclasses import dataclass

import pytest
from ecommerce_elt.batches.clean_files import CleanBatch
from ecommerce_elt.lake import lists, parquet_files
from ecommerce_elt.lake.publish import publish_batch
from ecommerce_elt.load import transaction as load_transaction

from tests.plugins.cleaning.test_cleaning import MOVE
from tests.plugins.warehouse.test_warehouse import Lake

FEED = "product_events"
YEARS = itertools.count(1901)


@pytest.fixture
def shop(observer, config):
    """Each test has days of its own."""
    return Publisher(Lake(observer, config), observer)


@dataclass
class Publisher:
    lake: Lake
    observer: object

    def __post_init__(self):
        self.config = self.lake.config.model_copy(update={"lake_grace_hours": 0.0})
        year = next(YEARS)
        self.days = [f"{year}-01-01", f"{year}-01-02"]
        self.s3 = self.observer.s3

    def clean(self, names, day=0) -> CleanBatch:
        records = [{**MOVE, "event_time": f"{self.days[day]}T0{i % 10}:00:00Z"} for i, _ in enumerate(names)]
        return self.lake.batch(FEED, records, [f"{self.lake.name}-{name}" for name in names])

    def load(self, batch) -> dict:
        return load_transaction.load_batch(self.observer.warehouse, batch, self.config)

    def publish(self, batch, counts, again=False):
        overlaps = counts["duplicates"] > batch.duplicates
        return publish_batch(self.s3, self.observer.warehouse, batch, self.config, overlaps=overlaps, again=again)

    def add(self, names, day=0):
        batch = self.clean(names, day)
        self.publish(batch, self.load(batch))
        return batch

    def rows(self, day=0) -> Counter:
        urls = lists.files(self.s3, self.config.bucket, FEED, self.days[day], self.days[day])
        found = Counter()
        for url in urls:
            found.update(parquet_files.read(self.s3, url)["event_id"].to_pylist())
        return Counter({key.removeprefix(f"{self.lake.name}-"): count for key, count in found.items()})

    def count(self, day=0):
        return len(lists.files(self.s3, self.config.bucket, FEED, self.days[day], self.days[day]))


@pytest.fixture(autouse=True)
def times_of_the_records(monkeypatch):
    """The bench's envelopes have a time, which would win."""
    import tests.plugins.warehouse.test_warehouse as bench

    plain = bench.line
    monkeypatch.setattr(bench, "line", lambda feed, data, event_id, version: plain(feed, data, event_id, None, version))
