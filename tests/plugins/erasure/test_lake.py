"""Erasing a customer from all layers: what is taken out, and what stays."""

import gzip
import json

from ecommerce_elt.batches.clean_files import QUARANTINE
from ecommerce_elt.batches.manifests import OPEN, RawObject, new_manifest, read_manifest
from ecommerce_elt.cleaning.cleaner import clean_batch
from ecommerce_elt.erasure.warehouse import count_in_warehouse, erase_core

from producer.simulate import simulated
from tests.plugins.batches.test_batches import NOW
from tests.plugins.cleaning.test_cleaning import PERSON
from tests.plugins.erasure.conftest import ADA
from tests.support.cleaning_bench import line


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
    erase_core(shop.observer.warehouse, shop.ada(), shop.config, request=request)
    left = shop.erase(shop.ada(), apply=False)
    assert set(left.values()) == {0}
    counts = count_in_warehouse(shop.observer.warehouse, shop.ada(), shop.config)
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
