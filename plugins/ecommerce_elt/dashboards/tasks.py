"""The tasks of `refresh_dashboards`."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from airflow.sdk import get_current_context
from airflow.sdk.exceptions import AirflowSkipException

from ecommerce_elt import listing
from ecommerce_elt.airflow.clients import client, task_warehouse
from ecommerce_elt.airflow.decorators import linked_task, task
from ecommerce_elt.airflow.links import touched_object
from ecommerce_elt.dashboards import tableau
from ecommerce_elt.dashboards.data_sets import DATA_SETS, DataSet, changed_at, due, last_refresh, utc
from ecommerce_elt.settings import settings

log = logging.getLogger(__name__)


def _published() -> dict[str, datetime]:
    sql = (settings().sql_dir / "ops/mart_build/published.sql").read_text("utf-8")
    return {mart: utc(at) for mart, at, _ in task_warehouse().query(sql)}


def _is_due(data_sets: Iterable[DataSet], published: dict[str, datetime], last: datetime | None) -> bool:
    is_asked_for = get_current_context()["dag_run"].run_type in {"manual", "operator_triggered"}
    every = timedelta(minutes=0 if is_asked_for else settings().dashboard_refresh_minutes)
    return due(changed_at(data_sets, published), last, now=datetime.now(UTC), every=every)


@task
def choose_data_sets() -> list[str]:
    """Returns the ids of the QuickSight data sets to refresh: those due, or all outdated ones in a requested run."""
    quicksight, published = client("quicksight"), _published()
    account = client("sts").get_caller_identity()["Account"]
    found = []
    for data_set in DATA_SETS:
        name = data_set.physical_id(settings().stack_prefix)
        try:
            past = quicksight.list_ingestions(AwsAccountId=account, DataSetId=name, MaxResults=10)["Ingestions"]
        except quicksight.exceptions.ResourceNotFoundException:
            log.warning("data_set=%s is not in QuickSight; its task will say so, the others go on", name)
            past = []
        if _is_due([data_set], published, last_refresh(past)):
            found.append(name)
    log.info("due=%s", found)
    return found


@linked_task(multiple_outputs=True)
def extract_for_tableau() -> dict[str, int]:
    """Writes the extract to the lake, publishes it if a server is configured, and returns the rows by data set.

    Skips the task if the extract is not due.
    """
    config, s3 = settings(), client("s3")
    past = list(listing.objects(s3, config.bucket, tableau.KEY))
    if not _is_due(DATA_SETS, _published(), past[0]["LastModified"] if past else None):
        raise AirflowSkipException("the extract is not due")
    with tempfile.TemporaryDirectory(dir=config.work_dir) as folder:
        file = Path(folder) / "ecommerce.hyper"
        rows = tableau.write_extract(task_warehouse(), DATA_SETS, config.sql_dir, file)
        if config.tableau_server:
            tableau.publish(file, config)
        s3.upload_file(str(file), config.bucket, tableau.KEY)  # last, so that a failed publication is repeated
    touched_object(tableau.KEY)
    return rows
