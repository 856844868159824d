"""Materialized views with writers beside them."""

import contextlib

import pytest

from local.redshift import batch
from local.redshift.engine import Engine
from local.redshift.errors import SqlError


@pytest.fixture
def engine(tmp_path):
    with contextlib.closing(Engine(tmp_path / "w.duckdb", s3=None)) as made:
        yield made


def run(session, *statements, one_transaction=True):
    results = []
    batch.run(
        session, statements, {}, one_transaction=one_transaction, on_result=lambda _, result: results.append(result)
    )
    return results[-1].rows


def stale(session):
    return run(session, "SELECT name, is_stale FROM svv_mv_info")


def test_what_a_writer_commits_after_a_refresh_leaves_the_view_stale(engine):
    writer, reader = engine.session(), engine.session()
    run(writer, "CREATE TABLE t (a INT)")
    run(writer, "CREATE MATERIALIZED VIEW mv AS SELECT COUNT(*) AS n FROM t")
    run(writer, "INSERT INTO t VALUES (1)")
    run(writer, "BEGIN", "INSERT INTO t VALUES (2)", one_transaction=False)
    run(reader, "REFRESH MATERIALIZED VIEW mv")
    assert run(reader, "SELECT n FROM mv") == [(1,)]
    assert stale(reader) == [("mv", "f")]
    run(writer, "COMMIT")
    assert stale(reader) == [("mv", "t")]
    run(reader, "REFRESH MATERIALIZED VIEW mv")
    assert run(reader, "SELECT n FROM mv") == [(2,)]
    assert stale(reader) == [("mv", "f")]


def test_a_writer_that_is_rolled_back_leaves_it_fresh(engine):
    session = engine.session()
    run(session, "CREATE TABLE t (a INT)")
    run(session, "CREATE MATERIALIZED VIEW mv AS SELECT a FROM t")
    with pytest.raises(SqlError, match="nothing"):
        run(session, "INSERT INTO t VALUES (1)", "SELECT nothing FROM t")
    assert stale(session) == [("mv", "f")]


def test_a_refresh_in_a_transaction_block_is_refused(engine):
    session = engine.session()
    run(session, "CREATE TABLE t (a INT)")
    run(session, "CREATE MATERIALIZED VIEW mv AS SELECT a FROM t")
    with pytest.raises(SqlError, match="transaction block is not supported"):
        run(session, "INSERT INTO t VALUES (1)", "REFRESH MATERIALIZED VIEW mv")


def test_it_is_there_after_a_restart(tmp_path):
    for made in (True, False):
        with contextlib.closing(Engine(tmp_path / "w.duckdb", s3=None)) as engine:
            session = engine.session()
            if made:
                run(session, "CREATE TABLE t (a INT)")
                run(session, "CREATE MATERIALIZED VIEW mv AS SELECT COUNT(*) AS n FROM t")
            else:
                run(session, "INSERT INTO t VALUES (1)")
                assert stale(session) == [("mv", "t")]
                run(session, "REFRESH MATERIALIZED VIEW mv")
                assert run(session, "SELECT n FROM mv") == [(1,)]
