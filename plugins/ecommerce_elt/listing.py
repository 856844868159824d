"""The listings of the lake: S3 gives a thousand keys a page, so everything that lists goes through here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def objects(s3: Any, bucket: str, prefix: str) -> Iterator[dict[str, Any]]:
    """Yields Key, ETag, Size, LastModified of each object under the prefix, in order of key."""
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        yield from page.get("Contents", [])


def folders(s3: Any, bucket: str, prefix: str) -> Iterator[str]:
    """Yields the prefixes one level below the prefix, each with its slash at the end."""
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix, Delimiter="/"):
        yield from (entry["Prefix"] for entry in page.get("CommonPrefixes", []))


async def objects_async(s3: Any, bucket: str, prefix: str) -> list[dict[str, Any]]:
    """Returns what `objects` yields, by a client of aiobotocore."""
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return [entry async for page in pages for entry in page.get("Contents", [])]
