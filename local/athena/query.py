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
import math
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlparse

import duckdb
import pyarrow as pa
import sqlglot
from sqlglot import exp
from sqlglot.dialects.athena import Athena
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.pushdown_predicates import pushdown_predicates
from sqlglot.optimizer.qualify import qualify
from sqlglot.optimizer.scope import traverse_scope

from local.athena.catalog_statements import CatalogStatements, StatementRefused
from local.athena.meaning import MACROS, NotKnown, as_trino, named
from local.athena.text_tables import TextTable, Unreadable, text_table
from local.athena.writes import Write, Writer, WriteRefused, parsed

S3_THREADS = 16
PATH = "$path"
SYMLINK = "org.apache.hadoop.hive.ql.io.SymlinkTextInputFormat"


class Hive(Athena):
    """Athena's dialect with the hidden column for the object of a row: queries can name it, * does not select it."""

    PSEUDOCOLUMNS: ClassVar[set[str]] = {PATH.upper()}


class QueryFailed(Exception):  # noqa: N818
    """The query ends as FAILED with this reason."""


@dataclass(frozen=True)
class Result:
    """The result of a query.

    Attributes:
        columns: (name, Athena type) of each column.
        rows: texts as Athena writes them, or None for NULL.
    """

    columns: list[tuple[str, str]]
    rows: list[list[str | None]]
    scanned_bytes: int
    scanned_objects: list[str]
    written_rows: int = -1  # of CREATE TABLE AS and UNLOAD
    manifest: str = ""  # URL of the list of written files
    has_header: bool = True  # results of SHOW and DESCRIBE have none


@dataclass(frozen=True)
class _Object:
    bucket: str
    key: str
    size: int
    values: tuple[str, ...]

    @property
    def url(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


class Query:
    """One SELECT, alone or in CREATE TABLE AS or UNLOAD; or one SHOW or DESCRIBE.

    Args:
        s3, glue: boto3 clients.
        work: an empty folder for the objects that are read.
    """

    def __init__(self, s3: Any, glue: Any, work: Path) -> None:
        self.s3, self.glue, self.work = s3, glue, work
        self.tables: dict[tuple[str, str], dict[str, Any]] = {}
        self.read: list[_Object] = []

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
                raise QueryFailed(_named(str(error), {str(self._local(o)): o.url for o in self.read})) from error
        columns = [(name, _athena_type(str(kind))) for name, kind, *_ in described]
        texts = [[_text(value, kind) for value, (_, kind) in zip(row, columns, strict=True)] for row in rows]
        return Result(columns, texts, sum(o.size for o in self.read), [o.url for o in self.read])

    def _written(self, engine: duckdb.DuckDBPyConnection, sql: str, write: Write, writer: Writer) -> Result:
        described = engine.execute(f"DESCRIBE {sql}").fetchall()
        columns = [(row[0], _athena_type(str(row[1]))) for row in described]
        rows, manifest = writer.write(engine, sql, write, self.work, columns)
        return Result([], [], sum(o.size for o in self.read), [o.url for o in self.read], rows, manifest)

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

    def _table(self, database: str, name: str) -> dict[str, Any]:
        try:
            found: dict[str, Any] = self.glue.get_table(DatabaseName=database, Name=name)["Table"]
        except self.glue.exceptions.EntityNotFoundException as error:
            raise QueryFailed(f"TABLE_NOT_FOUND: Table 'awsdatacatalog.{database}.{name}' does not exist") from error
        return found

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
                self._create_view(view, table, keys, objects, engine)
                source.set("this", exp.to_identifier(view))
                source.set("db", None)
                source.set("catalog", None)

    def _chosen(
        self, table: dict[str, Any], keys: list[str], conditions: list[exp.Expr], engine: duckdb.DuckDBPyConnection
    ) -> Iterator[_Object]:
        """Yields the objects that may contain rows that satisfy the conditions."""
        of_partition = [c for c in conditions if PATH not in {column.name for column in c.find_all(exp.Column)}]
        partitions = list(self._partitions(table)) if keys else [((), table["StorageDescriptor"])]
        wanted = _satisfying(engine, keys, [values for values, _ in partitions], of_partition)
        chosen = [
            (values, storage) for (values, storage), is_wanted in zip(partitions, wanted, strict=True) if is_wanted
        ]
        with ThreadPoolExecutor(S3_THREADS) as pool:
            listed = [o for some in pool.map(lambda p: list(self._objects(*p)), chosen) for o in some]
        kept = _satisfying(engine, [*keys, PATH], [(*o.values, o.url) for o in listed], conditions)
        yield from (o for o, is_kept in zip(listed, kept, strict=True) if is_kept)

    # -- objects ------------------------------------------------------------------------------------------------

    def _partitions(self, table: dict[str, Any]) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
        pages = self.glue.get_paginator("get_partitions").paginate(
            DatabaseName=table["DatabaseName"], TableName=table["Name"]
        )
        for page in pages:
            for partition in page["Partitions"]:
                yield tuple(partition["Values"]), partition["StorageDescriptor"]

    def _objects(self, values: tuple[str, ...], storage: dict[str, Any]) -> Iterator[_Object]:
        where = urlparse(storage["Location"])
        prefix = where.path.lstrip("/").rstrip("/") + "/"
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=where.netloc, Prefix=prefix)
        for entry in (entry for page in pages for entry in page.get("Contents", [])):
            if any(part.startswith(("_", ".")) for part in entry["Key"].removeprefix(prefix).split("/")):
                continue  # hidden, see the module's docstring
            if storage.get("InputFormat") != SYMLINK:
                yield _Object(where.netloc, entry["Key"], entry["Size"], values)
                continue
            body = self.s3.get_object(Bucket=where.netloc, Key=entry["Key"])["Body"].read().decode()
            for url in body.split():
                yield self._linked(url, values)

    def _linked(self, url: str, values: tuple[str, ...]) -> _Object:
        where = urlparse(url)
        key = where.path.lstrip("/")
        try:
            size = self.s3.head_object(Bucket=where.netloc, Key=key)["ContentLength"]
        except self.s3.exceptions.ClientError as error:
            raise QueryFailed(f"HIVE_CANNOT_OPEN_SPLIT: {url}: {error}") from error
        return _Object(where.netloc, key, size, values)

    def _local(self, found: _Object) -> Path:
        return self.work / found.bucket / found.key

    def _fetch(self, found: _Object) -> None:
        path = self._local(found)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            path.write_bytes(self.s3.get_object(Bucket=found.bucket, Key=found.key)["Body"].read())
        except self.s3.exceptions.ClientError as error:
            raise QueryFailed(f"HIVE_CANNOT_OPEN_SPLIT: {found.url}: {error}") from error

    def _create_view(
        self,
        view: str,
        table: dict[str, Any],
        keys: list[str],
        objects: list[_Object],
        engine: duckdb.DuckDBPyConnection,
    ) -> None:
        storage = table["StorageDescriptor"]
        types = {c["Name"]: _duckdb_type(c["Type"]) for c in storage["Columns"]}
        key_types = {k["Name"]: _duckdb_type(k["Type"]) for k in table.get("PartitionKeys", [])}
        if not objects:
            empty = ", ".join(
                f'CAST(NULL AS {kind}) AS "{name}"' for name, kind in (types | key_types | {PATH: "VARCHAR"}).items()
            )
            engine.execute(f"CREATE VIEW {view} AS SELECT {empty} WHERE FALSE")
            return
        with ThreadPoolExecutor(S3_THREADS) as pool:
            list(pool.map(self._fetch, [o for o in objects if o not in self.read]))
        self.read += [o for o in objects if o not in self.read]
        try:
            text = text_table(table)
            rows = self._text_rows(text, objects) if text else None
        except Unreadable as error:
            raise QueryFailed(str(error)) from error
        engine.execute(f"CREATE TABLE {view}_files (local VARCHAR, url VARCHAR, key_values VARCHAR[])")
        engine.executemany(
            f"INSERT INTO {view}_files VALUES ($1, $2, $3)",
            [(str(self._local(o)), o.url, list(o.values)) for o in objects],
        )
        files = [str(self._local(o)) for o in objects]
        if text and rows is not None:
            engine.register(f"{view}_rows", rows)
            columns = [f'{cast.replace("{0}", _of_row(name))} AS "{name}"' for name, cast in text.casts.items()]
            columns += [f'CAST(files.key_values[{i}] AS {key_types[key]}) AS "{key}"' for i, key in enumerate(keys, 1)]
            engine.execute(
                f'CREATE VIEW {view} AS SELECT {", ".join(columns)}, files.url AS "{PATH}" '
                f"FROM {view}_rows AS read JOIN {view}_files AS files ON read._file = files.local"
            )
            return
        if "parquet" in storage["SerdeInfo"]["SerializationLibrary"].lower():
            reader = "read_parquet($files, filename = true, union_by_name = true, hive_partitioning = false)"
            found = {
                row[0].lower()
                for row in engine.execute("DESCRIBE SELECT * FROM " + reader, {"files": files}).fetchall()
            }
        elif "json" not in storage["SerdeInfo"]["SerializationLibrary"].lower():
            raise QueryFailed(
                f"NOT_SUPPORTED: {storage['SerdeInfo']['SerializationLibrary']} is not supported by the local Athena stand-in"
            )
        else:
            wanted = ", ".join(f"'{name}': '{kind}'" for name, kind in types.items())
            reader = (
                "read_json($files, format = 'newline_delimited', filename = true, hive_partitioning = false, "
                f"columns = {{{wanted}}})"
            )
            found = set(types)
        columns = [
            f'CAST(read."{name}" AS {kind}) AS "{name}"' if name in found else f'CAST(NULL AS {kind}) AS "{name}"'
            for name, kind in types.items()
        ]
        columns += [f'CAST(files.key_values[{i}] AS {key_types[key]}) AS "{key}"' for i, key in enumerate(keys, 1)]
        listed = "[" + ", ".join("'" + file.replace("'", "''") + "'" for file in files) + "]"
        engine.execute(
            f'CREATE VIEW {view} AS SELECT {", ".join(columns)}, COALESCE(files.url, error(read.filename)) AS "{PATH}" '
            f"FROM {reader.replace('$files', listed)} AS read LEFT JOIN {view}_files AS files ON read.filename = files.local"
        )

    def _text_rows(self, text: TextTable, objects: list[_Object]) -> pa.Table:
        """Returns the rows with one text column for each column, and the file of each row in `_file`."""
        names = [name for name, _ in text.columns]
        found: list[list[str | None]] = []
        for each in objects:
            local = self._local(each)
            found += [[str(local), *row] for row in text.rows(local.read_bytes(), each.url)]
        columns = list(zip(*found, strict=True)) or [()] * (len(names) + 1)
        return pa.table([pa.array(column, pa.string()) for column in columns], names=["_file", *names])


def _of_row(name: str) -> str:
    return f'read."{name}"'


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


_DUCKDB = {"string": "VARCHAR", "int": "INTEGER", "binary": "BLOB"}


def _duckdb_type(kind: str) -> str:
    """Returns the DuckDB type of a Hive type."""
    if kind.startswith(("struct", "array", "map")):
        return str(exp.DataType.build(kind, dialect="hive").sql("duckdb"))
    return _DUCKDB.get(kind, kind.upper())


_ATHENA = {
    "BOOLEAN": "boolean",
    "TINYINT": "tinyint",
    "SMALLINT": "smallint",
    "INTEGER": "integer",
    "BIGINT": "bigint",
    "HUGEINT": "bigint",
    "FLOAT": "float",
    "DOUBLE": "double",
    "VARCHAR": "varchar",
    "BLOB": "varbinary",
    "DATE": "date",
    "TIMESTAMP": "timestamp",
    "TIMESTAMP WITH TIME ZONE": "timestamp with time zone",
}


def _athena_type(kind: str) -> str:
    if kind.startswith("DECIMAL"):
        return kind.lower()
    if kind.endswith("[]"):
        return "array"
    return "row" if kind.startswith("STRUCT") else "map" if kind.startswith("MAP") else _ATHENA.get(kind, "varchar")


def _text(value: Any, kind: str) -> str | None:
    """Returns a value in the form in which Athena writes it to its result."""
    if value is None:
        return None
    if kind == "timestamp":
        return str(value.strftime("%Y-%m-%d %H:%M:%S.") + f"{value.microsecond // 1000:03d}")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k}={_text(v, '')}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(str(_text(v, "")) for v in value) + "]"
    if isinstance(value, bytes):
        return value.hex(" ")
    return str(value)


def _named(message: str, names: dict[str, str]) -> str:
    for path, url in names.items():
        message = message.replace(path, url)
    return re.sub(r"\s+", " ", message)
