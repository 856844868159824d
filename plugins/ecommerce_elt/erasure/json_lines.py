"""Erases a customer from records that are not envelopes, and from the files that Firehose wrote."""

from __future__ import annotations

import base64
import binascii
import gzip
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import orjson

from ecommerce_elt.batches.clean_files import S3_THREADS
from ecommerce_elt.batches.manifests import UNREADABLE, RawObject, objects_under, prefix_of
from ecommerce_elt.erasure.customers import Customer, finder
from ecommerce_elt.erasure.plans import check_claimed, finish_plans, plan
from ecommerce_elt.load.invoice_items import DELIVERED_FEED
from ecommerce_elt.settings import Settings
from ecommerce_elt.warehouse.redshift import Warehouse

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

NO_ROWS = ("firehose/errors/", "firehose/manifests/")


def erase_unreadable(
    s3: S3Client, target: Warehouse, customer: Customer, settings: Settings, *, apply: bool
) -> dict[str, int]:
    """Returns `unreadable_records`, the number of records whose text names the customer as a word or a phone number.

    Args:
        s3: boto3 client.
        target: the warehouse.
        customer: the customer.
        settings: the settings, with the HMAC key.
        apply: whether the content of such records is erased. Their reason and origin are kept.

    Raises:
        TransientError: an object is in no batch yet; load_events will claim it soon.
    """
    names = finder(customer, settings)

    def change(line: bytes) -> bytes | None:
        kept = json.loads(line)
        if not names(_content(kept)):
            return None
        gone = {"data", "data_base64", "rawData", "partition_key"}
        return orjson.dumps({k: v for k, v in kept.items() if k not in gone} | {"erased": True})

    prefixes = [prefix_of(UNREADABLE)]
    if customer.feed == DELIVERED_FEED:
        prefixes.append("firehose/errors/")
    found = [raw for prefix in prefixes for raw in objects_under(s3, settings.bucket, prefix)]
    records = _rewrite_lines(s3, found, change, apply=False)
    in_batches = sorted(key for key, count in records.items() if count and key.startswith(prefixes[0]))
    if apply:
        if in_batches:
            check_claimed(s3, target, UNREADABLE, [raw for raw in found if raw.key in in_batches], settings)
            plan(s3, settings.bucket, UNREADABLE, in_batches)
        _rewrite_lines(s3, [raw for raw in found if records[raw.key]], change, apply=True)
        finish_plans(s3, target, settings)
    return {"unreadable_records": sum(records.values())}


def _content(record: dict[str, Any]) -> str:
    packed = [record[name] for name in ("data_base64", "rawData") if name in record]
    texts = [str(record.get(name, "")) for name in ("data", "partition_key")]
    for text in packed:
        try:
            texts.append(base64.b64decode(text).decode("utf-8", "replace"))
        except binascii.Error:
            texts.append(str(text))
    return "\n".join(texts)


def erase_delivered(s3: S3Client, customer: Customer, settings: Settings, *, apply: bool) -> dict[str, int]:
    """Returns `firehose_rows`, the number of rows of the customer in the files that Firehose wrote.

    Args:
        s3: boto3 client.
        customer: the customer.
        settings: the settings.
        apply: whether the CustomerID of these rows is set to null.
    """
    if customer.feed != DELIVERED_FEED:
        return {"firehose_rows": 0}

    def change(line: bytes) -> bytes | None:
        row = json.loads(line)
        if not isinstance(row, dict) or row.get("CustomerID") != customer.name:
            return None
        return orjson.dumps(row | {"CustomerID": None})

    found = [raw for raw in objects_under(s3, settings.bucket, "firehose/") if not raw.key.startswith(NO_ROWS)]
    return {"firehose_rows": sum(_rewrite_lines(s3, found, change, apply=apply).values())}


def _rewrite_lines(
    s3: S3Client, objects: list[RawObject], change: Callable[[bytes], bytes | None], *, apply: bool
) -> dict[str, int]:
    """Returns the number of lines that `change` changes, by key; writes the changes if `apply`."""

    def rewrite(raw: RawObject) -> tuple[str, int]:
        body = s3.get_object(Bucket=raw.bucket, Key=raw.key, IfMatch=f'"{raw.etag}"')["Body"].read()
        packed = body.startswith(b"\x1f\x8b")
        lines = (gzip.decompress(body) if packed else body).split(b"\n")
        changed = {
            n: new for n, line in enumerate(lines) if line.startswith(b"{") and (new := change(line)) is not None
        }
        if apply and changed:
            text = b"\n".join(changed.get(n, line) for n, line in enumerate(lines))
            body = gzip.compress(text, 1, mtime=0) if packed else text
            s3.put_object(Bucket=raw.bucket, Key=raw.key, Body=body, IfMatch=f'"{raw.etag}"')
        return raw.key, len(changed)

    with ThreadPoolExecutor(S3_THREADS) as pool:
        return dict(pool.map(rewrite, objects))
