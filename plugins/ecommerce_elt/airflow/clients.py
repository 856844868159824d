"""The clients of a running task: AWS by the connection of its DAG's stage, and the warehouse."""

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
    """The provider's hook with one session for all clients of a task: each session reads botocore's data anew, 0.1 s."""

    def get_session(self, region_name: str | None = None, deferrable: bool = False) -> Any:
        return _session(self.aws_conn_id, str(get_current_context()["ti"].id))


@lru_cache(maxsize=1)
def _session(connection: str, task_instance: str) -> Any:
    return AwsBaseHook(aws_conn_id=connection).get_session()


def client(service: str, config: Config | None = None) -> Any:
    """A boto3 client by the connection of the running DAG's stage, or by boto3's own variables where there is none."""
    connection = get_current_context()["dag"].default_args["aws_conn_id"]
    return _TaskHook(aws_conn_id=connection, client_type=service, config=config).conn


def task_warehouse() -> redshift.Warehouse:
    return redshift.warehouse(client("redshift-data"), settings())


@contextmanager
def linked_warehouse() -> Iterator[redshift.Warehouse]:
    """The warehouse; the task's link leads to the last statement that was submitted, also where it failed."""
    target = task_warehouse()
    try:
        yield target
    finally:
        if target.statements:
            touched_statement(target.statements[-1])
