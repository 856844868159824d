"""Listens on Redshift's port, and serves each client in its own thread."""

from __future__ import annotations

import contextlib
import hmac
import itertools
import logging
import secrets
import socket
import socketserver
import ssl
import threading
import traceback
from typing import TYPE_CHECKING, Any

from local.redshift.wire.connection import Connection

if TYPE_CHECKING:
    from local.redshift.engine import Engine

log = logging.getLogger(__name__)


class WireServer(socketserver.ThreadingTCPServer):
    """The PostgreSQL endpoint of one engine, with one user."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 64

    def __init__(
        self, engine: Engine, address: tuple[str, int], *, database: str, user: str, password: str, tls: ssl.SSLContext
    ) -> None:
        super().__init__(address, _Handler)
        self.engine, self.database, self.user, self.password, self.tls = engine, database, user, password, tls
        self.connections: dict[int, Connection] = {}
        self._numbers = itertools.count(1)

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def start(self) -> None:
        """Serves in the background until `shutdown`."""
        threading.Thread(target=self.serve_forever, name="wire", daemon=True).start()

    def new_key(self) -> tuple[int, int]:
        """Returns a connection's number and the secret with which its statements can be canceled."""
        return next(self._numbers), secrets.randbits(32)

    def cancel(self, number: int, secret: int) -> None:
        found = self.connections.get(number)
        if found and hmac.compare_digest(str(found.secret), str(secret)):
            found.cancel()

    def handle_error(self, request: Any, client_address: Any) -> None:
        log.error("a connection to the warehouse broke off: %s", traceback.format_exc())


class _Handler(socketserver.BaseRequestHandler):
    server: WireServer

    def handle(self) -> None:
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = Connection(self.server, self.request)
        self.server.connections[connection.id] = connection
        try:
            connection.serve()
        finally:
            del self.server.connections[connection.id]
            with contextlib.suppress(OSError):  # a client that is gone needs no end of TLS
                if isinstance(connection.channel.socket, ssl.SSLSocket):
                    connection.channel.socket.unwrap()
            connection.channel.socket.close()
