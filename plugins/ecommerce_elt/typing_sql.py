"""The first half of the cleaning: a contract becomes the relation `typed`.

`typed` has one row per event, each column of the contract cast to its type, and `reasons`: every rule that the event
breaks, as a list of (column_name, rule, expected). It is built as a sqlglot tree from DuckDB snippets, so that every
engine to which sqlglot translates runs the same definition. The second half is `include/sql/clean/<feed>.sql`.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from functools import lru_cache

from sqlglot import exp, parse_one

from ecommerce_elt.errors import PermanentError
from ecommerce_elt.feeds import Column, Contract

DIALECT = "duckdb"
logging.getLogger("sqlglot").setLevel(logging.ERROR)  # it warns of each index of a list, in the log of every batch

EXTRA_MAX_BYTES = 65535  # staging keeps it in the longest VARCHAR: Redshift guide, "Character types"
# What the load needs of every feed.
ALWAYS = ("event_id", "event_time", "event_version", "source_object", "source_line", "reasons")
# Parquet's INT96 and pandas' nanoseconds end in 2262, and no shop sold by wire before 1900.
EARLIEST, LATEST = "1900-01-01", "2200-01-01"

INTEGER = r"^[+-]?[0-9]+([.]0+)?\z"
DECIMAL = r"^[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)\z"
# ISO 8601 with one or two digits a part. Every engine reads what has this shape alike; what else they read, differs.
TIME = (
    r"^[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([ T]([01]?[0-9]|2[0-3]):[0-5]?[0-9](:[0-5]?[0-9]([.][0-9]{1,9})?)?"
    r"(Z| UTC|[+-](0[0-9]|1[0-4])(:?[0-5][0-9])?)?)?\z"
)
BOOLEAN = {"true": True, "t": True, "yes": True, "y": True, "1": True,
           "false": False, "f": False, "no": False, "n": False, "0": False}  # fmt: skip


def _sql(snippet: str, **values: exp.Expr) -> exp.Expr:
    """Returns the snippet's tree with each placeholder `$name` replaced by a tree."""
    return exp.replace_placeholders(parse_one(snippet, read=DIALECT), **values)


def json_path(key: str) -> str:
    """Returns the path of a record's key."""
    return f'$."{key}"'


def _raw(column: Column, contract: Contract) -> exp.Expr:
    """The value as the source wrote it, outer blanks off, NULL where it is missing or empty."""
    places = [contract.known_keys.index(header) + 1 for header in column.headers]
    found = [_sql(f"NULLIF(TRIM(data[{place}]), '')") for place in places]
    return found[0] if len(found) == 1 else exp.func("COALESCE", *found)


def _typed(column: Column, raw: exp.Expr) -> exp.Expr:
    match column.type:
        case "string":
            return raw
        case "integer" | "bigint":
            kind = exp.DataType.build("INT" if column.type == "integer" else "BIGINT", dialect=DIALECT)
            # A cast rounds 12.5 to 13, so what is no whole number must not reach it.
            whole = _sql(
                "CASE WHEN REGEXP_MATCHES($raw, $re) THEN REGEXP_REPLACE($raw, '[.]0+$', '') END",
                raw=raw, re=exp.Literal.string(INTEGER),
            )  # fmt: skip
            return exp.TryCast(this=whole, to=kind)
        case "timestamp":
            return _timestamp(raw)
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
            number = _sql("CASE WHEN REGEXP_MATCHES($raw, $re) THEN $raw END", raw=raw, re=exp.Literal.string(DECIMAL))
            return exp.TryCast(this=number, to=kind)


def _timestamp(text: exp.Expr) -> exp.Expr:
    """UTC, without a zone. A text without a zone is UTC; the session's zone is UTC."""
    return _sql(
        "CASE WHEN REGEXP_MATCHES($text, $re) THEN TRY_CAST(TRY_CAST($text AS TIMESTAMPTZ) AS TIMESTAMP) END",
        text=text, re=exp.Literal.string(TIME),
    )  # fmt: skip


def _rules(column: Column, is_event_time: bool) -> Iterator[tuple[str, str, exp.Expr]]:
    """Yields (rule, what was expected, the condition under which it is broken) over `raw_<name>` and `<name>`.

    Conditions begin with what is cheap and holds for few rows, because engines stop at what is false.
    """
    raw, typed = exp.column(f"raw_{column.name}"), exp.column(column.name)

    def broken(snippet: str, **values: exp.Expr) -> exp.Expr:
        return _sql(snippet, raw=raw, typed=typed, **values)

    if column.required:
        yield "required", "a value", broken("$raw IS NULL")
    if column.type in {"integer", "bigint"}:
        shape = exp.Literal.string(INTEGER)
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
        shape = exp.Literal.string(DECIMAL)
        yield (
            "type",
            "a number",
            broken("$typed IS NULL AND $raw IS NOT NULL AND NOT REGEXP_MATCHES($raw, $re)", re=shape),
        )
        too_fine = exp.Literal.string(rf"^[+-]?[0-9]*[.][0-9]{{{scale}}}[0-9]*[1-9]")
        yield (
            "scale",
            f"at most {scale} decimals",
            broken("REGEXP_MATCHES($raw, $fine) AND REGEXP_MATCHES($raw, $re)", re=shape, fine=too_fine),
        )
        yield (
            "range",
            f"at most {precision - scale} digits before the point",
            broken("$typed IS NULL AND REGEXP_MATCHES($raw, $re)", re=shape),
        )
    elif column.type == "timestamp":
        expected = "an ISO 8601 time" if not is_event_time else "a time, sent as ISO 8601 in the envelope's event_time"
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
        words = [exp.Literal.string(word) for word in column.accepted]
        yield "accepted", "one of " + ", ".join(column.accepted), exp.In(this=raw, expressions=words).not_()


def _reason(column_name: str, rule: str, expected: str, condition: exp.Expr) -> exp.Expr:
    return _sql(
        "CASE WHEN $condition THEN {'column_name': $column, 'rule': $rule, 'expected': $expected} END",
        condition=exp.paren(condition),
        column=exp.Literal.string(column_name),
        rule=exp.Literal.string(rule),
        expected=exp.Literal.string(expected),
    )


def _unknown_keys(contract: Contract) -> tuple[str, str, str, exp.Expr]:
    """The rule against keys that the contract does not know. It names none: where they are rejected, one may be personal."""
    if contract.unknown_keys == "quarantine":
        return "data", "unknown", "no keys but those of the contract", _sql("extra IS NOT NULL")
    too_long = _sql("OCTET_LENGTH(ENCODE(extra)) > $n", n=exp.Literal.number(EXTRA_MAX_BYTES))
    return "extra", "max_bytes", f"at most {EXTRA_MAX_BYTES} bytes of keys that are not the contract's", too_long


def typed_relation(contract: Contract) -> exp.Select:
    """Returns the query of `typed` over the relation `events`.

    `events` has event_id and event_time (text), event_version (from 1), schema_version (of the contract that the sender
    followed), data (a list of texts: the values of the contract's `known_keys`, in their order), extra (text: a JSON object
    of the keys that the contract does not know, NULL where there are none), source_object and source_line. `typed` has
    event_id, event_time (TIMESTAMP, UTC), event_version, schema_version, each column of the contract, extra, source_object,
    source_line and reasons.
    """
    lineage = ["event_id", "event_version", "schema_version", "extra", "source_object", "source_line"]
    raw = exp.select(*lineage).from_("events")
    cast = exp.select(*lineage).from_("raw")
    rules: list[tuple[str, str, str, exp.Expr]] = []
    for column in contract.columns:
        is_event_time = column.name == contract.event_time
        value = _raw(column, contract)
        if is_event_time:
            # The sender read the source's format, whatever it was, into the envelope; data alone must be ISO 8601.
            value = exp.func("COALESCE", exp.column("event_time"), value)
        raw = raw.select(exp.alias_(value, f"raw_{column.name}"))
        cast = cast.select(
            exp.column(f"raw_{column.name}"), exp.alias_(_typed(column, exp.column(f"raw_{column.name}")), column.name)
        )
        rules += [(column.name, *rule) for rule in _rules(column, is_event_time)]
    rules.append(_unknown_keys(contract))

    typed = exp.select(*lineage, *(c.name for c in contract.columns))
    if contract.event_time != "event_time":
        typed = typed.select(exp.alias_(exp.column(contract.event_time), "event_time"))
    # Most events break no rule, so the list is made only for those that do.
    listed = _sql(
        "CASE WHEN $broken THEN LIST_FILTER($all, reason -> reason IS NOT NULL) ELSE [] END",
        broken=exp.or_(*(condition for *_, condition in rules)),
        all=exp.Array(expressions=[_reason(*rule) for rule in rules]),
    )
    return typed.select(exp.alias_(listed, "reasons")).from_("cast_events").with_("raw", raw).with_("cast_events", cast)


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
        than once. `cleaned` has the columns of `judged`, `rejected_version`, and `copy_number`: 1 for the copy of an event id
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
    return {"judged": judged, **later}


def cleaning_sql(contract: Contract, clean_sql: str) -> dict[str, str]:
    """Returns `cleaning_stages` as DuckDB's SQL, rendered once a process for each contract and SQL."""
    return dict(_rendered(contract.model_dump_json(), clean_sql))


@lru_cache(maxsize=256)
def _rendered(contract: str, clean_sql: str) -> tuple[tuple[str, str], ...]:
    stages = cleaning_stages(Contract.model_validate_json(contract), clean_sql)
    return tuple((name, query.sql(DIALECT)) for name, query in stages.items())
