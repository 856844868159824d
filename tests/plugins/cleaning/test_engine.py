"""Which engine cleans a batch: by its size, by parameter, and never Glue for a feed that it cannot know."""

import pytest
from ecommerce_elt.batches.manifests import Manifest, RawObject
from ecommerce_elt.cleaning import task_cleaning
from ecommerce_elt.cleaning.engine import engine_of
from ecommerce_elt.errors import PermanentError, WithheldError, values_withheld


@pytest.fixture
def batch(s3, bucket, config, monkeypatch):
    own = config.model_copy(update={"bucket": bucket, "glue_threshold_bytes": 1000})
    monkeypatch.setattr(task_cleaning, "settings", lambda: own)
    monkeypatch.setattr(task_cleaning, "client", lambda service: {"s3": s3}[service])

    def batch(size, feed="purchases"):
        objects = tuple(RawObject(f"raw/{i}", "e", size // 2, bucket) for i in range(2))
        manifest = Manifest(f"{feed}-20260101T000000Z-0123456789abcdef", feed, objects)
        s3.put_object(Bucket=bucket, Key=f"manifests/{manifest.batch_id}.json", Body=manifest.to_json())
        return manifest.batch_id

    return batch


@pytest.mark.parametrize(
    ("size", "engine", "expected"),
    [
        (1000, "auto", False),
        (1002, "auto", True),
        (10, "glue", True),
        (9999, "duckdb", False),
    ],
)
def test_by_size_or_by_parameter(batch, size, engine, expected):
    assert task_cleaning.needs_glue(batch(size), engine) is expected


def test_a_feed_without_a_contract_is_rejected_here_whatever_its_size(batch):
    assert task_cleaning.needs_glue(batch(9999, "unknown_feed")) is False


def test_an_unknown_engine_is_an_error(batch):
    with pytest.raises(PermanentError, match="engine 'spark': expected one of auto, duckdb, glue"):
        task_cleaning.needs_glue(batch(10), "spark")


@pytest.mark.parametrize("may_spill_bytes", [None, 8 * 1024**2])
def test_a_task_spills_no_more_than_it_may(tmp_path, config, may_spill_bytes):
    own = config.model_copy(update={"clean_memory_bytes": 64 * 1024**2, "spill_max_bytes": may_spill_bytes})
    fill = "CREATE TABLE filled AS SELECT md5(i::VARCHAR) AS text FROM range(4000000) AS r(i)"  # 128 MB that do not compress
    with engine_of(own, tmp_path) as engine:
        if may_spill_bytes is None:
            engine.execute(fill)
            assert engine.table("filled").shape[0] == 4_000_000
            return
        with pytest.raises(WithheldError, match="ECOMMERCE_SPILL_MAX_BYTES in ECOMMERCE_WORK_DIR"), values_withheld():
            engine.execute(fill)
