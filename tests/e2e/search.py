"""Where a text is: in objects, tables, logs, Airflow's database and pages, whatever they are packed in."""

import gzip
import io
import json
import zipfile

import psycopg
import pyarrow.parquet as pq


def plain(key, body):
    """What is written in an object, unpacked."""
    if key.endswith(".gz"):
        return gzip.decompress(body)
    if key.endswith(".parquet"):
        return pq.read_table(io.BytesIO(body)).to_pandas().to_csv().encode()
    if zipfile.is_zipfile(io.BytesIO(body)):
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            return b"\n".join(archive.read(name) for name in archive.namelist())
    return body


def in_objects(observer, marks, but):
    """Keys with a mark, outside the prefixes in `but`."""
    found = set()
    for key in observer.keys(""):
        if not key.startswith(but):
            body = plain(key, observer.s3.get_object(Bucket=observer.bucket, Key=key)["Body"].read())
            found |= {key for mark in marks if mark.encode() in body or mark in key}
    return found


def in_warehouse(observer, marks):
    """Tables with a mark in a row."""
    names = observer.warehouse.query(
        "SELECT table_schema || '.' || table_name FROM information_schema.tables "
        "WHERE table_schema IN ('staging', 'core', 'ops', 'mart')"
    )
    assert len(names) > 20
    return {name for (name,) in names for row in observer.warehouse.query(f"SELECT * FROM {name}")
            if any(mark in str(value) for mark in marks for value in row)}  # fmt: skip


def in_dynamodb(observer, marks):
    """Tables with a mark in an item."""
    found = set()
    for name in observer.dynamodb.list_tables()["TableNames"]:
        for page in observer.dynamodb.get_paginator("scan").paginate(TableName=name):
            found |= {name for mark in marks if mark in json.dumps(page["Items"])}
    return found


def in_files(folders, marks):
    """Files with a mark: logs, states, what a task left behind."""
    return {path for folder in folders for path in folder.rglob("*") if path.is_file() and not path.is_symlink()
            and any(mark.encode() in path.read_bytes() for mark in marks)}  # fmt: skip


def in_metadata(stack, marks):
    """Tables of Airflow's database with a mark: XComs, rendered templates, run parameters, logs."""
    found = set()
    with psycopg.connect(host=str(stack.run), user="postgres", dbname="airflow") as connection:
        tables = [t for (t,) in connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
        assert "xcom" in tables
        for table in tables:
            for mark in marks:
                query = f'SELECT COUNT(*) FROM "{table}" AS t WHERE t::text LIKE %s OR t::text LIKE %s'
                # bytea is shown in hex
                [count] = connection.execute(query, [f"%{mark}%", f"%{mark.encode().hex()}%"]).fetchone()
                found |= {table} if count else set()
    return found
