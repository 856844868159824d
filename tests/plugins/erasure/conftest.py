"""A lake of the test's own, with one customer in it."""

import gzip

import pytest
from ecommerce_elt import listing
from ecommerce_elt.batches.manifests import OPEN, UNREADABLE, RawObject, new_manifest
from ecommerce_elt.cleaning.cleaner import clean_batch
from ecommerce_elt.erasure.customers import customer_of, key_of_phone
from ecommerce_elt.erasure.lake import erase_from_lake
from ecommerce_elt.lake.publish import publish_batch
from ecommerce_elt.load import transaction as load_transaction

from tests.e2e.search import plain
from tests.plugins.batches.test_batches import NOW
from tests.plugins.warehouse.test_warehouse import Lake
from tests.support.cleaning_bench import line

KEY = "a key that only the tests have"
ADA = key_of_phone("555.123.4567", KEY)


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
        return erase_from_lake(self.observer.s3, self.observer.warehouse, customer, self.config, apply=apply)

    def ada(self):
        return customer_of("purchases", ADA, self.config)

    def content(self, key):
        return plain(key, self.observer.s3.get_object(Bucket=self.config.bucket, Key=key)["Body"].read())
