"""Batches in the lists: each event once, whatever is loaded again, killed, or published late."""

import json
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from ecommerce_elt import listing
from ecommerce_elt.lake import compact, lists, publish, retention
from ecommerce_elt.load import transaction as load_transaction

from tests.plugins.conftest import PAGE, put_many
from tests.plugins.lake.conftest import FEED


def test_a_batch_is_listed_once_whole_and_day_by_day(shop):
    first = shop.clean("abc")
    counts = shop.load(first)
    assert shop.rows() == Counter()  # not before it is committed and published
    assert shop.publish(first, counts) == 1
    assert shop.publish(first, counts) == 0  # idempotent
    shop.add("de", day=1)
    assert shop.rows(0) == Counter("abc")
    assert shop.rows(1) == Counter("de")


def test_of_an_overlapping_batch_only_what_is_new_is_listed(shop):
    shop.add("abc")
    shop.add("bcde")
    assert shop.rows() == Counter("abcde")
    shop.add("abcde")  # nothing new
    assert shop.rows() == Counter("abcde")
    assert shop.count() == 2


def test_a_batch_whose_publication_died_after_the_commit_is_published_by_the_next_try(shop):
    shop.add("abc")
    batch = shop.clean("cd")
    counts = shop.load(batch)  # and then the task is killed
    committed = load_transaction.committed(shop.observer.warehouse, batch.batch_id, shop.config)
    assert committed == counts
    assert shop.publish(batch, committed, again=True) == 1
    assert shop.publish(batch, committed, again=True) == 0
    compact.compact_day(shop.s3, FEED, shop.days[0], shop.config)
    # Its own file is in no list any more, and still it is not listed again.
    assert shop.publish(batch, committed, again=True) == 0
    assert shop.rows() == Counter("abcd")


def test_two_batches_published_at_the_same_time_are_both_listed(shop):
    batches = [shop.clean(name) for name in ("ab", "cd", "ef", "gh")]
    counts = [shop.load(batch) for batch in batches]
    threads = [threading.Thread(target=shop.publish, args=pair) for pair in zip(batches, counts, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert shop.rows() == Counter("abcdefgh")


def test_a_batch_of_many_days_reads_only_the_lists_that_there_are(shop, monkeypatch):
    shop.add("ab", day=1)
    read, read_list = [], lists.read_list
    monkeypatch.setattr(lists, "read_list", lambda *args: read.append(args[-1]) or read_list(*args))
    monkeypatch.setattr(publish, "MANY_DAYS", 0)
    shop.add("cd")
    shop.add("ef", day=1)
    assert read == [shop.days[1]]
    monkeypatch.undo()
    assert (shop.rows(0), shop.rows(1)) == (Counter("cd"), Counter("abef"))


def test_a_list_that_appears_after_the_listing_of_days_keeps_its_files(shop, monkeypatch):
    late, other = shop.clean("ab"), shop.clean("cd")
    counts, of_other = shop.load(late), shop.load(other)

    def days_before_the_other(*args):
        found = lists.days(*args)
        monkeypatch.undo()
        shop.publish(other, of_other)
        return found

    monkeypatch.setattr(publish, "MANY_DAYS", 0)
    monkeypatch.setattr(publish, "days", days_before_the_other)
    shop.publish(late, counts)
    assert shop.rows() == Counter("abcd")


@pytest.mark.usefixtures("short_pages")
def test_a_run_that_wakes_up_late_is_kept_out_by_the_last_of_many_notes(shop):
    """It committed, and stood still while another published its batch and a compaction replaced the file."""
    batch = shop.clean("ab")
    counts = shop.load(batch)
    shop.publish(batch, counts, again=True)  # the other one
    shop.add("cd")
    compact.compact_day(shop.s3, FEED, shop.days[0], shop.config)
    folder = lists.folder_of(FEED, shop.days[0])
    [note] = [e["Key"] for e in listing.objects(shop.s3, shop.config.bucket, f"{folder}_superseded-")]
    # A day of corrections: the note that names the batch's file comes after more than a page of others.
    body = shop.s3.get_object(Bucket=shop.config.bucket, Key=note)["Body"].read()
    shop.s3.delete_object(Bucket=shop.config.bucket, Key=note)
    others = json.dumps({"since": datetime.now(UTC).isoformat(), "files": ["s3://b/clean/other.parquet"]}).encode()
    put_many(shop.s3, shop.config.bucket, [f"{folder}_superseded-{n:016x}.json" for n in range(PAGE + 5)], others)
    shop.s3.put_object(Bucket=shop.config.bucket, Key=f"{folder}_superseded-{'f' * 16}.json", Body=body)
    assert shop.publish(batch, counts) == 0
    assert shop.rows() == Counter("abcd")
    # Those of a batch that is younger than the notes are not read at all.
    later = datetime.now(UTC) + lists.CLOCKS_DIFFER + timedelta(minutes=1)
    notes = lists.Notes(shop.s3, shop.config.bucket, FEED, shop.days[0], f"{FEED}-{later:%Y%m%dT%H%M%SZ}-{'0' * 16}")
    assert notes.name("s3://b/clean/other.parquet") is False
    assert notes._files == {}
    assert retention.remove_superseded(shop.s3, shop.config) > 0
    assert list(listing.objects(shop.s3, shop.config.bucket, f"{folder}_superseded-")) == []
    assert shop.rows() == Counter("abcd")
