"""Compaction: the same rows in fewer files, whichever run is faster or dies."""

import io
import json
import threading
import time
from collections import Counter
from datetime import timedelta

import pyarrow.parquet as pq
import pytest
from ecommerce_elt.lake import compact, lists, parquet_files, retention

from tests.plugins.lake.conftest import FEED


def test_compaction_makes_one_sorted_file_of_a_day_with_the_same_rows(shop):
    for name in ("ab", "cde", "f"):
        shop.add(name)
    before = shop.rows()
    done = compact.compact_day(shop.s3, FEED, shop.days[0], shop.config)
    assert (done.days, done.files_before, done.files_after) == (1, 3, 1)
    assert shop.count() == 1
    assert shop.rows() == before
    [url] = lists.files(shop.s3, shop.config.bucket, FEED, shop.days[0], shop.days[0])
    rows = parquet_files.read(shop.s3, url)
    assert rows["event_time"].to_pylist() == sorted(rows["event_time"].to_pylist())
    assert compact.compact_day(shop.s3, FEED, shop.days[0], shop.config) == compact.Compacted(FEED)  # nothing to do
    shop.add("gh")
    compact.compact_day(shop.s3, FEED, shop.days[0], shop.config)
    assert shop.rows() == Counter("abcdefgh")


def test_a_compaction_that_lost_a_race_changes_nothing(shop, monkeypatch):
    for name in ("ab", "cd"):
        shop.add(name)
    merge = compact._merge

    def slow(*args):
        made = merge(*args)
        monkeypatch.setattr(compact, "_merge", merge)
        compact.compact_day(shop.s3, FEED, shop.days[0], shop.config)  # another run is faster
        shop.add("ef")
        return made

    monkeypatch.setattr(compact, "_merge", slow)
    compact.compact_day(shop.s3, FEED, shop.days[0], shop.config)
    assert shop.rows() == Counter("abcdef")


def test_what_a_compaction_that_died_wrote_is_deleted_and_nothing_that_is_listed(shop, monkeypatch):
    for name in ("ab", "cd"):
        shop.add(name)
    listed = lists.files(shop.s3, shop.config.bucket, FEED, shop.days[0], shop.days[0])
    with monkeypatch.context() as killed:
        killed.setattr(compact, "change_list", lambda *args: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            compact.compact_day(shop.s3, FEED, shop.days[0], shop.config)
    folder = f"clean/feed={FEED}/dt={shop.days[0]}/"
    assert len(shop.s3.list_objects_v2(Bucket=shop.config.bucket, Prefix=folder)["Contents"]) == 3
    retention.remove_superseded(shop.s3, shop.config)
    left = shop.s3.list_objects_v2(Bucket=shop.config.bucket, Prefix=folder)["Contents"]
    assert {f"s3://{shop.config.bucket}/{entry['Key']}" for entry in left} == set(listed)
    assert shop.rows() == Counter("abcd")


def test_files_are_grouped_up_to_the_target():
    assert list(
        compact._groups(["a", "b", "c", "d"], dict(zip("abcd", (400_000, 400_000, 400_000, 10), strict=True)), 1024**2)
    ) == [["a", "b", "c"], ["d"]]
    assert list(compact._groups(["a"], {"a": 5}, 10)) == [["a"]]


def test_a_compaction_leaves_days_alone_that_have_not_changed(shop, monkeypatch):
    for name in "abcd":
        shop.add(name, day=0)
    shop.add("ef", day=1)
    compact.compact_feed(shop.s3, FEED, shop.config)
    monkeypatch.setattr(compact, "CLOCKS_DIFFER", timedelta(0))
    threading.Event().wait(1 - time.time() % 1 + 0.01)  # S3 tells times in whole seconds
    compact.compact_feed(shop.s3, FEED, shop.config)
    shop.add("gh", day=1)
    seen = []
    compact_day = compact.compact_day
    monkeypatch.setattr(
        compact, "compact_day", lambda s3, feed, day, *rest: seen.append(day) or compact_day(s3, feed, day, *rest)
    )
    assert compact.compact_feed(shop.s3, FEED, shop.config).days == 1
    assert seen == [shop.days[1]]
    assert (shop.rows(0), shop.rows(1)) == (Counter("abcd"), Counter("efgh"))
    # Other columns: every day.
    seen.clear()
    key = f"{compact.COMPACTED}{FEED}.json"
    state = json.loads(shop.s3.get_object(Bucket=shop.config.bucket, Key=key)["Body"].read())
    shop.s3.put_object(Bucket=shop.config.bucket, Key=key, Body=json.dumps(state | {"columns": "others"}))
    compact.compact_feed(shop.s3, FEED, shop.config)
    assert set(shop.days) <= set(seen)


def test_a_file_of_the_lake_is_what_copy_reads(shop):
    shop.add("ab")
    shop.add("cd")
    compact.compact_day(shop.s3, FEED, shop.days[0], shop.config)
    [url] = lists.files(shop.s3, shop.config.bucket, FEED, shop.days[0], shop.days[0])
    body = shop.s3.get_object(Bucket=shop.config.bucket, Key=url.split("/", 3)[3])["Body"].read()
    with pq.ParquetFile(io.BytesIO(body)) as file:
        assert file.schema.column(1).physical_type == "INT96"
