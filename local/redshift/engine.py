"""Runs statements on DuckDB with Redshift's transactions, locks and DDL."""

from __future__ import annotations

import contextlib
import re
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
from sqlglot import exp

from local.redshift import dialect
from local.redshift.catalog import BOOTSTRAP, SYSTEM_SCHEMA, Catalog, Column, column_type, from_duckdb_type, renamed
from local.redshift.copy_from_s3 import LoadError, run_copy
from local.redshift.errors import SqlError, from_duckdb, syntax_error, unsupported
from local.redshift.locks import Locks
from local.redshift.unload import run_unload

RESULT_MAX_BYTES = 500 * 1024**2  # Data API: "Database response exceeded size limit"
ROW_MAX_BYTES = 64 * 1024  # Data API: "Packet for query is too large"
FETCH_ROWS = 10_000
TABLE_NAME = r'((?:"?[\w#]+"?\.)?"?[\w#]+"?)'


@dataclass
class Result:
    """What one statement gave: rows with their columns, or the number of rows that it touched."""

    columns: list[Column] = field(default_factory=list)
    rows: list[tuple[Any, ...]] = field(default_factory=list)
    has_rows: bool = False
    touched: int = -1
    size_bytes: int = -1

    @property
    def row_count(self) -> int:
        return len(self.rows) if self.has_rows else self.touched


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
        self.cancelled = threading.Event()
        self.in_block = False  # BEGIN without its COMMIT
        self._open = False
        self._started = datetime.now(UTC)
        self._snapshot = 0
        self._changes: set[str] = set()  # tables of which this transaction changed or deleted rows

    def close(self) -> None:
        self._end("ROLLBACK")
        self.con.close()

    def cancel(self) -> None:
        self.cancelled.set()
        self.con.interrupt()

    # -- transactions -------------------------------------------------------------------------------------------

    def run(
        self, statements: Sequence[str], *, one_transaction: bool, on_result: Callable[[int, Result | SqlError], None]
    ) -> None:
        """Runs the statements in order and reports each; raises the first error when it ends the whole.

        Raises:
            SqlError: a statement failed. In one transaction all is rolled back.
        """
        self.cancelled.clear()
        first_error: SqlError | None = None
        for index, sql in enumerate(statements):
            try:
                result = self._statement(sql, in_transaction=one_transaction and len(statements) > 1)
                if not one_transaction and not self.in_block:
                    self._end("COMMIT")
            except (SqlError, LoadError) as raised:
                self._end("ROLLBACK")
                self.in_block = False
                error = self._recorded(raised)
                on_result(index, error)
                if one_transaction:
                    raise error from raised
                first_error = first_error or error
            else:
                on_result(index, result)
        if one_transaction and not self.in_block:
            self._end("COMMIT")
        if first_error:
            raise first_error

    def _recorded(self, error: SqlError | LoadError) -> SqlError:
        if not isinstance(error, LoadError):
            return error
        # The load is rolled back; what was wrong with it stays readable, as on Redshift.
        self.engine.record_load_errors(error)
        return SqlError(
            f"ERROR: Load into table '{error.table}' failed.  "
            f"Check 'sys_load_error_detail' system table for details. {error.details[0].message}"
        )

    def _begin(self) -> None:
        if not self._open:
            self._started = datetime.now(UTC)
            self._snapshot = self.engine.locks.snapshot()
            with _duckdb_errors("BEGIN"):
                self.con.execute("BEGIN")
            self._open = True

    def _end(self, how: str) -> None:
        try:
            if self._open:
                self._open = False
                with _duckdb_errors(how):
                    self.con.execute(how)
                if how == "COMMIT":
                    self.engine.locks.committed(self._changes)
        finally:
            self._changes.clear()
            self.engine.locks.release(self)

    # -- statements ---------------------------------------------------------------------------------------------

    def _statement(self, sql: str, *, in_transaction: bool) -> Result:
        if self.cancelled.is_set():
            raise SqlError("ERROR: Query cancelled on user's request")
        first = dialect.words(sql)
        if not first:
            raise SqlError("ERROR: empty statement")
        handler = _COMMANDS.get(first[0])
        with _duckdb_errors(sql):
            if handler:
                return handler(self, sql, in_transaction or self.in_block)
            tree = dialect.parse(sql)
            dialect.check_known(tree)
            return self._tree(tree, sql, in_transaction or self.in_block)

    def _tree(self, tree: exp.Expr, sql: str, in_transaction: bool) -> Result:
        match tree:
            case exp.Merge():
                return self._merge(tree, sql)
            case exp.Insert() | exp.Update() | exp.Delete():
                return self._write(tree, sql)
            case exp.Query():
                return self._query(tree)
            case exp.Create():
                return self._create(tree, sql)
            case exp.Drop():
                return self._drop(tree)
            case exp.Alter():
                return self._alter(tree, sql, in_transaction)
            case exp.TruncateTable():
                return self._truncate(tree)
            case exp.Analyze():
                return self._analyze(tree)
            case exp.Set():
                return self._set(tree, sql)
        raise unsupported(f"{tree.key.upper()} statement")

    def _translated(self, tree: exp.Expr) -> str:
        clock = dialect.Clock(datetime.now(UTC), self._started)
        return dialect.translate(tree, lambda: self.catalog.types(self.con), clock)

    def _query(self, tree: exp.Expr) -> Result:
        tables = [t if "." in t else f"public.{t}" for t in dialect.tables_of(tree)]
        self.engine.locks.read(self, tables, self.cancelled.is_set)
        self._begin()
        cursor = self.con.execute(self._translated(tree))
        columns = [from_duckdb_type(d[0].lower(), str(d[1])) for d in cursor.description or []]
        return fetched(cursor, columns)

    def _write(self, tree: exp.Expr, sql: str) -> Result:
        target = _target(tree)
        if target.startswith(f"{SYSTEM_SCHEMA}.") or target == "sys_load_error_detail":
            raise SqlError(f"ERROR: permission denied for relation {target}")
        self._lock([target])
        self._begin()
        self.catalog.columns(self.con, *_split(target))
        self._guard_identity(tree, target)
        touched = _count(self.con.execute(self._translated(tree)))
        if touched and not isinstance(tree, exp.Insert):
            self._change(target)
        return Result(touched=touched)

    def _change(self, table: str) -> None:
        """Notes that the transaction changed rows of the table.

        Raises:
            SqlError: others did, too, since the snapshot was taken.
        """
        if table in self.temporary:
            return
        shared = table if "." in table else f"public.{table}"
        if self.engine.locks.is_changed_since(shared, self._snapshot):
            raise SqlError("ERROR:1023 DETAIL: Serializable isolation violation on table in Redshift")
        self._changes.add(shared)

    def _guard_identity(self, tree: exp.Expr, target: str) -> None:
        if not isinstance(tree, exp.Insert) or not isinstance(tree.this, exp.Schema):
            return
        identities = {c.name for c in self.catalog.columns(self.con, *_split(target)) if c.identity_of}
        for column in tree.this.expressions:
            if column.name.lower() in identities:
                raise SqlError(f'ERROR: cannot set an identity column to a value: "{column.name.lower()}"')

    def _merge(self, tree: exp.Merge, sql: str) -> Result:
        target, source = tree.this, tree.args["using"]
        name = _name(target)
        if isinstance(source, exp.Table) and _name(source) == name:
            raise SqlError("ERROR: MERGE source and target must be different tables")
        self._lock([name])
        self._begin()
        columns = self.catalog.columns(self.con, *_split(name))
        whens = tree.args["whens"].expressions
        insert = whens[1].args["then"]
        if not insert.expression:  # INSERT VALUES (...) fills the columns in order; sqlglot reads a function VALUES()
            insert.set("expression", exp.Tuple(expressions=insert.this.expressions[0].expressions))
            insert.set("this", exp.Tuple(expressions=[exp.column(c.name) for c in columns]))
        doubled = exp.select("1").from_(target.copy()).join(source.copy(), on=tree.args["on"].copy())
        doubled = doubled.group_by(exp.column("rowid", table=target.name)).having("COUNT(*) > 1").limit(1)
        if self.con.execute(self._translated(doubled)).fetchall():
            raise SqlError("ERROR: Found multiple matches to update the same tuple.")
        matching = exp.select("1").from_(target.copy()).join(source.copy(), on=tree.args["on"].copy()).limit(1)
        changes = bool(self.con.execute(self._translated(matching)).fetchall())
        touched = _count(self.con.execute(self._translated(tree)))
        if changes:
            self._change(name)
        return Result(touched=touched)

    def merge_remove_duplicates(self, sql: str) -> Result:
        """MERGE INTO t USING s ON ... REMOVE DUPLICATES: s's rows replace, and neither side keeps two equal rows."""
        head = re.sub(r"\bREMOVE\s+DUPLICATES\s*;?\s*$", "", sql.strip(), flags=re.IGNORECASE)
        whole = head + " WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT VALUES (1)"
        tree = dialect.parse(whole)
        name, source = _name(tree.this), tree.args["using"]
        self._lock([name])
        self._begin()
        on = tree.args["on"]
        match = exp.Delete(this=tree.this.copy(), where=exp.Where(this=exp.Exists(
            this=exp.select("1").from_(source.copy()).where(on.copy()))))  # fmt: skip
        deleted = _count(self.con.execute(self._translated(match)))
        fill = exp.insert(exp.select("*").from_(source.copy()).distinct(), exp.to_table(name))
        inserted = _count(self.con.execute(self._translated(fill)))
        return Result(touched=deleted + inserted)

    def _lock(self, tables: list[str]) -> None:
        shared = [t if "." in t or t == _DDL else f"public.{t}" for t in tables if t not in self.temporary]
        self.engine.locks.write(self, shared, self.cancelled.is_set)

    # -- DDL ----------------------------------------------------------------------------------------------------

    def _create(self, tree: exp.Create, sql: str) -> Result:
        kind = str(tree.kind).upper()
        if kind == "SCHEMA":
            self._lock([_DDL])
            self._begin()
            exists = "IF NOT EXISTS " if tree.args.get("exists") else ""
            self.con.execute(f'CREATE SCHEMA {exists}"{tree.this.db.lower() or tree.this.name.lower()}"')
            return Result(touched=0)
        if kind == "TABLE":
            return self._create_table(tree, sql)
        if kind == "VIEW":
            return self._create_view(tree)
        raise unsupported(f"CREATE {kind}")

    def _create_table(self, tree: exp.Create, sql: str) -> Result:
        schema_node = tree.this
        table = schema_node.this if isinstance(schema_node, exp.Schema) else schema_node
        properties = tree.args.get("properties")
        temporary = table.name.startswith("#") or bool(properties and properties.find(exp.TemporaryProperty))
        if temporary and table.db:
            raise SqlError("ERROR: temporary tables cannot specify a schema name")
        schema = "" if temporary else (table.db.lower() or "public")
        name = table.name.lower()
        if not temporary:
            self._lock([_DDL])
        self._begin()
        if self._exists(schema, name):
            if tree.args.get("exists"):
                return Result(touched=0)
            raise SqlError(f'ERROR: Relation "{name}" already exists')
        if isinstance(tree.expression, exp.Query):
            select = self._translated(tree.expression)
            described = self.con.execute(f"DESCRIBE {select}").fetchall()
            columns = [from_duckdb_type(row[0].lower(), row[1]) for row in described]
            self._make_table(schema, name, columns)
            insert = f"INSERT INTO {_quoted(schema, name)} {select}"
            return Result(touched=_count(self.con.execute(insert)))
        self._make_table(schema, name, self._columns(tree, sql, schema, name))
        return Result(touched=0)

    def _make_table(self, schema: str, name: str, columns: list[Column]) -> None:
        body = ", ".join(column.ddl() for column in columns)
        kind = "" if schema else "TEMPORARY "
        self.con.execute(f"CREATE {kind}TABLE {_quoted(schema, name)} ({body})")
        self.catalog.keep(self.con, schema, name, columns)

    def _columns(self, tree: exp.Create, sql: str, schema: str, name: str) -> list[Column]:
        found: list[Column] = []
        like = re.search(rf"\(\s*LIKE\s+{TABLE_NAME}(\s+INCLUDING\s+DEFAULTS)?\s*\)", sql, re.IGNORECASE)
        if like:
            for column in self.catalog.columns(self.con, *_split(_unquoted(like[1]))):
                default = column.default_sql if like[2] else None
                found.append(Column(column.name, column.kind, column.length, column.precision, column.scale,
                                    column.nullable, default))  # fmt: skip
            return found
        if not isinstance(tree.this, exp.Schema):
            raise syntax_error(sql, "end of input")
        for item in tree.this.expressions:
            if isinstance(item, exp.ColumnDef):
                found.append(self._column(item, sql, schema, name))
            elif not isinstance(item, exp.PrimaryKey | exp.UniqueColumnConstraint | exp.ForeignKey | exp.Constraint):
                raise unsupported(f"in CREATE TABLE: {item.sql('redshift')}")
        return found  # PRIMARY KEY, UNIQUE and FOREIGN KEY are accepted and, as on Redshift, not enforced

    def _column(self, item: exp.ColumnDef, sql: str, schema: str, table: str) -> Column:
        kind = item.args.get("kind")
        if kind is None:
            raise syntax_error(sql, item.name)
        base = column_type(kind)
        nullable, default, identity = True, None, None
        for constraint in item.args.get("constraints") or []:
            match constraint.kind:
                case exp.NotNullColumnConstraint():
                    nullable = bool(constraint.kind.args.get("allow_null"))
                case exp.PrimaryKeyColumnConstraint():
                    nullable = False
                case exp.DefaultColumnConstraint():
                    value = constraint.kind.this
                    if value.find(exp.Column):
                        raise SqlError("ERROR: cannot use column references in default expression")
                    default = self._translated(value)
                case exp.GeneratedAsIdentityColumnConstraint():
                    if base.kind not in {"INT", "BIGINT"}:
                        raise SqlError("ERROR: identity column type must be INT or BIGINT")
                    identity = f"{SYSTEM_SCHEMA}.{schema}_{table}_{item.name.lower()}"
                    start, step = (constraint.kind.args.get(k) or exp.Literal.number(1) for k in ("start", "increment"))
                    self.con.execute(
                        f"CREATE OR REPLACE SEQUENCE {identity} START {start.sql()} INCREMENT {step.sql()}"
                    )
                    nullable = False
                case exp.UniqueColumnConstraint() | exp.Reference() | exp.EncodeColumnConstraint():
                    pass  # informational on Redshift
                case _:
                    raise unsupported(f"column constraint {constraint.sql('redshift')}")
        return Column(
            item.name.lower(), base.kind, base.length, base.precision, base.scale, nullable, default, identity
        )

    def _create_view(self, tree: exp.Create) -> Result:
        view = tree.this.this if isinstance(tree.this, exp.Schema) else tree.this
        schema, name = view.db.lower() or "public", view.name.lower()
        properties = tree.args.get("properties")
        if properties and properties.find(exp.MaterializedProperty):
            raise unsupported("CREATE MATERIALIZED VIEW")
        self._lock([_DDL])
        self._begin()
        replace = "OR REPLACE " if tree.args.get("replace") else ""
        self.con.execute(f"CREATE {replace}VIEW {_quoted(schema, name)} AS {self._translated(tree.expression)}")
        described = self.con.execute(f"DESCRIBE {_quoted(schema, name)}").fetchall()
        columns = [from_duckdb_type(row[0].lower(), row[1]) for row in described]
        self.catalog.keep(self.con, schema, name, columns)
        return Result(touched=0)

    def _exists(self, schema: str, name: str) -> bool:
        try:
            self.catalog.columns(self.con, schema, name)
        except SqlError:
            return False
        return True

    def _drop(self, tree: exp.Drop) -> Result:
        kind = str(tree.args["kind"]).upper()
        exists = "IF EXISTS " if tree.args.get("exists") else ""
        cascade = " CASCADE" if tree.args.get("cascade") else ""
        for table in tree.args["tables"]:
            self._drop_one(kind, table, exists, cascade)
        return Result(touched=0)

    def _drop_one(self, kind: str, table: exp.Expr, exists: str, cascade: str) -> None:
        if kind == "SCHEMA":
            self._lock([_DDL])
            self._begin()
            schema = table.db.lower() or table.name.lower()
            self.con.execute(f'DROP SCHEMA {exists}"{schema}"{cascade}')
            self.con.execute(f"DELETE FROM {SYSTEM_SCHEMA}.columns WHERE table_schema = ?", [schema])
            return
        if kind not in {"TABLE", "VIEW"}:
            raise unsupported(f"DROP {kind}")
        name = table.name.lower()
        schema = "" if name in self.temporary and not table.db else table.db.lower() or "public"
        if schema:
            self._lock([_DDL, f"{schema}.{name}"])
        self._begin()
        self.con.execute(f"DROP {kind} {exists}{_quoted(schema, name)}{cascade}")
        self.catalog.drop(self.con, schema, name)

    def _alter(self, tree: exp.Alter, sql: str, in_transaction: bool) -> Result:
        schema, name = _split(_name(tree.this))
        schema = schema or ("" if name in self.temporary else "public")
        actions = tree.args["actions"]
        self._lock([_DDL, f"{schema}.{name}"])
        self._begin()
        columns = self.catalog.columns(self.con, schema, name)
        if len(actions) != 1:
            raise syntax_error(sql, ",", ",")
        match actions[0]:
            case exp.ColumnDef() as added:
                column = self._column(added, sql, schema, name)
                if not column.nullable and column.default_sql is None:
                    raise SqlError(
                        "ERROR: ALTER TABLE ADD COLUMN defined as NOT NULL must have a non-null default expression"
                    )
                if any(c.name == column.name for c in columns):
                    raise SqlError(f'ERROR: column "{column.name}" of relation "{name}" already exists')
                columns = [*columns, column]
            case exp.Drop() as dropped:
                gone = dropped.args["tables"][0].name.lower()
                if all(c.name != gone for c in columns):
                    raise SqlError(f'ERROR: column "{gone}" of relation "{name}" does not exist')
                columns = [c for c in columns if c.name != gone]
            case exp.RenameColumn() as change:
                old, new = change.this.name.lower(), change.args["to"].name.lower()
                return self._rebuild(schema, name, columns, [renamed(c, new) if c.name == old else c for c in columns])
            case exp.AlterColumn() as change if change.args.get("dtype"):
                if in_transaction:
                    raise SqlError("ERROR: ALTER TABLE ALTER COLUMN cannot run inside a transaction block")
                wanted = column_type(change.args["dtype"])
                old = change.this.name.lower()
                current = next((c for c in columns if c.name == old), None)
                if current is None or current.kind != "VARCHAR" or wanted.kind != "VARCHAR":
                    raise SqlError("ERROR: ALTER COLUMN TYPE is only supported for VARCHAR columns")
                resized = Column(
                    old, "VARCHAR", wanted.length, nullable=current.nullable, default_sql=current.default_sql
                )
                return self._rebuild(schema, name, columns, [resized if c.name == old else c for c in columns])
            case other:
                raise unsupported(f"ALTER TABLE {other.sql('redshift')}")
        return self._rebuild(schema, name, self.catalog.columns(self.con, schema, name), columns)

    def _rebuild(self, schema: str, name: str, before: list[Column], after: list[Column]) -> Result:
        """DuckDB alters no table that has CHECKs, so the table is written anew in the same transaction."""
        table, aside = _quoted(schema, name), _quoted(schema, f"{name}__altered")
        self.con.execute(f"CREATE TABLE {aside} ({', '.join(c.ddl() for c in after)})")
        old_names = [c.name for c in before]
        kept = (
            list(zip(after, before, strict=True))
            if len(before) == len(after)
            else [(c, c) for c in after if c.name in old_names]
        )
        into = ", ".join(f'"{new.name}"' for new, _ in kept)
        values = ", ".join(f'"{old.name}"' for _, old in kept)
        self.con.execute(f"INSERT INTO {aside} ({into}) SELECT {values} FROM {table}")
        self.con.execute(f"DROP TABLE {table}")
        self.con.execute(f'ALTER TABLE {aside} RENAME TO "{name}"')
        self.catalog.keep(self.con, schema, name, after)
        return Result(touched=0)

    def _truncate(self, tree: exp.TruncateTable) -> Result:
        name = _name(tree.expressions[0])
        self._lock([name])
        self._begin()
        self.catalog.columns(self.con, *_split(name))
        self.con.execute(f"DELETE FROM {_quoted(*_split(name))}")
        self._end("COMMIT")  # TRUNCATE commits, and all before it with it
        return Result(touched=0)

    def _analyze(self, tree: exp.Analyze) -> Result:
        if isinstance(tree.this, exp.Table):
            self._begin()
            self.catalog.columns(self.con, *_split(_name(tree.this)))
        return Result(touched=0)

    def _set(self, tree: exp.Set, sql: str) -> Result:
        found = re.match(r"\s*SET\s+(?:SESSION\s+)?(\w+)\s*(?:TO|=)\s*(.+?)\s*;?\s*$", sql, re.IGNORECASE | re.DOTALL)
        if not found or found[1].lower() not in SETTINGS:
            raise unsupported(f"SET {found[1] if found else ''}")
        name, value = found[1].lower(), found[2].strip("'\"")
        self._begin()
        if name == "search_path":
            path = [p.strip(" '\"") for p in found[2].split(",") if p.strip(" '\"") != "$user"]
            self.con.execute(f"SET search_path = '{','.join([*path, 'main'])}'")
        self.settings[name] = value
        return Result(touched=0)


_DDL = "catalog"  # DDL transactions follow each other
SETTINGS = {"search_path", "query_group", "statement_timeout", "timezone", "application_name"}


def fetched(cursor: duckdb.DuckDBPyConnection, columns: list[Column]) -> Result:
    """Returns all rows of a query.

    Raises:
        SqlError: the result is larger than the Data API delivers.
    """
    rows: list[tuple[Any, ...]] = []
    size = 0
    while chunk := cursor.fetchmany(FETCH_ROWS):
        for row in chunk:
            row_bytes = sum(len(v) if isinstance(v, str) else 8 for v in row)
            if row_bytes > ROW_MAX_BYTES:
                raise SqlError("ERROR: Packet for query is too large")
            size += row_bytes
        if size > RESULT_MAX_BYTES:
            raise SqlError("ERROR: Database response exceeded size limit")
        rows += chunk
    return Result(columns, rows, has_rows=True, size_bytes=size)


# -- statements that sqlglot does not read -----------------------------------------------------------------------


def _lock_tables(session: Session, sql: str, in_transaction: bool) -> Result:
    found = re.fullmatch(rf"LOCK\s+(?:TABLE\s+)?({TABLE_NAME}(?:\s*,\s*{TABLE_NAME})*)\s*;?", _bare(sql), re.IGNORECASE)
    if not found:
        raise syntax_error(sql, _bare(sql).split()[-1])
    names = [_unquoted(name.strip()) for name in found[1].split(",")]
    names = [name if "." in name else f"public.{name}" for name in names]
    if not in_transaction:
        raise SqlError("ERROR: LOCK TABLE may only be used in transaction blocks")
    for name in names:  # looked up on a connection of its own: a lock starts no snapshot
        session.engine.require_table(*_split(name))
    session.engine.locks.exclude(session, names, session.cancelled.is_set)
    return Result(touched=0)


def _copy(session: Session, sql: str, in_transaction: bool) -> Result:
    def columns(table: str) -> list[Column]:
        session._lock([table])
        session._begin()
        return session.catalog.columns(session.con, *_split(table))

    return Result(touched=run_copy(session.con, session.engine.s3, sql, columns, _quoted_name, session.engine.folder))


def _unload(session: Session, sql: str, in_transaction: bool) -> Result:
    def select(query: str) -> str:
        tree = dialect.parse(query)
        if not isinstance(tree, exp.Query):
            raise syntax_error(query, query.split()[0])
        if tree.args.get("limit"):
            raise SqlError("ERROR: Limit clause is not supported in the outer SELECT of UNLOAD")
        session._begin()
        return session._translated(tree)

    return Result(touched=run_unload(session.con, session.engine.s3, sql, select))


def _vacuum(session: Session, sql: str, in_transaction: bool) -> Result:
    if in_transaction:
        raise SqlError("ERROR: VACUUM cannot run inside a transaction block")
    found = re.fullmatch(rf"VACUUM(?:\s+(?:FULL|SORT\s+ONLY|DELETE\s+ONLY|REINDEX|RECLUSTER))?(?:\s+{TABLE_NAME})?.*",
                         _bare(sql), re.IGNORECASE)  # fmt: skip
    if found and found[1]:
        session.engine.require_table(*_split(_unquoted(found[1])))
    session._end("COMMIT")
    session.con.execute("CHECKPOINT")
    return Result(touched=0)


def _begin(session: Session, sql: str, in_transaction: bool) -> Result:
    session.in_block = True
    return Result(touched=0)


def _commit(session: Session, sql: str, in_transaction: bool) -> Result:
    session._end("COMMIT")
    session.in_block = False
    return Result(touched=0)


def _rollback(session: Session, sql: str, in_transaction: bool) -> Result:
    session._end("ROLLBACK")
    session.in_block = False
    return Result(touched=0)


def _merge_command(session: Session, sql: str, in_transaction: bool) -> Result:
    if re.search(r"\bREMOVE\s+DUPLICATES\s*;?\s*$", sql, re.IGNORECASE):
        return session.merge_remove_duplicates(sql)
    tree = dialect.parse(sql)
    assert isinstance(tree, exp.Merge)
    return session._merge(tree, sql)


def _show(session: Session, sql: str, in_transaction: bool) -> Result:
    name = _bare(sql).rstrip("; ").split()[-1].lower()
    if name not in SETTINGS:
        raise unsupported(f"SHOW {name}")
    return Result([Column(name, "VARCHAR", 256)], [(session.settings.get(name, ""),)], has_rows=True, size_bytes=0)


_COMMANDS: dict[str, Callable[[Session, str, bool], Result]] = {
    "LOCK": _lock_tables, "COPY": _copy, "UNLOAD": _unload, "VACUUM": _vacuum, "SHOW": _show, "MERGE": _merge_command,
    "BEGIN": _begin, "START": _begin, "COMMIT": _commit, "END": _commit, "ROLLBACK": _rollback, "ABORT": _rollback,
}  # fmt: skip


class Engine:
    """One database file. Thread-safe: each session has a cursor of its own."""

    def __init__(self, path: Path, s3: Any) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.database = duckdb.connect(path, config={"autoinstall_known_extensions": False})
        self.database.execute("CREATE SCHEMA IF NOT EXISTS public")
        self.database.execute(BOOTSTRAP)
        self.database.execute(dialect.MACROS)
        # A statement sees no file of the host but those that a COPY downloads.
        self._folder = tempfile.TemporaryDirectory(prefix="redshift-")
        self.folder = Path(self._folder.name)
        self.database.execute(f"SET allowed_directories = ['{self.folder}']")
        self.database.execute("SET enable_external_access = false")
        self.s3 = s3
        self.locks = Locks()

    def session(self) -> Session:
        return Session(self)

    def close(self) -> None:
        self.database.execute("CHECKPOINT")
        self.database.close()
        self._folder.cleanup()

    def require_table(self, schema: str, name: str) -> None:
        with contextlib.closing(self.database.cursor()) as con:
            Catalog({}).columns(con, schema or "public", name)

    def record_load_errors(self, error: LoadError) -> None:
        query_id = int(datetime.now(UTC).timestamp() * 1000)
        with contextlib.closing(self.database.cursor()) as con:
            for d in error.details:
                con.execute(
                    "INSERT INTO main.sys_load_error_detail VALUES (100, ?, 0, 0, ?, 0, ?, ?, ?, ?, ?, ?, 0, ?, ?)",
                    [query_id, "ecommerce", datetime.now(UTC).replace(tzinfo=None), d.file_name, d.line_number,
                     d.column_name, d.column_type, str(d.column_length or ""), d.code, d.message],
                )  # fmt: skip

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Runs a query of the service itself."""
        with contextlib.closing(self.database.cursor()) as con:
            return list(con.execute(sql, list(parameters)).fetchall())


@contextlib.contextmanager
def _duckdb_errors(sql: str) -> Iterator[None]:
    try:
        yield
    except duckdb.Error as error:
        raise from_duckdb(str(error), sql) from error


def _bare(sql: str) -> str:
    return re.sub(r"--[^\n]*|/\*.*?\*/", "", sql, flags=re.DOTALL).strip()


def _unquoted(name: str) -> str:
    return name.replace('"', "").lower()


def _split(name: str) -> tuple[str, str]:
    schema, _, table = name.rpartition(".")
    return schema, table


def _name(table: exp.Expr) -> str:
    return f"{table.args['db'].name.lower()}.{table.name.lower()}" if table.args.get("db") else table.name.lower()


def _target(tree: exp.Expr) -> str:
    table = tree.this.this if isinstance(tree.this, exp.Schema) else tree.this
    return _name(table)


def _quoted(schema: str, name: str) -> str:
    return f'"{schema}"."{name}"' if schema else f'"{name}"'


def _quoted_name(name: str) -> str:
    return _quoted(*_split(name))


def _count(cursor: duckdb.DuckDBPyConnection) -> int:
    row = cursor.fetchone()
    return int(row[0]) if row else 0


def parameters_of(statements: Sequence[str]) -> set[str]:
    return {name for sql in statements for _, _, name in dialect.split_placeholders(sql)}


def bound(statements: Sequence[str], parameters: Mapping[str, str]) -> list[str]:
    return [dialect.bind(sql, parameters) for sql in statements]
