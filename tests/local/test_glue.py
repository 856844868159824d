"""The Glue stand-in, driven with boto3: crawlers that crawl. Runs of jobs are in tests/glue."""

import gzip
import io
import json
import uuid

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from botocore.exceptions import ClientError

from local.glue.schema import Unreadable, json_columns, merge, written
from local.supervision import wait_for
from tests.local.shapes import check_shape

CONFIGURATION = {
    "Version": 1.0,
    "Grouping": {"TableLevelConfiguration": 3},
    "CrawlerOutput": {
        "Partitions": {"AddOrUpdateBehavior": "InheritFromTable"},
        "Tables": {"AddOrUpdateBehavior": "MergeNewColumns"},
    },
}
DELETING = {"UpdateBehavior": "UPDATE_IN_DATABASE", "DeleteBehavior": "DELETE_FROM_DATABASE"}


@pytest.fixture
def glue(cloud):
    return cloud.client("glue")


class Crawler:
    """A database, a bucket and a crawler of the test's own."""

    def __init__(self, glue, s3, bucket):
        self.glue, self.s3, self.bucket = glue, s3, bucket
        self.name = f"c{uuid.uuid4().hex[:8]}"
        glue.create_database(DatabaseInput={"Name": self.name})

    def create(self, path="lake/", configuration=CONFIGURATION, policy=DELETING, **target):
        targets = {"S3Targets": [{"Path": f"s3://{self.bucket}/{path}", **target}]}
        self.glue.create_crawler(
            Name=self.name,
            Role="arn:aws:iam::000000000000:role/crawler",
            DatabaseName=self.name,
            Targets=targets,
            SchemaChangePolicy=policy,
            Configuration=json.dumps(configuration),
        )

    def run(self):
        self.glue.start_crawler(Name=self.name)
        wait_for(lambda: self.glue.get_crawler(Name=self.name)["Crawler"]["State"] == "READY", 30, "the crawl")
        return self.glue.get_crawler(Name=self.name)["Crawler"]["LastCrawl"]

    def put_parquet(self, key, **columns):
        out = io.BytesIO()
        pq.write_table(pa.table(columns), out)
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=out.getvalue())

    def put_json(self, key, *records, packed=True):
        body = b"".join(json.dumps(record).encode() + b"\n" for record in records)
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=gzip.compress(body) if packed else body)

    def tables(self):
        return {t["Name"]: t for t in self.glue.get_tables(DatabaseName=self.name)["TableList"]}

    def columns(self, table):
        return {c["Name"]: c["Type"] for c in self.tables()[table]["StorageDescriptor"]["Columns"]}

    def partitions(self, table):
        found = self.glue.get_paginator("get_partitions").paginate(DatabaseName=self.name, TableName=table)
        return {tuple(p["Values"]): p["StorageDescriptor"] for page in found for p in page["Partitions"]}

    def summary(self):
        return json.loads(self.glue.list_crawls(CrawlerName=self.name)["Crawls"][0]["Summary"])


@pytest.fixture
def crawler(glue, s3, bucket):
    return Crawler(glue, s3, bucket)


def test_parquet_becomes_tables_with_partitions_and_types_of_the_footer(crawler):
    reason = pa.struct([("rule", pa.string())])
    crawler.put_parquet(
        "lake/feed=a/dt=2026-01-01/1.parquet",
        id=pa.array(["x"]),
        n=pa.array([1], pa.int32()),
        big=pa.array([1], pa.int64()),
        at=pa.array([0], pa.timestamp("us")),
        money=pa.array([1], pa.decimal128(12, 3)),
        ok=pa.array([True]),
        reasons=pa.array([[{"rule": "r"}]], pa.list_(reason)),
    )
    crawler.put_parquet("lake/feed=a/dt=2026-01-02/1.parquet", id=pa.array(["y"]))
    crawler.put_parquet("lake/feed=b/dt=2026-01-01/1.parquet", other=pa.array([1.5]))
    crawler.put_parquet("lake/feed=b/dt=2026-01-01/_hidden.parquet", hidden=pa.array([1]))
    crawler.create()
    assert crawler.run()["Status"] == "SUCCEEDED"
    assert set(crawler.tables()) == {"feed_a", "feed_b"}
    assert crawler.columns("feed_a") == {
        "id": "string",
        "n": "int",
        "big": "bigint",
        "at": "timestamp",
        "money": "decimal(12,3)",
        "ok": "boolean",
        "reasons": "array<struct<rule:string>>",
    }
    assert crawler.columns("feed_b") == {"other": "double"}
    table = crawler.tables()["feed_a"]
    assert [k["Name"] for k in table["PartitionKeys"]] == ["dt"]
    assert table["Parameters"]["classification"] == "parquet"
    assert table["Parameters"]["objectCount"] == "2"
    partitions = crawler.partitions("feed_a")
    assert partitions[("2026-01-02",)]["Location"] == f"s3://{crawler.bucket}/lake/feed=a/dt=2026-01-02/"
    assert crawler.summary() == {
        "TABLE": {"ADD": 2, "UPDATE": 0, "DELETE": 0},
        "PARTITION": {"ADD": 3, "UPDATE": 0, "DELETE": 0},
        "OBJECTS": 3,
    }
    [metrics] = crawler.glue.get_crawler_metrics(CrawlerNameList=[crawler.name])["CrawlerMetricsList"]
    assert (metrics["TablesCreated"], metrics["StillEstimating"]) == (2, False)


def test_a_second_crawl_changes_nothing_and_a_third_finds_what_is_new(crawler):
    crawler.put_parquet("lake/feed=a/dt=2026-01-01/1.parquet", id=pa.array(["x"]))
    crawler.create()
    crawler.run()
    crawler.run()
    assert crawler.summary()["TABLE"] == crawler.summary()["PARTITION"] == {"ADD": 0, "UPDATE": 0, "DELETE": 0}
    crawler.put_parquet("lake/feed=a/dt=2026-01-02/1.parquet", id=pa.array(["y"]), new=pa.array([1.0]))
    crawler.run()
    assert crawler.columns("feed_a") == {"id": "string", "new": "double"}
    assert crawler.summary() == {
        "TABLE": {"ADD": 0, "UPDATE": 1, "DELETE": 0},
        "PARTITION": {"ADD": 1, "UPDATE": 1, "DELETE": 0},
        "OBJECTS": 2,
    }


@pytest.mark.parametrize(("tables", "expected"), [("MergeNewColumns", "int"), (None, "string")])
def test_a_type_that_changed(crawler, tables, expected):
    """Only columns are added with MergeNewColumns: a changed type would break the partitions that are there."""
    crawler.put_parquet("lake/feed=a/dt=2026-01-01/1.parquet", id=pa.array([1], pa.int32()))
    crawler.create(
        configuration={**CONFIGURATION, "CrawlerOutput": {"Tables": {"AddOrUpdateBehavior": tables}} if tables else {}}
    )
    crawler.run()
    crawler.put_parquet("lake/feed=a/dt=2026-01-02/1.parquet", id=pa.array(["x"]))
    crawler.run()
    assert crawler.columns("feed_a") == {"id": expected}


@pytest.mark.parametrize(
    ("policy", "left"), [("DELETE_FROM_DATABASE", set()), ("DEPRECATE_IN_DATABASE", {"feed_b"}), ("LOG", {"feed_b"})]
)
def test_what_is_gone(crawler, policy, left):
    crawler.put_parquet("lake/feed=a/dt=2026-01-01/1.parquet", id=pa.array(["x"]))
    crawler.put_parquet("lake/feed=a/dt=2026-01-02/1.parquet", id=pa.array(["x"]))
    crawler.put_parquet("lake/feed=b/dt=2026-01-01/1.parquet", id=pa.array(["x"]))
    crawler.create(policy={**DELETING, "DeleteBehavior": policy})
    crawler.run()
    for key in ("lake/feed=a/dt=2026-01-02/1.parquet", "lake/feed=b/dt=2026-01-01/1.parquet"):
        crawler.s3.delete_object(Bucket=crawler.bucket, Key=key)
    crawler.run()
    assert set(crawler.tables()) == {"feed_a"} | left
    assert set(crawler.partitions("feed_a")) == (
        {("2026-01-01",)} if policy.startswith("DELETE") else {("2026-01-01",), ("2026-01-02",)}
    )
    if policy.startswith("DEPRECATE"):
        assert "DEPRECATED_BY_CRAWLER" in crawler.tables()["feed_b"]["Parameters"]


def test_tables_of_others_are_left_alone(crawler):
    crawler.glue.create_table(
        DatabaseName=crawler.name, TableInput={"Name": "mine", "StorageDescriptor": {"Columns": []}}
    )
    crawler.put_parquet("lake/feed=a/dt=2026-01-01/1.parquet", id=pa.array(["x"]))
    crawler.create()
    crawler.run()
    assert set(crawler.tables()) == {"mine", "feed_a"}


def test_update_behaviour_log_leaves_tables_as_they_are(crawler):
    crawler.put_parquet("lake/feed=a/dt=2026-01-01/1.parquet", id=pa.array(["x"]))
    crawler.create(policy={**DELETING, "UpdateBehavior": "LOG"})
    crawler.run()
    crawler.put_parquet("lake/feed=a/dt=2026-01-02/1.parquet", id=pa.array(["x"]), new=pa.array([1]))
    crawler.run()
    assert crawler.columns("feed_a") == {"id": "string"}
    assert len(crawler.partitions("feed_a")) == 2


def test_json_lines_are_sampled_and_merged(crawler):
    crawler.put_json(
        "lake/feed=a/dt=2026-01-01/hour=00/1.jsonl.gz",
        {"id": "x", "n": 1, "data": {"a": 1}},
        {"n": 2**40, "tags": ["t"]},
    )
    crawler.put_json(
        "lake/feed=a/dt=2026-01-01/hour=01/2.ndjson", {"n": 1.5, "data": {"b": None, "c": True}}, packed=False
    )
    crawler.create()
    assert crawler.run()["Status"] == "SUCCEEDED"
    assert crawler.columns("feed_a") == {
        "id": "string",
        "n": "double",
        "tags": "array<string>",
        "data": "struct<a:int,b:string,c:boolean>",
    }
    assert [k["Name"] for k in crawler.tables()["feed_a"]["PartitionKeys"]] == ["dt", "hour"]


def test_a_sample_size_looks_into_so_many_objects_of_a_folder(crawler):
    for number in range(3):
        crawler.put_json(f"lake/feed=a/dt=1/{number}.jsonl.gz", {f"c{number}": 1})
    crawler.create(SampleSize=1)
    crawler.run()
    assert crawler.columns("feed_a") == {"c0": "int"}


@pytest.mark.parametrize(
    ("key", "body", "message"),
    [
        ("lake/feed=a/dt=1/torn.parquet", b"PAR1 no more", "no Parquet"),
        ("lake/feed=a/dt=1/torn.jsonl.gz", b"not gzip", "not gzip"),
        ("lake/feed=a/dt=1/torn.jsonl", b'{"a": 1}\nno json\n', "line 2 is no JSON"),
        ("lake/feed=a/dt=1/list.jsonl", b"[1]\n", "line 1 is no JSON object"),
        ("lake/feed=a/dt=1/notes.txt", b"hello", "knows .parquet and .json"),
    ],
)
def test_a_failed_crawl_names_the_object(crawler, key, body, message):
    crawler.s3.put_object(Bucket=crawler.bucket, Key=key, Body=body)
    crawler.create()
    last = crawler.run()
    assert last["Status"] == "FAILED"
    assert last["ErrorMessage"].startswith(f"s3://{crawler.bucket}/{key}: ")
    assert message in last["ErrorMessage"]
    assert crawler.glue.list_crawls(CrawlerName=crawler.name)["Crawls"][0]["State"] == "FAILED"


def test_mixed_formats_and_mixed_partitions_fail_with_names(crawler):
    crawler.put_parquet("lake/feed=a/dt=1/a.parquet", id=pa.array(["x"]))
    crawler.put_json("lake/feed=a/dt=1/b.jsonl.gz", {"id": 1})
    crawler.create()
    assert "b.jsonl.gz: json among parquet of" in crawler.run()["ErrorMessage"]
    crawler.s3.delete_object(Bucket=crawler.bucket, Key="lake/feed=a/dt=1/b.jsonl.gz")
    crawler.put_parquet("lake/feed=a/day=2/a.parquet", id=pa.array(["x"]))
    assert "partitions ('dt',), while those before it have ('day',)" in crawler.run()["ErrorMessage"]


def test_exclusions_keep_personal_data_out(crawler):
    crawler.put_parquet("lake/feed=a/dt=1/a.parquet", id=pa.array(["x"]))
    crawler.put_json("lake/unreadable/dt=1/b.jsonl.gz", {"name": "Jane"})
    configuration = {**CONFIGURATION, "Grouping": {"TableLevelConfiguration": 2}}
    crawler.create(configuration=configuration, Exclusions=["unreadable/**"])
    assert crawler.run()["Status"] == "SUCCEEDED"
    assert list(crawler.tables()) == ["lake"]
    assert set(crawler.partitions("lake")) == {("a", "1")}


def test_errors_are_those_of_the_service(crawler, glue):
    crawler.create()
    for call, code in (
        (lambda: glue.get_crawler(Name="none"), "EntityNotFoundException"),
        (crawler.create, "AlreadyExistsException"),
        (lambda: glue.start_job_run(JobName="none"), "EntityNotFoundException"),
        (lambda: glue.create_crawler(Name="x", Role="r", Targets={"JdbcTargets": [{}]}), "InvalidInputException"),
        (lambda: glue.get_table(DatabaseName=crawler.name, Name="none"), "EntityNotFoundException"),
        (lambda: glue.list_blueprints(), "UnknownOperationException"),
    ):
        with pytest.raises(ClientError) as error:
            call()
        assert error.value.response["Error"]["Code"] == code


@pytest.fixture
def searched(glue):
    """A database of three tables, found by a word that no other table has."""
    word = f"w{uuid.uuid4().hex[:8]}"
    glue.create_database(DatabaseInput={"Name": word})
    for name, column, description in (
        ("sales-daily", "amount", "Sales of a day"),
        ("sales:weekly", "amount", "Sales of a week"),
        ("stock_level", "left", "What is there"),
    ):
        storage = {"Columns": [{"Name": column, "Type": "int", "Comment": f"{word} {column}"}]}
        table = {"Name": name, "Description": description, "StorageDescriptor": storage}
        glue.create_table(DatabaseName=word, TableInput=table)
    yield word
    for table in glue.get_tables(DatabaseName=word)["TableList"]:
        glue.delete_table(DatabaseName=word, Name=table["Name"])
    glue.delete_database(Name=word)


def test_tables_are_searched(glue, searched):
    """Glue API reference, SearchTables: names are split at punctuation, a text in quotes is compared whole."""
    inside = {"Key": "DatabaseName", "Value": searched}

    def names(**asked):
        return [table["Name"] for table in glue.search_tables(**asked)["TableList"]]

    assert names(Filters=[inside]) == ["sales-daily", "sales:weekly", "stock_level"]
    assert names(Filters=[inside, {"Key": "Name", "Value": "daily"}]) == ["sales-daily"]
    assert names(Filters=[inside, {"Key": "Name", "Value": "dai"}]) == []
    assert names(Filters=[inside, {"Key": "Name", "Value": "stock_level"}]) == ["stock_level"]
    assert names(Filters=[inside], SearchText="amount") == ["sales-daily", "sales:weekly"]
    assert names(Filters=[inside], SearchText='"Sales of a week"') == ["sales:weekly"]
    assert names(Filters=[inside], SearchText='"Sales of"') == []
    assert names(SearchText=searched) == ["sales-daily", "sales:weekly", "stock_level"]
    descending = [{"FieldName": "Name", "Sort": "DESC"}]
    assert names(Filters=[inside], SortCriteria=descending) == ["stock_level", "sales:weekly", "sales-daily"]
    assert names(Filters=[inside], ResourceShareType="FOREIGN") == []
    page = glue.search_tables(Filters=[inside], MaxResults=2)
    assert names(Filters=[inside], MaxResults=2, NextToken=page["NextToken"]) == ["stock_level"]


def test_awswrangler_searches(searched, cloud, monkeypatch):
    import awswrangler

    for name, value in cloud.user_environment().items():
        monkeypatch.setenv(name, value)
    assert [table["Name"] for table in awswrangler.catalog.search_tables(text=searched)] == [
        "sales-daily",
        "sales:weekly",
        "stock_level",
    ]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"Filters": [{"Key": "Name", "Value": "level"}]}, "between underscores"),
        ({"Filters": [{"Key": "Colour", "Value": "red"}]}, "Filters by 'Colour'"),
        ({"Filters": [{"Key": "Name", "Value": "x", "Comparator": "LESS_THAN"}]}, "time fields only"),
        ({"SearchText": "two words"}, "expected one word"),
        ({"SortCriteria": [{"FieldName": "Colour"}]}, "SortCriteria by 'Colour'"),
        ({"NextToken": "x"}, "NextToken"),
    ],
)
def test_a_search_whose_answer_is_not_published_is_refused(glue, searched, asked, said):
    with pytest.raises(glue.exceptions.InvalidInputException, match=said):
        glue.search_tables(**asked)


@pytest.mark.parametrize(
    ("operation", "arguments"),
    [
        ("GetCrawler", {"Name": "ecommerce-clean"}),
        ("GetCrawlers", {}),
        ("ListCrawlers", {}),
        ("GetCrawlerMetrics", {}),
        ("ListCrawls", {"CrawlerName": "ecommerce-clean"}),
        ("GetJob", {"JobName": "ecommerce-clean-events"}),
        ("GetJobs", {}),
        ("GetJobRuns", {"JobName": "ecommerce-clean-events"}),
        ("GetTables", {"DatabaseName": "ecommerce_lake"}),
        ("SearchTables", {}),
    ],
)
def test_answers_have_the_shapes_of_the_model(cloud, glue, operation, arguments):
    headers = {"X-Amz-Target": f"AWSGlue.{operation}", "Content-Type": "application/x-amz-json-1.1"}
    answer = httpx.post(cloud.url("glue"), json=arguments, headers=headers)
    assert answer.status_code == 200, answer.text
    check_shape(glue.meta.service_model.operation_model(operation).output_shape, answer.json(), operation)


def test_types_widen_and_at_last_are_strings():
    assert merge({"a": "int"}, {"a": "bigint"}) == {"a": "bigint"}
    assert merge({"a": "int"}, {"a": "double"}) == {"a": "double"}
    assert merge({"a": "int"}, {"a": "boolean"}) == {"a": "string"}
    assert merge({"a": {"struct": {"x": "int"}}}, {"a": "string"}) == {"a": "string"}
    assert written({"struct": {"a": None, "b": {"array": "int"}}}) == "struct<a:string,b:array<int>>"
    assert json_columns(b'{"a": 1}\n{"b"', packed=False, whole=False) == (
        {"a": "int"},
        1,
    )  # the cut-off line is left out
    with pytest.raises(Unreadable):
        json_columns(b'{"a": 1}\n{"b"', packed=False, whole=True)
