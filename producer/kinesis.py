"""Sink for Kinesis: calls PutRecords and sends only the failed records again."""

from __future__ import annotations

from collections import Counter
from typing import Any

from ecommerce_elt.errors import TransientError

from producer.sink import ATTEMPTS, Record, Sink

# Kinesis API reference, PutRecords.
REQUEST_MAX_RECORDS = 500
REQUEST_MAX_BYTES = 5 * 1024**2
RECORD_MAX_BYTES = 1024**2  # data and partition key together


class KinesisSink(Sink):
    """Sends records to a Kinesis stream.

    Args:
        client: a boto3 client for Kinesis, which is thread-safe.
        stream: name of the stream.
        more: the arguments of `Sink`.
    """

    request_max_records, request_max_bytes = REQUEST_MAX_RECORDS, REQUEST_MAX_BYTES
    record_max_bytes, takes = RECORD_MAX_BYTES, "Kinesis"

    def __init__(self, client: Any, stream: str, **more: Any) -> None:
        super().__init__(**more)
        self.client, self.stream = client, stream

    def _send(self, batch: list[Record]) -> None:
        waiting = batch
        for attempt in range(ATTEMPTS):
            self._wait_before(attempt, len(waiting))
            entries = [{"Data": r.data, "PartitionKey": r.partition_key} for r in waiting]
            results = self.client.put_records(StreamName=self.stream, Records=entries)["Records"]
            pairs = list(zip(waiting, results, strict=True))
            codes = Counter(result["ErrorCode"] for _, result in pairs if "ErrorCode" in result)
            self._settled([record for record, result in pairs if "ErrorCode" not in result])
            waiting = [record for record, result in pairs if "ErrorCode" in result]
            if not waiting:
                return
        raise TransientError(f"stream {self.stream}: {len(waiting)} records failed {ATTEMPTS} times: {dict(codes)}")
