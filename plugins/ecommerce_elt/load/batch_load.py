"""Loads one batch: for the operator that loads batches, and for the events that a replacement writes."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from botocore.config import Config

from ecommerce_elt.airflow import alerts, lineage
from ecommerce_elt.airflow.clients import client, linked_warehouse
from ecommerce_elt.airflow.links import touched_object, touched_table
from ecommerce_elt.batches import clean_files, manifests
from ecommerce_elt.batches.clean_files import CleanBatch
from ecommerce_elt.cleaning.task_cleaning import clean_where_needed
from ecommerce_elt.errors import values_withheld
from ecommerce_elt.feeds.contracts import QuarantineAlert, load_contracts
from ecommerce_elt.lake.publish import publish_batch
from ecommerce_elt.load import invoice_items, known_rows
from ecommerce_elt.load import transaction as load_transaction
from ecommerce_elt.load.known_rows import OnKnown
from ecommerce_elt.settings import Settings, settings
from ecommerce_elt.warehouse import redshift

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

log = logging.getLogger(__name__)

# dynamodb_writer runs for up to 120 seconds. An invocation without an answer is repeated by the task's next try.
LAMBDA = Config(
    read_timeout=150, retries={"total_max_attempts": 1}, max_pool_connections=invoice_items.INVOCATIONS_AT_ONCE
)


@values_withheld()
def load_batch(
    batch_id: str, on_known: str = "", replaced: str | None = None, *, to_dynamodb: bool = False
) -> dict[str, int]:
    """Cleans the batch unless it is clean, loads it in one transaction, publishes it in the lake and closes it.

    Returns its committed counts.

    Args:
        batch_id: the id of the batch.
        on_known: for a batch of landed files, what to do with rows that core has under other ids.
        replaced: for a batch that replaces rows, the URL of the values that it replaces.
        to_dynamodb: whether the lines are also written to DynamoDB; the counts then include `dynamodb_lines`.
    """
    config, s3 = settings(), client("s3")
    skips = bool(on_known)
    skipped = known_rows.skipped_url(s3, batch_id, config.bucket) if on_known == OnKnown.SKIP else None
    touched_object(f"manifests/{batch_id}.json")
    with linked_warehouse() as target:
        before = load_transaction.committed(target, batch_id, config)
        batch = clean_where_needed(s3, batch_id, config, committed=before is not None)
        counts = before or load_transaction.load_batch(
            target, batch, config, skips=skips, skipped=skipped, replaced=replaced
        )
        if batch.clean:  # otherwise there is no clean file to publish
            overlaps = counts["duplicates"] > batch.duplicates
            lists = publish_batch(s3, target, batch, config, overlaps=overlaps, again=before is not None)
            log.info("published batch_id=%s days=%s overlaps=%s", batch.batch_id, lists, overlaps)
            touched_table(batch.feed)
            tables = load_contracts(config.include_dir / "feeds")[batch.feed].tables
            lineage.moved([lineage.folder(f"clean/feed={batch.feed}/")], map(lineage.table, tables))
        # Also for a batch that was committed before: the run that committed it may have died before it sent the alert.
        _alert_of_quarantine(target, batch, config)
        _alert_of_unknown_keys(s3, batch, config)
        if to_dynamodb:
            functions = client("lambda", LAMBDA)
            counts = {**counts, "dynamodb_lines": invoice_items.write(functions, s3, target, batch_id, config)}
    manifests.close_batch(s3, config.bucket, batch.batch_id)
    log.info("loaded batch_id=%s %s", batch.batch_id, " ".join(f"{k}={v}" for k, v in counts.items()))
    return counts


def _alert_of_quarantine(target: redshift.Warehouse, batch: CleanBatch, config: Settings) -> None:
    contract = load_contracts(config.include_dir / "feeds").get(batch.feed)
    limits = contract.quarantine_alert if contract else QuarantineAlert()
    text, is_due = "", limits.is_due(batch.accepted, batch.quarantined)
    if is_due:
        sql = (config.sql_dir / "ops/quarantine_reason/top.sql").read_text("utf-8")
        reasons = "\n".join(
            f"{events} events: {column} {rule}, expected {expected}"
            for column, rule, expected, events in target.query(sql, {"batch_id": batch.batch_id})
        )
        text = (
            f"Batch {batch.batch_id}: {batch.quarantined} of {batch.accepted} events are in quarantine.\n{reasons}\n"
            "What to do: docs/runbooks/events-in-quarantine.md"
        )
    if is_due or batch.accepted >= limits.share_of_at_least:  # a small batch is no evidence about the feed
        subject = f"{batch.feed}: {batch.quarantined} events in quarantine"
        alerts.update(client("sns"), config, f"quarantine of {batch.feed}", subject, text, active=is_due)


def _alert_of_unknown_keys(s3: S3Client, batch: CleanBatch, config: Settings) -> None:
    """Sends one alert about keys of the source that the contract does not have."""
    keys = clean_files.read_unknown_keys(s3, config.bucket, batch.batch_id)
    if not keys and batch.accepted < QuarantineAlert().share_of_at_least:
        return  # a small batch is no evidence about the feed
    listed = ", ".join(f"{name[:64]!r} ({events} events)" for name, events in keys.items())
    if keys:
        log.warning(
            "feed=%s batch_id=%s keys that the contract does not know, kept in extra: %s",
            batch.feed,
            batch.batch_id,
            listed,
        )
    text = f"Batch {batch.batch_id}: {listed}. They are kept in the column extra.\nWhat to do: docs/runbooks/unknown-keys.md"
    subject = f"{batch.feed}: keys that the contract does not know"
    alerts.update(client("sns"), config, f"unknown keys of {batch.feed}", subject, text, active=bool(keys))
