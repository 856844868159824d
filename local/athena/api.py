"""Athena's JSON API: workgroups, named queries, and queries that read the same objects as Athena."""

from __future__ import annotations

import csv
import io
import json
import logging
import re
import tempfile
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
from botocore import xform_name
from botocore.config import Config

from local.athena.metadata import CATALOG, Metadata, check_catalog
from local.athena.query import Query
from local.athena.results import QueryFailed, Result, column_info
from local.protocol import ApiError, JsonService

log = logging.getLogger("athena")

ENGINE = {"SelectedEngineVersion": "AUTO", "EffectiveEngineVersion": "Athena engine version 3"}
DEFAULTS = {
    "EnforceWorkGroupConfiguration": False,
    "PublishCloudWatchMetricsEnabled": False,
    "RequesterPaysEnabled": False,
    "EngineVersion": ENGINE,
}
ENDED = {"SUCCEEDED", "FAILED", "CANCELLED"}
PAGE = 1000  # maximum page of GetQueryResults: Athena API reference
KEPT_QUERIES = 1000


class Athena(JsonService):
    """Stores workgroups and named queries in a file, and keeps queries and their results while the process runs.

    Args:
        state_file: stores workgroups and named queries.
        glue_url: URL of the Data Catalog.
    """

    def __init__(self, state_file: Path, glue_url: str) -> None:
        super().__init__("athena", "Amazon Athena")
        self.file = state_file
        self.s3 = boto3.client("s3", config=Config(max_pool_connections=16))
        self.glue = boto3.client("glue", endpoint_url=glue_url)
        self.lock = threading.RLock()
        self.pool = ThreadPoolExecutor(4, "athena")
        kept = json.loads(state_file.read_text()) if state_file.exists() else {}
        self.workgroups: dict[str, dict[str, Any]] = kept.get(
            "workgroups", {"primary": {"Name": "primary", "Configuration": DEFAULTS}}
        )
        self.named: dict[str, dict[str, Any]] = kept.get("named", {})
        self.queries: dict[str, dict[str, Any]] = {}
        self.results: dict[str, Result] = {}
        names = [
            "CreateWorkGroup",
            "UpdateWorkGroup",
            "DeleteWorkGroup",
            "GetWorkGroup",
            "ListWorkGroups",
            "CreateNamedQuery",
            "UpdateNamedQuery",
            "DeleteNamedQuery",
            "GetNamedQuery",
            "BatchGetNamedQuery",
            "ListNamedQueries",
            "StartQueryExecution",
            "GetQueryExecution",
            "BatchGetQueryExecution",
            "ListQueryExecutions",
            "GetQueryResults",
            "StopQueryExecution",
        ]
        metadata = Metadata(self.glue)
        of_catalog = [
            "GetTableMetadata",
            "ListTableMetadata",
            "ListDatabases",
            "GetDatabase",
            "ListDataCatalogs",
            "GetDataCatalog",
        ]
        self.operations = {name: getattr(self, xform_name(name)) for name in names} | {
            name: getattr(metadata, xform_name(name)) for name in of_catalog
        }

    def close(self) -> None:
        self.pool.shutdown(wait=False, cancel_futures=True)

    def _save(self) -> None:
        part = self.file.with_suffix(".part")
        part.write_text(json.dumps({"workgroups": self.workgroups, "named": self.named}))
        part.replace(self.file)

    # -- workgroups -----------------------------------------------------------------------------------------------

    def _workgroup(self, name: str) -> dict[str, Any]:
        if name not in self.workgroups:
            raise ApiError(
                "InvalidRequestException", f"WorkGroup {name} is not found.", AthenaErrorCode="WORKGROUP_NOT_FOUND"
            )
        return self.workgroups[name]

    def create_work_group(self, r: dict[str, Any]) -> dict[str, Any]:
        with self.lock:
            if r["Name"] in self.workgroups:
                raise ApiError("InvalidRequestException", f"WorkGroup {r['Name']} is already created.")
            kept = {k: v for k, v in r.items() if k in {"Name", "Description"}}
            configuration = DEFAULTS | r.get("Configuration", {})
            self.workgroups[r["Name"]] = kept | {
                "State": "ENABLED",
                "CreationTime": time.time(),
                "Configuration": configuration,
            }
            self._save()
        return {}

    def update_work_group(self, r: dict[str, Any]) -> dict[str, Any]:
        with self.lock:
            workgroup = self._workgroup(r["WorkGroup"])
            updates = dict(r.get("ConfigurationUpdates", {}))
            if "ResultConfigurationUpdates" in updates:
                new = updates.pop("ResultConfigurationUpdates")
                updates["ResultConfiguration"] = workgroup["Configuration"].get("ResultConfiguration", {}) | new
            workgroup["Configuration"] |= updates
            workgroup |= {k: r[k] for k in ("Description", "State") if k in r}
            self._save()
        return {}

    def delete_work_group(self, r: dict[str, Any]) -> dict[str, Any]:
        with self.lock:
            self._workgroup(r["WorkGroup"])
            inside = [n for n in self.named.values() if n["WorkGroup"] == r["WorkGroup"]]
            if inside and not r.get("RecursiveDeleteOption"):
                raise ApiError("InvalidRequestException", f"WorkGroup {r['WorkGroup']} is not empty")
            del self.workgroups[r["WorkGroup"]]
            for query in inside:
                del self.named[query["NamedQueryId"]]
            self._save()
        return {}

    def get_work_group(self, r: dict[str, Any]) -> dict[str, Any]:
        return {"WorkGroup": self._workgroup(r["WorkGroup"])}

    def list_work_groups(self, r: dict[str, Any]) -> dict[str, Any]:
        return {"WorkGroups": [{"Name": n, "State": "ENABLED"} for n in sorted(self.workgroups)]}

    # -- named queries --------------------------------------------------------------------------------------------

    def _named(self, query_id: str) -> dict[str, Any]:
        if query_id not in self.named:
            raise ApiError("InvalidRequestException", f"NamedQuery {query_id} was not found")
        return self.named[query_id]

    def create_named_query(self, r: dict[str, Any]) -> dict[str, Any]:
        with self.lock:
            workgroup = r.get("WorkGroup", "primary")
            self._workgroup(workgroup)
            query_id = str(uuid.uuid4())
            self.named[query_id] = {k: v for k, v in r.items() if k != "ClientRequestToken"} | {
                "NamedQueryId": query_id,
                "WorkGroup": workgroup,
            }
            self._save()
        return {"NamedQueryId": query_id}

    def update_named_query(self, r: dict[str, Any]) -> dict[str, Any]:
        with self.lock:
            self._named(r["NamedQueryId"]).update(r)
            self._save()
        return {}

    def delete_named_query(self, r: dict[str, Any]) -> dict[str, Any]:
        with self.lock:
            self._named(r["NamedQueryId"])
            del self.named[r["NamedQueryId"]]
            self._save()
        return {}

    def get_named_query(self, r: dict[str, Any]) -> dict[str, Any]:
        return {"NamedQuery": self._named(r["NamedQueryId"])}

    def batch_get_named_query(self, r: dict[str, Any]) -> dict[str, Any]:
        return {"NamedQueries": [self._named(query_id) for query_id in r["NamedQueryIds"]]}

    def list_named_queries(self, r: dict[str, Any]) -> dict[str, Any]:
        workgroup = r.get("WorkGroup", "primary")
        return {"NamedQueryIds": [i for i, n in self.named.items() if n["WorkGroup"] == workgroup]}

    # -- queries --------------------------------------------------------------------------------------------------

    def start_query_execution(self, r: dict[str, Any]) -> dict[str, Any]:
        token = r.get("ClientRequestToken")
        with self.lock:
            same = [q for q in self.queries.values() if token and q["Token"] == token]
            if same:
                return {"QueryExecutionId": same[0]["QueryExecutionId"]}
            workgroup = self._workgroup(r.get("WorkGroup", "primary"))
            given = r.get("ResultConfiguration", {}).get("OutputLocation")
            own = workgroup["Configuration"].get("ResultConfiguration", {}).get("OutputLocation")
            forced = workgroup["Configuration"].get("EnforceWorkGroupConfiguration", False)
            location = own if forced or not given else given
            if not location:
                raise ApiError(
                    "InvalidRequestException",
                    "No output location provided. An output location is required either "
                    "through the Workgroup result configuration setting or as an API input.",
                )
            context = dict(r.get("QueryExecutionContext", {}))
            check_catalog(context.get("Catalog", CATALOG))
            query_id = str(uuid.uuid4())
            kind = _statement_type(r["QueryString"])
            self.queries[query_id] = {
                "QueryExecutionId": query_id,
                "Query": r["QueryString"],
                "StatementType": kind,
                "Token": token,
                "Parameters": r.get("ExecutionParameters", []),
                "ResultConfiguration": {
                    "OutputLocation": f"{location.rstrip('/')}/{query_id}.{'txt' if kind == 'UTILITY' else 'csv'}"
                },
                "QueryExecutionContext": context,
                "WorkGroup": workgroup["Name"],
                "Status": {"State": "QUEUED", "SubmissionDateTime": time.time()},
                "Statistics": {},
                "EngineVersion": ENGINE,
            }
            for oldest in list(self.queries)[:-KEPT_QUERIES]:
                if self.queries[oldest]["Status"]["State"] in ENDED:
                    del self.queries[oldest]
                    self.results.pop(oldest, None)
        self.pool.submit(self._execute, self.queries[query_id])
        return {"QueryExecutionId": query_id}

    def _execute(self, query: dict[str, Any]) -> None:
        began = time.monotonic()
        with self.lock:
            if query["Status"]["State"] != "QUEUED":
                return  # canceled
            query["Status"]["State"] = "RUNNING"
        ended: dict[str, Any] = {"State": "SUCCEEDED"}
        statistics: dict[str, Any] = {}
        try:
            with tempfile.TemporaryDirectory(prefix="athena-") as work:
                database = query["QueryExecutionContext"].get("Database", "default").strip("`")
                result = Query(self.s3, self.glue, Path(work)).run(
                    query["Query"], database, query["Parameters"], query["ResultConfiguration"]["OutputLocation"]
                )
            statistics = {"DataScannedInBytes": result.scanned_bytes}
            if result.manifest:
                statistics["DataManifestLocation"] = result.manifest
            else:
                self._write(query, result)
        except QueryFailed as error:
            ended = {
                "State": "FAILED",
                "StateChangeReason": str(error),
                "AthenaError": {"ErrorCategory": 2, "ErrorMessage": str(error)},
            }
        except Exception as error:
            log.exception("query=%s", query["QueryExecutionId"])
            ended = {
                "State": "FAILED",
                "StateChangeReason": f"GENERIC_INTERNAL_ERROR: {error!r}",
                "AthenaError": {"ErrorCategory": 1, "ErrorMessage": repr(error)},
            }
        milliseconds = int((time.monotonic() - began) * 1000)
        with self.lock:
            query["Statistics"] = {
                "DataScannedInBytes": 0,
                "EngineExecutionTimeInMillis": milliseconds,
                "TotalExecutionTimeInMillis": milliseconds,
            } | statistics
            if query["Status"]["State"] != "CANCELLED":
                if ended["State"] == "SUCCEEDED":
                    self.results[query["QueryExecutionId"]] = result
                query["Status"] |= ended | {"CompletionDateTime": time.time()}

    def _write(self, query: dict[str, Any], result: Result) -> None:
        """Writes the result to the location of Athena.

        Every value is quoted and NULL is empty; the lines of SHOW and DESCRIBE are written unchanged.
        """
        out = io.StringIO()
        quoted = csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\n")
        if result.has_header:
            quoted.writerow([name for name, _ in result.columns])
        else:
            out.write("\n".join(str(line) for (line,) in result.rows))
        for row in result.rows if result.has_header else []:
            cells = ("" if value is None else '"' + value.replace('"', '""') + '"' for value in row)
            out.write(",".join(cells) + "\n")
        bucket, _, key = query["ResultConfiguration"]["OutputLocation"].removeprefix("s3://").partition("/")
        self.s3.put_object(Bucket=bucket, Key=key, Body=out.getvalue().encode())

    def _query(self, query_id: str) -> dict[str, Any]:
        if query_id not in self.queries:
            raise ApiError("InvalidRequestException", f"QueryExecution {query_id} was not found")
        return self.queries[query_id]

    def _shown(self, query_id: str) -> dict[str, Any]:
        with self.lock:
            found = self._query(query_id)
            return {
                k: dict(v) if isinstance(v, dict) else v for k, v in found.items() if k not in {"Token", "Parameters"}
            }

    def get_query_execution(self, r: dict[str, Any]) -> dict[str, Any]:
        return {"QueryExecution": self._shown(r["QueryExecutionId"])}

    def batch_get_query_execution(self, r: dict[str, Any]) -> dict[str, Any]:
        return {"QueryExecutions": [self._shown(i) for i in r["QueryExecutionIds"]]}

    def list_query_executions(self, r: dict[str, Any]) -> dict[str, Any]:
        workgroup = r.get("WorkGroup", "primary")
        found = [i for i, q in self.queries.items() if q["WorkGroup"] == workgroup]
        return {"QueryExecutionIds": found[::-1][: r.get("MaxResults", 50)]}

    def get_query_results(self, r: dict[str, Any]) -> dict[str, Any]:
        query = self._query(r["QueryExecutionId"])
        if query["Status"]["State"] != "SUCCEEDED":
            raise ApiError(
                "InvalidRequestException",
                f"Query has not yet finished. Current state: {query['Status']['State']}"
                if query["Status"]["State"] not in ENDED
                else f"Query did not finish successfully. Final query state: {query['Status']['State']}",
            )
        result = self.results[r["QueryExecutionId"]]
        header: list[str | None] = [name for name, _ in result.columns]
        start, size = int(r.get("NextToken", 0)), r.get("MaxResults", PAGE)
        lines = [header, *result.rows] if result.has_header else result.rows
        rows = lines[start : start + size]
        info = [column_info(name, kind) for name, kind in result.columns]
        out = {
            "ResultSet": {
                "Rows": [{"Data": [{} if v is None else {"VarCharValue": v} for v in row]} for row in rows],
                "ResultSetMetadata": {"ColumnInfo": info},
            },
            "UpdateCount": 0,
        }
        return out | ({"NextToken": str(start + size)} if start + size < len(lines) else {})

    def stop_query_execution(self, r: dict[str, Any]) -> dict[str, Any]:
        with self.lock:
            query = self._query(r["QueryExecutionId"])
            if query["Status"]["State"] not in ENDED:
                query["Status"] |= {
                    "State": "CANCELLED",
                    "CompletionDateTime": time.time(),
                    "StateChangeReason": "Query cancelled by user",
                }
        return {}

    def shown(self, query_id: str) -> dict[str, Any]:
        """Returns the content of the page of a query."""
        query = self._shown(query_id)
        return {"SQL": query.pop("Query"), **query}


def _statement_type(sql: str) -> str:
    """Returns DDL for CREATE TABLE AS, UTILITY for SHOW and DESCRIBE, as Athena does, and else DML."""
    if re.match(r"(\s|--[^\n]*\n|/\*.*?\*/)*(SHOW|DESC|DESCRIBE)\b", sql, re.IGNORECASE | re.DOTALL):
        return "UTILITY"
    return "DDL" if re.match(r"\s*CREATE\b", sql, re.IGNORECASE) else "DML"
