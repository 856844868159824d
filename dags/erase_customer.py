"""
### Erase a customer

Takes one customer out of every layer on request. The events stay, without the person: sales, stock and counts keep adding up,
and what names the customer becomes "unknown" or "erased", as the feed's contract says. docs/adr/0021 has what is changed where.

- **Runs** by hand. `dry_run` is on: the run says how many records, rows, items and files name the customer, and changes nothing.
- **Works on** all that there is of the feed, not on a data interval.
- **Reads** all of `raw/`, `landing/`, `clean/` and `quarantine/unreadable/` of the feed, DynamoDB and the warehouse.
  **Writes** what names the customer, wherever it is; a file in `landing/` that does is deleted, as `raw/` has its records.
  Then `build_marts` runs, and `prove_erasure` searches everything again: it is red where anything is left.

`customer` of `online_retail` is the shop's number, of `purchases` the customer_key: `python -m infra.customer_key` makes it of a
phone number, which never belongs into a run's parameters.

#### What to press after a failure
**Clear the red task** with its downstream tasks: each takes out what is still there. Where `prove_erasure` is red, it names the
layer; events of the customer that arrived meanwhile are one cause, so **trigger the DAG again**.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import Param, dag, get_current_context, task
from ecommerce_elt.dag_defaults import Stage, Tag, default_args
from ecommerce_elt.feeds import load_contracts
from ecommerce_elt.links import linked_task
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
        "feed": Param(FEEDS[0], enum=FEEDS, description="Whose customer it is."),
        "customer": Param(
            type="string",
            minLength=1,
            maxLength=64,
            description="CustomerID of online_retail; of purchases the customer_key, never a phone.",
        ),
        "dry_run": Param(True, type="boolean", description="Say what would be changed, and change nothing."),
    },
)
def erase_customer():
    @task(multiple_outputs=False)
    def find_customer() -> dict[str, int]:
        from ecommerce_elt.steps import find_customer

        return find_customer(dict(get_current_context()["params"]))

    @task.short_circuit
    def is_to_be_erased() -> bool:
        return not get_current_context()["params"]["dry_run"]

    @task(multiple_outputs=False)
    def erase_from_lake() -> dict[str, int]:
        from ecommerce_elt.steps import erase_from_lake

        return erase_from_lake(dict(get_current_context()["params"]))

    @task(multiple_outputs=False)
    def erase_from_dynamodb() -> dict[str, int]:
        from ecommerce_elt.steps import erase_from_dynamodb

        return erase_from_dynamodb(dict(get_current_context()["params"]))

    @linked_task
    def erase_from_warehouse() -> None:
        from ecommerce_elt.steps import erase_from_warehouse

        erase_from_warehouse(dict(get_current_context()["params"]))

    @task(multiple_outputs=False)
    def prove_erasure() -> dict[str, int]:
        from ecommerce_elt.steps import prove_erasure

        return prove_erasure(dict(get_current_context()["params"]))

    build_marts = TriggerDagRunOperator(
        task_id="build_marts",
        trigger_dag_id="build_marts",
        wait_for_completion=True,
        deferrable=True,
        poke_interval=5,
    )
    # Raw first: what is loaded or cleaned again later is then without the customer, too.
    find_customer() >> is_to_be_erased() >> (lake := erase_from_lake())
    lake >> [erase_from_dynamodb(), erase_from_warehouse()] >> build_marts >> prove_erasure()


erase_customer()
