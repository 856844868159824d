"""The tasks of `build_marts` and `refresh_dashboards`, each a function of plain parameters.

Each task is a process. Importing the code that cleans and reads files takes a second, so this module does not import
it.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import get_current_context
from airflow.sdk.exceptions import AirflowSkipException

from ecommerce_elt import listing
from ecommerce_elt.airflow import alerts, lineage
from ecommerce_elt.airflow.clients import client, linked_warehouse, task_warehouse
from ecommerce_elt.airflow.links import touched_object
from ecommerce_elt.dashboards import data_sets as dashboards_data_sets
from ecommerce_elt.dashboards import tableau
from ecommerce_elt.errors import values_withheld
from ecommerce_elt.feeds.contracts import load_contracts
from ecommerce_elt.marts import builds
from ecommerce_elt.settings import settings

log = logging.getLogger(__name__)


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


@values_withheld()
def build_dimensions() -> dict[str, Any]:
    """Builds the stale dimensions, and returns days and warnings by table."""
    return build_subject(builds.DIMENSIONS)


@values_withheld()
def build_subject(subject: str) -> dict[str, Any]:
    """Builds the stale marts of one subject, alerts on checks, and returns days and warnings by mart."""
    try:
        with linked_warehouse() as target:
            built = builds.build_subject(target, subject, settings().sql_dir)
    except builds.ChecksFailed as failed:
        text = failed.explained(alerts.runbook(get_current_context()["ti"]))
        cause = f"checks of {failed.mart}"
        alerts.tell(client("sns"), settings(), cause, f"{failed.mart} was not published", text, is_so=True)
        raise
    contracts = load_contracts(settings().include_dir / "feeds")
    sources = builds.tables_under([mart.mart for mart in built], contracts)
    lineage.moved(map(lineage.table, sources), (lineage.table(mart.mart) for mart in built))
    for mart in built:
        sns, warnings = client("sns"), "\n".join(map(str, mart.warnings))
        alerts.tell(sns, settings(), f"checks of {mart.mart}", "", "", is_so=False)
        cause = f"warnings of {mart.mart}"
        alerts.tell(sns, settings(), cause, f"{mart.mart}: checks warn", warnings, is_so=bool(warnings))
    return builds.as_text(built)


def _published() -> dict[str, datetime]:
    sql = (settings().sql_dir / "ops/mart_build/published.sql").read_text("utf-8")
    return {mart: dashboards_data_sets.utc(at) for mart, at, _ in task_warehouse().query(sql)}


def _is_due(
    data_sets: Iterable[dashboards_data_sets.DataSet], published: dict[str, datetime], last: datetime | None
) -> bool:
    is_asked_for = get_current_context()["dag_run"].run_type in {"manual", "operator_triggered"}
    every = timedelta(minutes=0 if is_asked_for else settings().dashboard_refresh_minutes)
    return dashboards_data_sets.due(
        dashboards_data_sets.changed_at(data_sets, published), last, now=datetime.now(UTC), every=every
    )


@values_withheld()
def choose_data_sets() -> list[str]:
    """Returns the ids of the QuickSight data sets to refresh: those due, or all outdated ones in a requested run."""
    quicksight, published = client("quicksight"), _published()
    account = client("sts").get_caller_identity()["Account"]
    found = []
    for data_set in dashboards_data_sets.DATA_SETS:
        name = data_set.physical_id(settings().stack_prefix)
        try:
            past = quicksight.list_ingestions(AwsAccountId=account, DataSetId=name, MaxResults=10)["Ingestions"]
        except quicksight.exceptions.ResourceNotFoundException:
            log.warning("data_set=%s is not in QuickSight; its task will say so, the others go on", name)
            past = []
        if _is_due([data_set], published, dashboards_data_sets.last_refresh(past)):
            found.append(name)
    log.info("due=%s", found)
    return found


@values_withheld()
def extract_for_tableau() -> dict[str, int]:
    """Writes the extract to the lake, publishes it if a server is configured, and returns the rows by data set.

    Skips the task if the extract is not due.
    """
    config, s3 = settings(), client("s3")
    past = list(listing.objects(s3, config.bucket, tableau.KEY))
    if not _is_due(dashboards_data_sets.DATA_SETS, _published(), past[0]["LastModified"] if past else None):
        raise AirflowSkipException("the extract is not due")
    with tempfile.TemporaryDirectory(dir=config.work_dir) as folder:
        file = Path(folder) / "ecommerce.hyper"
        rows = tableau.write_extract(task_warehouse(), dashboards_data_sets.DATA_SETS, config.sql_dir, file)
        if config.tableau_server:
            tableau.publish(file, config)
        s3.upload_file(str(file), config.bucket, tableau.KEY)  # last, so that a failed publication is repeated
    touched_object(tableau.KEY)
    return rows
