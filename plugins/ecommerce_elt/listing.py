"""Lists and deletes many objects of the lake. S3 handles up to a thousand keys per call."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ecommerce_elt.errors import PermanentError

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client
    from types_boto3_s3.type_defs import ObjectIdentifierTypeDef, ObjectTypeDef

DELETED_AT_ONCE = 1000  # S3 API reference, DeleteObjects

# Keys with the same stem are ordered by the day that follows it.
_DATED = re.compile(r"^(?P<stem>.*?[-/=])(?P<year>\d{4})[-/]?(?P<month>[01]\d)[-/]?(?P<day>[0-3]\d)(?!\d)")


def objects(s3: S3Client, bucket: str, prefix: str) -> Iterator[ObjectTypeDef]:
    """Yields Key, ETag, Size and LastModified of each object under the prefix, ordered by key."""
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        yield from page.get("Contents", [])


def folders(s3: S3Client, bucket: str, prefix: str) -> Iterator[str]:
    """Yields the prefixes one level below the prefix, each with a trailing slash."""
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix, Delimiter="/"):
        yield from (entry["Prefix"] for entry in page.get("CommonPrefixes", []))


def older(s3: S3Client, bucket: str, prefix: str, limit: datetime) -> Iterator[str]:
    """Yields the keys of the objects under the prefix that were written before `limit`, in order.

    Keys with the day of `limit` or a later day are skipped without listing them, because no object is written before
    the day in its key. The cost is therefore that of the old objects and of one page per folder, whatever else there
    is.
    """
    after = ""
    while True:
        page = s3.list_objects_v2(Bucket=bucket, Prefix=prefix, StartAfter=after)
        entries = page.get("Contents", [])
        for entry in entries:
            dated = _DATED.match(entry["Key"])
            if dated and (dated["year"], dated["month"], dated["day"]) >= tuple(f"{limit:%Y %m %d}".split()):
                after = dated["stem"] + ":"  # ":" follows "9" in ASCII
                break
            if entry["LastModified"] < limit:
                yield entry["Key"]
        else:
            if not page["IsTruncated"]:
                return
            after = entries[-1]["Key"]


async def objects_async(s3: Any, bucket: str, prefix: str) -> list[ObjectTypeDef]:
    """Returns the same entries as `objects`, using a client of aiobotocore."""
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return [entry async for page in pages for entry in page.get("Contents", [])]


def delete(s3: S3Client, bucket: str, keys: Sequence[str]) -> None:
    """Deletes the objects. An object that does not exist is not an error.

    Raises:
        PermanentError: S3 refused to delete an object.
    """
    for start in range(0, len(keys), DELETED_AT_ONCE):
        objects: list[ObjectIdentifierTypeDef] = [{"Key": key} for key in keys[start : start + DELETED_AT_ONCE]]
        errors = s3.delete_objects(Bucket=bucket, Delete={"Objects": objects, "Quiet": True}).get("Errors", [])
        if errors:
            raise PermanentError(f"s3://{bucket}/{errors[0]['Key']} cannot be deleted: {errors[0].get('Message')}")
