"""Replaced files go after the grace period, and old objects after the retention of their prefix."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from ecommerce_elt import listing
from ecommerce_elt.lake import compact, lists, parquet_files, retention
from ecommerce_elt.settings import Settings

from tests.plugins.conftest import PAGE, put_many
from tests.plugins.lake.conftest import FEED


def test_replaced_files_stay_for_the_grace_period(shop):
    for name in ("ab", "cd"):
        shop.add(name)
    old = lists.files(shop.s3, shop.config.bucket, FEED, shop.days[0], shop.days[0])
    compact.compact_day(shop.s3, FEED, shop.days[0], shop.config)
    patient = shop.config.model_copy(update={"lake_grace_hours": 24.0})
    retention.remove_superseded(shop.s3, patient)
    for url in old:
        parquet_files.read(shop.s3, url)  # still there
    assert retention.remove_superseded(shop.s3, patient, now=datetime.now(UTC) + timedelta(hours=25)) >= 2
    for url in old:
        with pytest.raises(shop.s3.exceptions.NoSuchKey):
            parquet_files.read(shop.s3, url)
    assert shop.rows() == Counter("abcd")


def test_retention_spares_the_lake_and_open_batches():
    with pytest.raises(ValueError, match="raw/ and landing/ end by the rules of the"):
        Settings(bucket="b", pii_hmac_key="x" * 16, retention_days={"clean/": 3})
    with pytest.raises(ValueError, match="at least 1 day"):
        Settings(bucket="b", pii_hmac_key="x" * 16, retention_days={"athena/": 0})


def test_retention_deletes_by_prefix_and_age(s3, bucket, config):
    own = config.model_copy(update={"bucket": bucket, "retention_days": {"athena/": 30, "manifests/": 60}})
    for key in ("athena/1.csv", "manifests/a.json", "manifests/open/x-20260101T000000Z-0123456789abcdef", "raw/1"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    assert retention.apply_retention(s3, own) == {"athena/": 0, "manifests/": 0}
    later = datetime.now(UTC) + timedelta(days=31)
    assert retention.apply_retention(s3, own, now=later) == {"athena/": 1, "manifests/": 0}
    later = datetime.now(UTC) + timedelta(days=61)
    assert retention.apply_retention(s3, own, now=later) == {"athena/": 0, "manifests/": 1}
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
    put_many(
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
    assert retention.apply_retention(counting, own, now=now) == {"manifests/": len(old) + 2}
    # A page to each jump over what is kept, and one for the open batches.
    assert counting.calls["list_objects_v2"] <= 4
    left = {entry["Key"] for entry in listing.objects(s3, bucket, "manifests/")}
    assert left == set(kept)
