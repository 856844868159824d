"""Every place that lists objects reads all pages."""

import asyncio
from datetime import UTC, date, datetime, timedelta

import pytest
from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
from ecommerce_elt import listing
from ecommerce_elt.batches.manifests import open_batches
from ecommerce_elt.lake import lists, retention
from ecommerce_elt.landing.files import LandedFile, new_files
from ecommerce_elt.landing.sensors import LandedFilesTrigger
from ecommerce_elt.load.triggers import RawObjectsTrigger
from ecommerce_elt.reconcile import arrivals

from tests.conftest import PROJECT
from tests.plugins.conftest import PAGE, put_many

FEED = "product_events"
S3_PAGE = 1000  # keys that S3 lists at once


@pytest.mark.usefixtures("short_pages")
def test_every_place_that_lists_reads_all_pages(s3, bucket, config):
    put_many(s3, bucket, [f"seen/{n}" for n in range(PAGE + 1)])
    assert len(s3.list_objects_v2(Bucket=bucket)["Contents"]) == PAGE
    own = config.model_copy(update={"bucket": bucket, "retention_days": {"manifests/": 1}})
    hour = datetime(2026, 1, 1, 5, tzinfo=UTC)
    put_many(s3, bucket, [f"raw/feed={FEED}/dt=2026-01-01/hour=05/{n:05d}.jsonl.gz" for n in range(PAGE + 2)])
    assert len(arrivals.objects_by_hour(s3, bucket, FEED, hour, hour)[hour]) == PAGE + 2
    put_many(
        s3, bucket, [f"manifests/open/{FEED}-20260101T{n // 60:04d}{n % 60:02d}Z-{n:016x}" for n in range(PAGE + 2)]
    )
    assert len(open_batches(s3, bucket)) == PAGE + 2
    put_many(
        s3,
        bucket,
        [f"{lists.folder_of(FEED, date(2020, 1, 1) + timedelta(days=n))}{lists.LIST}" for n in range(PAGE + 2)],
    )
    assert len(lists.days(s3, bucket, FEED)) == PAGE + 2
    put_many(s3, bucket, [f"manifests/{FEED}-{n}.json" for n in range(PAGE + 2)])
    removed = retention.apply_retention(s3, own, now=datetime.now(UTC) + timedelta(days=2))
    assert removed == {"manifests/": PAGE + 2}  # the markers stay
    # Reports come after their files: the last file's is on another page.
    files = [f"landing/{FEED}/{n:05d}.csv" for n in range(PAGE + 2)]
    put_many(s3, bucket, files)
    listed = list(listing.objects(s3, bucket, "landing/"))
    put_many(s3, bucket, [LandedFile(e["Key"], e["ETag"].strip('"')).report_key for e in listed])
    assert new_files(listing.objects(s3, bucket, "landing/")) == []


async def _first(trigger):
    return await anext(trigger.run())


def test_the_triggers_see_what_is_on_the_second_page(s3, bucket, observer, cloud, monkeypatch):
    for name, value in cloud.user_environment().items():
        monkeypatch.setenv(name, value)
    # Half a page of files and half a page of their reports: the last file is on the second.
    put_many(s3, bucket, [f"landing/{FEED}/{n:05d}.csv" for n in range(S3_PAGE // 2)])
    files = list(listing.objects(s3, bucket, "landing/"))
    put_many(s3, bucket, [LandedFile(file["Key"], file["ETag"].strip('"')).report_key for file in files])
    s3.put_object(Bucket=bucket, Key=f"landing/{FEED}/zzz.csv", Body=b"x")
    found = asyncio.run(_first(LandedFilesTrigger(bucket, 1, None)))
    assert [file["Key"] for file in found.payload["files"]] == [f"landing/{FEED}/zzz.csv"]
    put_many(s3, bucket, [f"manifests/open/{FEED}-{n}" for n in range(S3_PAGE + 1)])
    queue = observer.queue_url.rsplit("/", 1)[1]
    asked = []
    monkeypatch.setattr(RuntimeTaskInstance, "get_dr_count", lambda **names: asked.append(names) or 0)  # no triggerer
    found = asyncio.run(_first(RawObjectsTrigger(bucket, queue, 1, 0, None)))
    assert found.payload["open_batches"] == S3_PAGE + 1
    assert len(asked) == 1, "the triggerer builds its API before the first landed file, which would wait for that"


def test_nothing_lists_but_by_the_listing():
    """A listing of its own may forget that there are pages."""
    found = [
        str(path.relative_to(PROJECT))
        for folder in ("plugins", "dags", "glue", "lambdas", "producer")
        for path in (PROJECT / folder).rglob("*.py")
        if "list_objects" in path.read_text()
    ]
    assert found == ["plugins/ecommerce_elt/listing.py"]
