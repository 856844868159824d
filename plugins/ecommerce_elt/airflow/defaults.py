"""The defaults of all DAGs of the package: owner, retries, timeouts, tags, and the asset names."""

from __future__ import annotations

import os
from datetime import timedelta
from enum import StrEnum
from typing import Any

from airflow.sdk import Asset, AssetOrTimeSchedule, CronTriggerTimetable

from ecommerce_elt.airflow.alerts import FailureAlert, RecoveryNotice
from ecommerce_elt.airflow.versions import RETRIES
from ecommerce_elt.settings import settings


class Tag(StrEnum):
    LOAD = "load"
    CLEAN = "clean"
    MART = "mart"
    DASHBOARD = "dashboard"
    LAKE = "lake"
    WATCH = "watch"
    FEATURES = "features"


class Stage(StrEnum):
    """The permissions of a DAG: each stage has its own IAM role through the connection `aws_<stage>`."""

    LOAD = "load"
    MARTS = "marts"
    DASHBOARDS = "dashboards"
    LAKE = "lake"
    ERASE = "erase"
    RECONCILE = "reconcile"
    FEATURES = "features"
    BIGQUERY = "bigquery"
    FORECAST = "forecast"


WAREHOUSE = Asset("ecommerce_warehouse")
MARTS = Asset("ecommerce_marts")

BACKGROUND_NICE = 10

_DEFAULT_ARGS: dict[str, Any] = {
    "owner": "data-platform",
    "retries": settings().task_retries,
    "retry_delay": timedelta(seconds=settings().task_retry_delay_seconds),
    "retry_exponential_backoff": True,
    "max_retry_delay": timedelta(minutes=5),
    "execution_timeout": timedelta(minutes=30),
} | RETRIES


def yield_to_loads(context: Any) -> None:
    """Lowers the priority of the task's own process, so that tasks of loads on the same machine get its processors."""
    os.nice(BACKGROUND_NICE)


def cron_or(asset: Asset, cron: str) -> AssetOrTimeSchedule:
    """Returns the schedule of a DAG that follows an asset, and catches up at fixed times.

    Args:
        asset: the asset.
        cron: the times in UTC. By default Airflow would also make up for a time up to five minutes before the DAG is
            unpaused, which for a new deployment is while it has nothing yet and its first events are loaded.
    """
    times = CronTriggerTimetable(cron, timezone="UTC", run_immediately=timedelta(0))
    return AssetOrTimeSchedule(timetable=times, assets=[asset])


def default_args(stage: Stage, **others: Any) -> dict[str, Any]:
    """Returns the default arguments of a DAG of the stage, whose operators, tasks and alerts use its connection."""
    connection = f"aws_{stage}"
    callbacks: dict[str, Any] = {}
    if settings().alerts_topic_arn:
        callbacks = {
            "on_failure_callback": [FailureAlert(connection)],
            "on_success_callback": [RecoveryNotice(connection)],
        }
    # If slots or processors are scarce, loads come first.
    first: dict[str, Any] = {"priority_weight": 10 if stage is Stage.LOAD else 1, "weight_rule": "absolute"}
    if stage is not Stage.LOAD:
        first["pre_execute"] = yield_to_loads
    return _DEFAULT_ARGS | first | {"aws_conn_id": connection} | callbacks | others
