"""What holds for every DAG: CI trusts it."""

import ast
import os
import subprocess
import sys
from datetime import timedelta
from unittest.mock import MagicMock

import pytest
from airflow import __version__ as VERSION  # noqa: N812
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk.exceptions import AirflowSkipException
from ecommerce_elt.airflow.defaults import BACKGROUND_NICE, Stage, Tag, yield_to_loads
from ecommerce_elt.batches.manifests import Claim
from ecommerce_elt.landing import reports
from ecommerce_elt.landing import tasks as landing_tasks
from ecommerce_elt.load import tasks as load_tasks
from ecommerce_elt.load.triggers import RawObjectsTrigger

from local.stack import STAGES
from tests.conftest import PROJECT

DAGS = {
    "load_events",
    "build_marts",
    "refresh_dashboards",
    "catalog_lake",
    "watch_landing",
    "load_history",
    "maintain_lake",
    "erase_customer",
    "replay_quarantine",
    "reconcile_layers",
    "export_features",
    "export_bigquery",
    "forecast_demand",
}
# What works on whole files, or on the whole lake.
LONG = {
    "clean_batch",
    "check_known_rows",
    "replace_rows",
    "load_batch",
    "load_file",
    "land_files",
    "crawl_raw",
    "crawl_clean",
    "crawl_quarantine",
    "publish_tables",
    "has_quarantine",
    "summarise_quarantine",
    "find_feeds",
    "compact_feed",
    "remove_superseded_files",
    "apply_retention",
    "vacuum_and_analyze",
    "find_customer",
    "is_to_be_erased",
    "erase_from_lake",
    "erase_from_dynamodb",
    "erase_from_warehouse",
    "build_marts",
    "prove_erasure",
    "reconcile_feed",
    "reconcile_bigquery",
    "report_differences",
    "choose_cut_offs",
    "export_version",
    "remove_old_versions",
    "export_features",
}


@pytest.fixture(scope="module")
def bag():
    return DagBag(str(PROJECT / "dags"), safe_mode=False)


def test_no_import_errors_and_exactly_these_dags(bag):
    assert bag.import_errors == {}
    assert set(bag.dags) == DAGS


def test_one_file_a_dag_of_at_most_150_lines():
    files = {path.stem: len(path.read_text().splitlines()) for path in (PROJECT / "dags").glob("*.py")}
    assert set(files) == DAGS
    assert max(files.values()) <= 150


@pytest.mark.parametrize("dag_id", sorted(DAGS))
def test_a_dag_file_imports_tasks_and_wires_them(bag, dag_id):
    text = (PROJECT / f"dags/{dag_id}.py").read_text()
    docstring = ast.parse(text).body[0]
    assert len(text.splitlines()) - docstring.end_lineno <= 60
    functions = {node.name for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)}
    assert functions == {dag_id}
    assert "xcom" not in text.removeprefix(docstring.value.value)
    modules = {t.python_callable.__module__ for t in bag.dags[dag_id].tasks if hasattr(t, "python_callable")}
    assert {name.rsplit(".", 1)[1] for name in modules} <= {"tasks", "operators"}


@pytest.mark.parametrize("dag_id", sorted(DAGS))
def test_owner_tags_retries_timeouts_and_page(bag, dag_id):
    dag = bag.dags[dag_id]
    assert dag.tags
    assert dag.tags <= {str(tag) for tag in Tag}
    assert dag.catchup is False
    # A run that claims beside one that loads; a file each.
    assert dag.max_active_runs == {"load_events": 2, "load_history": 4}.get(dag_id, 1)
    for words in ("**Runs**", "**Works on**", "**Reads**", "**Writes**", "#### What to press after a failure"):
        assert words in dag.doc_md
    for task in dag.tasks:
        assert task.owner == "data-platform"
        assert task.retries == 3
        assert task.retry_delay >= timedelta(seconds=1)
        assert task.execution_timeout <= timedelta(minutes=30) or "wait_for" in task.task_id or task.task_id in LONG
        # ecommerce_elt.airflow.versions has what each version gets.
        assert (getattr(task, "retry_policy", None) is not None) == (VERSION != "3.2.1")


@pytest.mark.parametrize("dag_id", sorted(DAGS))
def test_no_task_holds_a_worker_for_longer_than_the_broker_of_mwaa_lets_it(bag, dag_id):
    """Its queue gives a message to another worker after 12 hours, and MWAA has no remote control to end the first one."""
    for task in bag.dags[dag_id].tasks:
        defers = getattr(task, "deferrable", None) or (getattr(task, "partial_kwargs", None) or {}).get("deferrable")
        assert defers or task.execution_timeout < timedelta(hours=12), task.task_id


@pytest.mark.parametrize("dag_id", sorted(DAGS))
def test_mapped_tasks_show_what_they_are_about(bag, dag_id):
    shown = {
        "load_events": "{{ feed }}",
        "build_marts": "{{ subject }}",
        "refresh_dashboards": "{{ task.data_set_id }}",
        "load_history": "{{ feed }}",
        "watch_landing": "{{ task.conf['key'] }}"
        "{{ ' and %d more' % (task.conf['more'] | length) if 'more' in task.conf }}",
        "replay_quarantine": "{{ feed }}",
        "reconcile_layers": "{{ task.op_kwargs['feed'] }}",
        "maintain_lake": "{{ task.op_kwargs['feed'] }}",
    }
    mapped = [t for t in bag.dags[dag_id].tasks if t.get_closest_mapped_task_group() or t.is_mapped]
    assert bool(mapped) == (dag_id in shown)
    for task in mapped:
        template = getattr(task, "map_index_template", None) or task.partial_kwargs.get("map_index_template")
        assert template == shown[dag_id]


def test_load_events_claims_what_arrives_and_loads_a_task_a_feed(bag):
    dag = bag.dags["load_events"]
    assert [t.task_id for t in dag.topological_sort()] == ["claim_batches", "load_batch"]
    assert dag.task_dict["claim_batches"].downstream_task_ids == {"load_batch"}
    assert [asset.name for asset in dag.task_dict["load_batch"].outlets] == ["ecommerce_warehouse"]
    [asset] = dag.schedule
    [watcher] = asset.watchers
    assert type(watcher.trigger) is RawObjectsTrigger
    assert watcher.trigger.aws_conn_id == "aws_load"


def test_a_run_that_finds_nothing_to_claim_is_skipped(bag, monkeypatch):
    claim, claimed = bag.dags["load_events"].task_dict["claim_batches"].python_callable, ["purchases-1"]
    monkeypatch.setattr(load_tasks, "client", MagicMock())
    monkeypatch.setattr(load_tasks, "task_warehouse", MagicMock())
    monkeypatch.setattr(load_tasks.manifests, "claim", lambda *_, **__: Claim(tuple(claimed), 0, 0, 0))
    assert claim() == ["purchases-1"]
    claimed.clear()
    with pytest.raises(AirflowSkipException):
        claim()


def test_a_run_that_waited_for_no_landed_file_is_skipped(bag, monkeypatch):
    report_unfinished_files = bag.dags["watch_landing"].task_dict["report_unfinished_files"].python_callable
    monkeypatch.setattr(landing_tasks, "client", lambda service: None)
    monkeypatch.setattr(reports, "report_unfinished", lambda s3, file, run, bucket: (file.key, run) == ("a.csv", "r"))
    assert report_unfinished_files([{"trigger_run_id": "r", "conf": {"key": "a.csv", "etag": "e"}}]) == 1
    for nothing in (None, []):
        with pytest.raises(AirflowSkipException):
            report_unfinished_files(nothing)


def test_load_history_reports_whatever_happened(bag):
    dag = bag.dags["load_history"]
    assert dag.task_dict["report_files"].trigger_rule == "all_done"
    assert dag.leaves == [dag.task_dict["report_files"]]
    assert dag.task_dict["report_files"].upstream_task_ids == {"replace_rows"}
    assert dag.task_dict["replace_rows"].upstream_task_ids == {"load_batch"}
    assert dag.task_dict["clean_batch"].upstream_task_ids == {"land_files"}
    assert dag.task_dict["check_known_rows"].upstream_task_ids == {"clean_batch"}
    assert dag.task_dict["check_known_rows"].trigger_rule == "none_failed"  # a single batch has no clean_batch
    assert dag.task_dict["load_batch"].upstream_task_ids == {"check_known_rows"}
    assert dag.params["on_known"] == "stop"
    assert dag.schedule is None


def test_watch_landing_starts_one_run_a_file_and_settles(bag):
    dag = bag.dags["watch_landing"]
    assert [t.task_id for t in dag.topological_sort()] == [
        "wait_for_landed_files",
        "load_file",
        "report_unfinished_files",
    ]
    assert dag.task_dict["load_file"].partial_kwargs["skip_when_already_exists"] is True
    # A stranger chooses the names of files: they are no templates.
    assert not {"conf", "trigger_run_id"} & set(dag.task_dict["load_file"].operator_class.template_fields)
    assert dag.task_dict["wait_for_landed_files"].deferrable is True


def test_catalog_lake_crawls_each_prefix(bag):
    dag = bag.dags["catalog_lake"]
    assert {t.task_id for t in dag.roots} == {"crawl_raw", "crawl_clean", "crawl_quarantine"}
    assert dag.task_dict["publish_tables"].upstream_task_ids == {"crawl_clean"}
    assert dag.task_dict["summarise_quarantine"].upstream_task_ids == {"has_quarantine"}


def test_build_marts_follows_the_warehouse_and_announces_marts(bag):
    dag = bag.dags["build_marts"]
    assert [t.task_id for t in dag.topological_sort()][:3] == [
        "find_stale_subjects",
        "build_dimensions",
        "build_subject",
    ]
    assert dag.task_dict["build_subject"].downstream_task_ids == {"publish_marts", "all_built"}
    assert dag.task_dict["find_stale_subjects"].downstream_task_ids == {"build_dimensions", "build_subject"}
    assert [asset.name for asset in dag.schedule] == ["ecommerce_warehouse"]
    assert [asset.name for asset in dag.task_dict["publish_marts"].outlets] == ["ecommerce_marts"]
    assert not dag.task_dict["build_subject"].partial_kwargs.get("outlets"), (
        "an event for each subject, not for each run"
    )


def test_where_slots_are_scarce_the_loads_come_first(bag):
    weights = {
        dag_id: {(getattr(task, "partial_kwargs", None) or vars(task)).get("priority_weight") for task in dag.tasks}
        for dag_id, dag in bag.dags.items()
    }
    loads = {"load_events", "load_history", "watch_landing", "replay_quarantine"}
    assert weights == {dag_id: {10} if dag_id in loads else {1} for dag_id in DAGS}


def test_tasks_of_other_stages_leave_the_processors_to_loads(bag):
    yielding = {dag_id for dag_id, dag in bag.dags.items() if dag.default_args.get("pre_execute") is yield_to_loads}
    assert yielding == DAGS - {"load_events", "load_history", "watch_landing", "replay_quarantine"}
    usual = os.nice(0)
    if (child := os.fork()) == 0:
        yield_to_loads({})
        os._exit(os.nice(0))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == min(19, usual + BACKGROUND_NICE)
    assert os.nice(0) == usual


def test_erase_customer_is_a_dry_run_until_told_and_proves_itself_last(bag):
    dag = bag.dags["erase_customer"]
    assert dag.params["dry_run"] is True
    order = [t.task_id for t in dag.topological_sort()]
    assert order[:3] == ["find_customer", "is_to_be_erased", "erase_from_lake"]
    assert dag.task_dict["build_marts"].upstream_task_ids == {"erase_from_dynamodb", "erase_from_warehouse"}
    assert order[-3:] == ["build_marts", "export_features", "prove_erasure"]
    assert dag.task_dict["export_features"].conf == {"remove_others": True}


def test_sinks_of_refresh_dashboards_do_not_wait_for_each_other(bag):
    dag = bag.dags["refresh_dashboards"]
    assert {t.task_id: t.downstream_task_ids for t in dag.tasks} == {
        "choose_data_sets": {"ingest_data_set"},
        "ingest_data_set": set(),
        "extract_for_tableau": set(),
    }
    ingest = dag.task_dict["ingest_data_set"].partial_kwargs
    assert ingest.get("deferrable", False) is (VERSION != "3.3.1")  # its provider is 9.34
    assert ingest["ingestion_id"] == "{{ macros.uuid.uuid4() }}"  # each try is an ingestion of its own


def test_parsing_imports_nothing_heavy():
    code = "import sys, runpy; [runpy.run_path(p) for p in sys.argv[1:]]; print(*sorted({'duckdb', 'google.cloud.bigquery', 'google.cloud.storage', 'pandas', 'pyarrow', 'sqlglot'} & set(sys.modules)))"
    files = [str(path) for path in (PROJECT / "dags").glob("*.py")]
    done = subprocess.run([sys.executable, "-c", code, *files], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_each_stage_has_a_connection_of_its_own(bag):
    assert set(STAGES) == set(Stage)
    used = {dag_id: dag.default_args["aws_conn_id"] for dag_id, dag in bag.dags.items()}
    assert set(used.values()) == {f"aws_{stage}" for stage in Stage}
    for dag_id, dag in bag.dags.items():
        # A mapped operator takes it when it is unmapped, from the same default arguments.
        assert {t.aws_conn_id for t in dag.tasks if hasattr(t, "aws_conn_id")} <= {used[dag_id]}, dag_id


def test_product_code_does_not_know_where_it_runs():
    names = (
        "ministack",
        "localstack",
        "moto",
        "duckdb_standin",
        "local.",
        "127.0.0.1",
        "localhost",
        "endpoint_url=http",
        "4566",
    )
    for folder in ("dags", "plugins", "lambdas", "include", "glue"):
        for path in (PROJECT / folder).rglob("*"):
            if path.suffix in {".py", ".sql", ".yaml"}:
                text = path.read_text().lower()
                assert [n for n in names if n in text] == [], path
    for path in (PROJECT / "producer").rglob("*.py"):
        assert [n for n in names if n in path.read_text().lower()] == [], path


def test_tasks_of_marts_and_dashboards_import_no_engine():
    """A task is a process: DuckDB, sqlglot and openpyxl are a second of each, and these tasks use the warehouse alone."""
    code = "import sys, ecommerce_elt.bigquery.tasks, ecommerce_elt.dashboards.tasks, ecommerce_elt.marts.tasks; print(*sorted({'duckdb', 'openpyxl', 'pandas', 'sqlglot', 'tableauhyperapi'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1].split() == []


def test_export_bigquery_has_no_schedule_where_no_project_is_set(bag):
    dag = bag.dags["export_bigquery"]
    assert dag.schedule is None
    order = ["find_tables", "unload_tables", "copy_files", "load_tables", "swap_in"]
    assert [t.task_id for t in dag.topological_sort()][:5] == order
    assert dag.task_dict["swap_in"].downstream_task_ids == {"compare_tables", "remove_files"}
    assert "export_bigquery" not in bag.dags["erase_customer"].task_dict


def test_with_a_project_bigquery_follows_the_marts_and_erasures(tmp_path):
    code = (
        "from airflow.dag_processing.dagbag import DagBag; import sys; bag = DagBag(sys.argv[1], safe_mode=False); "
        "export, erase = bag.dags['export_bigquery'], bag.dags['erase_customer']; "
        "print(type(export.schedule).__name__, export.start_date, sorted(erase.task_dict['prove_erasure'].upstream_task_ids))"
    )
    env = os.environ | {"ECOMMERCE_BIGQUERY_PROJECT": "my-project-1"}
    done = subprocess.run(
        [sys.executable, "-c", code, str(PROJECT / "dags")], capture_output=True, text=True, check=True, env=env
    )
    expected = "AssetOrTimeSchedule None ['erase_from_exports', 'erase_from_warehouse', 'export_features']"
    assert done.stdout.splitlines()[-1] == expected


def test_what_runs_by_the_clock_waits_for_its_time(bag):
    """With a start date in the past Airflow begins a run at once, in the rush of a new installation."""
    by_the_clock = {
        "catalog_lake",
        "export_features",
        "forecast_demand",
        "maintain_lake",
        "reconcile_layers",
        "refresh_dashboards",
    }
    assert {dag_id for dag_id in by_the_clock if bag.dags[dag_id].start_date is not None} == set()
