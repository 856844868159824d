"""SHOW and DESCRIBE: content of the Data Catalog in the form in which Athena writes it.

Source: Athena user guide, DDL statements.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types_boto3_glue.client import GlueClient
    from types_boto3_glue.type_defs import ColumnOutputTypeDef, TableTypeDef

WIDTH = 20  # of a name, a type and a comment: Hive pads them with blanks
_NAME = r"(?:(?:`(?P<db>[^`]+)`|(?P<db_>\w+))\s*\.\s*)?(?:`(?P<name>[^`]+)`|(?P<name_>\w+))"


class StatementRefused(Exception):  # noqa: N818
    """The statement is invalid or not supported. The message is Athena's StateChangeReason."""


@dataclass(frozen=True)
class Shown:
    """The columns of the response, and its rows, each of which is a text with tabs between the columns."""

    columns: list[str]
    lines: list[str]


class CatalogStatements:
    """The statements that read only the catalog.

    Args:
        glue: boto3 client.
        database: database of names that have none.
    """

    def __init__(self, glue: GlueClient, database: str) -> None:
        self.glue, self.database = glue, database

    def run(self, sql: str) -> Shown | None:
        """Returns the response, or None if it is another kind of statement.

        Raises:
            StatementRefused: The statement is invalid or not supported.
        """
        text = re.sub(r"\A(?:\s|--[^\n]*\n|/\*.*?\*/)+", "", sql, flags=re.DOTALL).rstrip("; \n")
        if not re.match(r"(SHOW|DESCRIBE|DESC)\b", text, re.IGNORECASE):
            return None
        for pattern, show in _STATEMENTS.items():
            if found := re.fullmatch(pattern, text, re.IGNORECASE | re.DOTALL):
                return show(self, found)
        raise StatementRefused(f"NOT_SUPPORTED: {text[:80]} is not supported by the local Athena stand-in")

    def databases(self, found: re.Match[str]) -> Shown:
        pages = self.glue.get_paginator("get_databases").paginate()
        names = [database["Name"] for page in pages for database in page["DatabaseList"]]
        return Shown(["database_name"], _matching(names, found["pattern"]))

    def tables(self, found: re.Match[str]) -> Shown:
        database = found["db"] or found["db_"] or self.database
        try:
            self.glue.get_database(Name=database)
        except self.glue.exceptions.EntityNotFoundException as error:
            raise StatementRefused(
                f"FAILED: SemanticException [Error 10072]: Database does not exist: {database}"
            ) from error
        pages = self.glue.get_paginator("get_tables").paginate(DatabaseName=database)
        names = [table["Name"] for page in pages for table in page["TableList"]]
        return Shown(["tab_name"], _matching(names, found["pattern"]))

    def partitions(self, found: re.Match[str]) -> Shown:
        table = self._table(found)
        keys = [key["Name"] for key in table.get("PartitionKeys", [])]
        if not keys:
            raise StatementRefused(
                f"FAILED: Execution Error, return code 1 from org.apache.hadoop.hive.ql.exec.DDLTask. Table {table['Name']} "
                "is not a partitioned table"
            )
        pages = self.glue.get_paginator("get_partitions").paginate(
            DatabaseName=table["DatabaseName"], TableName=table["Name"]
        )
        values = [partition["Values"] for page in pages for partition in page["Partitions"]]
        lines = ["/".join(f"{key}={value}" for key, value in zip(keys, each, strict=True)) for each in values]
        return Shown(["partition"], sorted(lines))

    def describe(self, found: re.Match[str]) -> Shown:
        table = self._table(found)
        keys = [_described(column) for column in table.get("PartitionKeys", [])]
        lines = [_described(column) for column in table["StorageDescriptor"]["Columns"]] + keys
        if keys:
            head = "\t".join(["# col_name".ljust(WIDTH + 2), "data_type".ljust(WIDTH), "comment".ljust(WIDTH)])
            lines += ["\t \t ", "# Partition Information\t \t ", head, "\t \t ", *keys]
        return Shown(["col_name", "data_type", "comment"], lines)

    def columns(self, found: re.Match[str]) -> Shown:
        table = self._table(found)
        columns = [*table["StorageDescriptor"]["Columns"], *table.get("PartitionKeys", [])]
        return Shown(["field"], [column["Name"].ljust(WIDTH) for column in columns])

    def create(self, found: re.Match[str]) -> Shown:
        table = self._table(found)
        storage, keys = table["StorageDescriptor"], table.get("PartitionKeys", [])
        serde = storage["SerdeInfo"]
        lines = [f"CREATE EXTERNAL TABLE `{table['Name']}`(", *_defined(storage["Columns"])]
        if table.get("Description"):
            lines.append(f"COMMENT {_literal(table['Description'])}")
        if keys:
            lines += ["PARTITIONED BY ( ", *_defined(keys)]
        lines += ["ROW FORMAT SERDE ", f"  {_literal(serde['SerializationLibrary'])} "]
        if serde.get("Parameters"):
            lines += ["WITH SERDEPROPERTIES ( ", *_pairs(serde["Parameters"])]
            lines[-1] += " "
        lines += ["STORED AS INPUTFORMAT ", f"  {_literal(storage['InputFormat'])} "]
        lines += ["OUTPUTFORMAT ", f"  {_literal(storage['OutputFormat'])}"]
        lines += ["LOCATION", f"  {_literal(storage['Location'])}"]
        if kept := {k: v for k, v in table.get("Parameters", {}).items() if k != "EXTERNAL"}:
            lines += ["TBLPROPERTIES (", *_pairs(kept)]
        return Shown(["createtab_stmt"], lines)

    def _table(self, found: re.Match[str]) -> TableTypeDef:
        database = (found["db"] or found["db_"] or self.database).lower()
        name = (found["name"] or found["name_"]).lower()
        try:
            table = self.glue.get_table(DatabaseName=database, Name=name)["Table"]
        except self.glue.exceptions.EntityNotFoundException as error:
            raise StatementRefused(
                f"FAILED: SemanticException [Error 10001]: Table not found {database}.{name}"
            ) from error
        if table.get("TableType") == "VIRTUAL_VIEW":
            raise StatementRefused(f"NOT_SUPPORTED: the view {name} is not supported by the local Athena stand-in")
        return table


_LIKE = r"(?:\s+(?:LIKE\s+)?'(?P<pattern>[^']*)')?"
_STATEMENTS: dict[str, Callable[[CatalogStatements, re.Match[str]], Shown]] = {
    rf"SHOW\s+(?:DATABASES|SCHEMAS){_LIKE}": CatalogStatements.databases,
    rf"SHOW\s+TABLES(?:\s+IN\s+(?:`(?P<db>[^`]+)`|(?P<db_>\w+)))?{_LIKE}": CatalogStatements.tables,
    rf"SHOW\s+PARTITIONS\s+{_NAME}": CatalogStatements.partitions,
    rf"SHOW\s+CREATE\s+TABLE\s+{_NAME}": CatalogStatements.create,
    rf"SHOW\s+COLUMNS\s+(?:IN|FROM)\s+{_NAME}": CatalogStatements.columns,
    rf"DESC(?:RIBE)?\s+(?!(?:EXTENDED|FORMATTED|TABLE)\s){_NAME}": CatalogStatements.describe,
}


def _matching(names: list[str], pattern: str | None) -> list[str]:
    """Returns the names that match the pattern, in order. Hive documents `*` and `|` of its regular expressions."""
    if pattern is None:
        return sorted(names)
    if not re.fullmatch(r"[\w*|.]*", pattern):
        raise StatementRefused(f"NOT_SUPPORTED: the pattern {pattern!r} is not supported by the local Athena stand-in")
    fits = re.compile(re.sub(r"(?<!\.)\*", ".*", pattern))
    return sorted(name for name in names if fits.fullmatch(name))


def _described(column: ColumnOutputTypeDef) -> str:
    parts = (column["Name"], column["Type"], column.get("Comment", "").partition("\t")[0])
    return "\t".join(part.ljust(WIDTH) for part in parts)


def _defined(columns: list[ColumnOutputTypeDef]) -> list[str]:
    comments = [f" COMMENT {_literal(c['Comment'])}" if c.get("Comment") else "" for c in columns]
    lines = [f"  `{c['Name']}` {c['Type']}{comment}, " for c, comment in zip(columns, comments, strict=True)]
    lines[-1] = lines[-1].removesuffix(", ") + ")"
    return lines


def _pairs(values: dict[str, str]) -> list[str]:
    lines = [f"  {_literal(key)}={_literal(values[key])}, " for key in sorted(values)]
    lines[-1] = lines[-1].removesuffix(", ") + ")"
    return lines


def _literal(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
