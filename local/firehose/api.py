"""The operations of Firehose, and the delivery streams that they define, stored in one file."""

from __future__ import annotations

import base64
import json
import threading
import time
import urllib.parse
from pathlib import Path
from typing import Any

import boto3

from local.firehose.delivery import Clients, Delivery
from local.firehose.sources import Journal, Source, Stream
from local.protocol import ApiError, JsonService

DEFAULT_BUFFER = {"IntervalInSeconds": 300, "SizeInMBs": 5}
DEFAULT_RETRY_SECONDS = 3600
REDSHIFT, S3 = "RedshiftDestinationConfiguration", "ExtendedS3DestinationConfiguration"
KINESIS, DIRECT = "KinesisStreamAsSource", "DirectPut"
RECORD_BYTES, BATCH_BYTES, BATCH_RECORDS = 1000 * 1024, 4 * 1024**2, 500  # PutRecordBatch, Firehose API reference
MAX_TAGS = 50
# The supported members of an S3 destination. Any other member would have no effect and is refused, except for the
# values in WITHOUT_EFFECT.
S3_DONE = {
    "RoleARN",
    "BucketARN",
    "Prefix",
    "ErrorOutputPrefix",
    "BufferingHints",
    "CompressionFormat",
    "EncryptionConfiguration",
    "CloudWatchLoggingOptions",
    "ProcessingConfiguration",
}
REDSHIFT_DONE = {
    "RoleARN",
    "ClusterJDBCURL",
    "CopyCommand",
    "RetryOptions",
    "S3Configuration",
    "CloudWatchLoggingOptions",
    "ProcessingConfiguration",
    "Username",
    "Password",
    "SecretsManagerConfiguration",
}
WITHOUT_EFFECT = {"S3BackupMode": "Disabled", "CustomTimeZone": "UTC", "FileExtension": ""}
S3_DEFAULTS = {
    "BufferingHints": DEFAULT_BUFFER,
    "CompressionFormat": "UNCOMPRESSED",
    "EncryptionConfiguration": {"NoEncryptionConfig": "NoEncryption"},
}


def _refused(what: str) -> ApiError:
    return ApiError("InvalidArgumentException", f"{what} is not supported by the local Firehose stand-in")


def _check(destination: dict[str, Any]) -> None:
    """Raises ApiError if the destination uses a feature that the stand-in does not support."""
    s3 = destination.get("S3Configuration", destination)
    for part, done in ((s3, S3_DONE), (destination, S3_DONE if s3 is destination else REDSHIFT_DONE)):
        for name, value in part.items():
            is_off = isinstance(value, dict) and str(value.get("Enabled")).lower() == "false"
            if name not in done and not is_off and WITHOUT_EFFECT.get(name) != value:
                raise _refused(f"{name} {value!r} of a destination")
    packing = s3.get("CompressionFormat", "UNCOMPRESSED")
    if packing not in {"UNCOMPRESSED", "GZIP"}:
        raise _refused(f"CompressionFormat {packing}")
    for name in ("Prefix", "ErrorOutputPrefix"):
        if "!{" in s3.get(name, ""):
            raise _refused(f"an expression in {name} {s3[name]!r}")
    processing = destination.get("ProcessingConfiguration") or {}
    kinds = [processor["Type"] for processor in processing.get("Processors", [])]
    if str(processing.get("Enabled")).lower() == "true" and kinds != ["Lambda"]:
        raise _refused(f"processing by {kinds} and not by one Lambda")


def _tags(given: list[dict[str, Any]]) -> dict[str, str]:
    return {tag["Key"]: tag.get("Value", "") for tag in given}


def _limited(tags: dict[str, str]) -> dict[str, str]:
    if len(tags) > MAX_TAGS:
        raise ApiError("LimitExceededException", f"{len(tags)} tags: a stream has at most {MAX_TAGS}")
    return tags


def _updated(old: dict[str, Any], redshift: dict[str, Any] | None, s3: dict[str, Any] | None) -> dict[str, Any]:
    """Returns the destination after UpdateDestination. Another type replaces the whole old one: API reference."""
    was_redshift = "S3Configuration" in old
    if s3 is not None:
        return s3 if was_redshift else old | s3
    assert redshift is not None
    change = {("S3Configuration" if k == "S3Update" else k): v for k, v in redshift.items()}
    if not was_redshift:
        return change
    return old | change | {"S3Configuration": old["S3Configuration"] | change.get("S3Configuration", {})}


def _described(destination: dict[str, Any]) -> dict[str, Any]:
    if "S3Configuration" not in destination:
        s3 = S3_DEFAULTS | destination
        plain = (
            "RoleARN",
            "BucketARN",
            "Prefix",
            "ErrorOutputPrefix",
            "CompressionFormat",
            "BufferingHints",
            "EncryptionConfiguration",
            "CloudWatchLoggingOptions",
        )
        return {
            "S3DestinationDescription": {name: s3[name] for name in plain if name in s3},
            "ExtendedS3DestinationDescription": {"S3BackupMode": "Disabled", **s3},
        }
    redshift = {k: v for k, v in destination.items() if k not in {"S3Configuration", "Password"}}
    return {
        "RedshiftDestinationDescription": {
            "RetryOptions": {"DurationInSeconds": DEFAULT_RETRY_SECONDS},
            "S3BackupMode": "Disabled",
            **redshift,
            "S3DestinationDescription": S3_DEFAULTS | destination["S3Configuration"],
        }
    }


class Firehose(JsonService):
    """The delivery streams of one account; each delivers in its own thread."""

    def __init__(self, state_file: Path, account: str) -> None:
        super().__init__("firehose", "Amazon Data Firehose")
        self.state_file, self.account = state_file, account
        self.region = boto3.session.Session().region_name
        self.operations = {
            "CreateDeliveryStream": self.create,
            "DescribeDeliveryStream": self.describe,
            "ListDeliveryStreams": self.list_streams,
            "DeleteDeliveryStream": self.delete,
            "UpdateDestination": self.update,
            "PutRecord": self.put_record,
            "PutRecordBatch": self.put_record_batch,
            "ListTagsForDeliveryStream": self.list_tags,
            "TagDeliveryStream": self.tag,
            "UntagDeliveryStream": self.untag,
        }
        self._lock = threading.RLock()
        self._streams: dict[str, dict[str, Any]] = json.loads(state_file.read_text()) if state_file.exists() else {}
        self._deliveries: dict[str, Delivery] = {}
        self._journals: dict[str, Journal] = {}
        for name in self._streams:
            self._start(name)

    def close(self) -> None:
        with self._lock:
            deliveries = list(self._deliveries.values())
        for delivery in deliveries:
            delivery.stop()

    # -- state --------------------------------------------------------------------------------------------------

    def _save(self) -> None:
        written = self.state_file.with_suffix(".new")
        written.write_text(json.dumps(self._streams, indent=1), "utf-8")
        written.replace(self.state_file)

    def _start(self, name: str) -> None:
        def keep(places: dict[str, str]) -> None:
            with self._lock:
                if name in self._streams:
                    self._streams[name]["places"] = places
                    self._save()

        stream, clients = self._streams[name], Clients.create()
        delivery = Delivery(stream, self._source(stream, clients), clients, keep)
        self._deliveries[name] = delivery
        delivery.start()

    def _source(self, stream: dict[str, Any], clients: Clients) -> Source:
        if stream["source"]:
            return Stream(clients.kinesis, stream["source"]["KinesisStreamARN"], stream["places"])
        name, place = stream["name"], stream["places"].get(Journal.SHARD, "")
        if name in self._journals:
            self._journals[name].rewind(place)
        else:
            folder = f"{urllib.parse.quote(name, safe='')}-{stream['created']}"  # names may be reused
            self._journals[name] = Journal(self.state_file.with_suffix(".put") / folder, place)
        return self._journals[name]

    def _stream(self, name: str) -> dict[str, Any]:
        if name not in self._streams:
            raise ApiError("ResourceNotFoundException", f"Firehose {name} under account {self.account} not found.")
        return self._streams[name]

    # -- operations ---------------------------------------------------------------------------------------------

    def create(self, r: dict[str, Any]) -> dict[str, Any]:
        name = r["DeliveryStreamName"]
        kind = r.get("DeliveryStreamType", DIRECT)
        if kind not in {DIRECT, KINESIS}:
            raise _refused(f"DeliveryStreamType {kind}")
        if (kind == KINESIS) != ("KinesisStreamSourceConfiguration" in r):
            raise ApiError(
                "InvalidArgumentException",
                f"KinesisStreamSourceConfiguration belongs to DeliveryStreamType {KINESIS}, and to it alone",
            )
        given = [r[name] for name in (REDSHIFT, S3) if r.get(name)]
        if len(given) != 1:
            raise ApiError(
                "InvalidArgumentException",
                "The local stand-in delivers to one place, which is Redshift or S3: "
                f"exactly one of {REDSHIFT} and {S3} is expected",
            )
        [destination] = given
        _check(destination)
        tags = _limited(_tags(r.get("Tags", [])))
        with self._lock:
            if name in self._streams:
                raise ApiError(
                    "ResourceInUseException", f"Firehose {name} under accountId {self.account} already exists"
                )
            self._streams[name] = {
                "name": name,
                "arn": f"arn:aws:firehose:{self.region}:{self.account}:deliverystream/{name}",
                "version": 1,
                "created": time.time(),
                "source": r.get("KinesisStreamSourceConfiguration"),
                "destination": destination,
                "places": {},
                "tags": tags,
            }
            self._save()
            self._start(name)
            return {"DeliveryStreamARN": self._streams[name]["arn"]}

    def delete(self, r: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            self._stream(r["DeliveryStreamName"])
            del self._streams[r["DeliveryStreamName"]]
            delivery = self._deliveries.pop(r["DeliveryStreamName"])
            journal = self._journals.pop(r["DeliveryStreamName"], None)
            self._save()
        delivery.stop()
        if journal:
            journal.delete()
        return {}

    def update(self, r: dict[str, Any]) -> dict[str, Any]:
        redshift, s3 = r.get("RedshiftDestinationUpdate"), r.get("ExtendedS3DestinationUpdate")
        if (redshift is None) == (s3 is None):
            raise ApiError(
                "InvalidArgumentException",
                "Exactly one of RedshiftDestinationUpdate and ExtendedS3DestinationUpdate is expected",
            )
        with self._lock:
            stream = self._stream(r["DeliveryStreamName"])
            if r["CurrentDeliveryStreamVersionId"] != str(stream["version"]):
                raise ApiError("ConcurrentModificationException", f"The current version is {stream['version']}")
            destination = _updated(stream["destination"], redshift, s3)
            _check(destination)
            stream["destination"] = destination
            stream["version"] += 1
            self._save()
            self._deliveries[stream["name"]].stop()
            self._start(stream["name"])
        return {}

    def put_record(self, r: dict[str, Any]) -> dict[str, Any]:
        [record_id] = self._put(r["DeliveryStreamName"], [r["Record"]])
        return {"RecordId": record_id, "Encrypted": False}

    def put_record_batch(self, r: dict[str, Any]) -> dict[str, Any]:
        if len(r["Records"]) > BATCH_RECORDS:
            raise ApiError(
                "InvalidArgumentException", f"{len(r['Records'])} records: at most {BATCH_RECORDS} are expected"
            )
        record_ids = self._put(r["DeliveryStreamName"], r["Records"])
        answers = [{"RecordId": record_id} for record_id in record_ids]
        return {"FailedPutCount": 0, "Encrypted": False, "RequestResponses": answers}

    def _put(self, name: str, records: list[dict[str, Any]]) -> list[str]:
        try:
            data = [base64.b64decode(record["Data"], validate=True) for record in records]
        except ValueError as error:
            raise ApiError("SerializationException", f"Data: expected base64, {error}") from error
        sizes = [len(each) for each in data]
        if max(sizes) > RECORD_BYTES or sum(sizes) > BATCH_BYTES:
            raise ApiError(
                "InvalidArgumentException",
                f"{max(sizes)} bytes in a record and {sum(sizes)} in all: at most {RECORD_BYTES} and {BATCH_BYTES}",
            )
        with self._lock:  # a stream that was deleted in the meantime has no journal
            if self._stream(name)["source"]:
                raise ApiError(
                    "InvalidArgumentException",
                    "This operation is not permitted on KinesisStreamAsSource delivery stream type.",
                )
            return self._journals[name].append(data)

    # -- tags ---------------------------------------------------------------------------------------------------

    def list_tags(self, r: dict[str, Any]) -> dict[str, Any]:
        tags = self._stream(r["DeliveryStreamName"]).get("tags", {})
        keys = sorted(key for key in tags if key > r.get("ExclusiveStartTagKey", ""))
        page = keys[: r.get("Limit", MAX_TAGS)]
        return {"Tags": [{"Key": key, "Value": tags[key]} for key in page], "HasMoreTags": len(page) < len(keys)}

    def tag(self, r: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            stream = self._stream(r["DeliveryStreamName"])
            stream["tags"] = _limited(stream.get("tags", {}) | _tags(r["Tags"]))
            self._save()
        return {}

    def untag(self, r: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            stream = self._stream(r["DeliveryStreamName"])
            stream["tags"] = {k: v for k, v in stream.get("tags", {}).items() if k not in r["TagKeys"]}
            self._save()
        return {}

    def list_streams(self, r: dict[str, Any]) -> dict[str, Any]:
        after, limit = r.get("ExclusiveStartDeliveryStreamName", ""), r.get("Limit", 10)
        kind = r.get("DeliveryStreamType")
        names = sorted(
            name
            for name, stream in self._streams.items()
            if name > after and kind in {None, KINESIS if stream["source"] else DIRECT}
        )
        return {"DeliveryStreamNames": names[:limit], "HasMoreDeliveryStreams": len(names) > limit}

    def describe(self, r: dict[str, Any]) -> dict[str, Any]:
        stream = self._stream(r["DeliveryStreamName"])
        described = {
            "DeliveryStreamName": stream["name"],
            "DeliveryStreamARN": stream["arn"],
            "DeliveryStreamStatus": "ACTIVE",
            "DeliveryStreamType": KINESIS if stream["source"] else DIRECT,
            "VersionId": str(stream["version"]),
            "CreateTimestamp": stream["created"],
            "HasMoreDestinations": False,
            "Destinations": [
                {
                    "DestinationId": "destinationId-000000000001",
                    **_described(stream["destination"]),
                }
            ],
        }
        if stream["source"]:
            source = {**stream["source"], "DeliveryStartTimestamp": stream["created"]}
            described["Source"] = {"KinesisStreamSourceDescription": source}
        return {"DeliveryStreamDescription": described}
