"""The login of a client: encryption, its password, and the settings that it begins with."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import struct
from typing import TYPE_CHECKING

from local.redshift.errors import SqlError
from local.redshift.wire import messages as m
from local.redshift.wire.channel import Channel
from local.redshift.wire.rows import Rows
from local.redshift.wire.settings import Settings
from local.redshift.wire.states import state_of

if TYPE_CHECKING:
    from local.redshift.session import Session
    from local.redshift.wire.server import WireServer


def log_in(channel: Channel, server: WireServer) -> tuple[Settings, Session] | None:
    """Returns the client's settings and its session, or None if it is refused or only cancels another's statement."""
    startup = _startup(channel, server)
    if startup is None:
        return None
    user = startup.get("user", "")
    if not user:
        channel.fatal("28000", "no PostgreSQL user name specified in startup packet")
        return None
    if not _knows_password(channel, server, user):
        channel.fatal("28P01", f'password authentication failed for user "{user}"')
        return None
    if (database := startup.get("database", user)) != server.database:
        channel.fatal("3D000", f'database "{database}" does not exist')
        return None
    settings, session = Settings(user), server.engine.session()
    session.user = user
    session.fetch = Rows.of
    try:
        _apply(startup, settings, session)
    except SqlError as error:
        session.close()
        channel.fatal(state_of(str(error)), str(error).removeprefix("ERROR: "))
        return None
    channel.send(m.authentication(0))
    for name, value in settings.reports().items():
        channel.send(m.parameter_status(name, value))
    return settings, session


def _startup(channel: Channel, server: WireServer) -> dict[str, str] | None:
    """Returns the startup parameters, or None if the client only requests to cancel another connection."""
    while True:
        [length] = struct.unpack("!i", channel.read(4))
        if not 8 <= length <= m.STARTUP_MAX_BYTES:
            raise m.ProtocolError("invalid length of startup packet: this port speaks PostgreSQL's protocol")
        body = m.Body(channel.read(length - 4))
        code = body.int32()
        if code == m.CANCEL_REQUEST:
            server.cancel(body.int32(), body.int32() & 0xFFFFFFFF)
            return None
        if code == m.SSL_REQUEST:
            channel.socket.sendall(b"S")
            channel.start_tls(server.tls)
            continue
        if code == m.GSS_REQUEST:
            channel.socket.sendall(b"N")
            continue
        if code >> 16 != m.PROTOCOL_3 >> 16:
            raise m.ProtocolError(f"unsupported frontend protocol {code >> 16}.{code & 0xFFFF}: expected 3.0")
        said: dict[str, str] = {}
        while name := body.text():
            said[name] = body.text()
        options = [name for name in said if name.startswith("_pq_.")]
        if code != m.PROTOCOL_3 or options:
            channel.send(m.protocol_versions(0, options))
        return said


def _knows_password(channel: Channel, server: WireServer, user: str) -> bool:
    """Requests the password as MD5 with a salt, as Redshift does with libpq, and returns whether it is right."""
    salt = secrets.token_bytes(4)
    channel.send(m.authentication(5, salt))
    channel.flush()
    code, body = channel.message()
    if code != b"p":
        raise m.ProtocolError("expected the password")
    inner = hashlib.md5((server.password + user).encode()).hexdigest()  # noqa: S324  # the protocol's own
    wanted = "md5" + hashlib.md5(inner.encode() + salt).hexdigest()  # noqa: S324
    is_right = hmac.compare_digest(m.Body(body).text().encode(), wanted.encode())
    return is_right and hmac.compare_digest(user.encode(), server.user.encode())


def _apply(startup: dict[str, str], settings: Settings, session: Session) -> None:
    """Applies the settings of the startup packet; information about a driver (driver_version, ...) is ignored."""
    for name in ("client_encoding", "datestyle", "timezone", "application_name", "extra_float_digits"):
        for given, value in startup.items():
            if given.lower() == name:
                settings.put(name, value)
    for name, value in re.findall(r"(?:-c\s*|--)([\w.]+)=((?:\\.|\S)+)", startup.get("options", "")):
        plain = re.sub(r"\\(.)", r"\1", value)
        if settings.set(f"SET {name} = {plain}") is None:
            session.statement(f"SET {name} = {plain}", in_transaction=False)
    session.end("COMMIT")
