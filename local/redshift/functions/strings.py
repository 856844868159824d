"""String functions. Source: Redshift Developer Guide, "String functions"."""

from __future__ import annotations

import re

from sqlglot import exp

from local.redshift.errors import SqlError, unsupported
from local.redshift.functions.call import (
    Call,
    Function,
    as_text,
    checked,
    first_text,
    func,
    of_texts,
    plain,
    refused,
)
from local.redshift.types import BIGINT, INT, LONGEST_TEXT, TEXT, VARBYTE, Type, varchar


def _length(call: Call) -> tuple[exp.Expr, Type]:
    checked(call, 1, 1)
    if call.types[0] == VARBYTE:
        return func("octet_length", call.args[0]), INT
    return func("length", as_text(call.args[0], call.types[0])), INT


def _octets(call: Call) -> tuple[exp.Expr, Type]:
    checked(call, 1, 1)
    if call.types[0] == VARBYTE:
        return func("octet_length", call.args[0]), INT
    return func("strlen", as_text(call.args[0], call.types[0])), INT


def concat(call: Call) -> tuple[exp.Expr, Type]:
    checked(call, 2, 2)
    parts = [as_text(a, t) for a, t in zip(call.args, call.types, strict=True)]
    return exp.Paren(this=exp.DPipe(this=parts[0], expression=parts[1], safe=False)), joined(call.types)


def joined(types: list[Type]) -> Type:
    """Returns the type of concatenated texts.

    It may end with blanks if the last text may do so or may be empty.
    """
    lengths = [t.length or 64 for t in types]
    last = types[-1]
    ends_full = (last.is_literal and not last.has_blanks) or not (last.is_text or last.is_open)
    return varchar(sum(lengths), has_blanks=not ends_full and any(t.has_blanks or t.is_literal for t in types))


def _regexp_flags(call: Call, index: int, known: str) -> str:
    if index >= len(call.args):
        return "c"
    flags = call.literal(index, "set of parameters")
    if unknown := sorted(set(flags) - set(known)):
        raise unsupported(f"{call.name} with the parameter '{unknown[0]}'")
    return flags


def pattern(call: Call, index: int = 1) -> str:
    """Returns a POSIX pattern that has the same meaning in RE2.

    Raises:
        SqlError: The pattern uses syntax that the two interpret differently.
    """
    text = call.literal(index, "pattern")
    if re.search(r"\(\?|\\[0-9]|[*+?}][?+]", text):
        raise unsupported(f"{call.name} with the pattern '{text}'")
    if "|" in text:  # POSIX takes the longest alternative, RE2 the first; the same if none is a prefix
        for group in re.findall(r"[^()]*\|[^()]*", text):
            words = group.split("|")
            if any(a != b and b.startswith(a) for a in words for b in words):
                raise unsupported(f"{call.name} with alternatives of which one begins another")
    return text


def _options(flags: str) -> str:
    return "s" + ("i" if "i" in flags else "c")


def _from_position(call: Call, index: int) -> exp.Expr:
    if index >= len(call.args):
        return call.args[0]
    position = int(call.literal(index, "position"))
    return func("substring", call.args[0], max(position, 1)) if position > 1 else call.args[0]


def _regexp_substr(call: Call) -> tuple[exp.Expr, Type]:
    checked(call, 2, 5)
    found, flags = pattern(call), _regexp_flags(call, 4, "cie")
    occurrence = int(call.literal(3, "occurrence")) if len(call.args) > 3 else 1
    if occurrence < 1:
        raise unsupported("REGEXP_SUBSTR with an occurrence below 1")
    group = 1 if "e" in flags and re.search(r"(?<!\\)\((?!\?)", found) else 0
    matches = func("regexp_extract_all", _from_position(call, 2), found, group, _options(flags))
    return func("rs_nth_match", call.args[0].copy(), matches, occurrence), TEXT


def _regexp_count(call: Call) -> tuple[exp.Expr, Type]:
    checked(call, 2, 4)
    options = _options(_regexp_flags(call, 3, "ci"))
    return func("len", func("regexp_extract_all", _from_position(call, 2), pattern(call), 0, options)), INT


def _regexp_instr(call: Call) -> tuple[exp.Expr, Type]:
    checked(call, 2, 2)
    found = pattern(call)
    if "^" in found or "$" in found or "|" in found:
        raise unsupported(f"REGEXP_INSTR with the pattern '{found}'")
    return func("rs_match_start", call.args[0], f"(?s)^(.*?)(?:{found})"), INT


def _regexp_replace(call: Call) -> tuple[exp.Expr, Type]:
    checked(call, 2, 5)
    found, options = pattern(call), _options(_regexp_flags(call, 4, "ci"))
    with_what = call.literal(2, "replacement") if len(call.args) > 2 else ""
    if "\\" in with_what or "$" in with_what:
        raise unsupported("REGEXP_REPLACE with a reference in the replacement")
    position = int(call.literal(3, "position")) if len(call.args) > 3 else 1
    replaced = func("regexp_replace", _from_position(call, 3), found, with_what, "g" + options)
    if position > 1:
        head = func("substring", call.args[0].copy(), 1, position - 1)
        return exp.Paren(this=exp.DPipe(this=head, expression=replaced, safe=False)), TEXT
    return replaced, TEXT


def _split_part(call: Call) -> tuple[exp.Expr, Type]:
    checked(call, 3, 3)
    return func("rs_split_part", *call.args), TEXT


def _trim(call: Call) -> tuple[exp.Expr, Type]:
    """Rewrites BTRIM, LTRIM and RTRIM, which remove blanks if no characters are given."""
    checked(call, 1, 2)
    name = {"BTRIM": "trim", "TRIM": "trim"}.get(call.name.upper(), call.name.lower())
    args = [as_text(a, t) for a, t in zip(call.args, call.types, strict=True)]
    bare = len(call.args) == 1 and name != "ltrim"
    kind = Type("VARCHAR", call.types[0].length or LONGEST_TEXT, has_blanks=call.types[0].has_blanks or not bare)
    return func(name, *(args if len(args) == 2 else [*args, " "])), Type(
        kind.kind, kind.length, has_blanks=not bare and (call.types[0].has_blanks or len(args) == 2)
    )


def _strtol(call: Call) -> tuple[exp.Expr, Type]:
    checked(call, 2, 2)
    base = call.literal(1, "base")
    if base not in {"2", "10", "16"}:
        raise unsupported(f"STRTOL with base {base}")
    return func(f"rs_strtol_{base}", call.args[0]), BIGINT


def _sha2(call: Call) -> tuple[exp.Expr, Type]:
    checked(call, 2, 2)
    if call.literal(1, "number of bits") not in {"0", "256"}:
        raise unsupported("SHA2 with another number of bits than 256")
    return func("sha256", as_text(call.args[0], call.types[0])), varchar(64)


def _chr(call: Call) -> tuple[exp.Expr, Type]:
    checked(call, 1, 1)
    return func("chr", call.args[0]), varchar(4, has_blanks=True)


def _concat_all(call: Call) -> tuple[exp.Expr, Type]:
    raise SqlError(f"ERROR: function {call.name.lower()}() does not exist")


_CUT = of_texts(TEXT, 2)
_CASE = of_texts(first_text, 1)

FUNCTIONS: dict[str, Function] = {
    "ASCII": of_texts(INT, 1),
    "BPCHARCMP": of_texts(INT, 2, texts=(0, 1), name="rs_text_cmp"),
    "BTTEXT_PATTERN_CMP": of_texts(INT, 2, texts=(0, 1), name="rs_text_cmp"),
    "BTRIM": _trim,
    "LTRIM": _trim,
    "RTRIM": _trim,
    "TRIM": _trim,
    "CHARACTER_LENGTH": _length,
    "CHAR_LENGTH": _length,
    "LEN": _length,
    "LENGTH": _length,
    "TEXTLEN": _length,
    "OCTET_LENGTH": _octets,
    "CHARINDEX": of_texts(INT, 2, 3, texts=(0, 1)),
    "STRPOS": of_texts(INT, 2, texts=(0, 1), name="strpos"),
    "CHR": _chr,
    "CONCAT": concat,
    "INITCAP": _CASE,
    "LOWER": of_texts(first_text, 1, name="lower"),
    "UPPER": of_texts(first_text, 1, name="upper"),
    "LEFT": _CUT,
    "RIGHT": _CUT,
    "LPAD": of_texts(TEXT, 2, 3, texts=(0, 2)),
    "RPAD": of_texts(TEXT, 2, 3, texts=(0, 2)),
    "MD5": of_texts(varchar(32), 1, name="md5"),
    "SHA": of_texts(varchar(40), 1, name="sha1"),
    "SHA1": of_texts(varchar(40), 1, name="sha1"),
    "FUNC_SHA1": of_texts(varchar(40), 1, name="sha1"),
    "SHA2": _sha2,
    "OCTETINDEX": of_texts(INT, 2, texts=(0, 1)),
    "QUOTE_IDENT": of_texts(TEXT, 1),
    "QUOTE_LITERAL": of_texts(TEXT, 1),
    "REGEXP_COUNT": _regexp_count,
    "REGEXP_INSTR": _regexp_instr,
    "REGEXP_REPLACE": _regexp_replace,
    "REGEXP_SUBSTR": _regexp_substr,
    "REPEAT": of_texts(TEXT, 2, name="rs_repeat"),
    "REPLICATE": of_texts(TEXT, 2, name="rs_repeat"),
    "REPLACE": of_texts(TEXT, 3, texts=(0, 1, 2), name="replace"),
    "REVERSE": of_texts(TEXT, 1, name="reverse"),
    "SPLIT_PART": _split_part,
    "STRTOL": _strtol,
    "SUBSTR": of_texts(TEXT, 2, 3, name="rs_substring"),
    "SUBSTRING": of_texts(TEXT, 2, 3, name="rs_substring"),
    "TRANSLATE": of_texts(TEXT, 3, texts=(0, 1, 2), name="translate"),
    "TO_HEX": plain(varchar(16), 1, name="rs_to_hex"),
    "HEX": plain(varchar(16), 1, name="rs_to_hex"),
    "COLLATE": refused("collations are not kept"),
    "FARMFINGERPRINT64": refused("its hash is not computed"),
    "MURMUR3_32_HASH": refused("its hash is not computed"),
}
