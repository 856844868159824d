"""Runs MiniStack with its Kinesis mended: `python -m local.cloud`.

MiniStack 1.5.33 walks through every record of a stream at each PutRecords, and when records expire, the event source
mappings, which remember an index, skip as many that nobody has read. Here a stream forgets in one place, between two
polls of the mappings, only what all of them have read, and moves every remembered index along. See docs/adr/0003.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections.abc import Callable
from typing import Any

from ministack.app import main
from ministack.services import kinesis, lambda_svc

# Records that all mappings have read are kept this long for other readers. AWS keeps them for the stream's retention;
# a laptop's memory is smaller.
KEPT_SECONDS = 3600
CHECK_SECONDS = 10

_lock = threading.RLock()


def _locked(function: Callable[[dict], Any]) -> Callable[[dict], Any]:
    def call(data: dict) -> Any:
        with _lock:
            return function(data)

    return call


def _positions(stream: dict[str, Any]) -> list[dict[str, int]]:
    """Returns the indexes by shard of every event source mapping of the stream."""
    return [
        lambda_svc._kinesis_positions._data.get((account, region, esm["UUID"]), {})
        for account, region, esm in lambda_svc._iter_all_esms()
        if esm.get("EventSourceArn") == stream["StreamARN"]
    ]


def forget_read_records() -> None:
    """Drops old records that all mappings have read, and moves the indexes along. Call it between two polls."""
    cutoff = time.time() - KEPT_SECONDS
    for name, stream in [(key[-1], stream) for key, stream in kinesis._streams._data.items()]:
        positions = _positions(stream)
        for shard_id, shard in stream["shards"].items():
            with _lock:
                records = shard["records"]
                gone = bisect_left(records, cutoff, key=lambda r: r["ApproximateArrivalTimestamp"])
                gone = min([gone, *(position.get(shard_id, 0) for position in positions)])
                if not gone:
                    continue
                del records[:gone]
                for position in positions:
                    position[shard_id] -= gone
                for iterator in kinesis._shard_iterators._data.values():
                    if (iterator["stream"], iterator["shard_id"]) == (name, shard_id):
                        iterator["position"] = max(0, iterator["position"] - gone)


def mend() -> None:
    """Replaces MiniStack's forgetting by ours."""
    kinesis._expire_records = lambda stream: None
    kinesis._get_shard_iterator = _locked(kinesis._get_shard_iterator)
    kinesis._get_records = _locked(kinesis._get_records)
    poll = lambda_svc._poll_kinesis
    checked = 0.0

    def poll_and_forget() -> bool:
        nonlocal checked
        if time.monotonic() - checked > CHECK_SECONDS:
            checked = time.monotonic()
            forget_read_records()
        return bool(poll())

    lambda_svc._poll_kinesis = poll_and_forget


if __name__ == "__main__":
    mend()
    main()
