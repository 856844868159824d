"""Event source mappings of Kinesis streams, which follow the rules of AWS, and the records that a stream keeps for them."""

from __future__ import annotations

import base64
import contextvars
import json
import logging
import os
import threading
import time
from bisect import bisect_left
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import boto3
from ministack.core import responses
from ministack.services import cloudwatch, kinesis, lambda_svc

from local.event_source import Delivery, Discarded, Rules

log = logging.getLogger("event-source")
# Records that all mappings have read are kept this long for other readers. AWS keeps them for the retention period of
# the stream, but the memory of a laptop is limited.
KEPT_SECONDS = 3600
CHECK_SECONDS = 10
POLL_SECONDS = 0.1
RETRY_MAX_SECONDS = 10.0
lock = threading.RLock()
Key = tuple[str, str, str]  # account, region, name or UUID


def locked(function: Callable[[dict], Any]) -> Callable[[dict], Any]:
    def call(data: dict) -> Any:
        with lock:
            return function(data)

    return call


def _mappings(stream_arn: str | None = None) -> dict[Key, dict[str, Any]]:
    """Returns the event source mappings of Kinesis streams, or of one stream."""
    return {
        (account, region, mapping["UUID"]): mapping
        for account, region, mapping in lambda_svc._iter_all_esms()
        if ":kinesis:" in mapping.get("EventSourceArn", "") and stream_arn in {None, mapping["EventSourceArn"]}
    }


def _places(key: Key) -> dict[str, int]:
    """Returns the index of each shard's first record that the mapping has not processed yet. MiniStack saves it."""
    found: dict[str, int] = lambda_svc._kinesis_positions._data.setdefault(key, {})
    return found


def forget_read_records() -> None:
    """Removes old records that all mappings have read, and adjusts the positions of the mappings."""
    cutoff = time.time() - KEPT_SECONDS
    for name, stream in [(key[-1], stream) for key, stream in kinesis._streams._data.items()]:
        for shard_id, shard in stream["shards"].items():
            with lock:
                places = [_places(key) for key in _mappings(stream["StreamARN"])]
                records = shard["records"]
                gone = bisect_left(records, cutoff, key=lambda r: r["ApproximateArrivalTimestamp"])
                gone = min([gone, *(place.get(shard_id, 0) for place in places)])
                if not gone:
                    continue
                del records[:gone]
                for place in places:
                    place[shard_id] -= gone
                for iterator in kinesis._shard_iterators._data.values():
                    if (iterator["stream"], iterator["shard_id"]) == (name, shard_id):
                        iterator["position"] = max(0, iterator["position"] - gone)


def _lambda_record(record: dict[str, Any], shard_id: str, mapping: dict[str, Any], region: str) -> dict[str, Any]:
    data = record["Data"]
    return {
        "kinesis": {
            "kinesisSchemaVersion": "1.0",
            "partitionKey": record["PartitionKey"],
            "sequenceNumber": record["SequenceNumber"],
            "data": data if isinstance(data, str) else base64.b64encode(data).decode(),
            "approximateArrivalTimestamp": record["ApproximateArrivalTimestamp"],
        },
        "eventSource": "aws:kinesis",
        "eventVersion": "1.0",
        "eventID": f"{shard_id}:{record['SequenceNumber']}",
        "eventName": "aws:kinesis:record",
        "awsRegion": region,
        "eventSourceARN": mapping["EventSourceArn"],
    }


class _ShardReader:
    """Reads one shard for one mapping: delivers the available records, and advances the position when all are done."""

    def __init__(self, key: Key, stream: dict[str, Any], shard_id: str) -> None:
        self.key, self.stream, self.shard_id = key, stream, shard_id

    def run(self) -> None:
        account, region, _ = self.key
        responses._request_account_id.set(account)
        responses._request_region.set(region)
        while (mapping := _mappings().get(self.key)) and self._is_there():
            if not mapping.get("Enabled", True) or not self._read(mapping, region):
                time.sleep(POLL_SECONDS)

    def _is_there(self) -> bool:
        """Returns whether the stream still exists. A stream that was created again has its own reader."""
        streams = list(kinesis._streams._data.values())
        return self.shard_id in self.stream["shards"] and any(stream is self.stream for stream in streams)

    def _read(self, mapping: dict[str, Any], region: str) -> bool:
        """Delivers the waiting records, and returns whether there were any."""
        rules = Rules.of(mapping)
        with lock:
            places = _places(self.key)
            waiting = self.stream["shards"][self.shard_id]["records"]
            if self.shard_id not in places:
                places[self.shard_id] = 0 if mapping.get("StartingPosition") == "TRIM_HORIZON" else len(waiting)
            place = places[self.shard_id]
            taken = waiting[place : place + rules.batch_size * rules.parallelization_factor]
        if not taken:
            return False
        window = int(mapping.get("MaximumBatchingWindowInSeconds") or 0)
        if len(taken) < rules.batch_size and time.time() - taken[0]["ApproximateArrivalTimestamp"] < window:
            return False
        age = 1000 * (time.time() - taken[-1]["ApproximateArrivalTimestamp"])
        function = {"FunctionName": mapping["FunctionName"].rpartition(":")[2]}
        cloudwatch.record_metric("AWS/Lambda", "IteratorAge", age, "Milliseconds", function)
        records = [_lambda_record(record, self.shard_id, mapping, region) for record in taken]
        delivery = Delivery(rules, self._invoker(mapping), lambda d: _discard(mapping, d), _pause, time.time)
        delivery.deliver(lambda_svc._apply_filter_criteria(records, mapping))
        with lock:
            _places(self.key)[self.shard_id] += len(taken)
        return True

    def _invoker(self, mapping: dict[str, Any]) -> Callable[[dict[str, Any]], Any]:
        context = contextvars.copy_context()  # passes the account to the threads of parallel batches

        def invoke(event: dict[str, Any]) -> Any:
            function, _ = lambda_svc._get_func_record_for_qualifier(mapping["FunctionName"], mapping.get("Qualifier"))
            if function is None:
                raise RuntimeError(f"no function {mapping['FunctionName']}")
            result = lambda_svc._execute_function(function, event)
            mapping["LastProcessingResult"] = "PROBLEM: Function call failed" if result.get("error") else "OK"
            if result.get("error"):
                raise RuntimeError(f"{mapping['FunctionName']}: {result.get('body')} {result.get('log', '')[-2000:]}")
            answer = result.get("body")
            return json.loads(answer) if isinstance(answer, (str, bytes)) and answer else answer

        return lambda event: context.copy().run(invoke, event)


def _pause(tries: int) -> None:
    time.sleep(min(RETRY_MAX_SECONDS, 0.1 * 2 ** min(tries, 10)))


def _discard(mapping: dict[str, Any], discarded: Discarded) -> None:
    """Sends a document as on AWS about records that are given up to the mapping's on-failure queue."""
    first, last = discarded.records[0], discarded.records[-1]

    def moment(seconds: float) -> str:
        return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

    document = {
        "requestContext": {
            "requestId": lambda_svc.new_uuid(),
            "functionArn": mapping["FunctionArn"],
            "condition": discarded.condition,
            "approximateInvokeCount": discarded.invocations,
        },
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
        "version": "1.0",
        "timestamp": moment(time.time()),
        "KinesisBatchInfo": {
            "shardId": first["eventID"].split(":")[0],
            "startSequenceNumber": first["kinesis"]["sequenceNumber"],
            "endSequenceNumber": last["kinesis"]["sequenceNumber"],
            "approximateArrivalOfFirstRecord": moment(first["kinesis"]["approximateArrivalTimestamp"]),
            "approximateArrivalOfLastRecord": moment(last["kinesis"]["approximateArrivalTimestamp"]),
            "batchSize": len(discarded.records),
            "streamArn": mapping["EventSourceArn"],
        },
    }
    log.error("%s gives up %d records: %s", mapping["FunctionName"], len(discarded.records), document)
    arn = ((mapping.get("DestinationConfig") or {}).get("OnFailure") or {}).get("Destination")
    if arn:
        queues = boto3.client("sqs", endpoint_url=os.environ["AWS_ENDPOINT_URL"])
        url = queues.get_queue_url(QueueName=arn.rsplit(":", 1)[-1])["QueueUrl"]
        queues.send_message(QueueUrl=url, MessageBody=json.dumps(document))


def supervise() -> None:
    """Runs one thread for each shard and mapping, and removes old records from the streams."""
    threads: dict[tuple[Key, str], threading.Thread] = {}
    checked = time.monotonic()
    while True:
        streams = {stream["StreamARN"]: stream for stream in list(kinesis._streams._data.values())}
        for key, mapping in _mappings().items():
            stream = streams.get(mapping["EventSourceArn"])
            for shard_id in list(stream["shards"]) if stream else []:
                thread = threads.get((key, shard_id))
                if thread is None or not thread.is_alive():
                    reader = _ShardReader(key, stream, shard_id)  # type: ignore[arg-type]
                    name = f"{mapping['FunctionName']}-{shard_id}"
                    threads[key, shard_id] = threading.Thread(target=reader.run, name=name, daemon=True)
                    threads[key, shard_id].start()
        if time.monotonic() - checked > CHECK_SECONDS:
            checked = time.monotonic()
            forget_read_records()
        time.sleep(POLL_SECONDS)
