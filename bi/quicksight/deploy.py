"""Deploys the QuickSight data source, data sets, analysis and dashboard: `python -m bi.quicksight.deploy --help`.

It creates missing resources, updates those that differ, and does not change the others. The columns of a data set are
those that its SQL returns on Redshift, so the marts must exist: run `python -m infra.deploy` first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import boto3
import typer
from botocore.exceptions import BotoCoreError, ClientError
from ecommerce_elt.dashboards.data_sets import DATA_SETS, DataSet
from ecommerce_elt.errors import PermanentError, TransientError
from ecommerce_elt.settings import PROJECT_DIR
from ecommerce_elt.warehouse.redshift import Warehouse
from rich.console import Console
from tenacity import RetryError, Retrying, retry_if_result, stop_after_delay, wait_fixed

from bi.quicksight.definition import definition

SQL_DIR = PROJECT_DIR / "include" / "sql"
READY_SECONDS = 120
# Types of the Data API to column types of a data set (QuickSight API reference, InputColumn).
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
}
# Permissions of a dashboard user: QuickSight user guide, Permissions by resource.
ACTIONS = {
    "source": ["DescribeDataSource", "DescribeDataSourcePermissions", "PassDataSource"],
    "set": [
        "DescribeDataSet",
        "DescribeDataSetPermissions",
        "PassDataSet",
        "DescribeIngestion",
        "ListIngestions",
        "CreateIngestion",
        "CancelIngestion",
    ],
    "analysis": [
        "DescribeAnalysis",
        "QueryAnalysis",
        "UpdateAnalysis",
        "RestoreAnalysis",
        "DeleteAnalysis",
        "DescribeAnalysisPermissions",
        "UpdateAnalysisPermissions",
    ],
    "dashboard": ["DescribeDashboard", "ListDashboardVersions", "QueryDashboard"],
}

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
err = Console(stderr=True)


class Deployment:
    """One deployment to one account."""

    def __init__(self, client: Any, warehouse: Warehouse, account: str, prefix: str, principals: list[str]) -> None:
        self.client, self.warehouse, self.account = client, warehouse, account
        self.prefix, self.principals = prefix, principals

    def _permissions(self, kind: str) -> dict[str, Any]:
        actions = [f"quicksight:{action}" for action in ACTIONS[kind]]
        granted = [{"Principal": principal, "Actions": actions} for principal in self.principals]
        return {"Permissions": granted} if granted else {}

    def _find(self, describe: Callable[..., dict[str, Any]], **name: str) -> dict[str, Any] | None:
        try:
            return describe(AwsAccountId=self.account, **name)
        except self.client.exceptions.ResourceNotFoundException:
            return None

    def data_source(self, host: str, port: int, credentials: dict[str, Any], vpc_connection: str) -> tuple[str, str]:
        """Creates or updates the data source and returns (ARN, created | updated)."""
        name = {"DataSourceId": f"{self.prefix}-redshift"}
        wanted: dict[str, Any] = {
            "Name": f"{self.prefix} Redshift",
            "Credentials": credentials,
            "DataSourceParameters": {
                "RedshiftParameters": {"Host": host, "Port": port, "Database": self.warehouse.database}
            },
            "SslProperties": {"DisableSsl": False},
        }
        if vpc_connection:
            wanted["VpcConnectionProperties"] = {"VpcConnectionArn": vpc_connection}
        # Credentials cannot be read back, so a source is always written.
        known = self._find(self.client.describe_data_source, **name)
        if known:
            made = self.client.update_data_source(AwsAccountId=self.account, **name, **wanted)
        else:
            permissions = self._permissions("source")
            made = self.client.create_data_source(
                AwsAccountId=self.account, Type="REDSHIFT", **name, **wanted, **permissions
            )
        self._ready(
            lambda: self.client.describe_data_source(AwsAccountId=self.account, **name)["DataSource"], "data source"
        )
        return made["Arn"], "updated" if known else "created"

    def _ready(self, describe: Callable[[], dict[str, Any]], what: str) -> dict[str, Any]:
        """Returns the resource once its status is no longer ..._IN_PROGRESS.

        Raises:
            PermanentError: its creation failed; the message has QuickSight's errors.
            TransientError: it is not ready after READY_SECONDS.
        """
        attempts = Retrying(
            retry=retry_if_result(lambda found: found["Status"].endswith("IN_PROGRESS")),
            wait=wait_fixed(1),
            stop=stop_after_delay(READY_SECONDS),
        )
        try:
            found = attempts(describe)
        except RetryError as error:
            raise TransientError(f"{what}: not ready after {READY_SECONDS} s") from error
        if not found["Status"].endswith("SUCCESSFUL"):
            reasons = found.get("Errors") or [found.get("ErrorInfo", {})]
            raise PermanentError(f"{what}: {found['Status']}: " + "; ".join(e.get("Message", str(e)) for e in reasons))
        return dict(found)

    def columns(self, data_set: DataSet) -> list[dict[str, str]]:
        """Returns the columns that the SQL of the data set currently returns.

        Raises:
            PermanentError: QuickSight has no type for a column.
        """
        found = data_set.columns(self.warehouse, SQL_DIR)
        if other := [f"{c.name} {c.type_name}" for c in found if c.type_name not in TYPES]:
            raise PermanentError(
                f"{data_set.id}: QuickSight's data sets have no type for {', '.join(other)}; cast it in the SQL"
            )
        return [{"Name": c.name, "Type": TYPES[c.type_name]} for c in found]

    def data_set(self, data_set: DataSet, source_arn: str) -> tuple[str, str]:
        """Creates or updates a data set and returns (ARN, created | updated | unchanged).

        Creation and update start an ingestion.
        """
        name = {"DataSetId": data_set.physical_id(self.prefix)}
        wanted = {
            "Name": data_set.title,
            "ImportMode": "SPICE",
            "PhysicalTableMap": {
                data_set.id.replace("_", "-"): {
                    "CustomSql": {
                        "DataSourceArn": source_arn,
                        "Name": data_set.id,
                        "SqlQuery": data_set.sql(SQL_DIR),
                        "Columns": self.columns(data_set),
                    }
                }
            },
        }
        found = self._find(self.client.describe_data_set, **name)
        if not found:
            made = self.client.create_data_set(AwsAccountId=self.account, **name, **wanted, **self._permissions("set"))
            return made["Arn"], "created"
        if all(found["DataSet"].get(key) == value for key, value in wanted.items()):
            return found["DataSet"]["Arn"], "unchanged"
        return self.client.update_data_set(AwsAccountId=self.account, **name, **wanted)["Arn"], "updated"

    def analysis(self, wanted: dict[str, Any]) -> str:
        """Creates or updates the analysis and returns created | updated."""
        name = {"AnalysisId": f"{self.prefix}-analysis"}
        title = f"{self.prefix}: analysis"
        found = self._find(self.client.describe_analysis, **name)
        if found:
            self.client.update_analysis(AwsAccountId=self.account, Name=title, Definition=wanted, **name)
        else:
            self.client.create_analysis(
                AwsAccountId=self.account, Name=title, Definition=wanted, **name, **self._permissions("analysis")
            )
        self._ready(lambda: self.client.describe_analysis(AwsAccountId=self.account, **name)["Analysis"], "analysis")
        return "updated" if found else "created"

    def dashboard(self, wanted: dict[str, Any]) -> str:
        """Creates or updates the dashboard and returns created | updated | unchanged.

        An update creates a new version, which is published.
        """
        name = {"DashboardId": f"{self.prefix}-dashboard"}
        found = self._find(self.client.describe_dashboard_definition, **name)
        if found and found.get("Definition") == wanted and found["ResourceStatus"].endswith("SUCCESSFUL"):
            return "unchanged"
        title = f"{self.prefix}: dashboard"
        if not found:
            made = self.client.create_dashboard(
                AwsAccountId=self.account, Name=title, Definition=wanted, **name, **self._permissions("dashboard")
            )
        else:
            made = self.client.update_dashboard(AwsAccountId=self.account, Name=title, Definition=wanted, **name)
        version = int(made["VersionArn"].rsplit("/", 1)[-1])
        self._ready(
            lambda: self.client.describe_dashboard(AwsAccountId=self.account, VersionNumber=version, **name)[
                "Dashboard"
            ]["Version"],
            "dashboard",
        )
        self.client.update_dashboard_published_version(AwsAccountId=self.account, VersionNumber=version, **name)
        return "updated" if found else "created"


@app.command()
def deploy(
    prefix: Annotated[str, typer.Option(help="Prefix of all ids.")] = "ecommerce",
    workgroup: Annotated[str, typer.Option(help="Redshift Serverless workgroup.")] = "ecommerce",
    database: Annotated[str, typer.Option()] = "ecommerce",
    host: Annotated[str, typer.Option(help="Redshift endpoint. By default that of the workgroup.")] = "",
    port: Annotated[int, typer.Option()] = 5439,
    secret_arn: Annotated[
        str, typer.Option(help="Secret with the user and password with which QuickSight connects.")
    ] = "",
    vpc_connection_arn: Annotated[str, typer.Option(help="QuickSight VPC connection; Redshift is not public.")] = "",
    principal: Annotated[
        list[str] | None, typer.Option(help="ARN of a QuickSight user or group that may see everything.")
    ] = None,
) -> None:
    """Create or update data source, data sets, analysis and dashboard; print what was done."""
    try:
        session = boto3.session.Session()
        account = session.client("sts").get_caller_identity()["Account"]
        warehouse = Warehouse(session.client("redshift-data"), workgroup, database)
        deployment = Deployment(session.client("quicksight"), warehouse, account, prefix, principal or [])
        where = host or f"{workgroup}.{account}.{session.region_name}.redshift-serverless.amazonaws.com"
        if not secret_arn:
            raise PermanentError(
                "--secret-arn is missing: the secret with user and password that QuickSight connects with"
            )
        source, done = deployment.data_source(where, port, {"SecretArn": secret_arn}, vpc_connection_arn)
        typer.echo(f"data source {source} {done}")
        arns = {}
        for data_set in DATA_SETS:
            arns[data_set.id], done = deployment.data_set(data_set, source)
            typer.echo(f"data set {data_set.physical_id(prefix)} {done}")
        wanted = definition(arns)
        changed = deployment.dashboard(wanted)
        typer.echo(f"dashboard {prefix}-dashboard {changed}")
        if changed != "unchanged":
            typer.echo(f"analysis {prefix}-analysis {deployment.analysis(wanted)}")
    except (PermanentError, TransientError, ClientError, BotoCoreError) as error:
        err.print(f"[red]deploy:[/] {error}", highlight=False)
        raise typer.Exit(1) from error


if __name__ == "__main__":
    app()
