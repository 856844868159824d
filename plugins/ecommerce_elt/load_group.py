"""The task group that cleans and loads a batch, for each DAG that has some."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from airflow.providers.amazon.aws.links.glue import GlueJobRunDetailsLink
from airflow.providers.amazon.aws.operators.glue import GlueJobOperator
from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import Context, get_current_context, task_group

from ecommerce_elt.batches import Engine, feed_of
from ecommerce_elt.dag_defaults import WAREHOUSE
from ecommerce_elt.links import S3ObjectLink, linked_task
from ecommerce_elt.settings import settings

FEED_NAME = "{{ feed }}"


class CleanBatchOperator(GlueJobOperator):
    """Cleans a batch with DuckDB in the task, or defers until the Glue job has cleaned it; returns its counts.

    Args:
        batch_id: of a batch that has its manifest.
        engine: `auto` gives Glue the batches of more than `glue_threshold_bytes`; `duckdb` or `glue`.
    """

    template_fields: Sequence[str] = (*GlueJobOperator.template_fields, "batch_id", "engine")
    operator_extra_links = (S3ObjectLink(), GlueJobRunDetailsLink())

    def __init__(self, *, batch_id: str, engine: str = Engine.AUTO, **kwargs: Any) -> None:
        super().__init__(
            job_name=f"{settings().stack_prefix}-clean-events",
            deferrable=True,
            waiter_delay=settings().glue_poll_seconds,
            waiter_max_attempts=24 * 3600 // settings().glue_poll_seconds,  # the job and the task have timeouts
            run_job_kwargs={"JobRunQueuingEnabled": True},
            execution_timeout=timedelta(hours=6),
            **kwargs,
        )
        self.batch_id, self.engine = batch_id, engine

    def execute(self, context: Context) -> dict[str, Any] | None:
        from ecommerce_elt.steps import clean_batch, engine_of

        self._name(context)
        if engine_of(self.batch_id, self.engine) is Engine.DUCKDB:
            return asdict(clean_batch(self.batch_id))
        self.script_args = {"--batch_id": self.batch_id}
        super().execute(context)  # defers
        return None

    def execute_complete(self, context: Context, event: dict[str, Any] | None = None) -> dict[str, Any]:
        from ecommerce_elt.steps import counts_of

        self._name(context)
        super().execute_complete(context, event)
        return asdict(counts_of(self.batch_id))

    def _name(self, context: Context) -> None:
        context["feed"] = feed_of(self.batch_id)  # for map_index_template


class LoadFileOperator(TriggerDagRunOperator):
    """Triggers `load_history` for a landed file. What names the file is data: no name of a file is rendered as a template."""

    template_fields: Sequence[str] = tuple(
        name for name in TriggerDagRunOperator.template_fields if name not in {"conf", "trigger_run_id"}
    )


@task_group
def load_feed(batch_id: str, engine: str = Engine.AUTO) -> None:
    """Cleans a batch and loads it."""

    @linked_task(map_index_template=FEED_NAME, outlets=[WAREHOUSE], multiple_outputs=False)
    def load_batch(cleaned: dict[str, Any], *, outlet_events: Any = None) -> dict[str, int]:
        from ecommerce_elt.steps import load_batch

        get_current_context()["feed"] = cleaned["feed"]
        counts = load_batch(cleaned)
        outlet_events[WAREHOUSE].extra = {"batch_id": cleaned["batch_id"], "feed": cleaned["feed"], **counts}
        return counts

    cleaned = CleanBatchOperator(task_id="clean_batch", batch_id=batch_id, engine=engine, map_index_template=FEED_NAME)
    load_batch(cleaned.output)
