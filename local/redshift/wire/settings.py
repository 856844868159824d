"""Settings of a connection that belong to the protocol and not to the engine."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from local.redshift.errors import SqlError

SERVER_VERSION = "8.0.2"  # reported by Redshift, and read by drivers
# Reported to the client at the start and when they change (PostgreSQL documentation, 54.2.7).
REPORTED = {"client_encoding", "datestyle", "timezone", "application_name"}
_CASED = {"datestyle": "DateStyle", "timezone": "TimeZone"}
# The values that SET accepts here. They are only shown and have no other effect. Any other value would change results,
# and is refused.
_ACCEPTED = {
    "client_encoding": re.compile(r"utf-?8|unicode", re.IGNORECASE),
    "datestyle": re.compile(r"iso(\s*,\s*mdy)?", re.IGNORECASE),
    "timezone": re.compile(r"utc|gmt|default|etc/utc", re.IGNORECASE),
    "extra_float_digits": re.compile(r"-?\d+"),  # floats are always written with all significant digits
    "standard_conforming_strings": re.compile(r"off"),
    "client_min_messages": re.compile(r"\w+"),
    "application_name": re.compile(r".*", re.DOTALL),
}
_SET = re.compile(
    r"\s*SET\s+(?:SESSION\s+|LOCAL\s+)?(?:TIME\s+(ZONE)\s+|([\w.]+)\s*(?:TO|=)\s*)(.+?)\s*;?\s*",
    re.IGNORECASE | re.DOTALL,
)
_SHOW = re.compile(r"\s*SHOW\s+(?:(TIME\s+ZONE)|(TRANSACTION\s+ISOLATION\s+LEVEL)|([\w.]+))\s*;?\s*", re.IGNORECASE)
_CHARACTERISTICS = re.compile(
    r"\s*SET\s+(?:SESSION\s+CHARACTERISTICS\s+AS\s+)?TRANSACTION\s+(?:ISOLATION\s+LEVEL\s+(?:SERIALIZABLE|READ\s+COMMITTED|"
    r"READ\s+UNCOMMITTED|REPEATABLE\s+READ)|READ\s+WRITE|\s|,)+;?\s*",
    re.IGNORECASE,
)


@dataclass
class Settings:
    """The settings of one connection."""

    user: str
    values: dict[str, str] = field(
        default_factory=lambda: {
            "client_encoding": "UTF8",
            "datestyle": "ISO, MDY",
            "timezone": "UTC",
            "application_name": "",
            "extra_float_digits": "0",
            "standard_conforming_strings": "off",
            "client_min_messages": "notice",
        }
    )

    def reports(self) -> dict[str, str]:
        """Returns the parameters that are sent to the client after the login."""
        own = {_CASED.get(name, name): self.values[name] for name in sorted(REPORTED)}
        return own | {
            "server_version": SERVER_VERSION,
            "server_encoding": "UTF8",
            "integer_datetimes": "on",
            "is_superuser": "on",
            "session_authorization": self.user,
        }

    def set(self, sql: str) -> tuple[str, str] | None:
        """Runs a SET of one of these settings, and returns its name and value in the reported form.

        Returns None if the statement sets none of these settings, and an empty name if nothing is to be reported.

        Raises:
            SqlError: The value is not supported.
        """
        if _CHARACTERISTICS.fullmatch(sql):
            return "", ""  # Redshift parses the level and uses that of the database
        found = _SET.fullmatch(sql)
        name = ("timezone" if found[1] else found[2].lower()) if found else ""
        if not found or name not in _ACCEPTED:
            return None
        return self.put(name, found[3])

    def put(self, name: str, value: str) -> tuple[str, str]:
        plain = value.strip()
        plain = plain[1:-1].replace("''", "'") if re.fullmatch(r"'.*'", plain, re.DOTALL) else plain.strip('"')
        if not _ACCEPTED[name].fullmatch(plain):
            raise SqlError(
                f'ERROR: invalid value for parameter "{name}": {plain!r} is not supported by the local Redshift stand-in'
            )
        fixed = {"client_encoding": "UTF8", "datestyle": "ISO, MDY", "timezone": "UTC"}
        self.values[name] = fixed.get(name, plain)
        return (_CASED.get(name, name), self.values[name]) if name in REPORTED else ("", "")

    def show(self, sql: str) -> tuple[str, str] | None:
        """Returns name and value of the setting of a SHOW, or None if it is none of these."""
        found = _SHOW.fullmatch(sql)
        if not found:
            return None
        if found[2]:
            return "transaction_isolation", "SERIALIZABLE"
        name = "timezone" if found[1] else found[3].lower()
        more = {
            "server_version": SERVER_VERSION,
            "server_encoding": "UTF8",
            "transaction_isolation": "SERIALIZABLE",
            "is_superuser": "on",
            "session_authorization": self.user,
            "integer_datetimes": "on",
        }
        both = self.values | more
        return (name, both[name]) if name in both else None
