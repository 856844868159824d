"""The deferrable sensor for landed files. It waits in the triggerer and holds no worker slot."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

from airflow.providers.amazon.aws.hooks.s3 import S3Hook
from airflow.providers.amazon.aws.sensors.s3 import S3KeySensor
from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowSkipException
from airflow.triggers.base import BaseTrigger, TriggerEvent

from ecommerce_elt import listing
from ecommerce_elt.landing.files import LANDING, new_files, runs_of


class LandedFilesTrigger(BaseTrigger):
    """Fires when landing/ contains a file that has no report beside it.

    The provider's S3KeyTrigger is not used because it lists only one level of folders and wakes the task at each poll.
    """

    def __init__(self, bucket: str, poke_interval: float, aws_conn_id: str | None) -> None:
        super().__init__()
        self.bucket, self.poke_interval, self.aws_conn_id = bucket, poke_interval, aws_conn_id

    def serialize(self) -> tuple[str, dict[str, Any]]:
        arguments = {"bucket": self.bucket, "poke_interval": self.poke_interval, "aws_conn_id": self.aws_conn_id}
        return f"{type(self).__module__}.{type(self).__qualname__}", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        async with await S3Hook(aws_conn_id=self.aws_conn_id).get_async_conn() as s3:
            while True:
                found = new_files(await listing.objects_async(s3, self.bucket, LANDING))
                if found:
                    files = [{"Key": file.key, "ETag": file.etag} for file in found]
                    yield TriggerEvent({"status": "running", "files": files})
                    return
                await asyncio.sleep(self.poke_interval)


class LandedFilesSensor(S3KeySensor):
    """Defers until landing/ contains a file without a report beside it; is skipped when `timeout` passes first.

    Returns the runs that load such files, as `runs_of` does. A separate task for this would delay each file.

    Args:
        bucket: the bucket of landing/.
        group_bytes: the largest total size of small files that share a run.
    """

    def __init__(self, *, bucket: str, group_bytes: int, **kwargs: Any) -> None:
        super().__init__(
            bucket_name=bucket,
            bucket_key=f"{LANDING}*",
            wildcard_match=True,
            metadata_keys=["Key", "ETag"],
            check_fn=has_new_files,
            deferrable=True,
            soft_fail=True,
            **kwargs,
        )
        self.bucket, self.group_bytes = bucket, group_bytes

    def execute(self, context: Context) -> list[dict[str, Any]]:
        super().execute(context)  # defers if there is no new file yet
        return self._runs()

    def execute_complete(self, context: Context, event: dict[str, Any]) -> list[dict[str, Any]]:
        super().execute_complete(context, event)
        return self._runs()

    def _runs(self) -> list[dict[str, Any]]:
        found = new_files(listing.objects(self.hook.get_conn(), self.bucket, LANDING))
        if not found:
            raise AirflowSkipException("no landed file is new")
        runs = runs_of(found, self.group_bytes)
        self.log.info("landed_files=%s runs=%s", [file.key for file in found], len(runs))
        return runs

    def _defer(self) -> None:
        self.defer(
            trigger=LandedFilesTrigger(str(self.bucket_name), self.poke_interval, self.aws_conn_id),
            method_name="execute_complete",
            timeout=timedelta(seconds=self.timeout),
        )


def has_new_files(files: list[dict[str, Any]], **context: Any) -> bool:
    """Returns whether one of the listed objects is a file without a report."""
    return bool(new_files(files))
