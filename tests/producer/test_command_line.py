"""The producer as a user runs it, against the local cloud's Kinesis."""

import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import boto3
import pytest

from producer.simulate import SHOPS, simulated
from tests.conftest import PROJECT
from tests.support.online_retail import csv_text


@pytest.fixture
def stream(cloud):
    import uuid

    client = boto3.session.Session("test", "test", region_name="us-east-1").client(
        "kinesis", endpoint_url=cloud.cloud_url
    )
    name = f"s-{uuid.uuid4().hex[:8]}"
    client.create_stream(StreamName=name, ShardCount=2)
    client.get_waiter("stream_exists").wait(StreamName=name, WaiterConfig={"Delay": 1})
    return Stream(client, name, cloud)


class Stream:
    def __init__(self, client, name, cloud):
        self.client, self.name = client, name
        self.env = os.environ | cloud.user_environment() | {"ECOMMERCE_STREAM": name}

    def run(self, *arguments, check=True):
        done = subprocess.run(
            [sys.executable, "-m", "producer", *arguments], cwd=PROJECT, env=self.env, capture_output=True, text=True
        )
        assert not check or done.returncode == 0, done.stderr
        return done

    def events(self):
        found = []
        for shard in self.client.list_shards(StreamName=self.name)["Shards"]:
            iterator = self.client.get_shard_iterator(
                StreamName=self.name, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
            )["ShardIterator"]
            while records := (page := self.client.get_records(ShardIterator=iterator))["Records"]:
                found += [(shard["ShardId"], r["PartitionKey"], r["Data"]) for r in records]
                iterator = page["NextShardIterator"]
        return found


def test_replay_sends_each_row_with_the_same_id_every_time(stream, tmp_path):
    path = tmp_path / "shop.csv"
    path.write_text(csv_text())
    report = tmp_path / "report.json"
    for _ in range(2):
        stream.run("replay", str(path), "--report-file", str(report))
    assert json.loads(report.read_text())["sent"] == {"online_retail": 2}
    sent = [json.loads(data) for _, _, data in stream.events()]
    assert len(sent) == 4
    assert len({e["event_id"] for e in sent}) == 2
    assert {(e["feed"], e["schema_version"], e["event_time"]) for e in sent} == {
        ("online_retail", 1, "2010-12-01T08:26:00Z"),
        ("online_retail", 1, "2010-12-13T09:00:00Z"),
    }


def test_events_of_one_entity_share_a_shard_and_keys_tell_nothing(stream):
    stream.run("simulate", "--feed", "purchases", "--count", "300")
    shards: dict[str, set[str]] = {}
    for shard, key, data in stream.events():
        shards.setdefault(json.loads(data)["data"]["Phone"], set()).add(shard)
        assert len(key) == 32
    assert {len(s) for s in shards.values()} == {1}
    assert len(set.union(*shards.values())) == 2


@pytest.mark.parametrize("feed", SHOPS)
def test_the_same_seed_gives_the_same_events(feed):
    assert list(simulated(feed, 300, 5, 0.1)) == list(simulated(feed, 300, 5, 0.1))
    assert [d for _, d, _ in simulated(feed, 300, 5, 0.1)] == [d for _, d, _ in simulated(feed, 300, 5, 0.9)]
    assert [d for _, d, _ in simulated(feed, 300, 5, 0)] != [d for _, d, _ in simulated(feed, 300, 6, 0)]


def test_shops_of_two_seeds_share_no_invoice():
    first, second = ({d["InvoiceNo"].lstrip("C") for _, d, _ in simulated("online_retail", 300, s, 0)} for s in (1, 2))
    assert not first & second


def test_ctrl_c_flushes_and_reports(stream, tmp_path):
    report = tmp_path / "report.json"
    command = [
        sys.executable,
        "-m",
        "producer",
        "simulate",
        "--feed",
        "product_events",
        "--feed",
        "purchases",
        "--live",
        "--rate",
        "50",
        "--report-file",
        str(report),
    ]
    process = subprocess.Popen(command, cwd=PROJECT, env=stream.env, stderr=subprocess.PIPE, text=True)
    from local.supervision import wait_for

    try:
        wait_for(lambda: len(stream.events()) > 20, 30, "events")
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == 130
    counted = json.loads(report.read_text())
    assert (counted["finished"], sum(counted["sent"].values())) == (False, len(stream.events()))
    assert abs(counted["sent"]["product_events"] - counted["sent"]["purchases"]) <= 1
    times = {json.loads(data)["event_time"] for _, _, data in stream.events()}
    assert all(abs(datetime.now(UTC) - datetime.fromisoformat(time)) < timedelta(minutes=1) for time in times)
    assert f"stopped after {len(stream.events())} events" in said


def test_the_rate_is_kept(stream):
    import time

    started = time.monotonic()
    stream.run("simulate", "--feed", "product_events", "--count", "200", "--rate", "100")
    assert time.monotonic() - started > 1.9
    assert len(stream.events()) == 200


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param(
            ["simulate", "--feed", "purchases", "--live", "--count", "3"], "--live has no end", id="live_count"
        ),
        pytest.param(["replay", "none.csv"], "none.csv: no such file", id="no_file"),
        pytest.param(["replay", "x.csv", "--feed", "none"], "no feed 'none'; there are online_retail", id="no_feed"),
        pytest.param(["replay", "x.csv", "--date-order", "abc"], "expected mdy, dmy or ymd", id="wrong_order"),
        pytest.param(["replay", "x.csv", "--column", "Nope=x"], "no key of feed online_retail", id="wrong_column"),
        pytest.param(["simulate", "--feed", "purchases", "--stream", "none"], "stream none: ", id="no_stream"),
        pytest.param(
            ["simulate", "--feed", "purchases", "--endpoint-url", "http://127.0.0.1:9"],
            "Could not connect",
            id="no_service",
        ),
    ],
)
def test_mistakes_are_one_line(stream, arguments, says):
    done = stream.run(*arguments, check=False)
    assert done.returncode == 1
    assert says in done.stderr
    assert "Traceback" not in done.stderr
