"""Exports to BigQuery, on the side of BigQuery: tables, loads, swap and comparison. See docs/adr/0043.

One transaction swaps in all tables of an export. It fails if a later export has claimed the data set.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ecommerce_elt.bigquery.exports import (
    FACTS,
    TIME,
    Field,
    Unloaded,
    columns_of,
    ddl,
    difference,
    seconds_since_export,
    stale,
    totals,
)
from ecommerce_elt.errors import PermanentError, TransientError, redacted
from ecommerce_elt.marts.builds import MARTS, Mart
from ecommerce_elt.settings import Settings
from ecommerce_elt.warehouse.redshift import Warehouse, render

log = logging.getLogger(__name__)

CLAIM = "claim"
STAGED_DAYS = 1
JOB_SECONDS = 900
MAX_CLUSTERED = 4  # clustering columns: BigQuery, Quotas and limits
# One partition per day would be too small, and a table can have 10,000 at most: BigQuery, Quotas and limits.
PARTITIONED_BY = {"day": "MONTH", "week": "MONTH", "month": "YEAR", "quarter": "YEAR", "season": "YEAR"}
_KEY = re.compile(r"PRIMARY KEY \(([a-z0-9_, ]+)\)")
_TRANSIENT_CODES = {408, 409, 429, 500, 502, 503, 504}
_CONFLICT = re.compile(r"concurrent (update|transaction)", re.IGNORECASE)


class Claimed(PermanentError):  # noqa: N818  # a state of the data set
    """A later export has claimed the data set. No table of this export was swapped in."""


@dataclass(frozen=True)
class Place:
    """The location of the tables: project, data sets and bucket.

    Args:
        project: the Google Cloud project.
        prefix: the prefix of the data sets `<prefix>_core`, `<prefix>_mart`, `<prefix>_bi` (views for BI tools) and
            `<prefix>_staging` (staged tables).
        bucket: the bucket in Cloud Storage.
    """

    project: str
    prefix: str
    bucket: str

    def table(self, name: str) -> str:
        """Returns the name in BigQuery of a table of the warehouse."""
        schema, _, table = name.partition(".")
        return f"{self.project}.{self.prefix}_{schema}.{table}"

    def staged(self, name: str, export_id: str) -> str:
        """Returns the name of the staged table into which an export loads a table."""
        return f"{self.staging}.{name.replace('.', '_')}_{export_id.replace('-', '')}"

    @property
    def staging(self) -> str:
        """The data set of staged tables."""
        return f"{self.project}.{self.prefix}_staging"

    @property
    def claim(self) -> str:
        return f"{self.staging}.{CLAIM}"


def place(settings: Settings) -> Place | None:
    """Returns the location of the tables; None if no project is set, in which case nothing is exported."""
    if not settings.bigquery_project:
        return None
    if not settings.bigquery_bucket:
        raise PermanentError(
            "ECOMMERCE_BIGQUERY_PROJECT is set and ECOMMERCE_BIGQUERY_BUCKET is not: expected the bucket in Cloud "
            "Storage that infra/gcp/setup.sh made, docs/bigquery.md"
        )
    return Place(settings.bigquery_project, settings.bigquery_dataset, settings.bigquery_bucket)


def clustered_by(table: str, sql_dir: Path) -> list[str]:
    """Returns the key columns in the table's create.sql without the period: at most MAX_CLUSTERED."""
    key = _KEY.search((sql_dir / table.replace(".", "/") / "create.sql").read_text("utf-8"))
    columns = key[1].split(", ") if key else []
    return [column for column in columns if column != "period_start"][:MAX_CLUSTERED]


def create_file(mart: Mart, sql_dir: Path) -> str:
    """Returns the table whose create.sql has the mart's key: the mart itself, or the table that it is like."""
    own = sql_dir / mart.table.replace(".", "/") / "create.sql"
    return mart.table if _KEY.search(own.read_text("utf-8")) else (mart.like or mart.table)


@contextmanager
def told(known: str = "") -> Iterator[None]:
    """Converts errors of Google's clients to ours, without quoted values of rows.

    Args:
        known: our own statement, whose text is kept.

    Raises:
        TransientError: BigQuery or Cloud Storage was busy or unavailable.
        PermanentError: BigQuery or Cloud Storage refused the request.
        Claimed: a later export has claimed the data set.
    """
    from google.api_core.exceptions import GoogleAPICallError, RetryError
    from google.auth.exceptions import GoogleAuthError, TransportError

    try:
        yield
    except GoogleAPICallError as error:
        message = str(error.message)
        if "claimed by the later export" in message:
            raise Claimed("a later export has claimed the data set: clear the run from unload_tables on") from None
        text = f"{type(error).__name__}: {redacted(message.partition('; reason:')[0], known=known)}"
        is_transient = error.code in _TRANSIENT_CODES or _CONFLICT.search(message)
        raise (TransientError if is_transient else PermanentError)(text) from None
    except (RetryError, TransportError) as error:
        raise TransientError(f"{type(error).__name__}: Google does not answer") from error
    except GoogleAuthError as error:
        raise PermanentError(
            f"{type(error).__name__}: Google does not let the connection gcp_bigquery in, "
            "docs/runbooks/bigquery-differs.md"
        ) from error


def run(client: Any, sql: str, config: Any = None) -> list[tuple[Any, ...]]:
    """Runs a statement or a script, and returns its rows. Raises the errors of `told`."""
    with told(sql):
        return [tuple(row.values()) for row in client.query(sql, job_config=config).result(timeout=JOB_SECONDS)]


def types_there(client: Any, where: Place, table: str) -> dict[str, str]:
    """Returns the type of each column of a table in BigQuery; empty if the table does not exist."""
    from google.api_core.exceptions import NotFound

    with told():
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
    with told():
        there = client.create_table(table, exists_ok=True)
        names = {field.name for field in there.schema}
    if added := [field for field in columns if field.name not in names]:
        for field in added:
            column = {"bigquery_table": where.table(mart.table), "key": field.name, "bigquery_type": field.type}
            run(client, _sql(sql_dir, "add_column", column))
        with told():
            described = client.get_table(table)
            described.schema = [*there.schema, *(SchemaField(field.name, field.type) for field in added)]
            client.update_table(described, ["schema"])


def claim(client: Any, where: Place, export_id: str, sql_dir: Path) -> None:
    """Claims the data set for an export, so that an earlier export that is still running cannot be swapped in."""
    from google.cloud.bigquery import SchemaField, Table

    with told():
        client.create_table(
            Table(where.claim, schema=[SchemaField("export_id", "STRING"), SchemaField("published_at", "TIMESTAMP")]),
            exists_ok=True,
        )
    run(client, _sql(sql_dir, "claim", {"claim_table": where.claim, "export_id": export_id}))


def claimed(client: Any, where: Place, sql_dir: Path) -> str:
    """Returns the id of the last swapped-in export, or \"none\" if another export has claimed the data set since."""
    rows = run(client, _sql(sql_dir, "claimed", {"claim_table": where.claim}))
    return str(rows[0][0]) if rows and rows[0][1] else "none"


def load(client: Any, where: Place, unloaded: Iterable[Unloaded], export_id: str) -> dict[str, int]:
    """Loads the files of each table into its staged table, and returns the number of rows by table. Idempotent."""
    from google.cloud.bigquery import LoadJobConfig, SchemaField, SourceFormat, Table, WriteDisposition

    jobs = {}
    for part in unloaded:
        name = where.staged(part.table, export_id)
        schema = [SchemaField(field.name, field.type) for field in part.fields]
        with told():
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
        with told():
            rows[table] = int(job.result(timeout=JOB_SECONDS).output_rows)
    return rows


def swap(client: Any, where: Place, unloaded: Iterable[Unloaded], export_id: str, sql_dir: Path) -> None:
    """Replaces the changed rows in all tables of the export, in one transaction. Idempotent.

    Raises:
        Claimed: a later export has claimed the data set.
    """
    names = {"claim_table": where.claim, "export_id": export_id}
    script = [_sql(sql_dir, "swap/begin", names)]
    for part in unloaded:
        if part.ranges == ():
            continue
        script.append(
            _sql(
                sql_dir,
                "swap/replace",
                {
                    "bigquery_table": where.table(part.table),
                    "staged_table": where.staged(part.table, export_id),
                    "bigquery_columns": ", ".join(f"`{field.name}`" for field in part.fields),
                    "replaced": part.replaced,
                },
            )
        )
    run(client, "\n".join([*script, _sql(sql_dir, "swap/commit", {})]))


def drop(client: Any, where: Place, table: str) -> None:
    """Deletes a table that is no longer exported. Idempotent."""
    with told():
        client.delete_table(where.table(table), not_found_ok=True)


def drop_staged(client: Any, where: Place, unloaded: Iterable[Unloaded], export_id: str) -> None:
    """Deletes the staged tables of the export."""
    for part in unloaded:
        with told():
            client.delete_table(where.staged(part.table, export_id), not_found_ok=True)


def _sql(sql_dir: Path, name: str, names: Mapping[str, str]) -> str:
    text = (sql_dir / f"bigquery/{name}.sql").read_text("utf-8")
    return render("\n".join(line for line in text.splitlines() if not line.startswith("--")), names)


def differences(
    client: Any, target: Warehouse, where: Place, sql_dir: Path, unloaded: Iterable[Unloaded] | None = None
) -> dict[str, str]:
    """Compares each table in BigQuery with its export's totals, and with the warehouse now if no day is marked since.

    Stores the results in ops.exported_table, and returns the differences by table, without tables that agree. A fact is
    compared only if an export is given, and only on the days of the export, because otherwise all of it would be read.

    Args:
        client: the client of BigQuery.
        target: the warehouse.
        where: the location of the tables.
        sql_dir: the folder of the SQL.
        unloaded: the parts of the export to compare; by default, all tables except facts are compared.
    """
    if seconds_since_export(target, sql_dir) is None:
        return {}  # the first export has not ended, so there is no claim table yet
    export_id = claimed(client, where, sql_dir)
    sql = (sql_dir / "ops/exported_table/expected.sql").read_text("utf-8")
    # If the calendar does not have the days of an export yet, the export has no rows of a fact.
    parts = [part for part in unloaded or () if not (part.is_fact and part.ranges == ())]
    facts = {part.table: part.replaced for part in parts if part.is_fact}
    tables = {mart.table for mart in MARTS} if unloaded is None else {part.table for part in parts}
    expected = {t: text for t, text in target.query(sql, {"export_id": export_id}) if t in tables}
    columns, differing = {}, {}
    for table, text in expected.items():
        there = types_there(client, where, table)
        names = columns_of(text)
        if lacking := [name for name in names if name not in there]:
            differing[table] = f"BigQuery lacks {', '.join(lacking)}"
        else:
            columns[table] = [Field(name, there[name]) for name in names]
    found = dict(counted(client, where, columns, sql_dir, facts))
    settled = {t: c for t, c in columns.items() if t not in stale(target, sql_dir) and t not in facts}
    now = _counted_now(target, settled, sql_dir)
    for table, theirs in found.items():
        why = difference(expected[table], theirs) or (difference(now[table], theirs) if table in now else "")
        if why:
            differing[table] = why
    _keep(target, expected, differing, sql_dir)
    return differing


def _counted_now(target: Warehouse, columns: Mapping[str, Iterable[Field]], sql_dir: Path) -> dict[str, str]:
    """Returns the current totals in the warehouse by table, from one query, without tables marked meanwhile."""
    sql = (sql_dir / "ops/exported_table/now.sql").read_text("utf-8")
    queries = [render(sql, {"table": t, "warehouse_totals": totals(of, "VARCHAR")}) for t, of in columns.items()]
    rows = target.query("\nUNION ALL\n".join(queries)) if queries else []
    return {table: text for table, text, days in rows if not int(days)}


def _keep(target: Warehouse, tables: Iterable[str], differing: Mapping[str, str], sql_dir: Path) -> None:
    """Stores the results of a comparison: agreement for all tables at once, then each difference."""
    folder = sql_dir / "ops/exported_table"
    listed = ", ".join(f"'{table}'" for table in tables)
    if listed:
        target.run([render((folder / "keep_agreement.sql").read_text("utf-8"), {"tables": listed})], name="compare")
    for table, why in differing.items():
        keep = (folder / "keep_difference.sql").read_text("utf-8")
        target.run([keep], {"table": table, "difference": why[:4000]}, name=f"compare {table}")


def counted(
    client: Any, where: Place, columns: Mapping[str, Iterable[Field]], sql_dir: Path, rows: Mapping[str, str]
) -> list[tuple[str, str]]:
    """Returns the totals of tables in BigQuery, from one query and therefore of one moment.

    Args:
        client: the client of BigQuery.
        where: the location of the tables.
        columns: the columns to count, by table.
        sql_dir: the folder of the SQL.
        rows: the condition on the counted rows, by table; without one, all rows are counted.
    """
    queries = [
        _sql(
            sql_dir,
            "totals",
            {
                "table": table,
                "bigquery_table": where.table(table),
                "bigquery_totals": totals(of, "STRING"),
                "counted_rows": rows.get(table, "TRUE"),
            },
        )
        for table, of in columns.items()
    ]
    return [(str(t), str(text)) for t, text in run(client, "\nUNION ALL\n".join(queries))] if queries else []


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

    sql = _sql(sql_dir, "customers", {"bigquery_table": table, "customer": column})
    config = QueryJobConfig(
        query_parameters=[ScalarQueryParameter("customer_id", "STRING", customer)], use_query_cache=False
    )
    return int(run(client, sql, config)[0][0])
