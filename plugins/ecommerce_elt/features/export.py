"""Exports the data sets for machine learning: Redshift writes Parquet files, and a manifest makes them a version."""

from __future__ import annotations

import hashlib
import json
import tempfile
import uuid
from collections import defaultdict
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecommerce_elt import listing
from ecommerce_elt.features.data_sets import DATA_SETS, CutOffs, Span, unload
from ecommerce_elt.features.data_sets import columns as columns_of
from ecommerce_elt.features.scalers import Fitted, fit
from ecommerce_elt.features.versions import DATA, Version, publish
from ecommerce_elt.settings import Settings
from ecommerce_elt.warehouse.redshift import Warehouse

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client


def export(s3: S3Client, target: Warehouse, cut_offs: CutOffs, span: Span, config: Settings) -> tuple[Version, bool]:
    """Exports the cut-offs from the current data of core; returns the version, and whether it is new.

    Raises:
        EmptyPartError: a part has no rows; no version is made.
        PermanentError, TransientError: as in `Warehouse.run`; no version is made.
    """
    folder = f"{DATA}{uuid.uuid4().hex}/"
    unload(target, cut_offs, folder, config)
    made = _describe(s3, folder, cut_offs, span.read_at.isoformat(), config)
    is_new = publish(s3, config.bucket, made)
    if not is_new:
        listing.delete(s3, config.bucket, [entry["Key"] for entry in listing.objects(s3, config.bucket, folder)])
    return made, is_new


def _describe(s3: S3Client, folder: str, cut_offs: CutOffs, read_at: str, config: Settings) -> Version:
    """Fits scalers to the unloaded files, writes them and the schema beside the files, and returns the version."""
    files: dict[str, list[dict[str, Any]]] = {}
    fitted, schema = {}, {}
    for name in DATA_SETS:
        columns = columns_of(name, config.sql_dir)
        entries = [e for e in listing.objects(s3, config.bucket, f"{folder}{name}/") if e["Key"].endswith(".parquet")]
        with tempfile.TemporaryDirectory(prefix="features-", dir=config.work_dir) as work:
            by_part = defaultdict(list)
            for number, entry in enumerate(entries):
                path = Path(work) / f"{number}.parquet"
                s3.download_file(config.bucket, entry["Key"], str(path))
                by_part[_part(entry["Key"])].append(path)
            fitted[name] = fit(name, by_part, columns, config)
        files[name] = [{"key": e["Key"], "part": _part(e["Key"]), "bytes": e["Size"]} for e in entries]
        schema[name] = [asdict(column) for column in columns]
    said = {"schema": schema, "scalers": {name: found.scalers for name, found in fitted.items()}}
    for name, content in said.items():
        body = json.dumps(content, indent=1).encode()
        s3.put_object(Bucket=config.bucket, Key=f"{folder}{name}.json", Body=body, ContentType="application/json")
    return Version(
        version=_name(cut_offs, schema, fitted),
        read_at=read_at,
        **cut_offs.as_text(),
        schema=f"{folder}schema.json",
        scalers=f"{folder}scalers.json",
        rows={name: found.rows for name, found in fitted.items()},
        files=files,
    )


def _part(key: str) -> str:
    return key.split("/part=")[1].split("/")[0]


def _name(cut_offs: CutOffs, schema: dict[str, Any], fitted: dict[str, Fitted]) -> str:
    """Returns the name of a version: the cut-off of the test part, and a digest of cut-offs, columns and rows."""
    types = {
        name: [(column["name"], column["type"], column["role"]) for column in of_set] for name, of_set in schema.items()
    }
    what = [cut_offs.as_text(), types, {name: found.fingerprint for name, found in fitted.items()}]
    return f"{cut_offs.test:%Y%m%d}-{hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:16]}"
