"""An operator's own endpoint, which answers now or calls back. docs/providers-http.md is its side of the contract.

A start is POST {base_url}/{route's model}, signed by Standard Webhooks with our key as the message's id. The endpoint must
take a repeated id as the same generation, so a lost answer is recovered by asking again with the same key.

Options of the endpoint: `secret` (whsec_...; without it the API key signs). Options of a route: `poll` (GET {url}/{id}
says how far it is; without it the call back is waited for), `wait_seconds` (how long the first call may take to answer;
the job's time if left out), `extra` (more input).
"""

import re
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

import httpx
import orjson

from common.whsec import key_of
from workers.providers import results, signatures, wire
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
    whole,
)
from workers.providers.sources import OutputSource

CALL_SECONDS = 30.0  # a call that asks or stops something is answered quickly
POLL_SECONDS, POLL_SECONDS_LIMIT = 2.0, 600.0
POLL_SECONDS_WHEN_CALLED_BACK = 60.0  # a poll then asks nobody: it only lets the time limit be seen
CODE = re.compile(r"[a-z][a-z0-9_]{0,49}")
STATUSES = {"succeeded", "failed", "pending", "running"}
PATH = re.compile(r"[A-Za-z0-9_~-][A-Za-z0-9._~-]*(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*")
ID = re.compile(r"[A-Za-z0-9_~:-][A-Za-z0-9._~:-]{0,499}")


class Http:
    """Safe to use from many threads."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.name = endpoint.name
        self._endpoint = endpoint
        self._secret = _secret(endpoint)
        self._wire = wire.Wire(endpoint.base_url)

    def close(self) -> None:
        self._wire.close()

    def recovery(self, request: Request) -> Recovery:  # noqa: ARG002 - the protocol's
        return "idempotent"

    def start(self, request: Request, idempotency_key: str) -> Outcome:
        """Made once here: what became of a lost call is asked by the same key, after our own record of it. Only where the
        result in the answer is cut off is it asked for once more at once.
        """
        try:
            wait = float(request.options.get("wait_seconds") or request.seconds_left)
        except (TypeError, ValueError) as error:
            raise _not_configured("the route's wait_seconds is no number") from error
        body = {
            "id": idempotency_key,
            "model": request.model,
            "kind": request.kind,
            "input": {**request.input, **(request.options.get("extra") or {})},
            "files": {name: file.data_uri() for name, file in request.files.items()},
            "callback_url": request.callback_url,
        }
        seconds = min(wait, request.seconds_left)

        def ask() -> Outcome:
            answer = self._send("POST", _path(request), request, idempotency_key, seconds=seconds, body=body)
            return self._answered(request, answer, idempotency_key)

        return results.ask_again(ask)

    def poll(self, request: Request, provider_job_id: str) -> Outcome:
        """Not being able to ask is no failure of the generation: only 404, and what the answer itself says, are."""
        if not request.options.get("poll"):
            return Pending(provider_job_id, POLL_SECONDS_WHEN_CALLED_BACK, calls_back=True)
        return results.ask_again(lambda: self._shown(request, provider_job_id))

    def _shown(self, request: Request, provider_job_id: str) -> Outcome:
        path = _place(request, provider_job_id)
        try:
            answer = self._send("GET", path, request, provider_job_id, repeatable=True)
        except ProviderError as error:
            if error.code == "not_found":
                raise ProviderError("unknown_job", error.message, retryable=False) from error
            if error.code == "answer_too_large":
                raise
            raise OutcomeUnknown(f"the endpoint could not be asked: {error.code}: {error.message}") from error
        fields = wire.mapping(wire.json_of(answer))
        if answer.status_code != 202 and not _has_status(fields):
            raise OutcomeUnknown(f"the answer's status is not known: {str(fields.get('status'))[:50]!r}")
        # The id stays what it was at the start, whatever an answer calls itself.
        return self._answered(request, answer, provider_job_id, renamed=False)

    def lookup(self, request: Request, idempotency_key: str) -> Outcome | None:
        """The same question as a start, by the contract; and so it may begin the generation, and confirms as that does."""
        return self.start(request, idempotency_key)

    def cancel(self, request: Request, provider_job_id: str) -> None:
        """404 and 405 are fine: an endpoint need not be able to stop."""
        path = _place(request, provider_job_id)
        try:
            self._send("DELETE", path, request, provider_job_id, repeatable=True)
        except ProviderError as error:
            if error.code != "not_found":
                raise

    def callback(self, request: Request, provider_job_id: str | None, call: Callback) -> Outcome | None:
        """The same JSON as an answer, with the `id`, signed with the same secret."""
        if self._secret is None or not signatures.is_signed(self._secret, call):
            return None
        try:
            fields = wire.mapping(wire.parsed(call.body))
        except ValueError:
            return None
        found = fields.get("id")
        if not isinstance(found, str) or not ID.fullmatch(found) or not _has_status(fields):
            return None
        if provider_job_id is not None and found != provider_job_id:
            return None
        try:
            return self._outcome(request, fields, found)
        except ProviderError as error:
            if error.code != results.CUT_OFF or not request.options.get("poll"):
                raise
            return results.last_word(self.poll, request, found, known=provider_job_id is not None)

    def output(self, request: Request, address: str, claimed_media_type: str | None = None) -> Output:
        """By the contract, results are fetched without a key."""
        return OutputSource(self._endpoint, request).output(address, claimed_media_type)

    def _send(
        self,
        method: str,
        path: str,
        request: Request,
        message_id: str,
        *,
        seconds: float = CALL_SECONDS,
        repeatable: bool = False,
        body: Mapping[str, Any] | None = None,
    ) -> httpx.Response:
        if self._secret is None:
            raise _not_configured("the endpoint has no secret that signs")
        raw = orjson.dumps(body) if body is not None else b""
        headers = signatures.sign(self._secret, message_id, time.time(), raw) | {"content-type": "application/json"}
        if request.api_key or self._endpoint.api_key:
            headers["authorization"] = f"Bearer {request.api_key or self._endpoint.api_key}"
        return self._wire.send(
            method, path, headers=headers, seconds=seconds, repeatable=repeatable, content=raw or None,
            confirm=request.confirm if method == "POST" else None,
        )  # fmt: skip

    def _answered(self, request: Request, answer: httpx.Response, known_as: str, *, renamed: bool = True) -> Outcome:
        fields = wire.json_of(answer)
        if not isinstance(fields, dict):
            raise _unusable("the answer is no JSON object", None)
        later = {"status": "running"} if answer.status_code == 202 else {}
        return self._outcome(request, {**later, **fields, **({} if renamed else {"id": known_as})}, known_as)

    def _outcome(self, request: Request, fields: Mapping[str, Any], known_as: str) -> Outcome:
        """What an answer or a call back says. One that keeps to no contract is a fault of the endpoint's, for good."""
        cost = whole(fields.get("cost_usd_micros"))
        match fields.get("status"):
            case "succeeded":
                source = OutputSource(self._endpoint, request)
                return Done(
                    _outputs(request, source, fields.get("outputs"), cost), cost, wire.mapping(fields.get("usage"))
                )
            case "failed":
                raise _failure(fields.get("error"), cost)
            case "pending" | "running":
                return self._pending(request, fields, known_as)
        raise _unusable(f"the answer's status {str(fields.get('status'))[:50]!r} is not known", cost)

    def _pending(self, request: Request, fields: Mapping[str, Any], known_as: str) -> Pending:
        found, pause, progress = fields.get("id") or known_as, fields.get("poll_after_seconds"), fields.get("progress")
        if not isinstance(found, str) or not ID.fullmatch(found):
            raise OutcomeUnknown("the answer's id is none that it can be asked for by")
        if not request.options.get("poll"):
            return Pending(found, POLL_SECONDS_WHEN_CALLED_BACK, whole(progress), calls_back=True)
        if isinstance(pause, bool) or not isinstance(pause, int | float) or not pause > 0:
            return Pending(found, POLL_SECONDS, whole(progress))
        return Pending(found, float(min(pause, POLL_SECONDS_LIMIT)), whole(progress), exact=True)


# What is asked


def _secret(endpoint: Endpoint) -> bytes | None:
    """`whsec_` and base64, or any other text as it is."""
    text = str(endpoint.options.get("secret") or endpoint.api_key or "")
    if not text.startswith("whsec_"):
        return text.encode() or None
    try:
        return key_of(text)
    except ValueError:
        return None


def _not_configured(message: str) -> ProviderError:
    return ProviderError("not_configured", message, retryable=False, elsewhere=True)


def _path(request: Request) -> str:
    if not PATH.fullmatch(request.model):
        raise ProviderError(
            "unknown_model", f"a model is a path, not {request.model!r}", retryable=False, elsewhere=True
        )
    return f"/{request.model}"


def _place(request: Request, provider_job_id: str) -> str:
    if not ID.fullmatch(provider_job_id):
        raise ProviderError("unknown_job", "this is no generation's id", retryable=False)
    return f"{_path(request)}/{provider_job_id}"


# What is answered


def _unusable(message: str, cost: int | None) -> ProviderError:
    """It may have been made, and paid; what came of it cannot be kept."""
    return ProviderError(
        "unusable_answer", message, retryable=False, charged=True, cost_usd_micros=cost, elsewhere=True
    )


def _failure(error: Any, cost: int | None) -> ProviderError:
    fields = error if isinstance(error, dict) else {"message": error}
    code, message = fields.get("code"), " ".join(str(fields.get("message") or "the generation failed").split())
    charged = fields.get("charged") is True
    return ProviderError(
        code if isinstance(code, str) and CODE.fullmatch(code) else "generation_failed",
        message[: wire.MESSAGE_CHARACTERS],
        retryable=fields.get("retryable") is True,
        charged=charged,
        cost_usd_micros=cost if charged else 0,
    )


def _has_status(fields: Mapping[str, Any]) -> bool:
    status = fields.get("status")
    return isinstance(status, str) and status in STATUSES


def _outputs(request: Request, source: OutputSource, value: Any, cost: int | None) -> list[Output]:
    listed = value if isinstance(value, list) else []
    try:
        made = results.ordered(request.kind, results.made(listed, partial(_output, source)))
    except results.Unreadable as error:
        raise results.unreadable(error, cost) from error
    if not made:
        raise results.none_of_kind(request.kind, value, cost)
    return made


def _output(source: OutputSource, value: Any) -> Output:
    """{url | data | text, media_type}; `data` is base64 or a `data:` URI. Raises Unreadable."""
    fields = wire.mapping(value)
    claimed, url, data, text = (fields.get(name) for name in ("media_type", "url", "data", "text"))
    if isinstance(text, str) and text.strip():
        return results.of_text(text)
    if results.is_address(url):
        made = source.output(url)
    elif isinstance(data, str) and data.strip():
        made = results.of_base64(data.strip())
    else:
        raise results.Unreadable("an output has neither a text nor bytes nor an address")
    return Output(made.chunks, claimed if isinstance(claimed, str) else made.claimed_media_type, made.address)
