"""Converts whole files from landing/ to raw objects and manifests, which are cleaned and loaded like all others.

    landing/<feed>/<any path>                     a file that the producer can read: CSV, JSON, Parquet or a workbook,
                                                  packed or not; or a zip of such files
    landing/<feed>/<any path>.<etag>.report.json  the result, beside the file; the file itself is never changed

The events have the same ids as if the producer replayed the file. A file can therefore be loaded repeatedly, and in
either way, without duplicates. The batches of landed files are made in this module.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from more_itertools import constrained_batches

from ecommerce_elt.batches.manifests import feed_of_key, new_manifest
from ecommerce_elt.errors import PermanentError
from ecommerce_elt.feeds.contracts import Contract
from ecommerce_elt.landing import reports
from ecommerce_elt.landing.files import LANDING, LandedFile, feed_of
from ecommerce_elt.landing.identity import IdentityEngine
from ecommerce_elt.landing.landed import Landed, LandedGroup, LandedPart
from ecommerce_elt.landing.raw_objects import RawObjectWriter, WrittenObject
from ecommerce_elt.readers.flags import Flags
from ecommerce_elt.readers.readings import read_files
from ecommerce_elt.settings import Settings

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

log = logging.getLogger(__name__)

FILES_NAMED = 5  # files that a message names


class _ReplacedError(Exception):
    """The file is not the version that the run is for."""


def land_file(
    s3: S3Client, key: str, contracts: dict[str, Contract], flags: Flags, settings: Settings, *, etag: str | None = None
) -> Landed:
    """Writes the raw objects and manifests of one file, as `land_files` does, and returns the result."""
    group = land_files(s3, [(key, etag)], contracts, flags, settings)
    if group.replaced:
        raise PermanentError(f"{key} is another file than when it was found; it has a run of its own")
    return group.files[0]


def land_files(
    s3: S3Client,
    files: Sequence[tuple[str, str | None]],
    contracts: dict[str, Contract],
    flags: Flags,
    settings: Settings,
) -> LandedGroup:
    """Writes raw objects and manifests of files of one feed, and returns the result. Idempotent.

    Small files share a batch.

    Args:
        files: the key of each file, and its expected ETag; None accepts the current version.
        flags: properties of the files that cannot be detected.

    Raises:
        PermanentError: no file can be loaded, because none exists or none can be read. The message quotes nothing of
            the file except its header. The report beside each file has the details, with line numbers.
    """
    if len({feed_of(key) for key, _ in files}) > 1:
        raise PermanentError(f"{', '.join(key for key, _ in files[:FILES_NAMED])}: expected files of one feed")
    landed: list[Landed] = []
    objects: list[WrittenObject] = []
    failed: dict[str, PermanentError] = {}
    replaced: list[str] = []
    with IdentityEngine(settings.work_dir, settings.spill_max_bytes) as engine:
        writer = RawObjectWriter(s3, flags, engine, settings)
        for key, etag in files:
            try:
                file, of_file = _land_file(writer, key, etag, contracts)
            except _ReplacedError:
                log.info("file=%s was replaced after it was found: the new file has a run of its own", key)
                reports.write_replaced(s3, settings.bucket, LandedFile(key, etag or ""))
                replaced.append(key)
            except PermanentError as error:
                log.error("%s", error)
                failed[key] = error
            else:
                landed.append(file)
                objects += of_file
    if failed and not landed:
        raise next(iter(failed.values()))
    _write_manifests(s3, objects, settings)
    return LandedGroup(landed, list(failed), replaced)


def _write_manifests(s3: S3Client, objects: Sequence[WrittenObject], settings: Settings) -> None:
    """Writes the manifests of batches of the objects, and notes the batches in the files that the objects are of."""
    for some in constrained_batches(objects, settings.history_batch_rows, get_len=lambda each: each.rows, strict=False):
        feed = feed_of_key(some[0].raw.key)
        manifest = new_manifest(feed, [each.raw for each in some], max(each.landed_at for each in some))
        s3.put_object(Bucket=settings.bucket, Key=f"manifests/{manifest.batch_id}.json", Body=manifest.to_json())
        for each in some:
            if manifest.batch_id not in each.part.batches:
                each.part.batches.append(manifest.batch_id)


def _land_file(
    writer: RawObjectWriter, key: str, etag: str | None, contracts: dict[str, Contract]
) -> tuple[Landed, list[WrittenObject]]:
    """Writes the raw objects of a file. If the file cannot be loaded, a report beside it explains why."""
    no_feed = PermanentError(f"{key}: expected landing/<feed>/<name> with a feed of {', '.join(contracts)}")
    if not key.startswith(LANDING):  # reports are written to landing/ only
        raise no_feed
    s3, bucket = writer.s3, writer.settings.bucket
    with tempfile.TemporaryDirectory(prefix="land-", dir=writer.settings.work_dir) as folder:
        path = Path(folder) / f"landed{Path(key).suffix[:16]}"
        found, landed_at = _fetch(s3, bucket, key, etag, path)
        try:
            if (contract := contracts.get(feed_of(key))) is None:
                raise no_feed
            return _land(writer, path, found, landed_at, contract)
        except PermanentError as error:
            reports.write_failure(s3, bucket, found, error, writer.flags)
            raise PermanentError(
                f"{key} cannot be loaded; why, and in which line, is in s3://{bucket}/{found.report_key}"
            ) from None  # the message may quote the file, which must not reach the logs


def _fetch(s3: S3Client, bucket: str, key: str, etag: str | None, path: Path) -> tuple[LandedFile, datetime]:
    """Downloads a landed file to `path`, and returns its version and when it landed.

    If the file is overwritten during the download, it is downloaded again.

    Raises:
        _ReplacedError: the file is not the version that `etag` names.
        PermanentError: the file does not exist.
    """
    while True:
        try:
            head = s3.head_object(Bucket=bucket, Key=key)
        except s3.exceptions.ClientError as error:
            raise PermanentError(f"s3://{bucket}/{key}: {error}") from error
        found = LandedFile(key, head["ETag"].strip('"'))
        if etag and found.etag != etag:
            raise _ReplacedError
        try:
            body = s3.get_object(Bucket=bucket, Key=key, IfMatch=head["ETag"])["Body"]
        except s3.exceptions.ClientError as error:
            if error.response["Error"]["Code"] not in {"PreconditionFailed", "412", "NoSuchKey", "404"}:
                raise
            continue  # it was replaced or deleted between the two requests: look again
        with path.open("wb") as file:
            for chunk in body.iter_chunks(1024**2):
                file.write(chunk)
        return found, head["LastModified"]


def _land(
    writer: RawObjectWriter, path: Path, found: LandedFile, landed_at: datetime, contract: Contract
) -> tuple[Landed, list[WrittenObject]]:
    readings, skipped, unread = read_files(path, contract, writer.flags, path.parent, name=found.key)
    parts: list[LandedPart] = []
    objects: list[WrittenObject] = []
    for reading in readings:
        part, of_part = writer.write(reading, found, landed_at)
        reading.file.release()
        parts.append(part)
        objects += of_part
    if unread:  # the reasons may quote the files, so only the report has them
        log.error(
            "file=%s: %s of %s files of the zip cannot be read", found.key, len(unread), len(unread) + len(readings)
        )
        reports.write_unread(writer.s3, writer.settings.bucket, found, unread, writer.flags)
    return Landed(found.key, found.etag, parts, skipped, len(unread)), objects
