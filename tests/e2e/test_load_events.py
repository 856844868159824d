"""The main job under the real scheduler: right figures, nothing twice, and the same content after a kill."""

import base64
import gzip
import hashlib
import json
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal

import psutil
import psycopg
import pytest
from ecommerce_elt.dashboards import tableau
from ecommerce_elt.dashboards.data_sets import DATA_SETS, utc
from ecommerce_elt.marts.builds import MARTS
from rich.console import Console

from local import lifecycle
from local.demo import refresh_dashboards
from local.lifecycle import dashboards_command
from local.observer import Observer
from local.supervision import Supervisor, members, wait_for
from tests.bi import hyper
from tests.conftest import PROJECT
from tests.e2e.browser import chromium, keep, server_with_login, sign_in, token
from tests.e2e.known_answers import KnownAnswers
from tests.support import http

RECORDS_CALLS = False
SETTINGS = {"ECOMMERCE_MARTS_MIN_INTERVAL_SECONDS": "30"}  # an event is in core well before a turn ends
SIMULATED = ["simulate", "--feed", "online_retail", "--count", "30000", "--seed", "11", "--bad-rate", "0.01"]


@pytest.fixture(scope="module")
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
    return observer.audit().get("online_retail", {}).get("accepted", 0)


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
        for row in sorted(map(repr, observer.warehouse.query(f"SELECT * FROM {table}"))):
            found.update(row.encode())
    return found.hexdigest()


def wipe(observer):
    tables = {t for c in observer.contracts.values() for t in (*c.tables, c.staging)}
    tables |= {
        "ops.batch_audit",
        "ops.batch_object",
        "ops.stale_date",
        "ops.quarantine_reason",
        "ops.quarantine_closed",
    }
    observer.warehouse.run([f"DELETE FROM {table}" for table in sorted(tables)])


def total(observer):
    return Decimal(observer.warehouse.query("SELECT SUM(amount) FROM core.fact_invoice_line")[0][0])


def stop_other_ways(stack):
    """No more into DynamoDB, and no more delivery."""
    functions = stack.client("lambda")
    [mapping] = functions.list_event_source_mappings(FunctionName="ecommerce-dynamodb-writer")["EventSourceMappings"]
    functions.update_event_source_mapping(UUID=mapping["UUID"], Enabled=False)
    firehose = stack.client("firehose")
    firehose.delete_delivery_stream(DeliveryStreamName="ecommerce-transactions")


def trigger(stack, dag_id):
    """Returns the id of the run."""
    answer = http.post(f"{stack.airflow_url}/api/v2/dags/{dag_id}/dagRuns", json={"logical_date": None})
    return answer.raise_for_status().json()["dag_run_id"]


def pause(stack, dag_id, paused=True):
    http.patch(f"{stack.airflow_url}/api/v2/dags/{dag_id}", json={"is_paused": paused}).raise_for_status()


def _scan(observer, table):
    pages = observer.dynamodb.get_paginator("scan").paginate(TableName=f"ecommerce-{table}")
    return [item for page in pages for item in page["Items"]]


def running_task(stack, task_id, dag_id="load_events"):
    """Returns the process id of a task while it runs, or None."""
    url = f"{stack.airflow_url}/api/v2/dags/{dag_id}/dagRuns/~/taskInstances"
    answer = http.get(url, params={"state": "running", "order_by": "-start_date", "limit": 20}).json()
    pids = [t["pid"] for t in answer["task_instances"] if t["task_id"] == task_id and t["pid"]]
    return pids[0] if pids else None


def test_the_page_before_the_first_event(stack):
    with chromium() as browser:
        page = browser.new_page()
        page.goto(f"{stack.airflow_url}/ecommerce/")
        page.get_by_text("No sales yet").wait_for()
        page.get_by_text("No batch has been loaded yet.").first.wait_for()
        page.get_by_text("Nothing is in quarantine.").wait_for()
        assert page.locator("#business").is_hidden()
        assert page.locator(".error:visible").count() == 0


@pytest.fixture(scope="module")
def first_demo(stack):
    """What the first demo of this stack printed."""
    return demo(stack, "--rows", "6000")


def test_the_demo_reconciles(first_demo, observer):
    assert "I1 holds" in first_demo
    assert all(rows > 1900 for rows, _ in observer.core().values())


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_second_demo_adds_nothing(stack, observer, first_demo):
    tables = [t for c in observer.contracts.values() for t in c.tables]
    content, core = digest(observer, *tables), observer.core()
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


def test_airflow_answers_under_names_of_this_machine_alone(stack):
    variables = f"{stack.airflow_url}/api/v2/variables"
    assert http.get(variables).status_code == 200
    assert http.get(variables, headers={"Host": "evil.example"}).status_code == 400


def test_the_asset_carries_the_counts(stack):
    events = http.get(f"{stack.airflow_url}/api/v2/assets/events", params={"limit": 100}).json()["asset_events"]
    carried = {
        None: {"from_trigger", "payload"},  # the watcher of the queue
        "load_events": {"batch_id", "feed", "accepted", "clean", "quarantined", "duplicates"},
        "build_marts": {"marts"},
    }
    assert {event["source_dag_id"] for event in events} == set(carried)
    for event in events:
        assert carried[event["source_dag_id"]] <= set(event["extra"])
    built = [event for event in events if event["source_dag_id"] == "build_marts"]
    assert len(built) == len({event["source_run_id"] for event in built}), "an event a run, not a subject"
    assert any({"mart.sales_daily", "mart.demographics_daily"} <= set(event["extra"]["marts"]) for event in built)


@pytest.mark.timeout(240)
def test_a_batch_that_cannot_be_cleaned_is_red_at_once_and_holds_no_other_feed_up(stack, observer):
    key = "raw/feed=product_events/dt=2026-01-01/hour=00/put-by-hand.jsonl.gz"
    observer.s3.put_object(Bucket=observer.bucket, Key=key, Body=gzip.compress(b"no JSON\n"))

    def red():
        url = f"{stack.airflow_url}/api/v2/dags/load_events/dagRuns/~/taskInstances"
        found = http.get(url, params={"state": "failed", "limit": 100}).json()["task_instances"]
        return [t for t in found if t["task_id"] == "load_batch"]

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


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_marts_follow_loads_at_an_interval_and_a_run_that_is_triggered_waits_for_no_turn(stack, observer):
    """A build that a load triggered waits, deferred; what is loaded meanwhile is in it; who asks ends the wait."""

    def send(seed):
        before = observer.core()["product_events"][0]
        produce(stack, "simulate", "--feed", "product_events", "--count", "1", "--seed", str(seed))
        wait_for(lambda: observer.core()["product_events"][0] == before + 1, 60, "the event in core")

    def published():
        [[at]] = observer.warehouse.query("SELECT MAX(published_at) FROM ops.mart_build")
        return utc(at)

    def waits():
        url = f"{stack.airflow_url}/api/v2/dags/build_marts/dagRuns/~/taskInstances"
        return http.get(url, params={"state": "deferred"}).json()["task_instances"]

    wait_for(lambda: not observer.stale_marts() and not waits(), 300, "the marts")
    send(970)
    wait_for(lambda: not observer.stale_marts(), 300, "the marts", 0.2)
    first = published()
    send(971)
    wait_for(waits, 30, "a build that waits for its turn", 0.1)
    [waiting] = waits()
    assert (waiting["task_id"], waiting["map_index"]) == ("find_stale_subjects", -1)
    send(972)
    wait_for(lambda: not observer.stale_marts(), 300, "the marts with both events", 0.2)
    interval = float(stack.environment()["ECOMMERCE_MARTS_MIN_INTERVAL_SECONDS"])
    url = f"{stack.airflow_url}/api/v2/dags/build_marts/dagRuns/{waiting['dag_run_id']}/taskInstances"
    built = [t for t in http.get(url).json()["task_instances"] if t["task_id"] == "build_dimensions"]
    assert (datetime.fromisoformat(built[0]["start_date"]) - first).total_seconds() >= interval - 1
    assert observer.warehouse.query(
        "SELECT CAST(SUM(stock_change) AS BIGINT) FROM core.fact_product_event"
    ) == observer.warehouse.query("SELECT CAST(SUM(stock_change) AS BIGINT) FROM mart.product_movements_daily")
    send(973)
    wait_for(waits, 30, "a build that waits for its turn", 0.1)
    asked = time.monotonic()
    trigger(stack, "build_marts")
    wait_for(lambda: not waits(), interval, "the end of the wait", 0.1)
    assert time.monotonic() - asked < interval / 2
    wait_for(lambda: not observer.stale_marts(), 300, "the marts", 0.2)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_part_of_the_real_file_by_every_way(stack, observer, online_retail):
    pause(stack, "refresh_dashboards")  # until the whole file is there
    before = observer.core()["online_retail"][0]
    produce(stack, "replay", str(online_retail), "--feed", "online_retail", "--rows", "10000")
    wait_for(lambda: set(observer.ways().values()) == {(before + 10_000, total(observer))}, 180, "each way", 2)


@pytest.mark.slow
def test_invoices_and_customers_of_the_real_file(observer, online_retail):
    """In DynamoDB as in the warehouse: every invoice's lines, units and total, for every customer."""
    sql = """SELECT customer_id, invoice_no, COUNT(*), SUM(quantity), SUM(amount)
             FROM core.fact_invoice_line GROUP BY customer_id, invoice_no"""
    expected = {(c, i): (n, q, Decimal(t)) for c, i, n, q, t in observer.warehouse.query(sql)}
    found = {
        (i["CustomerID"]["S"], i["InvoiceNo"]["S"]): (
            int(i["LineCount"]["N"]),
            int(i["Quantity"]["N"]),
            Decimal(i["Total"]["N"]),
        )
        for i in _scan(observer, "customers")
    }
    assert found == expected
    assert len({invoice for _, invoice in found}) > 512  # the part's, and simulated ones
    # And product by product in the largest invoice, which repeats many.
    sql = "SELECT invoice_no FROM core.fact_invoice_line GROUP BY invoice_no ORDER BY COUNT(*) DESC, invoice_no LIMIT 1"
    [[largest]] = observer.warehouse.query(sql)
    items = observer.dynamodb.query(
        TableName="ecommerce-invoices",
        KeyConditionExpression="InvoiceNo = :n",
        ExpressionAttributeValues={":n": {"S": largest}},
        ConsistentRead=True,
    )["Items"]
    lines = [event_id for item in items for event_id in item["Lines"]["M"]]
    per_item = observer.warehouse.query(
        "SELECT stock_code, COUNT(*), SUM(amount) FROM core.fact_invoice_line WHERE invoice_no = :n GROUP BY stock_code",
        {"n": largest},
    )
    assert {(i["StockCode"]["S"], int(i["LineCount"]["N"]), Decimal(i["Total"]["N"])) for i in items} == {
        (code, count, Decimal(total)) for code, count, total in per_item
    }
    assert len(lines) == len(set(lines)) == sum(count for _, count, _ in per_item) > 400


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_whole_real_file(stack, observer, online_retail):
    """To core and to the marts. The other ways had their part above: they would take minutes more here."""
    stop_other_ways(stack)
    wait_for(lambda: not observer.stale_marts(), 300, "the marts", 1)
    wipe(observer)
    observer.warehouse.run([f"DELETE FROM {mart.table}" for mart in MARTS if mart.table != "core.dim_date"])
    produce(stack, "replay", str(online_retail), "--feed", "online_retail")
    wait_for(
        lambda: observer.core()["online_retail"] == (541909, 541909) and observer.is_idle(), 300, "the whole file", 1
    )
    [row] = observer.warehouse.query(
        """SELECT COUNT(*), SUM(CASE WHEN customer_id = 'unknown' THEN 1 ELSE 0 END), COUNT(DISTINCT invoice_no),
               COUNT(DISTINCT stock_code), COUNT(DISTINCT country), SUM(quantity), COUNT(DISTINCT event_id),
               SUM(CASE WHEN is_zero_price THEN 1 ELSE 0 END), SUM(CASE WHEN line_type = 'cancellation' THEN 1 ELSE 0 END),
               SUM(quantity * unit_price), SUM(amount), MIN(event_time), MAX(event_time)
           FROM core.fact_invoice_line"""
    )
    assert [*map(int, row[:9])] == [541909, 135080, 25900, 3958, 38, 5176450, 541909, 2515, 9288]
    assert [*map(Decimal, row[9:11])] == [Decimal("9747747.934")] * 2
    assert row[11:] == ("2010-12-01 08:26:00.0", "2011-12-09 12:50:00.0")
    repeated = """SELECT COUNT(*) FROM (
        SELECT DISTINCT invoice_no, stock_code, description, quantity, event_time, unit_price, customer_id, country
        FROM core.fact_invoice_line) AS q"""
    # The file's 5,268 repeated lines are kept. Upper case and trimming make some more lines equal to each other.
    assert 541909 - observer.warehouse.query(repeated)[0][0] >= 5268
    assert observer.audit()["online_retail"] == {"accepted": 541909, "clean": 541909, "quarantined": 0, "duplicates": 0}


@pytest.fixture(scope="module")
def known(online_retail):
    return KnownAnswers(online_retail)


@pytest.mark.slow
def test_known_answers_on_the_whole_real_file(observer, known):
    """The marts as the DAGs built them, while the file arrived, against pandas."""
    wait_for(lambda: not observer.stale_marts(), 300, "the marts", 1)
    query = observer.warehouse.query
    for mart, frequency in (("sales_monthly", "M"), ("sales_quarterly", "Q")):
        found = {day: Decimal(net) for day, net in query(f"SELECT period_start, net_revenue FROM mart.{mart}")}
        assert found == known.net_revenue(frequency), mart
    months = query("SELECT period_start, invoices, customers FROM mart.sales_monthly")
    assert {m: (i, c) for m, i, c in months} == known.invoices_and_customers()
    sql = """SELECT period_start, stock_code, net_revenue FROM mart.best_sellers_seasonal
             WHERE revenue_rank <= 10 ORDER BY period_start, revenue_rank"""
    seasons = {}
    for season, product, net in query(sql):
        seasons.setdefault(season, []).append((product, Decimal(net)))
    assert seasons == known.top_products_by_season()
    sql = "SELECT country, SUM(net_revenue) FROM mart.sales_by_country GROUP BY country ORDER BY 2 DESC LIMIT 10"
    assert [(country, Decimal(net)) for country, net in query(sql)] == known.top_countries()
    sql = """SELECT customer_id, first_purchase_date, last_purchase_date, invoices, net_revenue, recency_score,
               frequency_score, monetary_score, segment FROM mart.customer_behaviour"""
    customers = {c: (f, last, n, Decimal(net), (r, fr, m), s) for c, f, last, n, net, r, fr, m, s in query(sql)}
    assert customers == known.customers()
    assert len(customers) == 4339
    failed = query("SELECT mart, check_name, detail FROM ops.check_results WHERE severity = 'fail' AND failed_rows > 0")
    assert failed == []


@pytest.mark.slow
def test_every_dashboard_has_the_rows_of_its_marts(stack, observer, tmp_path):
    pause(stack, "refresh_dashboards", paused=False)
    refresh_dashboards(stack, observer)
    sql_dir = PROJECT / "include" / "sql"
    expected = {d.id: len(observer.warehouse.query(d.sql(sql_dir))) for d in DATA_SETS}
    # The marts of the other feeds were emptied by hand above, without a publication.
    others = {"demographics", "consumption_patterns", "inventory"}
    assert {name: rows for name, rows in observer.dashboards().items() if name not in others} == {
        name: rows for name, rows in expected.items() if name not in others
    }
    assert expected["customer_behaviour"] == 4339

    def extract():
        observer.s3.download_file(observer.bucket, tableau.KEY, str(tmp_path / "extract.hyper"))
        return {name: len(rows) for name, (_, rows) in hyper.tables(tmp_path / "extract.hyper").items()}

    wait_for(lambda: extract() == expected, 60, "the extract", 1)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_failing_sink_is_red_alone(stack, observer):
    """One data set is gone from QuickSight: the others and the extract are refreshed, and the data stays as it is."""
    content, before = digest(observer, "mart.sales_daily"), datetime.now(UTC).replace(microsecond=0)
    observer.quicksight.delete_data_set(AwsAccountId="000000000000", DataSetId="ecommerce-inventory")
    observer.warehouse.run(
        [
            "UPDATE ops.mart_build SET published_at = GETDATE() WHERE mart IN ('mart.inventory_level', 'mart.sales_daily')"
        ]
    )
    run = f"{stack.airflow_url}/api/v2/dags/refresh_dashboards/dagRuns/{trigger(stack, 'refresh_dashboards')}"

    def tasks():
        found = http.get(f"{run}/taskInstances").json()["task_instances"]
        return {t["rendered_map_index"] or t["task_id"]: t["state"] for t in found}

    wait_for(lambda: http.get(run).json()["state"] == "failed", 200, "the end of the run", 1)
    assert [name for name, state in tasks().items() if state == "failed"] == ["ecommerce-inventory"]

    # By this run, or by one that the clock began a moment before.
    def refreshed():
        past = observer.quicksight.list_ingestions(AwsAccountId="000000000000", DataSetId="ecommerce-sales-trends")
        done = [i["CreatedTime"] for i in past["Ingestions"] if i["IngestionStatus"] == "COMPLETED"]
        extract = observer.s3.head_object(Bucket=observer.bucket, Key=tableau.KEY)["LastModified"]
        return min(max(done), extract) >= before

    wait_for(refreshed, 60, "the other data set and the extract", 0.5)
    assert digest(observer, "mart.sales_daily") == content
    # The next deployment puts it back, and with it its data.
    subprocess.run(
        dashboards_command(), cwd=PROJECT, env=os.environ | stack.user_environment(), check=True, capture_output=True
    )
    refresh_dashboards(stack, observer)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_failed_check_is_red_keeps_the_mart_and_alerts(stack, observer):
    """A row that no cleaning would let pass is in core: the mart of its feed stays as it is, the others go on."""
    refresh_dashboards(stack, observer)
    sns, sqs = (stack.client(name) for name in ("sns", "sqs"))
    queue = sqs.create_queue(QueueName="alerts-inbox")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    sns.subscribe(TopicArn="arn:aws:sns:us-east-1:000000000000:ecommerce-alerts", Protocol="sqs", Endpoint=arn)
    before = digest(observer, "mart.demographics_daily", "mart.consumption_monthly")
    marks = (
        "INSERT INTO ops.stale_date SELECT mart, DATE '2026-03-03', 'by hand' FROM ops.mart WHERE source = 'purchases'"
    )
    row = "('by-hand', '2026-03-03 00:00:00', 1, 'k', 'ninety', 'Female', 'CA', 'Novel', 1)"
    observer.warehouse.run([f"INSERT INTO core.fact_purchase VALUES {row}", marks])
    trigger(stack, "build_marts")

    def red():
        url = f"{stack.airflow_url}/api/v2/dags/build_marts/dagRuns/~/taskInstances"
        found = http.get(url, params={"state": "failed", "limit": 100}).json()["task_instances"]
        return [(t["rendered_map_index"], t["try_number"]) for t in found]

    wait_for(red, 90, "the red task", 0.5)
    assert red() == [("demographics", 1)]  # no retry can mend it
    assert digest(observer, "mart.demographics_daily", "mart.consumption_monthly") == before
    [body] = [m["Body"] for m in sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=10)["Messages"]]
    message = json.loads(body)["Message"]
    assert "Mart: mart.demographics_daily\nCheck: age_group is an accepted value\nFound: ninety\n" in message
    assert "Days that wait: 2026-03-03\nMeanwhile the page, dashboards and exports show its content of 20" in message
    assert f"What to do: {stack.airflow_url}/ecommerce/runbooks/check-failed\n" in message
    observer.warehouse.run(["DELETE FROM core.fact_purchase WHERE event_id = 'by-hand'"])
    trigger(stack, "build_marts")
    refresh_dashboards(stack, observer)


def test_tasks_link_to_what_they_touched(stack):
    url = f"{stack.airflow_url}/api/v2/dags/{{}}/dagRuns/~/taskInstances"
    wanted = {
        ("load_events", "load_batch"): {"S3 object": "manifests/", "Redshift statement": "load online_retail"},
        ("build_marts", "build_subject"): {"Redshift statement": "publish mart."},
        ("refresh_dashboards", "extract_for_tableau"): {"S3 object": ""},
        ("refresh_dashboards", "ingest_data_set"): {"QuickSight data set": "Last refreshes"},
    }
    for (dag_id, task_id), links in wanted.items():
        found = http.get(
            url.format(dag_id), params={"state": "success", "order_by": "-start_date", "limit": 100}
        ).json()
        task = next(t for t in found["task_instances"] if t["task_id"] == task_id)
        path = f"{stack.airflow_url}/api/v2/dags/{dag_id}/dagRuns/{task['dag_run_id']}/taskInstances/{task_id}/links"
        shown = http.get(path, params={"map_index": task["map_index"]}).json()["extra_links"]
        for name in links:
            page = http.get(shown[name])
            assert page.status_code == 200, (task_id, name, shown)
        if "QuickSight data set" in links:
            assert links["QuickSight data set"] in http.get(shown["QuickSight data set"]).text
        if task_id == "build_subject":
            assert "ops.stale_date" in http.get(shown["Redshift statement"]).text


@pytest.fixture(scope="module")
def guarded(stack, tmp_path_factory):
    with server_with_login(stack, tmp_path_factory.mktemp("login")) as url:
        yield url


def test_the_page_is_for_those_who_are_signed_in(guarded):
    for path in (
        "/ecommerce/",
        "/ecommerce/data/business",
        "/ecommerce/data/pipeline",
        "/ecommerce/static/page.js",
        "/ecommerce/runbooks/events-in-quarantine",
    ):
        assert http.get(guarded + path).status_code == 401, path
        bearer = {"Authorization": f"Bearer {token(guarded)}"}
        assert http.get(guarded + path, headers=bearer).status_code == 200, path
    for path, code in (
        ("/ecommerce/static/app.py", 404),
        ("/ecommerce/runbooks/..%2F..%2FREADME", 404),
        ("/ecommerce/data/pipeline?feed=nothing", 422),
        ("/ecommerce/data/business?from=x", 422),
    ):
        assert http.get(guarded + path, headers=bearer).status_code == code, path


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_page_in_a_browser_with_a_login(guarded):
    with chromium() as browser:
        context = browser.new_context(viewport={"width": 1440, "height": 900})
        page = context.new_page()
        asked, wrong = [], []
        page.on("request", lambda request: asked.append(request.url))
        sign_in(page, guarded)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        page.get_by_role("link", name="E-commerce").click()
        shop = page.frame_locator("iframe")
        shop.locator("#trend .main-svg").first.wait_for()

        # The real data, its whole year: what the known answers say.
        shop.get_by_role("button", name="All").click()
        shop.locator("#net_revenue strong", has_text="£9.75m").wait_for()
        assert shop.locator("#customers strong").inner_text() == "4,339"
        for id in ("best-sellers", "countries", "segments", "arrivals"):
            shop.locator(f"#{id} .main-svg").first.wait_for()
        assert "REGENCY CAKESTAND 3 TIER" in shop.locator("#best-sellers").inner_text()
        assert "United Kingdom" in shop.locator("#countries").inner_text()
        assert shop.locator("#conserved strong").inner_text() == "holds"
        keep(page, "light")

        # Filters: thirty days are fewer, and a feed shows its own.
        shop.get_by_role("button", name="30 days").click()
        shop.locator("#net_revenue strong:not(:has-text('£9.75m'))").wait_for()
        assert shop.locator("#from").input_value() == "2011-11-10"
        shop.locator("#feed").select_option("online_retail")
        shop.locator("#conservation tbody tr").nth(1).wait_for(state="detached")
        assert shop.locator("#conservation tbody tr td").first.inner_text() == "online_retail"
        # Days in the wrong order are said to be, and the previous figures stay.
        shop.locator("#from").fill("2011-12-01")
        shop.locator("#to").fill("2011-11-01")
        shop.get_by_text("expected 1 to").wait_for()
        assert shop.locator("#net_revenue strong").inner_text().startswith("£")
        shop.get_by_role("button", name="1 year").click()
        shop.locator("#business-error").wait_for(state="hidden")

        # Airflow's own theme, changed while the page is open.
        frame = page.frames[-1]
        ground = frame.evaluate("getComputedStyle(document.body).backgroundColor")
        page.evaluate("localStorage.setItem('theme', 'dark')")
        page.reload()
        page.frame_locator("iframe").locator("#trend .main-svg").first.wait_for()
        frame = page.frames[-1]
        assert frame.evaluate("document.documentElement.dataset.theme") == "dark"
        assert frame.evaluate("getComputedStyle(document.body).backgroundColor") != ground
        keep(page, "dark")

        # What to do, from where it is shown.
        frame.locator("#what-to-do").click()
        frame.get_by_role("heading", name="Events are in quarantine").wait_for()

        narrow = context.new_page()
        narrow.set_viewport_size({"width": 390, "height": 844})
        narrow.goto(f"{guarded}/ecommerce/")
        narrow.locator("#trend .main-svg").first.wait_for()
        assert narrow.evaluate("document.documentElement.scrollWidth") <= 390
        keep(narrow, "narrow")

        ours = [url for url in asked if "/ecommerce/" in url]
        assert ours
        assert [url for url in asked if not url.startswith((guarded, "data:", "blob:"))] == []
        assert [text for text in wrong if "422" not in text] == []


def test_runbooks_that_the_page_names_exist():
    page = (PROJECT / "plugins/ecommerce_elt/page/static/index.html").read_text()
    named = set(re.findall(r'href="runbooks/([a-z-]+)"', page))
    assert named
    assert all((PROJECT / "docs/runbooks" / f"{name}.md").exists() for name in named)


@pytest.mark.nightly
@pytest.mark.timeout(420)
def test_killing_a_build_leaves_the_same_marts(stack, observer):
    """SIGKILL of the task in the middle of its marts: a later try ends in what a rebuild gives."""
    produce(stack, *SIMULATED)
    wait_for(lambda: observer.core()["online_retail"][0] and observer.is_idle(), 120, "core")
    refresh_dashboards(stack, observer)
    marts = [mart.table for mart in MARTS if mart.subject == "products"]
    content = digest(observer, *marts)
    subject = "SELECT DISTINCT '{}', event_date, 'killed' FROM (SELECT DISTINCT CAST(event_time AS DATE) AS event_date FROM core.fact_invoice_line) AS q"
    observer.warehouse.run(
        [
            f"INSERT INTO ops.stale_date {subject.format(mart)}"
            for mart in ("mart.product_sales_daily", "mart.basket_pairs_monthly")
        ]
    )
    trigger(stack, "build_marts")
    _kill_task("build_subject", "build_marts")(stack)
    refresh_dashboards(stack, observer)
    assert digest(observer, *marts) == content


@pytest.fixture(scope="module")
def undisturbed(stack):
    """The content that a run without any kill leaves: (events in raw, digest of core)."""
    observer = Observer.of(stack)
    for dag_id in ("build_marts", "refresh_dashboards"):
        pause(stack, dag_id)  # what follows is about the load
    wipe(observer)
    before = observer.stored()
    produce(stack, *SIMULATED)
    wait_for(lambda: sum(observer.lines(observer.stored() - before).values()) == 30_000, 60, "raw")
    events = observer.lines(observer.stored() - before)["online_retail"]
    wait_until_loaded(observer, events)
    return events, digest(observer, "core.fact_invoice_line")


def _kill_task(task_id, dag_id="load_events"):
    def kill(stack):
        pids = []
        wait_for(lambda: pids.append(running_task(stack, task_id, dag_id)) or pids[-1], 60, task_id, 0.02)
        psutil.Process(pids[-1]).kill()

    return kill


def _kill_scheduler(stack):
    wait_for(lambda: running_task(stack, "load_batch"), 60, "a running task", 0.02)
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


def _wait_for_a_load(stack):
    client = Observer.of(stack).warehouse.client

    def is_loading():
        return client.list_statements(Status="STARTED", StatementName="load online_retail")["Statements"]

    wait_for(is_loading, 60, "a load", 0.01)


def _kill_loading_task(stack):
    _wait_for_a_load(stack)
    psutil.Process(running_task(stack, "load_batch")).kill()


def _kill_redshift(stack):
    _wait_for_a_load(stack)
    [redshift] = [p for p in members(stack) if "local.redshift" in p.cmdline()]
    redshift.kill()


@pytest.mark.slow
@pytest.mark.timeout(420)
@pytest.mark.parametrize(
    "kill",
    [
        pytest.param(_kill_task("load_batch"), id="cleaning_task"),
        pytest.param(_kill_loading_task, id="loading_task"),
        pytest.param(_kill_task("claim_batches"), id="claiming_task"),
        pytest.param(_kill_scheduler, id="scheduler"),
        pytest.param(_kill_redshift, id="redshift"),
    ],
)
def test_a_kill_leaves_the_same_content(stack, observer, undisturbed, kill):
    events, content = undisturbed
    wipe(observer)
    with ThreadPoolExecutor(1) as pool:  # the first claim may be over before the last event is sent
        sent = pool.submit(produce, stack, *SIMULATED)
        kill(stack)
        sent.result()
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
