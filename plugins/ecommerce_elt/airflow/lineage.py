"""Reports the parts of the lake and the tables that a task reads and writes to a lineage backend such as OpenLineage.

Without a backend, Airflow's collector discards the reports. Names are those of OpenLineage's naming specification:
`s3://bucket` and a folder, `bigquery` and project.data set.table, `redshift://workgroup.region:5439` and
database.schema.table.
"""

from __future__ import annotations

from collections.abc import Iterable

from airflow.sdk import get_current_context
from airflow.sdk.lineage import get_hook_lineage_collector
from boto3.session import Session

from ecommerce_elt.settings import settings

REDSHIFT_PORT = 5439


def folder(prefix: str) -> str:
    """Returns the URI of a part of the lake, such as `raw/feed=purchases/`."""
    return f"s3://{settings().bucket}/{prefix.rstrip('/')}"


def table(name: str) -> str:
    """Returns the URI of a table of the warehouse, such as `core.fact_purchase`."""
    host = f"{settings().workgroup}.{Session().region_name}:{REDSHIFT_PORT}"
    return f"redshift://{host}/{settings().database}/{name.replace('.', '/')}"


def bigquery_table(name: str) -> str:
    """Returns the URI of a table of BigQuery, whose name is project.data_set.table."""
    return f"bigquery://{name.replace('.', '/')}"


def moved(inputs: Iterable[str], outputs: Iterable[str]) -> None:
    """Reports to the lineage backend what the running task read and wrote."""
    collector, task = get_hook_lineage_collector(), get_current_context()["task"]
    for add, uris in ((collector.add_input_asset, inputs), (collector.add_output_asset, outputs)):
        for uri in uris:
            add(task, uri=uri)
