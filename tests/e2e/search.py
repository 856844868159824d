"""Where a text is: in objects, tables, logs, Airflow's database and pages, whatever they are packed in."""

import gzip
import io
import json
import zipfile
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pyarrow.parquet as pq


def plain(key, body):
    """What is written in an object, unpacked; files that shops land as they are, because some are broken on purpose."""
    if key.startswith("landing/") and not key.endswith(".report.json"):
        return body
    if key.endswith(".gz"):
        return gzip.decompress(body)
    if key.endswith(".parquet"):
        return str(pq.read_table(io.BytesIO(body)).to_pydict()).encode()
    if zipfile.is_zipfile(io.BytesIO(body)):
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            return b"\n".join(archive.read(name) for name in archive.namelist())
    return body


def in_objects(observer, marks, but):
    """Keys with a mark, outside the prefixes in `but`."""

    def has_mark(key):
        body = plain(key, observer.s3.get_object(Bucket=observer.bucket, Key=key)["Body"].read())
        return any(mark.encode() in body or mark in key for mark in marks)

    keys = [key for key in observer.keys("") if not key.startswith(but)]
    with ThreadPoolExecutor(8) as pool:
        return {key for key, found in zip(keys, pool.map(has_mark, keys), strict=True) if found}


def in_warehouse(observer, marks):
    """Tables with a mark in a row."""
    columns = defaultdict(list)
    for table, column in observer.warehouse.query(
        "SELECT table_schema || '.' || table_name, column_name FROM information_schema.columns "
        "WHERE table_schema IN ('staging', 'core', 'ops', 'mart') AND LOWER(data_type) LIKE '%char%'"
    ):
        columns[table].append(column)
    assert len(columns) > 20
    return {table for table, names in columns.items() if _rows(observer, table, names, marks)}


def _rows(observer, table, names, marks):
    found = " OR ".join(f"{name} LIKE '%{mark}%'" for name in names for mark in marks)
    return int(observer.warehouse.query(f"SELECT COUNT(*) FROM {table} WHERE {found}")[0][0])


def in_dynamodb(observer, marks):
    """Tables with a mark in an item."""
    found = set()
    for name in observer.dynamodb.list_tables()["TableNames"]:
        for page in observer.dynamodb.get_paginator("scan").paginate(TableName=name):
            found |= {name for mark in marks if mark in json.dumps(page["Items"])}
    return found


def in_files(folders, marks):
    """Files with a mark: logs, states, what a task left behind."""
    return {
        path
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink() and any(mark.encode() in path.read_bytes() for mark in marks)
    }


def in_metadata(stack, marks):
    """Tables of Airflow's database with a mark: XComs, rendered templates, run parameters, logs."""
    found = set()
    with psycopg.connect(host=str(stack.run), user="postgres", dbname="airflow") as connection:
        tables = [t for (t,) in connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
        assert "xcom" in tables
        for table in tables:
            # bytea is shown in hex
            texts = [f"%{text}%" for mark in marks for text in (mark, mark.encode().hex())]
            query = f'SELECT COUNT(*) FROM "{table}" AS t WHERE t::text LIKE ANY(%s)'
            [count] = connection.execute(query, [texts]).fetchone()
            found |= {table} if count else set()
    return found
