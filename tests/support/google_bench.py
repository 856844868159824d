"""BigQuery's and Cloud Storage's emulators of the test's own, and the steps of an export without Airflow."""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager
from decimal import Decimal
from types import SimpleNamespace

from ecommerce_elt.bigquery import customers, exports
from ecommerce_elt.bigquery import tasks as bigquery_tasks
from ecommerce_elt.bigquery.place import CLAIM, Place

from local import google_cloud
from local.lifecycle import _answers
from local.services import DEFAULT_PORTS, GOOGLE_PROJECT
from local.stack import Stack
from local.supervision import wait_for
from tests.conftest import free_ports


class Google:
    """The two emulators as processes, with the data sets and the bucket."""

    def __init__(self, folder):
        ports = dict(zip(("bigquery", "cloud-storage"), free_ports(2), strict=True))
        self.stack = Stack(folder, DEFAULT_PORTS | ports, extras=("bigquery",))
        (folder / "bigquery").mkdir()
        self.log = (folder / "google.log").open("wb")
        self.processes = [
            subprocess.Popen(command, env=os.environ | more, cwd=folder, stdout=self.log, stderr=self.log)
            for command, more in google_cloud.commands(self.stack).values()
        ]
        try:
            for service in (service for service in self.stack.services if service.extra):
                url = self.stack.url(service.name) + service.health
                wait_for(lambda url=url: _answers(url), 120, service.name)
            urls = (self.stack.url("bigquery"), self.stack.url("cloud-storage"))
            self.bigquery, self.storage = google_cloud.clients(*urls)
            google_cloud.deploy(self.bigquery, self.storage, self.stack.google_bucket)
        except BaseException:
            self.close()
            raise
        self.where = Place(GOOGLE_PROJECT, "ecommerce", self.stack.google_bucket)

    def close(self):
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait(30)
        self.log.close()

    def rows(self, sql):
        return [tuple(row.values()) for row in self.bigquery.query(sql).result(timeout=60)]


class Exporter:
    """Runs the tasks of export_bigquery in their order, as one run after the other would."""

    def __init__(self, google, shop, monkeypatch, marts=None, facts=False):
        self.google, self.shop, self.run_type = google, shop, "manual"
        self.config = shop.config.model_copy(
            update={
                "bigquery_project": GOOGLE_PROJECT,
                "bigquery_bucket": google.where.bucket,
                "bigquery_facts": facts,
            }
        )
        given = {
            "settings": lambda: self.config,
            "client": lambda service: shop.observer.s3,
            "task_warehouse": lambda: shop.target,
            "linked_warehouse": self._warehouse,
            "get_current_context": lambda: {"dag_run": SimpleNamespace(run_type=self.run_type)},
            "lineage": SimpleNamespace(moved=lambda *_: None, table=str, folder=str, bigquery_table=str),
        }
        for name, value in given.items():
            monkeypatch.setattr(bigquery_tasks, name, value)
            monkeypatch.setattr(customers, name, value, raising=False)
        monkeypatch.setattr("ecommerce_elt.bigquery.google_clients.bigquery", lambda *_: google.bigquery)
        monkeypatch.setattr(
            "ecommerce_elt.bigquery.google_clients.bucket", lambda where: google.storage.bucket(where.bucket)
        )
        if marts:
            monkeypatch.setattr("ecommerce_elt.bigquery.views.create_views", lambda *_: [])  # they are on all tables
            monkeypatch.setattr("ecommerce_elt.bigquery.exports.MARTS", marts)
        self.tables = [mart.table for mart in exports.exported(self.config, shop.contracts)]

    @contextmanager
    def _warehouse(self):
        yield self.shop.target

    def steps(self):
        """Yields each task as a function that takes what the run has got so far, and returns its result."""
        yield "find_tables", lambda got: bigquery_tasks.find_tables.function()
        yield "unload_tables", lambda got: bigquery_tasks.unload_tables.function(got["find_tables"])
        for name in ("copy_files", "load_tables", "swap_in", "compare_tables", "remove_files"):
            yield name, lambda got, name=name: getattr(bigquery_tasks, name).function(got["unload_tables"])

    def export(self):
        got = {}
        for name, step in self.steps():
            got[name] = step(got)
        return got

    def content(self):
        """Rows of BigQuery and of the warehouse, by table, as text in one order."""
        theirs, ours = {}, {}
        for table in self.tables:
            name = self.google.where.table(table)
            rows = self.google.rows(f"SELECT * FROM `{name}`")
            theirs[table] = sorted(map(as_text, rows))
            columns = ", ".join(field.name for field in self.google.bigquery.get_table(name).schema)
            rows = self.shop.target.query(f"SELECT {columns} FROM {table}")
            ours[table] = sorted(map(as_text, rows))
        return theirs, ours

    def left(self):
        """What exports left on their way: objects in the lake and in Cloud Storage, and staged tables."""
        lake = self.shop.observer.keys("bigquery/")
        objects = [blob.name for blob in self.google.storage.list_blobs(self.google.where.bucket)]
        staged = [t.table_id for t in self.google.bigquery.list_tables(f"{GOOGLE_PROJECT}.ecommerce_staging")]
        return sorted(lake), objects, [name for name in staged if name != CLAIM]


def as_text(row):
    return tuple(map(_text, row))


def _text(value):
    """One form for what the Data API gives as text and BigQuery as values: 1.500 is 1.5, a time is in UTC."""
    if value is None:
        return "null"
    text = str(value).removesuffix("+00:00").removesuffix(".0")
    try:
        return str(Decimal(text).normalize() + 0) if not isinstance(value, bool) else text
    except ArithmeticError:
        return text
