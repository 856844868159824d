"""Migrates the tables of an existing warehouse to the definitions in `include/sql`. See docs/adr/0025.

Every deployment runs the migrations. A migration is a folder `include/sql/migrations/<number>_<name>/` of numbered
files. The files run one by one, because Redshift cannot change a VARCHAR inside a transaction. A file with one ALTER is
skipped if the table already has the change. Any other file is one transaction that can be repeated. A later run can
therefore finish a run that died, and two runs can overlap. Finished migrations are in ops.schema_migrations.

Staging tables keep no data between loads. A staging table that differs from its create.sql, from a file or generated
from the contract, is therefore recreated. So is a mart, because it can be rebuilt from core.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import sqlglot
from sqlglot import exp
from sqlglot.tokens import Token, TokenType

from ecommerce_elt.errors import PermanentError
from ecommerce_elt.feeds import feed_sql
from ecommerce_elt.feeds.contracts import Contract
from ecommerce_elt.warehouse.redshift import Warehouse

log = logging.getLogger(__name__)

DIALECT = "redshift"
LENGTHS = {"VARCHAR", "CHAR"}
_CONSTRAINTS = {"PRIMARY", "UNIQUE", "FOREIGN", "CONSTRAINT"}
_ENDS_TYPE = {
    "NOT",
    "NULL",
    "DEFAULT",
    "DISTKEY",
    "SORTKEY",
    "ENCODE",
    "PRIMARY",
    "UNIQUE",
    "REFERENCES",
    "IDENTITY",
    "GENERATED",
}

Columns = dict[str, str]  # name to type in Redshift's notation, in the order of the table


@dataclass(frozen=True)
class Step:
    """One file of a migration. `table` and `change` are None unless the file is a single ALTER TABLE."""

    file: Path
    sql: tuple[str, ...]
    table: str | None
    change: exp.Expr | None

    def is_done(self, columns: Columns) -> bool:
        """Returns whether the table with these columns already has the change of the statement.

        Raises:
            PermanentError: the ALTER is of an unsupported kind, or its table does not exist.
        """
        if not columns:
            raise PermanentError(f"{self.file}: there is no table {self.table}")
        match self.change:
            case exp.ColumnDef() as added:
                return added.name.lower() in columns
            case exp.Drop() as dropped:
                return dropped.args["tables"][0].name.lower() not in columns
            case exp.RenameColumn() as renamed:
                return renamed.this.name.lower() not in columns  # a later one may have dropped the new name
            case exp.AlterColumn() as resized if (
                resized.args.get("dtype") and resized.args["dtype"].this.name == "VARCHAR"
            ):
                there = exp.DataType.build(columns.get(resized.this.name.lower(), "SUPER"), dialect=DIALECT)
                return there.this.name == "VARCHAR" and _length(there) >= _length(resized.args["dtype"])
        raise PermanentError(
            f"{self.file}: expected ADD COLUMN, DROP COLUMN, RENAME COLUMN or ALTER COLUMN ... TYPE VARCHAR(n)"
        )


def _length(kind: exp.DataType) -> int:
    return int(kind.expressions[0].name) if kind.expressions else 256  # Redshift guide, "Character types"


def migrate(
    target: Warehouse, sql_dir: Path, contracts: Iterable[Contract], tables: Iterable[str], built: Iterable[str] = ()
) -> list[str]:
    """Applies the unfinished migrations and returns their names.

    Args:
        target: the warehouse.
        sql_dir: the folder of the SQL.
        contracts: the contracts, whose staging tables are recreated if they differ from their create.sql.
        tables: the tables that must have the columns of their create.sql at the end.
        built: the tables that are recreated if they differ, because build_marts fills them from core.

    Raises:
        PermanentError: a statement was refused; an applied migration was changed; or a table still differs from its
            create.sql.
        TransientError: as in `Warehouse.run`.
    """
    create = (sql_dir / "ops/schema_migrations/create.sql").read_text("utf-8")
    target.run([create], name="create ops.schema_migrations")
    finished = dict(target.query((sql_dir / "ops/schema_migrations/finished.sql").read_text("utf-8")))
    applied = []
    for folder in sorted(path for path in (sql_dir / "migrations").glob("*") if path.is_dir()):
        steps = list(_steps(folder))
        digest = hashlib.sha256("".join(sql for step in steps for sql in step.sql).encode()).hexdigest()[:16]
        if folder.name in finished:
            if finished[folder.name] != digest:
                raise PermanentError(
                    f"{folder}: it was applied, and is another now. Undo the change, and write a new migration"
                )
            continue
        for step in steps:
            _apply(target, step)
        record = (sql_dir / "ops/schema_migrations/record.sql").read_text("utf-8")
        target.run([record], {"migration": folder.name, "digest": digest}, name=f"migration {folder.name}")
        applied.append(folder.name)
    for contract in contracts:
        _renew_staging(target, contract.staging, sql_dir)
    for table in built:
        _renew_mart(target, table, sql_dir)
    for table in tables:
        wanted, there = declared(sql_dir, table), columns_of(target, table)
        if differing := sorted(f"{name} {kind}" for name, kind in {*wanted.items()} ^ {*there.items()}):
            raise PermanentError(
                f"{table} differs from its create.sql in {', '.join(differing)}: add a migration for it, "
                "docs/evolving-a-feed.md"
            )
    return applied


def _steps(folder: Path) -> Iterator[Step]:
    for file in sorted(folder.glob("*.sql")):
        statements = tuple(text for text in file.read_text("utf-8").split(";\n") if text.strip())
        tree = sqlglot.parse_one(statements[0], read=DIALECT)
        if len(statements) == 1 and isinstance(tree, exp.Alter):
            [change] = tree.args["actions"]
            yield Step(file, statements, f"{tree.this.db}.{tree.this.name}".lower(), change)
        else:
            yield Step(file, statements, None, None)


def _apply(target: Warehouse, step: Step) -> None:
    name = f"{step.file.parent.name}/{step.file.name}"
    if step.table is None:
        target.run(step.sql, name=name)
        return
    if step.is_done(columns_of(target, step.table)):
        log.info("migration step=%s is done already", name)
        return
    try:
        target.run(step.sql, name=name)
    except PermanentError:
        if not step.is_done(columns_of(target, step.table)):  # otherwise a concurrent deployment made the change
            raise


def _renew_staging(target: Warehouse, table: str, sql_dir: Path) -> None:
    if list(declared(sql_dir, table).items()) != list(columns_of(target, table).items()):  # COPY depends on the order
        create = feed_sql.read(sql_dir, f"{table.replace('.', '/')}/create.sql")
        target.run([f"DROP TABLE IF EXISTS {table}", create], name=f"renew {table}")


def _renew_mart(target: Warehouse, table: str, sql_dir: Path) -> None:
    if declared(sql_dir, table) == columns_of(target, table):
        return
    log.warning("mart=%s differs from its create.sql: it is made anew, and build_marts fills it from core", table)
    create = (sql_dir / table.replace(".", "/") / "create.sql").read_text("utf-8")
    # After it is registered again, all days of the mart are built. CASCADE drops its views, which the deployment
    # recreates later.
    forget = (sql_dir / "ops/mart/forget.sql").read_text("utf-8")
    target.run([f"DROP TABLE IF EXISTS {table} CASCADE", create, forget], {"mart": table}, name=f"renew {table}")


def columns_of(target: Warehouse, table: str) -> Columns:
    """Returns the columns of the table in the warehouse; empty if there is no such table."""
    schema, _, name = table.partition(".")
    sql = (
        "SELECT column_name, data_type, character_maximum_length, numeric_precision, numeric_scale FROM svv_columns "
        "WHERE table_schema = :schema_name AND table_name = :table_name ORDER BY ordinal_position"
    )
    rows = target.query(sql, {"schema_name": schema, "table_name": name})
    return {column: _kind(kind, length, precision, scale) for column, kind, length, precision, scale in rows}


def _kind(kind: str, length: int | None, precision: int | None, scale: int | None) -> str:
    found = exp.DataType.build(kind, dialect=DIALECT)
    if found.this.name in LENGTHS:
        return f"{found.this.name}({length})"
    return f"DECIMAL({precision}, {scale})" if found.this is exp.DataType.Type.DECIMAL else found.sql(DIALECT)


def declared(sql_dir: Path, table: str) -> Columns:
    """Returns the columns in the table's create.sql, from a file or generated from the contract."""
    sql = feed_sql.read(sql_dir, f"{table.replace('.', '/')}/create.sql")
    found = {}
    for item in _items(sqlglot.tokenize(sql, read=DIALECT)):
        words = [word for token in item for word in token.text.split()]  # PRIMARY KEY is one token
        if words[0].upper() == "LIKE":
            return declared(sql_dir, "".join(words[1:]))
        if words[0].upper() in _CONSTRAINTS:
            continue
        end = next((i for i, word in enumerate(words) if i and word.upper() in _ENDS_TYPE), len(words))
        kind = exp.DataType.build(" ".join(words[1:end]), dialect=DIALECT)
        sized = kind.this.name in LENGTHS and not kind.expressions
        found[words[0].lower()] = f"{kind.this.name}(256)" if sized else kind.sql(DIALECT)
    return found


def _items(tokens: list[Token]) -> Iterator[list[Token]]:
    """Yields the tokens of each comma-separated item in the first parentheses."""
    depth, item = 0, list[Token]()
    for token in tokens:
        if token.token_type is TokenType.R_PAREN:
            depth -= 1
            if depth == 0:
                yield item
                return
        if depth == 1 and token.token_type is TokenType.COMMA:
            yield item
            item = []
        elif depth:
            item.append(token)
        if token.token_type is TokenType.L_PAREN:
            depth += 1
