"""fal: the contract, and each rule of its queue and of its signed calls back."""

import json
import time
from dataclasses import replace
from typing import Any

import pytest

from tests.far_side.fal import FalFarSide, signed
from tests.far_side.queue_server import Answer, as_json, png
from tests.workers.providers.contract import NUL_AND_SURROGATE, Contract
from workers.providers.base import (
    Done,
    InputFile,
    OutcomeUnknown,
    Pending,
    Provider,
    ProviderError,
    Request,
)
from workers.providers.fal import Fal, progress

MODERATED = [{"loc": ["body", "prompt"], "msg": "unsafe", "type": "content_policy_violation"}]
MISSING = [{"loc": ["body", "prompt"], "msg": "field required", "type": "missing"}]


def make(model: str = "fal-ai/flux/dev", **fields: Any) -> Request:
    given: dict[str, Any] = {
        "model": model, "kind": "image", "input": {"prompt": "sea", "left_out": None}, "options": {"poll_seconds": 0.1},
        "seconds_left": 30.0,
    }  # fmt: skip
    return Request(**(given | fields))


def begun(fal: Fal, request: Request) -> str:
    outcome = fal.start(request, "job:1")
    assert isinstance(outcome, Pending)
    return outcome.provider_job_id


def ended(fal: Fal, request: Request) -> Done:
    outcome = fal.poll(request, begun(fal, request))
    assert isinstance(outcome, Done)
    return outcome


def data(done: Any, number: int = 0) -> bytes:
    assert isinstance(done, Done)
    return b"".join(done.outputs[number].chunks())


class TestFal(Contract):
    LACKS = frozenset({"at once"})  # everything goes through its queue

    @pytest.fixture(autouse=True)
    def _far_side(self, fal_side: FalFarSide, fal: Fal) -> None:
        self._there, self._fal = fal_side, fal

    def provider(self) -> Provider:
        return self._fal

    def far(self) -> Any:
        return self._there

    def reached(self) -> int:
        return len(self._there.book.calls())

    def told(self, word: str, known_as: str) -> bytes:
        states = {"done": "OK", "failed": "ERROR", "progress": "IN_PROGRESS"}
        picture = {"images": [{"url": "data:image/png;base64,eA=="}]}
        return json.dumps({"request_id": known_as, "status": states[word], "payload": picture}).encode()

    def signed(self, body: bytes, at: float) -> dict[str, str]:
        return signed(self._there.signing_key, body, at=at)

    def request(self, situation: str, **changes: Any) -> Request:
        self._there.script["*"] = {
            "fails": {"status": 422, "detail": MISSING},
            "fails and may be retried": {"status": 503, "detail": "gone", "error_type": "runner_disconnected"},
            "polled": {"ready_seconds": 0.3, "queued_seconds": 0.1},
            "slow": {"ready_seconds": 600},
            "unstorable refusal": {"status": 500, "detail": [{"msg": NUL_AND_SURROGATE, "type": "bad\0"}]},
        }.get(situation, {})
        if situation in {"limited", "lost answer"}:
            self._there.faults.add("limited" if situation == "limited" else "lose", method="POST")
        return make(**changes)


# Starting


def test_a_request_goes_to_the_apps_path_and_is_asked_for_without_it(fal: Fal, fal_side: FalFarSide) -> None:
    request_id = begun(fal, make("fal-ai/flux/dev", seconds_left=90.5))
    fal.poll(make("fal-ai/flux/dev"), request_id)
    start, status, result = fal_side.book.calls()
    assert (start["method"], start["path"]) == ("POST", "/fal-ai/flux/dev")
    assert json.loads(start["body"]) == {"prompt": "sea"}
    assert start["headers"]["authorization"] == "Key id:secret"
    assert start["headers"]["x-fal-request-timeout"] == "90"
    assert status["path"] == f"/fal-ai/flux/requests/{request_id}/status?logs=1"
    assert result["path"] == f"/fal-ai/flux/requests/{request_id}"


def test_a_workflow_has_its_namespace_before_owner_and_app(fal: Fal, fal_side: FalFarSide) -> None:
    request_id = begun(fal, make("workflows/me/mine/v2"))
    fal.poll(make("workflows/me/mine/v2"), request_id)
    assert fal_side.book.calls("/status")[0]["path"].startswith(f"/workflows/me/mine/requests/{request_id}/")


def test_files_extra_input_the_users_key_and_the_callback_address_go_along(fal: Fal, fal_side: FalFarSide) -> None:
    begun(fal, make(
        files={"image_url": InputFile("image/png", 3, lambda: iter([b"abc"]))}, options={"extra": {"seed": 3}},
        api_key="theirs", callback_url="http://127.0.0.1:9/h?token=a&b=c",
    ))  # fmt: skip
    call = fal_side.book.calls(method="POST")[0]
    assert json.loads(call["body"]) == {"prompt": "sea", "seed": 3, "image_url": "data:image/png;base64,YWJj"}
    assert call["headers"]["authorization"] == "Key theirs"
    assert call["path"].endswith("?fal_webhook=http%3A%2F%2F127.0.0.1%3A9%2Fh%3Ftoken%3Da%26b%3Dc")


@pytest.mark.parametrize("model", ["flux", "/fal-ai/flux", "fal-ai/../x", "fal-ai/flux?x=1", "workflows/me"])
def test_a_model_that_is_no_path_is_refused_before_any_call(fal: Fal, fal_side: FalFarSide, model: str) -> None:
    with pytest.raises(ProviderError) as caught:
        fal.start(make(model), "job:1")
    assert (caught.value.code, caught.value.elsewhere) == ("unknown_model", True)
    assert not fal_side.book.calls()


def test_a_lost_start_is_one_generation_that_cannot_be_asked_about(fal: Fal, fal_side: FalFarSide) -> None:
    fal_side.faults.add("lose", method="POST")
    with pytest.raises(OutcomeUnknown):
        fal.start(make(), "job:1")
    assert len(fal_side.book.generations()) == len(fal_side.book.calls()) == 1
    assert fal.recovery(make()) == "none"
    with pytest.raises(OutcomeUnknown):
        fal.lookup(make(), "job:1")


def test_a_limit_says_when_there_is_room(fal: Fal, fal_side: FalFarSide) -> None:
    for pause in (7.0, None):
        fal_side.faults.add("limited", retry_after=pause)
        with pytest.raises(ProviderError) as caught:
            fal.start(make(), "job:1")
        assert (caught.value.limited, caught.value.retry_after_seconds) == (True, pause)


def test_no_balance_is_the_houses_matter(fal: Fal, fal_side: FalFarSide, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = as_json({"detail": "User is locked. Reason: Exhausted balance."}, 403)
    monkeypatch.setattr(fal_side, "answer", lambda _ask: answer)
    with pytest.raises(ProviderError) as caught:
        fal.start(make(), "job:1")
    assert (caught.value.code, caught.value.retryable, caught.value.elsewhere) == ("provider_unpaid", False, True)


@pytest.mark.parametrize("answer", [Answer(body=b"not json"), as_json([]), as_json({"request_id": 3})])
def test_an_answer_that_names_no_request_leaves_the_outcome_unknown(
    fal: Fal, fal_side: FalFarSide, monkeypatch: pytest.MonkeyPatch, answer: Answer
) -> None:
    monkeypatch.setattr(fal_side, "answer", lambda _ask: answer)
    with pytest.raises(OutcomeUnknown):
        fal.start(make(), "job:1")


# Polling


def test_far_back_in_the_queue_it_is_asked_less_often(fal: Fal, fal_side: FalFarSide) -> None:
    pauses = []
    for position in (0, 8, 1000):
        fal_side.script["*"] = {"ready_seconds": 60, "queued_seconds": 60, "queue_position": position}
        request = make(options={})
        outcome = fal.poll(request, begun(fal, request))
        assert isinstance(outcome, Pending)
        assert outcome.progress is None
        pauses.append(outcome.poll_after_seconds)
    assert pauses == [1.0, 3.0, 15.0]


def test_progress_is_read_from_the_logs(fal: Fal, fal_side: FalFarSide) -> None:
    fal_side.script["*"] = {"ready_seconds": 60, "logs": ["loading", " 10%|#  | 1/10", " 40%|## | 4/10", "a line"]}
    outcome = fal.poll(make(), begun(fal, make()))
    assert isinstance(outcome, Pending)
    assert outcome.progress == 40
    assert progress(None) is progress([]) is progress([{"message": None}]) is None
    assert progress(["250%"]) == 100


def test_a_question_that_cannot_be_asked_is_no_failure(fal: Fal, fal_side: FalFarSide) -> None:
    request_id = begun(fal, make())
    for kind, path in [("limited", "/status"), ("error", "/status"), ("limited", "/requests")]:
        fal_side.faults.add(kind, method="GET", path=path, status=401)
        with pytest.raises(OutcomeUnknown):
            fal.poll(make(), request_id)
    fal_side.faults.add("drop", path="/status", times=3)
    with pytest.raises(OutcomeUnknown):
        fal.poll(make(), request_id)
    fal_side.faults.add("cut", path="/status", times=2)  # asked again at once, as it changes nothing
    assert isinstance(fal.poll(make(), request_id), Done)
    assert len(fal_side.book.generations()) == 1


def test_an_id_that_is_no_id_is_not_put_into_a_path(fal: Fal, fal_side: FalFarSide) -> None:
    with pytest.raises(ProviderError) as caught:
        fal.poll(make(), "../../secrets")
    assert caught.value.code == "unknown_job"
    assert not fal_side.book.calls()


# Results


@pytest.mark.parametrize(("script", "code", "retryable"), [
    ({"status": 422, "detail": MODERATED}, "moderated", False),
    ({"status": 422, "detail": MISSING}, "invalid_input", False),
    ({"status": 400, "detail": "no such size"}, "invalid_input", False),
    ({"status": 500, "detail": "the model broke"}, "generation_failed", True),
    ({"status": 503, "detail": "gone", "error_type": "runner_disconnected"}, "runner_disconnected", True),
    ({"status": 504, "detail": "slow", "error_type": "request_timeout"}, "request_timeout", True),
    ({"status": 499, "detail": "Request was cancelled", "error_type": "client_cancelled"}, "canceled", False),
    ({"status": 504, "detail": "slow", "told": True}, "generation_failed", True),
])  # fmt: skip
@pytest.mark.parametrize("told", [True, False])
def test_a_failed_request_is_completed_and_its_result_says_why(
    fal: Fal, fal_side: FalFarSide, script: dict[str, Any], code: str, retryable: bool, told: bool
) -> None:
    fal_side.script["*"] = {"told": told, **script}
    with pytest.raises(ProviderError) as caught:
        ended(fal, make())
    assert (caught.value.code, caught.value.retryable, caught.value.charged) == (code, retryable, False)
    assert caught.value.message


def test_a_gateway_that_gives_up_on_a_result_says_nothing_about_it(fal: Fal, fal_side: FalFarSide) -> None:
    request_id = begun(fal, make())
    fal_side.script["*"] = {"status": 502, "told": False}
    with pytest.raises(OutcomeUnknown):
        fal.poll(make(), request_id)


@pytest.mark.parametrize("status", [500, 503])
def test_a_server_error_that_is_not_in_the_words_of_fal_is_no_failure_of_the_generation(
    fal: Fal, fal_side: FalFarSide, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    request_id = begun(fal, make())
    with monkeypatch.context() as patch:
        patch.setattr(fal_side, "_result", lambda _: Answer(status, b"<h1>Sorry</h1>", "text/html"))
        with pytest.raises(OutcomeUnknown):
            fal.poll(make(), request_id)
    assert isinstance(fal.poll(make(), request_id), Done)


def test_every_file_in_the_result_is_an_output_in_its_order(fal: Fal, fal_side: FalFarSide) -> None:
    one, two = ({"url": f"{fal_side.url}/files/{n}", "content_type": "image/png"} for n in "ab")
    fal_side.script["*"] = {
        "result": {
            "images": [one, two, {"url": "data:image/webp;base64,YWJj"}],
            "timings": {"inference": 1.0},
            "nested": {"video": {"url": f"{fal_side.url}/files/c", "content_type": "video/mp4", "file_size": 3}},
            "seed": 5,
        }
    }
    done = ended(fal, make())
    assert [output.claimed_media_type for output in done.outputs] == [
        "image/png", "image/png", "image/webp", "video/mp4",
    ]  # fmt: skip
    assert [data(done, number) for number in range(4)] == [png("a"), png("b"), b"abc", png("c")]


@pytest.mark.parametrize(("result", "kind", "expected"), [
    ({"output": "a poem", "usage": {}}, "text", b"a poem"),
    ({"text": "spoken"}, "text", b"spoken"),
    ("just words", "text", b"just words"),
    ({"embedding": [1, 2]}, "text", b'{"embedding":[1,2]}'),
])  # fmt: skip
def test_a_text_is_a_text_and_anything_else_is_json(
    fal: Fal, fal_side: FalFarSide, result: Any, kind: Any, expected: bytes
) -> None:
    fal_side.script["*"] = {"result": result}
    assert data(ended(fal, make(kind=kind))) == expected


def test_a_result_that_cannot_be_read_was_paid_for(fal: Fal, fal_side: FalFarSide) -> None:
    fal_side.script["*"] = {"result": {"image": {"url": "data:image/png;base64,!!"}}}
    with pytest.raises(ProviderError) as caught:
        ended(fal, make(options={"cost_usd_micros_per_call": 50}))
    assert (caught.value.code, caught.value.charged, caught.value.cost_usd_micros) == ("unusable_answer", True, 50)


@pytest.mark.parametrize(("kind", "result"), [
    *((kind, result) for kind in ("image", "video", "speech") for result in (
        {}, {"images": []}, {"images": [], "seed": 5, "prompt": "sea"}, {"text": "I am sorry"}, {"output": "/tmp/out.png"},
        None, "sorry", {"images": [{"url": None}]}, {"images": [{"url": "out.png"}]},
    )),
    *(("text", result) for result in ({}, {"output": ""}, {"output": " ", "usage": {"tokens": 3}}, {"images": []}, None)),
])  # fmt: skip
def test_a_result_without_what_was_ordered_was_paid_for_and_says_what_there_is(
    fal: Fal, fal_side: FalFarSide, kind: Any, result: Any
) -> None:
    fal_side.script["*"] = {"result": result}
    with pytest.raises(ProviderError) as caught:
        ended(fal, make(kind=kind, options={"cost_usd_micros_per_call": 50}))
    error = caught.value
    assert (error.code, error.retryable, error.charged, error.cost_usd_micros) == ("no_result_of_kind", False, True, 50)
    assert json.dumps(result, separators=(",", ":")).strip('"') in error.message
    assert kind in error.message


def test_a_result_that_is_not_there_yet_is_no_failure_of_the_generation(fal: Fal, fal_side: FalFarSide) -> None:
    """A copy that lags behind its queue; to take its word would pay for another generation."""
    request_id = begun(fal, make())
    for status, detail in ((404, "Request not found"), (400, "Request is still in progress")):
        fal_side.script["*"] = {"told": False, "status": status, "detail": detail}
        with pytest.raises(OutcomeUnknown):
            fal.poll(make(), request_id)
    fal_side.script["*"] = {}
    assert isinstance(fal.poll(make(), request_id), Done)


def test_addresses_that_stand_in_a_result_without_their_usual_frame_are_its_files(
    fal: Fal, fal_side: FalFarSide
) -> None:
    fal_side.script["*"] = {"result": {"images": [f"{fal_side.url}/files/a"]}}
    assert data(ended(fal, make())) == png("a")


@pytest.mark.parametrize(("options", "cost"), [
    ({}, None),
    ({"cost_usd_micros_per_call": 25}, 25),
    ({"cost_usd_micros_per_second": 1000}, 1500),
    ({"cost_usd_micros_per_output": 100}, 200),
    ({"cost_usd_micros_per_call": 1, "cost_usd_micros_per_second": 1000, "cost_usd_micros_per_output": 100}, 1701),
])  # fmt: skip
def test_the_cost_is_what_the_route_says(
    fal: Fal, fal_side: FalFarSide, options: dict[str, Any], cost: int | None
) -> None:
    picture = {"url": f"{fal_side.url}/files/a"}
    fal_side.script["*"] = {"result": {"images": [picture, picture]}, "metrics": {"inference_time": 1.5}}
    done = ended(fal, make(options=options))
    assert done.cost_usd_micros == cost
    assert done.usage == {"inference_ms": 1500}


def test_a_rate_that_is_no_number_is_refused_before_the_call(fal: Fal, fal_side: FalFarSide) -> None:
    with pytest.raises(ProviderError, match="cost_usd_micros_per_call"):
        fal.start(make(options={"cost_usd_micros_per_call": "many"}), "job:1")
    assert not fal_side.book.calls()


def test_canceling_what_has_ended_or_never_was_is_fine(fal: Fal, fal_side: FalFarSide) -> None:
    fal.cancel(make(), begun(fal, make()))
    fal.cancel(make(), "never-was")
    fal_side.faults.add("error", method="PUT", status=401)
    with pytest.raises(ProviderError):
        fal.cancel(make(), "never-was")


def test_a_late_result_is_waited_for(fal: Fal, fal_side: FalFarSide) -> None:
    fal_side.faults.add("late", method="POST", seconds=0.3)
    request = replace(make(), options={"poll_seconds": 0.1})
    request_id = begun(fal, request)
    assert isinstance(fal.poll(request, request_id), Pending)
    time.sleep(0.35)
    assert isinstance(fal.poll(request, request_id), Done)
