"""The tasks of `load_events`. An operator loads the batches."""

from __future__ import annotations

import logging
from datetime import timedelta

from airflow.sdk.exceptions import AirflowSkipException

from ecommerce_elt.airflow.clients import client, task_warehouse
from ecommerce_elt.airflow.decorators import task
from ecommerce_elt.batches import manifests
from ecommerce_elt.settings import settings

log = logging.getLogger(__name__)


@task
def claim_batches() -> list[str]:
    """Returns the ids of the batches to load in this run: batches left by dead runs, and new ones.

    Skips the run if there is none.
    """
    from ecommerce_elt.load import transaction as load_transaction

    config = settings()
    s3, sqs = client("s3"), client("sqs")
    target = task_warehouse()
    # The queue moves a message that is received too often to its dead-letter queue. While the warehouse is down, the
    # claim must therefore fail before it receives any.
    target.query("SELECT 1")
    claimed = manifests.claim(
        s3,
        sqs,
        bucket=config.bucket,
        queue_url=sqs.get_queue_url(QueueName=config.raw_objects_queue)["QueueUrl"],
        max_objects=config.batch_max_objects,
        max_bytes=config.batch_max_bytes,
        retry_after=timedelta(seconds=config.open_batch_retry_seconds),
        loaded_keys=lambda feed, first, last: load_transaction.loaded_keys(target, config.sql_dir, feed, first, last),
    )
    log.info(
        "batches=%s new_objects=%s known_objects=%s unreadable_messages=%s",
        len(claimed.batches),
        claimed.new_objects,
        claimed.known_objects,
        claimed.unreadable_messages,
    )
    if not claimed.batches:
        raise AirflowSkipException("nothing waits: another run has claimed it")
    return list(claimed.batches)
