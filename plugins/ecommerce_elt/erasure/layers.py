"""Erases one customer from every layer. The events stay, without the person. See docs/adr/0021.

Each layer has a function that counts the data that names the customer, and erases it on request. The same search
reports beforehand what would be erased, and proves afterwards that nothing is left. Idempotent.

    manifests/erasures/<id>.json   raw objects that are being rewritten; if a run dies, a later run uses it to write the
                                   new ETags to the manifests
"""

from __future__ import annotations

import base64
import binascii
import gzip
import hashlib
import hmac
import json
import logging
import re
import tempfile
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from string import ascii_lowercase, ascii_uppercase
from typing import Any

import duckdb
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from more_itertools import constrained_batches

from ecommerce_elt import listing
from ecommerce_elt.batches.clean_files import S3_THREADS, download_raw, parquet_writer
from ecommerce_elt.batches.manifests import UNREADABLE, RawObject, open_batches, read_manifest
from ecommerce_elt.cleaning.cleaner import download, run_cleaning
from ecommerce_elt.cleaning.engine import engine_of
from ecommerce_elt.errors import PermanentError, TransientError
from ecommerce_elt.feeds.contracts import Contract, Erasure, load_contracts, normalise_header
from ecommerce_elt.landing.files import LANDING, LandedFile
from ecommerce_elt.settings import Settings
from ecommerce_elt.warehouse.redshift import Warehouse, render, texts

log = logging.getLogger(__name__)

PLANS = "manifests/erasures/"
DELIVERED_FEED = "online_retail"  # the feed that firehose_transform and dynamodb_writer consume
OBJECTS_BYTES = 64 * 1024**2  # compressed raw objects that are searched at a time
NO_ROWS = ("firehose/errors/", "firehose/manifests/")
_PHONE = re.compile(r"[0-9+(][0-9 ().+x/-]{4,}[0-9]")
_HMAC = re.compile(r"[0-9a-f]{64}")
_LOWER = str.maketrans(ascii_uppercase, ascii_lowercase)  # ASCII only, since engines differ for other letters
_BETWEEN_WORDS = re.compile(r"""[\s"'\\,;|<>(){}\[\]]+""")


@dataclass(frozen=True)
class Customer:
    """One customer of one feed. `name` is a value of the contract's column `erasure.customer`: a number or an HMAC."""

    contract: Contract
    name: str

    @property
    def feed(self) -> str:
        return self.contract.feed

    @property
    def erasure(self) -> Erasure:
        assert self.contract.erasure is not None
        return self.contract.erasure


def customer_of(feed: str, name: str, settings: Settings) -> Customer:
    """Returns the customer.

    Raises:
        PermanentError: the feed has no customers, or the name cannot be that of a customer.
    """
    contracts = load_contracts(settings.include_dir / "feeds")
    with_customers = [name for name, contract in contracts.items() if contract.erasure]
    if feed not in with_customers:
        raise PermanentError(f"feed {feed!r}: expected one with customers: {', '.join(with_customers)}")
    found = Customer(contracts[feed], name.strip())
    if not found.name or found.name in found.erasure.row.values():
        raise PermanentError(f"{found.erasure.customer} {name!r} names nobody")
    if ("phone" in found.erasure.record or _is_hashed_text(found)) and not _HMAC.fullmatch(found.name):
        raise PermanentError(
            f"{found.erasure.customer}: expected 64 hex digits. Never a phone number or an address: python -m infra.customer_key "
            "makes the digits of it"
        )
    return found


def _is_hashed_text(customer: Customer) -> bool:
    """Returns whether the name is an HMAC made by the contract, for example of an e-mail address."""
    return any(c.name == customer.erasure.customer and c.privacy == "hmac" for c in customer.contract.columns)


def key_of_phone(phone: str, key: str) -> str:
    """Returns the customer_key of a phone number, as include/sql/clean/purchases.sql makes it: HMAC-SHA256 of its digits."""
    return hmac.new(key.encode(), re.sub("[^0-9]", "", phone).encode(), hashlib.sha256).hexdigest()


def key_of_text(text: str, key: str) -> str:
    """Returns the HMAC of a text as for a column with `privacy: hmac`: of the text without blanks, in lower case."""
    plain = text.strip().translate(_LOWER).replace(" ", "")
    return hmac.new(key.encode(), plain.encode(), hashlib.sha256).hexdigest()


# -- raw/ -------------------------------------------------------------------------------------------------------------


def find_raw(s3: Any, customer: Customer, settings: Settings) -> dict[str, set[int]]:
    """Searches all records of the feed in raw/, and returns by key the lines, from 1, that name the customer."""
    found: dict[str, set[int]] = {}
    for some in _chunks(_objects(s3, settings.bucket, f"raw/feed={customer.feed}/")):
        with tempfile.TemporaryDirectory(prefix="erase-", dir=settings.work_dir) as folder:
            found |= _lines_of(customer, download(s3, some, Path(folder) / "raw"), settings, Path(folder))
    return found


def erase_raw(s3: Any, target: Warehouse, customer: Customer, lines: dict[str, set[int]], settings: Settings) -> None:
    """Rewrites the records that `find_raw` found with the texts of `erasure.record`; all other lines keep every byte.

    The manifests of the objects' batches get the new ETags. This includes objects that a dead task has rewritten.

    Raises:
        TransientError: an object is in no batch yet; load_events will claim it soon.
    """
    _settle_plans(s3, target, settings)
    hit = [raw for raw in _objects(s3, settings.bucket, f"raw/feed={customer.feed}/") if raw.key in lines]
    for some in _chunks(hit):
        _check_claimed(s3, target, customer.feed, some, settings)
        _plan(s3, settings.bucket, customer.feed, [raw.key for raw in some])
        with tempfile.TemporaryDirectory(prefix="erase-", dir=settings.work_dir) as folder:
            files = download(s3, some, Path(folder) / "raw")
            with ThreadPoolExecutor(S3_THREADS) as pool:
                list(pool.map(partial(_rewrite_raw, s3, customer, files, lines), some))
        _settle_plans(s3, target, settings)


def _chunks(objects: Iterable[RawObject]) -> Iterator[Iterable[RawObject]]:
    return constrained_batches(objects, OBJECTS_BYTES, max_count=2000, get_len=lambda raw: raw.size, strict=False)


def _objects(s3: Any, bucket: str, prefix: str) -> Iterator[RawObject]:
    for entry in listing.objects(s3, bucket, prefix):
        yield RawObject(entry["Key"], entry["ETag"].strip('"'), entry["Size"], bucket)


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
    s3: Any, customer: Customer, files: dict[str, Path], lines: dict[str, set[int]], raw: RawObject
) -> None:
    number, out = 0, []
    for line in gzip.decompress(files[raw.key].read_bytes()).split(b"\n"):
        number += bool(line.strip())  # blank lines are not counted, as in cleaning.READ_EVENTS
        out.append(_without_person(line, customer) if line.strip() and number in lines[raw.key] else line)
    body = gzip.compress(b"\n".join(out), 1, mtime=0)
    s3.put_object(Bucket=raw.bucket, Key=raw.key, Body=body, IfMatch=f'"{raw.etag}"')


def _without_person(line: bytes, customer: Customer) -> bytes:
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


def _batches_of(s3: Any, target: Warehouse, feed: str, keys: set[str], settings: Settings) -> dict[str, set[str]]:
    """Returns the raw objects, among `keys`, of each open or committed batch of the feed that has some."""
    sql = (settings.sql_dir / "ops/batch_object/of_keys.sql").read_text("utf-8")
    rows = target.query(sql, {"feed": feed, "first_key": min(keys), "last_key": max(keys)})
    found: dict[str, set[str]] = {}
    for batch_id, key in rows:
        if key in keys:
            found.setdefault(batch_id, set()).add(key)
    for batch_id in open_batches(s3, settings.bucket):
        if hit := keys & {raw.key for raw in read_manifest(s3, settings.bucket, batch_id).objects}:
            found.setdefault(batch_id, set()).update(hit)
    return found


def _check_claimed(s3: Any, target: Warehouse, feed: str, objects: Iterable[RawObject], settings: Settings) -> None:
    keys = {raw.key for raw in objects}
    in_batches = set().union(*_batches_of(s3, target, feed, keys, settings).values())
    if waiting := sorted(keys - in_batches):
        raise TransientError(f"{waiting[0]} is in no batch yet; load_events takes it up")


def _plan(s3: Any, bucket: str, feed: str, keys: list[str]) -> None:
    s3.put_object(
        Bucket=bucket, Key=f"{PLANS}{uuid.uuid4().hex}.json", Body=json.dumps({"feed": feed, "keys": keys}).encode()
    )


def _settle_plans(s3: Any, target: Warehouse, settings: Settings) -> None:
    """Writes the ETags of rewritten raw objects to the manifests, and deletes the plans, also those of dead tasks."""
    bucket = settings.bucket
    for plan in list(_objects(s3, bucket, PLANS)):
        found = json.loads(s3.get_object(Bucket=bucket, Key=plan.key)["Body"].read())
        keys = set(found["keys"])
        now = {raw.key: raw for key in keys for raw in _objects(s3, bucket, key)}  # an expired object is missing
        for batch_id in _batches_of(s3, target, found["feed"], keys, settings):
            old = read_manifest(s3, bucket, batch_id)
            new = replace(old, objects=tuple(now.get(raw.key, raw) for raw in old.objects))
            if new != old:
                s3.put_object(Bucket=bucket, Key=f"manifests/{batch_id}.json", Body=new.to_json())
        s3.delete_object(Bucket=bucket, Key=plan.key)


# -- landing/ ---------------------------------------------------------------------------------------------------------


def erase_landed(
    s3: Any, target: Warehouse, customer: Customer, keys: Iterable[str], settings: Settings, *, apply: bool
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
    batches = set(_batches_of(s3, target, customer.feed, raw_keys, settings)) if raw_keys else set()
    found = {"landed_files": 0, "landed_files_unread": 0}
    files = {raw.key: raw for raw in _objects(s3, settings.bucket, f"{LANDING}{customer.feed}/")}
    for key, raw in files.items():
        if key.endswith(".report.json"):
            continue
        report = files.get(LandedFile(key, raw.etag).report_key)
        told = json.loads(s3.get_object(Bucket=settings.bucket, Key=report.key)["Body"].read()) if report else {}
        if "batches" not in told:
            found["landed_files_unread"] += 1
        elif _is_of(told, raw_keys, batches):
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


# -- records that are not envelopes, and files of Firehose ------------------------------------------------------------


def erase_unreadable(
    s3: Any, target: Warehouse, customer: Customer, settings: Settings, *, apply: bool
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
    names = _names(customer, settings)

    def change(line: bytes) -> bytes | None:
        kept = json.loads(line)
        if not names(_content(kept)):
            return None
        gone = {"data", "data_base64", "rawData", "partition_key"}
        return orjson.dumps({k: v for k, v in kept.items() if k not in gone} | {"erased": True})

    prefixes = ["quarantine/unreadable/"]
    if customer.feed == DELIVERED_FEED:
        prefixes.append("firehose/errors/")
    found = [raw for prefix in prefixes for raw in _objects(s3, settings.bucket, prefix)]
    records = _rewrite_lines(s3, found, change, apply=False)
    in_batches = sorted(key for key, count in records.items() if count and key.startswith(prefixes[0]))
    if apply:
        if in_batches:
            _check_claimed(s3, target, UNREADABLE, [raw for raw in found if raw.key in in_batches], settings)
            _plan(s3, settings.bucket, UNREADABLE, in_batches)
        _rewrite_lines(s3, [raw for raw in found if records[raw.key]], change, apply=True)
        _settle_plans(s3, target, settings)
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


def _names(customer: Customer, settings: Settings) -> Callable[[str], bool]:
    """Returns a function that returns whether a text names the customer."""
    if _is_hashed_text(customer):
        secret = settings.pii_hmac_key.get_secret_value()
        return lambda text: any(key_of_text(w, secret) == customer.name for w in {*_BETWEEN_WORDS.split(text)} if w)
    if "phone" not in customer.erasure.record:
        word = re.compile(rf"(?<![\w.-]){re.escape(customer.name)}(?:[.]0+)?(?![\w.-])")
        return lambda text: bool(word.search(text))
    key = settings.pii_hmac_key.get_secret_value()

    def has_phone(text: str) -> bool:
        runs = _PHONE.findall(text)
        return any(key_of_phone(part, key) == customer.name for run in runs for part in (run, *run.split()))

    return has_phone


def erase_delivered(s3: Any, customer: Customer, settings: Settings, *, apply: bool) -> dict[str, int]:
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

    found = [raw for raw in _objects(s3, settings.bucket, "firehose/") if not raw.key.startswith(NO_ROWS)]
    return {"firehose_rows": sum(_rewrite_lines(s3, found, change, apply=apply).values())}


def _rewrite_lines(
    s3: Any, objects: list[RawObject], change: Callable[[bytes], bytes | None], *, apply: bool
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


# -- clean/ -----------------------------------------------------------------------------------------------------------


def erase_clean(s3: Any, customer: Customer, settings: Settings, *, apply: bool) -> dict[str, int]:
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
        raw for raw in _objects(s3, settings.bucket, f"clean/feed={customer.feed}/") if raw.key.endswith(".parquet")
    ]
    with ThreadPoolExecutor(2) as pool:  # each thread holds a file of up to compact_target_bytes
        return {"clean_rows": sum(pool.map(rewrite, objects))}


# -- all of the lake --------------------------------------------------------------------------------------------------


def erase_from_lake(
    s3: Any, target: Warehouse, customer: Customer, settings: Settings, *, apply: bool
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


# -- the warehouse ----------------------------------------------------------------------------------------------------


# The transaction that erases a customer. These statements precede erase.sql of each table that names customers.
ERASE = ("ops/load/lock_staging.sql", "ops/load/empty_staging.sql", "ops/erase/mark_stale_dates.sql")


def erase_core(target: Warehouse, customer: Customer, settings: Settings, *, request: str) -> None:
    """Erases the customer from the feed's tables in one transaction, and marks their days for every mart of the feed.

    Args:
        target: the warehouse.
        customer: the customer.
        settings: the settings.
        request: the name of the change in ops.stale_date.
    """
    names = {
        "staging": customer.contract.staging,
        "fact": customer.contract.tables[0],
        "customer": customer.erasure.customer,
    }
    steps = [*ERASE, *(f"{table.replace('.', '/')}/erase.sql" for table in customer.erasure.tables)]
    values = {"feed": customer.feed, "customer_id": customer.name, "request": request}
    target.run(texts(settings.sql_dir, steps, names), values, name=f"erase {request}")


def count_in_warehouse(target: Warehouse, customer: Customer, settings: Settings) -> dict[str, int]:
    """Returns the number of rows that name the customer, by table with a column for the feed's customers."""
    sql = (settings.sql_dir / "ops/erase_search/columns.sql").read_text("utf-8")
    count = (settings.sql_dir / "ops/erase_search/count.sql").read_text("utf-8")
    columns = {customer.erasure.customer, customer.erasure.customer.replace("_", "")}
    found = {}
    for table, column in target.query(sql):
        if column in columns:
            names = {"table": table, "customer": column}
            found[table] = int(target.query(render(count, names), {"customer_id": customer.name})[0][0])
    return found
