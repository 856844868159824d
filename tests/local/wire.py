"""The warehouse's PostgreSQL endpoint alone, for tests of clients that connect to it."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from local.redshift.engine import Engine
from local.redshift.wire import certificate
from local.redshift.wire.server import WireServer

PASSWORD = "a word with 'quotes' and \\"


@contextlib.contextmanager
def serving(folder: Path, password: str = PASSWORD) -> Iterator[WireServer]:
    """Yields the served endpoint over an empty database in the folder; `certificate` of it is the file to trust."""
    with contextlib.closing(Engine(folder / "w.duckdb", None)) as engine:
        served = WireServer(
            engine,
            ("127.0.0.1", 0),
            database="ecommerce",
            user="admin",
            password=password,
            tls=certificate.context(folder / "tls"),
        )
        served.certificate = str(folder / "tls" / "warehouse.crt")
        served.start()
        yield served
        served.shutdown()
        served.server_close()
