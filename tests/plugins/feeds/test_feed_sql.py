"""What a contract makes is what the files said that it takes the place of, and a file of the feed's own comes first."""

import re
import shutil

import pytest
import sqlglot
import yaml
from ecommerce_elt.cleaning.cleaner import clean_schema
from ecommerce_elt.cleaning.stages import cleaning_stages
from ecommerce_elt.errors import PermanentError
from ecommerce_elt.feeds import feed_sql
from ecommerce_elt.feeds.contracts import Contract, load_contract, load_contracts
from ecommerce_elt.warehouse import migrations

from tests.conftest import PROJECT
from tests.plugins.warehouse.test_warehouse import REVIEWS
from tests.support.cleaning_bench import clean, line

SQL = PROJECT / "include" / "sql"
MADE = PROJECT / "tests" / "plugins" / "feeds" / "made"
PATHS = [str(path.relative_to(MADE)) for path in sorted(MADE.rglob("*.sql"))]


def reviews(**changes):
    return Contract.model_validate(yaml.safe_load(REVIEWS) | changes)


def with_column(**column):
    return reviews(columns=[*yaml.safe_load(REVIEWS)["columns"], column])


@pytest.mark.parametrize("path", PATHS)
def test_the_statements_are_those_that_were_written_by_hand(path):
    """tests/plugins/feeds/made has the files as they were; of two of them the comments differ."""
    assert feed_sql.read(SQL, path) == (MADE / path).read_text("utf-8")


@pytest.mark.parametrize(
    "path",
    ["clean/reviews.sql", "staging/reviews/create.sql", "core/fact_review/merge.sql", "core/fact_review/erase.sql"],
)
def test_a_file_of_the_feed_comes_first(tmp_path, path):
    (tmp_path / "feeds").mkdir()
    (tmp_path / "feeds/reviews.yaml").write_text(REVIEWS)
    sql = tmp_path / "sql"
    assert feed_sql.read(sql, path).startswith("-- grain: one ")
    (sql / path).parent.mkdir(parents=True)
    (sql / path).write_text("SELECT own FROM typed")
    assert feed_sql.read(sql, path) == "SELECT own FROM typed"
    assert feed_sql.find(sql, "core/fact_review/unmerge.sql") is None
    with pytest.raises(
        PermanentError, match="core/fact_x/merge.sql: there is no such file, and no contract in .*feeds makes it"
    ):
        feed_sql.read(sql, "core/fact_x/merge.sql")


def test_every_path_of_a_feed_is_printed(contracts):
    assert list(feed_sql.statements(contracts["purchases"], SQL)) == [
        "clean/purchases.sql",
        "staging/purchases/create.sql",
        "core/fact_purchase/create.sql",
        "core/fact_purchase/merge.sql",
        "core/fact_purchase/erase.sql",
        "core/dim_customer/create.sql",
        "core/dim_customer/unmerge.sql",
        "core/dim_customer/merge.sql",
        "core/dim_customer/erase.sql",
    ]


def test_staging_has_the_types_of_the_clean_columns(contracts, config, tmp_path):
    """COPY of Parquet goes by position and exact type, so both sides must say the same, of any feed."""
    include = tmp_path / "include"
    shutil.copytree(config.include_dir, include)
    (include / "feeds" / "reviews.yaml").write_text(REVIEWS)
    kinds = {
        "string": "VARCHAR",
        "int32": "INTEGER",
        "int64": "BIGINT",
        "bool": "BOOLEAN",
        "timestamp[us]": "TIMESTAMP",
    }
    for feed, contract in load_contracts(include / "feeds").items():
        schema = clean_schema(contract, config.model_copy(update={"include_dir": include}))
        found = [(f.name, kinds.get(str(f.type), str(f.type).replace("decimal128", "DECIMAL"))) for f in schema]
        staging = migrations.declared(include / "sql", contract.staging)
        assert found == [(name, re.sub(r"VARCHAR.*", "VARCHAR", kind)) for name, kind in staging.items()], feed


def test_both_engines_read_the_clean_sql_that_is_made():
    contract = reviews()
    for query in cleaning_stages(contract, feed_sql.clean_sql(contract, SQL)).values():
        for engine in ("duckdb", "spark"):
            assert len(sqlglot.parse(query.sql(engine), read=engine)) == 1


def test_what_is_dropped_is_in_no_statement(tmp_path):
    (tmp_path / "feeds").mkdir()
    (tmp_path / "feeds/reviews.yaml").write_text(REVIEWS)
    contract = load_contract(tmp_path / "feeds/reviews.yaml")
    words = [set(text.replace(",", " ").split()) for text in feed_sql.statements(contract, tmp_path / "sql").values()]
    assert len(words) == 5
    assert not any("name" in found for found in words)


@pytest.mark.parametrize(
    ("contract", "says"),
    [
        pytest.param(
            lambda: with_column(name="order", header="Order", type="integer"), "reserved word", id="reserved_word"
        ),
        pytest.param(
            lambda: with_column(name="qualify", header="Q", type="integer"), "reserved word", id="word_of_duckdb"
        ),
        pytest.param(
            lambda: with_column(name="age", header="Age", type="integer", privacy="mask"),
            "column age: privacy mask of the type integer",
            id="mask_of_a_number",
        ),
        pytest.param(
            lambda: reviews(distkey="name"),
            "distkey is 'name', which is no column of core",
            id="distkey_that_is_dropped",
        ),
        pytest.param(
            lambda: reviews(derived=[{"name": "length", "type": "integer"}]),
            "selects no such column",
            id="derived_without_sql",
        ),
    ],
)
def test_what_cannot_become_a_table_is_an_error_that_names_the_column(contract, says):
    with pytest.raises(PermanentError, match=r"reviews") as raised:
        feed_sql.check(contract(), SQL)
    assert says in str(raised.value)


def test_a_column_of_the_clean_sql_without_a_type_is_an_error(tmp_path):
    (tmp_path / "clean").mkdir()
    (tmp_path / "clean/reviews.sql").write_text("SELECT event_id, product, LENGTH(product) AS letters FROM typed")
    with pytest.raises(PermanentError, match=r"clean/reviews.sql: selects letters, .* Add them to `derived`"):
        feed_sql.check(reviews(), tmp_path)


@pytest.mark.parametrize("name", ["extra", "source_line", "event_id", "dt", "event_time", "raw_stars"])
def test_a_name_that_every_event_has_is_refused(name):
    with pytest.raises(ValueError, match=f"columns \\['{name}'\\]: every event has something else of that name"):
        with_column(name=name, header="X", type="integer")


@pytest.mark.parametrize("name", ["object", "line", "data", "source", "events", "json", "typed"])
def test_names_of_the_typing_are_names_of_columns_too(name, config, tmp_path):
    contract = with_column(name=name, header=name, type="integer")
    event = {"product": "P", "stars": 1, "email": "a", name: "7"}
    [row] = clean(tmp_path, config, contract, "reviews", [line("reviews", event)])
    assert (row["reasons"], row[name], row["source_line"]) == ([], 7, 1)


def test_the_words_of_the_contract_stay_comments():
    contract = reviews(grain="one review\n{of} a\nproduct; DROP TABLE x")
    made = feed_sql._made(contract, feed_sql.clean_sql(contract, SQL))
    for text in made.values():
        header, _, rest = (
            text.partition("\nCREATE")
            if "\nCREATE" in text
            else text.partition("\nINSERT" if "\nINSERT" in text else "\nUPDATE")
        )
        assert all(line.startswith("-- ") for line in header.splitlines())
        assert "DROP" not in rest
        assert "{" not in text
