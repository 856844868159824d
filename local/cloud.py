"""Runs MiniStack with fixes for defects that would affect a shop's events: `python -m local.cloud`. See docs/adr/0003.

- A stream removes only records that all mappings have read. MiniStack iterates over every record at each PutRecords,
  and when records expire, mappings skip the same number of unread records.
- Event source mappings follow the rules of AWS (local/event_source.py), with one thread for each shard. MiniStack's
  mappings ignore partial batch responses, retry limits and on-failure destinations, so a failing Lambda loses its
  records.
- A second process of this module serves DynamoDB, and the Firehose stand-in serves delivery streams: each process has
  one thread, and writing half a million items would hold up the main job. Crawlers, jobs and workgroups belong to the
  Glue stand-in, because MiniStack's do nothing. The resources of a template are created there.
- The stream and its consumers have the same metrics as on AWS: IncomingRecords and IteratorAge. Alarms evaluate the
  metric of their dimensions, period by period; MiniStack's alarms combine all metrics of the name.
- A further page of ListShards is requested by its token alone, which identifies the stream; MiniStack also requires the
  stream.
- The tables of DynamoDB are saved at the end without copying them first, and conditions are parsed once.
- The stages of HTTP APIs write their access logs, including the context of the authorizer; MiniStack only stores the
  setting.
- orjson writes JSON if the result has the same value, and the garbage collector runs a hundredth as often.
"""

from __future__ import annotations

import base64
import contextvars
import copy
import gc
import json
import logging
import operator
import os
import re
import threading
import time
from bisect import bisect_left
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import lru_cache
from types import SimpleNamespace
from typing import Any

import boto3
import ministack.app as emulator
import orjson
from botocore.model import ListShape, Shape, StructureShape
from ministack.core import lambda_runtime, persistence, responses
from ministack.core.responses import new_uuid
from ministack.services import apigateway, cloudwatch, cloudwatch_logs, dynamodb, kinesis, lambda_svc
from ministack.services.cloudformation import provisioners

from local.event_source import Delivery, Discarded, Rules
from local.own_pages import OwnPagesOnly

log = logging.getLogger("event-source")

# Records that all mappings have read are kept this long for other readers. AWS keeps them for the retention period of
# the stream, but the memory of a laptop is limited.
KEPT_SECONDS = 3600
CHECK_SECONDS = 10
POLL_SECONDS = 0.1
RETRY_MAX_SECONDS = 10.0
OBJECTS_BETWEEN_COLLECTIONS = 100_000

_lock = threading.RLock()

Key = tuple[str, str, str]  # account, region, name or UUID


def _locked(function: Callable[[dict], Any]) -> Callable[[dict], Any]:
    def call(data: dict) -> Any:
        with _lock:
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
            with _lock:
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


def _paged_by_token(list_shards: Callable[[dict], Answer]) -> Callable[[dict], Answer]:
    """Returns ListShards with tokens that identify the stream: Kinesis API reference, ListShards.

    On AWS, a token is an opaque text for clients. This one contains MiniStack's token and the ARN of the stream. A
    request that names a stream beside the token is refused, so boto3's paginator fails for more than one page, as on
    AWS (issue 2009 of botocore).
    """

    def call(data: dict) -> Answer:
        asked = dict(data)
        if token := asked.pop("NextToken", None):
            for name in ("StreamName", "StreamARN", "StreamCreationTimestamp", "ExclusiveStartShardId"):
                if name in asked:
                    return _invalid_argument(f"NextToken and {name} cannot be provided together.")
            try:
                inner = json.loads(base64.urlsafe_b64decode(token))
                stream, inner_token = inner["StreamARN"], inner["NextToken"]
            except (ValueError, TypeError, KeyError):
                return _invalid_argument("NextToken is invalid: expected the one of an answer of ListShards")
            asked |= {"StreamARN": stream, "NextToken": inner_token}
        elif not asked.keys() & {"StreamName", "StreamARN"}:
            return _invalid_argument("Either NextToken or StreamName should be provided.")
        status, headers, body = list_shards(asked)
        found = json.loads(body)
        if "NextToken" in found:
            _, stream_found = kinesis._resolve_stream(asked)
            both = {"StreamARN": stream_found["StreamARN"], "NextToken": found["NextToken"]}
            found["NextToken"] = base64.urlsafe_b64encode(json.dumps(both).encode()).decode()
            body = _json_text(found).encode()
        return status, headers, body

    return call


def _invalid_argument(message: str) -> Answer:
    refused: Answer = responses.error_response_json("InvalidArgumentException", message, 400)
    return refused


def _measured(function: Callable[[dict], Any]) -> Callable[[dict], Any]:
    """Returns PutRecord or PutRecords, which then records the metric of the stream."""

    def call(data: dict) -> Any:
        answer = function(data)
        if answer[0] == 200:
            records = len(data.get("Records", [None]))
            name, _ = kinesis._resolve_stream(data)
            cloudwatch.record_metric("AWS/Kinesis", "IncomingRecords", records, "Count", {"StreamName": name})
        return answer

    return call


def _evaluate_alarm(alarm: dict[str, Any]) -> None:
    """Sets the alarm's state: ALARM if each of the last periods breaches the threshold.

    A period without data does not breach it, as our templates specify.
    """
    dimensions = cloudwatch._dims_key({d["Name"]: d["Value"] for d in alarm.get("Dimensions", [])})
    points = cloudwatch._metrics.get((alarm.get("Namespace"), alarm.get("MetricName"), dimensions))
    if not points:
        return
    period, now = int(alarm.get("Period", 60)), time.time()
    values = []
    for number in range(int(alarm.get("EvaluationPeriods", 1))):
        end = now - number * period
        inside = [point for point in points if end - period < point["Timestamp"] <= end]
        statistic = alarm.get("Statistic", "Average")
        values.append(cloudwatch._stat_value(cloudwatch._calc_stats(inside), statistic, inside) if inside else None)
    limit = float(alarm["Threshold"])
    breaches = operator.lt if alarm["ComparisonOperator"] == "LessThanThreshold" else operator.gt
    state = "ALARM" if all(value is not None and breaches(value, limit) for value in values) else "OK"
    before = alarm["StateValue"]
    if state != before:
        reason = f"Threshold Crossed: {alarm.get('Statistic')} {values} {alarm['ComparisonOperator']} {limit}"
        alarm |= {"StateValue": state, "StateReason": reason, "StateUpdatedTimestamp": int(now)}
        cloudwatch._record_history(alarm["AlarmName"], before, state, reason)
        cloudwatch._dispatch_alarm_actions(alarm, before, state, reason)


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
        with _lock:
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
        with _lock:
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


def _supervise() -> None:
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


# -- access logs of HTTP APIs ---------------------------------------------------------------------------------------------

Answer = tuple[int, dict[str, Any], bytes]
_CONTEXT_VARIABLE = re.compile(r"\$context\.([A-Za-z0-9_.]+)")
_in_request: contextvars.ContextVar[dict[str, str] | None] = contextvars.ContextVar("in_request", default=None)


def _with_access_log(execute: Callable[..., Awaitable[Answer]]) -> Callable[..., Awaitable[Answer]]:
    """Returns the handler of a request to an HTTP API, which then writes a line to the stage's access log.

    Source: API Gateway developer guide, "Customize HTTP API access logs". A variable without a value is "-", as on AWS.
    """

    async def call(api_id: str, stage: str, path: str, method: str, *more: Any) -> Answer:
        started = time.monotonic()
        said = {"requestId": new_uuid(), "httpMethod": method, "path": path, "stage": stage, "apiId": api_id}
        token = _in_request.set(said)
        try:
            answer = await execute(api_id, stage, path, method, *more)
        finally:
            _in_request.reset(token)
        settings = (apigateway._stages.get(api_id, {}).get(stage) or {}).get("accessLogSettings") or {}
        if settings.get("destinationArn") and settings.get("format"):
            route = apigateway._match_route(api_id, method, "/" + path.lstrip("/"))
            said |= {
                "routeKey": route["routeKey"] if route else "-",
                "status": str(answer[0]),
                "responseLatency": f"{1000 * (time.monotonic() - started):.0f}",
                "responseLength": str(len(answer[2])),
            }
            _write_access_log(settings, f"{api_id}_{stage.strip('$')}", said)
        return answer

    return call


def _write_access_log(settings: dict[str, str], stream: str, said: dict[str, str]) -> None:
    line = _CONTEXT_VARIABLE.sub(lambda variable: said.get(variable[1], "-"), settings["format"])
    at = {
        "logGroupName": settings["destinationArn"].split(":log-group:")[-1].removesuffix(":*"),
        "logStreamName": stream,
    }
    event = {"timestamp": int(time.time() * 1000), "message": line}
    cloudwatch_logs._create_log_stream(at)  # refused if it exists
    status, _, body = cloudwatch_logs._put_log_events(at | {"logEvents": [event]})
    if status != 200:
        log.error("access log of %s: %s", stream, body)


def _remembering_authorizer(authorize: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """Returns the authorizer, which also adds its context to the access log as $context.authorizer.KEY."""

    async def call(*about: Any) -> Any:
        error, context = await authorize(*about)
        said = _in_request.get()
        if said is not None:
            said |= {f"authorizer.{key}": str(value) for key, value in (context or {}).items()}
        return error, context

    return call


def _request_id() -> str:
    """Returns the id of the current request, which the function's event and the access log share, or else a new id."""
    said = _in_request.get()
    return said["requestId"] if said is not None else new_uuid()


# -- delivery streams of a template ---------------------------------------------------------------------------------


def _firehose() -> Any:
    return boto3.client("firehose", endpoint_url=os.environ["AWS_ENDPOINT_URL_FIREHOSE"])


def _as_shape(value: Any, shape: Shape) -> Any:
    """Returns a value of a template with the types of the API's model, because all parameters of a stack are text."""
    if isinstance(shape, StructureShape):
        return {name: _as_shape(inner, shape.members[name]) for name, inner in value.items()}
    if isinstance(shape, ListShape):
        return [_as_shape(inner, shape.member) for inner in value]
    if shape.type_name in {"integer", "long"}:
        return int(value)
    if shape.type_name == "boolean":
        return str(value).lower() == "true"
    return value


def _delivery_create(logical_id: str, properties: dict[str, Any], stack_name: str) -> tuple[str, dict[str, str]]:
    client = _firehose()
    shape = client.meta.service_model.operation_model("CreateDeliveryStream").input_shape
    created = client.create_delivery_stream(**_as_shape(properties, shape))
    return properties["DeliveryStreamName"], {"Arn": created["DeliveryStreamARN"]}


def _delivery_update(
    name: str, old: dict[str, Any], new: dict[str, Any], stack_name: str
) -> tuple[str, dict[str, str]]:
    client = _firehose()
    described = client.describe_delivery_stream(DeliveryStreamName=name)["DeliveryStreamDescription"]
    if redshift := new.get("RedshiftDestinationConfiguration"):
        kind, change = "RedshiftDestinationUpdate", {k: v for k, v in redshift.items() if k != "S3Configuration"}
        change["S3Update"] = redshift["S3Configuration"]
    else:
        kind, change = "ExtendedS3DestinationUpdate", new["ExtendedS3DestinationConfiguration"]
    shape = client.meta.service_model.operation_model("UpdateDestination").input_shape
    client.update_destination(
        DeliveryStreamName=name,
        CurrentDeliveryStreamVersionId=described["VersionId"],
        DestinationId=described["Destinations"][0]["DestinationId"],
        **{kind: _as_shape(change, shape.members[kind])},
    )
    return name, {"Arn": described["DeliveryStreamARN"]}


def _delivery_delete(name: str, properties: dict[str, Any]) -> None:
    _firehose().delete_delivery_stream(DeliveryStreamName=name)


# -- tables of a template, in the process that serves DynamoDB ----------------------------------------------------------


def _dynamodb() -> Any:
    return boto3.client("dynamodb", endpoint_url=os.environ["AWS_ENDPOINT_URL_DYNAMODB"])


def _table_create(logical_id: str, properties: dict[str, Any], stack_name: str) -> tuple[str, dict[str, str]]:
    client, name = _dynamodb(), properties["TableName"]
    shape = client.meta.service_model.operation_model("CreateTable").input_shape
    request = {key: value for key, value in properties.items() if key in shape.members}
    if "SSESpecification" in request:  # CloudFormation has another name for it
        request["SSESpecification"] = {"Enabled": request["SSESpecification"]["SSEEnabled"]}
    arn = client.create_table(**_as_shape(request, shape))["TableDescription"]["TableArn"]
    _table_settings(client, name, {}, properties)
    return name, {"Arn": arn}


def _table_update(name: str, old: dict[str, Any], new: dict[str, Any], stack_name: str) -> tuple[str, dict[str, str]]:
    client = _dynamodb()
    changed = {key for key in {*old, *new} if old.get(key) != new.get(key)}
    if beyond := changed - {"TimeToLiveSpecification", "PointInTimeRecoverySpecification"}:
        raise ValueError(
            f"table {name}: the local cloud does not change {sorted(beyond)} of a table; make reset begins anew"
        )
    _table_settings(client, name, old, new)
    return name, {"Arn": client.describe_table(TableName=name)["Table"]["TableArn"]}


def _table_settings(client: Any, name: str, old: dict[str, Any], new: dict[str, Any]) -> None:
    for key, change in (
        ("TimeToLiveSpecification", client.update_time_to_live),
        ("PointInTimeRecoverySpecification", client.update_continuous_backups),
    ):
        if key in new and new[key] != old.get(key):
            operation = client.meta.method_to_api_mapping[change.__name__]
            shape = client.meta.service_model.operation_model(operation).input_shape
            change(TableName=name, **{key: _as_shape(new[key], shape.members[key])})


def _table_delete(name: str, properties: dict[str, Any]) -> None:
    _dynamodb().delete_table(TableName=name)


# -- crawlers, jobs and workgroups of a template, in the stand-in of Glue and Athena -----------------------------------


Handlers = dict[str, Callable[..., Any]]


def _request(service: str, operation: str, properties: dict[str, Any], inside: str = "") -> dict[str, Any]:
    """Returns the properties of a resource that are members of the operation, or of its member `inside`."""
    shape = boto3.client(service).meta.service_model.operation_model(operation).input_shape
    shape = shape.members[inside] if inside else shape
    return dict(_as_shape({k: v for k, v in properties.items() if k in shape.members}, shape))


def _crawler_handlers() -> Handlers:
    def create(logical_id: str, properties: dict[str, Any], stack_name: str) -> tuple[str, dict[str, str]]:
        boto3.client("glue").create_crawler(**_request("glue", "CreateCrawler", properties))
        return properties["Name"], {}

    def update(name: str, old: dict[str, Any], new: dict[str, Any], stack_name: str) -> tuple[str, dict[str, str]]:
        boto3.client("glue").update_crawler(**_request("glue", "UpdateCrawler", new))
        return name, {}

    def delete(name: str, properties: dict[str, Any]) -> None:
        boto3.client("glue").delete_crawler(Name=name)

    return {"create": create, "update": update, "delete": delete}


def _job_handlers() -> Handlers:
    def create(logical_id: str, properties: dict[str, Any], stack_name: str) -> tuple[str, dict[str, str]]:
        boto3.client("glue").create_job(**_request("glue", "CreateJob", properties))
        return properties["Name"], {}

    def update(name: str, old: dict[str, Any], new: dict[str, Any], stack_name: str) -> tuple[str, dict[str, str]]:
        boto3.client("glue").update_job(JobName=name, JobUpdate=_request("glue", "UpdateJob", new, "JobUpdate"))
        return name, {}

    def delete(name: str, properties: dict[str, Any]) -> None:
        boto3.client("glue").delete_job(JobName=name)

    return {"create": create, "update": update, "delete": delete}


def _workgroup_handlers() -> Handlers:
    def create(logical_id: str, properties: dict[str, Any], stack_name: str) -> tuple[str, dict[str, str]]:
        request = properties | {"Configuration": properties["WorkGroupConfiguration"]}
        boto3.client("athena").create_work_group(**_request("athena", "CreateWorkGroup", request))
        return properties["Name"], {}

    def update(name: str, old: dict[str, Any], new: dict[str, Any], stack_name: str) -> tuple[str, dict[str, str]]:
        changed = dict(new["WorkGroupConfiguration"])
        changed["ResultConfigurationUpdates"] = changed.pop("ResultConfiguration")
        request = _request("athena", "UpdateWorkGroup", {"ConfigurationUpdates": changed})
        boto3.client("athena").update_work_group(WorkGroup=name, **request)
        return name, {}

    def delete(name: str, properties: dict[str, Any]) -> None:
        boto3.client("athena").delete_work_group(WorkGroup=name, RecursiveDeleteOption=True)

    return {"create": create, "update": update, "delete": delete}


def _uncopied(get_state: Callable[[], dict[str, Any]]) -> Callable[[], dict[str, Any]]:
    """Returns `get_state` without copying the items, because copying takes longer than writing them."""

    def call() -> dict[str, Any]:
        dynamodb.copy = SimpleNamespace(deepcopy=lambda value: value)
        try:
            return get_state()
        finally:
            dynamodb.copy = copy

    return call


def _then_saved(function: Callable[[dict], Any]) -> Callable[[dict], Any]:
    """Returns the operation followed by a save, so a table exists after a kill, without items written since."""

    def call(data: dict) -> Any:
        answer = function(data)
        persistence.save_state("dynamodb", dynamodb.get_state())
        return answer

    return call


def _remembered(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Returns the same pure function with a cache of its results for texts."""
    cached = lru_cache(1 << 16)(function)
    return lambda value: cached(value) if isinstance(value, str) else function(value)


def _json_text(value: Any, **options: Any) -> str:
    """Returns the value as JSON like json.dumps, except for the spaces between tokens and the escapes."""
    if not options or options == {"ensure_ascii": False}:
        try:
            return orjson.dumps(value).decode()
        except TypeError:  # only json writes keys that are not text, integers above 64 bits, and lone surrogates
            return json.dumps(value, **options)
    return json.dumps(value, **options)


def _item_size(item: Any) -> int:
    """Returns the size of an item in bytes by DynamoDB's rules, like MiniStack, with a faster path for text values."""
    if not isinstance(item, dict):
        return 0
    total = 0
    for name, value in item.items():
        text = value.get("S") if isinstance(value, dict) and len(value) == 1 else None
        total += len(name) if name.isascii() else len(name.encode("utf-8"))
        if isinstance(text, str):
            total += len(text) if text.isascii() else len(text.encode("utf-8"))
        else:
            total += dynamodb._attribute_value_size(value)
    return total


def mend() -> None:
    """Replaces functions of MiniStack with ours."""
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS, 20, 20)
    emulator.app = OwnPagesOnly(emulator.app)
    for module in (dynamodb, kinesis, lambda_runtime, lambda_svc, responses):
        module.json = SimpleNamespace(**{**vars(json), "dumps": _json_text})
    dynamodb._item_size_bytes = _item_size
    kinesis._expire_records = lambda stream: None
    kinesis._get_shard_iterator = _locked(kinesis._get_shard_iterator)
    kinesis._get_records = _locked(kinesis._get_records)
    cloudwatch._evaluate_alarm = _evaluate_alarm
    kinesis._list_shards = _paged_by_token(kinesis._list_shards)
    kinesis._put_record = _measured(kinesis._put_record)
    kinesis._put_records = _measured(kinesis._put_records)
    lambda_svc._poll_kinesis = lambda: False
    apigateway._handle_execute_in_scope = _with_access_log(apigateway._handle_execute_in_scope)
    apigateway._authorize_request_v2 = _remembering_authorizer(apigateway._authorize_request_v2)
    apigateway.new_uuid = _request_id
    threading.Thread(target=_supervise, name="event-source-mappings", daemon=True).start()

    dynamodb.get_state = _uncopied(dynamodb.get_state)
    for name in ("_create_table", "_delete_table", "_update_ttl", "_update_continuous_backups"):
        setattr(dynamodb, name, _then_saved(getattr(dynamodb, name)))
    # Each number and each condition is examined several times for every item, and the same ones repeat often.
    for name in ("_number_error", "_ddb_canonicalize_number", "_number_size_bytes", "_tokenize"):
        setattr(dynamodb, name, _remembered(getattr(dynamodb, name)))
    dynamodb._condition_syntax_error = lru_cache(dynamodb._condition_syntax_error)
    provisioners._RESOURCE_HANDLERS["AWS::KinesisFirehose::DeliveryStream"] = {
        "create": _delivery_create,
        "update": _delivery_update,
        "delete": _delivery_delete,
    }
    provisioners._RESOURCE_HANDLERS["AWS::DynamoDB::Table"] = {
        "create": _table_create,
        "update": _table_update,
        "delete": _table_delete,
    }
    provisioners._RESOURCE_HANDLERS["AWS::Glue::Crawler"] = _crawler_handlers()
    provisioners._RESOURCE_HANDLERS["AWS::Glue::Job"] = _job_handlers()
    provisioners._RESOURCE_HANDLERS["AWS::Athena::WorkGroup"] = _workgroup_handlers()


if __name__ == "__main__":
    mend()
    emulator.main()
