"""The history of statements: the rows of SYS_QUERY_HISTORY.

Each statement is recorded in memory, which takes a few microseconds. The rows are written when a query reads them, to
an in-memory database, so that they are not part of any transaction. Values that are not measured here are NULL. Source:
Redshift Developer Guide, SYS_QUERY_HISTORY.
"""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import duckdb

from local.redshift import dialect
from local.redshift.errors import SqlError
from local.redshift.results import Result

if TYPE_CHECKING:
    from local.redshift.session import Session

DATABASE = "redshift_standin_history"
KEPT_QUERIES = 10_000
TEXT_MAX = 4000  # characters of query_text
ERROR_MAX = 512
USER_ID = 100
BOOTSTRAP = f"""
ATTACH ':memory:' AS {DATABASE};
CREATE TABLE {DATABASE}.main.queries (
    query_id BIGINT, query_label VARCHAR, transaction_id BIGINT, session_id INTEGER, query_type VARCHAR, status VARCHAR,
    start_us BIGINT, end_us BIGINT, error_message VARCHAR, returned_rows BIGINT, query_text VARCHAR
);
"""
_STRUCTURE = (
    '[{"query_id":"BIGINT","query_label":"VARCHAR","transaction_id":"BIGINT","session_id":"INTEGER","query_type":"VARCHAR",'
    '"status":"VARCHAR","start_us":"BIGINT","end_us":"BIGINT","error_message":"VARCHAR","returned_rows":"BIGINT",'
    '"query_text":"VARCHAR"}]'
)
CHARS = {  # columns of type CHAR, with their lengths
    "query_label": 320,
    "database_name": 128,
    "query_type": 32,
    "status": 10,
    "error_message": ERROR_MAX,
    "query_text": TEXT_MAX,
    "redshift_version": 256,
    "usage_limit": 150,
    "service_class_name": 64,
    "query_priority": 20,
    "short_query_accelerated": 10,
    "user_query_hash": 40,
    "generic_query_hash": 40,
}
VIEW = f"""
    SELECT {USER_ID} AS user_id, query_id, query_label, transaction_id, session_id, '{{database}}' AS database_name, query_type,
        status, FALSE AS result_cache_hit, make_timestamp(start_us) AS start_time, make_timestamp(end_us) AS end_time,
        end_us - start_us AS elapsed_time, CAST(0 AS BIGINT) AS queue_time, CAST(NULL AS BIGINT) AS execution_time, error_message,
        returned_rows, CAST(NULL AS BIGINT) AS returned_bytes, query_text, CAST(NULL AS VARCHAR) AS redshift_version,
        CAST(NULL AS VARCHAR) AS usage_limit, CAST(NULL AS VARCHAR) AS compute_type, CAST(NULL AS BIGINT) AS compile_time,
        CAST(NULL AS BIGINT) AS planning_time, CAST(NULL AS BIGINT) AS lock_wait_time, CAST(NULL AS INTEGER) AS service_class_id,
        CAST(NULL AS VARCHAR) AS service_class_name, CAST(NULL AS VARCHAR) AS query_priority,
        CAST(NULL AS VARCHAR) AS short_query_accelerated, CAST(NULL AS VARCHAR) AS user_query_hash,
        CAST(NULL AS VARCHAR) AS generic_query_hash, CAST(NULL AS INTEGER) AS query_hash_version,
        CAST(NULL AS BIGINT) AS result_cache_query_id
    FROM {DATABASE}.main.queries"""

_TYPES = {"SELECT": "SELECT", "WITH": "SELECT", "(": "SELECT"} | {
    word: word for word in ("INSERT", "UPDATE", "DELETE", "MERGE", "COPY", "UNLOAD")
}
_TYPES |= dict.fromkeys(("CREATE", "ALTER", "DROP", "TRUNCATE", "GRANT", "REVOKE", "COMMENT", "REFRESH"), "DDL")


@dataclass(slots=True)
class Entry:
    """One statement."""

    query_id: int
    label: str
    session_id: int
    sql: str
    start_us: int
    status: str = "running"
    end_us: int | None = None
    transaction_id: int | None = None
    error: str | None = None
    rows: Any = None  # number of returned rows, or their counter while the client reads

    def as_row(self) -> dict[str, Any]:
        returned = self.rows if isinstance(self.rows, int | None) else self.rows.taken
        return {
            "query_id": self.query_id,
            "query_label": self.label,
            "transaction_id": self.transaction_id,
            "session_id": self.session_id,
            "query_type": query_type(self.sql),
            "status": self.status,
            "start_us": self.start_us,
            "end_us": self.end_us,
            "error_message": self.error,
            "returned_rows": returned,
            "query_text": self.sql[:TEXT_MAX],
        }


def query_type(sql: str) -> str:
    """Returns the view's name of this type of statement: UTILITY if it is not a query, load, DML or DDL."""
    try:
        words = dialect.words(sql)
    except SqlError:
        return "OTHER"
    first = words[0] if words else ""
    if first == "CREATE" and "TABLE" in words:
        return "CTAS" if any(t.text.upper() == "SELECT" for t in dialect.tokens(sql)) else "DDL"
    return _TYPES.get(first, "UTILITY")


class History:
    """The last statements of all sessions since the start. Thread-safe."""

    def __init__(self, database: duckdb.DuckDBPyConnection) -> None:
        self._database = database
        database.execute(BOOTSTRAP)
        self._ids = itertools.count(time.time_ns() // 1_000_000)  # larger than those of an earlier start
        self._ended: deque[Entry] = deque(maxlen=KEPT_QUERIES)
        self._running: dict[int, Entry] = {}
        self._lock = threading.Lock()

    def begin(self, session: Session, sql: str) -> Entry:
        label = session.settings.get("query_group", "default")
        entry = Entry(
            next(self._ids), label, session.process_id, sql if len(sql) <= TEXT_MAX else sql[:TEXT_MAX], _now()
        )
        self._running[entry.query_id] = entry
        return entry

    def end(
        self, entry: Entry, transaction_id: int | None, result: Result | None = None, error: str | None = None
    ) -> None:
        """Records the end of the statement with its result or its error."""
        entry.end_us, entry.transaction_id = _now(), transaction_id
        if error is not None:
            entry.status = "canceled" if "cancelled on user's request" in error else "failed"
            entry.error = error[:ERROR_MAX]
        else:
            entry.status = "success"
        if result is None or not result.has_rows:
            entry.rows = 0
        else:
            entry.rows = len(result.rows) if isinstance(result.rows, list) else result.rows
        self._ended.append(entry)
        self._running.pop(entry.query_id, None)

    def write(self) -> None:
        """Writes the rows to the table that the view reads."""
        with self._lock:
            rows = [entry.as_row() for entry in (*self._ended, *list(self._running.values()))]
            with self._database.cursor() as con:
                con.execute("BEGIN")
                con.execute(f"DELETE FROM {DATABASE}.main.queries")
                con.execute(
                    f"INSERT INTO {DATABASE}.main.queries SELECT unnest(from_json(CAST(? AS VARCHAR), '{_STRUCTURE}'), recursive := true)",
                    [json.dumps(rows)],
                )
                con.execute("COMMIT")


def _now() -> int:
    return time.time_ns() // 1000
