"""Erasing a customer from raw/: what is taken out, what stays, and what a task that dies leaves behind."""

import gzip
from itertools import islice

import pytest
from ecommerce_elt.batches.manifests import read_manifest
from ecommerce_elt.cleaning.cleaner import clean_batch
from ecommerce_elt.erasure import raw_records
from ecommerce_elt.erasure.customers import Customer
from ecommerce_elt.erasure.plans import PLANS
from ecommerce_elt.erasure.raw_records import without_person
from ecommerce_elt.errors import PermanentError, TransientError

from producer.simulate import simulated
from tests.plugins.cleaning.test_cleaning import PERSON
from tests.support.cleaning_bench import clean, line


@pytest.mark.parametrize("feed", ["online_retail", "purchases"])
def test_what_the_cleaning_makes_of_an_erased_record_is_what_the_contract_says(feed, tmp_path, config, contracts):
    """Else a replay of raw/ would give other rows than clean/ and core have after the erasure."""
    lines = [line(feed, data, f"e{n}") for n, (_, data, _) in enumerate(islice(simulated(feed, 400, 5, 0.2), 400))]
    contract = contracts[feed]
    customer = Customer(contract, "any")
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    before = clean(tmp_path / "a", config, contract, feed, lines)
    after = clean(tmp_path / "b", config, contract, feed, [without_person(text, customer) for text in lines])
    assert len(before) == len(after) == 400
    good = 0
    for old, new in zip(before, after, strict=True):
        if not old["reasons"]:
            good += 1
            assert new == old | contract.erasure.row
        assert {r["column_name"] for r in new["reasons"]} <= {r["column_name"] for r in old["reasons"]}
    assert good > 200


def test_a_record_keeps_all_but_the_person_to_the_digit(contracts):
    customer = Customer(contracts["online_retail"], "17850")
    data = '{"InvoiceNo":"1","UnitPrice":1.10,"Quantity":99999999999999999999,"Description":[1e5,{"y":null}],"customer ID":17850,"Country":"\\u00e9","email":"ada@example.org"}'
    event = (
        '{"event_id":"e1","feed":"online_retail","schema_version":1,"event_time":null,"sent_at":"t","data":'
        + data
        + "}"
    )
    erased = without_person(event.encode(), customer).decode()
    # What the contract does not know may name the customer, too.
    assert erased == event.replace("17850", '""').replace("\\u00e9", "é").replace(',"email":"ada@example.org"', "")


def test_a_task_that_dies_between_object_and_manifest_is_finished_by_the_next(shop, monkeypatch):
    manifest = shop.batch_of("purchases", [PERSON], "dies")
    with monkeypatch.context() as patch:
        patch.setattr(raw_records, "_rewrite_raw", kill_after(raw_records._rewrite_raw))
        with pytest.raises(KeyboardInterrupt):
            shop.erase(shop.ada())
    with pytest.raises(PermanentError, match="etag was"):
        clean_batch(
            shop.observer.s3, read_manifest(shop.observer.s3, shop.config.bucket, manifest.batch_id), shop.config
        )
    assert shop.erase(shop.ada())["raw_records"] == 0
    assert shop.keys(PLANS) == set()
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
