"""Any order, any split into batches and any repetition of the same events gives the same tables, byte for byte; of an event
that was corrected the highest version that breaks no rule."""

import gzip
import hashlib
from datetime import UTC, datetime

import pytest
from ecommerce_elt.batches.manifests import RawObject, new_manifest
from ecommerce_elt.cleaning.cleaner import clean_batch
from ecommerce_elt.lake import lists, parquet_files
from ecommerce_elt.lake.publish import publish_batch
from ecommerce_elt.load import transaction as load_transaction
from ecommerce_elt.reconcile.arrivals import folder_of
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.plugins.cleaning.test_cleaning import MOVE
from tests.support.cleaning_bench import line
from tests.support.own_feed import Shop

GOOD = [{**MOVE, "event_time": f"2026-01-0{1 + n % 3}T0{n}:00:00Z", "product_id": f"P{n}"} for n in range(7)]
# (event, version, record)
EVENTS = [
    *((n, 1, record) for n, record in enumerate(GOOD)),
    (7, 1, MOVE | {"quantity": "x"}),
    (8, 1, MOVE | {"product_id": ""}),
    (0, 2, GOOD[0] | {"quantity": "-20"}),  # on the same day
    (0, 3, GOOD[0] | {"quantity": "-30", "colour": "red"}),
    (1, 2, GOOD[1] | {"event_time": "2026-01-09T00:00:00Z"}),  # to another day
    (2, 2, GOOD[2] | {"price": "x"}),  # broken: the first version stays, and this one is kept in quarantine
    (3, 1, GOOD[3] | {"price": "x"}),  # broken, and another copy of the version is good
    (9, 1, MOVE | {"price": "x"}),  # broken, and corrected
    (9, 2, MOVE | {"product_id": "P9"}),
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
        for table in ("batch_audit", "batch_object", "quarantine_reason", "quarantine_closed", "correction"):
            self.target.run([f"DELETE FROM ops.{table} WHERE feed = '{self.name}'"])
        for key in self.s3.list_objects_v2(Bucket=self.config.bucket, Prefix="published/").get("Contents", []):
            self.s3.delete_object(Bucket=self.config.bucket, Key=key["Key"])
        total = dict.fromkeys(("accepted", "clean", "quarantined", "duplicates"), 0)
        for indexes in batches:
            counts = self.load_some(indexes)
            assert counts["accepted"] == counts["clean"] + counts["quarantined"] + counts["duplicates"] == len(indexes)
            total = {name: total[name] + counts[name] for name in total}
        assert total["clean"] == 8
        core = self.target.query(f"SELECT * FROM core.{self.fact} ORDER BY event_id")
        urls = lists.files(self.s3, self.config.bucket, self.name)
        rows = [
            row
            for url in urls
            for row in parquet_files.read(self.s3, url).drop(["source_object", "source_line"]).to_pylist()
        ]
        listed = sorted(tuple(row.values()) for row in rows)
        rejected = self.target.query(
            "SELECT event_id, event_version, reasons FROM ops.quarantine "
            f"WHERE feed = '{self.name}' AND state = 'open' ORDER BY event_id"
        )
        assert [d.text for d in self.days()[1]] == []
        return hashlib.sha256(repr(core).encode()).hexdigest(), listed, rejected

    def load_some(self, indexes):
        Anyhow.loads += 1
        raw = self.raw_of(indexes, f"{Anyhow.loads:06d}")
        batch = clean_batch(self.s3, new_manifest(self.name, [raw], datetime.now(UTC)), self.config)
        counts = load_transaction.load_batch(self.target, batch, self.config)
        if batch.clean:
            overlaps = counts["duplicates"] > batch.duplicates
            publish_batch(self.s3, self.target, batch, self.config, overlaps=overlaps, again=False)
        return counts

    def raw_of(self, indexes, name) -> RawObject:
        events = [EVENTS[i] for i in indexes]
        lines = [line(self.name, record, f"{self.name}-{n}", None, version) for n, version, record in events]
        body = gzip.compress(b"\n".join(lines) + b"\n", mtime=0)
        key = f"{folder_of(self.name, self.hour)}{name}.jsonl.gz"
        return RawObject(key, self.put(key, body), len(body), self.config.bucket)


@pytest.mark.slow
def test_any_arrival_gives_the_same_tables(shop):
    expected = shop.arrive([list(range(len(EVENTS)))])
    assert len(expected[1]) == 8
    versions = {
        row[0].rpartition("-")[2]: row[1:3]
        for row in shop.target.query(f"SELECT event_id, event_version, quantity FROM core.{shop.fact}")
    }
    assert versions["0"] == (3, -30)
    assert {n: v for n, (v, _) in versions.items()} == {"0": 3, "1": 2, "2": 1, "3": 1, "4": 1, "5": 1, "6": 1, "9": 2}
    assert [(row[0][-1], *row[1:]) for row in expected[2]] == [
        ("2", 2, "price: type"),
        ("7", 1, "quantity: type"),
        ("8", 1, "product_id: required"),
    ]

    @hypothesis_settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
    @given(arrivals())
    def same(batches):
        assert shop.arrive(batches) == expected

    same()
