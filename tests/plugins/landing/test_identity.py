"""Files that overlap have the same ids for the same rows, in whatever dialect each is written."""

import csv
import gzip
import hashlib
import io
import json
import re
import uuid
from collections import Counter
from datetime import date, datetime, timedelta
from random import Random

import openpyxl
import pytest
from ecommerce_elt.errors import PermanentError
from ecommerce_elt.feeds.contracts import Contract
from ecommerce_elt.landing.identity import FileIdentity, IdentityEngine, identity_columns
from ecommerce_elt.readers.blocks import BLOCK_ROWS
from ecommerce_elt.readers.flags import Flags
from ecommerce_elt.readers.tabular import TabularFile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.file_formats import as_lines, as_parquet
from tests.support.online_retail import INVOICE_HEADER as HEADER
from tests.support.spreadsheets import as_ods

ROWS = [
    ["536365", "85123A", "WHITE HANGING HEART", "6", "12/1/2010 8:26", "2.55", "17850", "United Kingdom"],
    ["536365", "71053", "WHITE METAL LANTERN", "6", "12/1/2010 8:26", "3.39", "17850", "United Kingdom"],
    ["536365", "71053", "WHITE METAL LANTERN", "6", "12/1/2010 8:26", "3.39", "17850", "United Kingdom"],
    ["C536379", "D", "Discount, £ and é", "-1", "12/13/2010 9:41", "1234.5", "", "France"],
    ["536380", "22961", "", "24", "12/13/2010 9:41", "0", "17809", "EIRE"],
]


def as_csv(rows, header=HEADER, encoding="utf-8", **dialect):
    out = io.StringIO()
    writer = csv.writer(out, **dialect)
    writer.writerow(header)
    writer.writerows(rows)
    return out.getvalue().encode(encoding)


def as_xlsx(rows, header=HEADER):
    book = openpyxl.Workbook()
    for row in [header, *rows]:
        book.active.append(row)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


@pytest.fixture(scope="module")
def ids_of(contracts, tmp_path_factory):
    """Returns a function from the bytes of a file to the ids of its rows, in the file's order."""
    folder = tmp_path_factory.mktemp("files")

    def ids_of(body, name="file.csv", feed="online_retail", multiple=BLOCK_ROWS, **flags):
        path = folder / name
        path.write_bytes(body)
        source = TabularFile(path, contracts[feed], Flags(**flags))
        with FileIdentity(source, source.survey(), engine=engine) as identity:
            found = [one.decode() for _, ids in identity.blocks(multiple) for one in ids]
            ids_of.repeated = identity.repeated
        return found

    with IdentityEngine(folder) as engine:  # one file after the other, as in a run
        yield ids_of


def expected(values, n=1, feed="online_retail"):
    """The id as a reader computes it: docs/adr/0038-identity-of-rows.md."""
    text = json.dumps(values, ensure_ascii=False, separators=(",", ":"))
    text = re.sub(r"\\u00[0-9a-f]{2}", lambda found: "\\u" + found[0][2:].upper(), text)
    row = uuid.UUID(hashlib.sha256(text.encode()).hexdigest()[:32])
    return str(uuid.uuid5(uuid.uuid5(uuid.uuid5(uuid.NAMESPACE_URL, "urn:ecommerce-elt:row"), feed), f"{row}/{n}"))


def test_an_id_is_computed_as_the_decision_says(ids_of):
    lantern = [
        "536365",
        "71053",
        "WHITE METAL LANTERN",
        "6",
        "2010-12-01T08:26:00.000000Z",
        "3.390",
        "17850",
        "United Kingdom",
    ]
    discount = ["C536379", "D", "Discount, £ and é", "-1", "2010-12-13T09:41:00.000000Z", "1234.500", None, "France"]
    found = ids_of(as_csv(ROWS))
    assert found[1:4] == [expected(lantern), expected(lantern, 2), expected(discount)]
    assert ids_of.repeated == 1
    assert found[1] == "96e045d0-7130-5a4b-a935-ce28b5572a78"


def test_an_engine_forgets_a_file_that_was_not_read_to_its_end(contracts, tmp_path):
    path = tmp_path / "file.csv"
    path.write_bytes(as_csv(ROWS))
    source = TabularFile(path, contracts["online_retail"], Flags())
    with IdentityEngine(tmp_path) as engine:
        with FileIdentity(source, source.survey(), engine=engine) as identity:
            next(identity.blocks(1))
        with FileIdentity(source, source.survey(), engine=engine) as identity:
            shared = [one for _, ids in identity.blocks(1) for one in ids]
    with FileIdentity(source, source.survey()) as identity:
        assert [one for _, ids in identity.blocks(1) for one in ids] == shared
    assert [entry.name for entry in tmp_path.iterdir()] == ["file.csv"]


def test_what_cannot_be_typed_counts_by_its_text(ids_of):
    rows = [
        ["536365", "71053", "x", "many", "12/13/2010 9:41", "2.5551", "17850", "France"],
        ["536365", "71053", "x", "many", "12/13/2010 9:41", "2.5552", "17850", "France"],  # typed, both are 2.555
        ["8.52E+04", "71053", "a\tb\x1f\x7f\"\\'", "99999999999", "soon", "1", "", ""],
        ["536365", "71053"],
        ["536365", "71053", "x", "1", "12/13/2010 9:41", "1", "17850", "France", "one too many"],
    ]
    time = "2010-12-13T09:41:00.000000Z"
    assert ids_of(as_csv(rows)) == [
        expected(["536365", "71053", "x", "many", time, "2.5551", "17850", "France"]),
        expected(["536365", "71053", "x", "many", time, "2.5552", "17850", "France"]),
        expected(["8.52E+04", "71053", "a\tb\x1f\x7f\"\\'", "99999999999", "soon", "1.000", None, None]),
        expected(["536365", "71053", *[None] * 6]),
        expected({"unassigned": rows[4]}),
    ]


def changed(column, change):
    place = HEADER.index(column)
    return [[change(value) if i == place else value for i, value in enumerate(row)] for row in ROWS]


def in_order(*places):
    return [[row[i] for i in places] for row in ROWS]


def as_day(pattern):
    return lambda text: datetime.strptime(text, "%m/%d/%Y %H:%M").strftime(pattern)


def german(number):
    whole, _, decimals = number.partition(".")
    return f"{int(whole):,}".replace(",", ".") + (f",{decimals:0<2}" if decimals else "")


CELLS = [
    [
        row[0],
        row[1],
        row[2] or None,
        int(row[3]),
        datetime.strptime(row[4], "%m/%d/%Y %H:%M"),
        float(row[5]),
        float(row[6]) if row[6] else None,
        row[7],
    ]
    for row in ROWS
]
COPIES = {
    "iso dates": (as_csv(changed("InvoiceDate", as_day("%Y-%m-%d %H:%M:%S"))), {}),
    "iso dates with a zone": (as_csv(changed("InvoiceDate", as_day("%Y-%m-%dT%H:%M:00+00:00"))), {}),
    "german dates": (as_csv(changed("InvoiceDate", as_day("%d.%m.%Y %H:%M"))), {}),
    "dates of an american form": (as_csv(changed("InvoiceDate", as_day("%m/%d/%y %I:%M %p"))), {}),
    "epoch": (
        as_csv(
            changed("InvoiceDate", lambda t: str(int(datetime.strptime(t + "+0000", "%m/%d/%Y %H:%M%z").timestamp())))
        ),
        {},
    ),
    "ids of pandas": (as_csv(changed("CustomerID", lambda text: text and f"{text}.0")), {}),
    "words for nothing": (as_csv(changed("CustomerID", lambda text: text or "NaN")), {}),
    "german numbers": (as_csv(changed("UnitPrice", german), delimiter=";"), {}),
    "pounds": (as_csv(changed("UnitPrice", lambda text: f"£{float(text):,.2f}")), {}),
    "doubles": (as_csv(changed("UnitPrice", lambda text: text.replace("2.55", "2.5499999999999998"))), {}),
    "quantities with decimals": (as_csv(changed("Quantity", lambda text: f"{text}.0")), {}),
    "blanks": (as_csv(changed("Description", lambda text: f"  {text} ")), {}),
    "latin-1": (as_csv(ROWS, encoding="cp1252"), {"encoding": "cp1252"}),
    "utf-16": (as_csv(ROWS, encoding="utf-16", delimiter="\t"), {}),
    "all quoted": (as_csv(ROWS, quoting=csv.QUOTE_ALL, lineterminator="\n"), {}),
    "columns in another order": (as_csv(in_order(7, 6, 5, 4, 3, 2, 1, 0), header=HEADER[::-1]), {}),
    "another spelling of the header": (
        as_csv(
            ROWS, header=["Invoice", "SKU", "product name", "QTY", "Order Date", "Price", "customer_id", "Ship Country"]
        ),
        {"columns": {"Description": "product name"}},
    ),
    "a column that nobody knows": (
        as_csv([[*row, str(i)] for i, row in enumerate(ROWS)], header=[*HEADER, "Index"]),
        {},
    ),
    "gzip": (gzip.compress(as_csv(ROWS)), {"name": "file.csv.gz"}),
    "a workbook": (as_xlsx(CELLS), {"name": "file.xlsx"}),
    "a workbook of texts": (as_xlsx(ROWS), {"name": "texts.xlsx"}),
    "blank lines": (as_csv([[], *ROWS[:2], [""] * 8, *ROWS[2:]]), {}),
}


@pytest.mark.parametrize("copy", COPIES)
def test_the_same_rows_in_another_dialect_have_the_same_ids(ids_of, copy):
    body, flags = COPIES[copy]
    assert ids_of(body, **flags) == ids_of(as_csv(ROWS))


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (0, "536366"),
        (1, "85123a"),
        (2, "white hanging heart"),
        (3, "7"),
        (4, "12/1/2010 8:27"),
        (5, "2.551"),
        (6, ""),
        (7, "France"),
    ],
)
def test_a_row_that_differs_in_one_column_is_another(ids_of, place, value):
    other = [value if i == place else v for i, v in enumerate(ROWS[0])]
    assert len({*ids_of(as_csv([ROWS[0], other, ROWS[3]]))}) == 3
    assert ids_of.repeated == 0


def test_an_id_does_not_depend_on_the_other_rows_or_on_the_blocks(ids_of):
    rows = [
        [str(536365 + i % 40), "71053", "x", str(i % 7), "12/13/2010 9:41", "1", "17850", "France"] for i in range(1800)
    ]
    whole = ids_of(as_csv(rows))
    assert len({*whole}) == 1800
    assert ids_of(as_csv(rows), multiple=7) == whole
    Random(1).shuffle(rows)
    assert {*ids_of(as_csv(rows))} == {*whole}


def test_by_the_file_on_request_and_by_default_where_the_contract_names_no_columns(ids_of, contracts):
    from ecommerce_elt.feeds.events import event_ids

    body = as_csv(ROWS)
    identify = event_ids(hashlib.sha256(body).hexdigest())
    assert ids_of(body, identity="file") == [identify(line) for line in range(2, 7)]
    log = as_csv([["2026-01-01", "P1", "1", "2.50"]] * 2, header=["event_time", "product_id", "quantity", "price"])
    identify = event_ids(hashlib.sha256(log).hexdigest())
    assert ids_of(log, feed="product_events") == [identify(2), identify(3)]
    assert contracts["online_retail"].identity == tuple(c.name for c in contracts["online_retail"].columns)


def test_what_cannot_be_is_refused(contracts):
    with pytest.raises(PermanentError, match="contract of feed purchases names no columns that tell rows apart"):
        identity_columns(contracts["purchases"], Flags(identity="rows"))
    with pytest.raises(PermanentError, match="a corrected row is another row.*give identity file, too"):
        identity_columns(contracts["online_retail"], Flags(data_set="x", event_version=2))
    assert identity_columns(contracts["online_retail"], Flags(data_set="x", event_version=2, identity="file")) == ()


@pytest.mark.parametrize(
    ("feed", "identity", "error"),
    [
        ("online_retail", ["invoice_no", "invoice_date", "shelf"], r"\['shelf'\] are no columns"),
        ("online_retail", ["invoice_no", "invoice_date", "invoice_no"], "or named twice"),
        ("online_retail", ["invoice_no", "stock_code"], r"\['invoice_date'\] are missing"),
        ("purchases", ["name", "purchase_date"], r"are personal, and an id without a key can be tried out"),
    ],
)
def test_a_contract_whose_identity_cannot_be_is_refused(contracts, feed, identity, error):
    text = contracts[feed].model_dump() | {"identity": identity}
    if feed == "purchases":
        text["identity"] = [contracts[feed].partition_key, contracts[feed].event_time]
    with pytest.raises(ValueError, match=error):
        Contract.model_validate(text)


DAYS = [date(2010, 12, 1) + timedelta(days=i) for i in range(6)]
A_ROW = st.tuples(
    st.sampled_from(DAYS), st.sampled_from(["536365", "536366"]), st.sampled_from(["A", "B"]), st.integers(1, 2)
)


def as_row(day, invoice, code, quantity):
    return [invoice, code, "x", str(quantity), f"{day.month}/{day.day}/{day.year} 8:26", "1.25", "17850", "France"]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(A_ROW, min_size=1, max_size=25),
    st.lists(st.tuples(st.integers(0, 5), st.integers(1, 6)), max_size=4),
    st.randoms(use_true_random=False),
)
def test_exports_of_whole_days_in_any_order_have_the_ids_of_the_whole(ids_of, rows, spans, random):
    whole = ids_of(as_csv([as_row(*row) for row in rows]), date_order="mdy")
    spans = [*spans, (0, 3), (3, 3)]  # together, all days
    random.shuffle(spans)
    found: set[str] = set()
    for first, days in spans:
        export = [row for row in rows if DAYS[first] <= row[0] < DAYS[first] + timedelta(days=days)]
        random.shuffle(export)
        if export:
            found.update(ids_of(as_csv([as_row(*row) for row in export]), date_order="mdy"))
    assert found == {*whole}
    assert len(found) == len(rows)


def test_a_row_has_the_same_id_in_every_format(read):
    row = ["536365", "22423", "HEART", 6, "2010-12-01T08:26:00", 2.55, 17850, "France"]
    bodies = [
        as_csv([[str(value) for value in row]]),
        as_lines([dict(zip(HEADER, row, strict=True))]),
        as_parquet([dict(zip(HEADER, row, strict=True))]),
        as_xlsx([[datetime(2010, 12, 1, 8, 26) if value == row[4] else value for value in row]]),
        as_ods([HEADER, row]),
    ]
    found = set()
    for body in bodies:
        survey, _, source = read(body, feed="online_retail")
        with FileIdentity(source, survey) as identity:
            found.update(event_id for _, ids in identity.blocks(BLOCK_ROWS) for event_id in ids)
    assert len(found) == 1


# -- the real file ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real_rows(online_retail):
    with gzip.open(online_retail, "rt", encoding="utf-8", newline="") as file:
        reader = csv.reader(file)
        assert next(reader) == HEADER
        return list(reader)


def day_of(row):
    month, day, year = row[4].split(" ")[0].split("/")
    return date(int(year), int(month), int(day))


@pytest.mark.nightly
def test_weekly_exports_of_thirty_days_are_the_whole_file(ids_of, real_rows):
    whole = Counter(dict(zip(ids_of(as_csv(real_rows)), [(int(r[3]), r[5]) for r in real_rows], strict=True)).keys())
    assert (len(real_rows), len(whole), ids_of.repeated) == (541_909, 541_909, 5_268)
    days = [day_of(row) for row in real_rows]
    starts = [min(days) + timedelta(days=7 * week - 23) for week in range(60)]
    Random(1).shuffle(starts)
    found, sent = {}, 0
    for start in starts:
        export = [row for row, day in zip(real_rows, days, strict=True) if start <= day < start + timedelta(days=30)]
        if not export:
            continue
        sent += len(export)
        for one, row in zip(ids_of(as_csv(export), date_order="mdy"), export, strict=True):
            assert found.setdefault(one, row) == row  # whatever comes again is the same row
    assert sent > 4 * len(real_rows)
    assert found.keys() == whole.keys()
    assert sum(int(row[3]) for row in found.values()) == 5_176_450
    assert round(sum(int(row[3]) * float(row[5]) for row in found.values()), 3) == 9_747_747.934


@pytest.mark.nightly
@pytest.mark.parametrize("copy", ["german", "workbook"])
def test_a_second_copy_of_the_real_file_in_another_format_adds_nothing(ids_of, real_rows, copy):
    whole = {*ids_of(as_csv(real_rows))}
    rows = list(real_rows)
    Random(1).shuffle(rows)
    times = [datetime.strptime(row[4], "%m/%d/%Y %H:%M") for row in rows]
    if copy == "german":
        written = [
            [
                r[0],
                r[1],
                r[2],
                r[3],
                f"{t:%d.%m.%Y %H:%M}",
                german(r[5]) if r[5][0] != "-" else r[5].replace(".", ","),
                r[6] and f"{r[6]}.0",
                r[7],
            ]
            for r, t in zip(rows, times, strict=True)
        ]
        again = ids_of(as_csv(written, delimiter=";", encoding="utf-16"))
    else:
        book = openpyxl.Workbook(write_only=True)
        sheet = book.create_sheet()
        sheet.append(HEADER)
        for r, t in zip(rows[:100_000], times, strict=False):
            sheet.append(
                [
                    int(r[0]) if r[0].isdigit() else r[0],
                    int(r[1]) if r[1].isdigit() else r[1],
                    r[2],
                    int(r[3]),
                    t,
                    float(r[5]),
                    float(r[6]) if r[6] else None,
                    r[7],
                ]
            )
        out = io.BytesIO()
        book.save(out)
        again = ids_of(out.getvalue(), "copy.xlsx")
        assert len({*again}) == 100_000
        assert {*again} < whole
        return
    assert {*again} == whole
