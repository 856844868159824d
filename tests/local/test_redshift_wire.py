"""Clients of Redshift's port: the protocol by psycopg, and psql, redshift_connector and pandas as their users use them."""

import contextlib
import datetime
import decimal
import re
import shutil
import socket
import ssl
import struct
import subprocess
import threading

import pandas
import psycopg
import pytest
import redshift_connector
from psycopg.types.numeric import NumericBinaryLoader

from local.redshift.wire import certificate, statements, values
from tests.local.wire import PASSWORD, serving


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("wire")) as served:
        yield served


@pytest.fixture(scope="module")
def login(server):
    return {"host": "127.0.0.1", "port": server.port, "user": "admin", "password": PASSWORD, "dbname": "ecommerce"}


@pytest.fixture
def connect(login):
    """Makes connections that end with the test."""
    with contextlib.ExitStack() as opened:
        yield lambda **more: opened.enter_context(
            contextlib.closing(psycopg.connect(**login | {"autocommit": True} | more))
        )


@pytest.fixture(scope="module")
def shop(login):
    """A schema with a table of each type and a larger one."""
    with psycopg.connect(**login, autocommit=True) as c:
        c.execute("CREATE SCHEMA shop")
        c.execute(
            "CREATE TABLE shop.line (id BIGINT NOT NULL DISTKEY, name VARCHAR(20) ENCODE zstd DEFAULT 'x', amount DECIMAL(18,4), "
            "at TIMESTAMP, day DATE, ok BOOLEAN, real8 DOUBLE PRECISION, real4 REAL, small SMALLINT, PRIMARY KEY (id)) "
            "SORTKEY (id, name)"
        )
        c.execute(
            "INSERT INTO shop.line VALUES (1, 'a', 12345678901234.5678, '2026-01-02 03:04:05.006', '1999-12-31', TRUE, 1.5, -0.25, -7), "
            "(2, NULL, -0.05, NULL, NULL, FALSE, NULL, NULL, NULL)"
        )
        c.execute("CREATE TABLE shop.number (n INT)")
        digits = " UNION ALL ".join(f"SELECT {i} AS d" for i in range(10))
        c.execute(
            f"INSERT INTO shop.number WITH d AS ({digits}) SELECT a.d * 1000 + b.d * 100 + c.d * 10 + e.d "
            "FROM d AS a CROSS JOIN d AS b CROSS JOIN d AS c CROSS JOIN d AS e"
        )
        c.execute("CREATE VIEW shop.cheap AS SELECT id, amount FROM shop.line WHERE amount < 1")
    return "shop"


ROWS = [
    (
        1,
        "a",
        decimal.Decimal("12345678901234.5678"),
        datetime.datetime(2026, 1, 2, 3, 4, 5, 6000),
        datetime.date(1999, 12, 31),
        True,
        1.5,
        -0.25,
        -7,
    ),
    (2, None, decimal.Decimal("-0.0500"), None, None, False, None, None, None),
]


# -- login ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"password": "other"}, 'password authentication failed for user "admin"'),
        ({"password": ""}, "no password supplied"),
        ({"user": "root"}, 'password authentication failed for user "root"'),
        ({"dbname": "dev"}, 'database "dev" does not exist'),
        ({"options": "-c datestyle=german"}, "invalid value for parameter"),
    ],
)
def test_who_is_not_known_is_not_let_in(login, wrong, said):
    with pytest.raises(psycopg.OperationalError, match=said):
        psycopg.connect(**login | wrong)


def test_the_connection_is_encrypted_and_can_be_checked(server, login, connect):
    assert connect(sslmode="require").pgconn.ssl_in_use
    assert connect(sslmode="verify-full", sslrootcert=server.certificate).pgconn.ssl_in_use
    assert not connect(sslmode="disable").pgconn.ssl_in_use


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\nHost: evil\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 99\r\n\r\n" + b"Q" * 99,
        b"\x16\x03\x01\x02\x00\x01",
    ],
    ids=["GET", "POST", "TLS without asking"],
)
def test_another_protocol_is_refused(server, sent):
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
        client.sendall(sent)
        answer = b""
        with contextlib.suppress(ConnectionResetError):
            while more := client.recv(1000):
                answer += more
    assert b"HTTP" not in answer
    assert answer == b"" or b"this port speaks PostgreSQL's protocol" in answer


def test_a_statement_before_the_password_is_refused(server):
    said = b"user\0admin\0database\0ecommerce\0\0"
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
        client.sendall(struct.pack("!ii", len(said) + 8, 3 << 16) + said)
        client.recv(1000)
        client.sendall(b"Q" + struct.pack("!i", 13) + b"SELECT 1\0")
        assert b"expected the password" in client.recv(1000)
        assert client.recv(1000) == b""


def test_a_newer_minor_version_is_told_that_this_is_3_0(server):
    said = b"user\0admin\0_pq_.option\0x\0\0"
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
        client.sendall(struct.pack("!ii", len(said) + 8, 3 << 16 | 2) + said)
        answer = client.recv(1000)
    assert answer[:1] == b"v"
    assert struct.unpack("!ii", answer[5:13]) == (0, 1)


# -- values -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("binary", [False, True], ids=["text", "binary"])
def test_values_of_each_type(connect, shop, binary):
    found = connect().cursor(binary=binary).execute("SELECT * FROM shop.line ORDER BY id")
    assert found.fetchall() == ROWS
    assert [d.type_code for d in found.description] == [20, 1043, 1700, 1114, 1082, 16, 701, 700, 21]
    assert (found.description[2].precision, found.description[2].scale) == (18, 4)


@pytest.mark.parametrize(
    "number", ["0", "1", "-1", "0.0001", "-0.5", "9999.9999", "10000", "100000000.00000001", "12345678.9", "-99990000"]
)
def test_binary_decimals(number):
    exact = decimal.Decimal(number)
    raw = values._numeric(exact)
    assert values._from_numeric(raw) == exact
    assert NumericBinaryLoader(1700).load(raw) == exact


HOSTILE = [
    "x\\",
    ", (SELECT COUNT(*) FROM shop.line) --",
    "'; DROP TABLE shop.line; --",
    "\\' OR 1=1 --",
    "$1",
    "/*",
    "'\\''",
    "ä'€\n\t",
]


@pytest.mark.parametrize("prepare", [False, True])
def test_parameters_are_values(connect, shop, prepare):
    with connect().cursor() as cursor:
        asked = ", ".join(["%s"] * len(HOSTILE))
        for _ in range(2):  # the second time as a prepared statement
            assert cursor.execute(f"SELECT {asked}", HOSTILE, prepare=prepare).fetchone() == tuple(HOSTILE)
        assert cursor.execute("SELECT COUNT(*) FROM shop.line").fetchone() == (2,)


@pytest.mark.parametrize("form", ["%s", "%b", "%t"])
def test_parameters_of_each_type(connect, shop, form):
    with connect().cursor() as cursor:
        wanted = f"id = {form} AND name = {form} AND amount = {form} AND at = {form} AND day = {form} AND ok = {form} AND real8 = {form}"
        found = cursor.execute(f"SELECT id-{form} FROM shop.line WHERE {wanted}", (-5, *ROWS[0][:7]))
        assert found.fetchall() == [(6,)]
        assert cursor.execute(
            f"SELECT COUNT(*) FROM shop.line WHERE id = {form} OR name = {form}", (None, None)
        ).fetchone() == (0,)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", []),
        (" ; ;", []),
        ("-- only a comment", []),
        ("SELECT 1", ["SELECT 1"]),
        ("SELECT ';'; SELECT \";\";", ["SELECT ';'", 'SELECT ";"']),
        (
            "SELECT 1 /* ; /* ; */ ; */; SELECT $$;$$; SELECT $a$;$a$",
            ["SELECT 1 /* ; /* ; */ ; */", "SELECT $$;$$", "SELECT $a$;$a$"],
        ),
        ("SELECT 'it''s; \\'; x'; SELECT 2 -- ;\n", ["SELECT 'it''s; \\'; x'", "SELECT 2 -- ;"]),
    ],
)
def test_statements_end_at_semicolons(text, found):
    assert statements.split(text) == found


# -- transactions -----------------------------------------------------------------------------------------------------


def test_a_block_is_rolled_back_and_others_do_not_see_it(connect, shop):
    mine, other = connect(autocommit=False), connect()
    mine.execute("INSERT INTO shop.number VALUES (-1)")
    count = "SELECT COUNT(*) FROM shop.number WHERE n = -1"
    assert (mine.execute(count).fetchone(), other.execute(count).fetchone()) == ((1,), (0,))
    mine.rollback()
    assert mine.execute(count).fetchone() == (0,)


def test_after_an_error_a_block_takes_nothing_but_its_end(connect, shop):
    c = connect(autocommit=False)
    c.execute("INSERT INTO shop.number VALUES (-2)")
    with pytest.raises(psycopg.errors.UndefinedColumn) as raised:
        c.execute("SELECT nope FROM shop.number")
    assert raised.value.diag.statement_position == "8"
    with pytest.raises(psycopg.errors.InFailedSqlTransaction):
        c.execute("SELECT 1")
    c.commit()  # which rolls back
    assert c.execute("SELECT COUNT(*) FROM shop.number WHERE n = -2").fetchone() == (0,)


def test_statements_sent_together_are_one_transaction(connect, shop):
    c = connect()
    with pytest.raises(psycopg.errors.DivisionByZero):
        c.execute("INSERT INTO shop.number VALUES (-3); SELECT 1 / 0")
    assert c.execute("SELECT COUNT(*) FROM shop.number WHERE n = -3").fetchone() == (0,)


def test_conflicting_changes_are_a_serialization_failure(connect, shop):
    connect().execute("CREATE TABLE shop.stock (n INT); INSERT INTO shop.stock VALUES (1)")
    first, second = connect(autocommit=False), connect(autocommit=False)
    for c in (first, second):
        c.execute("SELECT n FROM shop.stock")
    first.execute("UPDATE shop.stock SET n = 2")
    first.commit()
    with pytest.raises(psycopg.errors.SerializationFailure):
        second.execute("UPDATE shop.stock SET n = 3")


@pytest.mark.parametrize(
    ("sql", "state"),
    [
        ("SELECT * FROM shop.nothing", "42P01"),
        ("SELECT 'x'::INT", "22P02"),
        ("CREATE TABLE shop.line (a INT)", "42P07"),
        ("INSERT INTO shop.line (name) VALUES ('y')", "23502"),
        ("CREATE TABLE shop.cut (a VARCHAR(1)); INSERT INTO shop.cut VALUES ('yy')", "22001"),
        ("VACUUM; SELECT 1", "25001"),
        ("SELECT 1; SELECT 2 FROM", "42601"),
    ],
)
def test_errors_have_their_states(connect, shop, sql, state):
    with pytest.raises(psycopg.Error) as raised:
        connect().execute(sql)
    assert raised.value.sqlstate == state, raised.value


def test_a_long_query_is_cancelled(connect, shop):
    c = connect()
    timer = threading.Timer(0.5, c.cancel_safe)
    timer.start()
    with pytest.raises(psycopg.errors.QueryCanceled):
        c.execute(
            "SELECT COUNT(*) FROM shop.number a CROSS JOIN shop.number b CROSS JOIN shop.number c WHERE a.n + b.n < c.n"
        ).fetchall()
    timer.join()
    assert c.execute("SELECT 1").fetchone() == (1,)


def test_who_leaves_gives_its_locks_back(connect, shop):
    leaving, staying = connect(autocommit=False), connect()
    leaving.execute("LOCK shop.number")
    leaving.close()
    assert staying.execute("SELECT COUNT(*) FROM shop.number WHERE n = 5").fetchone() == (1,)


# -- cursors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("binary", [False, True], ids=["text", "binary"])
def test_a_cursor_gives_its_rows_while_other_statements_run(connect, shop, binary):
    c = connect(autocommit=False)
    with c.cursor("big", binary=binary) as cursor:
        cursor.itersize = 700
        cursor.execute("SELECT n FROM shop.number WHERE n >= 0 ORDER BY n")
        assert [d.name for d in cursor.description] == ["n"]
        first = [next(cursor)[0] for _ in range(3)]
        assert c.execute("SELECT COUNT(*) FROM shop.number WHERE n < 0").fetchone() == (0,)
        c.execute("DELETE FROM shop.number WHERE n > 50")
        assert first + [n for (n,) in cursor] == list(range(10_000))
    c.rollback()


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("DECLARE c CURSOR FOR SELECT 1", "may only be used in transaction blocks"),
        ("BEGIN; DECLARE c SCROLL CURSOR FOR SELECT 1", "not supported"),
        ("BEGIN; DECLARE c CURSOR WITH HOLD FOR SELECT 1", "not supported"),
        ("BEGIN; DECLARE c CURSOR FOR DELETE FROM shop.line", "must specify a SELECT"),
        ("FETCH 1 FROM c", 'cursor "c" does not exist'),
        ("FETCH BACKWARD 1 FROM c", "only forward"),
        ("CLOSE c", 'cursor "c" does not exist'),
        ("BEGIN; DECLARE c CURSOR FOR SELECT 1; DECLARE c CURSOR FOR SELECT 2", "already exists"),
    ],
)
def test_what_cursors_cannot_do(connect, shop, sql, said):
    with pytest.raises(psycopg.Error, match=said):
        connect().execute(sql)


def test_cursors_in_sql(connect, shop):
    c = connect()
    c.execute(
        'BEGIN; DECLARE "C" NO SCROLL CURSOR WITHOUT HOLD FOR SELECT n FROM shop.number WHERE n BETWEEN 0 AND 9 ORDER BY n'
    )
    fetched = [
        c.execute(f"FETCH {how} FROM c").fetchall() for how in ("", "NEXT", "FORWARD 3", "2", "FORWARD ALL", "ALL")
    ]
    assert [[n for (n,) in rows] for rows in fetched] == [[0], [1], [2, 3, 4], [5, 6], [7, 8, 9], []]
    c.execute("CLOSE c")
    c.execute("COMMIT")


def test_prepared_statements_in_sql(connect, shop):
    c = connect()
    c.execute("PREPARE by_id (BIGINT, VARCHAR(5)) AS SELECT name, $2 FROM shop.line WHERE id = $1")
    assert c.execute("EXECUTE by_id (1, 'x, y')").fetchall() == [("a", "x, y")]
    with pytest.raises(psycopg.Error, match="expected 2 parameters but got 1"):
        c.execute("EXECUTE by_id (1)")
    c.execute("DEALLOCATE by_id")
    with pytest.raises(psycopg.errors.InvalidSqlStatementName):
        c.execute("EXECUTE by_id (1, 'x')")


def test_settings(connect):
    c = connect(application_name="me", options="-c search_path=shop")
    assert c.info.parameter_status("server_version") == "8.0.2"
    assert c.info.parameter_status("application_name") == "me"
    c.execute(
        "SET application_name TO 'you'; SET client_encoding = 'UTF8'; SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE"
    )
    assert c.info.parameter_status("application_name") == "you"
    assert c.execute("SHOW application_name").fetchone() == ("you",)
    assert c.execute("SHOW search_path").fetchone() == ("shop",)
    assert c.execute("SELECT current_schema(), current_user, current_database()").fetchone() == (
        "shop",
        "admin",
        "ecommerce",
    )
    assert "Redshift" in c.execute("SELECT version()").fetchone()[0]
    with pytest.raises(psycopg.Error, match="not supported"):
        c.execute("SET client_encoding TO latin1")


# -- clients ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def psql(login):
    command = shutil.which("psql")
    if not command:
        pytest.skip("psql is not installed")
    env = {
        f"PG{name}": str(login[key])
        for name, key in {
            "HOST": "host",
            "PORT": "port",
            "USER": "user",
            "PASSWORD": "password",
            "DATABASE": "dbname",
        }.items()
    }

    def run(*words):
        done = subprocess.run(
            [command, "--no-psqlrc", "--tuples-only", "--no-align", *words],
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout.strip() or done.stderr

    return run


def test_the_history_counts_the_rows_that_a_client_read(connect, shop):
    con = connect()
    assert len(con.execute("SELECT n FROM shop.number WHERE n >= 9990 -- counted").fetchall()) == 10
    text = "SELECT status, returned_rows FROM sys_query_history WHERE query_text LIKE '%-- counted' AND status <> 'running'"
    assert [(status.strip(), rows) for status, rows in con.execute(text).fetchall()] == [("success", 10)]


def test_psql(psql, shop):
    assert psql("-c", "SELECT id, name, amount FROM shop.line ORDER BY id") == "1|a|12345678901234.5678\n2||-0.0500"
    assert psql("-c", r"\dt shop.*").splitlines()[0] == "shop|line|table|admin"
    assert psql("-c", r"\dv shop.*") == "shop|cheap|view|admin"
    assert "shop|admin" in psql("-c", r"\dn").splitlines()
    assert psql("--variable=FETCH_COUNT=100", "-c", "SELECT n FROM shop.number WHERE n >= 9000").count("\n") == 999
    assert 'nothing" does not exist' in psql("-c", "SELECT * FROM shop.nothing")


@pytest.fixture
def redshift(login, shop):
    words = {key: login[key] for key in ("host", "port", "user", "password")}
    with contextlib.closing(redshift_connector.connect(**words, database="ecommerce", ssl=False)) as connected:
        yield connected


def test_redshift_connector(redshift):
    cursor = redshift.cursor()
    assert [tuple(row) for row in cursor.execute("SELECT * FROM shop.line ORDER BY id").fetchall()] == ROWS
    cursor.execute(
        "CREATE TABLE shop.written (a INT, b VARCHAR(20), c DECIMAL(10,2), d TIMESTAMP, e BOOLEAN, f DOUBLE PRECISION)"
    )
    row = [1, "x\\'", decimal.Decimal("1.25"), datetime.datetime(2026, 1, 2, 3, 4, 5), True, -1.5]
    cursor.execute("INSERT INTO shop.written VALUES (%s, %s, %s, %s, %s, %s)", row)
    cursor.executemany("INSERT INTO shop.written VALUES (%s, %s, %s, %s, %s, %s)", [row, [None] * 6])
    assert cursor.execute("SELECT * FROM shop.written ORDER BY a").fetchall() == ([*row], [*row], [None] * 6)
    with pytest.raises(redshift_connector.ProgrammingError, match="42P01"):
        cursor.execute("SELECT * FROM shop.nothing")
    redshift.rollback()
    with pytest.raises(redshift_connector.ProgrammingError, match="42P01"):
        cursor.execute("SELECT * FROM shop.written")
    redshift.rollback()
    frame = cursor.execute("SELECT id, name FROM shop.line ORDER BY id").fetch_dataframe()
    assert frame["id"].tolist() == [1, 2]


def test_redshift_connector_reads_the_catalog(redshift):
    cursor = redshift.cursor()
    assert ["shop", "ecommerce"] in [list(row) for row in cursor.get_schemas()]
    tables = {row[2]: row[3] for row in cursor.get_tables(schema_pattern="shop")}
    assert (tables["line"], tables["cheap"]) == ("TABLE", "VIEW")
    columns = [(row[3], row[5], row[6]) for row in cursor.get_columns(schema_pattern="shop", tablename_pattern="line")]
    assert columns[:3] == [("id", "int8", 19), ("name", "varchar", 20), ("amount", "numeric", 18)]
    assert [list(row)[:5] for row in cursor.get_catalogs()] == [["ecommerce"]]
    assert cursor.get_procedures() == ()


def test_pandas(login, shop):
    with psycopg.connect(**login) as c, pytest.warns(UserWarning, match="SQLAlchemy"):
        frame = pandas.read_sql("SELECT n FROM shop.number WHERE n >= %(least)s", c, params={"least": 9990})
    assert frame["n"].sum() == sum(range(9990, 10_000))


def test_the_catalog_tells_keys_and_where_rows_lie(connect, shop):
    c = connect(options="-c search_path=shop")
    definition = (
        'SELECT "column", type, encoding, distkey, sortkey, "notnull" FROM pg_table_def WHERE tablename = \'line\' '
        "AND \"column\" IN ('id', 'name', 'amount') ORDER BY \"column\""
    )
    assert c.execute(definition).fetchall() == [
        ("amount", "numeric(18,4)", "az64", False, 0, False),
        ("id", "bigint", "none", True, 1, True),
        ("name", "character varying(20)", "zstd", False, 2, False),
    ]
    keys = c.execute("SELECT conname, contype, pg_get_constraintdef(oid) FROM pg_catalog.pg_constraint").fetchall()
    assert keys == [("line_pkey", "p", "PRIMARY KEY (id)")]
    kinds = "SELECT table_name, table_type FROM svv_tables WHERE table_schema = 'shop' AND table_name IN ('line', 'cheap') ORDER BY 1"
    assert c.execute(kinds).fetchall() == [("cheap", "VIEW"), ("line", "BASE TABLE")]
    lengths = "SELECT column_name, data_type, character_maximum_length, numeric_precision FROM information_schema.columns WHERE table_name = 'line' ORDER BY ordinal_position"
    assert c.execute(lengths).fetchmany(3) == [
        ("id", "bigint", None, 64),
        ("name", "character varying", 20, None),
        ("amount", "numeric", None, 18),
    ]
    assert c.execute("SELECT 'shop.line'::regclass::oid = oid FROM pg_class WHERE relname = 'line'").fetchone() == (
        True,
    )
    for hidden in ("main", "redshift_standin"):
        assert c.execute("SELECT COUNT(*) FROM pg_namespace WHERE nspname = %s", [hidden]).fetchone() == (0,)


def test_what_sqlalchemy_and_dbt_ask_of_the_catalog(connect, shop):
    c = connect()
    assert "Redshift" in c.execute("SELECT pg_catalog.version()").fetchone()[0]
    [looked_up] = c.execute('SELECT \'"shop"."line"\'::regclass::oid').fetchone()
    assert c.execute("SELECT relname FROM pg_class WHERE oid = %s", [looked_up]).fetchone() == ("line",)
    for name in ("svv_table_info", "pg_catalog.pg_class", "shop.line"):
        assert c.execute(f"SELECT has_table_privilege('{name}', 'SELECT')").fetchone() == (True,)
    c.execute("CREATE USER reader PASSWORD DISABLE")
    asked = "SELECT has_table_privilege('reader', 'svv_table_info', 'SELECT'), has_table_privilege('reader', 'shop.line', 'SELECT')"
    assert c.execute(asked).fetchone() == (True, False)
    c.execute("DROP USER reader")


@pytest.mark.parametrize("name", ["pg_catalog.pg_roles", "information_schema.triggers"])
def test_what_the_catalog_lacks_is_refused_by_name(connect, name):
    with pytest.raises(
        psycopg.errors.UndefinedTable, match=re.escape(f'relation "{name}" does not exist in the local')
    ):
        connect().execute(f"SELECT * FROM {name}")


def test_a_view_follows_a_table_that_is_renamed(connect, shop):
    c = connect()
    c.execute(
        "CREATE TABLE shop.old (a INT); INSERT INTO shop.old VALUES (1); CREATE VIEW shop.reader AS SELECT a FROM shop.old"
    )
    c.execute('ALTER TABLE shop.old RENAME TO "new"; CREATE TABLE shop.old (a INT)')
    assert c.execute("SELECT a FROM shop.reader").fetchall() == [(1,)]
    depends = (
        "SELECT v.relname, t.relname FROM pg_depend d JOIN pg_rewrite w ON w.oid = d.objid JOIN pg_class v ON v.oid = w.ev_class "
        "JOIN pg_class t ON t.oid = d.refobjid WHERE v.relname = 'reader'"
    )
    assert c.execute(depends).fetchall() == [("reader", "new")]
    c.execute("DROP TABLE shop.new CASCADE")
    with pytest.raises(psycopg.errors.UndefinedTable):
        c.execute("SELECT a FROM shop.reader")
    c.execute("DROP TABLE shop.old")


def test_the_key_of_the_certificate_is_its_owners_alone(tmp_path):
    assert isinstance(certificate.context(tmp_path), ssl.SSLContext)
    assert (tmp_path / "warehouse.key").stat().st_mode & 0o777 == 0o600
    made = (tmp_path / "warehouse.crt").read_bytes()
    certificate.context(tmp_path)
    assert (tmp_path / "warehouse.crt").read_bytes() == made
