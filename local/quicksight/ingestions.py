"""Ingestions: the SQL of a data set runs on Redshift, and fails with QuickSight's types of errors."""

from __future__ import annotations

import logging
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from local.protocol import ApiError
from local.quicksight.state import State, described

log = logging.getLogger(__name__)

DAY_SECONDS = 86_400
# Maps data types of the Data API's column metadata to those of a data set's input columns.
TYPES = {
    "varchar": "STRING",
    "bpchar": "STRING",
    "int2": "INTEGER",
    "int4": "INTEGER",
    "int8": "INTEGER",
    "numeric": "DECIMAL",
    "float4": "DECIMAL",
    "float8": "DECIMAL",
    "date": "DATETIME",
    "timestamp": "DATETIME",
    "bool": "BOOLEAN",
}


class Failed(Exception):  # noqa: N818  # the ErrorInfo of an ingestion
    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Ingestions:
    """The ingestions of one account. Those that a restart of the service interrupted have failed."""

    def __init__(self, state: State, redshift: Any, refreshes_a_day: int) -> None:
        self.state, self.redshift, self.refreshes_a_day = state, redshift, refreshes_a_day
        for past in state.ingestions.values():
            for ingestion in past.values():
                if ingestion["IngestionStatus"] in {"INITIALIZED", "QUEUED", "RUNNING"}:
                    self._fail(ingestion, "INTERNAL_SERVICE_ERROR", "the service restarted")
        self.pool = ThreadPoolExecutor(2)

    def close(self) -> None:
        self.pool.shutdown(wait=False, cancel_futures=True)

    def create_ingestion(self, r: dict[str, Any]) -> dict[str, Any]:
        self.state.check_account(r)
        kept = self.state.get("data-set", r["DataSetId"])
        if kept["ImportMode"] != "SPICE":
            raise ApiError("InvalidParameterValueException", f"data set {r['DataSetId']} is not in SPICE")
        if r.get("IngestionType") == "INCREMENTAL_REFRESH":
            raise ApiError(
                "InvalidParameterValueException", f"data set {r['DataSetId']} has no incremental refresh set up"
            )
        return self.begin(r["DataSetId"], r["IngestionId"], by_hand=True) | {
            "Arn": f"{kept['Arn']}/ingestion/{r['IngestionId']}",
            "IngestionId": r["IngestionId"],
            "IngestionStatus": "INITIALIZED",
            "Status": 201,
            "RequestId": str(uuid.uuid4()),
        }

    def begin(self, data_set: str, ingestion_id: str, *, by_hand: bool = False) -> dict[str, Any]:
        with self.state.lock:
            past = self.state.ingestions.setdefault(data_set, {})
            if ingestion_id in past:
                raise ApiError("ResourceExistsException", f"ingestion {ingestion_id} exists already")
            since = time.time() - DAY_SECONDS
            today = sum(i["CreatedTime"] > since and i["RequestSource"] == "MANUAL" for i in past.values())
            if by_hand and self.refreshes_a_day and today >= self.refreshes_a_day:
                raise ApiError(
                    "LimitExceededException",
                    f"data set {data_set} was refreshed {today} times in 24 hours",
                    ResourceType="INGESTION",
                )
            arn = f"{self.state.arn('data-set', data_set)}/ingestion/{ingestion_id}"
            past[ingestion_id] = {
                "Arn": arn,
                "IngestionId": ingestion_id,
                "IngestionStatus": "INITIALIZED",
                "CreatedTime": time.time(),
                "RequestSource": "MANUAL" if by_hand else "SCHEDULED",
                "RequestType": "FULL_REFRESH" if by_hand else "INITIAL_INGESTION",
            }
            self.state.save()
        self.pool.submit(self._ingest, data_set, ingestion_id)
        return {"IngestionArn": arn, "IngestionId": ingestion_id} if not by_hand else {}

    def _ingest(self, data_set: str, ingestion_id: str) -> None:
        ingestion = self.state.ingestions[data_set][ingestion_id]
        began = time.monotonic()
        with self.state.lock:
            ingestion["IngestionStatus"] = "RUNNING"
        try:
            rows = self._rows(data_set)
        except Failed as error:
            self._fail(ingestion, error.kind, str(error))
        except Exception as error:
            log.exception("ingestion=%s", ingestion["Arn"])
            self._fail(ingestion, "INTERNAL_SERVICE_ERROR", repr(error))
        else:
            with self.state.lock:
                ingestion |= {
                    "IngestionStatus": "COMPLETED",
                    "IngestionTimeInSeconds": int(time.monotonic() - began),
                    "RowInfo": {"RowsIngested": rows, "RowsDropped": 0, "TotalRowsInDataset": rows},
                }
                self.state.save()

    def _fail(self, ingestion: dict[str, Any], kind: str, message: str) -> None:
        with self.state.lock:
            ingestion |= {"IngestionStatus": "FAILED", "ErrorInfo": {"Type": kind, "Message": message}}
            self.state.save()

    def _rows(self, data_set: str) -> int:
        """Runs the data set's SQL, verifies the columns of the result, and returns the number of rows."""
        if data_set not in self.state.kept["data-set"]:
            raise Failed("DATA_SET_DELETED", f"data set {data_set} was deleted")
        [table] = self.state.kept["data-set"][data_set]["PhysicalTableMap"].values()
        sql = table["CustomSql"]
        source = self.state.kept["data-source"].get(sql["DataSourceArn"].rsplit("/", 1)[-1])
        if not source:
            raise Failed("DATA_SOURCE_NOT_FOUND", f"{sql['DataSourceArn']} is not found")
        state, columns = self.query(source["DataSourceParameters"]["RedshiftParameters"], sql["SqlQuery"])
        for column in sql["Columns"]:
            found = columns.get(column["Name"])
            if found is None:
                raise Failed("SQL_SCHEMA_MISMATCH_ERROR", f"the result has no column {column['Name']}")
            if found != column["Type"]:
                raise Failed(
                    "SQL_SCHEMA_MISMATCH_ERROR", f"column {column['Name']} is {found}, expected {column['Type']}"
                )
        return int(state["ResultRows"])

    def query(self, source: dict[str, Any], sql: str) -> tuple[dict[str, Any], dict[str, str]]:
        """Runs a query and returns (the described statement, the type of each column)."""
        workgroup = source["Host"].partition(".")[0]  # <workgroup>.<account>.<region>.redshift-serverless.amazonaws.com
        try:
            submitted = self.redshift.execute_statement(Sql=sql, WorkgroupName=workgroup, Database=source["Database"])
            while (state := self.redshift.describe_statement(Id=submitted["Id"], WaitTimeSeconds=20))["Status"] not in {
                "FINISHED",
                "FAILED",
                "ABORTED",
            }:
                continue
            if state["Status"] != "FINISHED":
                missing = "does not exist" in state.get("Error", "")
                raise Failed("SQL_TABLE_NOT_FOUND" if missing else "SQL_EXCEPTION", state.get("Error", state["Status"]))
            page = self.redshift.get_statement_result(Id=submitted["Id"])
        except ClientError as error:
            raise Failed("CONNECTION_FAILURE", str(error)) from error
        except BotoCoreError as error:
            raise Failed("UNROUTABLE_HOST", str(error)) from error
        return state, {c["name"]: TYPES.get(c["typeName"], "STRING") for c in page["ColumnMetadata"]}

    def describe_ingestion(self, r: dict[str, Any]) -> dict[str, Any]:
        self.state.check_account(r)
        found = self.state.ingestions.get(r["DataSetId"], {}).get(r["IngestionId"])
        if not found:
            raise ApiError("ResourceNotFoundException", f"ingestion {r['IngestionId']} is not found")
        return described("Ingestion", dict(found))

    def list_ingestions(self, r: dict[str, Any]) -> dict[str, Any]:
        self.state.check_account(r)
        self.state.get("data-set", r["DataSetId"])
        newest = sorted(self.state.ingestions.get(r["DataSetId"], {}).values(), key=lambda i: -i["CreatedTime"])
        size = r.get("MaxResults", 100)
        start = int(r.get("NextToken", 0))
        out = described("Ingestions", [dict(i) for i in newest[start : start + size]])
        return out | ({"NextToken": str(start + size)} if start + size < len(newest) else {})
