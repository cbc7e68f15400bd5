"""Every server that speaks OpenAI's dialect: OpenAI, OpenRouter, vLLM, LocalAI. `base_url` includes `/v1`.

Images, text and speech, all answered at once. Options of a route: `response_format` (b64_json for image servers that
answer with addresses otherwise; of speech the format, wav unless it is named), `voice`, `max_tokens_field`
(max_completion_tokens for models that refuse max_tokens), `extra` (sent as it is), and prices for servers that do not
say what a call cost: `cost_usd_micros_per_image`, `_per_1k_tokens_in`, `_per_1k_tokens_out`, `_per_call`, added up.
Options of the endpoint: `headers` (such as OpenRouter's HTTP-Referer), `idempotent`.
"""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
import orjson

from workers.providers import results, wire
from workers.providers.base import (
    Callback,
    Done,
    Endpoint,
    Outcome,
    OutcomeUnknown,
    Output,
    ProviderError,
    Recovery,
    Request,
)
from workers.providers.openai_costs import check_prices, cost_of, tokens_of
from workers.providers.sources import OutputSource

ANSWER_BYTES = 64 * 1024 * 1024  # of a text's stream or of speech, which are held in memory
LINE_BYTES = 4 * 1024 * 1024  # of one event in a stream
MODERATED = frozenset({"content_policy_violation", "moderation_blocked", "content_filter"})
UNPAID = frozenset({"insufficient_quota", "billing_hard_limit_reached"})
IMAGE_FIELDS = ("prompt", "quality", "style", "size")
SPEECH_TYPES = {"wav": "audio/wav", "mp3": "audio/mpeg", "opus": "audio/ogg", "flac": "audio/flac", "aac": "audio/aac"}


class OpenAI:
    """One server. Safe to use from many threads."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.name = endpoint.name
        self._endpoint = endpoint
        self._wire = wire.Wire(endpoint.base_url, explain=_explained)

    def close(self) -> None:
        self._wire.close()

    def recovery(self, request: Request) -> Recovery:  # noqa: ARG002 - the protocol's
        """OpenAI ignores Idempotency-Key, so a lost answer stays lost; a server that honours it says so in its options."""
        return "idempotent" if self._idempotent else "none"

    def start(self, request: Request, idempotency_key: str) -> Outcome:
        """Generate, and wait for it: there is nothing to poll."""
        check_prices(request.options)
        headers = self._headers(request, idempotency_key)
        match request.kind:
            case "image":
                return self._image(request, headers)
            case "text":
                return self._text(request, headers)
            case "speech":
                return self._speech(request, headers)
        raise ProviderError("unsupported", f"{self.name} makes no {request.kind}", retryable=False, elsewhere=True)

    def poll(self, request: Request, provider_job_id: str) -> Outcome:  # noqa: ARG002 - the protocol's
        raise ProviderError("unknown_job", f"{self.name} answers at once and keeps no jobs", retryable=False)

    def lookup(self, request: Request, idempotency_key: str) -> Outcome | None:  # noqa: ARG002 - the protocol's
        """Never None, which would say that the generation did not begin."""
        raise OutcomeUnknown(f"{self.name} cannot be asked about a key")

    def cancel(self, request: Request, provider_job_id: str) -> None:
        """Nothing: a text is stopped by closing its stream, when `canceled` says so."""

    def callback(self, request: Request, provider_job_id: str | None, call: Callback) -> None:
        """These servers call nobody back."""

    def output(self, request: Request, address: str, claimed_media_type: str | None = None) -> Output:
        return self._source(request).output(address, claimed_media_type)

    def _source(self, request: Request) -> OutputSource:
        return OutputSource(self._endpoint, request, self._authorization(request))

    @property
    def _idempotent(self) -> bool:
        return self._endpoint.options.get("idempotent") is True

    def _headers(self, request: Request, idempotency_key: str) -> dict[str, str]:
        headers = {str(name): str(value) for name, value in (self._endpoint.options.get("headers") or {}).items()}
        return {**headers, "Idempotency-Key": idempotency_key, **self._authorization(request)}

    def _authorization(self, request: Request) -> dict[str, str]:
        key = request.api_key or self._endpoint.api_key
        return {"Authorization": f"Bearer {key}"} if key else {}

    def _image(self, request: Request, headers: Mapping[str, str]) -> Done:
        fields, pictures = _image_fields(request), _pictures(request)
        answer = self._wire.send(
            "POST",
            "/images/edits" if pictures else "/images/generations",
            headers=headers,
            seconds=request.seconds_left,
            repeatable=self._idempotent,
            json=None if pictures else fields,
            data={name: _as_form(value) for name, value in fields.items()} if pictures else None,
            files=pictures or None,
            confirm=request.confirm,
        )
        body = wire.json_of(answer)
        _refuse_error(body)
        said = wire.mapping(body)
        raw, kind, entries = wire.mapping(said.get("usage")), said.get("output_format"), said.get("data")
        entries = [each for each in entries if _places(each)] if isinstance(entries, list) else []
        media_type = f"image/{kind}" if kind in {"png", "jpeg", "webp"} else None
        usage = tokens_of(raw)
        cost = cost_of(request.options, raw, usage, images=max(1, len(entries)))
        try:
            source = self._source(request)
            made = results.made(entries, lambda entry: _picture(source, entry, media_type))
        except results.Unreadable as error:
            raise results.unreadable(error, cost) from error
        outputs = results.ordered("image", made)
        if not outputs:
            raise results.none_of_kind("image", body, cost)
        return Done(outputs, cost, usage)

    def _text(self, request: Request, headers: Mapping[str, str]) -> Done:
        streamed = _Streamed(request.said)
        with self._wire.stream(
            "POST", "/chat/completions", headers=headers, seconds=request.seconds_left, json=_chat_fields(request),
            confirm=request.confirm,
        ) as answer:  # fmt: skip
            chunks = _watched(request, answer)
            if "json" in answer.headers.get("content-type", ""):  # a server that does not stream
                streamed.take(wire.json_in(b"".join(chunks)))
                streamed.ended = True
            else:
                for event in _events(chunks):
                    if event == b"[DONE]":
                        streamed.ended = True
                        break
                    streamed.take(wire.json_in(event))
        return streamed.done(request)

    def _speech(self, request: Request, headers: Mapping[str, str]) -> Done:
        """Held in memory: an output opens more than once, and a second call would be a second generation."""
        values, kind = request.input, str(request.options.get("response_format") or "wav")
        fields = {
            "model": request.model,
            "input": values.get("text"),
            "voice": values.get("voice") or request.options.get("voice") or "alloy",
            "response_format": kind,
            **_given(values, "speed", "instructions"),
            **_extra(request),
        }
        with self._wire.stream(
            "POST", "/audio/speech", headers=headers, seconds=request.seconds_left, json=fields, confirm=request.confirm
        ) as answer:
            data = b"".join(_watched(request, answer))
        cost = cost_of(request.options, {}, {})
        if not data:
            raise results.unreadable(results.Unreadable("it is empty", cut=True), cost)
        if results.is_words(data):  # whatever type it claims: an error, or an apology
            with contextlib.suppress(ValueError):
                _refuse_error(wire.parsed(data))
            raise results.none_of_kind("speech", data.decode(errors="replace"), cost)
        return Done([results.of_bytes(data, SPEECH_TYPES.get(kind))], cost)


@dataclass(slots=True)
class _Streamed:
    """What a stream has brought so far."""

    said: Callable[[str], None]
    text: list[str] = field(default_factory=list)
    refusal: list[str] = field(default_factory=list)
    usage: Mapping[str, Any] = field(default_factory=dict)
    finish: str | None = None
    ended: bool = False

    def take(self, event: Any) -> None:
        _refuse_error(event, begun=bool(self.text))
        said = wire.mapping(event)
        self.usage = wire.mapping(said.get("usage")) or self.usage
        choices = said.get("choices")
        first = wire.mapping(choices[0]) if isinstance(choices, list) and choices else {}
        words = wire.mapping(first.get("delta") or first.get("message"))
        for name, into in (("content", self.text), ("refusal", self.refusal)):
            part = words.get(name)
            if isinstance(part, str) and part:
                into.append(part)
                if name == "content":
                    self.said(part)
        finish = first.get("finish_reason")
        self.finish = finish if isinstance(finish, str) and finish else self.finish

    def done(self, request: Request) -> Done:
        """Raises OutcomeUnknown if the stream broke off: what is there is not the whole text."""
        if not self.ended and self.finish is None:
            raise OutcomeUnknown("the stream ended before the text did")
        # Without usage a delta is about a token; what went in is not known then, and so neither is the sum.
        usage = tokens_of(self.usage) or {"tokens_out": len(self.text)}
        cost = cost_of(request.options, self.usage, usage)
        text = "".join(self.text)
        if self.finish == "content_filter" or (self.refusal and not text):
            said = "".join(self.refusal)[: wire.MESSAGE_CHARACTERS] or "the provider's content filter stopped the text"
            raise ProviderError("moderated", said, retryable=False, charged=True, cost_usd_micros=cost)
        if self.finish == "error":
            raise ProviderError(
                "provider_error", "the provider broke the text off", retryable=True, charged=True, cost_usd_micros=cost
            )
        if not text.strip():
            # "length" without a word: the limit went into reasoning, and would again.
            why = ": max_tokens was used up before the text" if self.finish == "length" else ""
            raise results.none_of_kind("text", f"empty{why}", cost)
        return Done([results.of_text(text)], cost, usage)


# What is asked


def _image_fields(request: Request) -> dict[str, Any]:
    values = request.input
    fields: dict[str, Any] = {"model": request.model, **_given(values, *IMAGE_FIELDS)}
    if "size" not in fields and values.get("width") and values.get("height"):
        fields["size"] = f"{values['width']}x{values['height']}"
    if values.get("count") is not None:
        fields["n"] = values["count"]
    return {**fields, **_given(request.options, "response_format"), **_extra(request)}


def _pictures(request: Request) -> list[tuple[str, tuple[str, bytes, str]]]:
    """The parts of an edit. Input files are small (settings), so that each may be one piece."""
    images = [name for name in request.files if name != "mask"]
    parts = []
    for name, file in request.files.items():
        part = "mask" if name == "mask" else "image[]" if len(images) > 1 else "image"
        ending = file.media_type.rpartition("/")[2] or "png"
        parts.append((part, (f"{name}.{ending}", b"".join(file.chunks()), file.media_type)))
    return parts


def _chat_fields(request: Request) -> dict[str, Any]:
    values = request.input
    given = values.get("messages")
    messages = list(given) if isinstance(given, list) else []
    if values.get("prompt"):
        messages.append({"role": "user", "content": _content(request, str(values["prompt"]))})
    if not messages:
        raise ProviderError("invalid_input", "input.prompt or input.messages is needed", retryable=False)
    if values.get("system"):
        messages.insert(0, {"role": "system", "content": values["system"]})
    fields = {"model": request.model, "messages": messages, "stream": True, "stream_options": {"include_usage": True}}
    if values.get("max_tokens") is not None:
        fields[str(request.options.get("max_tokens_field") or "max_tokens")] = values["max_tokens"]
    return {**fields, **_given(values, "temperature"), **_extra(request)}


def _content(request: Request, prompt: str) -> str | list[dict[str, Any]]:
    if not request.files:
        return prompt
    pictures = [{"type": "image_url", "image_url": {"url": file.data_uri()}} for file in request.files.values()]
    return [{"type": "text", "text": prompt}, *pictures]


def _given(values: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: values[name] for name in names if values.get(name) is not None}


def _extra(request: Request) -> dict[str, Any]:
    return dict(request.options.get("extra") or {})


def _as_form(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


# What is answered


def _places(entry: Any) -> list[str]:
    """Where a picture of an answer is: in base64, at an address, or both."""
    fields = wire.mapping(entry)
    encoded, url = fields.get("b64_json"), fields.get("url")
    found = [encoded.strip()] if isinstance(encoded, str) and encoded.strip() else []
    return [*found, url] if results.is_address(url) else found


def _picture(source: OutputSource, entry: Any, media_type: str | None) -> Output:
    """The bytes that came along, else what lies at the address. Raises Unreadable where both are no good."""
    *first, last = _places(entry)
    for place in first:
        with contextlib.suppress(results.Unreadable):
            return results.of_base64(place, media_type)
    return source.output(last) if results.is_address(last) else results.of_base64(last, media_type)


def _watched(request: Request, answer: httpx.Response) -> Iterator[bytes]:
    """The body as it comes, while somebody wants it, it is not too long and there is time."""
    size, end = 0, time.monotonic() + request.seconds_left
    for chunk in answer.iter_bytes():
        if request.canceled():
            raise ProviderError("canceled", "stopped at our request", retryable=False, charged=True)
        if time.monotonic() > end:
            raise ProviderError("timed_out", "the answer did not end in time", retryable=False, charged=True)
        size += len(chunk)
        if size > ANSWER_BYTES:
            raise ProviderError("answer_too_large", f"more than {ANSWER_BYTES} bytes", retryable=False, charged=True)
        yield chunk


def _events(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The data of each server-sent event, of one line each in this dialect. Comments keep the connection alive.

    Not `iter_lines`: it also splits at U+2028 and its like, which JSON may hold as they are.
    """
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        if len(rest) > LINE_BYTES:
            raise ProviderError(
                "answer_too_large", f"an event of more than {LINE_BYTES} bytes", retryable=False, charged=True
            )
        for line in lines:
            if line.startswith(b"data:"):
                yield line[5:].strip()


def _explained(answer: httpx.Response) -> ProviderError | None:
    """A refusal of the client's input or for our account, which says more than its status. None: the status says it."""
    error: Mapping[str, Any] = {}
    with contextlib.suppress(ValueError):
        body = wire.mapping(wire.parsed(answer.content))
        error = wire.mapping(body.get("error")) or body
    words, message = {str(error.get("code")), str(error.get("type"))}, wire.message_of(answer)
    reasons = wire.mapping(error.get("metadata")).get("reasons")  # OpenRouter's
    if words & MODERATED or (answer.status_code == 403 and reasons):
        return ProviderError("moderated", message, retryable=False)
    if words & UNPAID:  # a 429 by its status, but waiting does not fill an account
        return ProviderError("provider_unpaid", message, retryable=False, elsewhere=True)
    return None


def _refuse_error(body: Any, *, begun: bool = False) -> None:
    """Raise what stands in an answer of status 200 as its error: OpenRouter's way once a model has been asked."""
    error = wire.mapping(body).get("error")
    if not error:
        return
    code = wire.mapping(error).get("code")
    status = code if isinstance(code, int) and 400 <= code < 600 else 500
    refusal = httpx.Response(status, json={"error": error})
    raised = _explained(refusal) or wire.refusal(refusal)
    if begun:
        raised.charged = True
        raised.limited = False  # it spends an attempt, since it cost money
    raise raised
