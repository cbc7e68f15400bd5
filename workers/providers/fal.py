"""fal's queue. `base_url` is https://queue.fal.run; a route's model is `owner/app` or `owner/app/path`.

A lost answer to a start cannot be recovered: no idempotency key was found in fal's documentation (searched 2026-11), and
requests cannot be looked for by anything of ours. X-Fal-Request-Timeout bounds what a lost one costs: it does not begin after that. A
signed call back tells its id after all.

Options of a route: `extra` (more input); `poll_seconds`; `cost_usd_micros_per_call`, `_per_second` (of inference_time)
and `_per_output`, which add up. fal does not charge for failures of its own (5xx).
Options of the endpoint: `jwks_url`, the keys that sign fal's calls back.
"""

import hashlib
import re
import threading
import time
from base64 import urlsafe_b64decode
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import httpx
import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

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
)

CALL_SECONDS = 30.0  # every call to a queue is answered at once
POLL_SECONDS = 1.0
POLL_SECONDS_WHEN_CALLED_BACK = 10.0  # the call back comes first; polling finds those that never came
POLL_SECONDS_PER_PLACE, POLL_SECONDS_LIMIT = 0.25, 15.0  # far back in the queue there is less news
LATEST_LOGS = 50  # lines, from the end, in which progress is looked for
OUTPUT_DEPTH, OUTPUT_LIMIT = 8, 256
JWKS_URL = "https://rest.fal.ai/.well-known/jwks.json"
KEYS_SECONDS, KEYS_AGAIN_SECONDS = 24 * 3600.0, 60.0  # kept; and fetched again at most, when none of them fits
TOLERANCE_SECONDS = 300
NAMESPACES = {"workflows", "comfy"}  # stand before owner and app
MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*){1,6}")
PERCENT = re.compile(r"(?<![\d.])(\d{1,3})(?:\.\d+)?%")
PASSING = {"request_timeout", "startup_timeout", "internal_error"}  # besides runner_*: fal's fault, not the input's
ASKING_FAILED = {"limited", "unauthorized", "provider_unpaid", "unreachable"}
RATES = ("cost_usd_micros_per_call", "cost_usd_micros_per_second", "cost_usd_micros_per_output")


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
        _check(request.options)
        path = "/" + "/".join(_parts(request.model))
        if request.callback_url:
            path += f"?fal_webhook={quote(request.callback_url, safe='')}"
        headers = self._headers(request) | {"X-Fal-Request-Timeout": str(max(1, int(request.seconds_left)))}
        answer = self._wire.send(
            "POST", path, headers=headers, seconds=CALL_SECONDS, repeatable=False, json=_input(request)
        )
        found = _mapping(wire.json_of(answer)).get("request_id")
        if not isinstance(found, str) or not found:
            raise OutcomeUnknown("the provider's answer names no request")
        return Pending(found, self._pause(request))

    def poll(self, request: Request, provider_job_id: str) -> Outcome:
        """Not being able to ask is no failure of the generation: only 404, and what the result itself says, are."""
        place = _place(request.model, provider_job_id)
        try:
            status = _mapping(wire.json_of(self._get(request, f"{place}/status?logs=1")))
        except ProviderError as error:
            if error.code == "not_found":
                raise ProviderError("unknown_job", error.message, retryable=False) from error
            raise OutcomeUnknown(f"the provider could not be asked: {error.code}: {error.message}") from error
        match status.get("status"):
            case "IN_QUEUE":
                back = status.get("queue_position")
                back = back if isinstance(back, int) and back > 0 else 0
                pause = self._pause(request) + back * POLL_SECONDS_PER_PLACE
                return Pending(provider_job_id, max(self._pause(request), min(pause, POLL_SECONDS_LIMIT)))
            case "IN_PROGRESS":
                return Pending(provider_job_id, self._pause(request), progress(status.get("logs")))
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
        if not self._keys.signed(call, time.time()):
            return None
        try:
            told = _mapping(orjson.loads(call.body))
        except ValueError:
            return None
        found = told.get("request_id")
        if not isinstance(found, str) or not found or (provider_job_id is not None and found != provider_job_id):
            return None
        payload = told.get("payload")
        if told.get("status") == "ERROR":
            # "Invalid status code: 422": the status of the result.
            status = re.search(r"\b([45]\d\d)\b", str(told.get("error") or ""))
            body = _mapping(payload) or {"detail": str(told.get("error") or "")}
            raise _failure(int(status[1]) if status else 500, body)
        if told.get("status") != "OK" or payload is None or request.options.get("cost_usd_micros_per_second"):
            return self.poll(request, found)
        return _done(request, payload, None)

    def _result(self, request: Request, place: str, status: Mapping[str, Any]) -> Done:
        """A request that failed is COMPLETED too; its result is then the refusal, in fal's words.

        Without these, and where the status told of no error, a refusal is about the question: a gateway's bare 500 is
        no failure of the generation, and to take it for one would pay for another.
        """
        told = status.get("error") or status.get("error_type")
        try:
            payload = wire.json_of(self._get(request, place))
        except OutcomeUnknown:
            if not told:
                raise
            raise _failure(500, {"detail": status.get("error"), "error_type": status.get("error_type")}) from None
        except ProviderError as error:
            if told or not (error.code in ASKING_FAILED or error.code.startswith("http_")):
                raise
            raise OutcomeUnknown(f"the result could not be had: {error.code}: {error.message}") from error
        return _done(request, payload, _mapping(status.get("metrics")).get("inference_time"))

    def _get(self, request: Request, path: str) -> httpx.Response:
        return self._wire.send("GET", path, headers=self._headers(request), seconds=CALL_SECONDS, repeatable=True)

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
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,100}", request_id):
        raise ProviderError("unknown_job", "this is no request's id", retryable=False)
    parts = _parts(model)
    return "/" + "/".join(parts[: 3 if parts[0] in NAMESPACES else 2]) + f"/requests/{request_id}"


def _input(request: Request) -> dict[str, Any]:
    """What was not given is left out. Files go as `data:` URIs, which fal takes wherever it takes an address."""
    given = {name: value for name, value in request.input.items() if value is not None}
    files = {name: file.data_uri() for name, file in request.files.items()}
    return {**given, **(request.options.get("extra") or {}), **files}


def _check(options: Mapping[str, Any]) -> None:
    """A number that is none is found out before the call, not after it was paid for."""
    for name in (*RATES, "poll_seconds"):
        value = options.get(name, 0)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e15:
            raise ProviderError(
                "not_configured", f"the route's {name} is no such number", retryable=False, elsewhere=True
            )


# What is answered


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _explain(answer: httpx.Response) -> ProviderError | None:
    """fal's own words about a refusal. None: it did not say, so the status alone speaks."""
    try:
        body = dict(_mapping(orjson.loads(answer.content)))
    except ValueError:
        body = {}
    if "error_type" not in body and "x-fal-error-type" in answer.headers:
        body["error_type"] = answer.headers["x-fal-error-type"]
    if answer.status_code == 403 and re.search(r"balance|locked", str(body.get("detail")), re.IGNORECASE):
        return ProviderError("provider_unpaid", wire.message_of(answer), retryable=False, elsewhere=True)
    if "error_type" in body or (answer.status_code in {400, 422, 499, 500} and "detail" in body):
        return _failure(answer.status_code, body)
    return None


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
    return ProviderError(error_type or "generation_failed", message, retryable=True, cost_usd_micros=0)


def _done(request: Request, payload: Any, seconds: Any) -> Done:
    usage = {}
    if isinstance(seconds, int | float) and 0 <= seconds < 1e9:
        usage["inference_ms"] = round(seconds * 1000)
    outputs, why = [], "it has no result"
    try:
        outputs = _outputs(request, payload)
    except ValueError as error:
        why = f"its result cannot be read: {error}"
    cost = _cost(request.options, usage, max(1, len(outputs)))
    if not outputs:
        raise ProviderError(
            "unusable_answer", f"the request completed, but {why}", retryable=False, charged=True,
            cost_usd_micros=cost, elsewhere=True,
        )  # fmt: skip
    return Done(outputs, cost, usage)


def _cost(options: Mapping[str, Any], usage: Mapping[str, int], count: int) -> int | None:
    per_call, per_second, per_output = (options.get(name) for name in RATES)
    if per_call is None and per_output is None and (per_second is None or "inference_ms" not in usage):
        return None
    seconds = usage.get("inference_ms", 0) / 1000
    return round(float(per_call or 0) + float(per_second or 0) * seconds + float(per_output or 0) * count)


def _outputs(request: Request, payload: Any) -> list[Output]:
    """The files in it, in their order; else a text; else JSON. Where a text was asked for, the text comes first."""
    text = next((payload[name] for name in ("output", "text") if isinstance(_mapping(payload).get(name), str)), None)
    if text and request.kind == "text":
        return [results.of_text(text)]
    made = list(_files(payload, OUTPUT_DEPTH))[:OUTPUT_LIMIT]
    if made:
        return made
    if text:
        return [results.of_text(text)]
    return [results.of_bytes(orjson.dumps(payload), "application/json")] if payload not in (None, "", {}, []) else []


def _files(value: Any, depth: int) -> Iterator[Output]:
    """Every {url, content_type, ...} in a value of any shape."""
    if depth == 0:
        return
    if isinstance(value, Mapping):
        if results.is_address(value.get("url")):
            made, claimed = results.of_address(value["url"]), value.get("content_type")
            yield replace(made, claimed_media_type=claimed) if isinstance(claimed, str) else made
            return
        for each in value.values():
            yield from _files(each, depth - 1)
    elif isinstance(value, list):
        for each in value:
            yield from _files(each, depth - 1)


# Calls back


class SigningKeys:
    """The keys with which fal signs. Thread-safe."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._lock = threading.Lock()
        self._keys: list[Ed25519PublicKey] = []
        self._good_until = self._not_again_before = 0.0

    def signed(self, call: Callback, now: float) -> bool:
        """Whether fal sent this in these minutes: Ed25519 over request id, user id, time and the body's SHA-256."""
        names = ("request-id", "user-id", "timestamp", "signature")
        request_id, user_id, sent, signature = (call.headers.get(f"x-fal-webhook-{name}", "") for name in names)
        if not re.fullmatch(r"\d{1,12}", sent, re.ASCII) or abs(now - int(sent)) > TOLERANCE_SECONDS:
            return False
        if not re.fullmatch(r"[0-9a-fA-F]{128}", signature, re.ASCII):
            return False
        message = "\n".join((request_id, user_id, sent, hashlib.sha256(call.body).hexdigest())).encode()
        fits = [bytes.fromhex(signature), message]
        return any(_verified(key, *fits) for key in self._known()) or any(
            _verified(key, *fits) for key in self._fetched_again()
        )

    def _known(self) -> list[Ed25519PublicKey]:
        with self._lock:
            return self._keys if time.monotonic() < self._good_until else self._fetch()

    def _fetched_again(self) -> list[Ed25519PublicKey]:
        """fal may have a new key; but nobody can make us ask for it at every forged call."""
        with self._lock:
            return self._fetch()

    def _fetch(self) -> list[Ed25519PublicKey]:
        now = time.monotonic()
        if now < self._not_again_before:
            return self._keys
        self._not_again_before = now + KEYS_AGAIN_SECONDS
        try:
            document = orjson.loads(b"".join(wire.fetch(self._url)))
        except (OutcomeUnknown, ValueError):
            return self._keys  # old keys are better than none: the job is polled besides
        listed = _mapping(document).get("keys")
        self._keys = [key for each in (listed if isinstance(listed, list) else []) if (key := _public(each))]
        self._good_until = now + KEYS_SECONDS
        return self._keys


def _public(jwk: Any) -> Ed25519PublicKey | None:
    text = _mapping(jwk).get("x")
    if not isinstance(text, str):
        return None
    try:
        return Ed25519PublicKey.from_public_bytes(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except ValueError:
        return None


def _verified(key: Ed25519PublicKey, signature: bytes, message: bytes) -> bool:
    try:
        key.verify(signature, message)
    except InvalidSignature:
        return False
    return True
