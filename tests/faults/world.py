"""A running local cloud, ways to break it, and the check of I1 to I6 after each."""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import sys
import time
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path

import duckdb
import psutil
from botocore.exceptions import BotoCoreError, ClientError
from ecommerce_elt.batches import manifests
from ecommerce_elt.cleaning.cleaner import SELECT_CLEAN, clean_batch, run_cleaning
from ecommerce_elt.errors import PermanentError, TransientError
from ecommerce_elt.lake import lists, parquet_files
from ecommerce_elt.load import transaction as load_transaction
from ecommerce_elt.reconcile import arrivals
from ecommerce_elt.settings import Settings, settings
from pydantic import SecretStr

from local.observer import Observer
from local.stack import Stack
from local.supervision import wait_for
from tests.conftest import PROJECT
from tests.e2e import search
from tests.support.cleaning_bench import line

NOT_COMPARED = {"source_object", "source_line", "extra"}
TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+")
MARK = "Ottilie Musterfrau"  # the person of purchases, who must be nowhere but in raw/


class Runner:
    """Runs of load_events, each in a process that can be broken (run_load.py). `pid` is of the last one."""

    pid = 0

    def __init__(self, stack: Stack, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.log, self.errors = folder / "calls.log", folder / "errors.log"
        settings = {
            "ECOMMERCE_OPEN_BATCH_RETRY_SECONDS": "0",
            "AWS_RETRY_MODE": "standard",
            "AWS_MAX_ATTEMPTS": "5",
            "ECOMMERCE_PII_HMAC_KEY": stack.user_environment()["ECOMMERCE_PII_HMAC_KEY"],
        }
        plugins = os.pathsep.join([str(PROJECT / "plugins"), str(PROJECT)])
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.run_load"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=stack.environment() | settings | {"PYTHONPATH": plugins},
            cwd=PROJECT,
            stderr=(folder / "runs.log").open("w"),
        )

    def start(self, **order) -> int:
        """Begins a run and returns its process id."""
        order |= {"log": str(self.log), "errors": str(self.errors)}
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        self.pid = int(json.loads(self.process.stdout.readline())["pid"])
        return self.pid

    def end(self) -> int:
        """Waits for the run that was begun, and returns its exit code, negative where a signal ended it."""
        return json.loads(self.process.stdout.readline())["code"]

    def run(self, **order) -> int:
        self.start(**order)
        return self.end()

    @property
    def calls(self) -> list[str]:
        """The AWS calls of the last run."""
        return [text.split()[0] for text in self.log.read_text().splitlines()]

    @property
    def writes(self) -> int:
        """How many of the calls changed something that another process sees."""
        return self.log.read_text().count(" write\n")

    @property
    def error(self) -> str:
        return self.errors.read_text()

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()


@dataclass
class World:
    stack: Stack
    observer: Observer
    config: Settings
    folder: Path
    seen: dict[str, str] = field(default_factory=dict)  # raw key to ETag: I5
    files: dict[str, Path] = field(default_factory=dict)
    accepted: Counter = field(default_factory=Counter)  # what producers were told is on the stream, by event id
    kills: int = 0
    batches: int = 0

    def __post_init__(self) -> None:
        self.s3, self.target = self.observer.s3, self.observer.warehouse
        self.kinesis, self.sqs = self.stack.client("kinesis"), self.observer.sqs
        self.stream = self.stack.user_environment()["ECOMMERCE_STREAM"]
        self.sqs.set_queue_attributes(QueueUrl=self.observer.queue_url, Attributes={"VisibilityTimeout": "1"})

    @classmethod
    def of(cls, stack: Stack, folder: Path) -> World:
        observer = Observer.of(stack)
        config = settings().model_copy(
            update={
                "work_dir": folder,
                "bucket": observer.bucket,
                "pii_hmac_key": SecretStr(stack.user_environment()["ECOMMERCE_PII_HMAC_KEY"]),
            }
        )
        return cls(stack, observer, config, folder)

    @cached_property
    def runner(self) -> Runner:
        return Runner(self.stack, self.folder)

    # -- events -----------------------------------------------------------------------------------------------------

    def events(self, feed, records, ids=None, version=1) -> list[bytes]:
        ids = ids or [f"{uuid.uuid4().hex[:12]}-{i}" for i in range(len(records))]
        return [line(feed, record, i, None, version) for record, i in zip(records, ids, strict=True)]

    def put(self, payloads, broken=()) -> None:
        """Puts events on the stream, until each is acknowledged; those of `broken` are no envelopes."""
        for start in range(0, len(payloads), 500):
            waiting = payloads[start : start + 500]
            while waiting:
                records = [{"Data": p, "PartitionKey": str(hash(p))} for p in waiting]
                answer = self.kinesis.put_records(StreamName=self.stream, Records=records)["Records"]
                waiting = [p for p, r in zip(waiting, answer, strict=True) if "ErrorCode" in r]
        for payload in payloads:
            if payload in broken:
                self.accepted["unreadable"] += 1
            else:
                self.count(payload)

    def count(self, payload) -> None:
        self.accepted[json.loads(payload)["event_id"]] += 1

    def land(self, feed, payloads, hour=None, name=None) -> str:
        """Writes a raw object, as raw_writer does, and returns its key."""
        hour = hour or datetime.now(UTC)
        key = f"{arrivals.folder_of(feed, hour)}landed-{name or uuid.uuid4().hex}.jsonl.gz"
        body = gzip.compress(b"".join(p + b"\n" for p in payloads), 1, mtime=0)
        self.s3.put_object(Bucket=self.observer.bucket, Key=key, Body=body)
        for payload in payloads:
            self.count(payload)
        return key

    def has_arrived(self) -> bool:
        """Whether all that was put is in raw/ or among the unreadable records."""
        return (
            set(self.stored_ids()) >= set(self.accepted) - {"unreadable"}
            and self.unreadable() >= self.accepted["unreadable"]
        )

    def stored_ids(self) -> Counter:
        found: Counter = Counter()
        for path in self.raw_files("raw/").values():
            for text in gzip.decompress(path.read_bytes()).splitlines():
                found[json.loads(text)["event_id"]] += 1
        return found

    def unreadable(self) -> int:
        return sum(
            gzip.decompress(path.read_bytes()).count(b"\n")
            for path in self.raw_files("quarantine/unreadable/").values()
        )

    def raw_files(self, prefix) -> dict[str, Path]:
        """Key to a copy of the object; what was seen before must not have changed (I5)."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.observer.bucket, Prefix=prefix)
        listed = {e["Key"]: e["ETag"] for page in pages for e in page.get("Contents", [])}
        changed = {key for key, etag in listed.items() if self.seen.get(key, etag) != etag}
        assert not changed, f"I5: {changed}"
        new = [key for key in listed if key not in self.files]

        def fetch(key):
            path = self.folder / f"raw-{uuid.uuid4().hex}.jsonl.gz"
            path.write_bytes(self.s3.get_object(Bucket=self.observer.bucket, Key=key)["Body"].read())
            return key, path

        with ThreadPoolExecutor(8) as pool:
            self.files |= dict(pool.map(fetch, new))
        self.seen |= listed
        return {key: self.files[key] for key in listed}

    # -- runs -------------------------------------------------------------------------------------------------------

    def drain(self, seconds=120) -> None:
        """Waits until all is in raw/, and loads until nothing is left to load."""
        wait_for(self.has_arrived, seconds, "events in raw/", 0.3)
        self.finish(seconds=seconds)

    def finish(self, runner=None, seconds=60) -> None:
        """Runs until nothing waits in the queue and no batch is open."""

        def is_done():
            code = (runner or self.runner).run()
            assert code == 0, (runner or self.runner).error
            return self.observer.is_idle()

        wait_for(is_done, seconds, "an empty queue and no open batch", 0.1)

    def kill(self, find, seconds=20) -> psutil.Process:
        """SIGKILLs the first process that `find` finds."""
        wait_for(lambda: find() is not None, seconds, "a process to kill", 0.02)
        process = find()
        process.kill()
        self.kills += 1
        return process

    def claim(self) -> list[str]:
        """Claims what waits, and returns the ids of the batches that are open now."""
        claimed = manifests.claim(
            self.s3,
            self.sqs,
            bucket=self.observer.bucket,
            queue_url=self.observer.queue_url,
            max_objects=1000,
            max_bytes=2**30,
            retry_after=timedelta(0),
            loaded_keys=lambda feed, first, last: load_transaction.loaded_keys(
                self.target, self.config.sql_dir, feed, first, last
            ),
        )
        return list(claimed.batches)

    def cleaned(self, feed, payloads):
        """A batch of its own of the events, claimed and cleaned."""
        key = self.land(feed, payloads)
        wait_for(lambda: any(key in self.objects(b) for b in self.claim()), 20, "the claim", 0.1)
        [batch_id] = [b for b in manifests.open_batches(self.s3, self.observer.bucket) if key in self.objects(b)]
        return clean_batch(self.s3, manifests.read_manifest(self.s3, self.observer.bucket, batch_id), self.config)

    def objects(self, batch_id) -> set[str]:
        return {raw.key for raw in manifests.read_manifest(self.s3, self.observer.bucket, batch_id).objects}

    def redshift_answers(self) -> bool:
        try:
            self.target.query("SELECT 1")
        except (PermanentError, TransientError, BotoCoreError, ClientError):
            return False
        return True

    def take_messages(self, at_least=1, seconds=20) -> list[str]:
        """Takes all messages out of the queue: what S3 told is lost."""
        taken: list[str] = []
        ends = time.monotonic() + seconds
        while len(taken) < at_least and time.monotonic() < ends:
            found = self.sqs.receive_message(
                QueueUrl=self.observer.queue_url, MaxNumberOfMessages=10, WaitTimeSeconds=1
            )
            for message in found.get("Messages", []):
                taken.append(message["Body"])
                self.sqs.delete_message(QueueUrl=self.observer.queue_url, ReceiptHandle=message["ReceiptHandle"])
        assert len(taken) >= at_least
        return taken

    # -- what must hold ---------------------------------------------------------------------------------------------

    def core(self, feed) -> list[tuple]:
        contract = self.observer.contracts[feed]
        columns = [c.name for c in self.target.table(f"SELECT * FROM {contract.tables[0]} WHERE 1 = 0")[0]]
        kept = [c for c in columns if c not in NOT_COMPARED]
        rows = self.target.query(f"SELECT {', '.join(kept)} FROM {contract.tables[0]} ORDER BY event_id")
        return [tuple(map(_plain, row)) for row in rows]

    def listed(self, feed) -> Counter:
        urls = lists.files(self.s3, self.observer.bucket, feed)
        return Counter(
            i for url in urls for i in parquet_files.read(self.s3, url, ["event_id"])["event_id"].to_pylist()
        )

    def dead_letters(self) -> int:
        """The messages of the queue of raw objects that were received too often."""
        url, name = f"{self.observer.queue_url}-dead-letters", "ApproximateNumberOfMessages"
        return int(self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[name])["Attributes"][name])

    def arrived(self) -> dict[str, int]:
        """Events of the objects that committed batches have, by feed; an object that two batches have arrived once."""
        rows = self.target.query(
            "SELECT feed, SUM(accepted) FROM (SELECT feed, object_key, MAX(accepted) AS accepted FROM ops.batch_object "
            "WHERE batch_id NOT LIKE '%-replay' GROUP BY feed, object_key) AS object GROUP BY feed"
        )
        return {feed: int(events) for feed, events in rows}

    def undisturbed(self, feed) -> tuple[list[tuple], int]:
        """(the rows of a run without faults: all raw objects cleaned at once, in one batch; rejected events)."""
        files = self.raw_files(f"raw/feed={feed}/")
        if not files:
            return [], 0
        contract = self.observer.contracts[feed]
        columns = [c.name for c in self.target.table(f"SELECT * FROM {contract.tables[0]} WHERE 1 = 0")[0]]
        kept = ", ".join(c for c in columns if c not in NOT_COMPARED)
        with duckdb.connect() as engine:
            run_cleaning(engine, files, feed, contract, self.config)
            rows = engine.sql(f"SELECT {kept} FROM ({SELECT_CLEAN}) ORDER BY event_id").fetchall()
            [(rejected,)] = engine.sql(
                "SELECT COUNT(*) FROM cleaned WHERE copy_number = 1 AND LEN(reasons) > 0"
            ).fetchall()
        return [tuple(map(_plain, row)) for row in rows], rejected

    def check(self) -> None:
        """Checks I1 to I6 over all that ever happened in this world."""
        stored, unreadable = self.stored_ids(), self.unreadable()
        missing = set(self.accepted) - set(stored) - {"unreadable"}
        assert not missing, f"I1: {len(missing)} acknowledged events are not in raw/, such as {sorted(missing)[:5]}"
        assert unreadable >= self.accepted["unreadable"], "I1: unreadable records are missing"
        audit = self.observer.audit()
        stored_keys = self.observer.stored()
        lines = self.observer.lines(stored_keys)
        for feed, counts in audit.items():
            assert counts["accepted"] == counts["clean"] + counts["quarantined"] + counts["duplicates"], (
                f"I1: {feed} {counts}"
            )
        arrived = self.arrived()
        rows = self.target.query("SELECT DISTINCT object_key FROM ops.batch_object")
        left = sorted(stored_keys - {key for [key] in rows})
        assert arrived == dict(lines), (
            f"I1: {dict(lines)} lines in raw/, {arrived} arrived; {len(left)} objects in no batch, such as {left[:5]}; "
            f"{self.dead_letters()} dead letters"
        )
        for feed in self.observer.contracts:
            expected, _ = self.undisturbed(feed)
            found = self.core(feed)
            differs = sorted({*found} ^ {*expected})
            assert not differs, f"I2: {feed}: core is not what a run without faults gives: {differs[:4]}"
            assert len(found) == len(expected), f"I2: {feed}: doubled rows"
            listed = self.listed(feed)
            assert listed == Counter(row[0] for row in found), f"I2: {feed}: the lake's lists"
            if feed in audit:
                assert audit[feed]["clean"] == len(found), f"I3: {feed}: rows of core and of the audit"
        [[unexplained]] = self.target.query(
            "SELECT COUNT(*) FROM ops.batch_audit AS audit LEFT JOIN (SELECT DISTINCT batch_id FROM ops.quarantine_reason) AS reason "
            "ON audit.batch_id = reason.batch_id WHERE audit.quarantined > 0 AND reason.batch_id IS NULL"
        )
        assert unexplained == 0, "I4: rejected events without a reason"
        self.raw_files("raw/")  # I5
        found = search.in_objects(self.observer, [MARK], but=("raw/", "quarantine/unreadable/", "landing/"))
        assert not found, f"I6: {found}"
        found = search.in_warehouse(self.observer, [MARK]) | search.in_dynamodb(self.observer, [MARK])
        assert not found, f"I6: {found}"


def _plain(value) -> str:
    """A value as text, the same whether it is Python's or the Data API's."""
    text = "" if value is None else str(value)
    return text.rstrip("0").rstrip(".") if TIME.fullmatch(text) else text
