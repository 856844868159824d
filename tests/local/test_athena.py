"""The Athena stand-in, driven with boto3 and awswrangler: what a query reads, and what it answers."""

import gzip
import uuid
from datetime import datetime
from decimal import Decimal

import httpx
import pyarrow as pa
import pytest
from botocore.exceptions import ClientError

from local.athena.text_tables import LAZY_SIMPLE, OPEN_CSV
from local.supervision import wait_for
from tests.local.shapes import check_shape
from tests.local.test_glue import Crawler

SYMLINK = "org.apache.hadoop.hive.ql.io.SymlinkTextInputFormat"
PARQUET = {"SerializationLibrary": "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"}


@pytest.fixture
def athena(cloud):
    return cloud.client("athena")


class Questions(Crawler):
    """A database with the table `sale` of two days, one object a day, and queries to it."""

    def __init__(self, athena, *others):
        super().__init__(*others)
        self.athena = athena
        for day in (1, 2):
            self.put_parquet(
                f"lake/sale/dt=2026-01-0{day}/a.parquet",
                id=pa.array([f"x{day}", None]),
                n=pa.array([day, 10 * day], pa.int32()),
                money=pa.array([Decimal("1.50"), Decimal("2.25")], pa.decimal128(12, 2)),
                ok=pa.array([True, False]),
                at=pa.array([datetime(2026, 1, day, 12), None], pa.timestamp("us")),
                reasons=pa.array([[{"rule": "r", "column_name": "c"}], []]),
            )
        self.create()
        assert self.run()["Status"] == "SUCCEEDED"

    def start(self, sql, **request):
        return self.athena.start_query_execution(
            QueryString=sql,
            QueryExecutionContext={"Database": self.name},
            ResultConfiguration={"OutputLocation": f"s3://{self.bucket}/results/"},
            **request,
        )["QueryExecutionId"]

    def ask(self, sql, *parameters):
        """Returns the ended execution."""
        query_id = self.start(sql, **({"ExecutionParameters": list(parameters)} if parameters else {}))

        def ended():
            found = self.athena.get_query_execution(QueryExecutionId=query_id)["QueryExecution"]
            return found if found["Status"]["State"] not in {"QUEUED", "RUNNING"} else None

        wait_for(ended, 30, "the query")
        return ended()

    def rows(self, sql, *parameters):
        found = self.ask(sql, *parameters)
        assert found["Status"]["State"] == "SUCCEEDED", found["Status"]
        pages = self.athena.get_paginator("get_query_results").paginate(QueryExecutionId=found["QueryExecutionId"])
        rows = [
            [cell.get("VarCharValue") for cell in row["Data"]] for page in pages for row in page["ResultSet"]["Rows"]
        ]
        return rows[1:], found["Statistics"]["DataScannedInBytes"]

    def size(self, day):
        return self.s3.head_object(Bucket=self.bucket, Key=f"lake/sale/dt=2026-01-0{day}/a.parquet")["ContentLength"]


def _questions(cloud):
    s3, bucket = cloud.client("s3"), f"test-{uuid.uuid4().hex[:12]}"
    s3.create_bucket(Bucket=bucket)
    return Questions(cloud.client("athena"), cloud.client("glue"), s3, bucket)


@pytest.fixture(scope="module")
def questions(cloud):
    """For tests that only read."""
    return _questions(cloud)


@pytest.fixture
def own(cloud):
    return _questions(cloud)


def test_values_are_written_as_athena_writes_them(questions):
    rows, _ = questions.rows("SELECT * FROM sale ORDER BY dt, n")
    assert rows[:2] == [
        ["x1", "1", "1.50", "true", "2026-01-01 12:00:00.000", "[{rule=r, column_name=c}]", "2026-01-01"],
        [None, "10", "2.25", "false", None, "[]", "2026-01-01"],
    ]
    found = questions.ask("SELECT id, n, money, at FROM sale LIMIT 1")
    info = questions.athena.get_query_results(QueryExecutionId=found["QueryExecutionId"])["ResultSet"][
        "ResultSetMetadata"
    ]
    assert [(c["Name"], c["Type"], c["Precision"], c["Scale"]) for c in info["ColumnInfo"]] == [
        ("id", "varchar", 2147483647, 0),
        ("n", "integer", 10, 0),
        ("money", "decimal", 12, 2),
        ("at", "timestamp", 3, 0),
    ]


def test_the_result_lies_in_s3_quoted(questions):
    found = questions.ask("SELECT id, n FROM sale WHERE dt = '2026-01-01' ORDER BY n")
    key = found["ResultConfiguration"]["OutputLocation"].split("/", 3)[3]
    assert questions.s3.get_object(Bucket=questions.bucket, Key=key)["Body"].read() == b'"id","n"\n"x1","1"\n,"10"\n'


@pytest.mark.parametrize(
    ("sql", "days"),
    [
        ("SELECT COUNT(*) FROM sale WHERE dt = '2026-01-01'", [1]),
        ("SELECT COUNT(*) FROM sale AS s WHERE s.dt >= '2026-01-02' AND s.n > 0", [2]),
        ("SELECT COUNT(*) FROM sale WHERE dt IN ('2026-01-01', '2026-01-02')", [1, 2]),
        ("SELECT COUNT(*) FROM sale WHERE dt = '2026-01-01' OR n > 1", [1, 2]),
        ("WITH s AS (SELECT * FROM sale) SELECT COUNT(*) FROM s WHERE dt = '2026-01-02'", [2]),
        ("SELECT COUNT(*) FROM (SELECT n, dt FROM sale) AS q WHERE q.dt BETWEEN '2026-01-02' AND '2026-02-01'", [2]),
        ("SELECT COUNT(*) FROM sale WHERE dt = '1999-01-01'", []),
        (
            "SELECT COUNT(*) FROM sale AS a JOIN sale AS b ON a.n = b.n WHERE a.dt = '2026-01-01' AND b.dt = '2026-01-01'",
            [1],
        ),
        ("SELECT COUNT(*) FROM sale", [1, 2]),
    ],
)
def test_a_query_reads_the_objects_of_its_days_alone(questions, sql, days):
    _, scanned = questions.rows(sql)
    assert scanned == sum(questions.size(day) for day in days)


def test_a_condition_on_the_other_side_of_an_outer_join_leaves_nothing_out(questions):
    sql = "SELECT COUNT(*) FROM sale AS a LEFT JOIN sale AS b ON a.n = b.n AND a.dt = b.dt WHERE b.dt IS NULL"
    assert questions.rows(sql)[0] == [["0"]]


def test_one_object_in_place(questions):
    url = f"s3://{questions.bucket}/lake/sale/dt=2026-01-02/a.parquet"
    rows, scanned = questions.rows('SELECT n, "$path" FROM sale WHERE "$path" = ? ORDER BY n', f"'{url}'")
    assert rows == [["2", url], ["20", url]]
    assert scanned == questions.size(2)


def test_parameters_take_the_place_of_question_marks(questions):
    rows, _ = questions.rows("SELECT n FROM sale WHERE dt = ? AND n > ?", "'2026-01-02'", "5")
    assert rows == [["20"]]
    found = questions.ask("SELECT n FROM sale WHERE dt = ? AND n > ?", "'2026-01-02'")
    assert "Incorrect number of parameters: expected 2 but found 1" in found["Status"]["StateChangeReason"]


def test_arrays_are_unnested(questions):
    rows, _ = questions.rows(
        "SELECT reason FROM sale CROSS JOIN UNNEST(TRANSFORM(reasons, r -> r.column_name || ' ' || r.rule)) "
        "AS t (reason) WHERE dt = '2026-01-01'"
    )
    assert rows == [["c r"]]


def test_objects_beside_registered_partitions_are_not_seen(own):
    own.put_parquet("lake/sale/dt=2026-01-03/a.parquet", id=pa.array(["z"]))
    assert own.rows("SELECT COUNT(*) FROM sale")[0] == [["4"]]
    own.run()
    assert own.rows("SELECT COUNT(*), COUNT(n) FROM sale")[0] == [["5", "4"]]  # what the file lacks is NULL


def test_a_list_of_files_is_followed(own):
    """SymlinkTextInputFormat: the partition holds a list of URLs, and only those files are the table."""
    columns = [{"Name": "n", "Type": "int"}]
    place = f"s3://{own.bucket}/published/"
    storage = {"Columns": columns, "Location": place, "InputFormat": SYMLINK, "SerdeInfo": PARQUET}
    own.glue.create_table(
        DatabaseName=own.name,
        TableInput={
            "Name": "listed",
            "PartitionKeys": [{"Name": "dt", "Type": "string"}],
            "StorageDescriptor": storage,
        },
    )
    own.glue.create_partition(
        DatabaseName=own.name,
        TableName="listed",
        PartitionInput={
            "Values": ["2026-01-01"],
            "StorageDescriptor": storage | {"Location": f"{place}dt=2026-01-01/"},
        },
    )
    url = f"s3://{own.bucket}/lake/sale/dt=2026-01-02/a.parquet"
    own.s3.put_object(Bucket=own.bucket, Key="published/dt=2026-01-01/symlink.txt", Body=f"{url}\n".encode())
    own.s3.put_object(Bucket=own.bucket, Key="published/dt=2026-01-01/_note.json", Body=b"{}")
    assert own.rows("SELECT n, dt FROM listed ORDER BY n") == (
        [["2", "2026-01-01"], ["20", "2026-01-01"]],
        own.size(2),
    )
    own.s3.put_object(Bucket=own.bucket, Key="published/dt=2026-01-01/symlink.txt", Body=b"s3://none/x.parquet\n")
    assert (
        "HIVE_CANNOT_OPEN_SPLIT: s3://none/x.parquet" in own.ask("SELECT n FROM listed")["Status"]["StateChangeReason"]
    )


def test_json_tables_are_read_by_their_columns(own):
    own.put_json("raw/feed=a/dt=1/x.jsonl.gz", {"event_id": "e", "data": {"Name": "N", "n": "1"}}, {"event_id": "f"})
    own.glue.update_crawler(Name=own.name, Targets={"S3Targets": [{"Path": f"s3://{own.bucket}/raw/"}]})
    own.run()
    rows, _ = own.rows("SELECT event_id, data.n FROM feed_a ORDER BY 1")
    assert rows == [["e", "1"], ["f", None]]


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("SELEC 1", "SYNTAX_ERROR"),
        ("SELECT * FROM none", "TABLE_NOT_FOUND"),
        ("SELECT nothing FROM sale", "COLUMN_NOT_FOUND"),
        ("DROP TABLE sale", "NOT_SUPPORTED: DROP"),
        ("SELECT CAST(id AS INTEGER) FROM sale", "Conversion Error"),
    ],
)
def test_a_failed_query_says_why(questions, sql, reason):
    found = questions.ask(sql)
    assert found["Status"]["State"] == "FAILED"
    assert reason in found["Status"]["StateChangeReason"]
    with pytest.raises(ClientError, match="did not finish successfully"):
        questions.athena.get_query_results(QueryExecutionId=found["QueryExecutionId"])


def test_a_torn_object_is_named_by_its_url(own):
    key = "lake/sale/dt=2026-01-01/a.parquet"
    own.s3.put_object(Bucket=own.bucket, Key=key, Body=b"torn")
    reason = own.ask("SELECT * FROM sale")["Status"]["StateChangeReason"]
    assert f"s3://{own.bucket}/{key}" in reason
    assert "/tmp" not in reason


def test_workgroups_and_named_queries(athena, bucket):
    name = f"w{uuid.uuid4().hex[:8]}"
    location = {"OutputLocation": f"s3://{bucket}/forced/"}
    athena.create_work_group(
        Name=name, Configuration={"EnforceWorkGroupConfiguration": True, "ResultConfiguration": location}
    )
    with pytest.raises(ClientError, match="already created"):
        athena.create_work_group(Name=name)
    query_id = athena.start_query_execution(
        QueryString="SELECT 1 AS one", WorkGroup=name, ResultConfiguration={"OutputLocation": f"s3://{bucket}/mine/"}
    )["QueryExecutionId"]
    execution = athena.get_query_execution(QueryExecutionId=query_id)["QueryExecution"]
    assert execution["ResultConfiguration"]["OutputLocation"] == f"s3://{bucket}/forced/{query_id}.csv"
    named = athena.create_named_query(Name="one", Database="d", QueryString="SELECT 1", WorkGroup=name)["NamedQueryId"]
    assert athena.list_named_queries(WorkGroup=name)["NamedQueryIds"] == [named]
    with pytest.raises(ClientError, match="not empty"):
        athena.delete_work_group(WorkGroup=name)
    athena.delete_work_group(WorkGroup=name, RecursiveDeleteOption=True)
    with pytest.raises(ClientError, match="is not found"):
        athena.get_work_group(WorkGroup=name)
    with pytest.raises(ClientError, match="No output location"):
        athena.start_query_execution(QueryString="SELECT 1")


def test_the_same_token_is_the_same_query(questions):
    token = uuid.uuid4().hex * 2
    assert questions.start("SELECT 1", ClientRequestToken=token) == questions.start(
        "SELECT 1", ClientRequestToken=token
    )


def test_a_stopped_query_is_cancelled(questions):
    query_id = questions.start("SELECT COUNT(*) FROM sale AS a, sale AS b, sale AS c")
    questions.athena.stop_query_execution(QueryExecutionId=query_id)

    def state():
        return questions.athena.get_query_execution(QueryExecutionId=query_id)["QueryExecution"]["Status"]["State"]

    wait_for(lambda: state() in {"CANCELLED", "SUCCEEDED"}, 20, "the end")


def test_awswrangler_reads_with_types(questions, cloud, monkeypatch):
    import awswrangler as wr

    for name, value in cloud.user_environment().items():
        monkeypatch.setenv(name, value)
    frame = wr.athena.read_sql_query(
        "SELECT id, n, money, at, dt FROM sale ORDER BY dt, n",
        database=questions.name,
        ctas_approach=False,
        s3_output=f"s3://{questions.bucket}/wr/",
    )
    assert frame["n"].tolist() == [1, 10, 2, 20]
    assert frame["money"].tolist() == [Decimal("1.50"), Decimal("2.25")] * 2
    assert frame["at"].iloc[0] == datetime(2026, 1, 1, 12)
    assert frame["id"].isna().tolist() == [False, True, False, True]


@pytest.mark.parametrize(
    "how", [{"ctas_approach": True}, {"ctas_approach": False, "unload_approach": True}], ids=["ctas", "unload"]
)
def test_awswrangler_reads_what_athena_writes(questions, cloud, monkeypatch, how):
    import awswrangler as wr

    for name, value in cloud.user_environment().items():
        monkeypatch.setenv(name, value)
    frame = wr.athena.read_sql_query(
        "SELECT id, n, money, ok, at, dt, n / 2 AS half FROM sale ORDER BY n",
        database=questions.name,
        s3_output=f"s3://{questions.bucket}/{next(iter(how))}{len(how)}/",
        **how,
    )
    assert sorted(frame["n"].tolist()) == [1, 2, 10, 20]
    assert sorted(frame["half"].tolist()) == [0, 1, 5, 10]
    assert sorted(frame["dt"].tolist()) == ["2026-01-01"] * 2 + ["2026-01-02"] * 2
    assert sorted(frame["money"].tolist()) == [Decimal("1.50"), Decimal("1.50"), Decimal("2.25"), Decimal("2.25")]
    # The default also takes away the table that it made.
    assert not [name for name in questions.tables() if name.startswith("temp_table")]


@pytest.mark.parametrize(
    "operation",
    [
        "GetQueryExecution",
        "GetQueryResults",
        "ListQueryExecutions",
        "GetWorkGroup",
        "ListWorkGroups",
        "GetTableMetadata",
        "ListTableMetadata",
        "GetDatabase",
        "ListDatabases",
        "GetDataCatalog",
        "ListDataCatalogs",
    ],
)
def test_answers_have_the_shapes_of_the_model(cloud, athena, questions, operation):
    query_id = questions.ask("SELECT id, n FROM sale")["QueryExecutionId"]
    table = {"CatalogName": "AwsDataCatalog", "DatabaseName": questions.name, "TableName": "sale"}
    arguments = {
        "GetWorkGroup": {"WorkGroup": "ecommerce"},
        "ListWorkGroups": {},
        "ListQueryExecutions": {},
        "GetTableMetadata": table,
        "ListTableMetadata": {"CatalogName": "AwsDataCatalog", "DatabaseName": questions.name},
        "GetDatabase": {"CatalogName": "AwsDataCatalog", "DatabaseName": questions.name},
        "ListDatabases": {"CatalogName": "AwsDataCatalog"},
        "GetDataCatalog": {"Name": "AwsDataCatalog"},
        "ListDataCatalogs": {},
    }
    headers = {"X-Amz-Target": f"AmazonAthena.{operation}", "Content-Type": "application/x-amz-json-1.1"}
    body = arguments.get(operation, {"QueryExecutionId": query_id})
    answer = httpx.post(cloud.url("glue"), json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    check_shape(athena.meta.service_model.operation_model(operation).output_shape, answer.json(), operation)


def test_what_the_catalog_knows_of_a_table(questions, athena):
    request = {"CatalogName": "AwsDataCatalog", "DatabaseName": questions.name}
    found = athena.get_table_metadata(**request, TableName="sale")
    table = found["TableMetadata"]
    assert table["Parameters"]["location"] == f"s3://{questions.bucket}/lake/sale/"
    assert [c["Name"] for c in table["Columns"]] == ["id", "n", "money", "ok", "at", "reasons"]
    assert [c["Name"] for c in table["PartitionKeys"]] == ["dt"]
    with pytest.raises(ClientError, match="MetadataException"):
        athena.get_table_metadata(**request, TableName="other")
    with pytest.raises(ClientError, match="Data catalog other is not found"):
        athena.get_table_metadata(**request | {"CatalogName": "other"}, TableName="sale")


def test_the_catalog_is_listed(questions, athena):
    [catalog] = athena.list_data_catalogs()["DataCatalogsSummary"]
    assert (catalog["CatalogName"], catalog["Type"]) == ("AwsDataCatalog", "GLUE")
    pages = athena.get_paginator("list_databases").paginate(
        CatalogName="AwsDataCatalog", PaginationConfig={"PageSize": 1}
    )
    names = [database["Name"] for page in pages for database in page["DatabaseList"]]
    assert names == sorted(names)
    assert {questions.name, "ecommerce_lake"} <= set(names)

    def tables(**more):
        listed = athena.list_table_metadata(CatalogName="AwsDataCatalog", DatabaseName=questions.name, **more)
        return [table["Name"] for table in listed["TableMetadataList"]]

    assert tables() == ["sale"]
    assert tables(Expression="s.*") == ["sale"]
    assert tables(Expression="al") == []
    with pytest.raises(ClientError, match="MetadataException"):
        athena.list_table_metadata(CatalogName="AwsDataCatalog", DatabaseName="none")


@pytest.fixture
def wr(cloud, monkeypatch):
    import awswrangler

    for name, value in cloud.user_environment().items():
        monkeypatch.setenv(name, value)
    return awswrangler


def lines(questions, sql):
    """Returns the rows of an answer, of one text each: SHOW and DESCRIBE have no header."""
    found = questions.ask(sql)
    assert (found["Status"]["State"], found["StatementType"]) == ("SUCCEEDED", "UTILITY"), found["Status"]
    answer = questions.athena.get_query_results(QueryExecutionId=found["QueryExecutionId"])["ResultSet"]
    rows = [[cell["VarCharValue"] for cell in row["Data"]] for row in answer["Rows"]]
    key = found["ResultConfiguration"]["OutputLocation"].split("/", 3)[3]
    assert key.endswith(".txt")
    written = questions.s3.get_object(Bucket=questions.bucket, Key=key)["Body"].read().decode()
    assert written == "\n".join(line for (line,) in rows)
    return [line for (line,) in rows], [column["Name"] for column in answer["ResultSetMetadata"]["ColumnInfo"]]


def test_what_is_there_is_shown(questions):
    assert lines(questions, "SHOW TABLES") == (["sale"], ["tab_name"])
    assert lines(questions, f"-- all\nshow tables in {questions.name} 's*';")[0] == ["sale"]
    assert lines(questions, "SHOW TABLES LIKE 'x*|y*'")[0] == []
    assert questions.name in lines(questions, "SHOW DATABASES")[0]
    partitions = ["dt=2026-01-01", "dt=2026-01-02"]
    assert lines(questions, f"SHOW PARTITIONS `{questions.name}`.`sale`") == (partitions, ["partition"])
    assert lines(questions, "SHOW COLUMNS IN sale")[0][-1] == f"{'dt':20}"


def test_a_table_is_described(questions):
    """Each part fills 20 places, and the columns of the partition come again: Hive's DESCRIBE."""
    found, columns = lines(questions, "DESCRIBE sale")
    assert columns == ["col_name", "data_type", "comment"]
    assert found[0] == f"{'id':20}\t{'string':20}\t{'':20}"
    assert [line.split() for line in found[1:5]] == [
        ["n", "int"],
        ["money", "decimal(12,2)"],
        ["ok", "boolean"],
        ["at", "timestamp"],
    ]
    assert found[7:] == [
        "\t \t ",
        "# Partition Information\t \t ",
        f"{'# col_name':22}\t{'data_type':20}\t{'comment':20}",
        "\t \t ",
        f"{'dt':20}\t{'string':20}\t{'':20}",
    ]


def test_awswrangler_shows_and_describes(questions, wr):
    where = {"database": questions.name, "s3_output": f"s3://{questions.bucket}/ddl/"}
    described = wr.athena.describe_table(table="sale", **where)
    assert described["Column Name"].tolist()[:2] == ["id", "n"]
    assert described.loc[described["Column Name"] == "dt", "Partition"].tolist() == [True]
    statement = wr.athena.show_create_table(table="sale", **where)
    assert statement.startswith("CREATE EXTERNAL TABLE `sale`(")
    assert "PARTITIONED BY" in statement
    assert f"LOCATION 's3://{questions.bucket}/lake/sale/'" in " ".join(statement.split())


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("DESCRIBE none", "Table not found"),
        ("SHOW PARTITIONS none", "Table not found"),
        ("SHOW TABLES IN none", "Database does not exist: none"),
        ("DESCRIBE FORMATTED sale", "NOT_SUPPORTED: DESCRIBE FORMATTED sale"),
        ("SHOW VIEWS", "NOT_SUPPORTED: SHOW VIEWS"),
        ("SHOW TABLES '[a-z]+'", "NOT_SUPPORTED: the pattern"),
    ],
)
def test_what_cannot_be_shown_is_refused(questions, sql, reason):
    found = questions.ask(sql)
    assert found["Status"]["State"] == "FAILED"
    assert reason in found["Status"]["StateChangeReason"]


def text_table(own, serde, columns, body, key="text/a.csv", settings=None, **parameters):
    """Makes the table `text` of one object."""
    own.s3.put_object(Bucket=own.bucket, Key=key, Body=body)
    storage = {
        "Columns": [{"Name": name, "Type": kind} for name, kind in columns.items()],
        "Location": f"s3://{own.bucket}/text/",
        "InputFormat": "org.apache.hadoop.mapred.TextInputFormat",
        "OutputFormat": "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat",
        "SerdeInfo": {"SerializationLibrary": serde, "Parameters": settings or {}},
    }
    table = {"Name": "text", "TableType": "EXTERNAL_TABLE", "StorageDescriptor": storage, "Parameters": parameters}
    own.glue.create_table(DatabaseName=own.name, TableInput=table)


def test_a_table_over_csv(own):
    """Athena user guide, Open CSV SerDe: dates are days and times milliseconds since 1970; an empty text is no NULL."""
    columns = {
        "name": "string",
        "n": "int",
        "ok": "boolean",
        "x": "double",
        "day": "date",
        "at": "timestamp",
        "end": "string",
    }
    body = (
        b'name,n,ok,x,day,at,end\n"a, ""b""",-1,TRUE,1.5,1,86400001,\n"",2,false,2,0,0\n\nc,3,true,1e3,365,0,z,more\n'
    )
    text_table(own, OPEN_CSV, columns, gzip.compress(body), "text/a.csv.gz", **{"skip.header.line.count": "1"})
    rows, _ = own.rows("SELECT * FROM text")
    assert rows == [
        ['a, "b"', "-1", "true", "1.5", "1970-01-02", "1970-01-02 00:00:00.001", ""],
        ["", "2", "false", "2.0", "1970-01-01", "1970-01-01 00:00:00.000", None],
        [None] * 7,
        ["c", "3", "true", "1000.0", "1971-01-01", "1970-01-01 00:00:00.000", "z"],
    ]
    assert own.rows('SELECT SUM(n), COUNT(DISTINCT "$path") FROM text WHERE ok')[0] == [["2", "1"]]


def test_a_table_over_delimited_text(own):
    columns = {"name": "string", "n": "bigint", "money": "decimal(8,2)", "day": "date", "at": "timestamp"}
    body = b'"a"|1|1.5|2026-01-02|2026-01-02 03:04:05.5\n\\N|\\N|||\nb\n'
    text_table(own, LAZY_SIMPLE, columns, body, settings={"field.delim": "|", "escape.delim": "\\"})
    assert own.rows("SELECT * FROM text")[0] == [
        ['"a"', "1", "1.50", "2026-01-02", "2026-01-02 03:04:05.500"],
        [None] * 5,
        ["b", None, None, None, None],
    ]


@pytest.mark.parametrize(
    ("serde", "kind", "body", "reason"),
    [
        (OPEN_CSV, "int", b"x,\n", "HIVE_BAD_DATA: Error parsing a value of column b, of type int"),
        (OPEN_CSV, "decimal(8,2)", b"x,1\n", "NOT_SUPPORTED: column b of type decimal(8,2)"),
        (OPEN_CSV, "string", b'x,a"b\n', "NOT_SUPPORTED: a quote within a value"),
        (OPEN_CSV, "string", b'x,"a\nb"\n', "NOT_SUPPORTED: a quote within a value"),
        (OPEN_CSV, "string", b"x,a\\,b\n", "NOT_SUPPORTED: an escaped character"),
        (OPEN_CSV, "string", b"x,\xff\n", "HIVE_BAD_DATA"),
        (LAZY_SIMPLE, "int", b"x\x01many\n", "HIVE_BAD_DATA: Error parsing a value of column b"),
        (LAZY_SIMPLE, "array<int>", b"x\x011\n", "NOT_SUPPORTED: column b of type array<int>"),
        ("org.apache.hadoop.hive.serde2.RegexSerDe", "string", b"x\n", "NOT_SUPPORTED: org.apache.hadoop"),
    ],
)
def test_text_that_is_not_surely_read_is_refused(own, serde, kind, body, reason):
    text_table(own, serde, {"a": "string", "b": kind}, body)
    found = own.ask("SELECT a, b FROM text")
    assert found["Status"]["State"] == "FAILED", found
    assert reason in found["Status"]["StateChangeReason"]


def test_awswrangler_writes_text_that_is_read(own, wr):
    import pandas

    frame = pandas.DataFrame({"name": ["a", None], "n": [1, 2], "x": [0.5, None]})
    path = f"s3://{own.bucket}/written/"
    wr.s3.to_csv(frame, path=path, dataset=True, database=own.name, table="written", index=False)
    found = wr.athena.read_sql_query(
        "SELECT * FROM written ORDER BY n", database=own.name, ctas_approach=False, s3_output=f"s3://{own.bucket}/r/"
    )
    assert found["n"].tolist() == [1, 2]
    assert found["x"].tolist()[0] == 0.5
    assert found["x"].isna().tolist() == [False, True]
