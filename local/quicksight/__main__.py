"""Serves the stand-in: `python -m local.quicksight --port 4570 --state-file state/quicksight.json`."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated

import boto3
import typer
import uvicorn

from local.protocol import LOOPBACK, Host, page, rest_application
from local.quicksight.api import QuickSight

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def serve(
    port: Annotated[int, typer.Option()],
    state_file: Annotated[Path, typer.Option(help="Holds the sources, data sets, analyses and dashboards.")],
    account: Annotated[str, typer.Option()] = "000000000000",
    refreshes_a_day: Annotated[int, typer.Option(help="Of one data set, as QuickSight; 0 is no limit.")] = 32,
    host: Host = LOOPBACK,
) -> None:
    """Serve QuickSight on loopback, or on BIND_HOST. Redshift is where boto3's own variables say."""
    with contextlib.closing(QuickSight(state_file, account, boto3.client("redshift-data"), refreshes_a_day)) as service:
        uvicorn.run(
            rest_application(service, [page("/data-sets/{name}", service.shown)]),
            host=host,
            port=port,
            log_level="warning",
            access_log=False,
        )


if __name__ == "__main__":
    app()
