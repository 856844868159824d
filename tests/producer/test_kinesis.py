import threading

import pytest
from ecommerce_elt.errors import PermanentError, TransientError

from producer import sink
from producer.kinesis import KinesisSink
from producer.sink import Record


class Throttling:
    """Kinesis as it answers under load, which the local emulator never does: some entries of a request fail."""

    def __init__(self, fails):
        self.fails, self.stored, self.requests, self.lock = fails, [], [], threading.Lock()

    def put_records(self, StreamName, Records):  # noqa: N803  # boto3's names
        with self.lock:
            self.requests.append(len(Records))
            answer = []
            for entry in Records:
                if self.fails(len(self.requests), entry):
                    answer.append(
                        {"ErrorCode": "ProvisionedThroughputExceededException", "ErrorMessage": "Rate exceeded"}
                    )
                else:
                    self.stored.append(entry["Data"])
                    answer.append({"SequenceNumber": "1", "ShardId": "shardId-0"})
        return {"FailedRecordCount": sum("ErrorCode" in a for a in answer), "Records": answer}


@pytest.fixture(autouse=True)
def short_waits(monkeypatch):
    monkeypatch.setattr(sink, "BACKOFF_FIRST_SECONDS", 0.001)
    monkeypatch.setattr(sink, "BACKOFF_MAX_SECONDS", 0.005)


def records(count, size=10):
    return [
        Record(f"{i:010d}".encode().ljust(size, b"."), f"key{i}", "purchases" if i % 2 else "online_retail")
        for i in range(count)
    ]


def send(client, items, **kwargs):
    with KinesisSink(client, "stream", **kwargs) as sink:
        for item in items:
            sink.put(item)
    return sink.report


def test_requests_are_full_and_nothing_is_lost():
    client = Throttling(lambda request, entry: False)
    report = send(client, records(1234))
    assert sorted(client.requests) == [234, 500, 500]
    assert sorted(client.stored) == [r.data for r in records(1234)]
    assert (report.sent, report.resent) == ({"online_retail": 617, "purchases": 617}, 0)


def test_a_request_stays_below_five_megabytes():
    client = Throttling(lambda request, entry: False)
    send(client, records(20, size=900_000))
    assert max(client.requests) == 5


def test_only_what_failed_is_sent_again():
    failed_once = set()

    def fails(request, entry):
        if entry["Data"].startswith(b"0000000") and entry["Data"][-1:] in b"37" and entry["Data"] not in failed_once:
            failed_once.add(entry["Data"])
            return True
        return False

    client = Throttling(fails)
    report = send(client, records(1000), in_flight=3)
    assert sorted(client.stored) == [r.data for r in records(1000)]
    assert report.resent == len(failed_once) == 200
    assert sum(report.sent.values()) == 1000


def test_records_that_always_fail_are_an_error_and_the_report_tells_what_went():
    client = Throttling(lambda request, entry: entry["Data"] == b"0000000007")
    sink = KinesisSink(client, "stream")

    def put_all():
        with sink:
            for item in records(10):
                sink.put(item)

    with pytest.raises(
        TransientError, match="1 records failed 12 times: {'ProvisionedThroughputExceededException': 1}"
    ):
        put_all()
    assert sum(sink.report.sent.values()) == 9


def test_a_record_that_is_too_large_is_refused():
    with pytest.raises(PermanentError, match="Kinesis takes 1,048,576"):
        send(Throttling(lambda r, e: False), [Record(b"x" * 1024**2, "key", "purchases")])
