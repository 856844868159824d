"""The tables of the warehouse that are not marts, the COPY job for Firehose, and the grants."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ecommerce_elt.feeds import feed_sql
from ecommerce_elt.feeds.contracts import Contract
from ecommerce_elt.settings import Settings
from ecommerce_elt.warehouse.redshift import Warehouse, render, texts

SCHEMAS = ("staging", "core", "mart", "ops")
OPS = (
    "batch_audit",
    "batch_object",
    "event_day",
    "known_event",
    "correction",
    "withdrawal",
    "replacement",
    "quarantine_reason",
    "quarantine_closed",
    "reconciliation",
    "reconciled_day",
    "export_day",
    "export_total",
    "exported_table",
    "turn",
)
# Each is a separate statement, in this order.
GRANTS = (
    "access/grant_pipeline_schemas.sql",
    "access/grant_pipeline_tables.sql",
    "access/grant_pipeline_upkeep.sql",
    "access/grant_reader_schemas.sql",
    "access/grant_reader_tables.sql",
)
VIEWS = ("core.firehose_transactions_once", "ops.quarantine")


def tables(contracts: Iterable[Contract]) -> list[str]:
    """Returns the tables with permanent data: those of core and ops, and the table that Firehose fills."""
    core = {table for contract in contracts for table in contract.tables}
    return sorted({*core, "core.firehose_transactions", *(f"ops.{name}" for name in OPS)})


def create_statements(sql_dir: Path, contracts: Iterable[Contract]) -> list[str]:
    """Returns the DDL of all schemas, contracts' tables and other tables. Each statement is idempotent."""
    found = list(contracts)
    schemas = [f"CREATE SCHEMA IF NOT EXISTS {schema}" for schema in SCHEMAS]
    return schemas + ddl(sql_dir, [*(contract.staging for contract in found), *tables(found)])


def ddl(sql_dir: Path, names: Iterable[str]) -> list[str]:
    """Returns the create.sql of each table or view, from a file or generated from a contract."""
    return [feed_sql.read(sql_dir, f"{name.replace('.', '/')}/create.sql") for name in names]


def set_copy_job(target: Warehouse, sql_dir: Path, *, rows: str, role_arn: str, wanted: bool) -> None:
    """Creates or drops the COPY job that loads the files of Firehose, unless this is done already.

    Args:
        target: the warehouse.
        sql_dir: the folder of the SQL.
        rows: the S3 prefix that the job watches. Files that are already there are not loaded.
        role_arn: the ARN of the role for COPY, since a COPY job cannot use the default role.
        wanted: whether the job should exist.

    Raises:
        PermanentError, TransientError: as in `Warehouse.run`.
    """
    folder = sql_dir / "core/firehose_transactions"
    [[jobs]] = target.query((folder / "copy_job_exists.sql").read_text("utf-8"))
    if bool(jobs) == wanted:
        return
    statement = (folder / ("copy_job.sql" if wanted else "drop_copy_job.sql")).read_text("utf-8")
    target.run([render(statement, {"delivered_rows": rows, "copy_role": f"'{role_arn}'"})], name="copy job")


def grant_access(target: Warehouse, sql_dir: Path) -> None:
    """Creates the two roles of the database, and grants them the permissions that they need on the existing tables.

    An IAM role is a separate user in the database, without any permission. An IAM role with the tag RedshiftDbRoles
    gets these database roles: Redshift management guide, "Defining database roles to grant to federated users in Amazon
    Redshift Serverless".

    Raises:
        PermanentError, TransientError: as in `Warehouse.run`.
    """
    folder = sql_dir / "access"
    known = {name for (name,) in target.query((folder / "roles.sql").read_text("utf-8"))}
    for name in ("pipeline", "reader"):
        if f"ecommerce_{name}" not in known:
            target.run([(folder / f"create_{name}.sql").read_text("utf-8")], name="create role")
    for path in GRANTS:
        target.run(texts(sql_dir, [path], {}), name="grant")


def prune(target: Warehouse, settings: Settings) -> None:
    """Deletes the rows of tables in ops that are past their retention."""
    days = {
        "check_results": settings.check_results_days,
        "known_event": settings.check_results_days,
        "quarantine_reason": settings.quarantine_reason_days,
        "quarantine_closed": settings.quarantine_reason_days,
    }
    for table, kept in days.items():
        sql = (settings.sql_dir / f"ops/{table}/prune.sql").read_text("utf-8")
        target.run([sql], {"days": str(kept)}, name=f"prune {table}")
