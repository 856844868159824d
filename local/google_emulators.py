"""Runs an emulator of a Google service behind the check of local/own_pages.py.

    python -m local.google_emulators bigquery start ...

The interpreter is that of the emulators' environment, which contains no packages of this project. Only the files that
are imported here are available.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler

from local.own_pages import OwnPagesOnly, refusal


def guarded(handler: type[BaseHTTPRequestHandler]) -> type[BaseHTTPRequestHandler]:
    """Returns a handler that responds 403 to requests that `refusal` refuses, and then closes their connection."""

    class OwnPages(handler):  # type: ignore[valid-type, misc]
        def parse_request(self) -> bool:
            if not super().parse_request():
                return False
            if why := refusal({name.lower(): value for name, value in self.headers.items()}):
                self.close_connection = True
                self.send_error(HTTPStatus.FORBIDDEN, why)
                return False
            return True

    return OwnPages


def bigquery() -> None:
    """Runs bqemulator. Its gRPC port needs no check, because a browser cannot send gRPC requests."""
    from bqemulator import cli, server

    create_app = server.create_app
    server.create_app = lambda context: OwnPagesOnly(create_app(context))
    cli.main()


def cloud_storage() -> None:
    """Runs gcp-storage-emulator."""
    from gcp_storage_emulator import __main__ as command
    from gcp_storage_emulator import server

    server.RequestHandler = guarded(server.RequestHandler)
    sys.exit(command.main())


EMULATORS: dict[str, Callable[[], None]] = {"bigquery": bigquery, "cloud-storage": cloud_storage}


def main() -> None:
    """Starts the emulator that the first argument names, with the other arguments."""
    name = sys.argv.pop(1) if len(sys.argv) > 1 else ""
    if name not in EMULATORS:
        sys.exit(f"{name!r} is no emulator; expected one of {sorted(EMULATORS)}")
    EMULATORS[name]()


if __name__ == "__main__":
    main()
