"""What is known at the border to a provider is not thrown away: cases that only some adapters can be in."""

import base64
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.far_side.book import Book
from tests.far_side.callbacks import came
from tests.far_side.cog_relay import CogRelay
from tests.far_side.fal import FalFarSide
from tests.far_side.fal import signed as signed_by_fal
from tests.far_side.http import SECRET, HttpFarSide
from tests.far_side.http import signed as signed_by_http
from tests.far_side.media import png
from tests.far_side.queue_faults import Book as QueueBook
from tests.far_side.queue_server import Answer, Ask, as_json
from tests.far_side.replicate import ReplicateFarSide
from tests.far_side.replicate import signed as signed_by_replicate
from tests.far_side.server import Answer as ServerAnswer
from tests.workers.providers import openai_there
from tests.workers.providers.contract import NotOurs
from tests.workers.providers.openai_there import failure, image, read, running, speech
from workers.providers.base import Done, Endpoint, OutcomeUnknown, Pending, ProviderError, Request
from workers.providers.cog import Cog
from workers.providers.fal import Fal
from workers.providers.http import Http
from workers.providers.replicate import Replicate

WEBHOOK_SECRET = "whsec_" + "c2VjcmV0LXNlY3JldC1zZWNyZXQtMTIz"
CUT = "data:image/png;base64,AAAAA"


def make(model: str = "acme/paint", **fields: Any) -> Request:
    return Request(**({"model": model, "kind": "image", "input": {"prompt": "sea"}} | fields))


@pytest.fixture
def there(tmp_path: Path) -> Iterator[openai_there.Set]:
    with running(tmp_path) as made:
        yield made


@pytest.fixture
def replicate_side(tmp_path: Path) -> Iterator[ReplicateFarSide]:
    book = Book(tmp_path / "replicate.db")
    with ReplicateFarSide(book).running() as side:
        yield side
    book.close()


@pytest.fixture
def replicate(replicate_side: ReplicateFarSide) -> Iterator[Replicate]:
    made = Replicate(Endpoint("replicate", replicate_side.url, "ours", {"webhook_secret": WEBHOOK_SECRET}))
    yield made
    made.close()


@pytest.fixture
def http_side(tmp_path: Path) -> Iterator[HttpFarSide]:
    book = QueueBook(tmp_path / "http.db")
    with HttpFarSide(book).running() as side:
        yield side
    book.close()


@pytest.fixture
def http(http_side: HttpFarSide) -> Iterator[Http]:
    made = Http(Endpoint("own", http_side.url, "ours", {"secret": SECRET}))
    yield made
    made.close()


# Confirmations of repeats


def test_a_repeat_is_confirmed_too_and_not_made_where_the_job_is_not_ours_any_more(there: openai_there.Set) -> None:
    there.far.script["*"] = {"idempotent": True}
    asked: list[None] = []
    there.far.faults.add("lose")
    assert read(there.start(image(confirm=lambda: asked.append(None)), idempotent=True))
    assert len(asked) == 2

    def confirm() -> None:
        asked.append(None)
        if len(asked) == 4:
            raise NotOurs

    there.far.faults.add("lose")
    with pytest.raises(NotOurs):
        there.start(image(confirm=confirm), idempotent=True)
    assert len(there.far.book.calls(method="POST")) == 3


def test_a_repeat_by_the_same_key_is_confirmed(http: Http, http_side: HttpFarSide) -> None:
    asked: list[None] = []
    request = make("images", confirm=lambda: asked.append(None))
    http.start(request, "job:1")
    http.start(request, "job:1")
    http.lookup(request, "job:1")
    assert len(asked) == 3


def test_an_input_that_cannot_be_sent_is_found_out_before_a_start_is_confirmed(
    http: Http, replicate: Replicate
) -> None:
    def confirm() -> None:
        raise NotOurs

    for provider in (http, replicate):
        with pytest.raises((TypeError, UnicodeError)):
            provider.start(make(input={"prompt": "\ud800"}, confirm=confirm), "job:1")


# Pictures in base64

PICTURE = png("x")
PLAIN = base64.b64encode(PICTURE).decode()
ADDRESS = "ADDRESS"  # a picture of the far side


@pytest.mark.parametrize("entry", [
    {"b64_json": PLAIN.rstrip("=")}, {"b64_json": f"data:image/png;base64,{PLAIN}"},
    {"b64_json": base64.encodebytes(PICTURE).decode()}, {"b64_json": base64.urlsafe_b64encode(PICTURE).decode()},
    {"url": f"data:image/png;base64,{base64.urlsafe_b64encode(PICTURE).decode().rstrip('=')}", "b64_json": None},
    {"b64_json": "", "url": ADDRESS}, {"b64_json": "  ", "url": ADDRESS}, {"b64_json": None, "url": ADDRESS},
    {"b64_json": "!!", "url": ADDRESS}, {"b64_json": "AAAAA", "url": ADDRESS}, {"b64_json": ADDRESS},
])  # fmt: skip
def test_a_picture_is_read_however_a_server_writes_it(there: openai_there.Set, entry: dict[str, Any]) -> None:
    entry = {name: f"{there.far.root}/files/a.png" if value == ADDRESS else value for name, value in entry.items()}
    there.far.script["*"] = {"error": {"status": 200, "body": {"data": [entry, {"b64_json": "!!"}]}}}
    assert read(there.start(image())) == (png("/files/a.png") if "files" in str(entry) else PICTURE)


def test_an_answer_with_a_number_that_json_does_not_know_is_still_an_answer(
    there: openai_there.Set, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = f'{{"data": [{{"b64_json": "{PLAIN}", "score": NaN, "revised_prompt": "\\ud800"}}]}}'.encode()
    monkeypatch.setattr(there.far, "_images", lambda *_: ServerAnswer(200, [body]))
    assert read(there.start(image())) == PICTURE


@pytest.mark.parametrize("body", [b"I am sorry, I cannot say that.", b'{"detail": "no"}', b"<h1>Sorry</h1>"])
def test_a_sentence_for_speech_is_no_speech_whatever_type_it_claims(
    there: openai_there.Set, monkeypatch: pytest.MonkeyPatch, body: bytes
) -> None:
    monkeypatch.setattr(there.far, "_speech", lambda *_: ServerAnswer(200, [body], "audio/wav"))
    error = failure(there, speech())
    assert (error.code, error.retryable, error.charged) == ("no_result_of_kind", False, True)
    assert body.decode()[:10] in error.message


# Ids


@pytest.mark.parametrize("found", ["", "a\x00b", "\ud800", "x" * 501, "../x", "a/b", "a b", 7, None])
def test_an_id_that_it_could_not_be_asked_for_by_leaves_the_outcome_unknown(
    fal: Fal, fal_side: FalFarSide, replicate: Replicate, replicate_side: ReplicateFarSide,
    http: Http, http_side: HttpFarSide, monkeypatch: pytest.MonkeyPatch, found: Any,
) -> None:  # fmt: skip
    told = {"id": found, "request_id": found, "status": "running"}
    monkeypatch.setattr(fal_side, "answer", lambda _: as_json(told))
    monkeypatch.setattr(replicate_side, "answer", lambda _: ServerAnswer(201, [json.dumps(told).encode()]))
    monkeypatch.setattr(http_side, "answer", lambda _: as_json(told, 202))
    for provider, model in ((fal, "acme/paint"), (replicate, "acme/paint"), (http, "images")):
        if provider is http and not found:
            assert provider.start(make(model), "job:1") == Pending(
                "job:1", 60.0, calls_back=True
            )  # left out: ours is its id
        else:
            with pytest.raises(OutcomeUnknown):
                provider.start(make(model), "job:1")


@pytest.mark.parametrize("found", ["a" * 300, "req.1", "a:b", "A_b-~1"])
def test_an_id_of_unusual_letters_is_asked_for_all_the_same(
    replicate: Replicate, replicate_side: ReplicateFarSide, monkeypatch: pytest.MonkeyPatch, found: str
) -> None:
    told = json.dumps({"id": found, "status": "processing"}).encode()
    monkeypatch.setattr(replicate_side, "answer", lambda _: ServerAnswer(200, [told]))
    outcome = replicate.start(make(), "job:1")
    assert isinstance(outcome, Pending)
    assert replicate.poll(make(), outcome.provider_job_id) == outcome


def test_an_endpoint_that_calls_itself_otherwise_in_a_later_answer_keeps_its_id(
    http: Http, http_side: HttpFarSide, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_side, "answer", lambda _: as_json({"id": "another", "status": "running"}, 202))
    outcome = http.poll(make("images", options={"poll": True}), "mine")
    assert isinstance(outcome, Pending)
    assert outcome.provider_job_id == "mine"


@pytest.mark.parametrize(
    "answer", [as_json({}), as_json({"ok": True}), as_json([]), Answer(200, b"<h1>Back soon</h1>")]
)
def test_a_question_answered_by_somebody_else_is_no_failure_of_the_generation(
    http: Http, http_side: HttpFarSide, monkeypatch: pytest.MonkeyPatch, answer: Answer
) -> None:
    monkeypatch.setattr(http_side, "answer", lambda _: answer)
    with pytest.raises(OutcomeUnknown):
        http.poll(make("images", options={"poll": True}), "mine")


# Results that break off inside an answer


def test_a_result_that_breaks_off_is_asked_for_again_before_it_is_given_up(
    fal: Fal, fal_side: FalFarSide, replicate: Replicate, replicate_side: ReplicateFarSide,
    http: Http, http_side: HttpFarSide,
) -> None:  # fmt: skip
    fal_side.script["*"] = {"result": {"image": {"url": CUT}}}
    replicate_side.script["*"] = {"output": CUT}
    http_side.script["*"] = {"outputs": [{"data": CUT}]}
    polled = {"poll": True}
    for provider, model in ((fal, "acme/paint"), (replicate, "acme/paint"), (http, "images")):
        request = make(model, options=polled if provider is http else {})
        with pytest.raises(ProviderError) as caught:
            begun = provider.start(request, "job:1")
            assert isinstance(begun, Pending)
            provider.poll(request, begun.provider_job_id)
        assert (caught.value.code, caught.value.retryable, caught.value.charged) == ("result_cut_off", True, True)
    assert len([call for call in fal_side.book.calls("/requests/") if "status" not in call["path"]]) == 2
    assert len(replicate_side.book.calls("/predictions/", "GET")) == 2
    assert http_side.book.starts_per_key() == {"job:1": 1}
    assert len(http_side.book.calls(method="POST")) == 2


def test_a_call_back_whose_result_breaks_off_is_asked_about(
    replicate: Replicate, replicate_side: ReplicateFarSide
) -> None:
    begun = replicate.start(make(), "job:1")
    assert isinstance(begun, Pending)
    body = json.dumps({"id": begun.provider_job_id, "status": "succeeded", "output": CUT}).encode()
    call = came(signed_by_replicate(WEBHOOK_SECRET, body), body)
    assert isinstance(replicate.callback(make(), begun.provider_job_id, call), Done)


# Calls back that have to ask


def fal_call(side: FalFarSide, request_id: str, **told: Any) -> Any:
    body = json.dumps({"request_id": request_id, "status": "OK", "payload": None, **told}).encode()
    return came(signed_by_fal(side.signing_key, body), body)


def begun(fal: Fal) -> str:
    outcome = fal.start(make(), "job:1")
    assert isinstance(outcome, Pending)
    return outcome.provider_job_id


@pytest.mark.parametrize("path", ["/status", "/requests"])
@pytest.mark.parametrize(("kind", "status"), [("error", 500), ("error", 401), ("error", 404), ("limited", 429)])
def test_the_last_word_of_a_call_is_not_lost_because_it_cannot_be_asked_about_now(
    fal: Fal, fal_side: FalFarSide, kind: str, status: int, path: str
) -> None:
    request_id = begun(fal)
    call = fal_call(fal_side, request_id)
    fal_side.faults.add(kind, method="GET", path=path, status=status)
    with pytest.raises(OutcomeUnknown):
        fal.callback(make(), request_id, call)
    assert isinstance(fal.callback(make(), request_id, call), Done)


def test_a_call_that_says_done_is_no_progress_though_the_queue_lags_behind(fal: Fal, fal_side: FalFarSide) -> None:
    fal_side.script["*"] = {"ready_seconds": 60}
    request_id = begun(fal)
    with pytest.raises(OutcomeUnknown):
        fal.callback(make(), request_id, fal_call(fal_side, request_id))


def test_an_id_that_only_a_call_tells_is_kept_though_it_cannot_be_asked_about_now(
    fal: Fal, fal_side: FalFarSide
) -> None:
    request_id = begun(fal)
    fal_side.faults.add("error", method="GET", path="/status", status=500)
    outcome = fal.callback(make(), None, fal_call(fal_side, request_id))
    assert isinstance(outcome, Pending)
    assert outcome.provider_job_id == request_id


def test_a_failure_that_is_called_back_is_a_failure_and_asks_nobody(fal: Fal, fal_side: FalFarSide) -> None:
    request_id = begun(fal)
    with pytest.raises(ProviderError):
        fal.callback(
            make(), request_id, fal_call(fal_side, request_id, status="ERROR", error="Invalid status code: 500")
        )
    assert not fal_side.book.calls("/requests/")


def test_a_call_of_no_known_state_is_no_last_word(http: Http) -> None:
    for status in ("baked", None, 7, {}):
        body = json.dumps({"id": "job:1", "status": status}).encode()
        assert http.callback(make("images"), "job:1", came(signed_by_http(body, "m"), body)) is None


# Words of a server that holds the connection


def test_cog_is_asked_with_the_users_own_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    book = QueueBook(tmp_path / "cog.db")
    side = CogRelay(book)

    def answer(ask: Ask) -> Answer:
        if ask.path == "/health-check":
            return as_json({"status": "BUSY"})
        return as_json({"id": "job-1", "status": "succeeded", "output": PLAIN and f"data:image/png;base64,{PLAIN}"})

    monkeypatch.setattr(side, "answer", answer)
    with side.running():
        cog = Cog(Endpoint("cog", side.url, "ours"))
        request = make("cog", api_key="theirs", options={"callback": True}, callback_url="http://127.0.0.1:9/")
        outcome = cog.start(request, "job:1")
        assert isinstance(outcome, Pending)
        cog.poll(request, outcome.provider_job_id)
        cog.cancel(request, outcome.provider_job_id)
        assert isinstance(cog.start(make("cog", api_key="theirs"), "job:1"), Done)
        cog.close()
    assert {call["headers"]["authorization"] for call in book.calls()} == {"Bearer theirs"}
    assert len(book.calls()) >= 6
    book.close()


def test_what_a_failed_cog_model_says_can_be_kept() -> None:
    cog = Cog(Endpoint("cog", "http://127.0.0.1:9"))
    body = json.dumps({"id": "a-1", "status": "failed", "error": "no\x00 \ud800thing"}).encode()
    with pytest.raises(ProviderError) as caught:
        cog.callback(make(), "a-1", came({}, body))
    assert "\x00" not in caught.value.message
    assert caught.value.message.encode()
    cog.close()


def test_numbers_of_a_provider_that_no_column_holds_lose_no_result(
    replicate: Replicate, replicate_side: ReplicateFarSide
) -> None:
    metrics = {"predict_time": True, "input_token_count": 10**30, "output_token_count": -1}
    replicate_side.script["*"] = {"metrics": metrics}
    begun = replicate.start(make(), "job:1")
    assert isinstance(begun, Pending)
    done = replicate.poll(make(), begun.provider_job_id)
    assert isinstance(done, Done)
    assert done.usage == {}


def test_a_signed_call_of_an_hour_ago_that_lay_with_us_since_is_believed(replicate: Replicate) -> None:
    """The usual case of a worker that was away."""
    body = json.dumps({"id": "p1", "status": "succeeded", "output": f"data:image/png;base64,{PLAIN}"}).encode()
    then = time.time() - 3600
    call = came(signed_by_replicate(WEBHOOK_SECRET, body, at=then), body, then + 2)
    assert isinstance(replicate.callback(make(), "p1", call), Done)
