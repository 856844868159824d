"""The tasks of `erase_customer`.

DAG parsing imports this module, so each task imports the modules that read files itself.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

from ecommerce_elt import aws_names
from ecommerce_elt.airflow.clients import client, linked_warehouse, task_warehouse
from ecommerce_elt.airflow.decorators import linked_task, short_circuit_task, task
from ecommerce_elt.erasure.customers import Customer, customer_of
from ecommerce_elt.erasure.items import erase_items
from ecommerce_elt.erasure.warehouse import count_in_warehouse, erase_core
from ecommerce_elt.errors import PermanentError
from ecommerce_elt.features.versions import read_before
from ecommerce_elt.settings import settings

log = logging.getLogger(__name__)


def _customer(params: dict[str, Any]) -> Customer:
    return customer_of(str(params["feed"]), str(params["customer"]), settings())


def _found(params: dict[str, Any], erased_at: str | None = None) -> dict[str, int]:
    """Returns how much names the customer, by layer and by table of the warehouse. Changes nothing.

    Args:
        params: the parameters of the run.
        erased_at: the result of `erase_from_warehouse`; None before that task.
    """
    from ecommerce_elt.bigquery.customers import count_customer

    customer = _customer(params)
    found = _lake(customer, apply=False) | _items(customer, apply=False) | _feature_versions(customer, erased_at)
    found |= count_in_warehouse(task_warehouse(), customer, settings())
    found |= count_customer(customer.erasure.customer, customer.name)
    log.info("found %s", " ".join(f"{layer}={count}" for layer, count in found.items()))
    return found


def _lake(customer: Customer, *, apply: bool) -> dict[str, int]:
    from ecommerce_elt.cleaning.task_cleaning import with_key
    from ecommerce_elt.erasure import lake

    return lake.erase_from_lake(client("s3"), task_warehouse(), customer, with_key(settings()), apply=apply)


def _items(customer: Customer, *, apply: bool) -> dict[str, int]:
    from ecommerce_elt.load.invoice_items import DELIVERED_FEED

    if customer.feed != DELIVERED_FEED:
        return {}
    prefix = settings().stack_prefix
    tables = aws_names.customers(prefix), aws_names.invoices(prefix)
    return erase_items(client("dynamodb"), *tables, customer.name, apply=apply)


def _feature_versions(customer: Customer, erased_at: str | None) -> dict[str, int]:
    """Returns the number of feature versions that were read from core before the erasure and may have the customer."""
    if not customer.contract.plays.sale:
        return {}
    before = datetime.fromisoformat(erased_at) if erased_at else datetime.max.replace(tzinfo=UTC)
    return {"feature_versions": len(read_before(client("s3"), settings().bucket, before))}


@task
def find_customer(*, params: dict[str, Any]) -> dict[str, int]:
    """Returns how much names the customer, by layer and by table of the warehouse. Changes nothing."""
    return _found(params)


@short_circuit_task
def is_to_be_erased(*, params: dict[str, Any]) -> bool:
    """Returns whether the run is to change anything; otherwise the other tasks are skipped."""
    return not params["dry_run"]


@task
def erase_from_lake(*, params: dict[str, Any]) -> dict[str, int]:
    """Erases the customer from the lake's objects, and returns how much named them, by layer."""
    return _lake(_customer(params), apply=True)


@task
def erase_from_dynamodb(*, params: dict[str, Any]) -> dict[str, int]:
    """Erases the customer from DynamoDB's items, and returns how many items named them, by table."""
    return _items(_customer(params), apply=True)


@linked_task
def erase_from_warehouse(*, params: dict[str, Any], run_id: str) -> str:
    """Erases the customer from core, marks the days for which marts must be rebuilt, and returns the time.

    The time is from the warehouse's clock, in UTC, as in the versions of features.
    """
    with linked_warehouse() as target:
        erase_core(target, _customer(params), settings(), request=f"erasure {run_id}"[:128])
        [(now,)] = target.query((settings().sql_dir / "ops/erase/clock.sql").read_text("utf-8"))
        return datetime.fromisoformat(now).replace(tzinfo=UTC).isoformat()


@task
def erase_from_exports(*, params: dict[str, Any]) -> dict[str, int]:
    """Deletes staged data of exports to BigQuery that names the customer, and returns the counts by layer."""
    from ecommerce_elt.bigquery.customers import erase_staged

    customer = _customer(params)
    return erase_staged(customer.erasure.customer, customer.name)


@task
def prove_erasure(erased_at: str, *, params: dict[str, Any]) -> dict[str, int]:
    """Searches every layer again and returns the counts, which are 0 except for landed files that were never read.

    Raises:
        PermanentError: a layer still names the customer.
    """
    found = _found(params, erased_at)
    if left := {layer: n for layer, n in found.items() if n and layer != "landed_files_unread"}:
        raise PermanentError(
            f"the customer is still named: {', '.join(f'{layer} {n}' for layer, n in left.items())}. Events that arrived "
            "since are one cause: trigger erase_customer again"
        )
    return found
