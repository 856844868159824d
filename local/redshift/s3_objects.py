"""Finds and downloads the S3 objects that a COPY reads."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import botocore.exceptions

from local.redshift.errors import SqlError

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

S3_THREADS = 8


def split_url(url: str) -> tuple[str, str]:
    found = re.fullmatch(r"s3://([^/]+)/(.*)", url)
    if not found:
        raise SqlError(f"ERROR: Invalid S3 URI: {url}")
    return found[1], found[2]


def objects(s3: S3Client, source: str, *, is_manifest: bool, is_columnar: bool) -> list[str]:
    """Returns the URLs to load: those of the manifest, or of all keys that start with the prefix."""
    bucket, key = split_url(source)
    try:
        if not is_manifest:
            pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=key)
            found = [f"s3://{bucket}/{o['Key']}" for page in pages for o in page.get("Contents", []) if o["Size"]]
            if not found:
                raise SqlError(f"ERROR: The specified S3 prefix '{key}' does not exist")
            return found
        manifest = json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
        entries = manifest["entries"]
    except s3.exceptions.NoSuchKey as error:
        raise SqlError(
            f"ERROR: Problem reading manifest file - S3ServiceException:The specified key does not exist., Key {key}"
        ) from error
    except s3.exceptions.NoSuchBucket as error:
        raise SqlError(f"ERROR: S3ServiceException:The specified bucket does not exist, Bucket {bucket}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise SqlError(f"ERROR: Problem reading manifest file - Invalid JSON object, Key {key}") from error
    if is_columnar and any("content_length" not in e.get("meta", {}) for e in entries):
        raise SqlError(f"ERROR: Manifest file {key} is missing meta.content_length, which columnar formats need")
    present = [e["url"] for e in entries if e.get("mandatory") or _exists(s3, e["url"])]
    if not present:
        raise SqlError(f"ERROR: Manifest {key} names no file that exists")
    return present


def _exists(s3: S3Client, url: str) -> bool:
    bucket, key = split_url(url)
    try:
        s3.head_object(Bucket=bucket, Key=key)
    except botocore.exceptions.ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
            return False
        raise SqlError(f"ERROR: S3ServiceException:{error}, Key {key}") from error
    return True


def download(s3: S3Client, urls: list[str], directory: Path) -> dict[str, Path]:
    """Downloads the objects, and returns the local file of each URL.

    The URLs have their number appended, because a URL that is listed twice is loaded twice.
    """

    def fetch(numbered: tuple[int, str]) -> tuple[str, Path]:
        number, url = numbered
        bucket, key = split_url(url)
        path = directory / f"{number:06d}"
        try:
            path.write_bytes(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
        except botocore.exceptions.ClientError as error:
            raise SqlError(f"ERROR: S3ServiceException:The specified key does not exist., Key {key}") from error
        return f"{url}#{number}", path

    with ThreadPoolExecutor(S3_THREADS) as pool:
        return dict(pool.map(fetch, enumerate(urls)))
