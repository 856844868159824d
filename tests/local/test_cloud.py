"""MiniStack's stream, mended: what is forgotten was read, and nobody's place is lost."""

import sys
import time

import pytest


@pytest.fixture
def cloud_module(monkeypatch):
    for name, value in {"PERSIST_STATE": "0", "IOT_MTLS_ENABLED": "0", "SFTP_ENABLED": "0"}.items():
        monkeypatch.setenv(name, value)
    from local import cloud

    yield cloud
    for name in [n for n in sys.modules if n.startswith("ministack")]:
        sys.modules.pop(name)
    sys.modules.pop("local.cloud")


def test_only_old_records_that_all_have_read_are_forgotten(cloud_module):
    kinesis, lambdas = cloud_module.kinesis, cloud_module.lambda_svc
    old, now = time.time() - cloud_module.KEPT_SECONDS - 60, time.time()
    records = [
        {"SequenceNumber": str(i), "ApproximateArrivalTimestamp": old if i < 6 else now, "Data": "", "PartitionKey": ""}
        for i in range(10)
    ]
    arn = "arn:aws:kinesis:us-east-1:000000000000:stream/s"
    kinesis._streams._data[("000000000000", "us-east-1", "s")] = {
        "StreamARN": arn,
        "shards": {"shard-0": {"records": records}},
    }
    for uuid, position in (("fast", 9), ("slow", 4)):
        lambdas._esms._data[("000000000000", "us-east-1", uuid)] = {"UUID": uuid, "EventSourceArn": arn}
        lambdas._kinesis_positions._data[("000000000000", "us-east-1", uuid)] = {"shard-0": position}
    kinesis._shard_iterators._data[("000000000000", "us-east-1", "token")] = {
        "stream": "s",
        "shard_id": "shard-0",
        "position": 7,
    }

    cloud_module.forget_read_records()

    assert [r["SequenceNumber"] for r in records] == ["4", "5", "6", "7", "8", "9"]
    positions = {key[-1]: p["shard-0"] for key, p in lambdas._kinesis_positions._data.items()}
    assert positions == {"fast": 5, "slow": 0}
    assert kinesis._shard_iterators._data[("000000000000", "us-east-1", "token")]["position"] == 3
