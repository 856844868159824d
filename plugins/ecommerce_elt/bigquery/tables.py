"""The tables in BigQuery: creates, loads and swaps them, and counts the rows that name a customer. See docs/adr/0043.

One transaction swaps in all tables of an export. It fails if a later export has claimed the data set.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ecommerce_elt.bigquery.exports import FACTS, TIME, Field, Unloaded, columns_of, ddl
from ecommerce_elt.bigquery.place import Place
from ecommerce_elt.bigquery.statements import JOB_SECONDS, explained_errors, run, statement
from ecommerce_elt.errors import PermanentError
from ecommerce_elt.marts.builds import Mart
from ecommerce_elt.warehouse.redshift import Warehouse

STAGED_DAYS = 1
MAX_CLUSTERED = 4  # clustering columns: BigQuery, Quotas and limits
# One partition per day would be too small, and a table can have 10,000 at most: BigQuery, Quotas and limits.
PARTITIONED_BY = {"day": "MONTH", "week": "MONTH", "month": "YEAR", "quarter": "YEAR", "season": "YEAR"}
_KEY = re.compile(r"PRIMARY KEY \(([a-z0-9_, ]+)\)")


def clustered_by(table: str, sql_dir: Path) -> list[str]:
    """Returns the key columns in the table's create.sql without the period: at most MAX_CLUSTERED."""
    key = _KEY.search((sql_dir / table.replace(".", "/") / "create.sql").read_text("utf-8"))
    columns = key[1].split(", ") if key else []
    return [column for column in columns if column != "period_start"][:MAX_CLUSTERED]


def create_file(mart: Mart, sql_dir: Path) -> str:
    """Returns the table whose create.sql has the mart's key: the mart itself, or the table that it is like."""
    own = sql_dir / mart.table.replace(".", "/") / "create.sql"
    return mart.table if _KEY.search(own.read_text("utf-8")) else (mart.like or mart.table)


def types_there(client: Any, where: Place, table: str) -> dict[str, str]:
    """Returns the type of each column of a table in BigQuery; empty if the table does not exist."""
    from google.api_core.exceptions import NotFound

    with explained_errors():
        try:
            schema = client.get_table(where.table(table)).schema
        except NotFound:
            return {}
    # The API uses older names for some types.
    older = {"INTEGER": "INT64", "BOOLEAN": "BOOL"}
    return {field.name: older.get(field.field_type, field.field_type) for field in schema}


def missing(client: Any, where: Place, columns: Mapping[str, Iterable[Field]]) -> dict[str, list[Field]]:
    """Returns the columns that BigQuery lacks, by table; for a missing table, all its columns.

    Raises:
        PermanentError: a column has another type in BigQuery.
    """
    found = {}
    for table, wanted in columns.items():
        there = types_there(client, where, table)
        if wrong := [f for f in wanted if there.get(f.name, f.type) != f.type]:
            raise PermanentError(
                f"{where.table(table)}: column {wrong[0].name} is {there[wrong[0].name]}, expected {wrong[0].type}; "
                "delete the table, and the next export makes it anew and brings all its rows"
            )
        if lacking := [field for field in wanted if field.name not in there]:
            found[table] = lacking
    return found


def create(client: Any, where: Place, mart: Mart, columns: Iterable[Field], sql_dir: Path) -> None:
    """Creates the table, partitioned by period and clustered by its key, or adds new columns to an existing one."""
    from google.cloud.bigquery import SchemaField, Table, TimePartitioning

    is_fact = mart.subject == FACTS
    text = ddl(mart, sql_dir)
    wanted = [SchemaField(field.name, field.type) for field in columns]
    table = Table(where.table(mart.table), schema=wanted)
    table.description = text.splitlines()[0].removeprefix("-- grain: ") + f"; {mart.table} of the warehouse"
    if is_fact:  # By month, as a mart: a transaction may write 4,000 partitions, which would be eleven years of days.
        table.time_partitioning = TimePartitioning(type_="MONTH", field=TIME)
        table.clustering_fields = [TIME]
    else:
        if mart.period:
            table.time_partitioning = TimePartitioning(type_=PARTITIONED_BY[mart.period], field="period_start")
        table.clustering_fields = clustered_by(create_file(mart, sql_dir), sql_dir) or None
    with explained_errors():
        there = client.create_table(table, exists_ok=True)
        names = {field.name for field in there.schema}
    if added := [field for field in columns if field.name not in names]:
        for field in added:
            column = {"bigquery_table": where.table(mart.table), "key": field.name, "bigquery_type": field.type}
            run(client, statement(sql_dir, "bigquery/add_column", column))
        with explained_errors():
            described = client.get_table(table)
            described.schema = [*there.schema, *(SchemaField(field.name, field.type) for field in added)]
            client.update_table(described, ["schema"])


def claim(client: Any, where: Place, export_id: str, sql_dir: Path) -> None:
    """Claims the data set for an export, so that an earlier export that is still running cannot be swapped in."""
    from google.cloud.bigquery import SchemaField, Table

    with explained_errors():
        client.create_table(
            Table(where.claim, schema=[SchemaField("export_id", "STRING"), SchemaField("published_at", "TIMESTAMP")]),
            exists_ok=True,
        )
    run(client, statement(sql_dir, "bigquery/claim", {"claim_table": where.claim, "export_id": export_id}))


def claimed(client: Any, where: Place, sql_dir: Path) -> str:
    """Returns the id of the last swapped-in export, or \"none\" if another export has claimed the data set since."""
    rows = run(client, statement(sql_dir, "bigquery/claimed", {"claim_table": where.claim}))
    return str(rows[0][0]) if rows and rows[0][1] else "none"


def load(client: Any, where: Place, unloaded: Iterable[Unloaded], export_id: str) -> dict[str, int]:
    """Loads the files of each table into its staged table, and returns the number of rows by table. Idempotent."""
    from google.cloud.bigquery import LoadJobConfig, SchemaField, SourceFormat, Table, WriteDisposition

    jobs = {}
    for part in unloaded:
        name = where.staged(part.table, export_id)
        schema = [SchemaField(field.name, field.type) for field in part.fields]
        with explained_errors():
            staged = Table(name, schema=schema)
            staged.expires = datetime.now(UTC) + timedelta(days=STAGED_DAYS)
            client.create_table(staged, exists_ok=True)
            if part.files:
                config = LoadJobConfig(
                    source_format=SourceFormat.PARQUET, write_disposition=WriteDisposition.WRITE_TRUNCATE, schema=schema
                )
                files = f"gs://{where.bucket}/{export_id}/{part.table}/*"
                jobs[part.table] = client.load_table_from_uri(files, name, job_config=config)
    rows = {}
    for table, job in jobs.items():
        with explained_errors():
            rows[table] = int(job.result(timeout=JOB_SECONDS).output_rows)
    return rows


def swap(client: Any, where: Place, unloaded: Iterable[Unloaded], export_id: str, sql_dir: Path) -> None:
    """Replaces the changed rows in all tables of the export, in one transaction. Idempotent.

    Raises:
        Claimed: a later export has claimed the data set.
    """
    names = {"claim_table": where.claim, "export_id": export_id}
    script = [statement(sql_dir, "bigquery/swap/begin", names)]
    for part in unloaded:
        if part.ranges == ():
            continue
        script.append(
            statement(
                sql_dir,
                "bigquery/swap/replace",
                {
                    "bigquery_table": where.table(part.table),
                    "staged_table": where.staged(part.table, export_id),
                    "bigquery_columns": ", ".join(f"`{field.name}`" for field in part.fields),
                    "replaced": part.replaced,
                },
            )
        )
    run(client, "\n".join([*script, statement(sql_dir, "bigquery/swap/commit", {})]))


def drop(client: Any, where: Place, table: str) -> None:
    """Deletes a table that is no longer exported. Idempotent."""
    with explained_errors():
        client.delete_table(where.table(table), not_found_ok=True)


def drop_staged(client: Any, where: Place, unloaded: Iterable[Unloaded], export_id: str) -> None:
    """Deletes the staged tables of the export."""
    for part in unloaded:
        with explained_errors():
            client.delete_table(where.staged(part.table, export_id), not_found_ok=True)


def count_customer(
    client: Any, target: Warehouse, where: Place, column: str, customer: str, sql_dir: Path
) -> dict[str, int]:
    """Returns the number of rows that name the customer, by table of BigQuery with the column."""
    rows = target.query((sql_dir / "ops/exported_table/expected.sql").read_text("utf-8"), {"export_id": "none"})
    return {
        f"bigquery {table}": rows_of_customer(client, where.table(table), column, customer, sql_dir)
        for table, text in rows
        if column in columns_of(text)
    }


def rows_of_customer(client: Any, table: str, column: str, customer: str, sql_dir: Path) -> int:
    """Returns the number of rows with the customer in the column; `table` is the name in BigQuery."""
    from google.cloud.bigquery import QueryJobConfig, ScalarQueryParameter

    sql = statement(sql_dir, "bigquery/customers", {"bigquery_table": table, "customer": column})
    config = QueryJobConfig(
        query_parameters=[ScalarQueryParameter("customer_id", "STRING", customer)], use_query_cache=False
    )
    return int(run(client, sql, config)[0][0])
