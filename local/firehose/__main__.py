"""Serves the stand-in: `python -m local.firehose --port 4568 --state-file state/firehose.json`."""

from __future__ import annotations

import contextlib
import gc
from pathlib import Path
from typing import Annotated

import typer
import uvicorn

from local.firehose.api import Firehose
from local.protocol import LOOPBACK, Host, application

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def serve(
    port: Annotated[int, typer.Option()],
    state_file: Annotated[Path, typer.Option(help="Holds the delivery streams and how far they have delivered.")],
    account: Annotated[str, typer.Option()] = "000000000000",
    host: Host = LOOPBACK,
) -> None:
    """Serve Firehose on loopback, or on BIND_HOST. Kinesis, Lambda, S3 and Redshift are where boto3's own variables say."""
    gc.set_threshold(100_000, 20, 20)  # each record creates dozens of objects and no cycle
    with contextlib.closing(Firehose(state_file, account)) as service:
        uvicorn.run(application(service), host=host, port=port, log_level="warning", access_log=False)


if __name__ == "__main__":
    app()
