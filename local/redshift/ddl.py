"""CREATE, ALTER, DROP, TRUNCATE, ANALYZE and SET, with Redshift's metadata of tables."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from sqlglot import exp

from local.redshift import attributes, dialect, materialized, views
from local.redshift.catalog import SYSTEM_SCHEMA, Column, column_type, renamed
from local.redshift.errors import SqlError, syntax_error, unsupported
from local.redshift.names import DDL_LOCK, TABLE_NAME, count_of, name_of, quoted, split, unquoted
from local.redshift.results import Result
from local.redshift.tables import described, exists, make_table
from local.redshift.translation import Compiled

if TYPE_CHECKING:
    from local.redshift.session import Session

SETTINGS = {"search_path", "query_group", "statement_timeout", "timezone", "application_name"}
_FOLLOWING = ("grants", "comments")  # metadata that is stored by the name of a table or view


def create(session: Session, tree: exp.Create, sql: str, query: Callable[[], Compiled] | None = None) -> Result:
    """Creates the object of the tree; `query` returns the query of CREATE TABLE AS, which is else compiled here."""
    kind = str(tree.kind).upper()
    if kind == "SCHEMA":
        session.lock([DDL_LOCK])
        session.begin()
        exists = "IF NOT EXISTS " if tree.args.get("exists") else ""
        session.con.execute(f'CREATE SCHEMA {exists}"{tree.this.db.lower() or tree.this.name.lower()}"')
        return Result(touched=0)
    if kind == "TABLE":
        return _create_table(session, tree, sql, query or (lambda: session.translator(sql).query(tree.expression)))
    if kind == "VIEW":
        return _create_view(session, tree, sql)
    raise unsupported(f"CREATE {kind}")


def _create_table(session: Session, tree: exp.Create, sql: str, query: Callable[[], Compiled]) -> Result:
    schema_node = tree.this
    table = schema_node.this if isinstance(schema_node, exp.Schema) else schema_node
    properties = tree.args.get("properties")
    temporary = table.name.startswith("#") or bool(properties and properties.find(exp.TemporaryProperty))
    if temporary and table.db:
        raise SqlError("ERROR: temporary tables cannot specify a schema name")
    schema = "" if temporary else (table.db.lower() or "public")
    name = table.name.lower()
    if not temporary:
        session.lock([DDL_LOCK])
    session.begin()
    if exists(session, schema, name):
        if tree.args.get("exists"):
            return Result(touched=0)
        raise SqlError(f'ERROR: Relation "{name}" already exists')
    if isinstance(tree.expression, exp.Query):
        compiled = query()
        columns = described(session, compiled)
        session.note(reads=session.bases(dialect.tables_of(tree.expression)))
        make_table(session, schema, name, columns)
        _keep_attributes(session, schema, name, tree, sql)
        insert = f"INSERT INTO {quoted(schema, name)} {compiled.sql}"
        return Result(touched=count_of(session.con.execute(insert)))
    make_table(session, schema, name, _columns(session, tree, sql, schema, name))
    _keep_attributes(session, schema, name, tree, sql)
    return Result(touched=0)


def _keep_attributes(session: Session, schema: str, name: str, tree: exp.Create, sql: str) -> None:
    if schema:  # the catalog shows no temporary tables
        attributes.keep(session.con, schema, name, attributes.attributes_of(tree, sql))


def _columns(session: Session, tree: exp.Create, sql: str, schema: str, name: str) -> list[Column]:
    found: list[Column] = []
    like = re.search(rf"\(\s*LIKE\s+{TABLE_NAME}(\s+INCLUDING\s+DEFAULTS)?\s*\)", sql, re.IGNORECASE)
    if like:
        for column in session.catalog.columns(session.con, *split(unquoted(like[1]))):
            default = column.default_sql if like[2] else None
            found.append(
                Column(
                    column.name, column.kind, column.length, column.precision, column.scale, column.nullable, default
                )
            )
        return found
    if not isinstance(tree.this, exp.Schema):
        raise syntax_error(sql, "end of input")
    for item in tree.this.expressions:
        if isinstance(item, exp.ColumnDef):
            found.append(_column(session, item, sql, schema, name))
        elif not isinstance(item, exp.PrimaryKey | exp.UniqueColumnConstraint | exp.ForeignKey | exp.Constraint):
            raise unsupported(f"in CREATE TABLE: {item.sql('redshift')}")
    return found  # keys are accepted and, as on Redshift, not enforced


def _column(session: Session, item: exp.ColumnDef, sql: str, schema: str, table: str) -> Column:
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
                default = session.translator(sql).default(value, base)
            case exp.GeneratedAsIdentityColumnConstraint():
                if base.kind not in {"INT", "BIGINT"}:
                    raise SqlError("ERROR: identity column type must be INT or BIGINT")
                identity = f"{SYSTEM_SCHEMA}.{schema}_{table}_{item.name.lower()}"
                start, step = (constraint.kind.args.get(k) or exp.Literal.number(1) for k in ("start", "increment"))
                lowest = min(int(start.sql()), 1) if int(step.sql()) > 0 else -(2**62)
                session.con.execute(
                    f"CREATE OR REPLACE SEQUENCE {identity} MINVALUE {lowest} START {start.sql()} INCREMENT {step.sql()}"
                )
                nullable = False
            case exp.UniqueColumnConstraint() | exp.Reference() | exp.EncodeColumnConstraint():
                pass  # informational on Redshift
            case _:
                raise unsupported(f"column constraint {constraint.sql('redshift')}")
    return Column(item.name.lower(), base.kind, base.length, base.precision, base.scale, nullable, default, identity)


def _create_view(session: Session, tree: exp.Create, sql: str) -> Result:
    view = tree.this.this if isinstance(tree.this, exp.Schema) else tree.this
    schema, name = view.db.lower() or "public", view.name.lower()
    properties = tree.args.get("properties")
    if properties and properties.find(exp.MaterializedProperty):
        return materialized.create(session, tree, sql)
    if any(split(t)[1] == "sys_query_history" for t in dialect.tables_of(tree.expression)):
        raise unsupported("a view of sys_query_history")  # its rows are written for the statement that reads it
    session.lock([DDL_LOCK])
    session.begin()
    replace = "OR REPLACE " if tree.args.get("replace") else ""
    compiled = session.translator(sql).query(tree.expression)
    columns = described(session, compiled)
    session.con.execute(f"CREATE {replace}VIEW {quoted(schema, name)} AS {compiled.sql}")
    session.catalog.keep(session.con, schema, name, columns)
    views.keep(
        session.con, schema, name, [split(t if "." in t else f"public.{t}") for t in dialect.tables_of(tree.expression)]
    )
    return Result(touched=0)


def drop(session: Session, tree: exp.Drop) -> Result:
    kind = str(tree.args["kind"]).upper()
    kind = "MATERIALIZED VIEW" if tree.args.get("materialized") else kind
    if_exists = "IF EXISTS " if tree.args.get("exists") else ""
    cascade = " CASCADE" if tree.args.get("cascade") else ""
    for table in tree.args["tables"]:
        _drop_one(session, kind, table, if_exists, cascade)
    return Result(touched=0)


def _drop_one(session: Session, kind: str, table: exp.Expr, if_exists: str, cascade: str) -> None:
    if kind == "SCHEMA":
        session.lock([DDL_LOCK])
        session.begin()
        schema = table.db.lower() or table.name.lower()
        for base, readers in session.materialized().readers.items():
            if split(base)[0] == schema and any(split(reader)[0] != schema for reader in readers):
                raise unsupported("DROP SCHEMA of a table that a materialized view of another schema reads")
        session.con.execute(f'DROP SCHEMA {if_exists}"{schema}"{cascade}')
        for kept in ("columns", "materialized", "stale", *_FOLLOWING):
            session.con.execute(f"DELETE FROM {SYSTEM_SCHEMA}.{kept} WHERE table_schema = ?", [schema])
        return
    if kind not in {"TABLE", "VIEW", "MATERIALIZED VIEW"}:
        raise unsupported(f"DROP {kind}")
    name = table.name.lower()
    schema = "" if name in session.temporary and not table.db else table.db.lower() or "public"
    if schema:
        session.lock([DDL_LOCK, f"{schema}.{name}"])
    session.begin()
    for reader in views.readers(session.con, schema, name) if schema and cascade else []:
        _drop_one(session, "VIEW", exp.to_table(f"{reader.schema}.{reader.name}"), "IF EXISTS ", cascade)
    known, full = session.materialized(), f"{schema}.{name}"
    if (full in known.names) != (kind == "MATERIALIZED VIEW") and exists(session, schema, name):
        raise SqlError(f'ERROR: "{name}" is {"a" if full in known.names else "not a"} materialized view')
    for view in known.readers.get(full, []):
        if not cascade:
            raise SqlError(f"ERROR: cannot drop table {name} because other objects depend on it")
        _drop_one(session, "MATERIALIZED VIEW", exp.to_table(view), "IF EXISTS ", cascade)
    if kind != "MATERIALIZED VIEW":
        session.con.execute(f"DROP {kind} {if_exists}{quoted(schema, name)}{cascade}")
    elif full in known.names:
        materialized.drop(session, schema, name)
    elif not if_exists:
        raise SqlError(f'ERROR: materialized view "{name}" does not exist')
    session.catalog.drop(session.con, schema, name)
    for kept in _FOLLOWING if schema else ():
        session.con.execute(
            f"DELETE FROM {SYSTEM_SCHEMA}.{kept} WHERE table_schema = ? AND table_name = ?", [schema, name]
        )


def alter(session: Session, tree: exp.Alter, sql: str, in_transaction: bool) -> Result:
    schema, name = split(name_of(tree.this))
    schema = schema or ("" if name in session.temporary else "public")
    actions = tree.args["actions"]
    session.lock([DDL_LOCK, f"{schema}.{name}"])
    session.begin()
    columns = session.catalog.columns(session.con, schema, name)
    if len(actions) != 1:
        raise syntax_error(sql, ",", ",")
    materialized.refuse(session, f"{schema}.{name}" if schema else name)
    if not isinstance(actions[0], exp.ColumnDef) and session.materialized().readers.get(f"{schema}.{name}"):
        raise unsupported("ALTER TABLE of what a materialized view reads, but for ADD COLUMN,")
    match actions[0]:
        case exp.AlterRename() as change:
            return _rename(session, schema, name, change.this.name.lower())
        case exp.ColumnDef() as added:
            column = _column(session, added, sql, schema, name)
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
        case exp.AlterRename() as change:
            new = change.this.name.lower()
            if exists(session, schema, new):
                raise SqlError(f'ERROR: relation "{new}" already exists')
            session.con.execute(f'ALTER TABLE {quoted(schema, name)} RENAME TO "{new}"')
            session.catalog.drop(session.con, schema, name)
            session.catalog.keep(session.con, schema, new, columns)
            return Result(touched=0)
        case exp.RenameColumn() as change:
            old, new = change.this.name.lower(), change.args["to"].name.lower()
            attributes.rename(session.con, schema, name, old, new)
            return _rebuild(session, schema, name, columns, [renamed(c, new) if c.name == old else c for c in columns])
        case exp.AlterColumn() as change if change.args.get("dtype"):
            if in_transaction:
                raise SqlError("ERROR: ALTER TABLE ALTER COLUMN cannot run inside a transaction block")
            wanted = column_type(change.args["dtype"])
            old = change.this.name.lower()
            current = next((c for c in columns if c.name == old), None)
            if current is None or current.kind != "VARCHAR" or wanted.kind != "VARCHAR":
                raise SqlError("ERROR: ALTER COLUMN TYPE is only supported for VARCHAR columns")
            resized = Column(old, "VARCHAR", wanted.length, nullable=current.nullable, default_sql=current.default_sql)
            return _rebuild(session, schema, name, columns, [resized if c.name == old else c for c in columns])
        case other:
            raise unsupported(f"ALTER TABLE {other.sql('redshift')}")
    return _rebuild(session, schema, name, session.catalog.columns(session.con, schema, name), columns)


def _rename(session: Session, schema: str, name: str, new: str) -> Result:
    """Renames a table or view. Views on it still work, as on Redshift, where they reference it by its OID."""
    if not schema:
        raise unsupported("ALTER TABLE RENAME of a temporary table")
    session.lock([f"{schema}.{new}"])
    if exists(session, schema, new):
        raise SqlError(f'ERROR: relation "{new}" already exists')
    readers = views.readers(session.con, schema, name)
    session.con.execute(f'ALTER {views.kind(session.con, schema, name)} {quoted(schema, name)} RENAME TO "{new}"')
    for reader in readers:
        session.con.execute(reader.following(schema, name, new))
    views.rename(session.con, schema, name, new)
    for kept in ("columns", *_FOLLOWING, *attributes.TABLES):
        session.con.execute(
            f"UPDATE {SYSTEM_SCHEMA}.{kept} SET table_name = ? WHERE table_schema = ? AND table_name = ?",
            [new, schema, name],
        )
    return Result(touched=0)


def _rebuild(session: Session, schema: str, name: str, before: list[Column], after: list[Column]) -> Result:
    """Writes the table again in the same transaction, because DuckDB cannot alter a table that has CHECKs."""
    table, aside = quoted(schema, name), quoted(schema, f"{name}__altered")
    session.con.execute(f"CREATE TABLE {aside} ({', '.join(c.ddl() for c in after)})")
    old_names = [c.name for c in before]
    kept = (
        list(zip(after, before, strict=True))
        if len(before) == len(after)
        else [(c, c) for c in after if c.name in old_names]
    )
    into = ", ".join(f'"{new.name}"' for new, _ in kept)
    values = ", ".join(f'"{old.name}"' for _, old in kept)
    session.con.execute(f"INSERT INTO {aside} ({into}) SELECT {values} FROM {table}")
    session.con.execute(f"DROP TABLE {table}")
    session.con.execute(f'ALTER TABLE {aside} RENAME TO "{name}"')
    session.catalog.keep(session.con, schema, name, after)
    return Result(touched=0)


def truncate(session: Session, tree: exp.TruncateTable) -> Result:
    name = name_of(tree.expressions[0])
    session.lock([name])
    session.begin()
    session.catalog.columns(session.con, *split(name))
    materialized.refuse(session, name)
    materialized.mark_stale(session, [name if "." in name else f"public.{name}"])
    session.con.execute(f"DELETE FROM {quoted(*split(name))}")
    session.end("COMMIT")  # TRUNCATE commits the whole transaction
    return Result(touched=0)


def analyze(session: Session, tree: exp.Analyze) -> Result:
    if isinstance(tree.this, exp.Table):
        session.begin()
        session.catalog.columns(session.con, *split(name_of(tree.this)))
    return Result(touched=0)


def set_setting(session: Session, tree: exp.Set, sql: str) -> Result:
    found = re.match(r"\s*SET\s+(?:SESSION\s+)?(\w+)\s*(?:TO|=)\s*(.+?)\s*;?\s*$", sql, re.IGNORECASE | re.DOTALL)
    if not found or found[1].lower() not in SETTINGS:
        raise unsupported(f"SET {found[1] if found else ''}")
    name, value = found[1].lower(), found[2].strip("'\"")
    session.begin()
    if name == "search_path":
        path = [p.strip(" '\"") for p in found[2].split(",") if p.strip(" '\"") != "$user"]
        session.con.execute(f"SET search_path = '{','.join([*path, 'main'])}'")
    session.settings[name] = value
    return Result(touched=0)
