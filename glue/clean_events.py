"""Cleaning of one large batch on AWS Glue 5 (Spark 3.5).

The job does the work that ecommerce_elt.cleaning.cleaner does with DuckDB on one machine. It reads the raw objects in
the batch's manifest, runs the cleaning SQL of the feed and writes the same files. It needs no job bookmark: the
manifest lists the objects to read, and a second run writes the same files again.

Arguments of the job (`--name value`, as Glue passes them; arguments that Glue adds itself are ignored):

    --bucket             the bucket of the lake
    --batch_id           a batch whose manifest is in manifests/; or
    --prefix             a prefix of raw/ with objects of one feed: the job writes a manifest of all of them and
                         leaves the batch open, so that load_events loads it
    --cleaning           s3:// URL of the translated SQL of all feeds, written by `python -m infra.deploy`
    --pii_hmac_secret    name of the secret in Secrets Manager that holds the HMAC key for personal columns

The objects are read with boto3 instead of Spark's file source. This way, each read is checked against the ETag in the
manifest, and the line number within the object, which lineage needs, is exact. A gzip file cannot be split anyway.

Spark logs the exceptions of its Python workers, and Glue keeps the log. For this reason, every function that runs in a
worker raises only errors without values of events. The SQL raises no such error: a failed cast gives NULL
(spark.sql.ansi.enabled).
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import boto3
import pyarrow as pa
from ecommerce_elt import listing
from ecommerce_elt.batches import clean_files
from ecommerce_elt.batches.hmac_pads import hmac_pads, secret_key
from ecommerce_elt.batches.manifests import (
    OPEN,
    RAW_KEY,
    WITHDRAWN,
    Manifest,
    RawObject,
    is_withdrawal,
    new_manifest,
    read_manifest,
)
from ecommerce_elt.batches.raw_records import ROWS_PER_BATCH, read_objects
from ecommerce_elt.errors import PermanentError, values_withheld
from pyspark import StorageLevel
from pyspark.sql import SparkSession
from pyspark.sql.functions import count_if, expr

log = logging.getLogger("clean_events")

EVENTS = (
    "event_id string, event_time string, event_version int, schema_version int, data array<string>, extra string, "
    "source_object string, source_line int"
)
OBJECTS = "key string, etag string, size bigint, bucket string"
LINEAGE = ("reasons", "copy_number", "rejected_version")


# -- writing ------------------------------------------------------------------------------------------------------


def write_dates(bucket: str, manifest: Manifest, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Writes the clean files of one partition's event dates and yields the key and size in bytes of each."""
    with values_withheld(), tempfile.TemporaryDirectory(prefix="clean-") as folder:
        # Every column is nullable, as in the files that DuckDB writes.
        plain = (
            pa.record_batch(b.columns, schema=pa.schema([pa.field(f.name, f.type) for f in b.schema])) for b in batches
        )
        yield from _listed(clean_files.write_clean(boto3.client("s3"), bucket, manifest, plain, Path(folder)))


def write_rejected(bucket: str, manifest: Manifest, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Writes the quarantine files of one partition's arrival dates and yields the key and size in bytes of each."""
    with values_withheld():
        found = list(batches)
    if found:
        with values_withheld(), tempfile.TemporaryDirectory(prefix="quarantine-") as folder:
            rows = pa.Table.from_batches(found)
            yield from _listed(clean_files.write_quarantine(boto3.client("s3"), bucket, manifest, rows, Path(folder)))


def write_withdrawals(bucket: str, manifest: Manifest, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Writes the withdrawals, which are all in one partition, and yields nothing."""
    with values_withheld():
        if found := list(batches):
            clean_files.write_withdrawn(boto3.client("s3"), bucket, manifest, pa.Table.from_batches(found))
    yield from _listed([])


def _listed(written: list[tuple[str, int]]) -> Iterator[pa.RecordBatch]:
    if written:
        keys, sizes = zip(*written, strict=True)
        yield pa.record_batch([pa.array(keys, pa.string()), pa.array(sizes, pa.int64())], ["key", "size"])


def clean(spark: SparkSession, bucket: str, manifest: Manifest, cleaning: dict[str, Any], pads: dict[str, str]) -> Any:
    """Cleans the batch, writes its files and returns its counts (clean_files.CleanBatch).

    Spark evaluates the steps together, so they stay together in one function.

    Args:
        spark: the session.
        bucket: the bucket of the lake.
        manifest: the manifest of the batch.
        cleaning: `stages`, `known_keys` and `cleaned_by` of the feed, from the file that the deployment wrote.
        pads: the HMAC pads, by their parameter names in the SQL.
    """
    s3 = boto3.client("s3")
    known = cleaning["known_keys"]
    parallelism = spark.sparkContext.defaultParallelism
    objects = spark.createDataFrame([(o.key, o.etag, o.size, o.bucket) for o in manifest.objects], OBJECTS)
    spread = objects.repartition(min(len(manifest.objects), 16 * parallelism), "key")
    spread.mapInArrow(lambda batches: read_objects(boto3.client("s3"), known, batches), EVENTS).createOrReplaceTempView(
        "events"
    )
    for name, sql in cleaning["stages"].items():
        cleaned = spark.sql(sql, args={pad: value for pad, value in pads.items() if f":{pad}" in sql})
        if name != "cleaned":
            cleaned.persist(StorageLevel.MEMORY_AND_DISK)
        cleaned.createOrReplaceTempView(name)

    good = "copy_number = 1 AND SIZE(reasons) = 0"
    kept = cleaned.where(good).where(f"source_object NOT LIKE '{WITHDRAWN}'")
    rows = kept.drop(*LINEAGE).selectExpr("*", "DATE(event_time) AS dt")
    rows = rows.repartition(4 * parallelism, "dt").drop("dt").sortWithinPartitions("event_time", "event_id")
    written = rows.mapInArrow(lambda batches: write_dates(bucket, manifest, batches), "key string, size bigint")
    clean_files.write_copy_manifest(s3, bucket, manifest, [(row.key, row.size) for row in written.collect()])

    if any(is_withdrawal(raw.key) for raw in manifest.objects):
        out = cleaned.where(good).where(f"source_object LIKE '{WITHDRAWN}'")
        out = out.select("event_id", "event_version", "event_time", "source_object").coalesce(1)
        out.mapInArrow(
            lambda batches: write_withdrawals(bucket, manifest, batches), "key string, size bigint"
        ).collect()

    names = {"feed": manifest.feed, "stage": "clean", "batch_id": manifest.batch_id}
    rejected = cleaned.where("copy_number = 1 AND SIZE(reasons) > 0").selectExpr(
        *(f"'{names[c]}' AS {c}" if c in names else c for c in clean_files.QUARANTINE.names),
        "REGEXP_EXTRACT(source_object, '/dt=([^/]+)/', 1) AS dt",
    )
    rejected = rejected.repartition(parallelism, "dt").drop("dt").sortWithinPartitions("source_object", "source_line")
    rejected.mapInArrow(lambda batches: write_rejected(bucket, manifest, batches), "key string, size bigint").collect()

    counted = cleaned.groupBy("source_object").agg(
        *(
            count_if(expr(condition)).alias(name)
            for name, condition in {
                "accepted": "TRUE",
                "clean": good,
                "quarantined": "copy_number = 1 AND SIZE(reasons) > 0",
                "duplicates": "copy_number > 1",
            }.items()
        )
    )
    by_object = {row.source_object: {name: row[name] for name in clean_files.COUNTS} for row in counted.collect()}
    rounded = {}
    if "rounded" in cleaning["stages"]:
        found = cleaned.where(good).join(spark.table("rounded"), ["source_object", "source_line"])
        rounded = {row["source_object"]: row["count"] for row in found.groupBy("source_object").count().collect()}
    unknown = []
    if "extra" in cleaned.columns:
        keys = cleaned.where(good).where("extra IS NOT NULL").selectExpr("EXPLODE(JSON_OBJECT_KEYS(extra)) AS key")
        unknown = [(row["key"], row["count"]) for row in keys.groupBy("key").count().collect()]
    return clean_files.write_counts(
        s3, bucket, manifest, by_object, rounded=rounded, unknown_keys=unknown, cleaned_by=cleaning["cleaned_by"]
    )


# -- the job --------------------------------------------------------------------------------------------------------


def claim_prefix(s3: Any, bucket: str, prefix: str) -> Manifest:
    """Writes the manifest of all raw objects under the prefix, marks the batch as open, and returns the manifest.

    Raises:
        PermanentError: the prefix holds no raw objects, other objects, or raw objects of several feeds.
    """
    found = list(listing.objects(s3, bucket, prefix))
    matches = [RAW_KEY.match(entry["Key"]) for entry in found]
    feeds = {match["feed"] for match in matches if match}
    if not all(matches) or len(feeds) != 1 or None in feeds:
        raise PermanentError(
            f"--prefix {prefix}: {len(found)} objects of feeds {sorted(map(str, feeds))}, expected a prefix of one "
            "feed, such as raw/feed=online_retail/dt=2026-01-31/"
        )
    objects = [RawObject.listed(entry, bucket) for entry in found]
    manifest = new_manifest(feeds.pop(), objects, max(e["LastModified"] for e in found))
    s3.put_object(Bucket=bucket, Key=f"manifests/{manifest.batch_id}.json", Body=manifest.to_json())
    s3.put_object(Bucket=bucket, Key=OPEN + manifest.batch_id, Body=b"")
    return manifest


@values_withheld()
def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--bucket", required=True)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--batch_id")
    what.add_argument("--prefix")
    parser.add_argument("--cleaning", required=True)
    parser.add_argument("--pii_hmac_secret", required=True)
    given, _ = parser.parse_known_args(arguments)

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    s3 = boto3.client("s3")
    manifest = (
        read_manifest(s3, given.bucket, given.batch_id)
        if given.batch_id
        else claim_prefix(s3, given.bucket, given.prefix)
    )
    where = urlparse(given.cleaning)
    feeds = json.loads(s3.get_object(Bucket=where.netloc, Key=where.path.lstrip("/"))["Body"].read())
    if manifest.feed not in feeds:
        raise PermanentError(
            f"feed {manifest.feed}: {given.cleaning} has {sorted(feeds)}. A new feed is known to the job "
            "after the next deployment: python -m infra.deploy"
        )
    key = secret_key(boto3.client("secretsmanager"), given.pii_hmac_secret)
    spark = SparkSession.builder.appName(f"clean {manifest.batch_id}").getOrCreate()
    spark.conf.set("spark.sql.session.timeZone", "UTC")
    spark.conf.set("spark.sql.ansi.enabled", "false")  # a failed cast gives NULL, and thereby a reason
    spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", str(ROWS_PER_BATCH))
    started = datetime.now(UTC)
    counts = clean(spark, given.bucket, manifest, feeds[manifest.feed], hmac_pads(key))
    log.info("cleaned %s seconds=%.1f", counts, (datetime.now(UTC) - started).total_seconds())
    spark.stop()


if __name__ == "__main__":
    main(sys.argv[1:])
