"""Product movements from version 1 of the contract to version 2: what was loaded keeps its meaning under today's names."""

import shutil
import uuid

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from ecommerce_elt.feeds.contracts import load_contract
from ecommerce_elt.lake import compact, lists, parquet_files
from ecommerce_elt.warehouse import migrations

from tests.plugins.cleaning.test_cleaning import MOVE
from tests.plugins.cleaning.test_corrections import Corrected
from tests.plugins.marts.test_marts import SQL, Shop
from tests.plugins.warehouse.test_migrations import Dies, dying

FACT, MART = "core.fact_product_event", "mart.product_movements_daily"
NEW = {FACT: ("units", "stock_change"), MART: ("returned_units", "adjusted_units", "stock_change", "returned_amount")}
OLD_NAMES = "UPDATE {} SET movement = CASE movement WHEN 'sale' THEN 'sold' ELSE 'restocked' END"
STEPS = len(list((SQL / "migrations/0004_movements").glob("*.sql")))
EVENTS = {"sold": MOVE, "restocked": MOVE | {"quantity": 5}, "none": MOVE | {"quantity": 0}}


def as_version_1_left_it(target, fact=FACT, tables=NEW):
    target.run([OLD_NAMES.format(fact)])
    for table, columns in tables.items():
        for column in columns:
            target.run([f"ALTER TABLE {table} DROP COLUMN {column}"])


def migration(folder, name, renamed=lambda text: text):
    """Returns an `include/sql` with the migration alone, under a name that no warehouse has applied."""
    shutil.copytree(SQL.parent, folder, ignore=shutil.ignore_patterns("migrations"), dirs_exist_ok=True)
    for path in (SQL / "migrations/0004_movements").glob("*.sql"):
        copy = folder / "sql/migrations" / f"0004_{name}" / path.name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(renamed(path.read_text()))
    return folder / "sql"


@pytest.mark.nightly
@pytest.mark.timeout(300)
@pytest.mark.parametrize("after", [False, True], ids=["before_the_statement", "after_the_statement"])
def test_rows_of_version_1_get_todays_names_whatever_the_migration_dies_of(
    observer, config, contracts, tmp_path, monkeypatch, after
):
    shop, contract = Shop(observer, config, contracts), contracts["product_events"]
    shop.load("product_events", [(name, "2026-01-02T03:04:05Z", data) for name, data in EVENTS.items()])
    shop.build("inventory")
    rows = [("none", "restock", 0, 0), ("restocked", "restock", 5, 5), ("sold", "sale", 3, -3)]
    marts, moved = (
        (MART, "mart.inventory_level"),
        f"SELECT event_id, movement, units, stock_change FROM {FACT} ORDER BY 1",
    )
    before = shop.content(*marts)
    assert shop.target.query(moved) == rows
    for number in range(STEPS + 1):
        as_version_1_left_it(shop.target)
        sql = migration(tmp_path / f"{number}", f"{uuid.uuid4().hex[:8]}")
        with pytest.raises(Dies), dying(monkeypatch, lambda name: "0004_" in name, number, after):
            migrations.migrate(shop.target, sql, [contract], [FACT, MART])
        migrations.migrate(shop.target, sql, [contract], [FACT, MART])
        assert (shop.target.query(moved), shop.content(*marts)) == (rows, before)
    # The order of the columns, by which a build fills them, is that of a new warehouse.
    assert list(migrations.columns_of(shop.target, MART)) == list(migrations.declared(SQL, MART))
    shop.load("product_events", [("more", "2026-01-02T04:00:00Z", EVENTS["sold"])])
    shop.build("inventory")
    [built] = shop.target.query(f"SELECT sold_units, restocked_units, stock_change, sold_amount FROM {MART}")
    assert built == (6, 5, -1, "15.00")


def test_files_of_version_1_in_the_lake_get_todays_columns_and_agree_with_core(observer, bucket, config, tmp_path):
    shop = Corrected(observer, bucket, config, tmp_path)
    shop.arrive(*((name, 1, data) for name, data in EVENTS.items()))
    before = shop.core("quantity, movement, units, stock_change")
    as_version_1_left_it(shop.target, f"core.{shop.fact}", {f"core.{shop.fact}": NEW[FACT]})
    for url in lists.files(shop.s3, bucket, shop.name):
        rows = parquet_files.read(shop.s3, url).drop_columns(["units", "stock_change"])
        names = pc.if_else(pc.equal(rows["movement"], "sale"), pa.scalar("sold"), pa.scalar("restocked"))
        rows = rows.set_column(rows.column_names.index("movement"), "movement", names)
        parquet_files.write(shop.s3, url, rows)

    sql = migration(tmp_path / "today", uuid.uuid4().hex[:8], shop.renamed)
    shutil.copytree(shop.config.include_dir / "feeds", sql.parent / "feeds", dirs_exist_ok=True)
    shutil.copytree(shop.config.sql_dir / "clean", sql / "clean", dirs_exist_ok=True)
    contract = load_contract(shop.config.include_dir / f"feeds/{shop.name}.yaml")
    migrations.migrate(shop.target, sql, [contract], contract.tables)
    assert shop.core("quantity, movement, units, stock_change") == before
    summary, differences = shop.days()
    assert (summary["days"], summary["outdated"], differences) == (0, 1, [])
    compact.compact_feed(shop.s3, shop.name, shop.config)
    summary, differences = shop.days()
    assert (summary["days"], summary["outdated"], differences) == (1, 0, [])
