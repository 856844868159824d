"""COPY and UNLOAD against objects in S3."""

import gzip
import io
import json
import uuid
from datetime import datetime
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.local.redshift_bench import Redshift

COLUMNS = "k INTEGER, v VARCHAR(5), d DECIMAL(6, 2), t TIMESTAMP"
SCHEMA = pa.schema([("k", pa.int32()), ("v", pa.string()), ("d", pa.decimal128(6, 2)), ("t", pa.timestamp("us"))])
ROWS = [
    {"k": 1, "v": "abc", "d": Decimal("1.50"), "t": datetime(2026, 1, 2, 3, 4, 5)},
    {"k": 2, "v": None, "d": None, "t": None},
]
ROLE = "IAM_ROLE default"


@pytest.fixture(scope="module")
def redshift(tmp_path_factory, cloud):
    server = Redshift(tmp_path_factory.mktemp("redshift"), cloud.cloud_url)
    yield server
    server.close()


@pytest.fixture
def table(redshift):
    name = f"t_{uuid.uuid4().hex[:8]}"
    redshift.ok(f"CREATE TABLE {name} ({COLUMNS})")
    return name


class Objects:
    def __init__(self, s3, bucket):
        self.s3, self.bucket = s3, bucket

    def put(self, key, body):
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=body.encode() if isinstance(body, str) else body)
        return f"s3://{self.bucket}/{key}"

    def parquet(self, key, rows=ROWS, schema=SCHEMA, int96=True):
        out = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(rows, schema), out, use_deprecated_int96_timestamps=int96)
        return self.put(key, out.getvalue()), len(out.getvalue())

    def manifest(self, key, *entries):
        return self.put(
            key,
            json.dumps({"entries": [{"url": u, "mandatory": m, "meta": {"content_length": n}} for u, m, n in entries]}),
        )

    def keys(self, prefix):
        return [o["Key"] for o in self.s3.list_objects_v2(Bucket=self.bucket, Prefix=prefix).get("Contents", [])]


@pytest.fixture
def objects(s3, bucket):
    return Objects(s3, bucket)


EXPECTED = [(1, "abc", "1.50", "2026-01-02 03:04:05.0"), (2, None, None, None)]


def test_parquet_by_prefix(redshift, table, objects):
    objects.parquet("in/a.parquet")
    objects.parquet("in/b.parquet")
    objects.parquet("other/c.parquet")
    state = redshift.ok(f"COPY {table} FROM 's3://{objects.bucket}/in/' {ROLE} FORMAT AS PARQUET")
    assert state["ResultRows"] == 4
    assert redshift.rows(f"SELECT DISTINCT * FROM {table} ORDER BY k") == EXPECTED


def test_parquet_goes_by_position_and_not_by_name(redshift, table, objects):
    names = pa.schema([pa.field(f"x{i}", f.type) for i, f in enumerate(SCHEMA)])
    url, _ = objects.parquet("a.parquet", [dict(zip(names.names, r.values(), strict=True)) for r in ROWS], names)
    redshift.ok(f"COPY {table} FROM '{url}' {ROLE} FORMAT PARQUET")
    assert redshift.rows(f"SELECT * FROM {table} ORDER BY k") == EXPECTED


def test_a_manifest_names_the_files_and_a_url_twice_loads_twice(redshift, table, objects):
    url, size = objects.parquet("a.parquet")
    manifest = objects.manifest(
        "m.json", (url, True, size), (url, True, size), (f"s3://{objects.bucket}/gone", False, 1)
    )
    redshift.ok(f"COPY {table} FROM '{manifest}' {ROLE} FORMAT PARQUET MANIFEST")
    assert redshift.rows(f"SELECT COUNT(*) FROM {table}") == [(4,)]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        pytest.param({"schema": SCHEMA.remove(3)}, "15007 context: Unmatched number of columns", id="a_column_less"),
        pytest.param(
            {"schema": SCHEMA.set(0, pa.field("k", pa.int64()))},
            "incompatible Parquet schema for column 'k'",
            id="bigint_for_integer",
        ),
        pytest.param(
            {"schema": SCHEMA.set(2, pa.field("d", pa.decimal128(8, 2)))},
            "incompatible Parquet schema for column 'd'",
            id="another_precision",
        ),
        pytest.param({"int96": False}, "incompatible Parquet schema for column 't'", id="times_as_int64"),
    ],
)
def test_parquet_types_must_be_the_columns(redshift, table, objects, change, says):
    url, _ = objects.parquet("a.parquet", **change)
    assert says in redshift.error(f"COPY {table} FROM '{url}' {ROLE} FORMAT PARQUET")


def test_a_text_that_is_too_long_stops_the_load_and_is_explained(redshift, table, objects):
    url, _ = objects.parquet("a.parquet", [{**ROWS[0], "v": "ééé"}])
    error = redshift.error(f"COPY {table} FROM '{url}' {ROLE} FORMAT PARQUET")
    assert "Check 'sys_load_error_detail'" in error
    [row] = redshift.rows(
        f"SELECT column_name, column_length, error_message FROM sys_load_error_detail WHERE file_name = '{url}'"
    )
    assert row[:2] == ("v", "5")
    assert "Table: 5, Data: 6" in row[2]
    assert redshift.rows(f"SELECT COUNT(*) FROM {table}") == [(0,)]


@pytest.mark.parametrize("option", ["MAXERROR 5", "REGION 'us-east-1'", "GZIP", "TRUNCATECOLUMNS", "COMPUPDATE OFF"])
def test_parquet_takes_few_options(redshift, table, option):
    error = redshift.error(f"COPY {table} FROM 's3://b/k' {ROLE} FORMAT PARQUET {option}")
    assert "argument is not supported for PARQUET based COPY" in error


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        pytest.param(
            "COPY {t} FROM 's3://{b}/none/' IAM_ROLE default FORMAT PARQUET", "does not exist", id="no_such_prefix"
        ),
        pytest.param(
            "COPY {t} FROM 's3://{b}/none' IAM_ROLE default FORMAT PARQUET MANIFEST",
            "specified key does not exist",
            id="no_manifest",
        ),
        pytest.param("COPY {t} FROM 's3://{b}/x' FORMAT PARQUET", "Must specify an IAM role", id="no_role"),
        pytest.param("COPY {t} FROM 's3://{b}/x' IAM_ROLE 'me' FORMAT PARQUET", "Invalid IAM role", id="wrong_role"),
        pytest.param("COPY {t} FROM '/tmp/x' IAM_ROLE default FORMAT PARQUET", "not supported", id="no_s3"),
        pytest.param("COPY nope FROM 's3://{b}/x' IAM_ROLE default FORMAT PARQUET", "does not exist", id="no_table"),
        pytest.param("COPY {t} (nope) FROM 's3://{b}/x' IAM_ROLE default CSV", 'column "nope"', id="no_column"),
        pytest.param(
            "COPY {t} FROM 's3://{b}/x' IAM_ROLE default CSV SIDEWAYS", 'at or near "SIDEWAYS"', id="no_option"
        ),
    ],
)
def test_copy_fails_clearly(redshift, table, objects, statement, says):
    assert says in redshift.error(statement.format(t=table, b=objects.bucket))


def test_csv(redshift, table, objects):
    body = 'k,v,d,t\n1,"a""b",20.259,2026-01-02 03:04:05\n2,,,\n3,x,16.13,\n4,x,-20.259,\n'
    url = objects.put("a.csv.gz", gzip.compress(body.encode()))
    redshift.ok(f"COPY {table} FROM '{url}' {ROLE} FORMAT AS CSV IGNOREHEADER 1 GZIP")
    # COPY truncates decimals, and an empty text is '' while an empty number is NULL.
    assert redshift.rows(f"SELECT * FROM {table} ORDER BY k") == [
        (1, 'a"b', "20.25", "2026-01-02 03:04:05.0"),
        (2, "", None, None),
        (3, "x", "16.13", None),  # exactly: as a float it is a little less
        (4, "x", "-20.25", None),
    ]


def test_csv_columns_in_another_order(redshift, table, objects):
    url = objects.put("a.csv", "x;1\n")
    redshift.ok(f"COPY {table} (v, k) FROM '{url}' {ROLE} CSV DELIMITER ';'")
    assert redshift.rows(f"SELECT k, v FROM {table}") == [(1, "x")]


@pytest.mark.parametrize(
    ("line", "column", "says"),
    [
        pytest.param("x,abc,1,", "k", "Invalid digit, Value 'x', Type: INT", id="letter_for_a_number"),
        pytest.param("1,abcdef,1,", "v", "String length exceeds DDL length", id="too_long"),
        pytest.param("1,abc", "", "Delimiter not found", id="too_few"),
        pytest.param("1,abc,1,,5", "", "Extra column(s) found", id="too_many"),
    ],
)
def test_csv_errors_name_line_and_column(redshift, table, objects, line, column, says):
    url = objects.put("a.csv", f"1,abc,1,\n{line}\n")
    redshift.error(f"COPY {table} FROM '{url}' {ROLE} CSV")
    query = f"SELECT line_number, column_name, error_message FROM sys_load_error_detail WHERE file_name = '{url}'"
    assert redshift.rows(query) == [(2, column, says)]
    redshift.error(f"COPY {table} FROM '{url}' {ROLE} CSV MAXERROR 1")  # that number of errors fails the load
    redshift.ok(f"COPY {table} FROM '{url}' {ROLE} CSV MAXERROR 2")
    assert redshift.rows(f"SELECT COUNT(*) FROM {table}") == [(1,)]


def test_json_by_key(redshift, table, objects):
    url = objects.put("a.json", '{"k": 1, "v": "abc", "more": 5}\n{"k": 2, "V": "no", "d": 3.999}')
    redshift.ok(f"COPY {table} FROM '{url}' {ROLE} FORMAT AS JSON 'auto'")
    assert redshift.rows(f"SELECT k, v, d FROM {table} ORDER BY k") == [(1, "abc", None), (2, None, "3.99")]


def test_json_auto_ignorecase(redshift, table, objects):
    url = objects.put("a.json", '{"K": 1, "V": "abc"}')
    redshift.ok(f"COPY {table} FROM '{url}' {ROLE} JSON 'auto ignorecase'")
    assert redshift.rows(f"SELECT k, v FROM {table}") == [(1, "abc")]


def test_json_paths_nested_and_super(redshift, objects):
    redshift.ok("CREATE TABLE IF NOT EXISTS nested (city VARCHAR(20), first SUPER, whole SUPER)")
    redshift.ok("TRUNCATE nested")
    paths = objects.put("paths.json", '{"jsonpaths": ["$.address.city", "$[\'items\'][0]", "$.items"]}')
    url = objects.put("b.json", '{"address": {"city": "Leeds"}, "items": [{"n": 1.5}, "x"]}\n{"items": []}')
    redshift.ok(f"COPY nested FROM '{url}' {ROLE} JSON '{paths}'")
    found = redshift.rows("SELECT city, first, whole, whole[1]::varchar FROM nested ORDER BY city")
    assert found == [("Leeds", '{"n":1.5}', '[{"n":1.5},"x"]', "x"), (None, None, "[]", None)]


def test_delimited_text(redshift, table, objects):
    url = objects.put("a.txt", "1|a\\|b|1.259|2026-01-02 03:04:05\n2|\\N||\n")
    redshift.ok(f"COPY {table} FROM '{url}' {ROLE} ESCAPE ROUNDEC")
    assert redshift.rows(f"SELECT * FROM {table} ORDER BY k") == [
        (1, "a|b", "1.26", "2026-01-02 03:04:05.0"),
        (2, None, None, None),
    ]


def test_formats_of_times(redshift, table, objects):
    url = objects.put("a.txt", "1;02.01.2026 15:04\n2;1767323045\n")
    copy = f"COPY {table} (k, t) FROM '{url}' {ROLE} DELIMITER ';' MAXERROR 2"
    redshift.ok(f"{copy} TIMEFORMAT 'DD.MM.YYYY HH24:MI'")
    redshift.ok(f"{copy} TIMEFORMAT 'epochsecs'")
    assert redshift.rows(f"SELECT k, t FROM {table} ORDER BY k") == [
        (1, "2026-01-02 15:04:00.0"),
        (2, "2026-01-02 03:04:05.0"),
    ]


def test_bytes_that_are_no_text(redshift, table, objects):
    url = objects.put("a.txt", b"1|a\xff\n")
    assert "UTF8" in redshift.error(f"COPY {table} (k, v) FROM '{url}' {ROLE}")
    redshift.ok(f"COPY {table} (k, v) FROM '{url}' {ROLE} ACCEPTINVCHARS '^'")
    assert redshift.rows(f"SELECT v FROM {table}") == [("a^",)]


def test_unload_as_text_and_csv(redshift, table, objects):
    redshift.ok(f"INSERT INTO {table} VALUES (1, 'a,\"', 1.5, '2026-01-02'), (2, NULL, NULL, NULL)")
    query = f"SELECT k, v, d, t FROM {table} ORDER BY k"
    redshift.ok(f"UNLOAD ($${query}$$) TO 's3://{objects.bucket}/text/' {ROLE} HEADER PARALLEL OFF")
    redshift.ok(f"UNLOAD ('{query}') TO 's3://{objects.bucket}/csv/' {ROLE} FORMAT CSV GZIP")
    read = lambda key: objects.s3.get_object(Bucket=objects.bucket, Key=key)["Body"].read()  # noqa: E731
    assert read("text/000") == b'k|v|d|t\n1|a,"|1.50|2026-01-02 00:00:00\n2|||\n'
    assert gzip.decompress(read("csv/0000_part_00.gz")) == b'1,"a,""",1.50,2026-01-02 00:00:00\n2,,,\n'


def test_unload_writes_parquet_partitions_and_a_manifest(redshift, table, objects):
    redshift.ok(f"INSERT INTO {table} VALUES (1, 'a', 1.5, '2026-01-02'), (2, 'b', 2.5, NULL), (3, NULL, 3.5, NULL)")
    statement = (
        f"UNLOAD ('SELECT k, d, v FROM {table} WHERE k < 4 OR v = ''z''') TO 's3://{objects.bucket}/out/' {ROLE} "
        "FORMAT PARQUET PARTITION BY (v) MANIFEST VERBOSE"
    )
    assert redshift.ok(statement)["ResultRows"] == 3
    assert objects.keys("out/") == [
        "out/manifest",
        "out/v=__HIVE_DEFAULT_PARTITION__/0000_part_00.parquet",
        "out/v=a/0000_part_00.parquet",
        "out/v=b/0000_part_00.parquet",
    ]
    body = objects.s3.get_object(Bucket=objects.bucket, Key="out/v=a/0000_part_00.parquet")["Body"].read()
    assert pq.ParquetFile(io.BytesIO(body)).read().to_pylist() == [{"k": 1, "d": Decimal("1.50")}]
    manifest = json.loads(objects.s3.get_object(Bucket=objects.bucket, Key="out/manifest")["Body"].read())
    assert (len(manifest["entries"]), manifest["meta"]["record_count"]) == (3, 3)
    assert "not empty" in redshift.error(statement)
    redshift.ok(statement + " ALLOWOVERWRITE")


def test_what_unload_writes_copy_reads(redshift, table, objects):
    redshift.ok(f"INSERT INTO {table} VALUES (1, 'a', 1.5, '2026-01-02 03:04:05')")
    redshift.ok(f"UNLOAD ('SELECT * FROM {table}') TO 's3://{objects.bucket}/o/' {ROLE} FORMAT PARQUET")
    redshift.ok(f"COPY {table} FROM 's3://{objects.bucket}/o/' {ROLE} FORMAT PARQUET")
    assert redshift.rows(f"SELECT COUNT(*), COUNT(DISTINCT t) FROM {table}") == [(2, 1)]


@pytest.mark.parametrize(
    ("query", "options", "says"),
    [
        pytest.param("SELECT 1 AS a LIMIT 1", "FORMAT PARQUET", "Limit clause is not supported", id="outer_limit"),
        pytest.param("SELECT 1 AS a", "FORMAT PARQUET GZIP", "GZIP is not supported", id="gzip"),
        pytest.param("SELECT 1 AS a", "FORMAT PARQUET CLEANPATH ALLOWOVERWRITE", "cannot be used together", id="both"),
        pytest.param("SELECT 1 AS a", "FORMAT PARQUET PARTITION BY (a)", "at least one column", id="only_partitions"),
        pytest.param("SELECT 1 AS a", "FORMAT JSON", "not supported by the local", id="json"),
    ],
)
def test_unload_refuses(redshift, objects, query, options, says):
    assert says in redshift.error(f"UNLOAD ('{query}') TO 's3://{objects.bucket}/x/' {ROLE} {options}")
