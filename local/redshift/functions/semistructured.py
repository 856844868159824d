"""JSON functions and SUPER. Source: Redshift Developer Guide, "JSON functions", "SUPER type information functions"."""

from __future__ import annotations

from sqlglot import exp

from local.redshift.errors import unsupported
from local.redshift.functions.call import Call, Function, checked, func, refused
from local.redshift.types import BOOLEAN, INT, SUPER, TEXT, Type, varchar


def _json_path(call: Call) -> tuple[exp.Expr, Type]:
    """Rewrites JSON_EXTRACT_PATH_TEXT(json, 'key', ... [, null_if_invalid]), which is NULL for an unknown path."""
    checked(call, 2, 8)
    keys, lenient = list(call.args[1:]), False
    if isinstance(keys[-1], exp.Boolean):
        lenient = bool(keys.pop().this)
    names = [call.literal(i, "key") for i in range(1, len(keys) + 1)]
    pointer = "".join("/" + name.replace("~", "~0").replace("/", "~1") for name in names)
    return func("rs_json_text_or_null" if lenient else "rs_json_text", call.args[0], pointer), TEXT


def _array_element(call: Call) -> tuple[exp.Expr, Type]:
    checked(call, 2, 3)
    lenient = len(call.args) == 3 and isinstance(call.args[2], exp.Boolean) and bool(call.args[2].this)
    position = int(call.literal(1, "position"))
    if position < 0:
        raise unsupported("JSON_EXTRACT_ARRAY_ELEMENT_TEXT with a negative position")
    return func("rs_json_text_or_null" if lenient else "rs_json_text", call.args[0], f"/{position}"), TEXT


def _array_length(call: Call) -> tuple[exp.Expr, Type]:
    checked(call, 1, 2)
    lenient = len(call.args) == 2 and isinstance(call.args[1], exp.Boolean) and bool(call.args[1].this)
    return func("rs_json_array_length_or_null" if lenient else "rs_json_array_length", call.args[0]), INT


def _of_text(name: str, returns: Type) -> Function:
    def made(call: Call) -> tuple[exp.Expr, Type]:
        checked(call, 1, 1)
        if not (call.types[0].is_text or call.types[0].is_open):
            raise call.wrong()
        return func(name, call.args[0]), returns

    return made


def _of_super(name: str, returns: Type, most: int = 1) -> Function:
    def made(call: Call) -> tuple[exp.Expr, Type]:
        checked(call, 1, most)
        if call.types[0] != SUPER:
            raise call.wrong()
        return func(name, *call.args), returns

    return made


def as_super(node: exp.Expr, kind: Type) -> exp.Expr:
    """Returns the value converted to SUPER."""
    if kind == SUPER:
        return node
    if kind.kind in {"VARBINARY", "INTERVAL", "UNKNOWN", "TIMESTAMPTZ", "TIMETZ", "TIME", "DATE", "TIMESTAMP"}:
        raise unsupported(f"SUPER of {kind.kind}")
    return func("to_json", node)


def _array(call: Call) -> tuple[exp.Expr, Type]:
    return func("json_array", *[as_super(a, t) for a, t in zip(call.args, call.types, strict=True)]), SUPER


def _object(call: Call) -> tuple[exp.Expr, Type]:
    if len(call.args) % 2:
        raise call.wrong()
    parts = [a if i % 2 == 0 else as_super(a, t) for i, (a, t) in enumerate(zip(call.args, call.types, strict=True))]
    return func("json_object", *parts), SUPER


def _split_to_array(call: Call) -> tuple[exp.Expr, Type]:
    checked(call, 1, 2)
    return func(
        "to_json", func("string_split", call.args[0], call.args[1] if len(call.args) > 1 else exp.Literal.string(","))
    ), SUPER


def _concat(call: Call) -> tuple[exp.Expr, Type]:
    checked(call, 2, 2)
    if any(t != SUPER for t in call.types):
        raise call.wrong()
    return func("rs_array_concat", *call.args), SUPER


def _subarray(call: Call) -> tuple[exp.Expr, Type]:
    checked(call, 2, 3)
    if call.types[0] != SUPER:
        raise call.wrong()
    return func("rs_subarray", *call.args), SUPER


_KINDS = {"IS_ARRAY": "array", "IS_OBJECT": "object", "IS_BOOLEAN": "boolean", "IS_VARCHAR": "string"}


def _is_kind(kind: str) -> Function:
    def made(call: Call) -> tuple[exp.Expr, Type]:
        checked(call, 1, 1)
        if call.types[0] != SUPER:
            raise call.wrong()
        return func("rs_is_kind", call.args[0], kind), BOOLEAN

    return made


FUNCTIONS: dict[str, Function] = {
    "JSON_EXTRACT_PATH_TEXT": _json_path,
    "JSON_EXTRACT_ARRAY_ELEMENT_TEXT": _array_element,
    "JSON_ARRAY_LENGTH": _array_length,
    "IS_VALID_JSON": _of_text("rs_is_valid_json", BOOLEAN),
    "IS_VALID_JSON_ARRAY": _of_text("rs_is_valid_json_array", BOOLEAN),
    "JSON_PARSE": _of_text("rs_parse", SUPER),
    "CAN_JSON_PARSE": _of_text("rs_valid", BOOLEAN),
    "JSON_SERIALIZE": _of_super("rs_serialize", TEXT),
    "JSON_TYPEOF": _of_super("rs_json_typeof", varchar(32)),
    "GET_ARRAY_LENGTH": _of_super("rs_get_array_length", INT),
    "ARRAY": _array,
    "OBJECT": _object,
    "ARRAY_CONCAT": _concat,
    "SUBARRAY": _subarray,
    "SPLIT_TO_ARRAY": _split_to_array,
    "IS_SCALAR": _of_super("rs_is_scalar", BOOLEAN),
    "IS_INTEGER": refused("the size of a number in SUPER is not kept"),
    "ARRAY_FLATTEN": refused("it is not computed"),
    "JSON_SIZE": refused("the size is not kept"),
    **{name: _is_kind(kind) for name, kind in _KINDS.items()},
}
