"""Runs one delivery stream: from its source to a buffer, the Lambda, S3 and, if the destination is Redshift, COPY."""

from __future__ import annotations

import base64
import gzip
import itertools
import json
import logging
import os
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import boto3
import orjson
from botocore.exceptions import BotoCoreError, ClientError
from botocore.utils import parse_timestamp
from ecommerce_elt.errors import PermanentError, TransientError
from ecommerce_elt.warehouse.redshift import Warehouse
from more_itertools import constrained_batches
from tenacity import RetryError, Retrying, retry_if_exception_type, stop_after_delay, wait_exponential

from local.firehose.sources import Source, Taken

if TYPE_CHECKING:
    from types_boto3_kinesis.client import KinesisClient
    from types_boto3_lambda.client import LambdaClient
    from types_boto3_s3.client import S3Client

log = logging.getLogger("firehose")

READ_SECONDS = 1.0  # Firehose calls GetRecords once a second for each shard
TRANSFORM_MAX_BYTES = 3 * 1024**2  # base64 of it, with the records' metadata, must fit a Lambda's 6 MB
METADATA_BYTES = 300
RETRY_MAX_SECONDS = 5.0
JDBC = re.compile(r"jdbc:redshift://(?P<workgroup>[^.:/]+)[^:/]*:\d+/(?P<database>\w+)")


def _moment(value: Any) -> datetime:
    """Returns a time of a response. botocore's parser needs two fifths of a record's time for the local time zone."""
    return datetime.fromtimestamp(value, UTC) if isinstance(value, (int, float)) else parse_timestamp(value)


@dataclass(frozen=True)
class Clients:
    """boto3 clients of the services that a delivery stream reads from and writes to."""

    kinesis: KinesisClient
    functions: LambdaClient
    s3: S3Client
    redshift: Any
    cloudwatch: Any

    @classmethod
    def create(cls) -> Clients:
        session = boto3.session.Session()
        parsers = session._session.get_component("response_parser_factory")
        parsers.set_parser_defaults(timestamp_parser=_moment)
        return cls(
            session.client("kinesis"),
            session.client("lambda"),
            session.client("s3"),
            session.client("redshift-data"),
            session.client("cloudwatch"),
        )


class Stopped(Exception):  # noqa: N818
    """The delivery stream is being stopped; records that are not delivered are read again."""


class Delivery(threading.Thread):
    """Delivers until it is stopped.

    Args:
        stream: definition of the stream: name, version, source, destination, places (shard to the last delivered
            record).
        source: provides the records after these positions.
        clients: clients of the services.
        keep: saves the positions; called when all records up to them are delivered, or given up and listed under
            `errors/`.
    """

    def __init__(
        self, stream: dict[str, Any], source: Source, clients: Clients, keep: Callable[[dict[str, str]], None]
    ) -> None:
        super().__init__(name=f"delivery-{stream['name']}", daemon=True)
        self.stream, self.source, self.clients, self.keep = stream, source, clients, keep
        self.destination = stream["destination"]
        self.places: dict[str, str] = dict(stream["places"])
        self.stream_arn = (stream["source"] or {}).get("KinesisStreamARN")  # None where records are put directly
        self.copies = "CopyCommand" in self.destination
        self.s3_config = self.destination["S3Configuration"] if self.copies else self.destination
        self.bucket = self.s3_config["BucketARN"].rsplit(":", 1)[-1]
        hints = self.s3_config.get("BufferingHints") or {}
        self.buffer_seconds = float(hints.get("IntervalInSeconds", 300))
        self.buffer_bytes = int(hints.get("SizeInMBs", 5)) * 1024**2
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Stops the thread and returns when it has ended; the records in its buffer are read again later."""
        self._stopping.set()
        self.join()

    def run(self) -> None:
        try:
            while not self._stopping.is_set():
                self._deliver(self._filled())
        except Stopped:
            return
        except Exception:
            # No record is lost: the process is started again and continues after the last delivered record.
            log.exception("stream=%s cannot go on", self.stream["name"])
            os._exit(1)

    # -- reading ------------------------------------------------------------------------------------------------

    def _filled(self) -> list[Taken]:
        """Returns the buffer when it is full or old enough; its first record starts the interval."""
        buffer: list[Taken] = []
        size, since = 0, 0.0
        while size < self.buffer_bytes and not (buffer and time.monotonic() - since >= self.buffer_seconds):
            began = time.monotonic()
            for shard_id in self.source.shards():
                if size >= self.buffer_bytes:
                    break
                for taken in self.source.read(shard_id):
                    since = since if buffer else time.monotonic()
                    buffer.append(taken)
                    size += len(taken.data)
            if size < self.buffer_bytes:
                left = min(READ_SECONDS, since + self.buffer_seconds - began if buffer else READ_SECONDS)
                self._wait(max(0.0, began + left - time.monotonic()))
        return buffer

    def _wait(self, seconds: float) -> None:
        if self._stopping.wait(seconds):
            raise Stopped

    # -- delivering ---------------------------------------------------------------------------------------------

    def _deliver(self, buffer: list[Taken]) -> None:
        rows = b"".join(self._transformed(buffer))
        delivered = 1.0
        if rows:
            key = self._object(buffer[0].arrived, rows)
            delivered = self._copied(key) if self.copies else 1.0
        for taken in buffer:
            self.places[taken.shard_id] = taken.sequence_number
        self.keep(dict(self.places))
        self.source.delivered(self.places)
        measured = {"DeliveryToS3.Bytes": len(rows), "DeliveryToS3.Success": 1.0}
        if self.stream_arn:
            measured["DataReadFromKinesisStream.Records"] = len(buffer)
        if self.copies:
            measured |= {"DeliveryToRedshift.Success": delivered, "DeliveryToRedshift.Records": rows.count(b"\n")}
        self._measure(measured)

    def _transformed(self, buffer: list[Taken]) -> Iterator[bytes]:
        """Yields the rows; records that the Lambda fails are written to the error prefix."""
        arn, retries = self._processor()
        if not arn:
            yield from (taken.data for taken in buffer)
            return
        for part in constrained_batches(
            enumerate(buffer),
            TRANSFORM_MAX_BYTES,
            strict=False,
            get_len=lambda numbered: len(numbered[1].data) + METADATA_BYTES,
        ):
            yield from self._invoked(arn, retries, {f"{number:012d}": taken for number, taken in part})

    def _processor(self) -> tuple[str | None, int]:
        processing = self.destination.get("ProcessingConfiguration") or {}
        if str(processing.get("Enabled")).lower() != "true":
            return None, 0
        [processor] = processing["Processors"]
        parameters = {p["ParameterName"]: p["ParameterValue"] for p in processor["Parameters"]}
        return parameters["LambdaArn"], int(parameters.get("NumberOfRetries", 3))

    def _invoked(self, arn: str, retries: int, part: dict[str, Taken]) -> Iterator[bytes]:
        event = {
            "invocationId": str(uuid.uuid4()),
            "deliveryStreamArn": self.stream["arn"],
            "region": self.stream["arn"].split(":")[3],
            "records": [_event_record(record_id, taken) for record_id, taken in part.items()],
        }
        if self.stream_arn:
            event["sourceKinesisStreamArn"] = self.stream_arn
        error = ("Lambda.FunctionError", "")
        for attempt in range(retries + 1):
            if attempt:
                self._wait(min(RETRY_MAX_SECONDS, 0.2 * 2**attempt))
            try:
                answer = self.clients.functions.invoke(FunctionName=arn, Payload=orjson.dumps(event))
                body = json.loads(answer["Payload"].read())
                if answer.get("FunctionError"):
                    error = ("Lambda.FunctionError", json.dumps(body)[:1000])
                    continue
                results = {record["recordId"]: record for record in body["records"]}
                if set(results) != set(part):
                    error = ("Lambda.MissingRecordId", "the answer has not the record ids of the request")
                    continue
            except (ClientError, BotoCoreError, KeyError, TypeError, ValueError) as failure:
                error = (
                    "Lambda.InvokeAccessDenied" if "Access" in str(failure) else "Lambda.FunctionError",
                    repr(failure),
                )
                continue
            failed = {i: part[i] for i, record in results.items() if record["result"] == "ProcessingFailed"}
            self._failed(failed, arn, 1, ("Lambda.ProcessingFailedStatus", "ProcessingFailed status set for record"))
            for record_id in part:
                if results[record_id]["result"] == "Ok":
                    yield base64.b64decode(results[record_id]["data"])
            return
        self._failed(part, arn, retries + 1, error)

    def _failed(self, records: dict[str, Taken], arn: str, attempts: int, error: tuple[str, str]) -> None:
        """Stores the records that could not be transformed, with one document for each, as Firehose writes it."""
        if not records:
            return
        now = datetime.now(UTC)
        lines = [
            json.dumps(
                {
                    "attemptsMade": attempts,
                    "arrivalTimestamp": int(taken.arrived.timestamp() * 1000),
                    "errorCode": error[0],
                    "errorMessage": error[1],
                    "attemptEndingTimestamp": int(now.timestamp() * 1000),
                    "rawData": base64.b64encode(taken.data).decode(),
                    "lambdaArn": arn,
                }
            )
            for taken in records.values()
        ]
        prefix = self.s3_config.get("ErrorOutputPrefix") or ""
        self._put(f"{prefix}processing-failed/{self._key(now)}", "\n".join(lines).encode() + b"\n")

    def _key(self, moment: datetime) -> str:
        """`YYYY/MM/DD/HH/<delivery stream>-<version>-YYYY-MM-DD-HH-MM-SS-<random>`, in UTC."""
        moment = moment.astimezone(UTC)
        name = f"{self.stream['name']}-{self.stream['version']}-{moment:%Y-%m-%d-%H-%M-%S}-{uuid.uuid4()}"
        return f"{moment:%Y/%m/%d/%H}/{name}"

    def _object(self, arrived: datetime, rows: bytes) -> str:
        packed = self.s3_config.get("CompressionFormat", "UNCOMPRESSED") == "GZIP"
        key = f"{self.s3_config.get('Prefix', '')}{self._key(arrived)}{'.gz' if packed else ''}"
        self._put(key, gzip.compress(rows, 1) if packed else rows)
        return key

    def _put(self, key: str, body: bytes) -> None:
        """Puts one object, and retries without a limit, because the records are stored nowhere else."""
        for attempt in itertools.count():
            try:
                self.clients.s3.put_object(Bucket=self.bucket, Key=key, Body=body)
                return
            except (ClientError, BotoCoreError) as error:
                log.warning("stream=%s key=%s cannot be put: %s", self.stream["name"], key, error)
                self._wait(min(RETRY_MAX_SECONDS, 0.2 * 2 ** min(attempt, 10)))

    def _copied(self, key: str) -> float:
        """Copies one object into Redshift and returns 1, or 0 if the retry duration ended first."""
        prefix = self.s3_config.get("Prefix", "")
        name = key.removeprefix(prefix).removesuffix(".gz")
        entry = {"url": f"s3://{self.bucket}/{key}", "mandatory": True}
        manifest = f"{prefix}manifests/{name}"
        self._put(manifest, json.dumps({"entries": [entry]}).encode())
        copy = self.destination["CopyCommand"]
        columns = f" ({copy['DataTableColumns']})" if copy.get("DataTableColumns") else ""
        role = self.destination["RoleARN"]
        what, options = f"{copy['DataTableName']}{columns}", copy.get("CopyOptions", "")
        sql = f"COPY {what} FROM 's3://{self.bucket}/{manifest}' IAM_ROLE '{role}' MANIFEST {options}"
        found = JDBC.match(self.destination["ClusterJDBCURL"])
        if not found:
            raise RuntimeError(f"ClusterJDBCURL {self.destination['ClusterJDBCURL']!r} names no database")
        target = Warehouse(self.clients.redshift, found["workgroup"], found["database"])
        duration = float((self.destination.get("RetryOptions") or {}).get("DurationInSeconds", 3600))
        retrying = Retrying(
            retry=retry_if_exception_type((PermanentError, TransientError, ClientError, BotoCoreError)),
            wait=wait_exponential(0.5, RETRY_MAX_SECONDS),
            stop=stop_after_delay(duration),
            sleep=self._wait,
        )
        try:
            retrying(target.run, [sql], name=f"firehose {self.stream['name']}")
        except RetryError as error:
            reason = error.last_attempt.exception()
            log.error("stream=%s gives up COPY of %s: %s", self.stream["name"], key, reason)
            skipped = {"entries": [entry], "error": str(reason)[:1000]}
            self._put(f"{prefix}errors/manifests/{name}", json.dumps(skipped).encode())
            return 0.0
        return 1.0

    def _measure(self, values: dict[str, float]) -> None:
        """Publishes the service's own metrics, by the names of the Developer Guide."""
        dimensions = [{"Name": "DeliveryStreamName", "Value": self.stream["name"]}]
        data = [{"MetricName": name, "Value": value, "Dimensions": dimensions} for name, value in values.items()]
        try:
            self.clients.cloudwatch.put_metric_data(Namespace="AWS/Firehose", MetricData=data)
        except (ClientError, BotoCoreError) as error:
            log.warning("stream=%s metrics are lost: %s", self.stream["name"], error)


def _event_record(record_id: str, taken: Taken) -> dict[str, Any]:
    """Returns a record of the Lambda's event; the metadata of Kinesis is included if the source is Kinesis."""
    arrived = int(taken.arrived.timestamp() * 1000)
    record = {
        "recordId": record_id,
        "approximateArrivalTimestamp": arrived,
        "data": base64.b64encode(taken.data).decode(),
    }
    if taken.partition_key is None:
        return record
    return record | {
        "kinesisRecordMetadata": {
            "sequenceNumber": taken.sequence_number,
            "subsequenceNumber": taken.subsequence_number,
            "shardId": taken.shard_id,
            "partitionKey": taken.partition_key,
            "approximateArrivalTimestamp": arrived,
        }
    }
