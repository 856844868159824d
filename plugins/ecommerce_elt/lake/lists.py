"""The lists of Parquet files that make up each day of a feed in the lake. See docs/adr/0015.

    published/feed=F/dt=D/symlink.txt         the list of files, one s3:// URL per line; replaced by a conditional write
    published/feed=F/dt=D/_superseded-*.json  files that were removed from the list, and when

A reader that uses the list sees every event of a committed batch exactly once. A batch is added to a day's list as a
whole. Compaction replaces files by one file with the same rows, in one write. Replaced files are kept for
`lake_grace_hours`, for readers that read the list earlier.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from ecommerce_elt import listing
from ecommerce_elt.batches.clean_files import S3_THREADS
from ecommerce_elt.batches.manifests import claimed_at
from ecommerce_elt.errors import PermanentError

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

PUBLISHED = "published/"
LIST = "symlink.txt"
SUPERSEDED = "_superseded-"
CLOCKS_DIFFER = timedelta(hours=1)  # largest clock skew between S3 and a writer
LIST_KEY = re.compile(rf"^{PUBLISHED}feed=(?P<feed>[a-z0-9_]+)/dt=(?P<day>\d{{4}}-\d\d-\d\d)/[^/]+$")
_DAY_KEY = re.compile(rf"^{PUBLISHED}feed=[a-z0-9_]+/dt=(?P<day>\d{{4}}-\d\d-\d\d)/$")


def folder_of(feed: str, day: str) -> str:
    """Returns the folder of a day's list."""
    return f"{PUBLISHED}feed={feed}/dt={day}/"


def days(s3: S3Client, bucket: str, feed: str) -> list[str]:
    """Returns the days that have a list, in ascending order."""
    found = [_DAY_KEY.match(folder) for folder in listing.folders(s3, bucket, f"{PUBLISHED}feed={feed}/")]
    return sorted(match["day"] for match in found if match)


def files(s3: S3Client, bucket: str, feed: str, first: date | str = date.min, last: date | str = date.max) -> list[str]:
    """Returns the s3:// URLs of the Parquet files that make up the feed's days from `first` to `last`, both included."""
    wanted = [day for day in days(s3, bucket, feed) if str(first) <= day <= str(last)]
    with ThreadPoolExecutor(S3_THREADS) as pool:
        return [url for urls, _ in pool.map(lambda day: read_list(s3, bucket, feed, day), wanted) for url in urls]


def changes(s3: S3Client, bucket: str, feed: str) -> dict[str, datetime]:
    """Returns the time of the last change of each day's list, by day."""
    found = {}
    for entry in listing.objects(s3, bucket, f"{PUBLISHED}feed={feed}/"):
        match = LIST_KEY.match(entry["Key"])
        if match and entry["Key"].endswith(f"/{LIST}"):
            found[match["day"]] = entry["LastModified"]
    return found


def sizes_of(s3: S3Client, bucket: str, feed: str, day: str, urls: Iterable[str]) -> dict[str, int]:
    """Returns the size in bytes by URL of the files in the day's list.

    Raises:
        PermanentError: a file of the list is missing.
    """
    prefix = f"clean/feed={feed}/dt={day}/"
    there = {f"s3://{bucket}/{entry['Key']}": entry["Size"] for entry in listing.objects(s3, bucket, prefix)}
    if missing := [url for url in urls if url not in there]:
        raise PermanentError(
            f"{missing[0]} is in the list of feed {feed} of {day}, and not in S3: restore it, or clean its batch again"
        )
    return {url: there[url] for url in urls}


def read_list(s3: S3Client, bucket: str, feed: str, day: str) -> tuple[list[str], str | None]:
    """Returns the URLs and the ETag of the day's list, or ([], None) if there is no list."""
    try:
        found = s3.get_object(Bucket=bucket, Key=folder_of(feed, day) + LIST)
    except s3.exceptions.NoSuchKey:
        return [], None
    return found["Body"].read().decode().split(), found["ETag"]


def change_list(
    s3: S3Client,
    bucket: str,
    feed: str,
    day: str,
    change: Callable[[list[str]], list[str] | None],
    *,
    first: list[str] | None = None,
    was_there: bool = True,
) -> bool:
    """Replaces the day's list by the result of `change`, in one conditional write that is repeated after a conflict.

    Args:
        s3: boto3 client.
        bucket: the bucket of the lake.
        feed: the feed.
        day: the day.
        change: returns the new list, or None to keep the list.
        first: the new list if there is none yet; by default, the result of `change` for an empty list.
        was_there: False if `days` did not have the day a moment ago. The first try then does not read the list.

    Returns:
        Whether the list changed.
    """
    while True:
        urls, etag = read_list(s3, bucket, feed, day) if was_there else ([], None)
        was_there = True
        wanted = first if etag is None and first is not None else change(urls)
        if wanted is None or wanted == urls:
            return False
        condition: Any = {"IfMatch": etag} if etag else {"IfNoneMatch": "*"}
        body = "".join(url + "\n" for url in wanted).encode()
        try:
            s3.put_object(Bucket=bucket, Key=folder_of(feed, day) + LIST, Body=body, **condition)
        except s3.exceptions.ClientError as error:
            if error.response["Error"]["Code"] not in {"PreconditionFailed", "ConditionalRequestConflict"}:
                raise
            continue  # another writer changed the list: read it again
        return True


def supersede(s3: S3Client, bucket: str, feed: str, day: str, urls: list[str]) -> None:
    """Writes a note of files that the next change of the list removes, or may fail to add.

    Files of a note that are in no list are deleted after the grace period. The note is written before the change, so
    that a task that dies in between leaves no file that is never deleted.
    """
    note = json.dumps({"since": datetime.now(UTC).isoformat(), "files": urls}).encode()
    name = hashlib.sha256(note).hexdigest()[:16]
    s3.put_object(Bucket=bucket, Key=f"{folder_of(feed, day)}{SUPERSEDED}{name}.json", Body=note)


def superseded_files(s3: S3Client, bucket: str, key: str) -> list[str]:
    """Returns the URLs of the files that a note names."""
    files: list[str] = json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read())["files"]
    return files


class Notes:
    """The files that were removed from a day's list since a batch was claimed, which may be files of the batch."""

    def __init__(self, s3: S3Client, bucket: str, feed: str, day: str, batch_id: str) -> None:
        self._s3, self._bucket, self._prefix = s3, bucket, f"{folder_of(feed, day)}{SUPERSEDED}"
        self._since = claimed_at(batch_id) - CLOCKS_DIFFER
        self._files: dict[str, list[str]] = {}  # by key of the notes read so far; notes never change

    def name(self, url: str) -> bool:
        """Returns whether a note names the file. Looks for new notes, because compaction may just have written one."""
        listed = [
            e["Key"] for e in listing.objects(self._s3, self._bucket, self._prefix) if e["LastModified"] >= self._since
        ]
        new = [key for key in listed if key not in self._files]
        with ThreadPoolExecutor(S3_THREADS) as pool:
            found = pool.map(lambda key: superseded_files(self._s3, self._bucket, key), new)
            self._files |= zip(new, found, strict=True)
        return any(url in files for files in self._files.values())
