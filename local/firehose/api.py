"""The operations of Firehose, and the delivery streams that they define, kept in one file."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import boto3

from local.firehose.delivery import Clients, Delivery
from local.protocol import ApiError, JsonService

DEFAULT_BUFFER = {"IntervalInSeconds": 300, "SizeInMBs": 5}
DEFAULT_RETRY_SECONDS = 3600


class Firehose(JsonService):
    """The delivery streams of one account; each delivers in a thread of its own."""

    def __init__(self, state_file: Path, account: str) -> None:
        super().__init__("firehose", "Amazon Data Firehose")
        self.state_file, self.account = state_file, account
        self.region = boto3.session.Session().region_name
        self.operations = {
            "CreateDeliveryStream": self.create, "DescribeDeliveryStream": self.describe,
            "ListDeliveryStreams": self.list_streams, "DeleteDeliveryStream": self.delete,
            "UpdateDestination": self.update, "PutRecord": self.put, "PutRecordBatch": self.put,
        }  # fmt: skip
        self._lock = threading.RLock()
        self._streams: dict[str, dict[str, Any]] = json.loads(state_file.read_text()) if state_file.exists() else {}
        self._deliveries: dict[str, Delivery] = {}
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

        delivery = Delivery(self._streams[name], Clients.create(), keep)
        self._deliveries[name] = delivery
        delivery.start()

    def _stream(self, name: str) -> dict[str, Any]:
        if name not in self._streams:
            raise ApiError("ResourceNotFoundException", f"Firehose {name} under account {self.account} not found.")
        return self._streams[name]

    # -- operations ---------------------------------------------------------------------------------------------

    def create(self, r: dict[str, Any]) -> dict[str, Any]:
        name = r["DeliveryStreamName"]
        if (
            r.get("DeliveryStreamType", "DirectPut") != "KinesisStreamAsSource"
            or "KinesisStreamSourceConfiguration" not in r
        ):
            raise ApiError("InvalidArgumentException", "The local stand-in delivers from a Kinesis stream only: "
                           "DeliveryStreamType KinesisStreamAsSource with KinesisStreamSourceConfiguration")  # fmt: skip
        destination = r.get("RedshiftDestinationConfiguration")
        if not destination:
            raise ApiError("InvalidArgumentException", "The local stand-in delivers to Redshift only: "
                           "RedshiftDestinationConfiguration")  # fmt: skip
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
                "source": r["KinesisStreamSourceConfiguration"],
                "destination": destination,
                "places": {},
            }
            self._save()
            self._start(name)
            return {"DeliveryStreamARN": self._streams[name]["arn"]}

    def delete(self, r: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            self._stream(r["DeliveryStreamName"])
            del self._streams[r["DeliveryStreamName"]]
            delivery = self._deliveries.pop(r["DeliveryStreamName"])
            self._save()
        delivery.stop()
        return {}

    def update(self, r: dict[str, Any]) -> dict[str, Any]:
        change = r.get("RedshiftDestinationUpdate")
        if change is None:
            raise ApiError(
                "InvalidArgumentException", "The destination is Redshift: RedshiftDestinationUpdate expected"
            )
        with self._lock:
            stream = self._stream(r["DeliveryStreamName"])
            if r["CurrentDeliveryStreamVersionId"] != str(stream["version"]):
                raise ApiError("ConcurrentModificationException", f"The current version is {stream['version']}")
            change = {("S3Configuration" if k == "S3Update" else k): v for k, v in change.items()}
            old_s3 = stream["destination"]["S3Configuration"]
            stream["destination"] |= change | {"S3Configuration": old_s3 | change.get("S3Configuration", {})}
            stream["version"] += 1
            self._save()
            self._deliveries[stream["name"]].stop()
            self._start(stream["name"])
        return {}

    def put(self, r: dict[str, Any]) -> dict[str, Any]:
        self._stream(r["DeliveryStreamName"])
        raise ApiError("InvalidArgumentException", "This operation is not permitted on KinesisStreamAsSource delivery "
                       "stream type.")  # fmt: skip

    def list_streams(self, r: dict[str, Any]) -> dict[str, Any]:
        after, limit = r.get("ExclusiveStartDeliveryStreamName", ""), r.get("Limit", 10)
        names = sorted(name for name in self._streams if name > after)
        return {"DeliveryStreamNames": names[:limit], "HasMoreDeliveryStreams": len(names) > limit}

    def describe(self, r: dict[str, Any]) -> dict[str, Any]:
        stream = self._stream(r["DeliveryStreamName"])
        destination = dict(stream["destination"])
        s3 = {"BufferingHints": DEFAULT_BUFFER, "CompressionFormat": "UNCOMPRESSED",
              "EncryptionConfiguration": {"NoEncryptionConfig": "NoEncryption"}} | destination.pop("S3Configuration")  # fmt: skip
        destination.pop("Password", None)
        described = {
            "DeliveryStreamName": stream["name"], "DeliveryStreamARN": stream["arn"], "DeliveryStreamStatus": "ACTIVE",
            "DeliveryStreamType": "KinesisStreamAsSource", "VersionId": str(stream["version"]),
            "CreateTimestamp": stream["created"], "HasMoreDestinations": False,
            "Source": {"KinesisStreamSourceDescription": {**stream["source"], "DeliveryStartTimestamp": stream["created"]}},
            "Destinations": [{
                "DestinationId": "destinationId-000000000001",
                "RedshiftDestinationDescription": {
                    "RetryOptions": {"DurationInSeconds": DEFAULT_RETRY_SECONDS}, "S3BackupMode": "Disabled",
                    **destination, "S3DestinationDescription": s3,
                },
            }],
        }  # fmt: skip
        return {"DeliveryStreamDescription": described}
