"""The sources of a delivery stream: a Kinesis stream, or PutRecord and PutRecordBatch (DirectPut)."""

from __future__ import annotations

import base64
import json
import logging
import shutil
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from aws_kinesis_agg.deaggregator import iter_deaggregate_records
from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from types_boto3_kinesis.client import KinesisClient

log = logging.getLogger("firehose")

SEGMENT_BYTES = 8 * 1024**2
READ_BYTES = 4 * 1024**2


@dataclass(frozen=True)
class Taken:
    """One record, or one of the user records that the Kinesis Producer Library aggregated in it.

    shard_id and sequence_number are its position in the source; partition_key is None if the record was put directly.
    """

    shard_id: str
    sequence_number: str
    subsequence_number: int
    partition_key: str | None
    arrived: datetime
    data: bytes


class Source(Protocol):
    """Records in order, by shard."""

    def shards(self) -> Sequence[str]: ...

    def read(self, shard_id: str) -> list[Taken]:
        """Returns the next records of the shard, or an empty list if there are none yet."""

    def delivered(self, places: Mapping[str, str]) -> None:
        """Marks the records up to these positions (shard to sequence number) as delivered."""


class Stream:
    """A Kinesis stream, read from its first record or after the last one that was delivered."""

    def __init__(self, kinesis: KinesisClient, arn: str, places: Mapping[str, str]) -> None:
        self.kinesis, self.arn = kinesis, arn
        self._iterators: dict[str, str] = {}
        self._read_up_to = dict(places)

    def shards(self) -> Sequence[str]:
        try:
            return [shard["ShardId"] for shard in self.kinesis.list_shards(StreamARN=self.arn)["Shards"]]
        except (ClientError, BotoCoreError) as error:
            log.warning("stream=%s cannot list shards: %s", self.arn, error)
            return []

    def read(self, shard_id: str) -> list[Taken]:
        try:
            if shard_id not in self._iterators:
                place = self._read_up_to.get(shard_id)
                start: Any = (
                    {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "StartingSequenceNumber": place}
                    if place
                    else {"ShardIteratorType": "TRIM_HORIZON"}
                )
                found = self.kinesis.get_shard_iterator(StreamARN=self.arn, ShardId=shard_id, **start)
                self._iterators[shard_id] = found["ShardIterator"]
            answer = self.kinesis.get_records(ShardIterator=self._iterators[shard_id], Limit=10_000)
        except (ClientError, BotoCoreError) as error:
            log.warning("stream=%s shard=%s cannot be read: %s", self.arn, shard_id, error)
            self._iterators.pop(shard_id, None)  # it may have expired: continue after the last record that was read
            return []
        if answer.get("NextShardIterator"):
            self._iterators[shard_id] = answer["NextShardIterator"]
        if answer["Records"]:
            self._read_up_to[shard_id] = answer["Records"][-1]["SequenceNumber"]
        # Firehose splits aggregated records before it transforms them: Kinesis Data Streams Developer Guide, "Use the
        # KPL with Amazon Data Firehose".
        user_records = (r["kinesis"] for r in iter_deaggregate_records(answer["Records"], data_format="Boto3"))
        return [
            Taken(
                shard_id,
                r["sequenceNumber"],
                r.get("subSequenceNumber", 0),
                r["partitionKey"],
                r["approximateArrivalTimestamp"],
                base64.b64decode(r["data"]) if r.get("aggregated") else r["data"],
            )
            for r in user_records
        ]

    def delivered(self, places: Mapping[str, str]) -> None:
        """Does nothing, because a Kinesis stream removes old records itself."""


class Journal:
    """The records that were put directly and are not delivered yet, stored in files so that a kill loses nothing.

    The journal is a folder of files with one line for each record. A position is `<file>:<offset after the record>`. A
    file whose records are all delivered is deleted. After a kill, a file may end with an incomplete line. That record
    was never acknowledged, and nothing more is written to the file.
    """

    SHARD = "put"

    def __init__(self, folder: Path, place: str = "") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self._lock = folder, threading.Lock()
        self.rewind(place)
        last = max([*(int(path.stem) for path in folder.glob("*.jsonl")), self._file])
        self._writing = last + 1

    def rewind(self, place: str) -> None:
        """Continues reading after this position, or from the beginning if it is empty."""
        file, _, offset = place.partition(":")
        self._file, self._offset = int(file or 0), int(offset or 0)

    def append(self, records: Sequence[bytes]) -> list[str]:
        """Stores all of the records or none, and returns an id for each."""
        now = time.time()
        lines = b"".join(json.dumps([now, base64.b64encode(data).decode()]).encode() + b"\n" for data in records)
        with self._lock:
            path = self._path(self._writing)
            if path.exists() and path.stat().st_size > SEGMENT_BYTES:
                self._writing += 1
                path = self._path(self._writing)
            try:
                with path.open("ab") as file:
                    file.write(lines)
            except OSError:  # as after a kill, an incomplete line stays the last one of its file
                self._writing += 1
                raise
        return [f"{uuid.uuid4().hex}{uuid.uuid4().hex}" for _ in records]

    def shards(self) -> Sequence[str]:
        return [self.SHARD]

    def read(self, shard_id: str) -> list[Taken]:
        with self._lock:
            writing = self._writing
            while self._file < writing and not self._unread():
                self._file, self._offset = self._file + 1, 0
            body = self._unread()
        found = []
        for line in body.splitlines(keepends=True):
            self._offset += len(line)
            arrived, data = json.loads(line)
            moment = datetime.fromtimestamp(arrived, UTC)
            found.append(Taken(shard_id, f"{self._file:08d}:{self._offset}", 0, None, moment, base64.b64decode(data)))
        return found

    def _unread(self) -> bytes:
        """Returns complete lines after the offset of the file that is being read."""
        path = self._path(self._file)
        if not path.exists():
            return b""
        with path.open("rb") as file:
            file.seek(self._offset)
            body = file.read(READ_BYTES)
            if body and b"\n" not in body:
                body += file.readline()
        return body[: body.rfind(b"\n") + 1]

    def delivered(self, places: Mapping[str, str]) -> None:
        file = int(places[self.SHARD].partition(":")[0])
        for path in self.folder.glob("*.jsonl"):
            if int(path.stem) < file:
                path.unlink()

    def delete(self) -> None:
        shutil.rmtree(self.folder)

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:08d}.jsonl"
