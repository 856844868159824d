"""Writes docs/metrics.md from the SQL of dimensions and marts; `--check` fails where the page is not what they say.

A measure is defined once, in the header of the SQL that computes it: `-- measure NAME: what it is, and where the rule comes
from`. A column of a mart that is neither defined there nor one of the keys is an error.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from ecommerce_elt.marts import MARTS, VIEWS

PROJECT = Path(__file__).resolve().parents[1]
PAGE = PROJECT / "docs" / "metrics.md"
SQL = PROJECT / "include" / "sql"
MEASURE = re.compile(r"^-- measure (\w+): (.+)$", re.MULTILINE)
# What rows are told apart by, and what describes them: no measures.
ATTRIBUTES = {
    "period": "day, month, quarter or season",
    "period_start": "first day of the period: the day, the Monday, the first of the month, quarter or season",
    "stock_code": "product of an invoice line",
    "product_id": "product of a movement",
    "description": "name of the product, as on its latest priced line",
    "stock_code_a": "the product of a pair whose code sorts first",
    "stock_code_b": "the other product of a pair",
    "country": "country as the source writes it",
    "customer_id": "customer of an invoice",
    "age_group": "age group at the purchase",
    "gender": "gender at the purchase",
    "state": "state of the address, `unknown` where it has none",
    "product_name": "product of a purchase",
    "season": "winter, spring, summer or autumn",
}


def _header(text: str, word: str) -> str:
    found = re.search(rf"^-- {word}: (.+)$", text, re.MULTILINE)
    return found[1] if found else ""


def _text(table: str) -> str:
    folder = SQL / table.replace(".", "/")
    return "".join(
        (folder / name).read_text("utf-8") for name in ("create.sql", "build.sql") if (folder / name).exists()
    )


def definitions() -> dict[str, tuple[str, str]]:
    """Returns measure to (definition, the table that defines it)."""
    found: dict[str, tuple[str, str]] = {}
    for table in ("core.sales_line", *(m.table for m in MARTS), *(v for v in VIEWS if v.startswith("mart."))):
        for name, text in MEASURE.findall(_text(table)):
            if name in found:
                sys.exit(f"docs: measure {name} is defined in {found[name][1]} and in {table}; define it once")
            found[name] = (text, table)
    return found


def columns(table: str) -> list[str]:
    """Returns the columns of a table or view, from its create.sql."""
    base = next((m.like for m in MARTS if m.table == table and m.like), None) or table
    text = (SQL / base.replace(".", "/") / "create.sql").read_text("utf-8")
    if "CREATE TABLE" in text:
        return re.findall(r"^    ([a-z_0-9]+) [A-Z]", text, re.MULTILINE)
    final = text[text.rindex("\nSELECT\n") :] if "\nSELECT\n" in text else text
    body = final.split("\nFROM")[0]
    return [m[1] or m[2] for m in re.finditer(r"(?:AS (\w+),?$)|(?:^    (?:\w+\.)?(\w+),?$)", body, re.MULTILINE)]


def page() -> str:
    """Returns the page: each measure with its rule and its places, then each mart with its grain and columns."""
    defined = definitions()
    tables = [m.table for m in MARTS if m.table.startswith("mart.")] + [v for v in VIEWS if v.startswith("mart.")]
    places: dict[str, list[str]] = {}
    for table in tables:
        for column in columns(table):
            if column not in defined and column not in ATTRIBUTES:
                sys.exit(f"docs: {table}.{column} has no definition; write `-- measure {column}: ...` in its SQL")
            places.setdefault(column, []).append(table)
    return "\n".join([*_head(), *_measures(defined, places), *_tables(tables)]) + "\n"


def _head() -> Iterator[str]:
    yield from ("# Measures and marts", "")
    yield from ("Generated from the headers in `include/sql/` by `make docs`. Do not edit.", "")
    yield "Money of invoices is in pounds, DECIMAL, never rounded on the way. Days are UTC. What a week, month, quarter or"
    yield from ("season is says [core.dim_date](../include/sql/core/dim_date/build.sql).", "")


def _measures(defined: dict[str, tuple[str, str]], places: dict[str, list[str]]) -> Iterator[str]:
    yield from ("## Measures", "", "| measure | is | defined in | columns of |", "|---|---|---|---|")
    for name, (text, table) in sorted(defined.items()):
        where = ", ".join(f"`{place.removeprefix('mart.')}`" for place in places.get(name, [])) or "-"
        yield f"| `{name}` | {text} | `{table}` | {where} |"
    yield from ("", "## Keys and attributes", "", "| column | is |", "|---|---|")
    yield from (f"| `{name}` | {text} |" for name, text in sorted(ATTRIBUTES.items()))
    yield ""


def _tables(tables: list[str]) -> Iterator[str]:
    yield from ("## Marts", "", "| mart | one row is | made from | columns |", "|---|---|---|---|")
    for table in tables:
        text = (SQL / table.replace(".", "/") / "create.sql").read_text("utf-8")
        yield f"| `{table}` | {_header(text, 'grain')} | {_header(text, 'source')} | {', '.join(f'`{c}`' for c in columns(table))} |"


def main() -> None:
    made = page()
    if "--check" in sys.argv:
        if not PAGE.exists() or PAGE.read_text("utf-8") != made:
            sys.exit("docs/metrics.md is not what the SQL says; run: make docs")
        return
    PAGE.write_text(made, "utf-8")


if __name__ == "__main__":
    main()
