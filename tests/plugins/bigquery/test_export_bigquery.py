"""Exports to BigQuery on the emulators: the warehouse's content, whatever is killed or repeated, and only what changed."""

import random
from contextlib import suppress

import botocore.client
import httpx
import pandas_gbq
import pytest
from airflow.sdk.exceptions import AirflowSkipException
from botocore.exceptions import ClientError
from ecommerce_elt import listing
from ecommerce_elt.bigquery import customers, exports
from ecommerce_elt.bigquery import tasks as bigquery_tasks
from ecommerce_elt.bigquery.comparison import differences
from ecommerce_elt.bigquery.exports import Field
from ecommerce_elt.bigquery.statements import Claimed
from ecommerce_elt.bigquery.tables import missing
from ecommerce_elt.dashboards.data_sets import DATA_SETS
from ecommerce_elt.erasure.customers import customer_of
from ecommerce_elt.erasure.warehouse import erase_core
from ecommerce_elt.errors import PermanentError
from ecommerce_elt.marts.builds import MARTS
from google.cloud.bigquery import Table as BigQueryTable

from local import google_cloud
from producer.simulate import simulated
from tests.conftest import PROJECT
from tests.e2e import iam
from tests.plugins.marts.test_marts import WEEK, Shop, sale
from tests.recorder.sitecustomize import _short
from tests.support.google_bench import Exporter, Google, as_text
from tests.support.transfer_service import TransferService

needs_emulators = pytest.mark.skipif(
    not google_cloud.is_installed(), reason="BigQuery's emulators are not installed: make setup-bigquery"
)
# A day, a week, a month, a whole table, and one with a key.
FEW = tuple(
    m
    for m in MARTS
    if m.table
    in {
        "core.dim_product",
        "mart.sales_daily",
        "mart.sales_weekly",
        "mart.customer_behaviour",
        "mart.best_sellers_monthly",
    }
)
SALES = tuple(m for m in MARTS if m.table in {"core.dim_product", "mart.sales_daily", "mart.sales_weekly"})


@pytest.fixture(scope="module")
def google(tmp_path_factory):
    found = Google(tmp_path_factory.mktemp("google"))
    yield found
    found.close()


@pytest.fixture
def exporter(google, observer, config, contracts, monkeypatch):
    shop = Shop(observer, config, contracts)
    tables = ("export_day", "export_total", "exported_table")
    shop.target.run([*(f"DELETE FROM ops.{t}" for t in tables), "DELETE FROM ops.mart WHERE mart LIKE 'bigquery.%'"])
    for dataset in ("bi", "core", "mart", "staging"):
        for table in google.bigquery.list_tables(f"ecommerce-local.ecommerce_{dataset}"):
            google.bigquery.delete_table(table)
    listing.delete(observer.s3, observer.bucket, sorted(observer.keys("bigquery/")))
    for blob in google.storage.list_blobs(google.where.bucket):
        blob.delete()
    return lambda marts=None, facts=False: Exporter(google, shop, monkeypatch, marts, facts)


@needs_emulators
@pytest.mark.nightly
def test_all_tables_then_only_what_changed(exporter):
    export = exporter()
    shop = export.shop
    shop.load("online_retail", WEEK)
    shop.build()
    export.export()
    theirs, ours = export.content()
    assert theirs == ours
    assert ours["mart.sales_daily"]
    assert export.left() == ([], [], [])
    assert differences(export.google.bigquery, shop.target, export.google.where, export.config.sql_dir) == {}
    with pytest.raises(AirflowSkipException, match="BigQuery has what the warehouse has"):
        bigquery_tasks.find_tables.function()
    brought = {mart.table for mart in MARTS}
    shown = [data_set for data_set in DATA_SETS if set(data_set.marts) <= brought]
    assert {data_set.id for data_set in DATA_SETS} - {data_set.id for data_set in shown} == {"demand_forecast"}
    for data_set in shown:
        found = export.google.rows(f"SELECT * FROM `{export.google.where.table(f'bi.{data_set.id}')}`")
        expected = shop.target.query(data_set.sql(export.config.sql_dir))
        assert sorted(map(as_text, found)) == sorted(map(as_text, expected)), data_set.id

    shop.load("online_retail", [sale("536999", "71053", 1, "9.00", "2010-12-02", name="LANTERN")])
    shop.build("sales")
    got = export.export()
    changed = {part["table"]: part["ranges"] for part in got["unload_tables"]["tables"]}
    assert changed["mart.sales_daily"] == (("2010-12-02", "2010-12-02"),)
    assert changed["mart.sales_weekly"] == (("2010-11-29", "2010-11-29"),)
    assert "mart.inventory_level" not in changed
    assert got["load_tables"]["mart.sales_daily"] == 1
    theirs, ours = export.content()
    assert theirs == ours


@needs_emulators
@pytest.mark.nightly
def test_tables_have_types_partitions_and_clusters_and_new_columns_are_added(exporter):
    export = exporter(FEW)
    export.shop.load("online_retail", WEEK)
    export.shop.build()
    export.export()
    client, where = export.google.bigquery, export.google.where
    table = client.get_table(where.table("mart.sales_daily"))
    kinds = {f.name: f.field_type for f in table.schema}
    assert (kinds["period_start"], kinds["net_revenue"], kinds["units"]) == ("DATE", "NUMERIC", "INT64")
    assert "FLOAT" not in {f.field_type for m in FEW for f in client.get_table(where.table(m.table)).schema}
    assert (table.time_partitioning.type_, table.time_partitioning.field) == ("MONTH", "period_start")
    assert client.get_table(where.table("mart.best_sellers_monthly")).clustering_fields == [
        "feed",
        "currency",
        "stock_code",
    ]
    assert client.get_table(where.table("mart.customer_behaviour")).time_partitioning is None

    older = [field for field in table.schema if field.name != "units"]
    client.delete_table(where.table("mart.sales_daily"))
    client.create_table(BigQueryTable(where.table("mart.sales_daily"), schema=older))
    [daily] = [mart for mart in MARTS if mart.table == "mart.sales_daily"]
    columns = {"mart.sales_daily": exports.fields(export.shop.target, daily, export.shop.contracts)}
    assert [f.name for f in missing(client, where, columns)["mart.sales_daily"]] == ["units"]
    export.export()  # all of it: old rows have the column too
    [[units]] = export.google.rows(f"SELECT SUM(units) FROM `{where.table('mart.sales_daily')}`")
    assert units == int(export.shop.target.query("SELECT SUM(units) FROM mart.sales_daily")[0][0])
    wrong = {"mart.sales_daily": [Field("units", "STRING")]}
    with pytest.raises(PermanentError, match="column units is INT64, expected STRING; delete the table"):
        missing(client, where, wrong)


@needs_emulators
@pytest.mark.nightly
def test_a_difference_is_found_named_and_mended(exporter, monkeypatch):
    export = exporter(FEW)
    export.shop.load("online_retail", WEEK)
    export.shop.build()
    got = export.export()
    client, where, sql = export.google.bigquery, export.google.where, export.config.sql_dir
    name = where.table("mart.sales_daily")
    client.query(f"UPDATE `{name}` SET net_revenue = net_revenue + 1 WHERE period_start = DATE '2010-12-02'").result()
    client.query(f"INSERT INTO `{name}` (period_start, units) VALUES (DATE '2001-01-01', 0)").result()
    with pytest.raises(
        PermanentError, match=r"mart\.sales_daily: rows is 4 in Redshift and 5 in BigQuery, .*net_revenue is 50\.7"
    ):
        bigquery_tasks.compare_tables.function(got["unload_tables"])
    [[told]] = export.shop.target.query(
        "SELECT difference FROM ops.exported_table WHERE table_name = 'mart.sales_daily'"
    )
    assert told.startswith("rows is 4")
    assert bigquery_tasks.find_tables.function() == ["mart.sales_daily"]
    export.export()  # all its rows, so that what was never in the warehouse goes
    theirs, ours = export.content()
    assert theirs == ours
    assert differences(client, export.shop.target, where, sql) == {}
    client.delete_table(name)
    assert differences(client, export.shop.target, where, sql)["mart.sales_daily"].startswith("BigQuery lacks")
    export.export()
    assert export.content() == (ours, ours)
    # The mart is changed by hand, so no day of it is marked.
    export.shop.target.run(["UPDATE mart.sales_daily SET units = units + 1 WHERE period_start = '2010-12-02'"])
    assert list(differences(client, export.shop.target, where, sql)) == ["mart.sales_daily"]
    monkeypatch.setattr("ecommerce_elt.bigquery.tasks.LOOK_SECONDS", 0)
    [found] = bigquery_tasks.reconcile_bigquery.function()["differences"]
    assert (found["layer"], found["where"]) == ("bigquery", "mart.sales_daily")
    assert "units is 1" in found["text"]
    counts = customers.count_customer("customer_id", "17850")
    assert {where: n for where, n in counts.items() if n} == {"bigquery mart.customer_behaviour": 1}


@needs_emulators
@pytest.mark.nightly
def test_googles_clients_read_what_was_exported(exporter):
    export = exporter(SALES)
    export.shop.load("online_retail", WEEK)
    export.shop.build("sales")
    export.export()
    sql = f"SELECT period_start, net_revenue FROM `{export.google.where.table('mart.sales_daily')}` ORDER BY 1"
    frame = pandas_gbq.read_gbq(
        sql, project_id=export.google.where.project, bigquery_client=export.google.bigquery, progress_bar_type=None
    )
    assert str(frame["net_revenue"].iloc[0]) == "39.300000000"
    arrow = export.google.bigquery.query(sql).to_arrow(create_bqstorage_client=False)
    assert str(arrow.schema.field("net_revenue").type) == "decimal128(38, 9)"
    # As `bq query` asks: jobs.query of the REST API.
    url = f"{export.google.stack.url('bigquery')}/bigquery/v2/projects/{export.google.where.project}/queries"
    answer = httpx.post(url, json={"query": sql, "useLegacySql": False}, timeout=60).raise_for_status().json()
    assert (answer["totalRows"], answer["rows"][0]["f"][0]["v"]) == ("4", "2010-12-01")


def test_without_a_project_the_run_is_skipped_and_says_so(monkeypatch, config):
    for module in (bigquery_tasks, customers):
        for function in ("task_warehouse", "client"):
            monkeypatch.setattr(module, function, lambda *_: pytest.fail("nothing is asked"))
        monkeypatch.setattr(module, "settings", lambda: config)
    with pytest.raises(AirflowSkipException, match="ECOMMERCE_BIGQUERY_PROJECT is empty"):
        bigquery_tasks.find_tables.function()
    assert bigquery_tasks.reconcile_bigquery.function() == {"differences": []}
    assert customers.count_customer("customer_id", "17850") == {}
    half = config.model_copy(update={"bigquery_project": "my-project-1"})
    monkeypatch.setattr(bigquery_tasks, "settings", lambda: half)
    with pytest.raises(PermanentError, match="ECOMMERCE_BIGQUERY_BUCKET is not"):
        bigquery_tasks.find_tables.function()


@needs_emulators
@pytest.mark.nightly
def test_an_export_that_wakes_up_late_changes_nothing(exporter):
    export = exporter(FEW)
    export.shop.load("online_retail", WEEK)
    export.shop.build()
    late = {"find_tables": bigquery_tasks.find_tables.function()}
    late["unload_tables"] = bigquery_tasks.unload_tables.function(late["find_tables"])
    export.shop.load("online_retail", [sale("536999", "71053", 1, "9.00", "2010-12-02", name="LANTERN")])
    export.shop.build("sales", "customers", "products")
    export.export()
    theirs, ours = export.content()
    assert theirs == ours
    bigquery_tasks.copy_files.function(late["unload_tables"])
    bigquery_tasks.load_tables.function(late["unload_tables"])
    with pytest.raises(Claimed, match="clear the run from unload_tables on"):
        bigquery_tasks.swap_in.function(late["unload_tables"])
    assert export.content() == (ours, ours)


@needs_emulators
@pytest.mark.nightly
def test_what_a_dead_export_left_of_a_customer_is_found_and_removed(exporter):
    export = exporter(FEW)
    export.shop.load("online_retail", WEEK)
    export.shop.build()
    dead = bigquery_tasks.unload_tables.function(bigquery_tasks.find_tables.function())
    bigquery_tasks.copy_files.function(dead)
    bigquery_tasks.load_tables.function(dead)  # and then its worker died
    left = export.left()
    assert all(left)
    of_table = f"{dead['export_id']}/mart.customer_behaviour/"
    staged = export.google.where.staged("mart.customer_behaviour", dead["export_id"])
    nothing = {"bigquery_files": 0, "cloud_storage_objects": 0, "bigquery_staged_tables": 0}
    assert customers.count_customer("customer_id", "99999") == nothing
    named = customers.count_customer("customer_id", "17850")
    assert named == {"bigquery_files": 1, "cloud_storage_objects": 1, "bigquery_staged_tables": 1}
    assert customers.erase_staged("customer_id", "17850") == named
    assert customers.erase_staged("customer_id", "17850") == nothing
    lake, objects, tables = export.left()
    assert [key for key in left[0] if key not in lake] == [k for k in left[0] if of_table in k] != []
    assert [name for name in left[1] if name not in objects] == [n for n in left[1] if of_table in n] != []
    assert [name for name in left[2] if name not in tables] == [staged.rsplit(".", 1)[1]]
    # The dead run, cleared later, brings nothing back and says why; the next export brings all.
    for step in (bigquery_tasks.copy_files, bigquery_tasks.load_tables):
        with pytest.raises((PermanentError, ClientError), match="(?i)not ?found|NoSuchKey|no files found"):
            step.function(dead)
    bigquery_tasks.remove_files.function(dead)
    assert export.left() == ([], [], [])
    export.export()
    theirs, ours = export.content()
    assert theirs == ours


@needs_emulators
@pytest.mark.nightly
def test_the_role_allows_what_an_export_does_and_no_more(exporter, monkeypatch, cloud):
    export, calls = exporter(SALES), []
    export.shop.load("online_retail", WEEK)
    export.shop.build("sales")
    send = botocore.client.BaseClient._make_api_call

    def recorded(client, operation, params):
        calls.append((client.meta.service_model.service_name, operation, _short(params)))
        return send(client, operation, params)

    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", recorded)
    export.export()
    monkeypatch.undo()
    of_iam = cloud.client("iam")
    granted = iam.grants(of_iam, "ecommerce-stage-bigquery")
    listed = set((PROJECT / "infra" / "calls.txt").read_text().splitlines())
    for service, operation, on in calls:
        for need in iam.needs(service, operation, on):
            fitting = [grant for grant in granted if grant.allows(need)]
            assert fitting, need
            for grant in fitting:
                grant.used = True
                line = f"ecommerce-stage-bigquery | {service} {operation} | {grant.resource.split(':', 5)[-1]}"
                assert line in listed, line
    assert {grant.action for grant in granted if not grant.used} <= {"sns:Publish", "redshift-data:DescribeStatement"}
    # UNLOAD writes with the role of COPY.
    unloaded = iam.Need(
        "s3:PutObject", "arn:aws:s3:::ecommerce-lake-000000000000/bigquery/x/mart.sales_daily/0000_part_00.parquet"
    )
    assert any(grant.allows(unloaded) for grant in iam.grants(of_iam, "ecommerce-copy"))


@needs_emulators
@pytest.mark.nightly
@pytest.mark.timeout(900)
def test_facts_are_brought_by_day_without_personal_columns(exporter, monkeypatch):
    export = exporter(SALES, facts=True)
    shop, client, where = export.shop, export.google.bigquery, export.google.where
    shop.load("online_retail", WEEK)
    shop.load("purchases", [(f"p{n}", at, data) for n, (at, data, _) in enumerate(simulated("purchases", 40, 3, 0.0))])
    shop.build("sales")
    export.export()
    theirs, ours = export.content()
    assert theirs == ours
    assert len(ours["core.fact_purchase"]) == 40
    line = client.get_table(where.table("core.fact_invoice_line"))
    columns, _ = shop.target.table("SELECT * FROM core.fact_invoice_line WHERE 1 = 0")
    assert {f.name for f in line.schema} == {column.name for column in columns} - {"extra"}
    assert (line.time_partitioning.type_, line.time_partitioning.field, line.clustering_fields) == (
        "MONTH",
        "event_time",
        ["event_time"],
    )
    personal = {column.name for column in shop.contracts["purchases"].columns if column.privacy != "keep"}
    assert not personal & {f.name for f in client.get_table(where.table("core.fact_purchase")).schema}
    kinds = {f.field_type for t in export.tables for f in client.get_table(where.table(t)).schema}
    assert "FLOAT" not in kinds

    # Nothing but the days of what came since: a new line, one that is corrected, and one that goes.
    event, at, record = WEEK[0]
    shop.load("online_retail", [(event, at, record | {"Quantity": "7"})], version=2)
    shop.load("online_retail", [sale("536999", "71053", 1, "9.00", "2010-12-31", name="LANTERN")])
    shop.build("sales")
    got = export.export()["unload_tables"]
    changed = {part["table"]: part["ranges"] for part in got["tables"]}
    assert changed["core.fact_invoice_line"] == (("2010-12-01", "2010-12-01"), ("2010-12-31", "2010-12-31"))
    assert "core.fact_purchase" not in changed
    theirs, ours = export.content()
    assert theirs == ours

    # The comparison reads the exported days, and finds what a hand changed there; the next export brings all.
    name = where.table("core.fact_invoice_line")
    client.query(f"UPDATE `{name}` SET quantity = quantity + 1 WHERE invoice_no = '536999'").result()
    with pytest.raises(PermanentError, match=r"core\.fact_invoice_line: quantity is "):
        bigquery_tasks.compare_tables.function(got)
    assert differences(client, shop.target, where, export.config.sql_dir) == {}  # of marts alone
    assert bigquery_tasks.find_tables.function() == ["core.fact_invoice_line"]
    export.export()
    assert export.content() == (ours, ours)

    # An erased customer's days are marked as well.
    customer = customer_of("online_retail", "17850", export.config)
    assert customers.count_customer("customer_id", "17850")["bigquery core.fact_invoice_line"] > 0
    erase_core(shop.target, customer, export.config, request="erasure test")
    shop.build("sales")
    export.export()
    assert set(customers.count_customer("customer_id", "17850").values()) == {0}
    theirs, ours = export.content()
    assert theirs == ours

    # Without the setting the tables go, so that nothing stays that no erasure reaches.
    export.config = export.config.model_copy(update={"bigquery_facts": False})
    with suppress(AirflowSkipException):
        export.export()
    assert {t.table_id for t in client.list_tables("ecommerce-local.ecommerce_core")} == {"dim_product"}
    assert exports.no_longer(shop.target, export.config, shop.contracts) == []
    shop.load("online_retail", [sale("537000", "71053", 1, "9.00", "2010-12-31", name="LANTERN")])
    assert "core.fact_invoice_line" not in exports.stale(shop.target, export.config.sql_dir)


@needs_emulators
@pytest.mark.nightly
def test_googles_transfer_service_copies_where_a_role_is_named(exporter, monkeypatch):
    export = exporter(SALES)
    role = "arn:aws:iam::123456789012:role/ecommerce-google-transfer"
    export.config = export.config.model_copy(update={"bigquery_transfer_role_arn": role})
    export.shop.load("online_retail", WEEK)
    export.shop.build("sales")

    def copy(job):
        source, sink = job.transfer_spec.aws_s3_data_source, job.transfer_spec.gcs_data_sink
        for key in export.shop.observer.keys(source.path):
            body = export.shop.observer.s3.get_object(Bucket=source.bucket_name, Key=key)["Body"].read()
            name = sink.path + key.removeprefix(source.path)
            export.google.storage.bucket(sink.bucket_name).blob(name).upload_from_string(body)

    service = TransferService()
    monkeypatch.setattr("ecommerce_elt.bigquery.google_clients.transfer_session", lambda: service)
    got = {"find_tables": bigquery_tasks.find_tables.function()}
    got["unload_tables"] = bigquery_tasks.unload_tables.function(got["find_tables"])
    with pytest.raises(PermanentError, match=r"ended without \d of \d files, the first is bigquery/"):
        bigquery_tasks.copy_files.function(got["unload_tables"])  # it said that it was done, and copied nothing
    service.jobs.clear(), service.latest.clear()
    service.copy = copy
    for name, step in export.steps():
        if name not in got:
            got[name] = step(got)
    theirs, ours = export.content()
    assert theirs == ours
    assert got["copy_files"] == sum(len(part["files"]) for part in got["unload_tables"]["tables"]) > 0
    assert service.jobs == {}
    assert export.left() == ([], [], [])


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


class Killer:
    """Ends the process at the n-th call to Google or AWS, before it is sent or after it was answered."""

    def __init__(self, monkeypatch):
        from google.cloud import _http

        self.arm(None, "before")
        for owner, name in ((botocore.client.BaseClient, "_make_api_call"), (_http.JSONConnection, "api_request")):
            monkeypatch.setattr(owner, name, self._counting(getattr(owner, name)))

    def arm(self, at, when):
        self.calls, self.at, self.when = 0, at, when

    def _counting(self, plain):
        def call(*args, **kwargs):
            self.calls += 1
            hit = self.calls == self.at
            if hit and self.when == "before":
                raise Killed
            answer = plain(*args, **kwargs)
            if hit:
                raise Killed
            return answer

        return call


@needs_emulators
@pytest.mark.nightly
@pytest.mark.timeout(900)
def test_killed_at_each_step_and_repeated_ends_in_what_a_whole_export_gives(exporter, monkeypatch):
    export, chance = exporter(SALES, facts=True), random.Random(7)
    export.shop.load("online_retail", WEEK)
    export.shop.build("sales")
    killer, calls, got = Killer(monkeypatch), {}, {}
    for name, run in export.steps():
        killer.calls = 0
        got[name] = run(got)
        calls[name] = killer.calls
    killed = set()
    for number, (name, when) in enumerate([(name, when) for name in calls for when in ("before", "after")]):
        day = f"2010-12-{chance.randint(1, 28):02}"
        export.shop.load("online_retail", [sale(f"6{number:05}", "71053", number + 1, "2.00", day, name="LANTERN")])
        export.shop.build("sales")
        got = {}
        for step, run in export.steps():
            killer.arm(chance.randint(1, calls[step]) if step == name else None, when)
            try:
                got[step] = run(got)
            except Killed:
                killed.add((step, when))
                killer.arm(None, when)
                if number % 3 == 2:
                    break  # the run is given up; the next one takes it from here
                with suppress(AirflowSkipException):
                    got[step] = run(got)  # Airflow tries the task again
        killer.arm(None, when)
    assert len(killed) > len(calls)
    with suppress(AirflowSkipException):  # the last run did it
        export.export()
    theirs, ours = export.content()
    assert theirs == ours
    assert exports.stale(export.shop.target, export.config.sql_dir) == {}
    assert differences(export.google.bigquery, export.shop.target, export.google.where, export.config.sql_dir) == {}
    # The same as from nothing.
    for table in export.tables:
        export.google.bigquery.delete_table(export.google.where.table(table))
    export.export()
    assert export.content() == (theirs, ours)
