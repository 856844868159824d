"""Serves the stand-in: `python -m local.redshift --port 4567 --database-file state/warehouse.duckdb`."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated

import boto3
import typer
import uvicorn
from botocore.config import Config

from local.protocol import LOOPBACK, Host, application, page
from local.redshift.api import DataApi
from local.redshift.engine import Engine

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def serve(
    port: Annotated[int, typer.Option()],
    database_file: Annotated[Path, typer.Option(help="The DuckDB file that holds the database.")],
    workgroup: Annotated[str, typer.Option()] = "ecommerce",
    database: Annotated[str, typer.Option()] = "ecommerce",
    host: Host = LOOPBACK,
) -> None:
    """Serve the Redshift Data API on loopback, or on BIND_HOST. S3 is where boto3's own variables say."""
    s3 = boto3.client("s3", config=Config(max_pool_connections=32, retries={"mode": "standard"}))
    with contextlib.closing(Engine(database_file, s3)) as engine:
        api = DataApi(engine, workgroup, database)
        try:
            uvicorn.run(
                application(
                    api, check_health=lambda: engine.rows("SELECT 1"), pages=[page("/statements/{name}", api.shown)]
                ),
                host=host,
                port=port,
                log_level="warning",
                access_log=False,
            )
        finally:
            api.statements.close()


if __name__ == "__main__":
    app()
