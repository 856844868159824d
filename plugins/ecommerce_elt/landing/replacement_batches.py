"""Writes the outputs of a replacement: events in raw/, replaced values, and the plan for a retry. See `replacing`."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from more_itertools import chunked

from ecommerce_elt.batches.clean_files import get_raw
from ecommerce_elt.batches.manifests import RawObject, new_manifest, read_manifest
from ecommerce_elt.batches.raw_lines import event_id_of, in_version
from ecommerce_elt.errors import PermanentError
from ecommerce_elt.feeds.contracts import Contract
from ecommerce_elt.feeds.events import envelope
from ecommerce_elt.landing.replacing import LandedExport, Plan, Withdrawn, delete, sql_time
from ecommerce_elt.load.transaction import KEEP_REPLACEMENTS, committed
from ecommerce_elt.settings import Settings
from ecommerce_elt.warehouse.redshift import Warehouse, role_of, texts

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client


def write(
    s3: S3Client,
    target: Warehouse,
    found: Plan,
    export: LandedExport,
    column: str,
    contract: Contract,
    settings: Settings,
) -> str | None:
    """Writes the plan's events to raw/ with a manifest, and the replaced values; returns the id of the batch.

    Returns None if the plan has no events; then only the values are written. The same plan gives the same objects.
    """
    sent_at = export.landed_at.isoformat().replace("+00:00", "Z")
    objects = [
        raw
        for landed_at, rows in sorted(found.withdrawn.items())
        for raw in _put_events(
            s3, export, "withdrawn", landed_at, _withdrawals(rows, contract, sent_at), settings, contract
        )
    ]
    restored = _restorations(s3, export, found.restored, settings)
    objects += _put_events(s3, export, "restored", export.landed_at, restored, settings, contract)
    counts = Counter(row.value for rows in found.withdrawn.values() for row in rows)
    back = Counter(value for value, _ in found.restored.values())
    lines = [
        {
            "feed": contract.feed,
            "column_name": column,
            "replaced_value": value,
            "landed_at": sql_time(export.landed_at),
            "file_key": export.key,
            "etag": export.etag,
            "withdrawn": counts[value],
            "restored": back[value],
        }
        for value in found.replaced
    ]
    folder = export.folder(column)
    body = "".join(json.dumps(one) + "\n" for one in lines).encode()
    s3.put_object(Bucket=settings.bucket, Key=f"{folder}values/values.jsonl", Body=body)
    if not objects:
        return None
    manifest = new_manifest(contract.feed, objects, export.landed_at)
    s3.put_object(Bucket=settings.bucket, Key=f"manifests/{manifest.batch_id}.json", Body=manifest.to_json())
    [[now]] = target.query("SELECT CAST(GETDATE() AS VARCHAR)")
    pointer = {
        "batch_id": manifest.batch_id,
        "planned_at": now,
        "values": len(lines),
        "restored": len(found.restored),
        **found.report(),
    }
    s3.put_object(Bucket=settings.bucket, Key=f"{folder}plan.json", Body=json.dumps(pointer).encode())
    return manifest.batch_id


def _withdrawals(rows: Iterable[Withdrawn], contract: Contract, sent_at: str) -> Iterator[bytes]:
    for row in sorted(rows, key=lambda row: row.event_id):
        yield envelope(
            event_id=row.event_id,
            feed=contract.feed,
            version=contract.version,
            event_time=row.event_time,
            sent_at=sent_at,
            data=row.data,
            event_version=row.version + 1,
        )


def _restorations(
    s3: S3Client, export: LandedExport, restored: Mapping[str, tuple[str, int]], settings: Settings
) -> Iterator[bytes]:
    """Yields the restored events as in the file, each with a higher version than the one that withdrew it."""
    waiting = dict(restored)
    for batch_id in export.batches:
        for raw in read_manifest(s3, settings.bucket, batch_id).objects:
            if not waiting:
                return
            for line in gzip.decompress(get_raw(s3, raw)["Body"].read()).splitlines():
                if gone := waiting.pop(event_id_of(line), None):
                    yield in_version(line, gone[1] + 1)


def _put_events(
    s3: S3Client,
    export: LandedExport,
    kind: str,
    landed_at: datetime,
    lines: Iterable[bytes],
    settings: Settings,
    contract: Contract,
) -> list[RawObject]:
    folder = f"raw/feed={contract.feed}/dt={landed_at:%Y-%m-%d}/hour={landed_at:%H}"
    objects, first = [], 1
    for some in chunked(lines, settings.history_object_rows):
        text = b"".join(line + b"\n" for line in some)
        digest = hashlib.sha256(
            f"{export.key} {export.etag} {sql_time(export.landed_at)} ".encode() + text
        ).hexdigest()[:16]
        last = first + len(some) - 1
        key = f"{folder}/landed-{landed_at:%Y%m%dT%H%M%SZ}-{kind}-{digest}-{first:012d}-{last:012d}.ndjson.gz"
        body = gzip.compress(text, 1, mtime=0)
        etag = s3.put_object(Bucket=settings.bucket, Key=key, Body=body)["ETag"].strip('"')
        objects.append(RawObject(key, etag, len(body), settings.bucket))
        first = last + 1
    return objects


def unfinished(
    s3: S3Client, target: Warehouse, export: LandedExport, column: str, contract: Contract, settings: Settings
) -> dict[str, Any] | None:
    """Returns the plan of a dead task that may not be loaded yet, or None if there is no such plan.

    The plan has the batch_id, the time of planning, the counts, and the report of `Plan.report`.

    Raises:
        PermanentError: another file has replaced values since, so that the plan may be out of date.
    """
    key = f"{export.folder(column)}plan.json"
    try:
        kept: dict[str, Any] = json.loads(s3.get_object(Bucket=settings.bucket, Key=key)["Body"].read())
    except s3.exceptions.NoSuchKey:
        return None
    if not column or committed(target, kept["batch_id"], settings):  # restoring rows is always safe
        return kept
    sql = (settings.sql_dir / "ops/replacement/since.sql").read_text("utf-8")
    given = {"feed": contract.feed, "column_name": column, "planned_at": kept["planned_at"]}
    if int(target.query(sql, given)[0][0]):
        manifest = read_manifest(s3, settings.bucket, kept["batch_id"])
        raise PermanentError(
            f"{export.key}: a task that died planned a replacement, and another file has replaced {column} since. Nothing of the plan was "
            f"loaded: delete its raw objects {', '.join(raw.key for raw in manifest.objects)} and {key}, then clear this task"
        )
    return kept


def finish(s3: S3Client, export: LandedExport, column: str, settings: Settings) -> None:
    """Deletes the plan and its values after they are loaded. Idempotent."""
    delete(s3, settings.bucket, [f"{export.folder(column)}plan.json", f"{export.folder(column)}values/values.jsonl"])


def values_url(export: LandedExport, column: str, settings: Settings) -> str:
    """Returns the S3 URL from which COPY reads the values that the plan replaces."""
    return f"s3://{settings.bucket}/{export.folder(column)}values/"


def keep_values(target: Warehouse, url: str, settings: Settings) -> None:
    """Stores the replaced values of a plan without events in the warehouse."""
    names = {"replaced_values": url, "copy_role": role_of(settings)}
    target.run(texts(settings.sql_dir, KEEP_REPLACEMENTS, names), name="keep replacements")


def replaced(
    target: Warehouse, export: LandedExport, column: str, contract: Contract, settings: Settings
) -> dict[str, int]:
    """Returns the file's totals over all runs: values, changed (changed values), rows_withdrawn, rows_restored."""
    sql = (settings.sql_dir / "ops/replacement/of_file.sql").read_text("utf-8")
    given = {
        "feed": contract.feed,
        "column_name": column,
        "landed_at": sql_time(export.landed_at),
        "file_key": export.key,
        "etag": export.etag,
    }
    [row] = target.query(sql, given)
    return dict(zip(("values", "changed", "rows_withdrawn", "rows_restored"), map(int, row), strict=True))
