"""The tasks of `build_marts`. Its first task is an operator, because it waits."""

from __future__ import annotations

from typing import Any

from airflow.sdk import get_current_context

from ecommerce_elt.airflow import alerts, lineage, results
from ecommerce_elt.airflow.clients import client, linked_warehouse
from ecommerce_elt.airflow.decorators import linked_task, task
from ecommerce_elt.airflow.defaults import MARTS
from ecommerce_elt.feeds.contracts import load_contracts
from ecommerce_elt.marts import builds
from ecommerce_elt.settings import settings


def _build(subject: str) -> dict[str, Any]:
    """Builds the stale marts of one subject, alerts on checks, and returns days and warnings by mart."""
    try:
        with linked_warehouse() as target:
            built = builds.build_subject(target, subject, settings().sql_dir)
    except builds.ChecksFailed as failed:
        text = failed.explained(alerts.runbook(get_current_context()["ti"]))
        cause = f"checks of {failed.mart}"
        alerts.update(client("sns"), settings(), cause, f"{failed.mart} was not published", text, active=True)
        raise
    contracts = load_contracts(settings().include_dir / "feeds")
    sources = builds.tables_under([mart.mart for mart in built], contracts)
    lineage.moved(map(lineage.table, sources), (lineage.table(mart.mart) for mart in built))
    for mart in built:
        sns, warnings = client("sns"), "\n".join(map(str, mart.warnings))
        alerts.update(sns, settings(), f"checks of {mart.mart}", "", "", active=False)
        cause = f"warnings of {mart.mart}"
        alerts.update(sns, settings(), cause, f"{mart.mart}: checks warn", warnings, active=bool(warnings))
    return builds.as_text(built)


@linked_task(multiple_outputs=True)
def build_dimensions() -> dict[str, Any]:
    """Builds the stale dimensions, and returns days and warnings by table."""
    return _build(builds.DIMENSIONS)


@linked_task(map_index_template="{{ subject }}")
def build_subject(subject: str) -> dict[str, Any]:
    """Builds the stale marts of one subject, and returns days and warnings by mart."""
    get_current_context()["subject"] = subject  # for map_index_template
    return _build(subject)


@task(trigger_rule="all_done_min_one_success", outlets=[MARTS])
def publish_marts(*, ti: Any, outlet_events: Any) -> None:
    """Announces the marts that were built once for all subjects, although some may have failed.

    An event for each subject would start as many runs of the DAGs that follow.
    """
    built = {mart: days for subject in results.of_mapped(ti, "build_subject") for mart, days in subject.items()}
    outlet_events[MARTS].extra = {"marts": built}
