"""Any order, any split into batches and any repetition of the same events gives the same tables, byte for byte."""

import gzip
import hashlib
from datetime import UTC, datetime

import pytest
from ecommerce_elt import lake, reconcile, warehouse
from ecommerce_elt.batches import RawObject, new_manifest
from ecommerce_elt.cleaning import clean_batch
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.plugins.cleaning_bench import line
from tests.plugins.test_cleaning import MOVE
from tests.plugins.test_reconcile import Shop

EVENTS = [
    *({**MOVE, "event_time": f"2026-01-0{1 + n % 3}T0{n}:00:00Z", "product_id": f"P{n}"} for n in range(7)),
    MOVE | {"quantity": "x"},
    MOVE | {"product_id": ""},
]


@st.composite
def arrivals(draw):
    """Batches of indexes into EVENTS: all of them at least once, some again, in any order."""
    again = draw(st.lists(st.integers(0, len(EVENTS) - 1), max_size=5))
    order = draw(st.permutations([*range(len(EVENTS)), *again]))
    cuts = sorted(draw(st.sets(st.integers(1, len(order) - 1), max_size=3)))
    return [order[a:b] for a, b in zip([0, *cuts], [*cuts, len(order)], strict=True)]


@pytest.fixture
def shop(observer, bucket, config, tmp_path):
    return Anyhow(observer, bucket, config, tmp_path)


class Anyhow(Shop):
    loads = 0

    def arrive(self, batches):
        """Loads the batches, and returns the content of core, of the lake and of the open quarantine."""
        self.sql("DELETE FROM FACT")
        for table in ("batch_audit", "batch_object", "quarantine_reason", "quarantine_closed"):
            self.target.run([f"DELETE FROM ops.{table} WHERE feed = '{self.name}'"])
        for key in self.s3.list_objects_v2(Bucket=self.config.bucket, Prefix="published/").get("Contents", []):
            self.s3.delete_object(Bucket=self.config.bucket, Key=key["Key"])
        total = dict.fromkeys(("accepted", "clean", "quarantined", "duplicates"), 0)
        for indexes in batches:
            counts = self.load_some(indexes)
            assert counts["accepted"] == counts["clean"] + counts["quarantined"] + counts["duplicates"] == len(indexes)
            total = {name: total[name] + counts[name] for name in total}
        assert total["clean"] == 7
        core = self.target.query(f"SELECT * FROM core.{self.fact} ORDER BY event_id")
        urls = lake.files(self.s3, self.config.bucket, self.name)
        listed = sorted(row for url in urls for row in lake._read(self.s3, url)["event_id"].to_pylist())
        rejected = self.target.query(
            f"SELECT event_id, reasons, state FROM ops.quarantine WHERE feed = '{self.name}' ORDER BY event_id"
        )
        return hashlib.sha256(repr(core).encode()).hexdigest(), listed, rejected

    def load_some(self, indexes):
        Anyhow.loads += 1
        raw = self.raw_of(indexes, f"{Anyhow.loads:06d}")
        batch = clean_batch(self.s3, new_manifest(self.name, [raw], datetime.now(UTC)), self.config)
        counts = warehouse.load_batch(self.target, batch, self.config)
        if batch.clean:
            overlaps = counts["duplicates"] > batch.duplicates
            lake.publish_batch(self.s3, self.target, batch, self.config, overlaps=overlaps, again=False)
        return counts

    def raw_of(self, indexes, name) -> RawObject:
        lines = [line(self.name, EVENTS[i], f"{self.name}-{i}", event_time=None) for i in indexes]
        body = gzip.compress(b"\n".join(lines) + b"\n", mtime=0)
        key = f"{reconcile.folder_of(self.name, self.hour)}{name}.jsonl.gz"
        return RawObject(key, self.put(key, body), len(body), self.config.bucket)


def test_any_arrival_gives_the_same_tables(shop):
    expected = shop.arrive([list(range(len(EVENTS)))])
    assert len(expected[1]) == 7
    assert [row[2] for row in expected[2]] == ["open", "open"]

    @hypothesis_settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
    @given(arrivals())
    def same(batches):
        assert shop.arrive(batches) == expected

    same()
