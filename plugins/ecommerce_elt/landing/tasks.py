"""The tasks for landed files. Each is a function of plain parameters and connects an Airflow task to the logic.

When a task fails, Airflow logs the whole chain of exceptions. Each function is therefore wrapped in `values_withheld`,
which lets no error out whose text may quote the input.
"""

from __future__ import annotations

import logging
from dataclasses import asdict
from typing import Any

from ecommerce_elt.airflow.clients import client, linked_warehouse
from ecommerce_elt.airflow.links import touched_object
from ecommerce_elt.cleaning.task_cleaning import clean_where_needed, with_key
from ecommerce_elt.cleaning.tasks import needs_glue
from ecommerce_elt.errors import PermanentError, values_withheld
from ecommerce_elt.feeds.contracts import Contract, load_contracts
from ecommerce_elt.landing import conversion, replacement_batches, replacing, reports
from ecommerce_elt.landing import files as landing_files
from ecommerce_elt.landing.landed import LandedGroup
from ecommerce_elt.load import invoice_items, known_rows
from ecommerce_elt.load import transaction as load_transaction
from ecommerce_elt.load.known_rows import OnKnown
from ecommerce_elt.load.tasks import load_batch
from ecommerce_elt.readers.flags import Flags
from ecommerce_elt.settings import Settings, settings

log = logging.getLogger(__name__)


def _files_of(conf: dict[str, Any]) -> list[tuple[str, str]]:
    """Returns the key and ETag of each file that a run's parameters name; an empty ETag means the current version."""
    return [(str(file["key"]), file["etag"]) for file in (conf, *(conf.get("more") or []))]


@values_withheld()
def settle_landed_files(runs: list[dict[str, Any]]) -> int:
    """Writes a report for each file whose run wrote none, so that the file is not found again; returns how many."""
    s3, bucket = client("s3"), settings().bucket
    return sum(
        reports.report_unfinished(s3, landing_files.LandedFile(key, etag), run["trigger_run_id"], bucket)
        for run in runs
        for key, etag in _files_of(run["conf"])
    )


@values_withheld()
def land_files(params: dict[str, Any]) -> LandedGroup:
    """Writes the raw objects and manifests of the files that the run's parameters name, and returns the result."""
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
    if params["to_dynamodb"] and contract and contract.feed != invoice_items.DELIVERED_FEED:
        raise PermanentError(
            f"to_dynamodb: DynamoDB has items of {invoice_items.DELIVERED_FEED}, and the file is of {contract.feed}"
        )
    if flags.data_set and len(files) > 1:
        raise PermanentError(f"data_set={flags.data_set!r} names the data of one file, and the run has {len(files)}")
    touched_object(files[0][0])
    return conversion.land_files(client("s3"), files, contracts, flags, config)


@values_withheld()
def batches_to_clean(group: LandedGroup) -> list[str]:
    """Returns the batches that are cleaned in parallel before `check_known_rows`, which compares all of them at once.

    The list is empty if the feed needs no such check. It is also empty for a single batch, which `check_known_rows`
    cleans itself in the same time.
    """
    if len(group.batches) < 2 or not _tells_rows_apart(group):
        return []
    return group.batches


def _tells_rows_apart(group: LandedGroup) -> bool:
    contracts = load_contracts(settings().include_dir / "feeds")
    return contracts[landing_files.feed_of(group.files[0].key)].identity != "file"


@values_withheld()
def clean_batch(batch_id: str, engine: str) -> dict[str, Any]:
    """Cleans a batch of landed files unless it is already clean, and returns its counts; empty if Glue cleans it.

    Args:
        engine: as in `needs_glue`.
    """
    config, s3 = settings(), client("s3")
    if needs_glue(batch_id, engine):
        return {}
    with linked_warehouse() as target:
        is_committed = load_transaction.committed(target, batch_id, config) is not None
    return asdict(clean_where_needed(s3, batch_id, config, committed=is_committed))


@values_withheld()
def check_known_rows(landed: dict[str, Any], on_known: str, engine: str) -> tuple[list[str], dict[str, int]]:
    """Counts the rows of landed files that core has under other ids, and stores the counts for the report.

    Returns the batches to load, and the totals known and beside_known as in `known_rows.Known`. The totals are empty if
    no check was made.

    Args:
        landed: the result of land_files.
        on_known: whether such rows stop the run (stop), are left out of the load (skip), or are loaded again (add).
        engine: as in `needs_glue`.

    Raises:
        PermanentError: such rows exist and `on_known` is stop; or Glue cleans a batch and `on_known` is not add.
    """
    config, s3, choice = settings(), client("s3"), OnKnown(on_known)
    group = LandedGroup.of(landed)
    if not group.batches or not _tells_rows_apart(group):
        return group.batches, {}
    contract = load_contracts(config.include_dir / "feeds")[landing_files.feed_of(group.files[0].key)]
    with linked_warehouse() as target:
        uncommitted = [b for b in group.batches if load_transaction.committed(target, b, config) is None]
        if by_glue := [b for b in uncommitted if needs_glue(b, engine)]:
            if choice is OnKnown.ADD:
                return group.batches, {}
            raise PermanentError(
                f"on_known {choice}: {len(by_glue)} batches are for Glue, and rows are looked for in core before it cleans. Trigger the "
                "run with engine duckdb, or with on_known add"
            )
        cleaned = [clean_where_needed(s3, b, config, committed=b not in uncommitted) for b in group.batches]
        found = known_rows.find(s3, target, cleaned, uncommitted, contract, choice, config)
    total = (
        known_rows.Known(*(sum(each) for each in zip(*found.values(), strict=True))) if found else known_rows.Known()
    )
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
    return group.batches, total._asdict()


@values_withheld()
def replace_rows(
    landed: dict[str, Any], column: str, *, dry_run: bool, to_dynamodb: bool = False
) -> dict[str, dict[str, Any]]:
    """Withdraws the rows from core that a landed file lacks, and restores withdrawn rows that the file has again.

    Args:
        landed: the result of land_files.
        column: the column whose values the file replaces. If it is empty, no row is withdrawn.
        dry_run: reports what would be done, and changes nothing.
        to_dynamodb: whether the items in DynamoDB change as well.

    Returns:
        A mapping from file key to the replacement part of its report. Files with nothing to report are left out.
    """
    config = settings()
    group = LandedGroup.of(landed)
    contract = (
        load_contracts(config.include_dir / "feeds")[landing_files.feed_of(group.files[0].key)] if group.files else None
    )
    if contract is None or contract.identity == "file":
        return {}
    told = {
        file.key: _replace(file.export, column, contract, config, dry_run=dry_run, to_dynamodb=to_dynamodb)
        for file in group.files
    }
    return {key: found for key, found in told.items() if found}


def _replace(
    export: replacing.LandedExport,
    column: str,
    contract: Contract,
    config: Settings,
    *,
    dry_run: bool,
    to_dynamodb: bool,
) -> dict[str, Any]:
    s3, url = client("s3"), replacement_batches.values_url(export, column, config)

    def load(batch_id: str, values: int) -> None:
        load_batch(batch_id, replaced=url if values else None, to_dynamodb=to_dynamodb)

    with linked_warehouse() as target:
        before = None if dry_run else replacement_batches.unfinished(s3, target, export, column, contract, config)
        if before:
            load(before["batch_id"], before["values"])
        found = (
            replacing.plan(s3, target, export, column, contract, with_key(config))
            if column
            else replacing.plan_restored(target, export, contract, config)
        )
        told = found.told()
        if before:
            told["warnings"] = [*before["warnings"], *told["warnings"]]
        if dry_run:
            would = {
                "values": len(found.replaced),
                "rows_withdrawn": found.rows_withdrawn,
                "rows_restored": len(found.restored),
            }
            return {"dry_run": True, "column": column, **would, "first": found.first(), **told}
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
                **told,
            }
        else:
            restored = len(found.restored) + (before or {}).get("restored", 0)
            result = {"rows_restored": restored} if restored else {}
    log.info("file=%s %s", export.key, {name: count for name, count in result.items() if isinstance(count, int)})
    return result


@values_withheld()
def report_files(
    landed: dict[str, Any] | None,
    loaded: list[dict[str, Any]],
    replaced: dict[str, dict[str, Any]] | None = None,
    *,
    dry_run: bool = False,
) -> list[dict[str, Any]]:
    """Writes the report of each file of the run, and returns the reports without rejected lines and zip members.

    Args:
        landed: the result of land_files; None if no file could be read, in which case each file already has its report.
        loaded: id and counts of each batch that was loaded and published.
        replaced: the result of replace_rows; None if that task failed.
        dry_run: whether the run was not meant to load anything.

    Raises:
        PermanentError: a file, or one of its batches, was not loaded.
    """
    if landed is None:
        raise PermanentError("nothing was loaded: look at land_files")
    config = settings()
    group = LandedGroup.of(landed)
    by_batch = {batch["batch_id"]: batch for batch in loaded}
    error = "its rows were not replaced: look at the red task replace_rows of the run" if replaced is None else ""
    found = reports.report_loaded(client("s3"), group, by_batch, config, replaced, dry_run=dry_run, error=error)
    if group.files:
        touched_object(landing_files.LandedFile(group.files[0].key, group.files[0].etag).report_key)
    wrong = [f"{key}: it cannot be loaded" for key in group.failed]
    wrong += [
        f"{file.key}: {report['error']}" for file, report in zip(group.files, found, strict=True) if "error" in report
    ]
    if wrong:
        raise PermanentError(
            f"{len(wrong)} of {len(group.failed) + len(found)} files were not loaded; why is in the report beside each: "
            + "; ".join(wrong[: conversion.FILES_NAMED])
        )
    without = {"rejected", "members"}  # these lists can be as long as the files
    return [{name: value for name, value in report.items() if name not in without} for report in found]
