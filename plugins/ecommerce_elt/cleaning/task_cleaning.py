"""The cleaning step in a task: what cleans, whether it is needed, and the HMAC key from Secrets Manager."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from pydantic import SecretStr

from ecommerce_elt.airflow import lineage
from ecommerce_elt.airflow.clients import client
from ecommerce_elt.batches import clean_files, manifests
from ecommerce_elt.batches.clean_files import CleanBatch
from ecommerce_elt.batches.hmac_pads import secret_key
from ecommerce_elt.batches.manifests import Engine
from ecommerce_elt.cleaning import cleaner
from ecommerce_elt.errors import PermanentError, values_withheld
from ecommerce_elt.feeds.contracts import load_contracts
from ecommerce_elt.settings import Settings, settings

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

log = logging.getLogger(__name__)


@values_withheld()
def needs_glue(batch_id: str, engine: str = Engine.AUTO) -> bool:
    """Returns whether Glue has to clean the batch.

    `engine` decides, or with `auto` the size of the batch. A batch that is already cleaned does not need Glue.
    """
    config, s3, feed = settings(), client("s3"), manifests.feed_of(batch_id)
    if feed not in load_contracts(config.include_dir / "feeds") or batch_id.endswith("-replay"):
        return False  # the job has the feeds of the last deployment; events without a contract are rejected here
    if engine not in list(Engine):
        raise PermanentError(f"engine {engine!r}: expected one of {', '.join(Engine)}")
    if engine == Engine.AUTO:
        size = sum(raw.size for raw in manifests.read_manifest(s3, config.bucket, batch_id).objects)
        engine = Engine.GLUE if size > config.glue_threshold_bytes else Engine.DUCKDB
    return engine == Engine.GLUE and clean_files.find_counts(s3, config.bucket, batch_id, feed) is None


def clean_where_needed(s3: S3Client, batch_id: str, config: Settings, *, committed: bool) -> CleanBatch:
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
