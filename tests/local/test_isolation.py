"""What transactions that run side by side may do, at both isolation levels of Redshift."""

import pytest

from tests.local.redshift_bench import Redshift

LEVELS = ["SNAPSHOT", "SERIALIZABLE"]
OPEN = []  # connections of the test at hand


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    made = Redshift(tmp_path_factory.mktemp("redshift"), "http://127.0.0.1:9")  # no S3 is asked
    for name in ("a", "b", "c"):
        made.ok(f"CREATE TABLE {name} (k INTEGER)")
    made.ok("CREATE VIEW seen AS SELECT k FROM a")
    yield made
    made.close()


@pytest.fixture(params=LEVELS)
def level(request, server):
    server.ok(f"ALTER DATABASE ecommerce ISOLATION LEVEL {request.param}")
    for name in ("a", "b", "c"):
        server.ok(f"DELETE FROM {name}", f"INSERT INTO {name} VALUES (1)")
    yield request.param
    while OPEN:
        OPEN.pop().do("ROLLBACK")
    server.ok("ALTER DATABASE ecommerce ISOLATION LEVEL SNAPSHOT")


class Connection:
    """A transaction that is open; a step that fails is what it says, and ends it."""

    def __init__(self, server):
        self.server = server
        self.id = server.ok("SELECT 1", SessionKeepAliveSeconds=60)["SessionId"]
        server.ok("BEGIN", SessionId=self.id)
        OPEN.append(self)

    def do(self, sql):
        state = self.server.submit(sql, SessionId=self.id)
        return state.get("Error", "")

    def commit(self):
        return self.do("COMMIT")


def both(server):
    return Connection(server), Connection(server)


def test_write_skew_is_refused_by_serializable_alone(server, level):
    """The example of AWS's knowledge center: each reads what the other writes, so that no order of the two is right."""
    one, two = both(server)
    assert one.do("SELECT * FROM a") == ""
    assert one.do("INSERT INTO b VALUES (2)") == ""
    assert two.do("INSERT INTO a VALUES (2)") == ""
    error = two.do("SELECT * FROM b")
    assert ("1023" in error) is (level == "SERIALIZABLE")
    assert one.commit() == ""
    assert [count for (count,) in server.rows("SELECT COUNT(*) FROM b")] == [2]


def test_two_changes_of_one_table_conflict_at_both(server, level):
    one, two = both(server)
    assert two.do("SELECT * FROM c") == ""  # takes the snapshot
    assert one.do("UPDATE a SET k = 2") == ""
    assert one.commit() == ""
    assert "1023" in two.do("UPDATE a SET k = 3")


def test_insertions_into_one_table_do_not(server, level):
    one, two = both(server)
    assert two.do("SELECT * FROM c") == ""
    assert one.do("INSERT INTO a VALUES (2)") == ""
    assert one.commit() == ""
    assert two.do("INSERT INTO a VALUES (3)") == ""
    assert two.commit() == ""


def test_insertions_that_read_their_table_do_under_serializable(server, level):
    insert = "INSERT INTO a SELECT {n} WHERE {n} NOT IN (SELECT k FROM a)"
    one, two = both(server)
    assert two.do("SELECT * FROM c") == ""
    assert one.do(insert.format(n=2)) == ""
    assert one.commit() == ""
    assert ("1023" in two.do(insert.format(n=3))) is (level == "SERIALIZABLE")


def test_who_only_reads_is_never_refused(server, level):
    one, two = both(server)
    assert two.do("SELECT * FROM a") == ""
    assert one.do("INSERT INTO a SELECT k FROM b") == ""
    assert one.commit() == ""
    assert two.do("SELECT * FROM b") == ""
    assert two.commit() == ""


def test_three_make_a_circle(server, level):
    one, two = both(server)
    three = Connection(server)
    for connection, read in ((one, "a"), (two, "b"), (three, "c")):
        assert connection.do(f"SELECT * FROM {read}") == ""
    assert one.do("INSERT INTO b VALUES (2)") == ""
    assert two.do("INSERT INTO c VALUES (2)") == ""
    assert ("1023" in three.do("INSERT INTO a VALUES (2)")) is (level == "SERIALIZABLE")


def test_a_view_reads_its_tables(server, level):
    one, two = both(server)
    assert one.do("SELECT * FROM seen") == ""
    assert one.do("INSERT INTO b VALUES (2)") == ""
    assert two.do("SELECT * FROM b") == ""
    assert ("1023" in two.do("INSERT INTO a VALUES (2)")) is (level == "SERIALIZABLE")


def test_what_rolled_back_is_in_nobodys_way(server, level):
    one, two = both(server)
    assert one.do("SELECT * FROM a") == ""
    assert one.do("INSERT INTO b VALUES (2)") == ""
    assert one.do("ROLLBACK") == ""
    assert two.do("INSERT INTO a VALUES (2)") == ""
    assert two.do("SELECT * FROM b") == ""
    assert two.commit() == ""


def test_who_waits_with_lock_has_a_later_snapshot(server, level):
    """LOCK comes before the snapshot, so that what was changed meanwhile is seen and no conflict."""
    one = Connection(server)
    assert one.do("LOCK a") == ""
    waiting = server.client.batch_execute_statement(
        Sqls=["LOCK a", "UPDATE a SET k = k + 1"], WorkgroupName="ecommerce", Database="ecommerce"
    )
    assert one.do("UPDATE a SET k = 10") == ""
    assert one.commit() == ""
    assert server.client.describe_statement(Id=waiting["Id"], WaitTimeSeconds=30)["Status"] == "FINISHED"
    assert server.rows("SELECT k FROM a") == [(11,)]


def test_the_level_is_said_and_stays(tmp_path):
    server = Redshift(tmp_path, "http://127.0.0.1:9")
    assert server.rows("SELECT isolation_level FROM stv_db_isolation_level") == [("SNAPSHOT",)]  # a workgroup's default
    server.ok("ALTER DATABASE ecommerce ISOLATION LEVEL SERIALIZABLE")
    assert "inside a transaction block" in server.error("SELECT 1", "ALTER DATABASE ecommerce ISOLATION LEVEL SNAPSHOT")
    server.close()
    server = Redshift(tmp_path, "http://127.0.0.1:9")
    assert server.rows("SELECT isolation_level FROM stv_db_isolation_level") == [("SERIALIZABLE",)]
    server.close()
