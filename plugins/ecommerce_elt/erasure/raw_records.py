"""Erases a customer from the records in raw/. All other records keep every byte."""

from __future__ import annotations

import gzip
import json
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import orjson
from more_itertools import constrained_batches

from ecommerce_elt.batches.clean_files import S3_THREADS
from ecommerce_elt.batches.manifests import RawObject, objects_under
from ecommerce_elt.cleaning.cleaner import download, run_cleaning
from ecommerce_elt.cleaning.engine import engine_of
from ecommerce_elt.erasure.customers import Customer
from ecommerce_elt.erasure.plans import check_claimed, finish_plans, plan
from ecommerce_elt.feeds.contracts import normalise_header
from ecommerce_elt.settings import Settings
from ecommerce_elt.warehouse.redshift import Warehouse

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

OBJECTS_BYTES = 64 * 1024**2  # compressed raw objects that are searched at a time


def find_raw(s3: S3Client, customer: Customer, settings: Settings) -> dict[str, set[int]]:
    """Searches all records of the feed in raw/, and returns by key the lines, from 1, that name the customer."""
    found: dict[str, set[int]] = {}
    for some in _chunks(objects_under(s3, settings.bucket, f"raw/feed={customer.feed}/")):
        with tempfile.TemporaryDirectory(prefix="erase-", dir=settings.work_dir) as folder:
            found |= _lines_of(customer, download(s3, some, Path(folder) / "raw"), settings, Path(folder))
    return found


def erase_raw(
    s3: S3Client, target: Warehouse, customer: Customer, lines: dict[str, set[int]], settings: Settings
) -> None:
    """Rewrites the records that `find_raw` found with the texts of `erasure.record`; all other lines keep every byte.

    The manifests of the objects' batches get the new ETags. This includes objects that a dead task has rewritten.

    Raises:
        TransientError: an object is in no batch yet; load_events will claim it soon.
    """
    finish_plans(s3, target, settings)
    hit = [raw for raw in objects_under(s3, settings.bucket, f"raw/feed={customer.feed}/") if raw.key in lines]
    for some in _chunks(hit):
        check_claimed(s3, target, customer.feed, some, settings)
        plan(s3, settings.bucket, customer.feed, [raw.key for raw in some])
        with tempfile.TemporaryDirectory(prefix="erase-", dir=settings.work_dir) as folder:
            files = download(s3, some, Path(folder) / "raw")
            with ThreadPoolExecutor(S3_THREADS) as pool:
                list(pool.map(partial(_rewrite_raw, s3, customer, files, lines), some))
        finish_plans(s3, target, settings)


def _chunks(objects: Iterable[RawObject]) -> Iterator[Iterable[RawObject]]:
    return constrained_batches(objects, OBJECTS_BYTES, max_count=2000, get_len=lambda raw: raw.size, strict=False)


def _lines_of(customer: Customer, files: dict[str, Path], settings: Settings, work: Path) -> dict[str, set[int]]:
    """Returns by raw key the lines, from 1, whose row names the customer, whether clean, rejected or a duplicate."""
    lines: dict[str, set[int]] = {}
    with engine_of(settings, work, "search.duckdb") as engine:
        run_cleaning(engine, files, customer.feed, customer.contract, settings)
        named = duckdb.ColumnExpression(customer.erasure.customer) == duckdb.ConstantExpression(customer.name)
        for key, line in engine.table("cleaned").filter(named).project("source_object, source_line").fetchall():
            lines.setdefault(key, set()).add(line)
    return lines


def _rewrite_raw(
    s3: S3Client, customer: Customer, files: dict[str, Path], lines: dict[str, set[int]], raw: RawObject
) -> None:
    number, out = 0, []
    for line in gzip.decompress(files[raw.key].read_bytes()).split(b"\n"):
        number += bool(line.strip())  # blank lines are not counted, as in cleaning.READ_EVENTS
        out.append(without_person(line, customer) if line.strip() and number in lines[raw.key] else line)
    body = gzip.compress(b"\n".join(out), 1, mtime=0)
    s3.put_object(Bucket=raw.bucket, Key=raw.key, Body=body, IfMatch=f'"{raw.etag}"')


def without_person(line: bytes, customer: Customer) -> bytes:
    """Returns the event with the texts of `erasure.record`, without unknown keys; other values keep their spelling."""

    def number(text: str) -> orjson.Fragment:
        return orjson.Fragment(text.encode())

    def first(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in pairs:
            found.setdefault(key, value)  # of a repeated key, the first value counts
        return found

    event = json.loads(line, parse_int=number, parse_float=number, parse_constant=number, object_pairs_hook=first)
    columns = {key: customer.contract.headers.get(normalise_header(key)) for key in event["data"]}
    for key, column in columns.items():
        if column and column.name in customer.erasure.record:
            event["data"][key] = customer.erasure.record[column.name]
        elif key not in customer.contract.known_keys:
            del event["data"][key]  # its value may name the customer
    return orjson.dumps(event)
