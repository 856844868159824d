"""Migrations: a warehouse in use gets the columns of today, whatever it died of in between, and nothing is done twice."""

import uuid
from contextlib import contextmanager

import pytest
from ecommerce_elt.errors import PermanentError
from ecommerce_elt.warehouse import migrations, redshift
from ecommerce_elt.warehouse import tables as warehouse_tables

from tests.plugins.cleaning.test_cleaning import MOVE
from tests.plugins.warehouse.test_warehouse import Lake

SQL = migrations.Path(__file__).resolve().parents[3] / "include/sql"
STEPS = {
    "01_add.sql": "ALTER TABLE core.{t} ADD COLUMN colour VARCHAR(8)",
    "02_fill.sql": "UPDATE core.{t} SET colour = 'red' WHERE colour IS NULL",
    "03_widen.sql": "ALTER TABLE core.{t} ALTER COLUMN colour TYPE VARCHAR(32)",
    "04_number.sql": (
        "ALTER TABLE core.{t} ADD COLUMN wide BIGINT;\nUPDATE core.{t} SET wide = quantity;\n"
        "ALTER TABLE core.{t} DROP COLUMN quantity;\nALTER TABLE core.{t} RENAME COLUMN wide TO quantity"
    ),
    "05_rename.sql": "ALTER TABLE core.{t} RENAME COLUMN label TO name",
    "06_drop.sql": "ALTER TABLE core.{t} DROP COLUMN old",
}
BEFORE = "event_id VARCHAR(8) NOT NULL, quantity INTEGER, label VARCHAR(4), old BOOLEAN"
AFTER = "event_id VARCHAR(8) NOT NULL, name VARCHAR(4), colour VARCHAR(32), quantity BIGINT"


class Dies(Exception):  # noqa: N818  # what happens
    pass


class Project:
    """Tables, a migration and their SQL, of the test's own."""

    def __init__(self, target, folder):
        self.target, self.sql = target, folder / "sql"
        self.name = f"t_{uuid.uuid4().hex[:8]}"
        self.table = f"core.{self.name}"
        for file in (SQL / "ops/schema_migrations").glob("*.sql"):
            self.write(f"ops/schema_migrations/{file.name}", file.read_text())
        for name, sql in STEPS.items():
            self.write(f"migrations/{self.name}/{name}", sql.format(t=self.name))
        self.declare(AFTER)

    def write(self, path, text):
        (self.sql / path).parent.mkdir(parents=True, exist_ok=True)
        (self.sql / path).write_text(text)

    def declare(self, columns):
        self.write(f"core/{self.name}/create.sql", f"CREATE TABLE IF NOT EXISTS {self.table} ({columns})")

    def migrate(self, target=None):
        return migrations.migrate(target or self.target, self.sql, [], [self.table])

    def recorded(self):
        return self.target.query(
            "SELECT COUNT(*) FROM ops.schema_migrations WHERE migration = :name", {"name": self.name}
        )[0][0]

    def content(self):
        return self.target.query(f"SELECT event_id, quantity, name, colour FROM {self.table} ORDER BY 1")


@pytest.fixture
def project(observer, tmp_path):
    made = Project(observer.warehouse, tmp_path)
    made.target.run([f"CREATE TABLE {made.table} ({BEFORE})"])
    made.target.run([f"INSERT INTO {made.table} VALUES ('a', 1, 'x', TRUE), ('b', 2, NULL, FALSE)"])
    return made


def test_a_table_in_use_gets_the_columns_of_today_and_keeps_its_rows(project):
    assert project.migrate() == [project.name]
    assert project.content() == [("a", 1, "x", "red"), ("b", 2, None, "red")]
    assert project.migrate() == []
    assert project.recorded() == 1


@pytest.mark.slow
@contextmanager
def dying(monkeypatch, is_meant, number, after):
    """The block dies before or after the statement of that number, of those whose name is meant."""
    run, seen = redshift.Warehouse.run, []

    def dies(self, statements, parameters=None, *, name=""):
        if not is_meant(name):
            return run(self, statements, parameters, name=name)
        seen.append(name)
        if len(seen) == number + 1:
            if after:
                run(self, statements, parameters, name=name)
            raise Dies(name)
        return run(self, statements, parameters, name=name)

    with monkeypatch.context() as patched:
        patched.setattr(redshift.Warehouse, "run", dies)
        yield


@pytest.mark.parametrize("after", [False, True], ids=["before_the_statement", "after_the_statement"])
@pytest.mark.parametrize("number", range(len(STEPS) + 1))
def test_a_run_that_died_anywhere_is_finished_by_the_next(project, number, after, monkeypatch):
    with (
        pytest.raises(Dies),
        dying(monkeypatch, lambda name: name.startswith((project.name, f"migration {project.name}")), number, after),
    ):
        project.migrate()
    project.migrate()
    assert project.content() == [("a", 1, "x", "red"), ("b", 2, None, "red")]
    assert project.recorded() == 1
    assert migrations.columns_of(project.target, project.table) == migrations.declared(project.sql, project.table)


def test_a_new_warehouse_has_nothing_to_change(observer, tmp_path):
    made = Project(observer.warehouse, tmp_path)
    made.target.run([(made.sql / f"core/{made.name}/create.sql").read_text()])
    assert made.migrate() == [made.name]
    assert made.recorded() == 1


def test_a_table_that_differs_from_its_file_is_an_error_that_names_the_column(project):
    project.declare(AFTER + ", size INTEGER")
    with pytest.raises(
        PermanentError, match=f"{project.table} differs from its create.sql in size INTEGER: add a migration"
    ):
        project.migrate()


def test_a_mart_that_differs_is_made_anew_and_registered_again(project, observer):
    """What build_marts can compute again needs no migration; the next registration marks all days for it."""
    target = observer.warehouse
    project.write("ops/mart/forget.sql", (SQL / "ops/mart/forget.sql").read_text())
    project.migrate()
    pairs = "SELECT source FROM ops.mart WHERE mart = :mart"
    target.run(
        [
            f"INSERT INTO ops.mart (mart, source) VALUES ('{project.table}', 'sale')",
            f"INSERT INTO {project.table} (event_id) VALUES ('a')",
        ]
    )
    migrations.migrate(target, project.sql, [], [project.table], [project.table])  # as it should be: left alone
    assert ("a",) in target.query(f"SELECT event_id FROM {project.table}")
    project.declare(AFTER + ", size INTEGER")
    migrations.migrate(target, project.sql, [], [project.table], [project.table])
    assert (target.query(f"SELECT size FROM {project.table}"), target.query(pairs, {"mart": project.table})) == ([], [])


def test_a_migration_that_changed_after_it_was_applied_is_an_error(project):
    project.migrate()
    project.write(f"migrations/{project.name}/07_more.sql", f"ALTER TABLE {project.table} ADD COLUMN size INTEGER")
    with pytest.raises(PermanentError, match="it was applied, and is another now"):
        project.migrate()


def test_what_is_refused_is_not_recorded(project):
    project.write(
        f"migrations/{project.name}/03_widen.sql", f"ALTER TABLE {project.table} ALTER COLUMN quantity TYPE BIGINT"
    )
    with pytest.raises(
        PermanentError, match="03_widen.sql: expected ADD COLUMN, DROP COLUMN, RENAME COLUMN or ALTER COLUMN"
    ):
        project.migrate()
    assert project.recorded() == 0
    project.write(
        f"migrations/{project.name}/03_widen.sql", f"ALTER TABLE {project.table} ALTER COLUMN none TYPE VARCHAR(9)"
    )
    with pytest.raises(PermanentError, match="none"):
        project.migrate()
    assert project.recorded() == 0


def test_the_columns_of_every_table_are_read_from_its_file(observer, contracts, config):
    from ecommerce_elt.marts import builds

    for table in [
        *warehouse_tables.tables(contracts.values()),
        *builds.tables(),
        *(c.staging for c in contracts.values()),
    ]:
        assert migrations.declared(config.sql_dir, table) == migrations.columns_of(observer.warehouse, table), table


@pytest.mark.parametrize("after", [False, True], ids=["before_the_statement", "after_the_statement"])
@pytest.mark.parametrize("number", range(4))
def test_events_of_before_get_their_days_whatever_the_migration_died_of(
    observer, config, contracts, monkeypatch, number, after
):
    """A correction that moves an event is its proof: the load finds the old day in ops.event_day alone."""
    lake, name = Lake(observer, config), "0003_event_days"
    lake.load(lake.batch("product_events", [MOVE, MOVE]))
    target = observer.warehouse
    target.run(["DELETE FROM ops.event_day"])
    target.run(["DELETE FROM ops.schema_migrations WHERE migration = :name"], {"name": name})
    with pytest.raises(Dies), dying(monkeypatch, lambda statement: name in statement, number, after):
        migrations.migrate(target, config.sql_dir, contracts.values(), [])
    migrations.migrate(target, config.sql_dir, contracts.values(), [])
    rows = "SELECT event_date FROM ops.event_day WHERE event_key = STRTOL(LEFT(MD5(:id), 12), 16)"
    assert target.query(rows, {"id": f"{lake.name}-0"}) == [("2026-01-02",)]
    moved = MOVE | {"event_time": "2026-09-09T00:00:00Z", "quantity": "-9"}
    counts = lake.load(lake.batch("product_events", [moved], [f"{lake.name}-0"], version=2))
    assert counts == {"accepted": 1, "clean": 0, "quarantined": 0, "duplicates": 1}
    assert [(row[0][-1], row[2]) for row in lake.rows()] == [("0", 2), ("1", 1)]
