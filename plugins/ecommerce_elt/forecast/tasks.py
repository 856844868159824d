"""The tasks of `forecast_demand` that use the warehouse: they unload the demand and publish the forecasts."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from airflow.sdk import get_current_context
from airflow.sdk.exceptions import AirflowSkipException

from ecommerce_elt.airflow import alerts, lineage
from ecommerce_elt.airflow.clients import client, linked_warehouse
from ecommerce_elt.airflow.decorators import linked_task
from ecommerce_elt.airflow.defaults import MARTS
from ecommerce_elt.forecast.operators import DEMAND, RUNS, url
from ecommerce_elt.marts import builds
from ecommerce_elt.settings import Settings, settings
from ecommerce_elt.warehouse.redshift import Session, role_of, run_file

if TYPE_CHECKING:
    from types_boto3_sns.client import SNSClient

log = logging.getLogger(__name__)

SOURCE = "mart.product_demand_daily"
REORDER_LEVEL = "mart.reorder_level"


@linked_task
def unload_demand() -> int:
    """Writes the demand of all days before today to the lake, and returns the number of days with demand.

    Skips the run if the environment of the program is not installed, or if there is no demand.
    """
    config = settings()
    if not config.forecast_task_definition and not config.forecast_python.is_file():
        raise AirflowSkipException(
            f"{config.forecast_python} is not there: nothing is forecast. `make setup-forecast` installs it, or set "
            "ECOMMERCE_FORECAST_PYTHON to a Python that has the packages of requirements-forecast.txt, or "
            "ECOMMERCE_FORECAST_TASK_DEFINITION to a task of ECS"
        )
    with linked_warehouse() as target:
        [[days]] = target.query((config.sql_dir / "ops/forecast/days.sql").read_text("utf-8"))
        if not days:
            raise AirflowSkipException("no day before today has a demand; there is nothing to forecast from")
        names = {"forecast_files": url(DEMAND), "copy_role": role_of(config)}
        run_file(target, config.sql_dir / "ops/forecast/unload.sql", names)
    lineage.moved([lineage.table(SOURCE)], [lineage.folder(DEMAND)])
    return int(days)


@linked_task(outlets=[MARTS])
def publish_forecast(summary: dict[str, Any], *, outlet_events: Any) -> dict[str, Any]:
    """Publishes the marts of a run of the program and the reorder levels that depend on them; returns what was built.

    Args:
        summary: the result of `forecast.run.run`.
        outlet_events: the events of the assets, of which that of the marts gets what was built.

    Raises:
        marts.ChecksFailed: checks failed, and the mart keeps its previous rows.
    """
    config, sns = settings(), client("sns")
    log.info("forecast=%s", summary)
    places = {"mart.demand_forecast": summary["forecast"], "mart.lead_time_demand": summary["lead_time"]}
    built = []
    try:
        with linked_warehouse() as target, target.session() as session:
            for mart in builds.FORECASTS:
                names = {"forecast_files": places[mart.table], "copy_role": role_of(config)}
                built.append(builds.build_given(session, mart, config.sql_dir, names))
            built += _reorder_levels(session, config)
    except builds.ChecksFailed as failed:
        text = failed.explained(alerts.runbook(get_current_context()["ti"]))
        alerts.update(sns, config, f"checks of {failed.mart}", f"{failed.mart} was not published", text, active=True)
        raise
    lineage.moved([lineage.folder(RUNS)], [lineage.table(each.mart) for each in built])
    for each in built:
        alerts.update(sns, config, f"checks of {each.mart}", "", "", active=False)
        warnings = "\n".join(map(str, each.warnings))
        cause = f"warnings of {each.mart}"
        alerts.update(sns, config, cause, f"{each.mart}: checks warn", warnings, active=bool(warnings))
    _alert_of_drift(sns, config, summary)
    outlet_events[MARTS].extra = {"subject": "forecast", "marts": builds.as_text(built)}
    return {"methods": summary["methods"], "device": summary["device"], "marts": builds.as_text(built)}


def _reorder_levels(session: Session, config: Settings) -> list[builds.Built]:
    """Builds the reorder levels if they are stale. Before the first run of build_marts, they are left to that run."""
    if REORDER_LEVEL not in builds.stale(session, config.sql_dir):
        return []
    mart = next(mart for mart in builds.MARTS if mart.table == REORDER_LEVEL)
    return [builds.build(session, mart, config.sql_dir)]


def _alert_of_drift(sns: SNSClient, config: Settings, summary: dict[str, Any]) -> None:
    text = (
        f"The forecasts lost {summary.get('last_week_loss')} for a unit sold in the last week, and {summary.get('fold_loss')} at the "
        "origins that the methods were chosen by. The baselines forecast until that is over; docs/forecast.md says what to look at."
    )
    alerts.update(sns, config, "drift of demand", "Demand is not as forecast", text, active=summary["drift"])
