"""The socket of a client: its messages are read one by one, and those to it are sent in blocks."""

from __future__ import annotations

import logging
import socket
import ssl
import struct

from local.redshift.wire import messages as m

log = logging.getLogger(__name__)

SEND_BYTES = 64 * 1024


class Channel:
    """One client's socket, with a buffer of what is sent to it."""

    def __init__(self, connected: socket.socket) -> None:
        self.socket = connected
        self._out = bytearray()

    def read(self, count: int) -> bytes:
        found = bytearray()
        while len(found) < count:
            more = self.socket.recv(min(count - len(found), 1 << 20))
            if not more:
                raise ConnectionError("it closed the connection")
            found += more
        return bytes(found)

    def message(self) -> tuple[bytes, bytes]:
        """Returns the type and the body of the next message."""
        head = self.read(5)
        [length] = struct.unpack("!i", head[1:])
        if not 4 <= length <= m.MESSAGE_MAX_BYTES:
            raise m.ProtocolError("invalid message length")
        return head[:1], self.read(length - 4)

    def send(self, data: bytes) -> None:
        self._out += data
        if len(self._out) >= SEND_BYTES:
            self.flush()

    def flush(self) -> None:
        if self._out:
            self.socket.sendall(self._out)
            self._out.clear()

    def fatal(self, state: str, text: str) -> None:
        """Sends the error with which the connection ends."""
        try:
            self.send(m.error("FATAL", state, text))
            self.flush()
        except OSError as error:
            log.info("client of the warehouse left before it got the answer %s: %s", text, error)

    def start_tls(self, context: ssl.SSLContext) -> None:
        self.socket = context.wrap_socket(self.socket, server_side=True)
