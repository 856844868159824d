"""The results of the other tasks of a run, as a task reads them."""

from __future__ import annotations

from typing import Any

from more_itertools import always_iterable


def of_mapped(ti: Any, task_id: str) -> list[dict[str, Any]]:
    """Returns the results of a mapped task, of which Airflow returns a single one without a list."""
    return [result for result in always_iterable(ti.xcom_pull(task_ids=task_id), base_type=dict) if result]
