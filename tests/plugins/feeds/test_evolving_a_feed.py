"""docs/evolving-a-feed.md, done: its changes are applied one after the other to a feed in use, and its events are sent."""

import json
import re
import shutil
import subprocess

import pytest
from ecommerce_elt.feeds.contracts import load_contract
from ecommerce_elt.lake import compact, lists, parquet_files
from ecommerce_elt.warehouse import migrations

from tests.conftest import PROJECT
from tests.plugins.cleaning.test_cleaning import MOVE
from tests.plugins.cleaning.test_corrections import Corrected

PAGE = (PROJECT / "docs" / "evolving-a-feed.md").read_text("utf-8")
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))


def block(section, kind):
    [found] = re.findall(rf"```{kind}\n(.*?)```", SECTIONS[section], re.DOTALL)
    return found


class Evolving(Corrected):
    """A feed like product_events whose `include/` is changed as the page says."""

    def __init__(self, observer, bucket, config, folder):
        self.project = folder / "project"
        shutil.copytree(config.include_dir, self.project / "include")
        super().__init__(observer, bucket, config, folder)

    def change(self, section):
        """Applies the section's diff, and deploys."""
        subprocess.run(
            ["git", "apply", "-p1", "-"],
            input=block(section, "diff"),
            text=True,
            cwd=self.project,
            check=True,
        )
        shutil.rmtree(self.config.include_dir)
        for path in (self.project / "include").rglob("*.*"):
            copy = self.config.include_dir / self.renamed(str(path.relative_to(self.project / "include")))
            # The migrations of other tables are none of this test's, and these are of tables of its own.
            if "migrations" in path.parts:
                copy = copy.parent.with_name(f"{copy.parent.name}_{self.name}") / copy.name
            if ("migrations" not in path.parts or "fact_product_event" in path.read_text()) and (
                path.suffix == ".sql" or path.stem == self.like
            ):
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_text(self.renamed(path.read_text()))
        self.contract = load_contract(self.config.include_dir / f"feeds/{self.name}.yaml")
        return migrations.migrate(self.target, self.config.sql_dir, [self.contract], self.contract.tables)

    def event(self, section):
        return json.loads(block(section, "json"))

    def listed(self):
        rows = [
            row
            for url in lists.files(self.s3, self.config.bucket, self.name)
            for row in parquet_files.read(self.s3, url).to_pylist()
        ]
        return {row["event_id"].rpartition("-")[2]: row for row in rows}


@pytest.fixture
def feed(observer, bucket, config, tmp_path):
    return Evolving(observer, bucket, config, tmp_path)


@pytest.mark.nightly
def test_the_page_is_true(feed):
    # A key that nobody announced
    announced = feed.event("An unknown key arrives")
    feed.arrive(("old", 1, MOVE), ("extra", 1, announced))
    assert feed.core("extra") == {"extra": ('{"warehouse":"north"}',), "old": (None,)}
    assert feed.target.query(feed.renamed(block("An unknown key arrives", "sql"))) == [("north",)]

    # A column is added
    cleaned_before = feed.batch(("between", 1, announced | {"product_id": "P2"}))
    assert [name.partition("_moves")[0] for name in feed.change("A column is added")] == [
        "0001_versions_and_extra",
        "0003_event_days",
        "0004_movements",
        "0005_warehouse",
    ]
    from ecommerce_elt.cleaning.cleaner import is_outdated

    assert is_outdated(cleaned_before, feed.config)  # so the load cleans it again: load/batch_load.py
    feed.arrive(("old2", 1, MOVE), ("new", 1, announced), ("extra", 1, announced), ("old", 1, MOVE))
    assert feed.core("warehouse, extra") == {
        "extra": (None, '{"warehouse":"north"}'),
        "new": ("north", None),
        "old": (None, None),
        "old2": (None, None),
    }

    # A key gets another name
    renamed = feed.event("A key gets another name")
    assert feed.change("A key gets another name") == []
    feed.arrive(("alias", 1, renamed), ("both", 1, renamed | {"warehouse": "north"}))
    assert feed.core("warehouse, extra")["alias"] == ("south", None)
    assert feed.core("warehouse, extra")["both"] == ("north", None)

    # A text gets longer
    longer = feed.event("A text gets longer")
    _, counts = feed.arrive(("long", 1, longer))
    assert counts["quarantined"] == 1
    assert feed.target.query(f"SELECT reasons, state FROM ops.quarantine WHERE feed = '{feed.name}'") == [
        ("warehouse: max_bytes", "open")
    ]
    assert len(feed.change("A text gets longer")) == 1
    feed.arrive(("long", 1, longer))
    assert feed.core("warehouse")["long"] == (longer["depot"],)
    assert feed.target.query(f"SELECT state FROM ops.quarantine WHERE feed = '{feed.name}'") == [("replayed",)]
    feed.arrive(("old3", 1, MOVE))

    # A number gets larger
    assert len(feed.change("A number gets larger")) == 1
    feed.arrive(("large", 1, feed.event("A number gets larger")))
    assert feed.core("price")["large"] == ("50000000000.00",)
    assert feed.core("price")["extra"] == ("2.50",)
    [summary, differences] = feed.days()
    assert differences == []
    assert summary["outdated"] > 0  # the earlier days wait for maintain_lake
    assert compact.compact_feed(feed.s3, feed.name, feed.config).days > 0
    [summary, differences] = feed.days()
    assert (summary["outdated"], differences) == (0, [])
    assert compact.compact_feed(feed.s3, feed.name, feed.config).days == 0
    assert feed.listed()["extra"] | {"source_object": ""} == feed.listed()["extra"] | {
        "source_object": "",
        "quantity": 5,
        "event_version": 1,
        "warehouse": None,
        "extra": '{"warehouse":"north"}',
    }

    # A column is dropped
    assert len(feed.change("A column is dropped")) == 1
    feed.arrive(("dropped", 1, announced), ("dropped2", 1, longer))
    assert feed.core("extra")["dropped"] == feed.core("extra")["dropped2"] == (None,)
    compact.compact_feed(feed.s3, feed.name, feed.config)
    [summary, differences] = feed.days()
    assert (summary["outdated"], differences) == (0, [])
    assert "warehouse" not in feed.listed()["new"]

    # All of raw/ again changes nothing, and in a warehouse of today it gives every event.
    before = feed.core("quantity, extra")
    everything = [("old", 1, MOVE), ("extra", 1, announced), ("alias", 1, renamed), ("long", 1, longer)]
    _, counts = feed.arrive(*everything)
    assert counts == {"accepted": 4, "clean": 0, "quarantined": 0, "duplicates": 4}
    assert feed.core("quantity, extra") == before
    feed.sql("DELETE FROM FACT")
    _, counts = feed.arrive(*everything)
    assert counts["clean"] == 4
