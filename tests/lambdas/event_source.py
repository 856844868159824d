"""Drives a Lambda's handler as an event source mapping for Kinesis does, by the rules of local/event_source.py."""

from __future__ import annotations

import base64
import json
from typing import Any

from local.event_source import Delivery, Discarded, Rules


def kinesis_record(
    payload: bytes, sequence: int, shard: str = "shardId-000000000000", arrived: float = 1767225600.0, key: str = "key"
) -> dict[str, Any]:
    number = f"4960000000000000000000000000{sequence:012d}"
    return {
        "kinesis": {
            "partitionKey": key,
            "sequenceNumber": number,
            "data": base64.b64encode(payload).decode(),
            "approximateArrivalTimestamp": arrived + sequence / 1000,
            "kinesisSchemaVersion": "1.0",
        },
        "eventSource": "aws:kinesis",
        "eventID": f"{shard}:{number}",
        "eventName": "aws:kinesis:record",
    }


class Mapping:
    """A mapping with the settings that the template gives it, unless the test says otherwise."""

    def __init__(self, function: Any, **settings: Any) -> None:
        template = {
            "batch_size": 10_000,
            "maximum_retry_attempts": 100,
            "bisect_batch_on_function_error": True,
            "report_batch_item_failures": True,
        }
        self.function = function
        self.discarded: list[Discarded] = []
        self.invocations = 0
        self.delivery = Delivery(Rules(**(template | settings)), self._invoke, self.discarded.append)

    def _invoke(self, event: dict[str, Any]) -> Any:
        self.invocations += 1
        # As over the wire: nothing of the harness's own objects reaches the function.
        return self.function(json.loads(json.dumps(event)), None)

    def deliver(self, shard: list[dict[str, Any]]) -> None:
        """Delivers all records of one shard, in order."""
        self.delivery.deliver(shard)

    @property
    def given_up(self) -> list[str]:
        """Sequence numbers of the records that went to the on-failure destination."""
        return [r["kinesis"]["sequenceNumber"] for d in self.discarded for r in d.records]
