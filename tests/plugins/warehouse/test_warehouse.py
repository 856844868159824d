"""The load transaction on the stand-in, with real objects in S3: whole or not at all, once."""

import gzip
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from ecommerce_elt.batches.manifests import RawObject, new_manifest
from ecommerce_elt.cleaning.cleaner import clean_batch
from ecommerce_elt.errors import PermanentError, TransientError
from ecommerce_elt.load import transaction as load_transaction
from ecommerce_elt.load.transaction import Load, load_statements
from ecommerce_elt.warehouse import redshift as warehouse_redshift
from ecommerce_elt.warehouse import tables as warehouse_tables
from ecommerce_elt.warehouse.redshift import render
from tenacity import wait_none

from local.lifecycle import _answers
from local.supervision import Supervisor, wait_for
from tests.plugins.batches.test_batches import NOW
from tests.plugins.cleaning.test_cleaning import MOVE, PERSON
from tests.support.cleaning_bench import line


class Lake:
    """Writes raw objects and cleans them, with event ids of the test's own."""

    def __init__(self, observer, config):
        self.observer, self.name = observer, uuid.uuid4().hex[:8]
        self.config = config.model_copy(update={"bucket": observer.bucket})
        self.client = observer.warehouse.client

    def batch(self, feed, records, ids=None, version=1, **envelope):
        ids = ids or [f"{self.name}-{i}" for i in range(len(records))]
        lines = [line(feed, r, i, version=version, **envelope) + b"\n" for r, i in zip(records, ids, strict=True)]
        body = gzip.compress(b"".join(lines), mtime=0)
        key = f"raw/feed={feed}/dt=2026-01-01/hour=00/{uuid.uuid4().hex}.jsonl.gz"
        etag = self.observer.s3.put_object(Bucket=self.config.bucket, Key=key, Body=body)["ETag"].strip('"')
        manifest = new_manifest(feed, [RawObject(key, etag, len(body), self.config.bucket)], NOW)
        return clean_batch(self.observer.s3, manifest, self.config)

    def load(self, batch):
        return load_transaction.load_batch(self.observer.warehouse, batch, self.config)

    def rows(self, table="core.fact_product_event"):
        return self.observer.warehouse.query(
            f"SELECT * FROM {table} WHERE event_id LIKE '{self.name}%' ORDER BY event_id"
        )


@pytest.fixture
def lake(observer, config):
    return Lake(observer, config)


def test_a_batch_is_loaded_and_counted(lake):
    records = [MOVE, MOVE | {"quantity": "x"}, MOVE]
    loaded = lake.load(lake.batch("product_events", records, [f"{lake.name}-{i}" for i in (1, 2, 1)]))
    assert loaded == {"accepted": 3, "clean": 1, "quarantined": 1, "duplicates": 1}
    assert len(lake.rows()) == 1


def test_the_same_batch_again_changes_nothing(lake):
    batch = lake.batch("product_events", [MOVE] * 5)
    first, rows = lake.load(batch), lake.rows()
    assert lake.load(batch) == first
    assert lake.rows() == rows


def test_overlapping_batches_leave_one_row_per_event(lake):
    ids = [f"{lake.name}-{i}" for i in range(6)]
    assert lake.load(lake.batch("product_events", [MOVE] * 4, ids[:4]))["clean"] == 4
    assert lake.load(lake.batch("product_events", [MOVE] * 4, ids[2:])) == {
        "accepted": 4,
        "clean": 2,
        "quarantined": 0,
        "duplicates": 2,
    }
    assert [row[0] for row in lake.rows()] == ids


def test_an_event_that_comes_again_with_another_time_is_found(lake):
    """Nothing ties an id to a time: the batch's own days are not all that core must be asked for."""
    other = MOVE | {"event_time": "2027-07-07T00:00:00Z"}
    ids = [f"{lake.name}-{i}" for i in range(2)]
    assert lake.load(lake.batch("product_events", [MOVE], ids[:1]))["clean"] == 1
    rows = lake.rows()
    assert lake.load(lake.batch("product_events", [other, other], ids)) == {
        "accepted": 2,
        "clean": 1,
        "quarantined": 0,
        "duplicates": 1,
    }
    assert lake.rows()[:1] == rows
    assert lake.load(lake.batch("product_events", [MOVE, MOVE], ids)) == {
        "accepted": 2,
        "clean": 0,
        "quarantined": 0,
        "duplicates": 2,
    }


def test_an_event_that_a_hand_deleted_is_loaded_again(lake):
    """What core has is read from core: the days in ops.event_day only say where."""
    lake.load(lake.batch("product_events", [MOVE]))
    lake.observer.warehouse.run([f"DELETE FROM core.fact_product_event WHERE event_id = '{lake.name}-0'"])
    assert lake.load(lake.batch("product_events", [MOVE]))["clean"] == 1
    assert len(lake.rows()) == 1


def test_what_was_rejected_long_ago_is_pruned_with_its_closing(lake):
    rejected = [MOVE | {"quantity": "x"}, MOVE | {"quantity": "y"}]
    lake.load(lake.batch("product_events", rejected))
    lake.load(lake.batch("product_events", [MOVE, MOVE]))
    target, old = lake.observer.warehouse, f"{lake.name}-0"
    count = "SELECT COUNT(*) FROM ops.{} WHERE event_id LIKE :ids"

    def kept():
        tables = ("quarantine_reason", "quarantine_closed")
        return [target.query(count.format(table), {"ids": f"{lake.name}%"})[0][0] for table in tables]

    target.run(
        ["UPDATE ops.quarantine_reason SET quarantined_at = DATEADD(day, -40, GETDATE()) WHERE event_id = :id"],
        {"id": old},
    )
    warehouse_tables.prune(target, lake.config.model_copy(update={"quarantine_reason_days": 50}))
    assert kept() == [2, 2]
    warehouse_tables.prune(target, lake.config.model_copy(update={"quarantine_reason_days": 30}))
    assert kept() == [1, 1]


def test_two_runs_on_one_batch_commit_once(lake):
    batch = lake.batch("product_events", [MOVE] * 500)
    results = []
    threads = [threading.Thread(target=lambda: results.append(lake.load(batch))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [{"accepted": 500, "clean": 500, "quarantined": 0, "duplicates": 0}] * 4
    assert len(lake.rows()) == 500
    audit = "SELECT COUNT(*) FROM ops.batch_audit WHERE batch_id = :id"
    assert lake.observer.warehouse.query(audit, {"id": batch.batch_id}) == [(1,)]


def test_different_batches_of_one_feed_wait_for_each_other(lake):
    batches = [
        lake.batch("product_events", [MOVE] * 50, [f"{lake.name}-{n % 3}-{i}" for i in range(50)]) for n in range(6)
    ]
    threads = [threading.Thread(target=lake.load, args=[batch]) for batch in batches]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(lake.rows()) == 150


def test_nothing_is_half_visible(lake):
    batch = lake.batch("product_events", [MOVE] * 10)
    statements = load_statements(Load(batch, _contract(lake, "product_events")), lake.config)
    with pytest.raises(PermanentError, match="does not exist"):
        lake.observer.warehouse.run([*statements, "SELECT 1 FROM core.no_such_table"])
    assert lake.rows() == []
    assert lake.load(batch)["clean"] == 10


def test_counts_that_do_not_add_up_stop_the_transaction(lake):
    batch = lake.batch("product_events", [MOVE] * 3)
    key = f"manifests/{batch.batch_id}/objects.jsonl"
    body = lake.observer.s3.get_object(Bucket=lake.config.bucket, Key=key)["Body"].read()
    lake.observer.s3.put_object(
        Bucket=lake.config.bucket, Key=key, Body=body.replace(b'"accepted": 3', b'"accepted": 4')
    )
    with pytest.raises(PermanentError, match="I1: accepted 4 clean 3 quarantined 0 duplicates 0"):
        lake.load(batch)
    assert lake.rows() == []


def test_a_batch_with_nothing_clean_is_audited(lake):
    assert lake.load(lake.batch("product_events", [MOVE | {"price": None}])) == {
        "accepted": 1,
        "clean": 0,
        "quarantined": 1,
        "duplicates": 0,
    }


def test_a_feed_without_a_contract_is_audited(lake):
    assert lake.load(lake.batch("unheard_of", [{"a": 1}, {"b": 2}])) == {
        "accepted": 2,
        "clean": 0,
        "quarantined": 2,
        "duplicates": 0,
    }


def test_the_customer_is_the_same_whatever_the_order_of_arrival(lake):
    phone = f"555 {uuid.uuid4().int % 10**7}"
    records = [PERSON | {"Phone": phone, "Gender": g, "Amount": a} for g, a in (("Female", "1.00"), ("Other", "2.00"))]
    ids = [f"{lake.name}-a", f"{lake.name}-b"]
    lake.load(lake.batch("purchases", [records[1]], [ids[1]]))
    lake.load(lake.batch("purchases", [records[0]], [ids[0]]))
    [fact, _] = lake.rows("core.fact_purchase")
    query = "SELECT gender, purchases, amount FROM core.dim_customer WHERE customer_key = :key"
    # Same time, so the higher event id is the latest purchase; it arrived first.
    assert lake.observer.warehouse.query(query, {"key": fact[3]}) == [("Other", 2, "3.00")]


def test_quarantine_keeps_where_the_record_lies_and_no_value(lake):
    import io

    import pyarrow.parquet as pq

    batch = lake.batch("purchases", [PERSON | {"Age": "200", "Gender": "?"}])
    [key] = [k for k in lake.observer.keys("quarantine/feed=purchases/") if batch.batch_id in k]
    body = lake.observer.s3.get_object(Bucket=lake.config.bucket, Key=key)["Body"].read()
    [row] = pq.read_table(io.BytesIO(body)).to_pylist()
    assert {(r["column_name"], r["rule"]) for r in row["reasons"]} == {("age", "max"), ("gender", "accepted")}
    assert row["source_object"].startswith("raw/feed=purchases/")
    assert (row["source_line"], row["event_id"], row["batch_id"]) == (1, f"{lake.name}-0", batch.batch_id)
    assert b"Lovelace" not in body


def test_a_raw_object_that_changed_is_refused(lake):
    key = f"raw/feed=purchases/dt=2026-01-01/hour=00/{uuid.uuid4().hex}.jsonl.gz"
    lake.observer.s3.put_object(Bucket=lake.config.bucket, Key=key, Body=gzip.compress(b"{}\n"))
    manifest = new_manifest("purchases", [RawObject(key, "another-etag", 1, lake.config.bucket)], NOW)
    with pytest.raises(PermanentError, match="etag was another-etag"):
        clean_batch(lake.observer.s3, manifest, lake.config)


def test_a_raw_object_that_is_gone_is_named(lake):
    gone = RawObject("raw/feed=purchases/dt=2026-01-01/hour=00/gone.jsonl.gz", "etag", 1, lake.config.bucket)
    with pytest.raises(PermanentError, match=r"gone\.jsonl\.gz is gone since the batch was claimed"):
        clean_batch(lake.observer.s3, new_manifest("purchases", [gone], NOW), lake.config)


def test_cleaning_again_writes_the_same_bytes(lake):
    batch = lake.batch("product_events", [MOVE | {"quantity": -i} for i in range(1, 50)])
    from ecommerce_elt.batches.manifests import Manifest

    def bodies():
        keys = sorted(k for k in lake.observer.keys("clean/") | lake.observer.keys("manifests/") if batch.batch_id in k)
        return {k: lake.observer.s3.get_object(Bucket=lake.config.bucket, Key=k)["Body"].read() for k in keys}

    first = bodies()
    assert any(k.startswith("clean/feed=product_events/dt=2026-01-02/") for k in first)
    counts = first[f"manifests/{batch.batch_id}/objects.jsonl"]
    import json

    entry = json.loads(counts)
    raw = RawObject(entry["object_key"], entry["etag"], 1, lake.config.bucket)
    clean_batch(lake.observer.s3, Manifest(batch.batch_id, batch.feed, (raw,)), lake.config)
    assert bodies() == first


def test_a_restarted_redshift_is_a_transient_error(lake, cloud):
    supervisor = Supervisor(cloud)
    submitted = lake.client.execute_statement(WorkgroupName="ecommerce", Database="ecommerce", Sql="SELECT 1")
    supervisor.restart("redshift")
    wait_for(lambda: _answers(f"{cloud.url('redshift')}/health"), 30, "redshift")
    with pytest.raises(TransientError, match="no longer knows it"):
        lake.observer.warehouse.wait(submitted["Id"])


@pytest.mark.parametrize(
    "message", ["ERROR:1023 DETAIL: Serializable isolation violation on table in Redshift", "ERROR: deadlock detected"]
)
def test_conflicts_are_told_from_other_failures(message):
    assert warehouse_redshift._CONFLICT.search(message)
    assert not warehouse_redshift._CONFLICT.search("ERROR: terminating connection due to administrator command")


class Contended:
    """A table of one row, and what another session does to it."""

    def __init__(self, target, table):
        self.target, self.table = target, table
        # Its snapshot comes before its lock, so it conflicts with what is committed between its two statements.
        self.add = [f"SELECT n FROM {table}", f"UPDATE {table} SET n = n + 1"]

    def change_while_it_waits(self, session, name, *, unless=lambda: False):
        """Changes the row; commits when a transaction of that name has its snapshot and waits for the row."""
        session.run(["BEGIN"])
        session.run([f"UPDATE {self.table} SET n = n + 100"])
        wait_for(lambda: self._waits(name) or unless(), 20, "a transaction that waits", 0.02)
        session.run(["COMMIT"])

    def _waits(self, name):
        client = self.target.client
        running = client.list_statements(Status="STARTED", StatementName=name)["Statements"]
        described = [client.describe_statement(Id=statement["Id"]) for statement in running]
        return any(statement["SubStatements"][0]["Status"] == "FINISHED" for statement in described)

    def tries(self, name):
        return [s["Status"] for s in self.target.client.list_statements(Status="ALL", StatementName=name)["Statements"]]


@pytest.fixture
def contended(lake):
    target = lake.observer.warehouse
    table = f"public.contended_{lake.name}"
    target.run([f"CREATE TABLE {table} (n INTEGER)", f"INSERT INTO {table} VALUES (0)"])
    yield Contended(target, table)
    target.run([f"DROP TABLE {table}"])


def test_a_transaction_that_conflicts_is_begun_again(contended):
    name = f"add to {contended.table}"
    with contended.target.session() as other, ThreadPoolExecutor(1) as pool:
        changing = pool.submit(contended.change_while_it_waits, other, name)
        wait_for(
            lambda: contended.target.client.list_statements(StatementName="")["Statements"][0][
                "QueryString"
            ].startswith("UPDATE"),
            20,
            "the other's change",
            0.02,
        )
        contended.target.run(contended.add, name=name)
        changing.result(60)
    assert contended.tries(name) == ["FINISHED", "FAILED"]
    assert contended.target.query(f"SELECT n FROM {contended.table}") == [(101,)]


def _conflict(contended, name):
    """Returns what the transaction is given up with; None where it came between two changes and succeeded."""
    try:
        contended.target.run(contended.add, name=name)
    except warehouse_redshift.Conflict as conflict:
        return conflict
    return None


def test_a_transaction_that_conflicts_again_and_again_is_given_up(contended, monkeypatch):
    name = f"never adds to {contended.table}"
    monkeypatch.setattr(warehouse_redshift.Warehouse.run.retry, "wait", wait_none())
    given_up = threading.Event()

    def change_again_and_again():
        with contended.target.session() as other:
            while not given_up.is_set():
                contended.change_while_it_waits(other, name, unless=given_up.is_set)

    with ThreadPoolExecutor(1) as pool:
        changing = pool.submit(change_again_and_again)
        try:
            outcome = next(filter(None, (_conflict(contended, name) for _ in range(100))))
        finally:
            given_up.set()
        changing.result(60)
    assert "1023" in str(outcome)
    tries = contended.tries(name)  # the last one first
    assert tries[: warehouse_redshift.CONFLICT_TRIES] == ["FAILED"] * warehouse_redshift.CONFLICT_TRIES


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("staging", "staging.x; DROP TABLE core.y", id="second_statement"),
        pytest.param("copy_manifest", "s3://bucket/key' IAM_ROLE default", id="quote"),
        pytest.param("copy_role", "default' ACCESS_KEY_ID 'x", id="keys"),
    ],
)
def test_names_that_are_no_names_are_refused(name, value):
    with pytest.raises(PermanentError, match="has not the form"):
        render(f"COPY {{{name}}}", {name: value})


def test_a_name_that_is_not_given_is_refused():
    with pytest.raises(PermanentError, match="asks for {fact}"):
        render("SELECT * FROM {fact}", {})


def _contract(lake, feed):
    from ecommerce_elt.feeds.contracts import load_contracts

    return load_contracts(lake.config.include_dir / "feeds")[feed]


REVIEWS = """
feed: reviews
version: 1
grain: one review
event_time: written_at
partition_key: product
staging: staging.reviews
tables: [core.fact_review]
unknown_keys: quarantine
erasure:
  customer: email
  record: {name: erased, email: erased, city: erased}
  row: {email: erased, city: e***}
  tables: [core.fact_review]
columns:
  - {name: product, header: product, type: identifier, max_bytes: 20, required: true}
  - {name: stars, header: stars, type: integer, min: 1, max: 5, required: true}
  - {name: verdict, header: verdict, type: string, accepted: {good: [+], bad: ["-"]}, missing: []}
  - {name: price, header: price, type: "decimal(9,2)"}
  - {name: is_bought, header: bought, type: boolean}
  - {name: shown, header: shown, type: bigint}
  - {name: answered_at, header: answered, type: timestamp}
  - {name: name, header: name, type: string, max_bytes: 99, privacy: drop}
  - {name: email, header: email, type: string, max_bytes: 99, required: true, privacy: hmac}
  - {name: city, header: city, type: string, max_bytes: 99, privacy: mask}
  - {name: written_at, header: at, type: timestamp, required: true}
"""


def test_a_fourth_feed_is_a_contract_alone(lake, tmp_path, config):
    """Copies include/, adds one contract, creates its tables, loads events of it, and takes one person out."""
    import hashlib
    import hmac
    import shutil

    from ecommerce_elt.erasure.customers import customer_of, finder, key_of_text
    from ecommerce_elt.erasure.warehouse import erase_core
    from ecommerce_elt.feeds.contracts import load_contracts
    from ecommerce_elt.warehouse.migrations import migrate
    from ecommerce_elt.warehouse.tables import create_statements

    include = tmp_path / "include"
    shutil.copytree(config.include_dir, include)
    (include / "feeds" / "reviews.yaml").write_text(REVIEWS)
    lake.config = lake.config.model_copy(update={"include_dir": include})
    contracts = load_contracts(include / "feeds")
    target = lake.observer.warehouse
    target.run(create_statements(include / "sql", contracts.values()))
    full = {
        "product": "P1",
        "stars": 5,
        "verdict": "+",
        "price": "2.50",
        "bought": "yes",
        "shown": 5_000_000_000,
        "answered": "2026-01-02T00:00:00Z",
        "name": "Ada",
        "email": "Ada@Example.org ",
        "city": "Ålesund",
    }
    bare = {"product": "P1", "stars": 4, "email": "grace@example.org", "city": "Rom"}
    loaded = lake.load(lake.batch("reviews", [full, bare, full | {"stars": 6}, bare | {"colour": "red"}]))
    assert loaded == {"accepted": 4, "clean": 2, "quarantined": 2, "duplicates": 0}
    rows = {row[4]: row[5:] for row in lake.rows("core.fact_review")}
    key = hmac.new(lake.config.pii_hmac_key.get_secret_value().encode(), b"ada@example.org", hashlib.sha256).hexdigest()
    assert rows[5] == ("good", "2.50", True, 5_000_000_000, "2026-01-02 00:00:00.0", key, "Å***")
    assert rows[4][:-2] == (None,) * 5
    assert (len(rows[4][-2]), rows[4][-1]) == (64, "***")
    erase_core(target, customer_of("reviews", key, lake.config), lake.config, request="erasure of a review")
    assert key_of_text(" ADA @example.org", lake.config.pii_hmac_key.get_secret_value()) == key
    names = finder(customer_of("reviews", key, lake.config), lake.config)
    assert names('{"data": "x,Ada@Example.org;y"}')
    assert not names('{"data": "x,grace@example.org;y"}')
    with pytest.raises(PermanentError, match="expected 64 hex digits. Never a phone number or an address"):
        customer_of("reviews", "ada@example.org", lake.config)
    assert {row[4]: row[-2:] for row in lake.rows("core.fact_review")}[5] == ("erased", "e***")
    assert migrate(target, include / "sql", [contracts["reviews"]], ["core.fact_review"]) is not None


@pytest.mark.slow
def test_killing_redshift_in_the_middle_of_a_load_leaves_nothing_half_done(lake, cloud):
    from local.supervision import members

    batch = lake.batch("product_events", [MOVE] * 20_000)
    outcome: list[object] = []

    def load():
        try:
            outcome.append(lake.load(batch))
        except Exception as error:
            outcome.append(error)

    thread = threading.Thread(target=load)
    thread.start()

    def is_running():
        found = lake.client.list_statements(Status="STARTED", StatementName=f"load {batch.batch_id}")["Statements"]
        return bool(found) or not thread.is_alive()

    wait_for(is_running, 30, "the load", poll_seconds=0.01)
    time.sleep(0.1)  # into the transaction
    [redshift] = [p for p in members(cloud) if "local.redshift" in p.cmdline()]
    redshift.kill()
    thread.join()
    wait_for(lambda: _answers(f"{cloud.url('redshift')}/health"), 30, "redshift")
    assert len(lake.rows()) in {0, 20_000}
    assert lake.load(batch) == {"accepted": 20_000, "clean": 20_000, "quarantined": 0, "duplicates": 0}
    assert len(lake.rows()) == 20_000
