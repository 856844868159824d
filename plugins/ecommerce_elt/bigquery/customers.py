"""Counts and deletes what names a customer in BigQuery and in exports, with the clients of the running task."""

from __future__ import annotations

from typing import Any

from ecommerce_elt.airflow.clients import client, task_warehouse
from ecommerce_elt.bigquery import google_clients, staged_exports
from ecommerce_elt.bigquery.place import Place, place
from ecommerce_elt.bigquery.tables import count_customer as count_in_tables
from ecommerce_elt.settings import settings


def count_customer(column: str, customer: str) -> dict[str, int]:
    """Returns how much names the customer: rows by table of BigQuery, and staged files and tables of exports.

    The result is empty if no project is set.
    """
    config = settings()
    where = place(config)
    if where is None:
        return {}
    google = google_clients.bigquery(where, config)
    found = count_in_tables(google, task_warehouse(), where, column, customer, config.sql_dir)
    return found | _staged(google, where, column, customer).counts()


def _staged(google: Any, where: Place, column: str, customer: str) -> staged_exports.Staged:
    bucket = google_clients.bucket(where)
    return staged_exports.find(client("s3"), bucket, google, where, settings(), column=column, customer=customer)


def erase_staged(column: str, customer: str) -> dict[str, int]:
    """Deletes staged files and tables of exports that name the customer, and returns their numbers."""
    config = settings()
    where = google_clients.place_or_skip(config)
    google = google_clients.bigquery(where, config)
    staged = _staged(google, where, column, customer)
    staged_exports.remove(client("s3"), google_clients.bucket(where), google, config, staged)
    return staged.counts()
