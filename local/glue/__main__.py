"""Serves the stand-ins of Glue and Athena.

    python -m local.glue --port 4571 --state-folder state/lake --catalog-url http://127.0.0.1:4566

One process serves both, because Athena only reads the tables of Glue's catalog.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer
import uvicorn

from local.athena.api import Athena
from local.glue.api import Glue
from local.protocol import LOOPBACK, Host, application, page

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def serve(
    port: Annotated[int, typer.Option()],
    state_folder: Annotated[Path, typer.Option(help="Holds crawlers, jobs, workgroups and named queries.")],
    logs: Annotated[Path, typer.Option(help="Folder of the logs of job runs.")],
    catalog_url: Annotated[str, typer.Option(help="Of MiniStack, which keeps the Data Catalog.")],
    host: Host = LOOPBACK,
) -> None:
    """Serve Glue and Athena on loopback, or on BIND_HOST. S3 is where boto3's own variables say."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    state_folder.mkdir(parents=True, exist_ok=True)
    glue = Glue(state_folder / "glue.json", logs, catalog_url)
    athena = Athena(state_folder / "athena.json", catalog_url)
    pages = [
        page("/runs/{name}", glue.jobs.shown_run),
        page("/tables/{name}", glue.shown_table),
        page("/queries/{name}", athena.shown),
    ]
    try:
        uvicorn.run(application(glue, athena, pages=pages), host=host, port=port, log_level="warning", access_log=False)
    finally:
        athena.close()
        glue.close()


if __name__ == "__main__":
    app()
