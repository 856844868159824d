"""The warehouse, through the Redshift Data API: the load of a batch as one transaction, and small queries.

All SQL lies in `include/sql/`. Values are bound parameters. What Redshift takes no parameter for (names of tables, and
the paths and role of COPY) is a `{name}` in the file, filled only with text that has the form allowed for that name.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tenacity import before_sleep_log, retry, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from ecommerce_elt.batches import BATCH_ID
from ecommerce_elt.errors import PermanentError, TransientError, redacted
from ecommerce_elt.feeds import NAME, TABLE, Contract, load_contracts
from ecommerce_elt.lake_files import COUNTS, CleanBatch
from ecommerce_elt.settings import Settings

log = logging.getLogger(__name__)

SCHEMAS = ("staging", "core", "mart", "ops")
OPS = ("batch_audit", "batch_object", "event_day", "known_event", "correction", "quarantine_reason", "quarantine_closed",
       "reconciliation", "reconciled_day")  # fmt: skip
VIEWS = ("core.firehose_transactions_once", "ops.quarantine")
WAIT_SECONDS = 20  # a call waits at most 30 s for a statement to end: Data API reference, WaitTimeSeconds
SESSION_SECONDS = 120  # a build's pauses between statements are far below
BATCH_MAX_STATEMENTS = 40  # Data API reference, BatchExecuteStatement Sqls

_S3_URL = re.compile(r"^s3://[a-z0-9.-]{3,63}/[A-Za-z0-9_./=-]+$")
ALLOWED = {
    "table": TABLE,
    "period": re.compile(r"^(day|week|month|quarter|season)$"),
    "key": NAME,
    "customer": NAME,
    "staging": TABLE,
    "fact": TABLE,
    "copy_manifest": _S3_URL,
    "object_counts": _S3_URL,
    "columns": re.compile(r"^[a-z][a-z0-9_]*(, [a-z][a-z0-9_]*)*$"),
    "known_prefix": _S3_URL,
    "quarantine_rows": _S3_URL,
    "batch_id": BATCH_ID,
    "copy_role": re.compile(r"^(default|'arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]+')$"),
}

# What the same transaction, begun again, cures: 1023 serialization, 1018 table created since the snapshot.
_CONFLICT = re.compile(r"ERROR: ?10(23|18)\b|serializable isolation|deadlock", re.IGNORECASE)
# What a later try can cure: lost connections, shutdowns.
_TRANSIENT = re.compile(
    r"connection|terminat|shutdown|restart|timed? ?out|cluster is (busy|paused|resuming)|internal error", re.IGNORECASE
)
SYSTEM_VIEWS = "sys_load_error_detail stl_load_errors"  # where COPY's message sends its reader
CONFLICT_TRIES = 6  # with the pauses between them some 8 s on average, 15 s at most
CONFLICT_PAUSE_SECONDS = (0.5, 8)  # the longest first pause, and the longest of all; each is drawn at random below it


class Conflict(TransientError):  # noqa: N818  # a state of the warehouse
    """Another transaction changed what this one read or changed; all of this one is rolled back."""


def render(sql: str, names: Mapping[str, str]) -> str:
    """Returns `sql` with each `{name}` replaced.

    Raises:
        PermanentError: a name that is not given, or a value that has not the form allowed for its name.
    """

    def value(found: re.Match[str]) -> str:
        name = found[1]
        if name not in names:
            raise PermanentError(f"SQL asks for {{{name}}}, which is not given; given are {sorted(names)}")
        if not ALLOWED[name].match(names[name]):
            raise PermanentError(f"{name}={names[name]!r} has not the form {ALLOWED[name].pattern}")
        return names[name]

    return re.sub(r"\{([a-z_]+)\}", value, sql)


@dataclass(frozen=True)
class Column:
    """One column of a result: its name and type as the Data API describes them."""

    name: str
    type_name: str
    precision: int
    scale: int


@dataclass(frozen=True)
class Warehouse:
    """One database of a Redshift Serverless workgroup, by a boto3 `redshift-data` client.

    Args:
        statements: gets the id of each statement that was submitted with a name.
    """

    client: Any
    workgroup: str
    database: str
    statements: list[str] = field(default_factory=list, kw_only=True)

    def target(self) -> dict[str, Any]:
        """What a call names the database by."""
        return {"WorkgroupName": self.workgroup, "Database": self.database}

    @contextmanager
    def session(self) -> Iterator[Session]:
        """A session of the Data API: temporary tables live from one `run` to the next, and nobody else sees them.

        Redshift closes it by itself, SESSION_SECONDS after its last statement.
        """
        opened = self.client.execute_statement(Sql="SELECT 1", SessionKeepAliveSeconds=SESSION_SECONDS, **self.target())
        self.wait(opened["Id"])
        yield Session(self.client, self.workgroup, self.database, opened["SessionId"], statements=self.statements)

    @retry(
        retry=retry_if_exception_type(Conflict),
        stop=stop_after_attempt(CONFLICT_TRIES),
        wait=wait_random_exponential(*CONFLICT_PAUSE_SECONDS),
        before_sleep=before_sleep_log(log, logging.WARNING),
        reraise=True,
    )
    def run(self, statements: Sequence[str], parameters: Mapping[str, str] | None = None, *, name: str = "") -> str:
        """Runs the statements as one transaction, waits for its end and returns its id.

        A transaction that conflicts with another is rolled back whole, so it is begun again here, up to CONFLICT_TRIES times.

        Raises:
            PermanentError: Redshift refused a statement; the message names it and says why.
            Conflict: the last try conflicted, too.
            TransientError: a restart or a lost connection: the same again may succeed.
        """
        if len(statements) > BATCH_MAX_STATEMENTS:
            raise PermanentError(f"{len(statements)} statements, a batch takes {BATCH_MAX_STATEMENTS}")
        target = self.target() | {"WaitTimeSeconds": WAIT_SECONDS}
        if name:
            target["StatementName"] = name
        # The Data API refuses a parameter that no statement uses.
        used = {k: v for k, v in (parameters or {}).items() if any(re.search(rf":{k}\b", s) for s in statements)}
        if used:
            target["Parameters"] = [{"name": k, "value": v} for k, v in used.items()]
        if len(statements) == 1:
            submitted = self.client.execute_statement(Sql=statements[0], **target)
        else:
            submitted = self.client.batch_execute_statement(Sqls=list(statements), **target)
        if name:
            self.statements.append(submitted["Id"])
        if submitted.get("Status") != "FINISHED":  # it failed, or takes longer
            self.wait(submitted["Id"])
        return str(submitted["Id"])

    def wait(self, statement_id: str) -> None:
        """Returns when the statement is finished; raises as `run` does."""
        while True:
            try:
                state = self.client.describe_statement(Id=statement_id, WaitTimeSeconds=WAIT_SECONDS)
            except self.client.exceptions.ResourceNotFoundException as error:
                raise TransientError(f"statement {statement_id}: Redshift no longer knows it; it restarted") from error
            if state["Status"] == "FINISHED":
                return
            if state["Status"] in {"FAILED", "ABORTED"}:
                failed = next((s for s in state.get("SubStatements", []) if s["Status"] == "FAILED"), state)
                reason = failed.get("Error") or state.get("Error") or state["Status"]
                text = re.sub(r"^--.*\n", "", failed.get("QueryString", ""), flags=re.MULTILINE)
                # Values of rows are quoted or numbers; what stands in our own SQL is none of them.
                why = redacted(reason, known=f"{failed.get('QueryString', '')} {SYSTEM_VIEWS}")
                message = f"statement {failed['Id']}: {why} in: {' '.join(text.split())[:300]}"
                if _CONFLICT.search(reason):
                    raise Conflict(message)
                raise (TransientError if _TRANSIENT.search(reason) else PermanentError)(message)

    def query(self, sql: str, parameters: Mapping[str, str] | None = None) -> list[tuple[Any, ...]]:
        """Returns the rows of one SELECT. Decimals and times are text, as the Data API gives them."""
        return self.table(sql, parameters)[1]

    def table(
        self, sql: str, parameters: Mapping[str, str] | None = None
    ) -> tuple[list[Column], list[tuple[Any, ...]]]:
        """Returns (columns, rows) of one SELECT, values as `query` gives them."""
        statement_id = self.run([sql], parameters)
        rows: list[tuple[Any, ...]] = []
        token: dict[str, str] = {}
        while True:
            page = self.client.get_statement_result(Id=statement_id, **token)
            rows += [tuple(None if "isNull" in f else next(iter(f.values())) for f in r) for r in page["Records"]]
            if "NextToken" not in page:
                columns = [Column(c["name"], c["typeName"], c["precision"], c["scale"]) for c in page["ColumnMetadata"]]
                return columns, rows
            token = {"NextToken": page["NextToken"]}


@dataclass(frozen=True)
class Session(Warehouse):
    """A Warehouse whose statements all run in one session."""

    session_id: str

    def target(self) -> dict[str, Any]:
        return {"SessionId": self.session_id}


def warehouse(client: Any, settings: Settings) -> Warehouse:
    return Warehouse(client, settings.workgroup, settings.database)


def tables(contracts: Iterable[Contract]) -> list[str]:
    """Returns the tables that keep something: of core, ops and what Firehose fills."""
    core = {table for contract in contracts for table in contract.tables}
    return sorted({*core, "core.firehose_transactions", *(f"ops.{name}" for name in OPS)})


def create_statements(sql_dir: Path, contracts: Iterable[Contract]) -> list[str]:
    """Returns the DDL of all schemas, of the contracts' tables and of those beside them. Each statement is idempotent."""
    found = list(contracts)
    schemas = [f"CREATE SCHEMA IF NOT EXISTS {schema}" for schema in SCHEMAS]
    return schemas + ddl(sql_dir, [*(contract.staging for contract in found), *tables(found)])


def ddl(sql_dir: Path, names: Iterable[str]) -> list[str]:
    """Returns the text of each table's or view's create.sql."""
    return [(sql_dir / name.replace(".", "/") / "create.sql").read_text("utf-8") for name in names]


def role_of(settings: Settings) -> str:
    """Returns what COPY and UNLOAD name their role by."""
    return settings.copy_role if settings.copy_role == "default" else f"'{settings.copy_role}'"


def run_file(target: Warehouse, file: Path, names: Mapping[str, str]) -> None:
    """Runs one SQL file as a statement that is named after its folder. Raises as `Warehouse.run`."""
    target.run([render(file.read_text("utf-8"), names)], name=file.parent.name)


def load_statements(
    batch: CleanBatch, contract: Contract | None, settings: Settings, *, skips: bool = False, skipped: str | None = None
) -> list[str]:
    """Returns the transaction that loads one batch: COPY to staging, audit, check, merge into core.

    Args:
        skips: whether events of the batch may be left out that core has under other ids.
        skipped: where their ids are, if there are any.
    """
    base = f"s3://{settings.bucket}/manifests/{batch.batch_id}"
    names = {
        "object_counts": f"{base}/objects.jsonl",
        "copy_manifest": f"{base}/copy.json",
        "quarantine_rows": f"{base}/quarantine/",
        "copy_role": role_of(settings),
    }
    steps = sorted((settings.sql_dir / "ops/load").glob("*.sql"))
    if contract:
        names |= {"staging": contract.staging, "fact": contract.tables[0]}
        if not batch.clean:  # COPY refuses a manifest without files
            steps = [step for step in steps if step.name != "03_copy_events.sql"]
        for table in contract.tables:
            folder = settings.sql_dir / table.replace(".", "/")
            steps += [folder / name for name in ("unmerge.sql", "merge.sql") if (folder / name).exists()]
        if skips:
            steps += (settings.sql_dir / "ops/load_skipping").glob("*.sql")
            steps.sort(key=lambda step: step.name if step.name[0].isdigit() else "99")
            if skipped:
                names |= {"known_prefix": skipped}
            else:
                steps = [step for step in steps if step.name != "05i_copy_skipped.sql"]
    else:
        without_events = ("04", "05_", "05b", "05c", "07_", "08_", "08b")
        steps = [step for step in steps if step.name.startswith(without_events)]
        steps += (settings.sql_dir / "ops/load_rejected").glob("*.sql")
        steps.sort(key=lambda step: step.name)
    if not batch.quarantined:
        steps = [step for step in steps if "quarantine_rows" not in step.name]
    return [render(step.read_text("utf-8"), names) for step in steps]


def load_batch(
    target: Warehouse, batch: CleanBatch, settings: Settings, *, skips: bool = False, skipped: str | None = None
) -> dict[str, int]:
    """Loads one cleaned batch in one transaction and returns its row of ops.batch_audit.

    A batch that is committed already changes nothing and gives the row of its commit.

    Args:
        skips, skipped: as `load_statements`.

    Raises:
        PermanentError, TransientError: as `Warehouse.run`; nothing of the batch is then visible.
    """
    contract = load_contracts(settings.include_dir / "feeds").get(batch.feed)
    target.run(load_statements(batch, contract, settings, skips=skips, skipped=skipped), name=f"load {batch.batch_id}")
    counts = committed(target, batch.batch_id, settings)
    assert counts is not None
    return counts


def committed(target: Warehouse, batch_id: str, settings: Settings) -> dict[str, int] | None:
    """Returns the row of ops.batch_audit of the batch: count of events by accepted, clean, ...; None where it has none."""
    audit = (settings.sql_dir / "ops/batch_audit/by_batch.sql").read_text("utf-8")
    rows = target.query(audit, {"batch_id": batch_id})
    return dict(zip(COUNTS, rows[0], strict=True)) if rows else None


def prune(target: Warehouse, settings: Settings) -> None:
    """Deletes what the tables in ops kept for long enough."""
    days = {"check_results": settings.check_results_days, "known_event": settings.check_results_days,
            "quarantine_reason": settings.quarantine_reason_days,
            "quarantine_closed": settings.quarantine_reason_days}  # fmt: skip
    for table, kept in days.items():
        sql = (settings.sql_dir / f"ops/{table}/prune.sql").read_text("utf-8")
        target.run([sql], {"days": str(kept)}, name=f"prune {table}")


def loaded_keys(target: Warehouse, sql_dir: Path, feed: str, first_key: str, last_key: str) -> set[str]:
    """Returns the raw keys of the feed, from first to last, that committed batches have."""
    sql = (sql_dir / "ops/batch_object/loaded_keys.sql").read_text("utf-8")
    rows = target.query(sql, {"feed": feed, "first_key": first_key, "last_key": last_key})
    return {row[0] for row in rows}
