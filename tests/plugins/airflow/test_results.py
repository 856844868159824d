"""The results of a mapped task, of which Airflow returns a single one without a list."""

from types import SimpleNamespace

import pytest
from ecommerce_elt.airflow import results

ONE, OTHER = {"batch_id": "a"}, {"batch_id": "b"}


@pytest.mark.parametrize(
    ("pulled", "expected"),
    [(None, []), ([], []), (ONE, [ONE]), ([ONE, OTHER], [ONE, OTHER]), ([ONE, None], [ONE])],
    ids=["none", "of_no_instance", "of_one_instance", "of_two_instances", "one_failed"],
)
def test_results_of_a_mapped_task_are_a_list(pulled, expected):
    ti = SimpleNamespace(xcom_pull=lambda *, task_ids: {"load_batch": pulled}[task_ids])
    assert results.of_mapped(ti, "load_batch") == expected
