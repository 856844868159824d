"""One database: its file, its sessions and their locks."""

from __future__ import annotations

import contextlib
import itertools
import tempfile
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
from sqlglot import exp

from local.redshift import catalog_views, copy_jobs, dialect, history, materialized, system
from local.redshift.catalog import BOOTSTRAP, SYSTEM_SCHEMA, Catalog, Column, from_duckdb_type
from local.redshift.copy_from_s3 import LoadError
from local.redshift.functions import hashes
from local.redshift.locks import Locks
from local.redshift.session import Session
from local.redshift.system_views import CHARS, VIEWS, views_sql

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

MACROS = Path(__file__).with_name("macros.sql")


class Engine:
    """One database file. Thread-safe: each session has its own cursor."""

    def __init__(
        self, path: Path, s3: S3Client, database_name: str = "ecommerce", copy_jobs_look_at_all_seconds: float = 30.0
    ) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.database = duckdb.connect(
            path, config={"autoinstall_known_extensions": False, "python_enable_replacements": False}
        )
        self.database.execute("CREATE SCHEMA IF NOT EXISTS public")
        self.database.execute(BOOTSTRAP)
        self.database.execute(copy_jobs.BOOTSTRAP)
        self.history = history.History(self.database)
        self.transaction_ids = itertools.count(1)
        hashes.register(self.database)
        self.database.execute(MACROS.read_text("utf-8"))
        self.database.execute(catalog_views.bootstrap(database_name))
        self.database.execute(views_sql(database_name))
        self.database_name = database_name
        self.process_ids = itertools.count(1_073_741_824)  # process ids of Redshift's sessions have this size
        self.catalog_lock = threading.Lock()
        self.known_columns: dict[
            tuple[str, str], list[Column]
        ] = {}  # cleared when a change of the catalog is committed
        self._materialized: materialized.Known | None = None  # cleared at the same time
        self._system: dict[str, list[Column]] = {}
        # A statement can read no files of the host except those that a COPY downloads.
        self._folder = tempfile.TemporaryDirectory(prefix="redshift-")
        self.folder = Path(self._folder.name)
        self.database.execute(f"SET allowed_directories = ['{self.folder}']")
        self.database.execute("SET enable_external_access = false")
        self.s3 = s3
        self.locks = Locks()
        [[self.isolation]] = self.rows(f"SELECT level FROM {SYSTEM_SCHEMA}.isolation")
        self.watcher = copy_jobs.Watcher(self, copy_jobs_look_at_all_seconds)
        self.watcher.start()

    def isolate(self, level: str) -> None:
        """Sets the isolation level of the database, SNAPSHOT or SERIALIZABLE, which persists across restarts."""
        with contextlib.closing(self.database.cursor()) as con:
            con.execute("UPDATE redshift_standin.isolation SET level = ?", [level])
        self.isolation = level

    def session(self) -> Session:
        return Session(self)

    def forget_catalog(self) -> None:
        """Clears the cached catalog. A session that commits a change of the catalog must hold `catalog_lock`."""
        self.known_columns = {}
        self._materialized = None

    def materialized(self) -> materialized.Known:
        """Returns the committed materialized views and the tables that they read."""
        found = self._materialized
        if found is None:
            with self.catalog_lock, contextlib.closing(self.database.cursor()) as con:
                found = self._materialized = materialized.known(con)
        return found

    def system_relation(self, schema: str, name: str) -> tuple[str, str, list[Column]] | None:
        """Returns (DuckDB's schema, its name, the columns) of a view of the catalog.

        Raises:
            SqlError: The schema is one of the catalog's, and the view is not implemented here.
        """
        own = schema in {"", "pg_catalog"} and name in VIEWS
        view = name if own else system.view_of(exp.table_(name, db=schema or None))
        if not view:
            return None
        if view not in self._system:
            with contextlib.closing(self.database.cursor()) as con:
                rows = con.execute(f'DESCRIBE {SYSTEM_SCHEMA}."{view}"').fetchall()
            kinds = [(row[0], "VARCHAR" if row[1].endswith("[]") else row[1]) for row in rows]
            chars = CHARS.get(view, {})
            self._system[view] = [
                Column(name, "CHAR", chars[name]) if name in chars else from_duckdb_type(name, kind)
                for name, kind in kinds
            ]
        if view == "sys_query_history":
            self.history.write()
        return SYSTEM_SCHEMA, view, self._system[view]

    def close(self) -> None:
        self.watcher.stop()
        self.database.execute("CHECKPOINT")
        self.database.close()
        self._folder.cleanup()

    def require_table(self, schema: str, name: str) -> None:
        with contextlib.closing(self.database.cursor()) as con:
            Catalog({}).columns(con, schema or "public", name)

    def record_load_errors(self, error: LoadError, session: Session) -> None:
        """Stores the errors of a load for sys_load_error_detail."""
        with contextlib.closing(self.database.cursor()) as con:
            for d in error.details:
                con.execute(
                    "INSERT INTO main.sys_load_error_detail VALUES (100, ?, ?, ?, ?, 0, ?, ?, ?, ?, ?, ?, 0, ?, ?)",
                    [
                        session.query_id,
                        session.transaction_id,
                        session.process_id,
                        self.database_name,
                        datetime.now(UTC).replace(tzinfo=None),
                        d.file_name,
                        d.line_number,
                        d.column_name,
                        d.column_type,
                        str(d.column_length or ""),
                        d.code,
                        d.message,
                    ],
                )

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Runs a query of the service itself."""
        with contextlib.closing(self.database.cursor()) as con:
            return list(con.execute(sql, list(parameters)).fetchall())


def parameters_of(statements: Sequence[str]) -> set[str]:
    return {name for sql in statements for _, _, name in dialect.split_placeholders(sql)}
