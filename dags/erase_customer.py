"""### Erase a customer

Erases one customer from every layer on request. The events stay, so that sales, stock and counts
still add up. Every value that names the customer becomes "unknown" or "erased", as the contract of
the feed says. docs/adr/0021 lists the changes in each layer.

- **Runs** by hand. By default `dry_run` is on: the run counts the records, rows, items and files
  that name the customer, and changes nothing.
- **Works on** all data of the feed, not on a data interval.
- **Reads** all of `raw/`, `landing/`, `clean/` and `quarantine/unreadable/` of the feed, DynamoDB
  and the warehouse. **Writes** everything that names the customer. A file in `landing/` that
  names the customer is deleted; `raw/` has its records.
- **Then** runs `build_marts` and `export_features`, which also deletes all older versions of
  features. If BigQuery has the marts, `export_bigquery` runs, and `erase_from_exports` deletes
  the remains of failed exports in the lake, in Cloud Storage and in BigQuery's staging tables.
  `prove_erasure` searches everything again, and is red if anything is left.

The parameter `customer` is the shop's number in `online_retail`, and the `customer_key` in
`purchases`. `python -m infra.customer_key` computes the key from a phone number. Never enter the
phone number itself, because Airflow stores parameters. In a feed whose `email` is hashed, `--text`
computes the key from the address.

#### What to press after a failure

**Clear the red task** with its downstream tasks; each task erases what is still there. If
`prove_erasure` is red, it names the layer. Events of the customer may have arrived during the run,
so **trigger the DAG again**.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import Param, dag
from ecommerce_elt.airflow.defaults import Stage, Tag, default_args
from ecommerce_elt.erasure.tasks import (
    erase_from_dynamodb,
    erase_from_exports,
    erase_from_lake,
    erase_from_warehouse,
    find_customer,
    is_to_be_erased,
    prove_erasure,
)
from ecommerce_elt.feeds.contracts import load_contracts
from ecommerce_elt.settings import settings

FEEDS = [feed for feed, contract in load_contracts(settings().include_dir / "feeds").items() if contract.erasure]


@dag(
    schedule=None,
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    default_args=default_args(Stage.ERASE, execution_timeout=timedelta(hours=6)),
    doc_md=__doc__,
    tags=[Tag.LAKE],
    params={
        "feed": Param(FEEDS[0], enum=FEEDS, description="Feed of the customer."),
        "customer": Param(
            type="string",
            minLength=1,
            maxLength=64,
            description="CustomerID in online_retail, customer_key in purchases; never a phone number or an address.",
        ),
        "dry_run": Param(True, type="boolean", description="Report what would be changed, and change nothing."),
    },
)
def erase_customer():
    trigger = partial(TriggerDagRunOperator, wait_for_completion=True, deferrable=True, poke_interval=5)
    build_marts = trigger(task_id="build_marts", trigger_dag_id="build_marts")
    # Features name nobody, so no version tells who is in it: all go, and a new one is made of what core has now.
    export_features = trigger(task_id="export_features", trigger_dag_id="export_features", conf={"remove_others": True})
    # Raw first: what is loaded or cleaned again later is then without the customer, too.
    find_customer() >> is_to_be_erased() >> (lake := erase_from_lake())
    erased_at = erase_from_warehouse()
    proof = prove_erasure(erased_at)
    lake >> [erase_from_dynamodb(), erased_at] >> build_marts >> export_features >> proof
    if settings().bigquery_project:
        export_bigquery = trigger(task_id="export_bigquery", trigger_dag_id="export_bigquery")
        # After it, because one export runs at a time: what is still on its way then is of a run that died.
        build_marts >> export_bigquery >> erase_from_exports() >> proof


erase_customer()
