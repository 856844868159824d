"""The questions that only AWS can answer, each with the answer that this project assumes; infra/first_run.py asks them."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
from ecommerce_elt.warehouse.redshift import Warehouse

COPY_JOB_SECONDS = 600  # the documentation does not say how soon a COPY job loads a file


@dataclass(frozen=True)
class Place:
    """The stage on which the questions are asked."""

    outputs: dict[str, str]
    workgroup: str
    database: str
    run_id: str

    @property
    def bucket(self) -> str:
        return self.outputs["Bucket"]

    @property
    def copy_role(self) -> str:
        return self.outputs["CopyRoleArn"]

    def target(self, role: str = "") -> Warehouse:
        """Returns the database, accessed as the caller or as an IAM role from the outputs."""
        if not role:
            return Warehouse(boto3.client("redshift-data"), self.workgroup, self.database)
        given = boto3.client("sts").assume_role(RoleArn=self.outputs[role], RoleSessionName="first-run")["Credentials"]
        client = boto3.client(
            "redshift-data",
            aws_access_key_id=given["AccessKeyId"],
            aws_secret_access_key=given["SecretAccessKey"],
            aws_session_token=given["SessionToken"],
        )
        return Warehouse(client, self.workgroup, self.database)

    def put(self, key: str, body: bytes) -> str:
        boto3.client("s3").put_object(Bucket=self.bucket, Key=key, Body=body)
        return f"s3://{self.bucket}/{key}"


@dataclass(frozen=True)
class Question:
    """One assumption, and the way to check it.

    Attributes:
        asks: what is checked.
        assumed: the expected answer.
        ask: returns the actual answer.
    """

    name: str
    asks: str
    assumed: str
    ask: Callable[[Place], str]


def _text(rows: list[tuple[Any, ...]]) -> str:
    return ", ".join(" ".join(map(str, row)) for row in rows)


def _query(sql: str, role: str = "LoadRoleArn") -> Callable[[Place], str]:
    return lambda place: _text(place.target(role).query(sql))


def _run(*statements: str, role: str = "LoadRoleArn") -> Callable[[Place], str]:
    def ask(place: Place) -> str:
        names = {"bucket": place.bucket, "role": place.copy_role, "run": place.run_id}
        place.target(role).run([sql.format(**names) for sql in statements], name="first run")
        return "done"

    return ask


def _parquet(place: Place) -> str:
    schema = pa.schema([("batch_id", pa.string()), ("at", pa.timestamp("us")), ("amount", pa.decimal128(12, 3))])
    body = io.BytesIO()
    rows = [{"batch_id": "x", "at": datetime(2026, 1, 2, 3, 4, 5, 678901), "amount": Decimal("1.250")}]
    pq.write_table(pa.Table.from_pylist(rows, schema), body, use_deprecated_int96_timestamps=True)
    url = place.put(f"clean/{place.run_id}/a.parquet", body.getvalue())
    entry = {"url": url, "mandatory": True, "meta": {"content_length": len(body.getvalue())}}
    manifest = place.put(f"manifests/{place.run_id}/copy.json", json.dumps({"entries": [entry]}).encode())
    with place.target("LoadRoleArn").session() as session:
        session.run(
            [
                "CREATE TEMPORARY TABLE asked (batch_id VARCHAR(8), at TIMESTAMP, amount DECIMAL(12, 3))",
                f"COPY asked FROM '{manifest}' IAM_ROLE '{place.copy_role}' FORMAT AS PARQUET MANIFEST",
            ]
        )
        return _text(session.query("SELECT CAST(at AS VARCHAR), amount FROM asked"))


def _json(place: Place) -> str:
    url = place.put(f"manifests/{place.run_id}/rows.jsonl", b'{"batch_id": "x", "feed": "y"}\n{"batch_id": "z"}\n')
    with place.target("LoadRoleArn").session() as session:
        session.run(
            [
                "CREATE TEMPORARY TABLE asked (batch_id VARCHAR(8), feed VARCHAR(8))",
                f"COPY asked FROM '{url}' IAM_ROLE '{place.copy_role}' FORMAT AS JSON 'auto'",
            ]
        )
        return _text(session.query("SELECT batch_id, COALESCE(feed, 'NULL') FROM asked ORDER BY 1"))


def _copy_job(place: Place) -> str:
    """Returns the rows after a file and after the same file again, and the number of queues that raw/ notifies."""
    row = {
        "event_id": place.run_id,
        "event_version": 1,
        "InvoiceNo": "1",
        "StockCode": "1",
        "Description": None,
        "Quantity": 1,
        "InvoiceDate": "2026-01-02 03:04:05",
        "UnitPrice": "1.0",
        "CustomerID": None,
        "Country": "France",
        "arrival_time": "2026-01-02 03:04:05",
    }
    body = gzip.compress(json.dumps(row).encode() + b"\n")
    target, sql = (
        place.target("ReconcileRoleArn"),
        "SELECT COUNT(*) FROM core.firehose_transactions WHERE event_id = :id",
    )

    def rows() -> int:
        return int(target.query(sql, {"id": place.run_id})[0][0])

    key, until = f"firehose/rows/{place.run_id}.gz", time.monotonic() + COPY_JOB_SECONDS
    place.put(key, body)
    while not rows() and time.monotonic() < until:
        time.sleep(1)
    first = rows()
    place.put(key, body)
    # Once the row of this file is there, the first file has been processed again, too.
    place.put(f"firehose/rows/{place.run_id}-2.gz", body)
    while rows() < first + 1 and time.monotonic() < until:
        time.sleep(1)
    queues = (
        boto3.client("s3").get_bucket_notification_configuration(Bucket=place.bucket).get("QueueConfigurations", [])
    )
    return f"{first} then {rows()}, {len(queues)} queues"


def _ranges(place: Place) -> str:
    with place.target("ReconcileRoleArn").session() as session:
        session.query(
            "SELECT COUNT(*) FROM core.fact_purchase WHERE event_time >= (SELECT MAX(committed_at) FROM ops.batch_audit)"
        )
        return _text(
            session.query(
                "SELECT is_rrscan FROM sys_query_detail WHERE step_name = 'scan' AND table_name LIKE '%fact_purchase%' "
                "ORDER BY start_time DESC LIMIT 1"
            )
        )


QUESTIONS = (
    Question(
        "isolation",
        "the level of a new database",
        "SNAPSHOT",
        _query("SELECT MIN(isolation_level) FROM stv_db_isolation_level"),
    ),
    Question(
        "roles",
        "an IAM role gets database roles by its tag RedshiftDbRoles, and may read",
        "0",
        _query("SELECT COUNT(*) FROM ops.batch_audit WHERE batch_id = 'none'"),
    ),
    Question(
        "LOCK",
        "a role that owns no table may LOCK it",
        "done",
        _run("LOCK staging.purchases", "DELETE FROM staging.purchases"),
    ),
    Question(
        "LIKE of a table",
        "a temporary copy, written within the batch",
        "done",
        _run(
            "CREATE TEMPORARY TABLE asked (LIKE ops.batch_object)", "INSERT INTO asked SELECT * FROM ops.batch_object"
        ),
    ),
    Question(
        "columns of Parquet",
        "COPY of INT96 times and DECIMAL, by a manifest",
        "2026-01-02 03:04:05.678901 1.250",
        _parquet,
    ),
    Question("COPY of JSON", "JSON auto into a temporary table; a missing key is NULL", "x y, z NULL", _json),
    Question(
        "MERGE",
        "a subquery as source",
        "done",
        _run(
            "MERGE INTO core.dim_customer USING (SELECT customer_key FROM core.dim_customer WHERE customer_key = 'none') AS source "
            "ON core.dim_customer.customer_key = source.customer_key WHEN MATCHED THEN UPDATE SET age_group = 'x' "
            "WHEN NOT MATCHED THEN INSERT VALUES (source.customer_key, 'x', 'x', 'x', GETDATE(), GETDATE(), 0, 0)"
        ),
    ),
    Question(
        "a check that fails a transaction",
        "CAST in ELSE is evaluated only where it is reached",
        "1",
        _query(
            "SELECT CASE WHEN COUNT(*) = 0 THEN 1 ELSE CAST('no number ' || CAST(COUNT(*) AS VARCHAR) AS INTEGER) END "
            "FROM ops.batch_audit WHERE batch_id = 'none'"
        ),
    ),
    Question(
        "hash keys",
        "the key of an event",
        str(int(hashlib.md5(b"an event", usedforsecurity=False).hexdigest()[:12], 16)),
        _query("SELECT STRTOL(LEFT(MD5('an event'), 12), 16)"),
    ),
    Question(
        "UNLOAD",
        "Parquet with ALLOWOVERWRITE, by the role of COPY",
        "done",
        _run(
            "UNLOAD ('SELECT batch_id FROM ops.batch_audit') TO 's3://{bucket}/manifests/{run}/known/' IAM_ROLE '{role}' "
            "FORMAT AS PARQUET ALLOWOVERWRITE"
        ),
    ),
    Question("VACUUM by sys:operator", "on a table of the administrator", "done", _run("VACUUM ops.batch_audit")),
    Question(
        "COPY job",
        "a file once, also when it is written again; raw/ is announced as before",
        "1 then 2, 2 queues",
        _copy_job,
    ),
    Question(
        "ranges from a subquery",
        "a scan by event_time >= (SELECT ...) is restricted in its range",
        "t",
        _ranges,
    ),
    Question(
        "money",
        "60 seconds at least are charged each time that it wakes",
        "t",
        _query("SELECT MIN(charged_seconds) >= 60 FROM sys_serverless_usage WHERE charged_seconds > 0", role=""),
    ),
)
