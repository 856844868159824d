"""Tasks of load_history, given the landed files and the parameters of a run, without Airflow."""

from unittest.mock import MagicMock

from ecommerce_elt.landing import tasks


class Instance:
    """The task instance of a run whose files are landed."""

    def __init__(self, landed):
        self.results, self.pushed = {("land_files", "landed"): landed}, {}

    def xcom_pull(self, *, task_ids, key="return_value"):
        return self.results[task_ids, key]

    def xcom_push(self, *, key, value):
        self.pushed[key] = value


def check_known_rows(landed, on_known, engine):
    """Returns the batches to load, and the totals of the known rows."""
    ti, params = Instance(landed), {"on_known": on_known, "engine": engine, "dry_run": False}
    return tasks.check_known_rows.function(params=params, ti=ti), ti.pushed["known_rows"]


def replace_rows(landed, column, *, dry_run, to_dynamodb=False):
    """Returns the replacement part of the report, by file."""
    params = {"replace_by": column, "dry_run": dry_run, "to_dynamodb": to_dynamodb}
    return tasks.replace_rows.function(params=params, ti=Instance(landed), outlet_events=MagicMock())
