"""The clients of a running task: AWS through the connection of its DAG's stage, and the warehouse."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook
from airflow.sdk import get_current_context
from botocore.config import Config

from ecommerce_elt.airflow.links import touched_statement
from ecommerce_elt.settings import settings
from ecommerce_elt.warehouse import redshift


class _TaskHook(AwsBaseHook):
    """The provider's hook with one session per task, because each session takes 0.1 s to read botocore's data."""

    def get_session(self, region_name: str | None = None, deferrable: bool = False) -> Any:
        return _session(self.aws_conn_id, str(get_current_context()["ti"].id))


@lru_cache(maxsize=1)
def _session(connection: str, task_instance: str) -> Any:
    return AwsBaseHook(aws_conn_id=connection).get_session()


def client(service: str, config: Config | None = None) -> Any:
    """Returns a boto3 client of the connection of the running DAG's stage, or of boto3's variables without one."""
    connection = get_current_context()["dag"].default_args["aws_conn_id"]
    return _TaskHook(aws_conn_id=connection, client_type=service, config=config).conn


def task_warehouse() -> redshift.Warehouse:
    return redshift.warehouse(client("redshift-data"), settings())


@contextmanager
def linked_warehouse() -> Iterator[redshift.Warehouse]:
    """Yields the warehouse; at the end, also after an error, links the task to the last submitted statement."""
    target = task_warehouse()
    try:
        yield target
    finally:
        if target.statements:
            touched_statement(target.statements[-1])
