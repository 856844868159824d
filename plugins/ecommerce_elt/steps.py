"""The tasks of load_events, each a function of ids: what runs between Airflow's wiring and the logic."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook

from ecommerce_elt import batches, cleaning, warehouse
from ecommerce_elt.cleaning import CleanBatch
from ecommerce_elt.settings import settings

log = logging.getLogger(__name__)


def _client(service: str) -> Any:
    """A boto3 client by the connection `aws_default`, or by boto3's own variables where there is none."""
    return AwsBaseHook(client_type=service).conn


def claim_batches() -> list[str]:
    """Returns the ids of the batches to load in this run: those that dead runs left, and the new ones."""
    config = settings()
    s3, sqs = _client("s3"), _client("sqs")
    target = warehouse.warehouse(_client("redshift-data"), config)
    claimed = batches.claim(
        s3,
        sqs,
        bucket=config.bucket,
        queue_url=sqs.get_queue_url(QueueName=config.raw_objects_queue)["QueueUrl"],
        max_objects=config.batch_max_objects,
        max_bytes=config.batch_max_bytes,
        retry_after=timedelta(seconds=config.open_batch_retry_seconds),
        loaded_keys=lambda feed, first, last: warehouse.loaded_keys(target, config.sql_dir, feed, first, last),
    )
    log.info(
        "batches=%s new_objects=%s known_objects=%s unreadable_messages=%s",
        len(claimed.batches), claimed.new_objects, claimed.known_objects, claimed.unreadable_messages,
    )  # fmt: skip
    return list(claimed.batches)


def clean_batch(batch_id: str) -> CleanBatch:
    """Cleans the batch and returns its counts."""
    s3 = _client("s3")
    return cleaning.clean_batch(s3, batches.read_manifest(s3, settings().bucket, batch_id), settings())


def load_batch(cleaned: dict[str, Any]) -> dict[str, int]:
    """Loads the cleaned batch in one transaction, closes it, and returns its counts as committed."""
    config = settings()
    batch = CleanBatch(**cleaned)
    counts = warehouse.load_batch(_client("redshift-data"), batch, config)
    batches.close_batch(_client("s3"), config.bucket, batch.batch_id)
    log.info("loaded batch_id=%s %s", batch.batch_id, " ".join(f"{k}={v}" for k, v in counts.items()))
    return counts
