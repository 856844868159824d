"""Runs one crawl: lists the objects of the targets, groups them into tables and partitions, and updates the catalog.

Implemented as on AWS (Glue developer guide, "How crawlers work" and "Setting crawler configuration options"):

- A table's folder is the include path, or its folders at `Grouping.TableLevelConfiguration`, where the bucket is level
  1. The name of the table is that of its folder, with the table prefix; characters other than letters, digits and
  underscores become underscores.
- Folders below are partitions: `name=value` defines the key, other folders have the keys partition_0, partition_1.
- UpdateBehavior LOG leaves existing tables unchanged. With `Tables.AddOrUpdateBehavior: MergeNewColumns` columns are
  added and none is changed or removed. With `Partitions.AddOrUpdateBehavior: InheritFromTable` partitions get the
  columns of their table, otherwise those that were found in them.
- DeleteBehavior determines the treatment of tables and partitions of this crawler whose objects no longer exist.
- SampleSize of a target is the number of objects in each folder that are read. Objects whose name begins with _ or .
  are ignored.
"""

from __future__ import annotations

import fnmatch
import io
import itertools
import json
import re
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError
from more_itertools import chunked

from local.glue.schema import JSON_SAMPLE_BYTES, Columns, Unreadable, json_columns, merge, parquet_columns, written

if TYPE_CHECKING:
    from types_boto3_glue import type_defs as defs
    from types_boto3_glue.client import GlueClient
    from types_boto3_s3.client import S3Client

S3_THREADS = 8
PARTITIONS_A_CALL = 100  # BatchCreatePartition and BatchUpdatePartition: Glue API reference

FORMATS = {
    "parquet": (
        "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat",
        "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat",
        "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe",
    ),
    "json": (
        "org.apache.hadoop.mapred.TextInputFormat",
        "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat",
        "org.openx.data.jsonserde.JsonSerDe",
    ),
}


class CrawlFailed(Exception):  # noqa: N818
    """The crawl ends as FAILED with this message."""


@dataclass
class Counts:
    """The changes that a crawl made."""

    objects: int = 0
    tables: dict[str, int] = field(default_factory=lambda: {"ADD": 0, "UPDATE": 0, "DELETE": 0})
    partitions: dict[str, int] = field(default_factory=lambda: {"ADD": 0, "UPDATE": 0, "DELETE": 0})


@dataclass(frozen=True)
class Found:
    """One object under a target."""

    bucket: str
    key: str
    size: int

    @property
    def url(self) -> str:
        return f"s3://{self.bucket}/{self.key}"

    @property
    def packed(self) -> bool:
        return self.key.endswith(".gz")

    @property
    def format(self) -> str:
        name = self.key.rsplit("/", 1)[-1].removesuffix(".gz")
        if name.endswith(".parquet"):
            return "parquet"
        if name.endswith((".json", ".jsonl", ".ndjson")):
            return "json"
        raise CrawlFailed(
            f"{self.url}: the stand-in's crawler knows .parquet and .json, .jsonl, .ndjson, packed or not"
        )


@dataclass(frozen=True)
class Folder:
    """One table, as derived from its objects."""

    name: str
    location: str
    format: str
    keys: tuple[str, ...]
    columns: Columns
    partitions: dict[tuple[str, ...], tuple[str, Columns]]  # values to (location, columns)
    objects: int
    size: int
    records: int
    packed: bool


class Crawl:
    """One run of a crawler.

    Args:
        crawler: definition of the crawler, as GetCrawler returns it.
        s3, glue: boto3 clients; `glue` is the catalog.
    """

    def __init__(self, crawler: dict[str, Any], s3: S3Client, glue: GlueClient) -> None:
        self.crawler, self.s3, self.glue = crawler, s3, glue
        self.database = crawler["DatabaseName"]
        self.options = json.loads(crawler.get("Configuration") or "{}")
        self.policy = {"UpdateBehavior": "UPDATE_IN_DATABASE", "DeleteBehavior": "DEPRECATE_IN_DATABASE"}
        self.policy |= crawler.get("SchemaChangePolicy") or {}
        self.counts = Counts()

    def run(self) -> Counts:
        """Updates the catalog to match the objects, and returns the changes.

        Raises:
            CrawlFailed: With the object or call that failed; changes before it are in the catalog.
        """
        try:
            seen = set()
            for target in self.crawler["Targets"].get("S3Targets", []):
                for folder in self._folders(target):
                    self._publish(folder)
                    seen.add(folder.name)
            self._remove(seen)
        except ClientError as error:
            raise CrawlFailed(str(error)) from error
        return self.counts

    # -- objects and tables ------------------------------------------------------------------------------------------

    def _objects(self, target: dict[str, Any]) -> Iterator[Found]:
        bucket, _, prefix = target["Path"].removeprefix("s3://").partition("/")
        prefix = prefix.rstrip("/") + "/" if prefix else ""
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        for entry in (entry for page in pages for entry in page.get("Contents", [])):
            path = entry["Key"].removeprefix(prefix)
            hidden = any(part.startswith(("_", ".")) for part in path.split("/"))
            excluded = any(
                fnmatch.fnmatchcase(path, pattern.replace("**", "*")) for pattern in target.get("Exclusions", [])
            )
            if entry["Size"] and not hidden and not excluded:
                yield Found(bucket, entry["Key"], entry["Size"])

    def _folders(self, target: dict[str, Any]) -> Iterator[Folder]:
        """Yields the tables of one target. Objects are listed in order of key, so those of a folder are adjacent."""
        level = self.options.get("Grouping", {}).get("TableLevelConfiguration")
        root = target["Path"].removeprefix("s3://").rstrip("/")
        depth = level - 1 if level else root.count("/")  # folders of the table's path below the bucket
        if level and level - 1 < root.count("/"):
            raise CrawlFailed(f"TableLevelConfiguration {level} lies above the target {target['Path']}")

        def table_path(found: Found) -> str:
            return "/".join(found.key.split("/")[:-1][:depth])

        for path, found in itertools.groupby(self._objects(target), table_path):
            yield self._folder(path, list(found), target.get("SampleSize"))

    def _folder(self, path: str, found: list[Found], sample_size: int | None) -> Folder:
        first = found[0]
        for other in found:
            if other.format != first.format:
                raise CrawlFailed(
                    f"{other.url}: {other.format} among {first.format} of {first.url}; one table has one format"
                )
        by_folder: dict[str, list[Found]] = defaultdict(list)
        for each in found:
            by_folder[each.key.rpartition("/")[0]].append(each)
        sampled = [each for inside in by_folder.values() for each in inside[: sample_size or len(inside)]]
        with ThreadPoolExecutor(S3_THREADS) as pool:
            schemas = dict(zip(sampled, pool.map(self._look, sampled), strict=True))

        keys: tuple[str, ...] | None = None
        columns: Columns = {}
        partitions: dict[tuple[str, ...], tuple[str, Columns]] = {}
        for folder, inside in sorted(by_folder.items()):
            parts = [part for part in folder.removeprefix(path).split("/") if part]
            named = tuple(p.partition("=")[0] if "=" in p else f"partition_{i}" for i, p in enumerate(parts))
            if keys is not None and named != keys:
                raise CrawlFailed(f"{inside[0].url}: partitions {named}, while those before it have {keys}")
            keys = named
            own: Columns = {}
            for each in inside:
                if each in schemas:
                    own = merge(own, schemas[each][0])
            columns = merge(columns, own)
            if parts:
                values = tuple(p.partition("=")[2] if "=" in p else p for p in parts)
                partitions[values] = (f"s3://{first.bucket}/{folder}/", own)
        self.counts.objects += len(found)
        name = re.sub(r"[^a-z0-9_]", "_", path.rpartition("/")[2].lower() or first.bucket)
        return Folder(
            name=f"{self.crawler.get('TablePrefix') or ''}{name}",
            location=f"s3://{first.bucket}/{path}/",
            format=first.format,
            keys=keys or (),
            columns=columns,
            partitions=partitions,
            objects=len(found),
            size=sum(each.size for each in found),
            records=sum(records for _, records in schemas.values()),
            packed=first.packed,
        )

    def _look(self, found: Found) -> tuple[Columns, int]:
        try:
            if found.format == "parquet":
                return parquet_columns(io.BufferedReader(_Ranges(self.s3, found), 1 << 16))
            last = min(found.size, JSON_SAMPLE_BYTES)
            body = self.s3.get_object(Bucket=found.bucket, Key=found.key, Range=f"bytes=0-{last - 1}")["Body"].read()
            return json_columns(body, packed=found.packed, whole=last == found.size)
        except Unreadable as error:
            raise CrawlFailed(f"{found.url}: {error}") from error

    # -- updates of the catalog ----------------------------------------------------------------------------------

    def _storage(
        self, folder: Folder, location: str, columns: list[defs.ColumnOutputTypeDef]
    ) -> defs.StorageDescriptorOutputTypeDef:
        read, write, serde = FORMATS[folder.format]
        paths = {"paths": ",".join(c["Name"] for c in columns)} if folder.format == "json" else {}
        return {
            "Columns": columns,
            "Location": location,
            "InputFormat": read,
            "OutputFormat": write,
            "Compressed": folder.packed,
            "NumberOfBuckets": -1,
            "StoredAsSubDirectories": False,
            "SerdeInfo": {"SerializationLibrary": serde, "Parameters": paths or {"serialization.format": "1"}},
        }

    def _publish(self, folder: Folder) -> None:
        columns: list[defs.ColumnOutputTypeDef] = [
            {"Name": name.lower(), "Type": written(kind)} for name, kind in folder.columns.items()
        ]
        table: Any = {
            "Name": folder.name,
            "TableType": "EXTERNAL_TABLE",
            "PartitionKeys": [{"Name": key, "Type": "string"} for key in folder.keys],
            "StorageDescriptor": self._storage(folder, folder.location, columns),
            "Parameters": {
                "classification": folder.format,
                "compressionType": "gzip" if folder.packed else "none",
                "typeOfData": "file",
                "UPDATED_BY_CRAWLER": self.crawler["Name"],
                "objectCount": str(folder.objects),
                "sizeKey": str(folder.size),
                "recordCount": str(folder.records),
            },
        }
        try:
            old = self.glue.get_table(DatabaseName=self.database, Name=folder.name)["Table"]
        except self.glue.exceptions.EntityNotFoundException:
            self.glue.create_table(DatabaseName=self.database, TableInput=table)
            self.counts.tables["ADD"] += 1
        else:
            columns = self._update(folder, table, old)
        self._publish_partitions(folder, columns)

    def _update(self, folder: Folder, table: Any, old: defs.TableTypeDef) -> list[defs.ColumnOutputTypeDef]:
        """Updates the table as far as the policy allows, and returns its columns."""
        had = old["StorageDescriptor"]["Columns"]
        if [k["Name"] for k in old.get("PartitionKeys", [])] != list(folder.keys):
            raise CrawlFailed(
                f"{folder.location}: table {folder.name} is partitioned by "
                f"{[k['Name'] for k in old.get('PartitionKeys', [])]}, the objects by {list(folder.keys)}"
            )
        if self.policy["UpdateBehavior"] == "LOG":
            return had
        now = table["StorageDescriptor"]["Columns"]
        if self._output("Tables") == "MergeNewColumns":
            now = had + [column for column in now if column["Name"] not in {c["Name"] for c in had}]
        table["StorageDescriptor"] = self._storage(folder, folder.location, now)
        kept = {
            k: v
            for k, v in old.get("Parameters", {}).items()
            if k not in {*table["Parameters"], "DEPRECATED_BY_CRAWLER"}
        }
        table["Parameters"] |= kept
        if (now, table["Parameters"]) != (had, old.get("Parameters")):
            self.glue.update_table(DatabaseName=self.database, TableInput=table)
            self.counts.tables["UPDATE"] += now != had  # new object counts alone are not an update
        return list(now)

    def _output(self, what: str) -> str | None:
        found: str | None = self.options.get("CrawlerOutput", {}).get(what, {}).get("AddOrUpdateBehavior")
        return found

    def _publish_partitions(self, folder: Folder, columns: list[defs.ColumnOutputTypeDef]) -> None:
        if not folder.keys:
            return
        inherits = self._output("Partitions") == "InheritFromTable"
        wanted: dict[tuple[str, ...], defs.PartitionInputTypeDef] = {}
        for values, (location, own) in folder.partitions.items():
            its: list[defs.ColumnOutputTypeDef] = (
                columns if inherits else [{"Name": n.lower(), "Type": written(kind)} for n, kind in own.items()]
            )
            wanted[values] = {
                "Values": list(values),
                "StorageDescriptor": self._storage(folder, location, its),
                "Parameters": {"classification": folder.format},
            }
        had = {
            tuple(p["Values"]): p["StorageDescriptor"]
            for page in self.glue.get_paginator("get_partitions").paginate(
                DatabaseName=self.database, TableName=folder.name
            )
            for p in page["Partitions"]
        }
        new = [partition for values, partition in wanted.items() if values not in had]
        changed: list[defs.BatchUpdatePartitionRequestEntryTypeDef] = [
            {"PartitionValueList": list(values), "PartitionInput": partition}
            for values, partition in wanted.items()
            if values in had and had[values] != partition["StorageDescriptor"]
        ]
        target = {"DatabaseName": self.database, "TableName": folder.name}
        for some in chunked(new, PARTITIONS_A_CALL):
            _checked(self.glue.batch_create_partition(PartitionInputList=some, **target))
            self.counts.partitions["ADD"] += len(some)
        for others in chunked(changed, PARTITIONS_A_CALL):
            _checked(self.glue.batch_update_partition(Entries=others, **target))
            self.counts.partitions["UPDATE"] += len(others)
        if self.policy["DeleteBehavior"] == "DELETE_FROM_DATABASE":
            for values in had.keys() - wanted.keys():
                self.glue.delete_partition(PartitionValues=list(values), **target)
                self.counts.partitions["DELETE"] += 1

    def _remove(self, seen: set[str]) -> None:
        """Applies the DeleteBehavior to this crawler's tables whose objects no longer exist."""
        pages = self.glue.get_paginator("get_tables").paginate(DatabaseName=self.database)
        for table in [table for page in pages for table in page["TableList"]]:
            parameters = table.get("Parameters", {})
            if parameters.get("UPDATED_BY_CRAWLER") != self.crawler["Name"] or table["Name"] in seen:
                continue
            behavior = self.policy["DeleteBehavior"]
            if behavior == "DELETE_FROM_DATABASE":
                self.glue.delete_table(DatabaseName=self.database, Name=table["Name"])
                self.counts.tables["DELETE"] += 1
            elif behavior == "DEPRECATE_IN_DATABASE" and "DEPRECATED_BY_CRAWLER" not in parameters:
                members = ("Name", "TableType", "PartitionKeys", "StorageDescriptor")
                kept: Any = {k: v for k, v in table.items() if k in members}
                kept["Parameters"] = parameters | {"DEPRECATED_BY_CRAWLER": str(int(time.time() * 1000))}
                self.glue.update_table(DatabaseName=self.database, TableInput=kept)
                self.counts.tables["UPDATE"] += 1


class _Ranges(io.RawIOBase):
    """An object as a seekable file that is read by ranges: a footer needs two small reads, not the whole object."""

    def __init__(self, s3: S3Client, found: Found) -> None:
        self.s3, self.found, self.position = s3, found, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self.position = {io.SEEK_SET: 0, io.SEEK_CUR: self.position, io.SEEK_END: self.found.size}[whence] + offset
        return self.position

    def readinto(self, buffer: Any) -> int:
        last = min(self.position + len(buffer), self.found.size) - 1
        if last < self.position:
            return 0
        span = f"bytes={self.position}-{last}"
        body = self.s3.get_object(Bucket=self.found.bucket, Key=self.found.key, Range=span)["Body"].read()
        buffer[: len(body)] = body
        self.position += len(body)
        return len(body)


def _checked(answer: Mapping[str, Any]) -> None:
    if answer.get("Errors"):
        raise CrawlFailed(f"the catalog refused partitions: {answer['Errors'][0]}")
