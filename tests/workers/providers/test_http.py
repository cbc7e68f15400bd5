"""The signed request to an operator's own endpoint: the contract, each rule of the wire, and the documentation's server."""

import json
import re
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from cli.embedded.servers import free_ports
from tests.far_side.callbacks import Listener, came
from tests.far_side.http import SECRET, HttpFarSide, signed
from tests.far_side.queue_faults import Book, Faults
from tests.far_side.queue_server import Answer, as_json, png
from tests.workers.providers.contract import NUL_AND_SURROGATE, Contract
from workers.providers.base import (
    Done,
    Endpoint,
    InputFile,
    OutcomeUnknown,
    Pending,
    Provider,
    ProviderError,
    Request,
)
from workers.providers.http import Http

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def there(tmp_path: Path) -> Iterator[HttpFarSide]:
    book = Book(tmp_path / "book.db")
    with HttpFarSide(book).running() as side:
        yield side
    book.close()


@pytest.fixture
def http(there: HttpFarSide) -> Iterator[Http]:
    provider = Http(Endpoint("own", there.url, "sk-1", {"secret": SECRET}))
    yield provider
    provider.close()


def make(**fields: Any) -> Request:
    given: dict[str, Any] = {
        "model": "images", "kind": "image", "input": {"prompt": "sea"}, "options": {"poll": True}, "seconds_left": 30.0,
    }  # fmt: skip
    return Request(**(given | fields))


def data(done: Any, number: int = 0) -> bytes:
    assert isinstance(done, Done)
    return b"".join(done.outputs[number].chunks())


class TestHttp(Contract):
    @pytest.fixture(autouse=True)
    def _far_side(self, there: HttpFarSide, http: Http) -> None:
        self._there, self._http = there, http

    def provider(self) -> Provider:
        return self._http

    def far(self) -> Any:
        return self._there

    def reached(self) -> int:
        return len(self._there.book.calls())

    def told(self, word: str, known_as: str) -> bytes:
        states = {"done": "succeeded", "failed": "failed", "progress": "running"}
        return json.dumps({"id": known_as, "status": states[word], "outputs": [{"data": "eA=="}]}).encode()

    def signed(self, body: bytes, at: float) -> dict[str, str]:
        return signed(body, "m", str(int(at)))

    def request(self, situation: str, **changes: Any) -> Request:
        self._there.script["*"] = {"poll_after_seconds": 0.1} | {
            "fails": {"error": {"code": "moderated", "message": "not this"}},
            "fails and may be retried": {"error": {"message": "busy", "retryable": True}, "ready_seconds": 0.2},
            "polled": {"ready_seconds": 0.3, "progress": 40},
            "slow": {"ready_seconds": 600},
            "unstorable refusal": {"error": {"code": "no\0", "message": NUL_AND_SURROGATE}},
        }.get(situation, {})
        if situation in {"limited", "lost answer"}:
            self._there.faults.add("limited" if situation == "limited" else "lose", method="POST")
        return make(**changes)


# Starting


def test_a_start_says_what_is_wanted_and_is_signed(http: Http, there: HttpFarSide) -> None:
    picture = InputFile("image/png", 3, lambda: iter([b"abc"]))
    request = make(
        model="v2/images", files={"image": picture}, options={"extra": {"steps": 4}},
        callback_url="http://127.0.0.1:9/hook",
    )  # fmt: skip
    assert isinstance(http.start(request, "job:1"), Done)  # the far side has checked the signature
    call = there.book.calls(method="POST")[0]
    assert call["path"] == "/v2/images"
    assert json.loads(call["body"]) == {
        "id": "job:1", "model": "v2/images", "kind": "image", "input": {"prompt": "sea", "steps": 4},
        "files": {"image": "data:image/png;base64,YWJj"}, "callback_url": "http://127.0.0.1:9/hook",
    }  # fmt: skip
    assert call["headers"]["webhook-id"] == "job:1"
    assert abs(time.time() - int(call["headers"]["webhook-timestamp"])) < 10
    assert call["headers"]["authorization"] == "Bearer sk-1"


def test_a_repeated_start_is_one_generation_with_the_same_answer(http: Http, there: HttpFarSide) -> None:
    there.faults.add("lose", method="POST")
    with pytest.raises(OutcomeUnknown):
        http.start(make(), "job:1")
    assert http.recovery(make()) == "idempotent"
    again, found = http.start(make(), "job:1"), http.lookup(make(), "job:1")
    assert data(again) == data(found) == png("job-1.png")
    assert there.book.starts_per_key() == {"job:1": 1}


@pytest.mark.parametrize("kind", ["drop", "cut", "stall"])
def test_an_answer_that_does_not_come_whole_leaves_the_outcome_unknown(
    http: Http, there: HttpFarSide, kind: str
) -> None:
    there.faults.add(kind, method="POST", seconds=3)
    with pytest.raises(OutcomeUnknown):
        http.start(make(options={"wait_seconds": 1}), "job:1")
    assert len(there.book.calls()) == 1


def test_a_slow_answer_is_an_answer(http: Http, there: HttpFarSide) -> None:
    there.faults.add("slow", method="POST", seconds=0.3)
    assert isinstance(http.start(make(), "job:1"), Done)


@pytest.mark.parametrize("model", ["", "/x", "a//b", "../x", "a/../b", "a?b", "a b"])
def test_a_model_that_is_no_path_is_refused_before_any_call(http: Http, there: HttpFarSide, model: str) -> None:
    with pytest.raises(ProviderError) as caught:
        http.start(make(model=model), "job:1")
    assert caught.value.code == "unknown_model"
    assert not there.book.calls()


@pytest.mark.parametrize(("key", "options"), [(None, {}), (None, {"secret": "whsec_!"}), ("sk", {"secret": "whsec_"})])
def test_nothing_is_sent_unsigned(there: HttpFarSide, key: str | None, options: dict[str, Any]) -> None:
    http = Http(Endpoint("own", there.url, key, options))
    with pytest.raises(ProviderError) as caught:
        http.start(make(), "job:1")
    assert caught.value.code == "not_configured"
    assert http.callback(make(), "job:1", came({}, b"{}")) is None
    assert not there.book.calls()
    http.close()


def test_the_api_key_signs_where_there_is_no_secret(there: HttpFarSide) -> None:
    http = Http(Endpoint("own", there.url, SECRET))
    assert isinstance(http.start(make(), "job:1"), Done)
    http.close()


def test_a_wrong_secret_is_the_operators_matter(there: HttpFarSide) -> None:
    http = Http(Endpoint("own", there.url, "another"))
    with pytest.raises(ProviderError) as caught:
        http.start(make(), "job:1")
    assert (caught.value.code, caught.value.elsewhere) == ("unauthorized", True)
    http.close()


def test_wait_seconds_that_are_none_are_refused(http: Http, there: HttpFarSide) -> None:
    with pytest.raises(ProviderError, match="wait_seconds"):
        http.start(make(options={"wait_seconds": "long"}), "job:1")
    assert not there.book.calls()


# Answers


def test_outputs_are_addresses_bytes_or_texts(http: Http, there: HttpFarSide) -> None:
    there.script["*"] = {
        "outputs": [
            {"url": f"{there.url}/files/a", "media_type": "image/png"},
            {"data": b64encode(b"abc").decode(), "media_type": "image/webp"},
            {"data": "data:audio/wav;base64,YWJj"},
            {"url": "data:,plain"},
            {"text": "a poem"},
        ]
    }
    done = http.start(make(kind="text"), "job:1")
    assert [data(done, number) for number in range(5)] == [png("a"), b"abc", b"abc", b"plain", b"a poem"]
    assert isinstance(done, Done)
    assert [output.claimed_media_type for output in done.outputs] == [
        "image/png", "image/webp", "audio/wav", "text/plain", "text/plain",
    ]  # fmt: skip
    picture = http.start(make(kind="image"), "job:2")
    assert isinstance(picture, Done)
    assert [output.claimed_media_type for output in picture.outputs] == ["image/png", "image/webp", "audio/wav"]


@pytest.mark.parametrize("outputs", [
    [3], [{}], [{"url": "ftp://x"}], [{"data": "!"}], [{"data": 3}], [{"url": "data:x"}],
])  # fmt: skip
def test_outputs_that_cannot_be_read_were_paid_for(http: Http, there: HttpFarSide, outputs: Any) -> None:
    there.script["*"] = {"outputs": outputs, "cost_usd_micros": 7}
    with pytest.raises(ProviderError) as caught:
        http.start(make(), "job:1")
    error = caught.value
    assert (error.code, error.retryable, error.charged, error.cost_usd_micros) == ("unusable_answer", False, True, 7)


@pytest.mark.parametrize("outputs", [
    [], None, "x", [{"text": "/out/1.png"}], [{"text": "I am sorry"}], [{"data": "data:,sorry"}],
    [{"data": b64encode(b'{"error": "no"}').decode(), "media_type": "application/json"}],
])  # fmt: skip
def test_outputs_without_what_was_ordered_say_what_there_is(http: Http, there: HttpFarSide, outputs: Any) -> None:
    for cost in (7, 0):
        there.script["*"] = {"outputs": outputs, "cost_usd_micros": cost}
        with pytest.raises(ProviderError) as caught:
            http.start(make(), f"job:{cost}")
        error = caught.value
        assert (error.code, error.retryable) == ("no_result_of_kind", False)
        assert (error.charged, error.elsewhere) == (cost > 0, cost == 0)  # what cost nothing may be had elsewhere
        assert json.dumps(outputs, separators=(",", ":")).strip('"') in error.message


def test_one_good_output_is_not_thrown_away_for_another(http: Http, there: HttpFarSide) -> None:
    there.script["*"] = {"outputs": [{"data": "!"}, {"url": f"{there.url}/files/a"}, {"text": "a caption"}]}
    done = http.start(make(), "job:1")
    assert isinstance(done, Done)
    assert [b"".join(each.chunks()) for each in done.outputs] == [png("a")]


def test_cost_and_usage_are_whole_numbers_or_unknown(http: Http, there: HttpFarSide) -> None:
    there.script["*"] = {"cost_usd_micros": 1200, "usage": {"tokens": 3, "seconds": 1.5, "x": -1, "y": True}}
    done = http.start(make(), "job:1")
    assert isinstance(done, Done)
    assert (done.cost_usd_micros, done.usage) == (1200, {"tokens": 3})
    there.script["*"] = {"cost_usd_micros": "much", "usage": []}
    done = http.start(make(), "job:2")
    assert isinstance(done, Done)
    assert (done.cost_usd_micros, done.usage) == (None, {})


@pytest.mark.parametrize(("error", "expected"), [
    ({"code": "moderated", "message": "no", "retryable": False, "charged": True}, ("moderated", "no", False, True, 5)),
    ({"code": "Bad Code!", "message": "x", "retryable": True}, ("generation_failed", "x", True, False, 0)),
    ("just words", ("generation_failed", "just words", False, False, 0)),
    (None, ("generation_failed", "the generation failed", False, False, 0)),
])  # fmt: skip
def test_a_failure_says_code_retryable_and_charged(
    http: Http, there: HttpFarSide, error: Any, expected: tuple[Any, ...]
) -> None:
    there.script["*"] = {"error": error, "cost_usd_micros": 5}
    with pytest.raises(ProviderError) as caught:
        http.start(make(), "job:1")
    found = caught.value
    assert (found.code, found.message, found.retryable, found.charged, found.cost_usd_micros) == expected


@pytest.mark.parametrize("answer", [
    as_json([]), as_json({}), as_json({"status": "baked"}), as_json({"status": {}}),
])  # fmt: skip
def test_an_answer_that_keeps_to_no_contract_fails_for_good(
    http: Http, there: HttpFarSide, monkeypatch: pytest.MonkeyPatch, answer: Answer
) -> None:
    monkeypatch.setattr(there, "answer", lambda _ask: answer)
    with pytest.raises(ProviderError) as caught:
        http.start(make(), "job:1")
    assert caught.value.code == "unusable_answer"


# Waiting


def test_a_pending_generation_is_asked_for_by_the_endpoints_own_id(http: Http, there: HttpFarSide) -> None:
    there.script["*"] = {"ready_seconds": 60, "own_id": True, "progress": 140, "poll_after_seconds": 5}
    outcome = http.start(make(), "job:1")
    assert outcome == Pending("own-job-1", 5.0, 100, exact=True)
    assert http.poll(make(), "own-job-1") == outcome
    call = there.book.calls(method="GET")[0]
    assert (call["path"], call["headers"]["webhook-id"]) == ("/images/own-job-1", "own-job-1")


def test_without_polling_the_call_back_is_waited_for(http: Http, there: HttpFarSide, listener: Listener) -> None:
    there.script["*"] = {"ready_seconds": 0.2, "poll_after_seconds": 1}
    there.faults.add("twice", method="POST")
    request = make(options={}, callback_url=listener.url)
    assert http.start(request, "job:1") == http.poll(request, "job:1") == Pending("job:1", 60.0, calls_back=True)
    assert not there.book.calls(method="GET")
    for call in listener.calls("job:1", count=2):
        assert data(http.callback(request, "job:1", call)) == png("job-1.png")
        assert data(http.callback(request, None, call)) == png("job-1.png")
        assert http.callback(request, "job:2", call) is None


def test_a_question_that_cannot_be_asked_is_no_failure(http: Http, there: HttpFarSide) -> None:
    there.script["*"] = {"ready_seconds": 60}
    http.start(make(), "job:1")
    for kind, status in [("error", 500), ("error", 401), ("error", 502), ("limited", 429)]:
        there.faults.add(kind, method="GET", status=status)
        with pytest.raises(OutcomeUnknown):
            http.poll(make(), "job:1")
    there.faults.add("drop", method="GET", times=2)
    assert isinstance(http.poll(make(), "job:1"), Pending)


def test_canceling_where_it_cannot_be_done_is_fine(http: Http, there: HttpFarSide) -> None:
    there.script["*"] = {"ready_seconds": 60, "stops": False}
    http.start(make(), "job:1")
    http.cancel(make(), "job:1")
    http.cancel(make(model="other"), "never-was")
    assert [call["path"] for call in there.book.calls(method="DELETE")] == ["/images/job:1", "/other/never-was"]
    with pytest.raises(ProviderError):
        http.cancel(make(), "../x")


def test_only_the_endpoints_own_fresh_calls_are_believed(http: Http) -> None:
    body = b'{"id": "job:1", "status": "succeeded", "outputs": [{"data": "eA=="}]}'
    now, good = int(time.time()), signed(b"", "m")["webhook-signature"]
    assert isinstance(http.callback(make(), "job:1", came(signed(body, "m"), body)), Done)
    rotated = signed(body, "m") | {"webhook-signature": f"v1,AAAA {signed(body, 'm')['webhook-signature']}"}
    assert isinstance(http.callback(make(), "job:1", came(rotated, body)), Done)
    for headers in (
        {},
        signed(body, "m", str(now - 320)),
        signed(body, "m", str(now + 320)),
        signed(body, "m", "²"),
        signed(body, "m", secret="whsec_AAAA"),
        signed(body, "m") | {"webhook-id": "n"},
        signed(body, "m") | {"webhook-signature": good},
        signed(body, "m") | {"webhook-signature": "é"},
    ):
        assert http.callback(make(), "job:1", came(headers, body)) is None
    for text in (b"no json", b"[]", b'{"status": "succeeded"}', b'{"id": 3}'):
        assert http.callback(make(), "job:1", came(signed(text, "m"), text)) is None


def test_a_call_back_may_tell_of_progress_or_failure(http: Http) -> None:
    body = b'{"id": "job:1", "status": "running", "progress": 30}'
    assert http.callback(make(), "job:1", came(signed(body, "m"), body)) == Pending("job:1", 2.0, 30)
    body = b'{"id": "job:1", "status": "failed", "error": {"code": "moderated", "message": "no"}}'
    with pytest.raises(ProviderError, match="no"):
        http.callback(make(), "job:1", came(signed(body, "m"), body))


# The documentation, and far sides in their own process


def test_the_documentations_example_server_works(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "providers-http.md").read_text()
    program = next(block for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "HTTPServer" in block)
    port = free_ports(1)[0]
    (tmp_path / "server.py").write_text(program)
    with process([sys.executable, str(tmp_path / "server.py")], {"PORT": str(port), "SECRET": SECRET}, port):
        http = Http(Endpoint("own", f"http://127.0.0.1:{port}", None, {"secret": SECRET}))
        first, second = (http.start(make(kind="text"), "job:1") for _ in range(2))
        assert data(first) == data(second) != b""
        http.close()
        wrong = Http(Endpoint("own", f"http://127.0.0.1:{port}", None, {"secret": "whsec_AAAA"}))
        with pytest.raises(ProviderError) as caught:
            wrong.start(make(), "job:2")
        assert caught.value.code == "unauthorized"
        wrong.close()


@pytest.mark.parametrize("name", ["fal", "http"])
def test_a_far_side_runs_in_its_own_process(tmp_path: Path, name: str) -> None:
    port, book = free_ports(1)[0], tmp_path / "book.db"
    command = [sys.executable, "-m", f"tests.far_side.{name}", "--port", str(port), "--book", str(book)]
    command += ["--faults", '{"rules": [{"kind": "error", "status": 503, "path": "/files/a"}]}']
    with process(command, {"PYTHONPATH": str(ROOT)}, port):
        answers = [httpx.get(f"http://127.0.0.1:{port}/files/a") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [503, 200]
    read = Book(book)
    assert [call["fault"] for call in read.calls("/files/a")] == ["error", None]
    read.close()


class process:  # noqa: N801 - used as a function
    def __init__(self, command: list[str], environment: dict[str, str], port: int) -> None:
        self._command, self._environment, self._port = command, environment, port

    def __enter__(self) -> None:
        self._process = subprocess.Popen(self._command, env=self._environment)
        end = time.monotonic() + 20
        while True:
            try:
                httpx.get(f"http://127.0.0.1:{self._port}/files/up", timeout=5)
            except httpx.TransportError:
                assert self._process.poll() is None
                assert time.monotonic() < end
                time.sleep(0.1)
            else:
                return

    def __exit__(self, *error: object) -> None:
        self._process.terminate()
        self._process.wait(10)


def test_a_seeded_plan_is_the_same_in_every_run_and_leaves_each_key_alone_in_the_end() -> None:
    plan = '{"seed": 7, "share": {"lose": 0.3, "limited": 0.3}, "per_key": 2}'
    runs = []
    for keys in (range(50), reversed(range(50))):
        faults = Faults.load(plan)
        runs.append({
            key: [fault.kind if (fault := faults.choose("POST", "/x", str(key))) else "" for _ in range(8)]
            for key in keys
        })  # fmt: skip
    assert runs[0] == runs[1]
    assert all(sum(map(bool, kinds)) <= 2 for kinds in runs[0].values())
    assert {kind for kinds in runs[0].values() for kind in kinds} == {"", "lose", "limited"}
    with pytest.raises(ValueError, match="no fault"):
        Faults.load('{"share": {"explode": 1}}')
