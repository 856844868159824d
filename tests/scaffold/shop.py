"""A shop in Germany that nothing here knows: its twelve monthly files, with all that a till's report has around its rows."""

from __future__ import annotations

import csv
import gzip
import io
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random
from typing import NamedTuple

from tests.support.spreadsheets import as_xlsx

HEADER = [
    "Bon-Nr.",
    "Kassenzeit",
    "Art.-Nr.",
    "Artikelbezeichnung",
    "Stück",
    "Einzelpreis (€)",
    "MwSt. %",
    "Kunde",
    "E-Mail-Adresse",
    "Lieferland",
]
GOODS = [
    ("00417", "Kaffeebecher, blau", "7.90"),
    ("00418", "Kaffeebecher, grün", "7.90"),
    ("01002", "Teekanne „Omas Liebling“", "1249.00"),
    ("01003", "Untersetzer; Kork", "2.45"),
    ("02200", "Geschirrtuch 50×70", "9.99"),
]
BUYERS = [
    ("Jürgen Groß", "j.gross@example.org", "Deutschland"),
    ("Käthe Öttinger", "kaethe@example.org", "Österreich"),
    ("", "", "Deutschland"),
    ("Zoë Weiß", "zoe.weiss@example.org", "Schweiz"),
]
PAGE_ROWS = 25  # then the till prints the header again


class Line(NamedTuple):
    receipt: str
    at: datetime
    product: str
    pieces: int
    price: Decimal


def lines(month: int, rows: int = 60) -> list[tuple[Line, list[str]]]:
    """Returns each row of a month, with what it says."""
    random, found = Random(month), []
    for number in range(rows):
        at = datetime(2025, month, 1, 8) + timedelta(hours=11 * number, minutes=number)
        sku, name, price = GOODS[random.randrange(len(GOODS))]
        buyer, mail, country = BUYERS[number // 2 % len(BUYERS)]
        pieces = random.randint(1, 9)
        line = Line(f"2025{month:02d}-{number // 2:04d}", at, sku, pieces, Decimal(price))
        written = f"{Decimal(price):,.2f}".translate({ord(","): ".", ord("."): ","})
        found.append(
            (line, [line.receipt, f"{at:%d.%m.%Y %H:%M}", sku, name, str(pieces), written, "19", buyer, mail, country])
        )
    return found


def file_of(month: int) -> tuple[str, bytes]:
    """Returns the name and the content of a month's file."""
    blank = [""] * len(HEADER)
    rows = [["Haushaltswaren Groß & Söhne", *blank[1:]], [f"Umsatzliste {month:02d}/2025", *blank[1:]], blank, HEADER]
    for number, (_, row) in enumerate(lines(month), 1):
        rows.append(row)
        if number % PAGE_ROWS == 0:
            rows += [blank, HEADER]
    rows += [blank]
    if month == 6:
        return "Umsatz_06.xlsx", as_xlsx(rows)
    out = io.StringIO()
    csv.writer(out, delimiter=";", lineterminator="\r\n").writerows(rows)
    if month == 9:
        return "Umsatz_09.csv.gz", gzip.compress(out.getvalue().encode())
    return f"Umsatz_{month:02d}.csv", out.getvalue().encode("utf-8-sig" if month % 2 else "utf-8")
