"""fal's queue. `base_url` is https://queue.fal.run; a route's model is `owner/app` or `owner/app/path`.

A lost answer to a start cannot be recovered: no idempotency key was found in fal's documentation (searched 2026-11), and
requests cannot be looked for by anything of ours. X-Fal-Request-Timeout bounds what a lost one costs: it does not begin after that. A
signed call back tells its id after all.

Options of a route: `extra` (more input); `poll_seconds`; `cost_usd_micros_per_call`, `_per_second` (of inference_time)
and `_per_output`, which add up. fal does not charge for failures of its own (5xx).
Options of the endpoint: `jwks_url`, the keys that sign fal's calls back.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import httpx

from workers.providers import results, wire
from workers.providers.base import (
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
)
from workers.providers.fal_keys import SigningKeys
from workers.providers.sources import OutputSource

CALL_SECONDS = 30.0  # every call to a queue is answered at once
POLL_SECONDS = 1.0
POLL_SECONDS_WHEN_CALLED_BACK = 10.0  # the call back comes first; polling finds those that never came
POLL_SECONDS_PER_PLACE, POLL_SECONDS_LIMIT = 0.25, 15.0  # far back in the queue there is less news
LATEST_LOGS = 50  # lines, from the end, in which progress is looked for
JWKS_URL = "https://rest.fal.ai/.well-known/jwks.json"
NAMESPACES = {"workflows", "comfy"}  # stand before owner and app
MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*){1,6}")
ID = re.compile(r"[A-Za-z0-9_~-][A-Za-z0-9._~:-]{0,499}")
CODE = re.compile(r"[a-z][a-z0-9_]{0,49}")
PERCENT = re.compile(r"(?<![\d.])(\d{1,3})(?:\.\d+)?%")
PASSING = {"request_timeout", "startup_timeout", "internal_error"}  # besides runner_*: fal's fault, not the input's
ASKING_FAILED = {"limited", "unauthorized", "provider_unpaid", "unreachable", "not_found"}
NOT_YET = re.compile(r"still in (progress|queue)", re.IGNORECASE)
RATES = ("cost_usd_micros_per_call", "cost_usd_micros_per_second", "cost_usd_micros_per_output")
NUMBERS = (*RATES, "poll_seconds")  # options of a route


class Fal:
    """Safe to use from many threads."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.name = endpoint.name
        self._endpoint = endpoint
        self._wire = wire.Wire(endpoint.base_url, _explain)
        self._keys = SigningKeys(str(endpoint.options.get("jwks_url") or JWKS_URL))

    def close(self) -> None:
        self._wire.close()

    def recovery(self, request: Request) -> Recovery:  # noqa: ARG002 - the protocol's
        return "none"

    def start(self, request: Request, idempotency_key: str) -> Outcome:  # noqa: ARG002 - fal knows no keys
        check_numbers(request.options, NUMBERS)
        path = "/" + "/".join(_parts(request.model))
        if request.callback_url:
            path += f"?fal_webhook={quote(request.callback_url, safe='')}"
        headers = self._headers(request) | {"X-Fal-Request-Timeout": str(max(1, int(request.seconds_left)))}
        answer = self._wire.send(
            "POST", path, headers=headers, seconds=CALL_SECONDS, repeatable=False, json=_input(request),
            confirm=request.confirm,
        )  # fmt: skip
        found = _id(wire.json_of(answer))
        if not found:
            raise OutcomeUnknown("the provider's answer names no request by an id that it can be asked for by")
        return self._pending(request, found)

    def poll(self, request: Request, provider_job_id: str) -> Outcome:
        """Not being able to ask is no failure of the generation: only 404, and what the result itself says, are."""
        return results.ask_again(lambda: self._shown(request, provider_job_id))

    def _shown(self, request: Request, provider_job_id: str) -> Outcome:
        place = _place(request.model, provider_job_id)
        try:
            status = wire.mapping(wire.json_of(self._get(request, f"{place}/status?logs=1")))
        except ProviderError as error:
            if error.code == "not_found":
                raise ProviderError("unknown_job", error.message, retryable=False) from error
            raise OutcomeUnknown(f"the provider could not be asked: {error.code}: {error.message}") from error
        match status.get("status"):
            case "IN_QUEUE":
                back = status.get("queue_position")
                back = back if isinstance(back, int) and back > 0 else 0
                pause = self._pause(request) + back * POLL_SECONDS_PER_PLACE
                return self._pending(request, provider_job_id, min(pause, POLL_SECONDS_LIMIT))
            case "IN_PROGRESS":
                return self._pending(request, provider_job_id, percent=progress(status.get("logs")))
            case "COMPLETED":
                return self._result(request, place, status)
        raise OutcomeUnknown(f"the provider's answer has no status that is known: {status.get('status')!r}")

    def lookup(self, request: Request, idempotency_key: str) -> Outcome | None:  # noqa: ARG002 - the protocol's
        """Never None, which would say that the generation did not begin."""
        raise OutcomeUnknown("fal cannot be asked about a key")

    def cancel(self, request: Request, provider_job_id: str) -> None:
        """400 (it has ended) and 404 are fine: there is nothing left to stop."""
        path = f"{_place(request.model, provider_job_id)}/cancel"
        try:
            self._wire.send("PUT", path, headers=self._headers(request), seconds=CALL_SECONDS, repeatable=True)
        except ProviderError as error:
            if error.code not in {"not_found", "invalid_input", "canceled"}:
                raise

    def callback(self, request: Request, provider_job_id: str | None, call: Callback) -> Outcome | None:
        """{request_id, gateway_request_id, status, payload, error}. It also names a request whose start's answer was lost.

        It has no inference_time and sometimes no payload (too big, or no JSON): then the queue is asked.
        """
        if not self._keys.is_signed(call):
            return None
        try:
            fields = wire.mapping(wire.parsed(call.body))
        except ValueError:
            return None
        found, payload = _id(fields), fields.get("payload")
        if not found or (provider_job_id is not None and found != provider_job_id):
            return None
        if fields.get("status") == "ERROR":
            # "Invalid status code: 422": the status of the result.
            status = re.search(r"\b([45]\d\d)\b", str(fields.get("error") or ""))
            body = wire.mapping(payload) or {"detail": str(fields.get("error") or "")}
            raise _failure(int(status[1]) if status else 500, body)
        if fields.get("status") != "OK":
            return self._pending(request, found)
        if payload is not None and not request.options.get("cost_usd_micros_per_second"):
            try:
                return replace(_done(request, self._endpoint, payload, None), provider_job_id=found)
            except ProviderError as error:
                if error.code != results.CUT_OFF:
                    raise
        return results.last_word(self.poll, request, found, known=provider_job_id is not None)

    def output(self, request: Request, address: str, claimed_media_type: str | None = None) -> Output:
        """fal's results need no key."""
        return OutputSource(self._endpoint, request).output(address, claimed_media_type)

    def _result(self, request: Request, place: str, status: Mapping[str, Any]) -> Done:
        """A request that failed is COMPLETED too; its result is then the refusal, in fal's words.

        Without these, and where the status spoke of no error, a refusal is about the question: a gateway's bare 500, or
        a 404 or "still in progress" of a copy that lags behind, is no failure of the generation, and to take it for one
        would pay for another.
        """
        try:
            payload = wire.json_of(self._get(request, place))
        except (OutcomeUnknown, ProviderError) as error:
            if isinstance(error, ProviderError) and _is_fals_word(error):
                raise
            if status.get("error") or status.get("error_type"):
                raise _failure(500, {"detail": status.get("error"), "error_type": status.get("error_type")}) from error
            raise OutcomeUnknown(f"the result could not be had: {error.message}") from error
        return _done(request, self._endpoint, payload, wire.mapping(status.get("metrics")).get("inference_time"))

    def _get(self, request: Request, path: str) -> httpx.Response:
        return self._wire.send("GET", path, headers=self._headers(request), seconds=CALL_SECONDS, repeatable=True)

    def _pending(
        self, request: Request, provider_job_id: str, least: float = 0.0, percent: int | None = None
    ) -> Pending:
        return Pending(
            provider_job_id, max(self._pause(request), least), percent, calls_back=bool(request.callback_url),
            exact=bool(request.options.get("poll_seconds")),
        )  # fmt: skip

    def _pause(self, request: Request) -> float:
        usual = POLL_SECONDS_WHEN_CALLED_BACK if request.callback_url else POLL_SECONDS
        return max(0.1, float(request.options.get("poll_seconds") or usual))

    def _headers(self, request: Request) -> dict[str, str]:
        key = request.api_key or self._endpoint.api_key
        return {"Authorization": f"Key {key}"} if key else {}


def progress(logs: Any) -> int | None:
    """Percent, from the last line of the logs that has one."""
    if not isinstance(logs, list):
        return None
    for line in reversed(logs[-LATEST_LOGS:]):
        message = line.get("message") if isinstance(line, dict) else line
        found = PERCENT.findall(str(message)[-500:])
        if found:
            return min(100, int(found[-1]))
    return None


# What is asked


def _parts(model: str) -> list[str]:
    parts = model.split("/")
    if not MODEL.fullmatch(model) or (parts[0] in NAMESPACES and len(parts) < 3):
        raise ProviderError(
            "unknown_model", f"a model is owner/app or owner/app/path, not {model!r}", retryable=False, elsewhere=True
        )
    return parts


def _place(model: str, request_id: str) -> str:
    """Where a request is; the app's own path is not part of it."""
    if not ID.fullmatch(request_id):
        raise ProviderError("unknown_job", "this is no request's id", retryable=False)
    parts = _parts(model)
    return "/" + "/".join(parts[: 3 if parts[0] in NAMESPACES else 2]) + f"/requests/{request_id}"


def _input(request: Request) -> dict[str, Any]:
    """What was not given is left out. Files go as `data:` URIs, which fal takes wherever it takes an address."""
    given = {name: value for name, value in request.input.items() if value is not None}
    files = {name: file.data_uri() for name, file in request.files.items()}
    return {**given, **(request.options.get("extra") or {}), **files}


# What is answered


def _id(fields: Any) -> str:
    """A request's id. Empty where there is none, or none that it could be asked for by."""
    found = wire.mapping(fields).get("request_id")
    return found if isinstance(found, str) and ID.fullmatch(found) else ""


def _explain(answer: httpx.Response) -> ProviderError | None:
    """fal's own words about a refusal. None: it did not say, so the status alone speaks."""
    try:
        body = dict(wire.mapping(wire.parsed(answer.content)))
    except ValueError:
        body = {}
    if "error_type" not in body and "x-fal-error-type" in answer.headers:
        body["error_type"] = answer.headers["x-fal-error-type"]
    if answer.status_code == 403 and re.search(r"balance|locked", str(body.get("detail")), re.IGNORECASE):
        return ProviderError("provider_unpaid", wire.message_of(answer), retryable=False, elsewhere=True)
    if "error_type" in body or (answer.status_code in {400, 422, 499, 500} and "detail" in body):
        return _failure(answer.status_code, body)
    return None


def _is_fals_word(error: ProviderError) -> bool:
    """Whether a refusal of a result is about the generation, and not about the question."""
    return not (error.code in ASKING_FAILED or error.code.startswith("http_") or NOT_YET.search(error.message))


def _failure(status: int, body: Mapping[str, Any]) -> ProviderError:
    """`detail` is a sentence with an `error_type` (a request error) or a list of {loc, msg, type} (the model's)."""
    detail, error_type = body.get("detail"), str(body.get("error_type") or "")
    listed = [each for each in detail if isinstance(each, Mapping)] if isinstance(detail, list) else []
    words = "; ".join(str(each.get("msg") or each.get("type")) for each in listed[:3]) or str(detail or error_type)
    message = " ".join(words.split())[: wire.MESSAGE_CHARACTERS] or f"the provider answered {status}"
    types = {str(each.get("type")) for each in listed} | {error_type}
    if "content_policy_violation" in types:
        return ProviderError("moderated", message, retryable=False)
    if status == 499 or re.search(r"\bcancel+ed\b", message, re.IGNORECASE):
        return ProviderError("canceled", message, retryable=False)
    if status < 500 and not error_type.startswith("runner_") and error_type not in PASSING:
        return ProviderError("invalid_input", message, retryable=False)
    code = error_type if CODE.fullmatch(error_type) else "generation_failed"
    return ProviderError(code, message, retryable=True, cost_usd_micros=0)


def _done(request: Request, endpoint: Endpoint, payload: Any, seconds: Any) -> Done:
    usage, counts = {}, isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if counts and 0 <= seconds < 1e9:
        usage["inference_ms"] = round(seconds * 1000)
    try:
        outputs = _outputs(request, OutputSource(endpoint, request), payload)
    except results.Unreadable as error:
        raise results.unreadable(error, _cost(request.options, usage, 1)) from error
    cost = _cost(request.options, usage, max(1, len(outputs)))
    if not outputs:
        raise results.none_of_kind(request.kind, payload, cost)
    return Done(outputs, cost, usage)


def _cost(options: Mapping[str, Any], usage: Mapping[str, int], count: int) -> int | None:
    per_call, per_second, per_output = (options.get(name) for name in RATES)
    if per_call is None and per_output is None and (per_second is None or "inference_ms" not in usage):
        return None
    seconds = usage.get("inference_ms", 0) / 1000
    return round(float(per_call or 0) + float(per_second or 0) * seconds + float(per_output or 0) * count)


def _outputs(request: Request, source: OutputSource, payload: Any) -> list[Output]:
    """The files in it, in their order. Of a text model its text, else JSON."""
    if results.is_hollow(payload):
        return []
    texts = [wire.mapping(payload)[name] for name in ("output", "text") if name in wire.mapping(payload)]
    text = next((each for each in texts if isinstance(each, str)), payload if isinstance(payload, str) else None)
    if request.kind == "text" and text is not None:
        return [results.of_text(text)] if text.strip() else []
    files = list(_files(payload, results.DEPTH)) or [(each, None) for each in results.addresses(payload)]
    made = results.made(files, lambda file: source.output(*file))
    if not made and request.kind == "text":
        return [results.of_json(payload)]
    return results.ordered(request.kind, made)


def _files(value: Any, depth: int) -> Iterator[tuple[str, str | None]]:
    """Every {url, content_type, ...} in a value of any shape."""
    if depth == 0:
        return
    if isinstance(value, Mapping):
        url = value.get("url")
        if results.is_address(url):
            claimed = value.get("content_type")
            yield url, claimed if isinstance(claimed, str) else None
            return
        for each in value.values():
            yield from _files(each, depth - 1)
    elif isinstance(value, list):
        for each in value:
            yield from _files(each, depth - 1)
