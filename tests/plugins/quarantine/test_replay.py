"""Quarantine: one layout and one view for all stages, and replays that load what is good now, once."""

import gzip
import json

import pytest
from ecommerce_elt.batches.manifests import UNREADABLE, RawObject, new_manifest, read_manifest
from ecommerce_elt.cleaning.cleaner import clean_batch
from ecommerce_elt.errors import PermanentError
from ecommerce_elt.feeds.contracts import QuarantineAlert
from ecommerce_elt.load import transaction as load_transaction
from ecommerce_elt.quarantine import replay
from ecommerce_elt.quarantine.replay import Choice

from tests.plugins.batches.test_batches import NOW
from tests.plugins.cleaning.test_cleaning import MOVE
from tests.plugins.warehouse.test_warehouse import Lake
from tests.support.cleaning_bench import line

FEED = "product_events"


@pytest.fixture
def lake(observer, config):
    return Quarantine(observer, config)


class Quarantine(Lake):
    def load_events(self, records, name="a", feed=FEED):
        """Loads a raw object of records, and returns its key."""
        body = b"".join(line(feed, r, f"{self.name}-{i}") + b"\n" for i, r in enumerate(records))
        return self.load_object(f"raw/feed={feed}/dt=2026-01-01/hour=00/{self.name}-{name}.jsonl.gz", feed, body)

    def load_object(self, key, feed, body):
        packed = gzip.compress(body, mtime=0)
        etag = self.observer.s3.put_object(Bucket=self.config.bucket, Key=key, Body=packed)["ETag"].strip('"')
        manifest = new_manifest(feed, [RawObject(key, etag, len(packed), self.config.bucket)], NOW)
        self.load(clean_batch(self.observer.s3, manifest, self.config))
        return manifest.batch_id

    def replay(self, choice, config=None):
        config = config or self.config
        manifests, gone = replay.choose(self.observer.s3, self.observer.warehouse, choice, config, NOW)
        counts = []
        for batch_id in replay.write_manifests(self.observer.s3, manifests, config):
            manifest = read_manifest(self.observer.s3, config.bucket, batch_id)
            batch = clean_batch(self.observer.s3, manifest, config)
            counts.append(load_transaction.load_batch(self.observer.warehouse, batch, config))
        return counts, gone

    def quarantine(self):
        """event id to (stage, reasons, line, state, seen again)."""
        rows = self.observer.warehouse.query(
            "SELECT event_id, stage, reasons, source_line, state, first_seen_at <> last_seen_at FROM ops.quarantine "
            f"WHERE event_id LIKE '{self.name}%' ORDER BY event_id"
        )
        return {row[0].removeprefix(f"{self.name}-"): tuple(row[1:]) for row in rows}

    def mended(self, tmp_path, old, new):
        """The settings of a project whose contract of the feed is another."""
        include = tmp_path / "include"
        include.mkdir()
        (include / "sql").symlink_to(self.config.sql_dir)
        (include / "feeds").mkdir()
        for path in (self.config.include_dir / "feeds").glob("*.yaml"):
            text = path.read_text()
            (include / "feeds" / path.name).write_text(text.replace(old, new) if path.stem == FEED else text)
        return self.config.model_copy(update={"include_dir": include})


BAD = [MOVE, MOVE | {"quantity": "x"}, MOVE | {"price": -1, "quantity": ""}, MOVE | {"product_id": "a b"}]


def test_the_view_has_each_rejected_event_with_reasons_and_where_it_lies(lake):
    lake.load_events(BAD)
    assert lake.quarantine() == {
        "1": ("clean", "quantity: type", 2, "open", False),
        "2": ("clean", "price: min, quantity: required", 3, "open", False),
        "3": ("clean", "product_id: pattern", 4, "open", False),
    }


def test_a_replay_after_the_contract_is_mended_loads_what_is_good_and_closes_it_once(lake, tmp_path):
    batch_id = lake.load_events(BAD)
    mended = lake.mended(tmp_path, "pattern: '^[A-Za-z0-9_-]+$'", "pattern: '^[A-Za-z0-9_ -]+$'")
    choice = Choice(feed=FEED, batch_id=batch_id)
    outlook = replay.outlook(
        lake.observer.s3, *replay.choose(lake.observer.s3, lake.observer.warehouse, choice, mended, NOW), mended
    )
    assert (outlook.chosen, outlook.clean, outlook.rejected, outlook.gone) == (3, 1, 2, 0)
    assert outlook.still_broken == {
        f"{FEED}.quantity: type": 1,
        f"{FEED}.price: min": 1,
        f"{FEED}.quantity: required": 1,
    }
    assert [(e["source_line"], e["now"]) for e in outlook.examples] == [
        (2, "quantity: type"),
        (3, "quantity: required, price: min"),
        (4, "clean"),
    ]
    assert {key for e in outlook.examples for key in e} == {"feed", "event_id", "source_object", "source_line", "now"}
    assert len(lake.rows()) == 1  # nothing was done

    [counts], gone = lake.replay(choice, mended)
    assert (counts, gone) == ({"accepted": 3, "clean": 1, "quarantined": 2, "duplicates": 0}, 0)
    assert len(lake.rows()) == 2
    assert {key: value[3] for key, value in lake.quarantine().items()} == {"1": "open", "2": "open", "3": "replayed"}
    # A replay is idempotent: what was replayed is closed, and what is chosen by hand all the same is a duplicate.
    again = Choice(feed=FEED, column="product_id", rule="pattern", since=None)
    assert lake.replay(again, mended) == ([], 0) or len(lake.rows()) == 2
    assert len(lake.rows()) == 2


def test_a_manifest_that_is_loaded_twice_counts_once(lake, tmp_path):
    batch_id = lake.load_events(BAD)
    mended = lake.mended(tmp_path, "pattern: '^[A-Za-z0-9_-]+$'", "pattern: '^[A-Za-z0-9_ -]+$'")
    choice = Choice(batch_id=batch_id)
    first, _ = replay.choose(lake.observer.s3, lake.observer.warehouse, choice, mended, NOW)
    second, _ = replay.choose(lake.observer.s3, lake.observer.warehouse, choice, mended, NOW)
    assert [m.batch_id for m in first] == [m.batch_id for m in second]
    assert first[0].batch_id.endswith("-replay")
    later, _ = replay.choose(lake.observer.s3, lake.observer.warehouse, choice, mended, NOW.replace(year=2027))
    counts = [
        lake.observer
        and load_transaction.load_batch(lake.observer.warehouse, clean_batch(lake.observer.s3, m, mended), mended)
        for m in (*first, *later)
    ]
    assert [c["clean"] for c in counts] == [1, 0]
    assert [c["duplicates"] for c in counts] == [0, 1]
    assert len(lake.rows()) == 2


def test_a_mended_record_from_the_sender_closes_it_too_and_a_broken_copy_opens_nothing(lake):
    lake.load_events(BAD)
    lake.load_events([BAD[0], MOVE | {"quantity": 5}], "b")  # the sender's mended records, under the same ids
    assert lake.quarantine()["1"][3] == "replayed"
    lake.load_events([MOVE | {"quantity": "bad"}], "c")  # event 0 is good in core
    assert lake.quarantine()["0"][3] == "replayed"
    assert len(lake.rows()) == 2


def test_choices(lake):
    batch_id = lake.load_events(BAD)
    target = lake.observer.warehouse

    def chosen(**values):
        return replay.count(target, Choice(**{"batch_id": batch_id} | values), lake.config)

    assert [chosen(), chosen(feed=FEED), chosen(feed="purchases")] == [3, 3, 0]
    assert [chosen(column="quantity"), chosen(rule="type"), chosen(column="quantity", rule="min")] == [2, 1, 0]
    assert [chosen(since=NOW.replace(year=2020)), chosen(until=NOW.replace(year=2020))] == [3, 0]
    with pytest.raises(PermanentError, match="since is 'yesterday', expected ISO 8601"):
        Choice.of({"feed": "", "column": "", "rule": "", "batch_id": "", "since": "yesterday", "until": ""})
    replay.dismiss(target, Choice(batch_id=batch_id, column="quantity"), lake.config, "manual")
    replay.dismiss(target, Choice(batch_id=batch_id, column="quantity"), lake.config, "manual")
    assert chosen() == 1
    assert sorted(value[3] for value in lake.quarantine().values()) == ["dismissed", "dismissed", "open"]


def test_what_raw_no_longer_has_is_told_and_stays_open(lake):
    batch_id = lake.load_events(BAD)
    [(key,)] = lake.observer.warehouse.query(
        f"SELECT DISTINCT source_object FROM ops.quarantine WHERE batch_id = '{batch_id}'"
    )
    lake.observer.s3.delete_object(Bucket=lake.config.bucket, Key=key)
    assert lake.replay(Choice(batch_id=batch_id)) == ([], 3)
    assert {value[3] for value in lake.quarantine().values()} == {"open"}


def test_what_is_no_envelope_is_in_the_same_layout_without_its_text(lake):
    kept = [
        {"stage": "raw_writer", "reason": "x", "event_source_id": f"{lake.name}-shardId-0:{n}", "data": "Zzyzx"}
        for n in range(3)
    ]
    body = b"".join(json.dumps(record).encode() + b"\n" for record in kept)
    batch_id = lake.load_object(f"quarantine/unreadable/dt=2026-01-01/hour=00/{lake.name}.jsonl.gz", UNREADABLE, body)
    assert set(lake.quarantine().values()) == {
        ("raw_writer", "envelope: envelope", n, "open", False) for n in (1, 2, 3)
    }
    parquet = f"quarantine/feed={UNREADABLE}/dt=2026-01-01/{batch_id}.parquet"
    assert parquet in lake.observer.keys("quarantine/")
    for key in (parquet, f"manifests/{batch_id}/quarantine/2026-01-01.jsonl"):
        assert b"Zzyzx" not in lake.observer.s3.get_object(Bucket=lake.config.bucket, Key=key)["Body"].read()
    assert replay.choose(lake.observer.s3, lake.observer.warehouse, Choice(batch_id=batch_id), lake.config, NOW) == (
        [],
        0,
    )


def test_limits_of_the_alert():
    limits = QuarantineAlert(events=100, share=0.1, share_of_at_least=20)
    due = {(10_000, 100): True, (10_000, 99): False, (20, 3): True, (20, 2): False, (19, 19): False}
    assert {counts: limits.is_due(*counts) for counts in due} == due


def test_a_time_that_no_date_can_have_is_rejected_and_kept(lake):
    """Of a feed without a contract the time is what the envelope says."""
    feed = f"nothing_{lake.name}"
    text = line(feed, MOVE, f"{lake.name}-far", event_time="290000-01-01 00:00:00")
    lake.load_object(f"raw/feed={feed}/dt=2026-01-01/hour=00/{lake.name}-far.jsonl.gz", feed, text + b"\n")
    assert lake.quarantine()["far"][1] == "feed: known"
    rows = lake.observer.warehouse.query(f"SELECT event_time FROM ops.quarantine WHERE event_id = '{lake.name}-far'")
    assert rows == [(None,)]
