"""What exports to BigQuery left on their way and names a customer. See docs/adr/0021 and 0043.

An export removes its files and tables when it ends. What one that died left ends a day later, by the rules of the buckets and the
expiration of the tables; an erasure does not wait for that.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from ecommerce_elt import listing
from ecommerce_elt.bigquery import tables as bigquery_tables
from ecommerce_elt.bigquery.exports import UNLOADED
from ecommerce_elt.bigquery.tables import Place
from ecommerce_elt.settings import Settings


@dataclass(frozen=True)
class Staged:
    """What names the customer.

    Args:
        lake: keys of the lake.
        cloud_storage: names of objects in Google's bucket.
        tables: of the staging data set, with project and data set.
    """

    lake: tuple[str, ...]
    cloud_storage: tuple[str, ...]
    tables: tuple[str, ...]

    def counts(self) -> dict[str, int]:
        """Returns layer to how much of it names the customer."""
        return {
            "bigquery_files": len(self.lake),
            "cloud_storage_objects": len(self.cloud_storage),
            "bigquery_staged_tables": len(self.tables),
        }


def find(s3: Any, bucket: Any, client: Any, where: Place, settings: Settings, *, column: str, customer: str) -> Staged:
    """Searches each file and each table that is on its way; reads one file at a time.

    Args:
        s3: boto3 client.
        bucket: of Cloud Storage; `client`: of BigQuery.
        column: that names customers in their feed; files and tables without it name nobody.
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
    with bigquery_tables.told():
        blobs = [blob for blob in bucket.list_blobs() if blob.name.endswith(".parquet")]
        objects = tuple(blob.name for blob in blobs if names(blob.download_to_filename))
    tables = tuple(_tables(client, where, column, customer, settings.sql_dir))
    return Staged(lake, objects, tables)


def _download(s3: Any, bucket: str, key: str, path: str) -> None:
    with Path(path).open("wb") as out:
        shutil.copyfileobj(s3.get_object(Bucket=bucket, Key=key)["Body"], out)


def _names(path: Path, column: str, customer: str) -> bool:
    if column not in pq.read_schema(path).names:
        return False
    named = pc.equal(pq.read_table(path, columns=[column]).column(0), customer)
    return bool(pc.any(named).as_py())


def _tables(client: Any, where: Place, column: str, customer: str, sql_dir: Path) -> Iterator[str]:
    with bigquery_tables.told():
        staged = [f"{t.project}.{t.dataset_id}.{t.table_id}" for t in client.list_tables(where.staging)]
    for table in staged:
        with bigquery_tables.told():
            has_column = column in {field.name for field in client.get_table(table).schema}
        if has_column and bigquery_tables.rows_of_customer(client, table, column, customer, sql_dir):
            yield table


def remove(s3: Any, bucket: Any, client: Any, settings: Settings, staged: Staged) -> None:
    """Deletes what was found. An export that still had it to load fails, and the next one brings what it had."""
    for key in staged.lake:
        s3.delete_object(Bucket=settings.bucket, Key=key)
    for name in staged.cloud_storage:
        with bigquery_tables.told():
            bucket.blob(name).delete()
    for table in staged.tables:
        with bigquery_tables.told():
            client.delete_table(table, not_found_ok=True)
