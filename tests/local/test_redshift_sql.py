"""What Redshift does and refuses, on the stand-in."""

import uuid

import pytest

from tests.local.redshift_bench import Redshift


@pytest.fixture(scope="module")
def redshift(tmp_path_factory, cloud):
    server = Redshift(tmp_path_factory.mktemp("redshift"), cloud.cloud_url)
    server.ok("CREATE TABLE two (a INTEGER, b INTEGER, t VARCHAR(10), d DECIMAL(6,2))")
    server.ok("INSERT INTO two VALUES (1, 10, 'x', 2.25), (2, 20, 'y', 3.25)")
    yield server
    server.close()


@pytest.fixture
def table(redshift):
    name = f"t_{uuid.uuid4().hex[:8]}"
    redshift.ok(f"CREATE TABLE {name} (k INTEGER PRIMARY KEY, v VARCHAR(3), n INTEGER)")
    return name


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        pytest.param("SELECT 7 / 2", 3, id="integers_divide_to_an_integer"),
        pytest.param("SELECT -7 / 2", -3, id="towards_zero"),
        pytest.param("SELECT SUM(a) / COUNT(*) FROM two", "1", id="sum_by_count"),
        pytest.param("SELECT a / b FROM two WHERE a = 1", 0, id="columns_divide_to_an_integer"),
        pytest.param("SELECT AVG(a) FROM two", 1, id="average_of_integers_is_one"),
        pytest.param("SELECT AVG(d) FROM two", "2.75", id="average_keeps_the_scale"),
        pytest.param("SELECT SUM(a) FROM two", 3, id="sum_of_integers_is_a_bigint"),
        pytest.param("SELECT 'abcdef'::VARCHAR(3)", "abc", id="a_cast_cuts"),
        pytest.param("SELECT 'ééé'::VARCHAR(3)", "é", id="a_cast_cuts_bytes_not_letters"),
        pytest.param("SELECT CONCAT('a', NULL)", None, id="concat_with_null"),
        pytest.param("SELECT DATEDIFF(year, '2025-12-31'::DATE, '2026-01-01'::DATE)", 1, id="boundaries_crossed"),
        pytest.param("SELECT DATE_TRUNC('month', '2026-03-15'::DATE)", "2026-03-01 00:00:00.0", id="date_trunc"),
        pytest.param("SELECT NVL(NULL, 'x')", "x", id="nvl"),
        pytest.param("SELECT DECODE(2, 1, 'a', 2, 'b')", "b", id="decode"),
        pytest.param("SELECT LISTAGG(t, '-') WITHIN GROUP (ORDER BY t) FROM two", "x-y", id="listagg"),
        pytest.param(
            "SELECT COUNT(*) FROM (SELECT a FROM two QUALIFY ROW_NUMBER() OVER (ORDER BY a) = 1) AS q", 1, id="qualify"
        ),
        pytest.param("SELECT JSON_EXTRACT_PATH_TEXT('{\"a\": {\"b\": 5}}', 'a', 'b')", "5", id="json_path"),
        pytest.param('SELECT "A" FROM two WHERE a = 1', 1, id="quoted_names_fold"),
    ],
)
def test_meaning(redshift, sql, expected):
    [(value,)] = redshift.rows(sql)
    assert (str(value) if isinstance(expected, str) else value) == expected


def test_nulls_sort_last_and_first(redshift):
    values = "(SELECT 1 AS x UNION ALL SELECT NULL UNION ALL SELECT 2) AS v"
    assert redshift.rows(f"SELECT x FROM {values} ORDER BY x") == [(1,), (2,), (None,)]
    assert redshift.rows(f"SELECT x FROM {values} ORDER BY x DESC") == [(None,), (2,), (1,)]


def test_getdate_is_a_timestamp_without_a_zone(redshift):
    state = redshift.ok("SELECT GETDATE()")
    metadata = redshift.client.get_statement_result(Id=state["Id"])["ColumnMetadata"]
    assert metadata[0]["typeName"] == "timestamp"


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        pytest.param(
            "MERGE INTO two USING src ON two.a = src.a WHEN MATCHED AND src.b > 1 THEN DELETE WHEN NOT MATCHED THEN INSERT VALUES (src.a)",
            "WHEN",
            id="merge_matched_and",
        ),
        pytest.param("MERGE INTO two USING src ON two.a = src.a WHEN MATCHED THEN DELETE", "WHEN", id="merge_one_when"),
        pytest.param(
            "MERGE INTO two AS x USING src ON x.a = src.a WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT VALUES (src.a)",
            "x",
            id="merge_target_alias",
        ),
        pytest.param(
            "MERGE INTO two USING src ON two.a > src.a WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT VALUES (src.a)",
            "equality",
            id="merge_on_greater",
        ),
        pytest.param("INSERT INTO two (a) VALUES (1) ON CONFLICT DO NOTHING", "ON", id="on_conflict"),
        pytest.param("INSERT INTO two (a) VALUES (1) RETURNING a", "RETURNING", id="returning"),
        pytest.param("SELECT * FROM (VALUES (1), (2)) AS v(x)", "VALUES", id="values_as_table"),
        pytest.param("SELECT * FROM GENERATE_SERIES(1, 3)", "GENERATE_SERIES", id="generate_series"),
        pytest.param("SELECT STRING_AGG(t, ',') FROM two", "STRING_AGG", id="string_agg"),
        pytest.param("SELECT ARRAY_AGG(t) FROM two", "array_agg", id="array_agg"),
        pytest.param("SELECT SUM(a) OVER (ORDER BY b) FROM two", "ORDER", id="aggregate_without_frame"),
        pytest.param(
            "SELECT SUM(a) OVER (ORDER BY b RANGE BETWEEN 1 PRECEDING AND CURRENT ROW) FROM two",
            "RANGE",
            id="range_frame",
        ),
        pytest.param("ALTER TABLE two ADD COLUMN IF NOT EXISTS z INTEGER", "IF", id="add_column_if_not_exists"),
        pytest.param(
            "ALTER TABLE two ALTER COLUMN a TYPE BIGINT", "only supported for VARCHAR", id="alter_type_of_integer"
        ),
        pytest.param("CREATE OR REPLACE TABLE x (a INTEGER)", "TABLE", id="or_replace_table"),
        pytest.param("CREATE TABLE x (a INTEGER CHECK (a > 1))", "CHECK", id="check"),
        pytest.param("CREATE TABLE x (a UUID)", "UUID", id="uuid"),
        pytest.param("CREATE INDEX i ON two (a)", "INDEX", id="index"),
        pytest.param("SELECT * FROM two WHERE a IS DISTINCT FROM b", "DISTINCT", id="is_distinct_from"),
        pytest.param("SELECT a FROM two EXCEPT ALL SELECT b FROM two", "ALL", id="except_all"),
        pytest.param("SELECT COUNT(*) FILTER (WHERE a > 1) FROM two", "FILTER", id="filter"),
        pytest.param("SELECT DISTINCT ON (a) a FROM two", "ON", id="distinct_on"),
        pytest.param("SELECT x FROM (SELECT a AS x FROM two)", ")", id="subquery_without_alias"),
        pytest.param(
            "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 3) SELECT n FROM r",
            "r",
            id="recursive_without_columns",
        ),
        pytest.param("SELECT CONCAT('a', 'b', 'c')", "function concat(", id="concat_of_three"),
        pytest.param("SELECT 1; SELECT 2", "multiple commands", id="two_statements"),
        pytest.param("SELEC 1", "syntax error", id="misspelt"),
        pytest.param("SELECT 1 / 0", "division by zero", id="division_by_zero"),
        pytest.param("SELECT * FROM no_such_table", 'relation "no_such_table" does not exist', id="no_table"),
        pytest.param("SELECT no_such_column FROM two", 'column "no_such_column" does not exist', id="no_column"),
        pytest.param("SELECT no_such_function(1)", "no_such_function", id="no_function"),
        pytest.param(
            "CREATE USER bob PASSWORD 'x'", "not supported by the local Redshift stand-in", id="what_it_lacks"
        ),
    ],
)
def test_refused(redshift, sql, says):
    assert says in redshift.error(sql)


@pytest.mark.parametrize(
    "source",
    [
        "read_csv('/etc/passwd')",
        "read_text('/etc/passwd')",
        "read_parquet('/x')",
        "glob('/etc/*')",
        "'/etc/passwd'",
        '"/etc/passwd"',
    ],
)
def test_files_of_the_host_are_out_of_reach(redshift, source):
    for sql in (f"SELECT * FROM {source}", f"CREATE TABLE public.stolen AS SELECT * FROM {source}"):
        said = redshift.error(sql)
        assert any(refusal in said for refusal in ("syntax error", "does not exist", "disabled")), said


def test_an_error_names_the_position(redshift):
    assert redshift.error("SELECT a,\n  nope FROM two").endswith("Position: 13")


def test_primary_keys_are_not_enforced_and_not_null_is(redshift, table):
    redshift.ok(f"INSERT INTO {table} (k) VALUES (1), (1)")
    assert redshift.rows(f"SELECT COUNT(*) FROM {table}") == [(2,)]
    assert "Cannot insert a NULL value into column k" in redshift.error(f"INSERT INTO {table} (v) VALUES ('x')")


def test_a_varchar_counts_bytes_and_forgives_blanks(redshift, table):
    redshift.ok(f"INSERT INTO {table} (k, v) VALUES (1, 'abc'), (2, 'abc   ')")
    assert "Value too long for type character varying(3)" in redshift.error(
        f"INSERT INTO {table} (k, v) VALUES (3, 'éé')"
    )


def test_a_batch_is_one_transaction(redshift, table):
    error = redshift.error(
        f"INSERT INTO {table} (k) VALUES (1)", f"INSERT INTO {table} (k, v) VALUES (2, 'too long')", "SELECT 1"
    )
    assert error.startswith("Query #2 failed with ERROR: Value too long")
    assert redshift.rows(f"SELECT COUNT(*) FROM {table}") == [(0,)]


def test_auto_commit_keeps_what_went_well(redshift, table):
    model = redshift.client.meta.service_model.operation_model("BatchExecuteStatement")
    assert "ExecutionMode" in model.input_shape.members
    redshift.error(
        f"INSERT INTO {table} (k) VALUES (1)",
        "SELECT nope",
        f"INSERT INTO {table} (k) VALUES (2)",
        ExecutionMode="AUTO_COMMIT",
    )
    assert redshift.rows(f"SELECT k FROM {table} ORDER BY k") == [(1,), (2,)]


def test_truncate_commits_and_cannot_be_rolled_back(redshift, table):
    redshift.ok(f"INSERT INTO {table} (k) VALUES (1)")
    redshift.error(f"TRUNCATE {table}", "SELECT nope FROM two")
    assert redshift.rows(f"SELECT COUNT(*) FROM {table}") == [(0,)]


@pytest.mark.parametrize("sql", ["VACUUM {t}", "ALTER TABLE {t} ALTER COLUMN v TYPE VARCHAR(20)"])
def test_not_inside_a_transaction(redshift, table, sql):
    assert "transaction block" in redshift.error(sql.format(t=table), "SELECT 1")
    redshift.ok(sql.format(t=table))


def test_merge_updates_and_inserts(redshift, table):
    redshift.ok(f"INSERT INTO {table} VALUES (1, 'old', 0)")
    redshift.ok(
        f"MERGE INTO {table} USING two ON {table}.k = two.a WHEN MATCHED THEN UPDATE SET n = two.b "
        "WHEN NOT MATCHED THEN INSERT (k, v, n) VALUES (two.a, two.t, two.b)"
    )
    assert redshift.rows(f"SELECT k, v, n FROM {table} ORDER BY k") == [(1, "old", 10), (2, "y", 20)]


def test_merge_inserts_values_without_a_column_list(redshift, table):
    redshift.ok(
        f"MERGE INTO {table} USING two ON {table}.k = two.a WHEN MATCHED THEN DELETE "
        "WHEN NOT MATCHED THEN INSERT VALUES (two.a, two.t, two.b)"
    )
    assert redshift.rows(f"SELECT COUNT(*) FROM {table}") == [(2,)]


def test_merge_refuses_two_source_rows_for_one_target_row(redshift, table):
    redshift.ok(f"INSERT INTO {table} VALUES (1, 'old', 0)")
    error = redshift.error(
        f"MERGE INTO {table} USING (SELECT 1 AS a UNION ALL SELECT 1) AS s ON {table}.k = s.a "
        "WHEN MATCHED THEN UPDATE SET n = 5 WHEN NOT MATCHED THEN INSERT (k) VALUES (s.a)"
    )
    assert error == "ERROR: Found multiple matches to update the same tuple."


def test_merge_remove_duplicates(redshift, table):
    redshift.ok(f"CREATE TABLE {table}_s (LIKE {table})")
    redshift.ok(f"INSERT INTO {table} VALUES (1, 'old', 0)")
    redshift.ok(f"INSERT INTO {table}_s VALUES (1, 'new', 1), (1, 'new', 1), (2, 'new', 2)")
    redshift.ok(f"MERGE INTO {table} USING {table}_s ON {table}.k = {table}_s.k REMOVE DUPLICATES")
    assert redshift.rows(f"SELECT k, v FROM {table} ORDER BY k") == [(1, "new"), (2, "new")]


def test_ddl_words_of_redshift(redshift):
    name = f"t_{uuid.uuid4().hex[:8]}"
    redshift.ok(f"""CREATE TABLE {name} (
        id BIGINT IDENTITY(10, 5) ENCODE az64,
        name VARCHAR(20) NOT NULL DEFAULT 'none' ENCODE zstd DISTKEY,
        payload SUPER,
        UNIQUE (name)
    ) DISTSTYLE KEY COMPOUND SORTKEY (id, name)""")
    redshift.ok(f"INSERT INTO {name} (payload) VALUES (JSON_PARSE('{{\"a\": 1}}')), (NULL)")
    assert redshift.rows(f"SELECT id, name FROM {name} ORDER BY id") == [(10, "none"), (15, "none")]
    assert "identity" in redshift.error(f"INSERT INTO {name} (id) VALUES (1)")


def test_like_keeps_not_null_and_defaults_only_on_demand(redshift):
    name = f"t_{uuid.uuid4().hex[:8]}"
    redshift.ok(f"CREATE TABLE {name} (a VARCHAR(3) NOT NULL, b INTEGER DEFAULT 5)")
    redshift.ok(
        f"CREATE TABLE {name}_1 (LIKE {name})",
        f"CREATE TABLE {name}_2 (LIKE {name} INCLUDING DEFAULTS)",
        f"INSERT INTO {name}_1 (a) VALUES ('x')",
        f"INSERT INTO {name}_2 (a) VALUES ('x')",
    )
    assert redshift.rows(f"SELECT b FROM {name}_1") == [(None,)]
    assert redshift.rows(f"SELECT b FROM {name}_2") == [(5,)]
    assert "NULL" in redshift.error(f"INSERT INTO {name}_1 (b) VALUES (1)")


def test_temporary_tables_end_with_the_call(redshift):
    redshift.ok("CREATE TABLE #mine (a INTEGER)", "INSERT INTO #mine VALUES (1)", "SELECT a FROM #mine")
    assert "does not exist" in redshift.error("SELECT a FROM #mine")


def test_alter_table(redshift, table):
    redshift.ok(f"INSERT INTO {table} VALUES (1, 'abc', 0)")
    redshift.ok(f"ALTER TABLE {table} ADD COLUMN extra VARCHAR(5) DEFAULT 'x'")
    redshift.ok(f"ALTER TABLE {table} RENAME COLUMN n TO m")
    redshift.ok(f"ALTER TABLE {table} ALTER COLUMN v TYPE VARCHAR(9)")
    redshift.ok(f"ALTER TABLE {table} DROP COLUMN m")
    assert redshift.rows(f"SELECT * FROM {table}") == [(1, "abc", "x")]


def test_lock_needs_a_transaction_and_holds_writers_up(redshift, table):
    assert "transaction" in redshift.error(f"LOCK {table}")
    session = redshift.submit("BEGIN", SessionKeepAliveSeconds=60)["SessionId"]
    redshift.ok(f"LOCK {table}", SessionId=session)
    waiting = redshift.client.execute_statement(
        WorkgroupName="ecommerce", Database="ecommerce", Sql=f"INSERT INTO {table} (k) VALUES (1)", WaitTimeSeconds=1
    )
    assert waiting["Status"] == "STARTED"
    redshift.ok("COMMIT", SessionId=session)
    assert redshift.client.describe_statement(Id=waiting["Id"], WaitTimeSeconds=10)["Status"] == "FINISHED"


def test_two_transactions_that_wait_for_each_other_are_told(redshift, table):
    redshift.ok(f"CREATE TABLE {table}_b (LIKE {table})")
    one, two = (redshift.submit("BEGIN", SessionKeepAliveSeconds=60)["SessionId"] for _ in range(2))
    redshift.ok(f"LOCK {table}", SessionId=one)
    redshift.ok(f"LOCK {table}_b", SessionId=two)
    waiting = redshift.client.execute_statement(SessionId=one, Sql=f"LOCK {table}_b", WaitTimeSeconds=1)
    assert "deadlock" in redshift.error(f"LOCK {table}", SessionId=two)
    assert redshift.client.describe_statement(Id=waiting["Id"], WaitTimeSeconds=10)["Status"] == "FINISHED"
    redshift.ok("ROLLBACK", SessionId=one)
