"""Replicate: where a prediction is begun, what comes of it in every shape, and whose calls back are believed."""

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.far_side.book import Book
from tests.far_side.media import png
from tests.far_side.replicate import ReplicateFarSide, signed
from tests.workers.providers.contract import Contract
from workers.providers.base import (
    Callback,
    Done,
    Endpoint,
    InputFile,
    Outcome,
    OutcomeUnknown,
    Pending,
    Provider,
    ProviderError,
    Request,
)
from workers.providers.replicate import Replicate, progress

KEY = "job:1"
SECRET = "whsec_" + "c2VjcmV0LXNlY3JldC1zZWNyZXQtMTIz"
HOOK = "https://headrace.example/callbacks/token"
MODEL = "acme/paint"


class Set:
    """A server, and providers that ask it."""

    def __init__(self, far: ReplicateFarSide) -> None:
        self.far = far
        self._made: list[Replicate] = []

    def provider(self, **options: Any) -> Replicate:
        self._made.append(Replicate(Endpoint("replicate", self.far.url, "r8_ours", options)))
        return self._made[-1]

    def end(self, request: Request, **script: Any) -> Outcome:
        """Begin a prediction with this script, and ask for it once."""
        self.far.script["*"] = script
        provider = self.provider()
        begun = provider.start(request, KEY)
        assert isinstance(begun, Pending)
        return provider.poll(request, begun.provider_job_id)

    def done(self, request: Request, **script: Any) -> Done:
        outcome = self.end(request, **script)
        assert isinstance(outcome, Done)
        return outcome

    def failure(self, request: Request, **script: Any) -> ProviderError:
        with pytest.raises(ProviderError) as caught:
            self.end(request, **script)
        return caught.value

    def asked(self) -> dict[str, Any]:
        return self.far.book.calls(method="POST")[-1]

    def close(self) -> None:
        for each in self._made:
            each.close()


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Set]:
    book = Book(tmp_path / "far.sqlite")
    with ReplicateFarSide(book).running() as far:
        made = Set(far)
        yield made
        made.close()
    book.close()


class TestReplicate(Contract):
    @pytest.fixture(autouse=True)
    def _there(self, there: Set) -> None:
        self._set, self._provider = there, there.provider()

    def provider(self) -> Provider:
        return self._provider

    def request(self, situation: str, **changes: Any) -> Request:
        far, options = self._set.far, {}
        match situation:
            case "at once":
                options = {"wait_seconds": 5}
            case "polled":
                far.script["*"] = {"ready_seconds": 0.3, "logs": " 40%|####      | 2/5\n"}
            case "fails":
                far.script["*"] = {"error": "the prompt is empty"}
            case "fails and may be retried":
                far.script["*"] = {"error": "Prediction interrupted; please retry (code: PA)"}
            case "limited":
                far.faults.add("limited")
            case "lost answer":
                far.faults.add("lose")
            case "slow":
                far.script["*"] = {"ready_seconds": 600}
        return make(options=options, **changes)


def make(kind: Any = "image", model: str = MODEL, **fields: Any) -> Request:
    return Request(model, kind, fields.pop("input", {"prompt": "a lake"}), **fields)


def read(done: Done) -> list[bytes]:
    return [b"".join(each.chunks()) for each in done.outputs]


def of(error: ProviderError) -> tuple[str, bool, bool, bool, bool]:
    return error.code, error.retryable, error.charged, error.limited, error.elsewhere


def believed(provider: Replicate, body: bytes, headers: dict[str, str], known: str | None = "p1") -> Outcome | None:
    return provider.callback(make(), known, Callback(headers, body))


# Asking


@pytest.mark.parametrize(("model", "options", "path", "version"), [
    ("acme/paint", {}, "/v1/models/acme/paint/predictions", None),
    ("acme/paint-2.1:abc123", {}, "/v1/predictions", "abc123"),
    ("f" * 64, {}, "/v1/predictions", "f" * 64),
    ("acme/paint", {"deployment": "us/fast"}, "/v1/deployments/us/fast/predictions", None),
])  # fmt: skip
def test_a_prediction_is_begun_where_its_model_is(
    there: Set, model: str, options: Any, path: str, version: str | None
) -> None:
    there.provider().start(make(model=model, options=options), KEY)
    assert there.asked()["path"] == path
    assert there.asked()["body"].get("version") == version


@pytest.mark.parametrize(("model", "options"), [
    ("paint", {}), ("acme/paint/../x", {}), ("acme/paint?x", {}), ("", {}), (MODEL, {"deployment": "fast"}),
])  # fmt: skip
def test_a_model_that_is_none_is_refused_before_it_is_asked_for(there: Set, model: str, options: Any) -> None:
    with pytest.raises(ProviderError) as caught:
        there.provider().start(make(model=model, options=options), KEY)
    assert of(caught.value) == ("unknown_model", False, False, False, True)
    assert there.far.book.calls() == []


def test_input_goes_without_what_was_not_given_and_files_as_data_uris(there: Set) -> None:
    file = InputFile("image/png", 3, lambda: iter((b"abc",)))
    request = make(input={"prompt": "x", "seed": None}, files={"image": file}, options={"extra": {"go_fast": True}})
    there.provider().start(request, KEY)
    assert there.asked()["body"] == {
        "input": {"prompt": "x", "go_fast": True, "image": "data:image/png;base64,YWJj"}
    }  # fmt: skip


def test_our_key_or_the_users_own_is_sent_and_a_deadline(there: Set) -> None:
    there.provider().start(make(seconds_left=90.5), KEY)
    assert there.asked()["headers"]["authorization"] == "Bearer r8_ours"
    assert there.asked()["headers"]["cancel-after"] == "90s"
    assert "prefer" not in there.asked()["headers"]
    there.provider().start(make(api_key="r8_theirs", seconds_left=1), KEY)
    assert there.asked()["headers"]["authorization"] == "Bearer r8_theirs"
    assert there.asked()["headers"]["cancel-after"] == "5s"  # Replicate's least


def test_a_call_back_is_asked_for_once_at_the_end_and_polling_then_takes_its_time(there: Set) -> None:
    there.far.script["*"] = {"ready_seconds": 60}
    request = make(callback_url=HOOK)
    begun = there.provider(webhook_secret=SECRET).start(request, KEY)
    assert there.asked()["body"]["webhook"] == HOOK
    assert there.asked()["body"]["webhook_events_filter"] == ["completed"]
    assert isinstance(begun, Pending)
    assert begun.poll_after_seconds == 10.0
    begun = there.provider().start(request, KEY)  # without a secret no call back is believed
    assert isinstance(begun, Pending)
    assert begun.poll_after_seconds == 1.0


def test_a_short_prediction_may_be_waited_for_in_the_first_call(there: Set) -> None:
    there.far.script["*"] = {"ready_seconds": 0.2}
    assert isinstance(there.provider().start(make(options={"wait_seconds": 5}), KEY), Done)
    assert there.asked()["headers"]["prefer"] == "wait=5"


@pytest.mark.parametrize("name", ["cost_usd_micros_per_second", "cost_usd_micros_per_call", "poll_seconds"])
def test_a_number_that_is_none_is_found_out_before_anything_is_paid(there: Set, name: str) -> None:
    with pytest.raises(ProviderError) as caught:
        there.provider().start(make(options={name: "soon"}), KEY)
    assert caught.value.code == "not_configured"
    assert there.far.book.calls() == []


# Results


def test_addresses_are_found_in_every_shape_and_in_their_order(there: Set) -> None:
    one, two = f"{there.far.root}/files/1.png", f"{there.far.root}/files/2.png"
    for output, names in [
        (one, ["1.png"]),
        ([one, two], ["1.png", "2.png"]),
        ({"images": [{"url": two}, {"url": one, "seed": 3}], "took": 1.5}, ["2.png", "1.png"]),
    ]:
        assert read(there.done(make(), output=output)) == [png(name) for name in names]
    assert read(there.done(make(), output="data:image/png;base64,YWJj")) == [b"abc"]
    assert read(there.done(make(), output=["data:text/plain,a%20b"])) == [b"a b"]


def test_a_result_at_replicates_own_server_is_fetched_with_the_key_and_elsewhere_without(there: Set) -> None:
    read(there.done(make(), output=f"{there.far.root}/files/1.png"))
    assert there.far.book.calls("/files/")[-1]["headers"]["authorization"] == "Bearer r8_ours"
    read(there.done(make(), output=f"{there.far.root}/files/1.png".replace("127.0.0.1", "localhost")))
    assert "authorization" not in there.far.book.calls("/files/")[-1]["headers"]


@pytest.mark.parametrize(("kind", "output", "result", "media_type"), [
    ("text", ["The ", "lake ", "is ", "still."], b"The lake is still.", "text/plain"),
    ("text", "The lake.", b"The lake.", "text/plain"),
    ("text", ["https://", "example.org"], b"https://example.org", "text/plain"),
    ("image", "a caption", b"a caption", "text/plain"),
    ("image", ["a", "b"], b'["a","b"]', "application/json"),
    ("text", {"score": 0.5}, b'{"score":0.5}', "application/json"),
    ("text", 7, b"7", "application/json"),
])  # fmt: skip
def test_what_is_no_address_is_a_text_or_json(
    there: Set, kind: str, output: Any, result: bytes, media_type: str
) -> None:
    done = there.done(make(kind), output=output)
    assert (read(done), done.outputs[0].claimed_media_type) == ([result], media_type)


@pytest.mark.parametrize("output", [None, "", [], {}, "data:image/png;base64,A*", "data:nonsense"])
def test_a_success_without_a_result_was_paid_for_and_is_not_repeated(there: Set, output: Any) -> None:
    error = there.failure(make(), output=output)
    assert of(error) == ("unusable_answer", False, True, False, True)


def test_a_result_that_was_deleted_says_so(there: Set) -> None:
    assert "deleted" in there.failure(make(), output=None, data_removed=True).message


@pytest.mark.parametrize(("options", "metrics", "cost"), [
    ({"cost_usd_micros_per_second": 975}, {"predict_time": 2.345}, 2286),
    ({"cost_usd_micros_per_second": 975, "cost_usd_micros_per_call": 40}, {}, 40),
    ({"cost_usd_micros_per_call": 40}, {"predict_time": 2.0}, 40),
    ({"cost_usd_micros_per_second": 975}, {}, None),
    ({}, {"predict_time": 2.0}, None),
])  # fmt: skip
def test_a_prediction_costs_by_its_seconds_or_by_the_call_or_nobody_knows(
    there: Set, options: Any, metrics: Any, cost: int | None
) -> None:
    done = there.done(make(options=options), metrics=metrics)
    assert done.cost_usd_micros == cost
    assert done.usage.get("predict_ms") == (round(metrics["predict_time"] * 1000) if metrics else None)


def test_the_tokens_of_a_language_model_are_counted_by_replicate(there: Set) -> None:
    done = there.done(make("text"), output=["x"], metrics={"input_token_count": 3, "output_token_count": 4})
    assert done.usage == {"tokens_in": 3, "tokens_out": 4, "tokens": 7}


@pytest.mark.parametrize(("logs", "percent"), [
    (" 10%|#    | 1/10\n 30%|###  | 3/10 [00:01]\nrate 99%\n", 30),
    ("loading\nat 12.5% now\n", 12),
    ("100%|#####| 5/5", 100), ("999%|", 100), ("no numbers", None), ("", None), (None, None),
    ("50%|#|\n" + "x" * 5000, None),
])  # fmt: skip
def test_progress_is_the_last_bar_in_the_logs_else_the_last_percentage(logs: Any, percent: int | None) -> None:
    assert progress(logs) == percent


def test_progress_is_told_while_it_runs(there: Set) -> None:
    outcome = there.end(make(options={"poll_seconds": 4}), ready_seconds=60, logs=" 40%|## | 2/5")
    assert outcome == Pending(there.far.book.generations()[0]["id"], 4.0, 40)


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

ENDED = json.dumps({"id": "p1", "status": "succeeded", "output": "data:,x", "metrics": {}}).encode()


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


@pytest.mark.parametrize(("age", "good"), [(299, True), (302, False), (-302, False), (-298, True)])
def test_a_call_back_is_believed_for_five_minutes(there: Set, age: int, good: bool) -> None:
    headers = signed(SECRET, ENDED, at=time.time() - age)
    assert (believed(there.provider(webhook_secret=SECRET), ENDED, headers) is not None) is good


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
    came: list[Callback] = []
    arrived = threading.Event()

    class Catcher(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            came.append(Callback({name.lower(): value for name, value in self.headers.items()}, body))
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
    outcome = provider.callback(request, begun.provider_job_id, came[0])
    assert isinstance(outcome, Done)
    assert read(outcome) == [png(f"{begun.provider_job_id}.png")]
