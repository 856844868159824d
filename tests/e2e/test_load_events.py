"""The main job under the real scheduler: right figures, nothing twice, and the same content after a kill."""

import base64
import gzip
import hashlib
import json
import os
import subprocess
import sys
from decimal import Decimal

import httpx
import psutil
import psycopg
import pytest
from rich.console import Console

from local import lifecycle
from local.demo import Observer
from local.supervision import Supervisor, members, wait_for
from tests.conftest import PROJECT

SIMULATED = ["simulate", "--feed", "online_retail", "--count", "60000", "--seed", "11", "--bad-rate", "0.01"]


@pytest.fixture
def observer(stack):
    return Observer.of(stack)


def demo(stack, *arguments):
    command = [sys.executable, "-m", "local", "demo", "--state", str(stack.state), *arguments]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def produce(stack, *arguments):
    env = os.environ | stack.user_environment()
    subprocess.run(
        [sys.executable, "-m", "producer", *arguments], cwd=PROJECT, env=env, check=True, capture_output=True
    )


def accepted(observer):
    return sum(a["accepted"] for a in observer.audit().values())


def wait_until_loaded(observer, events, seconds=200):
    wait_for(
        lambda: _reachable(lambda: accepted(observer) >= events and observer.is_idle()),
        seconds,
        f"{events} events",
        0.5,
    )


def _reachable(condition):
    """A Redshift that was killed does not answer until its supervisor has restarted it."""
    try:
        return condition()
    except Exception as error:
        if (
            "Could not connect" in str(error)
            or "Connection was closed" in str(error)
            or "no longer knows it" in str(error)
        ):
            return False
        raise


def digest(observer, *tables):
    found = hashlib.sha256()
    for table in tables:
        for row in observer.warehouse.query(f"SELECT * FROM {table} ORDER BY 1"):
            found.update(repr(row).encode())
    return found.hexdigest()


def wipe(observer):
    tables = {t for c in observer.contracts.values() for t in (*c.tables, c.staging)} | {
        "ops.batch_audit",
        "ops.batch_object",
    }
    observer.warehouse.run([f"DELETE FROM {table}" for table in sorted(tables)])


def wipe_all(observer):
    """Also what DynamoDB and Firehose keep, once they have caught up: each way has the same lines then."""
    wait_for(lambda: len(set(observer.ways().values())) == 1, 180, f"the same lines by each way ({observer.ways()})", 1)
    wipe(observer)
    observer.warehouse.run(["DELETE FROM core.firehose_transactions"])
    for table, keys in (("invoices", ["InvoiceNo", "StockCode"]), ("customers", ["CustomerID", "InvoiceNo"])):
        for item in _scan(observer, table):
            observer.dynamodb.delete_item(TableName=f"ecommerce-{table}", Key={key: item[key] for key in keys})


def _scan(observer, table):
    pages = observer.dynamodb.get_paginator("scan").paginate(TableName=f"ecommerce-{table}")
    return [item for page in pages for item in page["Items"]]


def running_task(stack, task_id):
    """Returns the process id of a task while it runs, or None."""
    url = f"{stack.airflow_url}/api/v2/dags/load_events/dagRuns/~/taskInstances"
    answer = httpx.get(url, params={"state": "running", "order_by": "-start_date", "limit": 20}).json()
    pids = [t["pid"] for t in answer["task_instances"] if t["task_id"] == task_id and t["pid"]]
    return pids[0] if pids else None


def test_the_demo_reconciles_and_a_second_one_adds_nothing(stack, observer):
    first = demo(stack, "--rows", "6000")
    assert "I1 holds" in first
    tables = [t for c in observer.contracts.values() for t in c.tables]
    content, core = digest(observer, *tables), observer.core()
    assert all(rows > 1900 for rows, _ in core.values())
    second = demo(stack, "--rows", "6000")
    assert "nothing was added, nothing is doubled" in second
    assert (digest(observer, *tables), observer.core()) == (content, core)


def test_what_is_broken_is_in_quarantine_with_reasons_and_without_personal_data(stack, observer):
    audit = observer.audit()
    assert all(audit[feed]["quarantined"] > 5 for feed in observer.contracts)
    keys = observer.keys("quarantine/feed=")
    assert keys
    for key in keys:
        body = observer.s3.get_object(Bucket=observer.bucket, Key=key)["Body"].read()
        assert b"Phone" not in body
        assert b"Address" not in body
    delivered = observer.keys("firehose/")
    assert any("processing-failed" in key for key in delivered)
    for key in delivered:
        body = observer.s3.get_object(Bucket=observer.bucket, Key=key)["Body"].read()
        text = gzip.decompress(body) if key.endswith(".gz") else body
        texts = [text, *(base64.b64decode(json.loads(x)["rawData"]) for x in text.splitlines() if b"rawData" in x)]
        assert all(b"Phone" not in x and b"Address" not in x for x in texts), key
    names = observer.warehouse.query("SELECT customer_key FROM core.dim_customer LIMIT 5")
    assert all(len(key) == 64 for (key,) in names)


def test_logs_hold_no_personal_data(stack):
    from producer.simulate import simulated

    people = {
        str(data[k]) for _, data, _ in simulated("purchases", 200, 42, 0.01) for k in ("Name", "Phone", "Address")
    }
    for path in [*stack.logs.glob("*.log"), *stack.airflow_home.glob("logs/**/*.log")]:
        text = path.read_text(errors="replace")
        assert [p for p in people if p in text] == [], path


def test_the_asset_carries_the_counts(stack):
    events = httpx.get(f"{stack.airflow_url}/api/v2/assets/events", params={"limit": 100}).json()["asset_events"]
    assert events
    for event in events:
        assert {"batch_id", "feed", "accepted", "clean", "quarantined", "duplicates"} <= set(event["extra"])


@pytest.mark.timeout(240)
def test_a_batch_that_cannot_be_cleaned_is_red_at_once_and_holds_no_other_feed_up(stack, observer):
    key = "raw/feed=product_events/dt=2026-01-01/hour=00/put-by-hand.jsonl.gz"
    observer.s3.put_object(Bucket=observer.bucket, Key=key, Body=gzip.compress(b"no JSON\n"))

    def red():
        url = f"{stack.airflow_url}/api/v2/dags/load_events/dagRuns/~/taskInstances"
        found = httpx.get(url, params={"state": "failed", "limit": 100}).json()["task_instances"]
        return [t for t in found if t["task_id"] == "load_feed.clean_batch"]

    wait_for(red, 60, "the red task")
    assert {t["try_number"] for t in red()} == {1}  # no retry can mend it
    before = observer.core()["purchases"][0]
    produce(stack, "simulate", "--feed", "purchases", "--count", "10", "--seed", "978")
    wait_for(lambda: observer.core()["purchases"][0] == before + 10, 60, "the other feed")
    [batch] = [key for key in observer.keys("manifests/open/") if "/product_events-" in key]
    # As the runbook says: remove what was put by hand, and give the batch up.
    observer.s3.delete_object(Bucket=observer.bucket, Key=key)
    observer.s3.delete_object(Bucket=observer.bucket, Key=batch)
    wait_for(observer.is_idle, 60, "an idle pipeline")


def test_one_event_arrives(stack, observer):
    before = observer.core()["product_events"][0]
    produce(stack, "simulate", "--feed", "product_events", "--count", "1", "--seed", "977")
    wait_for(lambda: observer.core()["product_events"][0] == before + 1, 60, "the event")


@pytest.mark.timeout(1200)
def test_the_whole_real_file(stack, observer, online_retail):
    wipe_all(observer)
    out = demo(stack, "--data", str(online_retail))
    assert "I1 holds" in out
    [row] = observer.warehouse.query(
        """SELECT COUNT(*), SUM(quantity * unit_price), SUM(CASE WHEN customer_id = 'unknown' THEN 1 ELSE 0 END),
               COUNT(DISTINCT invoice_no), COUNT(DISTINCT stock_code), COUNT(DISTINCT country), SUM(quantity),
               COUNT(DISTINCT event_id)
           FROM core.fact_invoice_line"""
    )
    assert [int(row[0]), *map(int, row[2:])] == [541909, 135080, 25900, 3958, 38, 5176450, 541909]
    assert round(Decimal(row[1]), 2) == Decimal("9747747.93")
    repeated = """SELECT COUNT(*) FROM (
        SELECT DISTINCT invoice_no, stock_code, description, quantity, event_time, unit_price, customer_id, country
        FROM core.fact_invoice_line) AS q"""
    # The file's 5,268 repeated lines are kept. Upper case and trimming make some more lines equal to each other.
    assert 541909 - observer.warehouse.query(repeated)[0][0] >= 5268
    assert observer.audit()["online_retail"] == {"accepted": 541909, "clean": 541909, "quarantined": 0, "duplicates": 0}
    assert observer.ways() == dict.fromkeys(
        ("load_events", "dynamodb_writer", "Firehose"), (541909, Decimal("9747747.934"))
    )


def test_invoices_and_customers_of_the_whole_real_file(observer, online_retail):
    """In DynamoDB as in the warehouse: every invoice's lines, units and total, for every customer."""
    sql = """SELECT customer_id, invoice_no, COUNT(*), SUM(quantity), SUM(amount)
             FROM core.fact_invoice_line GROUP BY customer_id, invoice_no"""
    expected = {(c, i): (n, q, Decimal(t)) for c, i, n, q, t in observer.warehouse.query(sql)}
    found = {
        (i["CustomerID"]["S"], i["InvoiceNo"]["S"]): (
            int(i["LineCount"]["N"]), int(i["Quantity"]["N"]), Decimal(i["Total"]["N"]),
        )
        for i in _scan(observer, "customers")
    }  # fmt: skip
    assert found == expected
    assert len({invoice for _, invoice in found}) == 25900
    assert len({customer for customer, _ in found} - {"unknown"}) == 4372
    # And product by product in the largest invoice, which repeats many.
    sql = "SELECT invoice_no FROM core.fact_invoice_line GROUP BY invoice_no ORDER BY COUNT(*) DESC, invoice_no LIMIT 1"
    [[largest]] = observer.warehouse.query(sql)
    items = observer.dynamodb.query(
        TableName="ecommerce-invoices", KeyConditionExpression="InvoiceNo = :n",
        ExpressionAttributeValues={":n": {"S": largest}}, ConsistentRead=True,
    )["Items"]  # fmt: skip
    lines = [event_id for item in items for event_id in item["Lines"]["M"]]
    per_item = observer.warehouse.query(
        "SELECT stock_code, COUNT(*), SUM(amount) FROM core.fact_invoice_line WHERE invoice_no = :n GROUP BY stock_code",
        {"n": largest},
    )
    assert {(i["StockCode"]["S"], int(i["LineCount"]["N"]), Decimal(i["Total"]["N"])) for i in items} == {
        (code, count, Decimal(total)) for code, count, total in per_item
    }
    assert len(lines) == len(set(lines)) == sum(count for _, count, _ in per_item) > 1000


@pytest.fixture(scope="module")
def undisturbed(stack):
    """The content that a run without any kill leaves: (events in raw, digest of core)."""
    observer = Observer.of(stack)
    wipe(observer)
    before = observer.stored()
    produce(stack, *SIMULATED)
    wait_for(lambda: sum(observer.lines(observer.stored() - before).values()) == 60_000, 60, "raw")
    events = observer.lines(observer.stored() - before)["online_retail"]
    wait_until_loaded(observer, events)
    return events, digest(observer, "core.fact_invoice_line")


def _kill_task(task_id):
    def kill(stack):
        pids = []
        wait_for(lambda: pids.append(running_task(stack, task_id)) or pids[-1], 60, task_id, 0.02)
        psutil.Process(pids[-1]).kill()

    return kill


def _kill_scheduler(stack):
    wait_for(lambda: running_task(stack, "load_feed.clean_batch"), 60, "a running task", 0.02)
    [pid] = [p["pid"] for p in Supervisor(stack).states() if p["name"] == "airflow-scheduler"]
    scheduler = psutil.Process(pid)

    # In the middle of a transaction: its workers inherited the connection, and keep it and its locks after its end.
    def is_stopped_in_a_transaction():
        scheduler.suspend()
        wait_for(lambda: scheduler.status() == psutil.STATUS_STOPPED, 5, "a stopped scheduler", 0.001)
        with psycopg.connect(host=str(stack.run), user="postgres", dbname="airflow", autocommit=True) as metadata:
            metadata.execute("SELECT pg_sleep(0.05)")  # longer than another part's transaction pauses
            [(locked,)] = metadata.execute(
                """SELECT COUNT(*) FROM pg_stat_activity JOIN pg_locks USING (pid)
                   WHERE state = 'idle in transaction' AND state_change < clock_timestamp() - INTERVAL '50 ms'
                     AND relation = 'dag_run'::regclass AND mode = 'RowShareLock'"""
            ).fetchall()
        if not locked:
            scheduler.resume()
        return locked

    wait_for(is_stopped_in_a_transaction, 60, "a scheduler with locks", 0.01)
    scheduler.kill()


def _kill_redshift(stack):
    client = Observer.of(stack).warehouse.client

    def is_loading():
        return client.list_statements(Status="STARTED", StatementName="load online_retail")["Statements"]

    wait_for(is_loading, 60, "a load", 0.01)
    [redshift] = [p for p in members(stack) if "local.redshift" in p.cmdline()]
    redshift.kill()


@pytest.mark.timeout(420)
@pytest.mark.parametrize(
    "kill",
    [
        pytest.param(_kill_task("load_feed.clean_batch"), id="cleaning_task"),
        pytest.param(_kill_task("load_feed.load_batch"), id="loading_task"),
        pytest.param(_kill_task("claim_batches"), id="claiming_task"),
        pytest.param(_kill_scheduler, id="scheduler"),
        pytest.param(_kill_redshift, id="redshift"),
    ],
)
def test_a_kill_leaves_the_same_content(stack, observer, undisturbed, kill):
    events, content = undisturbed
    wipe(observer)
    produce(stack, *SIMULATED)
    kill(stack)
    wait_until_loaded(observer, events)
    assert digest(observer, "core.fact_invoice_line") == content
    audit = observer.audit()["online_retail"]
    assert audit["accepted"] == audit["clean"] + audit["quarantined"] + audit["duplicates"]
    assert audit["clean"] == observer.core()["online_retail"][0]


def test_every_part_is_still_up_and_status_counts_the_kills(stack):
    wait_for(lambda: all(p["statename"] == "RUNNING" for p in Supervisor(stack).states()), 60, "all parts")
    restarts = Supervisor(stack).restarts()
    assert set(restarts) <= {"airflow-scheduler", "redshift"}, restarts


def test_down_leaves_nothing_even_when_the_supervisor_was_killed(stack):
    """The last test of this stack: Airflow's children outlive a killed parent."""
    listening = [
        c
        for c in psutil.net_connections("inet")
        if c.status == psutil.CONN_LISTEN and c.pid in {p.pid for p in members(stack)}
    ]
    assert {c.laddr.ip for c in listening} == {"127.0.0.1"}
    session = os.getsid(Supervisor(stack).pid())
    psutil.Process(Supervisor(stack).pid()).kill()
    assert len(members(stack)) > 15  # with the workers that the killed scheduler left
    lifecycle.down(stack, Console(quiet=True))
    assert members(stack) == []
    # Asked in another way: nothing is left in the session, and nothing names the state folder.
    left = [
        p.info
        for p in psutil.process_iter(["pid", "cmdline"])
        if _session_of(p) == session or str(stack.state) in str(p.info["cmdline"])
    ]
    assert left == []


def _session_of(process):
    try:
        return os.getsid(process.pid)
    except ProcessLookupError:
        return None
