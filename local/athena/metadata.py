"""Athena's view of the Data Catalog: its catalogs, databases and tables."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from local.protocol import ApiError

if TYPE_CHECKING:
    from types_boto3_glue.client import GlueClient

CATALOG = "AwsDataCatalog"
CATALOG_PAGE = 50  # maximum page of ListDatabases and ListTableMetadata: Athena API reference


class Metadata:
    """The operations on the Data Catalog. `glue` is a client of it."""

    def __init__(self, glue: GlueClient) -> None:
        self.glue = glue

    def get_data_catalog(self, r: dict[str, Any]) -> dict[str, Any]:
        check_catalog(r["Name"])
        return {"DataCatalog": {"Name": CATALOG, "Type": "GLUE"}}

    def list_data_catalogs(self, r: dict[str, Any]) -> dict[str, Any]:
        return {"DataCatalogsSummary": [{"CatalogName": CATALOG, "Type": "GLUE"}]}

    def get_database(self, r: dict[str, Any]) -> dict[str, Any]:
        check_catalog(r["CatalogName"])
        return {"Database": _database(self._from_glue("get_database", Name=r["DatabaseName"])["Database"])}

    def list_databases(self, r: dict[str, Any]) -> dict[str, Any]:
        check_catalog(r["CatalogName"])
        pages = self.glue.get_paginator("get_databases").paginate()
        found = [_database(database) for page in pages for database in page["DatabaseList"]]
        return _page("DatabaseList", sorted(found, key=lambda d: d["Name"]), r)

    def get_table_metadata(self, r: dict[str, Any]) -> dict[str, Any]:
        check_catalog(r["CatalogName"])
        found = self._from_glue("get_table", DatabaseName=r["DatabaseName"], Name=r["TableName"])
        return {"TableMetadata": _metadata(found["Table"])}

    def list_table_metadata(self, r: dict[str, Any]) -> dict[str, Any]:
        """Lists the tables whose names match the expression; without one, or with an empty one, all tables."""
        check_catalog(r["CatalogName"])
        self._from_glue("get_database", Name=r["DatabaseName"])
        pages = self.glue.get_paginator("get_tables").paginate(DatabaseName=r["DatabaseName"])
        try:
            fits = re.compile(r.get("Expression") or ".*")
        except re.error as error:
            raise ApiError("InvalidRequestException", f"Expression {r['Expression']!r}: {error}") from error
        tables = [table for page in pages for table in page["TableList"] if fits.fullmatch(table["Name"])]
        return _page("TableMetadataList", [_metadata(t) for t in sorted(tables, key=lambda t: t["Name"])], r)

    def _from_glue(self, operation: str, **request: Any) -> dict[str, Any]:
        try:
            found: dict[str, Any] = getattr(self.glue, operation)(**request)
        except self.glue.exceptions.EntityNotFoundException as error:
            raise ApiError("MetadataException", error.response["Error"]["Message"]) from error
        return found


def check_catalog(name: str) -> None:
    if name.lower() != CATALOG.lower():
        raise ApiError("InvalidRequestException", f"Data catalog {name} is not found: the stand-in has {CATALOG}")


def _database(found: Mapping[str, Any]) -> dict[str, Any]:
    """Returns Athena's Database for Glue's database."""
    return {name: found[name] for name in ("Name", "Description", "Parameters") if found.get(name)}


def _metadata(table: Mapping[str, Any]) -> dict[str, Any]:
    """Returns Athena's TableMetadata for Glue's table."""
    storage = table["StorageDescriptor"]
    serde = storage.get("SerdeInfo", {})
    known = {
        "location": storage.get("Location"),
        "inputformat": storage.get("InputFormat"),
        "outputformat": storage.get("OutputFormat"),
        "serde.serialization.lib": serde.get("SerializationLibrary"),
    }
    known |= {f"serde.param.{name}": value for name, value in serde.get("Parameters", {}).items()}
    return {
        "Name": table["Name"],
        "TableType": table.get("TableType", "EXTERNAL_TABLE"),
        "CreateTime": table["CreateTime"].timestamp(),
        "Columns": storage.get("Columns", []),
        "PartitionKeys": table.get("PartitionKeys", []),
        "Parameters": table.get("Parameters", {}) | {name: value for name, value in known.items() if value},
    }


def _page(member: str, found: list[dict[str, Any]], r: dict[str, Any]) -> dict[str, Any]:
    token, size = r.get("NextToken", "0"), r.get("MaxResults", CATALOG_PAGE)
    if not token.isdecimal():
        raise ApiError("InvalidRequestException", "NextToken: expected the one of the answer before")
    start = int(token)
    rest = {"NextToken": str(start + size)} if start + size < len(found) else {}
    return {member: found[start : start + size]} | rest
