"""Every SQL file: its header, its size, and that its own dialect reads it."""

import re

import duckdb
import pytest
import sqlglot
from ecommerce_elt.cleaning import clean_schema
from ecommerce_elt.warehouse import render

from local.redshift import dialect
from tests.conftest import PROJECT

SQL = PROJECT / "include" / "sql"
FILES = sorted(SQL.rglob("*.sql"))
NAMES = {"staging": "staging.purchases", "fact": "core.fact_purchase", "copy_manifest": "s3://bucket/copy.json",
         "object_counts": "s3://bucket/objects.jsonl", "copy_role": "default", "table": "mart.sales_daily", "period": "day",
         "key": "date_day", "customer": "customer_key", "known_prefix": "s3://bucket/known/", "columns": "event_id, event_time", "quarantine_rows": "s3://bucket/q/",
         "batch_id": "purchases-20260101T000000Z-0123456789abcdef"}  # fmt: skip


def _id(path):
    return str(path.relative_to(SQL))


@pytest.mark.parametrize("path", FILES, ids=_id)
def test_header_and_size(path):
    lines = path.read_text().splitlines()
    words = [re.match(r"-- ([a-z-]+): ", text) for text in lines[:4]]
    assert [w and w[1] for w in words] == ["grain", "source", "idempotent", "re-run"]
    assert len(lines) < 100


@pytest.mark.parametrize("path", [p for p in FILES if p.parent.name not in {"clean", "lake", "athena"}], ids=_id)
def test_redshift_reads_it(path):
    for sql in render(path.read_text(), NAMES).split(";\n"):
        _is_read(sql)


def _is_read(sql):
    first = dialect.words(sql)[0]
    if first == "COPY":
        from local.redshift.copy_from_s3 import parse_copy

        assert parse_copy(sql).source.startswith("s3://")
    elif first == "UNLOAD":
        from local.redshift.unload import parse_unload

        dialect.check_known(dialect.parse(parse_unload(sql).query))
    elif first not in {"LOCK", "VACUUM"}:
        dialect.check_known(dialect.parse(sql))


@pytest.mark.parametrize("path", [p for p in FILES if p.parent.name == "athena"], ids=_id)
def test_athena_reads_it(path):
    assert len(sqlglot.parse(path.read_text(), read="athena")) == 1


@pytest.mark.parametrize("path", [p for p in FILES if p.parent.name == "lake"], ids=_id)
def test_files_of_the_lake_keep_todays_columns(path, contracts, config):
    schema = clean_schema(contracts[path.stem], config)
    with duckdb.connect() as engine:
        engine.register("files", schema.empty_table())
        assert engine.sql(path.read_text()).to_arrow_table().schema.equals(schema)


@pytest.mark.parametrize("path", [p for p in FILES if p.parent.name == "clean"], ids=_id)
def test_cleaning_reads_in_both_engines(path, contracts):
    from ecommerce_elt.typing_sql import cleaning_stages

    for query in cleaning_stages(contracts[path.stem], path.read_text()).values():
        for engine in ("duckdb", "spark"):
            assert len(sqlglot.parse(query.sql(engine), read=engine)) == 1


def test_every_table_of_a_contract_has_its_files(contracts):
    for contract in contracts.values():
        assert (SQL / contract.staging.replace(".", "/") / "create.sql").exists()
        for table in contract.tables:
            for name in ("create.sql", "merge.sql"):
                assert (SQL / table.replace(".", "/") / name).exists(), f"{table}/{name}"
        for table in contract.erasure.tables if contract.erasure else ():
            assert (SQL / table.replace(".", "/") / "erase.sql").exists(), table


LOADS = [*(SQL / "ops/load").glob("*.sql"), *(SQL / "core").glob("fact_*/merge.sql")]


@pytest.mark.parametrize("path", LOADS, ids=_id)
def test_a_load_reads_of_a_fact_only_what_lies_in_its_days(path):
    """Sort keys leave out what is outside of bounds; a join alone, and MERGE, read every block."""
    text = path.read_text()
    assert "MERGE INTO" not in text
    if re.search(r"(FROM|JOIN|USING) \{fact\}", text):
        assert re.search(r"\.event_time >= \(SELECT", text)
        assert re.search(r"\.event_time <=? \(SELECT", text)
