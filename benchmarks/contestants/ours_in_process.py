"""Ours without Airflow: the steps of load_history in one process, against the local cloud."""

from __future__ import annotations

import uuid
from pathlib import Path

import boto3
from ecommerce_elt.batches import manifests
from ecommerce_elt.cleaning import cleaner
from ecommerce_elt.feeds.contracts import load_contracts
from ecommerce_elt.lake.publish import publish_batch
from ecommerce_elt.landing import conversion, reports
from ecommerce_elt.load import transaction as load_transaction
from ecommerce_elt.readers.flags import Flags
from ecommerce_elt.settings import settings
from ecommerce_elt.warehouse import redshift

FEED = "online_retail"
KEPT = (
    "typed by the contract; a bad row is in quarantine with all its reasons, its line in the report; "
    "repeats kept, by an id that survives longer and re-sorted files; audit, lake and marks for marts"
)


def prepare(folder: Path) -> None:
    load_contracts(settings().include_dir / "feeds")


def load(data: Path, folder: Path) -> dict[str, int]:
    config, s3 = settings(), boto3.client("s3")
    target = redshift.warehouse(boto3.client("redshift-data"), config)
    key = f"landing/{FEED}/{uuid.uuid4().hex[:8]}-{data.name}"
    s3.upload_file(str(data), config.bucket, key)
    landed = conversion.land_files(s3, [(key, None)], load_contracts(config.include_dir / "feeds"), Flags(), config)
    loaded = {}
    for batch_id in landed.batches:
        batch = cleaner.clean_batch(s3, manifests.read_manifest(s3, config.bucket, batch_id), config)
        counts = loaded[batch_id] = load_transaction.load_batch(target, batch, config)
        if batch.clean:
            overlaps = counts["duplicates"] > batch.duplicates
            publish_batch(s3, target, batch, config, overlaps=overlaps, again=False)
    [report] = reports.report_loaded(s3, landed, loaded, config)
    [[rows]] = target.query("SELECT COUNT(*) FROM core.fact_invoice_line")
    return {"rows": int(rows), "quarantined": report["quarantined"], "duplicates": report["duplicates"]}
