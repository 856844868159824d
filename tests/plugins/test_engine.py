"""Which engine cleans a batch: by its size, by parameter, and never Glue for a feed that it cannot know."""

import pytest
from ecommerce_elt import steps
from ecommerce_elt.batches import Manifest, RawObject
from ecommerce_elt.errors import PermanentError


@pytest.fixture
def batch(s3, bucket, config, monkeypatch):
    own = config.model_copy(update={"bucket": bucket, "glue_threshold_bytes": 1000})
    monkeypatch.setattr(steps, "settings", lambda: own)
    monkeypatch.setattr(steps, "client", lambda service: {"s3": s3}[service])

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
    assert steps.needs_glue(batch(size), engine) is expected


def test_a_feed_without_a_contract_is_rejected_here_whatever_its_size(batch):
    assert steps.needs_glue(batch(9999, "unknown_feed")) is False


def test_an_unknown_engine_is_an_error(batch):
    with pytest.raises(PermanentError, match="engine 'spark': expected one of auto, duckdb, glue"):
        steps.needs_glue(batch(10), "spark")
