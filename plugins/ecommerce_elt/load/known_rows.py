"""Rows of landed files that core has under other ids: streamed by the shop under its own, or loaded before values made ids.

manifests/<batch id>/known_rows.json  what was found of the rows of each raw object, and where the ids below are
manifests/<batch id>/skipped/         ids of rows that the load leaves out, because core has them
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from ecommerce_elt.batches.clean_files import CleanBatch
from ecommerce_elt.batches.manifests import read_manifest
from ecommerce_elt.feeds.contracts import Contract
from ecommerce_elt.settings import Settings
from ecommerce_elt.warehouse.redshift import Warehouse, render, role_of, texts


class OnKnown(StrEnum):
    """What becomes of rows that core has under other ids."""

    STOP = "stop"
    SKIP = "skip"
    ADD = "add"


class Known(NamedTuple):
    """Rows of a raw object that core does not have by their ids.

    known: core has them under other ids.
    beside_known: core has them not, and has other rows of their entities and days: an invoice with a changed or a further line.
    """

    known: int = 0
    beside_known: int = 0


# The transaction that finds rows of landed files which core has under other ids.
FIND = (
    "ops/known_row/create_landed_row.sql",
    "ops/known_row/copy_landed_rows.sql",
    "ops/known_row/find_core_events.sql",
    "ops/known_row/find_other_rows.sql",
    "ops/known_row/find_known_rows.sql",
)


def find(
    s3: Any,
    target: Warehouse,
    batches: Sequence[CleanBatch],
    uncommitted: Sequence[str],
    contract: Contract,
    on_known: OnKnown,
    settings: Settings,
) -> dict[str, Known]:
    """Looks for the rows of landed files in core, and returns raw key to what was found, of the objects that are to be loaded.

    Core is read on the days of the files, and of their entities alone; of days that core has not, nothing is copied. Found again,
    by a task that died or by another run, it is the same: rows that were loaded meanwhile are known by their ids.

    Args:
        batches: all batches of files that were landed together.
        uncommitted: ids of those that are to be loaded; theirs alone gets the files above.
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
                # A folder of its own: of an earlier check, that found something else, no file may be left among these.
                skipped = f"s3://{settings.bucket}/manifests/{batch_id}/skipped/{uuid.uuid4().hex}/"
                unload = names | {"known_prefix": skipped}
                session.run([render((sql / "unload.sql").read_text("utf-8"), unload)], name="unload known rows")
            body = json.dumps({"objects": own, "skipped": skipped}).encode()
            s3.put_object(Bucket=settings.bucket, Key=_counts(batch_id), Body=body)
            found |= own
    return found


def _files_beside_core(
    s3: Any, target: Warehouse, batch_ids: Sequence[str], names: Mapping[str, str], settings: Settings
) -> list[dict[str, Any]]:
    """Returns what COPY reads of the clean files of the days on which core has events: of a row of another day it has none."""
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


def _write_copy_manifest(s3: Any, batch_id: str, entries: Sequence[Mapping[str, Any]], bucket: str) -> str:
    """Writes what COPY reads of all batches beside the first one, and returns its URL."""
    key = f"manifests/{batch_id}/known_rows_copy.json"
    s3.put_object(Bucket=bucket, Key=key, Body=json.dumps({"entries": entries}).encode())
    return f"s3://{bucket}/{key}"


def _counts(batch_id: str) -> str:
    return f"manifests/{batch_id}/known_rows.json"


def _read(s3: Any, batch_id: str, bucket: str) -> dict[str, Any]:
    try:
        body = s3.get_object(Bucket=bucket, Key=_counts(batch_id))["Body"].read()
    except s3.exceptions.NoSuchKey:
        return {"objects": {}, "skipped": None}
    found: dict[str, Any] = json.loads(body)
    return found


def skipped_url(s3: Any, batch_id: str, bucket: str) -> str | None:
    """Returns where the ids are that the load of the batch leaves out; None where there are none."""
    url: str | None = _read(s3, batch_id, bucket)["skipped"]
    return url


def read_counts(s3: Any, batch_id: str, bucket: str) -> Mapping[str, Known]:
    """Returns raw key to what `find` found of the batch's objects; nothing where it did not look, or there was nothing."""
    return {key: Known(*counts) for key, counts in _read(s3, batch_id, bucket)["objects"].items()}
