"""Deletes files that are in no list any more, and objects that are older than the retention of their prefix."""

from __future__ import annotations

from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from more_itertools import chunked

from ecommerce_elt import listing
from ecommerce_elt.batches.clean_files import S3_THREADS
from ecommerce_elt.batches.manifests import OPEN, open_batches
from ecommerce_elt.lake.lists import LIST_KEY, PUBLISHED, SUPERSEDED, read_list, superseded_files
from ecommerce_elt.lake.parquet_files import object_of
from ecommerce_elt.settings import Settings

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client


def remove_superseded(s3: S3Client, settings: Settings, *, now: datetime | None = None) -> int:
    """Deletes the files that have been in no list for `lake_grace_hours`, and returns how many."""
    limit = (now or datetime.now(UTC)) - timedelta(hours=settings.lake_grace_hours)
    notes: dict[tuple[str, str], list[str]] = defaultdict(list)
    for entry in listing.objects(s3, settings.bucket, PUBLISHED):
        if f"/{SUPERSEDED}" in entry["Key"] and entry["LastModified"] <= limit:  # written at its time or later
            named = LIST_KEY.match(entry["Key"])
            assert named is not None
            notes[named["feed"], named["day"]].append(entry["Key"])

    def remove(of_day: tuple[tuple[str, str], list[str]]) -> int:
        (feed, day), keys = of_day
        noted = [url for key in keys for url in superseded_files(s3, settings.bucket, key)]
        listed, _ = read_list(s3, settings.bucket, feed, day)
        left = {object_of(url)["Key"] for url in noted if url not in listed}
        listing.delete(s3, settings.bucket, sorted(left))
        listing.delete(s3, settings.bucket, keys)  # the notes last, so that a deletion that died is repeated
        return len(left)

    with ThreadPoolExecutor(S3_THREADS) as pool:
        return sum(pool.map(remove, notes.items()))


def apply_retention(s3: S3Client, settings: Settings, *, now: datetime | None = None) -> dict[str, int]:
    """Deletes objects older than `retention_days` of their prefix; returns the number of deleted objects by prefix."""
    removed = dict.fromkeys(settings.retention_days, 0)
    still_open = open_batches(s3, settings.bucket)  # their objects are kept, whatever their age
    for prefix, kept_days in settings.retention_days.items():
        limit = (now or datetime.now(UTC)) - timedelta(days=kept_days)
        found = listing.older(s3, settings.bucket, prefix, limit)
        old = (key for key in found if not key.startswith(OPEN) and not any(batch_id in key for batch_id in still_open))
        for some in chunked(old, listing.DELETED_AT_ONCE):
            listing.delete(s3, settings.bucket, some)
            removed[prefix] += len(some)
    return removed
