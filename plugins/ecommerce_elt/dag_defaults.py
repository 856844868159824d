"""What every DAG of the package shares: owner, retries, timeouts, tags, and the asset names."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Any

from airflow.sdk import Asset, AssetWatcher, ExceptionRetryPolicy, RetryAction, RetryRule

from ecommerce_elt.alerts import FailureAlert, RecoveryNotice
from ecommerce_elt.errors import PermanentError
from ecommerce_elt.sensors import RawObjectsTrigger
from ecommerce_elt.settings import settings


class Tag(StrEnum):
    LOAD = "load"
    CLEAN = "clean"
    MART = "mart"
    DASHBOARD = "dashboard"
    LAKE = "lake"
    WATCH = "watch"


class Stage(StrEnum):
    """What a DAG may touch: each stage has an IAM role of its own, by the connection `aws_<stage>`."""

    LOAD = "load"
    MARTS = "marts"
    DASHBOARDS = "dashboards"
    LAKE = "lake"
    ERASE = "erase"
    RECONCILE = "reconcile"


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
WAREHOUSE = Asset("ecommerce_warehouse")
MARTS = Asset("ecommerce_marts")

_DEFAULT_ARGS: dict[str, Any] = {
    "owner": "data-platform",
    "retries": settings().task_retries,
    "retry_delay": timedelta(seconds=settings().task_retry_delay_seconds),
    "retry_exponential_backoff": True,
    "max_retry_delay": timedelta(minutes=5),
    "execution_timeout": timedelta(minutes=30),
    # What no retry can mend turns red at once.
    "retry_policy": ExceptionRetryPolicy(
        [RetryRule(exception=PermanentError, action=RetryAction.FAIL, reason="permanent: see the message")]
    ),
}


def default_args(stage: Stage, **others: Any) -> dict[str, Any]:
    """Returns the default arguments of a DAG of the stage; the connection is the one of its operators, steps and alerts."""
    connection = f"aws_{stage}"
    told: dict[str, Any] = {}
    if settings().alerts_topic_arn:
        told = {"on_failure_callback": [FailureAlert(connection)], "on_success_callback": [RecoveryNotice(connection)]}
    # Where slots are scarce, the loads come first.
    first = {"priority_weight": 10 if stage is Stage.LOAD else 1, "weight_rule": "absolute"}
    return _DEFAULT_ARGS | first | {"aws_conn_id": connection} | told | others
