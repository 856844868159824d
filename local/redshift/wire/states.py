"""Errors for the client, with the SQLSTATE by which drivers choose their exceptions: PostgreSQL documentation, appendix A."""

from __future__ import annotations

import logging
import re

from local.redshift.copy_from_s3 import LoadError
from local.redshift.errors import SqlError
from local.redshift.wire.messages import ProtocolError

log = logging.getLogger(__name__)

_STATES = [
    (r"current transaction is aborted", "25P02"),
    (r"syntax error|cannot insert multiple commands|unterminated quoted|empty statement", "42601"),
    (r"prepared statement .* does not exist", "26000"),
    (r"(cursor|portal) .* does not exist", "34000"),
    (r"(cursor|prepared statement) .* already exists", "42P03"),
    (r"relation .* does not exist", "42P01"),
    (r"column .* does not exist", "42703"),
    (r"column .* already exists", "42701"),
    (r"schema .* does not exist", "3F000"),
    (r"function .* does not exist", "42883"),
    (r"type .* does not exist", "42704"),
    (r"already exists", "42P07"),
    (r"permission denied", "42501"),
    (r"cancelled on user's request", "57014"),
    (r"1023|Serializable isolation violation", "40001"),
    (r"deadlock detected", "40P01"),
    (r"[Dd]ivision by zero", "22012"),
    (r"Cannot insert a NULL", "23502"),
    (r"[Vv]alue too long", "22001"),
    (r"out of range|[Oo]verflow", "22003"),
    (r"invalid input syntax|invalid byte sequence|Could not convert|Conversion", "22P02"),
    (r"invalid value for parameter", "22023"),
    (r"transaction block", "25001"),
    (r"bind message supplies|wrong number of parameters", "08P01"),
    (r"not supported", "0A000"),
]


def state_of(text: str) -> str:
    return next((state for pattern, state in _STATES if re.search(pattern, text)), "XX000")


def to_send(error: Exception) -> SqlError | LoadError:
    """Returns the error to send to the client. Unexpected errors are sent, too, and logged.

    Raises:
        ProtocolError, OSError: The error cannot be sent to the client.
    """
    if isinstance(error, SqlError | LoadError):
        return error
    if isinstance(error, ProtocolError | OSError):
        raise error
    log.error("a statement failed within the stand-in", exc_info=error)
    return SqlError(f"ERROR: internal error of the stand-in: {error!r}")
