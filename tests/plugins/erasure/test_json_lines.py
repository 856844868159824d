"""Erasing a customer from records that are not envelopes, and from what Firehose wrote."""

import gzip
import json

import pytest
from ecommerce_elt.erasure.customers import customer_of
from ecommerce_elt.erasure.warehouse import erase_core
from ecommerce_elt.errors import TransientError

from tests.plugins.cleaning.test_cleaning import LINE


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
    customer = customer_of("online_retail", number, shop.config)
    found = shop.erase(customer)
    assert {k: found[k] for k in ("raw_records", "unreadable_records", "firehose_rows", "clean_rows")} == {
        "raw_records": 1,
        "unreadable_records": 1,
        "firehose_rows": 1,
        "clean_rows": 1,
    }
    erase_core(shop.observer.warehouse, customer, shop.config, request="test")
    assert [row[9] for row in shop.rows("core.fact_invoice_line")] == ["unknown", "17850", f"{number}1"]
    assert json.loads(shop.content(f"firehose/2026/01/01/00/{shop.name}").splitlines()[2])["CustomerID"] == f"{number}1"


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
