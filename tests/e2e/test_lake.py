"""Whole files and the lake, from landing/ to Athena, with Airflow, as a user would do it."""

import csv
import gzip
import importlib.util
import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
import traceback
from datetime import datetime
from fnmatch import fnmatchcase
from itertools import chain, islice

import pandas as pd
import pytest
from ecommerce_elt.errors import PermanentError
from ecommerce_elt.lake import lists, parquet_files

from local.observer import Observer
from local.stack import STAGES
from local.supervision import Supervisor, wait_for
from producer.simulate import simulated
from tests.conftest import PROJECT
from tests.e2e import iam, search
from tests.e2e.conftest import LINEAGE
from tests.lambdas import test_no_values
from tests.plugins.test_no_values import FILES, OBJECTS, PURCHASE
from tests.support import http
from tests.support.spreadsheets import as_zip

pytestmark = [pytest.mark.stack, pytest.mark.slow]
RECORDS_CALLS = True


@pytest.fixture(scope="module")
def observer(stack):
    return Observer.of(stack)


@pytest.fixture
def inbox(stack):
    """A queue that is subscribed to the alerts; returns those with a word, once there are so many."""
    sns, sqs = stack.client("sns"), stack.client("sqs")
    url = sqs.create_queue(QueueName="inbox")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    sns.subscribe(TopicArn="arn:aws:sns:us-east-1:000000000000:ecommerce-alerts", Protocol="sqs", Endpoint=arn)
    got = []

    def received(word, count):
        def enough():
            found = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
            got.extend(json.loads(message["Body"]) for message in found)
            return sum(word in message["Subject"] for message in got) >= count

        wait_for(enough, 180, f"{count} alerts of {word}", 0.5)
        return got

    return received


def as_csv(feed, count, seed, bad=()):
    """A file of simulated records as a shop would export it; `bad` are lines that break the contract."""
    records = [data for _, data, _ in simulated(feed, count, seed, 0.0)]
    out = io.StringIO()
    writer = csv.DictWriter(out, list(records[0]))
    writer.writeheader()
    writer.writerows(records)
    return out.getvalue().encode() + b"".join(line + b"\n" for line in bad)


def land(observer, key, body):
    observer.s3.put_object(Bucket=observer.bucket, Key=key, Body=body)


def report(observer, key, seconds=300):
    """The report beside a landed file, once it is there."""

    def found():
        return [k for k in observer.keys(key + ".") if k.endswith(".report.json")]

    def read():
        return json.loads(observer.s3.get_object(Bucket=observer.bucket, Key=found()[-1])["Body"].read())

    wait_for(lambda: found() and read()["state"] != "unfinished", seconds, f"the report of {key}", 0.3)
    return read()


def trigger(stack, dag_id, **conf):
    """Returns the URL of a new run."""
    answer = http.post(f"{stack.airflow_url}/api/v2/dags/{dag_id}/dagRuns", json={"logical_date": None, "conf": conf})
    return f"{stack.airflow_url}/api/v2/dags/{dag_id}/dagRuns/{answer.raise_for_status().json()['dag_run_id']}"


def run(stack, dag_id, **conf):
    """Triggers a run, waits for its end, and returns its state and its tasks."""
    return ended(trigger(stack, dag_id, **conf))


def ended(url):
    """Waits for the end of a run, and returns its state and its tasks."""
    wait_for(lambda: http.get(url).json()["state"] in {"success", "failed"}, 400, f"the end of {url}", 0.5)
    tasks = http.get(f"{url}/taskInstances").json()["task_instances"]
    return http.get(url).json()["state"], {task["task_id"]: task for task in tasks}


def ask(stack, sql, *parameters):
    """Rows of a query, and the bytes that it read."""
    athena = stack.client("athena")
    request = {"ExecutionParameters": list(parameters)} if parameters else {}
    query_id = athena.start_query_execution(
        QueryString=sql, WorkGroup="ecommerce", QueryExecutionContext={"Database": "ecommerce_lake"}, **request
    )["QueryExecutionId"]

    def ended():
        found = athena.get_query_execution(QueryExecutionId=query_id)["QueryExecution"]
        return found if found["Status"]["State"] not in {"QUEUED", "RUNNING"} else None

    wait_for(ended, 60, "the query", 0.1)
    assert ended()["Status"]["State"] == "SUCCEEDED", ended()["Status"]
    rows = athena.get_query_results(QueryExecutionId=query_id)["ResultSet"]["Rows"][1:]
    return [[c.get("VarCharValue") for c in row["Data"]] for row in rows], ended()["Statistics"]["DataScannedInBytes"]


def test_a_landed_file_is_loaded_and_reported(stack, observer):
    bad = [b"2026-01-05T00:00:00Z,,1,2.50", b"2026-01-05T00:00:00Z,P1,many,2.50"]
    land(observer, "landing/product_events/shop one/events.csv", as_csv("product_events", 2000, 71, bad))
    found = report(observer, "landing/product_events/shop one/events.csv")
    assert {k: found[k] for k in ("state", "rows", "accepted", "clean", "quarantined", "duplicates")} == {
        "state": "loaded",
        "rows": 2002,
        "accepted": 2002,
        "clean": 2000,
        "quarantined": 2,
        "duplicates": 0,
    }
    assert [(r["line"], [(x["column_name"], x["rule"]) for x in r["reasons"]]) for r in found["rejected"]] == [
        (2002, [("product_id", "required")]),
        (2003, [("quantity", "type")]),
    ]
    assert observer.core()["product_events"][0] == 2000
    land_events = [k for k in observer.keys("raw/feed=product_events/") if "/landed-" in k]
    assert len(land_events) == 1


def test_streaming_and_loading_the_same_file_end_in_the_same_rows_also_in_parallel(stack, observer, tmp_path):
    before = observer.core()["product_events"][0]
    file = tmp_path / "both.csv"
    file.write_bytes(as_csv("product_events", 20_000, 72))
    command = [sys.executable, "-m", "producer", "replay", str(file), "--feed", "product_events"]
    env = os.environ | stack.user_environment()
    streaming = threading.Thread(
        target=lambda: subprocess.run(command, cwd=PROJECT, env=env, check=True, capture_output=True)
    )
    streaming.start()
    land(observer, "landing/product_events/both.csv", file.read_bytes())
    found = report(observer, "landing/product_events/both.csv")
    streaming.join()
    assert found["state"] == "loaded"

    def streamed():
        audit = observer.audit()["product_events"]
        return audit["accepted"] == 2002 + 2 * 20_000 and observer.is_idle()

    wait_for(streamed, 120, "the streamed events", 0.5)
    assert observer.core()["product_events"][0] == before + 20_000
    # The lake has each of them once, too, although both ways wrote files.
    assert run(stack, "catalog_lake")[0] == "success"
    [[events, distinct]], _ = ask(stack, "SELECT COUNT(*), COUNT(DISTINCT event_id) FROM product_events")
    assert (int(events), int(distinct)) == (before + 20_000, before + 20_000)


def test_a_bad_file_is_red_with_a_report_that_names_the_line_and_logs_that_keep_its_values(stack, observer):
    old = b'X,"1 Y, Z, NY 10001",(555) 123-4567,200,Female,Novel,5.00,2026-01-01 00:00:00'
    rows = as_csv("purchases", 50, 73, [old]).replace(b"Purchase Date", b"Bought At", 1)
    secret = rows.splitlines()[1].split(b",")[0].strip(b'"').decode()
    land(observer, "landing/purchases/wrong header.csv", rows)
    land(
        observer, "landing/purchases/not utf-8.csv", as_csv("purchases", 5, 74) + b"caf\xe9 " + secret.encode() + b",\n"
    )
    found = report(observer, "landing/purchases/wrong header.csv")
    assert found["state"] == "failed"
    assert "has no column Purchase Date" in found["error"]
    found = report(observer, "landing/purchases/not utf-8.csv")
    assert "is not UTF-8" in found["error"]
    logs = [p.read_text(errors="replace") for p in (stack.airflow_home / "logs").rglob("dag_id=load_history/**/*.log")]
    assert any("cannot be loaded; why, and in which line" in text for text in logs)
    assert not any(secret in text for text in logs)
    url = f"{stack.airflow_url}/api/v2/dags/load_history/dagRuns"
    # One run for both, or two where the first was found before the second was there.
    wait_for(lambda: http.get(url, params={"state": "failed"}).json()["total_entries"] in {1, 2}, 180, "red runs", 0.5)
    wait_for(lambda: http.get(url, params={"state": "running"}).json()["total_entries"] == 0, 180, "their end", 0.5)


def test_a_replay_says_what_it_would_do_and_does_it(stack, observer):
    where = "FROM ops.quarantine WHERE feed = 'product_events' AND state = 'open'"
    rejected = observer.warehouse.query(f"SELECT reasons {where} ORDER BY source_line")
    assert rejected == [("product_id: required",), ("quantity: type",)]
    before = observer.audit()["product_events"]

    def outcome(task, key="return_value", **conf):
        state, tasks = run(stack, "replay_quarantine", feed="product_events", **conf)
        assert state == "success", tasks
        url = f"{stack.airflow_url}/api/v2/dags/replay_quarantine/dagRuns/{tasks[task]['dag_run_id']}/taskInstances/{task}"
        return http.get(f"{url}/xcomEntries/{key}", params={"deserialize": True}).json()["value"]

    outlook = outcome("choose_events", "outlook")
    assert {k: outlook[k] for k in ("chosen", "clean", "rejected", "gone")} == {
        "chosen": 2,
        "clean": 0,
        "rejected": 2,
        "gone": 0,
    }
    assert [example["now"] for example in outlook["examples"]] == ["product_id: required", "quantity: type"]
    assert observer.audit()["product_events"] == before
    done = outcome("report_replay", dry_run=False)
    assert {k: done[k] for k in ("accepted", "clean", "quarantined")} == {"accepted": 2, "clean": 0, "quarantined": 2}
    assert outcome("report_replay", dry_run=False, action="dismiss", rule="type")["dismissed"] == 1
    assert observer.warehouse.query(f"SELECT reasons {where}") == [("product_id: required",)]


def test_by_hand_with_a_parameter_and_on_glue(stack, observer):
    pytest.importorskip("pyspark", reason="make setup-spark")
    key = "landing/purchases/wrong header.csv"
    state, tasks = run(stack, "load_history", key=key, engine="glue", columns={"Purchase Date": "Bought At"})
    assert state == "success", report(observer, key)
    assert (report(observer, key)["clean"], report(observer, key)["quarantined"]) == (50, 1)
    assert observer.core()["purchases"][0] == 50
    [job] = stack.client("glue").get_job_runs(JobName="ecommerce-clean-events")["JobRuns"]
    assert job["JobRunState"] == "SUCCEEDED"
    assert tasks["load_batch"]["rendered_map_index"] == "purchases"


def test_small_files_dropped_at_once_share_runs_and_each_has_its_report(stack, observer):
    url = f"{stack.airflow_url}/api/v2/dags/load_history/dagRuns"
    before, runs = observer.core()["purchases"][0], http.get(url).json()["total_entries"]
    files = {f"landing/purchases/2026/{n:02}.csv": as_csv("purchases", 20 + n, 300 + n) for n in range(20)}
    torn = "landing/purchases/2026/torn.csv"
    for key, body in {**files, torn: b"no header\n"}.items():
        land(observer, key, body)
    assert report(observer, torn)["state"] == "failed"
    assert [report(observer, key)["clean"] for key in files] == [20 + n for n in range(20)]
    assert observer.core()["purchases"][0] == before + sum(20 + n for n in range(20))
    wait_for(
        lambda: http.get(url, params={"state": "running"}).json()["total_entries"] == 0, 180, "their runs' end", 0.5
    )
    assert http.get(url).json()["total_entries"] - runs <= 4  # by when the files were found


def test_athena_has_what_the_warehouse_has_and_reads_no_more_than_it_must(stack, observer, online_retail):
    with gzip.open(online_retail) as file:
        lines = list(islice(file, 60_001))
    land(observer, "landing/online_retail/start.csv", b"".join(lines))
    assert report(observer, "landing/online_retail/start.csv", 200)["clean"] == 60_000
    assert run(stack, "catalog_lake")[0] == "success"
    sql = (PROJECT / "include/sql/athena/sales_by_day.sql").read_text()
    found, scanned = ask(stack, sql, "'2010-01-01'", "'2012-01-01'")
    expected = observer.warehouse.query(
        "SELECT CAST(CAST(event_time AS DATE) AS VARCHAR), COUNT(*), COUNT(DISTINCT invoice_no), SUM(quantity), SUM(amount) "
        "FROM core.fact_invoice_line GROUP BY 1 ORDER BY 1"
    )
    assert [tuple(row) for row in found] == [tuple(str(value) for value in row) for row in expected]
    one_day, of_it = ask(stack, sql, "'2010-12-03'", "'2010-12-03'")
    assert one_day == [row for row in found if row[0] == "2010-12-03"]
    day = "clean/feed=online_retail/dt=2010-12-03/"
    listed = observer.s3.list_objects_v2(Bucket=observer.bucket, Prefix=day)["Contents"]
    assert of_it == sum(entry["Size"] for entry in listed) < scanned / 10

    # One object in place, as with S3 Select.
    sql = (PROJECT / "include/sql/athena/one_object.sql").read_text()
    rows, read = ask(stack, sql, "'2010-12-03'", f"'s3://{observer.bucket}/{listed[0]['Key']}'")
    assert read == listed[0]["Size"]
    assert rows


def test_a_crawler_that_dies_is_run_again_and_events_are_queried_meanwhile(stack, observer):
    """SIGKILL of Glue in the middle of the crawls: loads and queries go on, and the same run catalogues what came."""
    glue = stack.client("glue")

    def crawling():
        return [c for c in glue.get_crawlers()["Crawlers"] if c["State"] == "RUNNING"]

    before = {c["Name"]: c["LastCrawl"]["StartTime"] for c in glue.get_crawlers()["Crawlers"]}
    url = trigger(stack, "catalog_lake")
    wait_for(crawling, 60, "a crawl", 0.01)
    [pid] = [part["pid"] for part in Supervisor(stack).states() if part["name"] == "glue"]
    os.kill(pid, signal.SIGKILL)
    land(observer, "landing/product_events/meanwhile.csv", as_csv("product_events", 20, 72))
    assert report(observer, "landing/product_events/meanwhile.csv")["clean"] == 20
    assert ended(url)[0] == "success"
    crawls = {c["Name"]: c["LastCrawl"] for c in glue.get_crawlers()["Crawlers"]}
    assert {name: crawl["Status"] for name, crawl in crawls.items()} == dict.fromkeys(before, "SUCCEEDED")
    assert all(crawl["StartTime"] > before[name] for name, crawl in crawls.items())
    found, _ = ask(stack, "SELECT COUNT(*) FROM product_events")
    [[rows]] = observer.warehouse.query("SELECT COUNT(*) FROM core.fact_product_event")
    assert found == [[str(rows)]]


def test_named_queries_are_in_the_workgroup(stack):
    athena = stack.client("athena")
    ids = athena.list_named_queries(WorkGroup="ecommerce")["NamedQueryIds"]
    names = {athena.get_named_query(NamedQueryId=i)["NamedQuery"]["Name"] for i in ids}
    assert names == {path.stem for path in (PROJECT / "include/sql/athena").glob("*.sql")}


def test_quarantine_is_summarised_by_reason(stack):
    rows, _ = ask(stack, (PROJECT / "include/sql/athena/quarantine_by_reason.sql").read_text())
    assert ["product_events", "product_id: required, expected a value"] in [[row[0], row[2]] for row in rows]
    state, tasks = run(stack, "catalog_lake")
    assert (state, tasks["summarise_quarantine"]["state"]) == ("success", "success")


def test_maintenance_makes_few_files_of_many_and_changes_no_row(stack, observer):
    counts = "SELECT COUNT(*), COUNT(DISTINCT event_id), SUM(quantity) FROM product_events"
    before, _ = ask(stack, counts)
    state, tasks = run(stack, "maintain_lake")
    assert state == "success", tasks
    assert ask(stack, counts)[0] == before
    published = [k for k in observer.keys("published/feed=product_events/") if k.endswith("symlink.txt")]
    lists = [observer.s3.get_object(Bucket=observer.bucket, Key=k)["Body"].read().split() for k in published]
    assert {len(urls) for urls in lists} == {1}
    assert any(b"/compacted-" in urls[0] for urls in lists)


def test_tasks_link_to_the_table_of_the_lake(stack):
    url = f"{stack.airflow_url}/api/v2/dags/load_history/dagRuns/~/taskInstances"
    task = next(
        t for t in http.get(url, params={"state": "success"}).json()["task_instances"] if t["task_id"] == "load_batch"
    )
    link = http.get(
        f"{stack.airflow_url}/api/v2/dags/load_history/dagRuns/{task['dag_run_id']}/taskInstances/{task['task_id']}/links",
        params={"map_index": task["map_index"]},
    ).json()["extra_links"]["Glue table"]
    page = http.get(link)
    assert page.status_code == 200
    assert "event_time" in page.text


# -- personal data, and what strangers write -----------------------------------------------------------------------------------

MARKED = {
    "Name": "Quirinius Zzyzx",
    "Address": "1 Zzyzx Road, Marktown, NY 10001",
    "Phone": "(555) 867-5309",
    "Age": "36",
    "Gender": "Female",
    "Product Name": "Novel",
    "Amount": "9.50",
    "Purchase Date": "2026-02-03 10:00:00",
}
MARKS = ["Quirinius", "Zzyzx", "Marktown", "867-5309", "8675309"]
HOSTILE = [
    "'; DROP TABLE core.fact_purchase; --",
    '"); DELETE FROM ops.batch_audit; --',
    "{{ 1/0 }}",
    "${jndi:ldap://x}",
    "$$; --",
    "\\'; --",
    "%s%(x)s{x}",
    "<script>alert(1)</script>",
    "../../raw/x",
    "a\nb;--",
]


def put(stack, *lines):
    """Puts lines on the stream as a client that has the right to."""
    records = [
        {"Data": line if isinstance(line, bytes) else json.dumps(line).encode(), "PartitionKey": str(n)}
        for n, line in enumerate(lines)
    ]
    for start in range(0, len(records), 500):
        answer = stack.client("kinesis").put_records(
            StreamName="ecommerce-events", Records=records[start : start + 500]
        )
        assert answer["FailedRecordCount"] == 0


def event(feed, event_id, data):
    return {
        "event_id": event_id,
        "feed": feed,
        "schema_version": 1,
        "event_time": "2026-02-03T10:00:00Z",
        "sent_at": "2026-02-03T10:00:00Z",
        "data": data,
    }


def loaded(observer, feed, before, count):
    wait_for(
        lambda: observer.audit().get(feed, {}).get("accepted", 0) == before + count and observer.is_idle(),
        120,
        f"{count} events of {feed}",
        0.5,
    )


def hostile_events(feed):
    """Every text of HOSTILE in every field, and in the id."""
    [(_, good, _)] = islice(simulated(feed, 1, 1, 0.0), 1)
    fields = [(header, n, text) for header in good for n, text in enumerate(HOSTILE)]
    # Two customers of one invoice would be caught by a check of the marts.
    own = [{"InvoiceNo": f"9{n:05d}"} if "InvoiceNo" in good else {} for n in range(len(fields))]
    return [
        *(
            event(feed, f"wild-{feed}-{header}-{n}", good | invoice | {header: text})
            for (header, n, text), invoice in zip(fields, own, strict=True)
        ),
        *(event(feed, f"wild-{feed}-{n}-{text}", good) for n, text in enumerate(HOSTILE)),
    ]


def test_what_strangers_write_is_data_and_never_code(stack, observer):
    before = {feed: counts["accepted"] for feed, counts in observer.audit().items()}
    tables = observer.warehouse.query("SELECT COUNT(*) FROM information_schema.tables")
    files = {f"landing/purchases/{text.replace('/', '')}.csv": n for n, text in enumerate(HOSTILE[:3])}
    for key, n in files.items():
        land(observer, key, as_csv("purchases", 20, 80 + n))
    wild = {feed: hostile_events(feed) for feed in observer.contracts}
    put(stack, *chain.from_iterable(wild.values()))
    for key in files:
        assert report(observer, key)["clean"] == 20
    for feed, events in wild.items():
        landed = 20 * len(files) if feed == "purchases" else 0
        loaded(observer, feed, before.get(feed, 0), len(events) + landed)
    # Where the contract lets any text through, it comes out as it went in.
    kept = {
        row[0]
        for row in observer.warehouse.query(
            "SELECT description FROM core.fact_invoice_line WHERE event_id LIKE 'wild-%'"
        )
    }
    assert {text for text in HOSTILE if "\n" not in text} <= kept
    ids = {
        row[0]
        for row in observer.warehouse.query(
            "SELECT event_id FROM core.fact_purchase WHERE event_id LIKE 'wild-purchases-%'"
        )
    }
    assert {f"wild-purchases-{n}-{text}" for n, text in enumerate(HOSTILE)} <= ids
    # Every parameter of a run.
    for key in (HOSTILE[0], next(iter(files))):
        state, _ = run(
            stack,
            "load_history",
            key=key,
            encoding=HOSTILE[1],
            delimiter=HOSTILE[0],
            sheet=HOSTILE[2],
            columns={HOSTILE[0]: HOSTILE[1]},
            data_set=HOSTILE[0],
        )
        assert state == "failed", key
    assert observer.warehouse.query("SELECT COUNT(*) FROM information_schema.tables") == tables
    for feed, counts in observer.audit().items():
        assert counts["accepted"] == counts["clean"] + counts["quarantined"] + counts["duplicates"], feed


def refused_by_the_stream(stack, observer):
    """Marked records that are no envelopes, or not of their contract, in every way in which reading one fails."""
    before = audited(observer)
    names = [name for name in test_no_values.RECORDS if name not in {"array", "invoice", "invoice_broken"}]
    put(stack, *(test_no_values.RECORDS[name].replace(b'"e1"', f'"poison-{name}"'.encode()) for name in names))
    wait_for(lambda: audited(observer) >= before + len(names) and observer.is_idle(), 120, "the poison records", 0.5)


def audited(observer):
    return sum(counts["accepted"] for feed, counts in observer.audit().items() if feed in {"purchases", "_unreadable"})


def refused_by_the_api(stack):
    env = os.environ | stack.user_environment()
    headers = {"x-api-key": env["ECOMMERCE_API_KEY"], "Content-Type": "application/json"}
    for name in (
        "torn_json",
        "no_json",
        "cp1252",
        "nan",
        "key_twice",
        "half_a_pair",
        "version_is_a_name",
        "feed_is_a_name",
        "key_is_a_name",
        "time_is_an_object",
        "data_is_a_name",
        "digits",
    ):
        answer = http.post(
            f"{env['ECOMMERCE_API_URL']}/events", headers=headers, content=test_no_values.RECORDS[name], timeout=30
        )
        assert answer.status_code == 400, (name, answer.text)
        assert [mark for mark in MARKS if mark in answer.text] == [], name


def refused_files(stack, observer, tmp_path):
    """Marked files in every way in which one cannot be read: landed, and by the producer."""
    files = {
        f"landing/purchases/broken/{name} {file}": body for name, (file, body, flags, _) in FILES.items() if not flags
    }
    for key, body in files.items():
        land(observer, key, body)
    for key in files:
        found = report(observer, key)
        assert (found["state"], [mark for mark in MARKS if mark in json.dumps(found)]) == ("failed", []), key
    key = "landing/purchases/broken/cp1252 a.csv"
    state, _ = run(stack, "load_history", key=key, encoding="ascii")
    assert (state, report(observer, key)["state"]) == ("failed", "failed")
    env = os.environ | stack.user_environment()
    for name in (
        "cp1252",
        "open_quote",
        "too_long",
        "torn_header",
        "broken_gzip",
        "dates_of_any_order",
        "both_marks",
        "broken_cell",
        "two_sheets",
    ):
        path = tmp_path / FILES[name][0]
        path.write_bytes(FILES[name][1])
        command = [sys.executable, "-m", "producer", "replay", str(path), "--feed", "purchases"]
        done = subprocess.run(command, cwd=PROJECT, env=env, capture_output=True, text=True)
        assert (done.returncode, "producer: " in done.stderr) == (1, True), done.stderr
        assert [mark for mark in MARKS if mark in done.stdout + done.stderr] == [], name


def red_loads(stack, feed):
    url = f"{stack.airflow_url}/api/v2/dags/load_events/dagRuns/~/taskInstances"
    found = http.get(url, params={"state": "failed", "limit": 100}).json()["task_instances"]
    return sum(task["task_id"] == "load_batch" and task["rendered_map_index"] == feed for task in found)


def open_batch_with(observer, key):
    """The marker of the batch that has a raw object, or None."""
    for marker in observer.keys("manifests/open/"):
        manifest = f"manifests/{marker.rpartition('/')[2]}.json"
        if key in observer.s3.get_object(Bucket=observer.bucket, Key=manifest)["Body"].read().decode():
            return marker
    return None


def refused_by_both_engines(stack, observer, key, line):
    """A raw object with a line that no engine can read, as a hand put it there."""
    before = red_loads(stack, "purchases")
    land(observer, key, gzip.compress(PURCHASE + b"\n" + line + b"\n"))
    wait_for(lambda: red_loads(stack, "purchases") > before, 120, "the red task", 0.5)
    marker = open_batch_with(observer, key)
    if importlib.util.find_spec("pyspark"):
        glue = stack.client("glue")
        name, arguments = "ecommerce-clean-events", {"--batch_id": marker.rpartition("/")[2]}
        run_id = glue.start_job_run(JobName=name, Arguments=arguments)["JobRunId"]

        def ended():
            found = glue.get_job_run(JobName=name, RunId=run_id)["JobRun"]
            return found if found["JobRunState"] in {"SUCCEEDED", "FAILED"} else None

        wait_for(ended, 120, "the job", 0.5)
        assert f"a raw object holds no JSON lines: {key} line 2: " in ended()["ErrorMessage"]
    for gone in (key, marker):
        observer.s3.delete_object(Bucket=observer.bucket, Key=gone)


def refused_by_the_engines(stack, observer):
    for number, name in enumerate(("torn_json", "version_is_a_name")):
        key = f"raw/feed=purchases/dt=2026-02-03/hour=0{number}/put-by-hand.jsonl.gz"
        refused_by_both_engines(stack, observer, key, OBJECTS[name])
    wait_for(observer.is_idle, 180, "an idle pipeline")
    key = "manifests/refused/rows.json"  # where the role of COPY may read
    land(observer, key, json.dumps({"event_id": "Quirinius" * 99}).encode())
    copy = f"COPY staging.purchases FROM 's3://{observer.bucket}/{key}' IAM_ROLE default FORMAT AS JSON 'auto'"
    for sql, values in ((copy, {}), ("SELECT CAST(:name AS INTEGER)", {"name": "Quirinius Zzyzx"})):
        with pytest.raises(PermanentError) as raised:
            observer.warehouse.run([sql], values)
        assert [mark for mark in MARKS if mark in "".join(traceback.format_exception(raised.value))] == []
    observer.s3.delete_object(Bucket=observer.bucket, Key=key)


def test_marked_personal_data_is_in_raw_and_in_the_landed_file_alone(stack, observer, calls, tmp_path):
    before = observer.audit().get("purchases", {}).get("accepted", 0)
    broken = [
        MARKED | change
        for change in (
            {"Age": "Quirinius"},
            {"Gender": "Zzyzx"},
            {"Amount": "867-5309"},
            {"Purchase Date": "8675309"},
            {"Phone": "8675309 Zzyzx"},
            {"Address": "Marktown"},
            {"Name": ""},
            {"Gender": "(555) 867-5309"},
            {"Age": "8675309"},
        )
    ]
    put(
        stack,
        *(event("purchases", f"marked-{n}", data) for n, data in enumerate([MARKED, *broken])),
        b"no envelope: Quirinius Zzyzx (555) 867-5309",
        json.dumps(MARKED).encode(),
    )
    loaded(observer, "purchases", before, 2 + len(broken))  # with the one that has no envelope
    unreadable = "quarantine/unreadable/"
    wait_for(
        lambda: search.in_objects(observer, ["Zzyzx"], ("raw/", "clean/", "published/", "firehose/")) != set(),
        60,
        "what is no envelope",
        1,
    )
    text = io.StringIO()
    writer = csv.DictWriter(text, list(MARKED))
    writer.writeheader()
    writer.writerows([MARKED, *broken])
    land(observer, "landing/purchases/people.csv", text.getvalue().encode())
    assert report(observer, "landing/purchases/people.csv")["accepted"] == 1 + len(broken)
    land(observer, "landing/purchases/people without header.csv", text.getvalue().partition("\n")[2].encode())
    assert report(observer, "landing/purchases/people without header.csv")["state"] == "failed"
    refused_by_the_stream(stack, observer)
    refused_by_the_api(stack)
    refused_files(stack, observer, tmp_path)
    refused_by_the_engines(stack, observer)
    assert run(stack, "catalog_lake")[0] == "success"
    rows, _ = ask(stack, "SELECT * FROM purchases WHERE event_id LIKE 'marked-%'")
    assert rows
    wait_for(lambda: not observer.stale_marts(), 300, "the marts", 0.5)

    landed = {key for key in observer.keys("landing/purchases/") if not key.endswith(".report.json")}
    keys = search.in_objects(observer, MARKS, ())
    assert any(key.startswith("raw/feed=purchases/") for key in keys)
    assert any(key.startswith(unreadable) for key in keys)
    assert {
        key for key in keys if not key.startswith(("raw/feed=purchases/", unreadable)) and key not in landed
    } == set()
    assert search.in_warehouse(observer, MARKS) == set()
    assert search.in_dynamodb(observer, MARKS) == set()
    assert search.in_metadata(stack, MARKS) == set()
    folders = [stack.logs, stack.airflow_home, stack.state / "work", stack.state / "tmp", calls]
    assert search.in_files(folders, MARKS) == set()
    token = http.get(f"{stack.airflow_url}/auth/token").json()["access_token"]
    for path in ("business", "pipeline"):
        page = http.get(f"{stack.airflow_url}/ecommerce/data/{path}", headers={"Authorization": f"Bearer {token}"})
        assert page.status_code == 200
        assert [mark for mark in MARKS if mark in page.text] == []


VANISHED = {
    "Name": "Eveline Vanisher",
    "Address": "9 Vanisher Lane, Gonetown, NY 10001",
    "Phone": "+1 (555) 321-7788",
    "Age": "36",
    "Gender": "Female",
    "Product Name": "Novel",
    "Amount": "9.50",
    "Purchase Date": "2026-02-03 10:00:00",
}
SHOPS_NUMBER = "88-vanisher-88"


def test_features_are_exported_and_read_by_pandas(stack, observer, online_retail):
    """A year of some customers of the real file, from landing/ to pandas; the second run of the same cut-offs writes nothing."""
    with gzip.open(online_retail, "rt", encoding="utf-8-sig", newline="") as file:
        lines = csv.DictReader(file)
        some = [line for line in lines if re.fullmatch(r"\d+[0-3]7(\.0)?", line["CustomerID"])]
    text = io.StringIO()
    writer = csv.DictWriter(text, lines.fieldnames)
    writer.writeheader()
    writer.writerows(some)
    land(observer, "landing/online_retail/a year.csv", text.getvalue().encode())
    assert report(observer, "landing/online_retail/a year.csv", 200)["state"] == "loaded"

    def exported():
        conf = {"cut_offs": ["2011-02-07", "2011-03-07", "2011-06-06", "2011-09-05"], "horizon_days": 90}
        state, tasks = run(stack, "export_features", **conf)
        assert state == "success", {name: task["state"] for name, task in tasks.items()}
        run_id = tasks["export_version"]["dag_run_id"]
        url = f"{stack.airflow_url}/api/v2/dags/export_features/dagRuns/{run_id}/taskInstances/export_version"
        return http.get(f"{url}/xcomEntries/return_value", params={"deserialize": True}).json()["value"]

    made = exported()
    assert made["is_new"]
    stored = set(observer.keys("features/"))
    again = exported()
    assert (again["version"], again["is_new"]) == (made["version"], False)
    assert set(observer.keys("features/")) == stored
    key = f"features/versions/{made['version']}.json"
    version = json.loads(observer.s3.get_object(Bucket=observer.bucket, Key=key)["Body"].read())
    files = [file["key"] for file in version["files"]["customer"] if file["part"] == "test"]
    bodies = [observer.s3.get_object(Bucket=observer.bucket, Key=file)["Body"].read() for file in files]
    rows = pd.concat([pd.read_parquet(io.BytesIO(body)) for body in bodies])
    assert len(rows) == made["rows"]["customer"]["test"]
    # Whoever bought before the cut-off, counted in the file itself.
    charged = [line for line in some if not line["InvoiceNo"].startswith("C") and int(line["Quantity"]) > 0]
    at = {id(line): datetime.strptime(line["InvoiceDate"], "%m/%d/%Y %H:%M") for line in charged}
    names = {line["CustomerID"].removesuffix(".0") for line in charged if at[id(line)] < datetime(2011, 9, 5)}
    assert len(rows[rows["feed"] == "online_retail"]) >= len(names) > 100


def test_an_erased_customer_is_in_no_layer_any_more(stack, observer):
    env = os.environ | stack.user_environment()
    command = [sys.executable, "-m", "infra.customer_key"]
    made = subprocess.run(
        command, cwd=PROJECT, env=env, input=VANISHED["Phone"] + "\n", capture_output=True, text=True, check=True
    )
    customer_key = made.stdout.strip()
    before = {feed: counts["accepted"] for feed, counts in observer.audit().items()}
    [(_, line, _)] = islice(simulated("online_retail", 1, 5, 0.0), 1)
    lines = [line | {"InvoiceNo": f"7777{n:02d}", "CustomerID": SHOPS_NUMBER} for n in range(3)]
    put(
        stack,
        *(event("purchases", f"vanishes-{n}", VANISHED | change) for n, change in enumerate([{}, {"Age": "old"}])),
        *(event("online_retail", f"vanishes-line-{n}", data) for n, data in enumerate(lines)),
        b"no envelope: Eveline Vanisher +1 555 321-7788",
        json.dumps(lines[0]).encode(),
        json.dumps(lines[0]).encode()[:-1],
    )
    text = io.StringIO()
    writer = csv.DictWriter(text, list(VANISHED))
    writer.writeheader()
    writer.writerows([VANISHED, VANISHED])
    land(observer, "landing/purchases/vanishes.csv", text.getvalue().encode())
    assert report(observer, "landing/purchases/vanishes.csv")["clean"] == 2
    loaded(observer, "purchases", before.get("purchases", 0), 4)
    loaded(observer, "online_retail", before.get("online_retail", 0), 4)  # with the one that has no envelope
    marks = ["Vanisher", "Gonetown", "321-7788", customer_key, SHOPS_NUMBER]
    wait_for(lambda: search.in_dynamodb(observer, marks) != set(), 180, "the items", 0.5)
    wait_for(
        lambda: "core.firehose_transactions" in search.in_warehouse(observer, [SHOPS_NUMBER]), 180, "the delivery", 1
    )
    wait_for(lambda: not observer.stale_marts(), 300, "the marts", 0.5)
    assert "mart.customer_days" in search.in_warehouse(observer, [SHOPS_NUMBER])
    places = search.in_objects(observer, marks, ())
    kinds = {re.match(r"[a-z]+/(unreadable/|feed=\w+/)?", key)[0] for key in places}
    assert {
        "raw/feed=purchases/",
        "raw/feed=online_retail/",
        "clean/feed=purchases/",
        "clean/feed=online_retail/",
        "quarantine/unreadable/",
        "firehose/",
        "landing/",
    } <= kinds

    asked = {"purchases": customer_key, "online_retail": SHOPS_NUMBER}
    for feed, customer in asked.items():
        state, tasks = run(stack, "erase_customer", feed=feed, customer=customer)  # a dry run
        assert (state, tasks["erase_from_lake"]["state"]) == ("success", "skipped")
    assert search.in_objects(observer, marks, ()) >= places
    counts, features = observer.audit(), set(observer.keys("features/versions/"))
    for feed, customer in asked.items():
        state, tasks = run(stack, "erase_customer", feed=feed, customer=customer, dry_run=False)
        assert state == "success", {name: task["state"] for name, task in tasks.items()}
    assert search.in_objects(observer, marks, ("bi/",)) == set()  # bi/ follows with the next refresh of the dashboards
    assert search.in_warehouse(observer, marks) == set()
    # Rows of features name nobody, so every earlier version is gone.
    assert not features & set(observer.keys("features/versions/"))
    assert search.in_dynamodb(observer, marks) == set()
    assert search.in_metadata(stack, marks[:3]) == set()  # a run's parameters are kept, which say what was asked for
    assert observer.audit() == counts
    found = observer.warehouse.query("SELECT COUNT(*) FROM core.fact_purchase WHERE customer_key = 'erased'")
    assert int(found[0][0]) == 3
    # A phone number is no parameter.
    state, tasks = run(stack, "erase_customer", feed="purchases", customer="5553217788")
    assert (state, tasks["find_customer"]["try_number"]) == ("failed", 1)


def test_what_came_under_other_ids_stops_a_landed_file_until_it_is_said_what_to_do(stack, observer, tmp_path):
    before, lines = observer.core()["online_retail"][0], as_csv("online_retail", 300, 977).splitlines(keepends=True)
    file, key = tmp_path / "shop.csv", "landing/online_retail/last thirty days.csv"
    file.write_bytes(b"".join(lines[:201]))
    command = [sys.executable, "-m", "producer", "replay", str(file), "--identity", "file"]
    subprocess.run(command, cwd=PROJECT, env=os.environ | stack.user_environment(), check=True, capture_output=True)
    wait_for(lambda: observer.core()["online_retail"][0] == before + 200, 120, "the streamed rows", 0.5)
    land(observer, key, b"".join(lines[:1] + lines[:100:-1]))  # sorted otherwise, 100 rows of both
    stopped = report(observer, key)
    assert (stopped["state"], stopped["known_under_other_ids"]) == ("failed", 100)
    assert observer.core()["online_retail"][0] == before + 200
    state, tasks = run(stack, "load_history", key=key, on_known="skip")
    assert state == "success", tasks
    found = report(observer, key)
    assert [found[name] for name in ("state", "accepted", "clean", "quarantined", "duplicates")] == [
        "loaded",
        200,
        100,
        0,
        100,
    ]
    assert observer.core()["online_retail"][0] == before + 300


def test_what_an_export_no_longer_has_leaves_every_layer_and_the_api_knows_the_history(stack, observer):
    header = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country"
    rows = [f"Z77{n // 4},8{n:04},LINE {n},{n + 1},2011-02-0{1 + n // 4} 10:00,2.50,17850,France" for n in range(8)]
    first, second = ("landing/online_retail/february.csv", "landing/online_retail/february again.csv")
    land(observer, first, "\n".join([header, *rows, ""]).encode())
    assert report(observer, first)["clean"] == 8
    changed = [rows[0], rows[1].replace(",2,2011", ",20,2011"), *rows[3:]]  # one line is another, and one is gone
    land(observer, second, "\n".join([header, *changed, ""]).encode())
    assert report(observer, second)["new_beside_known"] == 1

    def lines():
        sql = "SELECT invoice_no, description, quantity FROM core.fact_invoice_line WHERE invoice_no LIKE 'Z77%' ORDER BY 1, 2, 3"
        return observer.warehouse.query(sql)

    before = lines()
    assert len(before) == 9
    state, _ = run(stack, "load_history", key=second, replace_by="invoice_no", dry_run=True)
    told = report(observer, second)
    assert (state, told["state"], told["replaced"]["rows_withdrawn"], lines()) == ("success", "dry_run", 2, before)
    state, tasks = run(stack, "load_history", key=second, replace_by="invoice_no", to_dynamodb=True)
    assert state == "success", tasks
    told = report(observer, second)
    assert (told["state"], told["dynamodb_lines"]) == ("loaded", 7)
    assert told["replaced"] == {
        "column": "invoice_no",
        "values": 2,
        "changed": 1,
        "rows_withdrawn": 2,
        "rows_restored": 0,
        "left_alone": [],
        "warnings": [],
    }
    assert [row[1:] for row in lines()] == [
        (f"LINE {n}", q) for n, q in ((0, 1), (1, 20), (3, 4), (4, 5), (5, 6), (6, 7), (7, 8))
    ]
    env = stack.user_environment()
    url, headers = env["ECOMMERCE_API_URL"], {"x-api-key": env["ECOMMERCE_API_KEY"]}
    found = http.get(f"{url}/invoices/Z770", headers=headers).json()
    assert (found["line_count"], found["quantity"], found["total"]) == (3, 25, 62.5)
    wait_for(lambda: not observer.stale_marts(), 300, "the marts", 0.5)
    sold = "SELECT SUM(units) FROM mart.sales_daily WHERE period_start = '2011-02-01' AND feed = 'online_retail'"
    [[units]] = observer.warehouse.query(sold)
    in_lake = lake_rows(observer, "2011-02-01")
    assert {row["description"] for row in in_lake if row["invoice_no"] == "Z770"} == {"LINE 0", "LINE 1", "LINE 3"}
    assert int(units) == sum(row["quantity"] for row in in_lake)
    land(observer, "landing/online_retail/february whole.csv", "\n".join([header, *rows, ""]).encode())
    assert report(observer, "landing/online_retail/february whole.csv")["replaced"] == {"rows_restored": 2}
    assert len(lines()) == 9


def lake_rows(observer, day):
    """The rows of online_retail that the lake's list of a day names."""
    urls = lists.files(observer.s3, observer.bucket, "online_retail", day, day)
    return [row for url in urls for row in parquet_files.read(observer.s3, url).to_pylist()]


def test_of_a_zip_with_a_file_that_cannot_be_read_the_others_are_loaded_and_the_run_is_red(stack, observer):
    key = "landing/online_retail/two files.zip"
    land(observer, key, as_zip({"a.csv": as_csv("online_retail", 30, 4711), "b.csv": b"hello"}))
    found = report(observer, key)
    assert (found["state"], found["clean"], found["members"][0]["member"]) == ("partly_loaded", 30, "b.csv")
    runs = http.get(
        f"{stack.airflow_url}/api/v2/dags/load_history/dagRuns", params={"order_by": "-run_after", "limit": 5}
    )
    [own] = [one for one in runs.json()["dag_runs"] if one["conf"].get("key") == key]
    state, tasks = ended(f"{stack.airflow_url}/api/v2/dags/load_history/dagRuns/{own['dag_run_id']}")
    assert (state, tasks["load_batch"]["state"], tasks["report_files"]["state"]) == ("failed", "success", "failed")


def test_all_layers_agree_and_what_a_hand_changed_is_named_and_told_once(stack, observer, inbox):
    """After all of the above: landed files, streams, replays, compaction, hostile records, an erasure."""
    wait_for(observer.is_idle, 180, "the loads", 0.5)
    state, tasks = run(stack, "reconcile_layers")
    assert state == "success", tasks["report_differences"]
    [[event_id]] = observer.warehouse.query("SELECT MIN(event_id) FROM core.fact_product_event")
    change = "UPDATE core.fact_product_event SET quantity = quantity {} 1 WHERE event_id = :event_id"
    observer.warehouse.run([change.format("+")], {"event_id": event_id})
    for _ in range(2):
        state, tasks = run(stack, "reconcile_layers")
        assert (state, tasks["report_differences"]["state"]) == ("failed", "failed")
    observer.warehouse.run([change.format("-")], {"event_id": event_id})
    assert run(stack, "reconcile_layers")[0] == "success"
    got = [message for message in inbox("report_differences", 2) if "reconcile_layers" in message["Subject"]]
    assert [message["Subject"] for message in got] == [
        "Failed: reconcile_layers.report_differences",
        "Over: reconcile_layers.report_differences",
    ]
    assert f"1 events altered: {event_id}" in got[0]["Message"]
    assert "/ecommerce/runbooks/layers-differ" in got[0]["Message"]


def test_demand_is_forecast_by_the_program_in_its_own_environment(stack, observer):
    state, tasks = run(stack, "forecast_demand")
    if not iam.FORECASTS:
        assert (state, tasks["unload_demand"]["state"]) == ("success", "skipped")
        pytest.skip("the environment is not installed, and the DAG says so: make setup-forecast")
    assert state == "success", tasks
    forecast = "SELECT COUNT(*), COUNT(DISTINCT product_id), COUNT(DISTINCT forecast_date), MIN(fingerprint) FROM mart.demand_forecast"
    [first] = observer.warehouse.query(forecast)
    assert first[0] == 28 * first[1] > 0
    assert first[2] == 28
    levels = "SELECT COUNT(*), COUNT(on_hand) FROM mart.reorder_level WHERE order_up_to >= reorder_point"
    [[products, in_stock]] = observer.warehouse.query(levels)
    assert products == first[1]
    assert in_stock > 0
    assert run(stack, "forecast_demand")[0] == "success"  # the same demand: the same files again
    assert observer.warehouse.query(forecast) == [first]


def test_lineage_leads_from_raw_to_the_marts(observer, calls):
    told = [json.loads(line) for line in (calls / LINEAGE).read_text().splitlines()]
    moved = {
        (f"{source['namespace']}/{source['name']}", f"{target['namespace']}/{target['name']}")
        for event in told
        if event["eventType"] == "COMPLETE"
        for source in event["inputs"]
        for target in event["outputs"]
    }
    lake, redshift = f"s3://{observer.bucket}", "redshift://ecommerce.us-east-1:5439/ecommerce"
    assert (f"{lake}/raw/feed=purchases", f"{lake}/clean/feed=purchases") in moved
    assert (f"{lake}/clean/feed=purchases", f"{redshift}.core.fact_purchase") in moved
    assert (f"{redshift}.core.fact_purchase", f"{redshift}.mart.demographics_daily") in moved
    athena = "awsathena://athena.us-east-1.amazonaws.com/AwsDataCatalog.ecommerce_lake.quarantine"
    assert athena in {f"{source['namespace']}/{source['name']}" for event in told for source in event["inputs"]}
    assert (f"{redshift}.mart.customer_days", f"{redshift}.mart.customer_cohorts") in moved
    if iam.FORECASTS:
        assert (f"{lake}/forecast/runs", f"{redshift}.mart.demand_forecast") in moved


def test_a_run_is_a_trace_of_its_tasks(stack):
    text = "".join(log.read_text(errors="replace") for log in stack.logs.glob("airflow-*.log"))
    names = set(re.findall(r'"name": "((?:dag_run|task_run|worker)\.[^"]*)"', text))
    assert {"dag_run.load_events", "task_run.claim_batches", "worker.load_batch[0]"} <= names


def test_no_key_of_aws_is_in_a_statement_or_a_log(stack):
    """COPY and UNLOAD name a role."""
    logs = [p for folder in (stack.logs, stack.airflow_home / "logs") for p in folder.rglob("*.log")]
    found = [
        p
        for p in logs
        if re.search(
            r"(?i)access_key_id|secret_access_key|\bAKIA[0-9A-Z]{16}\b|CREDENTIALS\s+'", p.read_text(errors="replace")
        )
    ]
    assert found == []
    for path in (PROJECT / "include" / "sql").rglob("*.*"):
        sql = path.read_text()
        assert not re.search(r"(?i)access_key_id|secret_access_key|\bcredentials\b", sql), path
        if re.search(r"(?im)^\s*(COPY(?! JOB)|UNLOAD)\b", sql):
            assert "IAM_ROLE" in sql, path


# -- least privilege: what the tests above did, against what the roles allow ---------------------------------------------------


def roles_of(call):
    """The roles, one of which makes the call on AWS; none for those of an administrator."""
    who = call["who"]
    if who.startswith("lambda "):
        return [who.removeprefix("lambda ")]
    if call["key"] in STAGES:
        return [f"ecommerce-stage-{call['key']}"]
    if (who, call["service"]) == ("-m local.firehose", "redshift-data"):
        return []  # Firehose has a user and a password of Redshift
    if who.startswith("clean_events-"):
        return ["ecommerce-clean-events"]
    if who == "-m local.glue":  # one process for all of them; Athena reads with the rights of its caller
        return ["ecommerce-crawler", "ecommerce-stage-lake", "ecommerce-clean-events"]
    return {
        "airflow api-server": ["ecommerce-page"],
        "-m producer": ["ecommerce-producer"],
        "-m local.redshift": ["ecommerce-copy", "ecommerce-delivery"],
        "-m local.firehose": ["ecommerce-delivery"],
        "-m pyspark.daemon": ["ecommerce-clean-events"],
        # An administrator; the emulator itself; QuickSight, which has a user and a password of Redshift.
        "-m infra.deploy": [],
        "-m infra.customer_key": [],
        "-m bi.quicksight.deploy": [],
        "-m local.cloud": [],
        "-m local.quicksight": [],
    }[who]


def unused_is_right(role, grant):
    """Why a grant that no call used is there all the same, or nothing."""
    return next(
        (
            why
            for roles, actions, resources, why in iam.NOT_SEEN_HERE
            if fnmatchcase(role, roles)
            and fnmatchcase(grant.action, actions)
            and fnmatchcase(grant.resource, resources)
        ),
        "",
    )


def exercise(stack, observer):
    """What the tests above did not: every Lambda, bad records, the API, and the page."""
    env = os.environ | stack.user_environment()
    send = [
        sys.executable,
        "-m",
        "producer",
        "simulate",
        "--feed",
        "online_retail",
        "--feed",
        "purchases",
        "--count",
        "400",
        "--seed",
        "9",
    ]
    subprocess.run([*send, "--bad-rate", "0.1"], cwd=PROJECT, env=env, check=True, capture_output=True)
    url, headers = env["ECOMMERCE_API_URL"], {"x-api-key": env["ECOMMERCE_API_KEY"]}
    line = {
        "InvoiceNo": "700001",
        "StockCode": "85123A",
        "Quantity": 6,
        "InvoiceDate": "2026-01-02 03:04",
        "UnitPrice": "2.55",
        "CustomerID": "17850",
        "Country": "United Kingdom",
        "Description": "LANTERN",
    }
    sent = http.post(f"{url}/events", headers=headers, json=[{"feed": "online_retail", "data": line}])
    assert sent.status_code == 202
    for path in ("invoices/700001", "invoices/700001/items/85123A", "customers/17850/invoices"):
        wait_for(lambda path=path: http.get(f"{url}/{path}", headers=headers).status_code == 200, 60, path)
    for path in ("business", "pipeline"):
        token = http.get(f"{stack.airflow_url}/auth/token").json()["access_token"]
        http.get(
            f"{stack.airflow_url}/ecommerce/data/{path}", headers={"Authorization": f"Bearer {token}"}, timeout=60
        ).raise_for_status()
    wait_for(lambda: observer.ways()["Firehose"][0] > 0 and observer.is_idle(), 120, "all ways through the stream", 0.5)
    assert run(stack, "catalog_lake")[0] == "success"


def test_each_role_allows_what_its_component_does_and_no_more(stack, observer, calls):
    exercise(stack, observer)
    made = [json.loads(line) for file in calls.glob("*.jsonl") for line in file.read_text().splitlines()]
    if not any(call["who"].startswith("clean_events-") for call in made):
        pytest.skip("this compares what the tests above did, with Spark: run the whole file")
    client = stack.client("iam")
    names = [role["RoleName"] for role in client.list_roles()["Roles"]]
    names += [policy["PolicyName"] for policy in client.list_policies(Scope="Local")["Policies"]]
    granted = {name: iam.grants(client, name) for name in names if name.startswith("ecommerce-")}
    refused, listed = set(), set()
    for call in made:
        possible = roles_of(call)
        for need in possible and iam.needs(call["service"], call["operation"], call["on"]):
            fitting = [(role, grant) for role in possible for grant in granted[role] if grant.allows(need)]
            if not fitting:
                refused.add((possible[0], need.action, need.resource, need.prefix))
            for role, grant in fitting:
                grant.used = True
                if not call["who"].startswith("-m local."):  # a stand-in's calls are not AWS's
                    listed.add(f"{role} | {call['service']} {call['operation']} | {grant.resource.split(':', 5)[-1]}")
    unused = {
        (role, grant.action, grant.resource)
        for role, of_role in granted.items()
        for grant in of_role
        if not grant.used and not unused_is_right(role, grant)
    }
    new = hashless(listed) - set((PROJECT / "infra" / "calls.txt").read_text().splitlines())
    for found, what in (
        (refused, "calls that AWS would refuse"),
        (unused, "grants that nothing used: take them away, or say in NOT_SEEN_HERE why they are there"),
        (new, "calls that are new: look at them, and add them to infra/calls.txt"),
    ):
        if found:
            pytest.fail("\n".join([what, *map(str, sorted(found))]), pytrace=False)


def hashless(lines):
    return {re.sub(r"-[0-9a-f]{6}$", "-*", line) for line in lines}
