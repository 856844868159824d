"""Values of Parquet files."""

import io
from datetime import UTC, date, datetime
from decimal import Decimal

import pandas
import pyarrow as pa

from tests.support.file_formats import HEADER, RECORDS, ROWS, as_parquet


def test_values_of_parquet_are_what_the_source_would_write(read):
    table = pa.table(
        {
            "event_time": pa.array([datetime(2026, 1, 1, 8, 26, 0, 5), None], pa.timestamp("ns", "UTC")),
            "product_id": pa.array(["P1", "P1"]).dictionary_encode(),
            "quantity": pa.array([6.0, float("nan")]),
            "price": pa.array([Decimal("1234567890.55"), Decimal("-0.10")]),
            "day": pa.array([date(2026, 1, 2), None]),
            "small": pa.array([2.55, None], pa.float32()),
            "bytes": pa.array([b"abc", None]),
            "tags": pa.array([["a"], []]),
            "is_new": pa.array([True, None]),
        }
    )
    _, rows, _ = read(as_parquet(table))
    assert rows[0].data == {
        "event_time": "2026-01-01T08:26:00.000005+00:00",
        "product_id": "P1",
        "quantity": 6.0,
        "price": "1234567890.55",
        "day": "2026-01-02",
        "small": 2.55,
        "bytes": "abc",
        "tags": ["a"],
        "is_new": True,
    }
    assert rows[1].data == {"product_id": "P1", "price": "-0.10", "tags": []}
    assert rows[0].event_time == datetime(2026, 1, 1, 8, 26, 0, 5, tzinfo=UTC)


def test_a_frame_of_pandas_with_an_index_and_blank_rows(read):
    frame = pandas.DataFrame(RECORDS).assign(event_time=pandas.to_datetime([row[0] for row in ROWS]))
    frame = pandas.concat([frame, pandas.DataFrame([[None] * 4], columns=HEADER)], ignore_index=True)
    out = io.BytesIO()
    frame.to_parquet(out)
    survey, rows, _ = read(out.getvalue())
    assert [row.event_time for row in rows] == [
        datetime(2026, 1, 1, 8, 26, tzinfo=UTC),
        datetime(2026, 1, 2, 9, tzinfo=UTC),
    ]
    assert (survey.rows, survey.left_out["blank"].lines) == (2, [3])
