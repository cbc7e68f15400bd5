"""Sketch answers like a real provider, well or badly as its route's options tell it (they are listed in switches.py).

What must be remembered between calls is in the book (setting SKETCH_BOOK): with it a generation is on record before it
is drawn, is found again by its key or its id, and is one generation however often it is started or asked for. Without
it there are only answers at once, which are the same for the same input; asynchronous routes are refused.
"""

import time
from dataclasses import replace
from functools import cache, partial

from common.faultpoints import reached
from workers.providers.base import (
    Callback,
    Done,
    Outcome,
    OutcomeUnknown,
    Output,
    Pending,
    ProviderError,
    Recovery,
    Request,
)
from workers.providers.sketch import render, switches, write
from workers.providers.sketch.book import Book, Generation
from workers.providers.sketch.deadline import Deadline
from workers.providers.sketch.outputs import output
from workers.providers.sketch.switches import Switches

MEDIA_TYPES = {"png": "image/png", "jpeg": "image/jpeg", "jpg": "image/jpeg", "webp": "image/webp"}
COUNT_LIMIT = 16  # pictures of one request
STOPPED = frozenset({"canceled", "timed_out"})  # we went away; the far side may well go on


class Sketch:
    """The built-in provider. Its models are "image", "video", "speech" and "text". Safe to use from many threads."""

    name = "sketch"

    def __init__(self, book: Book | None = None) -> None:
        self._book = book

    def recovery(self, request: Request) -> Recovery:
        """As the route says. Without a book every generation is the same for the same input: starting again is harmless."""
        try:
            chosen = switches.read(request.options).recovery
        except ProviderError:
            return "idempotent"  # `start` refuses the route before anything begins, so that the job can end
        return chosen or ("lookup" if self._book else "idempotent")

    def start(self, request: Request, idempotency_key: str) -> Outcome:
        """Draw at once, or begin what is polled later. A key that was started before is the same generation again."""
        wanted = switches.read(request.options)
        deadline = Deadline(request.seconds_left, request.canceled, wanted.stopped)
        request = _held(request)
        # A text is told as it is written, for as long as the answer takes; whatever else is late is silent until then.
        writes = wanted.answer_seconds if request.model == "text" and not wanted.pending else 0.0
        if self._book is None:
            if wanted.needs_book:
                raise _no_book()
            request.confirm()
            if wanted.fails("start", idempotency_key, 0):
                raise wanted.failure()
            deadline.wait(wanted.answer_seconds - writes)
            return _drawn(request, wanted, deadline, wanted.cost_usd_micros, writes)
        request.confirm()
        self._book.call("start", idempotency_key)
        before = self._book.find(key=idempotency_key)
        if before is not None:
            return self._outcome(self._book, request, before)
        generation = self._begin(self._book, request, wanted, idempotency_key)
        if wanted.forget:
            raise OutcomeUnknown("the answer was lost on its way")
        deadline.wait(wanted.answer_seconds - writes)
        if wanted.pending:
            return _pending(wanted, generation)
        reached("provider:generated")
        return self._finish(self._book, request, wanted, generation, deadline, writes)

    def poll(self, request: Request, provider_job_id: str) -> Outcome:
        """How far a generation is; a finished one is answered again, with the same bytes, at every poll."""
        book = self._needed_book()
        book.call("poll", None, provider_job_id)
        generation = book.find(provider_job_id=provider_job_id)
        if generation is None:
            raise ProviderError("unknown_job", f"there is no generation {provider_job_id!r}", retryable=False)
        return self._outcome(book, request, generation)

    def lookup(self, request: Request, idempotency_key: str) -> Outcome | None:
        """Find a generation by our key. None: it never began, or was turned away for want of room."""
        book = self._needed_book()
        book.call("lookup", idempotency_key)
        generation = book.find(key=idempotency_key)
        return None if generation is None else self._outcome(book, request, generation)

    def cancel(self, request: Request, provider_job_id: str) -> None:  # noqa: ARG002 - the protocol's
        """Stop a generation that is not ready yet; what was charged stays charged."""
        if self._book is None:
            return
        self._book.call("cancel", None, provider_job_id)
        self._book.cancel(provider_job_id)

    def output(self, request: Request, address: str, claimed_media_type: str | None = None) -> Output:  # noqa: ARG002 - the protocol's
        """Never had: its results come with its answers."""
        raise ValueError("no address: sketch answers with bytes, and has put nothing anywhere")

    def callback(self, request: Request, provider_job_id: str | None, call: Callback) -> None:
        """Sketch calls nobody back."""

    def _begin(self, book: Book, request: Request, wanted: Switches, key: str) -> Generation:
        """Put a generation on record, charged, before any work is done for it."""
        failed = wanted.fails("start", key, book.failures_of(_job(key)) if wanted.fail_times is not None else 0)
        if failed and wanted.fail == "limited":
            book.refuse(key)
            raise wanted.failure()
        generation = book.begin(
            key,
            {"model": request.model, "input": _short(request)},
            wanted.promised_seconds + wanted.late_seconds,
            wanted.failure_cost if failed else wanted.cost_usd_micros,
            "failed" if failed else "running",
        )
        reached("provider:begun")
        if failed:
            raise wanted.failure()
        return generation

    def _outcome(self, book: Book, request: Request, generation: Generation) -> Outcome:
        """What the book says about a generation."""
        wanted, key = switches.read(request.options), generation.idempotency_key
        if generation.state == "canceled":
            raise wanted.stopped("canceled", "the generation was canceled")
        if generation.state == "failed":
            raise _failure_of_input(generation.error) or wanted.failure()
        if time.time() < generation.ready_at:
            return _pending(wanted, generation)
        if wanted.fails("poll", key, book.failures_of(_job(key)) if wanted.fail_times is not None else 0):
            book.fail(generation.provider_job_id, wanted.failure_cost)
            raise wanted.failure()
        deadline = Deadline(request.seconds_left, request.canceled, wanted.stopped)
        return self._finish(book, request, wanted, generation, deadline)

    def _finish(
        self, book: Book, request: Request, wanted: Switches, generation: Generation, deadline: Deadline,
        writes: float = 0.0,
    ) -> Done:  # fmt: skip
        """Draw. What cannot be drawn is a failed generation, which costs nothing; that we stop listening is none."""
        try:
            return _drawn(request, wanted, deadline, generation.charged_usd_micros, writes)
        except ProviderError as error:
            if error.code not in STOPPED:
                book.fail(generation.provider_job_id, 0, f"{error.code}: {error.message}")
            raise

    def _needed_book(self) -> Book:
        if self._book is None:
            raise _no_book()
        return self._book


def _no_book() -> ProviderError:
    return ProviderError("not_configured", "this sketch route needs a book: set SKETCH_BOOK to a file", retryable=False)


def _failure_of_input(error: str | None) -> ProviderError | None:
    """The failure that a generation's own input was, as the book has it."""
    code, _, message = (error or "").partition(": ")
    return ProviderError(code, message, retryable=code == "speech_failed", cost_usd_micros=0) if code else None


def _pending(wanted: Switches, generation: Generation) -> Pending:
    """Progress goes by what was promised; a generation that is late stands at 99."""
    passed = time.time() - generation.started_at
    part = passed / wanted.promised_seconds if wanted.promised_seconds else 1.0
    percent = min(99, max(0, int(100 * part)))
    return Pending(generation.provider_job_id, max(0.01, wanted.poll_after_seconds), percent)


def _held(request: Request) -> Request:
    """The request with its files in memory, so that nothing of ours can go wrong once the generation has begun."""
    held = {name: b"".join(file.chunks()) for name, file in request.files.items()}
    files = {name: replace(file, chunks=partial(iter, [held[name]])) for name, file in request.files.items()}
    return replace(request, files=files)


def _drawn(request: Request, wanted: Switches, deadline: Deadline, cost: int | None, writes: float) -> Done:
    """What was ordered. A text is told word by word, all of it in `writes` seconds."""
    if request.model != "text":
        return Done(_draw(request, wanted, deadline), cost_usd_micros=cost)
    try:
        said = write.text(request.input, deadline.go_on)
    except ValueError as error:
        raise ProviderError("invalid_input", str(error), retryable=False) from error
    parts = write.pieces(said)
    for part in parts:
        deadline.wait(writes / len(parts))
        request.said(part)
    asked = sum(write.tokens(str(request.input.get(name) or "")) for name in ("system", "prompt"))
    used = write.tokens(said)
    usage = {"tokens_in": asked, "tokens_out": used, "tokens": asked + used}
    return Done([output(said.encode(errors="replace"), "text/plain", wanted)], cost, usage)


def _draw(request: Request, wanted: Switches, deadline: Deadline) -> list[Output]:
    values = {**request.input, **{name: b"".join(file.chunks()) for name, file in request.files.items()}}
    if wanted.instant:
        return [output(_instant(), "image/png", wanted) for _ in range(_count(request))]
    match request.model:
        case "image":
            kind, drawn = MEDIA_TYPES.get(str(values.get("format") or "png"), "image/png"), []
            for number in range(_count(request)):
                deadline.go_on()
                drawn.append(render.picture(values, number))
        case "video":
            kind, drawn = "video/mp4", [render.film(values, deadline.go_on)]
        case "speech":
            kind, drawn = "audio/wav", [render.speech(values, deadline.go_on)]
        case _:
            raise ProviderError("unknown_model", f"sketch has no model {request.model!r}", retryable=False)
    return [output(each, kind, wanted) for each in drawn]


@cache
def _instant() -> bytes:
    """Benchmarks measure the system, not the drawing: one tiny picture for all."""
    return render.picture({"prompt": "a small lake", "width": 64, "height": 64}, 0)


def _count(request: Request) -> int:
    count = request.input.get("count") or 1
    if not isinstance(count, int) or not 1 <= count <= COUNT_LIMIT:
        raise ProviderError("invalid_input", f"input.count must be from 1 to {COUNT_LIMIT}", retryable=False)
    return count


def _job(key: str) -> str:
    """Our keys are `<job>:<attempt>`."""
    return key.rpartition(":")[0]


def _short(request: Request) -> dict[str, object]:
    return {name: value if len(str(value)) < 200 else str(value)[:200] for name, value in request.input.items()}
