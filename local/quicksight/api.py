"""The operations of QuickSight that the product uses: sources, data sets, ingestions, analyses, dashboards; and users.

An ingestion runs the SQL of the data set on Redshift, and fails with QuickSight's error types. A definition is
validated as in QuickSight: its data sets must exist and have the columns that its visuals use.
"""

from __future__ import annotations

import json
import logging
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from local.protocol import ApiError, RestService

log = logging.getLogger(__name__)

DAY_SECONDS = 86_400
KINDS = ("data-source", "data-set", "analysis", "dashboard")
NAMESPACE = "default"  # the namespace that every account has
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


class _Failed(Exception):  # noqa: N818  # the ErrorInfo of an ingestion
    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class QuickSight(RestService):
    """QuickSight of one account in one region."""

    def __init__(self, state_file: Path, account: str, redshift: Any, refreshes_a_day: int = 32) -> None:
        super().__init__("quicksight", "QuickSight")
        self.state_file, self.account, self.redshift = state_file, account, redshift
        self.refreshes_a_day = refreshes_a_day
        self.lock = threading.RLock()
        self.kept: dict[str, dict[str, Any]] = {kind: {} for kind in KINDS}
        self.ingestions: dict[str, dict[str, Any]] = {}
        self.users: dict[str, dict[str, Any]] = {}
        if state_file.exists():
            state = json.loads(state_file.read_text())
            self.kept, self.ingestions, self.users = state["kept"], state["ingestions"], state.get("users", {})
            for ingestion in self._all_ingestions():
                if ingestion["IngestionStatus"] in {"INITIALIZED", "QUEUED", "RUNNING"}:
                    self._fail(ingestion, "INTERNAL_SERVICE_ERROR", "the service restarted")
        self.pool = ThreadPoolExecutor(2)
        self.operations = {
            "CreateDataSource": self.create_data_source,
            "UpdateDataSource": self.update_data_source,
            "DescribeDataSource": self.describe_data_source,
            "CreateDataSet": self.create_data_set,
            "UpdateDataSet": self.update_data_set,
            "DescribeDataSet": self.describe_data_set,
            "DeleteDataSet": self.delete_data_set,
            "ListDataSets": self.list_data_sets,
            "CreateIngestion": self.create_ingestion,
            "DescribeIngestion": self.describe_ingestion,
            "ListIngestions": self.list_ingestions,
            "CreateAnalysis": self.create_analysis,
            "UpdateAnalysis": self.update_analysis,
            "DescribeAnalysis": self.describe_analysis,
            "CreateDashboard": self.create_dashboard,
            "UpdateDashboard": self.update_dashboard,
            "UpdateDashboardPublishedVersion": self.publish_dashboard,
            "DescribeDashboard": self.describe_dashboard,
            "DescribeDashboardDefinition": self.describe_dashboard_definition,
            "ListDashboards": self.list_dashboards,
            "ListDataSources": self.list_data_sources,
            "ListAnalyses": self.list_analyses,
            "RegisterUser": self.register_user,
            "DescribeUser": self.describe_user,
            "DeleteUser": self.delete_user,
            "ListUsers": self.list_users,
        }

    def close(self) -> None:
        self.pool.shutdown(wait=False, cancel_futures=True)

    # -- stored resources -------------------------------------------------------------------------------------------

    def _save(self) -> None:
        part = self.state_file.with_suffix(".part")
        part.write_text(json.dumps({"kept": self.kept, "ingestions": self.ingestions, "users": self.users}))
        part.replace(self.state_file)

    def _arn(self, kind: str, name: str) -> str:
        folder = {"data-source": "datasource", "data-set": "dataset"}.get(kind, kind)
        return f"arn:aws:quicksight:us-east-1:{self.account}:{folder}/{name}"

    def _check_account(self, r: dict[str, Any]) -> None:
        if r["AwsAccountId"] != self.account:
            raise ApiError("AccessDeniedException", f"AwsAccountId {r['AwsAccountId']} is not the caller's account")

    def _get(self, kind: str, name: str) -> dict[str, Any]:
        if name not in self.kept[kind]:
            raise ApiError("ResourceNotFoundException", f"{kind} {name} is not found", ResourceType=kind.upper())
        return dict(self.kept[kind][name])

    def _put(self, kind: str, member: str, r: dict[str, Any], *, new: bool) -> dict[str, Any]:
        """Stores the request as the resource and returns the members that all responses have."""
        self._check_account(r)
        name = r[member]
        with self.lock:
            if new and name in self.kept[kind]:
                raise ApiError("ResourceExistsException", f"{kind} {name} exists already", ResourceType=kind.upper())
            before = {} if new else self._get(kind, name)
            now = time.time()
            kept = {k: v for k, v in r.items() if k != "AwsAccountId"}
            self.kept[kind][name] = (
                before
                | kept
                | {"Arn": self._arn(kind, name), "LastUpdatedTime": now, "CreatedTime": before.get("CreatedTime", now)}
            )
            self._save()
        return {"Arn": self._arn(kind, name), member: name, "RequestId": str(uuid.uuid4())}

    @staticmethod
    def _described(member: str, value: Any) -> dict[str, Any]:
        return {member: value, "Status": 200, "RequestId": str(uuid.uuid4())}

    def _members(self, shape: str, kept: dict[str, Any]) -> dict[str, Any]:
        return {k: v for k, v in kept.items() if k in self.model.shape_for(shape).members}

    def _summaries(self, kind: str, shape: str, member: str, r: dict[str, Any]) -> dict[str, Any]:
        self._check_account(r)
        return self._described(member, [self._members(shape, kept) for kept in self.kept[kind].values()])

    # -- data sources -------------------------------------------------------------------------------------------

    def create_data_source(self, r: dict[str, Any]) -> dict[str, Any]:
        self._check_source(r)
        return self._put("data-source", "DataSourceId", r, new=True) | {
            "CreationStatus": "CREATION_SUCCESSFUL",
            "Status": 202,
        }

    def update_data_source(self, r: dict[str, Any]) -> dict[str, Any]:
        self._check_source(r | {"Type": self._get("data-source", r["DataSourceId"])["Type"]})
        return self._put("data-source", "DataSourceId", r, new=False) | {
            "UpdateStatus": "UPDATE_SUCCESSFUL",
            "Status": 202,
        }

    def describe_data_source(self, r: dict[str, Any]) -> dict[str, Any]:
        self._check_account(r)
        kept = self._get("data-source", r["DataSourceId"])
        kept.pop("Credentials", None)  # QuickSight does not show them
        return self._described("DataSource", self._members("DataSource", kept) | {"Status": "CREATION_SUCCESSFUL"})

    def list_data_sources(self, r: dict[str, Any]) -> dict[str, Any]:
        self._check_account(r)
        status = {"Status": "CREATION_SUCCESSFUL"}
        rows = [self._members("DataSource", kept) | status for kept in self.kept["data-source"].values()]
        return self._described("DataSources", rows)

    def _check_source(self, r: dict[str, Any]) -> None:
        if r["Type"] != "REDSHIFT" or "RedshiftParameters" not in r.get("DataSourceParameters", {}):
            raise ApiError(
                "InvalidParameterValueException",
                "the stand-in has data sources of Type REDSHIFT alone, with RedshiftParameters",
            )
        if not r.get("Credentials"):
            raise ApiError("InvalidParameterValueException", "Credentials: needed to connect to REDSHIFT")
        try:
            self._query(r["DataSourceParameters"]["RedshiftParameters"], "SELECT 1")
        except _Failed as error:
            raise ApiError("InvalidParameterValueException", f"the data source cannot connect: {error}") from error

    # -- data sets ----------------------------------------------------------------------------------------------

    def create_data_set(self, r: dict[str, Any]) -> dict[str, Any]:
        self._columns(r["PhysicalTableMap"])
        out = self._put("data-set", "DataSetId", r, new=True) | {"Status": 201}
        return out | (self._begin(r["DataSetId"], str(uuid.uuid4())) if r["ImportMode"] == "SPICE" else {})

    def update_data_set(self, r: dict[str, Any]) -> dict[str, Any]:
        self._columns(r["PhysicalTableMap"])
        out = self._put("data-set", "DataSetId", r, new=False) | {"Status": 200}
        return out | (self._begin(r["DataSetId"], str(uuid.uuid4())) if r["ImportMode"] == "SPICE" else {})

    def describe_data_set(self, r: dict[str, Any]) -> dict[str, Any]:
        self._check_account(r)
        kept = self._get("data-set", r["DataSetId"])
        columns = [{"Name": n, "Type": t} for n, t in self._columns(kept["PhysicalTableMap"]).items()]
        types = self.model.shape_for("ColumnDataType").enum
        columns = [c if c["Type"] in types else {"Name": c["Name"], "Type": "STRING"} for c in columns]
        return self._described("DataSet", self._members("DataSet", kept) | {"OutputColumns": columns})

    def delete_data_set(self, r: dict[str, Any]) -> dict[str, Any]:
        self._check_account(r)
        kept = self._get("data-set", r["DataSetId"])
        with self.lock:
            del self.kept["data-set"][r["DataSetId"]]
            self._save()
        return {"Arn": kept["Arn"], "DataSetId": r["DataSetId"], "Status": 200, "RequestId": str(uuid.uuid4())}

    def list_data_sets(self, r: dict[str, Any]) -> dict[str, Any]:
        return self._summaries("data-set", "DataSetSummary", "DataSetSummaries", r)

    def _columns(self, tables: dict[str, Any]) -> dict[str, str]:
        """Returns the type of each column of the single custom SQL of the data set."""
        if len(tables) != 1 or "CustomSql" not in (table := next(iter(tables.values()))):
            raise ApiError(
                "InvalidParameterValueException", "PhysicalTableMap: the stand-in has data sets of one CustomSql"
            )
        sql = table["CustomSql"]
        source = sql["DataSourceArn"].rsplit("/", 1)[-1]
        if source not in self.kept["data-source"]:
            raise ApiError("InvalidParameterValueException", f"DataSourceArn: data source {source} is not found")
        names = [column["Name"] for column in sql["Columns"]]
        if len(set(names)) != len(names):
            raise ApiError("InvalidParameterValueException", f"Columns: a name is there twice: {names}")
        return {column["Name"]: column["Type"] for column in sql["Columns"]}

    # -- ingestions ---------------------------------------------------------------------------------------------

    def create_ingestion(self, r: dict[str, Any]) -> dict[str, Any]:
        self._check_account(r)
        kept = self._get("data-set", r["DataSetId"])
        if kept["ImportMode"] != "SPICE":
            raise ApiError("InvalidParameterValueException", f"data set {r['DataSetId']} is not in SPICE")
        if r.get("IngestionType") == "INCREMENTAL_REFRESH":
            raise ApiError(
                "InvalidParameterValueException", f"data set {r['DataSetId']} has no incremental refresh set up"
            )
        return self._begin(r["DataSetId"], r["IngestionId"], by_hand=True) | {
            "Arn": f"{kept['Arn']}/ingestion/{r['IngestionId']}",
            "IngestionId": r["IngestionId"],
            "IngestionStatus": "INITIALIZED",
            "Status": 201,
            "RequestId": str(uuid.uuid4()),
        }

    def _begin(self, data_set: str, ingestion_id: str, *, by_hand: bool = False) -> dict[str, Any]:
        with self.lock:
            past = self.ingestions.setdefault(data_set, {})
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
            arn = f"{self._arn('data-set', data_set)}/ingestion/{ingestion_id}"
            past[ingestion_id] = {
                "Arn": arn,
                "IngestionId": ingestion_id,
                "IngestionStatus": "INITIALIZED",
                "CreatedTime": time.time(),
                "RequestSource": "MANUAL" if by_hand else "SCHEDULED",
                "RequestType": "FULL_REFRESH" if by_hand else "INITIAL_INGESTION",
            }
            self._save()
        self.pool.submit(self._ingest, data_set, ingestion_id)
        return {"IngestionArn": arn, "IngestionId": ingestion_id} if not by_hand else {}

    def _ingest(self, data_set: str, ingestion_id: str) -> None:
        ingestion = self.ingestions[data_set][ingestion_id]
        began = time.monotonic()
        with self.lock:
            ingestion["IngestionStatus"] = "RUNNING"
        try:
            rows = self._rows(data_set)
        except _Failed as error:
            self._fail(ingestion, error.kind, str(error))
        except Exception as error:
            log.exception("ingestion=%s", ingestion["Arn"])
            self._fail(ingestion, "INTERNAL_SERVICE_ERROR", repr(error))
        else:
            with self.lock:
                ingestion |= {
                    "IngestionStatus": "COMPLETED",
                    "IngestionTimeInSeconds": int(time.monotonic() - began),
                    "RowInfo": {"RowsIngested": rows, "RowsDropped": 0, "TotalRowsInDataset": rows},
                }
                self._save()

    def _fail(self, ingestion: dict[str, Any], kind: str, message: str) -> None:
        with self.lock:
            ingestion |= {"IngestionStatus": "FAILED", "ErrorInfo": {"Type": kind, "Message": message}}
            self._save()

    def _rows(self, data_set: str) -> int:
        """Runs the data set's SQL, verifies the columns of the result, and returns the number of rows."""
        if data_set not in self.kept["data-set"]:
            raise _Failed("DATA_SET_DELETED", f"data set {data_set} was deleted")
        [table] = self.kept["data-set"][data_set]["PhysicalTableMap"].values()
        sql = table["CustomSql"]
        source = self.kept["data-source"].get(sql["DataSourceArn"].rsplit("/", 1)[-1])
        if not source:
            raise _Failed("DATA_SOURCE_NOT_FOUND", f"{sql['DataSourceArn']} is not found")
        state, columns = self._query(source["DataSourceParameters"]["RedshiftParameters"], sql["SqlQuery"])
        for column in sql["Columns"]:
            found = columns.get(column["Name"])
            if found is None:
                raise _Failed("SQL_SCHEMA_MISMATCH_ERROR", f"the result has no column {column['Name']}")
            if found != column["Type"]:
                raise _Failed(
                    "SQL_SCHEMA_MISMATCH_ERROR", f"column {column['Name']} is {found}, expected {column['Type']}"
                )
        return int(state["ResultRows"])

    def _query(self, source: dict[str, Any], sql: str) -> tuple[dict[str, Any], dict[str, str]]:
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
                raise _Failed(
                    "SQL_TABLE_NOT_FOUND" if missing else "SQL_EXCEPTION", state.get("Error", state["Status"])
                )
            page = self.redshift.get_statement_result(Id=submitted["Id"])
        except ClientError as error:
            raise _Failed("CONNECTION_FAILURE", str(error)) from error
        except BotoCoreError as error:
            raise _Failed("UNROUTABLE_HOST", str(error)) from error
        return state, {c["name"]: TYPES.get(c["typeName"], "STRING") for c in page["ColumnMetadata"]}

    def describe_ingestion(self, r: dict[str, Any]) -> dict[str, Any]:
        self._check_account(r)
        found = self.ingestions.get(r["DataSetId"], {}).get(r["IngestionId"])
        if not found:
            raise ApiError("ResourceNotFoundException", f"ingestion {r['IngestionId']} is not found")
        return self._described("Ingestion", dict(found))

    def list_ingestions(self, r: dict[str, Any]) -> dict[str, Any]:
        self._check_account(r)
        self._get("data-set", r["DataSetId"])
        newest = sorted(self.ingestions.get(r["DataSetId"], {}).values(), key=lambda i: -i["CreatedTime"])
        size = r.get("MaxResults", 100)
        start = int(r.get("NextToken", 0))
        out = self._described("Ingestions", [dict(i) for i in newest[start : start + size]])
        return out | ({"NextToken": str(start + size)} if start + size < len(newest) else {})

    def _all_ingestions(self) -> Iterator[dict[str, Any]]:
        for past in self.ingestions.values():
            yield from past.values()

    def shown(self, data_set: str) -> dict[str, Any]:
        """Returns the content of the page of a data set."""
        kept = self._get("data-set", data_set)
        [table] = kept["PhysicalTableMap"].values()
        newest = self.list_ingestions({"AwsAccountId": self.account, "DataSetId": data_set, "MaxResults": 5})
        return {
            "Name": kept["Name"],
            "Columns": ", ".join(f"{c['Name']} {c['Type']}" for c in table["CustomSql"]["Columns"]),
            "SQL": table["CustomSql"]["SqlQuery"],
            "Last refreshes": newest["Ingestions"],
        }

    # -- analyses and dashboards --------------------------------------------------------------------------------

    def create_analysis(self, r: dict[str, Any]) -> dict[str, Any]:
        return self._define("analysis", "AnalysisId", r, new=True)

    def update_analysis(self, r: dict[str, Any]) -> dict[str, Any]:
        return self._define("analysis", "AnalysisId", r, new=False)

    def create_dashboard(self, r: dict[str, Any]) -> dict[str, Any]:
        return self._define("dashboard", "DashboardId", r, new=True)

    def update_dashboard(self, r: dict[str, Any]) -> dict[str, Any]:
        return self._define("dashboard", "DashboardId", r, new=False)

    def _define(self, kind: str, member: str, r: dict[str, Any], *, new: bool) -> dict[str, Any]:
        if "Definition" not in r:
            raise ApiError("InvalidParameterValueException", "the stand-in needs a Definition")
        errors = list(self._definition_errors(r["Definition"]))
        what = "CREATION" if new else "UPDATE"
        status = f"{what}_{'FAILED' if errors else 'SUCCESSFUL'}"
        version = 1 if new else int(self._get(kind, r[member]).get("Version", 0)) + 1
        out = self._put(kind, member, r | {"Status": status, "Errors": errors, "Version": version}, new=new)
        out |= {
            "CreationStatus" if new or kind == "dashboard" else "UpdateStatus": status,
            "Status": 202 if new else 200,
        }
        return out | ({"VersionArn": f"{out['Arn']}/version/{version}"} if kind == "dashboard" else {})

    def _definition_errors(self, definition: dict[str, Any]) -> Iterator[dict[str, Any]]:
        declared: dict[str, dict[str, str]] = {}
        for declaration in definition.get("DataSetIdentifierDeclarations", []):
            name = declaration["DataSetArn"].rsplit("/", 1)[-1]
            if name not in self.kept["data-set"]:
                yield {"Type": "DATA_SET_NOT_FOUND", "Message": f"data set {name} is not found"}
                continue
            declared[declaration["Identifier"]] = self._columns(self.kept["data-set"][name]["PhysicalTableMap"])
        for calculated in definition.get("CalculatedFields", []):
            declared.get(calculated["DataSetIdentifier"], {})[calculated["Name"]] = "DECIMAL"
        for where, column in _column_identifiers(definition, "Definition"):
            name, data_set = column["ColumnName"], column["DataSetIdentifier"]
            if data_set not in declared:
                yield {"Type": "DATA_SET_NOT_FOUND", "Message": f"{where}: {data_set} is not declared"}
            elif name not in declared[data_set]:
                yield {"Type": "COLUMN_REPLACEMENT_MISSING", "Message": f"{where}: {data_set} has no column {name}"}

    def describe_analysis(self, r: dict[str, Any]) -> dict[str, Any]:
        self._check_account(r)
        return self._described("Analysis", self._members("Analysis", self._get("analysis", r["AnalysisId"])))

    def describe_dashboard(self, r: dict[str, Any]) -> dict[str, Any]:
        self._check_account(r)
        kept = self._get("dashboard", r["DashboardId"])
        version = {
            "VersionNumber": kept["Version"],
            "Status": kept["Status"],
            "Errors": kept["Errors"],
            "CreatedTime": kept["LastUpdatedTime"],
        }
        shown = self._members("Dashboard", {k: v for k, v in kept.items() if k != "Version"})
        return self._described("Dashboard", shown | {"Version": version})

    def describe_dashboard_definition(self, r: dict[str, Any]) -> dict[str, Any]:
        self._check_account(r)
        kept = self._get("dashboard", r["DashboardId"])
        return {
            "DashboardId": r["DashboardId"],
            "Name": kept["Name"],
            "ResourceStatus": kept["Status"],
            "Errors": kept["Errors"],
            "Definition": kept["Definition"],
            "Status": 200,
            "RequestId": str(uuid.uuid4()),
        }

    def publish_dashboard(self, r: dict[str, Any]) -> dict[str, Any]:
        self._check_account(r)
        kept = self._get("dashboard", r["DashboardId"])
        if not 1 <= r["VersionNumber"] <= kept["Version"]:
            raise ApiError("ResourceNotFoundException", f"version {r['VersionNumber']} is not found")
        with self.lock:
            self.kept["dashboard"][r["DashboardId"]]["PublishedVersionNumber"] = r["VersionNumber"]
            self.kept["dashboard"][r["DashboardId"]]["LastPublishedTime"] = time.time()
            self._save()
        return {
            "DashboardId": r["DashboardId"],
            "DashboardArn": kept["Arn"],
            "Status": 200,
            "RequestId": str(uuid.uuid4()),
        }

    def list_analyses(self, r: dict[str, Any]) -> dict[str, Any]:
        return self._summaries("analysis", "AnalysisSummary", "AnalysisSummaryList", r)

    # -- users --------------------------------------------------------------------------------------------------

    def register_user(self, r: dict[str, Any]) -> dict[str, Any]:
        self._check_namespace(r)
        if r["IdentityType"] != "IAM" or "IamArn" not in r:
            raise ApiError(
                "InvalidParameterValueException",
                "the stand-in registers users of IdentityType IAM with an IamArn; others are invited by mail",
            )
        kind, _, identity = r["IamArn"].rpartition(":")[2].partition("/")
        if kind == "role" and "SessionName" not in r:
            raise ApiError("InvalidParameterValueException", "SessionName: expected with the ARN of a role")
        name = f"{identity.rpartition('/')[2]}/{r['SessionName']}" if kind == "role" else identity.rpartition("/")[2]
        user = {
            "Arn": f"arn:aws:quicksight:us-east-1:{self.account}:user/{NAMESPACE}/{name}",
            "UserName": name,
            "Email": r["Email"],
            "Role": r["UserRole"],
            "IdentityType": "IAM",
            "Active": True,
        }
        with self.lock:
            if name in self.users:
                raise ApiError("ResourceExistsException", f"user {name} exists already", ResourceType="USER")
            self.users[name] = user
            self._save()
        return self._described("User", user) | {"Status": 201}

    def describe_user(self, r: dict[str, Any]) -> dict[str, Any]:
        return self._described("User", self._user(r))

    def delete_user(self, r: dict[str, Any]) -> dict[str, Any]:
        with self.lock:
            del self.users[self._user(r)["UserName"]]
            self._save()
        return {"RequestId": str(uuid.uuid4()), "Status": 200}

    def list_users(self, r: dict[str, Any]) -> dict[str, Any]:
        """Lists the registered users. On AWS the subscriber is also a user; the local QuickSight has none."""
        self._check_namespace(r)
        token, size = r.get("NextToken", "0"), r.get("MaxResults", 100)
        if not token.isdecimal():
            raise ApiError("InvalidNextTokenException", "NextToken: expected the one of an answer of ListUsers")
        start, names = int(token), sorted(self.users)
        out = self._described("UserList", [self.users[name] for name in names[start : start + size]])
        return out | ({"NextToken": str(start + size)} if start + size < len(names) else {})

    def _check_namespace(self, r: dict[str, Any]) -> None:
        self._check_account(r)
        if r["Namespace"] != NAMESPACE:
            raise ApiError(
                "ResourceNotFoundException",
                f"namespace {r['Namespace']} is not found: the stand-in has {NAMESPACE}",
                ResourceType="NAMESPACE",
            )

    def _user(self, r: dict[str, Any]) -> dict[str, Any]:
        self._check_namespace(r)
        if r["UserName"] not in self.users:
            raise ApiError("ResourceNotFoundException", f"user {r['UserName']} is not found", ResourceType="USER")
        return self.users[r["UserName"]]

    def list_dashboards(self, r: dict[str, Any]) -> dict[str, Any]:
        return self._summaries("dashboard", "DashboardSummary", "DashboardSummaryList", r)


def _column_identifiers(value: Any, where: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields (path, ColumnIdentifier) of each column that a definition uses."""
    if isinstance(value, dict):
        if {"DataSetIdentifier", "ColumnName"} <= set(value):
            yield where, value
        for name, inner in value.items():
            yield from _column_identifiers(inner, f"{where}.{name}")
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _column_identifiers(inner, f"{where}[{number}]")
