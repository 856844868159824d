"""One connection: its transactions, locks and statements."""

from __future__ import annotations

import contextlib
import re
import threading
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import duckdb
from sqlglot import exp, parse_one

from local.redshift import ddl, dialect, materialized, system
from local.redshift.catalog import SYSTEM_SCHEMA, Catalog, Column
from local.redshift.commands import command_of
from local.redshift.copy_from_s3 import LoadError
from local.redshift.errors import SqlError, duckdb_errors, unsupported
from local.redshift.functions.call import Clock
from local.redshift.locks import SNAPSHOT, Transaction
from local.redshift.names import DDL_LOCK, count_of, split, target_of
from local.redshift.prepared import Prepared, prepared
from local.redshift.results import Result, fetched, padded, result_columns
from local.redshift.translation import Compiled, Translator

if TYPE_CHECKING:
    from local.redshift.engine import Engine

MOMENT = "%Y-%m-%d %H:%M:%S.%f"
HIDDEN_SCHEMAS = {"main", SYSTEM_SCHEMA}
_OF_THE_SYSTEM = re.compile(rf"({SYSTEM_SCHEMA}|information_schema|pg_catalog)\.|public\.(sys|svv|svl|stl|stv|pg)_")


class Session:
    """One connection: its temporary tables, its transaction, its settings."""

    def __init__(self, engine: Engine) -> None:
        self.id = str(uuid.uuid4())
        self.engine = engine
        self.con = engine.database.cursor()
        self.con.execute("SET search_path = 'public,main'")
        self.con.execute("SET TimeZone = 'UTC'")
        self.temporary: dict[str, list[Column]] = {}
        self.catalog = Catalog(self.temporary)
        self.settings: dict[str, str] = {}
        self.user = "IAM:local"
        self.process_id = next(engine.process_ids)
        self.fetch: Callable[[duckdb.DuckDBPyConnection, list[Column]], Result] = fetched
        self.cancelled = threading.Event()
        self.in_block = False  # BEGIN without its COMMIT
        self._open = False
        self._started = datetime.now(UTC)
        self._transaction: Transaction | None = None
        self.transaction_id: int | None = None  # id of the open or last transaction
        self.query_id: int | None = None  # id of the current or last statement
        self._alters_catalog = False  # the transaction changes tables or their columns
        self._columns: dict[tuple[str, str], list[Column]] = {}  # as of the transaction's snapshot
        self._marked: dict[tuple[str, str], set[str]] = {}  # columns in which the transaction stored blanks
        self._changes: set[str] = set()  # tables in which this transaction changed or deleted rows

    @property
    def schema(self) -> str:
        """The schema of new objects that are created without one: the first of search_path."""
        first = self.settings.get("search_path", "public").split(",")
        return next((name for word in first if (name := word.strip(" '\"")) != "$user"), "public")

    def close(self) -> None:
        self.end("ROLLBACK")
        self.con.close()

    def cancel(self) -> None:
        self.cancelled.set()
        self.con.interrupt()

    # -- transactions -------------------------------------------------------------------------------------------

    def recorded(self, error: SqlError | LoadError) -> SqlError:
        """Records the errors of a load, and returns the error for the client."""
        if not isinstance(error, LoadError):
            return error
        # The load is rolled back; its errors stay readable, as on Redshift.
        self.engine.record_load_errors(error, self)
        return SqlError(
            f"ERROR: Load into table '{error.table}' failed.  "
            f"Check 'sys_load_error_detail' system table for details. {error.details[0].message}"
        )

    def begin(self) -> None:
        if not self._open:
            self._started = datetime.now(UTC)
            self._transaction = self.engine.locks.begin()
            self.transaction_id = next(self.engine.transaction_ids)
            with self.engine.catalog_lock, duckdb_errors("BEGIN"):
                self._columns = self.engine.known_columns
                self.con.execute("BEGIN")
                self.con.execute(f"FROM {SYSTEM_SCHEMA}.isolation LIMIT 0")  # a read takes DuckDB's snapshot
            self._open = True

    def end(self, how: str) -> None:
        try:
            if self._open:
                self._open = False
                with (
                    self.engine.catalog_lock if self._alters_catalog else contextlib.nullcontext(),
                    duckdb_errors(how),
                ):
                    self.con.execute(how)
                    if self._alters_catalog:
                        self.engine.forget_catalog()
                self._ended(is_committed=how == "COMMIT")
        finally:
            self._ended(is_committed=False)
            self._changes.clear()
            self._alters_catalog = False
            self._marked = {}
            self.engine.locks.release(self)

    def _ended(self, *, is_committed: bool) -> None:
        if self._transaction:
            self.engine.locks.end(self._transaction, self._changes, is_committed=is_committed)
            self._transaction = None

    def note(self, *, reads: Iterable[str] = (), writes: Iterable[str] = ()) -> None:
        """Records the tables that a statement of the transaction reads and writes.

        Raises:
            SqlError: The open transactions no longer have a serial order.
        """
        assert self._transaction
        written = self._shared(writes)
        self.engine.locks.note(
            self._transaction, isolation=self.engine.isolation, reads=self._shared(reads), writes=written
        )
        if written:
            for table in written:
                materialized.refuse(self, table)
            materialized.mark_stale(self, written)

    def materialized(self) -> materialized.Known:
        """Returns the materialized views and the tables that they read."""
        return materialized.known(self.con) if self._alters_catalog else self.engine.materialized()

    def _shared(self, tables: Iterable[str]) -> list[str]:
        """Returns the tables that other sessions can see, with their schemas and without system tables."""
        named = (t if "." in t else f"public.{t}" for t in tables if t not in self.temporary)
        return [t for t in named if not _OF_THE_SYSTEM.match(t)]

    def bases(self, tables: Iterable[str]) -> set[str]:
        """Returns the tables and those that views among them read, or nothing under SNAPSHOT, which needs none."""
        if self.engine.isolation == SNAPSHOT:
            return set()
        found: set[str] = set()
        names = list(tables)
        while names:
            name = names.pop()
            if name in found or name in self.temporary:
                continue
            found.add(name)
            schema, table = split(name)
            view = "SELECT sql FROM duckdb_views() WHERE schema_name = ? AND view_name = ? AND NOT internal"
            for (sql,) in self.con.execute(view, [schema or "public", table]).fetchall():
                names += list(dialect.tables_of(parse_one(sql, read="duckdb").expression))
        return found

    # -- statements ---------------------------------------------------------------------------------------------

    def statement(self, sql: str, parameters: Mapping[str, str] = {}, *, in_transaction: bool) -> Result:  # read only
        """Runs one statement in the open transaction, and begins one if there is none.

        Raises:
            SqlError: The statement failed; the caller rolls back.
        """
        entry = self.engine.history.begin(self, sql)
        self.query_id = entry.query_id
        try:
            result = self._answer(sql, parameters, in_transaction)
        except Exception as error:  # the statement has ended after any error
            self.engine.history.end(entry, self.transaction_id, error=str(error))
            raise
        self.engine.history.end(entry, self.transaction_id, result)
        return result

    def _answer(self, sql: str, parameters: Mapping[str, str], in_transaction: bool) -> Result:
        if self.cancelled.is_set():
            raise SqlError("ERROR: Query cancelled on user's request")
        first = dialect.words(sql)
        if not first:
            raise SqlError("ERROR: empty statement")
        handler = command_of(first)
        bound = dialect.bind(sql, parameters)
        with duckdb_errors(bound):
            if handler:
                return handler(self, bound, in_transaction or self.in_block)
            if kept := prepared(sql, parameters):
                return self._kept(kept, bound, parameters)
            if catalog_query := self._catalog_query(bound):
                return self._of_catalog(catalog_query)
            tree = dialect.parse(bound)
            dialect.check_known(tree)
            return self._tree(tree, bound, in_transaction or self.in_block)

    def _kept(self, kept: Prepared, sql: str, parameters: Mapping[str, str]) -> Result:
        def compiled() -> Compiled:
            return kept.compiled(self.lookup, self._clock(), self._facts(), parameters)

        if isinstance(kept.tree, exp.Query):
            return self._query(kept.tables, compiled)
        if isinstance(kept.tree, exp.Create):
            return ddl.create(self, kept.tree, sql, compiled)
        return self._write(kept.tree, compiled)

    def describe(self, sql: str) -> list[Column] | None:
        """Returns the columns of the statement's rows without running it, or None if it returns no rows.

        Raises:
            SqlError: It cannot be parsed, or an object does not exist.
        """
        first = dialect.words(sql)
        if first[:1] == ("SHOW",):
            return self._answer(sql, {}, in_transaction=True).columns
        if not first or command_of(first):
            return None
        with duckdb_errors(sql):
            if catalog_query := self._catalog_query(sql):
                self.begin()
                described = self.con.execute(f"DESCRIBE {system.translated(catalog_query)}").fetchall()
                return [system.column_of(row[0], row[1], is_catalog=True) for row in described]
            tree = dialect.parse(sql)
            if not isinstance(tree, exp.Query):
                return None
            self.begin()
            query = self.translator(sql).query(tree)
            described = self.con.execute(f"DESCRIBE {query.sql}").fetchall()
            return result_columns(query.columns, described)

    def _catalog_query(self, sql: str) -> exp.Expr | None:
        """Returns the tree of a query that reads only the catalog, as tools write them for PostgreSQL, or None."""
        if dialect.words(sql)[0] not in {"SELECT", "WITH", "("} or not system.may_concern(sql):
            return None
        tree = system.resolved(dialect.read(sql), self)
        return tree if system.is_resolved(tree) else None

    def _tree(self, tree: exp.Expr, sql: str, in_transaction: bool) -> Result:
        match tree:
            case exp.Insert() | exp.Update() | exp.Delete():
                return self._write(tree, lambda: self.translator(sql).statement(tree))
            case exp.Query():
                return self._query(dialect.tables_of(tree), lambda: self.translator(sql).query(tree))
            case exp.Create():
                return ddl.create(self, tree, sql)
            case exp.Drop():
                return ddl.drop(self, tree)
            case exp.Alter():
                return ddl.alter(self, tree, sql, in_transaction)
            case exp.TruncateTable():
                return ddl.truncate(self, tree)
            case exp.Analyze():
                return ddl.analyze(self, tree)
            case exp.Set():
                return ddl.set_setting(self, tree, sql)
        raise unsupported(f"{tree.key.upper()} statement")

    def translator(self, sql: str) -> Translator:
        return Translator(sql, self.lookup, self._clock(), self._facts())

    def _clock(self) -> Clock:
        return Clock(f"{datetime.now(UTC):{MOMENT}}", f"{self._started:{MOMENT}}")

    def _facts(self) -> dict[str, str]:
        return {
            "database": self.engine.database_name,
            "schema": self.schema,
            "user": self.user,
            "process_id": str(self.process_id),
        }

    def _of_catalog(self, tree: exp.Expr) -> Result:
        self.begin()
        cursor = self.con.execute(system.translated(tree))
        columns = [system.column_of(d[0], str(d[1]), is_catalog=True) for d in cursor.description or []]
        return self.fetch(cursor, columns)

    def search_path(self) -> list[str]:
        path = [p.strip(" '\"").lower() for p in self.settings.get("search_path", "public").split(",")]
        return [p for p in path if p != "$user"]

    def lookup(self, schema: str, name: str) -> tuple[str, str, list[Column]]:
        """Returns (DuckDB's schema, its name, the columns) of a table, view or system relation.

        Raises:
            SqlError: It does not exist.
        """
        if not schema and name in self.temporary:
            return "", name, self.temporary[name]
        if found := self.engine.system_relation(schema, name):
            return found
        if schema in HIDDEN_SCHEMAS:
            raise SqlError(f'ERROR: schema "{schema}" does not exist')
        for place in [schema] if schema else self.search_path():
            columns = self._found(place, name)
            if columns:
                return place, name, columns
        raise SqlError(f'ERROR: relation "{schema + "." if schema else ""}{name}" does not exist')

    def _found(self, schema: str, name: str) -> list[Column]:
        if not self._open or self._alters_catalog:
            marked = self._marked.get((schema, name), set())
            of_now = self.catalog.find(self.con, schema, name)
            return [replace(c, has_blanks=True) if c.name in marked else c for c in of_now]
        found = self._columns.get((schema, name))
        if found is None:
            found = self.catalog.find(self.con, schema, name)
            if found:
                self._columns[schema, name] = found
        return found

    def _query(self, named: Iterable[str], compiled: Callable[[], Compiled]) -> Result:
        tables = list(named)
        shared = [t if "." in t else f"public.{t}" for t in tables]
        self.engine.locks.read(self, shared, self.cancelled.is_set)
        self.begin()
        self.note(reads=self.bases(tables))
        query = compiled()
        cursor = self.con.execute(padded(query))
        return self.fetch(cursor, result_columns(query.columns, cursor.description or []))

    def _write(self, tree: exp.Expr, compiled: Callable[[], Compiled]) -> Result:
        target = target_of(tree)
        self.lock([target])
        self.begin()
        # An INSERT reads the tables of its query; the tree also names its target.
        query = tree.expression if isinstance(tree, exp.Insert) else tree
        self.note(reads=self.bases(dialect.tables_of(query) if query else ()), writes=[target])
        statement = compiled()
        touched = count_of(self.con.execute(statement.sql))
        if statement.blanks:
            self.mark_blanks(*self.lookup(*split(target)), statement.blanks)
        if touched and not isinstance(tree, exp.Insert):
            self.changed(target)
        return Result(touched=touched)

    def mark_blanks(self, place: str, name: str, columns: list[Column], blanks: set[str]) -> None:
        """Records that texts with trailing blanks were stored in these columns of a table.

        A table that other sessions see is marked at once and permanently, because otherwise two inserting transactions
        would conflict here.
        """
        if all(c.has_blanks for c in columns if c.name in blanks):
            return
        if not place or self._alters_catalog:  # a temporary table, or possibly a new one
            self.catalog.mark_blanks(self.con, place, name, columns, blanks)
            return
        with self.engine.catalog_lock, contextlib.closing(self.engine.database.cursor()) as con:
            self.catalog.mark_blanks(con, place, name, columns, blanks)
            self.engine.known_columns = {}
        # The transaction's own snapshot was taken before the mark.
        self._marked.setdefault((place, name), set()).update(blanks)
        marked = [replace(c, has_blanks=c.has_blanks or c.name in blanks) for c in columns]
        self._columns = self._columns | {(place, name): marked}

    def changed(self, table: str) -> None:
        """Records that the transaction changed rows of the table.

        Raises:
            SqlError: Another transaction also did since the snapshot was taken.
        """
        if table in self.temporary:
            return
        shared = table if "." in table else f"public.{table}"
        assert self._transaction
        self.engine.locks.change(self._transaction, shared)
        self._changes.add(shared)

    def lock(self, tables: list[str]) -> None:
        self._alters_catalog = self._alters_catalog or DDL_LOCK in tables
        shared = [t if "." in t or t == DDL_LOCK else f"public.{t}" for t in tables if t not in self.temporary]
        self.engine.locks.write(self, shared, self.cancelled.is_set)
