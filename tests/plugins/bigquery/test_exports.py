"""Types, ranges, totals and columns of exports."""

import dataclasses

import pytest
from ecommerce_elt.bigquery import exports
from ecommerce_elt.bigquery.exports import Field, Unloaded
from ecommerce_elt.errors import PermanentError
from ecommerce_elt.warehouse import redshift
from ecommerce_elt.warehouse.redshift import Column


def test_of_a_fact_personal_columns_and_unknown_keys_stay(contracts):
    assert exports.kept_back(contracts["online_retail"]) == {"extra"}
    assert exports.kept_back(contracts["purchases"]) == {"name", "address", "phone", "age", "extra"}


@pytest.mark.parametrize(
    ("type_name", "precision", "scale", "expected"),
    [
        ("numeric", 18, 3, "NUMERIC"),
        ("numeric", 38, 9, "NUMERIC"),
        ("numeric", 38, 3, "BIGNUMERIC"),
        ("int8", 19, 0, "INT64"),
        ("varchar", 64, 0, "STRING"),
        ("timestamp", 29, 6, "TIMESTAMP"),
        ("bool", 1, 0, "BOOL"),
        ("date", 13, 0, "DATE"),
    ],
)
def test_types(type_name, precision, scale, expected):
    assert exports.field_of(Column("x", type_name, precision, scale)) == Field("x", expected)


def test_a_type_that_bigquery_lacks_is_named():
    with pytest.raises(PermanentError, match="column extra is of type super"):
        exports.field_of(Column("extra", "super", 0, 0))


def test_ranges_of_periods():
    assert exports.ranges_of(["2026-01-01", "2026-01-02", "2026-01-05"], "day") == (
        ("2026-01-01", "2026-01-02"),
        ("2026-01-05", "2026-01-05"),
    )
    assert exports.ranges_of(["2026-01-01", "2026-02-01", "2026-04-01"], "month") == (
        ("2026-01-01", "2026-02-01"),
        ("2026-04-01", "2026-04-01"),
    )
    assert exports.ranges_of([], "day") == ()


def test_an_unloaded_table_goes_through_xcom():
    part = Unloaded("mart.sales_daily", (Field("units", "INT64"),), (("2026-01-01", "2026-01-02"),), ("bigquery/x/y",))
    assert Unloaded.of(part.as_json()) == part
    fact = dataclasses.replace(part, is_fact=True)
    assert Unloaded.of(fact.as_json()) == fact
    assert fact.replaced == "(event_time >= TIMESTAMP '2026-01-01' AND event_time < TIMESTAMP '2026-01-03')"
    two = dataclasses.replace(fact, ranges=(("2026-01-01", "2026-01-02"), ("2026-03-31", "2026-03-31")))
    for name in ("replaced", "counted_rows"):  # which is what the statements let through
        assert redshift.ALLOWED[name].match(two.replaced)
        assert not redshift.ALLOWED[name].match(f"{two.replaced} OR TRUE")
    assert part.replaced == "period_start BETWEEN DATE '2026-01-01' AND DATE '2026-01-02'"
    assert dataclasses.replace(part, ranges=None).replaced == "TRUE"


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        ("rows=2 a=1.50", "rows=2 a=1.5", ""),
        ("rows=2 a=null", "rows=2 a=0", "a is null in Redshift and 0 in BigQuery"),
        (
            "rows=2 a=12345678901234567.89",
            "rows=2 a=12345678901234567.88",
            "a is 12345678901234567.89 in Redshift and 12345678901234567.88 in BigQuery",
        ),
        ("rows=2 b=1", "rows=2", "b is 1 in Redshift and no column in BigQuery"),
    ],
)
def test_difference(ours, theirs, expected):
    assert exports.difference(ours, theirs) == expected
