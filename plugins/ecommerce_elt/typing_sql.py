"""The first half of the cleaning: a contract becomes the relation `typed`.

`typed` has one row per event, each column of the contract cast to its type, and `reasons`: every rule that the event
breaks, as a list of (column_name, rule, expected). It is built as a sqlglot tree from DuckDB snippets, so that every
engine to which sqlglot translates runs the same definition. The second half is `include/sql/clean/<feed>.sql`.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

from sqlglot import exp, parse_one

from ecommerce_elt.dialects import (
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
from ecommerce_elt.errors import PermanentError
from ecommerce_elt.feeds import Column, Contract

DIALECT = "duckdb"
logging.getLogger("sqlglot").setLevel(logging.ERROR)  # it warns of each index of a list, in the log of every batch

EXTRA_MAX_BYTES = 65535  # staging keeps it in the longest VARCHAR: Redshift guide, "Character types"
LINEAGE = ["event_id", "event_version", "schema_version", "extra", "source_object", "source_line"]
CANONICAL_TIME = "%Y-%m-%dT%H:%M:%S.%fZ"
FLOAT_NOISE = 1e-15  # of a number: a double has 15 to 17 digits
# What the load needs of every feed.
ALWAYS = ("event_id", "event_time", "event_version", "source_object", "source_line", "reasons")
# Parquet's INT96 and pandas' nanoseconds end in 2262, and no shop sold by wire before 1900.
EARLIEST, LATEST = "1900-01-01", "2200-01-01"

BOOLEAN = {"true": True, "t": True, "yes": True, "y": True, "1": True,
           "false": False, "f": False, "no": False, "n": False, "0": False}  # fmt: skip


def _sql(snippet: str, **values: exp.Expr) -> exp.Expr:
    """Returns the snippet's tree with each placeholder `$name` replaced by a tree."""
    return exp.replace_placeholders(parse_one(snippet, read=DIALECT), **values)


def json_path(key: str) -> str:
    """Returns the path of a record's key."""
    return f'$."{key}"'


def _whole(pattern: str) -> exp.Expr:
    """The pattern as one that a whole text has to fit."""
    return exp.Literal.string(rf"^(?:{pattern})\z")


def _words(words: Iterable[str]) -> list[exp.Expr]:
    return [exp.Literal.string(word) for word in words]


def _source(column: Column, keys: Sequence[str]) -> exp.Expr:
    """The value as the source wrote it, outer blanks off, NULL where it is empty.

    Args:
        keys: of the values in `data`, in their order.
    """
    places = [keys.index(header) + 1 for header in column.headers if header in keys]
    found = [_sql(f"NULLIF(TRIM(data[{place}]), '')") for place in places] or [_sql("CAST(NULL AS VARCHAR)")]
    return found[0] if len(found) == 1 else exp.func("COALESCE", *found)


def _raw(column: Column, contract: Contract, source: exp.Expr) -> exp.Expr:
    """The value in the plain form of its type where the column's dialect says how, else as it is; NULL where it is missing."""
    text = exp.Case()
    if contract.dialects_since > 1:
        text = text.when(_before_dialects(contract), source)
    if words := contract.missing_words(column):
        longest = exp.Literal.number(max(map(len, words)))
        is_short = _sql("LENGTH($source) <= $longest", source=source, longest=longest)
        text = text.when(is_short.and_(exp.In(this=source, expressions=_words(words))), exp.null())
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


def _may_be_rewritten(column: Column, source: exp.Expr) -> exp.Expr:
    """What is cheap to see and false for plain values, which most are, so that few go through all rewrites."""
    if column.type == "identifier":
        return _sql("$source LIKE '%.%0'", source=source)
    if column.accepted is not None:
        spellings = [word for words in column.accepted.values() for word in words]
        return exp.In(this=source, expressions=_words(spellings))
    plain = TIME if column.type == "timestamp" else DECIMAL if column.decimal else INTEGER
    return _sql("NOT REGEXP_MATCHES($source, $plain)", source=source, plain=_whole(plain))


def _typed(column: Column, raw: exp.Expr) -> exp.Expr:
    match column.type:
        case "string" | "identifier":
            return raw
        case "integer" | "bigint":
            kind = exp.DataType.build("INT" if column.type == "integer" else "BIGINT", dialect=DIALECT)
            # A cast rounds 12.5 to 13, so what is no whole number must not reach it.
            whole = _sql(
                "CASE WHEN REGEXP_MATCHES($raw, $re) THEN REGEXP_REPLACE($raw, '[.]0+$', '') END",
                raw=raw, re=_whole(INTEGER),
            )  # fmt: skip
            return exp.TryCast(this=whole, to=kind)
        case "timestamp":
            moment = _timestamp(raw)
            if any(name in EPOCH_DIGITS for name in column.formats):
                micros = _sql("TRY_CAST(SUBSTRING($raw, 2) AS BIGINT)", raw=raw)
                since_1970 = exp.UnixToTime(this=micros, scale=exp.UnixToTime.MICROS)
                is_epoch = _sql("REGEXP_MATCHES($raw, $re)", raw=raw, re=_whole(EPOCH))
                return exp.Case().when(is_epoch, since_1970).else_(moment)
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
            number = _sql("CASE WHEN REGEXP_MATCHES($raw, $re) THEN $raw END", raw=raw, re=_whole(DECIMAL))
            typed = exp.TryCast(this=number, to=kind)  # rounds half away from zero
            if not column.round or not column.decimal:
                return typed
            before, half = f"[.][0-9]{{{column.decimal[1] - 1}}}[02468]", "50*"
            is_half = _sql("REGEXP_MATCHES($raw, $re)", raw=raw, re=_whole(f"[+-]?[0-9]*{before}{half}"))
            down = _sql("REGEXP_REPLACE($raw, $half, '')", raw=raw, half=exp.Literal.string(rf"{half}\z"))
            return exp.Case().when(is_half, exp.TryCast(this=down, to=kind)).else_(typed)


def _timestamp(text: exp.Expr) -> exp.Expr:
    """UTC, without a zone. A text without a zone is UTC; the session's zone is UTC."""
    return _sql(
        "CASE WHEN REGEXP_MATCHES($text, $re) THEN TRY_CAST(TRY_CAST($text AS TIMESTAMPTZ) AS TIMESTAMP) END",
        text=text, re=_whole(TIME),
    )  # fmt: skip


def _too_fine(column: Column, raw: exp.Expr, contract: Contract) -> exp.Expr:
    """Whether the number has more decimals than the type. What differs from such a number only in the last digits of a
    double has not: JavaScript and pandas write 2.5499999999999998 for 2.55, and 0.30000000000000004 for 0.1 + 0.2."""
    assert column.decimal
    too_fine = _sql(
        "REGEXP_MATCHES($raw, $fine) AND REGEXP_MATCHES($raw, $re)",
        raw=raw,
        fine=exp.Literal.string(rf"^[+-]?[0-9]*[.][0-9]{{{column.decimal[1]}}}[0-9]*[1-9]"),
        re=_whole(DECIMAL),
    )
    typed = exp.TryCast(this=raw, to=exp.DataType.build(column.type, dialect=DIALECT))
    is_near = _sql(
        "COALESCE(ABS(TRY_CAST($raw AS DOUBLE) - $nearest) <= ABS($nearest) * CAST($noise AS DOUBLE), FALSE)",
        raw=raw,
        nearest=_sql("TRY_CAST(CAST($typed AS VARCHAR) AS DOUBLE)", typed=typed),
        noise=exp.Literal.string(str(FLOAT_NOISE)),
    )
    if contract.dialects_since > 1:
        is_near = exp.and_(exp.not_(_before_dialects(contract)), is_near)
    return exp.and_(too_fine, exp.not_(is_near))


def _rules(column: Column, contract: Contract) -> Iterator[tuple[str, str | exp.Expr, exp.Expr]]:
    """Yields (rule, what was expected, the condition under which it is broken) over `raw_<name>` and `<name>`.

    Conditions begin with what is cheap and holds for few rows, because engines stop at what is false.
    """
    raw, typed = exp.column(f"raw_{column.name}"), exp.column(column.name)

    def broken(snippet: str, **values: exp.Expr) -> exp.Expr:
        return _sql(snippet, raw=raw, typed=typed, **values)

    def with_dialects(condition: exp.Expr) -> exp.Expr:
        if contract.dialects_since == 1:
            return condition
        return exp.and_(condition, exp.not_(_before_dialects(contract)))

    if column.required:
        yield "required", "a value", broken("$raw IS NULL")
    if column.type in {"integer", "bigint"}:
        shape = _whole(INTEGER)
        yield (
            "type",
            "a whole number",
            broken("$typed IS NULL AND $raw IS NOT NULL AND NOT REGEXP_MATCHES($raw, $re)", re=shape),
        )
        bits = 32 if column.type == "integer" else 64
        yield (
            "range",
            f"a number of {bits} bits",
            broken("$typed IS NULL AND REGEXP_MATCHES($raw, $re)", re=shape),
        )
    elif column.decimal:
        precision, scale = column.decimal
        shape = _whole(DECIMAL)
        is_none = broken("$typed IS NULL AND $raw IS NOT NULL AND NOT REGEXP_MATCHES($raw, $re)", re=shape)
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
            broken("$typed IS NULL AND REGEXP_MATCHES($raw, $re)", re=shape),
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
    """What a number with two readings is told as. Of feeds with personal columns no value is shown."""
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
    """The rule against keys that the contract does not know. It names none: where they are rejected, one may be personal."""
    if contract.unknown_keys == "quarantine":
        return "data", "unknown", "no keys but those of the contract", _sql("extra IS NOT NULL")
    too_long = _sql("OCTET_LENGTH(ENCODE(extra)) > $n", n=exp.Literal.number(EXTRA_MAX_BYTES))
    return "extra", "max_bytes", f"at most {EXTRA_MAX_BYTES} bytes of keys that are not the contract's", too_long


def _sent(contract: Contract, column: Column) -> exp.Expr:
    """The value as it was sent. The sender may have read the source's format of the time, whatever it was, into the envelope."""
    value = _source(column, contract.known_keys)
    return exp.func("COALESCE", exp.column("event_time"), value) if column.name == contract.event_time else value


def _texts(
    contract: Contract, sources: Iterable[tuple[Column, exp.Expr]], lineage: list[str]
) -> tuple[exp.Select, exp.Select]:
    """Returns the queries of `source`, the columns' texts as they were sent, over `events`; and of `raw`, these texts in
    their plain form, over `source`.

    Args:
        sources: each column with its text over `events`.
    """
    source, raw = exp.select(*lineage).from_("events"), exp.select(*lineage).from_("source")
    for column, value in sources:
        source = source.select(exp.alias_(value, f"source_{column.name}"))
        text = _raw(column, contract, exp.column(f"source_{column.name}"))
        raw = raw.select(exp.alias_(text, f"raw_{column.name}"))
    return source, raw


def _rounded(contract: Contract) -> exp.Select | None:
    """Returns the query of the events that have a value which the typing rounds, over `events`; None where it rounds none."""
    columns = [column for column in contract.columns if column.round]
    if not columns:
        return None
    keys = ["source_object", "source_line", "schema_version"]
    source, raw = _texts(contract, [(column, _sent(contract, column)) for column in columns], keys)
    is_rounded = exp.or_(*(_too_fine(column, exp.column(f"raw_{column.name}"), contract) for column in columns))
    return exp.select(*keys[:2]).from_("raw").where(is_rounded).with_("source", source).with_("raw", raw)


def typed_relation(contract: Contract) -> exp.Select:
    """Returns the query of `typed` over the relation `events`.

    `events` has event_id and event_time (text), event_version (from 1), schema_version (of the contract that the sender
    followed), data (a list of texts: the values of the contract's `known_keys`, in their order), extra (text: a JSON object
    of the keys that the contract does not know, NULL where there are none), source_object and source_line. `typed` has
    event_id, event_time (TIMESTAMP, UTC), event_version, schema_version, each column of the contract, extra, source_object,
    source_line and reasons.
    """
    source, raw = _texts(contract, [(column, _sent(contract, column)) for column in contract.columns], LINEAGE)
    cast = exp.select(*LINEAGE).from_("raw")
    rules: list[tuple[str, str, str | exp.Expr, exp.Expr]] = []
    for column in contract.columns:
        text = exp.column(f"raw_{column.name}")
        cast = cast.select(text, exp.alias_(_typed(column, text), column.name))
        rules += [(column.name, *rule) for rule in _rules(column, contract)]
    rules.append(_unknown_keys(contract))

    typed = exp.select(*LINEAGE, *(c.name for c in contract.columns))
    if contract.event_time != "event_time":
        typed = typed.select(exp.alias_(exp.column(contract.event_time), "event_time"))
    # Most events break no rule, so the list is made only for those that do.
    listed = _sql(
        "CASE WHEN $broken THEN LIST_FILTER($all, reason -> reason IS NOT NULL) ELSE [] END",
        broken=exp.or_(*(condition for *_, condition in rules)),
        all=exp.Array(expressions=[_reason(*rule) for rule in rules]),
    )
    return (
        typed.select(exp.alias_(listed, "reasons"))
        .from_("cast_events")
        .with_("source", source)
        .with_("raw", raw)
        .with_("cast_events", cast)
    )


def canonical_sql(contract: Contract, keys: Sequence[str]) -> str:
    """Returns the query, in DuckDB's SQL, of the canonical texts of the contract's identity columns over the relation `events`.

    `events` has number, unassigned, event_time (the canonical text of the time that the envelope has, or NULL),
    schema_version, and data, as `typed_relation` but for the order of the values. The query gives number, unassigned and
    `canonical`, a list of texts: of a value that the typing takes, one text however it was written; of one that it does not
    take, its own text; NULL where there is none.

    Args:
        keys: of the values in `data`, in their order.
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
        value, text = _source(column, keys), exp.column(f"raw_{column.name}")
        if column.name == contract.event_time:
            value = _sql("CASE WHEN event_time IS NULL THEN $value END", value=value)
            texts.append(exp.func("COALESCE", exp.column("event_time"), _canonical_text(column, text, contract)))
        else:
            texts.append(_canonical_text(column, text, contract))
        sent.append((column, value))
    source, raw = _texts(contract, sent, lineage)
    canonical = exp.select(*lineage[:2], exp.alias_(exp.Array(expressions=texts), "canonical")).from_("raw")
    return str(canonical.with_("source", source).with_("raw", raw).sql(DIALECT))


def _canonical_text(column: Column, raw: exp.Expr, contract: Contract) -> exp.Expr:
    if column.type in {"string", "identifier"}:
        return raw
    shown = f"STRFTIME($typed, '{CANONICAL_TIME}')" if column.type == "timestamp" else "CAST($typed AS VARCHAR)"
    taken = exp.func("COALESCE", _sql(shown, typed=_typed(column, raw)), raw)
    if column.decimal and not column.round:  # the cast rounds what the rules reject
        return exp.Case().when(_too_fine(column, raw, contract), raw).else_(taken)
    return taken


def cleaned_by(contract: Contract, clean_sql: str) -> str:
    """Returns what tells two cleanings of a feed apart: a hash of the contract's typing and of the feed's SQL."""
    return hashlib.sha256(cleaning_sql(contract, clean_sql)["judged"].encode()).hexdigest()[:16]


# Event ids that come more than once are few, so that only they are ranked.
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
        Name to query, in the order in which they run, each over those before it and the first over `events`. `judged`, what
        `clean_sql` selects, and `ranks`, of events whose id repeats, are to be kept, because those behind read them more
        than once; so is `rounded`, the source_object and source_line of events with a value that was rounded, of a contract
        that rounds. `cleaned` has the columns of `judged`, `rejected_version`, and `copy_number`: 1 for the copy of an event id
        that counts, 2 and up for duplicates. Of those that break no rule the highest version counts, and of that the first
        in order of arrival. One that breaks a rule is a duplicate of a good one that is not older; else it is rejected, once
        for each version.

    Raises:
        PermanentError: `clean_sql` is not one SELECT, or leaves out a column that every feed has.
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
    """Returns `cleaning_stages` as DuckDB's SQL, rendered once a process for each contract and SQL."""
    return dict(_rendered(contract.model_dump_json(), clean_sql))


@lru_cache(maxsize=256)
def _rendered(contract: str, clean_sql: str) -> tuple[tuple[str, str], ...]:
    stages = cleaning_stages(Contract.model_validate_json(contract), clean_sql)
    return tuple((name, query.sql(DIALECT)) for name, query in stages.items())
