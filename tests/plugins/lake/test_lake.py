"""The lake's tables: each event once, whatever is loaded again, killed, or compacted, with a reader that never stops."""

import asyncio
import io
import itertools
import json
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import pyarrow.parquet as pq
import pytest
from ecommerce_elt import listing
from ecommerce_elt.batches.clean_files import CleanBatch
from ecommerce_elt.batches.manifests import open_batches
from ecommerce_elt.lake import lists as lake_lists
from ecommerce_elt.landing.files import LandedFile, new_files
from ecommerce_elt.landing.sensors import LandedFilesTrigger
from ecommerce_elt.load import transaction as load_transaction
from ecommerce_elt.load.triggers import RawObjectsTrigger
from ecommerce_elt.reconcile import compare as reconcile_compare
from ecommerce_elt.settings import Settings

from tests.conftest import PROJECT
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
        return lake_lists.publish_batch(
            self.s3, self.observer.warehouse, batch, self.config, overlaps=overlaps, again=again
        )

    def add(self, names, day=0):
        batch = self.clean(names, day)
        self.publish(batch, self.load(batch))
        return batch

    def rows(self, day=0) -> Counter:
        urls = lake_lists.files(self.s3, self.config.bucket, FEED, self.days[day], self.days[day])
        found = Counter()
        for url in urls:
            found.update(lake_lists._read(self.s3, url)["event_id"].to_pylist())
        return Counter({key.removeprefix(f"{self.lake.name}-"): count for key, count in found.items()})

    def count(self, day=0):
        return len(lake_lists.files(self.s3, self.config.bucket, FEED, self.days[day], self.days[day]))


@pytest.fixture(autouse=True)
def times_of_the_records(monkeypatch):
    """The bench's envelopes have a time, which would win."""
    import tests.plugins.warehouse.test_warehouse as bench

    plain = bench.line
    monkeypatch.setattr(bench, "line", lambda feed, data, event_id, version: plain(feed, data, event_id, None, version))


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
    lake_lists.compact_day(shop.s3, FEED, shop.days[0], shop.config)
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


def test_compaction_makes_one_sorted_file_of_a_day_with_the_same_rows(shop):
    for name in ("ab", "cde", "f"):
        shop.add(name)
    before = shop.rows()
    done = lake_lists.compact_day(shop.s3, FEED, shop.days[0], shop.config)
    assert (done.days, done.files_before, done.files_after) == (1, 3, 1)
    assert shop.count() == 1
    assert shop.rows() == before
    [url] = lake_lists.files(shop.s3, shop.config.bucket, FEED, shop.days[0], shop.days[0])
    rows = lake_lists._read(shop.s3, url)
    assert rows["event_time"].to_pylist() == sorted(rows["event_time"].to_pylist())
    assert lake_lists.compact_day(shop.s3, FEED, shop.days[0], shop.config) == lake_lists.Compacted(
        FEED
    )  # nothing to do
    shop.add("gh")
    lake_lists.compact_day(shop.s3, FEED, shop.days[0], shop.config)
    assert shop.rows() == Counter("abcdefgh")


def test_replaced_files_stay_for_the_grace_period(shop):
    for name in ("ab", "cd"):
        shop.add(name)
    old = lake_lists.files(shop.s3, shop.config.bucket, FEED, shop.days[0], shop.days[0])
    lake_lists.compact_day(shop.s3, FEED, shop.days[0], shop.config)
    patient = shop.config.model_copy(update={"lake_grace_hours": 24.0})
    lake_lists.remove_superseded(shop.s3, patient)
    for url in old:
        lake_lists._read(shop.s3, url)  # still there
    assert lake_lists.remove_superseded(shop.s3, patient, now=datetime.now(UTC) + timedelta(hours=25)) >= 2
    for url in old:
        with pytest.raises(shop.s3.exceptions.NoSuchKey):
            lake_lists._read(shop.s3, url)
    assert shop.rows() == Counter("abcd")


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
            lake_lists.compact_day(shop.s3, FEED, shop.days[0], grace)
            lake_lists.remove_superseded(shop.s3, grace)
    while time.monotonic() - began < 4:  # the grace period passes with readers at work
        lake_lists.remove_superseded(shop.s3, grace)
    done.set()
    for reader in readers:
        reader.join()
    assert wrong == []
    assert len(seen) > 20
    assert seen[-1] == 36
    assert shop.rows() == Counter(f"e{n}-{i}" for n in range(12) for i in range(3))


def test_a_compaction_that_lost_a_race_changes_nothing(shop, monkeypatch):
    for name in ("ab", "cd"):
        shop.add(name)
    merge = lake_lists._merge

    def slow(*args):
        made = merge(*args)
        monkeypatch.setattr(lake_lists, "_merge", merge)
        lake_lists.compact_day(shop.s3, FEED, shop.days[0], shop.config)  # another run is faster
        shop.add("ef")
        return made

    monkeypatch.setattr(lake_lists, "_merge", slow)
    lake_lists.compact_day(shop.s3, FEED, shop.days[0], shop.config)
    assert shop.rows() == Counter("abcdef")


def test_what_a_compaction_that_died_wrote_is_deleted_and_nothing_that_is_listed(shop, monkeypatch):
    for name in ("ab", "cd"):
        shop.add(name)
    listed = lake_lists.files(shop.s3, shop.config.bucket, FEED, shop.days[0], shop.days[0])
    with monkeypatch.context() as killed:
        killed.setattr(lake_lists, "_change_list", lambda *args: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            lake_lists.compact_day(shop.s3, FEED, shop.days[0], shop.config)
    folder = f"clean/feed={FEED}/dt={shop.days[0]}/"
    assert len(shop.s3.list_objects_v2(Bucket=shop.config.bucket, Prefix=folder)["Contents"]) == 3
    lake_lists.remove_superseded(shop.s3, shop.config)
    left = shop.s3.list_objects_v2(Bucket=shop.config.bucket, Prefix=folder)["Contents"]
    assert {f"s3://{shop.config.bucket}/{entry['Key']}" for entry in left} == set(listed)
    assert shop.rows() == Counter("abcd")


def test_files_are_grouped_up_to_the_target():
    assert list(
        lake_lists._groups(
            ["a", "b", "c", "d"], dict(zip("abcd", (400_000, 400_000, 400_000, 10), strict=True)), 1024**2
        )
    ) == [["a", "b", "c"], ["d"]]
    assert list(lake_lists._groups(["a"], {"a": 5}, 10)) == [["a"]]


def test_retention_spares_the_lake_and_open_batches():
    with pytest.raises(ValueError, match="raw/ and landing/ end by the rules of the"):
        Settings(bucket="b", pii_hmac_key="x" * 16, retention_days={"clean/": 3})
    with pytest.raises(ValueError, match="at least 1 day"):
        Settings(bucket="b", pii_hmac_key="x" * 16, retention_days={"athena/": 0})


def test_retention_deletes_by_prefix_and_age(s3, bucket, config):
    own = config.model_copy(update={"bucket": bucket, "retention_days": {"athena/": 30, "manifests/": 60}})
    for key in ("athena/1.csv", "manifests/a.json", "manifests/open/x-20260101T000000Z-0123456789abcdef", "raw/1"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    assert lake_lists.apply_retention(s3, own) == {"athena/": 0, "manifests/": 0}
    later = datetime.now(UTC) + timedelta(days=31)
    assert lake_lists.apply_retention(s3, own, now=later) == {"athena/": 1, "manifests/": 0}
    later = datetime.now(UTC) + timedelta(days=61)
    assert lake_lists.apply_retention(s3, own, now=later) == {"athena/": 0, "manifests/": 1}
    left = [e["Key"] for e in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    assert left == ["manifests/open/x-20260101T000000Z-0123456789abcdef", "raw/1"]


class Counting:
    """A client of S3 that counts its calls by operation."""

    def __init__(self, s3):
        self._s3, self.calls = s3, Counter()

    def __getattr__(self, name):
        call = getattr(self._s3, name)

        def counted(*arguments, **named):
            self.calls[name] += 1
            return call(*arguments, **named)

        return counted if callable(call) and name[0].islower() and name != "exceptions" else call


def test_retention_reads_what_is_old_and_not_all_that_is_kept(s3, bucket, config):
    own = config.model_copy(update={"bucket": bucket, "retention_days": {"manifests/": 30}})
    now = datetime.now(UTC) + timedelta(days=100)  # what is written now is old by then
    old = [
        f"manifests/{feed}-{now - timedelta(days=100 - n):%Y%m%dT%H%M%SZ}-{n:016x}.json"
        for feed in ("a_feed", "b_feed")
        for n in range(5)
    ]
    kept = [
        f"manifests/{feed}-{now - timedelta(days=29):%Y%m%dT}{n:06d}Z-{n:016x}/copy.json"
        for feed in ("a_feed", "b_feed")
        for n in range(PAGE + 200)
    ]
    _many(
        s3,
        bucket,
        [
            *old,
            *kept,
            "manifests/reconcile/a_feed/2026-01-01T05.json",
            "manifests/reconcile/a_feed/day-1901-01-01.json",
        ],
    )
    counting = Counting(s3)
    assert lake_lists.apply_retention(counting, own, now=now) == {"manifests/": len(old) + 2}
    # A page to each jump over what is kept, and one for the open batches.
    assert counting.calls["list_objects_v2"] <= 4
    left = {entry["Key"] for entry in listing.objects(s3, bucket, "manifests/")}
    assert left == set(kept)


def test_a_compaction_leaves_days_alone_that_have_not_changed(shop, monkeypatch):
    for name in "abcd":
        shop.add(name, day=0)
    shop.add("ef", day=1)
    lake_lists.compact_feed(shop.s3, FEED, shop.config)
    monkeypatch.setattr(lake_lists, "CLOCKS_DIFFER", timedelta(0))
    threading.Event().wait(1 - time.time() % 1 + 0.01)  # S3 tells times in whole seconds
    lake_lists.compact_feed(shop.s3, FEED, shop.config)
    shop.add("gh", day=1)
    seen = []
    compact_day = lake_lists.compact_day
    monkeypatch.setattr(
        lake_lists, "compact_day", lambda s3, feed, day, *rest: seen.append(day) or compact_day(s3, feed, day, *rest)
    )
    assert lake_lists.compact_feed(shop.s3, FEED, shop.config).days == 1
    assert seen == [shop.days[1]]
    assert (shop.rows(0), shop.rows(1)) == (Counter("abcd"), Counter("efgh"))
    # Other columns: every day.
    seen.clear()
    key = f"{lake_lists.COMPACTED}{FEED}.json"
    state = json.loads(shop.s3.get_object(Bucket=shop.config.bucket, Key=key)["Body"].read())
    shop.s3.put_object(Bucket=shop.config.bucket, Key=key, Body=json.dumps(state | {"columns": "others"}))
    lake_lists.compact_feed(shop.s3, FEED, shop.config)
    assert set(shop.days) <= set(seen)


def test_a_file_of_the_lake_is_what_copy_reads(shop):
    shop.add("ab")
    shop.add("cd")
    lake_lists.compact_day(shop.s3, FEED, shop.days[0], shop.config)
    [url] = lake_lists.files(shop.s3, shop.config.bucket, FEED, shop.days[0], shop.days[0])
    body = shop.s3.get_object(Bucket=shop.config.bucket, Key=url.split("/", 3)[3])["Body"].read()
    with pq.ParquetFile(io.BytesIO(body)) as file:
        assert file.schema.column(1).physical_type == "INT96"


def _many(s3, bucket, keys, body=b"{}"):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: s3.put_object(Bucket=bucket, Key=key, Body=body), keys))


S3_PAGE = 1000  # keys that S3 lists at once
PAGE = 10  # and where `short_pages` is


@pytest.fixture
def short_pages(s3):
    """S3 lists a few keys at once, as it does where a request asks for no more, whatever ours ask for."""

    def ask_for_few(params, **_):
        params["MaxKeys"] = PAGE

    s3.meta.events.register("provide-client-params.s3.ListObjectsV2", ask_for_few)
    yield
    s3.meta.events.unregister("provide-client-params.s3.ListObjectsV2", ask_for_few)


@pytest.mark.usefixtures("short_pages")
def test_a_run_that_wakes_up_late_is_kept_out_by_the_last_of_many_notes(shop):
    """It committed, and stood still while another published its batch and a compaction replaced the file."""
    batch = shop.clean("ab")
    counts = shop.load(batch)
    shop.publish(batch, counts, again=True)  # the other one
    shop.add("cd")
    lake_lists.compact_day(shop.s3, FEED, shop.days[0], shop.config)
    folder = lake_lists.folder_of(FEED, shop.days[0])
    [note] = [e["Key"] for e in listing.objects(shop.s3, shop.config.bucket, f"{folder}_superseded-")]
    # A day of corrections: the note that names the batch's file comes after more than a page of others.
    body = shop.s3.get_object(Bucket=shop.config.bucket, Key=note)["Body"].read()
    shop.s3.delete_object(Bucket=shop.config.bucket, Key=note)
    others = json.dumps({"since": datetime.now(UTC).isoformat(), "files": ["s3://b/clean/other.parquet"]}).encode()
    _many(shop.s3, shop.config.bucket, [f"{folder}_superseded-{n:016x}.json" for n in range(PAGE + 5)], others)
    shop.s3.put_object(Bucket=shop.config.bucket, Key=f"{folder}_superseded-{'f' * 16}.json", Body=body)
    assert shop.publish(batch, counts) == 0
    assert shop.rows() == Counter("abcd")
    # Those of a batch that is younger than the notes are not read at all.
    later = datetime.now(UTC) + lake_lists.CLOCKS_DIFFER + timedelta(minutes=1)
    notes = lake_lists._Notes(
        shop.s3, shop.config.bucket, FEED, shop.days[0], f"{FEED}-{later:%Y%m%dT%H%M%SZ}-{'0' * 16}"
    )
    assert notes.name("s3://b/clean/other.parquet") is False
    assert notes._files == {}
    assert lake_lists.remove_superseded(shop.s3, shop.config) > 0
    assert list(listing.objects(shop.s3, shop.config.bucket, f"{folder}_superseded-")) == []
    assert shop.rows() == Counter("abcd")


@pytest.mark.usefixtures("short_pages")
def test_every_place_that_lists_reads_all_pages(s3, bucket, config):
    _many(s3, bucket, [f"seen/{n}" for n in range(PAGE + 1)])
    assert len(s3.list_objects_v2(Bucket=bucket)["Contents"]) == PAGE
    own = config.model_copy(update={"bucket": bucket, "retention_days": {"manifests/": 1}})
    hour = datetime(2026, 1, 1, 5, tzinfo=UTC)
    _many(s3, bucket, [f"raw/feed={FEED}/dt=2026-01-01/hour=05/{n:05d}.jsonl.gz" for n in range(PAGE + 2)])
    assert len(reconcile_compare._objects(s3, bucket, FEED, hour, hour)[hour]) == PAGE + 2
    _many(s3, bucket, [f"manifests/open/{FEED}-20260101T{n // 60:04d}{n % 60:02d}Z-{n:016x}" for n in range(PAGE + 2)])
    assert len(open_batches(s3, bucket)) == PAGE + 2
    _many(
        s3,
        bucket,
        [
            f"{lake_lists.folder_of(FEED, date(2020, 1, 1) + timedelta(days=n))}{lake_lists.LIST}"
            for n in range(PAGE + 2)
        ],
    )
    assert len(lake_lists.days(s3, bucket, FEED)) == PAGE + 2
    _many(s3, bucket, [f"manifests/{FEED}-{n}.json" for n in range(PAGE + 2)])
    removed = lake_lists.apply_retention(s3, own, now=datetime.now(UTC) + timedelta(days=2))
    assert removed == {"manifests/": PAGE + 2}  # the markers stay
    # Reports come after their files: the last file's is on another page.
    files = [f"landing/{FEED}/{n:05d}.csv" for n in range(PAGE + 2)]
    _many(s3, bucket, files)
    listed = list(listing.objects(s3, bucket, "landing/"))
    _many(s3, bucket, [LandedFile(e["Key"], e["ETag"].strip('"')).report_key for e in listed])
    assert new_files(listing.objects(s3, bucket, "landing/")) == []


async def _first(trigger):
    return await anext(trigger.run())


def test_the_triggers_see_what_is_on_the_second_page(s3, bucket, observer, cloud, monkeypatch):
    for name, value in cloud.user_environment().items():
        monkeypatch.setenv(name, value)
    # Half a page of files and half a page of their reports: the last file is on the second.
    _many(s3, bucket, [f"landing/{FEED}/{n:05d}.csv" for n in range(S3_PAGE // 2)])
    files = list(listing.objects(s3, bucket, "landing/"))
    _many(s3, bucket, [LandedFile(file["Key"], file["ETag"].strip('"')).report_key for file in files])
    s3.put_object(Bucket=bucket, Key=f"landing/{FEED}/zzz.csv", Body=b"x")
    found = asyncio.run(_first(LandedFilesTrigger(bucket, 1, None)))
    assert [file["Key"] for file in found.payload["files"]] == [f"landing/{FEED}/zzz.csv"]
    _many(s3, bucket, [f"manifests/open/{FEED}-{n}" for n in range(S3_PAGE + 1)])
    queue = observer.queue_url.rsplit("/", 1)[1]
    found = asyncio.run(_first(RawObjectsTrigger(bucket, queue, 1, 0, None)))
    assert found.payload["open_batches"] == S3_PAGE + 1


def test_nothing_lists_but_by_the_listing():
    """A listing of its own may forget that there are pages."""
    found = [
        str(path.relative_to(PROJECT))
        for folder in ("plugins", "dags", "glue", "lambdas", "producer")
        for path in (PROJECT / folder).rglob("*.py")
        if "list_objects" in path.read_text()
    ]
    assert found == ["plugins/ecommerce_elt/listing.py"]
