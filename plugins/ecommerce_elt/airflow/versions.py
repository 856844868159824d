"""What the versions of Airflow and of its Amazon provider do not have in common. The DAGs run on Airflow 3.2.1 to 3.3.

| | Airflow 3.2, provider 9.25 | Airflow 3.3.1, provider 9.34 | Airflow 3.3.2, provider 9.39 |
|---|---|---|---|
| an error that no retry mends | is retried all the same, and then red | is red at once: retry policies | as 3.3.1 |
| a crawl by its crawler's name | the operator below | the provider's | the provider's |
| a deadline has a name | no | yes | yes |
| a QuickSight ingestion that runs | holds a worker's slot | holds a worker's slot | defers to the triggerer |

A part is used where it is there; nothing here compares numbers of versions.
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
        """Starts a crawler that is there, and defers until it is done; one that runs already is waited for.

        The provider's own of this version updates the crawler first, which the DAGs' role may not.
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
    """Returns the argument of DeadlineAlert that names it, where it takes one."""
    return {"name": name} if "name" in signature(DeadlineAlert.__init__).parameters else {}


def ingestion_waits(poll_seconds: int) -> dict[str, Any]:
    """Returns the arguments of QuickSightCreateIngestionOperator that make it wait, in the triggerer where it can."""
    if "deferrable" in signature(QuickSightCreateIngestionOperator.__init__).parameters:
        return {"deferrable": True, "waiter_delay": poll_seconds}
    return {"check_interval": poll_seconds}


__all__ = ["RETRIES", "GlueCrawlerRunOperator", "ingestion_waits", "named"]
