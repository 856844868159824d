"""The trigger that waits for new raw objects. It runs in the triggerer and holds no worker slot."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.amazon.aws.hooks.s3 import S3Hook
from airflow.providers.amazon.aws.hooks.sqs import SqsHook
from airflow.triggers.base import BaseEventTrigger, TriggerEvent
from asgiref.sync import sync_to_async

from ecommerce_elt import listing
from ecommerce_elt.batches.manifests import OPEN

CLAIM_SECONDS = 2.0  # a run claims its messages within this time; an earlier event would start a run that finds none


async def build_api_of_triggerer() -> None:
    """Makes the triggerer build its API, which takes it seconds, when it starts.

    The triggerer builds it at the first request of a trigger, and passes no event on in the meantime. Without this, the
    first request comes when a file has landed or when marts wait for their turn, and delays the loads.
    """
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    await sync_to_async(RuntimeTaskInstance.get_dr_count)(dag_id="load_events")


class RawObjectsTrigger(BaseEventTrigger):
    """Sends events to the asset of raw objects while the queue has messages, or a dead run has left an open batch.

    It reads only the length of the queue. The messages stay in the queue until the claim, so no message is lost if the
    trigger dies.
    """

    def __init__(
        self,
        bucket: str,
        queue_name: str,
        poll_interval_seconds: float,
        open_batch_retry_seconds: float,
        aws_conn_id: str | None,
    ) -> None:
        super().__init__()
        self.bucket, self.queue_name = bucket, queue_name
        self.poll_interval_seconds, self.open_batch_retry_seconds = poll_interval_seconds, open_batch_retry_seconds
        self.aws_conn_id = aws_conn_id

    def serialize(self) -> tuple[str, dict[str, Any]]:
        names = ("bucket", "queue_name", "poll_interval_seconds", "open_batch_retry_seconds", "aws_conn_id")
        return f"{type(self).__module__}.{type(self).__qualname__}", {name: getattr(self, name) for name in names}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        await build_api_of_triggerer()
        sqs_hook, s3_hook = SqsHook(aws_conn_id=self.aws_conn_id), S3Hook(aws_conn_id=self.aws_conn_id)
        async with await sqs_hook.get_async_conn() as sqs, await s3_hook.get_async_conn() as s3:
            url = (await sqs.get_queue_url(QueueName=self.queue_name))["QueueUrl"]
            while True:
                wanted = ["ApproximateNumberOfMessages"]
                attributes = await sqs.get_queue_attributes(QueueUrl=url, AttributeNames=wanted)
                waiting = int(attributes["Attributes"]["ApproximateNumberOfMessages"])
                markers = await listing.objects_async(s3, self.bucket, OPEN)
                due = datetime.now(UTC) - timedelta(seconds=self.open_batch_retry_seconds)
                left = sum(marker["LastModified"] <= due for marker in markers)
                if waiting or left:
                    yield TriggerEvent({"waiting_messages": waiting, "open_batches": left})
                    await asyncio.sleep(max(CLAIM_SECONDS, self.poll_interval_seconds))
                else:
                    await asyncio.sleep(self.poll_interval_seconds)
