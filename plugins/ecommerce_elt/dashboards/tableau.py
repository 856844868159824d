"""The Tableau extract: the data sets as tables of one .hyper file, and its publication to a Tableau server."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ecommerce_elt.dashboards.data_sets import DataSet
from ecommerce_elt.errors import PermanentError
from ecommerce_elt.settings import Settings
from ecommerce_elt.warehouse.redshift import Warehouse

log = logging.getLogger(__name__)

KEY = "bi/tableau/ecommerce.hyper"


def write_extract(target: Warehouse, data_sets: Iterable[DataSet], sql_dir: Path, file: Path) -> dict[str, int]:
    """Writes each data set as a table of the .hyper file, and returns the number of rows by data set."""
    import pyarrow.parquet as pq
    from tableauhyperapi import Connection, CreateMode, HyperProcess, Telemetry, escape_name, escape_string_literal

    tables = {data_set.id: _table(target, data_set.sql(sql_dir)) for data_set in data_sets}
    with (
        tempfile.TemporaryDirectory(dir=file.parent) as folder,
        # Otherwise, Hyper writes its log into the working folder, which a worker may not own.
        HyperProcess(Telemetry.DO_NOT_SEND_USAGE_DATA_TO_TABLEAU, parameters={"log_config": ""}) as hyper,
        Connection(hyper.endpoint, file, CreateMode.CREATE_AND_REPLACE) as connection,
    ):
        for name, table in tables.items():
            rows = Path(folder) / f"{name}.parquet"
            pq.write_table(table, rows)
            source = escape_string_literal(str(rows))
            table_of = f"CREATE TABLE {escape_name(name)} AS SELECT * FROM external({source}, FORMAT => 'parquet')"  # noqa: S608  # escaped
            connection.execute_command(table_of)
    return {name: table.num_rows for name, table in tables.items()}


def _table(target: Warehouse, sql: str) -> Any:
    """Returns the rows of a SELECT as an Arrow table with the types of the warehouse."""
    import pyarrow as pa
    import pyarrow.compute as pc

    types = {
        "varchar": pa.string(),
        "bpchar": pa.string(),
        "int2": pa.int16(),
        "int4": pa.int32(),
        "int8": pa.int64(),
        "bool": pa.bool_(),
        "date": pa.date32(),
        "timestamp": pa.timestamp("us"),
    }
    columns, rows = target.table(sql)
    arrays = {}
    for index, column in enumerate(columns):
        values = [row[index] for row in rows]
        if column.type_name == "numeric":
            arrays[column.name] = pa.array(values, pa.string()).cast(pa.decimal128(column.precision, column.scale))
        elif column.type_name == "date":
            arrays[column.name] = pc.strptime(pa.array(values, pa.string()), "%Y-%m-%d", "s").cast(pa.date32())
        else:
            arrays[column.name] = pa.array(values, types[column.type_name])
    return pa.table(arrays)


def publish(file: Path, settings: Settings) -> str:
    """Publishes the extract as a data source of the configured Tableau server and project, and returns its id.

    Raises:
        PermanentError: the site does not have the project.
        tableauserverclient.ServerResponseError, FailedSignInError: the server refused the sign-in or the publication.
    """
    import tableauserverclient as tableau

    token = tableau.PersonalAccessTokenAuth(
        settings.tableau_token_name, settings.tableau_token.get_secret_value(), settings.tableau_site
    )
    server: Any = tableau.Server(settings.tableau_server, use_server_version=True)  # type: ignore[no-untyped-call]
    with server.auth.sign_in(token):
        project = next((p for p in tableau.Pager(server.projects) if p.name == settings.tableau_project), None)
        if project is None:
            raise PermanentError(
                f"project {settings.tableau_project!r} is not on the site {settings.tableau_site!r}; "
                "create it, or set ECOMMERCE_TABLEAU_PROJECT"
            )
        item = tableau.DatasourceItem(project.id, name="E-commerce")
        published = server.datasources.publish(item, str(file), tableau.Server.PublishMode.Overwrite)
    log.info("published datasource=%s project=%s", published.id, project.name)
    return str(published.id)
