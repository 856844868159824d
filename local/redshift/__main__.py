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
from local.redshift.wire import certificate
from local.redshift.wire.server import WireServer

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def serve(
    port: Annotated[int, typer.Option()],
    database_file: Annotated[Path, typer.Option(help="The DuckDB file that holds the database.")],
    workgroup: Annotated[str, typer.Option()] = "ecommerce",
    database: Annotated[str, typer.Option()] = "ecommerce",
    isolation: Annotated[
        str, typer.Option(envvar="REDSHIFT_ISOLATION", help="SNAPSHOT or SERIALIZABLE; without it the database's own.")
    ] = "",
    copy_jobs_look_at_all_seconds: Annotated[
        float, typer.Option(help="How often COPY jobs look for names before the last one that they know.")
    ] = 30.0,
    host: Host = LOOPBACK,
    wire_port: Annotated[int, typer.Option(help="Of the PostgreSQL endpoint; 0 is none.")] = 0,
    user: Annotated[str, typer.Option(help="Who may log in there.")] = "admin",
    password_file: Annotated[Path | None, typer.Option(help="The file that holds the password.")] = None,
    tls_folder: Annotated[
        Path | None, typer.Option(help="Holds the endpoint's certificate, made where there is none.")
    ] = None,
) -> None:
    """Serve the Redshift Data API on loopback, or on BIND_HOST, and the PostgreSQL endpoint. S3 is where boto3's own variables say."""
    s3 = boto3.client("s3", config=Config(max_pool_connections=32, retries={"mode": "standard"}))
    with contextlib.closing(Engine(database_file, s3, database, copy_jobs_look_at_all_seconds)) as engine:
        if isolation:
            engine.isolate(isolation)
        api = DataApi(engine, workgroup, database)
        wire = None
        if wire_port:
            if not password_file or not tls_folder:
                raise typer.BadParameter("--wire-port needs --password-file and --tls-folder")
            wire = WireServer(
                engine,
                (host, wire_port),
                database=database,
                user=user,
                password=password_file.read_text().strip(),
                tls=certificate.context(tls_folder),
            )
            wire.start()
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
            if wire:
                wire.shutdown()
                wire.server_close()
            api.statements.close()


if __name__ == "__main__":
    app()
