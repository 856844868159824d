"""One client's connection: its login, its statements, its cursors."""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
import secrets
import socket
import ssl
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from local.redshift.catalog import Column
from local.redshift.copy_from_s3 import LoadError
from local.redshift.errors import SqlError
from local.redshift.results import Result
from local.redshift.wire import messages as m
from local.redshift.wire import statements, values
from local.redshift.wire.rows import Rows
from local.redshift.wire.settings import Settings
from local.redshift.wire.states import state_of

if TYPE_CHECKING:
    from local.redshift.wire.server import WireServer

log = logging.getLogger(__name__)

LOGIN_SECONDS = 60  # PostgreSQL's authentication_timeout
SEND_BYTES = 64 * 1024
CHUNK_ROWS = 1000
ENDS = {"COMMIT", "END", "ROLLBACK", "ABORT"}
ABORTED = "ERROR: current transaction is aborted, commands ignored until end of transaction block"


@dataclass
class Prepared:
    """A statement with places for parameters."""

    sql: str
    oids: list[int]
    columns: list[Column] | None = None
    is_described: bool = False
    types: tuple[str, ...] = ()  # types of SQL's PREPARE


@dataclass
class Portal:
    """A statement with its parameters and its remaining rows; cursors are portals, too."""

    sql: str
    formats: list[int] = field(default_factory=list)
    prepared: Prepared | None = None
    columns: list[Column] | None = None
    rows: Rows | None = None
    tag: str = ""
    is_cursor: bool = False


class Connection:
    """One client, which is served in its own thread."""

    def __init__(self, server: WireServer, connected: socket.socket) -> None:
        self.server = server
        self.socket = connected
        self.id, self.secret = server.new_key()
        self._out = bytearray()
        self._is_ignoring = False  # after an error, until Sync
        self._has_failed = False  # in a transaction block, until its end
        self._prepared: dict[str, Prepared] = {}
        self._portals: dict[str, Portal] = {}
        self._reading: Rows | None = None

    def cancel(self) -> None:
        self.session.cancel()

    # -- the connection -----------------------------------------------------------------------------------------

    def serve(self) -> None:
        """Serves the client until it disconnects."""
        self.socket.settimeout(LOGIN_SECONDS)
        try:
            if not self._log_in():
                return
            self.socket.settimeout(None)
            try:
                while self._message():
                    pass
            finally:
                self._forget_portals(all_of_them=True)
                self.session.close()
        except m.ProtocolError as error:
            self._fatal("08P01", str(error))
        except (ConnectionError, TimeoutError, ssl.SSLError) as error:
            log.info("client of the warehouse is gone: %s", error)

    def _read(self, count: int) -> bytes:
        found = bytearray()
        while len(found) < count:
            more = self.socket.recv(min(count - len(found), 1 << 20))
            if not more:
                raise ConnectionError("it closed the connection")
            found += more
        return bytes(found)

    def _send(self, data: bytes) -> None:
        self._out += data
        if len(self._out) >= SEND_BYTES:
            self._flush()

    def _flush(self) -> None:
        if self._out:
            self.socket.sendall(self._out)
            self._out.clear()

    def _fatal(self, state: str, text: str) -> None:
        try:
            self._send(m.error("FATAL", state, text))
            self._flush()
        except OSError as error:
            log.info("client of the warehouse left before it was told %s: %s", text, error)

    # -- login --------------------------------------------------------------------------------------------------

    def _log_in(self) -> bool:
        """Returns whether the client is admitted."""
        startup = self._startup()
        if startup is None:
            return False
        user = startup.get("user", "")
        if not user:
            self._fatal("28000", "no PostgreSQL user name specified in startup packet")
            return False
        if not self._knows_password(user):
            self._fatal("28P01", f'password authentication failed for user "{user}"')
            return False
        if (database := startup.get("database", user)) != self.server.database:
            self._fatal("3D000", f'database "{database}" does not exist')
            return False
        self.settings = Settings(user)
        self.session = self.server.engine.session()
        self.session.user = user
        self.session.fetch = Rows.of
        try:
            self._apply(startup)
        except SqlError as error:
            self.session.close()
            self._fatal(state_of(str(error)), str(error).removeprefix("ERROR: "))
            return False
        self._send(m.authentication(0))
        for name, value in self.settings.reports().items():
            self._send(m.parameter_status(name, value))
        self._send(m.backend_key(self.id, self.secret))
        self._ready()
        return True

    def _startup(self) -> dict[str, str] | None:
        """Returns the startup parameters, or None if the client only requests to cancel another connection."""
        while True:
            [length] = struct.unpack("!i", self._read(4))
            if not 8 <= length <= m.STARTUP_MAX_BYTES:
                raise m.ProtocolError("invalid length of startup packet: this port speaks PostgreSQL's protocol")
            body = m.Body(self._read(length - 4))
            code = body.int32()
            if code == m.CANCEL_REQUEST:
                self.server.cancel(body.int32(), body.int32() & 0xFFFFFFFF)
                return None
            if code == m.SSL_REQUEST:
                self.socket.sendall(b"S")
                self.socket = self.server.tls.wrap_socket(self.socket, server_side=True)
                continue
            if code == m.GSS_REQUEST:
                self.socket.sendall(b"N")
                continue
            if code >> 16 != m.PROTOCOL_3 >> 16:
                raise m.ProtocolError(f"unsupported frontend protocol {code >> 16}.{code & 0xFFFF}: expected 3.0")
            said: dict[str, str] = {}
            while name := body.text():
                said[name] = body.text()
            options = [name for name in said if name.startswith("_pq_.")]
            if code != m.PROTOCOL_3 or options:
                self._send(m.protocol_versions(0, options))
            return said

    def _knows_password(self, user: str) -> bool:
        """Requests the password as MD5 with a salt, as Redshift does with libpq, and returns whether it is right."""
        salt = secrets.token_bytes(4)
        self._send(m.authentication(5, salt))
        self._flush()
        code, body = self._next()
        if code != b"p":
            raise m.ProtocolError("expected the password")
        inner = hashlib.md5((self.server.password + user).encode()).hexdigest()  # noqa: S324  # the protocol's own
        wanted = "md5" + hashlib.md5(inner.encode() + salt).hexdigest()  # noqa: S324
        is_right = hmac.compare_digest(m.Body(body).text().encode(), wanted.encode())
        return is_right and hmac.compare_digest(user.encode(), self.server.user.encode())

    def _apply(self, startup: dict[str, str]) -> None:
        """Applies the settings of the startup packet; information about a driver (driver_version, ...) is ignored."""
        for name in ("client_encoding", "datestyle", "timezone", "application_name", "extra_float_digits"):
            for given, value in startup.items():
                if given.lower() == name:
                    self.settings.put(name, value)
        for name, value in re.findall(r"(?:-c\s*|--)([\w.]+)=((?:\\.|\S)+)", startup.get("options", "")):
            plain = re.sub(r"\\(.)", r"\1", value)
            if self.settings.set(f"SET {name} = {plain}") is None:
                self._engine(f"SET {name} = {plain}")
        self.session.end("COMMIT")

    # -- messages -----------------------------------------------------------------------------------------------

    def _next(self) -> tuple[bytes, bytes]:
        head = self._read(5)
        [length] = struct.unpack("!i", head[1:])
        if not 4 <= length <= m.MESSAGE_MAX_BYTES:
            raise m.ProtocolError("invalid message length")
        return head[:1], self._read(length - 4)

    def _message(self) -> bool:
        """Handles one message, and returns whether the client stays connected."""
        code, body = self._next()
        if code == b"X":
            return False
        if code == b"S":
            self._sync()
            return True
        if self._is_ignoring:
            return True
        extended: dict[bytes, Callable[[m.Body], None]] = {
            b"P": self._parse,
            b"B": self._bind,
            b"D": self._describe,
            b"E": self._execute,
            b"C": self._close,
        }
        if code == b"Q":
            self._query(m.Body(body).text())
        elif code == b"H":
            self._flush()
        elif code in extended:
            try:
                extended[code](m.Body(body))
            except Exception as error:
                self._failed(_told(error))
                self._is_ignoring = True
        else:
            raise m.ProtocolError(f"invalid frontend message type {code!r}")
        return True

    def _ready(self) -> None:
        status = b"E" if self._has_failed else b"T" if self.session.in_block else b"I"
        self._send(m.ready(status))
        self._flush()

    def _failed(self, raised: SqlError | LoadError) -> None:
        """Rolls back, and sends the error to the client."""
        error = self.session.recorded(raised)
        if self._reading:
            self._reading.close()
            self._reading = None
        self.session.end("ROLLBACK")
        self._forget_portals(all_of_them=False)
        self._has_failed = self.session.in_block
        text, _, position = str(error).partition("\n  Position: ")
        self._send(m.error("ERROR", state_of(text), text.removeprefix("ERROR: ").removeprefix("ERROR:"), position))

    def _finish(self) -> None:
        """Ends the transaction of statements outside a transaction block."""
        if self.session.in_block:
            return
        self._forget_portals(all_of_them=True)
        self.session.end("COMMIT")

    def _forget_portals(self, *, all_of_them: bool) -> None:
        for name, portal in list(self._portals.items()):
            if portal.rows:
                portal.rows.close()
            if all_of_them or portal.is_cursor:
                del self._portals[name]
        self._reading = None

    # -- simple queries -----------------------------------------------------------------------------------------

    def _query(self, text: str) -> None:
        try:
            found = statements.split(text)
            if not found:
                self._send(m.message(b"I"))
            for sql in found:
                portal = Portal(sql)
                self._start(portal, in_transaction=len(found) > 1)
                if portal.columns is not None:
                    self._send(m.row_description(portal.columns, [values.TEXT] * len(portal.columns)))
                self._send_rows(portal, None)
                self._send(m.command_complete(portal.tag))
            self._finish()
        except Exception as error:
            self._failed(_told(error))
        self._ready()

    def _start(self, portal: Portal, *, in_transaction: bool = False) -> None:
        """Runs the portal's statement up to its first row.

        Raises:
            SqlError: The statement failed; the caller rolls back.
        """
        self.session.cancelled.clear()
        words = [word.upper() for word in re.findall(r"[\w#]+", statements.without_comments(portal.sql))[:4]] or [""]
        self._refuse_if_failed(portal.sql)
        if self._has_failed:
            self._has_failed = self.session.in_block = False
            self._forget_portals(all_of_them=True)
            portal.tag = "ROLLBACK"
            return
        self._park()
        portal.tag = _tag(words)
        if (command := statements.command_of(portal.sql)) is not None:
            self._command(command, portal)
            return
        result = self._own(portal.sql, words) or self._engine(portal.sql, in_transaction=in_transaction)
        if words[0] in ENDS:
            self._forget_portals(all_of_them=True)
        if result.has_rows:
            portal.columns = result.columns
            portal.rows = result.rows if isinstance(result.rows, Rows) else Rows.given(result.rows)
            self._reading = portal.rows
        elif words[0] in {"UPDATE", "DELETE", "INSERT", "FETCH"}:
            zero = " 0" if words[0] == "INSERT" else ""
            portal.tag = f"{words[0]}{zero} {max(result.touched, 0)}"

    def _refuse_if_failed(self, sql: str) -> None:
        if self._has_failed and sql and statements.first_word(sql) not in ENDS:
            raise SqlError(ABORTED)

    def _engine(self, sql: str, *, in_transaction: bool = False) -> Result:
        is_ending = statements.first_word(sql) in ENDS
        try:
            return self.session.statement(sql, in_transaction=in_transaction)
        except SqlError:
            if is_ending:  # a COMMIT that fails also ends its block
                self.session.in_block = False
            raise

    def _own(self, sql: str, words: Sequence[str]) -> Result | None:
        """Runs statements on the connection's own settings, and returns None for other statements."""
        if words[0] == "SET" and (changed := self.settings.set(sql)) is not None:
            if changed[0]:
                self._send(m.parameter_status(*changed))
            return Result(touched=0)
        if words[0] == "SHOW" and (shown := self.settings.show(sql)) is not None:
            return Result([Column(shown[0], "VARCHAR", 256)], [(shown[1],)], has_rows=True)
        return None

    def _park(self) -> None:
        """Stores the remaining rows of an open cursor, because the connection to the database is needed."""
        if self._reading:
            self._reading.park()
            self._reading = None

    def _send_rows(self, portal: Portal, most: int | None) -> bool:
        """Sends at most `most` rows, or all if it is None, and returns whether rows are left."""
        if portal.rows is None or portal.columns is None:
            return False
        formats = _formats(portal.formats, len(portal.columns))
        left = most
        while left is None or left > 0:
            if self.session.cancelled.is_set():
                raise SqlError("ERROR: Query cancelled on user's request")
            chunk = portal.rows.take(CHUNK_ROWS if left is None else min(left, CHUNK_ROWS))
            if not chunk:
                return False
            for row in chunk:
                fields = zip(row, portal.columns, formats, strict=True)
                self._send(m.data_row([values.encoded(value, column, form) for value, column, form in fields]))
            left = None if left is None else left - len(chunk)
        return portal.rows.has_more()

    # -- cursors and prepared statements in SQL ---------------------------------------------------------------

    def _command(self, command: statements.CursorCommand, portal: Portal) -> None:
        match command:
            case statements.Declare():
                if not self.session.in_block:
                    raise SqlError("ERROR: DECLARE CURSOR may only be used in transaction blocks")
                if command.name in self._portals and self._portals[command.name].is_cursor:
                    raise SqlError(f'ERROR: cursor "{command.name}" already exists')
                result = self.session.statement(command.query, in_transaction=True)
                if not result.has_rows or not isinstance(result.rows, Rows):
                    raise SqlError("ERROR: DECLARE CURSOR must specify a SELECT statement")
                self._portals[command.name] = Portal(
                    command.query, columns=result.columns, rows=result.rows, is_cursor=True
                )
                self._reading = result.rows
                portal.tag = "DECLARE CURSOR"
            case statements.Fetch():
                cursor = self._cursor(command.name)
                portal.columns, portal.tag = cursor.columns, "FETCH"
                portal.rows = cursor.rows.first(command.count) if cursor.rows else None
                self._reading = cursor.rows
            case statements.CloseCursor():
                for name in [command.name] if command.name else [n for n, p in self._portals.items() if p.is_cursor]:
                    if rows := self._cursor(name).rows:
                        rows.close()
                    del self._portals[name]
                portal.tag = "CLOSE CURSOR"
            case statements.Prepare():
                if command.name in self._prepared:
                    raise SqlError(f'ERROR: prepared statement "{command.name}" already exists')
                self._prepared[command.name] = Prepared(command.sql, [], types=command.types)
                portal.tag = "PREPARE"
            case statements.ExecutePrepared():
                self._execute_prepared(command, portal)
            case statements.Deallocate():
                if command.name and command.name not in self._prepared:
                    raise SqlError(f'ERROR: prepared statement "{command.name}" does not exist')
                for name in [command.name] if command.name else list(self._prepared):
                    del self._prepared[name]
                portal.tag = "DEALLOCATE"

    def _cursor(self, name: str) -> Portal:
        found = self._portals.get(name)
        if found is None or not found.is_cursor:
            raise SqlError(f'ERROR: cursor "{name}" does not exist')
        return found

    def _execute_prepared(self, command: statements.ExecutePrepared, portal: Portal) -> None:
        prepared = self._prepared_statement(command.name)
        wanted = statements.parameter_count(prepared.sql)
        if wanted != len(command.values):
            raise SqlError(
                f'ERROR: wrong number of parameters for prepared statement "{command.name}": '
                f"expected {wanted} parameters but got {len(command.values)}"
            )
        types = prepared.types

        def value_of(number: int) -> str:
            given = command.values[number - 1]
            return f"CAST(({given}) AS {types[number - 1]})" if number <= len(types) else f"({given})"

        inner = Portal(statements.bound(prepared.sql, value_of))
        self._start(inner)
        portal.columns, portal.rows, portal.tag = inner.columns, inner.rows, inner.tag

    # -- extended queries ---------------------------------------------------------------------------------------

    def _parse(self, body: m.Body) -> None:
        name, sql = body.text(), body.text()
        oids = [body.int32() for _ in range(body.count())]
        found = statements.split(sql)
        if len(found) > 1:
            raise SqlError("ERROR: cannot insert multiple commands into a prepared statement")
        if name and name in self._prepared:
            raise SqlError(f'ERROR: prepared statement "{name}" already exists')
        statement = found[0] if found else ""
        self._refuse_if_failed(statement)
        wanted = statements.parameter_count(statement)
        prepared = Prepared(statement, [*oids, *[0] * (wanted - len(oids))])
        self._columns_of(prepared)  # invalid statements are refused now and not stored
        self._prepared[name] = prepared
        self._send(m.message(b"1"))

    def _prepared_statement(self, name: str) -> Prepared:
        if name not in self._prepared:
            raise SqlError(f'ERROR: prepared statement "{name}" does not exist')
        return self._prepared[name]

    def _bind(self, body: m.Body) -> None:
        name, prepared = body.text(), self._prepared_statement(body.text())
        forms = [body.int16() for _ in range(body.count())]
        raw = [body.value() for _ in range(body.count())]
        formats = [body.int16() for _ in range(body.count())]
        if len(raw) != len(prepared.oids):
            raise SqlError(
                f"ERROR: bind message supplies {len(raw)} parameters, but the prepared statement requires "
                f"{len(prepared.oids)}"
            )
        if any(form not in {values.TEXT, values.BINARY} for form in [*forms, *formats]):
            raise m.ProtocolError("a format is 0 (text) or 1 (binary)")
        forms = _formats(forms, len(raw))
        literals = [values.literal(v, o, f) for v, o, f in zip(raw, prepared.oids, forms, strict=True)]
        sql = statements.bound(prepared.sql, lambda number: literals[number - 1])
        if name and name in self._portals:
            raise SqlError(f'ERROR: cursor "{name}" already exists')
        self._portals[name] = Portal(sql, formats, prepared)
        self._send(m.message(b"2"))

    def _describe(self, body: m.Body) -> None:
        kind, name = body.byte(), body.text()
        if kind == b"S":
            prepared = self._prepared_statement(name)
            self._refuse_if_failed(prepared.sql)
            self._send(m.parameter_description([oid or 1043 for oid in prepared.oids]))
            columns = self._columns_of(prepared)
            formats = [values.TEXT] * len(columns or [])
        elif kind == b"P":
            portal = self._portal(name)
            self._refuse_if_failed(portal.sql)
            if portal.columns is None and portal.prepared:
                portal.columns = (
                    self._columns_of(portal.prepared) if not portal.prepared.oids else self._described(portal.sql)
                )
            columns = portal.columns
            formats = _formats(portal.formats, len(columns or []))
        else:
            raise m.ProtocolError(f"invalid DESCRIBE message subtype {kind!r}")
        self._send(m.message(b"n") if columns is None else m.row_description(columns, formats))

    def _columns_of(self, prepared: Prepared) -> list[Column] | None:
        if not prepared.is_described:
            prepared.columns = self._described(
                statements.bound(prepared.sql, lambda n: values.null_of(prepared.oids[n - 1]))
            )
            prepared.is_described = True
        return prepared.columns

    def _described(self, sql: str) -> list[Column] | None:
        """Returns the columns of the statement's result, or None if it returns no rows."""
        if not sql:
            return None
        command = statements.command_of(sql)
        if isinstance(command, statements.Fetch):
            return self._cursor(command.name).columns
        if command is not None:
            return None
        if statements.first_word(sql) == "SHOW" and (shown := self.settings.show(sql)) is not None:
            return [Column(shown[0], "VARCHAR", 256)]
        self._park()
        return self.session.describe(sql)

    def _portal(self, name: str) -> Portal:
        if name not in self._portals:
            raise SqlError(f'ERROR: portal "{name}" does not exist')
        return self._portals[name]

    def _execute(self, body: m.Body) -> None:
        portal, most = self._portal(body.text()), body.int32()
        if portal.prepared and not portal.sql:
            self._send(m.message(b"I"))
            return
        if portal.rows is None and not portal.tag:
            described = portal.columns or (portal.prepared.columns if portal.prepared else None)
            self._start(portal)
            if described is not None and portal.columns is not None and len(described) == len(portal.columns):
                portal.columns = described  # the client relies on the columns that were sent
        if self._send_rows(portal, most if most > 0 else None):
            self._send(m.message(b"s"))
        else:
            self._send(m.command_complete(portal.tag))

    def _close(self, body: m.Body) -> None:
        kind, name = body.byte(), body.text()
        if kind == b"S":
            self._prepared.pop(name, None)
        elif (portal := self._portals.pop(name, None)) and portal.rows:
            if self._reading is portal.rows:
                self._reading = None
            portal.rows.close()
        self._send(m.message(b"3"))

    def _sync(self) -> None:
        self._is_ignoring = False
        try:
            self._finish()
        except SqlError as error:
            self._failed(error)
        self._ready()


def _told(error: Exception) -> SqlError | LoadError:
    """Returns the error to send to the client. Unexpected errors are sent, too, and logged.

    Raises:
        ProtocolError, OSError: The error cannot be sent to the client.
    """
    if isinstance(error, SqlError | LoadError):
        return error
    if isinstance(error, m.ProtocolError | OSError):
        raise error
    log.error("a statement failed within the stand-in", exc_info=error)
    return SqlError(f"ERROR: internal error of the stand-in: {error!r}")


def _formats(given: Sequence[int], count: int) -> list[int]:
    """Returns the format of each value (PostgreSQL documentation, 54.7, Bind).

    A client sends one format for all values, one for each, or none, which means text.

    Raises:
        ProtocolError: The client sent another number of formats.
    """
    if len(given) <= 1:
        return [given[0] if given else values.TEXT] * count
    if len(given) != count:
        raise m.ProtocolError(f"{len(given)} format codes for {count} values")
    return list(given)


def _tag(words: Sequence[str]) -> str:
    """Returns the command tag (that of SELECT in PostgreSQL 8.0 has no number of rows)."""
    match [*words, "", "", ""]:
        case [("SELECT" | "WITH" | "VALUES"), *_]:
            return "SELECT"
        case ["CREATE", ("TEMP" | "TEMPORARY" | "LOCAL"), *_]:
            return "CREATE TABLE"
        case ["CREATE", "OR", "REPLACE", kind, *_]:
            return f"CREATE {kind}"
        case ["TRUNCATE", *_]:
            return "TRUNCATE TABLE"
        case [("CREATE" | "DROP" | "ALTER") as verb, kind, *_]:
            return f"{verb} {kind}"
        case ["LOCK", *_]:
            return "LOCK TABLE"
        case ["END", *_]:
            return "COMMIT"
        case ["ABORT", *_]:
            return "ROLLBACK"
        case ["START", *_]:
            return "START TRANSACTION"
    return words[0]
