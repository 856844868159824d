"""Differences between versions of Airflow and of its Amazon provider. The DAGs run on Airflow 3.2.1 to 3.3.

| | Airflow 3.2, provider 9.25 | Airflow 3.3.1, provider 9.34 | Airflow 3.3.2, provider 9.39 |
|---|---|---|---|
| a permanent error | is retried, then fails | fails at once, by a retry policy | as in 3.3.1 |
| an operator for an existing crawler | the operator below | of the provider | of the provider |
| a deadline has a name | no | yes | yes |
| a running QuickSight ingestion | holds a worker slot | holds a worker slot | defers to the triggerer |

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

try:
    from airflow.providers.amazon.aws.operators.glue_crawler import GlueCrawlerRunOperator
except ImportError:
    from airflow.providers.amazon.aws.operators.glue_crawler import GlueCrawlerOperator
    from airflow.providers.amazon.aws.triggers.glue_crawler import GlueCrawlerCompleteTrigger

    class GlueCrawlerRunOperator(GlueCrawlerOperator):  # type: ignore[no-redef]
        """Starts an existing crawler and defers until it is done. If it is already running, the operator waits for it.

        The operator of this version of the provider first updates the crawler, for which the DAGs' role has no
        permission.
        """

        def __init__(self, *, crawler_name: str, **kwargs: Any) -> None:
            super().__init__(config={"Name": crawler_name}, **kwargs)

        def execute(self, context: Any) -> None:
            client = self.hook.conn
            try:
                client.start_crawler(Name=self.config["Name"])
            except client.exceptions.CrawlerRunningException:
                if self.fail_on_already_running:
                    raise
                self.log.warning("crawler=%s runs already, and is waited for", self.config["Name"])
            self.defer(
                trigger=GlueCrawlerCompleteTrigger(
                    crawler_name=self.config["Name"], waiter_delay=self.poll_interval, aws_conn_id=self.aws_conn_id
                ),
                method_name="execute_complete",
            )


def named(name: str) -> dict[str, str]:
    """Returns the argument with the name of a DeadlineAlert, if this version has names; empty otherwise."""
    return {"name": name} if "name" in signature(DeadlineAlert.__init__).parameters else {}


def ingestion_waits(poll_seconds: int) -> dict[str, Any]:
    """Returns the arguments that make QuickSightCreateIngestionOperator wait, in the triggerer if it can."""
    if "deferrable" in signature(QuickSightCreateIngestionOperator.__init__).parameters:
        return {"deferrable": True, "waiter_delay": poll_seconds}
    return {"check_interval": poll_seconds}


__all__ = ["RETRIES", "GlueCrawlerRunOperator", "ingestion_waits", "named"]
