"""The tasks of `export_bigquery`, each of which is idempotent, and the comparison for `reconcile_layers`."""

from __future__ import annotations

import logging
import shutil
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import get_current_context
from airflow.sdk.exceptions import AirflowSkipException

from ecommerce_elt import listing
from ecommerce_elt.airflow import lineage
from ecommerce_elt.airflow.clients import client, linked_warehouse, task_warehouse
from ecommerce_elt.airflow.decorators import linked_task, task
from ecommerce_elt.bigquery import comparison, exports, google_clients, storage_transfer
from ecommerce_elt.bigquery import tables as bigquery_tables
from ecommerce_elt.bigquery import views as bigquery_views
from ecommerce_elt.bigquery.exports import Unloaded
from ecommerce_elt.bigquery.google_clients import place_or_skip
from ecommerce_elt.bigquery.place import place
from ecommerce_elt.bigquery.statements import explained_errors
from ecommerce_elt.errors import PermanentError
from ecommerce_elt.feeds.contracts import load_contracts
from ecommerce_elt.reconcile.differences import LOOK_SECONDS, LOOKS, Difference
from ecommerce_elt.settings import settings

log = logging.getLogger(__name__)

ASKED_FOR = {"manual", "operator_triggered"}


def _unloaded(export: dict[str, Any]) -> list[Unloaded]:
    return [Unloaded.of(part) for part in export["tables"]]


@task
def find_tables() -> list[str]:
    """Returns the tables that are out of date in BigQuery.

    Creates missing tables and views, marks all days of new tables, and drops tables that are no longer exported. Skips
    the run if no project is set, if no table is out of date, or if the last export is too recent.
    """
    where, config, target = place_or_skip(settings()), settings(), task_warehouse()
    google, contracts = google_clients.bigquery(where, config), load_contracts(config.include_dir / "feeds")
    for table in exports.no_longer(target, config, contracts):
        # The table is deleted first, because after `forget` no erasure would reach it.
        bigquery_tables.drop(google, where, table)
        exports.forget(target, table, config.sql_dir)
    exported = exports.exported(config, contracts)
    columns = {mart.table: exports.fields(target, mart, contracts) for mart in exported}
    lacking = bigquery_tables.missing(google, where, columns)
    # The days are marked first: after a crash in between, the table is missing again.
    exports.register(target, config, contracts, again=lacking)
    for mart in exported:
        if mart.table in lacking:
            bigquery_tables.create(google, where, mart, columns[mart.table], config.sql_dir)
    made = bigquery_views.create_views(google, where, config.sql_dir)
    behind = exports.stale(target, config.sql_dir)
    log.info("made=%s behind=%s", sorted([*lacking, *made]), behind)
    if not behind:
        raise AirflowSkipException("BigQuery has what the warehouse has")
    age = exports.seconds_since_export(target, config.sql_dir)
    every = timedelta(minutes=config.bigquery_interval_minutes).total_seconds()
    if age is not None and age < every and get_current_context()["dag_run"].run_type not in ASKED_FOR:
        raise AirflowSkipException(f"the last export was {age} s ago; the next is due {every - age:.0f} s from now")
    return [mart.table for mart in exported if mart.table in behind]


@linked_task
def unload_tables(tables: list[str]) -> dict[str, Any]:
    """Claims the data set, writes the changed rows of each table to the lake, and returns the export.

    The export has its id, and the columns, periods and files of each table.
    """
    where, config, export_id = place_or_skip(settings()), settings(), exports.new_export_id()
    # The claim comes before the reads, so that a later claim never reads older rows than this export swaps in.
    bigquery_tables.claim(google_clients.bigquery(where, config), where, export_id, config.sql_dir)
    found, s3, contracts = [], client("s3"), load_contracts(config.include_dir / "feeds")
    with linked_warehouse() as target:
        for mart in (m for m in exports.exported(config, contracts) if m.table in set(tables)):
            columns = exports.unload(target, mart, export_id, config, contracts)
            ranges = exports.periods(target, mart, export_id, config.sql_dir)
            folder = exports.folder_of(export_id, mart.table)
            files = tuple(entry["Key"] for entry in listing.objects(s3, config.bucket, folder))
            found.append(Unloaded(mart.table, columns, ranges, files, mart.subject == exports.FACTS))
    lineage.moved(map(lineage.table, tables), [lineage.folder(f"{exports.UNLOADED}{export_id}")])
    return {"export_id": export_id, "tables": [part.as_json() for part in found]}


@task
def copy_files(export: dict[str, Any]) -> int:
    """Copies the export's files from the lake to Cloud Storage, and returns their number.

    Google's Storage Transfer Service copies them if a setting names the AWS role that it assumes. Otherwise this task
    does.

    Raises:
        PermanentError: the transfer ended without copying all files.
    """
    from ecommerce_elt.batches.clean_files import S3_THREADS

    where, config, s3 = place_or_skip(settings()), settings(), client("s3")
    bucket = google_clients.bucket(where)
    keys = [key for part in _unloaded(export) for key in part.files]
    if config.bigquery_transfer_role_arn and keys:
        storage_transfer.transfer(google_clients.transfer_session(), where, config, export["export_id"])
        with explained_errors():
            there = {f"{exports.UNLOADED}{blob.name}" for blob in bucket.list_blobs(prefix=f"{export['export_id']}/")}
        if lacking := sorted(set(keys) - there):
            raise PermanentError(
                f"Storage Transfer Service has ended without {len(lacking)} of {len(keys)} files, the first is "
                f"{lacking[0]}; expected all of the export in gs://{where.bucket}"
            )
        return len(keys)

    def copy(key: str) -> None:
        with tempfile.TemporaryDirectory(dir=config.work_dir) as folder, explained_errors():
            file = Path(folder) / "part.parquet"
            with file.open("wb") as out:
                shutil.copyfileobj(s3.get_object(Bucket=config.bucket, Key=key)["Body"], out)
            bucket.blob(key.removeprefix(exports.UNLOADED)).upload_from_filename(str(file))

    with ThreadPoolExecutor(S3_THREADS) as pool:
        list(pool.map(copy, keys))
    log.info("files=%s", len(keys))
    return len(keys)


@task
def load_tables(export: dict[str, Any]) -> dict[str, int]:
    """Loads the files into staged tables, and returns the number of rows by table."""
    where, config = place_or_skip(settings()), settings()
    rows = bigquery_tables.load(google_clients.bigquery(where, config), where, _unloaded(export), export["export_id"])
    log.info("rows=%s", rows)
    return rows


@task
def swap_in(export: dict[str, Any]) -> None:
    """Swaps the export into the tables in one transaction, and removes the marks that it processed."""
    where, config, parts = place_or_skip(settings()), settings(), _unloaded(export)
    bigquery_tables.swap(google_clients.bigquery(where, config), where, parts, export["export_id"], config.sql_dir)
    exports.close(task_warehouse(), export["export_id"], config.sql_dir)
    tables = [part.table for part in parts]
    lineage.moved(map(lineage.table, tables), (lineage.bigquery_table(where.table(table)) for table in tables))


@task
def compare_tables(export: dict[str, Any]) -> int:
    """Compares rows and sums of the exported tables with the totals of the export, and returns the number of tables.

    Facts are compared on the exported days only.

    Raises:
        PermanentError: tables differ. The message names each difference. The next export brings all rows of these
            tables.
    """
    where, config, target = place_or_skip(settings()), settings(), task_warehouse()
    parts = _unloaded(export)
    differing = comparison.differences(google_clients.bigquery(where, config), target, where, config.sql_dir, parts)
    if differing:
        exports.register(target, config, load_contracts(config.include_dir / "feeds"), again=differing)
        raise PermanentError(
            "BigQuery differs, docs/runbooks/bigquery-differs.md: "
            + "; ".join(f"{table}: {why}" for table, why in differing.items())
        )
    return len(parts)


@task
def remove_files(export: dict[str, Any]) -> None:
    """Deletes the export's objects in the lake and in Cloud Storage, its staged tables, and its transfer job."""
    where, config, s3, export_id = place_or_skip(settings()), settings(), client("s3"), export["export_id"]
    if config.bigquery_transfer_role_arn:
        storage_transfer.forget(google_clients.transfer_session(), where, export_id)
    bigquery_tables.drop_staged(google_clients.bigquery(where, config), where, _unloaded(export), export_id)
    bucket = google_clients.bucket(where)
    with explained_errors():
        for blob in bucket.list_blobs(prefix=f"{export_id}/"):
            blob.delete()
    for entry in listing.objects(s3, config.bucket, f"{exports.UNLOADED}{export_id}/"):
        s3.delete_object(Bucket=config.bucket, Key=entry["Key"])


@task
def reconcile_bigquery() -> dict[str, Any]:
    """Compares all tables in BigQuery except facts, and returns `differences`, empty if no project is set.

    The comparison is repeated, so that differences caused by a running export are discarded.
    """
    config = settings()
    where = place(config)
    if where is None:
        log.info(google_clients.NOT_SET_UP)
        return {"differences": []}
    google, found = google_clients.bigquery(where, config), dict[str, str]()
    for look in range(LOOKS):
        if look:
            time.sleep(LOOK_SECONDS)
        seen = comparison.differences(google, task_warehouse(), where, config.sql_dir)
        found = {table: why for table, why in seen.items() if not look or table in found}
        if not found:
            break
    differences = [Difference("*", "bigquery", table, why) for table, why in found.items()]
    for difference in differences:
        log.error("%s", difference)
    return {"differences": [asdict(difference) for difference in differences]}
