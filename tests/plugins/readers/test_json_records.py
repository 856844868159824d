"""JSON in any layout."""

import json

from tests.support.file_formats import RECORDS, as_lines


def test_one_json_object_is_one_record(read):
    survey, [row], _ = read(json.dumps(RECORDS[0], indent=1).encode())
    assert (survey.rows, row.line, row.data["product_id"]) == (1, 1, "P1")


def test_json_over_the_borders_of_pieces_and_in_other_encodings(read):
    records = [{**RECORDS[0], "note": 'é漢 \\ " { [ \n' * (i % 500)} for i in range(200)]
    for body in (
        as_lines(records),
        json.dumps(records).encode(),
        json.dumps(records, ensure_ascii=False).encode("utf-16"),
    ):
        _, rows, _ = read(body)
        assert [row.data["note"] for row in rows] == [record["note"] for record in records]
