"""Storage of Parquet and other files in S3 or in a local folder.

A place is `s3://bucket/prefix/`, or a path that ends with a slash.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import boto3
import pyarrow as pa
import pyarrow.parquet as pq


class Place:
    """A folder in S3 or on disk, whose files are read and written whole.

    Credentials and endpoint come from boto3's own environment variables.
    """

    def __init__(self, url: str) -> None:
        if not url.endswith("/"):
            raise ValueError(f"{url}: expected a folder, which ends with a slash")
        self.url = url
        self.bucket, _, self.prefix = (
            url.removeprefix("s3://").partition("/") if url.startswith("s3://") else ("", "", "")
        )
        self.client: Any = boto3.client("s3") if self.bucket else None

    def names(self) -> list[str]:
        """Returns the names of the files, sorted."""
        if not self.bucket:
            return sorted(p.relative_to(self.url).as_posix() for p in Path(self.url).rglob("*") if p.is_file())
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=self.prefix)
        keys = [found["Key"] for page in pages for found in page.get("Contents", [])]
        return sorted(key.removeprefix(self.prefix) for key in keys)

    def read(self, name: str) -> bytes | None:
        """Returns the content of a file, or None if it does not exist."""
        if not self.bucket:
            path = Path(self.url) / name
            return path.read_bytes() if path.exists() else None
        try:
            return bytes(self.client.get_object(Bucket=self.bucket, Key=self.prefix + name)["Body"].read())
        except self.client.exceptions.NoSuchKey:
            return None

    def write(self, name: str, body: bytes) -> None:
        """Writes a file and replaces an existing one."""
        if not self.bucket:
            path = Path(self.url) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(body)
            return
        self.client.put_object(Bucket=self.bucket, Key=self.prefix + name, Body=body)

    def read_table(self) -> pa.Table:
        """Returns the rows of all Parquet files.

        Raises:
            FileNotFoundError: there is no Parquet file.
        """
        bodies = [self.read(name) for name in self.names() if name.endswith(".parquet")]
        if not bodies:
            raise FileNotFoundError(f"{self.url} has no Parquet file; expected the demand that was unloaded")
        return pa.concat_tables(pq.read_table(io.BytesIO(body)) for body in bodies if body)

    def write_table(self, name: str, table: pa.Table) -> None:
        """Writes a Parquet file."""
        buffer = io.BytesIO()
        pq.write_table(table, buffer)
        self.write(name, buffer.getvalue())

    def read_json(self, name: str) -> dict[str, Any] | None:
        """Returns the content of a JSON file, or None if it does not exist."""
        body = self.read(name)
        return json.loads(body) if body else None

    def write_json(self, name: str, value: dict[str, Any]) -> None:
        """Writes a JSON file."""
        self.write(name, json.dumps(value, indent=2, sort_keys=True).encode())
