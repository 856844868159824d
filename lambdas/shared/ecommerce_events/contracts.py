"""The contracts of the feeds, and the conversion of an event's data to the types of its contract.

The rules are the same as in the cleaning step of the warehouse path (ecommerce_elt.cleaning.rule_sql). A test checks
that both give the same results. `contracts.json` is generated from include/feeds/ when the layer is packaged, and is
written next to this file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, timezone
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Context, Decimal
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

Contract = Mapping[str, Any]
Reason = tuple[str, str, str]  # column, rule, expected

_INTEGER = re.compile(r"[+-]?[0-9]+([.]0+)?")
_DECIMAL = re.compile(r"[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)")
_DECIMAL_TYPE = re.compile(r"decimal\((\d+),(\d+)\)")
_BOOLEAN = {
    "true": True,
    "t": True,
    "yes": True,
    "y": True,
    "1": True,
    "false": False,
    "f": False,
    "no": False,
    "n": False,
    "0": False,
}
_TIME = re.compile(
    r"(?P<year>[0-9]{4})-(?P<month>[0-9]{1,2})-(?P<day>[0-9]{1,2})"
    r"(?:[ T](?P<hour>[01]?[0-9]|2[0-3]):(?P<minute>[0-5]?[0-9])(?::(?P<second>[0-5]?[0-9])(?:[.](?P<fraction>[0-9]{1,9}))?)?"
    r"(?:Z| UTC|(?P<zone>[+-](?:0[0-9]|1[0-4])(?::?[0-5][0-9])?))?)?"
)
_EPOCH = re.compile(r"@([0-9]{15,16})")  # microseconds since 1970, from the rewrites of epoch formats
# Copied from ecommerce_elt.feeds.dialects, which explains them.
_DAMAGED = re.compile(r"[0-9]([.][0-9]+)?[eE][+][0-9]{2,3}|[0-9][.][0-9]+[eE][+-]?[0-9]{1,3}")
_TWO_READINGS = re.compile(r"[+-]?[1-9][0-9]{0,2},[0-9]{3}")
_GROUP = re.compile(r"\\([1-9])")
_BLANKS = "\u0020\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
_EXTRA_MAX_BYTES = 65535
_REMEMBERED_TEXTS, _REMEMBERED_LENGTH = 1 << 13, 64  # cached texts per column, and characters per text at most
_1970 = datetime(1970, 1, 1, tzinfo=UTC)
_FLOAT_NOISE = 1e-15  # relative to the number: a double has 15 to 17 significant digits
_EXACT = Context(prec=1_000_000)  # digits, more than a record can hold
_EARLIEST, _LATEST = datetime(1900, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)


class BreaksContract(ValueError):  # noqa: N818  # names the state of the event, not a failure of this code
    """The event breaks its contract.

    Attributes:
        reasons: every rule that the event breaks. Only the rule "ambiguous" quotes a value, and not in a feed with
            personal data.
    """

    def __init__(self, reasons: list[Reason]) -> None:
        self.reasons = reasons
        super().__init__("; ".join(f"{column}: {rule}: expected {expected}" for column, rule, expected in reasons))


_CAPITALS = str.maketrans("abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ")


def capitals(text: str) -> str:
    """Returns the text with its ASCII letters in upper case, as the SQL of the cleaning step does.

    Other letters stay as they are, because the SQL engines convert them differently.
    """
    return text.translate(_CAPITALS)


@cache
def contracts() -> dict[str, Contract]:
    """Returns the contracts of all feeds, by feed name."""
    return dict(json.loads(Path(__file__).with_name("contracts.json").read_text("utf-8")))


@lru_cache(maxsize=1 << 14)
def read_time(text: str) -> datetime | None:
    """Returns the time in UTC, or None if the text is not a time. A text without a time zone is read as UTC."""
    found = _TIME.fullmatch(text)
    if not found:
        return None
    zone, fraction = found["zone"], found["fraction"] or ""
    try:
        moment = datetime(
            int(found["year"]),
            int(found["month"]),
            int(found["day"]),
            int(found["hour"] or 0),
            int(found["minute"] or 0),
            int(found["second"] or 0),
            int(fraction[:6].ljust(6, "0")),
            UTC,
        )
        if zone:
            offset = timedelta(hours=int(zone[1:3]), minutes=int(zone[-2:]) if len(zone) > 3 else 0)
            moment = moment.replace(tzinfo=timezone(-offset if zone[0] == "-" else offset)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return moment


def _raw(column: Mapping[str, Any], data: Mapping[str, Any]) -> str | None:
    for header in column["headers"]:
        value = data.get(header)
        if value is None:
            continue
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        if text := text.strip(_BLANKS):
            return text
    return None


def _plain(column: Mapping[str, Any]) -> Callable[[str], str | None]:
    """Returns a function that rewrites a text from the column's dialect into the plain form of the column's type.

    The function returns None for a text that the dialect declares as a missing value.
    """
    missing = frozenset(column["missing"])
    # \g<1> instead of \1, because Python reads a digit after \1 as part of the group number.
    steps = [(re.compile(pattern), _GROUP.sub(r"\\g<\1>", replacement)) for pattern, replacement in column["rewrites"]]

    def plain(raw: str) -> str | None:
        if raw in missing:
            return None
        if not _is_plain(column, raw):
            for pattern, replacement in steps:
                if found := pattern.fullmatch(raw):
                    raw = found.expand(replacement)
        return raw

    return plain


def _is_plain(column: Mapping[str, Any], raw: str) -> bool:
    kind = column["type"]
    pattern = _TIME if kind == "timestamp" else _INTEGER if kind in {"integer", "bigint"} else _DECIMAL
    return kind not in {"string", "identifier"} and pattern.fullmatch(raw) is not None


def _typed(column: Mapping[str, Any], raw: str, reasons: list[Reason], is_old: bool) -> Any:
    """Returns the text as a value of the column's type, or None after it has added the reason to `reasons`."""
    kind, name = column["type"], column["name"]
    if kind in {"string", "identifier"}:
        if kind == "identifier" and not is_old and _DAMAGED.fullmatch(raw):
            reasons.append((name, "damaged", "all digits; a spreadsheet shortened this one"))
        return raw
    if kind in {"integer", "bigint"}:
        if not _INTEGER.fullmatch(raw):
            reasons.append((name, "type", "a whole number"))
            return None
        number, bits = int(Decimal(raw)), 32 if kind == "integer" else 64
        if not -(2 ** (bits - 1)) <= number < 2 ** (bits - 1):
            reasons.append((name, "range", f"a number of {bits} bits"))
            return None
        return number
    if found := _DECIMAL_TYPE.fullmatch(kind):
        return _amount(column, raw, (int(found[1]), int(found[2])), reasons, is_old)
    if kind == "timestamp":
        epoch = _EPOCH.fullmatch(raw) if column["formats"] else None
        moment = _1970 + timedelta(microseconds=int(epoch[1])) if epoch else read_time(raw)
        if moment is None:
            reasons.append((name, "type", ", or ".join(["an ISO 8601 time", *column["formats"]])))
        elif not _EARLIEST <= moment < _LATEST:
            reasons.append((name, "range", f"from {_EARLIEST:%Y-%m-%d} to before {_LATEST:%Y-%m-%d}"))
        return moment
    flag = _BOOLEAN.get(raw.lower())
    if flag is None:
        reasons.append((name, "type", "one of " + ", ".join(_BOOLEAN)))
    return flag


def _amount(
    column: Mapping[str, Any], raw: str, size: tuple[int, int], reasons: list[Reason], is_old: bool
) -> Decimal | None:
    """Returns the number as a decimal of `size` (precision, scale), or None if it is not a number or too large.

    Every broken rule is added to `reasons`. A number with too many decimals is rounded. This breaks a rule unless the
    difference is noise of a float or the contract rounds the column.
    """
    name, (precision, scale) = column["name"], size
    if not _DECIMAL.fullmatch(raw):
        if column["two_readings"] and not is_old and _TWO_READINGS.fullmatch(raw):
            readings = f"not {raw.replace(',', '')} or {raw.replace(',', '.')}"
            expected = "one reading: the comma is a thousands mark or a decimal mark"
            reasons.append((name, "ambiguous", expected if column["is_personal"] else f"one reading, {readings}"))
        else:
            reasons.append((name, "type", "a number"))
        return None
    amount = Decimal(raw)
    step = Decimal(1).scaleb(-scale)
    if raw.partition(".")[2].rstrip("0")[scale:]:
        nearest = amount.quantize(step, ROUND_HALF_UP, _EXACT)
        if not is_old and abs(float(raw) - float(nearest)) <= abs(float(nearest)) * _FLOAT_NOISE:
            amount = nearest  # JavaScript and pandas may write 2.55 as 2.5499999999999998
        elif not is_old and column["round"]:
            amount = amount.quantize(step, ROUND_HALF_EVEN, _EXACT)
        else:
            reasons.append((name, "scale", f"at most {scale} decimals"))
            amount = nearest
    if abs(amount) >= 10 ** (precision - scale):
        reasons.append((name, "range", f"at most {precision - scale} digits before the point"))
        return None
    return amount


Read = tuple[Any, tuple[Reason, ...]]  # the typed value, and the rules that the text breaks


def _reader(column: Mapping[str, Any], *, is_old: bool) -> Callable[[str], Read]:
    """Returns a function that converts a text of one column to its type.

    The same texts occur many times, so the results for short texts are cached.

    Args:
        column: the column in the contract.
        is_old: whether the events have a schema_version from before the contract had dialects.
    """
    plain = _plain(column)

    def read(raw: str) -> Read:
        reasons: list[Reason] = []
        text = raw if is_old else plain(raw)
        if text is None:
            return None, ((column["name"], "required", "a value"),) if column["required"] else ()
        value = _typed(column, text, reasons, is_old)
        if value is not None:
            reasons += _limits(column, text, value)
        return value, tuple(reasons)

    remembered = lru_cache(_REMEMBERED_TEXTS)(read)
    return lambda raw: remembered(raw) if len(raw) <= _REMEMBERED_LENGTH else read(raw)


class _Compiled:
    """The columns of a contract with their readers.

    It holds a reference to the contract, so that no other object can get the same id().
    """

    def __init__(self, contract: Contract) -> None:
        self.contract = contract
        self.columns = [
            (c, c["name"], c["required"], _reader(c, is_old=False), _reader(c, is_old=True))
            for c in contract["columns"]
        ]
        self.event_time, self.known_keys = contract["event_time"], frozenset(contract["known_keys"])


_compiled: dict[int, _Compiled] = {}


def typed(contract: Contract, envelope: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the values by column name: str, int, Decimal, bool, datetime in UTC, or None if the value is missing.

    Args:
        contract: must not change after the first call, because its readers are cached by its id().
        envelope: an envelope of the contract's feed.

    Raises:
        BreaksContract: the event breaks its contract; the exception lists every rule that it breaks.
    """
    compiled = _compiled.get(id(contract)) or _compiled.setdefault(id(contract), _Compiled(contract))
    data = envelope["data"]
    reasons = [] if compiled.known_keys.issuperset(data) else _unknown_keys(contract, data)
    values: dict[str, Any] = {}
    is_old = envelope["schema_version"] < contract["dialects_since"]
    for column, name, required, read, read_old in compiled.columns:
        raw = envelope.get("event_time") if name == compiled.event_time else None
        if raw is None:
            raw = _raw(column, data)
        if raw is None:
            values[name] = None
            if required:
                reasons.append((name, "required", "a value"))
            continue
        values[name], broken = read_old(raw) if is_old else read(raw)
        if broken:
            reasons += broken
    if reasons:
        raise BreaksContract(reasons)
    return values


def _unknown_keys(contract: Contract, data: Mapping[str, Any]) -> list[Reason]:
    unknown = {key: value for key, value in data.items() if key not in contract["known_keys"]}
    if not unknown:
        return []
    if contract["unknown_keys"] == "quarantine":
        return [("data", "unknown", "no keys but those of the contract")]
    text = json.dumps(unknown, ensure_ascii=False, separators=(",", ":"))
    if len(text.encode("utf-8")) > _EXTRA_MAX_BYTES:
        return [("extra", "max_bytes", f"at most {_EXTRA_MAX_BYTES} bytes of keys that are not the contract's")]
    return []


def _limits(column: Mapping[str, Any], raw: str, value: Any) -> list[Reason]:
    found, name = [], column["name"]
    low, high, limit = column.get("min"), column.get("max"), column.get("max_bytes")
    if low is not None and value < low:
        found.append((name, "min", f"at least {low}"))
    if high is not None and value > high:
        found.append((name, "max", f"at most {high}"))
    if limit is not None and len(raw.encode("utf-8")) > limit:
        found.append((name, "max_bytes", f"at most {limit} bytes"))
    if (pattern := column.get("pattern")) and not re.fullmatch(pattern, raw):
        found.append((name, "pattern", pattern))
    if (accepted := column.get("accepted")) is not None and raw not in accepted:
        found.append((name, "accepted", "one of " + ", ".join(accepted)))
    return found
