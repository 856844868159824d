"""The first operator of a run of `build_marts`, and the trigger that delays it in the triggerer."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from typing import Any

from airflow.sdk import BaseOperator, Context
from airflow.sdk.exceptions import AirflowSkipException
from airflow.triggers.base import BaseTrigger, TriggerEvent
from asgiref.sync import sync_to_async

from ecommerce_elt.airflow.clients import task_warehouse
from ecommerce_elt.errors import values_withheld
from ecommerce_elt.feeds.contracts import load_contracts
from ecommerce_elt.marts import builds
from ecommerce_elt.settings import settings

log = logging.getLogger(__name__)

ASSET_TRIGGERED = "asset_triggered"  # airflow.utils.types.DagRunType, which a task cannot import


class TurnTrigger(BaseTrigger):
    """Fires after `seconds`, or as soon as another run of the DAG is queued, because somebody requested it.

    While `max_active_runs` are active, Airflow queues no runs for assets; it keeps the events for the next run. A
    queued run was therefore triggered by a person, the API or another DAG.
    """

    def __init__(self, dag_id: str, seconds: float, poll_interval_seconds: float) -> None:
        super().__init__()
        self.dag_id, self.seconds, self.poll_interval_seconds = dag_id, seconds, poll_interval_seconds

    def serialize(self) -> tuple[str, dict[str, Any]]:
        names = ("dag_id", "seconds", "poll_interval_seconds")
        return f"{type(self).__module__}.{type(self).__qualname__}", {name: getattr(self, name) for name in names}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        turn = time.monotonic() + self.seconds
        is_asked_for = False
        while not is_asked_for and (left := turn - time.monotonic()) > 0:
            await asyncio.sleep(min(left, self.poll_interval_seconds))
            is_asked_for = await self._is_asked_for()
        yield TriggerEvent({"is_asked_for": is_asked_for})

    async def _is_asked_for(self) -> bool:
        from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

        return bool(await sync_to_async(RuntimeTaskInstance.get_dr_count)(dag_id=self.dag_id, states=["queued"]))


@values_withheld()
def find_stale_subjects(*, rebuild: bool) -> list[str]:
    """Returns the subjects with stale marts, except the dimensions; skips the run if no mart is stale.

    Args:
        rebuild: whether every day of every mart is marked first.
    """
    target, config = task_warehouse(), settings()
    builds.register(target, config.sql_dir, load_contracts(config.include_dir / "feeds"), rebuild=rebuild)
    behind = builds.stale(target, config.sql_dir)
    log.info("stale_marts=%s", behind)
    subjects = dict.fromkeys(mart.subject for mart in builds.MARTS if mart.table in behind)
    if not subjects:
        raise AirflowSkipException("no mart is behind core")
    return [subject for subject in subjects if subject != builds.DIMENSIONS]


@values_withheld()
def seconds_to_the_turn_of_marts() -> float:
    """Returns the seconds until `marts_min_interval_seconds` have passed since the last publication of a mart.

    If no mart was ever published, the whole interval is returned, because a new warehouse gets its first batches in a
    burst.
    """
    config = settings()
    age = builds.seconds_since_publication(task_warehouse(), config.sql_dir) or 0
    return config.marts_min_interval_seconds - max(age, 0)


class FindStaleSubjectsOperator(BaseOperator):
    """Returns the subjects with stale marts; skips the run if no mart is stale.

    In a run that the asset triggered, the operator first defers until `marts_min_interval_seconds` have passed since
    the last publication. Data that is loaded meanwhile belongs to this run; data that is loaded later triggers the next
    run.
    """

    def execute(self, context: Context) -> list[str]:
        subjects = find_stale_subjects(rebuild=context["params"]["rebuild"])
        if context["dag_run"].run_type == ASSET_TRIGGERED and (seconds := seconds_to_the_turn_of_marts()) > 0:
            self.log.info("the marts were published a moment ago; their turn is in %.0f s", seconds)
            trigger = TurnTrigger(self.dag_id, seconds, settings().poll_interval_seconds)
            self.defer(trigger=trigger, method_name="execute_complete")
        return subjects

    def execute_complete(self, context: Context, event: dict[str, Any] | None = None) -> list[str]:
        self.log.info("%s", event)
        return find_stale_subjects(rebuild=False)
