"""Finds and deletes staged files and tables of exports to BigQuery that name a customer. See docs/adr/0021 and 0043.

An export removes its files and tables when it ends. Those of a dead export expire a day later, by lifecycle rules of
the buckets and the expiration of the tables. An erasure does not wait for that.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from ecommerce_elt import listing
from ecommerce_elt.bigquery.exports import UNLOADED
from ecommerce_elt.bigquery.place import Place
from ecommerce_elt.bigquery.statements import explained_errors
from ecommerce_elt.bigquery.tables import rows_of_customer
from ecommerce_elt.settings import Settings

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client


@dataclass(frozen=True)
class Staged:
    """The staged data that names the customer.

    Args:
        lake: the keys of files in the lake.
        cloud_storage: the names of objects in Google's bucket.
        tables: the full names of tables in the staging data set, with project and data set.
    """

    lake: tuple[str, ...]
    cloud_storage: tuple[str, ...]
    tables: tuple[str, ...]

    def counts(self) -> dict[str, int]:
        """Returns the number of files, objects and tables that name the customer."""
        return {
            "bigquery_files": len(self.lake),
            "cloud_storage_objects": len(self.cloud_storage),
            "bigquery_staged_tables": len(self.tables),
        }


def find(
    s3: S3Client, bucket: Any, client: Any, where: Place, settings: Settings, *, column: str, customer: str
) -> Staged:
    """Searches each staged file and table, one file at a time, and returns those that name the customer.

    Args:
        s3: boto3 client.
        bucket: the bucket in Cloud Storage.
        client: the client of BigQuery.
        where: the location of the tables.
        settings: the settings.
        column: the column that names customers in their feed; files and tables without it name nobody.
        customer: the customer.
    """

    def names(download: Callable[[str], object]) -> bool:
        with tempfile.TemporaryDirectory(prefix="erase-", dir=settings.work_dir) as folder:
            path = Path(folder) / "part.parquet"
            download(str(path))
            return _names(path, column, customer)

    keys = [
        entry["Key"] for entry in listing.objects(s3, settings.bucket, UNLOADED) if entry["Key"].endswith(".parquet")
    ]
    lake = tuple(key for key in keys if names(partial(_download, s3, settings.bucket, key)))
    with explained_errors():
        blobs = [blob for blob in bucket.list_blobs() if blob.name.endswith(".parquet")]
        objects = tuple(blob.name for blob in blobs if names(blob.download_to_filename))
    tables = tuple(_tables(client, where, column, customer, settings.sql_dir))
    return Staged(lake, objects, tables)


def _download(s3: S3Client, bucket: str, key: str, path: str) -> None:
    with Path(path).open("wb") as out:
        shutil.copyfileobj(s3.get_object(Bucket=bucket, Key=key)["Body"], out)


def _names(path: Path, column: str, customer: str) -> bool:
    if column not in pq.read_schema(path).names:
        return False
    named = pc.equal(pq.read_table(path, columns=[column]).column(0), customer)
    return bool(pc.any(named).as_py())


def _tables(client: Any, where: Place, column: str, customer: str, sql_dir: Path) -> Iterator[str]:
    with explained_errors():
        staged = [f"{t.project}.{t.dataset_id}.{t.table_id}" for t in client.list_tables(where.staging)]
    for table in staged:
        with explained_errors():
            has_column = column in {field.name for field in client.get_table(table).schema}
        if has_column and rows_of_customer(client, table, column, customer, sql_dir):
            yield table


def remove(s3: S3Client, bucket: Any, client: Any, settings: Settings, staged: Staged) -> None:
    """Deletes the found data. An export that was about to load it fails, and the next export brings its rows."""
    for key in staged.lake:
        s3.delete_object(Bucket=settings.bucket, Key=key)
    for name in staged.cloud_storage:
        with explained_errors():
            bucket.blob(name).delete()
    for table in staged.tables:
        with explained_errors():
            client.delete_table(table, not_found_ok=True)
