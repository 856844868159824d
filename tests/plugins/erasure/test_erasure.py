"""Erasing a customer: what is taken out, what stays, and what a task that dies leaves behind."""

import gzip
import json
from itertools import islice

import pytest
from ecommerce_elt import listing
from ecommerce_elt.batches.clean_files import QUARANTINE
from ecommerce_elt.batches.manifests import OPEN, UNREADABLE, RawObject, new_manifest, read_manifest
from ecommerce_elt.cleaning.cleaner import clean_batch
from ecommerce_elt.erasure import layers as erasure_layers
from ecommerce_elt.errors import PermanentError, TransientError
from ecommerce_elt.lake.publish import publish_batch
from ecommerce_elt.load import transaction as load_transaction

from producer.simulate import simulated
from tests.e2e.search import plain
from tests.plugins.batches.test_batches import NOW
from tests.plugins.cleaning.test_cleaning import LINE, PERSON
from tests.plugins.warehouse.test_warehouse import Lake
from tests.support.cleaning_bench import clean, line

KEY = "a key that only the tests have"
ADA = erasure_layers.key_of_phone("555.123.4567", KEY)


@pytest.fixture
def shop(observer, config, bucket):
    return Shop(observer, config, bucket)


class Shop(Lake):
    """A lake of its own, as an erasure reads all of one, with batches as load_events leaves them: manifest, clean files, lists, core."""

    def __init__(self, observer, config, bucket):
        super().__init__(observer, config)
        self.config = config.model_copy(update={"bucket": bucket})

    def keys(self, prefix):
        return {entry["Key"] for entry in listing.objects(self.observer.s3, self.config.bucket, prefix)}

    def claim(self, feed, records, name):
        ids = [f"{self.name}-{name}-{i}" for i in range(len(records))]
        body = gzip.compress(b"".join(line(feed, r, i) + b"\n" for r, i in zip(records, ids, strict=True)), mtime=0)
        key = f"raw/feed={feed}/dt=2026-01-01/hour=00/{self.name}-{name}.jsonl.gz"
        etag = self.put(key, body)
        manifest = new_manifest(feed, [RawObject(key, etag, len(body), self.config.bucket)], NOW)
        self.put(f"manifests/{manifest.batch_id}.json", manifest.to_json())
        self.put(OPEN + manifest.batch_id, b"")
        return manifest

    def put(self, key, body):
        return self.observer.s3.put_object(Bucket=self.config.bucket, Key=key, Body=body)["ETag"].strip('"')

    def put_unreadable(self, key, body):
        """Beside the object, the batch that claimed it."""
        etag = self.put(key, body)
        manifest = new_manifest(UNREADABLE, [RawObject(key, etag, len(body), self.config.bucket)], NOW)
        self.put(f"manifests/{manifest.batch_id}.json", manifest.to_json())
        self.put(OPEN + manifest.batch_id, b"")

    def batch_of(self, feed, records, name):
        manifest = self.claim(feed, records, name)
        batch = clean_batch(self.observer.s3, manifest, self.config)
        load_transaction.load_batch(self.observer.warehouse, batch, self.config)
        publish_batch(self.observer.s3, self.observer.warehouse, batch, self.config, overlaps=False, again=False)
        self.observer.s3.delete_object(Bucket=self.config.bucket, Key=OPEN + manifest.batch_id)
        return manifest

    def erase(self, customer, apply=True):
        return erasure_layers.erase_from_lake(
            self.observer.s3, self.observer.warehouse, customer, self.config, apply=apply
        )

    def ada(self):
        return erasure_layers.customer_of("purchases", ADA, self.config)

    def content(self, key):
        return plain(key, self.observer.s3.get_object(Bucket=self.config.bucket, Key=key)["Body"].read())


@pytest.mark.parametrize("feed", ["online_retail", "purchases"])
def test_what_the_cleaning_makes_of_an_erased_record_is_what_the_contract_says(feed, tmp_path, config, contracts):
    """Else a replay of raw/ would give other rows than clean/ and core have after the erasure."""
    lines = [line(feed, data, f"e{n}") for n, (_, data, _) in enumerate(islice(simulated(feed, 400, 5, 0.2), 400))]
    contract = contracts[feed]
    customer = erasure_layers.Customer(contract, "any")
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    before = clean(tmp_path / "a", config, contract, feed, lines)
    after = clean(
        tmp_path / "b", config, contract, feed, [erasure_layers._without_person(text, customer) for text in lines]
    )
    assert len(before) == len(after) == 400
    good = 0
    for old, new in zip(before, after, strict=True):
        if not old["reasons"]:
            good += 1
            assert new == old | contract.erasure.row
        assert {r["column_name"] for r in new["reasons"]} <= {r["column_name"] for r in old["reasons"]}
    assert good > 200


def test_a_record_keeps_all_but_the_person_to_the_digit(contracts):
    customer = erasure_layers.Customer(contracts["online_retail"], "17850")
    data = '{"InvoiceNo":"1","UnitPrice":1.10,"Quantity":99999999999999999999,"Description":[1e5,{"y":null}],"customer ID":17850,"Country":"\\u00e9","email":"ada@example.org"}'
    event = (
        '{"event_id":"e1","feed":"online_retail","schema_version":1,"event_time":null,"sent_at":"t","data":'
        + data
        + "}"
    )
    erased = erasure_layers._without_person(event.encode(), customer).decode()
    # What the contract does not know may name the customer, too.
    assert erased == event.replace("17850", '""').replace("\\u00e9", "é").replace(',"email":"ada@example.org"', "")


def test_the_person_is_gone_and_the_events_stay(shop):
    others = [data | {"Phone": f"555 000 {n:04d}"} for n, (_, data, _) in enumerate(simulated("purchases", 20, 9, 0.0))]
    hers = [PERSON, PERSON | {"Phone": "555-123-4567", "Amount": "1.10"}, PERSON | {"Amount": "much"}]
    manifest = shop.batch_of("purchases", [*others, *hers], "one")
    alone = shop.batch_of("purchases", others[:2], "two")
    key, untouched = manifest.objects[0].key, alone.objects[0]
    shop.put_unreadable(
        f"quarantine/unreadable/dt=2026-01-01/hour=00/{shop.name}.jsonl.gz",
        gzip.compress(
            b"\n".join(
                [
                    json.dumps(
                        {
                            "stage": "raw_writer",
                            "reason": "not JSON",
                            "data": "Ada, +(555) 123 4567",
                            "partition_key": "555",
                        }
                    ).encode(),
                    json.dumps({"stage": "raw_writer", "reason": "not JSON", "data": "Grace, (555) 999 9999"}).encode(),
                    b"",
                ]
            )
        ),
    )
    landed = f"landing/purchases/{shop.name}.csv"
    etag = shop.put(landed, b"Ada")
    body = gzip.compress(line("purchases", PERSON, f"{shop.name}-landed") + b"\n")
    shop.put(f"raw/feed=purchases/dt=2026-01-01/hour=00/landed-{shop.name}-000000000001-000000000001.ndjson.gz", body)

    # Landed objects are in a batch as well.
    raw = new_manifest(
        "purchases",
        [
            RawObject(
                f"raw/feed=purchases/dt=2026-01-01/hour=00/landed-{shop.name}-000000000001-000000000001.ndjson.gz",
                "x",
                1,
                shop.config.bucket,
            )
        ],
        NOW,
    )
    shop.put(f"manifests/{raw.batch_id}.json", raw.to_json())
    shop.put(OPEN + raw.batch_id, b"")
    prefix = f"raw/feed=purchases/dt=2026-01-01/hour=00/landed-{shop.name}-"
    shop.put(f"{landed}.{etag}.report.json", json.dumps({"batches": [raw.batch_id], "raw_prefix": prefix}).encode())
    beside = f"landing/purchases/{shop.name}-beside.csv"  # another file of the same batch, without her
    etag = shop.put(beside, b"Grace")
    other = json.dumps({"batches": [raw.batch_id], "raw_prefix": prefix.replace("landed-", "landed-other-")})
    shop.put(f"{beside}.{etag}.report.json", other.encode())

    found = shop.erase(shop.ada(), apply=False)
    assert found == {
        "landed_files": 1,
        "landed_files_unread": 0,
        "raw_objects": 2,
        "raw_records": 4,
        "unreadable_records": 1,
        "firehose_rows": 0,
        "clean_rows": 2,
    }
    before = shop.rows("core.fact_purchase")
    assert shop.erase(shop.ada()) == found
    request = f"erasure {shop.name}"
    erasure_layers.erase_core(shop.observer.warehouse, shop.ada(), shop.config, request=request)
    left = shop.erase(shop.ada(), apply=False)
    assert set(left.values()) == {0}
    counts = erasure_layers.count_in_warehouse(shop.observer.warehouse, shop.ada(), shop.config)
    assert {"core.fact_purchase", "core.dim_customer", "staging.purchases"} <= set(counts)
    assert set(counts.values()) == {0}

    text = shop.content(key).decode()
    assert "Lovelace" not in text
    assert "Analytical" not in text
    assert "4567" not in text
    assert text.count("\n") == 23
    unreadable = shop.content(f"quarantine/unreadable/dt=2026-01-01/hour=00/{shop.name}.jsonl.gz").decode()
    assert "Ada" not in unreadable
    assert "Grace, (555) 999 9999" in unreadable
    assert landed not in shop.keys(landed)
    assert beside in shop.keys(beside)
    after = {row[0]: row for row in shop.rows("core.fact_purchase")}
    for row in before:
        if row[3] == ADA:
            assert after[row[0]] == (*row[:3], "erased", *row[4:6], "unknown", *row[7:])
        else:
            assert after[row[0]] == row
    assert (
        shop.observer.s3.head_object(Bucket=shop.config.bucket, Key=untouched.key)["ETag"].strip('"') == untouched.etag
    )
    # A replay of raw/ gives what core has now, and adds nothing.
    again = clean_batch(
        shop.observer.s3, read_manifest(shop.observer.s3, shop.config.bucket, manifest.batch_id), shop.config
    )
    assert (again.clean, again.quarantined) == (22, 1)


def test_a_task_that_dies_between_object_and_manifest_is_finished_by_the_next(shop, monkeypatch):
    manifest = shop.batch_of("purchases", [PERSON], "dies")
    with monkeypatch.context() as patch:
        patch.setattr(erasure_layers, "_rewrite_raw", kill_after(erasure_layers._rewrite_raw))
        with pytest.raises(KeyboardInterrupt):
            shop.erase(shop.ada())
    with pytest.raises(PermanentError, match="etag was"):
        clean_batch(
            shop.observer.s3, read_manifest(shop.observer.s3, shop.config.bucket, manifest.batch_id), shop.config
        )
    assert shop.erase(shop.ada())["raw_records"] == 0
    assert shop.keys(erasure_layers.PLANS) == set()
    again = clean_batch(
        shop.observer.s3, read_manifest(shop.observer.s3, shop.config.bucket, manifest.batch_id), shop.config
    )
    assert again.clean == 1


def kill_after(work):
    def dies(*args):
        work(*args)
        raise KeyboardInterrupt

    return dies


def test_an_object_that_no_batch_has_yet_is_waited_for(shop):
    body = gzip.compress(line("purchases", PERSON, f"{shop.name}-unclaimed") + b"\n")
    key = f"raw/feed=purchases/dt=2026-01-01/hour=00/{shop.name}-unclaimed.jsonl.gz"
    etag = shop.put(key, body)
    with pytest.raises(TransientError, match="in no batch yet"):
        shop.erase(shop.ada())
    assert shop.observer.s3.head_object(Bucket=shop.config.bucket, Key=key)["ETag"].strip('"') == etag
    shop.observer.s3.delete_object(Bucket=shop.config.bucket, Key=key)


def test_a_shops_number_is_found_as_a_word_and_in_what_firehose_wrote(shop):
    number = f"17{int(shop.name, 16) % 10**8}"
    shop.batch_of("online_retail", [LINE | {"CustomerID": number}, LINE, LINE | {"CustomerID": f"{number}1"}], "number")
    rows = [{"event_id": str(n), "CustomerID": c} for n, c in enumerate([number, None, f"{number}1"])]
    shop.put(f"firehose/2026/01/01/00/{shop.name}", "".join(json.dumps(row) + "\n" for row in rows).encode())
    shop.put_unreadable(
        f"quarantine/unreadable/dt=2026-01-01/hour=00/{shop.name}-number.jsonl.gz",
        gzip.compress(
            b"\n".join(
                json.dumps({"data": data}).encode()
                for data in (f'{{"CustomerID": {number}}}', f"{number}1", f"9-{number}")
            )
        ),
    )
    customer = erasure_layers.customer_of("online_retail", number, shop.config)
    found = shop.erase(customer)
    assert {k: found[k] for k in ("raw_records", "unreadable_records", "firehose_rows", "clean_rows")} == {
        "raw_records": 1,
        "unreadable_records": 1,
        "firehose_rows": 1,
        "clean_rows": 1,
    }
    erasure_layers.erase_core(shop.observer.warehouse, customer, shop.config, request="test")
    assert [row[9] for row in shop.rows("core.fact_invoice_line")] == ["unknown", "17850", f"{number}1"]
    assert json.loads(shop.content(f"firehose/2026/01/01/00/{shop.name}").splitlines()[2])["CustomerID"] == f"{number}1"


def test_who_is_nobody_is_refused(config):
    for feed, name, message in [
        ("product_events", "1", "expected one with customers"),
        ("nothing", "1", "expected one with"),
        ("online_retail", "unknown", "names nobody"),
        ("online_retail", " ", "names nobody"),
        ("purchases", "erased", "names nobody"),
        ("purchases", "555 123 4567", "Never a phone number"),
    ]:
        with pytest.raises(PermanentError, match=message):
            erasure_layers.customer_of(feed, name, config)


def test_quarantine_rows_have_no_values_that_could_name_a_customer():
    assert QUARANTINE.names == [
        "event_id",
        "feed",
        "stage",
        "event_time",
        "event_version",
        "reasons",
        "source_object",
        "source_line",
        "batch_id",
    ]


def test_an_unreadable_record_that_no_batch_has_yet_is_left_for_the_next_try(shop):
    """Rewritten before it is claimed, its batch would have an ETag that is gone."""
    key = f"quarantine/unreadable/dt=2026-01-01/hour=00/{shop.name}-early.jsonl.gz"
    body = gzip.compress(
        json.dumps({"stage": "raw_writer", "reason": "not JSON", "data": "(555) 123-4567"}).encode() + b"\n"
    )
    shop.put(key, body)
    with pytest.raises(TransientError, match="is in no batch yet"):
        shop.erase(shop.ada())
    assert shop.content(key).startswith(b'{"stage"')
    shop.put_unreadable(key, body)
    shop.erase(shop.ada())
    assert b"555" not in shop.content(key)
