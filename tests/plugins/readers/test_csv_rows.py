"""Rows of delimited text have the lines on which they begin."""

import csv
import io
import tempfile
from pathlib import Path

from ecommerce_elt.feeds.contracts import load_contracts
from ecommerce_elt.readers.flags import Flags
from ecommerce_elt.readers.tabular import TabularFile
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import PROJECT
from tests.support.online_retail import ONE, TWO, csv_text, read_file


def test_quoted_line_breaks_keep_the_line_numbers(tmp_path, contracts):
    path = tmp_path / "shop.csv"
    path.write_text(csv_text(rows=[[*ONE[:2], '"two\nlines"', *ONE[3:]], TWO]))
    _, rows = read_file(path, contracts)
    assert [(r.line, r.data["Description"]) for r in rows] == [(2, "two\nlines"), (4, "HAND WARMER £")]


@given(
    st.lists(st.lists(st.text("a,\"'\r\n \x7f\x85\u2028", max_size=5), min_size=3, max_size=3), max_size=8),
    st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_each_record_has_the_line_on_which_it_begins(rows, end):
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator=end, quoting=csv.QUOTE_ALL)
    writer.writerow(["event_time", "product_id", "quantity", "price"])
    for row in rows:
        if row[0] == "a":
            out.write(end)
        writer.writerow([*row, "1"])
    expected, line, reader = [], 1, csv.reader(io.StringIO(out.getvalue(), newline=""), strict=True)
    for values in reader:
        if line > 1 and any(values):
            expected.append((line, values))
        line = reader.line_num + 1
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.csv"
        path.write_bytes(out.getvalue().encode())
        source = TabularFile(
            path,
            load_contracts(PROJECT / "include" / "feeds")["product_events"],
            Flags(),
        )
        found = [(row.line, list(row.data.values())) for row in source.rows(source.survey())]
    assert found == expected
