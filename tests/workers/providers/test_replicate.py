"""Replicate: the contract, where a prediction is begun, and what comes of it in every shape."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.far_side.media import png
from tests.far_side.replicate import signed
from tests.workers.providers.contract import NUL_AND_SURROGATE, Contract
from tests.workers.providers.replicate_there import HOOK, KEY, MODEL, SECRET, Set, make, of, read, running
from workers.providers.base import Done, InputFile, Pending, Provider, ProviderError, Request
from workers.providers.replicate import progress


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Set]:
    with running(tmp_path) as made:
        yield made


class TestReplicate(Contract):
    @pytest.fixture(autouse=True)
    def _there(self, there: Set) -> None:
        self._set, self._provider = there, there.provider(webhook_secret=SECRET)

    def provider(self) -> Provider:
        return self._provider

    def far(self) -> Any:
        return self._set.far

    def reached(self) -> int:
        return len(self.far().book.calls())

    def told(self, word: str, known_as: str) -> bytes:
        states = {"done": "succeeded", "failed": "failed", "progress": "processing"}
        output = "data:image/png;base64,eA==" if word == "done" else None
        return json.dumps({"id": known_as, "status": states[word], "output": output}).encode()

    def signed(self, body: bytes, at: float) -> dict[str, str]:
        return signed(SECRET, body, at)

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
            case "unstorable refusal":
                far.script["*"] = {"error": NUL_AND_SURROGATE}
        return make(options=options, **changes)


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
    assert read(there.done(make("text"), output={"said": "data:text/plain,a%20b"})) == [b"a b"]


def test_a_result_at_replicates_own_server_is_fetched_with_the_key_and_elsewhere_without(there: Set) -> None:
    read(there.done(make(), output=f"{there.far.root}/files/1.png"))
    assert there.far.book.calls("/files/")[-1]["headers"]["authorization"] == "Bearer r8_ours"
    read(there.done(make(), output=f"{there.far.root}/files/1.png".replace("127.0.0.1", "localhost")))
    assert "authorization" not in there.far.book.calls("/files/")[-1]["headers"]


@pytest.mark.parametrize(("kind", "output", "result", "media_type"), [
    ("text", ["The ", "lake ", "is ", "still."], b"The lake is still.", "text/plain"),
    ("text", "The lake.", b"The lake.", "text/plain"),
    ("text", ["https://", "example.org"], b"https://example.org", "text/plain"),
    ("text", {"score": 0.5}, b'{"score":0.5}', "application/json"),
    ("text", 7, b"7", "application/json"),
])  # fmt: skip
def test_what_is_no_address_is_a_text_or_json(
    there: Set, kind: str, output: Any, result: bytes, media_type: str
) -> None:
    done = there.done(make(kind), output=output)
    assert (read(done), done.outputs[0].claimed_media_type) == ([result], media_type)


@pytest.mark.parametrize("output", ["data:image/png;base64,A*", "data:nonsense", "https://[::bad/x.png"])
def test_a_result_that_cannot_be_read_was_paid_for_and_is_not_repeated(there: Set, output: Any) -> None:
    assert of(there.failure(make(), output=output)) == ("unusable_answer", False, True, False, True)


@pytest.mark.parametrize("output", [
    None, "", [], {}, {"images": []}, [None, ""], "a caption", ["a", "b"], {"score": 0.5}, "/src/out.png", 7,
    "I am sorry, I cannot draw that.", "https://example.org is where I would look", "data:text/plain,a%20b",
])  # fmt: skip
@pytest.mark.parametrize("kind", ["image", "video", "speech"])
def test_a_success_without_what_was_ordered_says_what_there_is_and_is_not_repeated(
    there: Set, kind: str, output: Any
) -> None:
    error = there.failure(make(kind), output=output)
    assert of(error) == ("no_result_of_kind", False, True, False, False)
    said = output.partition(" ")[0] if isinstance(output, str) else json.dumps(output, separators=(",", ":"))
    assert (said or "empty") in error.message


@pytest.mark.parametrize("output", [None, "", " ", [], ["", "\n"], {"text": ""}])
def test_an_empty_text_is_no_text(there: Set, output: Any) -> None:
    assert of(there.failure(make("text"), output=output)) == ("no_result_of_kind", False, True, False, False)


def test_a_result_that_was_deleted_says_so(there: Set) -> None:
    error = there.failure(make(), output=None, data_removed=True)
    assert of(error) == ("result_lost", False, True, False, False)
    assert "deleted" in error.message


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
    assert outcome == Pending(there.far.book.generations()[0]["id"], 4.0, 40, exact=True)
