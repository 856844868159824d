"""The records that a command sends: of a file, or simulated."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from random import Random

import orjson
from ecommerce_elt.batches.manifests import UNREADABLE
from ecommerce_elt.feeds.contracts import Contract
from ecommerce_elt.feeds.events import Envelopes, envelope, event_ids
from ecommerce_elt.landing.identity import FileIdentity
from ecommerce_elt.readers.blocks import BLOCK_ROWS

from producer.console import err
from producer.simulate import simulated
from producer.sink import Record


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@lru_cache(maxsize=1 << 16)
def partition_key(value: object) -> str:
    """Returns the partition key, a hash, because an entity may be a person and keys must not hold personal data."""
    return sha256(str(value).encode()).hexdigest()[:32]


def file_records(path: Path, found: FileIdentity, event_version: int, rate: float | None) -> Iterator[Record]:
    source, survey = found.source, found.survey
    feed, keys = source.contract.feed, survey.keys
    envelopes = Envelopes(keys, feed=feed, version=source.contract.version, event_version=event_version)
    key_of = source.contract.column(source.contract.partition_key).header
    key_at = keys.index(key_of) if key_of in keys else len(keys)
    with found:
        err.print(f"{path}: {found}", highlight=False, markup=False, soft_wrap=True)
        # With a rate, a block holds the events of a tenth of a second, because `sent_at` is the time of encoding.
        for block, ids in found.blocks(max(1, int(rate / 10)) if rate else BLOCK_ROWS):
            lines = source.encoded(block, ids, envelopes, now()).split(b"\n")[:-1]
            if block.records is None:
                entities: list[object] = [
                    values[key_at] if key_at < len(values) <= len(keys) else line
                    for line, values in zip(block.lines, block.values, strict=True)
                ]
            else:
                entities = [
                    _as_text(record.get(key_of, line)) for line, record in zip(block.lines, block.records, strict=True)
                ]
            for data, entity in zip(lines, entities, strict=True):
                yield Record(data, partition_key(entity), feed)
    source.release()


def _as_text(value: object) -> object:
    # The value of a number is a fragment with its original text.
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def simulated_records(
    contract: Contract, count: int | None, seed: int, run: str, bad_rate: float, repeat_rate: float
) -> Iterator[Record]:
    """Yields simulated events of the feed, without end if `count` is None.

    Args:
        run: makes the event ids those of one run; empty gives the same ids each time.
    """
    name = contract.feed
    identify = event_ids(f"simulate/{name}/{seed}{run}")
    key_of = contract.column(contract.partition_key).header
    again = Random(f"{name}/{seed}/again")
    for number, (moment, data, broken) in enumerate(simulated(name, count, seed, bad_rate), 1):
        entity = partition_key(data[key_of])
        time_lost = bool(broken and broken.time_is_lost)
        sent = broken.data(data) if broken and broken.data else data
        line = envelope(
            event_id=identify(number),
            feed=name,
            version=contract.version,
            event_time=None if time_lost else moment,
            sent_at=now(),
            data=sent,
        )
        record = Record(line, entity, name)
        if broken and broken.line:
            record = Record(broken.line(line), entity, UNREADABLE)
        yield record
        if again.random() < repeat_rate:
            yield record
