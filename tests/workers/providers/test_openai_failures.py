"""OpenAI-compatible servers: refusals, and answers that are lost or broken."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.far_side.media import png
from tests.workers.providers.openai_there import KEY, Set, failure, image, of, read, running, speech, text
from workers.providers.base import Endpoint, OutcomeUnknown, ProviderError
from workers.providers.openai import OpenAI


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Set]:
    with running(tmp_path) as made:
        yield made


NOTHING = ("no_result_of_kind", False, True, False, False)


# Refusals


@pytest.mark.parametrize(("status", "error"), [
    (400, {"code": "content_policy_violation", "type": "invalid_request_error", "message": "no"}),
    (400, {"code": "moderation_blocked", "type": "image_generation_user_error", "message": "no"}),
    (400, {"code": "content_filter", "message": "no"}),
    (403, {"code": 403, "message": "no", "metadata": {"reasons": ["violence"], "flagged_input": "x"}}),
])  # fmt: skip
@pytest.mark.parametrize("make", [image, text, speech])
def test_what_moderation_refuses_is_tried_nowhere_else(there: Set, make: Any, status: int, error: Any) -> None:
    there.far.script["*"] = {"error": {"status": status, "body": {"error": error}}}
    refused = failure(there, make())
    assert of(refused) == ("moderated", False, False, False, False)
    assert refused.message == "no"


def test_a_text_that_the_filter_stops_is_moderated_and_was_paid_for(there: Set) -> None:
    there.far.script["*"] = {"finish": "content_filter", "usage": {"cost": 0.001}}
    error = failure(there, text())
    assert of(error) == ("moderated", False, True, False, False)
    assert error.cost_usd_micros == 1000


def test_a_model_that_only_says_no_is_moderation(there: Set) -> None:
    there.far.script["*"] = {"events": [{"choices": [{"delta": {"refusal": "I can't."}}]}, "[DONE]"]}
    error = failure(there, text())
    assert (error.code, error.message) == ("moderated", "I can't.")


@pytest.mark.parametrize(("status", "code"), [(429, "insufficient_quota"), (400, "billing_hard_limit_reached")])
def test_an_account_without_money_is_not_a_limit_that_passes(there: Set, status: int, code: str) -> None:
    there.far.script["*"] = {"error": {"status": status, "body": {"error": {"code": code, "message": "pay"}}}}
    assert of(failure(there, text())) == ("provider_unpaid", False, False, False, True)


def test_a_limit_is_waited_for_as_long_as_the_server_says(there: Set) -> None:
    there.far.faults.add("limited", retry_after=7)
    there.far.faults.add("limited")
    first, second = (failure(there, image()) for _ in range(2))
    assert of(first) == of(second) == ("limited", True, False, True, True)
    assert (first.retry_after_seconds, second.retry_after_seconds) == (7.0, None)


@pytest.mark.parametrize(("status", "expected"), [
    (400, ("invalid_input", False, False, False, False)),
    (401, ("unauthorized", False, False, False, True)),
    (402, ("provider_unpaid", False, False, False, True)),
    (404, ("not_found", False, False, False, True)),
    (422, ("invalid_input", False, False, False, False)),
    (500, ("http_500", True, False, False, True)),
    (503, ("http_503", True, False, False, True)),
])  # fmt: skip
def test_other_refusals_mean_what_their_status_means(there: Set, status: int, expected: Any) -> None:
    there.far.faults.add("error", status=status)
    assert of(failure(there, text())) == expected
    assert there.far.book.generations() == []


@pytest.mark.parametrize(("code", "expected"), [
    (429, ("limited", True, False, True, True)),
    (502, ("http_502", True, False, False, True)),
    ("server_error", ("http_500", True, False, False, True)),
])  # fmt: skip
def test_an_error_under_status_200_is_an_error(there: Set, code: Any, expected: Any) -> None:
    there.far.script["*"] = {"deltas": [], "error_after": {"error": {"code": code, "message": "busy"}}}
    assert of(failure(there, text())) == expected


def test_an_error_in_the_middle_of_a_text_was_paid_for_and_spends_an_attempt(there: Set) -> None:
    there.far.script["*"] = {"error_after": {"error": {"code": 429, "message": "busy"}}}
    assert of(failure(there, text())) == ("limited", True, True, False, True)
    there.far.script["*"] = {"finish": "error"}
    assert of(failure(there, text())) == ("provider_error", True, True, False, True)


def test_an_empty_text_is_no_result_and_is_not_bought_again(there: Set) -> None:
    there.far.script["*"] = {"deltas": [], "finish": "length"}
    used_up = failure(there, text())
    assert of(used_up) == NOTHING
    assert "max_tokens" in used_up.message
    for deltas in ([], [" ", "\n"]):
        there.far.script["*"] = {"deltas": deltas}
        assert of(failure(there, text())) == NOTHING


# Lost and broken answers


@pytest.mark.parametrize("make", [image, text, speech])
@pytest.mark.parametrize("kind", ["drop", "lose", "cut"])
def test_a_lost_answer_is_unknown_and_never_asked_for_again_by_itself(there: Set, make: Any, kind: Any) -> None:
    there.far.faults.add(kind)
    with pytest.raises(OutcomeUnknown):
        there.start(make())
    assert len(there.far.book.calls(method="POST")) == 1
    assert there.provider().recovery(make()) == "none"


@pytest.mark.parametrize("make", [image, text])
def test_an_answer_whose_end_is_missing_is_unknown(there: Set, make: Any) -> None:
    there.far.faults.add("garble")
    there.far.script["*"] = {"usage": False}
    with pytest.raises(OutcomeUnknown):
        there.start(make())


def test_a_gateway_that_gave_up_leaves_the_outcome_unknown(there: Set) -> None:
    there.far.faults.add("error", status=504)
    with pytest.raises(OutcomeUnknown):
        there.start(image())


@pytest.mark.parametrize("kind", ["stall", "late", "slow"])
def test_an_answer_that_does_not_come_in_time_is_unknown(there: Set, kind: Any) -> None:
    there.far.faults.add(kind, seconds=2.5)
    with pytest.raises(OutcomeUnknown):
        there.start(image(seconds_left=1.0))


def test_a_call_that_may_be_repeated_takes_no_longer_for_it(there: Set) -> None:
    there.far.faults.add("stall", seconds=2.5, times=3)
    with pytest.raises(OutcomeUnknown):
        there.start(image(seconds_left=1.0), idempotent=True)
    assert len(there.far.book.calls(method="POST")) == 1


def test_a_text_that_trickles_past_its_time_is_stopped(there: Set) -> None:
    there.far.script["*"] = {"pause": 0.2, "deltas": ["a"] * 20}
    assert of(failure(there, text(seconds_left=0.5))) == ("timed_out", False, True, False, False)


@pytest.mark.parametrize("make", [text, speech])
def test_a_generation_that_nobody_wants_any_more_is_stopped_between_two_chunks(there: Set, make: Any) -> None:
    there.far.script["*"] = {"pause": 0.05, "deltas": ["a"] * 100}
    asked: list[None] = []

    def canceled() -> bool:
        asked.append(None)
        return len(asked) > 2

    assert of(failure(there, make(canceled=canceled))) == ("canceled", False, True, False, False)
    assert len(asked) == 3


def test_a_server_that_cannot_be_reached_began_nothing(there: Set) -> None:
    provider = OpenAI(Endpoint("gone", "http://127.0.0.1:9/v1"))
    for make in (image, text):
        with pytest.raises(ProviderError) as caught:
            provider.start(make(), KEY)
        assert of(caught.value) == ("unreachable", True, False, False, True)
    provider.close()


@pytest.mark.parametrize("body", [
    {"data": []}, {"data": [{}]}, {"object": "list"}, [], {"data": ["x"]}, {"data": None}, {"data": "x"}, "sorry", 7,
    {"data": [{"url": "/files/out.png"}]}, {"data": [{"b64_json": "", "url": None}]},
    {"data": [{"url": "data:,I%20am%20sorry"}]},
])  # fmt: skip
def test_an_answer_without_a_picture_says_what_was_answered_and_is_not_bought_again(there: Set, body: Any) -> None:
    there.far.script["*"] = {"error": {"status": 200, "body": body}}
    error = failure(there, image())
    assert of(error) == NOTHING
    assert json.dumps(body, separators=(",", ":")).strip('"')[:150] in error.message


def test_a_picture_in_base64_that_is_none_fails_for_good_and_one_that_breaks_off_may_be_tried_again(there: Set) -> None:
    there.far.script["*"] = {"error": {"status": 200, "body": {"data": [{"b64_json": "A*"}]}}}
    assert of(failure(there, image())) == ("unusable_answer", False, True, False, True)
    there.far.script["*"] = {"error": {"status": 200, "body": {"data": [{"b64_json": "AAAAA"}]}}}
    assert of(failure(there, image())) == ("result_cut_off", True, True, False, True)


def test_a_wrong_content_type_does_not_hide_a_good_answer(there: Set) -> None:
    for make in (image, text, speech):
        there.far.faults.add("wrong_type")
        assert read(there.start(make()))


def test_a_picture_cut_off_inside_a_whole_answer_is_left_to_the_measuring_of_media(there: Set) -> None:
    there.far.faults.add("truncated")
    whole = png("/files/a-lake-0.png")
    assert read(there.start(image())) == whole[: len(whole) * 2 // 3]


def test_speech_that_is_json_or_nothing_is_no_speech(there: Set) -> None:
    there.far.script["*"] = {"error": {"status": 200, "body": {"audio": "?"}}}
    assert of(failure(there, speech())) == NOTHING
    there.far.script["*"] = {"error": {"status": 200, "body": {"error": {"code": 429, "message": "busy"}}}}
    assert failure(there, speech()).limited


def test_a_server_that_honours_keys_is_asked_again_and_generates_once(there: Set) -> None:
    there.far.script["*"] = {"idempotent": True}
    there.far.faults.add("lose")
    done = there.start(image(), idempotent=True)
    assert read(done)
    assert len(there.far.book.calls(method="POST")) == 2
    assert there.far.book.starts_per_key() == {KEY: 1}
    assert there.provider(idempotent=True).recovery(image()) == "idempotent"


@pytest.mark.parametrize(("kind", "status"), [("limited", 429), ("error", 500), ("error", 409)])
def test_being_turned_away_after_a_lost_answer_does_not_say_that_nothing_began(
    there: Set, kind: Any, status: int
) -> None:
    there.far.script["*"] = {"idempotent": True}
    there.far.faults.add("lose")
    there.far.faults.add(kind, status=status)
    with pytest.raises(OutcomeUnknown):
        there.start(image(), idempotent=True)
    assert there.start(image(), idempotent=True).outputs
    assert there.far.book.starts_per_key() == {KEY: 1}


def test_input_that_is_refused_after_a_lost_answer_is_refused(there: Set) -> None:
    there.far.faults.add("drop")
    there.far.faults.add("error", status=400)
    with pytest.raises(ProviderError) as caught:
        there.start(image(), idempotent=True)
    assert caught.value.code == "invalid_input"


def test_what_such_a_server_cannot_do_is_said(there: Set) -> None:
    provider = there.provider()
    with pytest.raises(ProviderError) as caught:
        provider.poll(image(), "x")
    assert caught.value.code == "unknown_job"
    with pytest.raises(OutcomeUnknown):  # None would say that nothing began, and another would be started
        provider.lookup(image(), KEY)
    assert json.dumps(there.far.book.calls()) == "[]"
