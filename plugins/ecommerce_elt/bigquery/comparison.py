"""Compares the tables in BigQuery with the totals of their exports and of the warehouse. See docs/adr/0043."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ecommerce_elt.bigquery.exports import (
    Field,
    Unloaded,
    columns_of,
    difference,
    seconds_since_export,
    stale,
    totals,
)
from ecommerce_elt.bigquery.place import Place
from ecommerce_elt.bigquery.statements import run, statement
from ecommerce_elt.bigquery.tables import claimed, types_there
from ecommerce_elt.marts.builds import MARTS
from ecommerce_elt.warehouse.redshift import Warehouse, render


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
        statement(
            sql_dir,
            "bigquery/totals",
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
