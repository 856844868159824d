"""Where blocks of records are cut."""

import itertools

from ecommerce_elt.readers import blocks as landing_blocks


def test_rows_of_many_values_are_cut_and_blocks_still_end_at_their_multiples(monkeypatch):
    monkeypatch.setattr(landing_blocks, "BLOCK_CELLS", 5)
    wide, narrow = ["x"] * 4, ["x"]
    blocks = [([1, 2], [wide, wide]), ([3, 4], [wide, wide]), ([5, 6, 7], [narrow, narrow, narrow])]
    found = list(landing_blocks.refilled(iter(blocks), itertools.repeat(3)))
    assert [lines for lines, _ in found] == [[1, 2], [3], [4, 5, 6], [7]]
    assert [row for _, rows in found for row in rows] == [row for _, rows in blocks for row in rows]
