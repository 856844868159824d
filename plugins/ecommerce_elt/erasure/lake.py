"""Erases one customer from every layer of the lake. The events stay, without the person. See docs/adr/0021.

Each layer has a function that counts the data that names the customer, and erases it on request. The same search
reports beforehand what would be erased, and proves afterwards that nothing is left. Idempotent.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ecommerce_elt.batches.clean_files import download_raw, parquet_writer
from ecommerce_elt.batches.manifests import RawObject, objects_under
from ecommerce_elt.erasure.customers import Customer
from ecommerce_elt.erasure.json_lines import erase_delivered, erase_unreadable
from ecommerce_elt.erasure.plans import batches_of
from ecommerce_elt.erasure.raw_records import erase_raw, find_raw
from ecommerce_elt.landing.files import LANDING, LandedFile
from ecommerce_elt.settings import Settings
from ecommerce_elt.warehouse.redshift import Warehouse

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client


def erase_from_lake(
    s3: S3Client, target: Warehouse, customer: Customer, settings: Settings, *, apply: bool
) -> dict[str, int]:
    """Returns by layer how much in the lake names the customer; erases it if `apply`."""
    lines = find_raw(s3, customer, settings)
    landed = erase_landed(s3, target, customer, lines, settings, apply=apply)  # before raw/, which it needs
    if apply:
        erase_raw(s3, target, customer, lines, settings)
    return {
        **landed,
        "raw_objects": len(lines),
        "raw_records": sum(map(len, lines.values())),
        **erase_unreadable(s3, target, customer, settings, apply=apply),
        **erase_delivered(s3, customer, settings, apply=apply),
        **erase_clean(s3, customer, settings, apply=apply),
    }


def erase_landed(
    s3: S3Client, target: Warehouse, customer: Customer, keys: Iterable[str], settings: Settings, *, apply: bool
) -> dict[str, int]:
    """Returns `landed_files`, the number of files whose raw objects name the customer, and `landed_files_unread`.

    The latter counts files that could not be loaded. They were never read as records, so it is unknown whom they name.

    Args:
        s3: boto3 client.
        target: the warehouse.
        customer: the customer.
        keys: the keys of raw objects that name the customer.
        settings: the settings.
        apply: whether the files are deleted. Their records stay in raw/, and their reports stay.
    """
    raw_keys = {key for key in keys if "/landed-" in key}
    batches = set(batches_of(s3, target, customer.feed, raw_keys, settings)) if raw_keys else set()
    found = {"landed_files": 0, "landed_files_unread": 0}
    files = {raw.key: raw for raw in objects_under(s3, settings.bucket, f"{LANDING}{customer.feed}/")}
    for key, raw in files.items():
        if key.endswith(".report.json"):
            continue
        report = files.get(LandedFile(key, raw.etag).report_key)
        content = json.loads(s3.get_object(Bucket=settings.bucket, Key=report.key)["Body"].read()) if report else {}
        if "batches" not in content:
            found["landed_files_unread"] += 1
        elif _is_of(content, raw_keys, batches):
            found["landed_files"] += 1
            if apply:
                s3.delete_object(Bucket=settings.bucket, Key=key)
    return found


def _is_of(report: dict[str, Any], raw_keys: set[str], batches: set[str]) -> bool:
    """Returns whether the reported file has one of the raw objects.

    A report without `raw_prefix` is of a file that shares no batch with others. The report of a zip has the reports of
    its files.
    """
    if "members" in report:
        return any(_is_of(member, raw_keys, batches) for member in report["members"])
    if "raw_prefix" in report:
        return any(key.startswith(report["raw_prefix"]) for key in raw_keys)
    return not batches.isdisjoint(report["batches"])


def erase_clean(s3: S3Client, customer: Customer, settings: Settings, *, apply: bool) -> dict[str, int]:
    """Returns `clean_rows`, the number of rows of the customer in all Parquet files of the feed, listed or not.

    Args:
        s3: boto3 client.
        customer: the customer.
        settings: the settings.
        apply: whether these rows get the values of the contract's `erasure.row`. The file keeps its name and its rows.
    """

    def rewrite(raw: RawObject) -> int:
        with tempfile.TemporaryDirectory(prefix="erase-", dir=settings.work_dir) as folder:
            path = Path(folder) / "old.parquet"
            download_raw(s3, raw, path)
            named = pc.equal(pq.read_table(path, columns=[customer.erasure.customer]).column(0), customer.name)
            named = pc.fill_null(named, False)
            rows = pc.sum(named).as_py() or 0
            if apply and rows:
                table = pq.read_table(path)
                for name, value in customer.erasure.row.items():
                    at = table.schema.get_field_index(name)
                    if at < 0:
                        continue  # the file was written before the column was added
                    new = pc.if_else(named, pa.scalar(value, table.schema.field(at).type), table.column(name))
                    table = table.set_column(at, table.schema.field(at), new)
                out = Path(folder) / "new.parquet"
                with parquet_writer(out, table.schema) as writer:
                    writer.write_table(table)
                with out.open("rb") as file:
                    s3.put_object(Bucket=raw.bucket, Key=raw.key, Body=file, IfMatch=f'"{raw.etag}"')
            return int(rows)

    objects = [
        raw
        for raw in objects_under(s3, settings.bucket, f"clean/feed={customer.feed}/")
        if raw.key.endswith(".parquet")
    ]
    with ThreadPoolExecutor(2) as pool:  # each thread holds a file of up to compact_target_bytes
        return {"clean_rows": sum(pool.map(rewrite, objects))}
