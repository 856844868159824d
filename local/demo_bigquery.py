"""The BigQuery stage of the demo: triggers an export, waits until it has ended, and compares both warehouses."""

from __future__ import annotations

import time
from collections.abc import Callable
from decimal import Decimal

import httpx
from ecommerce_elt.marts.builds import MARTS
from ecommerce_elt.warehouse.redshift import Warehouse

from local import google_cloud
from local.demo_display import Display
from local.services import GOOGLE_PROJECT
from local.stack import PREFIX, Stack

STAGE = "BigQuery"
POLL_SECONDS = 1.0
EXPORT_SECONDS = 300


class NotExported(Exception):  # noqa: N818
    """BigQuery does not have the same data as the warehouse. The message is one line that says where to look."""


def export_and_count(stack: Stack, target: Warehouse, display: Display, trigger: Callable[[str], str]) -> str:
    """Triggers `export_bigquery`, waits for its end and returns one line about the content of BigQuery.

    Args:
        trigger: function that starts a run of a DAG and returns the id of the run.

    Raises:
        NotExported: The run failed or did not end, or rows or sums differ from those of the warehouse.
    """
    run_id, begun = trigger("export_bigquery"), time.monotonic()
    state = "queued"
    display.show(STAGE, "export_bigquery runs")
    while state in {"queued", "running"}:
        if time.monotonic() - begun > EXPORT_SECONDS:
            raise NotExported(f"export_bigquery has not ended after {EXPORT_SECONDS} s; look at the DAG in the UI")
        time.sleep(POLL_SECONDS)
        url = f"{stack.airflow_url}/api/v2/dags/export_bigquery/dagRuns/{run_id}"
        state = httpx.get(url, headers=stack.airflow_headers(), timeout=30).raise_for_status().json()["state"]
        display.show(STAGE, f"export_bigquery is {state}")
    if state != "success":
        raise NotExported(f"export_bigquery is {state}; look at {stack.airflow_url}/dags/export_bigquery")
    client, _ = google_cloud.clients(stack.url("bigquery"), stack.url("cloud-storage"))
    differing = []
    for mart in MARTS:
        theirs = f"`{GOOGLE_PROJECT}.{PREFIX}_{mart.table}`"
        [row] = client.query(f"SELECT COUNT(*) FROM {theirs}").result()  # noqa: S608
        [[rows]] = target.query(f"SELECT COUNT(*) FROM {mart.table}")  # noqa: S608
        if row[0] != int(rows):
            differing.append(f"{mart.table} has {row[0]:,} rows in BigQuery and {int(rows):,} in Redshift")
    [row] = client.query(
        f"SELECT COALESCE(SUM(net_revenue), 0) FROM `{GOOGLE_PROJECT}.{PREFIX}_mart.sales_daily`"  # noqa: S608
    ).result()
    [[core]] = target.query("SELECT COALESCE(SUM(amount), 0) FROM core.fact_invoice_line")
    if row[0] != Decimal(core):
        differing.append(f"mart.sales_daily in BigQuery has a net revenue of {row[0]}, core has {core}")
    if differing:
        raise NotExported("; ".join(differing))
    display.finish(STAGE, f"{len(MARTS)} tables")
    return f"BigQuery has all {len(MARTS)} tables as Redshift has them; net revenue {row[0]:,}."
