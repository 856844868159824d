"""The tasks of the quarantine. Each is a function of plain parameters and connects an Airflow task to the logic.

When a task fails, Airflow logs the whole chain of exceptions. Each function is therefore wrapped in `values_withheld`,
which lets no error out whose text may quote the input.
"""

from __future__ import annotations

import logging
from dataclasses import asdict
from datetime import datetime
from typing import Any

from ecommerce_elt.airflow.clients import client, task_warehouse
from ecommerce_elt.batches import clean_files
from ecommerce_elt.cleaning.task_cleaning import with_key
from ecommerce_elt.errors import values_withheld
from ecommerce_elt.quarantine import replay
from ecommerce_elt.settings import settings

log = logging.getLogger(__name__)


@values_withheld()
def choose_events(params: dict[str, Any], run_id: str, now: datetime) -> tuple[list[str], dict[str, Any]]:
    """Returns the ids of the batches to load, and counts; there are no batches in a dry run or a dismissal."""
    config, s3, target = with_key(settings()), client("s3"), task_warehouse()
    choice = replay.Choice.of(params)
    if params["action"] == "dismiss":
        found: dict[str, Any] = {"chosen": replay.count(target, choice, config)}
        if not params["dry_run"]:
            replay.dismiss(target, choice, config, run_id)
            found["dismissed"] = found["chosen"]
        log.info("%s", found)
        return [], found
    manifests, gone = replay.choose(s3, target, choice, config, now)
    if params["dry_run"]:
        outlook = asdict(replay.outlook(s3, manifests, gone, config))
        for example in outlook["examples"]:
            log.info("example %s", example)
        log.info("outlook %s", {name: value for name, value in outlook.items() if name != "examples"})
        return [], outlook
    log.info("batches=%s gone=%s", len(manifests), gone)
    return replay.write_manifests(s3, manifests, config), {"gone": gone}


@values_withheld()
def report_replay(outlook: dict[str, Any], loaded: list[dict[str, int]]) -> dict[str, Any]:
    """Returns the expected counts together with the totals of accepted, clean, quarantined and duplicate events."""
    total = {name: sum(counts[name] for counts in loaded) for name in clean_files.COUNTS} if loaded else {}
    log.info("replayed %s", total)
    return outlook | total
