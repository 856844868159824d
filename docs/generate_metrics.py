"""Writes docs/metrics.md from the SQL of dimensions and marts; `--check` fails where the page is not what they say.

A measure is defined once, in the header of the SQL that computes it: `-- measure NAME: what it is, and where the rule comes
from`. A column of a mart that is neither defined there nor one of the keys is an error.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from ecommerce_elt.marts.builds import FORECASTS, MARTS, VIEWS

PROJECT = Path(__file__).resolve().parents[1]
PAGE = PROJECT / "docs" / "metrics.md"
PANELS = PROJECT / "plugins" / "ecommerce_elt" / "page" / "static" / "index.html"
PANEL = re.compile(r'<figure [^>]*data-query="(\w+)" data-measures="([\w ]*)"[^>]*><figcaption>([^<]+?) *<')
SQL = PROJECT / "include" / "sql"
MEASURE = re.compile(r"^-- measure (\w+): (.+)$", re.MULTILINE)
# What rows are told apart by, and what describes them: no measures.
ATTRIBUTES = {
    "period": "day, month, quarter or season",
    "period_start": "first day of the period: the day, the Monday, the first of the month, quarter or season",
    "feed": "feed that the row is of",
    "currency": "ISO 4217 code of the row's amounts, `unknown` where the source has none; rows of two currencies are never added up",
    "stock_code": "product of a line",
    "product_id": "product of a movement",
    "description": "name of the product, as on its latest priced line",
    "stock_code_a": "the product of a pair whose code sorts first",
    "stock_code_b": "the other product of a pair",
    "country": "country as the source writes it",
    "customer_id": "customer of an order; two feeds may have the same id for two customers",
    "age_group": "age group at the purchase",
    "gender": "gender at the purchase",
    "state": "state of the address, `unknown` where it has none",
    "product_name": "product of a purchase",
    "forecast_date": "day that is forecast",
    "origin_date": "first day of the forecast: the day after the last demand that it was made from",
    "demand_class": "smooth, erratic, intermittent, lumpy or new: docs/forecast.md",
    "method": "what made the forecast: a baseline or the network",
    "fingerprint": "digest of the demand and the parameters that the forecast was made from; the folder of its files",
    "season": "winter, spring, summer or autumn",
}
# What the page says of the pipeline now, which is counted when it asks.
HEALTH = {
    "conserved": "holds where for every feed accepted = clean + quarantined + duplicates, and core has as many rows as are clean",
    "lag": "age of the oldest batch that is claimed and not committed; none where no raw object waits in the queue either",
    "rate": "events of the batches that were committed in the last 60 seconds",
    "quarantined": "events that a batch rejected, with their share of all that were accepted; also those that were replayed since",
    "marts": "how many marts wait for days that changed in core; checks of the last build of each mart",
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
    for table in (
        "core.sales_line",
        *(m.table for m in (*MARTS, *FORECASTS)),
        *(v for v in VIEWS if v.startswith("mart.")),
    ):
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
    built = [m.table for m in (*MARTS, *FORECASTS) if m.table.startswith("mart.")]
    tables = built + [v for v in VIEWS if v.startswith("mart.")]
    places: dict[str, list[str]] = {}
    for table in tables:
        for column in columns(table):
            if column not in defined and column not in ATTRIBUTES:
                sys.exit(f"docs: {table}.{column} has no definition; write `-- measure {column}: ...` in its SQL")
            places.setdefault(column, []).append(table)
    return "\n".join([*_head(), *_measures(defined, places), *_tables(tables), *_page(defined)]) + "\n"


def _head() -> Iterator[str]:
    yield from ("# Measures and marts", "")
    yield from ("Generated from the headers in `include/sql/` by `make docs`. Do not edit.", "")
    yield "Money is DECIMAL, in the currency that the row names, never converted and never rounded on the way. Days are UTC. What a"
    yield from ("week, month, quarter or season is says [core.dim_date](../include/sql/core/dim_date/build.sql).", "")


def _measures(defined: dict[str, tuple[str, str]], places: dict[str, list[str]]) -> Iterator[str]:
    yield from ("## Measures", "", "| measure | is | defined in | columns of |", "|---|---|---|---|")
    for name, (text, table) in sorted(defined.items()):
        where = ", ".join(f"`{place.removeprefix('mart.')}`" for place in places.get(name, [])) or "-"
        yield f"| {_anchor(name)}`{name}` | {text} | `{table}` | {where} |"
    yield from ("", "## Keys and attributes", "", "| column | is |", "|---|---|")
    yield from (f"| `{name}` | {text} |" for name, text in sorted(ATTRIBUTES.items()))
    yield ""


def _tables(tables: list[str]) -> Iterator[str]:
    yield from ("## Marts", "", "| mart | one row is | made from | columns |", "|---|---|---|---|")
    for table in tables:
        text = (SQL / table.replace(".", "/") / "create.sql").read_text("utf-8")
        yield f"| `{table}` | {_header(text, 'grain')} | {_header(text, 'source')} | {', '.join(f'`{c}`' for c in columns(table))} |"


def _page(defined: dict[str, tuple[str, str]]) -> Iterator[str]:
    """The panels of the page E-commerce, each of which links here."""
    yield from ("", "## The page E-commerce", "", "| panel | one row is | made from | measures |", "|---|---|---|---|")
    for query, measures, title in PANEL.findall(PANELS.read_text("utf-8")):
        text = (SQL / "page" / f"{query}.sql").read_text("utf-8")
        if missing := [name for name in measures.split() if name not in defined]:
            sys.exit(f"docs: the panel {query} has measures without a definition: {', '.join(missing)}")
        links = ", ".join(f"[`{name}`](#{name})" for name in measures.split()) or "-"
        yield f"| {_anchor(f'panel-{query}')}{title} | {_header(text, 'grain')} | {_header(text, 'source')} | {links} |"
    yield from ("", "| pipeline now | is |", "|---|---|")
    yield from (f"| {_anchor(name)}`{name}` | {text} |" for name, text in HEALTH.items())


def _anchor(name: str) -> str:
    return f'<a id="{name}"></a>'


def main() -> None:
    made = page()
    if "--check" in sys.argv:
        if not PAGE.exists() or PAGE.read_text("utf-8") != made:
            sys.exit("docs/metrics.md is not what the SQL says; run: make docs")
        return
    PAGE.write_text(made, "utf-8")


if __name__ == "__main__":
    main()
