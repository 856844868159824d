"""The tasks of an erasure. Each is a function of plain parameters and connects an Airflow task to the logic.

When a task fails, Airflow logs the whole chain of exceptions. Each function is therefore wrapped in `values_withheld`,
which lets no error out whose text may quote the input.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

from airflow.sdk import get_current_context

from ecommerce_elt import aws_names
from ecommerce_elt.airflow.clients import client, linked_warehouse, task_warehouse
from ecommerce_elt.bigquery import tasks as bigquery_tasks
from ecommerce_elt.cleaning.task_cleaning import with_key
from ecommerce_elt.erasure import lake, warehouse
from ecommerce_elt.erasure.customers import Customer, customer_of
from ecommerce_elt.erasure.items import erase_items
from ecommerce_elt.errors import PermanentError, values_withheld
from ecommerce_elt.features import versions as features_versions
from ecommerce_elt.load.invoice_items import DELIVERED_FEED
from ecommerce_elt.settings import settings

log = logging.getLogger(__name__)


def _customer(params: dict[str, Any]) -> Customer:
    return customer_of(str(params["feed"]), str(params["customer"]), settings())


def _layers(params: dict[str, Any], *, apply: bool) -> dict[str, int]:
    return lake.erase_from_lake(client("s3"), task_warehouse(), _customer(params), with_key(settings()), apply=apply)


@values_withheld()
def find_customer(params: dict[str, Any], erased_at: str | None = None) -> dict[str, int]:
    """Returns how much names the customer, by layer and by table of the warehouse. Changes nothing.

    Args:
        params: the parameters of the run.
        erased_at: the result of `erase_from_warehouse`; None before that task.
    """
    found = _layers(params, apply=False) | _items(params, apply=False) | _feature_versions(params, erased_at)
    found |= warehouse.count_in_warehouse(task_warehouse(), _customer(params), settings())
    found |= bigquery_tasks.count_customer(_customer(params).erasure.customer, _customer(params).name)
    log.info("found %s", " ".join(f"{layer}={count}" for layer, count in found.items()))
    return found


@values_withheld()
def erase_from_lake(params: dict[str, Any]) -> dict[str, int]:
    """Erases the customer from the lake's objects, and returns how much named them, by layer."""
    return _layers(params, apply=True)


def _items(params: dict[str, Any], *, apply: bool) -> dict[str, int]:
    customer = _customer(params)
    if customer.feed != DELIVERED_FEED:
        return {}
    prefix = settings().stack_prefix
    tables = aws_names.customers(prefix), aws_names.invoices(prefix)
    return erase_items(client("dynamodb"), *tables, customer.name, apply=apply)


@values_withheld()
def erase_from_dynamodb(params: dict[str, Any]) -> dict[str, int]:
    """Erases the customer from DynamoDB's items, and returns how many items named them, by table."""
    return _items(params, apply=True)


def _feature_versions(params: dict[str, Any], erased_at: str | None) -> dict[str, int]:
    """Returns the number of feature versions that were read from core before the erasure and may have the customer."""
    if not _customer(params).contract.plays.sale:
        return {}
    before = datetime.fromisoformat(erased_at) if erased_at else datetime.max.replace(tzinfo=UTC)
    return {"feature_versions": len(features_versions.read_before(client("s3"), settings().bucket, before))}


@values_withheld()
def erase_from_warehouse(params: dict[str, Any]) -> str:
    """Erases the customer from core, marks the days for which marts must be rebuilt, and returns the time.

    The time is from the warehouse's clock, in UTC, as in the versions of features.
    """
    with linked_warehouse() as target:
        request = f"erasure {get_current_context()['run_id']}"[:128]
        warehouse.erase_core(target, _customer(params), settings(), request=request)
        [(now,)] = target.query((settings().sql_dir / "ops/erase/clock.sql").read_text("utf-8"))
        return datetime.fromisoformat(now).replace(tzinfo=UTC).isoformat()


@values_withheld()
def erase_from_exports(params: dict[str, Any]) -> dict[str, int]:
    """Deletes staged data of exports to BigQuery that names the customer, and returns the counts by layer."""
    customer = _customer(params)
    return bigquery_tasks.erase_staged(customer.erasure.customer, customer.name)


@values_withheld()
def prove_erasure(params: dict[str, Any], erased_at: str) -> dict[str, int]:
    """Searches every layer again and returns the counts, which are 0 except for landed files that were never read.

    Raises:
        PermanentError: a layer still names the customer.
    """
    found = find_customer(params, erased_at)
    if left := {layer: n for layer, n in found.items() if n and layer != "landed_files_unread"}:
        raise PermanentError(
            f"the customer is still named: {', '.join(f'{layer} {n}' for layer, n in left.items())}. Events that arrived "
            "since are one cause: trigger erase_customer again"
        )
    return found
