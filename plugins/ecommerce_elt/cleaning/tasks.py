"""The tasks of the cleaning step, as functions of ids that connect Airflow's wiring with the logic.

Airflow logs the whole exception chain of a failed task, so each function raises only errors that `values_withheld`
permits.
"""

from __future__ import annotations

from ecommerce_elt.airflow.clients import client
from ecommerce_elt.batches import clean_files, manifests
from ecommerce_elt.batches.manifests import Engine
from ecommerce_elt.errors import PermanentError, values_withheld
from ecommerce_elt.feeds.contracts import load_contracts
from ecommerce_elt.settings import settings


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
