"""The tasks of `export_features`."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

from airflow.sdk.exceptions import AirflowSkipException

from ecommerce_elt.airflow import lineage
from ecommerce_elt.airflow.clients import client, linked_warehouse, task_warehouse
from ecommerce_elt.airflow.decorators import linked_task, task
from ecommerce_elt.airflow.links import touched_object
from ecommerce_elt.features import data_sets as features_data_sets
from ecommerce_elt.features import versions as features_versions
from ecommerce_elt.features.versions import FEATURES
from ecommerce_elt.feeds.contracts import load_contracts
from ecommerce_elt.feeds.sales import feeds_of_sales
from ecommerce_elt.settings import settings

log = logging.getLogger(__name__)


@task
def choose_cut_offs(*, params: dict[str, Any]) -> dict[str, Any]:
    """Returns cut_offs, horizon_days, is_given and is_default; skips the task if the data is too short.

    `is_given` is true if the run gives the cut-offs. `is_default` is true if it gives neither cut-offs nor another
    horizon.

    Raises:
        PermanentError: given cut-offs do not fit the data or each other.
    """
    horizon, config = int(params["horizon_days"]), settings()
    try:
        span = features_data_sets.read_span(task_warehouse(), config.sql_dir)
        if params["cut_offs"]:
            chosen = features_data_sets.given_cut_offs(span, params["cut_offs"], horizon)
        else:
            chosen = features_data_sets.choose_cut_offs(span, horizon)
    except features_data_sets.TooShortError as short:
        if params["cut_offs"]:
            raise
        raise AirflowSkipException(str(short)) from short
    log.info("first=%s end=%s %s", span.first, span.end, chosen.as_text())
    is_given = bool(params["cut_offs"])
    is_default = not is_given and horizon == features_data_sets.DEFAULT_HORIZON_DAYS
    return chosen.as_text() | {"is_given": is_given, "is_default": is_default}


@linked_task
def export_version(chosen: dict[str, Any]) -> dict[str, Any]:
    """Makes the version of the cut-offs, or finds the existing one; returns its name, its rows and whether it is new.

    Skips the task if a part has no rows and the run did not give the cut-offs.
    """
    from ecommerce_elt.features import export as features_export

    config, s3 = settings(), client("s3")
    # The cut-offs are checked again, because those of a cleared run can be old.
    with linked_warehouse() as target:
        span = features_data_sets.read_span(target, config.sql_dir)
        cut_offs = features_data_sets.given_cut_offs(span, chosen["cut_offs"], int(chosen["horizon_days"]))
        try:
            made, is_new = features_export.export(s3, target, cut_offs, span, config)
        except features_data_sets.EmptyPartError as empty:  # for example, a shop without sales for months
            if chosen["is_given"]:
                raise
            raise AirflowSkipException(str(empty)) from empty
    if chosen["is_default"]:
        features_versions.point_to(s3, config.bucket, made.version, made.read_at)
    touched_object(made.key)
    contracts = load_contracts(config.include_dir / "feeds")
    sources = [contracts[feed].tables[0] for feed in feeds_of_sales(contracts)]
    lineage.moved(map(lineage.table, sources), [lineage.folder(FEATURES)])
    log.info("version=%s is_new=%s rows=%s", made.version, is_new, made.rows)
    return {"version": made.version, "is_new": is_new, "rows": made.rows}


# Versions age and erasures must reach them even if there was nothing to export.
@task(trigger_rule="none_failed")
def remove_old_versions(*, params: dict[str, Any], ti: Any) -> dict[str, int]:
    """Deletes versions past their retention, and returns the numbers of deleted versions and objects."""
    made = ti.xcom_pull(task_ids="export_version")  # None if it was skipped
    return features_versions.remove_old(
        client("s3"),
        settings(),
        datetime.now(UTC),
        made=str(made["version"]) if made else None,
        only_this=bool(params["remove_others"]),
    )
