"""Withdrawals: an event that core loses, by a version of its own. It leaves core, lake and marts, and a higher version brings it back."""

import gzip
import hashlib
import itertools
from datetime import UTC, datetime

import pytest
from ecommerce_elt.batches.manifests import RawObject, is_withdrawal, new_manifest
from ecommerce_elt.cleaning.cleaner import clean_batch
from ecommerce_elt.lake import compact
from ecommerce_elt.reconcile.arrivals import folder_of
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.plugins.cleaning.test_cleaning import MOVE
from tests.plugins.cleaning.test_corrections import LATER, A, Corrected
from tests.support.cleaning_bench import line

OUT = None  # in place of the record of an event: it is taken out


class Withdrawn(Corrected):
    def objects(self, *events):
        """events: (event, version, record or OUT). Returns the raw objects of the events, and of the withdrawals."""
        found = []
        for is_out in (False, True):
            Corrected.loads += 1
            of = [(n, version, record) for n, version, record in events if (record is OUT) is is_out]
            kind = "withdrawn-" if is_out else ""
            key = f"{folder_of(self.name, self.hour)}landed-20260101T000000Z-{kind}{self.loads:06d}.ndjson.gz"
            time = A["event_time"] if is_out else None
            lines = [line(self.name, r or {}, f"{self.name}-{n}", time, v) + b"\n" for n, v, r in of]
            body = gzip.compress(b"".join(lines), mtime=0)
            if of:
                found.append(RawObject(key, self.put(key, body), len(body), self.config.bucket))
        return found

    def batch(self, *events):
        manifest = new_manifest(self.name, self.objects(*events), datetime.now(UTC))
        return clean_batch(self.s3, manifest, self.config)

    def audit(self, batch):
        sql = "SELECT accepted, clean, duplicates, corrected, withdrawn, restored FROM ops.batch_audit WHERE batch_id = :id"
        return self.target.query(sql, {"id": batch.batch_id})[0]


@pytest.fixture
def shop(observer, bucket, config, tmp_path):
    return Withdrawn(observer, bucket, config, tmp_path)


def test_a_withdrawal_takes_the_event_out_of_core_and_of_the_lake(shop):
    shop.target.run([f"INSERT INTO ops.mart (mart, source) VALUES ('mart.of_{shop.name}', '{shop.name}')"])
    shop.arrive(("a", 1, A), ("b", 1, A))
    batch, counts = shop.arrive(("a", 2, OUT))
    assert counts == {"accepted": 1, "clean": 0, "quarantined": 0, "duplicates": 1}
    assert shop.audit(batch) == (1, 0, 1, 0, 1, 0)
    assert shop.core() == {"b": (1, 1)}
    assert shop.listed() == [("b", 1, 1, "2026-01-01")]
    stale = shop.target.query(f"SELECT event_date FROM ops.stale_date WHERE batch_id = '{batch.batch_id}'")
    assert stale == [("2026-01-01",)]
    assert shop.differences() == []
    assert shop.load(batch) == counts  # again
    shop.publish(batch, counts, again=True)
    assert shop.core() == {"b": (1, 1)}
    assert shop.differences() == []


def test_a_lower_version_never_brings_it_back_and_a_higher_one_does(shop):
    shop.arrive(("a", 1, A))
    shop.arrive(("a", 2, OUT))
    shop.arrive(("a", 1, A), ("a", 2, A))
    assert (shop.core(), shop.listed()) == ({}, [])
    batch, _ = shop.arrive(("a", 3, LATER))
    assert shop.audit(batch) == (1, 0, 1, 0, 0, 1)
    assert shop.core() == {"a": (3, 1)}
    assert shop.listed() == [("a", 3, 1, "2026-02-10")]
    again, _ = shop.arrive(("a", 2, OUT))
    assert shop.audit(again) == (1, 0, 1, 0, 0, 0)
    assert shop.core() == {"a": (3, 1)}
    assert shop.differences() == []
    last, _ = shop.arrive(("a", 4, OUT))  # from another day than the withdrawal says
    assert shop.audit(last) == (1, 0, 1, 0, 1, 0)
    assert (shop.core(), shop.listed(), shop.differences()) == ({}, [], [])


def test_a_withdrawal_that_comes_first_is_an_event_that_core_never_shows(shop):
    batch, counts = shop.arrive(("a", 2, OUT))
    assert counts["clean"] == 1
    assert shop.audit(batch) == (1, 1, 0, 0, 1, 0)
    shop.arrive(("a", 1, A), ("b", 1, A))
    assert shop.core() == {"b": (1, 1)}
    assert shop.listed() == [("b", 1, 1, "2026-01-01")]
    assert shop.differences() == []


def test_in_one_batch_the_highest_version_counts(shop):
    batch, counts = shop.arrive(("a", 1, A), ("a", 2, OUT), ("b", 3, A), ("b", 2, OUT))
    assert counts == {"accepted": 4, "clean": 2, "quarantined": 0, "duplicates": 2}
    assert (batch.withdrawn, batch.rows) == (1, 1)
    assert shop.core() == {"b": (3, 1)}
    assert shop.differences() == []


@pytest.mark.parametrize("compacts", [False, True])
def test_what_is_published_after_its_withdrawal_does_not_come_back(shop, compacts):
    first = shop.batch(("a", 1, A), ("b", 1, A))
    counts = shop.load(first)
    shop.arrive(("a", 2, OUT))
    shop.publish(first, counts, again=True)
    assert shop.listed() == [("b", 1, 1, "2026-01-01")]
    shop.arrive(("c", 1, A))
    if compacts:
        assert compact.compact_feed(shop.s3, shop.name, shop.config).days == 1
    shop.publish(first, counts, again=True)
    assert shop.listed() == [("b", 1, 1, "2026-01-01"), ("c", 1, 1, "2026-01-01")]
    assert shop.differences() == []


def test_keys_of_the_stream_are_no_withdrawals():
    folder = "raw/feed=online_retail/dt=2026-01-01/hour=00/"
    assert is_withdrawal(f"{folder}landed-20260101T000000Z-withdrawn-0123.ndjson.gz")
    assert not is_withdrawal(f"{folder}landed-20260101T000000Z-0123456789abcdef-000000000001-000000000002.ndjson.gz")
    assert not is_withdrawal(f"{folder}shardId-000000000000-withdrawn-2.jsonl.gz")


EVENTS = [
    *((n, 1, A | {"product_id": f"P{n}"}) for n in range(4)),
    (0, 2, OUT),
    (1, 2, OUT),
    (1, 3, MOVE | {"event_time": "2026-03-01T00:00:00Z"}),
    (2, 2, A | {"quantity": "22"}),
    (2, 3, OUT),
    (2, 4, A | {"quantity": "24"}),
    (2, 5, OUT),
    (4, 7, OUT),
]


@st.composite
def arrivals(draw):
    again = draw(st.lists(st.integers(0, len(EVENTS) - 1), max_size=5))
    order = draw(st.permutations([*range(len(EVENTS)), *again]))
    cuts = sorted(draw(st.sets(st.integers(1, len(order) - 1), max_size=4)))
    return [order[a:b] for a, b in itertools.pairwise([0, *cuts, len(order)])]


@pytest.mark.slow
def test_any_arrival_gives_the_same_tables(shop):
    def arrive(batches):
        shop.sql("DELETE FROM FACT")
        for table in ("batch_audit", "batch_object", "correction", "withdrawal"):
            shop.target.run([f"DELETE FROM ops.{table} WHERE feed = '{shop.name}'"])
        for prefix in ("published/", "raw/"):
            for found in shop.s3.list_objects_v2(Bucket=shop.config.bucket, Prefix=prefix).get("Contents", []):
                shop.s3.delete_object(Bucket=shop.config.bucket, Key=found["Key"])
        for indexes in batches:
            _, counts = shop.arrive(*(EVENTS[i] for i in indexes))
            assert counts["accepted"] == counts["clean"] + counts["quarantined"] + counts["duplicates"] == len(indexes)
        sql = f"SELECT SUM(clean), SUM(withdrawn), SUM(restored) FROM ops.batch_audit WHERE feed = '{shop.name}'"
        clean, withdrawn, restored = shop.target.query(sql)[0]
        rows = shop.target.query(f"SELECT * FROM core.{shop.fact} ORDER BY event_id")
        assert (int(clean), int(clean) - int(withdrawn) + int(restored)) == (5, len(rows))
        assert shop.differences() == []
        return hashlib.sha256(repr(rows).encode()).hexdigest(), shop.listed()

    expected = arrive([list(range(len(EVENTS)))])
    assert [(row[0], row[1]) for row in expected[1]] == [("1", 3), ("3", 1)]

    @hypothesis_settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
    @given(arrivals())
    def same(batches):
        assert arrive(batches) == expected

    same()
