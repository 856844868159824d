"""Encodes columnar records as events: each distinct text is written as JSON once, and Arrow joins the rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from ecommerce_elt.feeds.events import ID_BYTES, Envelopes
from ecommerce_elt.readers.blocks import Block, TimedColumns

_MARK = "\x7f"  # JSON does not escape it


class ColumnEnvelopes:
    """Encodes columnar blocks to the same bytes as `Envelopes.encode`.

    Args:
        envelopes: the envelopes of the survey's keys.
        sent_at: the sending time of all events, in ISO 8601.
    """

    def __init__(self, envelopes: Envelopes, sent_at: str) -> None:
        self.envelopes, self.sent_at = envelopes, sent_at
        self._of: TimedColumns | None = None
        self._written: list[pa.DictionaryArray] = []

    def encode(self, ids: bytes, block: Block) -> bytes | memoryview:
        """Returns one line of JSON for each record, including the line break.

        Args:
            ids: the ids of the events in ASCII, concatenated.
        """
        assert block.by_columns
        rows = len(block.lines)
        if len(self.envelopes.pieces) != len(self.envelopes.keys) + 4:
            plain = as_rows(block)
            each = [ids[start : start + ID_BYTES] for start in range(0, len(ids), ID_BYTES)]
            return self.envelopes.encode(each, plain.times, plain.values, self.sent_at)
        if block.by_columns is not self._of:  # otherwise the block has further rows of the same columns
            self._of, self._written = block.by_columns, self._write(block.by_columns)
        ends = pa.py_buffer(np.arange(0, ID_BYTES * (rows + 1), ID_BYTES, dtype=np.int32))
        head = pa.scalar(self.envelopes.pieces[0], pa.binary())
        event_ids = pa.BinaryArray.from_buffers(pa.binary(), rows, [None, ends, pa.py_buffer(ids)])
        values = [column.slice(block.start, rows).dictionary_decode() for column in self._written]
        joined = pc.binary_join_element_wise(head, event_ids, *values, pa.scalar(b"", pa.binary()))
        return memoryview(joined.buffers()[2])

    def _write(self, block: TimedColumns) -> list[pa.DictionaryArray]:
        """Returns the parts of the events after their ids: each column's texts as JSON, with the envelope's parts."""
        _, feed, time, sent, *between = self.envelopes.pieces
        around = time + orjson.dumps(self.sent_at)[1:-1] + sent
        moments = [feed + orjson.dumps(moment, option=orjson.OPT_UTC_Z) + around for moment in block.times]
        columns = block.found.columns
        written = [pa.DictionaryArray.from_arrays(columns[block.time_at].indices, pa.array(moments, pa.binary()))]
        for column, behind in zip(columns, [*between[:-1], between[-1] + b"\n"], strict=True):
            texts = [text + behind for text in _escaped(column.dictionary.to_pylist())]
            written.append(pa.DictionaryArray.from_arrays(column.indices, pa.array(texts, pa.binary())))
        return written


def _escaped(texts: Sequence[str]) -> list[bytes]:
    """Returns each text escaped for JSON, without the quotation marks."""
    found = orjson.dumps(_MARK.join(texts))[1:-1].split(_MARK.encode())
    return found if len(found) == len(texts) else [orjson.dumps(text)[1:-1] for text in texts]


def as_rows(block: Block) -> Block:
    """Returns a columnar block converted to rows."""
    assert block.by_columns
    found = block.by_columns.found.slice(block.start, block.start + len(block.lines))
    moments = block.by_columns.times
    times = [moments[place] for place in found.places(block.by_columns.time_at).tolist()]
    return Block(list(block.lines), found.rows(), times)
