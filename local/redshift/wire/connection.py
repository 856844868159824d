"""One client's connection: its messages, its statements, its cursors."""

from __future__ import annotations

import logging
import re
import socket
import ssl
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from local.redshift.catalog import Column
from local.redshift.copy_from_s3 import LoadError
from local.redshift.errors import SqlError
from local.redshift.results import Result
from local.redshift.wire import messages as m
from local.redshift.wire import statements, values
from local.redshift.wire.channel import Channel
from local.redshift.wire.login import log_in
from local.redshift.wire.portals import Kept, Portal, Prepared
from local.redshift.wire.rows import Rows
from local.redshift.wire.states import state_of, to_send

if TYPE_CHECKING:
    from local.redshift.wire.server import WireServer

log = logging.getLogger(__name__)

LOGIN_SECONDS = 60  # PostgreSQL's authentication_timeout
CHUNK_ROWS = 1000
ENDS = {"COMMIT", "END", "ROLLBACK", "ABORT"}
ABORTED = "ERROR: current transaction is aborted, commands ignored until end of transaction block"


class Connection:
    """One client, which is served in its own thread."""

    def __init__(self, server: WireServer, connected: socket.socket) -> None:
        self.server = server
        self.channel = Channel(connected)
        self.id, self.secret = server.new_key()
        self._is_ignoring = False  # after an error, until Sync
        self._has_failed = False  # in a transaction block, until its end
        self._kept = Kept()
        self._reading: Rows | None = None

    def cancel(self) -> None:
        self.session.cancel()

    # -- the connection -----------------------------------------------------------------------------------------

    def serve(self) -> None:
        """Serves the client until it disconnects."""
        self.channel.socket.settimeout(LOGIN_SECONDS)
        try:
            logged_in = log_in(self.channel, self.server)
            if logged_in is None:
                return
            self.settings, self.session = logged_in
            self.channel.send(m.backend_key(self.id, self.secret))
            self._ready()
            self.channel.socket.settimeout(None)
            try:
                while self._message():
                    pass
            finally:
                self._forget_portals(all_of_them=True)
                self.session.close()
        except m.ProtocolError as error:
            self.channel.fatal("08P01", str(error))
        except (ConnectionError, TimeoutError, ssl.SSLError) as error:
            log.info("client of the warehouse is gone: %s", error)

    # -- messages -----------------------------------------------------------------------------------------------

    def _message(self) -> bool:
        """Handles one message, and returns whether the client stays connected."""
        code, body = self.channel.message()
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
            self.channel.flush()
        elif code in extended:
            try:
                extended[code](m.Body(body))
            except Exception as error:
                self._failed(to_send(error))
                self._is_ignoring = True
        else:
            raise m.ProtocolError(f"invalid frontend message type {code!r}")
        return True

    def _ready(self) -> None:
        status = b"E" if self._has_failed else b"T" if self.session.in_block else b"I"
        self.channel.send(m.ready(status))
        self.channel.flush()

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
        self.channel.send(
            m.error("ERROR", state_of(text), text.removeprefix("ERROR: ").removeprefix("ERROR:"), position)
        )

    def _finish(self) -> None:
        """Ends the transaction of statements outside a transaction block."""
        if self.session.in_block:
            return
        self._forget_portals(all_of_them=True)
        self.session.end("COMMIT")

    def _forget_portals(self, *, all_of_them: bool) -> None:
        self._kept.close_portals(all_of_them=all_of_them)
        self._reading = None

    # -- simple queries -----------------------------------------------------------------------------------------

    def _query(self, text: str) -> None:
        try:
            found = statements.split(text)
            if not found:
                self.channel.send(m.message(b"I"))
            for sql in found:
                portal = Portal(sql)
                self._start(portal, in_transaction=len(found) > 1)
                if portal.columns is not None:
                    self.channel.send(m.row_description(portal.columns, [values.TEXT] * len(portal.columns)))
                self._send_rows(portal, None)
                self.channel.send(m.command_complete(portal.tag))
            self._finish()
        except Exception as error:
            self._failed(to_send(error))
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
        portal.tag = statements.command_tag(words)
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
                self.channel.send(m.parameter_status(*changed))
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
        formats = m.formats(portal.formats, len(portal.columns))
        left, send = most, self.channel.send
        while left is None or left > 0:
            if self.session.cancelled.is_set():
                raise SqlError("ERROR: Query cancelled on user's request")
            chunk = portal.rows.take(CHUNK_ROWS if left is None else min(left, CHUNK_ROWS))
            if not chunk:
                return False
            for row in chunk:
                fields = zip(row, portal.columns, formats, strict=True)
                send(m.data_row([values.encoded(value, column, form) for value, column, form in fields]))
            left = None if left is None else left - len(chunk)
        return portal.rows.has_more()

    # -- cursors and prepared statements in SQL ---------------------------------------------------------------

    def _command(self, command: statements.CursorCommand, portal: Portal) -> None:
        match command:
            case statements.Declare():
                if not self.session.in_block:
                    raise SqlError("ERROR: DECLARE CURSOR may only be used in transaction blocks")
                if command.name in self._kept.cursors():
                    raise SqlError(f'ERROR: cursor "{command.name}" already exists')
                result = self.session.statement(command.query, in_transaction=True)
                if not result.has_rows or not isinstance(result.rows, Rows):
                    raise SqlError("ERROR: DECLARE CURSOR must specify a SELECT statement")
                self._kept.portals[command.name] = Portal(
                    command.query, columns=result.columns, rows=result.rows, is_cursor=True
                )
                self._reading = result.rows
                portal.tag = "DECLARE CURSOR"
            case statements.Fetch():
                cursor = self._kept.cursor(command.name)
                portal.columns, portal.tag = cursor.columns, "FETCH"
                portal.rows = cursor.rows.first(command.count) if cursor.rows else None
                self._reading = cursor.rows
            case statements.CloseCursor():
                for name in [command.name] if command.name else self._kept.cursors():
                    if rows := self._kept.cursor(name).rows:
                        rows.close()
                    del self._kept.portals[name]
                portal.tag = "CLOSE CURSOR"
            case statements.Prepare():
                self._kept.check_new_statement(command.name)
                self._kept.statements[command.name] = Prepared(command.sql, [], types=command.types)
                portal.tag = "PREPARE"
            case statements.ExecutePrepared():
                prepared = self._kept.statement(command.name)
                inner = Portal(statements.with_values(prepared.sql, prepared.types, command))
                self._start(inner)
                portal.columns, portal.rows, portal.tag = inner.columns, inner.rows, inner.tag
            case statements.Deallocate():
                if command.name:
                    self._kept.statement(command.name)
                for name in [command.name] if command.name else list(self._kept.statements):
                    del self._kept.statements[name]
                portal.tag = "DEALLOCATE"

    # -- extended queries ---------------------------------------------------------------------------------------

    def _parse(self, body: m.Body) -> None:
        name, sql = body.text(), body.text()
        oids = [body.int32() for _ in range(body.count())]
        found = statements.split(sql)
        if len(found) > 1:
            raise SqlError("ERROR: cannot insert multiple commands into a prepared statement")
        self._kept.check_new_statement(name)
        statement = found[0] if found else ""
        self._refuse_if_failed(statement)
        wanted = statements.parameter_count(statement)
        prepared = Prepared(statement, [*oids, *[0] * (wanted - len(oids))])
        self._columns_of(prepared)  # invalid statements are refused now and not stored
        self._kept.statements[name] = prepared
        self.channel.send(m.message(b"1"))

    def _bind(self, body: m.Body) -> None:
        name, prepared = body.text(), self._kept.statement(body.text())
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
        forms = m.formats(forms, len(raw))
        literals = [values.literal(v, o, f) for v, o, f in zip(raw, prepared.oids, forms, strict=True)]
        sql = statements.bound(prepared.sql, lambda number: literals[number - 1])
        self._kept.check_new_portal(name)
        self._kept.portals[name] = Portal(sql, formats, prepared)
        self.channel.send(m.message(b"2"))

    def _describe(self, body: m.Body) -> None:
        kind, name = body.byte(), body.text()
        if kind == b"S":
            prepared = self._kept.statement(name)
            self._refuse_if_failed(prepared.sql)
            self.channel.send(m.parameter_description([oid or 1043 for oid in prepared.oids]))
            columns = self._columns_of(prepared)
            formats = [values.TEXT] * len(columns or [])
        elif kind == b"P":
            portal = self._kept.portal(name)
            self._refuse_if_failed(portal.sql)
            if portal.columns is None and portal.prepared:
                portal.columns = (
                    self._columns_of(portal.prepared) if not portal.prepared.oids else self._described(portal.sql)
                )
            columns = portal.columns
            formats = m.formats(portal.formats, len(columns or []))
        else:
            raise m.ProtocolError(f"invalid DESCRIBE message subtype {kind!r}")
        self.channel.send(m.message(b"n") if columns is None else m.row_description(columns, formats))

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
            return self._kept.cursor(command.name).columns
        if command is not None:
            return None
        if statements.first_word(sql) == "SHOW" and (shown := self.settings.show(sql)) is not None:
            return [Column(shown[0], "VARCHAR", 256)]
        self._park()
        return self.session.describe(sql)

    def _execute(self, body: m.Body) -> None:
        portal, most = self._kept.portal(body.text()), body.int32()
        if portal.prepared and not portal.sql:
            self.channel.send(m.message(b"I"))
            return
        if portal.rows is None and not portal.tag:
            described = portal.columns or (portal.prepared.columns if portal.prepared else None)
            self._start(portal)
            if described is not None and portal.columns is not None and len(described) == len(portal.columns):
                portal.columns = described  # the client relies on the columns that were sent
        if self._send_rows(portal, most if most > 0 else None):
            self.channel.send(m.message(b"s"))
        else:
            self.channel.send(m.command_complete(portal.tag))

    def _close(self, body: m.Body) -> None:
        kind, name = body.byte(), body.text()
        if kind == b"S":
            self._kept.statements.pop(name, None)
        elif (portal := self._kept.portals.pop(name, None)) and portal.rows:
            if self._reading is portal.rows:
                self._reading = None
            portal.rows.close()
        self.channel.send(m.message(b"3"))

    def _sync(self) -> None:
        self._is_ignoring = False
        try:
            self._finish()
        except SqlError as error:
            self._failed(error)
        self._ready()
