"""Every SQL file: its header, its size, and that its own dialect reads it."""

import ast
import re
from functools import cache

import duckdb
import pytest
import sqlglot
from ecommerce_elt.bigquery import exports
from ecommerce_elt.cleaning.cleaner import clean_schema
from ecommerce_elt.dashboards import data_sets as dashboards_data_sets
from ecommerce_elt.erasure.warehouse import ERASE
from ecommerce_elt.features import data_sets as features_data_sets
from ecommerce_elt.feeds import feed_sql
from ecommerce_elt.landing import replacing
from ecommerce_elt.load import known_rows
from ecommerce_elt.load import transaction as load_transaction
from ecommerce_elt.marts import builds, checks
from ecommerce_elt.reconcile.days import COMPARE
from ecommerce_elt.reconcile.differences import KEEP
from ecommerce_elt.warehouse import tables as warehouse_tables
from ecommerce_elt.warehouse.redshift import render

from local.redshift import dialect
from tests.conftest import PROJECT

SQL = PROJECT / "include" / "sql"
FILES = sorted(SQL.rglob("*.sql"))
NAMES = {
    "staging": "staging.purchases",
    "fact": "core.fact_purchase",
    "copy_manifest": "s3://bucket/copy.json",
    "object_counts": "s3://bucket/objects.jsonl",
    "copy_role": "'arn:aws:iam::000000000000:role/r'",
    "delivered_rows": "s3://bucket/firehose/rows/",
    "table": "mart.sales_daily",
    "period": "day",
    "key": "date_day",
    "customer": "customer_key",
    "known_prefix": "s3://bucket/known/",
    "columns": "event_id, event_time",
    "quarantine_rows": "s3://bucket/q/",
    "features_prefix": "s3://bucket/f/",
    "withdrawn_events": "s3://bucket/w/",
    "replaced_values": "s3://bucket/r/",
    "tables": "'mart.sales_daily'",
    "unload_prefix": "s3://bucket/bigquery/x/",
    "export_id": "0" * 36,
    "bigquery_type": "INT64",
    "replaced": "TRUE",
    "counted_rows": "TRUE",
    "bigquery_columns": "`units`",
    "warehouse_totals": "'rows=' || CAST(COUNT(*) AS VARCHAR)",
    "bigquery_totals": "'rows=' || CAST(COUNT(*) AS STRING)",
    "bigquery_table": "my-project-1.ecommerce_mart.t",
    "staged_table": "my-project-1.ecommerce_staging.t",
    "claim_table": "my-project-1.ecommerce_staging.claim",
    "forecast_files": "s3://bucket/forecast/",
    "batch_id": "purchases-20260101T000000Z-0123456789abcdef",
}


def _id(path):
    return str(path.relative_to(SQL))


@pytest.mark.parametrize("path", FILES, ids=_id)
def test_header_and_size(path):
    lines = path.read_text().splitlines()
    words = [re.match(r"-- ([a-z-]+): ", text) for text in lines[:4]]
    assert [w and w[1] for w in words] == ["grain", "source", "idempotent", "re-run"]
    assert len(lines) < 100


@pytest.mark.parametrize(
    "path", [p for p in FILES if not {"clean", "lake", "athena", "bigquery"} & set(p.parts)], ids=_id
)
def test_redshift_reads_it(path):
    for sql in render(path.read_text(), NAMES).split(";\n"):
        _is_read(sql)


@pytest.mark.parametrize("path", sorted(SQL.rglob(checks.FILE)), ids=_id)
def test_redshift_reads_the_checks_of_a_mart(path):
    _is_read(render(checks.statement(path.parent), NAMES))


def _is_read(sql):
    first = dialect.words(sql)[0]
    if "JOB CREATE" in sql:
        from local.redshift.copy_jobs import parse_create

        assert parse_create(sql)
    elif first == "COPY" and dialect.words(sql)[1] == "JOB":
        from local.redshift.copy_jobs import is_about_a_job

        assert is_about_a_job(sql)
    elif first == "COPY":
        from local.redshift.copy_from_s3 import parse_copy

        assert parse_copy(sql).source.startswith("s3://")
    elif first == "UNLOAD":
        from local.redshift.unload import parse_unload

        dialect.check_known(dialect.parse(parse_unload(sql).query))
    elif first not in {"LOCK", "VACUUM", "GRANT"} and dialect.words(sql)[:2] != ("CREATE", "ROLE"):
        dialect.check_known(dialect.parse(sql))


@pytest.mark.parametrize("path", [p for p in FILES if p.parent.name == "athena"], ids=_id)
def test_athena_reads_it(path):
    assert len(sqlglot.parse(path.read_text(), read="athena")) == 1


@pytest.mark.parametrize("path", [p for p in FILES if "bigquery" in p.parts], ids=_id)
def test_bigquery_reads_it(path):
    found = sqlglot.parse(render(path.read_text(), NAMES), read="bigquery")
    assert found
    assert all(found[:-1])


@pytest.mark.parametrize("path", [p for p in FILES if p.parent.name == "lake"], ids=_id)
def test_files_of_the_lake_keep_todays_columns(path, contracts, config):
    schema = clean_schema(contracts[path.stem], config)
    with duckdb.connect() as engine:
        engine.register("files", schema.empty_table())
        assert engine.sql(path.read_text()).to_arrow_table().schema.equals(schema)


@pytest.mark.parametrize("path", [p for p in FILES if p.parent.name == "clean"], ids=_id)
def test_cleaning_reads_in_both_engines(path, contracts):
    from ecommerce_elt.cleaning.stages import cleaning_stages

    for query in cleaning_stages(contracts[path.stem], path.read_text()).values():
        for engine in ("duckdb", "spark"):
            assert len(sqlglot.parse(query.sql(engine), read=engine)) == 1


def test_every_table_of_a_contract_has_its_sql(contracts):
    for contract in contracts.values():
        feed_sql.read(SQL, f"{contract.staging.replace('.', '/')}/create.sql")
        for table in contract.tables:
            for name in ("create.sql", "merge.sql"):
                feed_sql.read(SQL, f"{table.replace('.', '/')}/{name}")
        for table in contract.erasure.tables if contract.erasure else ():
            feed_sql.read(SQL, f"{table.replace('.', '/')}/erase.sql")


@pytest.mark.parametrize(
    "path",
    sorted((PROJECT / "tests/plugins/feeds/made").rglob("*.sql")),
    ids=lambda path: path.parent.name + "/" + path.name,
)
def test_redshift_reads_what_contracts_make(path):
    test_header_and_size(path)
    test_redshift_reads_it(path)


# Each transaction that is a list of files. A condition decides only whether a file is part of it.
TRANSACTIONS = {
    "load": [path for path, _ in load_transaction.LOAD if path != load_transaction.MERGES],
    "keep replacements": load_transaction.KEEP_REPLACEMENTS,
    "grant access": warehouse_tables.GRANTS,
    "register a mart": [path for path, _ in builds.REGISTER],
    "claim a build": builds.CLAIM,
    "stage a build": builds.STAGE,
    "stage given rows": builds.STAGE_GIVEN,
    "check a build": [path for path, _ in builds.CHECKS],
    "publish a mart": [path for path, _ in builds.PUBLISH],
    "register an export": [path for path, _ in exports.REGISTER],
    "unload an export": [path for path, _ in exports.UNLOAD],
    "close an export": exports.CLOSE,
    "forget an export": exports.FORGET,
    "find known rows": known_rows.FIND,
    "find replaced rows": replacing.FIND,
    "seed constants": builds.SEED,
    "keep an hour": KEEP["reconciliation"],
    "keep a day": KEEP["reconciled_day"],
    "compare a day": [path for path, _ in COMPARE],
    "erase a customer": ERASE,
}
OF_A_TABLE = {"create", "build", "unmerge", "merge", "erase"}
READERS = [path for name in ("plugins", "dags", "infra", "bi") for path in (PROJECT / name).rglob("*.py")]


@pytest.mark.parametrize("name", TRANSACTIONS)
def test_a_transaction_names_files_that_exist_once(name):
    paths = list(TRANSACTIONS[name])
    assert len(paths) == len(set(paths))
    assert [path for path in paths if not (SQL / path).is_file()] == []


def _tables(contracts):
    erased = {table for contract in contracts.values() if contract.erasure for table in contract.erasure.tables}
    staged = {contract.staging for contract in contracts.values()}
    features = {f"features.{path.name}" for path in (SQL / "features").iterdir()}
    found = {*warehouse_tables.tables(contracts.values()), *warehouse_tables.VIEWS, *builds.tables(), *builds.VIEWS}
    return found | erased | staged | features | {"ops.schema_migrations"}


def _of_things(contracts):
    """Returns the files that are read by the name of a feed, of a data set or of features."""
    feeds = {f"{folder}/{feed}.sql" for folder in ("clean", "lake", "core/sale") for feed in contracts}
    shown = {f"export/{data_set.id}/select.sql" for data_set in dashboards_data_sets.DATA_SETS}
    return feeds | shown | {f"features/{name}/unload.sql" for name in features_data_sets.DATA_SETS}


def _texts(module):
    """Returns the texts in the code of a module; of an f-string, with * for what is filled in."""
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.JoinedStr):
            yield "".join(part.value if isinstance(part, ast.Constant) else "*" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


@cache
def _pattern(text):
    return re.compile(re.escape(text).replace(r"\*", "(.+)"))


def _say(texts, wanted):
    """Says whether one of a module's texts is `wanted`, or becomes it when other texts of the module are filled in."""
    if wanted in texts:
        return True
    found = (_pattern(text).fullmatch(wanted) for text in texts if "*" in text and text != "*")
    return any(match and set(match.groups()) <= texts for match in found)


def _names(texts, path):
    """Says whether a module's texts name the file: by its path, or by its folder and its name."""
    rel = path.relative_to(SQL)
    whole = str(rel)
    if _say(texts, whole) or _say(texts, whole.removesuffix(".sql")):
        return True
    return _say(texts, str(rel.parent)) and (_say(texts, rel.name) or _say(texts, rel.stem))


def test_no_file_is_left_out(contracts):
    """A file that no transaction lists, that belongs to no table and that no module names is never run."""
    listed = {path for paths in TRANSACTIONS.values() for path in paths}
    listed |= _of_things(contracts)
    tables = _tables(contracts)
    modules = [set(_texts(module)) for module in READERS]
    left_out = [
        str(path.relative_to(SQL))
        for path in FILES
        if (rel := path.relative_to(SQL)).parts[0] not in {"migrations", "athena"}  # every file of these is used
        and str(rel) not in listed
        and not (path.stem in OF_A_TABLE and ".".join(rel.parts[:2]) in tables)
        and not any(_names(texts, path) for texts in modules)
    ]
    assert left_out == [], "\n".join(left_out)


LOADS = list((SQL / "ops/load").glob("*.sql"))


@pytest.mark.parametrize("path", LOADS, ids=_id)
def test_a_load_reads_of_a_fact_only_what_lies_in_its_days(path):
    """Sort keys leave out what is outside of bounds; a join alone, and MERGE, read every block."""
    text = path.read_text()
    assert "MERGE INTO" not in text
    if re.search(r"(FROM|JOIN|USING) \{fact\}", text):
        assert re.search(r"\.event_time >= \(SELECT", text)
        assert re.search(r"\.event_time <=? \(SELECT", text)
