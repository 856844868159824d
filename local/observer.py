"""Counts what is in every layer of a running stack, by independent means."""

from __future__ import annotations

import gzip
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from ecommerce_elt.batches.manifests import OPEN, feed_of_key
from ecommerce_elt.dashboards.data_sets import DATA_SETS, utc
from ecommerce_elt.feeds.contracts import Contract, load_contracts
from ecommerce_elt.warehouse.redshift import Warehouse

from local.stack import ACCOUNT, PREFIX, PROJECT_DIR, Stack

if TYPE_CHECKING:
    from types_boto3_dynamodb.client import DynamoDBClient
    from types_boto3_quicksight.client import QuickSightClient
    from types_boto3_s3.client import S3Client
    from types_boto3_sqs.client import SQSClient
    from types_boto3_sqs.literals import QueueAttributeNameType


@dataclass(frozen=True)
class Observer:
    """Counts the layers by independent means: objects in S3, rows of the audit, rows of core."""

    s3: S3Client
    sqs: SQSClient
    warehouse: Warehouse
    bucket: str
    queue_url: str
    contracts: dict[str, Contract]
    dynamodb: DynamoDBClient
    quicksight: QuickSightClient

    @classmethod
    def of(cls, stack: Stack) -> Observer:
        env, sqs = stack.user_environment(), stack.client("sqs")
        url = sqs.get_queue_url(QueueName=env["ECOMMERCE_RAW_OBJECTS_QUEUE"])["QueueUrl"]
        contracts = load_contracts(PROJECT_DIR / "include" / "feeds")
        target = Warehouse(stack.client("redshift-data"), "ecommerce", "ecommerce")
        others = (stack.client("dynamodb"), stack.client("quicksight"))
        return cls(stack.client("s3"), sqs, target, env["ECOMMERCE_BUCKET"], url, contracts, *others)

    def keys(self, prefix: str) -> set[str]:
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        return {entry["Key"] for page in pages for entry in page.get("Contents", [])}

    def stored(self) -> set[str]:
        """Returns the keys of all objects with events as they arrived: raw objects and unreadable records."""
        return self.keys("raw/") | self.keys("quarantine/unreadable/")

    def lines(self, keys: set[str]) -> Counter[str]:
        """Returns the events in the objects by feed; records that are not envelopes have the feed UNREADABLE."""

        def count(key: str) -> tuple[str, int]:
            body = gzip.decompress(self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read())
            return feed_of_key(key), body.count(b"\n")

        found: Counter[str] = Counter()
        with ThreadPoolExecutor(8) as pool:
            for feed, lines in pool.map(count, keys):
                found[feed] += lines
        return found

    def audit(self) -> dict[str, dict[str, int]]:
        rows = self.warehouse.query(
            "SELECT feed, SUM(accepted), SUM(clean), SUM(quarantined), SUM(duplicates) FROM ops.batch_audit GROUP BY feed"
        )
        names = ("accepted", "clean", "quarantined", "duplicates")
        return {row[0]: {n: int(v) for n, v in zip(names, row[1:], strict=True)} for row in rows}

    def core(self) -> dict[str, tuple[int, int]]:
        """Returns (rows, distinct event ids) of each feed's fact table."""
        found = {}
        for feed, contract in self.contracts.items():
            [row] = self.warehouse.query(f"SELECT COUNT(*), COUNT(DISTINCT event_id) FROM {contract.tables[0]}")  # noqa: S608
            found[feed] = (int(row[0]), int(row[1]))
        return found

    def ways(self) -> dict[str, tuple[int, Decimal]]:
        """Returns (lines, sum) of the invoice lines in the store of each of the three ways through the stream."""
        pages = self.dynamodb.get_paginator("scan").paginate(
            TableName=f"{PREFIX}-customers",
            ProjectionExpression="LineCount, #total",
            ConsistentRead=True,
            ExpressionAttributeNames={"#total": "Total"},
        )
        items = [item for page in pages for item in page["Items"]]
        kept = (
            sum(int(i["LineCount"]["N"]) for i in items),
            sum((Decimal(i["Total"]["N"]) for i in items), Decimal(0)),
        )
        [[rows, amount]] = self.warehouse.query("SELECT COUNT(*), SUM(amount) FROM core.fact_invoice_line")
        [[copies, copied]] = self.warehouse.query(
            "SELECT COUNT(*), SUM(Quantity * UnitPrice) FROM core.firehose_transactions_once"
        )
        return {
            "load_events": (int(rows), Decimal(amount or 0)),
            "dynamodb_writer": kept,
            "Firehose": (int(copies), Decimal(copied or 0)),
        }

    def stale_marts(self) -> int:
        """Returns how many marts are behind core."""
        [[behind]] = self.warehouse.query(
            "SELECT COUNT(DISTINCT mart) FROM ops.stale_date WHERE mart NOT LIKE 'bigquery.%'"
        )
        return int(behind)

    def dashboards(self) -> dict[str, int | None]:
        """Returns the rows of each data set's last refresh, or None if its marts were published after it began."""
        rows = self.warehouse.query("SELECT mart, published_at FROM ops.mart_build WHERE published_at IS NOT NULL")
        published = {mart: utc(at) for mart, at in rows}
        found: dict[str, int | None] = {}
        for data_set in DATA_SETS:
            past = self.quicksight.list_ingestions(AwsAccountId=ACCOUNT, DataSetId=data_set.physical_id(PREFIX))
            good = [i for i in past["Ingestions"] if i["IngestionStatus"] == "COMPLETED"]
            changed = max((published[m] for m in data_set.marts if m in published), default=None)
            fresh = bool(good) and (changed is None or good[0]["CreatedTime"] >= changed)
            found[data_set.id] = good[0]["RowInfo"]["RowsIngested"] if fresh else None
        return found

    def is_idle(self) -> bool:
        """Returns whether no message is waiting or being processed, and no batch is open."""
        names: list[QueueAttributeNameType] = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        attributes = self.sqs.get_queue_attributes(QueueUrl=self.queue_url, AttributeNames=names)["Attributes"]
        return not any(int(attributes[name]) for name in names) and not self.keys(OPEN)
