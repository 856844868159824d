"""Keeps the manifests of batches in line with raw objects that an erasure rewrites.

manifests/erasures/<id>.json   raw objects that are being rewritten; if a run dies, a later run uses it to write the
                               new ETags to the manifests
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from ecommerce_elt.batches.manifests import RawObject, objects_under, open_batches, read_manifest
from ecommerce_elt.errors import TransientError
from ecommerce_elt.settings import Settings
from ecommerce_elt.warehouse.redshift import Warehouse

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

PLANS = "manifests/erasures/"


def batches_of(s3: S3Client, target: Warehouse, feed: str, keys: set[str], settings: Settings) -> dict[str, set[str]]:
    """Returns the raw objects, among `keys`, of each open or committed batch of the feed that has some."""
    sql = (settings.sql_dir / "ops/batch_object/of_keys.sql").read_text("utf-8")
    rows = target.query(sql, {"feed": feed, "first_key": min(keys), "last_key": max(keys)})
    found: dict[str, set[str]] = {}
    for batch_id, key in rows:
        if key in keys:
            found.setdefault(batch_id, set()).add(key)
    for batch_id in open_batches(s3, settings.bucket):
        if hit := keys & {raw.key for raw in read_manifest(s3, settings.bucket, batch_id).objects}:
            found.setdefault(batch_id, set()).update(hit)
    return found


def check_claimed(s3: S3Client, target: Warehouse, feed: str, objects: Iterable[RawObject], settings: Settings) -> None:
    """Raises TransientError if an object is in no batch yet, because its batch would have an ETag that is gone."""
    keys = {raw.key for raw in objects}
    in_batches = set().union(*batches_of(s3, target, feed, keys, settings).values())
    if waiting := sorted(keys - in_batches):
        raise TransientError(f"{waiting[0]} is in no batch yet; load_events takes it up")


def plan(s3: S3Client, bucket: str, feed: str, keys: list[str]) -> None:
    """Notes that the objects are about to be rewritten."""
    s3.put_object(
        Bucket=bucket, Key=f"{PLANS}{uuid.uuid4().hex}.json", Body=json.dumps({"feed": feed, "keys": keys}).encode()
    )


def finish_plans(s3: S3Client, target: Warehouse, settings: Settings) -> None:
    """Writes the ETags of rewritten raw objects to the manifests, and deletes the plans, also those of dead tasks."""
    bucket = settings.bucket
    for noted in list(objects_under(s3, bucket, PLANS)):
        found = json.loads(s3.get_object(Bucket=bucket, Key=noted.key)["Body"].read())
        keys = set(found["keys"])
        now = {raw.key: raw for key in keys for raw in objects_under(s3, bucket, key)}  # an expired object is missing
        for batch_id in batches_of(s3, target, found["feed"], keys, settings):
            old = read_manifest(s3, bucket, batch_id)
            new = replace(old, objects=tuple(now.get(raw.key, raw) for raw in old.objects))
            if new != old:
                s3.put_object(Bucket=bucket, Key=f"manifests/{batch_id}.json", Body=new.to_json())
        s3.delete_object(Bucket=bucket, Key=noted.key)
