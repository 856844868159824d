"""Finds rows of landed files that core already has under other ids.

Such rows were streamed by the shop under its own ids, or loaded before ids were made from values.

manifests/<batch id>/known_rows.json  the counts for each raw object, and the location of the skipped ids
manifests/<batch id>/skipped/         the ids of rows that the load leaves out because core has them
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from ecommerce_elt.batches.clean_files import CleanBatch
from ecommerce_elt.batches.manifests import read_manifest
from ecommerce_elt.feeds.contracts import Contract
from ecommerce_elt.settings import Settings
from ecommerce_elt.warehouse.redshift import Warehouse, render, role_of, texts

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client


class OnKnown(StrEnum):
    """What to do with rows that core has under other ids."""

    STOP = "stop"
    SKIP = "skip"
    ADD = "add"


class Known(NamedTuple):
    """Counts of the rows of a raw object whose ids core does not have.

    Attributes:
        known: rows that core has under other ids.
        beside_known: rows that core does not have, although it has other rows of their entities on their days, for
            example of an invoice with a changed or an additional line.
    """

    known: int = 0
    beside_known: int = 0


# The transaction that finds rows of landed files that core has under other ids.
FIND = (
    "ops/known_row/create_landed_row.sql",
    "ops/known_row/copy_landed_rows.sql",
    "ops/known_row/find_core_events.sql",
    "ops/known_row/find_other_rows.sql",
    "ops/known_row/find_known_rows.sql",
)


def find(
    s3: S3Client,
    target: Warehouse,
    batches: Sequence[CleanBatch],
    uncommitted: Sequence[str],
    contract: Contract,
    on_known: OnKnown,
    settings: Settings,
) -> dict[str, Known]:
    """Looks for the rows of landed files in core, and returns the counts by raw key of the objects to be loaded.

    Only events of core on the days and of the entities of the files are read. Clean files of days on which core has no
    events are not copied. A retry or another run gives the same result, because rows that were loaded meanwhile have
    known ids.

    Args:
        s3: boto3 client.
        target: the warehouse.
        batches: all batches of files that were landed together.
        uncommitted: ids of the batches that are to be loaded. The files above are written for these only.
        contract: the contract of the feed.
        on_known: the ids of known rows are unloaded only if this is skip.
        settings: the settings.
    """
    if not uncommitted:
        return {}
    sql = settings.sql_dir / "ops/known_row"
    names = {
        "staging": contract.staging,
        "fact": contract.tables[0],
        "key": _in_core(contract, contract.partition_key),
        "columns": ", ".join(_in_core(contract, name) for name in contract.identity),
        "copy_role": role_of(settings),
    }
    by_object: dict[str, Known] = {}
    with target.session() as session:
        if files := _files_beside_core(
            s3, session, [batch.batch_id for batch in batches if batch.clean], names, settings
        ):
            names["copy_manifest"] = _write_copy_manifest(s3, batches[0].batch_id, files, settings.bucket)
            session.run(texts(settings.sql_dir, FIND, names), name=f"find known rows {batches[0].batch_id}"[:128])
            rows = session.query(render((sql / "by_object.sql").read_text("utf-8"), names))
            by_object = {key: Known(int(known), int(beside)) for key, known, beside in rows}
        found: dict[str, Known] = {}
        for batch_id in uncommitted:
            keys = {raw.key for raw in read_manifest(s3, settings.bucket, batch_id).objects}
            own = {key: by_object[key] for key in keys & by_object.keys()}
            skipped = None
            if on_known is OnKnown.SKIP and any(each.known for each in own.values()):
                # A new folder for each check: a file of an earlier check with another result must not be among these.
                skipped = f"s3://{settings.bucket}/manifests/{batch_id}/skipped/{uuid.uuid4().hex}/"
                unload = names | {"known_prefix": skipped}
                session.run([render((sql / "unload.sql").read_text("utf-8"), unload)], name="unload known rows")
            body = json.dumps({"objects": own, "skipped": skipped}).encode()
            s3.put_object(Bucket=settings.bucket, Key=_counts(batch_id), Body=body)
            found |= own
    return found


def _files_beside_core(
    s3: S3Client, target: Warehouse, batch_ids: Sequence[str], names: Mapping[str, str], settings: Settings
) -> list[dict[str, Any]]:
    """Returns the COPY manifest entries of clean files for days on which core has events; others have no known rows."""
    bodies = [
        s3.get_object(Bucket=settings.bucket, Key=f"manifests/{batch_id}/copy.json")["Body"].read()
        for batch_id in batch_ids
    ]
    entries = [entry for body in bodies for entry in json.loads(body)["entries"]]
    if not entries:
        return []
    day_of = {entry["url"]: entry["url"].split("/dt=")[1][:10] for entry in entries}
    sql = render((settings.sql_dir / "ops/known_row/days.sql").read_text("utf-8"), names)
    days = target.query(sql, {"first_day": min(day_of.values()), "last_day": max(day_of.values())})
    in_core = {day for (day,) in days}
    return [entry for entry in entries if day_of[entry["url"]] in in_core]


def _in_core(contract: Contract, name: str) -> str:
    return "event_time" if name == contract.event_time else name


def _write_copy_manifest(s3: S3Client, batch_id: str, entries: Sequence[Mapping[str, Any]], bucket: str) -> str:
    """Writes the COPY manifest for all batches under the first batch's id, and returns its URL."""
    key = f"manifests/{batch_id}/known_rows_copy.json"
    s3.put_object(Bucket=bucket, Key=key, Body=json.dumps({"entries": entries}).encode())
    return f"s3://{bucket}/{key}"


def _counts(batch_id: str) -> str:
    return f"manifests/{batch_id}/known_rows.json"


def _read(s3: S3Client, batch_id: str, bucket: str) -> dict[str, Any]:
    try:
        body = s3.get_object(Bucket=bucket, Key=_counts(batch_id))["Body"].read()
    except s3.exceptions.NoSuchKey:
        return {"objects": {}, "skipped": None}
    found: dict[str, Any] = json.loads(body)
    return found


def skipped_url(s3: S3Client, batch_id: str, bucket: str) -> str | None:
    """Returns the URL of the ids that the load of the batch leaves out, or None if there are none."""
    url: str | None = _read(s3, batch_id, bucket)["skipped"]
    return url


def read_counts(s3: S3Client, batch_id: str, bucket: str) -> Mapping[str, Known]:
    """Returns the counts of `find` by raw key of the batch; empty if `find` did not run or found no rows."""
    return {key: Known(*counts) for key, counts in _read(s3, batch_id, bucket)["objects"].items()}
