"""The wire protocol: boto3, the AWS CLI, the Amazon provider and awswrangler use the stand-in unchanged."""

import json
import subprocess
import sys
import uuid
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import boto3
import pytest
from botocore import xform_name
from botocore.exceptions import ClientError

from local.protocol import ApiError
from local.redshift import statements as statements_module
from local.redshift.engine import Engine
from local.redshift.statements import Statements
from tests.local.redshift_bench import Redshift
from tests.local.shapes import check_shape

TARGET = {"WorkgroupName": "ecommerce", "Database": "ecommerce"}


@pytest.fixture(scope="module")
def redshift(tmp_path_factory, cloud):
    server = Redshift(tmp_path_factory.mktemp("redshift"), cloud.cloud_url)
    server.ok("CREATE SCHEMA core", "CREATE TABLE core.numbers (n BIGINT, label VARCHAR(20) NOT NULL)")
    digits = " UNION ALL ".join(f"SELECT {i} AS d" for i in range(10))
    server.ok(
        f"INSERT INTO core.numbers WITH d AS ({digits}) SELECT a.d * 1000 + b.d * 100 + c.d * 10 + e.d, 'x' "
        "FROM d AS a CROSS JOIN d AS b CROSS JOIN d AS c CROSS JOIN d AS e"
    )
    yield server
    server.close()


def test_every_operation_of_the_model_is_there(redshift):
    model = redshift.client.meta.service_model
    for operation in model.operation_names:
        with pytest.raises(ClientError) as raised:
            getattr(redshift.client, xform_name(operation))(**_minimal(operation))
        assert raised.value.response["Error"]["Code"] in {"ValidationException", "ResourceNotFoundException"}, operation


def _minimal(operation):
    """A call of each operation that its service must refuse."""
    nowhere = {"WorkgroupName": "nowhere", "Database": "ecommerce"}
    missing = "00000000-0000-0000-0000-000000000000"
    return {
        "ExecuteStatement": {"Sql": "SELECT 1", **nowhere},
        "BatchExecuteStatement": {"Sqls": ["SELECT 1"], **nowhere},
        "DescribeStatement": {"Id": missing},
        "GetStatementResult": {"Id": missing},
        "GetStatementResultV2": {"Id": missing},
        "CancelStatement": {"Id": missing},
        "ListStatements": {"MaxResults": 1000},
        "ListSessions": {"MaxResults": 1000},
        "ListDatabases": {"MaxResults": 5000, **nowhere},
        "ListSchemas": nowhere,
        "ListTables": nowhere,
        "DescribeTable": nowhere,
    }[operation]


def test_answers_have_the_shapes_of_the_service_model(redshift):
    """Compares what is on the wire with botocore's output shapes: no unknown member, each of the right type."""
    import urllib.request

    model = redshift.client.meta.service_model
    seen = set()

    def call(operation, **members):
        request = urllib.request.Request(
            redshift.url, json.dumps(members).encode(), {"X-Amz-Target": f"RedshiftData.{operation}"}
        )
        with urllib.request.urlopen(request) as answer:
            body = json.loads(answer.read())
        check_shape(model.operation_model(operation).output_shape, body, operation)
        seen.add(operation)
        return body

    one = call(
        "ExecuteStatement",
        Sql="SELECT n, label FROM core.numbers",
        StatementName="shapes",
        WaitTimeSeconds=10,
        **TARGET,
    )
    text = call("ExecuteStatement", Sql="SELECT 1 AS a", ResultFormat="CSV", WaitTimeSeconds=10, **TARGET)
    batch = call("BatchExecuteStatement", Sqls=["SELECT 1 AS a", "SELECT 1.5 AS b"], WaitTimeSeconds=10, **TARGET)
    kept = call("ExecuteStatement", Sql="SELECT 1", SessionKeepAliveSeconds=30, WaitTimeSeconds=10, **TARGET)
    slow = call("ExecuteStatement", Sql=_SLOW, **TARGET)
    for statement in (one, batch, kept):
        call("DescribeStatement", Id=statement["Id"])
    call("GetStatementResult", Id=one["Id"])
    call("GetStatementResult", Id=f"{batch['Id']}:2")
    call("GetStatementResultV2", Id=text["Id"])
    call("CancelStatement", Id=slow["Id"])
    call("ListStatements", Status="ALL")
    call("ListSessions")
    call("ListDatabases", **TARGET)
    call("ListSchemas", **TARGET)
    call("ListTables", **TARGET)
    call("DescribeTable", Schema="core", Table="numbers", **TARGET)
    assert seen == set(model.operation_names)


_SLOW = "SELECT COUNT(*) FROM core.numbers AS a CROSS JOIN core.numbers AS b CROSS JOIN core.numbers AS c WHERE a.n + b.n + c.n = 1"


def test_parameters(redshift):
    assert redshift.rows("SELECT n FROM core.numbers WHERE n = :n AND label = :l", parameters={"n": "7", "l": "x"}) == [
        (7,)
    ]
    assert redshift.rows("SELECT :a AS a, ':a' AS b -- :a\n", parameters={"a": "it's"}) == [("it's", ":a")]
    for sql, parameters, says in [
        ("SELECT 1", {"a": "1"}, "unused parameters"),
        ("SELECT :a, :b", {"a": "1"}, "Cannot find parameter: b"),
    ]:
        with pytest.raises(ClientError, match=says):
            redshift.submit(sql, parameters=parameters)


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(["x\\", ", (SELECT 1) --"], id="backslash_before_the_quote"),
        pytest.param(["'", "' --"], id="quotes"),
        pytest.param(["\\'", "\\\\'; DROP TABLE ops.batch_audit; --"], id="both"),
        pytest.param([":b", "a\\n:a"], id="placeholders_in_values"),
    ],
)
def test_a_parameter_is_a_value_whatever_is_in_it(redshift, values):
    parameters = [{"name": name, "value": value} for name, value in zip("ab", values, strict=True)]
    assert redshift.rows("SELECT :a, :b", Parameters=parameters) == [tuple(values)]


def test_results_are_paged(redshift):
    state = redshift.ok("SELECT n FROM core.numbers ORDER BY n")
    pages = list(redshift.client.get_paginator("get_statement_result").paginate(Id=state["Id"]))
    assert len(pages) == 10
    assert {page["TotalNumRows"] for page in pages} == {10_000}
    assert [row[0]["longValue"] for page in pages for row in page["Records"]] == list(range(10_000))


def test_csv_results_are_paged(redshift):
    state = redshift.ok("SELECT n FROM core.numbers ORDER BY n", ResultFormat="CSV")
    pages = list(redshift.client.get_paginator("get_statement_result_v2").paginate(Id=state["Id"]))
    lines = "".join(r["CSVRecords"] for page in pages for r in page["Records"]).split()
    assert lines == ["n", *map(str, range(10_000))]
    with pytest.raises(ClientError, match="use GetStatementResultV2"):
        redshift.client.get_statement_result(Id=state["Id"])


def test_field_types(redshift):
    state = redshift.ok(
        "SELECT 1 AS i, 1.5::FLOAT8 AS f, TRUE AS b, 2.50::DECIMAL(5,2) AS d, '2026-01-02'::DATE AS t, NULL AS n"
    )
    answer = redshift.client.get_statement_result(Id=state["Id"])
    assert answer["Records"] == [
        [
            {"longValue": 1},
            {"doubleValue": 1.5},
            {"booleanValue": True},
            {"stringValue": "2.50"},
            {"stringValue": "2026-01-02"},
            {"isNull": True},
        ]
    ]
    assert [c["typeName"] for c in answer["ColumnMetadata"]] == ["int4", "float8", "bool", "numeric", "date", "varchar"]


def test_a_client_token_runs_once(redshift):
    name, token = f"t_{uuid.uuid4().hex[:8]}", uuid.uuid4().hex
    redshift.ok(f"CREATE TABLE {name} (a INTEGER)")
    ids = {
        redshift.client.execute_statement(Sql=f"INSERT INTO {name} VALUES (1)", ClientToken=token, **TARGET)["Id"]
        for _ in range(3)
    }
    assert len(ids) == 1
    redshift.client.describe_statement(Id=ids.pop(), WaitTimeSeconds=10)
    assert redshift.rows(f"SELECT COUNT(*) FROM {name}") == [(1,)]


def test_sessions(redshift):
    session = redshift.submit("CREATE TEMP TABLE mine (a INTEGER)", SessionKeepAliveSeconds=60)["SessionId"]
    redshift.ok("INSERT INTO mine VALUES (5)", SessionId=session)
    assert redshift.rows("SELECT a FROM mine", SessionId=session) == [(5,)]
    with pytest.raises(ClientError, match="cannot be used with WorkgroupName"):
        redshift.client.execute_statement(Sql="SELECT 1", SessionId=session, **TARGET)
    with pytest.raises(ClientError, match="does not exist or is closed"):
        redshift.client.execute_statement(Sql="SELECT 1", SessionId=str(uuid.uuid4()))
    slow = redshift.client.execute_statement(Sql=_SLOW, SessionId=session)
    with pytest.raises(ClientError, match="busy"):
        redshift.client.execute_statement(Sql="SELECT 1", SessionId=session)
    redshift.client.cancel_statement(Id=slow["Id"])


def test_cancel(redshift):
    slow = redshift.client.execute_statement(Sql=_SLOW, **TARGET)
    assert redshift.client.cancel_statement(Id=slow["Id"])["Status"] is True
    assert redshift.client.describe_statement(Id=slow["Id"])["Status"] == "ABORTED"
    done = redshift.ok("SELECT 1")
    with pytest.raises(ClientError, match="already in FINISHED state"):
        redshift.client.cancel_statement(Id=done["Id"])


def test_statements_are_kept_for_a_day_and_only_the_oldest_are_looked_at(tmp_path, s3):
    arguments = {"mode": "AUTO_COMMIT", "name": "", "result_format": "JSON", "workgroup": "w", "database": "d"}
    arguments |= {"is_batch": False, "session_id": None, "keep_alive_seconds": None}
    with closing(Engine(tmp_path / "w.duckdb", s3)) as engine:
        statements = Statements(engine)
        old, *new = (statements.submit(["SELECT 1"], {}, client_token=token, **arguments) for token in "abc")
        for statement in (old, *new):
            assert statement.done.wait(10)
        old.updated -= timedelta(hours=25)
        old.created -= timedelta(hours=25)
        statements._tokens["a"] = (old.created, old.id)

        class Watched(dict):
            looked_at = 0

            def values(self):
                for value in super().values():
                    self.looked_at += 1
                    yield value

        statements._all = Watched(statements._all)
        last = statements.submit(["SELECT 1"], {}, client_token="a", **arguments)
        assert last.id != old.id
        assert statements._all.keys() == {last.id, *(statement.id for statement in new)}
        assert statements._all.looked_at == 2  # the one that is forgotten, and the oldest that is kept
        statements.close()
        assert not statements._active


def test_active_statements_have_a_quota(tmp_path, s3, monkeypatch):
    monkeypatch.setattr(statements_module, "ACTIVE_MAX", 2)
    arguments = {"mode": "AUTO_COMMIT", "name": "", "result_format": "JSON", "workgroup": "w", "database": "d"}
    arguments |= {"is_batch": False, "session_id": None, "keep_alive_seconds": None, "client_token": None}
    with closing(Engine(tmp_path / "w.duckdb", s3)) as engine:
        statements = Statements(engine)
        digits = f"({' UNION ALL '.join(f'SELECT {i} AS d' for i in range(10))})"
        slow = "SELECT SUM(a0.d + a1.d) FROM " + " CROSS JOIN ".join(f"{digits} AS a{i}" for i in range(10))
        first, second = (statements.submit([slow], {}, **arguments) for _ in range(2))
        with pytest.raises(ApiError, match="exceeded the allowed quota"):
            statements.submit(["SELECT 1"], {}, **arguments)
        statements.cancel(first.id)
        assert statements.submit(["SELECT 1"], {}, **arguments).done.wait(30)
        statements.cancel(second.id)
        statements.close()


def test_lists(redshift):
    assert redshift.client.list_databases(**TARGET)["Databases"] == ["ecommerce"]
    assert {"core", "public", "pg_catalog"} <= set(redshift.client.list_schemas(**TARGET)["Schemas"])
    assert redshift.client.list_tables(SchemaPattern="cor%", **TARGET)["Tables"] == [
        {"schema": "core", "name": "numbers", "type": "TABLE"}
    ]
    columns = redshift.client.describe_table(Schema="core", Table="numbers", **TARGET)["ColumnList"]
    assert [(c["name"], c["typeName"], c["nullable"], c["length"]) for c in columns] == [
        ("n", "int8", 1, 0),
        ("label", "varchar", 0, 20),
    ]
    redshift.ok("SELECT 1", StatementName="named one")
    assert redshift.client.list_statements(StatementName="named")["Statements"][0]["StatementName"] == "named one"


def test_state_survives_a_restart(tmp_path, cloud):
    server = Redshift(tmp_path, cloud.cloud_url)
    server.ok("CREATE TABLE kept (a VARCHAR(3))", "INSERT INTO kept VALUES ('abc')")
    server.process.kill()
    server.process.wait()
    server = Redshift(tmp_path, cloud.cloud_url)
    try:
        assert server.rows("SELECT a FROM kept") == [("abc",)]
        assert "too long" in server.error("INSERT INTO kept VALUES ('abcd')")
    finally:
        server.close()


def test_the_aws_cli(redshift):
    aws = [
        str(Path(sys.executable).parent / "aws"),
        "redshift-data",
        "--endpoint-url",
        redshift.url,
        "--region",
        "us-east-1",
    ]
    env = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "PATH": "/usr/bin:/bin"}

    def run(*arguments):
        return json.loads(
            subprocess.run([*aws, *arguments], env=env, capture_output=True, text=True, check=True).stdout
        )

    submitted = run(
        "execute-statement", "--workgroup-name", "ecommerce", "--database", "ecommerce", "--sql", "SELECT 42 AS answer"
    )
    redshift.client.describe_statement(Id=submitted["Id"], WaitTimeSeconds=10)
    assert run("get-statement-result", "--id", submitted["Id"])["Records"] == [[{"longValue": 42}]]


def test_the_amazon_provider(redshift, monkeypatch):
    from airflow.providers.amazon.aws.operators.redshift_data import RedshiftDataOperator

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_ENDPOINT_URL_REDSHIFT_DATA", redshift.url)
    operator = RedshiftDataOperator(
        task_id="t",
        aws_conn_id=None,
        workgroup_name="ecommerce",
        database="ecommerce",
        poll_interval=0.2,
        sql=["SELECT 1 AS a", "SELECT 2 AS a"],
        return_sql_result=True,
    )
    results = operator.execute({})
    assert [r["Records"] for r in results] == [[[{"longValue": 1}]], [[{"longValue": 2}]]]
    failing = RedshiftDataOperator(
        task_id="f",
        aws_conn_id=None,
        workgroup_name="ecommerce",
        database="ecommerce",
        poll_interval=0.2,
        sql="SELECT nope",
    )
    with pytest.raises(Exception, match='column "nope" does not exist'):
        failing.execute({})


def test_awswrangler(redshift, monkeypatch):
    import awswrangler

    monkeypatch.setenv("AWS_ENDPOINT_URL_REDSHIFT_DATA", redshift.url)
    session = boto3.session.Session("test", "test", region_name="us-east-1")
    connection = awswrangler.data_api.redshift.connect(
        workgroup_name="ecommerce", database="ecommerce", boto3_session=session
    )
    frame = awswrangler.data_api.redshift.read_sql_query(
        "SELECT n, label FROM core.numbers WHERE n < 3 ORDER BY n", con=connection
    )
    assert frame.to_dict("records") == [{"n": i, "label": "x"} for i in range(3)]
