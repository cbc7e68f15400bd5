"""OpenAI-compatible servers: what is asked, what the answers mean, and what they cost."""

import io
import json
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.far_side.book import Book
from tests.far_side.media import png
from tests.far_side.openai import OpenAIFarSide
from tests.workers.providers.contract import Contract
from workers.providers.base import Done, Endpoint, InputFile, OutcomeUnknown, Provider, ProviderError, Request
from workers.providers.openai import OpenAI

KEY = "job:1"


class Set:
    """A server, and providers that ask it."""

    def __init__(self, far: OpenAIFarSide) -> None:
        self.far = far
        self._made: list[OpenAI] = []

    def provider(self, **options: Any) -> OpenAI:
        self._made.append(OpenAI(Endpoint("openai", self.far.url, "sk-ours", options)))
        return self._made[-1]

    def start(self, request: Request, **options: Any) -> Done:
        done = self.provider(**options).start(request, KEY)
        assert isinstance(done, Done)
        return done

    def asked(self) -> dict[str, Any]:
        return self.far.book.calls(method="POST")[-1]

    def close(self) -> None:
        for each in self._made:
            each.close()


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Set]:
    book = Book(tmp_path / "far.sqlite")
    with OpenAIFarSide(book).running() as far:
        made = Set(far)
        yield made
        made.close()
    book.close()


class TestOpenAI(Contract):
    LACKS = frozenset({"polled", "slow"})

    @pytest.fixture(autouse=True)
    def _there(self, there: Set) -> None:
        self._set, self._provider = there, there.provider()

    def provider(self) -> Provider:
        return self._provider

    def request(self, situation: str, **changes: Any) -> Request:
        match situation:
            case "fails":
                self._set.far.faults.add("error", status=400)
            case "fails and may be retried":
                self._set.far.faults.add("error", status=500)
            case "limited":
                self._set.far.faults.add("limited")
            case "lost answer":
                self._set.far.faults.add("lose")
        return image(**changes)


class TestOpenAIText(TestOpenAI):
    def request(self, situation: str, **changes: Any) -> Request:
        super().request(situation)
        return text(**changes)


class TestOpenAISpeech(TestOpenAI):
    def request(self, situation: str, **changes: Any) -> Request:
        super().request(situation)
        return speech(**changes)


def image(values: dict[str, Any] | None = None, **fields: Any) -> Request:
    return Request("gpt-image-1", "image", values or {"prompt": "a lake"}, **fields)


def text(values: dict[str, Any] | None = None, **fields: Any) -> Request:
    return Request("gpt-5-mini", "text", values or {"prompt": "Write."}, **fields)


def speech(**fields: Any) -> Request:
    return Request("tts-1", "speech", {"text": "hello"}, **fields)


def read(done: Done) -> bytes:
    return b"".join(done.outputs[0].chunks())


def failure(there: Set, request: Request, **options: Any) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        there.start(request, **options)
    return caught.value


def of(error: ProviderError) -> tuple[str, bool, bool, bool, bool]:
    return error.code, error.retryable, error.charged, error.limited, error.elsewhere


# Asking


def test_a_picture_is_asked_for_in_the_dialects_words(there: Set) -> None:
    values = {"prompt": "a lake", "count": 2, "width": 512, "height": 256, "quality": "low", "style": None, "seed": 4}
    done = there.start(image(values, options={"response_format": "b64_json", "extra": {"background": "opaque"}}))
    assert there.asked()["path"] == "/v1/images/generations"
    assert there.asked()["body"] == {
        "model": "gpt-image-1", "prompt": "a lake", "n": 2, "size": "512x256", "quality": "low",
        "response_format": "b64_json", "background": "opaque",
    }  # fmt: skip
    assert [Image.open(io.BytesIO(b"".join(each.chunks()))).size for each in done.outputs] == [(32, 32)] * 2


def test_a_size_in_words_goes_before_width_and_height_and_nothing_is_sent_that_was_not_given(there: Set) -> None:
    there.start(image({"prompt": "x", "size": "auto", "width": 512, "height": 256}))
    assert there.asked()["body"] == {"model": "gpt-image-1", "prompt": "x", "size": "auto"}


def test_the_key_is_ours_or_the_users_own_and_the_endpoints_headers_are_sent(there: Set) -> None:
    there.start(image(), headers={"HTTP-Referer": "https://headrace.example"})
    assert there.asked()["headers"]["authorization"] == "Bearer sk-ours"
    assert there.asked()["headers"]["http-referer"] == "https://headrace.example"
    assert there.asked()["headers"]["idempotency-key"] == KEY
    there.start(image(api_key="sk-theirs"))
    assert there.asked()["headers"]["authorization"] == "Bearer sk-theirs"


def test_a_server_without_a_key_is_asked_without_one(there: Set) -> None:
    provider = OpenAI(Endpoint("local", there.far.url))
    provider.start(image(), KEY)
    provider.close()
    assert "authorization" not in there.asked()["headers"]


def test_a_picture_to_change_and_its_mask_go_as_a_form(there: Set) -> None:
    data = png("before")
    file = InputFile("image/png", len(data), lambda: iter((data[:10], data[10:])))
    there.start(image({"prompt": "more sky", "count": 1}, files={"image_url": file, "mask": file},
                      options={"extra": {"input_fidelity": "high", "moderation": None}}))  # fmt: skip
    assert there.asked()["path"] == "/v1/images/edits"
    body = there.asked()["body"]
    assert body["image"] == {"name": "image_url.png", "type": "image/png", "size": len(data)}
    assert body["mask"]["size"] == len(data)
    assert (body["prompt"], body["n"], body["input_fidelity"]) == ("more sky", "1", "high")


def test_several_pictures_to_change_go_as_a_list(there: Set) -> None:
    files = {name: InputFile("image/webp", 1, lambda: iter((b"x",))) for name in ("image", "image_2")}
    there.start(image(files=files))
    assert there.asked()["body"]["image[]"]["name"] == "image_2.webp"


def test_a_text_is_asked_for_with_its_system_words_and_limits(there: Set) -> None:
    values = {"prompt": "Write.", "system": "Be brief.", "max_tokens": 5, "temperature": 0.0}
    there.start(text(values, options={"max_tokens_field": "max_completion_tokens", "extra": {"seed": 1}}))
    assert there.asked()["body"] == {
        "model": "gpt-5-mini", "stream": True, "stream_options": {"include_usage": True}, "temperature": 0.0,
        "max_completion_tokens": 5, "seed": 1,
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Write."}],
    }  # fmt: skip


def test_a_conversation_is_sent_as_it_is_and_a_picture_goes_with_the_prompt(there: Set) -> None:
    said = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    file = InputFile("image/png", 3, lambda: iter((b"abc",)))
    there.start(text({"messages": said, "prompt": "What is this?"}, files={"image_url": file}))
    messages = there.asked()["body"]["messages"]
    assert messages[:2] == said
    assert messages[2]["content"][0] == {"type": "text", "text": "What is this?"}
    assert messages[2]["content"][1]["image_url"]["url"] == "data:image/png;base64,YWJj"


def test_a_text_without_a_question_is_refused_before_it_is_asked(there: Set) -> None:
    assert failure(there, text({"system": "x"})).code == "invalid_input"
    assert there.far.book.calls() == []


def test_speech_is_asked_for_as_wav_unless_the_route_says_otherwise(there: Set) -> None:
    done = there.start(speech(options={"voice": "nova", "cost_usd_micros_per_call": 15}))
    body = {"model": "tts-1", "input": "hello", "voice": "nova", "response_format": "wav"}
    assert there.asked()["body"] == body
    with wave.open(io.BytesIO(read(done))) as sound:
        assert sound.getframerate() == 8000
    assert (done.cost_usd_micros, done.outputs[0].claimed_media_type) == (15, "audio/wav")
    there.start(speech(options={"response_format": "mp3"}))
    assert there.asked()["body"]["response_format"] == "mp3"


def test_a_film_is_for_another_provider(there: Set) -> None:
    error = failure(there, Request("sora", "video", {"prompt": "x"}))
    assert of(error) == ("unsupported", False, False, False, True)


# Results


@pytest.mark.parametrize("shape", ["b64", "url", "data"])
def test_a_picture_comes_as_bytes_as_an_address_or_as_a_data_uri(there: Set, shape: str) -> None:
    there.far.script["*"] = {"answer": shape}
    done = there.start(image())
    first, second = read(done), read(done)
    assert first == second == png("/files/a-lake-0.png")


def test_a_text_comes_whole_with_its_tokens(there: Set) -> None:
    there.far.script["*"] = {"deltas": ["Höhe\u2028und ", "", "Tiefe\n", "data: no"]}
    done = there.start(text())
    assert read(done).decode() == "Höhe\u2028und Tiefe\ndata: no"
    assert done.outputs[0].claimed_media_type == "text/plain"
    assert done.usage == {"tokens_in": 7, "tokens_out": 4, "tokens": 11}


def test_without_usage_only_the_deltas_are_counted_and_what_went_in_is_left_out(there: Set) -> None:
    there.far.script["*"] = {"usage": False}
    assert there.start(text()).usage == {"tokens_out": 4}


def test_a_server_that_does_not_stream_is_understood(there: Set) -> None:
    there.far.script["*"] = {"stream": False}
    done = there.start(text())
    assert (read(done), done.usage["tokens"]) == (b"The lake is still.", 11)


def test_a_stream_without_its_last_word_but_with_a_reason_to_end_is_whole(there: Set) -> None:
    choice = {"index": 0, "delta": {"content": "whole"}, "finish_reason": "stop"}
    there.far.script["*"] = {"events": [{"choices": [choice]}]}
    assert read(there.start(text())) == b"whole"


# Cost


@pytest.mark.parametrize(("usage", "prices", "cost"), [
    ({"cost": 0.00142}, {"per_call": 7}, 1420),
    ({}, {"per_1k_tokens_in": 100_000, "per_1k_tokens_out": 500_000}, 2700),
    ({}, {"per_1k_tokens_out": 500_000, "per_call": 7}, 2007),
    ({}, {}, None),
    (False, {"per_1k_tokens_in": 100_000}, None),
    (False, {"per_1k_tokens_out": 500_000}, 2000),
])  # fmt: skip
def test_a_text_costs_what_the_server_says_else_what_the_route_says_else_nobody_knows(
    there: Set, usage: Any, prices: dict[str, int], cost: int | None
) -> None:
    there.far.script["*"] = {"usage": usage}
    options = {f"cost_usd_micros_{name}": price for name, price in prices.items()}
    assert there.start(text(options=options)).cost_usd_micros == cost


def test_pictures_cost_by_the_picture_and_their_tokens_are_kept(there: Set) -> None:
    there.far.script["*"] = {"usage": {"input_tokens": 10, "output_tokens": 1000}}
    done = there.start(image({"prompt": "x", "count": 3}, options={"cost_usd_micros_per_image": 40_000}))
    assert done.cost_usd_micros == 120_000
    assert done.usage == {"tokens_in": 10, "tokens_out": 1000, "tokens": 1010}


def test_a_price_that_is_none_is_found_out_before_anything_is_paid(there: Set) -> None:
    assert failure(there, image(options={"cost_usd_micros_per_call": "7"})).code == "not_configured"
    assert there.far.book.calls() == []


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


def test_an_empty_text_is_no_result_and_a_used_up_limit_would_be_used_up_again(there: Set) -> None:
    there.far.script["*"] = {"deltas": [], "finish": "length"}
    assert of(failure(there, text())) == ("unusable_answer", False, True, False, True)
    there.far.script["*"] = {"deltas": []}
    assert of(failure(there, text())) == ("unusable_answer", True, True, False, True)


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


@pytest.mark.parametrize("body", [{"data": []}, {"data": [{}]}, {"object": "list"}, [], {"data": ["x"]}])
def test_an_answer_of_another_shape_is_unusable_and_was_paid_for(there: Set, body: Any) -> None:
    there.far.script["*"] = {"error": {"status": 200, "body": body}}
    assert of(failure(there, image())) == ("unusable_answer", False, True, False, True)


def test_a_picture_in_broken_base64_may_be_tried_again(there: Set) -> None:
    there.far.script["*"] = {"error": {"status": 200, "body": {"data": [{"b64_json": "A*"}]}}}
    assert of(failure(there, image())) == ("unusable_answer", True, True, False, True)


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
    assert failure(there, speech()).code == "unusable_answer"
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


def test_what_such_a_server_cannot_do_is_said(there: Set) -> None:
    provider = there.provider()
    with pytest.raises(ProviderError) as caught:
        provider.poll(image(), "x")
    assert caught.value.code == "unknown_job"
    with pytest.raises(OutcomeUnknown):  # None would say that nothing began, and another would be started
        provider.lookup(image(), KEY)
    assert json.dumps(there.far.book.calls()) == "[]"
