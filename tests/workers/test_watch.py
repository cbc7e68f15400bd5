"""A worker process whose threads have died ends, and is started again."""

import ctypes
import threading
from io import StringIO
from pathlib import Path

import dramatiq
import pytest
from rich.console import Console

from cli.embedded.processes import Processes, supervise
from tests.support import eventually
from workers import main
from workers.broker import WakeConsumer

pytestmark = [
    pytest.mark.usefixtures("database"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning"),
    pytest.mark.filterwarnings(
        "ignore::pytest.PytestUnraisableExceptionWarning"
    ),  # nobody closes a dead thread's socket
]


def kill(thread: threading.Thread) -> None:
    """End a thread from outside, as nothing in it expects."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(SystemExit))


@pytest.mark.parametrize("kind", ["WorkerThread", "ConsumerThread", "lease-keeper"])
def test_a_worker_whose_thread_has_died_ends_with_an_error(kind: str) -> None:
    ended: list[BaseException] = []

    stopping = threading.Event()

    def run() -> None:
        try:
            main.run(2, ["interactive"], stopping)
        except RuntimeError as error:
            ended.append(error)

    before = set(threading.enumerate())
    process = threading.Thread(target=run)
    process.start()

    def victims() -> list[threading.Thread]:
        fresh = [each for each in threading.enumerate() if each not in before and each.is_alive()]
        return [each for each in fresh if kind in (type(each).__name__.lstrip("_"), each.name)]

    try:
        eventually(lambda: bool(victims()), what=f"a {kind}")
        victim = victims()[0]

        for _ in range(10):  # a thread that is just beginning may not notice the first time
            kill(victim)
            victim.join(3)
            if not victim.is_alive():
                break
        eventually(lambda: not process.is_alive(), seconds=40, what="the end of the process")
    finally:
        stopping.set()
        process.join(40)
    assert "has died" in str(ended[0])


@pytest.mark.parametrize("seconds", [1, 6], ids=["as long as it may", "at a slow Redis"])
def test_a_consumer_that_has_just_begun_to_wait_ends_without_an_error(
    seconds: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stopping, closing, consumers = threading.Event(), threading.Event(), []
    monkeypatch.setattr("workers.broker.SOCKET_SECONDS", 15.0)  # this Redis is slow, and not taken for gone

    def wait(self: WakeConsumer) -> None:
        if self._delayed:
            stopping.wait(1)
            return
        consumers.append(threading.current_thread())
        closing.wait(30)  # the wait begins when all else of the process has ended
        self.broker.client.blpop(["nobody-rings-here"], timeout=seconds)

    def stop(worker: dramatiq.Worker, timeout: int) -> None:
        closing.set()
        real(worker, timeout)

    real = dramatiq.Worker.stop
    monkeypatch.setattr(WakeConsumer, "_wait", wait)
    monkeypatch.setattr(dramatiq.Worker, "stop", stop)
    process = threading.Thread(target=main.run, args=(1, ["interactive"], stopping))
    process.start()
    eventually(lambda: bool(consumers), what="a consumer that waits")
    stopping.set()
    process.join(40)
    consumers[0].join(40)
    assert [each.message for each in caplog.records if "error" in each.message] == []


def test_a_process_that_ends_by_itself_is_started_again(tmp_path: Path) -> None:
    procfile = tmp_path / "Procfile"
    marker = tmp_path / "begun"
    procfile.write_text(f"worker: sh -c 'echo x >> {marker}; sleep 0.1; exit 1'\n")
    processes = Processes(tmp_path / "state", {}, procfile=procfile)
    processes.start()
    stopping = threading.Event()
    thread = threading.Thread(target=supervise, args=(processes, Console(file=StringIO()), stopping))
    thread.start()
    try:
        eventually(lambda: marker.exists() and len(marker.read_text()) >= 6, what="a third start")
    finally:
        stopping.set()
        thread.join(30)
        processes.stop()
