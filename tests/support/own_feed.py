"""A feed, tables and a bucket of the test's own, with raw objects, loads, and comparisons of the layers."""

import gzip
import uuid
from datetime import UTC, datetime, timedelta

from ecommerce_elt.batches.manifests import RawObject, new_manifest
from ecommerce_elt.cleaning.cleaner import clean_batch
from ecommerce_elt.feeds.contracts import load_contract
from ecommerce_elt.lake.publish import publish_batch
from ecommerce_elt.load import transaction as load_transaction
from ecommerce_elt.reconcile import arrivals
from ecommerce_elt.reconcile.days import reconcile_days
from ecommerce_elt.reconcile.hours import reconcile_hours
from ecommerce_elt.warehouse import tables as warehouse_tables

from tests.plugins.cleaning.test_cleaning import MOVE
from tests.support.cleaning_bench import line

BAD = MOVE | {"quantity": "x"}


class Shop:
    """A feed, tables and a bucket of the test's own."""

    def __init__(self, observer, bucket, config, folder, like="product_events", fact="fact_product_event"):
        self.like, self.like_fact = like, fact
        self.s3, self.target, self.name = observer.s3, observer.warehouse, f"moves_{uuid.uuid4().hex[:8]}"
        self.dynamodb = observer.dynamodb
        include = folder / "include"
        (include / "feeds").mkdir(parents=True)
        for path in config.sql_dir.rglob("*.sql"):
            copy = include / "sql" / self.renamed(str(path.relative_to(config.sql_dir)))
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(self.renamed(path.read_text()))
        contract = (config.include_dir / f"feeds/{like}.yaml").read_text()
        (include / "feeds" / f"{self.name}.yaml").write_text(self.renamed(contract))
        self.contract = load_contract(include / "feeds" / f"{self.name}.yaml")
        self.config = config.model_copy(
            update={
                "include_dir": include,
                "bucket": bucket,
                "reconcile_settle_minutes": 0,
                "reconcile_days_a_run": 0,
                "stack_prefix": self.name.replace("_", "-"),
            }
        )
        self.target.run(warehouse_tables.ddl(include / "sql", (self.contract.staging, *self.contract.tables)))
        self.hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=3)

    @property
    def fact(self):
        return f"fact_{self.name}"

    def renamed(self, text):
        return text.replace(self.like, self.name).replace(self.like_fact, self.fact)

    def put(self, key, body):
        return self.s3.put_object(Bucket=self.config.bucket, Key=key, Body=body)["ETag"].strip('"')

    def raw(self, records, name, hour=None):
        body = gzip.compress(
            b"".join(line(self.name, r, f"{name}-{i}") + b"\n" for i, r in enumerate(records)), mtime=0
        )
        key = f"{arrivals.folder_of(self.name, hour or self.hour)}{name}.jsonl.gz"
        return RawObject(key, self.put(key, body), len(body), self.config.bucket)

    def load(self, records, name, hour=None, claimed_at=None):
        return self.load_object(self.raw(records, name, hour), claimed_at)

    def load_object(self, raw, claimed_at=None):
        manifest = new_manifest(self.name, [raw], claimed_at or datetime.now(UTC))
        batch = clean_batch(self.s3, manifest, self.config)
        counts = load_transaction.load_batch(self.target, batch, self.config)
        publish_batch(self.s3, self.target, batch, self.config, overlaps=counts["duplicates"] > 0, again=False)
        return manifest.objects[0].key

    def hours(self):
        summary, found, self.unclaimed = reconcile_hours(
            self.s3, self.target, self.name, self.config, datetime.now(UTC)
        )
        return summary, [(d.layer, d.text.partition(":")[0], d.objects) for d in found]

    def days(self, config=None):
        config = config or self.config
        now = datetime.now(UTC) + timedelta(seconds=1)  # what changes in the second of the comparison is compared again
        return reconcile_days(self.s3, self.dynamodb, self.target, self.contract, config, now)

    def kept(self):
        return self.target.query(
            "SELECT raw, accepted, clean, quarantined, duplicates, quarantine_rows, waiting, is_sealed, difference "
            f"FROM ops.reconciliation WHERE feed = '{self.name}' ORDER BY hour_start"
        )

    def sql(self, text):
        self.target.run([text.replace("FACT", f"core.{self.fact}")])
