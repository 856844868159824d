"""Faults in the running local cloud, one scenario each; afterwards everything drains and I1 to I6 hold."""

import gzip
import random
import signal
import threading
import uuid
from datetime import UTC, datetime, timedelta

import psutil
import pytest
from ecommerce_elt.batches.manifests import objects_in_notification
from ecommerce_elt.lake.publish import publish_batch
from ecommerce_elt.landing import conversion
from ecommerce_elt.load import transaction as load_transaction
from ecommerce_elt.readers.flags import Flags
from ecommerce_elt.reconcile import arrivals
from ecommerce_elt.reconcile.days import reconcile_days
from ecommerce_elt.reconcile.hours import reconcile_hours

from local.supervision import members, wait_for
from producer import sink
from producer.kinesis import KinesisSink
from producer.simulate import simulated
from producer.sink import Record
from tests.faults.world import MARK
from tests.plugins.cleaning.test_cleaning import LINE, MOVE, PERSON

SALE = LINE | {"InvoiceDate": "2010-12-01 08:26:00"}


def name():
    return uuid.uuid4().hex[:12]


def moves(count, **change):
    return [MOVE | {"product_id": f"P{n}"} | change for n in range(count)]


def lambdas(world):
    """Processes in which Lambdas run: children of the emulator."""
    cloud = [p for p in members(world.stack) if p.cmdline()[-1:] == ["local.cloud"] and p.nice() == 0]
    return [child for process in cloud for child in process.children() if child.is_running()]


def redshift(world):
    found = [p for p in members(world.stack) if "local.redshift" in p.cmdline()]
    return found[0] if found else None


# -- producers --------------------------------------------------------------------------------------------------------


def test_a_producer_resends_what_was_committed(world):
    payloads = world.events("product_events", moves(50)) + world.events("purchases", [PERSON | {"Name": MARK}] * 5)
    for _ in range(3):
        world.put(payloads)
    world.drain()
    world.check()


def test_partial_put_records_failures_and_throttling(world, monkeypatch):
    monkeypatch.setattr(sink, "BACKOFF_FIRST_SECONDS", 0.001)
    monkeypatch.setattr(sink, "BACKOFF_MAX_SECONDS", 0.01)
    chance = random.Random(1)

    class Throttling:
        """Kinesis under load: some entries of a request are refused, some are taken and the answer is lost."""

        def put_records(self, StreamName, Records):  # noqa: N803  # boto3's names
            fates = [chance.choice(["taken", "taken", "taken", "taken", "refused", "answer lost"]) for _ in Records]
            taken = [r for r, fate in zip(Records, fates, strict=True) if fate != "refused"]
            if taken:
                world.kinesis.put_records(StreamName=StreamName, Records=taken)
            answer = [
                {"SequenceNumber": "1", "ShardId": "s"}
                if fate == "taken"
                else {"ErrorCode": "ProvisionedThroughputExceededException", "ErrorMessage": "Rate exceeded"}
                for fate in fates
            ]
            return {"FailedRecordCount": sum("ErrorCode" in a for a in answer), "Records": answer}

    payloads = world.events("product_events", moves(1000))
    with KinesisSink(Throttling(), world.stream) as kinesis:
        for payload in payloads:
            kinesis.put(Record(payload, "key", "product_events"))
    for payload in payloads:
        world.count(payload)
    world.drain()
    world.check()
    assert len(world.stored_ids()) < sum(world.stored_ids().values())  # some did come twice


def test_a_poison_record_among_10_000_for_each_consumer(world):
    """raw_writer, dynamodb_writer and firehose_transform read the same stream; each loses nothing but what is no line."""
    prefix = name()
    lines = [
        SALE | {"InvoiceNo": f"{prefix[:6]}{n // 20}", "StockCode": f"{10000 + n % 20}", "Quantity": "2"}
        for n in range(10_000)
    ]
    payloads = world.events("online_retail", lines, [f"{prefix}-{n}" for n in range(10_000)])
    poison = [b"\xff\xfe\x00", b'{"event_id": "' + b"x" * 200, b'{"event_id":1,"feed":"online_retail","data":[]}']
    for n, record in enumerate(poison):
        payloads.insert(2500 * (n + 1), record)
    world.put(payloads, broken=poison)
    world.drain(seconds=240)
    world.check()

    def delivered():
        [[rows]] = world.target.query(
            f"SELECT COUNT(DISTINCT event_id) FROM core.firehose_transactions WHERE event_id LIKE '{prefix}%'"
        )
        return int(rows) == 10_000

    wait_for(delivered, 120, "Firehose's rows", 1)

    def items():
        found = 0
        pages = world.observer.dynamodb.get_paginator("scan").paginate(
            TableName="ecommerce-invoices",
            ProjectionExpression="LineCount",
            FilterExpression="begins_with(InvoiceNo, :p)",
            ExpressionAttributeValues={":p": {"S": prefix[:6]}},
        )
        for page in pages:
            found += sum(int(item["LineCount"]["N"]) for item in page["Items"])
        return found == 10_000

    wait_for(items, 120, "DynamoDB's lines", 1)


# -- Lambdas ----------------------------------------------------------------------------------------------------------


def test_lambdas_killed_while_they_write(world):
    """After the put to S3, in the middle of DynamoDB's transactions, or wherever they are: at random moments, all of them."""
    prefix, chance = name(), random.Random(2)
    lines = [
        SALE | {"InvoiceNo": f"{prefix[:6]}{n % 50}", "StockCode": f"{10000 + n}", "Quantity": "3"} for n in range(4000)
    ]
    payloads = world.events("online_retail", lines, [f"{prefix}-{n}" for n in range(4000)])
    feeder = threading.Thread(target=lambda: [world.put(payloads[i : i + 200]) for i in range(0, 4000, 200)])
    feeder.start()
    killed = 0
    while feeder.is_alive() or killed < 8:
        found = lambdas(world)
        if found:
            chance.choice(found).kill()
            killed += 1
        threading.Event().wait(chance.uniform(0.1, 0.6))
    feeder.join()
    world.kills += killed
    world.drain(seconds=180)
    world.check()

    def is_whole():
        pages = world.observer.dynamodb.get_paginator("scan").paginate(
            TableName="ecommerce-customers",
            FilterExpression="begins_with(InvoiceNo, :p)",
            ExpressionAttributeValues={":p": {"S": prefix[:6]}},
        )
        items = [item for page in pages for item in page["Items"]]
        return (
            sum(int(i["LineCount"]["N"]) for i in items) == 4000
            and sum(int(i["Quantity"]["N"]) for i in items) == 12_000
        )

    wait_for(is_whole, 120, "each line once in DynamoDB's totals", 1)


# -- S3 and its objects -----------------------------------------------------------------------------------------------


def test_s3_errors_and_slowness(world):
    world.land("product_events", world.events("product_events", moves(30)))
    code = world.runner.run(how="fail", service="s3", times=4)  # every fourth request is refused, the next one is slow
    assert code == 0, world.runner.error  # botocore tries again
    world.land("product_events", world.events("product_events", moves(30)))
    assert world.runner.run(how="fail", service="s3", times=1) == 1  # each request is refused
    assert "SlowDown" in world.runner.error
    world.finish()
    world.check()


@pytest.mark.parametrize("damage", ["truncated", "empty", "changed", "missing"])
def test_a_raw_object_that_is_damaged_is_red_and_holds_no_other_feed_up(world, damage):
    payloads = world.events("product_events", moves(5))
    key = world.land("product_events", payloads)
    body = world.s3.get_object(Bucket=world.observer.bucket, Key=key)["Body"].read()
    wait_for(lambda: any(key in world.objects(b) for b in world.claim()), 20, "the claim", 0.1)
    bad = {
        "truncated": body[:-20],
        "empty": b"",
        "changed": gzip.compress(payloads[0] + b"\n", mtime=1),
        "missing": None,
    }[damage]
    if bad is None:
        world.s3.delete_object(Bucket=world.observer.bucket, Key=key)
    else:
        world.s3.put_object(Bucket=world.observer.bucket, Key=key, Body=bad)
    assert world.runner.run() == 1
    assert key in world.runner.error
    assert "PermanentError" in world.runner.error
    world.land("purchases", world.events("purchases", [PERSON | {"Name": MARK}]))
    wait_for(lambda: any(b.startswith("purchases-") for b in world.claim()), 20, "the claim of a purchase", 0.1)
    purchases = [b for b in world.claim() if b.startswith("purchases-")]
    assert world.runner.run(batches=purchases) == 0, world.runner.error
    world.s3.put_object(Bucket=world.observer.bucket, Key=key, Body=body)  # restored
    world.finish()
    world.check()


# -- values -----------------------------------------------------------------------------------------------------------

HOSTILE = [
    "x" * 70_000,
    "é" * 600,
    "\ud83d\ude00" * 30,
    "NaN",
    "nan",
    "Infinity",
    "1e400",
    str(2**63),
    str(-(2**63) - 1),
    "0001-01-01",
    "9999-12-31T23:59:59.999999Z",
    "12345-01-01",
    "a\u0000b",
    "1,234.50",
    "1.234,50",
    "1,5",
    " 5 ",
    "５",
    "+5",
    "5.0",
    "5.5",
    "'; DROP TABLE core.fact_product_event; --",
    "=HYPERLINK(1)",
    "{{ 7*7 }}",
    "\u202eabc",
    "\\N",
    "null",
    "true",
    "",
    " ",
]


def test_hostile_values_in_every_column(world):
    for feed, good in (("product_events", MOVE), ("online_retail", SALE), ("purchases", PERSON | {"Name": MARK})):
        records = [good | {column: value} for column in good for value in HOSTILE]
        records += [
            good | {column: value} for column in good for value in (None, True, 0.1 + 0.2, 10**30, [], {"a": 1})
        ]
        world.put(world.events(feed, records))
    broken = [
        b"\x00",
        b"[]",
        b"null",
        b'{"event_id":"a"}',
        '{"event_id":"\ud800"}'.encode("utf-8", "surrogatepass"),
        b'{"event_id":"a","feed":"f","data":{"x":NaN}}',
        b"{" * 5000,
    ]
    world.put(broken, broken=broken)
    world.drain(seconds=180)
    world.check()
    _, rejected = world.undisturbed("product_events")
    assert rejected > 50


def test_schema_drift(world):
    world.put(
        world.events(
            "product_events",
            [
                *(MOVE | {f"new_{n}": {"deep": [n, None]}} for n in range(20)),
                *({k: v for k, v in MOVE.items() if k != "price"} for _ in range(3)),
                {"SKU": "P1", "Qty": "5", "Unit Price": "1.00", "timestamp": "2026-01-01"},
                {},
                {"something": "else"},
            ],
        )
    )
    world.put(world.events("purchases", [PERSON | {"Name": MARK, "Email": f"{MARK}@example.org"}]))
    world.put(world.events("a_feed_that_nobody_knows", [{"x": 1}]))
    world.drain()
    world.check()


# -- the warehouse ----------------------------------------------------------------------------------------------------


def test_redshift_killed_between_copy_and_merge(world):
    for _ in range(3):
        world.land("product_events", world.events("product_events", moves(3000)))
        world.runner.start()
        wait_for(
            lambda: (
                "redshift-data.BatchExecuteStatement" in world.runner.calls or not psutil.pid_exists(world.runner.pid)
            ),
            60,
            "a load in its transaction",
            0.005,
        )
        world.kill(lambda: redshift(world))
        assert world.runner.end() in {0, 1}
        wait_for(lambda: redshift(world) is not None and world.redshift_answers(), 60, "Redshift", 0.2)
        world.finish()
    world.check()


def test_a_write_conflict_is_1023_and_the_load_is_begun_again_in_its_task(world):
    """A correction waits for a hand that changes the same row, and finds that its snapshot is older: REDSHIFT 1023."""
    [payload] = world.events("product_events", moves(1), [event := name()])
    world.land("product_events", [payload])
    world.finish()
    batch = world.cleaned("product_events", world.events("product_events", moves(1, quantity="7"), [event], version=2))
    with world.target.session() as session:
        session.run(["BEGIN"])
        session.run([f"UPDATE core.fact_product_event SET price = price WHERE event_id = '{event}'"])
        outcome = []
        load = threading.Thread(
            target=lambda: outcome.append(load_transaction.load_batch(world.target, batch, world.config))
        )
        load.start()
        wait_for(
            lambda: world.target.client.list_statements(Status="STARTED", StatementName=f"load {batch.batch_id}")[
                "Statements"
            ],
            20,
            "a load that waits",
            0.05,
        )
        threading.Event().wait(0.5)  # it has its snapshot by its second statement
        session.run(["COMMIT"])
    load.join()
    [counts] = outcome
    assert counts["duplicates"] == 1
    tries = world.target.client.list_statements(Status="ALL", StatementName=f"load {batch.batch_id}")["Statements"]
    assert [one["Status"] for one in tries] == ["FINISHED", "FAILED"]  # the last one first
    assert "1023" in world.target.client.describe_statement(Id=tries[1]["Id"])["Error"]
    publish_batch(world.s3, world.target, batch, world.config, overlaps=True, again=False)
    world.check()


# -- the queue --------------------------------------------------------------------------------------------------------


def test_notifications_twice_out_of_order_and_lost(world):
    keys = [world.land("product_events", world.events("product_events", moves(4))) for _ in range(6)]
    bodies = world.take_messages(at_least=6)
    told = [b for b in bodies if any(o.key in keys for o in objects_in_notification(b))]
    for body in [*reversed(told[:4]), *told[:4], told[0]]:  # two are lost
        world.sqs.send_message(QueueUrl=world.observer.queue_url, MessageBody=body)
    world.finish()
    lost = {o.key for body in told[4:] for o in objects_in_notification(body)}
    config = world.config.model_copy(
        update={"reconcile_settle_minutes": 0, "raw_objects_queue": "ecommerce-raw-objects"}
    )

    def unclaimed():
        _, _, found = reconcile_hours(world.s3, world.target, "product_events", config, datetime.now(UTC))
        return {raw.key: raw for raw in found}

    wait_for(lambda: lost <= set(unclaimed()), 30, "the lost objects to be missed", 1)
    assert arrivals.announce(world.sqs, unclaimed().values(), config) >= len(lost)
    world.finish()
    assert unclaimed() == {}
    world.check()


def test_sqs_delivers_again_what_a_dead_claim_had_received(world):
    for at in range(2, 9):  # the warehouse is asked first
        world.land("product_events", world.events("product_events", moves(2)))
        assert world.runner.run(at=at, how="kill_after") == -signal.SIGKILL
        world.kills += 1
        world.finish()
    world.check()


# -- what lies beside -------------------------------------------------------------------------------------------------


def test_sns_down_loses_no_event(world):
    world.land("product_events", world.events("product_events", moves(30, quantity="x")))  # worth an alert
    wait_for(lambda: world.runner.run(how="fail", service="sns", times=1) == 1, 30, "an alert that is refused", 0.1)
    assert "sns" in world.runner.error
    world.finish()
    world.check()


def test_a_backfill_during_live_load(world):
    """Files of history land while events stream in; some are in both."""
    events = list(simulated("product_events", 600, 77, 0.0))
    data = [record for _, record, _ in events]
    ids = [f"live-{n}-{name()}" for n in range(600)]
    payloads = world.events("product_events", data, ids)
    feeder = threading.Thread(target=lambda: [world.put(payloads[i : i + 50]) for i in range(0, 600, 50)])
    feeder.start()
    for start in range(0, 600, 150):
        world.land("product_events", payloads[start : start + 150])
        world.finish()
    feeder.join()
    path = world.folder / "moves.csv"
    columns = list(max(data, key=len))
    path.write_text("\n".join([",".join(columns), *(",".join(str(r.get(c, "")) for c in columns) for r in data)]))
    world.s3.upload_file(str(path), world.observer.bucket, key := f"landing/product_events/{name()}.csv")
    for _ in range(2):  # the same file twice
        landed = conversion.land_file(world.s3, key, world.observer.contracts, Flags(), world.config, etag=None)
        assert world.runner.run(batches=landed.batches) == 0, world.runner.error
    world.drain()
    world.check()


def test_a_25_hour_outage_and_catching_up(world):
    """Nothing is loaded for 25 hours; then one run after the other takes it all, and every hour is right."""
    now = datetime.now(UTC)
    for hour in range(25, 0, -1):
        world.land("product_events", world.events("product_events", moves(40)), hour=now - timedelta(hours=hour))
    world.finish(seconds=120)
    config = world.config.model_copy(update={"reconcile_settle_minutes": 0})
    _, differences, unclaimed = reconcile_hours(world.s3, world.target, "product_events", config, datetime.now(UTC))
    assert (differences, unclaimed) == ([], [])
    world.check()


def test_the_disk_is_full(world):
    world.land("product_events", world.events("product_events", moves(20_000)))
    assert world.runner.run(file_bytes=4096) == 1
    assert world.runner.error
    world.finish()
    world.check()


@pytest.mark.parametrize("seconds", [-7200, 7200, 40 * 365 * 86400])
def test_the_clock_jumps(world, seconds):
    for _ in range(2):
        world.land("product_events", world.events("product_events", moves(10)))
        world.runner.run(clock_seconds=seconds)
    world.finish()
    world.check()


@pytest.mark.parametrize("change", ["deleted", "doubled", "altered"])
def test_a_row_of_core_changed_by_hand_turns_reconciliation_red(world, change):
    event, day = name(), f"20{random.randrange(10, 26)}-0{random.randrange(1, 10)}-11"
    world.land("product_events", world.events("product_events", moves(1, event_time=f"{day}T00:00:00Z"), [event]))
    world.finish()
    where = f"WHERE event_id = '{event}'"
    sql = {
        "deleted": f"DELETE FROM core.fact_product_event {where}",
        "doubled": f"INSERT INTO core.fact_product_event SELECT * FROM core.fact_product_event {where}",
        "altered": f"UPDATE core.fact_product_event SET price = price + 1 {where}",
    }[change]
    world.target.run(["CREATE TABLE IF NOT EXISTS public.kept (LIKE core.fact_product_event)"])
    world.target.run(
        ["DELETE FROM public.kept", f"INSERT INTO public.kept SELECT * FROM core.fact_product_event {where}"]
    )
    world.target.run([sql])
    contract = world.observer.contracts["product_events"]

    def differences():
        now = datetime.now(UTC) + timedelta(seconds=1)
        _, found = reconcile_days(world.s3, world.observer.dynamodb, world.target, contract, world.config, now)
        return [d for d in found if d.where == day]

    [found] = differences()
    assert event in found.events
    world.target.run(
        [
            f"DELETE FROM core.fact_product_event {where}",
            "INSERT INTO core.fact_product_event SELECT * FROM public.kept",
        ]
    )
    assert differences() == []
    world.check()
