"""The operator that refreshes a data set of QuickSight."""

from __future__ import annotations

from typing import Any

from airflow.providers.amazon.aws.operators.quicksight import QuickSightCreateIngestionOperator
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from ecommerce_elt.airflow.links import QuickSightDataSetLink

MOMENT_SECONDS, LOOK_EVERY_SECONDS = 3.0, 0.25


class IngestDataSetOperator(QuickSightCreateIngestionOperator):
    """The provider's operator with a link to the data set, which defers only an ingestion that takes longer than a moment.

    A small data set is ingested in a second or two. The two starts of a deferred task take longer.
    """

    operator_extra_links = (QuickSightDataSetLink(),)

    def defer(self, **kwargs: Any) -> None:  # returns if there is nothing to wait for
        if not self._is_completed_soon():
            super().defer(**kwargs)

    def _is_completed_soon(self) -> bool:
        """Returns whether the ingestion completes within a moment. The trigger raises the error of one that fails."""
        account = self.hook.account_id
        look = Retrying(
            retry=retry_if_result(lambda status: status in self.hook.NON_TERMINAL_STATES),
            stop=stop_after_delay(MOMENT_SECONDS),
            wait=wait_fixed(LOOK_EVERY_SECONDS),
            retry_error_callback=lambda state: state.outcome.result() if state.outcome else None,
        )
        return bool(look(self.hook.get_status, account, self.data_set_id, self.ingestion_id) == "COMPLETED")
