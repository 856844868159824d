"""The HTTP sink against an API that answers as API Gateway and ingest_api do under load."""

import json
import threading
import traceback
from collections import Counter
from random import Random

import httpx
import pytest
from ecommerce_elt.errors import PermanentError, TransientError

from producer import http, sink
from producer.http import HttpSink
from producer.sink import Record


@pytest.fixture(autouse=True)
def short_waits(monkeypatch):
    monkeypatch.setattr(sink, "BACKOFF_FIRST_SECONDS", 0.001)
    monkeypatch.setattr(sink, "BACKOFF_MAX_SECONDS", 0.005)


class Api:
    """Keeps what it accepts by event id, and answers as `behave` says."""

    def __init__(self, behave=lambda events: 202):
        self.behave, self.accepted, self.requests, self.bodies, self.lock = behave, Counter(), [], [], threading.Lock()

    def __call__(self, request):
        assert request.headers["x-api-key"] == "secret"
        self.bodies.append(request.content)
        try:
            events = json.loads(request.content)
        except ValueError:
            return httpx.Response(400, json={"message": "the body: not JSON"})
        with self.lock:
            self.requests.append(len(events))
            verdict = self.behave(events)
            if isinstance(verdict, httpx.Response):
                return verdict
            if isinstance(verdict, Exception):
                raise verdict
            if isinstance(verdict, list):
                self.accepted.update(e["event_id"] for e, status in zip(events, verdict, strict=True) if status == 202)
                results = [{"index": i, "event_id": "", "status": s} for i, s in enumerate(verdict)]
                return httpx.Response(207, json={"message": "", "results": results})
            if verdict == 202:
                self.accepted.update(e["event_id"] for e in events)
            return httpx.Response(verdict, json={"message": "no"})


def records(count, size=10):
    return [Record(json.dumps({"event_id": str(i), "x": "y" * size}).encode(), "k", "purchases") for i in range(count)]


def send(api, what, **more):
    with HttpSink("http://api", "secret", transport=httpx.MockTransport(api), **more) as opened:
        for record in what:
            opened.put(record)
    return opened.report


def test_requests_are_full(monkeypatch):
    api = Api()
    assert send(api, records(1200)).sent == {"purchases": 1200}
    assert sorted(api.requests) == [200, 500, 500]
    large = Api()
    send(large, records(10, size=1_000_000))
    assert max(large.requests) == 4


def test_whatever_fails_for_a_while_each_event_is_accepted_and_counted_once():
    random = Random(1)

    def behave(events):
        kind = random.choice(["ok"] * 6 + [429, 503, 502, "lost", "some", "accepted but lost"])
        if kind == "ok":
            return 202
        if kind == "some":
            return [random.choice([202, 429, 503]) for _ in events]
        if kind == "lost":
            return httpx.ConnectError("gone")
        if kind == "accepted but lost":
            api.accepted.update(e["event_id"] for e in events)
            return httpx.ReadTimeout("late")
        return kind

    api = Api(behave)
    report = send(api, records(5000), in_flight=4)
    assert report.sent == {"purchases": 5000}
    assert set(api.accepted) == {str(i) for i in range(5000)}
    assert report.resent > 0


def test_what_the_api_refuses_is_counted_with_its_reason_and_the_rest_goes_on():
    def behave(events):
        bad = [i for i, e in enumerate(events) if int(e["event_id"]) % 7 == 0]
        if not bad:
            return 202
        errors = [{"index": i, "field": "data", "rule": "expected more"} for i in bad]
        return httpx.Response(400, json={"message": "nothing was accepted", "errors": errors})

    api = Api(behave)
    report = send(api, records(70))
    assert (report.sent["purchases"], report.refused["purchases"], set(report.refusals)) == (
        60,
        10,
        {"data: expected more"},
    )
    assert len(api.accepted) == 60


def test_what_is_no_json_goes_alone_and_costs_no_other_event():
    api = Api()
    what = [*records(10), Record(b'{"half', "k", "unreadable"), *records(20)[10:]]
    report = send(api, what, alone=frozenset({"unreadable"}))
    assert (report.sent, report.refused) == ({"purchases": 20}, {"unreadable": 1})
    hidden = send(Api(), what)  # not announced: found by halving
    assert (hidden.sent, hidden.refused) == ({"purchases": 20}, {"unreadable": 1})


@pytest.mark.parametrize("status", [401, 403, 404, 415])
def test_what_no_retry_mends_ends_at_once(status):
    api = Api(lambda events: status)
    with pytest.raises(PermanentError, match=str(status)):
        send(api, records(3))
    assert len(api.requests) == 1


def test_an_api_that_stays_down_is_given_up():
    with pytest.raises(TransientError, match="3 events failed 12 times"):
        send(Api(lambda events: 503), records(3))


def test_retry_after_is_waited_for(monkeypatch):
    waits = []
    monkeypatch.setattr(sink.time, "sleep", waits.append)
    answers = [httpx.Response(429, json={"message": "slow"}, headers={"Retry-After": "7"})]
    send(Api(lambda events: answers.pop() if answers else 202), records(1))
    assert waits == [7.0]


@pytest.mark.parametrize(("status", "fails"), [(400, False), (403, True), (404, True), (202, True)])
def test_check_sends_no_event(status, fails):
    api = Api(lambda events: httpx.Response(status, json={"message": "m"}))
    with HttpSink("http://api/", "secret", transport=httpx.MockTransport(api)) as opened:
        if fails:
            with pytest.raises(PermanentError):
                opened.check()
        else:
            opened.check()
    assert api.requests == [0]
    assert http.REQUEST_MAX_BYTES < 5 * 1024**2


@pytest.mark.parametrize(("correcting", "says"), [(False, "may not send"), (True, "may not correct")])
def test_check_names_the_key_and_the_right_that_it_lacks(correcting, says):
    def behave(events):
        lacks = "correct" if any(e.get("event_version", 1) > 1 for e in events) else "send"
        return httpx.Response(403, json={"message": f"the key shop may not {lacks}; it may read"})

    api = Api(behave)
    with (
        HttpSink("http://api", "secret", transport=httpx.MockTransport(api)) as opened,
        pytest.raises(PermanentError, match=f"403 the key shop {says}"),
    ):
        opened.check(correcting=correcting)


def test_a_key_that_api_gateway_does_not_know_is_said_to_be_so():
    api = Api(lambda events: httpx.Response(403, json={"message": "Forbidden"}))
    with pytest.raises(PermanentError, match="does not know this key"):
        send(api, records(1))


def test_what_the_api_takes_with_warnings_is_counted_once_with_the_first_reasons():
    def behave(events):
        warnings = [
            {"index": i, "field": "Age", "rule": "type", "expected": "a whole number"}
            for i, e in enumerate(events)
            if int(e["event_id"]) % 10 == 0
        ]
        first = len(api.requests) == 1
        api.accepted.update(e["event_id"] for e in (events[10:] if first else events))
        if first:
            results = [{"index": i, "status": 503 if i < 10 else 202} for i in range(len(events))]
            return httpx.Response(207, json={"message": "", "results": results, "warnings": warnings})
        return httpx.Response(202, json={"warnings": warnings})

    api = Api(behave)
    report = send(api, records(200))
    assert (report.sent, report.warned, len(api.accepted)) == ({"purchases": 200}, 20, 200)
    assert report.warnings == ["Age: type: expected a whole number"] * http.REASONS_KEPT


@pytest.mark.parametrize("status", [202, 207, 400, 403, 413, 418])
def test_a_proxy_that_shows_what_was_sent_is_not_quoted(status):
    def proxy(request):
        return httpx.Response(
            status, content=b"<html>cannot take " + request.content, headers={"Content-Type": "text/html"}
        )

    sent = [Record(b'{"data": {"Name": "Quirinius Zzyzx"}}', "k", "purchases")]
    with pytest.raises(PermanentError, match=rf"http://api/events: {status} and \d+ bytes of text/html") as raised:
        send(proxy, sent)
    assert "Quirinius" not in "".join(traceback.format_exception(raised.value))


def test_a_server_that_speaks_no_http_is_not_quoted(monkeypatch):
    monkeypatch.setattr("producer.sink.BACKOFF_FIRST_SECONDS", 0.0)

    def fail(request):
        raise httpx.RemoteProtocolError(f"illegal status line: {request.content!r}")

    sent = [Record(b'{"data": {"Name": "Quirinius Zzyzx"}}', "k", "purchases")]
    with pytest.raises(TransientError, match="1 events failed 12 times: RemoteProtocolError") as raised:
        send(fail, sent)
    assert "Quirinius" not in "".join(traceback.format_exception(raised.value))
