"""The JSON API of AWS Glue with crawlers and jobs. Calls of the Data Catalog are forwarded to MiniStack."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import boto3
from botocore import xform_name
from botocore.config import Config
from botocore.exceptions import ClientError

from local.glue.crawler_operations import Crawlers
from local.glue.job_operations import Jobs
from local.glue.search import search
from local.glue.state import State
from local.protocol import ApiError, JsonService

CATALOG = re.compile(r"Database|Table|Partition|ColumnStatistics|UserDefinedFunction|Tag")
OF_CRAWLERS = (
    "CreateCrawler",
    "UpdateCrawler",
    "DeleteCrawler",
    "GetCrawler",
    "GetCrawlers",
    "ListCrawlers",
    "StartCrawler",
    "GetCrawlerMetrics",
    "ListCrawls",
)
OF_JOBS = (
    "CreateJob",
    "UpdateJob",
    "DeleteJob",
    "GetJob",
    "GetJobs",
    "ListJobs",
    "StartJobRun",
    "GetJobRun",
    "GetJobRuns",
    "BatchStopJobRun",
)


class Glue(JsonService):
    """Crawlers, jobs and their runs. Their definitions and histories are stored in a file.

    Args:
        state_file: stores crawlers, jobs, crawls and runs across restarts.
        logs: folder of the logs of job runs.
        catalog_url: URL of MiniStack, which stores the Data Catalog.
    """

    def __init__(self, state_file: Path, logs: Path, catalog_url: str) -> None:
        super().__init__("glue", "AWS Glue")
        s3 = boto3.client("s3", config=Config(max_pool_connections=16))
        self.catalog = boto3.client("glue", endpoint_url=catalog_url)
        self.pool = ThreadPoolExecutor(8, "glue")
        state = State(state_file)
        crawlers, self.jobs = Crawlers(state, s3, self.catalog, self.pool), Jobs(state, s3, logs, self.pool)
        self.operations = {
            **{name: self._forwarded(name) for name in self.model.operation_names if CATALOG.search(name)},
            **{name: getattr(crawlers, xform_name(name)) for name in OF_CRAWLERS},
            **{name: getattr(self.jobs, xform_name(name)) for name in OF_JOBS},
            "SearchTables": self.search_tables,
        }

    def close(self) -> None:
        """Ends the runs of jobs; their state is FAILED when the stand-in starts again."""
        self.jobs.close()
        self.pool.shutdown(wait=False, cancel_futures=True)

    def _forwarded(self, operation: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
        call = getattr(self.catalog, xform_name(operation))

        def forward(request: dict[str, Any]) -> dict[str, Any]:
            try:
                found = call(**request)
            except ClientError as error:
                raise ApiError(error.response["Error"]["Code"], error.response["Error"]["Message"]) from error
            found.pop("ResponseMetadata", None)
            return dict(json.loads(json.dumps(found, default=_seconds)))

        return forward

    def search_tables(self, r: dict[str, Any]) -> dict[str, Any]:
        databases = self._forwarded("GetDatabases")({})["DatabaseList"]
        tables = self._forwarded("GetTables")
        return search([t for database in databases for t in tables({"DatabaseName": database["Name"]})["TableList"]], r)

    def shown_table(self, name: str) -> dict[str, Any]:
        """Returns the content of the page of a table, named database.table."""
        database, _, table = name.partition(".")
        found = self._forwarded("GetTable")({"DatabaseName": database, "Name": table})["Table"]
        storage = found["StorageDescriptor"]
        kept = self._forwarded("GetPartitions")({"DatabaseName": database, "TableName": table})["Partitions"]
        columns = [*storage["Columns"], *found.get("PartitionKeys", [])]
        return {
            "Location": storage["Location"],
            "Columns": "\n".join(f"{c['Name']}  {c['Type']}" for c in columns),
            "Partitions": f"{len(kept)}, the last one {max((p['Values'] for p in kept), default=None)}",
            "Parameters": found.get("Parameters", {}),
        }


def _seconds(value: Any) -> float:
    if isinstance(value, datetime):
        return value.timestamp()
    raise TypeError(f"{type(value)} is not JSON")
