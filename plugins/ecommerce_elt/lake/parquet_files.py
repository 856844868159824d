"""Reads and writes the Parquet files of the lake by their s3:// URLs."""

from __future__ import annotations

import tempfile
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict
from urllib.parse import urlparse

import pyarrow as pa
import pyarrow.parquet as pq

from ecommerce_elt.batches.clean_files import parquet_writer

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

TAIL_BYTES = 64 * 1024  # more than the footer of a file with a few dozen columns


class S3Object(TypedDict):
    """An object, as boto3 takes it."""

    Bucket: str
    Key: str


def object_of(url: str) -> S3Object:
    """Returns the object of an s3:// URL."""
    where = urlparse(url)
    return {"Bucket": where.netloc, "Key": where.path.lstrip("/")}


def new_url(bucket: str, feed: str, day: str, made_by: str) -> str:
    """Returns a URL that no file had before, because an earlier file of the same name may be noted for deletion."""
    return f"s3://{bucket}/clean/feed={feed}/dt={day}/{made_by}-{uuid.uuid4().hex}.parquet"


def read(s3: S3Client, url: str, columns: list[str] | None = None) -> pa.Table:
    """Returns the rows of a file."""
    body = s3.get_object(**object_of(url))["Body"].read()
    return pq.read_table(pa.BufferReader(body), columns=columns)


def write(s3: S3Client, url: str, rows: pa.Table) -> None:
    """Writes the rows to a file in the form that COPY reads."""
    with tempfile.NamedTemporaryFile(suffix=".parquet") as file:
        with parquet_writer(Path(file.name), rows.schema) as writer:
            writer.write_table(rows)
        s3.upload_file(file.name, **object_of(url))


def schema_of(s3: S3Client, url: str) -> pa.Schema:
    """Returns the columns of a file, read from its end."""
    tail = s3.get_object(**object_of(url), Range=f"bytes=-{TAIL_BYTES}")["Body"].read()
    if int.from_bytes(tail[-8:-4], "little") + 8 > len(tail):  # https://parquet.apache.org/docs/file-format/
        tail = s3.get_object(**object_of(url))["Body"].read()
    fields = pq.read_schema(pa.BufferReader(tail))
    # INT96 has no unit.
    return pa.schema(pa.field(f.name, pa.timestamp("us")) if pa.types.is_timestamp(f.type) else f for f in fields)
