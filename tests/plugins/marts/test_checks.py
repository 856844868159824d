"""The declared checks of the marts: what wrong declarations say, and what SQL becomes of right ones."""

import pytest
from ecommerce_elt.errors import PermanentError
from ecommerce_elt.marts import checks
from ecommerce_elt.marts.builds import FORECASTS, MARTS

from tests.conftest import PROJECT

SQL = PROJECT / "include" / "sql"
CREATE = """CREATE TABLE IF NOT EXISTS mart.sales_daily (
    period_start DATE NOT NULL,
    feed VARCHAR(64) NOT NULL,
    units BIGINT NOT NULL
)
"""
NEVER = "- {name: a, never: units < 0, detail: units}\n"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "create.sql").write_text(CREATE)
    return tmp_path


def rendered(folder, text):
    (folder / checks.FILE).write_text(text)
    return checks.statement(folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not a list of checks"),
        ("unique: [feed]", "not a list of checks"),
        ("- [", "not YAML"),
        ("- {unique: [feed], severty: warn}", "check 1: severty: Extra inputs are not permitted"),
        (NEVER + "- {name: b, nevr: units < 0, detail: units}", r"check 2 \(b\): needs one of .*never.*; it has none"),
        ("- {unique: [feed], never: units < 0}", "check 1: needs one of .*; it has unique and never"),
        ("- just a text", "check 1: needs one of"),
        ("- {unique: [feed], severity: error}", "check 1: severity: Input should be 'fail' or 'warn'"),
        ("- {unique: [sku]}", "check 1: unique: create.sql has no sku; it has period_start, feed, units"),
        ("- {accepted: {sku: [x]}}", "check 1: accepted: create.sql has no sku"),
        ("- {accepted: {feed: []}}", "check 1: accepted: feed: "),
        ("- {accepted: {feed: [no]}}", "check 1: accepted: feed: 0: Input should be a valid string"),
        ("- {name: a, never: units < 0, detail: sku}", r"check 1 \(a\): detail: create.sql has no sku"),
        ("- {name: a, never: units < 0}", r"check 1 \(a\): detail: Field required"),
        ("- {never: units < 0, detail: units}", "check 1: name: Field required"),
        ("- {name: a, rows: SELECT 1, detail: units}", r"check 1 \(a\): rows: String should match"),
        ("- {sum: units, equals: f.n, of: core.fact_x}", "check 1: of: String should match"),
        ("- {sum: units + 1, equals: f.n, of: core.fact_x AS f}", "check 1: .*name: the sum of an expression"),
        (NEVER + NEVER, r"check 2 \(a\): name: another check is already called 'a'"),
        ("- unique: [feed]\n- unique: [feed]", "check 2: name: another check is already called 'feed is unique'"),
    ],
)
def test_a_wrong_declaration_is_named(folder, text, message):
    with pytest.raises(PermanentError, match=message) as raised:
        rendered(folder, text)
    assert str(raised.value).startswith(f"{folder / checks.FILE}: ")


def test_every_mart_has_checks_that_can_stop_it_and_no_file_is_of_no_mart():
    for mart in (*MARTS, *FORECASTS):
        found = checks.declared(mart.folder(SQL))
        assert "fail" in {check.severity for check in found}, mart.table
        assert any(isinstance(check, checks.Unique) for check in found), mart.table
        assert f"'{mart.table}'" in mart.checks_sql(SQL)
    assert {path.parent for path in SQL.rglob(checks.FILE)} == {mart.folder(SQL) for mart in (*MARTS, *FORECASTS)}


def test_checks_become_one_statement(folder):
    text = """
- unique: [period_start, feed]
- accepted: {feed: [shop, "the shop's"]}
  severity: warn
- name: some units
  never: units < 1
  detail: [feed, units]
- name: as many as there are
  rows: FROM (SELECT COUNT(*) AS n FROM staged) AS built CROSS JOIN core.number AS core
  failed_rows: ABS(built.n - core.n)
  detail: CAST(built.n AS VARCHAR)
"""
    assert (
        rendered(folder, text)
        == """\
INSERT INTO ops.check_results (build_id, mart, check_name, severity, failed_rows, detail, checked_at)
SELECT
    :build_id,
    '{table}',
    'period_start and feed are unique',
    'fail',
    COUNT(*),
    MIN(CAST(period_start AS VARCHAR) || ' ' || feed),
    GETDATE()
FROM (SELECT period_start, feed FROM staged GROUP BY period_start, feed HAVING COUNT(*) > 1) AS repeated
UNION ALL
SELECT
    :build_id,
    '{table}',
    'feed is an accepted value',
    'warn',
    COUNT(*),
    MIN(feed),
    GETDATE()
FROM staged
WHERE feed NOT IN ('shop', 'the shop''s')
UNION ALL
SELECT
    :build_id,
    '{table}',
    'some units',
    'fail',
    COUNT(*),
    MIN(feed || ' ' || CAST(units AS VARCHAR)),
    GETDATE()
FROM staged
WHERE units < 1
UNION ALL
SELECT
    :build_id,
    '{table}',
    'as many as there are',
    'fail',
    ABS(built.n - core.n),
    CAST(built.n AS VARCHAR),
    GETDATE()
FROM (SELECT COUNT(*) AS n FROM staged) AS built CROSS JOIN core.number AS core
"""
    )


def test_a_sum_is_compared_with_core_by_period_and_columns(folder):
    text = """
- sum: units
  equals: line.units
  of: core.line AS line
  day: line.sale_date
  by: [feed]
  where: line.a OR line.b
"""
    assert (
        rendered(folder, text).partition("'fail',\n")[2]
        == """\
    COUNT(*),
    MIN(CAST(COALESCE(built.period_start, core.period_start) AS VARCHAR) || ' ' || COALESCE(built.feed, core.feed) \
|| ': ' || CAST(COALESCE(built.total, 0) AS VARCHAR) || ' instead of ' || CAST(COALESCE(core.total, 0) AS VARCHAR)),
    GETDATE()
FROM (SELECT period_start, feed, SUM(units) AS total FROM staged GROUP BY period_start, feed) AS built
FULL JOIN (
    SELECT dates.{period}_start AS period_start, line.feed, SUM(line.units) AS total
    FROM core.line AS line
    INNER JOIN core.dim_date AS dates ON line.sale_date = dates.date_day
    WHERE line.event_time >= :from_day
        AND line.event_time < :to_day
        AND dates.{period}_start IN (SELECT period_start FROM build_period)
        AND (line.a OR line.b)
    GROUP BY dates.{period}_start, line.feed
) AS core ON built.period_start = core.period_start AND built.feed = core.feed
WHERE COALESCE(built.total, 0) <> COALESCE(core.total, 0)
"""
    )
