"""The rules of a contract as SQL: the conditions under which an event is rejected, and the reasons."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from sqlglot import exp

from ecommerce_elt.cleaning.snippets import literals, sql, whole
from ecommerce_elt.cleaning.value_sql import BOOLEAN, before_dialects, is_too_fine
from ecommerce_elt.feeds.contracts import Column, Contract
from ecommerce_elt.feeds.dialects import DAMAGED, TWO_READINGS, has_two_readings

EXTRA_MAX_BYTES = 65535  # the longest VARCHAR, which staging uses: Redshift guide, "Character types"
# The nanoseconds of Parquet's INT96 and of pandas end in 2262, and there was no electronic commerce before 1900.
EARLIEST, LATEST = "1900-01-01", "2200-01-01"


Rule = tuple[str, str | exp.Expr, exp.Expr]  # its name, the expectation, the condition under which it is broken


def rules(column: Column, contract: Contract) -> Iterator[Rule]:
    """Yields the rules of a column.

    The conditions use `raw_<name>`, `_shaped_<name>` and `<name>`. They begin with a part that is cheap and true for
    few rows, because engines stop at the first false part.
    """
    raw, broken = exp.column(f"raw_{column.name}"), partial(_broken, column)
    if column.required:
        yield "required", "a value", broken("$raw IS NULL")
    yield from _rules_of_type(column, contract)
    if column.min is not None:
        yield "min", f"at least {column.min}", broken("$typed < $min", min=exp.Literal.number(column.min))
    if column.max is not None:
        yield "max", f"at most {column.max}", broken("$typed > $max", max=exp.Literal.number(column.max))
    if column.max_bytes is not None:
        limit = exp.Literal.number(column.max_bytes)
        yield "max_bytes", f"at most {column.max_bytes} bytes", broken("OCTET_LENGTH(ENCODE($raw)) > $n", n=limit)
    if column.pattern is not None:
        yield "pattern", column.pattern, broken("NOT REGEXP_MATCHES($raw, $re)", re=whole(column.pattern))
    if column.accepted is not None:
        is_other = exp.In(this=raw, expressions=literals(column.accepted)).not_()
        yield "accepted", "one of " + ", ".join(column.accepted), is_other
    if column.type == "identifier":
        damaged = broken("($raw LIKE '%e%' OR $raw LIKE '%E%') AND REGEXP_MATCHES($raw, $re)", re=whole(DAMAGED))
        yield "damaged", "all digits; a spreadsheet shortened this one", _with_dialects(damaged, contract)


def _rules_of_type(column: Column, contract: Contract) -> Iterator[Rule]:
    broken = partial(_broken, column)
    is_none, is_out_of_range = "$typed IS NULL AND $raw IS NOT NULL AND NOT $shaped", "$typed IS NULL AND $shaped"
    if column.type in {"integer", "bigint"}:
        yield "type", "a whole number", broken(is_none)
        yield "range", f"a number of {32 if column.type == 'integer' else 64} bits", broken(is_out_of_range)
    elif column.decimal:
        yield from _rules_of_decimal(column, contract, broken(is_none))
        before_point = column.decimal[0] - column.decimal[1]
        yield "range", f"at most {before_point} digits before the point", broken(is_out_of_range)
    elif column.type == "timestamp":
        is_sent = column.name == contract.event_time
        expected = "a time, sent as ISO 8601 in the envelope's event_time" if is_sent else "an ISO 8601 time"
        yield "type", ", or ".join([expected, *column.formats]), broken("$raw IS NOT NULL AND $typed IS NULL")
        bounds = {"low": exp.Literal.string(EARLIEST), "high": exp.Literal.string(LATEST)}
        is_out_of_range = "$typed < CAST($low AS TIMESTAMP) OR $typed >= CAST($high AS TIMESTAMP)"
        yield "range", f"from {EARLIEST} to before {LATEST}", broken(is_out_of_range, **bounds)
    elif column.type == "boolean":
        yield "type", "one of " + ", ".join(BOOLEAN), broken("$raw IS NOT NULL AND $typed IS NULL")


def _rules_of_decimal(column: Column, contract: Contract, is_none: exp.Expr) -> Iterator[Rule]:
    assert column.decimal
    raw, broken = exp.column(f"raw_{column.name}"), partial(_broken, column)
    if has_two_readings(column):
        ambiguous = broken("REGEXP_MATCHES($raw, $re)", re=whole(TWO_READINGS))
        is_none = exp.and_(is_none, exp.not_(_with_dialects(ambiguous, contract)))
        is_ambiguous = exp.and_(broken("$typed IS NULL"), ambiguous)
        yield "ambiguous", _readings(contract, raw), _with_dialects(is_ambiguous, contract)
    yield "type", "a number", is_none
    too_fine, expected = is_too_fine(column, raw, contract), f"at most {column.decimal[1]} decimals"
    if not column.round:
        yield "scale", expected, too_fine
    elif contract.dialects_since > 1:
        yield "scale", expected, exp.and_(before_dialects(contract), too_fine)


def _broken(column: Column, snippet: str, **values: exp.Expr) -> exp.Expr:
    """Returns the condition of a snippet over the column's $raw text, its $typed value and whether it is $shaped."""
    raw, typed = exp.column(f"raw_{column.name}"), exp.column(column.name)
    return sql(snippet, raw=raw, typed=typed, shaped=exp.column(f"_shaped_{column.name}"), **values)


def _with_dialects(condition: exp.Expr, contract: Contract) -> exp.Expr:
    """Returns the condition for events that were sent since the contract has dialects."""
    if contract.dialects_since == 1:
        return condition
    return exp.and_(condition, exp.not_(before_dialects(contract)))


def _readings(contract: Contract, raw: exp.Expr) -> str | exp.Expr:
    """Returns the expectation for a number with two readings. No value of a feed with personal columns is shown."""
    if contract.is_personal:
        return "one reading: the comma is a thousands mark or a decimal mark"
    return sql("'one reading, not ' || REPLACE($raw, ',', '') || ' or ' || REPLACE($raw, ',', '.')", raw=raw)


def reason(column_name: str, rule: str, expected: str | exp.Expr, condition: exp.Expr) -> exp.Expr:
    return sql(
        "CASE WHEN $condition THEN {'column_name': $column, 'rule': $rule, 'expected': $expected} END",
        condition=exp.paren(condition),
        column=exp.Literal.string(column_name),
        rule=exp.Literal.string(rule),
        expected=exp.Literal.string(expected) if isinstance(expected, str) else expected,
    )


def unknown_keys(contract: Contract) -> tuple[str, str, str, exp.Expr]:
    """Returns the rule about keys that the contract does not know.

    It names no key: if unknown keys are rejected, one of them may be personal.
    """
    if contract.unknown_keys == "quarantine":
        return "data", "unknown", "no keys but those of the contract", sql("extra IS NOT NULL")
    too_long = sql("OCTET_LENGTH(ENCODE(extra)) > $n", n=exp.Literal.number(EXTRA_MAX_BYTES))
    return "extra", "max_bytes", f"at most {EXTRA_MAX_BYTES} bytes of keys that are not the contract's", too_long
