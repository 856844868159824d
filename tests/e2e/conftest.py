import json
from dataclasses import replace

import pytest
from rich.console import Console

from local import lifecycle
from tests.conftest import PROJECT, discard, new_stack

LINEAGE = "lineage.json"


@pytest.fixture(scope="module")
def calls(tmp_path_factory):
    """The folder in which all processes of a stack that RECORDS_CALLS write down their AWS calls, and its lineage."""
    return tmp_path_factory.mktemp("calls")


@pytest.fixture(scope="module")
def stack(request, tmp_path_factory, calls):
    """The whole local cloud with Airflow under its real scheduler; a file of tests may end it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ECOMMERCE_TASK_RETRY_DELAY_SECONDS", "1")  # the tests wait for what is retried
        patch.setenv("ECOMMERCE_DASHBOARD_CATCH_UP_CRON", "0 0 1 1 *")  # the tests ask for refreshes
        for name, value in getattr(request.module, "SETTINGS", {}).items():
            patch.setenv(name, value)
        if request.module.RECORDS_CALLS:
            patch.setenv("ECOMMERCE_RECONCILE_SETTLE_MINUTES", "0")  # what is idle must agree at once
            patch.setenv("ECOMMERCE_RECONCILE_DAYS_A_RUN", "30")  # all days of product_events
            patch.setenv("ECOMMERCE_RECONCILE_SCHEDULE", "0 0 1 1 *")
            patch.setenv("RECORD_CALLS_TO", str(calls))
            transport = {"type": "file", "log_file_path": str(calls / LINEAGE), "append": True}
            patch.setenv("AIRFLOW__OPENLINEAGE__TRANSPORT", json.dumps(transport))
            patch.setenv("AIRFLOW__TRACES__OTEL_ON", "True")
            patch.setenv("OTEL_TRACES_EXPORTER", "console")
            patch.setenv("PYTHONPATH", str(PROJECT / "tests" / "recorder"))
        extras = getattr(request.module, "EXTRAS", ())
        stack = replace(new_stack(tmp_path_factory.mktemp("stack")), extras=extras)
        console = Console(quiet=True)
        lifecycle.up(stack, console)
        yield stack
        discard(stack)
