"""awswrangler's Redshift copy with mode upsert: a frame to Parquet in S3, COPY, DELETE and INSERT, against the stand-in.

awswrangler speaks to Redshift by `redshift_connector`; the stand-in has the Data API. So the connection here is one of
redshift_connector's class whose cursor asks at once what returns rows, and keeps the rest for the commit, which is one
BatchExecuteStatement and so one transaction.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import awswrangler as wr
import boto3
import redshift_connector

from benchmarks.contestants.pandas_parquet import read

KEPT = "typed by pandas; a bad value ends the load; a text too long for VARCHAR ends it in COPY; no reasons; repeats kept by line number"
TARGET = {"WorkgroupName": "ecommerce", "Database": "ecommerce"}
SCHEMA, TABLE = "public", "rival"


class DataApiConnection(redshift_connector.Connection):
    def __init__(self, client: Any) -> None:  # no socket is opened
        self.client, self.waiting, self.autocommit = client, [], False

    def __enter__(self) -> DataApiConnection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def cursor(self) -> Cursor:
        return Cursor(self)

    def commit(self) -> None:
        statements, self.waiting = self.waiting, []
        if len(statements) == 1:
            self.end_of(self.client.execute_statement(Sql=statements[0], WaitTimeSeconds=30, **TARGET)["Id"])
        elif statements:
            self.end_of(self.client.batch_execute_statement(Sqls=statements, WaitTimeSeconds=30, **TARGET)["Id"])

    def rollback(self) -> None:
        self.waiting = []

    def close(self) -> None:
        self.rollback()

    def end_of(self, statement_id: str) -> None:
        while (state := self.client.describe_statement(Id=statement_id, WaitTimeSeconds=30))["Status"] != "FINISHED":
            if state["Status"] in {"FAILED", "ABORTED"}:
                raise redshift_connector.ProgrammingError(state.get("Error", state["Status"]))


class Cursor:
    def __init__(self, connection: DataApiConnection) -> None:
        self.connection, self.statement_id = connection, ""

    def __enter__(self) -> Cursor:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def execute(self, sql: str, parameters: tuple[str, ...] = ()) -> None:
        if not sql.startswith(("SELECT", "SHOW")):
            assert not parameters
            self.connection.waiting.append(sql)
            return
        for number in range(len(parameters)):
            sql = sql.replace("%s", f":p{number}", 1)
        named = [{"name": f"p{number}", "value": value} for number, value in enumerate(parameters)]
        client = self.connection.client
        self.statement_id = client.execute_statement(
            Sql=sql, WaitTimeSeconds=30, **TARGET, **({"Parameters": named} if named else {})
        )["Id"]
        self.connection.end_of(self.statement_id)

    def fetchall(self) -> list[tuple[Any, ...]]:
        records = self.connection.client.get_statement_result(Id=self.statement_id)["Records"]
        return [tuple(None if "isNull" in field else next(iter(field.values())) for field in row) for row in records]


def _connection() -> DataApiConnection:
    return DataApiConnection(boto3.client("redshift-data"))


def prepare(folder: Path) -> None:
    wr.config.s3_endpoint_url = os.environ["AWS_ENDPOINT_URL"]
    with _connection() as connection, connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE IF EXISTS {SCHEMA}.{TABLE}")
        connection.commit()


def load(data: Path, folder: Path) -> dict[str, int]:
    frame = read(data)
    frame.columns = [name.lower() for name in frame.columns]
    path = f"s3://{os.environ['ECOMMERCE_BUCKET']}/athena/rival/{folder.name}/"
    with _connection() as connection:
        wr.redshift.copy(
            frame, path, connection, TABLE, SCHEMA, iam_role="default", mode="upsert", primary_keys=["line"]
        )
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT COUNT(*) FROM {SCHEMA}.{TABLE}")
            return {"rows": int(cursor.fetchall()[0][0])}
