"""The operations of QuickSight that the product uses: sources, data sets, ingestions, analyses, dashboards; and users.

An ingestion runs the SQL of the data set on Redshift, and fails with QuickSight's error types. A definition is
validated as in QuickSight: its data sets must exist and have the columns that its visuals use.
"""

from __future__ import annotations

import time
import uuid
from pathlib import Path
from typing import Any

from local.protocol import ApiError, RestService
from local.quicksight.definitions import errors_of
from local.quicksight.ingestions import Failed, Ingestions
from local.quicksight.state import State, described
from local.quicksight.users import Users


class QuickSight(RestService):
    """QuickSight of one account in one region."""

    def __init__(self, state_file: Path, account: str, redshift: Any, refreshes_a_day: int = 32) -> None:
        super().__init__("quicksight", "QuickSight")
        self.state = State(state_file, account)
        self.ingestions, users = Ingestions(self.state, redshift, refreshes_a_day), Users(self.state)
        self.operations = {
            "CreateDataSource": self.create_data_source,
            "UpdateDataSource": self.update_data_source,
            "DescribeDataSource": self.describe_data_source,
            "CreateDataSet": self.create_data_set,
            "UpdateDataSet": self.update_data_set,
            "DescribeDataSet": self.describe_data_set,
            "DeleteDataSet": self.delete_data_set,
            "ListDataSets": self.list_data_sets,
            "CreateIngestion": self.ingestions.create_ingestion,
            "DescribeIngestion": self.ingestions.describe_ingestion,
            "ListIngestions": self.ingestions.list_ingestions,
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
            "RegisterUser": users.register_user,
            "DescribeUser": users.describe_user,
            "DeleteUser": users.delete_user,
            "ListUsers": users.list_users,
        }

    def close(self) -> None:
        self.ingestions.close()

    def _members(self, shape: str, kept: dict[str, Any]) -> dict[str, Any]:
        return {k: v for k, v in kept.items() if k in self.model.shape_for(shape).members}

    def _summaries(self, kind: str, shape: str, member: str, r: dict[str, Any]) -> dict[str, Any]:
        self.state.check_account(r)
        return described(member, [self._members(shape, kept) for kept in self.state.kept[kind].values()])

    # -- data sources -------------------------------------------------------------------------------------------

    def create_data_source(self, r: dict[str, Any]) -> dict[str, Any]:
        self._check_source(r)
        return self.state.put("data-source", "DataSourceId", r, new=True) | {
            "CreationStatus": "CREATION_SUCCESSFUL",
            "Status": 202,
        }

    def update_data_source(self, r: dict[str, Any]) -> dict[str, Any]:
        self._check_source(r | {"Type": self.state.get("data-source", r["DataSourceId"])["Type"]})
        return self.state.put("data-source", "DataSourceId", r, new=False) | {
            "UpdateStatus": "UPDATE_SUCCESSFUL",
            "Status": 202,
        }

    def describe_data_source(self, r: dict[str, Any]) -> dict[str, Any]:
        self.state.check_account(r)
        kept = self.state.get("data-source", r["DataSourceId"])
        kept.pop("Credentials", None)  # QuickSight does not show them
        return described("DataSource", self._members("DataSource", kept) | {"Status": "CREATION_SUCCESSFUL"})

    def list_data_sources(self, r: dict[str, Any]) -> dict[str, Any]:
        self.state.check_account(r)
        status = {"Status": "CREATION_SUCCESSFUL"}
        rows = [self._members("DataSource", kept) | status for kept in self.state.kept["data-source"].values()]
        return described("DataSources", rows)

    def _check_source(self, r: dict[str, Any]) -> None:
        if r["Type"] != "REDSHIFT" or "RedshiftParameters" not in r.get("DataSourceParameters", {}):
            raise ApiError(
                "InvalidParameterValueException",
                "the stand-in has data sources of Type REDSHIFT alone, with RedshiftParameters",
            )
        if not r.get("Credentials"):
            raise ApiError("InvalidParameterValueException", "Credentials: needed to connect to REDSHIFT")
        try:
            self.ingestions.query(r["DataSourceParameters"]["RedshiftParameters"], "SELECT 1")
        except Failed as error:
            raise ApiError("InvalidParameterValueException", f"the data source cannot connect: {error}") from error

    # -- data sets ----------------------------------------------------------------------------------------------

    def create_data_set(self, r: dict[str, Any]) -> dict[str, Any]:
        self._columns(r["PhysicalTableMap"])
        out = self.state.put("data-set", "DataSetId", r, new=True) | {"Status": 201}
        return out | (self.ingestions.begin(r["DataSetId"], str(uuid.uuid4())) if r["ImportMode"] == "SPICE" else {})

    def update_data_set(self, r: dict[str, Any]) -> dict[str, Any]:
        self._columns(r["PhysicalTableMap"])
        out = self.state.put("data-set", "DataSetId", r, new=False) | {"Status": 200}
        return out | (self.ingestions.begin(r["DataSetId"], str(uuid.uuid4())) if r["ImportMode"] == "SPICE" else {})

    def describe_data_set(self, r: dict[str, Any]) -> dict[str, Any]:
        self.state.check_account(r)
        kept = self.state.get("data-set", r["DataSetId"])
        columns = [{"Name": n, "Type": t} for n, t in self._columns(kept["PhysicalTableMap"]).items()]
        types = self.model.shape_for("ColumnDataType").enum
        columns = [c if c["Type"] in types else {"Name": c["Name"], "Type": "STRING"} for c in columns]
        return described("DataSet", self._members("DataSet", kept) | {"OutputColumns": columns})

    def delete_data_set(self, r: dict[str, Any]) -> dict[str, Any]:
        self.state.check_account(r)
        kept = self.state.get("data-set", r["DataSetId"])
        with self.state.lock:
            del self.state.kept["data-set"][r["DataSetId"]]
            self.state.save()
        return {"Arn": kept["Arn"], "DataSetId": r["DataSetId"], "Status": 200, "RequestId": str(uuid.uuid4())}

    def list_data_sets(self, r: dict[str, Any]) -> dict[str, Any]:
        return self._summaries("data-set", "DataSetSummary", "DataSetSummaries", r)

    def _columns_of(self, data_set: str) -> dict[str, str] | None:
        """Returns the type of each column of the data set, or None if it does not exist."""
        kept = self.state.kept["data-set"].get(data_set)
        return self._columns(kept["PhysicalTableMap"]) if kept else None

    def _columns(self, tables: dict[str, Any]) -> dict[str, str]:
        """Returns the type of each column of the single custom SQL of the data set."""
        if len(tables) != 1 or "CustomSql" not in (table := next(iter(tables.values()))):
            raise ApiError(
                "InvalidParameterValueException", "PhysicalTableMap: the stand-in has data sets of one CustomSql"
            )
        sql = table["CustomSql"]
        source = sql["DataSourceArn"].rsplit("/", 1)[-1]
        if source not in self.state.kept["data-source"]:
            raise ApiError("InvalidParameterValueException", f"DataSourceArn: data source {source} is not found")
        names = [column["Name"] for column in sql["Columns"]]
        if len(set(names)) != len(names):
            raise ApiError("InvalidParameterValueException", f"Columns: a name is there twice: {names}")
        return {column["Name"]: column["Type"] for column in sql["Columns"]}

    # -- ingestions ---------------------------------------------------------------------------------------------

    def shown(self, data_set: str) -> dict[str, Any]:
        """Returns the content of the page of a data set."""
        kept = self.state.get("data-set", data_set)
        [table] = kept["PhysicalTableMap"].values()
        newest = self.ingestions.list_ingestions(
            {"AwsAccountId": self.state.account, "DataSetId": data_set, "MaxResults": 5}
        )
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
        errors = list(errors_of(r["Definition"], self._columns_of))
        what = "CREATION" if new else "UPDATE"
        status = f"{what}_{'FAILED' if errors else 'SUCCESSFUL'}"
        version = 1 if new else int(self.state.get(kind, r[member]).get("Version", 0)) + 1
        out = self.state.put(kind, member, r | {"Status": status, "Errors": errors, "Version": version}, new=new)
        out |= {
            "CreationStatus" if new or kind == "dashboard" else "UpdateStatus": status,
            "Status": 202 if new else 200,
        }
        return out | ({"VersionArn": f"{out['Arn']}/version/{version}"} if kind == "dashboard" else {})

    def describe_analysis(self, r: dict[str, Any]) -> dict[str, Any]:
        self.state.check_account(r)
        return described("Analysis", self._members("Analysis", self.state.get("analysis", r["AnalysisId"])))

    def describe_dashboard(self, r: dict[str, Any]) -> dict[str, Any]:
        self.state.check_account(r)
        kept = self.state.get("dashboard", r["DashboardId"])
        version = {
            "VersionNumber": kept["Version"],
            "Status": kept["Status"],
            "Errors": kept["Errors"],
            "CreatedTime": kept["LastUpdatedTime"],
        }
        shown = self._members("Dashboard", {k: v for k, v in kept.items() if k != "Version"})
        return described("Dashboard", shown | {"Version": version})

    def describe_dashboard_definition(self, r: dict[str, Any]) -> dict[str, Any]:
        self.state.check_account(r)
        kept = self.state.get("dashboard", r["DashboardId"])
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
        self.state.check_account(r)
        kept = self.state.get("dashboard", r["DashboardId"])
        if not 1 <= r["VersionNumber"] <= kept["Version"]:
            raise ApiError("ResourceNotFoundException", f"version {r['VersionNumber']} is not found")
        with self.state.lock:
            self.state.kept["dashboard"][r["DashboardId"]]["PublishedVersionNumber"] = r["VersionNumber"]
            self.state.kept["dashboard"][r["DashboardId"]]["LastPublishedTime"] = time.time()
            self.state.save()
        return {
            "DashboardId": r["DashboardId"],
            "DashboardArn": kept["Arn"],
            "Status": 200,
            "RequestId": str(uuid.uuid4()),
        }

    def list_analyses(self, r: dict[str, Any]) -> dict[str, Any]:
        return self._summaries("analysis", "AnalysisSummary", "AnalysisSummaryList", r)

    # -- users --------------------------------------------------------------------------------------------------

    def list_dashboards(self, r: dict[str, Any]) -> dict[str, Any]:
        return self._summaries("dashboard", "DashboardSummary", "DashboardSummaryList", r)
