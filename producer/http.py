"""POST /events: batches of envelopes, sent again with the ids that they have until each is accepted or refused."""

from __future__ import annotations

from typing import Any

import httpx
from ecommerce_elt.errors import PermanentError, TransientError, without_values

from producer.sink import ATTEMPTS, Record, Sink

# docs/openapi.yaml: 500 events and 5 MiB a request; a record's limit is the one of Kinesis.
REQUEST_MAX_RECORDS = 500
REQUEST_MAX_BYTES = 4 * 1024**2
RECORD_MAX_BYTES = 1024**2
TIMEOUT_SECONDS = 35.0  # API Gateway answers after 30 s at the latest
REASONS_KEPT = 10


class HttpSink(Sink):
    """Sends records, which are envelopes, to the HTTP API.

    Args:
        url: of the API, without /events.
        api_key: sent as x-api-key.
        alone: counts whose records go in requests of their own, because they may be no JSON.
        transport: for tests.
        more: as `Sink`.
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
        """Raises PermanentError where the API is not there, or the key is not known or may not do this; sends no event.

        Args:
            correcting: whether events above version 1 are to be sent, which is a right of its own.
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
        """Counts what the API took and knows that the cleaning will reject."""
        told = [w for w in answer.json().get("warnings", []) if w["index"] in done]
        with self._lock:
            self.report.warned += len({w["index"] for w in told})
            room = REASONS_KEPT - len(self.report.warnings)
            self.report.warnings += [
                f"{w['field']}: {w['rule']}: expected {w['expected']}" for w in told[: max(0, room)]
            ]

    def _without_refused(self, waiting: list[Record], answer: httpx.Response) -> list[Record]:
        """Counts what the API names as wrong, and returns the rest: nothing of the request was accepted."""
        body = answer.json()
        errors = body.get("errors", [])
        if not errors and len(waiting) > 1:  # the whole body, for the sake of some event in it
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
    """The API's own words. Whoever else answers, a proxy or a firewall, may show what was sent."""
    if _is_of_the_api(answer):
        said = answer.json().get("message", "")
    else:
        said = f"and {len(answer.content):,} bytes of {answer.headers.get('Content-Type', 'nothing')}, which is not the API's JSON"
    if answer.status_code == 403 and said == "Forbidden":  # API Gateway's own word; ingest_api's names the right
        said = "the API does not know this key (--api-key)"
    return f"{url}: {answer.status_code} {said}"
