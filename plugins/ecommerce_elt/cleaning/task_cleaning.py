"""The cleaning step in a task: it runs only if needed, and reads the HMAC key from Secrets Manager."""

from __future__ import annotations

import logging
from typing import Any

from pydantic import SecretStr

from ecommerce_elt.airflow import lineage
from ecommerce_elt.airflow.clients import client
from ecommerce_elt.batches import clean_files, manifests
from ecommerce_elt.batches.clean_files import CleanBatch
from ecommerce_elt.batches.hmac_pads import secret_key
from ecommerce_elt.cleaning import cleaner
from ecommerce_elt.settings import Settings

log = logging.getLogger(__name__)


def clean_where_needed(s3: Any, batch_id: str, config: Settings, *, committed: bool) -> CleanBatch:
    """Returns the counts of the batch's files, and cleans the batch first if they do not exist.

    A batch that is not committed is also cleaned again if another contract or clean SQL made its files.
    """
    batch = clean_files.find_counts(s3, config.bucket, batch_id, manifests.feed_of(batch_id))
    if batch and (committed or not cleaner.is_outdated(batch, config)):
        return batch
    if batch:
        log.info("the contract or the cleaning SQL changed since batch_id=%s was cleaned: cleaning it again", batch_id)
    lineage.moved(
        [lineage.folder(manifests.prefix_of(manifests.feed_of(batch_id)))],
        [lineage.folder(f"clean/feed={manifests.feed_of(batch_id)}/")],
    )
    return cleaner.clean_batch(s3, manifests.read_manifest(s3, config.bucket, batch_id), with_key(config))


def with_key(config: Settings) -> Settings:
    """Returns the settings with the HMAC key, which is read from Secrets Manager if it is not set."""
    if config.pii_hmac_key.get_secret_value():
        return config
    key = secret_key(client("secretsmanager"), config.pii_hmac_secret)
    return config.model_copy(update={"pii_hmac_key": SecretStr(key)})
