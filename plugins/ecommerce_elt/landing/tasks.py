"""The tasks of `load_history` and `watch_landing`.

DAG parsing imports this module, so each task imports the modules that read files itself.
"""

from __future__ import annotations

import logging
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import AssetAlias, get_current_context
from airflow.sdk.exceptions import AirflowSkipException

from ecommerce_elt.airflow import results
from ecommerce_elt.airflow.clients import client, linked_warehouse
from ecommerce_elt.airflow.decorators import linked_task, task
from ecommerce_elt.airflow.defaults import WAREHOUSE
from ecommerce_elt.airflow.links import touched_object
from ecommerce_elt.batches.manifests import feed_of
from ecommerce_elt.errors import PermanentError
from ecommerce_elt.feeds.contracts import Contract, load_contracts
from ecommerce_elt.landing import files as landing_files
from ecommerce_elt.readers.flags import Flags
from ecommerce_elt.settings import Settings, settings

if TYPE_CHECKING:
    from ecommerce_elt.landing.landed import LandedGroup
    from ecommerce_elt.landing.replacing import LandedExport

log = logging.getLogger(__name__)

REPLACED = AssetAlias("ecommerce_warehouse_replaced")  # of the warehouse, where rows were taken out or came back


def _files_of(conf: dict[str, Any]) -> list[tuple[str, str]]:
    """Returns the key and ETag of each file that a run's parameters name; an empty ETag means the current version."""
    return [(str(file["key"]), file["etag"]) for file in (conf, *(conf.get("more") or []))]


@task(trigger_rule="all_done")
def report_unfinished_files(runs: list[dict[str, Any]] | None) -> int:
    """Writes a report for each file whose run wrote none, so that the file is not found again; returns how many."""
    from ecommerce_elt.landing.reports import report_unfinished

    if not runs:
        raise AirflowSkipException("no file came")
    s3, bucket = client("s3"), settings().bucket
    return sum(
        report_unfinished(s3, landing_files.LandedFile(key, etag), run["trigger_run_id"], bucket)
        for run in runs
        for key, etag in _files_of(run["conf"])
    )


@linked_task(execution_timeout=timedelta(hours=6))
def land_files(*, params: dict[str, Any], ti: Any) -> list[str]:
    """Writes the raw objects and manifests of the files that the run's parameters name, for the tasks after it.

    Returns the batches that `clean_batch` cleans in parallel.
    """
    from ecommerce_elt.landing import conversion, replacing
    from ecommerce_elt.load.invoice_items import DELIVERED_FEED

    config = settings()
    contracts = load_contracts(config.include_dir / "feeds")
    flags = Flags(
        encoding=params["encoding"] or None,
        delimiter=params["delimiter"] or None,
        date_order=params["date_order"] or None,
        decimal_comma=params["decimal_comma"],
        sheet=params["sheet"] or None,
        columns=params["columns"],
        data_set=params["data_set"] or None,
        event_version=params["event_version"],
        identity=params["identity"] or None,
    )
    files = [(key, etag or None) for key, etag in _files_of(params)]
    if contract := contracts.get(landing_files.feed_of(files[0][0])):
        replacing.check(params, contract)
    if params["to_dynamodb"] and contract and contract.feed != DELIVERED_FEED:
        raise PermanentError(f"to_dynamodb: DynamoDB has items of {DELIVERED_FEED}, and the file is of {contract.feed}")
    if flags.data_set and len(files) > 1:
        raise PermanentError(f"data_set={flags.data_set!r} names the data of one file, and the run has {len(files)}")
    touched_object(files[0][0])
    group = conversion.land_files(client("s3"), files, contracts, flags, config)
    ti.xcom_push(key="landed", value=asdict(group))
    return _batches_to_clean(group)


def _batches_to_clean(group: LandedGroup) -> list[str]:
    """Returns the batches that are cleaned in parallel before `check_known_rows`, which compares all of them at once.

    The list is empty if the feed needs no such check. It is also empty for a single batch, which `check_known_rows`
    cleans itself in the same time.
    """
    return group.batches if len(group.batches) > 1 and _contract_of(group) else []


def _contract_of(group: LandedGroup) -> Contract | None:
    """Returns the contract of the landed files; None if there are none, or if the ids of their rows are no values."""
    if not group.files:
        return None
    contract = load_contracts(settings().include_dir / "feeds")[landing_files.feed_of(group.files[0].key)]
    return None if contract.identity == "file" else contract


@linked_task(execution_timeout=timedelta(hours=2), map_index_template="{{ feed }}")
def clean_batch(batch_id: str, *, params: dict[str, Any]) -> dict[str, Any]:
    """Cleans a batch of landed files unless it is already clean, and returns its counts; empty if Glue cleans it."""
    from ecommerce_elt.cleaning.task_cleaning import clean_where_needed, needs_glue
    from ecommerce_elt.load.transaction import committed

    get_current_context()["feed"] = feed_of(batch_id)  # for map_index_template
    config, s3 = settings(), client("s3")
    if needs_glue(batch_id, params["engine"]):
        return {}
    with linked_warehouse() as target:
        is_committed = committed(target, batch_id, config) is not None
    return asdict(clean_where_needed(s3, batch_id, config, committed=is_committed))


@linked_task(execution_timeout=timedelta(hours=2), trigger_rule="none_failed")
def check_known_rows(*, params: dict[str, Any], ti: Any) -> list[str]:
    """Counts the rows of landed files that core has under other ids, and stores the counts for the report.

    Returns the batches to load.
    """
    from ecommerce_elt.landing.landed import LandedGroup

    group = LandedGroup.of(ti.xcom_pull(task_ids="land_files", key="landed"))
    ti.xcom_push(key="known_rows", value=_known_rows(group, params["on_known"], params["engine"]))
    return [] if params["dry_run"] else group.batches


def _known_rows(group: LandedGroup, on_known: str, engine: str) -> dict[str, int]:
    """Returns the totals known and beside_known as in `known_rows.Known`; empty if no check was made.

    Args:
        group: the landed files.
        on_known: whether such rows stop the run (stop), are left out of the load (skip), or are loaded again (add).
        engine: as in `needs_glue`.

    Raises:
        PermanentError: such rows exist and `on_known` is stop; or Glue cleans a batch and `on_known` is not add.
    """
    from ecommerce_elt.cleaning.task_cleaning import clean_where_needed, needs_glue
    from ecommerce_elt.load.known_rows import Known, OnKnown, find
    from ecommerce_elt.load.transaction import committed

    config, s3, choice, contract = settings(), client("s3"), OnKnown(on_known), _contract_of(group)
    if not group.batches or contract is None:
        return {}
    with linked_warehouse() as target:
        uncommitted = [b for b in group.batches if committed(target, b, config) is None]
        if by_glue := [b for b in uncommitted if needs_glue(b, engine)]:
            if choice is OnKnown.ADD:
                return {}
            raise PermanentError(
                f"on_known {choice}: {len(by_glue)} batches are for Glue, and rows are looked for in core before it cleans. Trigger the "
                "run with engine duckdb, or with on_known add"
            )
        cleaned = [clean_where_needed(s3, b, config, committed=b not in uncommitted) for b in group.batches]
        found = find(s3, target, cleaned, uncommitted, contract, choice, config)
    total = Known(*(sum(each) for each in zip(*found.values(), strict=True))) if found else Known()
    log.info("feed=%s known=%s beside_known=%s on_known=%s", contract.feed, *total, choice)
    if total.known and choice is OnKnown.STOP:
        by_file = {
            file.key: sum(
                each.known
                for key, each in found.items()
                if key.startswith(tuple(part.raw_prefix for part in file.parts))
            )
            for file in group.files
        }
        named = ", ".join(f"{key}: {count:,}" for key, count in by_file.items() if count)
        raise PermanentError(
            f"{total.known:,} rows are in {contract.tables[0]} under other ids, sent by the shop itself or loaded before ids were made "
            f"of values ({named}). Nothing of this run is loaded. Trigger load_history with the same parameters and on_known: skip, "
            "which loads the others alone; or add, which has these rows twice. docs/overlapping-exports.md"
        )
    return total._asdict()


# One at a time: what a file lacks is found and taken out without another file in between.
@linked_task(
    trigger_rule="none_failed", max_active_tis_per_dag=1, outlets=[REPLACED], execution_timeout=timedelta(hours=2)
)
def replace_rows(*, params: dict[str, Any], ti: Any, outlet_events: Any) -> dict[str, dict[str, Any]]:
    """Withdraws the rows from core that a landed file lacks, and restores withdrawn rows that the file has again.

    Returns a mapping from file key to the replacement part of its report. Files with nothing to report are left out.
    """
    from ecommerce_elt.landing.landed import LandedGroup

    group, dry_run = LandedGroup.of(ti.xcom_pull(task_ids="land_files", key="landed")), params["dry_run"]
    contract = _contract_of(group)
    if contract is None:
        return {}
    reports = {file.key: _replace(file.export, contract, settings(), params) for file in group.files}
    if not dry_run and any(file.get("rows_withdrawn") or file.get("rows_restored") for file in reports.values()):
        outlet_events[REPLACED].add(WAREHOUSE)
    return {key: found for key, found in reports.items() if found}


def _replace(export: LandedExport, contract: Contract, config: Settings, params: dict[str, Any]) -> dict[str, Any]:
    from ecommerce_elt.cleaning.task_cleaning import with_key
    from ecommerce_elt.landing import replacement_batches, replacing
    from ecommerce_elt.load.batch_load import load_batch

    column, dry_run = params["replace_by"], params["dry_run"]  # if the column is empty, no row is withdrawn
    s3, url = client("s3"), replacement_batches.values_url(export, column, config)

    def load(batch_id: str, values: int) -> None:
        load_batch(batch_id, replaced=url if values else None, to_dynamodb=params["to_dynamodb"])

    with linked_warehouse() as target:
        before = None if dry_run else replacement_batches.unfinished(s3, target, export, column, contract, config)
        if before:
            load(before["batch_id"], before["values"])
        found = (
            replacing.plan(s3, target, export, column, contract, with_key(config))
            if column
            else replacing.plan_restored(target, export, contract, config)
        )
        reports = found.report()
        if before:
            reports["warnings"] = [*before["warnings"], *reports["warnings"]]
        if dry_run:
            would = {
                "values": len(found.replaced),
                "rows_withdrawn": found.rows_withdrawn,
                "rows_restored": len(found.restored),
            }
            return {"dry_run": True, "column": column, **would, "first": found.first(), **reports}
        if found.replaced or found.rows_withdrawn or found.restored:
            batch_id = replacement_batches.write(s3, target, found, export, column, contract, config)
            if batch_id:
                load(batch_id, len(found.replaced))
            elif found.replaced:
                replacement_batches.keep_values(target, url, config)
        replacement_batches.finish(s3, export, column, config)
        if column:
            result = {
                "column": column,
                **replacement_batches.replaced(target, export, column, contract, config),
                **reports,
            }
        else:
            restored = len(found.restored) + (before or {}).get("restored", 0)
            result = {"rows_restored": restored} if restored else {}
    log.info("file=%s %s", export.key, {name: count for name, count in result.items() if isinstance(count, int)})
    return result


@linked_task(trigger_rule="all_done")
def report_files(*, params: dict[str, Any], ti: Any) -> list[dict[str, Any]]:
    """Writes the report of each file of the run, and returns the reports without rejected lines and zip members.

    Raises:
        PermanentError: a file, or one of its batches, was not loaded.
    """
    from ecommerce_elt.landing.conversion import FILES_NAMED
    from ecommerce_elt.landing.landed import LandedGroup
    from ecommerce_elt.landing.reports import report_loaded

    landed, replaced = ti.xcom_pull(task_ids="land_files", key="landed"), ti.xcom_pull(task_ids="replace_rows")
    if landed is None:  # no file could be read, and each already has its report
        raise PermanentError("nothing was loaded: look at land_files")
    group, config, dry_run = LandedGroup.of(landed), settings(), params["dry_run"]
    by_batch = {batch["batch_id"]: batch for batch in results.of_mapped(ti, "load_batch")}
    error = "its rows were not replaced: look at the red task replace_rows of the run" if replaced is None else ""
    found = report_loaded(client("s3"), group, by_batch, config, replaced, dry_run=dry_run, error=error)
    if group.files:
        touched_object(landing_files.LandedFile(group.files[0].key, group.files[0].etag).report_key)
    wrong = [f"{key}: it cannot be loaded" for key in group.failed]
    wrong += [
        f"{file.key}: {report['error']}" for file, report in zip(group.files, found, strict=True) if "error" in report
    ]
    if wrong:
        raise PermanentError(
            f"{len(wrong)} of {len(group.failed) + len(found)} files were not loaded; why is in the report beside each: "
            + "; ".join(wrong[:FILES_NAMED])
        )
    without = {"rejected", "members"}  # these lists can be as long as the files
    return [{name: value for name, value in report.items() if name not in without} for report in found]
