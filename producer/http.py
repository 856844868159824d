"""Sink for POST /events: sends batches of envelopes and retries each, with the same event_id, until it is settled."""

from __future__ import annotations

from typing import Any

import httpx
from ecommerce_elt.errors import PermanentError, TransientError, without_values

from producer.sink import ATTEMPTS, Record, Sink

# docs/openapi.yaml: 500 events and 5 MiB per request. The limit of a record is that of Kinesis.
REQUEST_MAX_RECORDS = 500
REQUEST_MAX_BYTES = 4 * 1024**2
RECORD_MAX_BYTES = 1024**2
TIMEOUT_SECONDS = 35.0  # API Gateway responds within 30 s
REASONS_KEPT = 10


class HttpSink(Sink):
    """Sends records, which are envelopes, to the HTTP API.

    Args:
        url: URL of the API, without /events.
        api_key: the key to send as x-api-key.
        alone: values of `counted_as` whose records are sent in requests of their own, because they may not be JSON.
        transport: HTTP transport, for tests.
        in_flight: number of concurrent requests.
        more: the other arguments of `Sink`.
    """

    request_max_records, request_max_bytes = REQUEST_MAX_RECORDS, REQUEST_MAX_BYTES
    record_max_bytes, takes = RECORD_MAX_BYTES, "the API"

    def __init__(
        self,
        url: str,
        api_key: str,
        *,
        alone: frozenset[str] = frozenset(),
        transport: httpx.BaseTransport | None = None,
        in_flight: int = 4,
        **more: Any,
    ) -> None:
        super().__init__(in_flight=in_flight, **more)
        self.url, self.alone = f"{url.rstrip('/')}/events", alone
        self.client = httpx.Client(
            headers={"x-api-key": api_key, "Content-Type": "application/json"},
            timeout=TIMEOUT_SECONDS,
            limits=httpx.Limits(max_connections=in_flight, max_keepalive_connections=in_flight),
            transport=transport,
        )

    def __exit__(self, *exc: object) -> None:
        try:
            super().__exit__(*exc)
        finally:
            self.client.close()

    def check(self, *, correcting: bool = False) -> None:
        """Checks that the API responds and that the key has the required rights, without sending an event.

        Args:
            correcting: whether events above version 1 will be sent, which requires a separate right.

        Raises:
            PermanentError: the API does not respond, or the key is unknown or lacks a right.
        """
        no_event = b'[{"feed": "", "event_version": 2, "data": {}}]' if correcting else b"[]"
        try:
            answer = self.client.post(self.url, content=no_event)
        except httpx.HTTPError as error:
            raise PermanentError(f"{self.url}: {error}") from error
        if answer.status_code != 400:
            raise PermanentError(_message(self.url, answer))

    def put(self, record: Record) -> None:
        if record.counted_as in self.alone:
            self.flush()
            super().put(record)
            self.flush()
        else:
            super().put(record)

    def _send(self, batch: list[Record]) -> None:
        waiting, problem, retry_after = batch, "", 0.0
        for attempt in range(ATTEMPTS):
            self._wait_before(attempt, len(waiting), retry_after)
            try:
                body = b"[" + b",".join(record.data for record in waiting) + b"]"
                answer = self.client.post(self.url, content=body)
            except httpx.TransportError as error:
                problem = without_values(error)
                continue
            retry_after = _seconds(answer.headers.get("Retry-After"))
            problem = _message(self.url, answer)
            if answer.status_code in {202, 207, 400, 413} and not _is_of_the_api(answer):
                raise PermanentError(problem)
            match answer.status_code:
                case 202:
                    self._warned(answer, set(range(len(waiting))))
                    self._settled(waiting)
                    return
                case 207:
                    done = {result["index"] for result in answer.json()["results"] if result["status"] == 202}
                    self._warned(answer, done)
                    self._settled([record for i, record in enumerate(waiting) if i in done])
                    waiting = [record for i, record in enumerate(waiting) if i not in done]
                case 400 | 413:
                    waiting = self._without_refused(waiting, answer)
                case status if status == 429 or status >= 500:
                    continue
                case _:
                    raise PermanentError(problem)
            if not waiting:
                return
        raise TransientError(f"{len(waiting)} events failed {ATTEMPTS} times: {problem}")

    def _warned(self, answer: httpx.Response, done: set[int]) -> None:
        """Counts the events that the API accepted with the warning that the cleaning step will reject them."""
        told = [w for w in answer.json().get("warnings", []) if w["index"] in done]
        with self._lock:
            self.report.warned += len({w["index"] for w in told})
            room = REASONS_KEPT - len(self.report.warnings)
            self.report.warnings += [
                f"{w['field']}: {w['rule']}: expected {w['expected']}" for w in told[: max(0, room)]
            ]

    def _without_refused(self, waiting: list[Record], answer: httpx.Response) -> list[Record]:
        """Counts the events that the API refused, and returns the rest, because nothing of the request was accepted."""
        body = answer.json()
        errors = body.get("errors", [])
        if not errors and len(waiting) > 1:  # the API refused the whole body because of some event in it
            half = len(waiting) // 2
            self._send(waiting[:half])
            self._send(waiting[half:])
            return []
        reasons = {e["index"]: f"{e['field']}: {e['rule']}" for e in errors} or {0: body["message"]}
        with self._lock:
            for index, reason in reasons.items():
                self.report.refused[waiting[index].counted_as] += 1
                if len(self.report.refusals) < REASONS_KEPT:
                    self.report.refusals.append(reason)
        self.on_sent(len(reasons))
        return [record for i, record in enumerate(waiting) if i not in reasons]


def _seconds(text: str | None) -> float:
    return float(text) if text and text.isdigit() else 0.0


def _is_of_the_api(answer: httpx.Response) -> bool:
    try:
        return isinstance(answer.json(), dict)
    except ValueError:
        return False


def _message(url: str, answer: httpx.Response) -> str:
    """Returns the API's message. The response of a proxy or firewall is not quoted, because it may show sent data."""
    if _is_of_the_api(answer):
        said = answer.json().get("message", "")
    else:
        said = f"and {len(answer.content):,} bytes of {answer.headers.get('Content-Type', 'nothing')}, which is not the API's JSON"
    if answer.status_code == 403 and said == "Forbidden":  # from API Gateway; the message of ingest_api names the right
        said = "the API does not know this key (--api-key)"
    return f"{url}: {answer.status_code} {said}"
