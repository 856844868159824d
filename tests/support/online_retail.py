"""Two records of online_retail, as a file and as they are read."""

from datetime import UTC, datetime

from ecommerce_elt.readers.flags import Flags
from ecommerce_elt.readers.tabular import TabularFile

INVOICE_HEADER = [
    "InvoiceNo",
    "StockCode",
    "Description",
    "Quantity",
    "InvoiceDate",
    "UnitPrice",
    "CustomerID",
    "Country",
]
ONE = ["536365", "85123A", "WHITE HEART", "6", "12/1/2010 8:26", "2.55", "17850", "United Kingdom"]
TWO = ["C536366", "22633", "HAND WARMER £", "-1", "12/13/2010 9:00", "1.85", "", "EIRE"]
TYPED = [
    [536365, "85123A", "WHITE HEART", 6, datetime(2010, 12, 1, 8, 26), 2.55, 17850, "United Kingdom"],
    ["C536366", 22633, "HAND WARMER £", -1, datetime(2010, 12, 13, 9), 1.85, None, "EIRE"],
]


def csv_text(delimiter=",", end="\n", header=INVOICE_HEADER, rows=(ONE, TWO)):
    return end.join(delimiter.join(r) for r in [header, *rows]) + end


def read_file(path, contracts, feed="online_retail", **flags):
    source = TabularFile(path, contracts[feed], Flags(**flags))
    survey = source.survey()
    return survey, list(source.rows(survey))


def check(rows):
    assert [row.data for row in rows] == [
        dict(zip(INVOICE_HEADER, ONE, strict=True)),
        dict(zip(INVOICE_HEADER, TWO, strict=True)),
    ]
    assert [row.event_time for row in rows] == [
        datetime(2010, 12, 1, 8, 26, tzinfo=UTC),
        datetime(2010, 12, 13, 9, tzinfo=UTC),
    ]
