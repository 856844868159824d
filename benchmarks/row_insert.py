"""The rival of `latency`: a Lambda that inserts each record of a stream as a row, as tutorials have it.

It is deployed to the local cloud beside the product, with a stream of its own, and driven by the same event source mapping.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable
from typing import Any

from benchmarks.ages import Sender, Watch
from local.observer import Observer
from local.stack import ACCOUNT, REGION, Stack
from local.supervision import wait_for

NAME, TABLE = "rival-row-insert", "public.row_insert"
BATCH_RECORDS = 100  # the default of a mapping for Kinesis
CREATE = f"""CREATE TABLE IF NOT EXISTS {TABLE} (event_id VARCHAR(128), event_time TIMESTAMP, product_id VARCHAR(64),
    quantity INTEGER, price DECIMAL(12, 2))"""
HANDLER = f'''
import base64, json, boto3

client = boto3.client("redshift-data")
TARGET = {{"WorkgroupName": "ecommerce", "Database": "ecommerce", "WaitTimeSeconds": 20}}
SQL = """INSERT INTO {TABLE} VALUES (:event_id, CAST(REPLACE(REPLACE(:event_time, 'T', ' '), 'Z', '') AS TIMESTAMP), :product_id,
         CAST(:quantity AS INTEGER), CAST(:price AS DECIMAL(12, 2)))"""

def handler(event, context):
    for record in event["Records"]:
        made = json.loads(base64.b64decode(record["kinesis"]["data"]))
        values = {{"event_id": made["event_id"], **made["data"]}}
        names = ("event_id", "event_time", "product_id", "quantity", "price")
        parameters = [{{"name": name, "value": values[name]}} for name in names]
        statement = client.execute_statement(Sql=SQL, Parameters=parameters, **TARGET)
        while (state := client.describe_statement(Id=statement["Id"], WaitTimeSeconds=20))["Status"] != "FINISHED":
            if state["Status"] in ("FAILED", "ABORTED"):
                raise RuntimeError(state.get("Error"))
'''


def deploy(stack: Stack, observer: Observer) -> None:
    """Makes the table, the stream, the function and the mapping."""
    observer.warehouse.run([CREATE])
    kinesis, functions = stack.client("kinesis"), stack.client("lambda")
    kinesis.create_stream(StreamName=NAME, ShardCount=2)
    kinesis.get_waiter("stream_exists").wait(StreamName=NAME)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("handler.py", HANDLER)
    told = {k: v for k, v in stack.user_environment().items() if k.startswith("AWS_ENDPOINT_URL")}
    functions.create_function(
        FunctionName=NAME,
        Runtime="python3.13",
        Handler="handler.handler",
        Timeout=300,
        Code={"ZipFile": archive.getvalue()},
        Role=f"arn:aws:iam::{ACCOUNT}:role/{NAME}",
        Environment={"Variables": told},
    )
    functions.create_event_source_mapping(
        FunctionName=NAME,
        EventSourceArn=f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/{NAME}",
        BatchSize=BATCH_RECORDS,
        StartingPosition="TRIM_HORIZON",
    )


def ages(stack: Stack, observer: Observer, rate: float, seconds: float) -> list[float]:
    """Returns seconds from each event's put to the time when its row can be queried, in a table that is empty before."""
    observer.warehouse.run([f"DELETE FROM {TABLE}"])
    sender = Sender(stack.client("kinesis"), NAME, ["product_events"], rate)
    seen: set[str] = set()

    def look() -> Iterable[str]:
        lowest = next((event_id for event_id in list(sender.put_at) if event_id not in seen), "")
        query = f"SELECT event_id FROM {TABLE} WHERE event_id >= :lowest"
        found: list[tuple[Any, ...]] = observer.warehouse.query(query, {"lowest": lowest}) if lowest else []
        new = [row[0] for row in found if row[0] not in seen]
        seen.update(new)
        return new

    with Watch(look) as watch:
        sender.send_for(seconds)
        wait_for(lambda: len(seen) >= len(sender.put_at), 10 * seconds + 120, "the rows", 0.1)
    return [at - sender.put_at[event_id] for event_id, at in watch.seen_at.items()]
