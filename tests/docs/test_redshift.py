"""docs/redshift.md has every statement, and the database roles may do what the statements need."""

import re

import pytest

from docs import generate_redshift
from docs.generate_redshift import SQL, Keys, facts_of, layout, statements

PAGE = generate_redshift.PAGE.read_text()
KEYS = {
    "core.fact_invoice_line": Keys("invoice_no", "event_time"),
    "ops.event_day": Keys("event_key", "event_date"),
    "batch_event": Keys("event_key"),
    "core.dim_date": Keys("ALL", "date_day"),
}


def test_every_statement_has_its_row():
    files = {str(path.relative_to(SQL)) for kind in ("*.sql", "checks.yaml") for path in SQL.rglob(kind)}
    ours = {name for name in files if name.split("/")[0] not in generate_redshift.OTHER_ENGINES}
    in_page = re.findall(r"^\| `([^`]+\.sql|[^`]+/checks\.yaml)` \|", PAGE, re.MULTILINE)
    assert set(in_page) >= ours
    assert len(in_page) == len(set(in_page))
    assert generate_redshift.page() == PAGE


def test_what_reads_a_load_is_bounded():
    """The cost of a load does not depend on how much there is, but for what the page says it does."""
    named = {"ops/load/find_span.sql", "ops/load/check_conservation.sql", "core/dim_customer/merge.sql"}
    whole = set()
    for name, text in statements().items():
        if name.startswith("ops/load") or name.endswith(("merge.sql", "merge.sql (made)")):
            for sql in generate_redshift._split(text):
                whole |= {name for bounded in facts_of(sql, layout()).reads.values() if not bounded}
    assert whole == named
    assert all(name.removesuffix(".sql") in PAGE.partition("## Statement by statement")[0] for name in named)


@pytest.mark.parametrize(
    ("sql", "bounded"),
    [
        ("SELECT 1 FROM core.fact_invoice_line WHERE event_time >= :a", True),
        ("SELECT 1 FROM core.fact_invoice_line AS f WHERE f.event_time BETWEEN :a AND :b", True),
        ("SELECT 1 FROM core.fact_invoice_line WHERE invoice_no = :a", False),
        ("SELECT event_time FROM core.fact_invoice_line", False),
        ("DELETE FROM core.fact_invoice_line WHERE event_time < :a", True),
        ("SELECT 1 FROM (SELECT 1 FROM core.fact_invoice_line WHERE event_id = :a) AS f WHERE event_time >= :a", False),
    ],
)
def test_a_range_of_the_sort_key_is_seen(sql, bounded):
    assert facts_of(sql, KEYS).reads == {"core.fact_invoice_line": bounded}


@pytest.mark.parametrize(
    ("join", "how"),
    [
        ("ops.event_day AS d INNER JOIN batch_event AS b ON d.event_key = b.event_key", "each row where it lies"),
        ("ops.event_day AS d INNER JOIN batch_event AS b ON d.event_date = b.event_date", "one side moves"),
        ("ops.event_day AS d INNER JOIN core.dim_date AS c ON d.event_date = c.date_day", "on every node"),
    ],
)
def test_where_rows_of_a_join_lie_is_seen(join, how):
    [found] = facts_of(f"SELECT 1 FROM {join}", KEYS).joins
    assert found.endswith(how)


def granted(role):
    """Schema to privileges of a role, by include/sql/access."""
    found = {}
    for path in (SQL / "access").glob(f"grant_{role}_tables.sql"):
        words, schemas = re.search(
            r"GRANT ([\w, ]+) ON ALL TABLES IN SCHEMA ([\w, ]+) TO ROLE", path.read_text()
        ).groups()
        for schema in schemas.split(", "):
            found[schema] = set(words.split(", "))
    return found


@pytest.mark.parametrize(
    ("role", "folders"), [("pipeline", ("ops", "core", "mart", "features", "export")), ("reader", ("page",))]
)
def test_the_database_role_may_what_the_statements_need(role, folders):
    """All but what a deployment alone does: tables, views, migrations, the job, the seeds."""
    may = granted(role)
    lacking = {}
    for name, text in statements().items():
        folder, _, file = name.partition("/")
        if folder not in folders or file.split("/")[-1].startswith(("create.sql", "seed", "copy_job", "drop_copy_job")):
            continue
        for sql in generate_redshift._split(text):
            for table, needs in facts_of(sql, KEYS).privileges.items():
                missing = needs - {"LOCK"} - may.get(table.split(".")[0], set())
                if missing:
                    lacking.setdefault(name, set()).add((table, *sorted(missing)))
    assert lacking == {}
