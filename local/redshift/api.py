"""The operations of the Redshift Data API."""

from __future__ import annotations

import base64
import csv
import io
import json
import logging
import re
import uuid
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

from local.protocol import ApiError, JsonService
from local.redshift.catalog import SYSTEM_SCHEMA, Column
from local.redshift.engine import Engine
from local.redshift.errors import SqlError
from local.redshift.results import Result
from local.redshift.statements import Part, Statement, Statements

log = logging.getLogger(__name__)

PAGE_ROWS = 1000
RS_QUERY_ID = 1  # statements on compute nodes have a positive id


class DataApi(JsonService):
    """The operations of one workgroup's database."""

    def __init__(self, engine: Engine, workgroup: str, database: str) -> None:
        super().__init__("redshift-data", "the Redshift Data API")
        self.engine = engine
        self.statements = Statements(engine)
        self.workgroup, self.database = workgroup, database
        self.operations = {
            "ExecuteStatement": self.execute,
            "BatchExecuteStatement": self.batch,
            "DescribeStatement": self.describe,
            "GetStatementResult": self.result,
            "GetStatementResultV2": self.result_csv,
            "CancelStatement": self.cancel,
            "ListStatements": self.list_statements,
            "ListSessions": self.list_sessions,
            "ListDatabases": self.list_databases,
            "ListSchemas": self.list_schemas,
            "ListTables": self.list_tables,
            "DescribeTable": self.describe_table,
        }

    def call(self, operation: str, body: bytes) -> dict[str, Any]:
        try:
            return super().call(operation, body)
        except SqlError as error:
            raise ApiError("ValidationException", str(error)) from error

    # -- running ------------------------------------------------------------------------------------------------

    def execute(self, r: dict[str, Any]) -> dict[str, Any]:
        return self._submit(r, [r["Sql"]], is_batch=False, mode="TRANSACTION")

    def batch(self, r: dict[str, Any]) -> dict[str, Any]:
        if not 1 <= len(r["Sqls"]) <= 40:
            raise ApiError("ValidationException", "Sqls: expected 1 to 40 statements")
        return self._submit(r, r["Sqls"], is_batch=True, mode=r.get("ExecutionMode", "TRANSACTION"))

    def _submit(self, r: dict[str, Any], sqls: list[str], *, is_batch: bool, mode: str) -> dict[str, Any]:
        if r.get("SessionId"):
            if r.get("WorkgroupName") or r.get("ClusterIdentifier"):
                raise ApiError(
                    "ValidationException", "SessionId cannot be used with WorkgroupName or ClusterIdentifier"
                )
        else:
            self._check_target(r)
        if sum(len(s) for s in sqls) > 100_000:
            raise ApiError("ValidationException", "The SQL text is longer than 100 KB")
        statement = self.statements.submit(
            sqls,
            {p["name"]: p["value"] for p in r.get("Parameters", [])},
            is_batch=is_batch,
            mode=mode,
            name=r.get("StatementName", ""),
            result_format=r.get("ResultFormat", "JSON"),
            workgroup=self.workgroup,
            database=self.database,
            session_id=r.get("SessionId"),
            keep_alive_seconds=r.get("SessionKeepAliveSeconds"),
            client_token=r.get("ClientToken"),
        )
        self._wait(statement, r)
        out: dict[str, Any] = {
            "Id": statement.id,
            "CreatedAt": _epoch(statement.created),
            "Database": self.database,
            "DbUser": "IAM:local",
            "WorkgroupName": self.workgroup,
            "Status": statement.status,
            "HasResultSet": _has_rows(statement),
        }
        if statement.session_id:
            out["SessionId"] = statement.session_id
        return out

    def _check_target(self, r: dict[str, Any]) -> None:
        if r.get("ClusterIdentifier"):
            raise ApiError(
                "ValidationException",
                f"Cluster {r['ClusterIdentifier']} does not exist; this is the serverless workgroup {self.workgroup}",
            )
        if not r.get("WorkgroupName"):
            raise ApiError("ValidationException", "Either ClusterIdentifier or WorkgroupName must be specified")
        if r["WorkgroupName"].rsplit("/", 1)[-1] != self.workgroup:
            raise ApiError("ValidationException", f"Workgroup {r['WorkgroupName']} does not exist")
        if not r.get("Database"):
            raise ApiError("ValidationException", "Database must be specified")
        if r["Database"] != self.database:
            raise ApiError("ValidationException", f'FATAL: database "{r["Database"]}" does not exist')

    def _wait(self, statement: Statement, r: dict[str, Any]) -> None:
        seconds = r.get("WaitTimeSeconds", 0)
        if seconds and not 1 <= seconds <= 30:
            raise ApiError("ValidationException", "WaitTimeSeconds: expected 1 to 30")
        if seconds:
            statement.done.wait(seconds)

    def describe(self, r: dict[str, Any]) -> dict[str, Any]:
        statement, part = self.statements.get(r["Id"])
        self._wait(statement, r)
        if part:
            return self._described_part(part) | {"WorkgroupName": statement.workgroup, "Database": statement.database}
        results = [p.result for p in statement.parts if p.result]
        out: dict[str, Any] = {
            "Id": statement.id,
            "Status": statement.status,
            "CreatedAt": _epoch(statement.created),
            "UpdatedAt": _epoch(statement.updated),
            "Duration": statement.duration_ns,
            "Database": statement.database,
            "DbUser": "IAM:local",
            "WorkgroupName": statement.workgroup,
            "HasResultSet": _has_rows(statement),
            "ResultFormat": statement.result_format,
            "RedshiftPid": 1,
            "ExecutionMode": statement.mode,
            "ResultRows": sum(max(x.row_count, 0) for x in results) if results else -1,
            "ResultSize": sum(max(x.size_bytes, 0) for x in results) if results else -1,
            "RedshiftQueryId": 0 if statement.is_batch else RS_QUERY_ID,
        }
        if statement.error:
            out["Error"] = statement.error
        if statement.session_id:
            out["SessionId"] = statement.session_id
        if statement.parameters:
            out["QueryParameters"] = [{"name": k, "value": v} for k, v in statement.parameters.items()]
        if statement.is_batch:
            out["SubStatements"] = [self._described_part(p) for p in statement.parts]
        else:
            out["QueryString"] = statement.parts[0].sql
        return out

    def shown(self, statement_id: str) -> dict[str, Any]:
        """Returns the content of the page of a statement."""
        described = self.call("DescribeStatement", json.dumps({"Id": statement_id}).encode())
        parts = described.get("SubStatements", [described])
        return {
            "Status": described["Status"],
            **({"Error": described["Error"]} if "Error" in described else {}),
            "Began": datetime.fromtimestamp(described["CreatedAt"], UTC).isoformat(sep=" ", timespec="seconds"),
            "Seconds": f"{described['Duration'] / 1e9:.3f}",
            **{f"{p['Id'].rpartition(':')[2]} {p['Status']}, {p['ResultRows']} rows": p["QueryString"] for p in parts},
        }

    def _described_part(self, part: Part) -> dict[str, Any]:
        out = {
            "Id": part.id,
            "Status": part.status,
            "QueryString": part.sql,
            "CreatedAt": _epoch(part.created),
            "UpdatedAt": _epoch(part.updated),
            "Duration": part.duration_ns,
            "RedshiftQueryId": RS_QUERY_ID,
            "HasResultSet": bool(part.result and part.result.has_rows),
            "ResultRows": part.result.row_count if part.result else -1,
            "ResultSize": part.result.size_bytes if part.result else -1,
        }
        return out | ({"Error": part.error} if part.error else {})

    def cancel(self, r: dict[str, Any]) -> dict[str, Any]:
        self.statements.cancel(r["Id"])
        return {"Status": True}

    # -- results ------------------------------------------------------------------------------------------------

    def result(self, r: dict[str, Any]) -> dict[str, Any]:
        result, start = self._page(r, "JSON")
        rows = result.rows[start : start + PAGE_ROWS]
        records = [[_field(v, c) for v, c in zip(row, result.columns, strict=True)] for row in rows]
        return self._paged(result, start, {"Records": records})

    def result_csv(self, r: dict[str, Any]) -> dict[str, Any]:
        result, start = self._page(r, "CSV")
        text = io.StringIO()
        writer = csv.writer(text)
        if start == 0:
            writer.writerow([c.name for c in result.columns])
        for row in result.rows[start : start + PAGE_ROWS]:
            writer.writerow(["" if v is None else as_text(v) for v in row])
        return self._paged(result, start, {"Records": [{"CSVRecords": text.getvalue()}], "ResultFormat": "CSV"})

    def _page(self, r: dict[str, Any], wanted: str) -> tuple[Result, int]:
        statement, part = self.statements.get(r["Id"])
        self._wait(statement, r)
        if statement.result_format != wanted:
            operation = "GetStatementResultV2" if statement.result_format == "CSV" else "GetStatementResult"
            raise ApiError(
                "ValidationException", f"The result has the format {statement.result_format}: use {operation}"
            )
        chosen = part or (statement.parts[0] if not statement.is_batch else None)
        if chosen is None:
            raise ApiError("ValidationException", "Id of a batch: fetch the result of a sub-statement, <id>:<number>")
        if chosen.status != "FINISHED":
            raise ApiError(
                "ResourceNotFoundException", f"Query is in {chosen.status} state and has no result.", ResourceId=r["Id"]
            )
        if not chosen.result or not chosen.result.has_rows:
            raise ApiError(
                "ResourceNotFoundException",
                "Query does not have result. Please check query status with DescribeStatement.",
                ResourceId=r["Id"],
            )
        try:
            start = int(base64.b64decode(r["NextToken"], validate=True)) if r.get("NextToken") else 0
        except ValueError as error:
            raise ApiError("ValidationException", "NextToken is not one that this service gave") from error
        return chosen.result, start

    def _paged(self, result: Result, start: int, out: dict[str, Any]) -> dict[str, Any]:
        out |= {"ColumnMetadata": [_metadata(c) for c in result.columns], "TotalNumRows": len(result.rows)}
        if start + PAGE_ROWS < len(result.rows):
            out["NextToken"] = base64.b64encode(str(start + PAGE_ROWS).encode()).decode()
        return out

    # -- lists --------------------------------------------------------------------------------------------------

    def list_statements(self, r: dict[str, Any]) -> dict[str, Any]:
        wanted, prefix = r.get("Status", "FINISHED"), r.get("StatementName", "")
        found = [s for s in self.statements.listed() if wanted in {"ALL", s.status} and s.name.startswith(prefix)]
        rows = [
            {
                "Id": s.id,
                "Status": s.status,
                "CreatedAt": _epoch(s.created),
                "UpdatedAt": _epoch(s.updated),
                "IsBatchStatement": s.is_batch,
                "StatementName": s.name,
                "ResultFormat": s.result_format,
                **({"QueryStrings": [p.sql for p in s.parts]} if s.is_batch else {"QueryString": s.parts[0].sql}),
            }
            for s in found
        ]
        return _window(rows, "Statements", r, 100)

    def list_sessions(self, r: dict[str, Any]) -> dict[str, Any]:
        rows = [
            {"SessionId": i, "Status": "BUSY" if k.busy else "AVAILABLE", "CreatedAt": _epoch(k.created)}
            for i, k in self.statements.sessions().items()
        ]
        members = self.model.shape_for("SessionData").members
        return _window([{k: v for k, v in row.items() if k in members} for row in rows], "Sessions", r, 100)

    def list_databases(self, r: dict[str, Any]) -> dict[str, Any]:
        return _window([self.database], "Databases", r, 1000)

    def list_schemas(self, r: dict[str, Any]) -> dict[str, Any]:
        self._check_target(r)
        rows = self.engine.rows(
            "SELECT schema_name FROM duckdb_schemas() WHERE NOT internal AND schema_name <> ? AND database_name = current_database()",
            [SYSTEM_SCHEMA],
        )
        pattern = r.get("SchemaPattern", "%")
        names = {name for (name,) in rows} - {"main"} | {"information_schema", "pg_catalog"}
        return _window(sorted(name for name in names if _like(name, pattern)), "Schemas", r, 1000)

    def list_tables(self, r: dict[str, Any]) -> dict[str, Any]:
        self._check_target(r)
        rows = self.engine.rows(
            f"SELECT table_schema, table_name, table_type FROM {SYSTEM_SCHEMA}.svv_tables ORDER BY ALL"
        )
        tables = [
            {"schema": schema, "name": name, "type": "VIEW" if kind == "VIEW" else "TABLE"}
            for schema, name, kind in rows
            if _like(schema, r.get("SchemaPattern", "%")) and _like(name, r.get("TablePattern", "%"))
        ]
        return _window(tables, "Tables", r, 1000)

    def describe_table(self, r: dict[str, Any]) -> dict[str, Any]:
        self._check_target(r)
        schema, table = r.get("Schema", "public").lower(), r.get("Table", "").lower()
        rows = self.engine.rows(
            "SELECT name, kind, length, precision, scale, nullable, default_sql, identity_of "
            f"FROM {SYSTEM_SCHEMA}.columns WHERE table_schema = ? AND table_name = ? ORDER BY position",
            [schema, table],
        )
        if not rows:
            raise ApiError("ValidationException", f'relation "{schema}.{table}" does not exist')
        columns = [_metadata(Column(*row)) | {"schemaName": schema, "tableName": table} for row in rows]
        return _window(columns, "ColumnList", r, 1000) | {"TableName": table}


def _like(text: str, pattern: str) -> bool:
    """Returns whether the text matches a LIKE pattern with % and _, in which a backslash escapes the next character."""
    parts = re.findall(r"\\(.)|(.)", pattern, re.DOTALL)
    made = "".join(
        re.escape(escaped) if escaped else {"%": ".*", "_": "."}.get(letter, re.escape(letter))
        for escaped, letter in parts
    )
    return re.fullmatch(made, text, re.DOTALL) is not None


def _window(rows: list[Any], member: str, r: dict[str, Any], most: int) -> dict[str, Any]:
    size = r.get("MaxResults") or most
    if not 1 <= size <= most:
        raise ApiError("ValidationException", f"MaxResults: expected 1 to {most}")
    try:
        start = int(base64.b64decode(r["NextToken"], validate=True)) if r.get("NextToken") else 0
    except ValueError as error:
        raise ApiError("ValidationException", "NextToken is not one that this service gave") from error
    out: dict[str, Any] = {member: rows[start : start + size]}
    if start + size < len(rows):
        out["NextToken"] = base64.b64encode(str(start + size).encode()).decode()
    return out


def _has_rows(statement: Statement) -> bool:
    return any(p.result.has_rows for p in statement.parts if p.result)


def _epoch(moment: datetime) -> float:
    return round(moment.timestamp(), 3)


def _metadata(column: Column) -> dict[str, Any]:
    number = column.kind in {"SMALLINT", "INT", "BIGINT", "DECIMAL", "FLOAT", "DOUBLE"}
    width = {"SMALLINT": 5, "INT": 10, "BIGINT": 19, "FLOAT": 8, "DOUBLE": 17}.get(column.kind, 0)
    return {
        "name": column.name,
        "label": column.name,
        "typeName": column.type_name,
        "nullable": int(column.nullable),
        "isSigned": number,
        "isCurrency": False,
        "isCaseSensitive": column.kind in {"VARCHAR", "CHAR"},
        "precision": column.precision or column.length or width,
        "scale": column.scale or 0,
        "length": column.length or 0,
        "schemaName": "",
        "tableName": "",
        **({"columnDefault": column.default_sql} if column.default_sql else {}),
    }


def _field(value: Any, column: Column) -> dict[str, Any]:
    match value:
        case None:
            return {"isNull": True}
        case bool():
            return {"booleanValue": value}
        case int() if column.kind != "DECIMAL":
            return {"longValue": value}
        case float():
            return {"doubleValue": value}
        case bytes():
            return {"blobValue": base64.b64encode(value).decode()}
        case _:
            return {"stringValue": as_text(value)}


def as_text(value: Any) -> str:
    """Returns a value as the Data API writes it in a stringValue and in CSV."""
    match value:
        case datetime():
            moment = value.astimezone(UTC) if value.tzinfo else value
            fraction = f"{moment.microsecond:06d}".rstrip("0") or "0"
            return f"{moment:%Y-%m-%d %H:%M:%S}.{fraction}" + ("+00" if value.tzinfo else "")
        case date() | time() | uuid.UUID():
            return str(value)
        case Decimal():
            return f"{value:f}"
        case bool():
            return "t" if value else "f"
        case dict() | list():
            return json.dumps(value, default=str)
        case _:
            return str(value)
