"""COPY jobs, which run a COPY automatically for each new file below a prefix.

Implemented as on AWS: the commands; a file is loaded once by its name; files from before the job are not loaded; a file
that cannot be loaded is skipped from then on; the options that the COPY of a job cannot have; and the views
sys_copy_job and sys_copy_job_detail. On AWS an S3 event integration reports new files. Here the prefix is listed,
because the local cloud has no integrations. Source: Redshift Database Developer Guide, COPY JOB, SYS_COPY_JOB and
SYS_COPY_JOB_DETAIL.
"""

from __future__ import annotations

import logging
import math
import re
import threading
import time
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import duckdb
from botocore.exceptions import BotoCoreError, ClientError

from local.redshift.catalog import SYSTEM_SCHEMA, Column
from local.redshift.copy_errors import DETAILS_MAX
from local.redshift.copy_from_s3 import LoadError, parse_copy, run_copy
from local.redshift.errors import SqlError, from_duckdb, syntax_error
from local.redshift.names import bare, quoted_name, split
from local.redshift.results import Result

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client
    from types_boto3_s3.type_defs import ObjectTypeDef

    from local.redshift.engine import Engine
    from local.redshift.session import Session

log = logging.getLogger("redshift.copy_jobs")

LOOK_SECONDS = 1.0  # between two listings of the names after the last known one
FILES_A_COPY = 100
JOBS, FILES = f"{SYSTEM_SCHEMA}.copy_job", f"{SYSTEM_SCHEMA}.copy_job_file"
BOOTSTRAP = f"""
CREATE TABLE IF NOT EXISTS {JOBS} (job_id BIGINT, job_name VARCHAR, copy_sql VARCHAR, is_auto BOOLEAN);
CREATE TABLE IF NOT EXISTS {FILES} (
    job_id BIGINT, file_name VARCHAR, file_size BIGINT, file_etag VARCHAR, modification_time TIMESTAMP, enqueue_time TIMESTAMP,
    status VARCHAR
);
CREATE OR REPLACE VIEW main.sys_copy_job AS
    SELECT job_id, job_name, regexp_extract(copy_sql, '(?i)IAM_ROLE\\s+''([^'']+)''', 1) AS iam_role,
        copy_sql[:256] AS job_text, CAST(is_auto AS INTEGER) AS is_auto, 0 AS on_error_suspend
    FROM {JOBS};
CREATE OR REPLACE VIEW main.sys_copy_job_detail AS
    SELECT 100 AS user_id, current_database() AS database_name, job_id, job_name,
        regexp_extract(copy_sql, 's3://([^/'']+)', 1) AS file_location, file_name, file_size, file_etag, copy_sql[:256] AS job_text,
        modification_time, enqueue_time, status
    FROM {FILES} JOIN {JOBS} USING (job_id) WHERE status <> '{{before}}';
""".replace("{before}", "B")
BEFORE, INGESTED, FAILED = "B", "I", "E"  # B: existed when the job was created, and is not loaded

_CREATE = re.compile(
    r"(?P<copy>COPY\b.*)\bJOB\s+CREATE\s+(?P<name>\S+?)(?:\s+AUTO\s+(?P<auto>ON|OFF))?\s*;?", re.IGNORECASE | re.DOTALL
)
_OTHER = re.compile(
    r"COPY\s+JOB\s+(?P<what>ALTER|RUN|LIST|SHOW|DROP)(?:\s+(?P<name>[^\s;]+))?(?:\s+AUTO\s+(?P<auto>ON|OFF))?\s*;?",
    re.IGNORECASE,
)
_NAME = re.compile(r"\w+")  # "job-name can't contain hyphens"
_REFUSED = ("MANIFEST", "MAXERROR", "IGNOREALLERRORS")


@dataclass(frozen=True)
class Job:
    id: int
    name: str
    copy_sql: str
    is_auto: bool

    @property
    def place(self) -> tuple[str, str]:
        """The bucket and the prefix."""
        bucket, _, prefix = parse_copy(self.copy_sql).source.removeprefix("s3://").partition("/")
        return bucket, prefix


def copied(session: Session, sql: str, urls: list[str] | None = None) -> int:
    """Runs COPY in the session's transaction and returns the rows loaded.

    Args:
        urls: the files, if they are already known.

    Raises:
        SqlError, LoadError: as `run_copy`.
    """

    def columns(table: str) -> list[Column]:
        session.lock([table])
        session.begin()
        session.note(writes=[table])
        return session.catalog.columns(session.con, *split(table))

    engine = session.engine
    table, rows, blanks, passed = run_copy(session.con, engine.s3, sql, columns, quoted_name, engine.folder, urls)
    schema, name = split(table)
    place = "" if not schema and name in session.temporary else schema or "public"
    session.mark_blanks(place, name, columns(table), blanks)
    if passed:  # MAXERROR allowed these errors, which stay readable
        engine.record_load_errors(LoadError(table, passed[:DETAILS_MAX]), session)
    return rows


def is_about_a_job(sql: str) -> bool:
    text = bare(sql)
    return bool(
        _OTHER.fullmatch(text) or re.search(r"\bJOB\s+(CREATE|ALTER|RUN|LIST|SHOW|DROP)\b", text, re.IGNORECASE)
    )


def run(session: Session, sql: str, in_transaction: bool) -> Result:
    """Runs one command about jobs.

    Raises:
        SqlError: The command is invalid, or its job does not exist.
    """
    text = bare(sql)
    if found := _OTHER.fullmatch(text):
        return _other(session, found, sql, in_transaction)
    copy_sql, name, is_auto = parse_create(sql)
    if in_transaction:
        raise SqlError("ERROR: COPY JOB CREATE cannot run inside a transaction block")
    _create(session, copy_sql, name, is_auto=is_auto)
    return Result(touched=0)


def parse_create(sql: str) -> tuple[str, str, bool]:
    """Returns (COPY command, name, whether it is AUTO ON) of COPY ... JOB CREATE.

    Raises:
        SqlError: It is not such a command, or it has an option that a job cannot have.
    """
    text = bare(sql)
    found = _CREATE.fullmatch(text)
    if not found:
        raise syntax_error(sql, text.split()[-1])
    copy_sql, name = found["copy"].strip(), found["name"].lower()
    if not _NAME.fullmatch(name):
        raise SqlError(f'ERROR: Invalid job name "{name}": letters, digits and underscores are expected')
    if refused := [word for word in _REFUSED if re.search(rf"\b{word}\b", copy_sql, re.IGNORECASE)]:
        raise SqlError(f"ERROR: {refused[0]} is not supported with COPY JOB")
    parse_copy(copy_sql)
    if not re.search(r"\bIAM_ROLE\s+'", copy_sql, re.IGNORECASE):
        raise SqlError("ERROR: COPY JOB needs IAM_ROLE with the ARN of a role; the default role is not supported")
    return copy_sql, name, (found["auto"] or "ON").upper() == "ON"


def _create(session: Session, copy_sql: str, name: str, *, is_auto: bool) -> None:
    session.engine.require_table(*split(parse_copy(copy_sql).table))
    session.begin()
    if _jobs(session.con, name):
        raise SqlError(f'ERROR: copy job "{name}" already exists')
    job_id = time.time_ns() // 1000  # unique: the watcher may know files of a dropped job
    session.con.execute(f"INSERT INTO {JOBS} VALUES (?, ?, ?, ?)", [job_id, name, copy_sql, is_auto])
    job = Job(job_id, name, copy_sql, is_auto)
    _note(session.con, job, _listed(session.engine.s3, job, ""), BEFORE)


def _other(session: Session, found: re.Match[str], sql: str, in_transaction: bool) -> Result:
    what, name = found["what"].upper(), (found["name"] or "").lower()
    session.begin()
    if what == "LIST":
        rows = session.con.execute("SELECT job_id, job_name, is_auto FROM main.sys_copy_job ORDER BY job_id").fetchall()
        columns = [Column("job_id", "BIGINT"), Column("job_name", "VARCHAR", 128), Column("is_auto", "INT")]
        return Result(columns, rows, has_rows=True, size_bytes=0)
    if not name:
        raise syntax_error(sql, "end of input")
    jobs = _jobs(session.con, name)
    if not jobs:
        raise SqlError(f'ERROR: copy job "{name}" does not exist')
    [job] = jobs
    if what == "SHOW":
        row = (job.id, job.name, job.copy_sql, int(job.is_auto))
        columns = [
            Column("job_id", "BIGINT"),
            Column("job_name", "VARCHAR", 128),
            Column("job_text", "VARCHAR", 65535),
            Column("is_auto", "INT"),
        ]
        return Result(columns, [row], has_rows=True, size_bytes=0)
    if what == "DROP":
        if in_transaction:
            raise SqlError("ERROR: COPY JOB DROP cannot run inside a transaction block")
        session.con.execute(f"DELETE FROM {FILES} WHERE job_id = ?", [job.id])
        session.con.execute(f"DELETE FROM {JOBS} WHERE job_id = ?", [job.id])
    elif what == "ALTER":
        if not found["auto"]:
            raise syntax_error(sql, "end of input")
        session.con.execute(f"UPDATE {JOBS} SET is_auto = ? WHERE job_id = ?", [found["auto"].upper() == "ON", job.id])
    else:
        session.end("COMMIT")
        load_new(session.engine, job, "")
    return Result(touched=0)


def _jobs(con: duckdb.DuckDBPyConnection, name: str = "") -> list[Job]:
    rows = con.execute(f"SELECT job_id, job_name, copy_sql, is_auto FROM {JOBS} WHERE ? IN ('', job_name)", [name])
    return [Job(*row) for row in rows.fetchall()]


# -- files ----------------------------------------------------------------------------------------------------------


def _listed(s3: S3Client, job: Job, after: str) -> list[ObjectTypeDef]:
    bucket, prefix = job.place
    start: Any = {"StartAfter": after} if after else {}
    try:
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix, **start)
        return [found for page in pages for found in page.get("Contents", []) if found["Size"]]
    except (ClientError, BotoCoreError) as error:
        raise SqlError(f"ERROR: S3ServiceException:{error}, Bucket {bucket}") from error


def _note(con: duckdb.DuckDBPyConnection, job: Job, files: list[ObjectTypeDef], status: str) -> None:
    now = datetime.now(UTC).replace(tzinfo=None)
    rows = [
        (job.id, f["Key"], f["Size"], f["ETag"].strip('"'), f["LastModified"].replace(tzinfo=None), now, status)
        for f in files
    ]
    if rows:
        con.executemany(f"INSERT INTO {FILES} VALUES (?, ?, ?, ?, ?, ?, ?)", rows)


def load_new(engine: Engine, job: Job, after: str) -> str:
    """Loads each unknown file below the job's prefix once, and returns the last name.

    Args:
        after: the name after which the listing begins; empty lists all files.

    Raises:
        SqlError: S3 cannot be reached. Nothing is recorded, so the same files are tried again.
    """
    listed = _listed(engine.s3, job, after)
    known = {
        name
        for (name,) in engine.rows(f"SELECT file_name FROM {FILES} WHERE job_id = ? AND file_name > ?", [job.id, after])
    }
    new = [found for found in listed if found["Key"] not in known]
    for start in range(0, len(new), FILES_A_COPY):
        some = new[start : start + FILES_A_COPY]
        if not _loaded(engine, job, some) and len(some) > 1:
            for one in some:  # so that an invalid file does not block a valid one
                _loaded(engine, job, [one])
    return max(after, *(str(found["Key"]) for found in listed)) if listed else after


def _loaded(engine: Engine, job: Job, files: list[ObjectTypeDef]) -> bool:
    """Copies the files and records them in one transaction. A single file that does not fit is recorded as failed."""
    bucket, _ = job.place
    with closing(engine.session()) as session:
        try:
            copied(session, job.copy_sql, [f"s3://{bucket}/{found['Key']}" for found in files])
            _note(session.con, job, files, INGESTED)
            session.end("COMMIT")
        except (SqlError, LoadError, duckdb.Error) as raised:
            session.end("ROLLBACK")
            error = from_duckdb(str(raised), job.copy_sql) if isinstance(raised, duckdb.Error) else raised
            if "S3ServiceException" in str(error):
                raise error from raised
            if len(files) == 1:
                if isinstance(error, LoadError):
                    engine.record_load_errors(error, session)
                log.error("job=%s file=%s is skipped: %s", job.name, files[0]["Key"], error)
                session.begin()
                _note(session.con, job, files, FAILED)
                session.end("COMMIT")
            return False
    return True


class Watcher(threading.Thread):
    """Loads new files of the jobs that are AUTO ON."""

    def __init__(self, engine: Engine, look_at_all_seconds: float) -> None:
        super().__init__(name="copy-jobs", daemon=True)
        self.engine, self.look_at_all_seconds = engine, look_at_all_seconds
        self._stopping = threading.Event()
        self._last: dict[int, str] = {}
        self._looked_at_all: dict[int, float] = {}

    def stop(self) -> None:
        self._stopping.set()
        self.join()

    def run(self) -> None:
        while not self._stopping.wait(LOOK_SECONDS):
            with closing(self.engine.database.cursor()) as con:
                jobs = [job for job in _jobs(con) if job.is_auto]
            for job in jobs:
                self._look(job)

    def _look(self, job: Job) -> None:
        now = time.monotonic()
        at_all = now - self._looked_at_all.get(job.id, -math.inf) >= self.look_at_all_seconds
        try:
            self._last[job.id] = load_new(self.engine, job, "" if at_all else self._last.get(job.id, ""))
        except SqlError as error:
            log.warning("job=%s cannot look for files: %s", job.name, error)
            return
        if at_all:
            self._looked_at_all[job.id] = now
