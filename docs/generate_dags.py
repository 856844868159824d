"""Writes docs/dags.md from the DAGs themselves; `--check` fails where the page is not what they say."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[1]
PAGE = PROJECT / "docs" / "dags.md"
# In Airflow's UI a runbook is at the address of the page "E-commerce".
RUNBOOK = re.compile(r"\(/ecommerce/runbooks/([a-z-]+)\)")


def _schedule(schedule: Any) -> str:
    """Returns when a DAG runs: a cron expression or preset, or the assets that trigger it."""
    if isinstance(schedule, list):
        return "asset " + ", ".join(f"`{asset.name}`" for asset in schedule)
    if hasattr(schedule, "asset_condition"):
        return f"{_schedule(list(schedule.asset_condition.objects))}, and `{schedule.timetable.expression}`"
    return f"`{schedule}`"


def page() -> str:
    """Returns the page: a table of all DAGs, then each DAG's own words and its tasks."""
    os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp()
    os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
    os.environ["ECOMMERCE_BUCKET"] = "ecommerce-lake-000000000000"
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(str(PROJECT / "dags"), safe_mode=False)
    if bag.import_errors:
        sys.exit(f"docs: DAGs cannot be imported: {bag.import_errors}")
    dags = [bag.dags[dag_id] for dag_id in sorted(bag.dags)]
    lines = [
        "# DAGs",
        "",
        "Generated from the DAGs by `make docs`. Do not edit.",
        "",
        "| DAG | schedule | tags |",
        "|---|---|---|",
    ]
    lines += [f"| [{d.dag_id}](#{d.dag_id}) | {_schedule(d.schedule)} | {', '.join(sorted(d.tags))} |" for d in dags]
    for dag in dags:
        text = RUNBOOK.sub(r"(runbooks/\1.md)", (dag.doc_md or "").strip().split("\n", 1)[1].strip())
        lines += ["", f"## {dag.dag_id}", "", text, ""]
        lines += ["| task | retries | gives up after | then |", "|---|---|---|---|"]
        for task in dag.topological_sort():
            after = ", ".join(f"`{t}`" for t in sorted(task.downstream_task_ids)) or "-"
            lines.append(f"| `{task.task_id}` | {task.retries} | {task.execution_timeout} | {after} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    made = page()
    if "--check" in sys.argv:
        if not PAGE.exists() or PAGE.read_text("utf-8") != made:
            sys.exit("docs/dags.md is not what the DAGs say; run: make docs")
        return
    PAGE.write_text(made, "utf-8")


if __name__ == "__main__":
    main()
