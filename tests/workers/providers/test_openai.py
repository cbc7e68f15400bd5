"""OpenAI-compatible servers: the contract, what is asked, what comes of it, and what it costs."""

import io
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.far_side.media import png
from tests.workers.providers.contract import NUL_AND_SURROGATE, Contract
from tests.workers.providers.openai_there import KEY, Set, failure, image, of, read, running, speech, text
from workers.providers.base import Endpoint, InputFile, Provider, Request
from workers.providers.openai import OpenAI


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Set]:
    with running(tmp_path) as made:
        yield made


class TestOpenAI(Contract):
    LACKS = frozenset({"polled", "slow"})

    @pytest.fixture(autouse=True)
    def _there(self, there: Set) -> None:
        self._set, self._provider = there, there.provider()

    def provider(self) -> Provider:
        return self._provider

    def far(self) -> Any:
        return self._set.far

    def reached(self) -> int:
        return len(self.far().book.calls())

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
            case "addressed":
                self._set.far.script["*"] = {"answer": "url"}
            case "unstorable refusal":
                self._set.far.faults.add("error", status=400, body={"error": {"message": NUL_AND_SURROGATE}})
        return image(**changes)


class TestOpenAIText(TestOpenAI):
    LACKS = TestOpenAI.LACKS | {"addressed"}

    def request(self, situation: str, **changes: Any) -> Request:
        super().request(situation)
        return text(**changes)


class TestOpenAISpeech(TestOpenAI):
    LACKS = TestOpenAI.LACKS | {"addressed", "files"}

    def request(self, situation: str, **changes: Any) -> Request:
        super().request(situation)
        return speech(**changes)


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
