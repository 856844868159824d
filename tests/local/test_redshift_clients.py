"""SQLAlchemy with pandas, and dbt, against Redshift's port. They have an environment of their own: make setup-clients."""

import json
import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from tests.local.wire import serving

BIN = Path(sys.prefix) / "clients" / "bin"
pytestmark = [
    pytest.mark.nightly,
    pytest.mark.skipif(
        not (BIN.parent / ".ready").exists(), reason="the clients are not installed: make setup-clients"
    ),
]
PASSWORD = "a word with 'quotes'"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("wire"), PASSWORD) as served:
        login = {"host": "127.0.0.1", "port": served.port, "user": "admin", "password": PASSWORD, "dbname": "ecommerce"}
        with psycopg.connect(**login, autocommit=True) as c:
            c.execute("CREATE SCHEMA shop")
            c.execute(
                "CREATE TABLE shop.line (id BIGINT NOT NULL DISTKEY, name VARCHAR(20), amount DECIMAL(18,4), at TIMESTAMP, "
                "day DATE, ok BOOLEAN, PRIMARY KEY (id)) SORTKEY (day)"
            )
            c.execute(
                "INSERT INTO shop.line VALUES (1, 'a%', 1.25, '2026-01-02 03:04:05', '2026-01-02', TRUE), "
                "(2, NULL, NULL, NULL, NULL, NULL)"
            )
            c.execute("CREATE VIEW shop.named AS SELECT id, name FROM shop.line WHERE name IS NOT NULL")
        yield served


SQLALCHEMY = """
import json, sys
import pandas, sqlalchemy
from sqlalchemy import MetaData, Table, select, text

url = sqlalchemy.URL.create(
    sys.argv[1], "admin", sys.argv[3], "127.0.0.1", int(sys.argv[2]), "ecommerce"
)
# Both drivers ask for a certificate that Amazon signed, where they are not told otherwise.
plain = {"ssl": False} if "redshift_connector" in sys.argv[1] else {"sslmode": "disable"}
engine = sqlalchemy.create_engine(url, connect_args=plain)
found = {}
with engine.connect() as c:
    found["parameters"] = list(c.execute(text("SELECT id, name FROM shop.line WHERE name = :n"), {"n": "a%"}).one())
inspector = sqlalchemy.inspect(engine)
found["schemas"] = inspector.get_schema_names()
found["tables"] = sorted(inspector.get_table_names(schema="shop"))
found["views"] = inspector.get_view_names(schema="shop")
found["columns"] = [(c["name"], str(c["type"]), c["nullable"]) for c in inspector.get_columns("line", schema="shop")]
found["key"] = inspector.get_pk_constraint("line", schema="shop")["constrained_columns"]
found["others"] = [inspector.get_foreign_keys("line", schema="shop"), inspector.get_indexes("line", schema="shop")]
table = Table("line", MetaData(), schema="shop", autoload_with=engine)
with engine.connect() as c:
    found["reflected"] = c.execute(select(table.c.amount).where(table.c.id == 1)).scalar_one().to_eng_string()
frame = pandas.DataFrame({"n": range(250), "word": ["it's"] * 250, "x": [0.5] * 250})
name = "written_" + sys.argv[1].rpartition("+")[2]
frame.to_sql(name, engine, schema="shop", index=False)
frame.to_sql(name, engine, schema="shop", index=False, if_exists="append", method="multi", chunksize=100)
# Not read_sql_table, which asks for pg_class.relpersistence: it came after PostgreSQL 8.0, and Redshift has it not.
read = pandas.read_sql(select(Table(name, MetaData(), schema="shop", autoload_with=engine)), engine)
found["frame"] = [len(read), int(read["n"].sum()), read["word"].unique().tolist(), float(read["x"].sum())]
typed = pandas.read_sql("SELECT * FROM shop.line ORDER BY id", engine)
found["types"] = [str(typed["id"].dtype), str(typed["at"].dtype)[:10], int(typed["name"].isna().sum())]
print(json.dumps(found))
"""


@pytest.mark.parametrize("driver", ["redshift+psycopg2", "redshift+redshift_connector"])
def test_sqlalchemy_and_pandas(server, driver):
    done = subprocess.run(
        [BIN / "python", "-c", SQLALCHEMY, driver, str(server.port), PASSWORD], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["parameters"] == [1, "a%"]
    assert "shop" in found["schemas"]
    assert {"line"} <= set(found["tables"])
    assert found["views"] == ["named"]
    assert found["columns"][:4] == [
        ["id", "BIGINT", False],
        ["name", "VARCHAR(20)", True],
        ["amount", "NUMERIC(18, 4)", True],
        ["at", "TIMESTAMP", True],
    ]
    assert found["key"] == ["id"]
    assert found["others"] == [[], []]
    assert found["reflected"] == "1.2500"
    assert found["frame"] == [500, 2 * sum(range(250)), ["it's"], 250.0]
    assert found["types"] == ["int64", "datetime64", 1]


PROFILE = """
shop:
  target: local
  outputs:
    local:
      type: redshift
      host: 127.0.0.1
      port: {port}
      user: admin
      password: "{{{{ env_var('PGPASSWORD') }}}}"
      dbname: ecommerce
      schema: dbt
      sslmode: disable
      threads: 2
"""
MODEL = """
{{ config(materialized='table', dist='id', sort='day') }}
SELECT id, name, amount * 2 AS twice, day FROM {{ source('shop', 'line') }}
"""
SOURCES = """
version: 2
sources:
  - name: shop
    tables: [{name: line}]
models:
  - name: doubled
    description: Lines, doubled.
    columns:
      - name: id
        description: Of the line.
        data_tests: [unique, not_null]
"""


@pytest.fixture(scope="module")
def dbt(server, tmp_path_factory):
    """Runs dbt in a project of one table and one view, and returns what it printed."""
    folder = tmp_path_factory.mktemp("dbt")
    (folder / "models").mkdir()
    (folder / "dbt_project.yml").write_text("name: shop\nprofile: shop\n")
    (folder / "profiles.yml").write_text(PROFILE.format(port=server.port))
    (folder / "models" / "doubled.sql").write_text(MODEL)
    (folder / "models" / "latest.sql").write_text("SELECT MAX(day) AS day FROM {{ ref('doubled') }}")
    (folder / "models" / "sources.yml").write_text(SOURCES)
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "PGPASSWORD": PASSWORD}

    def run(*words):
        done = subprocess.run(
            [BIN / "dbt", "--no-use-colors", "--no-send-anonymous-usage-stats", *words],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run.folder = folder
    return run


def test_dbt_connects(dbt):
    assert "All checks passed!" in dbt("debug")


@pytest.fixture(scope="module")
def built(dbt):
    assert "PASS=4 WARN=0 ERROR=0" in dbt("build")
    return dbt


def test_dbt_builds_models_and_tests_again(built, server):
    assert "PASS=4 WARN=0 ERROR=0" in built("build")  # which replaces what is there
    login = {"host": "127.0.0.1", "port": server.port, "user": "admin", "password": PASSWORD, "dbname": "ecommerce"}
    with psycopg.connect(**login) as c:
        assert c.execute("SELECT id, twice FROM dbt.doubled ORDER BY id").fetchall()[0][0] == 1
        assert c.execute("SELECT COUNT(day) FROM dbt.latest").fetchone() == (1,)


def test_dbt_documents_what_it_built(built):
    built("docs", "generate")
    catalog = json.loads((built.folder / "target" / "catalog.json").read_text())
    table = catalog["nodes"]["model.shop.doubled"]
    columns = {name: column["type"] for name, column in table["columns"].items()}
    assert list(columns) == ["id", "name", "twice", "day"]
    assert columns["name"] == "character varying(20)"
    assert catalog["nodes"]["model.shop.latest"]["metadata"]["type"] == "VIEW"
    assert catalog["sources"]["source.shop.shop.line"]["columns"]["id"]["type"] == "bigint"
