"""The statements by which a deployment grants its roles, on the stand-in."""

import contextlib

from ecommerce_elt.warehouse.tables import grant_access

from local.redshift import batch
from local.redshift.engine import Engine
from tests.conftest import PROJECT

SCHEMAS = ("staging", "core", "mart", "ops")


class Target:
    """What `grant_access` needs of a warehouse, on a session of the stand-in."""

    def __init__(self, session):
        self.session = session

    def run(self, statements, name=""):
        results = []
        batch.run(
            self.session, statements, {}, one_transaction=True, on_result=lambda _, result: results.append(result)
        )
        return results

    def query(self, sql):
        return self.run([sql])[0].rows


def test_a_deployment_grants_its_roles_and_does_so_again(tmp_path):
    with contextlib.closing(Engine(tmp_path / "w.duckdb", s3=None)) as engine:
        target = Target(engine.session())
        target.run([f"CREATE SCHEMA {schema}" for schema in SCHEMAS])
        target.run([f"CREATE TABLE {schema}.kept (id INT)" for schema in SCHEMAS])
        for _ in range(2):
            grant_access(target, PROJECT / "include/sql")
        found = target.query(
            "SELECT namespace_name, privilege_type FROM svv_relation_privileges WHERE identity_name = 'ecommerce_reader' ORDER BY 1"
        )
        assert found == [("core", "SELECT"), ("mart", "SELECT"), ("ops", "SELECT")]
        assert target.query("SELECT role_name, granted_role_name FROM svv_role_grants") == [
            ("ecommerce_pipeline", "sys:operator")
        ]
