"""Sketch answers like a real provider, well or badly as the route's options tell it.

Options (a route's, never a client's): `cost_usd_micros`; `delay_seconds` (slow); `pending`, `ready_seconds`,
`poll_after_seconds` (asynchronous, to be polled); `fail` = "retryable" | "permanent" | "limited", with `fail_times`
(the first N times per job) or `fail_rate` (0 to 1, from the key's hash) and `fail_at` = "start" | "poll";
`charge_on_failure`; `forget` (the answer to start is lost); `late_seconds` (ready later than it said);
`recovery` = "lookup" | "idempotent" | "none"; `instant` (a tiny picture drawn beforehand); `size_bytes` (a film padded
to that size); `claimed_media_type` (a lie); `truncated` (a broken file). A finished result is answered again, with the
same bytes, however often it is asked for.

What must be remembered between calls is in the book (setting SKETCH_BOOK); without one, asynchronous routes are refused.
"""

import hashlib
import struct
import time
from collections.abc import Callable, Iterator
from typing import Any

from common.faultpoints import reached
from workers.providers.base import Done, Outcome, OutcomeUnknown, Output, Pending, ProviderError, Recovery, Request
from workers.providers.sketch import render
from workers.providers.sketch.book import Book, Generation

MEDIA_TYPES = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp"}
FILLER_CHUNK = bytes(256 * 1024)


class Sketch:
    """The built-in provider."""

    name = "sketch"

    def __init__(self, book: Book | None = None) -> None:
        self._book = book
        self._instant: bytes | None = None

    def recovery(self, request: Request) -> Recovery:
        """Without a book every generation is the same for the same input, so starting it again is the same one."""
        chosen = request.options.get("recovery", "lookup" if self._book else "idempotent")
        if chosen not in {"lookup", "idempotent", "none"}:
            raise ValueError(f"sketch: unknown recovery {chosen!r}")
        return chosen  # type: ignore[no-any-return]  # options are a route's JSON

    def start(self, request: Request, idempotency_key: str) -> Outcome:
        """Draw at once, or begin what is polled later."""
        options = request.options
        generation = self._begin(request, idempotency_key)
        if options.get("forget"):
            raise OutcomeUnknown("the answer was lost on its way")
        if options.get("pending"):
            return self._pending(request, generation)
        self._wait(request, float(options.get("delay_seconds", 0)))
        reached("provider:generated")
        return self._done(request, lambda _percent: None)

    def poll(self, request: Request, provider_job_id: str) -> Outcome:
        """How far a generation is."""
        book = self._needed_book()
        book.call("poll", None, provider_job_id)
        generation = book.find(provider_job_id=provider_job_id)
        if generation is None:
            raise ProviderError("unknown_job", f"there is no generation {provider_job_id!r}", retryable=False)
        return self._outcome(request, generation)

    def lookup(self, request: Request, idempotency_key: str) -> Outcome | None:
        """Find a generation by our key."""
        book = self._needed_book()
        book.call("lookup", idempotency_key)
        generation = book.find(key=idempotency_key)
        return None if generation is None else self._outcome(request, generation)

    def cancel(self, request: Request, provider_job_id: str) -> None:  # noqa: ARG002 - the protocol's
        """Stop a generation; what was charged stays charged."""
        if self._book is None:
            return
        self._book.call("cancel", None, provider_job_id)
        self._book.cancel(provider_job_id)

    # What the options say

    def _begin(self, request: Request, key: str) -> Generation | None:
        options = request.options
        failure = self._failure(request, key, "start")
        if self._book is None:
            if options.get("pending") or options.get("forget") or options.get("fail_times"):
                raise ProviderError(
                    "not_configured", "this sketch route needs a book: set SKETCH_BOOK", retryable=False
                )
            if failure:
                raise failure
            return None
        self._book.call("start", key)
        if failure and failure.limited:
            raise failure
        cost = int(options.get("cost_usd_micros", 0))
        ready = float(options.get("ready_seconds", 0)) + float(options.get("late_seconds", 0))
        charged = cost if not failure or failure.charged else 0
        generation = self._book.begin(
            key, {"model": request.model, "input": _short(request.input)}, ready, charged,
            "failed" if failure else "running",
        )  # fmt: skip
        reached("provider:begun")
        if failure:
            raise failure
        return generation

    def _failure(self, request: Request, key: str, place: str) -> ProviderError | None:
        options = request.options
        kind = options.get("fail")
        if kind is None or options.get("fail_at", "start") != place:
            return None
        job = key.rpartition(":")[0]
        if "fail_times" in options and self._book and self._book.failures_of(job) >= int(options["fail_times"]):
            return None
        if "fail_rate" in options and _fraction(key) >= float(options["fail_rate"]):
            return None
        charged = bool(options.get("charge_on_failure"))
        return ProviderError(
            f"sketch_{kind}",
            {"retryable": "the pencil broke", "permanent": "this cannot be drawn", "limited": "too many at once"}[kind],
            retryable=kind != "permanent",
            charged=charged,
            cost_usd_micros=int(options.get("cost_usd_micros", 0)) if charged else 0,
            retry_after_seconds=float(options["retry_after_seconds"]) if "retry_after_seconds" in options else None,
            limited=kind == "limited",
        )

    def _outcome(self, request: Request, generation: Generation) -> Outcome:
        if generation.state == "canceled":
            raise ProviderError("canceled", "the generation was canceled", retryable=False)
        if generation.state == "failed":
            raise self._failure(request, generation.idempotency_key, request.options.get("fail_at", "start")) or (
                ProviderError("sketch_retryable", "the pencil broke", retryable=True)
            )
        if time.time() < generation.ready_at:
            return self._pending(request, generation)
        failure = self._failure(request, generation.idempotency_key, "poll")
        if failure:
            raise failure
        return self._done(request, lambda _percent: None)

    def _pending(self, request: Request, generation: Generation | None) -> Pending:
        if generation is None:
            raise ProviderError("not_configured", "this sketch route needs a book: set SKETCH_BOOK", retryable=False)
        whole = max(0.001, generation.ready_at - generation.started_at)
        percent = min(99, max(0, round(100 * (time.time() - generation.started_at) / whole)))
        return Pending(generation.provider_job_id, float(request.options.get("poll_after_seconds", 0.5)), percent)

    def _wait(self, request: Request, seconds: float) -> None:
        end = time.monotonic() + seconds
        limit = time.monotonic() + request.seconds_left
        while (now := time.monotonic()) < end:
            _go_on(request, limit)
            time.sleep(min(0.05, end - now))

    def _needed_book(self) -> Book:
        if self._book is None:
            raise ProviderError("not_configured", "this sketch route needs a book: set SKETCH_BOOK", retryable=False)
        return self._book

    # Drawing

    def _done(self, request: Request, progress: Callable[[int], None]) -> Done:
        cost = int(request.options.get("cost_usd_micros", 0))
        return Done(self._draw(request, progress), cost_usd_micros=cost)

    def _draw(self, request: Request, progress: Callable[[int], None]) -> list[Output]:
        options, values = request.options, request.input
        claimed = options.get("claimed_media_type")
        if options.get("instant"):
            if self._instant is None:
                self._instant = render.picture({"prompt": "instant", "width": 64, "height": 64}, 0)
            return [_output(self._instant, claimed or "image/png")]
        match request.model:
            case "image":
                kind = MEDIA_TYPES[str(values.get("format", "png"))]
                drawn = [render.picture(values, number) for number in range(int(values.get("count", 1)))]
            case "video":
                limit = time.monotonic() + request.seconds_left
                kind, drawn = "video/mp4", [render.film(values, lambda: _go_on(request, limit), progress)]
            case "speech":
                kind, drawn = "audio/wav", [render.speech(values, request.seconds_left)]
            case _:
                raise ProviderError("unknown_model", f"sketch has no model {request.model!r}", retryable=False)
        if options.get("truncated"):
            drawn = [each[: len(each) // 2] for each in drawn]
        if "size_bytes" in options:
            return [_padded(each, int(options["size_bytes"]), claimed or kind) for each in drawn]
        return [_output(each, claimed or kind) for each in drawn]


def _go_on(request: Request, limit: float) -> None:
    if request.canceled():
        raise ProviderError("canceled", "stopped at our request", retryable=False)
    if time.monotonic() > limit:
        raise ProviderError("timed_out", "the time for this job is over", retryable=False)


def _output(data: bytes, media_type: str) -> Output:
    return Output(lambda: iter([data]), media_type)


def _padded(data: bytes, size: int, media_type: str) -> Output:
    """An MP4 made longer by a `free` box, which players skip; streamed, so it is never in memory whole."""
    room = max(8, size - len(data))

    def chunks() -> Iterator[bytes]:
        yield data
        yield struct.pack(">I4s", room, b"free")
        left = room - 8
        while left > 0:
            yield FILLER_CHUNK[: min(left, len(FILLER_CHUNK))]
            left -= len(FILLER_CHUNK)

    return Output(chunks, media_type)


def _fraction(key: str) -> float:
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "big") / 2**32


def _short(values: Any) -> dict[str, Any]:
    return {name: value if len(str(value)) < 200 else str(value)[:200] for name, value in values.items()}
