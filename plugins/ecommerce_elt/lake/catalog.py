"""Updates the feeds' tables and partitions in the Glue catalog to the lists of the lake."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from more_itertools import chunked

from ecommerce_elt import aws_names
from ecommerce_elt.errors import PermanentError
from ecommerce_elt.lake.lists import PUBLISHED, days, folder_of
from ecommerce_elt.settings import Settings

if TYPE_CHECKING:
    from types_boto3_glue.client import GlueClient
    from types_boto3_glue.type_defs import (
        BatchUpdatePartitionRequestEntryTypeDef,
        ColumnOutputTypeDef,
        PartitionInputTypeDef,
        StorageDescriptorTypeDef,
        TableInputTypeDef,
    )
    from types_boto3_s3.client import S3Client

PARTITIONS_A_CALL = 100  # BatchCreatePartition: Glue API reference
SYMLINK_INPUT = "org.apache.hadoop.hive.ql.io.SymlinkTextInputFormat"
SYMLINK_OUTPUT = "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat"


def publish_tables(glue: GlueClient, s3: S3Client, feeds: Iterable[str], settings: Settings) -> dict[str, int]:
    """Updates each feed's table in the Glue catalog to the lists, and returns the number of new partitions by table.

    A table has the columns of `clean_feed_<feed>`, the table that the crawler made from the feed's files.
    """
    created = {}
    for feed in feeds:
        known = days(s3, settings.bucket, feed)
        if not known:
            continue  # no event of the feed was loaded yet
        try:
            crawled = glue.get_table(DatabaseName=settings.lake_database, Name=f"clean_feed_{feed}")["Table"]
        except glue.exceptions.EntityNotFoundException as error:
            raise PermanentError(
                f"table {settings.lake_database}.clean_feed_{feed} is missing, although feed {feed} has files: "
                f"look at the last run of crawler {aws_names.crawler(settings.stack_prefix, 'clean')}"
            ) from error
        columns = crawled["StorageDescriptor"]["Columns"]
        _publish_table(glue, feed, columns, settings)
        created[feed] = _publish_partitions(glue, feed, columns, known, settings)
    return created


def _storage(location: str, columns: list[ColumnOutputTypeDef]) -> StorageDescriptorTypeDef:
    serde = "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"
    return {
        "Columns": columns,
        "Location": location,
        "InputFormat": SYMLINK_INPUT,
        "OutputFormat": SYMLINK_OUTPUT,
        "SerdeInfo": {"SerializationLibrary": serde, "Parameters": {"serialization.format": "1"}},
    }


def _publish_table(glue: GlueClient, feed: str, columns: list[ColumnOutputTypeDef], settings: Settings) -> None:
    location = f"s3://{settings.bucket}/{PUBLISHED}feed={feed}/"
    table: TableInputTypeDef = {
        "Name": feed,
        "Description": f"Events of {feed}, each once. dt is the day of event_time.",
        "TableType": "EXTERNAL_TABLE",
        "PartitionKeys": [{"Name": "dt", "Type": "string"}],
        "StorageDescriptor": _storage(location, columns),
        "Parameters": {"EXTERNAL": "TRUE", "classification": "parquet"},
    }
    try:
        old = glue.get_table(DatabaseName=settings.lake_database, Name=feed)["Table"]
    except glue.exceptions.EntityNotFoundException:
        glue.create_table(DatabaseName=settings.lake_database, TableInput=table)
        return
    if old["StorageDescriptor"]["Columns"] != columns:
        glue.update_table(DatabaseName=settings.lake_database, TableInput=table)


def _publish_partitions(
    glue: GlueClient, feed: str, columns: list[ColumnOutputTypeDef], known: list[str], settings: Settings
) -> int:
    target: Any = {"DatabaseName": settings.lake_database, "TableName": feed}
    pages = glue.get_paginator("get_partitions").paginate(**target)
    there = {p["Values"][0]: p["StorageDescriptor"]["Columns"] for page in pages for p in page["Partitions"]}

    def partition(day: str) -> PartitionInputTypeDef:
        location = f"s3://{settings.bucket}/{folder_of(feed, day)}"
        return {"Values": [day], "StorageDescriptor": _storage(location, columns)}

    new = [day for day in known if day not in there]
    changed = [day for day in known if day in there and there[day] != columns]
    for some in chunked(new, PARTITIONS_A_CALL):
        _refuse(glue.batch_create_partition(PartitionInputList=[partition(day) for day in some], **target))
    for some in chunked(changed, PARTITIONS_A_CALL):
        entries: list[BatchUpdatePartitionRequestEntryTypeDef] = [
            {"PartitionValueList": [day], "PartitionInput": partition(day)} for day in some
        ]
        _refuse(glue.batch_update_partition(Entries=entries, **target))
    return len(new)


def _refuse(answer: Mapping[str, Any]) -> None:
    errors = [e for e in answer.get("Errors", []) if e["ErrorDetail"]["ErrorCode"] != "AlreadyExistsException"]
    if errors:
        raise PermanentError(f"the catalog refused a partition: {errors[0]}")
