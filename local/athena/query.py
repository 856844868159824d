"""Runs one query in Athena's SQL over the tables of the Data Catalog, in DuckDB on the objects that the query needs.

Implemented as in Athena (user guide, "Partitioning data", "Querying hidden file system metadata columns"):

- Only partitions whose values satisfy the query's conditions on partition columns are read, and of these only objects
  whose "$path" satisfies the conditions on it. Conditions are applied to a table through subqueries and WITH.
- The partitions of a table are those that are registered in the catalog, each at its own location. Other objects are
  not read.
- With SymlinkTextInputFormat, the objects under a location are lists of the URLs of the objects with the rows.
- local/athena/text_tables.py describes how text is read.
- Parquet columns are matched by name; a column that a file lacks is NULL. Objects whose name begins with _ or . are not
  read.

Not implemented: DataScannedInBytes counts whole objects, while Athena counts only the columns of Parquet that a query
reads.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import duckdb
import sqlglot
from sqlglot import exp
from sqlglot.dialects.athena import Athena
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.pushdown_predicates import pushdown_predicates
from sqlglot.optimizer.qualify import qualify
from sqlglot.optimizer.scope import traverse_scope

from local.athena.catalog_statements import CatalogStatements, StatementRefused
from local.athena.meaning import MACROS, NotKnown, as_trino, named
from local.athena.objects import Object, Objects
from local.athena.results import QueryFailed, Result, athena_type, text_of
from local.athena.views import PATH, create_view
from local.athena.writes import Write, Writer, WriteRefused, parsed

if TYPE_CHECKING:
    from types_boto3_glue.client import GlueClient
    from types_boto3_glue.type_defs import TableTypeDef
    from types_boto3_s3.client import S3Client


class Hive(Athena):
    """Athena's dialect with the hidden column for the object of a row: queries can name it, * does not select it."""

    PSEUDOCOLUMNS: ClassVar[set[str]] = {PATH.upper()}


class Query:
    """One SELECT, alone or in CREATE TABLE AS or UNLOAD; or one SHOW or DESCRIBE.

    Args:
        s3, glue: boto3 clients.
        work: an empty folder for the objects that are read.
    """

    def __init__(self, s3: S3Client, glue: GlueClient, work: Path) -> None:
        self.s3, self.glue, self.work = s3, glue, work
        self.objects = Objects(s3, glue, work)
        self.tables: dict[tuple[str, str], TableTypeDef] = {}

    def run(self, sql: str, database: str, parameters: Sequence[str] = (), output: str = "") -> Result:
        """Runs the statement and returns its result.

        Args:
            parameters: SQL literals that replace the question marks.
            output: URL of the query's own result; CREATE TABLE AS and UNLOAD write their lists of files beside it.

        Raises:
            QueryFailed: With Athena's StateChangeReason.
        """
        try:
            shown = CatalogStatements(self.glue, database).run(sql)
            write = parsed(sql, Hive)
        except (WriteRefused, StatementRefused) as error:
            raise QueryFailed(str(error)) from error
        if shown:
            return Result(
                [(name, "string") for name in shown.columns], [[line] for line in shown.lines], 0, [], has_header=False
            )
        tree = self._parsed(write.select if write else sql, database, parameters)
        with duckdb.connect(
            config={"threads": 2, "memory_limit": "1GiB", "temp_directory": str(self.work / "spill")}
        ) as engine:
            engine.execute("SET TimeZone = 'UTC'")
            engine.execute(MACROS)
            try:
                self._replace_tables(tree, engine)
                if write:
                    return self._written(
                        engine, tree.sql("duckdb"), write, Writer(self.s3, self.glue, output, database)
                    )
                cursor = engine.execute(tree.sql("duckdb"))
                rows = cursor.fetchall()
                described = cursor.description
            except WriteRefused as error:
                raise QueryFailed(str(error)) from error
            except duckdb.Error as error:
                raise QueryFailed(self.objects.named(str(error))) from error
        columns = [(name, athena_type(str(kind))) for name, kind, *_ in described]
        texts = [[text_of(value, kind) for value, (_, kind) in zip(row, columns, strict=True)] for row in rows]
        return Result(columns, texts, sum(o.size for o in self.objects.read), [o.url for o in self.objects.read])

    def _written(self, engine: duckdb.DuckDBPyConnection, sql: str, write: Write, writer: Writer) -> Result:
        described = engine.execute(f"DESCRIBE {sql}").fetchall()
        columns = [(row[0], athena_type(str(row[1]))) for row in described]
        rows, manifest = writer.write(engine, sql, write, self.work, columns)
        return Result(
            [], [], sum(o.size for o in self.objects.read), [o.url for o in self.objects.read], rows, manifest
        )

    # -- SQL ----------------------------------------------------------------------------------------------------

    def _parsed(self, sql: str, database: str, parameters: Sequence[str]) -> exp.Query:
        try:
            tree = sqlglot.parse_one(sql, read=Hive)
        except SqlglotError as error:
            raise QueryFailed(f"SYNTAX_ERROR: {error}") from error
        if not isinstance(tree, exp.Query):
            raise QueryFailed(
                f"NOT_SUPPORTED: {tree.key.upper()}: the stand-in runs SELECT, CREATE TABLE AS, UNLOAD, SHOW and DESCRIBE"
            )
        named(tree)
        marks = [node for node in tree.find_all(exp.Placeholder, bfs=False) if not node.this]
        if len(marks) != len(parameters):
            raise QueryFailed(
                f"INVALID_PARAMETER_USAGE: Incorrect number of parameters: expected {len(marks)} but found "
                f"{len(parameters)}"
            )
        for mark, value in zip(marks, parameters, strict=True):
            mark.replace(sqlglot.parse_one(value, read=Hive))
        schema: dict[str, dict[str, dict[str, str]]] = {}
        ctes = {cte.alias_or_name for cte in tree.find_all(exp.CTE)}
        for table in tree.find_all(exp.Table):
            if not table.db and table.name in ctes:
                continue
            name = (table.db or database, table.name)
            found = self.tables.setdefault(name, self._table(*name))
            columns = [*found["StorageDescriptor"]["Columns"], *found.get("PartitionKeys", [])]
            schema.setdefault(name[0], {})[name[1]] = {c["Name"]: c["Type"] for c in columns}
        try:
            qualified = qualify(
                tree, dialect=Hive, db=database, schema=schema, expand_stars=True, validate_qualify_columns=True
            )
            return as_trino(pushdown_predicates(qualified, dialect=Hive), schema, Hive)
        except NotKnown as error:
            raise QueryFailed(f"NOT_SUPPORTED: {error} is not supported by the local Athena stand-in") from error
        except SqlglotError as error:
            raise QueryFailed(f"COLUMN_NOT_FOUND: {error}") from error

    def _table(self, database: str, name: str) -> TableTypeDef:
        try:
            return self.glue.get_table(DatabaseName=database, Name=name)["Table"]
        except self.glue.exceptions.EntityNotFoundException as error:
            raise QueryFailed(f"TABLE_NOT_FOUND: Table 'awsdatacatalog.{database}.{name}' does not exist") from error

    def _replace_tables(self, tree: exp.Query, engine: duckdb.DuckDBPyConnection) -> None:
        """Replaces each table with a DuckDB view over the objects that remain after applying the conditions on it."""
        number = itertools.count()
        replaced: set[int] = set()  # a lateral scope also contains the sources of its outer scope
        for scope in traverse_scope(tree):
            for alias, source in list(scope.sources.items()):
                if not isinstance(source, exp.Table) or id(source) in replaced:
                    continue
                replaced.add(id(source))
                table = self.tables[source.db, source.name]
                keys = [key["Name"] for key in table.get("PartitionKeys", [])]
                conditions = list(
                    _conditions(scope.expression, {alias, ""} if len(scope.sources) == 1 else {alias}, {*keys, PATH})
                )
                view = f"table_{next(number)}"
                objects = list(self._chosen(table, keys, conditions, engine))
                create_view(engine, view, table, keys, objects, self.objects)
                source.set("this", exp.to_identifier(view))
                source.set("db", None)
                source.set("catalog", None)

    def _chosen(
        self, table: TableTypeDef, keys: list[str], conditions: list[exp.Expr], engine: duckdb.DuckDBPyConnection
    ) -> Iterator[Object]:
        """Yields the objects that may contain rows that satisfy the conditions."""
        of_partition = [c for c in conditions if PATH not in {column.name for column in c.find_all(exp.Column)}]
        partitions = list(self.objects.partitions(table)) if keys else [((), table["StorageDescriptor"])]
        wanted = _satisfying(engine, keys, [values for values, _ in partitions], of_partition)
        chosen = [
            (values, storage) for (values, storage), is_wanted in zip(partitions, wanted, strict=True) if is_wanted
        ]
        listed = self.objects.listed(chosen)
        kept = _satisfying(engine, [*keys, PATH], [(*o.values, o.url) for o in listed], conditions)
        yield from (o for o, is_kept in zip(listed, kept, strict=True) if is_kept)


def _conditions(select: exp.Expr, aliases: set[str], columns: set[str]) -> Iterator[exp.Expr]:
    """Yields the conditions that every row of the SELECT satisfies and that refer only to these columns."""
    joins = select.args.get("joins") or []
    if any(join.side in {"RIGHT", "FULL"} or (join.side and join.alias_or_name in aliases) for join in joins):
        return  # all columns of the table may be NULL in a row, and a condition may require that
    where = select.args.get("where")
    inner = [join.args["on"] for join in joins if not join.side and join.args.get("on")]
    for condition in [*([where.this] if where else []), *inner]:
        for each in condition.flatten() if isinstance(condition, exp.And) else [condition]:
            named = list(each.find_all(exp.Column))
            is_ours = all(column.table in aliases and column.name in columns for column in named)
            if named and is_ours and not each.find(exp.Subquery, exp.Select):
                yield each.unnest()


def _satisfying(
    engine: duckdb.DuckDBPyConnection, names: list[str], rows: list[tuple[str, ...]], conditions: list[exp.Expr]
) -> list[bool]:
    """Returns for each row whether it satisfies all conditions."""
    if not rows or not conditions:
        return [True] * len(rows)
    bare = [
        c.transform(lambda n: exp.column(n.name, quoted=True) if isinstance(n, exp.Column) else n) for c in conditions
    ]
    columns = ", ".join(f'v[{i}] AS "{name}"' for i, name in enumerate(names, 1))
    satisfied = " AND ".join(f"({condition.sql('duckdb')})" for condition in bare)
    numbered = "SELECT UNNEST($rows) AS v, UNNEST(RANGE($count)) AS n"
    sql = f"SELECT COALESCE({satisfied}, FALSE) FROM (SELECT {columns}, n FROM ({numbered})) ORDER BY n"
    found = engine.execute(sql, {"rows": [list(row) for row in rows], "count": len(rows)}).fetchall()
    return [row[0] for row in found]
