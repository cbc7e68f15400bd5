"""Cog, against the real server of the packages `cog` and `coglet`, which these tests start."""

import importlib.util
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import orjson
import pytest

from cli.embedded.servers import free_ports
from tests.far_side.callbacks import Listener, came
from tests.workers.providers.contract import Contract
from workers.providers.base import (
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
from workers.providers.cog import IDLE, Cog

ROOT = Path(__file__).resolve().parents[3]
MODEL = ROOT / "tests" / "far_side" / "cog_model"
PNG = b"\x89PNG\r\n\x1a\n"
CALLBACK: dict[str, Any] = {"options": {"callback": True}}
NOBODY: dict[str, Any] = CALLBACK | {"callback_url": "http://127.0.0.1:9/"}


@dataclass
class Server:
    url: str
    book: Path

    def runs(self, prompt: str) -> int:
        return self.book.read_text().split().count(prompt) if self.book.exists() else 0

    def health(self) -> str:
        return str(httpx.get(f"{self.url}/health-check").json()["status"])

    def until(self, health: str) -> None:
        end = time.monotonic() + 30
        while self.health() != health:
            assert time.monotonic() < end, f"the server is not {health}"
            time.sleep(0.05)


def python_with_cog() -> Path:
    """This environment's, or that of a checkout whose environment was made before Cog was needed."""
    if importlib.util.find_spec("cog"):
        return Path(sys.executable)
    return ROOT / ".cogvenv" / "bin" / "python"


@contextmanager
def cog_server(folder: Path, *, ready: bool = True, setup_seconds: float = 0) -> Iterator[Server]:
    port, python = free_ports(1)[0], python_with_cog()
    server = Server(f"http://127.0.0.1:{port}", folder / "runs.txt")
    environment = {
        "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}",  # it starts its worker as plain `python`
        "HOME": str(folder),
        "PORT": str(port),
        "COG_PREDICT_TYPE_STUB": "predict.py:Runner",
        "COG_RUNS": str(server.book),
        "COG_SETUP_SECONDS": str(setup_seconds),
    }
    with (folder / "cog.log").open("wb") as log:
        process = subprocess.Popen(
            [python, "-m", "cog.server.http", "--host", "127.0.0.1"],
            cwd=MODEL, env=environment, stdout=log, stderr=log,
        )  # fmt: skip
        try:
            end = time.monotonic() + 30
            while True:
                try:
                    if not ready or server.health() == "READY":
                        server.health()
                        break
                except httpx.ConnectError:
                    pass
                assert process.poll() is None
                assert time.monotonic() < end
                time.sleep(0.1)
            yield server
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with cog_server(tmp_path_factory.mktemp("cog")) as running:
        yield running


@pytest.fixture(scope="module")
def listener() -> Iterator[Listener]:
    with Listener().running() as running:
        yield running


def length(asked: bytes) -> int:
    found = re.search(rb"content-length: (\d+)", asked, re.IGNORECASE)
    return int(found[1]) if found else 0


@contextmanager
def cutting(url: str) -> Iterator[str]:
    """A way to the server on which the first answer is lost: it takes the request there and then hangs up."""
    target, listening = httpx.URL(url), socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        try:
            near, _ = listening.accept()
        except OSError:
            return
        with near, socket.create_connection((target.host, target.port or 80)) as far:
            asked = b""
            while b"\r\n\r\n" not in asked or len(asked.partition(b"\r\n\r\n")[2]) < length(asked):
                asked += near.recv(65536)
            far.sendall(asked)
            far.recv(1)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        listening.close()
        thread.join(5)


@contextmanager
def cog_at(url: str) -> Iterator[Cog]:
    provider = Cog(Endpoint("cog", url))
    try:
        yield provider
    finally:
        provider.close()


def make(answer: str = "file", **fields: Any) -> Request:
    """A request whose prompt is its own, so that its runs can be counted."""
    values = {"prompt": uuid4().hex, "answer": answer, "left_out": None} | fields.pop("values", {})
    given: dict[str, Any] = {"model": "cog", "kind": "image", "input": values, "seconds_left": 30.0}
    return Request(**(given | fields))


class _Cog(Contract):
    FORGETS = True
    LACKS = frozenset({"addressed", "signed", "unstorable refusal"})
    FILE_FIELD = "picture"

    @pytest.fixture(autouse=True)
    def _far_side(self, server: Server, listener: Listener, tmp_path: Path) -> Iterator[None]:
        self._server, self._listener, self._folder = server, listener, tmp_path
        self._url = server.url
        self._opened: list[Any] = []
        server.until("READY")
        self._providers: dict[str, Cog] = {}
        yield
        for each in reversed(self._opened):
            each.__exit__(None, None, None)

    def provider(self) -> Provider:
        if self._url not in self._providers:
            self._providers[self._url] = self.open(cog_at(self._url))
        return self._providers[self._url]

    def reached(self) -> int:
        """The runs of the model."""
        return len(self._server.book.read_text().splitlines()) if self._server.book.exists() else 0

    def told(self, word: str, known_as: str) -> bytes:
        states = {"done": "succeeded", "failed": "failed", "progress": "processing"}
        return orjson.dumps({"id": known_as, "status": states[word], "output": "data:image/png;base64,eA=="})

    def open(self, context: Any) -> Any:
        self._opened.append(context)
        return context.__enter__()

    def request(self, situation: str, **changes: Any) -> Request:
        match situation:
            case "fails":
                return make("fail", **changes)
            case "fails and may be retried":  # a crash takes the server's only place with it: one of its own
                self._folder.joinpath("crash").mkdir()
                self._url = self.open(cog_server(self._folder / "crash")).url
                return make("crash", **changes)
            case "limited":
                other = f"other-{uuid4().hex}"
                with cog_at(self._url) as cog:
                    cog.start(make(values={"sleep_seconds": 2}, **NOBODY), other)
                return make(**changes)
            case "slow":
                return make(values={"sleep_seconds": 600}, **changes)
        return make(values={"sleep_seconds": 0.3}, **changes)


class TestCogWaiting(_Cog):
    """The worker's thread holds the connection."""

    LACKS = _Cog.LACKS | {"polled", "slow"}

    def test_a_lost_answer_is_recovered_as_the_provider_says(self) -> None:
        """Its result is gone; the model did not run twice, and another attempt may be made."""
        request, key = self.request("lost answer"), self.key()
        with cutting(self._url) as cut, cog_at(cut) as cog:
            with pytest.raises(OutcomeUnknown):
                cog.start(request, key)
        assert self.provider().recovery(request) == "lookup"
        with pytest.raises(ProviderError) as caught:
            self.provider().lookup(request, key)
        assert (caught.value.code, caught.value.retryable, caught.value.limited) == ("result_lost", True, False)
        self._server.until("READY")
        assert self._server.runs(request.input["prompt"]) == 1


class TestCogCallingBack(_Cog):
    """The result comes by webhook."""

    def request(self, situation: str, **changes: Any) -> Request:
        changes |= CALLBACK | {"callback_url": self._listener.url}
        return super().request(situation, **changes)

    def finished(self, request: Request, outcome: Outcome | None) -> Done:
        assert isinstance(outcome, Pending)
        prediction = outcome.provider_job_id.removesuffix(IDLE)
        call = self._listener.calls(f'"{prediction}"')[0]
        done = self.provider().callback(request, outcome.provider_job_id, call)
        assert isinstance(done, Done)
        return done

    def test_a_lost_answer_is_recovered_as_the_provider_says(self) -> None:
        """Its webhook comes all the same, and the model ran once."""
        request, key = self.request("lost answer"), self.key()
        with cutting(self._url) as cut, cog_at(cut) as cog:
            with pytest.raises(OutcomeUnknown):
                cog.start(request, key)
        found = self.provider().lookup(request, key)
        self.finished(request, found)
        assert self._server.runs(request.input["prompt"]) == 1


@pytest.fixture
def cog(server: Server) -> Iterator[Cog]:
    server.until("READY")
    with cog_at(server.url) as provider:
        yield provider


def data(done: Outcome, number: int = 0) -> bytes:
    assert isinstance(done, Done)
    return b"".join(done.outputs[number].chunks())


def test_outputs_are_files_texts_or_json(cog: Cog, server: Server) -> None:
    def ran(number: int, request: Request) -> Outcome:
        server.until("READY")  # the one place of the server is free a moment after its answer
        return cog.start(request, f"a:{number}")

    assert data(ran(1, make("file", values={"prompt": "sea"}))) == PNG + b"sea"
    files = ran(2, make("files", values={"prompt": "sea"}))
    assert isinstance(files, Done)
    assert [output.claimed_media_type for output in files.outputs] == ["image/png"] * 2
    assert data(ran(3, make("dict", values={"prompt": "sea"}))) == PNG + b"sea"
    assert data(ran(4, make("words", kind="text"))) == b"one word"
    assert data(ran(5, make("text", kind="text", values={"prompt": "sea"}))) == b"SEA"
    assert orjson.loads(data(ran(6, make("numbers", kind="text")))) == {"seed": 7}


def test_a_file_goes_in_as_a_data_uri(cog: Cog) -> None:
    picture = InputFile("image/png", 3, lambda: iter([b"abc"]))
    assert data(cog.start(make("file", files={"picture": picture}), "b:1")) == PNG + b"abc"


def test_the_cost_is_its_time_at_the_routes_rate(cog: Cog) -> None:
    request = make(values={"sleep_seconds": 0.2}, options={"cost_usd_micros_per_second": 1000})
    done = cog.start(request, "c:1")
    assert isinstance(done, Done)
    assert 200 <= (done.cost_usd_micros or 0) < 2000
    assert done.usage["predict_ms"] >= 200
    free = cog.start(make(), "c:2")
    assert isinstance(free, Done)
    assert free.cost_usd_micros is None


def test_a_failed_model_says_why_and_what_it_cost(cog: Cog) -> None:
    with pytest.raises(ProviderError, match="could not do it") as caught:
        cog.start(make("fail", options={"cost_usd_micros_per_second": 10**6}), "d:1")
    assert caught.value.charged
    assert caught.value.elsewhere


@pytest.mark.parametrize(("answer", "said"), [("nothing", "null"), ("text", "SEA"), ("numbers", '{"seed":7}')])
@pytest.mark.parametrize("rate", [0, 10**6])
def test_a_model_that_answers_no_picture_says_what_it_answered_and_is_not_run_again(
    cog: Cog, answer: str, said: str, rate: int
) -> None:
    request = make(answer, values={"prompt": "sea"}, options={"cost_usd_micros_per_second": rate} if rate else {})
    with pytest.raises(ProviderError) as caught:
        cog.start(request, f"d:{answer}-{rate}")
    error = caught.value
    assert (error.code, error.retryable) == ("no_result_of_kind", False)
    assert (error.charged, error.elsewhere) == (rate > 0, rate == 0)
    assert said in error.message


def test_an_empty_text_is_no_text(cog: Cog) -> None:
    with pytest.raises(ProviderError) as caught:
        cog.start(make("text", kind="text", values={"prompt": " "}), "d:3")
    assert caught.value.code == "no_result_of_kind"


def test_a_repeated_start_of_a_running_prediction_is_the_same_run(cog: Cog, server: Server, listener: Listener) -> None:
    request = make(values={"sleep_seconds": 1}, callback_url=listener.url, **CALLBACK)
    first, second = cog.start(request, "e:1"), cog.start(request, "e:1")
    assert isinstance(first, Pending)
    assert first == second
    listener.calls('"e-1"')
    assert server.runs(request.input["prompt"]) == 1


def test_what_cog_forgets_is_why_a_put_is_never_repeated(cog: Cog, server: Server) -> None:
    """If this fails, Cog remembers what has ended: recovery may then be "idempotent"."""
    request = make()
    for _ in range(2):
        server.until("READY")
        cog.start(request, "f:1")
    assert server.runs(request.input["prompt"]) == 2


def test_a_callback_address_alone_does_not_make_it_call_back(cog: Cog) -> None:
    """A webhook with a picture in it would be too big to be taken in."""
    assert isinstance(cog.start(make(callback_url="http://127.0.0.1:9/"), "o:1"), Done)


def test_a_polled_prediction_is_pending_while_the_server_is_busy(cog: Cog, listener: Listener) -> None:
    request = make(values={"sleep_seconds": 600}, callback_url=listener.url, **CALLBACK)
    cog.start(request, "g:1")
    assert cog.poll(request, "g-1") == cog.poll(request, "g-1" + IDLE) == Pending("g-1", 60.0, calls_back=True)
    cog.cancel(request, "g-1")
    with pytest.raises(ProviderError) as caught:
        cog.callback(request, "g-1", listener.calls('"g-1"')[0])
    assert caught.value.code == "canceled"
    cog.cancel(request, "g-1")  # again, too late: no error


def test_a_cancel_in_the_instant_after_the_start_is_not_lost(cog: Cog, server: Server) -> None:
    for number in range(8):
        cog.start(make(values={"sleep_seconds": 60}, **NOBODY), f"p:{number}")
        cog.cancel(make(**NOBODY), f"p-{number}")
        server.until("READY")


def test_a_result_that_is_not_called_back_is_lost_after_a_grace(cog: Cog) -> None:
    request = make(**NOBODY)
    first = cog.poll(request, "h-1")
    assert isinstance(first, Pending)
    assert first.poll_after_seconds >= 10
    with pytest.raises(ProviderError) as caught:
        cog.poll(request, first.provider_job_id)
    assert (caught.value.code, caught.value.retryable) == ("result_lost", True)
    several = replace(request, options={"callback": True, "concurrency": 4})
    assert isinstance(cog.poll(several, first.provider_job_id), Pending)


def test_a_server_that_starts_anew_has_room_later_and_has_lost_what_it_had(tmp_path: Path) -> None:
    request = make(**NOBODY)
    with cog_server(tmp_path, ready=False, setup_seconds=60) as starting, cog_at(starting.url) as cog:
        with pytest.raises(ProviderError) as caught:
            cog.start(request, "i:1")
        assert caught.value.limited
        with pytest.raises(ProviderError) as caught:
            cog.poll(request, "i-1")
        assert caught.value.code == "result_lost"
    with cog_at(starting.url) as cog, pytest.raises(OutcomeUnknown):
        cog.poll(request, "i-1")


def test_nobody_wants_it_any_more_so_a_held_prediction_is_canceled(cog: Cog, server: Server) -> None:
    request = make(values={"sleep_seconds": 600}, canceled=lambda: server.runs(prompt) > 0)
    prompt = request.input["prompt"]
    with pytest.raises(ProviderError) as caught:
        cog.start(request, "j:1")
    assert (caught.value.code, caught.value.retryable) == ("canceled", False)
    server.until("READY")


def test_a_held_prediction_ends_with_its_time(cog: Cog, server: Server) -> None:
    with pytest.raises(OutcomeUnknown):
        cog.start(make(values={"sleep_seconds": 600}, seconds_left=1.0), "k:1")
    server.until("READY")


@pytest.mark.parametrize("body", [
    b"no json", b"[]", b'{"id": "another", "status": "succeeded", "output": "x"}', b'{"status": "succeeded"}',
])  # fmt: skip
def test_a_callback_of_another_or_without_news_is_not_believed(cog: Cog, body: bytes) -> None:
    assert cog.callback(make(**NOBODY), "l-1", came({}, body)) is None


def test_the_webhook_of_a_refused_put_is_a_limit(cog: Cog) -> None:
    body = b'{"id": "m-1", "status": "failed", "error": "At capacity"}'
    with pytest.raises(ProviderError) as caught:
        cog.callback(make(), None, came({}, body))
    assert caught.value.limited


def test_a_number_that_is_none_is_refused_before_the_model_runs(cog: Cog, server: Server) -> None:
    request = make(options={"cost_usd_micros_per_second": "much"})
    with pytest.raises(ProviderError, match="cost_usd_micros_per_second"):
        cog.start(request, "n:1")
    assert server.runs(request.input["prompt"]) == 0
