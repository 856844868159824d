"""The asset that starts a load: raw objects that are in no batch yet."""

from __future__ import annotations

from airflow.sdk import Asset, AssetWatcher

from ecommerce_elt.airflow.defaults import Stage
from ecommerce_elt.load.triggers import RawObjectsTrigger
from ecommerce_elt.settings import settings

RAW_OBJECTS = Asset(
    "ecommerce_raw_objects",
    watchers=[
        AssetWatcher(
            name="queue_of_raw_objects",
            trigger=RawObjectsTrigger(
                settings().bucket,
                settings().raw_objects_queue,
                settings().poll_interval_seconds,
                settings().open_batch_retry_seconds,
                f"aws_{Stage.LOAD}",
            ),
        )
    ],
)
