"""Days of events: what the lake, core, Firehose or DynamoDB lost, doubled or altered is named."""

import gzip
import re
from datetime import date, timedelta

from ecommerce_elt.batches.manifests import RawObject
from ecommerce_elt.feeds import feed_sql
from ecommerce_elt.lake import lists
from ecommerce_elt.reconcile import arrivals
from ecommerce_elt.warehouse import redshift

from tests.conftest import PROJECT
from tests.plugins.cleaning.test_cleaning import LINE, MOVE
from tests.support.cleaning_bench import line


def test_a_row_of_core_that_is_deleted_doubled_or_altered_is_named(shop):
    shop.load([MOVE] * 5, "a")
    assert (shop.hours()[1], shop.days()[1]) == ([], [])
    every = shop.config.model_copy(update={"reconcile_days_a_run": 10})
    for change, what, events, core_rows in (
        ("DELETE FROM FACT WHERE event_id = 'a-1'", "1 events not in core", ["a-1"], 4),
        ("INSERT INTO FACT SELECT * FROM FACT WHERE event_id = 'a-2'", "1 events doubled in core", ["a-2"], 5),
        ("UPDATE FACT SET quantity = 7 WHERE event_id = 'a-3'", "1 events altered", ["a-3"], 5),
    ):
        shop.sql(change)
        found = shop.days(every)[1]
        assert [(d.layer, d.where, d.text, d.events) for d in found if d.text == what] == [
            ("core", "2026-01-02", what, events)
        ]
        total = [d for d in shop.hours()[1] if d[0] == "core"]
        expected = [("core", f"core.{shop.fact} has {core_rows} rows, the loads brought 5", [])]
        assert total == (expected if core_rows != 5 else [])
    # What differed is compared again until it is mended.
    assert len(shop.days()[1]) == 3
    shop.sql("DELETE FROM FACT")
    assert [d.text for d in shop.days()[1]] == ["5 events not in core"]


def test_all_days_of_a_feed_are_compared_in_one_session(shop, monkeypatch):
    """Redshift's Data API allows 500 sessions, and a session stays until some time after its last statement."""
    lines = [line(shop.name, MOVE, f"e{day}", f"2026-01-{day:02}T00:00:00Z") for day in range(1, 6)]
    body = gzip.compress(b"\n".join(lines) + b"\n", mtime=0)
    key = f"{arrivals.folder_of(shop.name, shop.hour)}a.jsonl.gz"
    shop.load_object(RawObject(key, shop.put(key, body), len(body), shop.config.bucket))
    opened, session = [], redshift.Warehouse.session
    monkeypatch.setattr(redshift.Warehouse, "session", lambda self: opened.append(self) or session(self))
    summary, differences = shop.days()
    assert (summary["days"], differences, len(opened)) == (5, [], 1)


def test_the_runbook_mends_core(shop):
    """Its statements, word by word, with another table and day."""
    shop.load([MOVE] * 3, "a")
    other_day = MOVE | {"event_time": "2026-03-01T00:00:00Z"}
    shop.load([other_day], "b")
    shop.sql("DELETE FROM FACT WHERE event_id = 'a-0'")
    shop.sql("UPDATE FACT SET quantity = 77 WHERE event_id = 'a-1'")
    shop.sql("INSERT INTO FACT SELECT * FROM FACT WHERE event_id = 'a-2'")
    [(day, *_)] = {(d.where,) for d in shop.days()[1]}
    after = f"{date.fromisoformat(day) + timedelta(days=1)}"
    page = (PROJECT / "docs/runbooks/layers-differ.md").read_text()
    [written] = re.findall(r"^BEGIN;\n(.*?)^COMMIT;", page, re.MULTILINE | re.DOTALL)
    merge = feed_sql.read(shop.config.sql_dir, f"core/{shop.fact}/merge.sql")
    text = shop.renamed(re.sub("-- then .*", lambda _: merge + ";", written))
    for word, meant in (("2026-01-03", after), ("2026-01-02", day), ("<lake>", shop.config.bucket)):
        text = text.replace(word, meant)
    shop.target.run([statement for statement in text.split(";\n") if statement.strip()])
    assert shop.days()[1] == []
    assert shop.hours()[1] == []


def test_what_the_lake_lost_or_has_twice_is_named(shop):
    shop.load([MOVE] * 3, "a")
    [url] = lists.files(shop.s3, shop.config.bucket, shop.name)
    listed = lists.folder_of(shop.name, "2026-01-02") + lists.LIST
    shop.put(listed, f"{url}\n{url}\n".encode())
    assert [d.text for d in shop.days()[1]] == ["3 events doubled in the lake"]
    shop.put(listed, b"")
    assert [d.text for d in shop.days()[1]] == ["3 events not in the lake"]


def test_what_firehose_and_dynamodb_lack_is_named(retail, monkeypatch):
    monkeypatch.setattr("ecommerce_elt.reconcile.days.DELIVERED_FEED", retail.name)
    table = f"{retail.config.stack_prefix}-invoices"
    retail.dynamodb.create_table(
        TableName=table,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[
            {"AttributeName": "InvoiceNo", "KeyType": "HASH"},
            {"AttributeName": "StockCode", "KeyType": "RANGE"},
        ],
        AttributeDefinitions=[{"AttributeName": a, "AttributeType": "S"} for a in ("InvoiceNo", "StockCode")],
    )
    name = retail.name
    retail.load([LINE, LINE | {"StockCode": "22"}], name)
    retail.load([LINE], f"landed-{name}")  # not by the stream: in neither
    days = lambda: [(d.layer, d.text, d.events) for d in retail.days()[1]]  # noqa: E731
    both = [f"{name}-0", f"{name}-1"]
    assert days() == [
        ("firehose", "2 events were not delivered", both),
        ("dynamodb", "2 of 2 events are in no item", both),
    ]
    retail.sql(
        "INSERT INTO core.firehose_transactions (event_id, InvoiceNo, StockCode, Quantity, InvoiceDate, UnitPrice, Country, "
        "arrival_time) SELECT event_id, invoice_no, stock_code, quantity, event_time, unit_price, country, GETDATE() FROM FACT"
    )
    for number, code in ((0, "85123A"), (1, "22")):
        retail.dynamodb.put_item(
            TableName=table,
            Item={
                "InvoiceNo": {"S": "536365"},
                "StockCode": {"S": code},
                "Lines": {"M": {f"{name}-{number}": {"S": "{}"}}},
            },
        )
    assert days() == []
    assert retail.days()[0]["days"] == 0
