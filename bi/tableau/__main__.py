"""Writes Tableau data sources with a live Redshift connection: `python -m bi.tableau --help`.

There is one .tds file per data set, with its SQL on Redshift and its columns with Tableau's roles. Open a file in
Tableau Desktop or publish it; Tableau prompts for user and password. The DAG refresh_dashboards writes extracts of the
same data sets.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Annotated

import boto3
import typer
from botocore.exceptions import BotoCoreError, ClientError
from ecommerce_elt.dashboards.data_sets import DATA_SETS, DataSet
from ecommerce_elt.errors import PermanentError, TransientError
from ecommerce_elt.settings import PROJECT_DIR
from ecommerce_elt.warehouse.redshift import Column, Warehouse
from rich.console import Console

SQL_DIR = PROJECT_DIR / "include" / "sql"
VERSION = "18.1"  # the file format since Tableau 2018.1
# Types of the Data API to Tableau's (datatype, role, type).
TYPES = {
    "varchar": ("string", "dimension", "nominal"),
    "bpchar": ("string", "dimension", "nominal"),
    "bool": ("boolean", "dimension", "nominal"),
    "date": ("date", "dimension", "ordinal"),
    "timestamp": ("datetime", "dimension", "ordinal"),
    "numeric": ("real", "measure", "quantitative"),
    "int2": ("integer", "measure", "quantitative"),
    "int4": ("integer", "measure", "quantitative"),
    "int8": ("integer", "measure", "quantitative"),
}
# Numbers that are positions on a scale and are never added up.
DIMENSIONS = {"months_since_first", "recency_score", "frequency_score", "monetary_score", "revenue_rank", "unit_rank"}

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
err = Console(stderr=True)


def data_source(data_set: DataSet, columns: list[Column], *, host: str, port: int, database: str) -> bytes:
    """Returns the .tds file of one data set."""
    root = ET.Element("datasource", {"formatted-name": data_set.title, "inline": "true", "version": VERSION})
    federated = ET.SubElement(root, "connection", {"class": "federated"})
    named = ET.SubElement(
        ET.SubElement(federated, "named-connections"),
        "named-connection",
        {"caption": host, "name": "redshift.ecommerce"},
    )
    ET.SubElement(
        named,
        "connection",
        {
            "class": "redshift",
            "server": host,
            "port": str(port),
            "dbname": database,
            "schema": "mart",
            "username": "",
            "authentication": "auth-user-pass",
            "sslmode": "require",
            "single-node": "no",
        },
    )
    relation = ET.SubElement(
        federated, "relation", {"connection": "redshift.ecommerce", "name": data_set.id, "type": "text"}
    )
    relation.text = data_set.sql(SQL_DIR)
    for column in columns:
        datatype, role, kind = TYPES[column.type_name]
        if column.name in DIMENSIONS:
            role, kind = "dimension", "ordinal"
        ET.SubElement(
            root,
            "column",
            {
                "caption": column.name.replace("_", " ").capitalize(),
                "datatype": datatype,
                "name": f"[{column.name}]",
                "role": role,
                "type": kind,
            },
        )
    ET.indent(root)
    return bytes(ET.tostring(root, "utf-8", xml_declaration=True))


@app.command()
def write(
    host: Annotated[str, typer.Option(help="Redshift endpoint that Tableau connects to.")],
    output: Annotated[Path, typer.Option(help="Folder for the files.")] = Path("tableau"),
    port: Annotated[int, typer.Option()] = 5439,
    workgroup: Annotated[
        str, typer.Option(help="Workgroup from which the columns are read, with the Data API.")
    ] = "ecommerce",
    database: Annotated[str, typer.Option()] = "ecommerce",
) -> None:
    """Write one .tds file for each data set."""
    try:
        warehouse = Warehouse(boto3.client("redshift-data"), workgroup, database)
        output.mkdir(parents=True, exist_ok=True)
        for data_set in DATA_SETS:
            columns = data_set.columns(warehouse, SQL_DIR)
            path = output / f"{data_set.id}.tds"
            path.write_bytes(data_source(data_set, columns, host=host, port=port, database=database))
            typer.echo(str(path))
    except (PermanentError, TransientError, ClientError, BotoCoreError) as error:
        err.print(f"[red]tableau:[/] {error}", highlight=False)
        raise typer.Exit(1) from error


if __name__ == "__main__":
    app()
