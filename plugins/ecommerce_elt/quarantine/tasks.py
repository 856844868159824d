"""The tasks of `replay_quarantine`."""

from __future__ import annotations

import logging
from dataclasses import asdict
from typing import Any

from ecommerce_elt.airflow import results
from ecommerce_elt.airflow.clients import client, task_warehouse
from ecommerce_elt.airflow.decorators import task
from ecommerce_elt.settings import settings

log = logging.getLogger(__name__)


@task
def choose_events(*, params: dict[str, Any], dag_run: Any, ti: Any) -> list[str]:
    """Returns the ids of the batches to load, and hands counts to `report_replay`.

    There are no batches in a dry run or a dismissal.
    """
    from ecommerce_elt.cleaning.task_cleaning import with_key
    from ecommerce_elt.quarantine import replay

    config, s3, target = with_key(settings()), client("s3"), task_warehouse()
    choice, batches = replay.Choice.of(params), list[str]()
    if params["action"] == "dismiss":
        outlook: dict[str, Any] = {"chosen": replay.count(target, choice, config)}
        if not params["dry_run"]:
            replay.dismiss(target, choice, config, dag_run.run_id)
            outlook["dismissed"] = outlook["chosen"]
        log.info("%s", outlook)
    else:
        manifests, gone = replay.choose(s3, target, choice, config, dag_run.run_after)
        if params["dry_run"]:
            outlook = asdict(replay.outlook(s3, manifests, gone, config))
            for example in outlook["examples"]:
                log.info("example %s", example)
            log.info("outlook %s", {name: value for name, value in outlook.items() if name != "examples"})
        else:
            log.info("batches=%s gone=%s", len(manifests), gone)
            batches, outlook = replay.write_manifests(s3, manifests, config), {"gone": gone}
    ti.xcom_push(key="outlook", value=outlook)
    return batches


@task(trigger_rule="none_failed")
def report_replay(*, ti: Any) -> dict[str, Any]:
    """Returns the expected counts together with the totals of accepted, clean, quarantined and duplicate events."""
    from ecommerce_elt.batches.clean_files import COUNTS

    loaded = results.of_mapped(ti, "load_batch")
    total = {name: sum(counts[name] for counts in loaded) for name in COUNTS} if loaded else {}
    log.info("replayed %s", total)
    outlook: dict[str, Any] = ti.xcom_pull(task_ids="choose_events", key="outlook")
    return outlook | total
