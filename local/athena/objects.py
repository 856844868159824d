"""The objects of tables in S3, and their copies in the folder of a query."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlparse

from local.athena.results import QueryFailed

if TYPE_CHECKING:
    from types_boto3_glue.client import GlueClient
    from types_boto3_glue.type_defs import StorageDescriptorOutputTypeDef, TableTypeDef
    from types_boto3_s3.client import S3Client

S3_THREADS = 16
SYMLINK = "org.apache.hadoop.hive.ql.io.SymlinkTextInputFormat"


@dataclass(frozen=True)
class Object:
    bucket: str
    key: str
    size: int
    values: tuple[str, ...]

    @property
    def url(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


class Objects:
    """Lists and reads the objects of the tables of one query.

    Args:
        s3, glue: boto3 clients.
        work: an empty folder for the objects that are read.
    """

    def __init__(self, s3: S3Client, glue: GlueClient, work: Path) -> None:
        self.s3, self.glue, self.work = s3, glue, work
        self.read: list[Object] = []

    def partitions(self, table: TableTypeDef) -> Iterator[tuple[tuple[str, ...], StorageDescriptorOutputTypeDef]]:
        pages = self.glue.get_paginator("get_partitions").paginate(
            DatabaseName=table["DatabaseName"], TableName=table["Name"]
        )
        for page in pages:
            for partition in page["Partitions"]:
                yield tuple(partition["Values"]), partition["StorageDescriptor"]

    def listed(self, partitions: Iterable[tuple[tuple[str, ...], StorageDescriptorOutputTypeDef]]) -> list[Object]:
        """Returns the objects of the partitions, each given as (values, storage descriptor)."""
        with ThreadPoolExecutor(S3_THREADS) as pool:
            return [o for some in pool.map(lambda p: list(self._objects(*p)), partitions) for o in some]

    def _objects(self, values: tuple[str, ...], storage: StorageDescriptorOutputTypeDef) -> Iterator[Object]:
        where = urlparse(storage["Location"])
        prefix = where.path.lstrip("/").rstrip("/") + "/"
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=where.netloc, Prefix=prefix)
        for entry in (entry for page in pages for entry in page.get("Contents", [])):
            if any(part.startswith(("_", ".")) for part in entry["Key"].removeprefix(prefix).split("/")):
                continue  # hidden, see the module's docstring
            if storage.get("InputFormat") != SYMLINK:
                yield Object(where.netloc, entry["Key"], entry["Size"], values)
                continue
            body = self.s3.get_object(Bucket=where.netloc, Key=entry["Key"])["Body"].read().decode()
            for url in body.split():
                yield self._linked(url, values)

    def _linked(self, url: str, values: tuple[str, ...]) -> Object:
        where = urlparse(url)
        key = where.path.lstrip("/")
        try:
            size = self.s3.head_object(Bucket=where.netloc, Key=key)["ContentLength"]
        except self.s3.exceptions.ClientError as error:
            raise QueryFailed(f"HIVE_CANNOT_OPEN_SPLIT: {url}: {error}") from error
        return Object(where.netloc, key, size, values)

    def local(self, found: Object) -> Path:
        return self.work / found.bucket / found.key

    def fetch(self, objects: list[Object]) -> None:
        """Copies the objects into the folder, except those that are there."""
        new = [o for o in objects if o not in self.read]
        with ThreadPoolExecutor(S3_THREADS) as pool:
            list(pool.map(self._fetch, new))
        self.read += new

    def _fetch(self, found: Object) -> None:
        path = self.local(found)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            path.write_bytes(self.s3.get_object(Bucket=found.bucket, Key=found.key)["Body"].read())
        except self.s3.exceptions.ClientError as error:
            raise QueryFailed(f"HIVE_CANNOT_OPEN_SPLIT: {found.url}: {error}") from error

    def named(self, message: str) -> str:
        """Returns the message with the URLs of the objects in place of their copies' paths."""
        for found in self.read:
            message = message.replace(str(self.local(found)), found.url)
        return re.sub(r"\s+", " ", message)
