"""Hashes and phonetic codes of texts, which DuckDB lacks, computed in Python as functions of the database.

Source: Redshift Developer Guide, FNV_HASH, CRC32, SOUNDEX, DIFFERENCE, whose examples they reproduce. MURMUR3_32_HASH
is refused: its page has the results of FNV_HASH, so no example proves an implementation.
"""

from __future__ import annotations

import duckdb
from sqlglot import exp

from local.redshift.errors import unsupported
from local.redshift.functions.call import Call, Function, as_text, checked, func
from local.redshift.types import BIGINT, INT, Type, varchar

_FNV_PRIME, _FNV_START, _64_BITS = 0x100000001B3, -0x340D631B7BDDDCDB, 2**64 - 1
_CASTAGNOLI = 0x82F63B78  # the polynomial of CRC-32C with reversed bits
_WIDTHS = {"SMALLINT": 2, "INT": 4, "BIGINT": 8}
_SOUNDS = {
    letter: digit for digit, letters in enumerate(("BFPV", "CGJKQSXZ", "DT", "L", "MN", "R"), 1) for letter in letters
}
_CODE_LENGTH = 4
_REFUSAL = "is not supported by the local Redshift stand-in"


def fnv_1a(data: bytes, seed: int) -> int:
    """Returns the 64 bits of FNV-1a as a signed number."""
    found = seed & _64_BITS
    for byte in data:
        found = ((found ^ byte) * _FNV_PRIME) & _64_BITS
    return found - 2**64 if found >> 63 else found


def fnv_of_text(text: str, seed: int) -> int:
    return fnv_1a(text.encode(), seed)


def fnv_of_number(number: int, width: int, seed: int) -> int:
    return fnv_1a(number.to_bytes(width, "little", signed=True), seed)


def _crc_table() -> list[int]:
    table = []
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = (value >> 1) ^ (_CASTAGNOLI if value & 1 else 0)
        table.append(value)
    return table


_CRC = _crc_table()


def crc_32c(text: str) -> str:
    """Returns the eight hexadecimal digits of the checksum."""
    found = 0xFFFFFFFF
    for byte in text.encode():
        found = (found >> 8) ^ _CRC[(found ^ byte) & 0xFF]
    return f"{found ^ 0xFFFFFFFF:08x}"


def _soundex(letters: str, *, joins_over_hw: bool, counts_first: bool) -> str:
    code, last = letters[0], _SOUNDS.get(letters[0], 0) if counts_first else 0
    for letter in letters[1:]:
        digit = _SOUNDS.get(letter, 0)
        if digit and digit != last:
            code += str(digit)
        if letter not in "HW" or not joins_over_hw:
            last = digit
    return code[:_CODE_LENGTH].ljust(_CODE_LENGTH, "0")


def soundex(text: str) -> str:
    """Returns the American Soundex code, or an empty text if there is no letter.

    Raises:
        ValueError: The variants of Soundex, which the guide's examples do not distinguish, give different codes.
    """
    letters = "".join(c for c in text.upper() if "A" <= c <= "Z")
    if not letters:
        return ""
    codes = {_soundex(letters, joins_over_hw=hw, counts_first=first) for hw in (True, False) for first in (True, False)}
    if len(codes) > 1:
        raise ValueError(f"SOUNDEX of '{text}', whose code depends on the variant of Soundex, {_REFUSAL}")
    return codes.pop()


def difference(left: str, right: str) -> int:
    """Returns 4 for the same code, 0 if one text has no letter, and 1 if both have none.

    Raises:
        ValueError: The codes differ, and the comparison of their letters is not documented.
    """
    first, second = soundex(left), soundex(right)
    if not first or not second:
        return int(first == second)
    if first != second:
        raise ValueError(f"DIFFERENCE of texts that sound different {_REFUSAL}")
    return 4


def register(con: duckdb.DuckDBPyConnection) -> None:
    """Registers these functions in the database."""
    for name, function, takes, gives in (
        ("rs_fnv_text", fnv_of_text, ["VARCHAR", "BIGINT"], "BIGINT"),
        ("rs_fnv_number", fnv_of_number, ["BIGINT", "INTEGER", "BIGINT"], "BIGINT"),
        ("rs_crc32", crc_32c, ["VARCHAR"], "VARCHAR"),
        ("rs_soundex", soundex, ["VARCHAR"], "VARCHAR"),
        ("rs_difference", difference, ["VARCHAR", "VARCHAR"], "INTEGER"),
    ):
        con.create_function(name, function, [*takes], gives)


def _fnv(call: Call) -> tuple[exp.Expr, Type]:
    checked(call, 1, 2)
    kind = call.types[0]
    seed = call.args[1] if len(call.args) > 1 else exp.Literal.number(_FNV_START)
    if len(call.args) > 1 and not call.types[1].is_integer:
        raise call.wrong()
    if kind.is_integer:
        made = func("rs_fnv_number", call.args[0], _WIDTHS[kind.kind], seed)
    elif kind.kind == "VARCHAR":
        made = func("rs_fnv_text", call.args[0], seed)
    else:
        raise unsupported(f"FNV_HASH of {kind.kind}")
    return func("rs_hashed", call.args[0].copy(), made), BIGINT


def _of_text(name: str, returns: Type, count: int) -> Function:
    def made(call: Call) -> tuple[exp.Expr, Type]:
        checked(call, count, count)
        if any(kind.kind == "CHAR" for kind in call.types):
            raise unsupported(f"{call.name} of CHAR")
        return func(name, *(as_text(a, t) for a, t in zip(call.args, call.types, strict=True))), returns

    return made


FUNCTIONS: dict[str, Function] = {
    "FNV_HASH": _fnv,
    "CRC32": _of_text("rs_crc32", varchar(8), 1),
    "SOUNDEX": _of_text("rs_soundex", varchar(4), 1),
    "DIFFERENCE": _of_text("rs_difference", INT, 2),
}
