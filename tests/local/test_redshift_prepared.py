"""A statement that is kept does what it does when it is read anew: with each value, after each change of its tables."""

import contextlib

import pytest

from local.redshift import batch, dialect, session
from local.redshift.engine import Engine
from local.redshift.errors import SqlError
from local.redshift.prepared import prepared

VALUES = ["it's", "a\\b", "2", "\ue0a1", "statement time", "2026-01-01", "blank "]
STATEMENTS = [
    "SELECT n / 2, price / n, SUM(n) OVER (), AVG(price) OVER () FROM core.line WHERE name = :v OR name = :w",
    "SELECT name FROM core.line WHERE at < GETDATE() AND at < SYSDATE AND name <> ':v' -- :v\nAND name LIKE :v || '%'",
    "SELECT name FROM core.line WHERE name LIKE :v",
    "SELECT name FROM core.line WHERE at >= :v",
    "SELECT name FROM core.line WHERE n = :v",
    "SELECT name FROM core.line WHERE price < :v",
    "SELECT name FROM core.line WHERE name IN (:v, :w) OR at BETWEEN :v AND :v",
    "SELECT DATEDIFF(day, at, :v), :v || 'x', CASE WHEN name = :v THEN 1 ELSE 0 END FROM core.line ORDER BY name",
    "INSERT INTO core.line (n, name) SELECT SUM(n), CAST(:v AS VARCHAR(3)) FROM core.line WHERE name = :v OR n > 0",
    "INSERT INTO core.line VALUES (1, 2.5, '2026-03-04', :v)",
    "INSERT INTO core.line (n) VALUES (:v)",
    "INSERT INTO core.line (at) VALUES (:v)",
    "CREATE TABLE core.made AS SELECT name, n / 2 AS half FROM core.line WHERE name <> :v",
    "UPDATE core.line SET name = :v WHERE name = :w OR n = 1",
    "DELETE FROM core.line USING core.line AS other WHERE core.line.name = other.name AND other.name = :v",
    "WITH some AS (SELECT name, n FROM core.line WHERE name <> :v) SELECT COUNT(*), SUM(n) / 3 FROM some GROUP BY some.name ORDER BY 2",
    "SELECT TO_CHAR(at, 'YYYY-MM'), COALESCE(name, :v), DATEADD(day, -1, at), at - INTERVAL '1 day' FROM core.line ORDER BY 2",
    "SELECT TO_CHAR(at, :v) FROM core.line",
    "SELECT at - INTERVAL :v FROM core.line",
    "SELECT STRTOL('11', :v)",
    "SELECT name SIMILAR TO :v, REGEXP_REPLACE(name, :v, 'x') FROM core.line ORDER BY 2",
]


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    with contextlib.closing(Engine(tmp_path_factory.mktemp("prepared") / "w.duckdb", s3=None)) as made:
        run(made, "CREATE SCHEMA core", {})
        yield made


def run(engine, sql, parameters):
    """Returns (rows, rows touched) or the error."""
    results = []
    one = engine.session()
    try:
        batch.run(one, [sql], parameters, one_transaction=True, on_result=lambda _, result: results.append(result))
    except SqlError as error:
        return str(error)
    finally:
        one.close()
    return results[0].rows, results[0].touched


def outcome(engine, kind, sql, parameters):
    """What the statement gives, and what is in the tables after it."""
    run(engine, "DROP TABLE IF EXISTS core.made", {})
    run(engine, "DROP TABLE IF EXISTS core.line", {})
    run(engine, f"CREATE TABLE core.line (n {kind}, price DECIMAL(10,2), at TIMESTAMP, name VARCHAR(20))", {})
    run(
        engine,
        "INSERT INTO core.line VALUES (1, 2.5, '2026-01-01', 'a\\\\b'), (7, 9.99, '2026-01-02 03:04:05', '2')",
        {},
    )
    found = run(engine, sql, parameters)
    tables = [run(engine, f"SELECT * FROM core.{name} ORDER BY 1, 2", {}) for name in ("line", "made")]
    return found, tables


@pytest.mark.parametrize("sql", STATEMENTS)
def test_it_is_as_if_it_were_read_anew(engine, monkeypatch, sql):
    for kind, values in (("INT", VALUES), ("DECIMAL(10,2)", VALUES[2:3])):
        for value in values:
            parameters = {"v": value, "w": value[::-1]}
            kept = outcome(engine, kind, sql, parameters)
            with monkeypatch.context() as patched:
                patched.setattr(session, "prepared", lambda sql, parameters: None)
                assert kept == outcome(engine, kind, sql, parameters), (kind, value)


def test_it_is_read_once_and_its_tables_are_known(monkeypatch):
    sql = "SELECT COUNT(*) FROM core.line JOIN other ON core.line.name = :v"
    first = prepared(sql, {"v": "a"})
    monkeypatch.setattr(dialect, "parse", None)
    assert prepared(sql, {"v": "b"}) is first
    assert first.tables == ("core.line", "other")


@pytest.mark.parametrize(
    "sql",
    ["CREATE TABLE t (n INT)", "SELEC 1", "SELECT * FROM t QUALIFY", "SELECT '\ue0a1'", f"SELECT '{'x' * 20_000}'"],
    ids=["another_kind", "no_sql", "not_redshift", "with_a_mark", "long"],
)
def test_what_is_not_kept(sql):
    assert prepared(sql, {"v": "10"}) is None


def test_a_table_is_seen_as_the_transaction_sees_it(engine):
    """Columns are remembered between transactions; a change of the table is seen once it is committed, and not before."""
    run(engine, "CREATE TABLE core.seen (a INT)", {})
    with contextlib.closing(engine.session()) as old, contextlib.closing(engine.session()) as new:
        assert old.statement("SELECT * FROM core.seen", in_transaction=True).columns[0].name == "a"
        new.statement("ALTER TABLE core.seen ADD COLUMN b INT", in_transaction=True)
        assert [c.name for c in new.statement("SELECT * FROM core.seen", in_transaction=True).columns] == ["a", "b"]
        assert run(engine, "SELECT b FROM core.seen", {}).startswith('ERROR: column "b" does not exist')
        new.end("COMMIT")
        assert len(old.statement("SELECT * FROM core.seen", in_transaction=True).columns) == 1
        assert run(engine, "SELECT b FROM core.seen", {})[0] == []
        old.end("COMMIT")
        assert len(old.statement("SELECT * FROM core.seen", in_transaction=True).columns) == 2


def test_two_that_store_the_first_blanks_do_not_conflict(engine):
    run(engine, "CREATE TABLE core.padded (t VARCHAR(9))", {})
    with contextlib.closing(engine.session()) as one, contextlib.closing(engine.session()) as two:
        two.statement("SELECT * FROM core.line", in_transaction=True)  # takes the snapshot
        one.statement("INSERT INTO core.padded VALUES ('a ')", in_transaction=True)
        found = one.statement("SELECT COUNT(*) FROM core.padded WHERE t = 'a'", in_transaction=True)
        assert found.rows == [(1,)]
        one.end("COMMIT")
        two.statement("INSERT INTO core.padded VALUES ('a  ')", in_transaction=True)
        two.end("COMMIT")
    assert run(engine, "SELECT COUNT(*) FROM core.padded WHERE t = 'a'", {})[0] == [(2,)]
