"""Differences between versions of Airflow and of its Amazon provider. The DAGs run on Airflow 3.2.1 to 3.3.

| | Airflow 3.2.1, provider 9.39 | Airflow 3.3.1, provider 9.34 | Airflow 3.3.2, provider 9.39 |
|---|---|---|---|
| a permanent error | is retried, then fails | fails at once, by a retry policy | as in 3.3.1 |
| a deadline has a name | no | yes | yes |
| a running QuickSight ingestion | defers to the triggerer | holds a worker slot | defers to the triggerer |

The code uses a feature if it exists, and never compares version numbers.
"""

from __future__ import annotations

from inspect import signature
from typing import Any

from airflow.providers.amazon.aws.operators.quicksight import QuickSightCreateIngestionOperator
from airflow.sdk.definitions.deadline import DeadlineAlert

from ecommerce_elt.errors import PermanentError

try:
    from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryRule
except ImportError:
    RETRIES: dict[str, Any] = {}
else:
    RETRIES = {
        "retry_policy": ExceptionRetryPolicy(
            [RetryRule(exception=PermanentError, action=RetryAction.FAIL, reason="permanent: see the message")]
        )
    }


def named(name: str) -> dict[str, str]:
    """Returns the argument with the name of a DeadlineAlert, if this version has names; empty otherwise."""
    return {"name": name} if "name" in signature(DeadlineAlert.__init__).parameters else {}


def ingestion_waits(poll_seconds: int) -> dict[str, Any]:
    """Returns the arguments that make QuickSightCreateIngestionOperator wait, in the triggerer if it can."""
    if "deferrable" in signature(QuickSightCreateIngestionOperator.__init__).parameters:
        return {"deferrable": True, "waiter_delay": poll_seconds}
    return {"check_interval": poll_seconds}


__all__ = ["RETRIES", "ingestion_waits", "named"]
