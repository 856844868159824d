"""Files in landing/, and what landing them leaves in the lake."""

import gzip
import hashlib
import json

from ecommerce_elt.batches import manifests
from ecommerce_elt.batches.clean_files import COUNTS
from ecommerce_elt.cleaning.cleaner import clean_batch
from ecommerce_elt.landing.files import LandedFile

from tests.support.file_formats import as_csv

ROWS = [[f"2026-01-0{1 + i % 9}T00:00:00Z", f"P{i}", str(i + 1), "2.50"] for i in range(10)]
INVOICE_LINES = [
    ["536365", f"8512{i % 4}", "HEART", "6", f"12/{13 + i % 3}/2010 8:26", "2.55", "17850", "France"] for i in range(16)
]


def small(first, rows=2):
    """A file of some rows that no other has."""
    return as_csv([[f"2026-01-0{1 + i % 9}T00:00:00Z", f"Q{first + i}", "1", "2.50"] for i in range(rows)])


def etag_of(bodies, name):
    return hashlib.md5(bodies[f"landing/product_events/{name}.csv"]).hexdigest()


def clean(land, landed):
    """Returns batch id to counts of the file's batches, as a load into an empty warehouse commits them."""
    loaded = {}
    for batch_id in landed.batches:
        cleaned = clean_batch(land.s3, manifests.read_manifest(land.s3, land.config.bucket, batch_id), land.config)
        loaded[batch_id] = {name: getattr(cleaned, name) for name in COUNTS}
    return loaded


def events(land, landed):
    found = []
    for batch_id in landed.batches:
        for raw in manifests.read_manifest(land.s3, land.config.bucket, batch_id).objects:
            body = land.s3.get_object(Bucket=raw.bucket, Key=raw.key)["Body"].read()
            found += [json.loads(line) for line in gzip.decompress(body).splitlines()]
    return found


def report(land, landed):
    key = LandedFile(landed.key, landed.etag).report_key
    return json.loads(land.s3.get_object(Bucket=land.config.bucket, Key=key)["Body"].read())
