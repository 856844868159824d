"""The warehouse through the Redshift Data API: transactions and small queries.

All SQL is in `include/sql/`. Values are bound parameters. Where Redshift accepts no parameter (names of tables, and the
paths and role of COPY), the file has a `{name}`. It is replaced only by text that matches the pattern allowed for that
name.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from tenacity import before_sleep_log, retry, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from ecommerce_elt.batches.manifests import BATCH_ID
from ecommerce_elt.errors import PermanentError, TransientError, redacted
from ecommerce_elt.feeds import feed_sql
from ecommerce_elt.feeds.contracts import NAME, TABLE
from ecommerce_elt.settings import Settings

if TYPE_CHECKING:
    from types_boto3_redshift_data.client import RedshiftDataAPIServiceClient

log = logging.getLogger(__name__)
Of = TypeVar("Of")
WAIT_SECONDS = 20  # a call can wait up to 30 s for a statement: Data API reference, WaitTimeSeconds
SESSION_SECONDS = 120  # a build's pauses between statements are much shorter
BATCH_MAX_STATEMENTS = 40  # Data API reference, BatchExecuteStatement Sqls

_S3_URL = re.compile(r"^s3://[a-z0-9.-]{3,63}/[A-Za-z0-9_./=-]+$")
# A project has letters, digits and hyphens, optionally after a domain and a colon. Names of data sets and tables are
# words.
_BIGQUERY_TABLE = re.compile(r"^[a-z0-9:.-]{4,63}\.[A-Za-z0-9_]+\.[A-Za-z0-9_]+$")
_PERIODS = r"period_start BETWEEN DATE '\d{4}-\d\d-\d\d' AND DATE '\d{4}-\d\d-\d\d'"
_DAYS = r"\(event_time >= TIMESTAMP '\d{4}-\d\d-\d\d' AND event_time < TIMESTAMP '\d{4}-\d\d-\d\d'\)"


def _totals(text_type: str) -> re.Pattern[str]:
    of_column = rf" \|\| ' [a-z0-9_]+=' \|\| COALESCE\(CAST\((SUM|COUNT)\([a-z0-9_]+\) AS {text_type}\), 'null'\)"
    return re.compile(rf"^'rows=' \|\| CAST\(COUNT\(\*\) AS {text_type}\)({of_column})*$")


ALLOWED = {
    "table": TABLE,
    "period": re.compile(r"^(day|week|month|quarter|season)$"),
    "key": NAME,
    "customer": NAME,
    "staging": TABLE,
    "fact": TABLE,
    "copy_manifest": _S3_URL,
    "delivered_rows": _S3_URL,
    "object_counts": _S3_URL,
    "columns": re.compile(r"^[a-z][a-z0-9_]*(, [a-z][a-z0-9_]*)*$"),
    "known_prefix": _S3_URL,
    "quarantine_rows": _S3_URL,
    "features_prefix": _S3_URL,
    "withdrawn_events": _S3_URL,
    "replaced_values": _S3_URL,
    "forecast_files": _S3_URL,
    "batch_id": BATCH_ID,
    "tables": re.compile(r"^'[a-z0-9_]+\.[a-z0-9_]+'(, '[a-z0-9_]+\.[a-z0-9_]+')*$"),
    "unload_prefix": _S3_URL,
    "warehouse_totals": _totals("VARCHAR"),
    "bigquery_totals": _totals("STRING"),
    "bigquery_table": _BIGQUERY_TABLE,
    "staged_table": _BIGQUERY_TABLE,
    "claim_table": _BIGQUERY_TABLE,
    "bigquery_type": re.compile(r"^(INT64|NUMERIC|BIGNUMERIC|STRING|BOOL|DATE|TIMESTAMP)$"),
    "bigquery_columns": re.compile(r"^`[a-z][a-z0-9_]*`(, `[a-z][a-z0-9_]*`)*$"),
    "export_id": re.compile(r"^[0-9a-f-]{36}$"),
    "replaced": re.compile(rf"^(TRUE|{_PERIODS}( OR {_PERIODS})*|{_DAYS}( OR {_DAYS})*)$"),
    "counted_rows": re.compile(rf"^(TRUE|{_DAYS}( OR {_DAYS})*)$"),
    "copy_role": re.compile(r"^(default|'arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]+')$"),
}

# Errors after which the same transaction is repeated: 1023 serialization, 1018 table created since the snapshot.
_CONFLICT = re.compile(r"ERROR: ?10(23|18)\b|serializable isolation|deadlock", re.IGNORECASE)
# Errors after which a later retry may succeed: lost connections, shutdowns.
_TRANSIENT = re.compile(
    r"connection|terminat|shutdown|restart|timed? ?out|cluster is (busy|paused|resuming)|internal error", re.IGNORECASE
)
SYSTEM_VIEWS = "sys_load_error_detail stl_load_errors"  # the views that error messages of COPY refer to
# Under SERIALIZABLE isolation, writing transactions fail if they cannot be ordered. This LOCK runs them one after the
# other, as the Developer Guide recommends: "Serializable isolation", "How to fix serializable isolation errors".
_TURN = "LOCK ops.turn"
_WRITES = re.compile(r"(?:\s*--.*\n)*\s*(?:INSERT|UPDATE|DELETE|MERGE|COPY|LOCK)\b", re.IGNORECASE)
CONFLICT_TRIES = 6  # including the pauses some 8 s on average, and 15 s at most
CONFLICT_PAUSE_SECONDS = (0.5, 8)  # upper limits of the first pause and of all pauses; each pause is random


class Conflict(TransientError):  # noqa: N818  # a state of the warehouse
    """Another transaction changed data that this one read or changed. This one was rolled back completely."""


def render(sql: str, names: Mapping[str, str]) -> str:
    """Returns `sql` with each `{name}` replaced.

    Raises:
        PermanentError: a name is not given, or a value does not match the pattern allowed for its name.
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
    """One database of a Redshift Serverless workgroup, accessed through a boto3 `redshift-data` client.

    Args:
        client: the boto3 client.
        workgroup: the name of the workgroup.
        database: the name of the database.
        statements: a list to which the id of each statement submitted with a name is appended.
        secret_arn: the ARN of the secret with a database user and password; if empty, the user is the caller's IAM
            role.
        takes_turns: whether writing transactions run one after the other, for a database with SERIALIZABLE isolation.
    """

    client: RedshiftDataAPIServiceClient
    workgroup: str
    database: str
    statements: list[str] = field(default_factory=list, kw_only=True)
    secret_arn: str = field(default="", kw_only=True)
    takes_turns: bool = field(default=False, kw_only=True)

    def target(self) -> dict[str, Any]:
        """Returns the arguments of a call that identify the database."""
        secret = {"SecretArn": self.secret_arn} if self.secret_arn else {}
        return {"WorkgroupName": self.workgroup, "Database": self.database} | secret

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Opens a session of the Data API, whose temporary tables persist between calls of `run` and are private.

        Redshift closes the session SESSION_SECONDS after its last statement.
        """
        opened = self.client.execute_statement(Sql="SELECT 1", SessionKeepAliveSeconds=SESSION_SECONDS, **self.target())
        self.wait(opened["Id"])
        yield Session(
            self.client,
            self.workgroup,
            self.database,
            opened["SessionId"],
            statements=self.statements,
            takes_turns=self.takes_turns,
        )

    @retry(
        retry=retry_if_exception_type(Conflict),
        stop=stop_after_attempt(CONFLICT_TRIES),
        wait=wait_random_exponential(*CONFLICT_PAUSE_SECONDS),
        before_sleep=before_sleep_log(log, logging.WARNING),
        reraise=True,
    )
    def run(self, statements: Sequence[str], parameters: Mapping[str, str] | None = None, *, name: str = "") -> str:
        """Runs the statements as one transaction, waits for its end and returns its id.

        A transaction that conflicts with another is rolled back completely, and is repeated here up to CONFLICT_TRIES
        times.

        Args:
            statements: the statements.
            parameters: the values of the statements' parameters.
            name: the name of the statement in the Data API.

        Raises:
            PermanentError: Redshift refused a statement. The message has the statement and the reason.
            Conflict: the last try conflicted as well.
            TransientError: a restart or a lost connection; a retry may succeed.
        """
        if self.takes_turns and any(_WRITES.match(statement) for statement in statements):
            statements = [_TURN, *statements]
        if len(statements) > BATCH_MAX_STATEMENTS:
            raise PermanentError(f"{len(statements)} statements, a batch takes {BATCH_MAX_STATEMENTS}")
        target = self.target() | {"WaitTimeSeconds": WAIT_SECONDS}
        if name:
            target["StatementName"] = name
        # The Data API rejects parameters that no statement uses.
        used = {k: v for k, v in (parameters or {}).items() if any(re.search(rf":{k}\b", s) for s in statements)}
        if used:
            target["Parameters"] = [{"name": k, "value": v} for k, v in used.items()]
        if len(statements) == 1:
            submitted = self.client.execute_statement(Sql=statements[0], **target)
        else:
            submitted = self.client.batch_execute_statement(Sqls=list(statements), **target)
        if name:
            self.statements.append(submitted["Id"])
        if submitted.get("Status") != "FINISHED":  # it failed or is still running
            self.wait(submitted["Id"])
        return str(submitted["Id"])

    def wait(self, statement_id: str) -> None:
        """Waits until the statement is finished. Raises the same errors as `run`."""
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
                # Values of rows are quoted or numbers. Text of our own SQL is not a value of a row.
                why = redacted(reason, known=f"{failed.get('QueryString', '')} {SYSTEM_VIEWS}")
                message = f"statement {failed['Id']}: {why} in: {' '.join(text.split())[:300]}"
                if _CONFLICT.search(reason):
                    raise Conflict(message)
                raise (TransientError if _TRANSIENT.search(reason) else PermanentError)(message)

    def query(self, sql: str, parameters: Mapping[str, str] | None = None) -> list[tuple[Any, ...]]:
        """Returns the rows of one SELECT. Decimals and times are texts, as in the Data API."""
        return self.table(sql, parameters)[1]

    def table(
        self, sql: str, parameters: Mapping[str, str] | None = None
    ) -> tuple[list[Column], list[tuple[Any, ...]]]:
        """Returns the columns and rows of one SELECT, with values as in `query`."""
        statement_id = self.run([sql], parameters)
        rows: list[tuple[Any, ...]] = []
        token: Any = {}
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


def warehouse(client: RedshiftDataAPIServiceClient, settings: Settings) -> Warehouse:
    takes_turns = settings.redshift_isolation == "serializable"
    return Warehouse(client, settings.workgroup, settings.database, takes_turns=takes_turns)


def role_of(settings: Settings) -> str:
    """Returns the role as COPY and UNLOAD need it in SQL."""
    return settings.copy_role if settings.copy_role == "default" else f"'{settings.copy_role}'"


def chosen(steps: Iterable[tuple[str, Callable[[Of], bool]]], of: Of) -> list[str]:
    """Returns the paths of the statements whose condition holds for `of`, in order."""
    return [path for path, is_part in steps if is_part(of)]


def texts(sql_dir: Path, paths: Iterable[str], names: Mapping[str, str]) -> list[str]:
    """Returns the rendered text of each file. Raises PermanentError as `feed_sql.read` and `render` do."""
    return [render(feed_sql.read(sql_dir, path), names) for path in paths]


def run_file(target: Warehouse, file: Path, names: Mapping[str, str]) -> None:
    """Runs one SQL file as a statement named after its folder. Raises the same errors as `Warehouse.run`."""
    target.run([render(file.read_text("utf-8"), names)], name=file.parent.name)
