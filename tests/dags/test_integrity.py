"""What holds for every DAG: CI trusts it."""

import subprocess
import sys
from datetime import timedelta

import pytest
from airflow.dag_processing.dagbag import DagBag
from ecommerce_elt.dag_defaults import Tag

from tests.conftest import PROJECT

DAGS = {"load_events"}


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
def test_owner_tags_retries_timeouts_and_page(bag, dag_id):
    dag = bag.dags[dag_id]
    assert dag.tags
    assert dag.tags <= {str(tag) for tag in Tag}
    assert dag.catchup is False
    assert dag.max_active_runs == 1
    for words in ("**Runs**", "**Works on**", "**Reads**", "**Writes**", "#### What to press after a failure"):
        assert words in dag.doc_md
    for task in dag.tasks:
        assert task.owner == "data-platform"
        assert task.retries == 3
        assert task.retry_delay >= timedelta(seconds=1)
        assert task.execution_timeout <= timedelta(minutes=30) or "wait_for" in task.task_id
        assert task.retry_policy is not None


@pytest.mark.parametrize("dag_id", sorted(DAGS))
def test_mapped_tasks_show_their_feed(bag, dag_id):
    for task in bag.dags[dag_id].tasks:
        if task.get_closest_mapped_task_group() or task.is_mapped:
            operator = getattr(task, "map_index_template", None) or task.partial_kwargs.get("map_index_template")
            assert operator == "{{ feed }}"


def test_load_events_waits_claims_cleans_and_loads(bag):
    dag = bag.dags["load_events"]
    order = ["wait_for_raw_objects", "claim_batches", "load_feed.clean_batch", "load_feed.load_batch"]
    assert [t.task_id for t in dag.topological_sort()] == order
    assert [sorted(dag.task_dict[t].downstream_task_ids) for t in order] == [[order[1]], [order[2]], [order[3]], []]
    assert [asset.name for asset in dag.task_dict["load_feed.load_batch"].outlets] == ["ecommerce_warehouse"]


def test_parsing_imports_nothing_heavy():
    code = "import sys, runpy; runpy.run_path(sys.argv[1]); print(*sorted({'duckdb', 'pandas', 'pyarrow', 'sqlglot'} & set(sys.modules)))"
    for path in (PROJECT / "dags").glob("*.py"):
        done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "", f"{path} imports {done.stdout}"


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
