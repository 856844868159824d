"""One stand-in of the test's own, without the rest of the cloud, and a boto3 client for it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import boto3

from local.lifecycle import READY_SECONDS, _answers
from local.supervision import wait_for
from tests.conftest import PROJECT, free_ports


class Redshift:
    def __init__(self, folder: Path, s3_url: str, *options: str) -> None:
        [self.port] = free_ports(1)
        env = os.environ | {"AWS_ENDPOINT_URL": s3_url, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
        command = [
            sys.executable,
            "-m",
            "local.redshift",
            "--port",
            str(self.port),
            "--database-file",
            str(folder / "w.duckdb"),
            *options,
        ]
        self.process = subprocess.Popen(command, env=env, cwd=PROJECT)
        self.url = f"http://127.0.0.1:{self.port}"
        wait_for(lambda: _answers(f"{self.url}/health"), READY_SECONDS, "redshift")
        session = boto3.session.Session("test", "test", region_name="us-east-1")
        self.client = session.client("redshift-data", endpoint_url=self.url)

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(30)

    def submit(self, *sqls: str, parameters: dict[str, str] | None = None, **more) -> dict:
        """Runs one statement or a batch to its end and returns its description."""
        request = {"WaitTimeSeconds": 30, **more}
        if "SessionId" not in more:
            request |= {"WorkgroupName": "ecommerce", "Database": "ecommerce"}
        if parameters:
            request["Parameters"] = [{"name": k, "value": v} for k, v in parameters.items()]
        if len(sqls) == 1:
            answer = self.client.execute_statement(Sql=sqls[0], **request)
        else:
            answer = self.client.batch_execute_statement(Sqls=list(sqls), **request)
        return self.client.describe_statement(Id=answer["Id"], WaitTimeSeconds=30)

    def ok(self, *sqls: str, **more) -> dict:
        state = self.submit(*sqls, **more)
        assert state["Status"] == "FINISHED", state.get("Error")
        return state

    def error(self, *sqls: str, **more) -> str:
        state = self.submit(*sqls, **more)
        assert state["Status"] == "FAILED", state
        return state["Error"]

    def rows(self, sql: str, **more) -> list[tuple]:
        state = self.ok(sql, **more)
        found = self.client.get_statement_result(Id=state["Id"])["Records"]
        return [tuple(None if "isNull" in f else next(iter(f.values())) for f in row) for row in found]
