"""Statements and sessions of the Data API: they are submitted, run in the background, described and fetched later."""

from __future__ import annotations

import contextlib
import re
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from local.protocol import ApiError
from local.redshift import batch
from local.redshift import engine as engine_module
from local.redshift.engine import Engine
from local.redshift.errors import SqlError
from local.redshift.results import Result
from local.redshift.session import Session

ACTIVE_MAX = 200  # active statements of a cluster: Data API quotas
SESSIONS_MAX = 500
KEPT = timedelta(hours=24)  # how long results are kept
CLIENT_TOKENS_KEPT = timedelta(hours=8)
CANCEL_AGAIN_SECONDS = 0.05
ID_PATTERN = r"[a-z0-9]{8}(-[a-z0-9]{4}){3}-[a-z0-9]{12}(:\d+)?"  # from the service model
DONE = {"FINISHED", "FAILED", "ABORTED"}


@dataclass
class Part:
    """One statement, alone or in a batch."""

    id: str
    sql: str
    status: str = "SUBMITTED"
    error: str = ""
    result: Result | None = None
    created: datetime = field(default_factory=lambda: datetime.now(UTC))
    updated: datetime = field(default_factory=lambda: datetime.now(UTC))
    duration_ns: int = -1


@dataclass
class Statement:
    id: str
    parts: list[Part]
    is_batch: bool
    mode: str
    parameters: dict[str, str]
    name: str
    result_format: str
    workgroup: str
    database: str
    session_id: str | None
    session: Session
    status: str = "SUBMITTED"
    error: str = ""
    created: datetime = field(default_factory=lambda: datetime.now(UTC))
    updated: datetime = field(default_factory=lambda: datetime.now(UTC))
    duration_ns: int = -1
    done: threading.Event = field(default_factory=threading.Event)


@dataclass
class KeptSession:
    session: Session
    keep_alive_seconds: int
    busy: bool
    deadline: datetime
    created: datetime = field(default_factory=lambda: datetime.now(UTC))


class Statements:
    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._lock = threading.RLock()
        self._all: dict[str, Statement] = {}  # by id, from the oldest
        self._active: set[str] = set()
        self._tokens: dict[str, tuple[datetime, str]] = {}  # from the oldest
        self._sessions: dict[str, KeptSession] = {}
        self._pool = ThreadPoolExecutor(ACTIVE_MAX, thread_name_prefix="statement")

    def submit(
        self,
        sqls: Sequence[str],
        parameters: Mapping[str, str],
        *,
        is_batch: bool,
        mode: str,
        name: str,
        result_format: str,
        workgroup: str,
        database: str,
        session_id: str | None,
        keep_alive_seconds: int | None,
        client_token: str | None,
    ) -> Statement:
        """Queues the statements and returns at once.

        Raises:
            ApiError: A parameter is unused or missing, or a session does not exist or is busy.
        """
        used = engine_module.parameters_of(sqls) if parameters else set()
        if unused := sorted(parameters.keys() - used):
            raise ApiError(
                "ValidationException", f"Parameters list contains unused parameters. Unused parameters: {unused}"
            )
        if parameters and (missing := sorted(used - parameters.keys())):
            raise ApiError("ValidationException", f"Cannot find parameter: {missing[0]}")
        with self._lock:
            self._forget()
            if client_token and client_token in self._tokens:
                return self._all[self._tokens[client_token][1]]
            if len(self._active) >= ACTIVE_MAX:
                raise ApiError(
                    "ActiveStatementsExceededException", "Active statements exceeded the allowed quota (200)."
                )
            session, kept_id = self._session(session_id, keep_alive_seconds)
            statement_id = str(uuid.uuid4())
            parts = [Part(f"{statement_id}:{i}" if is_batch else statement_id, sql) for i, sql in enumerate(sqls, 1)]
            statement = Statement(
                statement_id,
                parts,
                is_batch,
                mode,
                dict(parameters),
                name,
                result_format,
                workgroup,
                database,
                kept_id,
                session,
            )
            self._all[statement_id] = statement
            self._active.add(statement_id)
            if client_token:
                self._tokens[client_token] = (statement.created, statement_id)
        self._pool.submit(self._run, statement)
        return statement

    def get(self, statement_id: str) -> tuple[Statement, Part | None]:
        """Returns the statement, and its part if the id is `<id>:<n>`."""
        if not re.fullmatch(ID_PATTERN, statement_id):
            raise ApiError(
                "ValidationException", f"id must satisfy regex pattern: ^{ID_PATTERN}$, and '{statement_id}' does not"
            )
        base, _, number = statement_id.partition(":")
        statement = self._all.get(base)
        if not statement or (number and not 1 <= int(number) <= len(statement.parts)):
            raise ApiError("ResourceNotFoundException", "Query does not exist.", ResourceId=statement_id)
        return statement, statement.parts[int(number) - 1] if number else None

    def listed(self) -> list[Statement]:
        return sorted(self._all.values(), key=lambda s: s.created, reverse=True)

    def sessions(self) -> dict[str, KeptSession]:
        with self._lock:
            self._forget()
            return dict(self._sessions)

    def cancel(self, statement_id: str) -> None:
        statement, _ = self.get(statement_id)
        with self._lock:
            if statement.status in DONE:
                raise ApiError(
                    "ValidationException",
                    "Could not cancel a query that is already in FINISHED state."
                    if statement.status == "FINISHED"
                    else f"Could not cancel a query in {statement.status} state.",
                )
            statement.status = "ABORTED"
            statement.updated = datetime.now(UTC)
            self._active.discard(statement.id)
        # An interrupt has no effect between two calls of the engine, so it is sent until the statement ends.
        while not statement.done.wait(CANCEL_AGAIN_SECONDS):
            statement.session.cancel()

    def close(self) -> None:
        for statement in self._all.values():
            if statement.status not in DONE:
                self.cancel(statement.id)
        self._pool.shutdown(wait=True)

    # -----------------------------------------------------------------------------------------------------------

    def _session(self, session_id: str | None, keep_alive_seconds: int | None) -> tuple[Session, str | None]:
        if session_id:
            kept = self._sessions.get(session_id)
            if not kept:
                raise ApiError("ValidationException", f"Session {session_id} does not exist or is closed.")
            if kept.busy:
                raise ApiError("ValidationException", f"Session {session_id} is busy: one query at a time.")
            kept.busy = True
            if keep_alive_seconds is not None:
                kept.keep_alive_seconds = keep_alive_seconds
            return kept.session, session_id
        session = self.engine.session()
        if keep_alive_seconds is None:
            return session, None
        if len(self._sessions) >= SESSIONS_MAX:
            raise ApiError("ActiveSessionsExceededException", "Active sessions exceeded the allowed quota (500).")
        deadline = datetime.now(UTC) + timedelta(seconds=keep_alive_seconds)
        self._sessions[session.id] = KeptSession(session, keep_alive_seconds, busy=True, deadline=deadline)
        return session, session.id

    def _run(self, statement: Statement) -> None:
        started = time.monotonic_ns()
        try:
            with self._lock:
                if statement.status == "ABORTED":
                    return
                statement.status = "STARTED"
            sqls = [part.sql for part in statement.parts]
            mark = time.monotonic_ns()

            def report(index: int, outcome: Result | SqlError) -> None:
                nonlocal mark
                part = statement.parts[index]
                part.duration_ns, mark = time.monotonic_ns() - mark, time.monotonic_ns()
                part.updated = datetime.now(UTC)
                if isinstance(outcome, SqlError):
                    part.status, part.error = "FAILED", str(outcome)
                else:
                    part.status, part.result = "FINISHED", outcome

            is_transaction = statement.mode == "TRANSACTION"
            batch.run(statement.session, sqls, statement.parameters, one_transaction=is_transaction, on_result=report)
            self._finish(statement, "FINISHED", "", started)
        except SqlError as error:
            failed = next((p for p in statement.parts if p.status == "FAILED"), None)
            text = (
                f"Query #{statement.parts.index(failed) + 1} failed with {error}"
                if statement.is_batch and failed
                else str(error)
            )
            self._finish(statement, "FAILED", text, started)
        except Exception as error:  # the service must be able to describe the statement, and logs the error
            self._finish(statement, "FAILED", f"ERROR: internal error of the stand-in: {error!r}", started)
            raise
        finally:
            self._let_go(statement)
            statement.done.set()

    def _finish(self, statement: Statement, status: str, error: str, started_ns: int) -> None:
        with self._lock:
            if statement.status != "ABORTED":
                statement.status, statement.error = status, error
            for part in statement.parts:
                if part.status not in DONE:
                    part.status = "ABORTED"
            statement.duration_ns = time.monotonic_ns() - started_ns
            statement.updated = datetime.now(UTC)
            self._active.discard(statement.id)

    def _let_go(self, statement: Statement) -> None:
        with self._lock:
            kept = self._sessions.get(statement.session_id or "")
            if kept:
                kept.busy = False
                kept.deadline = datetime.now(UTC) + timedelta(seconds=kept.keep_alive_seconds)
                return
        statement.session.close()

    def _forget(self) -> None:
        now = datetime.now(UTC)
        for session_id, kept in list(self._sessions.items()):
            if not kept.busy and kept.deadline <= now:
                with contextlib.suppress(SqlError):  # no client is left to receive an error of its rollback
                    kept.session.close()
                del self._sessions[session_id]
        # Only the oldest are looked at, because a day has hundreds of thousands of statements.
        while self._tokens:
            token, (created, _) = next(iter(self._tokens.items()))
            if now - created <= CLIENT_TOKENS_KEPT:
                break
            del self._tokens[token]
        while self._all:
            statement = next(iter(self._all.values()))
            if statement.status not in DONE or now - statement.updated <= KEPT:
                break
            del self._all[statement.id]
