"""Replicate: failures, lost answers, and whose calls back are believed."""

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.far_side.callbacks import came
from tests.far_side.media import png
from tests.far_side.replicate import signed
from tests.workers.providers.replicate_there import KEY, SECRET, Set, believed, make, of, read, running
from workers.providers.base import Callback, Done, Endpoint, OutcomeUnknown, Pending, ProviderError
from workers.providers.replicate import Replicate


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Set]:
    with running(tmp_path) as made:
        yield made


# Failures


@pytest.mark.parametrize(("words", "expected"), [
    ("NSFW content detected. Try running it again.", ("moderated", False, False, False, False)),
    ("The input or output was flagged as sensitive. (E005)", ("moderated", False, False, False, False)),
    ("output blocked by the safety checker", ("moderated", False, False, False, False)),
    ("CUDA out of memory. Tried to allocate 2 GiB", ("interrupted", True, False, False, True)),
    ("Prediction interrupted; please retry (code: PA)", ("interrupted", True, False, False, True)),
    ("Director: unexpected error handling prediction (E9243)", ("interrupted", True, False, False, True)),
    ("Service is temporarily unavailable (E8765)", ("interrupted", True, False, False, True)),
    ("width must be a multiple of 8", ("generation_failed", False, False, False, True)),
    ("names are case-sensitive", ("generation_failed", False, False, False, True)),
    (None, ("generation_failed", False, False, False, True)),
])  # fmt: skip
def test_a_failures_words_say_whether_another_try_helps(there: Set, words: Any, expected: Any) -> None:
    error = there.failure(make(options={"cost_usd_micros_per_call": 9}), error=words)
    assert of(error) == expected
    assert error.cost_usd_micros == 0
    assert error.message == (words or "the prediction failed")


def test_a_route_whose_failures_are_charged_says_so(there: Set) -> None:
    options = {"charged_on_failure": True, "cost_usd_micros_per_second": 100}
    error = there.failure(make(options=options), error="CUDA out of memory")
    assert (error.retryable, error.charged, error.cost_usd_micros) == (True, True, 150)


def test_a_canceled_prediction_is_charged_and_an_aborted_one_never_began(there: Set) -> None:
    options = {"cost_usd_micros_per_second": 100}
    canceled = there.failure(make(options=options), end="canceled")
    assert (of(canceled), canceled.cost_usd_micros) == (("canceled", False, True, False, False), 150)
    aborted = there.failure(make(options=options), end="aborted")
    assert (of(aborted), aborted.cost_usd_micros) == (("timed_out", False, False, False, False), 0)


@pytest.mark.parametrize(("status", "expected"), [
    (401, ("unauthorized", False, False, False, True)),
    (402, ("provider_unpaid", False, False, False, True)),
    (422, ("invalid_input", False, False, False, False)),
    (500, ("http_500", True, False, False, True)),
])  # fmt: skip
def test_a_refused_start_means_what_its_status_means(there: Set, status: int, expected: Any) -> None:
    there.far.faults.add("error", status=status)
    with pytest.raises(ProviderError) as caught:
        there.provider().start(make(), KEY)
    assert of(caught.value) == expected
    assert caught.value.message == f"told to answer {status}"


@pytest.mark.parametrize("kind", ["lose", "cut", "garble", "drop"])
def test_a_start_whose_answer_is_lost_is_unknown_and_begun_once_at_most(there: Set, kind: Any) -> None:
    there.far.faults.add(kind)
    with pytest.raises(OutcomeUnknown):
        there.provider().start(make(), KEY)
    assert len(there.far.book.calls(method="POST")) == 1
    assert there.provider().recovery(make()) == "none"
    with pytest.raises(OutcomeUnknown):  # None would say that nothing began
        there.provider().lookup(make(), KEY)


# Polling


@pytest.mark.parametrize("kind", ["drop", "cut"])
def test_a_lost_poll_is_asked_again_at_once(there: Set, kind: Any) -> None:
    there.far.faults.add(kind, method="GET", times=2)
    assert there.done(make()).outputs


@pytest.mark.parametrize(("kind", "status"), [("limited", 429), ("error", 500), ("error", 401), ("garble", 200)])
def test_a_poll_that_is_refused_says_nothing_about_the_generation(there: Set, kind: Any, status: int) -> None:
    there.far.faults.add(kind, method="GET", status=status)
    with pytest.raises(OutcomeUnknown):
        there.end(make())


def test_a_server_that_is_away_says_nothing_about_the_generation(there: Set) -> None:
    provider = Replicate(Endpoint("gone", "http://127.0.0.1:9/v1"))
    with pytest.raises(OutcomeUnknown):
        provider.poll(make(), "p1")
    with pytest.raises(ProviderError) as caught:
        provider.start(make(), KEY)
    assert of(caught.value) == ("unreachable", True, False, False, True)
    provider.close()


@pytest.mark.parametrize("name", ["nosuchprediction", "../account", "", "a?b"])
def test_a_prediction_that_is_not_there_is_unknown_for_good(there: Set, name: str) -> None:
    with pytest.raises(ProviderError) as caught:
        there.provider().poll(make(), name)
    assert of(caught.value) == ("unknown_job", False, False, False, False)


def test_a_canceled_prediction_stays_canceled(there: Set) -> None:
    there.far.script["*"] = {"ready_seconds": 0.2}
    provider = there.provider()
    begun = provider.start(make(), KEY)
    assert isinstance(begun, Pending)
    for _ in range(2):
        provider.cancel(make(), begun.provider_job_id)
    time.sleep(0.3)
    with pytest.raises(ProviderError) as caught:
        provider.poll(make(), begun.provider_job_id)
    assert caught.value.code == "canceled"


# Calls back

ENDED = json.dumps({"id": "p1", "status": "succeeded", "output": "data:image/png;base64,eA==", "metrics": {}}).encode()


def test_a_signed_call_back_is_the_outcome(there: Set) -> None:
    outcome = believed(there.provider(webhook_secret=SECRET), ENDED, signed(SECRET, ENDED))
    assert isinstance(outcome, Done)
    assert read(outcome) == [b"x"]


def test_a_signed_call_back_about_a_failure_is_a_failure(there: Set) -> None:
    body = json.dumps({"id": "p1", "status": "failed", "error": "NSFW"}).encode()
    with pytest.raises(ProviderError) as caught:
        believed(there.provider(webhook_secret=SECRET), body, signed(SECRET, body))
    assert caught.value.code == "moderated"


def test_a_call_back_tells_of_a_start_whose_answer_was_lost(there: Set) -> None:
    assert isinstance(believed(there.provider(webhook_secret=SECRET), ENDED, signed(SECRET, ENDED), None), Done)


def test_one_good_signature_among_several_is_enough(there: Set) -> None:
    headers = signed(SECRET, ENDED)
    headers["webhook-signature"] = f"v1a,AAAA v1,BBBB {headers['webhook-signature']}"
    assert believed(there.provider(webhook_secret=SECRET), ENDED, headers)


@pytest.mark.parametrize("change", [
    {"webhook-signature": "v1,AAAA"}, {"webhook-signature": ""}, {"webhook-signature": "v1,ä"},
    {"webhook-id": "msg_2"}, {"webhook-id": ""}, {"webhook-timestamp": ""}, {"webhook-timestamp": "soon"},
])  # fmt: skip
def test_a_call_back_with_another_signature_is_not_believed(there: Set, change: dict[str, str]) -> None:
    headers = signed(SECRET, ENDED) | change
    assert believed(there.provider(webhook_secret=SECRET), ENDED, headers) is None


@pytest.mark.parametrize(("age", "good"), [(299, True), (301, False), (-301, False), (-299, True)])
def test_a_call_back_is_believed_for_five_minutes(there: Set, age: int, good: bool) -> None:
    arrived = 1_800_000_000.0
    outcome = believed(
        there.provider(webhook_secret=SECRET), ENDED, signed(SECRET, ENDED, at=arrived - age), arrived=arrived
    )
    assert (outcome is not None) is good


def test_a_changed_body_or_another_secret_is_not_believed(there: Set) -> None:
    provider = there.provider(webhook_secret=SECRET)
    assert believed(provider, ENDED + b" ", signed(SECRET, ENDED)) is None
    assert believed(provider, ENDED, signed("whsec_" + "b3RoZXItc2VjcmV0", ENDED)) is None


def test_without_a_secret_or_with_a_broken_one_nothing_is_believed(there: Set) -> None:
    for options in ({}, {"webhook_secret": ""}, {"webhook_secret": "whsec_"}, {"webhook_secret": "c2VjcmV0"}):
        assert believed(there.provider(**options), ENDED, signed(SECRET, ENDED)) is None


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"status": "succeeded"}', b'{"id": "p2", "status": "failed"}'])
def test_a_call_back_about_nothing_or_another_generation_is_not_believed(there: Set, body: bytes) -> None:
    assert believed(there.provider(webhook_secret=SECRET), body, signed(SECRET, body)) is None


def test_the_far_sides_own_call_back_is_believed(there: Set) -> None:
    calls: list[Callback] = []
    arrived = threading.Event()

    class Catcher(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            calls.append(came({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(204)
            self.end_headers()
            arrived.set()

        def log_message(self, *args: Any) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Catcher) as catcher:
        thread = threading.Thread(target=catcher.handle_request)
        thread.start()
        there.far.script["*"] = {"webhook_secret": SECRET, "ready_seconds": 0.1}
        request = make(callback_url=f"http://127.0.0.1:{catcher.server_port}/")
        provider = there.provider(webhook_secret=SECRET)
        begun = provider.start(request, KEY)
        assert arrived.wait(10)
        thread.join()
    assert isinstance(begun, Pending)
    outcome = provider.callback(request, begun.provider_job_id, calls[0])
    assert isinstance(outcome, Done)
    assert read(outcome) == [png(f"{begun.provider_job_id}.png")]
