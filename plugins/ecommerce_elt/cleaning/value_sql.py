"""The SQL of one column's value: as the source wrote it, in the plain form of its type, and typed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from sqlglot import exp

from ecommerce_elt.cleaning.snippets import DIALECT, literals, sql, whole
from ecommerce_elt.feeds.contracts import Column, Contract
from ecommerce_elt.feeds.dialects import DECIMAL, EPOCH, EPOCH_DIGITS, INTEGER, TIME, rewrites

FLOAT_NOISE = 1e-15  # relative to the number: a double has 15 to 17 significant digits
BOOLEAN = {
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


def source_text(column: Column, keys: Sequence[str]) -> exp.Expr:
    """Returns the value as the source wrote it, without outer blanks, or NULL if it is empty.

    Args:
        column: the column.
        keys: keys of the values in `data`, in their order.
    """
    places = [keys.index(header) + 1 for header in column.headers if header in keys]
    texts = [sql(f"data[{place}]") for place in places] or [sql("CAST(NULL AS VARCHAR)")]
    if len(texts) == 1:
        return sql("NULLIF(TRIM($text), '')", text=texts[0])
    # NULLIF is expanded to two uses of its text. An engine that eliminates this common subexpression computes it for
    # every row and spelling, although COALESCE would stop earlier. In a lambda, it does not.
    return sql(
        "COALESCE(NULLIF(TRIM($first), ''), "
        "LIST_FILTER(LIST_TRANSFORM($others, LAMBDA text : NULLIF(TRIM(text), '')), LAMBDA text : text IS NOT NULL)[1])",
        first=texts[0],
        others=exp.Array(expressions=texts[1:]),
    )


def _is_one_of(text: exp.Expr, words: Iterable[str]) -> exp.Expr:
    """Returns the condition that the text is one of the words.

    It uses a pattern, because DuckDB turns an IN with many words into a join of all rows.
    """
    return sql("REGEXP_MATCHES($text, $re)", text=text, re=whole("|".join(map(re.escape, words))))


def plain_text(column: Column, contract: Contract, source: exp.Expr) -> exp.Expr:
    """Returns the value in the plain form of its type, by the rewrites of the column's dialect.

    A value that no rewrite matches stays unchanged. A missing value is NULL.
    """
    text = exp.Case()
    if contract.dialects_since > 1:
        text = text.when(before_dialects(contract), source)
    if words := contract.missing_words(column):
        longest = exp.Literal.number(max(map(len, words)))
        is_short = sql("LENGTH($source) <= $longest", source=source, longest=longest)
        text = text.when(is_short.and_(_is_one_of(source, words)), exp.null())
    if steps := rewrites(column):
        rewritten = source
        for step in steps:
            rewritten = sql(
                "REGEXP_REPLACE($text, $pattern, $replacement)",
                text=rewritten,
                pattern=whole(step.pattern),
                replacement=exp.Literal.string(step.replacement),
            )
        text = text.when(_may_be_rewritten(column, source), rewritten)
    return text.else_(source) if text.args.get("ifs") else source


def before_dialects(contract: Contract) -> exp.Expr:
    return sql("schema_version < $since", since=exp.Literal.number(contract.dialects_since))


def shape_of(column: Column) -> exp.Expr | None:
    """Returns the pattern of the plain form of the column's type, or None if every text is plain."""
    if column.type == "timestamp":
        return whole(TIME)
    if column.decimal:
        return whole(DECIMAL)
    return whole(INTEGER) if column.type in {"integer", "bigint"} else None


def _may_be_rewritten(column: Column, source: exp.Expr) -> exp.Expr:
    """Returns a cheap condition that is false for plain values.

    Most values are plain, so that only few pass through all rewrites.
    """
    if column.type == "identifier":
        return sql("$source LIKE '%.%0'", source=source)
    if column.accepted is not None:
        spellings = [word for words in column.accepted.values() for word in words]
        return _is_one_of(source, spellings)
    return exp.not_(exp.column(f"plain_{column.name}"))


def is_shaped(column: Column) -> exp.Expr:
    """Returns the condition that the value of `raw` has the plain form of its type.

    Most values were sent in this form and are not checked again.
    """
    return sql(
        "CASE WHEN $raw IS NULL THEN FALSE WHEN $plain THEN TRUE ELSE REGEXP_MATCHES($raw, $re) END",
        raw=exp.column(f"raw_{column.name}"),
        plain=exp.column(f"plain_{column.name}"),
        re=shape_of(column),
    )


def typed_value(column: Column) -> exp.Expr:
    """Returns the value of `raw` in the column's type, or NULL if it is not a value of this type."""
    raw = exp.column(f"raw_{column.name}")

    def shaped(snippet: str) -> exp.Expr:
        return exp.Case().when(is_shaped(column), sql(snippet, raw=raw))

    match column.type:
        case "string" | "identifier":
            return raw
        case "integer" | "bigint":
            kind = exp.DataType.build("INT" if column.type == "integer" else "BIGINT", dialect=DIALECT)
            # A cast rounds 12.5 to 13, so only whole numbers may reach it.
            without_zeros = "CASE WHEN $raw LIKE '%.%' THEN REGEXP_REPLACE($raw, '[.]0+$', '') ELSE $raw END"
            return exp.TryCast(this=shaped(without_zeros), to=kind)
        case "timestamp":
            # The result is in UTC, without a zone. A text without a zone is UTC, and the session's zone is UTC.
            moment = shaped("TRY_CAST(TRY_CAST($raw AS TIMESTAMPTZ) AS TIMESTAMP)")
            if any(name in EPOCH_DIGITS for name in column.formats):
                micros = sql("TRY_CAST(SUBSTRING($raw, 2) AS BIGINT)", raw=raw)
                since_1970 = exp.UnixToTime(this=micros, scale=exp.UnixToTime.MICROS)
                moment = moment.when(sql("REGEXP_MATCHES($raw, $re)", raw=raw, re=whole(EPOCH)), since_1970)
            return moment
        case "boolean":
            cases = exp.Case()
            for value in (True, False):
                words = literals(word for word, meaning in BOOLEAN.items() if meaning is value)
                cases = cases.when(exp.In(this=sql("LOWER($raw)", raw=raw), expressions=words), exp.Boolean(this=value))
            return cases
        case _:
            kind = exp.DataType.build(column.type, dialect=DIALECT)
            typed = exp.TryCast(this=shaped("$raw"), to=kind)  # rounds half away from zero
            if not column.round or not column.decimal:
                return typed
            before, half = f"[.][0-9]{{{column.decimal[1] - 1}}}[02468]", "50*"
            is_half = sql("REGEXP_MATCHES($raw, $re)", raw=raw, re=whole(f"[+-]?[0-9]*{before}{half}"))
            down = sql("REGEXP_REPLACE($raw, $half, '')", raw=raw, half=exp.Literal.string(rf"{half}\z"))
            return exp.Case().when(is_half, exp.TryCast(this=down, to=kind)).else_(typed)


def is_too_fine(column: Column, raw: exp.Expr, contract: Contract) -> exp.Expr:
    """Returns the condition that the number has more decimals than the type.

    A number that differs from its rounded value only in the last digits of a double does not count, because JavaScript
    and pandas may write 2.5499999999999998 for 2.55 and 0.30000000000000004 for 0.1 + 0.2.
    """
    assert column.decimal
    too_fine = sql(
        "REGEXP_MATCHES($raw, $fine) AND REGEXP_MATCHES($raw, $re)",
        raw=raw,
        fine=exp.Literal.string(rf"^[+-]?[0-9]*[.][0-9]{{{column.decimal[1]}}}[0-9]*[1-9]"),
        re=whole(DECIMAL),
    )
    typed = exp.TryCast(this=raw, to=exp.DataType.build(column.type, dialect=DIALECT))
    # In a lambda, because an engine that eliminates common subexpressions would otherwise compute it for every row.
    is_near = sql(
        "ARRAY_LENGTH(LIST_FILTER([TRY_CAST(CAST($typed AS VARCHAR) AS DOUBLE)], "
        "LAMBDA near : ABS(TRY_CAST($raw AS DOUBLE) - near) <= ABS(near) * CAST($noise AS DOUBLE))) = 1",
        raw=raw,
        typed=typed,
        noise=exp.Literal.string(str(FLOAT_NOISE)),
    )
    if contract.dialects_since > 1:
        is_near = exp.and_(exp.not_(before_dialects(contract)), is_near)
    return exp.and_(too_fine, exp.not_(is_near))
