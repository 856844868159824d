"""A whole stack with BigQuery: exports with facts, and an erasure that reaches them and what a dead export left."""

import json
import uuid

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from google.cloud.bigquery import LoadJobConfig, SchemaField, SourceFormat, Table

from local import google_cloud
from local.observer import Observer
from local.stack import GOOGLE_PROJECT, PREFIX
from local.supervision import wait_for
from producer.simulate import simulated
from tests.e2e import iam, search
from tests.e2e.test_lake import SHOPS_NUMBER, event, loaded, put, run

pytestmark = [
    pytest.mark.stack,
    pytest.mark.nightly,
    pytest.mark.skipif(
        not google_cloud.is_installed(), reason="BigQuery's emulators are not installed: make setup-bigquery"
    ),
]
RECORDS_CALLS = True
EXTRAS = ("bigquery",)
SETTINGS = {"ECOMMERCE_BIGQUERY_FACTS": "true", "ECOMMERCE_BIGQUERY_CATCH_UP_CRON": "0 0 1 1 *"}
OTHER = "17850"


@pytest.fixture(scope="module")
def observer(stack):
    return Observer.of(stack)


@pytest.fixture(scope="module")
def google(stack):
    return google_cloud.clients(stack.url("bigquery"), stack.url("cloud-storage"))


def in_bigquery(client, mark):
    """Tables of every data set that have a row with the text, whatever column it is in."""
    found = set()
    for schema in ("core", "mart", "bi", "staging"):
        for item in client.list_tables(f"{GOOGLE_PROJECT}.{PREFIX}_{schema}"):
            table = f"{item.project}.{item.dataset_id}.{item.table_id}"
            texts = [f.name for f in client.get_table(table).schema if f.field_type == "STRING"]
            if not texts:
                continue
            where = " OR ".join(f"`{name}` LIKE '%{mark}%'" for name in texts)
            [row] = client.query(f"SELECT COUNT(*) FROM `{table}` WHERE {where}").result()
            found |= {f"{schema}.{item.table_id}"} if row[0] else set()
    return found


def left_by_a_dead_export(stack, observer, google, customer):
    """What an export leaves whose worker dies before its swap: a file in the lake and in Cloud Storage, and a loaded table."""
    client, storage = google
    export_id = str(uuid.uuid4())
    path = stack.state / "tmp" / "part.parquet"
    pq.write_table(pa.table({"customer_id": [customer, "1"], "orders": [3, 4]}), path)
    name = f"{export_id}/mart.customer_behaviour/0000_part_00.parquet"
    observer.s3.upload_file(str(path), observer.bucket, f"bigquery/{name}")
    storage.bucket(stack.google_bucket).blob(name).upload_from_filename(str(path))
    table = f"{GOOGLE_PROJECT}.{PREFIX}_staging.mart_customer_behaviour_{export_id.replace('-', '')}"
    schema = [SchemaField("customer_id", "STRING"), SchemaField("orders", "INT64")]
    client.create_table(Table(table, schema=schema))
    config = LoadJobConfig(source_format=SourceFormat.PARQUET, schema=schema)
    client.load_table_from_uri(f"gs://{stack.google_bucket}/{name}", table, job_config=config).result(timeout=60)
    return f"bigquery/{name}", name, f"staging.{table.rsplit('.', 1)[1]}"


@pytest.mark.timeout(900)
def test_an_erased_customer_is_not_in_bigquery_nor_on_the_way_to_it(stack, observer, google):
    client, storage = google
    [(_, line, _)] = simulated("online_retail", 1, 5, 0.0)
    customers = [SHOPS_NUMBER, SHOPS_NUMBER, OTHER]
    lines = [line | {"InvoiceNo": f"7777{n:02d}", "CustomerID": name} for n, name in enumerate(customers)]
    put(stack, *(event("online_retail", f"vanishes-{n}", data) for n, data in enumerate(lines)))
    loaded(observer, "online_retail", 0, 3)
    # What is on its way is delivered first: it would bring the customer back.
    wait_for(lambda: search.in_dynamodb(observer, [SHOPS_NUMBER]), 180, "the items", 0.5)
    delivered = "core.firehose_transactions"
    wait_for(lambda: delivered in search.in_warehouse(observer, [SHOPS_NUMBER]), 300, "the delivery", 1)
    wait_for(lambda: not observer.stale_marts(), 300, "the marts", 0.5)
    state, tasks = run(stack, "export_bigquery")
    assert state == "success", tasks
    wait_for(lambda: "core.fact_invoice_line" in in_bigquery(client, SHOPS_NUMBER), 120, "the export", 1)
    named = in_bigquery(client, SHOPS_NUMBER)
    assert {"core.fact_invoice_line", "mart.customer_days", "mart.customer_behaviour"} <= named
    _, blob, table = left_by_a_dead_export(stack, observer, google, SHOPS_NUMBER)
    assert table in in_bigquery(client, SHOPS_NUMBER)
    kept_key, kept_blob, kept_table = left_by_a_dead_export(stack, observer, google, OTHER)

    state, tasks = run(stack, "erase_customer", feed="online_retail", customer=SHOPS_NUMBER, dry_run=False)
    assert state == "success", {name: task["state"] for name, task in tasks.items()}
    assert in_bigquery(client, SHOPS_NUMBER) == set()
    assert search.in_objects(observer, [SHOPS_NUMBER], ("bi/",)) == set()
    objects = {item.name for item in storage.list_blobs(stack.google_bucket)}
    assert blob not in objects
    assert search.in_warehouse(observer, [SHOPS_NUMBER]) == set()
    # What names somebody else stays, and so do the events.
    assert kept_key in observer.keys("bigquery/")
    assert kept_blob in objects
    assert kept_table in in_bigquery(client, OTHER)
    assert "core.fact_invoice_line" in in_bigquery(client, OTHER)
    [row] = client.query(f"SELECT COUNT(*) FROM `{GOOGLE_PROJECT}.{PREFIX}_core.fact_invoice_line`").result()
    assert row[0] == 3


def test_the_roles_allow_what_this_took(stack, observer, calls):
    made = [json.loads(text) for file in calls.glob("*.jsonl") for text in file.read_text().splitlines()]
    client = stack.client("iam")
    for stage in ("bigquery", "erase"):
        granted = iam.grants(client, f"ecommerce-stage-{stage}")
        own = [call for call in made if call["key"] == stage and not call["who"].startswith("-m local.")]
        assert own
        needed = {need for call in own for need in iam.needs(call["service"], call["operation"], call["on"])}
        refused = {need for need in needed if not any(grant.allows(need) for grant in granted)}
        assert refused == set(), stage
