"""Versions of the data sets for machine learning, in the lake. See docs/adr/0046.

    features/data/<id>/<data set>/part=<part>/    Parquet files; the id is that of the run that wrote them
    features/data/<id>/schema.json, scalers.json
    features/versions/<version>.json              the manifest, written last: data without a manifest is not a version
    features/latest.json                          the last version of the default cut-offs

The name of a version depends on its content, so the same rows for the same cut-offs are the same version.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from ecommerce_elt import listing
from ecommerce_elt.settings import Settings

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

log = logging.getLogger(__name__)

FEATURES = "features/"
DATA = f"{FEATURES}data/"
VERSIONS = f"{FEATURES}versions/"
LATEST = f"{FEATURES}latest.json"


@dataclass(frozen=True)
class Version:
    """The content of a manifest.

    Attributes:
        read_at: a time before core was read, in ISO 8601 and UTC.
        files: the files of each data set, with key, part and bytes.
    """

    version: str
    read_at: str
    cut_offs: list[str]
    horizon_days: int
    schema: str
    scalers: str
    rows: dict[str, dict[str, int]]
    files: dict[str, list[dict[str, Any]]]

    @property
    def key(self) -> str:
        return manifest_key(self.version)

    @property
    def folder(self) -> str:
        """The folder of its data."""
        return _folder(self.schema)


def manifest_key(version: str) -> str:
    return f"{VERSIONS}{version}.json"


def _get(s3: S3Client, bucket: str, key: str) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
    except s3.exceptions.NoSuchKey:
        return None
    return found


def read_version(s3: S3Client, bucket: str, version: str) -> Version | None:
    """Returns the version, or None if it is not complete."""
    found = _get(s3, bucket, manifest_key(version))
    return Version(**found) if found else None


def publish(s3: S3Client, bucket: str, made: Version) -> bool:
    """Writes the manifest, which makes the version visible; returns False if another run has written it before."""
    body = json.dumps(asdict(made), indent=1).encode()
    try:
        s3.put_object(Bucket=bucket, Key=made.key, Body=body, ContentType="application/json", IfNoneMatch="*")
    except s3.exceptions.ClientError as error:
        if error.response["Error"]["Code"] != "PreconditionFailed":
            raise
        return False
    return True


def point_to(s3: S3Client, bucket: str, version: str, read_at: str) -> None:
    """Records in latest.json that the default cut-offs gave the version when core was read at `read_at`."""
    body = json.dumps({"version": version, "manifest": manifest_key(version), "read_at": read_at}).encode()
    s3.put_object(Bucket=bucket, Key=LATEST, Body=body, ContentType="application/json")


def versions(s3: S3Client, bucket: str) -> Iterator[Version]:
    """Yields all complete versions, each with the last known time at which core gave this version."""
    latest = _get(s3, bucket, LATEST) or {}
    for entry in listing.objects(s3, bucket, VERSIONS):
        if found := _get(s3, bucket, entry["Key"]):
            read_at = latest["read_at"] if latest.get("version") == found["version"] else found["read_at"]
            yield Version(**found | {"read_at": max(read_at, found["read_at"])})


def read_before(s3: S3Client, bucket: str, moment: datetime) -> list[str]:
    """Returns the versions that were read from core up to `moment` and may contain a customer erased since.

    GETDATE() has whole seconds, so a version of the same second is included.
    """
    return [found.version for found in versions(s3, bucket) if datetime.fromisoformat(found.read_at) <= moment]


def remove_old(s3: S3Client, settings: Settings, now: datetime, *, made: str | None, only_this: bool) -> dict[str, int]:
    """Deletes versions past `features_retention_days` and data of dead runs; returns the numbers deleted.

    Args:
        s3: boto3 client.
        settings: the settings.
        now: the current time.
        made: the version that this run made or found. It is kept, as is the version of latest.json.
        only_this: whether all other versions and data are deleted, because a customer in them was erased.
    """
    latest = (_get(s3, settings.bucket, LATEST) or {}).get("version")
    if only_this and latest != made:
        listing.delete(s3, settings.bucket, [LATEST])
        latest = None
    limit = now - timedelta(days=settings.features_retention_days)
    gone = [
        found
        for found in versions(s3, settings.bucket)
        if found.version not in {made, latest} and (only_this or datetime.fromisoformat(found.read_at) < limit)
    ]
    # The manifests are deleted first, so that nobody finds a version whose files are being deleted.
    listing.delete(s3, settings.bucket, [found.key for found in gone])
    named = {found.folder for found in versions(s3, settings.bucket)}
    young = now - timedelta(hours=settings.lake_grace_hours)
    freed = {found.folder for found in gone}
    dead = []
    for entry in listing.objects(s3, settings.bucket, DATA):
        folder = _folder(entry["Key"])
        if folder not in named and (only_this or folder in freed or entry["LastModified"] < young):
            dead.append(entry["Key"])
    listing.delete(s3, settings.bucket, dead)
    log.info("removed versions=%s objects=%s", len(gone), len(dead))
    return {"versions": len(gone), "objects": len(dead)}


def _folder(key: str) -> str:
    return "/".join(key.split("/")[:3]) + "/"
