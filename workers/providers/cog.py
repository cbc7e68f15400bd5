"""Any server that Cog built. `base_url` is its address; a server has one model, so a route's model is only a name.

What such a server does was tried on cog and coglet 0.23.1. PUT /predictions/{id} runs the model once while that id runs
(a second PUT is answered 202 with its state so far), but an id that has ended is forgotten at once: a PUT then runs the
model again. There is no GET for a prediction. Its result comes only as the answer to a PUT without `Prefer`, or by
webhook, unsigned. /health-check says READY while a place is free, BUSY while none is. So this file never repeats a PUT:

- The worker's thread holds the connection until the result. The server cancels a prediction whose connection closes, so
  a killed worker leaves nothing running; a lost answer is a lost result, and another attempt may be made.
- With the route option `callback` the PUT is asynchronous and the result comes by webhook. Polls read /health-check.
  Where the server runs one prediction at a time and is idle, ours is over: if the webhook does not come within a grace,
  it is lost, and the job may be tried again. A server that starts anew has forgotten everything, and that is said at
  once. Not the usual way, because Cog puts files into the webhook as `data:` URIs, and a call back may have 256 KiB: it
  is for texts, and for servers that run with `--upload-url`.

Options of a route: `callback`; `concurrency` (what the model's cog.yaml says, 1 if left out); `extra` (more input);
`cost_usd_micros_per_second` of its predict_time. A server behind a gateway gets the endpoint's key as a Bearer token.
"""

import contextlib
import re
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

import httpx

from workers.providers import results, wire
from workers.providers.base import (
    ID_CHARACTERS,
    Callback,
    Done,
    Endpoint,
    Outcome,
    OutcomeUnknown,
    Output,
    Pending,
    ProviderError,
    Recovery,
    Request,
    check_numbers,
    is_storable,
)
from workers.providers.sources import OutputSource

CALL_SECONDS = 30.0  # a call that is answered at once
POLL_SECONDS = 60.0  # the webhook tells; polls only find out that the server is gone
NUMBERS = ("concurrency", "cost_usd_micros_per_second")  # options of a route
GRACE_SECONDS = 30.0  # between "nothing runs there" and "its webhook is lost"; Cog sends a webhook several times
BUSY_RETRY_SECONDS, SETUP_RETRY_SECONDS = 2.0, 10.0
CANCELED_LOOK_SECONDS = 1.0
CANCEL_PAUSES_SECONDS = (0.0, 0.2, 1.0)
IDLE = "~idle"  # at the end of a provider job id: the last poll found the server idle
AT_CAPACITY, NOT_READY = "At capacity", "Setup has not finished"
UNDER_WAY, ENDED = {"starting", "processing"}, {"succeeded", "failed", "canceled"}
GONE = {"STARTING", "SETUP_FAILED", "DEFUNCT"}  # health of a server in which nothing of before is left
PASSING = re.compile(r"worker crashed|out of memory|shutting down", re.IGNORECASE)  # the server's fault


class Cog:
    """Safe to use from many threads."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.name = endpoint.name
        self._endpoint = endpoint
        self._wire = wire.Wire(endpoint.base_url, _explain)

    def close(self) -> None:
        self._wire.close()

    def recovery(self, request: Request) -> Recovery:  # noqa: ARG002 - the protocol's
        """Not "idempotent", though it is a PUT: an id that has ended would run again."""
        return "lookup"

    def start(self, request: Request, idempotency_key: str) -> Outcome:
        check_numbers(request.options, NUMBERS, elsewhere=False)
        prediction = _id(idempotency_key)
        return self._wait(request, prediction) if _waits(request) else self._begin(request, prediction)

    def poll(self, request: Request, provider_job_id: str) -> Outcome:
        """Whether it can still be running. Never Done: results come by webhook."""
        if _waits(request):
            raise ProviderError("unknown_job", "no prediction outlives its connection", retryable=False)
        prediction = provider_job_id.removesuffix(IDLE)
        health = self._health(request)
        if health in GONE:
            raise _lost(request, f"the server is {health}: it has forgotten the prediction")
        if health == "BUSY" or int(request.options.get("concurrency", 1)) > 1:
            return Pending(prediction, POLL_SECONDS, calls_back=True)
        if provider_job_id.endswith(IDLE):
            raise _lost(request, "nothing runs on the server, and no result was called back")
        return Pending(prediction + IDLE, GRACE_SECONDS, exact=True)

    def lookup(self, request: Request, idempotency_key: str) -> Outcome:
        """Never None: a prediction that ended and one that never began look the same."""
        prediction = _id(idempotency_key)
        if not _waits(request):
            return self.poll(request, prediction)  # if it runs or ran, its webhook comes
        # Servers older than coglet go on after the connection is closed.
        self.cancel(request, prediction)
        raise _lost(request, "the connection that held the result was lost")

    def cancel(self, request: Request, provider_job_id: str) -> None:
        """Asked until it is gone (404), a few times: of cancels in the instant after the start, Cog answers 200 and loses
        one in four (3 of 13 tried, coglet 0.23.1).
        """
        path = f"/predictions/{_id(provider_job_id.removesuffix(IDLE))}/cancel"
        try:
            for pause in CANCEL_PAUSES_SECONDS:
                time.sleep(pause)
                self._wire.send("POST", path, headers=self._headers(request), seconds=CALL_SECONDS, repeatable=True)
        except ProviderError as error:
            if error.code != "not_found":
                raise

    def callback(self, request: Request, provider_job_id: str | None, call: Callback) -> Outcome | None:
        """The whole prediction. Nothing signs it: what is believed rests on the secret part of the callback address."""
        try:
            prediction = wire.mapping(wire.parsed(call.body))
        except ValueError:
            return None
        found, status = prediction.get("id"), prediction.get("status")
        if not isinstance(found, str) or not is_storable(found, ID_CHARACTERS) or not isinstance(status, str):
            return None
        if provider_job_id is not None and found != provider_job_id.removesuffix(IDLE):
            return None
        if status in UNDER_WAY:
            return Pending(found, POLL_SECONDS, calls_back=True)
        return self._ended(request, prediction) if status in ENDED else None

    def output(self, request: Request, address: str, claimed_media_type: str | None = None) -> Output:
        return self._source(request).output(address, claimed_media_type)

    def _source(self, request: Request) -> OutputSource:
        return OutputSource(self._endpoint, request, self._headers(request))

    def _begin(self, request: Request, prediction: str) -> Pending:
        body = {
            "input": _input(request),
            "webhook": request.callback_url,
            "webhook_events_filter": ["completed"],
        }
        headers = self._headers(request) | {"Prefer": "respond-async"}
        self._wire.send(
            "PUT", f"/predictions/{prediction}", headers=headers, seconds=CALL_SECONDS, repeatable=False, json=body,
            confirm=request.confirm,
        )  # fmt: skip
        return Pending(prediction, POLL_SECONDS, calls_back=True)

    def _wait(self, request: Request, prediction: str) -> Done:
        values = _input(request)
        with self._canceled_with(request, prediction):
            answer = self._wire.send(
                "PUT",
                f"/predictions/{prediction}",
                headers=self._headers(request),
                seconds=request.seconds_left,
                repeatable=False,
                json={"input": values},
                confirm=request.confirm,
            )
        if answer.status_code == 202:
            raise OutcomeUnknown("the prediction runs already, and another connection will get its result")
        found = wire.json_of(answer)
        if not isinstance(found, dict):
            raise OutcomeUnknown("the answer is no prediction")
        return self._ended(request, found)

    @contextlib.contextmanager
    def _canceled_with(self, request: Request, prediction: str) -> Iterator[None]:
        """While a thread waits for the answer, another looks whether anybody still wants it."""
        over = threading.Event()

        def watch() -> None:
            while not over.wait(CANCELED_LOOK_SECONDS):
                if request.canceled():
                    with contextlib.suppress(ProviderError, OutcomeUnknown):
                        self.cancel(request, prediction)
                    return

        watcher = threading.Thread(target=watch, name=f"cog-{prediction}", daemon=True)
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()

    def _ended(self, request: Request, prediction: Mapping[str, Any]) -> Done:
        usage = _usage(prediction.get("metrics"))
        cost = round(_rate(request) * usage["predict_ms"] / 1000) if _rate(request) and "predict_ms" in usage else None
        status, charged = prediction.get("status"), bool(cost)
        message = " ".join(str(prediction.get("error") or "the model failed").split())[: wire.MESSAGE_CHARACTERS]
        if status == "succeeded":
            try:
                made = results.found(request.kind, prediction.get("output"), self._source(request).output)
            except results.Unreadable as error:
                raise results.unreadable(error, cost) from error
            if not made:
                raise results.none_of_kind(request.kind, prediction.get("output"), cost if _rate(request) else 0)
            return Done(made, cost, usage)
        if status == "canceled":  # not by us: somebody stopped the server
            raise ProviderError(
                "canceled", "the prediction was canceled", retryable=not request.canceled(), charged=charged,
                cost_usd_micros=cost,
            )  # fmt: skip
        if status != "failed":
            raise OutcomeUnknown(f"the prediction is {status!r}")
        if AT_CAPACITY in message or NOT_READY in message:  # the refusal of a PUT whose answer was lost
            raise _busy(message, BUSY_RETRY_SECONDS)
        raise ProviderError(
            "generation_failed", message, retryable=bool(PASSING.search(message)), charged=charged, cost_usd_micros=cost,
            elsewhere=True,
        )  # fmt: skip

    def _health(self, request: Request) -> str:
        try:
            answer = self._wire.send(
                "GET", "/health-check", headers=self._headers(request), seconds=CALL_SECONDS, repeatable=True
            )
        except ProviderError as error:
            raise OutcomeUnknown(f"the server could not be asked: {error.message}") from error
        found = wire.json_of(answer)
        return str(found.get("status")) if isinstance(found, dict) else ""

    def _headers(self, request: Request) -> dict[str, str]:
        key = request.api_key or self._endpoint.api_key
        return {"Authorization": f"Bearer {key}"} if key else {}


def _waits(request: Request) -> bool:
    return not (request.options.get("callback") and request.callback_url)


def _id(key: str) -> str:
    """A key as a part of a path; a key's own marks (`<job>:<attempt>`) stay apart."""
    return re.sub(r"[^A-Za-z0-9_-]", "-", key)


def _input(request: Request) -> dict[str, Any]:
    """What was not given is left out, so that the model's own defaults hold."""
    given = {name: value for name, value in request.input.items() if value is not None}
    files = {name: file.data_uri() for name, file in request.files.items()}
    return {**given, **(request.options.get("extra") or {}), **files}


# What is answered


def _explain(answer: httpx.Response) -> ProviderError | None:
    """409: every place is taken. 503: the model is being loaded, which may take many attempts' time, so it spends none."""
    message = wire.message_of(answer)
    if answer.status_code == 409:
        return _busy(message, BUSY_RETRY_SECONDS)
    if answer.status_code == 503 and NOT_READY in message:
        return _busy(message, SETUP_RETRY_SECONDS)
    return None


def _busy(message: str, pause: float) -> ProviderError:
    return ProviderError("limited", message, retryable=True, limited=True, retry_after_seconds=pause)


def _lost(request: Request, message: str) -> ProviderError:
    """It may have been computed; for how long, nobody can say."""
    return ProviderError("result_lost", message, retryable=True, charged=_rate(request) > 0)


def _rate(request: Request) -> float:
    return float(request.options.get("cost_usd_micros_per_second") or 0)


def _usage(metrics: Any) -> dict[str, int]:
    seconds = metrics.get("predict_time") if isinstance(metrics, dict) else None
    if not isinstance(seconds, int | float) or isinstance(seconds, bool) or not 0 <= seconds < 1e9:
        return {}
    return {"predict_ms": round(seconds * 1000)}
