"""The QuickSight stand-in, driven with boto3: definitions as the service checks them, ingestions that really run."""

import json
import threading
import urllib.error
import urllib.request
import uuid

import boto3
import pytest
import uvicorn
from botocore.exceptions import ClientError

from local.protocol import rest_application
from local.quicksight.api import QuickSight
from local.supervision import wait_for
from tests.conftest import free_ports
from tests.local.shapes import check_shape

ACCOUNT = "000000000000"
HOST = "ecommerce.000000000000.us-east-1.redshift-serverless.amazonaws.com"


class Account:
    """A stand-in of the test's own, on the cloud's Redshift."""

    def __init__(self, state_file, redshift, refreshes_a_day=32):
        self.service = QuickSight(state_file, ACCOUNT, redshift, refreshes_a_day)
        [self.port] = free_ports(1)
        config = uvicorn.Config(rest_application(self.service), port=self.port, log_level="error")
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run)
        self.thread.start()
        wait_for(lambda: self.server.started, 10, "the server")
        self.url = f"http://127.0.0.1:{self.port}"
        self.client = boto3.client(
            "quicksight",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )

    def close(self):
        self.server.should_exit = True
        self.thread.join()
        self.service.close()

    def source(self, database="ecommerce", name="redshift"):
        return self.client.create_data_source(
            AwsAccountId=ACCOUNT,
            DataSourceId=name,
            Name="Redshift",
            Type="REDSHIFT",
            DataSourceParameters={"RedshiftParameters": {"Host": HOST, "Port": 5439, "Database": database}},
            Credentials={"SecretArn": "arn:aws:secretsmanager:us-east-1:000000000000:secret:x"},
        )["Arn"]

    def tables(self, sql, columns, arn):
        named = [{"Name": n, "Type": t} for n, t in columns.items()]
        return {"t": {"CustomSql": {"DataSourceArn": arn, "Name": "q", "SqlQuery": sql, "Columns": named}}}

    def data_set(self, sql, columns, arn, mode="SPICE"):
        name = f"set-{uuid.uuid4().hex[:8]}"
        self.client.create_data_set(
            AwsAccountId=ACCOUNT,
            DataSetId=name,
            Name=name,
            ImportMode=mode,
            PhysicalTableMap=self.tables(sql, columns, arn),
        )
        return name

    def ingest(self, data_set):
        name = uuid.uuid4().hex
        self.client.create_ingestion(AwsAccountId=ACCOUNT, DataSetId=data_set, IngestionId=name)
        return self.ingestion(data_set, name)

    def ingestion(self, data_set, name):
        def describe():
            return self.client.describe_ingestion(AwsAccountId=ACCOUNT, DataSetId=data_set, IngestionId=name)[
                "Ingestion"
            ]

        wait_for(lambda: describe()["IngestionStatus"] in {"COMPLETED", "FAILED"}, 30, "the ingestion")
        return describe()


@pytest.fixture
def account(tmp_path, observer):
    made = Account(tmp_path / "quicksight.json", observer.warehouse.client, 3)
    yield made
    made.close()


def code(raised):
    return raised.value.response["Error"]["Code"]


def test_an_ingestion_counts_the_rows_of_the_sql(account, observer):
    sql = "SELECT 1 AS n, 'a' AS word UNION ALL SELECT 2, 'b'"
    data_set = account.data_set(sql, {"n": "INTEGER", "word": "STRING"}, account.source())
    done = account.ingest(data_set)
    assert done["IngestionStatus"] == "COMPLETED"
    assert done["RowInfo"] == {"RowsIngested": 2, "RowsDropped": 0, "TotalRowsInDataset": 2}
    past = account.client.list_ingestions(AwsAccountId=ACCOUNT, DataSetId=data_set)["Ingestions"]
    assert [i["RequestType"] for i in past] == ["FULL_REFRESH", "INITIAL_INGESTION"]


@pytest.mark.parametrize(
    ("sql", "columns", "kind", "words"),
    [
        pytest.param("SELECT n FROM core.nothing", {"n": "INTEGER"}, "SQL_TABLE_NOT_FOUND", "nothing", id="no_table"),
        pytest.param("SELEC 1", {"n": "INTEGER"}, "SQL_EXCEPTION", "syntax error", id="no_sql"),
        pytest.param("SELECT 1 AS m", {"n": "INTEGER"}, "SQL_SCHEMA_MISMATCH_ERROR", "no column n", id="other_column"),
        pytest.param(
            "SELECT 'x' AS n", {"n": "INTEGER"}, "SQL_SCHEMA_MISMATCH_ERROR", "column n is STRING", id="other_type"
        ),
    ],
)
def test_an_ingestion_fails_as_quicksight_fails(account, sql, columns, kind, words):
    failed = account.ingest(account.data_set(sql, columns, account.source()))
    assert failed["IngestionStatus"] == "FAILED"
    assert failed["ErrorInfo"]["Type"] == kind
    assert words in failed["ErrorInfo"]["Message"]


def test_what_quicksight_refuses(account):
    arn = account.source()
    with pytest.raises(ClientError) as raised:
        account.source()
    assert code(raised) == "ResourceExistsException"
    with pytest.raises(ClientError, match='database "elsewhere" does not exist'):
        account.source("elsewhere", "other")
    data_set = account.data_set("SELECT 1 AS n", {"n": "INTEGER"}, arn)
    account.client.create_ingestion(AwsAccountId=ACCOUNT, DataSetId=data_set, IngestionId="once")
    for members, expected in (
        ({"DataSetId": data_set, "IngestionId": "once"}, "ResourceExistsException"),
        ({"DataSetId": "nothing", "IngestionId": "x"}, "ResourceNotFoundException"),
        (
            {"DataSetId": data_set, "IngestionId": "x", "IngestionType": "INCREMENTAL_REFRESH"},
            "InvalidParameterValueException",
        ),
        ({"DataSetId": data_set, "IngestionId": "x", "AwsAccountId": "111111111111"}, "AccessDeniedException"),
    ):
        with pytest.raises(ClientError) as raised:
            account.client.create_ingestion(**({"AwsAccountId": ACCOUNT} | members))
        assert code(raised) == expected
    direct = account.data_set("SELECT 1 AS n", {"n": "INTEGER"}, arn, "DIRECT_QUERY")
    with pytest.raises(ClientError, match="not in SPICE"):
        account.client.create_ingestion(AwsAccountId=ACCOUNT, DataSetId=direct, IngestionId="x")
    with pytest.raises(ClientError, match="ListGroups is not part of the local stand-in"):
        account.client.list_groups(AwsAccountId=ACCOUNT, Namespace="default")


def test_refreshes_a_day_are_limited(account):
    data_set = account.data_set("SELECT 1 AS n", {"n": "INTEGER"}, account.source())
    for _ in range(3):
        account.ingest(data_set)
    with pytest.raises(ClientError) as raised:
        account.ingest(data_set)
    assert code(raised) == "LimitExceededException"


def test_state_outlives_a_restart(account, observer):
    data_set = account.data_set("SELECT 1 AS n", {"n": "INTEGER"}, account.source())
    done = account.ingest(data_set)
    again = QuickSight(account.service.state.file, ACCOUNT, observer.warehouse.client)
    assert (
        again.ingestions.describe_ingestion(
            {"AwsAccountId": ACCOUNT, "DataSetId": data_set, "IngestionId": done["IngestionId"]}
        )["Ingestion"]["RowInfo"]["RowsIngested"]
        == 1
    )
    again.close()


def test_a_definition_with_a_column_that_is_not_there_fails(account):
    arn = account.source()
    data_set = account.data_set("SELECT 1 AS n", {"n": "INTEGER"}, arn)
    set_arn = account.client.describe_data_set(AwsAccountId=ACCOUNT, DataSetId=data_set)["DataSet"]["Arn"]

    def definition(column):
        field = {"NumericalMeasureField": {"FieldId": "f", "Column": {"DataSetIdentifier": "d", "ColumnName": column}}}
        visual = {"KPIVisual": {"VisualId": "v", "ChartConfiguration": {"FieldWells": {"Values": [field]}}}}
        return {
            "DataSetIdentifierDeclarations": [{"Identifier": "d", "DataSetArn": set_arn}],
            "Sheets": [{"SheetId": "s", "Visuals": [visual]}],
        }

    account.client.create_dashboard(AwsAccountId=ACCOUNT, DashboardId="bad", Name="bad", Definition=definition("m"))
    version = account.client.describe_dashboard(AwsAccountId=ACCOUNT, DashboardId="bad")["Dashboard"]["Version"]
    assert version["Status"] == "CREATION_FAILED"
    assert "has no column m" in version["Errors"][0]["Message"]
    account.client.update_dashboard(AwsAccountId=ACCOUNT, DashboardId="bad", Name="bad", Definition=definition("n"))
    version = account.client.describe_dashboard(AwsAccountId=ACCOUNT, DashboardId="bad")["Dashboard"]["Version"]
    assert (version["Status"], version["VersionNumber"]) == ("UPDATE_SUCCESSFUL", 2)


def test_answers_have_the_shapes_of_the_service_model(account):
    data_set = account.data_set("SELECT 1 AS n", {"n": "INTEGER"}, account.source())
    done = account.ingest(data_set)
    account.client.create_analysis(
        AwsAccountId=ACCOUNT, AnalysisId="a", Name="a", Definition={"DataSetIdentifierDeclarations": []}
    )
    account.client.create_dashboard(
        AwsAccountId=ACCOUNT, DashboardId="b", Name="b", Definition={"DataSetIdentifierDeclarations": []}
    )
    account.client.update_dashboard_published_version(AwsAccountId=ACCOUNT, DashboardId="b", VersionNumber=1)
    model = account.client.meta.service_model
    base = f"{account.url}/accounts/{ACCOUNT}"
    for operation, path in {
        "DescribeDataSource": "/data-sources/redshift",
        "DescribeDataSet": f"/data-sets/{data_set}",
        "ListDataSets": "/data-sets",
        "ListIngestions": f"/data-sets/{data_set}/ingestions",
        "DescribeIngestion": f"/data-sets/{data_set}/ingestions/{done['IngestionId']}",
        "DescribeAnalysis": "/analyses/a",
        "DescribeDashboard": "/dashboards/b",
        "DescribeDashboardDefinition": "/dashboards/b/definition",
        "ListDashboards": "/dashboards",
    }.items():
        with urllib.request.urlopen(base + path) as answer:
            check_shape(model.operation_model(operation).output_shape, json.load(answer), operation)


def test_a_person_sees_a_data_set(cloud):
    with urllib.request.urlopen(f"{cloud.url('quicksight')}/data-sets/ecommerce-sales-trends") as answer:
        page = answer.read().decode()
    assert "mart.sales_daily" in page
    with pytest.raises(urllib.error.HTTPError) as raised:
        urllib.request.urlopen(f"{cloud.url('quicksight')}/data-sets/%3Cscript%3E")
    assert raised.value.code == 404
    assert "<script>" not in raised.value.read().decode()


def test_sources_and_analyses_are_listed(tmp_path):
    """The state is one that a stand-in wrote; nothing of it is a credential."""
    times = {"CreatedTime": 1.5, "LastUpdatedTime": 2.5}
    source = {
        "DataSourceId": "s",
        "Name": "Redshift",
        "Type": "REDSHIFT",
        "Arn": "arn:s",
        "Credentials": {"SecretArn": "arn:x"},
        **times,
    }
    analysis = {
        "AnalysisId": "a",
        "Name": "Sales",
        "Arn": "arn:a",
        "Status": "CREATION_SUCCESSFUL",
        "Definition": {},
        **times,
    }
    kept = {"data-source": {"s": source}, "data-set": {}, "analysis": {"a": analysis}, "dashboard": {}}
    state = tmp_path / "state.json"
    state.write_text(json.dumps({"kept": kept, "ingestions": {}}))
    account = Account(state, None)
    try:
        [found] = account.client.list_data_sources(AwsAccountId=ACCOUNT)["DataSources"]
        assert (found["DataSourceId"], found["Status"]) == ("s", "CREATION_SUCCESSFUL")
        assert "Credentials" not in found
        [summary] = account.client.list_analyses(AwsAccountId=ACCOUNT)["AnalysisSummaryList"]
        assert (summary["AnalysisId"], summary["Name"]) == ("a", "Sales")
        for operation in ("ListDataSources", "ListAnalyses"):
            path = (
                account.service.model.operation_model(operation).http["requestUri"].replace("{AwsAccountId}", ACCOUNT)
            )
            with urllib.request.urlopen(account.url + path) as answer:
                check_shape(
                    account.service.model.operation_model(operation).output_shape, json.loads(answer.read()), operation
                )
    finally:
        account.close()


def test_users_are_those_that_were_registered(tmp_path):
    """A user who assumes a role is called ROLE/SESSION: QuickSight API reference, User. Nothing but the service is needed."""
    state = tmp_path / "state.json"
    where = {"AwsAccountId": ACCOUNT, "Namespace": "default"}
    who = {"IdentityType": "IAM", "Email": "a@example.org", "UserRole": "AUTHOR"}
    account = Account(state, None)
    try:
        client = account.client
        assert client.list_users(**where)["UserList"] == []
        role = "arn:aws:iam::000000000000:role/team/analysts"
        assert client.register_user(**where, **who, IamArn=role, SessionName="ann")["User"]["Active"] is True
        client.register_user(**where, **who, IamArn="arn:aws:iam::000000000000:user/bob")
        found = client.describe_user(**where, UserName="analysts/ann")["User"]
        assert found["Arn"] == "arn:aws:quicksight:us-east-1:000000000000:user/default/analysts/ann"
        assert (found["Role"], found["IdentityType"]) == ("AUTHOR", "IAM")
        for call, code in (
            (
                lambda: client.register_user(**where, **who, IamArn="arn:aws:iam::000000000000:user/bob"),
                "ResourceExistsException",
            ),
            (lambda: client.register_user(**where, **who, IamArn=role), "InvalidParameterValueException"),
            (
                lambda: client.register_user(**where, **who | {"IdentityType": "QUICKSIGHT"}, UserName="x"),
                "InvalidParameterValueException",
            ),
            (lambda: client.describe_user(**where, UserName="none"), "ResourceNotFoundException"),
            (lambda: client.list_users(AwsAccountId=ACCOUNT, Namespace="other"), "ResourceNotFoundException"),
            (lambda: client.list_users(**where, NextToken="x"), "InvalidNextTokenException"),
        ):
            with pytest.raises(ClientError) as raised:
                call()
            assert raised.value.response["Error"]["Code"] == code
        base = f"{account.url}/accounts/{ACCOUNT}/namespaces/default/users"
        for operation, path in (("ListUsers", ""), ("DescribeUser", "/analysts%2Fann")):
            with urllib.request.urlopen(base + path) as answer:
                shape = account.service.model.operation_model(operation).output_shape
                check_shape(shape, json.loads(answer.read()), operation)
    finally:
        account.close()
    account = Account(state, None)
    try:
        client = account.client
        page = client.list_users(**where, MaxResults=1)
        assert [user["UserName"] for user in page["UserList"]] == ["analysts/ann"]
        client.delete_user(**where, UserName="analysts/ann")
        assert [user["UserName"] for user in client.list_users(**where)["UserList"]] == ["bob"]
    finally:
        account.close()
