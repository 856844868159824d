"""Corrections: an event with the same id and a higher version replaces, in core, in the lake and in quarantine; a lower one never does."""

import gzip
import uuid
from datetime import UTC, datetime

import pytest
from ecommerce_elt.batches.manifests import RawObject, new_manifest
from ecommerce_elt.cleaning.cleaner import clean_batch
from ecommerce_elt.lake import compact, lists, parquet_files
from ecommerce_elt.lake.publish import publish_batch
from ecommerce_elt.load import transaction as load_transaction
from ecommerce_elt.reconcile import arrivals

from tests.plugins.cleaning.test_cleaning import MOVE, PERSON
from tests.plugins.warehouse.test_warehouse import Lake
from tests.support.cleaning_bench import line
from tests.support.own_feed import Shop


class Corrected(Shop):
    loads = 0

    def batch(self, *events):
        """events: (event, version, record)."""
        Corrected.loads += 1
        lines = [line(self.name, record, f"{self.name}-{n}", None, version) for n, version, record in events]
        body = gzip.compress(b"\n".join(lines) + b"\n", mtime=0)
        key = f"{arrivals.folder_of(self.name, self.hour)}{self.loads:06d}.jsonl.gz"
        raw = RawObject(key, self.put(key, body), len(body), self.config.bucket)
        return clean_batch(self.s3, new_manifest(self.name, [raw], datetime.now(UTC)), self.config)

    def load(self, batch):
        return load_transaction.load_batch(self.target, batch, self.config)

    def publish(self, batch, counts, *, again=False):
        overlaps = counts["duplicates"] > batch.duplicates
        return publish_batch(self.s3, self.target, batch, self.config, overlaps=overlaps, again=again)

    def arrive(self, *events):
        batch = self.batch(*events)
        counts = self.load(batch)
        self.publish(batch, counts)
        return batch, counts

    def core(self, columns="event_version, quantity"):
        rows = self.target.query(f"SELECT event_id, {columns} FROM core.{self.fact} ORDER BY event_id")
        return {row[0].rpartition("-")[2]: row[1:] for row in rows}

    def listed(self):
        urls = lists.files(self.s3, self.config.bucket, self.name)
        rows = [row for url in urls for row in parquet_files.read(self.s3, url).to_pylist()]
        return sorted(
            (row["event_id"][-1], row["event_version"], row["quantity"], str(row["event_time"].date())) for row in rows
        )

    def differences(self):
        return [str(d) for d in self.days()[1]] + self.hours()[1]


@pytest.fixture
def shop(observer, bucket, config, tmp_path):
    return Corrected(observer, bucket, config, tmp_path)


A = MOVE | {"event_time": "2026-01-01T10:00:00Z", "quantity": "1"}
LATER = A | {"event_time": "2026-02-10T10:00:00Z"}


def test_a_higher_version_replaces_and_a_lower_one_never_does(shop):
    _, first = shop.arrive(("a", 1, A), ("b", 1, A))
    assert first == {"accepted": 2, "clean": 2, "quarantined": 0, "duplicates": 0}
    batch, second = shop.arrive(("a", 3, A | {"quantity": "3"}))
    assert second == {"accepted": 1, "clean": 0, "quarantined": 0, "duplicates": 1}  # no new event, so I1 holds as ever
    [[corrected]] = shop.target.query(f"SELECT corrected FROM ops.batch_audit WHERE batch_id = '{batch.batch_id}'")
    assert corrected == 1
    shop.arrive(("a", 2, A | {"quantity": "2"}), ("a", 1, A))
    assert shop.core() == {"a": (3, 3), "b": (1, 1)}
    assert shop.listed() == [("a", 3, 3, "2026-01-01"), ("b", 1, 1, "2026-01-01")]
    assert shop.differences() == []
    assert shop.load(batch) == second
    assert shop.core() == {"a": (3, 3), "b": (1, 1)}


def test_a_correction_of_the_time_moves_the_event_and_marks_both_days(shop):
    shop.target.run([f"INSERT INTO ops.mart (mart, source) VALUES ('mart.of_{shop.name}', '{shop.name}')"])
    shop.arrive(("a", 1, A), ("b", 1, A))
    batch, _ = shop.arrive(("a", 2, LATER))
    assert shop.listed() == [("a", 2, 1, "2026-02-10"), ("b", 1, 1, "2026-01-01")]
    stale = shop.target.query(f"SELECT event_date FROM ops.stale_date WHERE batch_id = '{batch.batch_id}' ORDER BY 1")
    assert stale == [("2026-01-01",), ("2026-02-10",)]
    assert shop.differences() == []
    shop.arrive(("b", 2, LATER))  # the first day has nothing left
    assert shop.listed() == [("a", 2, 1, "2026-02-10"), ("b", 2, 1, "2026-02-10")]
    assert shop.differences() == []


@pytest.mark.parametrize("compacts", [False, True])
def test_what_is_published_after_its_correction_does_not_come_back(shop, compacts):
    """A run that stopped between commit and publication, and one that publishes again what was published."""
    first = shop.batch(("a", 1, A), ("b", 1, A))
    counts = shop.load(first)
    second, corrected = shop.arrive(("a", 2, LATER))
    shop.publish(first, counts, again=True)
    expected = [("a", 2, 1, "2026-02-10"), ("b", 1, 1, "2026-01-01")]
    assert shop.listed() == expected
    shop.arrive(("c", 1, A))
    if compacts:
        assert compact.compact_feed(shop.s3, shop.name, shop.config).days == 1
    for batch, found in ((first, counts), (second, corrected)):
        shop.publish(batch, found, again=True)
    assert shop.listed() == [*expected, ("c", 1, 1, "2026-01-01")]
    assert shop.differences() == []


def test_a_broken_correction_is_quarantined_and_its_mended_version_closes_it(shop):
    shop.arrive(("a", 1, A))
    _, counts = shop.arrive(("a", 2, A | {"quantity": "x"}))
    assert counts == {"accepted": 1, "clean": 0, "quarantined": 1, "duplicates": 0}
    query = f"SELECT event_version, state FROM ops.quarantine WHERE feed = '{shop.name}' ORDER BY 1"
    assert shop.target.query(query) == [(2, "open")]
    shop.arrive(("a", 1, A))  # an older one closes nothing
    assert shop.target.query(query) == [(2, "open")]
    assert shop.core() == {"a": (1, 1)}
    shop.arrive(("a", 3, A | {"quantity": "5"}))
    assert shop.target.query(query) == [(2, "replayed")]
    assert shop.core() == {"a": (3, 5)}
    shop.arrive(("a", 2, A | {"quantity": "x"}))
    assert shop.target.query(query) == [(2, "replayed")]
    assert shop.differences() == []


def test_a_purchase_that_is_corrected_to_another_customer_leaves_the_first(observer, config):
    purchases = Lake(observer, config)
    one, two = (PERSON | {"Phone": f"555 {uuid.uuid4().int % 10**9}"} for _ in range(2))
    a, b = (f"{purchases.name}-{name}" for name in "ab")

    def arrive(event, person, version):
        purchases.load(purchases.batch("purchases", [person], [event], version))
        rows = observer.warehouse.query(
            "SELECT fact.event_id, dim.customer_key, dim.purchases FROM core.fact_purchase AS fact "
            "LEFT JOIN core.dim_customer AS dim ON fact.customer_key = dim.customer_key "
            f"WHERE fact.event_id LIKE '{purchases.name}%' ORDER BY 1"
        )
        return [row[1:] for row in rows]

    [[first, _]] = arrive(a, one, 1)
    [_, [second, _]] = rows = arrive(b, two, 1)
    assert rows == [(first, 1), (second, 1)]
    assert first != second
    assert arrive(a, two, 2) == [(second, 2), (second, 2)]
    assert arrive(b, one, 2) == [(second, 1), (first, 1)]
    assert observer.warehouse.query(
        "SELECT purchases FROM core.dim_customer WHERE customer_key = :key", {"key": first}
    ) == [(1,)]
    arrive(b, two, 3)
    assert (
        observer.warehouse.query("SELECT purchases FROM core.dim_customer WHERE customer_key = :key", {"key": first})
        == []
    )
