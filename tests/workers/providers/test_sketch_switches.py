"""Sketch's own switches: what a route can make it do, and what the book then says."""

import io
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from workers.providers.base import Done, OutcomeUnknown, Pending, ProviderError, Request
from workers.providers.sketch import Sketch, switches
from workers.providers.sketch.book import Book

SMALL = {"prompt": "x", "width": 64, "height": 64}


@pytest.fixture
def book(tmp_path: Path) -> Book:
    return Book(tmp_path / "book.db")


def make(model: str = "image", values: dict[str, Any] | None = None, /, **options: Any) -> Request:
    return Request(model=model, kind="image", input=SMALL if values is None else values, options=options)


def bytes_of(outcome: object) -> list[bytes]:
    assert isinstance(outcome, Done)
    return [b"".join(output.chunks()) for output in outcome.outputs]


def refused(call: Any) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        call()
    return caught.value


# The route's options themselves


@pytest.mark.parametrize("options", [
    {"slow": True}, {"fail": "often"}, {"pending": 1}, {"delay_seconds": -1}, {"cost_usd_micros": 0.5},
    {"fail_times": True}, {"size_bytes": 2**40}, {"recovery": "hope"}, {"claimed_media_type": 7},
])  # fmt: skip
def test_a_wrong_option_is_refused_before_anything_begins(book: Book, options: dict[str, Any]) -> None:
    error = refused(lambda: Sketch(book).start(make(**options), "job:1"))
    assert (error.code, error.retryable, error.charged) == ("bad_route", False, False)
    assert next(iter(options)) in error.message
    assert book.generations() == book.calls() == []
    assert Sketch(book).recovery(make(**options)) == "idempotent"  # so that a worker gets to hear of it


def test_an_option_without_a_value_is_none() -> None:
    assert switches.read({"fail": None, "instant": True}) == switches.Switches(instant=True)


def test_recovery_is_what_the_route_says_or_what_the_book_allows(book: Book) -> None:
    assert Sketch().recovery(make()) == "idempotent"
    assert Sketch(book).recovery(make()) == "lookup"
    assert Sketch(book).recovery(make(recovery="none")) == "none"


# Failures


@pytest.mark.parametrize("place", ["start", "poll"])
@pytest.mark.parametrize("kind", ["retryable", "permanent", "limited"])
@pytest.mark.parametrize("charge", [False, True])
def test_failures_say_what_they_cost_and_the_book_agrees(book: Book, place: str, kind: str, charge: bool) -> None:
    sketch = Sketch(book)
    request = make(
        pending=place == "poll", fail=kind, fail_at=place, charge_on_failure=charge, cost_usd_micros=7,
        retry_after_seconds=3,
    )  # fmt: skip

    def ask() -> None:
        outcome = sketch.start(request, "job:1")
        assert isinstance(outcome, Pending)
        sketch.poll(request, outcome.provider_job_id)

    error = refused(ask)
    charged = charge and kind != "limited"
    assert (error.retryable, error.limited) == (kind != "permanent", kind == "limited")
    assert (error.charged, error.cost_usd_micros, error.retry_after_seconds) == (charged, 7 if charged else 0, 3)
    assert book.charged_usd_micros() == (7 if charged else 0)
    if place == "start" and kind == "limited":
        assert sketch.lookup(request, "job:1") is None  # it never began
    else:
        again = refused(lambda: sketch.lookup(request, "job:1"))
        assert (again.code, again.charged) == (error.code, error.charged)
        assert [each.state for each in book.generations()] == ["failed"]


@pytest.mark.parametrize(("kind", "place"), [("limited", "start"), ("retryable", "start"), ("retryable", "poll")])
def test_so_many_failures_then_success_whatever_kind(book: Book, kind: str, place: str) -> None:
    request = make(fail=kind, fail_at=place, fail_times=2, pending=place == "poll")
    sketch, ends = Sketch(book), []
    for number in (1, 2, 3):
        try:
            outcome = sketch.start(request, f"job:{number}")
            if isinstance(outcome, Pending):
                outcome = sketch.poll(request, outcome.provider_job_id)
            ends.append(type(outcome).__name__)
        except ProviderError:
            ends.append("failed")
    assert ends == ["failed", "failed", "Done"]
    refused(lambda: sketch.poll(request, sketch.start(request, "another job:1").provider_job_id))


def test_a_failed_start_fails_again_when_it_is_repeated(book: Book) -> None:
    request = make(fail="retryable", fail_times=1)
    for _ in range(2):
        assert refused(lambda: Sketch(book).start(request, "job:1")).code == "sketch_retryable"
    assert isinstance(Sketch(book).start(request, "job:2"), Done)


def test_a_share_of_keys_fails_and_always_the_same_ones() -> None:
    request, sketch = make(fail="retryable", fail_rate=0.25, instant=True), Sketch()

    def failing() -> set[str]:
        failed = set()
        for number in range(200):
            try:
                sketch.start(request, f"job-{number}:1")
            except ProviderError:
                failed.add(f"job-{number}:1")
        return failed

    first = failing()
    assert first == failing()
    assert 25 < len(first) < 80


@pytest.mark.parametrize("values", [
    {"prompt": "x", "width": 10**9, "height": 64}, {**SMALL, "format": "bmp"}, {**SMALL, "count": 99},
    {**SMALL, "seed": "7"}, {**SMALL, "width": True},
])  # fmt: skip
def test_input_that_a_schema_let_through_fails_for_good_and_costs_nothing(book: Book, values: dict[str, Any]) -> None:
    request = make("image", values, cost_usd_micros=5)
    error = refused(lambda: Sketch(book).start(request, "job:1"))
    assert (error.code, error.retryable, error.charged) == ("invalid_input", False, False)
    assert [(each.state, each.charged_usd_micros) for each in book.generations()] == [("failed", 0)]
    assert refused(lambda: Sketch(book).lookup(request, "job:1")).code == "invalid_input"


def test_an_unknown_model_is_refused() -> None:
    assert refused(lambda: Sketch().start(make("oil painting"), "job:1")).code == "unknown_model"


# Time


def test_pending_generations_tell_growing_progress_until_they_are_ready(book: Book) -> None:
    sketch = Sketch(book)
    request = make(pending=True, ready_seconds=0.4, poll_after_seconds=0.05)
    outcome, seen = sketch.start(request, "job:1"), []
    while isinstance(outcome, Pending):
        assert outcome.poll_after_seconds == 0.05
        seen.append(outcome.progress or 0)
        time.sleep(0.05)
        outcome = sketch.poll(request, outcome.provider_job_id)
    assert seen == sorted(seen)
    assert seen[0] < 20 < seen[-1]
    assert len(book.calls("poll")) == len(seen)


def test_a_late_generation_stands_at_99_percent(book: Book) -> None:
    outcome = Sketch(book).start(make(pending=True, late_seconds=60), "job:1")
    assert isinstance(outcome, Pending)
    assert outcome.progress == 99


def test_a_slow_answer_is_on_record_while_it_is_waited_for_and_can_be_found(book: Book) -> None:
    request = Request(
        "image", "image", SMALL, {"delay_seconds": 0.6, "cost_usd_micros": 3}, seconds_left=0.2
    )  # the caller hangs up first
    error = refused(lambda: Sketch(book).start(request, "job:1"))
    assert (error.code, error.charged, error.cost_usd_micros) == ("timed_out", True, 3)
    found = Sketch(book).lookup(request, "job:1")
    assert isinstance(found, Pending)
    time.sleep(0.6)
    assert isinstance(Sketch(book).poll(request, found.provider_job_id), Done)
    assert book.starts_per_key() == {"job:1": 1}
    assert book.charged_usd_micros() == 3


def test_a_film_stops_between_two_frames_when_it_is_canceled() -> None:
    asked = []

    def canceled() -> bool:
        asked.append(time.monotonic())
        return len(asked) > 10

    film = Request("video", "video", {"prompt": "silk", "duration_seconds": 15}, canceled=canceled)
    begun = time.monotonic()
    assert refused(lambda: Sketch().start(film, "job:1")).code == "canceled"
    assert len(asked) == 11
    assert time.monotonic() - begun < 10


def test_speech_stops_when_it_is_canceled_or_out_of_time() -> None:
    long = {"text": "The water turns the wheel. " * 150}
    for changes, code in (({"canceled": lambda: True}, "canceled"), ({"seconds_left": 0.0}, "timed_out")):
        request = Request("speech", "speech", long, **changes)
        assert refused(lambda request=request: Sketch().start(request, "job:1")).code == code


# Lost answers, repeats, cancels


@pytest.mark.parametrize("pending", [False, True])
def test_a_forgotten_answer_was_charged_once_and_is_found_by_its_key(book: Book, pending: bool) -> None:
    sketch = Sketch(book)
    request = make(forget=True, pending=pending, cost_usd_micros=9)
    with pytest.raises(OutcomeUnknown):
        sketch.start(request, "job:1")
    found = bytes_of(sketch.lookup(request, "job:1"))
    assert found == bytes_of(sketch.start(request, "job:1"))  # a repeat is the same generation, and is answered
    assert [(each.state, each.charged_usd_micros) for each in book.generations()] == [("running", 9)]


def test_a_result_is_answered_at_every_poll_and_stands_in_the_book_once(book: Book) -> None:
    request = make(pending=True, twice=True, cost_usd_micros=2)
    begun = Sketch(book).start(request, "job:1")
    assert isinstance(begun, Pending)
    results = {bytes_of(Sketch(book).poll(request, begun.provider_job_id))[0] for _ in range(3)}
    assert len(results) == 1
    assert len(book.generations()) == 1
    assert [call.kind for call in book.calls()] == ["start", "poll", "poll", "poll"]


def test_a_cancel_stops_what_is_not_ready_and_comes_too_late_for_what_is(book: Book) -> None:
    sketch, slow, quick = Sketch(book), make(pending=True, ready_seconds=600, cost_usd_micros=4), make(pending=True)
    for request, key in ((slow, "slow:1"), (quick, "quick:1")):
        begun = sketch.start(request, key)
        assert isinstance(begun, Pending)
        sketch.cancel(request, begun.provider_job_id)
    error = refused(lambda: sketch.lookup(slow, "slow:1"))
    assert (error.code, error.charged, error.cost_usd_micros) == ("canceled", True, 4)
    assert isinstance(sketch.lookup(quick, "quick:1"), Done)
    Sketch().cancel(quick, "whatever")  # without a book there is nothing to stop


# What comes out


def test_pictures_of_one_request_differ_and_are_as_many_as_ordered() -> None:
    for options in ({}, {"instant": True}):
        assert len(bytes_of(Sketch().start(make("image", {**SMALL, "count": 3}, **options), "job:1"))) == 3
    assert len(set(bytes_of(Sketch().start(make("image", {**SMALL, "count": 3}), "job:1")))) == 3


def test_outputs_lie_about_their_type_and_end_early_when_told_to() -> None:
    whole = bytes_of(Sketch().start(make(instant=True), "job:1"))[0]
    outcome = Sketch().start(make(instant=True, claimed_media_type="video/mp4", truncated=True), "job:1")
    assert bytes_of(outcome) == [whole[: len(whole) // 2]]
    assert isinstance(outcome, Done)
    assert outcome.outputs[0].claimed_media_type == "video/mp4"


def test_outputs_are_filled_up_to_an_exact_size_in_small_chunks() -> None:
    size = 5_000_001
    outcome = Sketch().start(make(size_bytes=size), "job:1")
    assert isinstance(outcome, Done)
    chunks = list(outcome.outputs[0].chunks())
    assert sum(map(len, chunks)) == size
    assert max(map(len, chunks)) <= 256 * 1024
    with Image.open(io.BytesIO(b"".join(chunks))) as image:
        image.load()
        assert image.size == (64, 64)
    cut = bytes_of(Sketch().start(make(size_bytes=size, truncated=True), "job:1"))[0]
    assert b"".join(chunks).startswith(cut)
    assert len(cut) == size // 2


def test_a_picture_larger_than_what_is_painted_at_once_has_its_size_still() -> None:
    data = bytes_of(Sketch().start(make("image", {"prompt": "silk", "width": 4001, "height": 1101}), "job:1"))[0]
    with Image.open(io.BytesIO(data)) as image:
        assert image.size == (4001, 1101)


@pytest.mark.parametrize("prompt", [
    "mountains", "a lake at night", "desert", "city", "forest by the sea", "galaxy", "silk", "glass", "aurora", "neon", "",
    "\u00e9\u4e2d\U0001f600",
])  # fmt: skip
@pytest.mark.parametrize(("width", "height"), [(16, 16), (17, 64), (640, 16), (97, 131)])
def test_every_style_fits_every_shape(prompt: str, width: int, height: int) -> None:
    data = bytes_of(Sketch().start(make("image", {"prompt": prompt, "width": width, "height": height}), "job:1"))[0]
    with Image.open(io.BytesIO(data)) as image:
        assert image.size == (width, height)
        low, high = image.convert("L").getextrema()
        assert isinstance(low, int)
        assert high - low > 15  # there is something to see
