"""The tasks of the cleaning, each a function of ids: what runs between Airflow's wiring and the logic.

Airflow logs the whole chain of an error that a task ends with, so each lets out only what `values_withheld` does.
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
    """Returns whether Glue is to clean the batch: by `engine`, or by its size where that is `auto`, and unless that is done."""
    config, s3, feed = settings(), client("s3"), manifests.feed_of(batch_id)
    if feed not in load_contracts(config.include_dir / "feeds") or batch_id.endswith("-replay"):
        return False  # the job knows the feeds of the last deployment; what has no contract is rejected here
    if engine not in list(Engine):
        raise PermanentError(f"engine {engine!r}: expected one of {', '.join(Engine)}")
    if engine == Engine.AUTO:
        size = sum(raw.size for raw in manifests.read_manifest(s3, config.bucket, batch_id).objects)
        engine = Engine.GLUE if size > config.glue_threshold_bytes else Engine.DUCKDB
    return engine == Engine.GLUE and clean_files.find_counts(s3, config.bucket, batch_id, feed) is None
