"""The tasks of an erasure, each a function of ids: what runs between Airflow's wiring and the logic.

Airflow logs the whole chain of an error that a task ends with, so each lets out only what `values_withheld` does.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

from airflow.sdk import get_current_context

from ecommerce_elt.airflow.clients import client, linked_warehouse, task_warehouse
from ecommerce_elt.bigquery import tasks as bigquery_tasks
from ecommerce_elt.cleaning.task_cleaning import with_key
from ecommerce_elt.erasure import items as erasure_items
from ecommerce_elt.erasure import layers as erasure_layers
from ecommerce_elt.errors import PermanentError, values_withheld
from ecommerce_elt.features import versions as features_versions
from ecommerce_elt.settings import settings

log = logging.getLogger(__name__)


def _customer(params: dict[str, Any]) -> erasure_layers.Customer:
    return erasure_layers.customer_of(str(params["feed"]), str(params["customer"]), settings())


def _layers(params: dict[str, Any], *, apply: bool) -> dict[str, int]:
    return erasure_layers.erase_from_lake(
        client("s3"), task_warehouse(), _customer(params), with_key(settings()), apply=apply
    )


@values_withheld()
def find_customer(params: dict[str, Any], erased_at: str | None = None) -> dict[str, int]:
    """Returns layer, or table of the warehouse, to what names the customer there. Changes nothing.

    Args:
        erased_at: what `erase_from_warehouse` returned, None before it.
    """
    found = _layers(params, apply=False) | _items(params, apply=False) | _feature_versions(params, erased_at)
    found |= erasure_layers.count_in_warehouse(task_warehouse(), _customer(params), settings())
    found |= bigquery_tasks.count_customer(_customer(params).erasure.customer, _customer(params).name)
    log.info("found %s", " ".join(f"{layer}={count}" for layer, count in found.items()))
    return found


@values_withheld()
def erase_from_lake(params: dict[str, Any]) -> dict[str, int]:
    """Takes the customer out of the lake's objects, and returns layer to what named them."""
    return _layers(params, apply=True)


def _items(params: dict[str, Any], *, apply: bool) -> dict[str, int]:
    customer = _customer(params)
    if customer.feed != erasure_layers.DELIVERED_FEED:
        return {}
    customers, invoices = (f"{settings().stack_prefix}-{table}" for table in ("customers", "invoices"))
    return erasure_items.erase_items(client("dynamodb"), customers, invoices, customer.name, apply=apply)


@values_withheld()
def erase_from_dynamodb(params: dict[str, Any]) -> dict[str, int]:
    """Takes the customer out of DynamoDB's items, and returns table to what named them."""
    return _items(params, apply=True)


def _feature_versions(params: dict[str, Any], erased_at: str | None) -> dict[str, int]:
    """Returns the versions of features that are of what core had before: nobody knows any more who is in them."""
    if not _customer(params).contract.plays.sale:
        return {}
    before = datetime.fromisoformat(erased_at) if erased_at else datetime.max.replace(tzinfo=UTC)
    return {"feature_versions": len(features_versions.read_before(client("s3"), settings().bucket, before))}


@values_withheld()
def erase_from_warehouse(params: dict[str, Any]) -> str:
    """Takes the customer out of core, marks the days that marts have to be built again for, and returns when it was done.

    The time is the warehouse's clock, in UTC, as in the versions of features.
    """
    with linked_warehouse() as target:
        request = f"erasure {get_current_context()['run_id']}"[:128]
        erasure_layers.erase_core(target, _customer(params), settings(), request=request)
        [(now,)] = target.query((settings().sql_dir / "ops/erase/clock.sql").read_text("utf-8"))
        return datetime.fromisoformat(now).replace(tzinfo=UTC).isoformat()


@values_withheld()
def erase_from_exports(params: dict[str, Any]) -> dict[str, int]:
    """Deletes what exports to BigQuery left on their way and names the customer, and returns how much it was by layer."""
    customer = _customer(params)
    return bigquery_tasks.erase_staged(customer.erasure.customer, customer.name)


@values_withheld()
def prove_erasure(params: dict[str, Any], erased_at: str) -> dict[str, int]:
    """Searches every layer again, and returns what it found: 0 everywhere, but for landed files that were never read.

    Raises:
        PermanentError: something still names the customer.
    """
    found = find_customer(params, erased_at)
    if left := {layer: n for layer, n in found.items() if n and layer != "landed_files_unread"}:
        raise PermanentError(
            f"the customer is still named: {', '.join(f'{layer} {n}' for layer, n in left.items())}. Events that arrived "
            "since are one cause: trigger erase_customer again"
        )
    return found
