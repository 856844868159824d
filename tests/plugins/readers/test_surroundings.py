"""What stands around the data of a table: titles, the header again, totals, blank rows and columns."""

import io
from datetime import datetime

import openpyxl
import pytest
from ecommerce_elt.readers.flags import Flags
from ecommerce_elt.readers.tabular import TabularFile
from hypothesis import given
from hypothesis import strategies as st

HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country"
ONE = "536365,85123A,HEART,6,2010-12-01 08:26,2.55,17850,France"
TWO = "536366,22633,WARMER,-1,2010-12-13 09:00,1.85,,EIRE"


@pytest.fixture
def read(tmp_path, contracts):
    def read(text, feed="online_retail", **flags):
        path = tmp_path / "shop"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        source = TabularFile(path, contracts[feed], Flags(**flags))
        survey = source.survey()
        rows = list(source.rows(survey))
        assert len(rows) == survey.rows
        return {kind: of.lines for kind, of in survey.left_out.items()}, rows, survey

    return read


def lines(*texts):
    return "\n".join(texts) + "\n"


@pytest.mark.parametrize(
    ("text", "left_out", "at"),
    [
        pytest.param(lines("Sales of 2010", HEADER, ONE, TWO), {"title": [1]}, [3, 4], id="title"),
        pytest.param(
            lines("Sales, of 2010", 'a "quote', '"open', "", ",,,", HEADER, ONE, TWO),
            {"title": [1, 2, 3], "blank": [4, 5]},
            [7, 8],
            id="titles",
        ),
        pytest.param(
            lines("Report;x", HEADER.replace(",", ";"), ONE.replace(",", ";"), TWO.replace(",", ";")),
            {"title": [1]},
            [3, 4],
            id="other_delimiter",
        ),
        pytest.param(
            lines(*["title"] * 49, HEADER, ONE, TWO), {"title": list(range(1, 50))}, [51, 52], id="header_in_row_50"
        ),
        pytest.param(
            lines(HEADER, ONE, HEADER, "", HEADER, TWO),
            {"repeated_header": [3, 5], "blank": [4]},
            [2, 6],
            id="repeated_header",
        ),
        pytest.param(
            lines(HEADER, ONE, ",,,,,,,", " , ,,,\t,,,", TWO, ",,"), {"blank": [3, 4, 6]}, [2, 5], id="blank_rows"
        ),
        pytest.param(lines(HEADER, ONE, TWO, "Total,,,5,,4.40,,"), {"total": [4]}, [2, 3], id="total"),
        pytest.param(lines(HEADER, ONE, TWO, ",,,5,,4.4000,,"), {"total": [4]}, [2, 3], id="total_without_a_label"),
        pytest.param(lines(HEADER, ONE, TWO, "Total,,,5,,13.45,,"), {"total": [4]}, [2, 3], id="total_of_amounts"),
        pytest.param(lines(HEADER, ONE, TWO, "Total,,,5"), {"total": [4]}, [2, 3], id="short_total"),
        pytest.param(lines(HEADER, ONE, "Total,,,6,,2.55,,"), {"total": [3]}, [2], id="total_of_one"),
        pytest.param(
            lines(HEADER, ONE, "Sub,,,6,,2.55,,", TWO, "Sub,,,-1,,1.85,,", "All,,,5,,4.40,,"),
            {"total": [3, 5, 6]},
            [2, 4],
            id="totals_of_groups",
        ),
        pytest.param(
            lines(HEADER, ONE, "Sub,,,6,,,,", HEADER, TWO, "Sub,,,-1,,,,"),
            {"total": [3, 6], "repeated_header": [4]},
            [2, 5],
            id="pages",
        ),
        pytest.param(lines(HEADER, ONE, TWO, "Total,,,5,,£4.40,,"), {"total": [4]}, [2, 3], id="total_with_currency"),
        pytest.param(lines(HEADER + ",", ONE + ",", TWO), {}, [2, 3], id="comma_at_the_end"),
        pytest.param(lines(HEADER, ONE + ",,", TWO + ","), {}, [2, 3], id="commas_behind_the_header"),
        pytest.param(lines("," + HEADER + ", ,", "," + ONE + ",,", "," + TWO + ",,"), {}, [2, 3], id="blank_columns"),
    ],
)
def test_what_is_left_out(read, text, left_out, at):
    found, rows, survey = read(text)
    assert found == left_out
    assert [row.line for row in rows] == at
    assert [list(row.data.values()) for row in rows] == [text.split(",") for text in (ONE, TWO)][: len(at)]
    assert [list(row.data) for row in rows] == [HEADER.split(",")] * len(at)
    assert survey.uneven_rows == 0


@pytest.mark.parametrize(
    ("last", "says"),
    [
        pytest.param("Total,,,6,,4.40,,", "one number is no sum", id="another_sum"),
        pytest.param("Total,,,5,2010-12-13,4.40,,", "it has a time", id="with_a_time"),
        pytest.param("Total,EIRE,,5,,4.40,,", "two texts", id="two_labels"),
        pytest.param("Total,,,,,,,", "no number", id="no_number"),
        pytest.param("536367,22633,WARMER,6,,2.55,,France", "a record without a time", id="record"),
        pytest.param(HEADER.replace("Country", "Land"), "another header", id="another_header"),
        pytest.param("Total,,,5,,4.40,,,x", "a value behind the header", id="too_long"),
    ],
)
def test_what_is_data(read, last, says):
    found, rows, _ = read(lines(HEADER, ONE, TWO, last))
    assert (found, len(rows)) == ({}, 3), says


def test_a_record_that_repeats_the_only_one_before_and_has_no_time_is_data(read):
    header = "event_time,product_id,quantity,price"
    found, rows, _ = read(lines(header, "2026-01-01,P1,5,2.50", ",P2,5,2.50"), feed="product_events")
    assert (found, len(rows)) == ({}, 2)
    found, rows, _ = read(
        lines(header, "2026-01-01,P1,5,2.50", "2026-01-01,P2,5,2.50", "Total,,10,5.00"), feed="product_events"
    )
    assert (found, len(rows)) == ({"total": [4]}, 2)  # where the label stands in the column of the time


def test_a_total_in_the_dialect_of_the_file(read):
    text = (
        lines(HEADER, ONE, TWO, "Summe,,,5,,x,,")
        .replace(",", ";")
        .replace("2.55", "1.000,55")
        .replace("1.85", "2.000,10")
        .replace("x", "3.000,65")
    )
    found, rows, _ = read(text)
    assert (found, [row.data["UnitPrice"] for row in rows]) == ({"total": [4]}, ["1000.55", "2000.10"])


def test_a_column_without_a_name_that_has_values_is_kept(read):
    _, rows, _ = read(lines(HEADER + ",,", ONE + ",note,", TWO + ",,"))
    assert [row.data[""] for row in rows] == ["note", ""]


def test_lists_of_lines_have_an_end_and_counts_have_none(read):
    _, rows, survey = read(lines(HEADER, *[ONE, HEADER, ",,,"] * 1000))
    assert {kind: (of.rows, len(of.lines)) for kind, of in survey.left_out.items()} == {
        "repeated_header": (1000, 100),
        "blank": (1000, 100),
    }
    assert [row.line for row in rows] == list(range(2, 3002, 3))


def test_a_workbook_with_all_of_it(read):
    book = openpyxl.Workbook()
    sheet = book.active
    header, day = HEADER.split(","), datetime(2010, 12, 1, 8, 26)
    for row in [
        ["Sales"],
        [],
        [None, *header],
        [None, 536365, "85123A", "HEART", 6, day, 0.1, 17850, "France"],
        [],
        [None, *header],
        [None, 536366, 22633, "WARMER", -1, day, 0.2, None, "EIRE"],
        [None, "Total", None, None, 5, None, 0.1 + 0.2],
    ]:
        sheet.append(row)
    out = io.BytesIO()
    book.save(out)
    found, rows, _ = read(out.getvalue())
    assert found == {"title": [1], "blank": [2, 5], "repeated_header": [6], "total": [8]}
    assert [(row.line, row.data["InvoiceNo"], list(row.data)) for row in rows] == [
        (4, "536365", header),
        (7, "536366", header),
    ]


TITLE = st.text("ab ,;|\t\"'", max_size=8)


@given(
    st.lists(TITLE, max_size=5),
    st.lists(st.sampled_from(["record", "header", "blank"]), max_size=20),
    st.integers(1, 7),
)
def test_every_line_is_a_record_or_left_out(tmp_path_factory, titles, body, multiple):
    from ecommerce_elt.feeds.contracts import load_contracts

    from tests.conftest import PROJECT

    text = {"record": ONE, "header": HEADER, "blank": ",,"}
    path = tmp_path_factory.mktemp("x") / "shop.csv"
    path.write_text(lines(*titles, HEADER, *(text[kind] for kind in body)))
    source = TabularFile(path, load_contracts(PROJECT / "include" / "feeds")["online_retail"], Flags())
    survey = source.survey()
    blocks = list(source.blocks(survey, multiple))
    assert all(len(block.lines) == multiple for block in blocks[:-1])
    at = [line for block in blocks for line in block.lines]
    assert at == [len(titles) + 2 + i for i, kind in enumerate(body) if kind == "record"]
    assert len(at) + sum(of.rows for of in survey.left_out.values()) + 1 == len(titles) + 1 + len(body)
