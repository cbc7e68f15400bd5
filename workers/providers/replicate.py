"""Replicate. `base_url` is https://api.replicate.com/v1, or a server that speaks like it.

A route's model is `owner/name`, `owner/name:version` or a version's 64 digits. Options of a route: `deployment`
(owner/name, instead of the model), `extra` (more input), `wait_seconds` (hold the first call that long for the result),
`poll_seconds`, `charged_on_failure` (Replicate says that it does not charge them), `cost_usd_micros_per_second` of its
compute or `cost_usd_micros_per_call`. Options of the endpoint: `webhook_secret` (whsec_..., from
GET /webhooks/default/secret), without which calls back are not believed.

A lost answer to a start cannot be recovered: Replicate ignores Idempotency-Key, and GET /predictions echoes neither the
webhook nor anything else of ours. `input` is echoed, but a field of our own in it is refused by models that check their
input, and input is deleted an hour after the end. The deadline sent with each start (Cancel-After) bounds what a lost
one costs, and a signed call back tells its id after all.
"""

import logging
import re
from collections.abc import Mapping
from typing import Any

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
    check_numbers,
    whole,
)
from workers.providers.sources import OutputSource

CALL_SECONDS = 30.0  # a call that starts, asks or stops something is answered quickly
POLL_SECONDS = 1.0
POLL_SECONDS_WHEN_CALLED_BACK = 10.0  # the call back comes first; polling finds those that never came
NUMBERS = (
    "cost_usd_micros_per_second",
    "cost_usd_micros_per_call",
    "poll_seconds",
    "wait_seconds",
)  # options of a route
LATEST_LOGS = 4_000  # characters, from the end, in which progress is looked for
WAIT_SECONDS_LIMIT = 60  # Replicate's

log = logging.getLogger(__name__)

NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*"
MODEL = re.compile(rf"(?P<model>{NAME}/{NAME})(?::(?P<version>[A-Za-z0-9]+))?|(?P<bare>[0-9a-f]{{64}})")
ID = re.compile(r"[A-Za-z0-9_~-][A-Za-z0-9._~:-]{0,499}")
DEPLOYMENT = re.compile(rf"{NAME}/{NAME}")
BAR = re.compile(r"(\d{1,3})%\|")  # tqdm: NN%|bar| x/y
PERCENT = re.compile(r"(?<![\d.])(\d{1,3})(?:\.\d+)?%")
UNSAFE = re.compile(
    r"nsfw|safety|flagged|sensitive content|\bmoderat|content polic|inappropriate|\bE005\b", re.IGNORECASE
)
# Not the input's fault: Replicate's own codes E1000 to E9999, PA for interrupted, and a full graphics card.
PASSING = re.compile(r"\bE\d{4}\b|\bcode: PA\b|interrupted|out of memory", re.IGNORECASE)


class Replicate:
    """Safe to use from many threads."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.name = endpoint.name
        self._endpoint = endpoint
        self._secret = _secret(endpoint)
        self._wire = wire.Wire(endpoint.base_url)

    def close(self) -> None:
        self._wire.close()

    def recovery(self, request: Request) -> Recovery:  # noqa: ARG002 - the protocol's
        return "none"

    def start(self, request: Request, idempotency_key: str) -> Outcome:
        path, body = _addressed(request)
        check_numbers(request.options, NUMBERS)
        body["input"] = _input(request)
        if request.callback_url:
            body |= {"webhook": request.callback_url, "webhook_events_filter": ["completed"]}
        headers = self._headers(request)
        headers["Idempotency-Key"] = idempotency_key  # ignored today; in their logs it is our name for the call
        headers["Cancel-After"] = f"{max(5, int(request.seconds_left))}s"
        wait = min(int(request.options.get("wait_seconds") or 0), WAIT_SECONDS_LIMIT, int(request.seconds_left))
        if wait > 0:
            headers["Prefer"] = f"wait={wait}"
        answer = self._wire.send(
            "POST", path, headers=headers, seconds=CALL_SECONDS + wait, repeatable=False, json=body,
            confirm=request.confirm,
        )  # fmt: skip
        prediction = wire.json_of(answer)
        found = _id(prediction)
        if not found:
            raise OutcomeUnknown("the provider's answer names no prediction by an id that it can be asked for by")
        try:
            return self._outcome(request, prediction)
        except ProviderError as error:
            if error.code != results.CUT_OFF:
                raise
            return results.last_word(self.poll, request, found, known=False)

    def poll(self, request: Request, provider_job_id: str) -> Outcome:
        """Every refusal but 404 is a question that could not be asked, not a generation that failed: our key, a limit."""
        return results.ask_again(lambda: self._shown(request, provider_job_id))

    def _shown(self, request: Request, provider_job_id: str) -> Outcome:
        path = f"/predictions/{_quoted(provider_job_id)}"
        try:
            answer = self._wire.send("GET", path, headers=self._headers(request), seconds=CALL_SECONDS, repeatable=True)
        except ProviderError as error:
            if error.code == "not_found":
                raise ProviderError("unknown_job", error.message, retryable=False) from error
            if error.code == "answer_too_large":
                raise
            raise OutcomeUnknown(f"the provider could not be asked: {error.code}: {error.message}") from error
        prediction = wire.json_of(answer)
        if _id(prediction) != provider_job_id:
            raise OutcomeUnknown("the provider's answer is about no prediction, or about another")
        return self._outcome(request, prediction)

    def lookup(self, request: Request, idempotency_key: str) -> Outcome | None:  # noqa: ARG002 - the protocol's
        """Never None, which would say that the generation did not begin."""
        raise OutcomeUnknown("Replicate cannot be asked about a key")

    def cancel(self, request: Request, provider_job_id: str) -> None:
        self._wire.send(
            "POST",
            f"/predictions/{_quoted(provider_job_id)}/cancel",
            headers=self._headers(request),
            seconds=CALL_SECONDS,
            repeatable=True,
        )

    def callback(self, request: Request, provider_job_id: str | None, call: Callback) -> Outcome | None:
        """The whole prediction, signed by Standard Webhooks. It also names a prediction whose start's answer was lost."""
        if self._secret is None or not signatures.is_signed(self._secret, call):
            return None
        try:
            prediction = wire.parsed(call.body)
        except ValueError:
            return None
        found = _id(prediction)
        if not found or (provider_job_id is not None and found != provider_job_id):
            return None
        try:
            return self._outcome(request, prediction)
        except ProviderError as error:
            if error.code != results.CUT_OFF:
                raise
            return results.last_word(self.poll, request, found, known=provider_job_id is not None)

    def output(self, request: Request, address: str, claimed_media_type: str | None = None) -> Output:
        return self._source(request).output(address, claimed_media_type)

    def _source(self, request: Request) -> OutputSource:
        return OutputSource(self._endpoint, request, self._headers(request))

    def _headers(self, request: Request) -> dict[str, str]:
        key = request.api_key or self._endpoint.api_key
        return {"Authorization": f"Bearer {key}"} if key else {}

    def _outcome(self, request: Request, prediction: Mapping[str, Any]) -> Outcome:
        usage = _usage(wire.mapping(prediction.get("metrics")))
        cost = _cost(request.options, usage)
        match prediction.get("status"):
            case "succeeded":
                return Done(self._outputs(request, prediction, cost), cost, usage, _id(prediction))
            case "failed":
                raise _failure(request.options, prediction.get("error"), cost)
            case "canceled":  # what it had computed until then is charged
                raise ProviderError(
                    "canceled", "the prediction was canceled", retryable=False, charged=True, cost_usd_micros=cost
                )
            case "aborted":  # its deadline came before it began
                raise ProviderError("timed_out", "the prediction never began", retryable=False, cost_usd_micros=0)
        called_back = bool(request.callback_url) and self._secret is not None
        chosen = request.options.get("poll_seconds")
        pause = chosen or (POLL_SECONDS_WHEN_CALLED_BACK if called_back else POLL_SECONDS)
        return Pending(
            _id(prediction), max(0.1, float(pause)), progress(prediction.get("logs")), calls_back=called_back,
            exact=bool(chosen),
        )  # fmt: skip

    def _outputs(self, request: Request, prediction: Mapping[str, Any], cost: int | None) -> list[Output]:
        """The addresses in it, in their order; of a text model a text, else JSON."""
        output = prediction.get("output")
        if results.is_hollow(output) and prediction.get("data_removed"):
            raise ProviderError(
                "result_lost", "the prediction's result was deleted: it ended over an hour ago", retryable=False,
                charged=True, cost_usd_micros=cost,
            )  # fmt: skip
        try:
            made = results.found(request.kind, output, self._source(request).output)
        except results.Unreadable as error:
            raise results.unreadable(error, cost) from error
        if not made:
            raise results.none_of_kind(request.kind, output, cost)
        return made


def progress(logs: Any) -> int | None:
    """Percent, from the last line of a progress bar in the logs, or the last percentage at all."""
    if not isinstance(logs, str):
        return None
    latest = logs[-LATEST_LOGS:]
    found = BAR.findall(latest) or PERCENT.findall(latest)
    return min(100, int(found[-1])) if found else None


# What is asked


def _addressed(request: Request) -> tuple[str, dict[str, Any]]:
    """The path that begins a prediction of the route's model, and what its body begins with."""
    deployment = request.options.get("deployment")
    if deployment is not None:
        if not DEPLOYMENT.fullmatch(str(deployment)):
            raise _unknown_model(f"a deployment is owner/name, not {deployment!r}")
        return f"/deployments/{deployment}/predictions", {}
    parts = MODEL.fullmatch(request.model)
    if parts is None:
        raise _unknown_model(f"a model is owner/name, owner/name:version or a version, not {request.model!r}")
    version = parts["version"] or parts["bare"]
    if version:
        return "/predictions", {"version": version}
    return f"/models/{parts['model']}/predictions", {}


def _unknown_model(message: str) -> ProviderError:
    return ProviderError("unknown_model", message, retryable=False, elsewhere=True)


def _input(request: Request) -> dict[str, Any]:
    """Replicate takes null for no field: what was not given is left out. Files go as `data:` URIs."""
    given = {name: value for name, value in request.input.items() if value is not None}
    files = {name: file.data_uri() for name, file in request.files.items()}
    return {**given, **(request.options.get("extra") or {}), **files}


def _quoted(provider_job_id: str) -> str:
    """An id is part of a path, and comes from outside."""
    if not ID.fullmatch(provider_job_id):
        raise ProviderError("unknown_job", "this is no prediction's id", retryable=False)
    return provider_job_id


# What is answered


def _id(prediction: Any) -> str:
    """Its id. Empty where there is none, or none that it could be asked for by."""
    found = wire.mapping(prediction).get("id")
    return found if isinstance(found, str) and ID.fullmatch(found) else ""


def _failure(options: Mapping[str, Any], error: Any, cost: int | None) -> ProviderError:
    """`error` is a sentence, sometimes with a code in it."""
    message = " ".join(str(error or "the prediction failed").split())[: wire.MESSAGE_CHARACTERS]
    charged = bool(options.get("charged_on_failure", False))
    paid = cost if charged else 0
    if UNSAFE.search(message):
        return ProviderError("moderated", message, retryable=False, charged=charged, cost_usd_micros=paid)
    passing = bool(PASSING.search(message))
    return ProviderError(
        "interrupted" if passing else "generation_failed", message, retryable=passing, charged=charged,
        cost_usd_micros=paid, elsewhere=True,
    )  # fmt: skip


def _usage(metrics: Mapping[str, Any]) -> dict[str, int]:
    usage = {}
    seconds = metrics.get("predict_time")
    if isinstance(seconds, int | float) and not isinstance(seconds, bool) and 0 <= seconds < 1e9:
        usage["predict_ms"] = round(seconds * 1000)
    for name, theirs in (("tokens_in", "input_token_count"), ("tokens_out", "output_token_count")):
        count = whole(metrics.get(theirs))
        if count is not None:
            usage[name] = count
    if "tokens_in" in usage and "tokens_out" in usage:
        usage["tokens"] = usage["tokens_in"] + usage["tokens_out"]
    return usage


def _cost(options: Mapping[str, Any], usage: Mapping[str, int]) -> int | None:
    per_second, per_call = options.get("cost_usd_micros_per_second"), options.get("cost_usd_micros_per_call")
    if per_second is not None and "predict_ms" in usage:
        return round(float(per_second) * usage["predict_ms"] / 1000)
    return round(float(per_call)) if per_call is not None else None


# Calls back


def _secret(endpoint: Endpoint) -> bytes | None:
    """The key that signs. One that is not `whsec_` and base64 is none: jobs are polled, which works, and it is said."""
    secret = endpoint.options.get("webhook_secret")
    if not secret:
        return None
    try:
        return key_of(str(secret))
    except ValueError:
        log.warning("provider %s: webhook_secret is not whsec_ and base64; calls back are not believed", endpoint.name)
        return None
