"""What a file writes on an order's first row alone goes to the order's other rows, and never to another order's."""

import csv
import json
import tracemalloc
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ecommerce_elt.errors import PermanentError
from ecommerce_elt.feeds.contracts import Contract, load_contract
from ecommerce_elt.landing.identity import FileIdentity
from ecommerce_elt.readers.blocks import BLOCK_ROWS
from ecommerce_elt.readers.flags import Flags
from ecommerce_elt.readers.tabular import TabularFile
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import producer.__main__ as command_line
from tests.plugins.readers.test_shops import READY
from tests.support import shop_files
from tests.support.spreadsheets import as_sheets

CONTRACT = {
    "feed": "orders",
    "version": 1,
    "grain": "one line",
    "event_time": "at",
    "partition_key": "no",
    "staging": "staging.orders",
    "tables": ["core.fact_order"],
    "identity": ["at", "no", "item"],
    "fill_down": {"key": "no", "columns": ["at", "buyer"]},
    "columns": [
        {"name": "no", "header": "Order", "type": "identifier", "max_bytes": 16, "required": True},
        {"name": "at", "header": "At", "type": "timestamp", "required": True},
        {"name": "buyer", "header": "Buyer", "type": "string", "max_bytes": 16},
        {"name": "item", "header": "Item", "type": "string", "max_bytes": 16, "required": True},
        {"name": "total", "header": "Total", "type": "decimal(12,2)"},
    ],
}
HEADER = ["Order", "At", "Buyer", "Item", "Total"]
A, B, C = ["1", "2024-01-05", "ann", "mug", "9.00"], ["1", "", "", "pen", ""], ["1", " ", "", "cup", ""]
D, E = ["2", "2024-01-06", "", "mug", "5.00"], ["2", "", "", "pen", ""]
FILLED = [
    A,
    ["1", "2024-01-05", "ann", "pen", ""],
    ["1", "2024-01-05", "ann", "cup", ""],
    D,
    ["2", "2024-01-06", "", "pen", ""],
]


def contract(**more):
    return Contract.model_validate(CONTRACT | more)


def read(path, of=None, **flags):
    source = TabularFile(path, of or contract(), Flags(**flags))
    survey = source.survey()
    return (
        survey,
        [[row.data.get(key) for key in HEADER] for row in source.rows(survey)],
        [row.event_time for row in source.rows(survey)],
    )


def as_csv(path, *rows, header=HEADER):
    with path.open("w", newline="") as out:
        csv.writer(out).writerows([header, *rows])
    return path


def test_values_go_down_within_their_order(tmp_path):
    survey, rows, times = read(as_csv(tmp_path / "a.csv", A, B, C, D, E))
    assert rows == FILLED
    assert survey.filled_down == {"At": 3, "Buyer": 2}
    assert times == [datetime(2024, 1, day, tzinfo=UTC) for day in (5, 5, 5, 6, 6)]


@pytest.mark.parametrize("kind", ["xlsx", "json", "ndjson", "parquet"])
def test_every_kind_of_file(tmp_path, kind):
    records = [dict(zip(HEADER, row, strict=True)) for row in (A, B, C, D, E)]
    path = tmp_path / f"a.{kind}"
    match kind:
        case "json":
            path.write_text(json.dumps([{k: v for k, v in record.items() if v} for record in records]))
        case "ndjson":
            path.write_text("\n".join(map(json.dumps, records)))
        case "parquet":
            pq.write_table(pa.Table.from_pylist([{k: v or None for k, v in r.items()} for r in records]), path)
        case _:
            path.write_bytes(as_sheets({"orders": [HEADER, A, B, C, D, E]}))
    survey, rows, times = read(path)
    assert [[value or "" for value in row] for row in rows] == FILLED
    assert (survey.filled_down, times[4]) == ({"At": 3, "Buyer": 2}, datetime(2024, 1, 6, tzinfo=UTC))


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        # Rows of an order that lie apart are not put together: nothing says that they are the same order's.
        pytest.param([A, D, B], [A, D, B], id="another_order_between"),
        pytest.param([A, ["", "", "", "pen", ""]], [A, ["", "", "", "pen", ""]], id="no_key"),
        pytest.param([A, ["", "", "", "x", ""], B], [A, ["", "", "", "x", ""], B], id="row_without_key_between"),
        pytest.param([B, A, C], [B, A, FILLED[2]], id="never_upwards"),
        pytest.param(
            [A, ["1", "2024-02-02", "", "pen", ""], C],
            [A, ["1", "2024-02-02", "ann", "pen", ""], ["1", "2024-02-02", "ann", "cup", ""]],
            id="own_value_stays",
        ),
        pytest.param([A, HEADER, B], [A, FILLED[1]], id="repeated_header_between"),
        pytest.param([A, [""] * 5, B], [A, FILLED[1]], id="blank_row_between"),
        pytest.param([A, ["1"]], [A, ["1", "2024-01-05", "ann", "", ""]], id="short_row"),
        pytest.param([A, B, ["", "", "", "", "9.00"]], [A, FILLED[1]], id="total_below"),
    ],
)
def test_orders_stay_apart(tmp_path, rows, expected):
    assert read(as_csv(tmp_path / "a.csv", *rows))[1] == expected


def test_a_row_with_too_many_fields_is_left_to_the_cleaning(tmp_path):
    source = TabularFile(as_csv(tmp_path / "a.csv", A, [*B, "x", "y"]), contract(), Flags())
    survey = source.survey()
    assert (survey.filled_down, survey.uneven_rows) == ({}, 1)
    assert next(iter(source.blocks(survey))).values[1] == [*B, "x", "y"]


def test_columns_that_the_file_lacks_and_other_names_for_the_key(tmp_path):
    path = as_csv(tmp_path / "a.csv", ["mug", "1", "2024-01-05"], ["pen", "1", ""], header=["Item", "Bestellung", "At"])
    survey, rows, _ = read(path, columns={"Order": "Bestellung"})
    assert (survey.filled_down, rows[1][:2]) == ({"At": 1}, ["1", "2024-01-05"])


def test_ids_by_values_are_those_of_the_filled_rows(tmp_path):
    """An export that repeats the order's values on each row has the same ids."""

    def ids(path):
        source = TabularFile(path, contract(), Flags())
        with FileIdentity(source, source.survey(), tmp_path) as identity:
            return [i for _, some in identity.blocks(BLOCK_ROWS) for i in some]

    assert ids(as_csv(tmp_path / "a.csv", A, B, C, D, E)) == ids(as_csv(tmp_path / "b.csv", *FILLED))


def test_dates_of_filled_rows_are_no_evidence_twice_and_blocks_are_no_border(tmp_path):
    order = [
        ["7", "05.01.2024", "ann", "item 0", ""],
        *(["7", "", "", f"item {n}", ""] for n in range(1, 3 * BLOCK_ROWS)),
    ]
    with pytest.raises(PermanentError, match=r"--date-order dmy|date_order"):
        read(as_csv(tmp_path / "a.csv", *order))
    survey, rows, times = read(tmp_path / "a.csv", date_order="dmy")
    assert survey.filled_down == {"At": len(order) - 1, "Buyer": len(order) - 1}
    assert {row[2] for row in rows} == {"ann"}
    assert set(times) == {datetime(2024, 1, 5, tzinfo=UTC)}


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("ABC "), st.sampled_from(["", "x", "y"])), max_size=30))
def test_a_value_is_always_one_of_its_own_order(tmp_path_factory, lines):
    path = tmp_path_factory.mktemp("f") / "a.csv"
    as_csv(path, *([key, "2024-01-05", f"{key}{buyer}" if buyer else "", "i", "1"] for key, buyer in lines))
    for row in read(path)[1]:
        assert row[2] == "" or row[2][0] == row[0]


def test_memory_does_not_grow_with_the_file(tmp_path):
    def peak(orders):
        rows = (
            row
            for n in range(orders)
            for row in ([str(n), "2024-01-05", f"b{n}", "mug", "1"], [str(n), "", "", "pen", ""])
        )
        source = TabularFile(as_csv(tmp_path / "a.csv", *rows), contract(), Flags())
        tracemalloc.start()
        survey = source.survey()
        assert sum(len(block.lines) for block in source.blocks(survey)) == 2 * orders
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found, survey.filled_down

    (small, _), (large, filled) = peak(2_000), peak(20_000)
    assert filled == {"At": 20_000, "Buyer": 20_000}
    assert large < 2 * small


@pytest.mark.parametrize(
    ("fill_down", "why"),
    [
        pytest.param({"key": "order", "columns": ["at"]}, r"fill_down: \['order'\] are no columns", id="no_key"),
        pytest.param(
            {"key": "no", "columns": ["no", "at"]}, "no is the key, which every row of an order has", id="key_itself"
        ),
        pytest.param({"key": "no", "columns": []}, "at least 1", id="no_columns"),
    ],
)
def test_a_contract_that_cannot_be_filled_is_refused(fill_down, why):
    with pytest.raises(ValueError, match=why):
        contract(fill_down=fill_down)


def test_the_producer_says_what_it_filled(tmp_path, monkeypatch):
    """`producer replay` reads a file as load_history does."""
    shopify = load_contract(READY / "shopify_orders.yaml")
    monkeypatch.setattr(command_line, "load_contracts", lambda _: {"shopify_orders": shopify})
    sent = []
    monkeypatch.setattr(command_line, "open_sink_of", lambda *_, **__: None)
    monkeypatch.setattr(command_line, "send", lambda records, *_, **__: sent.extend(records))
    (tmp_path / "orders_export.csv").write_bytes(shop_files.shopify())
    result = CliRunner().invoke(
        command_line.app, ["replay", str(tmp_path / "orders_export.csv"), "--feed", "shopify_orders"]
    )
    assert result.exit_code == 0, result.output
    assert "filled down from an order's first row: Email 1, Financial Status 2, " in result.output
    emails = [json.loads(record.data)["data"]["Email"] for record in sent[:2]]
    assert emails == ["ada@example.com"] * 2
