"""The operators that load a batch, and that trigger the load of landed files."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from airflow.providers.amazon.aws.links.glue import GlueJobRunDetailsLink
from airflow.providers.amazon.aws.operators.glue import GlueJobOperator
from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import Context
from airflow.sdk.definitions.mappedoperator import MappedOperator

from ecommerce_elt import aws_names
from ecommerce_elt.airflow.defaults import WAREHOUSE
from ecommerce_elt.airflow.links import GlueTableLink, RedshiftStatementLink, S3ObjectLink
from ecommerce_elt.batches.manifests import Engine, feed_of
from ecommerce_elt.settings import settings


class LoadBatchOperator(GlueJobOperator):
    """Cleans a batch and loads it in one transaction; returns its id, its feed and its committed counts.

    DuckDB cleans the batch within the task. If Glue cleans it, the task defers until the job is done. A retry, or a
    later run that resumes the batch, repeats no finished work: files that the current contract made are kept, and a
    committed batch is only published.

    Args:
        batch_id: the id of a batch that has its manifest.
        engine: `duckdb`, `glue`, or `auto`, which uses Glue for batches of more than `glue_threshold_bytes`.
        on_known: for a batch of landed files, what to do with rows that core has under other ids: see `known_rows`.
        to_dynamodb: any text if the lines are also written to DynamoDB; empty otherwise: see `invoice_items`.
    """

    template_fields: Sequence[str] = (*GlueJobOperator.template_fields, "batch_id", "engine", "on_known", "to_dynamodb")
    operator_extra_links = (S3ObjectLink(), RedshiftStatementLink(), GlueTableLink(), GlueJobRunDetailsLink())

    def __init__(
        self, *, batch_id: str, engine: str = Engine.AUTO, on_known: str = "", to_dynamodb: str = "", **kwargs: Any
    ) -> None:
        super().__init__(
            job_name=aws_names.clean_job(settings().stack_prefix),
            deferrable=True,
            waiter_delay=settings().glue_poll_seconds,
            waiter_max_attempts=24 * 3600 // settings().glue_poll_seconds,  # the job and the task have timeouts
            run_job_kwargs={"JobRunQueuingEnabled": True},
            **kwargs,
        )
        self.batch_id, self.engine, self.on_known, self.to_dynamodb = batch_id, engine, on_known, to_dynamodb

    def execute(self, context: Context) -> dict[str, Any] | None:
        from ecommerce_elt.cleaning.task_cleaning import needs_glue

        self._name(context)
        if not needs_glue(self.batch_id, self.engine):
            return self._load(context)
        self.script_args = {"--batch_id": self.batch_id}
        super().execute(context)  # defers
        return None

    def execute_complete(self, context: Context, event: dict[str, Any] | None = None) -> dict[str, Any]:
        self._name(context)
        super().execute_complete(context, event)
        return self._load(context)

    def _load(self, context: Context) -> dict[str, Any]:
        from ecommerce_elt.load.batch_load import load_batch

        counts = load_batch(self.batch_id, self.on_known, to_dynamodb=bool(self.to_dynamodb))
        loaded = {"batch_id": self.batch_id, "feed": feed_of(self.batch_id), **counts}
        context["outlet_events"][WAREHOUSE].extra = loaded
        return loaded

    def _name(self, context: Context) -> None:
        context["feed"] = feed_of(self.batch_id)  # for map_index_template


def load_batches(
    batch_ids: Any, engine: str = Engine.AUTO, on_known: str = "", to_dynamodb: str = ""
) -> MappedOperator:
    """Returns the mapped task `load_batch`, with one instance for each batch, named after its feed in the UI."""
    return LoadBatchOperator.partial(
        task_id="load_batch",
        engine=engine,
        on_known=on_known,
        to_dynamodb=to_dynamodb,
        map_index_template="{{ feed }}",
        outlets=[WAREHOUSE],
        execution_timeout=timedelta(hours=6),  # enough for a Glue job
    ).expand(batch_id=batch_ids)


class LoadFileOperator(TriggerDagRunOperator):
    """Triggers `load_history` for landed files. File names are data, so they are not rendered as templates."""

    template_fields: Sequence[str] = tuple(
        name for name in TriggerDagRunOperator.template_fields if name not in {"conf", "trigger_run_id"}
    )
