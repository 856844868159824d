"""The first half of the cleaning step: generates the relation `typed` from a contract.

`typed` has one row per event, with each column of the contract cast to its type. `reasons` lists every rule that the
event breaks as (column_name, rule, expected). The query is built as a sqlglot tree from DuckDB snippets, so that every
engine to which sqlglot translates runs the same definition. The second half is `include/sql/clean/<feed>.sql`.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

from sqlglot import exp, parse_one

from ecommerce_elt.batches.manifests import WITHDRAWN
from ecommerce_elt.errors import PermanentError
from ecommerce_elt.feeds.contracts import Column, Contract
from ecommerce_elt.feeds.dialects import (
    DAMAGED,
    DECIMAL,
    EPOCH,
    EPOCH_DIGITS,
    INTEGER,
    TIME,
    TWO_READINGS,
    has_two_readings,
    rewrites,
)

DIALECT = "duckdb"
logging.getLogger("sqlglot").setLevel(logging.ERROR)  # it logs a warning for each list index, in every batch

EXTRA_MAX_BYTES = 65535  # the longest VARCHAR, which staging uses: Redshift guide, "Character types"
LINEAGE = ["event_id", "event_version", "schema_version", "extra", "source_object", "source_line"]
CANONICAL_TIME = "%Y-%m-%dT%H:%M:%S.%fZ"
FLOAT_NOISE = 1e-15  # relative to the number: a double has 15 to 17 significant digits
# The columns that the load needs for every feed.
ALWAYS = ("event_id", "event_time", "event_version", "source_object", "source_line", "reasons")
# The nanoseconds of Parquet's INT96 and of pandas end in 2262, and there was no electronic commerce before 1900.
EARLIEST, LATEST = "1900-01-01", "2200-01-01"

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


def _sql(snippet: str, **values: exp.Expr) -> exp.Expr:
    """Returns the tree of the snippet, with each placeholder `$name` replaced by a tree."""
    return exp.replace_placeholders(parse_one(snippet, read=DIALECT), **values)


def json_path(key: str) -> str:
    """Returns the JSON path of a key in a record."""
    return f'$."{key}"'


def _whole(pattern: str) -> exp.Expr:
    """Returns the pattern in a form that has to match the whole text."""
    return exp.Literal.string(rf"^(?:{pattern})\z")


def _words(words: Iterable[str]) -> list[exp.Expr]:
    return [exp.Literal.string(word) for word in words]


def _source(column: Column, keys: Sequence[str]) -> exp.Expr:
    """Returns the value as the source wrote it, without outer blanks, or NULL if it is empty.

    Args:
        column: the column.
        keys: keys of the values in `data`, in their order.
    """
    places = [keys.index(header) + 1 for header in column.headers if header in keys]
    texts = [_sql(f"data[{place}]") for place in places] or [_sql("CAST(NULL AS VARCHAR)")]
    if len(texts) == 1:
        return _sql("NULLIF(TRIM($text), '')", text=texts[0])
    # NULLIF is expanded to two uses of its text. An engine that eliminates this common subexpression computes it for
    # every row and spelling, although COALESCE would stop earlier. In a lambda, it does not.
    return _sql(
        "COALESCE(NULLIF(TRIM($first), ''), "
        "LIST_FILTER(LIST_TRANSFORM($others, LAMBDA text : NULLIF(TRIM(text), '')), LAMBDA text : text IS NOT NULL)[1])",
        first=texts[0],
        others=exp.Array(expressions=texts[1:]),
    )


def _is_one_of(text: exp.Expr, words: Iterable[str]) -> exp.Expr:
    """Returns the condition that the text is one of the words.

    It uses a pattern, because DuckDB turns an IN with many words into a join of all rows.
    """
    return _sql("REGEXP_MATCHES($text, $re)", text=text, re=_whole("|".join(map(re.escape, words))))


def _raw(column: Column, contract: Contract, source: exp.Expr) -> exp.Expr:
    """Returns the value in the plain form of its type, by the rewrites of the column's dialect.

    A value that no rewrite matches stays unchanged. A missing value is NULL.
    """
    text = exp.Case()
    if contract.dialects_since > 1:
        text = text.when(_before_dialects(contract), source)
    if words := contract.missing_words(column):
        longest = exp.Literal.number(max(map(len, words)))
        is_short = _sql("LENGTH($source) <= $longest", source=source, longest=longest)
        text = text.when(is_short.and_(_is_one_of(source, words)), exp.null())
    if steps := rewrites(column):
        rewritten = source
        for step in steps:
            rewritten = _sql(
                "REGEXP_REPLACE($text, $pattern, $replacement)",
                text=rewritten,
                pattern=_whole(step.pattern),
                replacement=exp.Literal.string(step.replacement),
            )
        text = text.when(_may_be_rewritten(column, source), rewritten)
    return text.else_(source) if text.args.get("ifs") else source


def _before_dialects(contract: Contract) -> exp.Expr:
    return _sql("schema_version < $since", since=exp.Literal.number(contract.dialects_since))


def _shape(column: Column) -> exp.Expr | None:
    """Returns the pattern of the plain form of the column's type, or None if every text is plain."""
    if column.type == "timestamp":
        return _whole(TIME)
    if column.decimal:
        return _whole(DECIMAL)
    return _whole(INTEGER) if column.type in {"integer", "bigint"} else None


def _may_be_rewritten(column: Column, source: exp.Expr) -> exp.Expr:
    """Returns a cheap condition that is false for plain values.

    Most values are plain, so that only few pass through all rewrites.
    """
    if column.type == "identifier":
        return _sql("$source LIKE '%.%0'", source=source)
    if column.accepted is not None:
        spellings = [word for words in column.accepted.values() for word in words]
        return _is_one_of(source, spellings)
    return exp.not_(exp.column(f"plain_{column.name}"))


def _is_shaped(column: Column) -> exp.Expr:
    """Returns the condition that the value of `raw` has the plain form of its type.

    Most values were sent in this form and are not checked again.
    """
    return _sql(
        "CASE WHEN $raw IS NULL THEN FALSE WHEN $plain THEN TRUE ELSE REGEXP_MATCHES($raw, $re) END",
        raw=exp.column(f"raw_{column.name}"),
        plain=exp.column(f"plain_{column.name}"),
        re=_shape(column),
    )


def _typed(column: Column) -> exp.Expr:
    """Returns the value of `raw` in the column's type, or NULL if it is not a value of this type."""
    raw = exp.column(f"raw_{column.name}")

    def shaped(snippet: str) -> exp.Expr:
        return exp.Case().when(_is_shaped(column), _sql(snippet, raw=raw))

    match column.type:
        case "string" | "identifier":
            return raw
        case "integer" | "bigint":
            kind = exp.DataType.build("INT" if column.type == "integer" else "BIGINT", dialect=DIALECT)
            # A cast rounds 12.5 to 13, so only whole numbers may reach it.
            whole = "CASE WHEN $raw LIKE '%.%' THEN REGEXP_REPLACE($raw, '[.]0+$', '') ELSE $raw END"
            return exp.TryCast(this=shaped(whole), to=kind)
        case "timestamp":
            # The result is in UTC, without a zone. A text without a zone is UTC, and the session's zone is UTC.
            moment = shaped("TRY_CAST(TRY_CAST($raw AS TIMESTAMPTZ) AS TIMESTAMP)")
            if any(name in EPOCH_DIGITS for name in column.formats):
                micros = _sql("TRY_CAST(SUBSTRING($raw, 2) AS BIGINT)", raw=raw)
                since_1970 = exp.UnixToTime(this=micros, scale=exp.UnixToTime.MICROS)
                moment = moment.when(_sql("REGEXP_MATCHES($raw, $re)", raw=raw, re=_whole(EPOCH)), since_1970)
            return moment
        case "boolean":
            cases = exp.Case()
            for value in (True, False):
                words = [exp.Literal.string(w) for w, v in BOOLEAN.items() if v is value]
                cases = cases.when(
                    exp.In(this=_sql("LOWER($raw)", raw=raw), expressions=words), exp.Boolean(this=value)
                )
            return cases
        case _:
            kind = exp.DataType.build(column.type, dialect=DIALECT)
            typed = exp.TryCast(this=shaped("$raw"), to=kind)  # rounds half away from zero
            if not column.round or not column.decimal:
                return typed
            before, half = f"[.][0-9]{{{column.decimal[1] - 1}}}[02468]", "50*"
            is_half = _sql("REGEXP_MATCHES($raw, $re)", raw=raw, re=_whole(f"[+-]?[0-9]*{before}{half}"))
            down = _sql("REGEXP_REPLACE($raw, $half, '')", raw=raw, half=exp.Literal.string(rf"{half}\z"))
            return exp.Case().when(is_half, exp.TryCast(this=down, to=kind)).else_(typed)


def _too_fine(column: Column, raw: exp.Expr, contract: Contract) -> exp.Expr:
    """Returns the condition that the number has more decimals than the type.

    A number that differs from its rounded value only in the last digits of a double does not count, because JavaScript
    and pandas may write 2.5499999999999998 for 2.55 and 0.30000000000000004 for 0.1 + 0.2.
    """
    assert column.decimal
    too_fine = _sql(
        "REGEXP_MATCHES($raw, $fine) AND REGEXP_MATCHES($raw, $re)",
        raw=raw,
        fine=exp.Literal.string(rf"^[+-]?[0-9]*[.][0-9]{{{column.decimal[1]}}}[0-9]*[1-9]"),
        re=_whole(DECIMAL),
    )
    typed = exp.TryCast(this=raw, to=exp.DataType.build(column.type, dialect=DIALECT))
    # In a lambda, because an engine that eliminates common subexpressions would otherwise compute it for every row.
    is_near = _sql(
        "ARRAY_LENGTH(LIST_FILTER([TRY_CAST(CAST($typed AS VARCHAR) AS DOUBLE)], "
        "LAMBDA near : ABS(TRY_CAST($raw AS DOUBLE) - near) <= ABS(near) * CAST($noise AS DOUBLE))) = 1",
        raw=raw,
        typed=typed,
        noise=exp.Literal.string(str(FLOAT_NOISE)),
    )
    if contract.dialects_since > 1:
        is_near = exp.and_(exp.not_(_before_dialects(contract)), is_near)
    return exp.and_(too_fine, exp.not_(is_near))


def _rules(column: Column, contract: Contract) -> Iterator[tuple[str, str | exp.Expr, exp.Expr]]:
    """Yields (rule, expectation, condition under which the rule is broken).

    The conditions use `raw_<name>`, `_shaped_<name>` and `<name>`. They begin with a part that is cheap and true for
    few rows, because engines stop at the first false part.
    """
    raw, typed = exp.column(f"raw_{column.name}"), exp.column(column.name)
    shaped = exp.column(f"_shaped_{column.name}")

    def broken(snippet: str, **values: exp.Expr) -> exp.Expr:
        return _sql(snippet, raw=raw, typed=typed, shaped=shaped, **values)

    def with_dialects(condition: exp.Expr) -> exp.Expr:
        if contract.dialects_since == 1:
            return condition
        return exp.and_(condition, exp.not_(_before_dialects(contract)))

    if column.required:
        yield "required", "a value", broken("$raw IS NULL")
    if column.type in {"integer", "bigint"}:
        yield "type", "a whole number", broken("$typed IS NULL AND $raw IS NOT NULL AND NOT $shaped")
        bits = 32 if column.type == "integer" else 64
        yield "range", f"a number of {bits} bits", broken("$typed IS NULL AND $shaped")
    elif column.decimal:
        precision, scale = column.decimal
        is_none = broken("$typed IS NULL AND $raw IS NOT NULL AND NOT $shaped")
        if has_two_readings(column):
            ambiguous = broken("REGEXP_MATCHES($raw, $re)", re=_whole(TWO_READINGS))
            is_none = exp.and_(is_none, exp.not_(with_dialects(ambiguous)))
            yield "ambiguous", _readings(contract, raw), with_dialects(exp.and_(broken("$typed IS NULL"), ambiguous))
        yield "type", "a number", is_none
        too_fine = _too_fine(column, raw, contract)
        if not column.round:
            yield "scale", f"at most {scale} decimals", too_fine
        elif contract.dialects_since > 1:
            yield "scale", f"at most {scale} decimals", exp.and_(_before_dialects(contract), too_fine)
        yield (
            "range",
            f"at most {precision - scale} digits before the point",
            broken("$typed IS NULL AND $shaped"),
        )
    elif column.type == "timestamp":
        is_sent = column.name == contract.event_time
        expected = "a time, sent as ISO 8601 in the envelope's event_time" if is_sent else "an ISO 8601 time"
        expected = ", or ".join([expected, *column.formats])
        yield "type", expected, broken("$raw IS NOT NULL AND $typed IS NULL")
        bounds = {"low": exp.Literal.string(EARLIEST), "high": exp.Literal.string(LATEST)}
        yield (
            "range",
            f"from {EARLIEST} to before {LATEST}",
            broken("$typed < CAST($low AS TIMESTAMP) OR $typed >= CAST($high AS TIMESTAMP)", **bounds),
        )
    elif column.type == "boolean":
        yield "type", "one of " + ", ".join(BOOLEAN), broken("$raw IS NOT NULL AND $typed IS NULL")
    if column.min is not None:
        yield "min", f"at least {column.min}", broken("$typed < $min", min=exp.Literal.number(column.min))
    if column.max is not None:
        yield "max", f"at most {column.max}", broken("$typed > $max", max=exp.Literal.number(column.max))
    if column.max_bytes is not None:
        limit = exp.Literal.number(column.max_bytes)
        yield "max_bytes", f"at most {column.max_bytes} bytes", broken("OCTET_LENGTH(ENCODE($raw)) > $n", n=limit)
    if column.pattern is not None:
        pattern = exp.Literal.string(rf"^(?:{column.pattern})\z")
        yield "pattern", column.pattern, broken("NOT REGEXP_MATCHES($raw, $re)", re=pattern)
    if column.accepted is not None:
        yield (
            "accepted",
            "one of " + ", ".join(column.accepted),
            exp.In(this=raw, expressions=_words(column.accepted)).not_(),
        )
    if column.type == "identifier":
        damaged = broken("($raw LIKE '%e%' OR $raw LIKE '%E%') AND REGEXP_MATCHES($raw, $re)", re=_whole(DAMAGED))
        yield "damaged", "all digits; a spreadsheet shortened this one", with_dialects(damaged)


def _readings(contract: Contract, raw: exp.Expr) -> str | exp.Expr:
    """Returns the expectation for a number with two readings. No value of a feed with personal columns is shown."""
    if contract.is_personal:
        return "one reading: the comma is a thousands mark or a decimal mark"
    return _sql("'one reading, not ' || REPLACE($raw, ',', '') || ' or ' || REPLACE($raw, ',', '.')", raw=raw)


def _reason(column_name: str, rule: str, expected: str | exp.Expr, condition: exp.Expr) -> exp.Expr:
    return _sql(
        "CASE WHEN $condition THEN {'column_name': $column, 'rule': $rule, 'expected': $expected} END",
        condition=exp.paren(condition),
        column=exp.Literal.string(column_name),
        rule=exp.Literal.string(rule),
        expected=exp.Literal.string(expected) if isinstance(expected, str) else expected,
    )


def _unknown_keys(contract: Contract) -> tuple[str, str, str, exp.Expr]:
    """Returns the rule about keys that the contract does not know.

    It names no key: if unknown keys are rejected, one of them may be personal.
    """
    if contract.unknown_keys == "quarantine":
        return "data", "unknown", "no keys but those of the contract", _sql("extra IS NOT NULL")
    too_long = _sql("OCTET_LENGTH(ENCODE(extra)) > $n", n=exp.Literal.number(EXTRA_MAX_BYTES))
    return "extra", "max_bytes", f"at most {EXTRA_MAX_BYTES} bytes of keys that are not the contract's", too_long


def _sent(contract: Contract, column: Column) -> exp.Expr:
    """Returns the value as it was sent.

    For the event time, this is the time in the envelope if there is one, because the sender may have parsed the
    source's own format.
    """
    value = _source(column, contract.known_keys)
    return exp.func("COALESCE", exp.column("event_time"), value) if column.name == contract.event_time else value


def _texts(contract: Contract, sources: Iterable[tuple[Column, exp.Expr]], lineage: list[str]) -> dict[str, exp.Select]:
    """Returns the queries that create `raw` by name, the first over `events`.

    `raw` has the text of each column in its plain form as `raw_<name>`. If the type has a plain form, `plain_<name>` is
    true for a value that was sent in it.

    Args:
        contract: the contract.
        sources: each column with its text over `events`.
        lineage: columns of `events` to pass on.
    """
    source, plain = exp.select(*lineage).from_("events"), exp.select(*lineage).from_("source")
    raw = exp.select(*lineage).from_("plain")
    for column, value in sources:
        # copy=False, because copying the query for each of hundreds of columns would take longer than the rest.
        sent = exp.column(f"sent_{column.name}")
        source.select(exp.alias_(value, sent.name, copy=False), copy=False)
        plain.select(sent, copy=False)
        raw.select(exp.alias_(_raw(column, contract, sent), f"raw_{column.name}", copy=False), copy=False)
        if shape := _shape(column):
            is_plain = _sql("REGEXP_MATCHES($sent, $re)", sent=sent, re=shape)
            plain.select(exp.alias_(is_plain, f"plain_{column.name}", copy=False), copy=False)
            raw.select(f"plain_{column.name}", copy=False)
    return {"source": source, "plain": plain, "raw": raw}


def _over(query: exp.Select, relations: dict[str, exp.Select]) -> exp.Select:
    """Returns the query with the relations that it reads as CTEs, each of which reads the one before."""
    for name, relation in relations.items():
        query = query.with_(name, relation)
    return query


def _rounded(contract: Contract) -> exp.Select | None:
    """Returns the query over `events` for events with a rounded value, or None if the contract rounds no column."""
    columns = [column for column in contract.columns if column.round]
    if not columns:
        return None
    keys = ["source_object", "source_line", "schema_version"]
    texts = _texts(contract, [(column, _sent(contract, column)) for column in columns], keys)
    is_rounded = exp.or_(*(_too_fine(column, exp.column(f"raw_{column.name}"), contract) for column in columns))
    return _over(exp.select(*keys[:2]).from_("raw").where(is_rounded), texts)


def typed_relation(contract: Contract) -> exp.Select:
    """Returns the query of `typed` over the relation `events`.

    `events` has event_id and event_time (text), event_version (from 1), schema_version (version of the contract that
    the sender followed), data (list of texts with the values of the contract's `known_keys`, in their order), extra
    (text of a JSON object with the keys that the contract does not know, or NULL), source_object and source_line.

    `typed` has event_id, event_time (TIMESTAMP, UTC), event_version, schema_version, each column of the contract,
    extra, source_object, source_line and reasons.
    """
    texts = _texts(contract, [(column, _sent(contract, column)) for column in contract.columns], LINEAGE)
    cast, ruled = exp.select(*LINEAGE).from_("raw"), exp.select("*").from_("cast_events")
    rules: list[tuple[str, str, str | exp.Expr, exp.Expr]] = []
    for column in contract.columns:
        cast.select(f"raw_{column.name}", exp.alias_(_typed(column), column.name), copy=False)
        if _shape(column):
            cast.select(exp.alias_(_is_shaped(column), f"_shaped_{column.name}"), copy=False)
        rules += [(column.name, *rule) for rule in _rules(column, contract)]
    rules.append(_unknown_keys(contract))

    # Most events break no rule, so the list is built only for those that do. The check is a separate relation before
    # it. In one relation, an engine that eliminates common subexpressions would compute the list for every row. A
    # withdrawal only names an event, so it breaks no rule.
    is_kept = _sql("source_object NOT LIKE $withdrawn", withdrawn=exp.Literal.string(WITHDRAWN))
    is_broken = exp.and_(exp.or_(*(condition for *_, condition in rules)), is_kept)
    # In a CASE, DuckDB stops once the result is known. It computes all parts of an OR that is a column.
    ruled.select(exp.alias_(exp.Case().when(is_broken, exp.true()).else_(exp.false()), "_is_broken"), copy=False)
    listed = _sql(
        "CASE WHEN _is_broken THEN LIST_FILTER($all, LAMBDA reason : reason IS NOT NULL) ELSE [] END",
        all=exp.Array(expressions=[_reason(*rule) for rule in rules]),
    )
    typed = exp.select(*LINEAGE, *(c.name for c in contract.columns))
    if contract.event_time != "event_time":
        typed = typed.select(exp.alias_(exp.column(contract.event_time), "event_time"))
    typed = typed.select(exp.alias_(listed, "reasons")).from_("ruled_events")
    return _over(typed, {**texts, "cast_events": cast, "ruled_events": ruled})


def canonical_sql(contract: Contract, keys: Sequence[str]) -> str:
    """Returns DuckDB's SQL for the canonical texts of the contract's identity columns, over the relation `events`.

    `events` has number, unassigned, event_time (canonical text of the envelope's time, or NULL), schema_version, and
    data as in `typed_relation`, except for the order of the values. The query returns number, unassigned and the list
    `canonical`. A value that the typing accepts has the same canonical text in whatever way it was written. A value
    that it rejects keeps its own text. A missing value is NULL.

    Args:
        contract: the contract.
        keys: keys of the values in `data`, in their order.
    """
    return _canonical(contract.model_dump_json(), tuple(keys))


@lru_cache(maxsize=256)
def _canonical(contract_json: str, keys: tuple[str, ...]) -> str:
    contract, lineage = (
        Contract.model_validate_json(contract_json),
        ["number", "unassigned", "event_time", "schema_version"],
    )
    columns = [contract.column(name) for name in contract.identity]
    sent, texts = [], []
    for column in columns:
        value = _source(column, keys)
        if column.name == contract.event_time:
            value = _sql("CASE WHEN event_time IS NULL THEN $value END", value=value)
            texts.append(exp.func("COALESCE", exp.column("event_time"), _canonical_text(column, contract)))
        else:
            texts.append(_canonical_text(column, contract))
        sent.append((column, value))
    canonical = exp.select(*lineage[:2], exp.alias_(exp.Array(expressions=texts), "canonical")).from_("raw")
    return str(_over(canonical, _texts(contract, sent, lineage)).sql(DIALECT))


def _canonical_text(column: Column, contract: Contract) -> exp.Expr:
    raw = exp.column(f"raw_{column.name}")
    if column.type in {"string", "identifier"}:
        return raw
    shown = f"STRFTIME($typed, '{CANONICAL_TIME}')" if column.type == "timestamp" else "CAST($typed AS VARCHAR)"
    taken = exp.func("COALESCE", _sql(shown, typed=_typed(column)), raw)
    if column.decimal and not column.round:  # the cast would round a value that the rules reject
        return exp.Case().when(_too_fine(column, raw, contract), raw).else_(taken)
    return taken


def cleaned_by(contract: Contract, clean_sql: str) -> str:
    """Returns the version of a feed's cleaning, a hash of the contract's typing and of the feed's SQL."""
    return hashlib.sha256(cleaning_sql(contract, clean_sql)["judged"].encode()).hexdigest()[:16]


# Only few event ids occur more than once, so only these are ranked.
RANKS = """
WITH repeated AS (
    SELECT event_id FROM judged GROUP BY event_id HAVING COUNT(*) > 1
), versions AS (
    SELECT
        judged.event_id,
        event_version,
        source_object,
        source_line,
        ARRAY_LENGTH(reasons) = 0 AS is_good,
        CASE
            WHEN ARRAY_LENGTH(reasons) = 0 THEN 0
            WHEN event_version <= MAX(CASE WHEN ARRAY_LENGTH(reasons) = 0 THEN event_version END)
                OVER (PARTITION BY judged.event_id) THEN 0
            ELSE event_version
        END AS rejected_version
    FROM judged
    JOIN repeated ON judged.event_id IS NOT DISTINCT FROM repeated.event_id
)
SELECT
    source_object,
    source_line,
    rejected_version,
    ROW_NUMBER() OVER (
        PARTITION BY event_id, rejected_version
        ORDER BY CASE WHEN is_good THEN 0 ELSE 1 END, event_version DESC, source_object, source_line
    ) AS copy_number
FROM versions
"""
CLEANED = """
SELECT
    judged.*,
    COALESCE(rejected_version, CASE WHEN ARRAY_LENGTH(reasons) = 0 THEN 0 ELSE event_version END) AS rejected_version,
    COALESCE(copy_number, 1) AS copy_number
FROM judged
LEFT JOIN ranks ON judged.source_object = ranks.source_object AND judged.source_line = ranks.source_line
"""


def cleaning_stages(contract: Contract, clean_sql: str) -> dict[str, exp.Query]:
    """Returns the whole cleaning of one feed: typing, the feed's own SQL, and the duplicates within the batch.

    Args:
        contract: the feed's contract.
        clean_sql: text of `include/sql/clean/<feed>.sql`, a SELECT from `typed`.

    Returns:
        The queries by name, in the order in which they run. Each reads the ones before it, and the first reads
        `events`. `judged` is the result of `clean_sql`, and `ranks` has the events whose id repeats. Both must be
        materialized, because later queries read them more than once. If the contract rounds, `rounded` has the
        source_object and source_line of events with a rounded value, and must be materialized as well.

        `cleaned` has the columns of `judged`, `rejected_version` and `copy_number`, which is 1 for the copy of an event
        id that counts and 2 or more for duplicates. Among events that break no rule, the highest version counts, and
        within that version the first in order of arrival. An event that breaks a rule is a duplicate if there is a good
        one of the same or a higher version. Otherwise, it is rejected, once per version.

    Raises:
        PermanentError: `clean_sql` is not one SELECT, or lacks a column that every feed needs.
    """
    clean = parse_one(clean_sql, read=DIALECT)
    if not isinstance(clean, exp.Query):
        raise PermanentError(f"include/sql/clean/{contract.feed}.sql: expected one SELECT, found {clean.key.upper()}")
    needed = {*ALWAYS, *(["extra"] if contract.unknown_keys == "keep" else [])}
    if missing := sorted(needed - {*clean.named_selects}):
        raise PermanentError(f"include/sql/clean/{contract.feed}.sql: select {', '.join(missing)} of typed, too")
    later = {name: parse_one(sql, read=DIALECT) for name, sql in (("ranks", RANKS), ("cleaned", CLEANED))}
    judged = exp.select("*").from_("clean_events").with_("typed", typed_relation(contract)).with_("clean_events", clean)
    rounded = _rounded(contract)
    return {**({"rounded": rounded} if rounded else {}), "judged": judged, **later}


def cleaning_sql(contract: Contract, clean_sql: str) -> dict[str, str]:
    """Returns `cleaning_stages` as DuckDB's SQL, rendered once per process for each contract and SQL."""
    return dict(_rendered(contract.model_dump_json(), clean_sql))


@lru_cache(maxsize=256)
def _rendered(contract: str, clean_sql: str) -> tuple[tuple[str, str], ...]:
    stages = cleaning_stages(Contract.model_validate_json(contract), clean_sql)
    return tuple((name, query.sql(DIALECT)) for name, query in stages.items())
