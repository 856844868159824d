"""Texts as senders write them, with the value that is right; each engine's tests run all of them.

Where a case comes from: pandas writes integers with missing ones as 17850.0, and DataFrame.to_csv a float with 17 digits;
Excel shows long numbers as 8.52E+04 and saves what it shows; accountants' formats put negative amounts in brackets, SAP
puts the minus behind; Stripe, Square and Kafka Connect send epochs; the data set's own CSV has 12/1/2010 8:26.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from ecommerce_elt.feeds import Contract

from tests.plugins.cleaning_bench import line

CONTRACT = Contract.model_validate(
    {
        "feed": "dialects",
        "version": 2,
        "grain": "one value of each kind",
        "event_time": "sent",
        "partition_key": "id",
        "staging": "staging.dialects",
        "tables": ["core.fact_dialects"],
        "columns": [
            {"name": "id", "header": "id", "type": "identifier", "max_bytes": 40},
            {"name": "sent", "header": "sent", "type": "timestamp"},
            {"name": "us_time", "header": "us_time", "type": "timestamp",
             "formats": ["M/D/YYYY H:MM", "M/D/YYYY", "M/D/YY H:MM AM", "D.M.YYYY H:MM", "epoch_seconds", "epoch_millis"]},
            {"name": "uk_time", "header": "uk_time", "type": "timestamp", "formats": ["D/M/YY H:MM", "YYYY.M.D"]},
            {"name": "count", "header": "count", "type": "integer", "numbers": ["thousands", "accounting"]},
            {"name": "price", "header": "price", "type": "decimal(12,3)", "currency": ["£", "GBP"],
             "numbers": ["thousands", "decimal_comma", "accounting"]},
            {"name": "english", "header": "english", "type": "decimal(12,2)", "numbers": ["thousands"]},
            {"name": "german", "header": "german", "type": "decimal(12,2)", "numbers": ["decimal_comma"]},
            {"name": "strict", "header": "strict", "type": "decimal(12,2)"},
            {"name": "rounded", "header": "rounded", "type": "decimal(12,2)", "round": "half_even"},
            {"name": "word", "header": "word", "type": "string", "accepted": {"Male": ["M", "m.", "male"], "Other": []}},
            {"name": "text", "header": "text", "type": "string", "max_bytes": 40},
            {"name": "kept", "header": "kept", "type": "string", "max_bytes": 40, "missing": []},
        ],
    }
)  # fmt: skip
CLEAN_SQL = f"""
SELECT event_id, event_time, event_version, {", ".join(c.name for c in CONTRACT.columns)},
    extra, source_object, source_line, reasons
FROM typed
"""

TIMES = [
    ("us_time", "12/1/2010 8:26", datetime(2010, 12, 1, 8, 26)),
    ("us_time", "12/01/2010 08:26:59", datetime(2010, 12, 1, 8, 26, 59)),
    ("us_time", "12/1/2010 8:26:59.5", datetime(2010, 12, 1, 8, 26, 59, 500000)),
    ("us_time", "12/1/2010", datetime(2010, 12, 1)),
    ("us_time", "2010-12-01T08:26:00Z", datetime(2010, 12, 1, 8, 26)),
    ("us_time", "13/1/2010 8:26", {"type"}),
    ("us_time", "2/30/2011 8:26", {"type"}),
    ("us_time", "12/1/2010 24:00", {"type"}),
    ("us_time", "12/1/2010 8:60", {"type"}),
    ("us_time", "12/1/10 12:05 AM", datetime(2010, 12, 1, 0, 5)),
    ("us_time", "12/1/10 12:05 pm", datetime(2010, 12, 1, 12, 5)),
    ("us_time", "12/1/10 01:05PM", datetime(2010, 12, 1, 13, 5)),
    ("us_time", "12/1/69 11:05:09 p.m.", datetime(1969, 12, 1, 23, 5, 9)),
    ("us_time", "12/1/10 13:05 AM", {"type"}),
    ("us_time", "12/1/10 0:05 AM", {"type"}),
    ("us_time", "13.05.2011 08:26", datetime(2011, 5, 13, 8, 26)),
    ("us_time", "1291191960", datetime(2010, 12, 1, 8, 26)),
    ("us_time", 1291191960, datetime(2010, 12, 1, 8, 26)),
    ("us_time", 1291191960.5, datetime(2010, 12, 1, 8, 26, 0, 500000)),
    ("us_time", "1291191960.1234567", datetime(2010, 12, 1, 8, 26, 0, 123456)),
    ("us_time", "946684800", datetime(2000, 1, 1)),
    ("us_time", 1291191960123, datetime(2010, 12, 1, 8, 26, 0, 123000)),
    ("us_time", 1291191960123.0, datetime(2010, 12, 1, 8, 26, 0, 123000)),
    ("us_time", "946684800000", datetime(2000, 1, 1)),
    ("us_time", "12911919", {"type"}),
    ("us_time", "12911919601", {"type"}),
    ("us_time", "-1291191960", {"type"}),
    ("uk_time", "1/12/10 8:26", datetime(2010, 12, 1, 8, 26)),
    ("uk_time", "31/1/99 23:59", datetime(1999, 1, 31, 23, 59)),
    ("uk_time", "2010.12.1", datetime(2010, 12, 1)),
    ("uk_time", "12/1/2010 8:26", {"type"}),
    ("uk_time", "1291191960", {"type"}),
    ("sent", "12/1/2010 8:26", {"type"}),
]
NUMBERS = [
    ("count", "1,234", 1234),
    ("count", "-1,234,567", -1234567),
    ("count", "1 234", 1234),
    ("count", "(5)", -5),
    ("count", "5-", -5),
    ("count", "(1,234)", -1234),
    ("count", "6.000", 6),
    ("count", "1,234.00", 1234),
    ("count", "1,23", {"type"}),
    ("count", "12,345,67", {"type"}),
    ("count", "1.234", {"type"}),
    ("count", "-5-", {"type"}),
    ("count", "(-5)", {"type"}),
    ("count", "9,999,999,999", {"range"}),
    ("price", "1,234.50", Decimal("1234.500")),
    ("price", "1.234,50", Decimal("1234.500")),
    ("price", "2,55", Decimal("2.550")),
    ("price", ",5", Decimal("0.500")),
    ("price", "0,123", Decimal("0.123")),
    ("price", "1234,567", Decimal("1234.567")),
    ("price", "1,234,567", Decimal("1234567.000")),
    ("price", "1.234.567", Decimal("1234567.000")),
    ("price", "1.234", Decimal("1.234")),
    ("price", "1,234", {"ambiguous"}),
    ("price", "-1,234", {"ambiguous"}),
    ("price", "£1,234", {"ambiguous"}),
    ("price", "1\u00a0234,50", Decimal("1234.500")),
    ("price", "1\u202f234,50", Decimal("1234.500")),
    ("price", "1'234.50", Decimal("1234.500")),
    ("price", "£2.55", Decimal("2.550")),
    ("price", "-£2.55", Decimal("-2.550")),
    ("price", "£-2.55", Decimal("-2.550")),
    ("price", "£ 1.234,50", Decimal("1234.500")),
    ("price", "2.55 GBP", Decimal("2.550")),
    ("price", "GBP 2.55", Decimal("2.550")),
    ("price", "(£2.55)", Decimal("-2.550")),
    ("price", "£(2.55)", Decimal("-2.550")),
    ("price", "2.55-", Decimal("-2.550")),
    ("price", "2.55 EUR", {"type"}),
    ("price", "$2.55", {"type"}),
    ("price", "£", {"type"}),
    ("price", "1.2.3", {"type"}),
    ("price", "1,23,4", {"type"}),
    ("price", "2.5499999999999998", Decimal("2.550")),
    ("price", 2.5499999999999998, Decimal("2.550")),
    ("price", "2.5551", {"scale"}),
    ("english", "1,234", Decimal("1234.00")),
    ("english", "1,234,567.8", Decimal("1234567.80")),
    ("english", "2,55", {"type"}),
    ("english", "(5)", {"type"}),
    ("german", "2,55", Decimal("2.55")),
    ("german", "1,234", {"scale"}),
    ("german", "1.234,50", {"type"}),
    ("strict", "2,55", {"type"}),
    ("strict", "1 234", {"type"}),
    ("strict", "5-", {"type"}),
    ("strict", "16.13", Decimal("16.13")),
    ("strict", "0.30000000000000004", Decimal("0.30")),
    ("strict", "0.29999999999999999", Decimal("0.30")),
    ("strict", "0.295", {"scale"}),
    ("strict", "9999999999.999", {"scale", "range"}),
    ("rounded", 86.26903632435094, Decimal("86.27")),
    ("rounded", "0.125", Decimal("0.12")),
    ("rounded", "0.135", Decimal("0.14")),
    ("rounded", "0.1250000000000000000000000000000000001", Decimal("0.13")),
    ("rounded", "-0.125", Decimal("-0.12")),
    ("rounded", ".125", Decimal("0.12")),
    ("rounded", "2.675", Decimal("2.68")),
    ("rounded", "9999999999.996", {"range"}),
]
TEXTS = [
    ("id", "17850.0", "17850"),
    ("id", 17850, "17850"),
    ("id", 17850.0, "17850"),
    ("id", "00123", "00123"),
    ("id", "00123.00", "00123"),
    ("id", "85123A", "85123A"),
    ("id", "17850.5", "17850.5"),
    ("id", "1.0.0", "1.0.0"),
    ("id", "C17850.0", "C17850.0"),
    ("id", "8.52E+04", {"damaged"}),
    ("id", "1E+05", {"damaged"}),
    ("id", "1.23457e12", {"damaged"}),
    ("id", "12E05", "12E05"),
    ("id", "DE+49", "DE+49"),
    ("word", "M", "Male"),
    ("word", "m.", "Male"),
    ("word", "Male", "Male"),
    ("word", "mX", {"accepted"}),
    ("word", "Female", {"accepted"}),
    ("text", "NULL", None),
    ("text", "null", None),
    ("text", "nan", None),
    ("text", "NaN", None),
    ("text", "N/A", None),
    ("text", "#N/A", None),
    ("text", "None", None),
    ("text", "-", None),
    ("text", "\\N", None),
    ("text", " None ", None),
    ("text", "Nancy", "Nancy"),
    ("text", "nİl", "nİl"),
    ("kept", "None", "None"),
    ("count", "NaN", None),
    ("price", "-", None),
    ("us_time", "N/A", None),
]
CASES = [*TIMES, *NUMBERS, *TEXTS]


def as_events(version: int = 2) -> list[bytes]:
    """Returns an event of each case, with its number as its id."""
    return [
        line("dialects", {column: text}, str(number), event_time=None, schema_version=version)
        for number, (column, text, _) in enumerate(CASES)
    ]
