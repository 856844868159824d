"""Functions of VARBYTE. Source: Redshift Developer Guide, FROM_HEX, TO_VARBYTE, FROM_VARBYTE and GETBIT."""

from __future__ import annotations

from sqlglot import exp

from local.redshift.errors import SqlError, unsupported
from local.redshift.functions.call import Call, Function, checked, func
from local.redshift.types import INT, LONGEST_TEXT, VARBYTE, Type, varchar


def _format(call: Call) -> str:
    word = call.literal(1, "format").lower()
    name = {"utf-8": "utf8"}.get(word, word)
    if name not in {"hex", "binary", "utf8"}:
        raise SqlError(f"ERROR: invalid format '{word}' for {call.name.lower()}")
    return name


def _bytes(call: Call) -> exp.Expr:
    """Returns the first argument; a literal represents the bytes of its text."""
    if call.types[0] == VARBYTE:
        return call.args[0]
    if not call.types[0].is_literal:
        raise call.wrong()
    return func("encode", call.args[0])


def _from_hex(call: Call) -> tuple[exp.Expr, Type]:
    checked(call, 1, 1)
    if len(call.literal(0, "text")) % 2:
        raise unsupported("FROM_HEX of an odd number of digits")
    return func("unhex", call.args[0]), VARBYTE


def _to_varbyte(call: Call) -> tuple[exp.Expr, Type]:
    checked(call, 2, 2)
    name = _format(call)
    if not call.types[0].is_text or call.types[0].kind == "CHAR":
        raise unsupported(f"TO_VARBYTE of {call.types[0].kind}")
    return func("encode" if name == "utf8" else f"rs_varbyte_of_{name}", call.args[0]), VARBYTE


def _from_varbyte(call: Call) -> tuple[exp.Expr, Type]:
    checked(call, 2, 2)
    name = _format(call)
    text = func("decode" if name == "utf8" else f"rs_{name}_of_varbyte", _bytes(call))
    return text, varchar(LONGEST_TEXT, has_blanks=name == "utf8")


def _getbit(call: Call) -> tuple[exp.Expr, Type]:
    checked(call, 2, 2)
    if not call.types[1].is_integer:
        raise call.wrong()
    return func("rs_getbit", _bytes(call), call.args[1]), INT


FUNCTIONS: dict[str, Function] = {
    "FROM_HEX": _from_hex,
    "TO_VARBYTE": _to_varbyte,
    "FROM_VARBYTE": _from_varbyte,
    "GETBIT": _getbit,
}
