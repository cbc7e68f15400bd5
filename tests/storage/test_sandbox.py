"""Files of strangers are read by processes that may be lost, and that can do nothing but read them."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage import media
from storage.media import Media, SandboxAway, UnusableResult, measure
from storage.sandbox import confine, pool
from storage.sandbox.places import FilePlaces, NoPlace
from storage.sandbox.pool import ChildLimits, Died, Pool
from tests.depth import examples
from tests.storage import hostile
from tests.storage.conftest import Writer
from tests.storage.samples import film, flipped, sound
from tests.storage.test_media_fuzz import SAMPLES, judged, made

ENOUGH = ChildLimits(cpu_seconds=10, memory_bytes=256 * 1024 * 1024, wait_seconds=30)
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has these locks")


@pytest.fixture(scope="module")
def probes() -> Iterator[Pool]:
    """A sandbox whose work is what `tests.storage.probes` does."""
    made = Pool("tests.storage.probes", 4, 2)
    yield made
    made.close()


@pytest.fixture
def probe(probes: Pool) -> Callable[..., object]:
    def ask(what: str, limits: ChildLimits = ENOUGH, **more: object) -> object:
        with Path(__file__).open("rb") as file:
            return probes.run("somebody", file.fileno(), {"probe": what, **more}, limits)["answer"]

    return ask


def verdict(path: Path) -> Media | UnusableResult:
    try:
        return measure(path)
    except UnusableResult as error:
        return error


@pytest.mark.parametrize("name", SAMPLES)
def test_the_sandbox_says_what_the_decoders_say(file: Writer, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(media, "_quick_picture", lambda *_: None)
    monkeypatch.setattr(media, "QUICK_TEXT_BYTES", 0)
    path = file(made(name))
    assert verdict(path) == judged(path)


@pytest.mark.parametrize("name", hostile.SMALL)
def test_a_file_that_is_much_work_ends_within_its_limits(file: Writer, name: str) -> None:
    path = file(hostile.SMALL[name]())
    before = time.process_time()
    found = verdict(path)
    assert time.process_time() - before < 2, "what is read in this process is little work"
    if isinstance(found, UnusableResult):
        assert found.code in {"result_too_large", "broken_result"}
        assert found.message


@pytest.mark.parametrize("name", ["jpeg of scans", "film of samples", "fragments of samples", "film of boxes"])
def test_parts_that_the_size_of_a_file_cannot_explain_are_refused_before_they_are_read(file: Writer, name: str) -> None:
    path = file(hostile.SMALL[name]())
    begin = time.thread_time()
    found = judged(path)
    assert isinstance(found, UnusableResult)
    assert found.code == "result_too_large"
    assert time.thread_time() - begin < 2


def test_a_child_that_takes_too_long_is_ended_and_its_file_is_too_large(
    file: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = file(hostile.mp3_of_frames(500_000))
    monkeypatch.setattr(media, "MAX_CPU_SECONDS", 1)
    found = verdict(path)
    assert isinstance(found, UnusableResult)
    assert (found.code, found.cut_off) == ("result_too_large", False)
    assert "1 seconds" in found.message


def test_work_that_takes_no_end_is_ended(probe: Callable[..., object]) -> None:
    with pytest.raises(Died) as caught:
        probe("spin", ENOUGH._replace(cpu_seconds=1))
    assert caught.value.reason == "time"


def test_memory_is_limited(probe: Callable[..., object]) -> None:
    with pytest.raises(Died) as caught:
        probe("hoard")
    assert caught.value.reason == "memory"


@pytest.mark.parametrize("what", ["crash", "killed", "silence", "flood"])
def test_a_child_that_dies_says_nothing_else_of_the_file(probe: Callable[..., object], what: str) -> None:
    with pytest.raises(Died) as caught:
        probe(what)
    assert caught.value.reason == "crash"
    assert probe("greet") == "hello", "the next file is read as ever"


def test_a_child_answers_nonsense_and_the_file_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    for nonsense in (
        {}, {"media": 1}, {"unusable": "fine", "message": "", "cut_off": False},
        {"media": {"media_type": "text/html\r\nx: y", "extension": "png", "width": 1, "height": 1, "duration_ms": None, "thumbnail": None, "moving": False}},
        {"media": {"media_type": "image/png", "extension": "../png", "width": 1, "height": 1, "duration_ms": None, "thumbnail": None, "moving": False}},
        {"media": {"media_type": "image/png", "extension": "png", "width": -1, "height": 1, "duration_ms": None, "thumbnail": None, "moving": False}},
        {"media": {"media_type": "image/png", "extension": "png", "width": 1, "height": 1, "duration_ms": None, "thumbnail": "PGh0bWw+", "moving": False}},
    ):  # fmt: skip
        with pytest.raises(UnusableResult, match="nonsense"):
            media._believed(nonsense)


@LINUX
@pytest.mark.parametrize(
    "what", ["read_secret", "write_file", "truncate_file", "listen", "connect", "run_program", "fork", "kill_parent", "look_into_parent"]
)  # fmt: skip
def test_a_child_can_do_nothing_but_read_its_file(probe: Callable[..., object], what: str, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.write_text("secret")
    assert probe(what, path=str(mine), pid=os.getpid()) == "refused"
    assert mine.read_text() == "secret"


def test_a_child_has_no_secrets_and_nothing_of_its_starters(
    probe: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_KEY", "of the house")
    pool.close()
    fresh = Pool("tests.storage.probes", 1, 1)
    try:
        with Path(__file__).open("rb") as file:
            found = fresh.run(None, file.fileno(), {"probe": "surroundings"}, ENOUGH)["answer"]
    finally:
        fresh.close()
    assert "SECRET_KEY" not in found["environment"]
    # Standard in, out and error, its file, its way to answer, and nothing of the nursery's starter.
    assert found["sockets"] == 1


@LINUX
def test_children_end_with_whoever_started_them(tmp_path: Path) -> None:
    """Even where it is killed while they are at work."""
    program = (
        "import sys, threading; sys.path.insert(0, '.')\n"
        "from storage.sandbox.pool import Pool, ChildLimits\n"
        "made = Pool('tests.storage.probes', 2, 2); file = open(sys.argv[1], 'rb')\n"
        "ask = lambda what, s: made.run(None, file.fileno(), {'probe': what}, ChildLimits(s, 1 << 28, 30))\n"
        "pid = ask('who', 10)['answer']; threading.Thread(target=ask, args=('spin', 100)).start()\n"
        "print(made._nursery.pid, flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, __file__], stdout=subprocess.PIPE, stdin=subprocess.PIPE, cwd=pool.ROOT
    ) as starter:
        assert starter.stdout is not None
        nursery = int(starter.stdout.readline())
        children = wait_for(lambda: descendants(nursery))
        starter.kill()
        wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in [nursery, *children]))


def descendants(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(each) for each in found]


def wait_for(what: Callable[[], object]) -> object:
    end = time.monotonic() + 60
    while not (found := what()):
        assert time.monotonic() < end, "it does not come"
        time.sleep(0.02)
    return found


def test_a_nursery_that_ends_is_started_again(probes: Pool, probe: Callable[..., object]) -> None:
    assert probe("greet") == "hello"
    assert probes._nursery is not None
    first = probes._nursery.pid
    os.kill(first, signal.SIGKILL)
    assert probe("greet") == "hello"
    assert probes._nursery.pid != first


@LINUX
def test_what_ends_nurseries_is_not_tried_for_ever(probes: Pool, probe: Callable[..., object]) -> None:
    """A file in whose company the nursery is killed, each time: by a machine without memory, say."""
    failed: list[BaseException] = []

    def ask() -> None:
        try:
            probe("spin", ENOUGH._replace(cpu_seconds=60))
        except Died as error:
            failed.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    killed, children = set[int](), list[int]()

    def at_work() -> int | None:
        """The nursery that has the file now, unless it was killed already."""
        pid = getattr(probes._nursery, "pid", None)
        return pid if pid and pid not in killed and Path(f"/proc/{pid}").exists() and descendants(pid) else None

    for _ in range(pool.TRIES):
        pid = wait_for(at_work)
        assert isinstance(pid, int)
        killed.add(pid)
        children += descendants(pid)
        os.kill(pid, signal.SIGKILL)
    thread.join()
    assert [type(each) for each in failed] == [Died]
    wait_for(lambda: not any(Path(f"/proc/{each}").exists() for each in children))


@LINUX
def test_a_child_whose_nursery_ends_while_it_is_made_reads_nothing() -> None:
    """It would be tied to nobody, and its file would have a place until the child's time is over."""
    made = Pool("tests.storage.orphans", 1, 1)
    failed: list[BaseException] = []

    def ask() -> None:
        try:
            with Path(__file__).open("rb") as file:
                made.run(None, file.fileno(), {"probe": "spin"}, ENOUGH._replace(cpu_seconds=60))
        except Died as error:
            failed.append(error)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    children = list[int]()
    try:
        for _ in range(pool.TRIES):
            nursery = wait_for(lambda: made._nursery)
            assert isinstance(nursery, pool._Nursery)
            children += wait_for(partial(descendants, nursery.pid))
            os.kill(nursery.pid, signal.SIGKILL)
            wait_for(lambda ended=nursery: made._nursery is not ended)
        thread.join(60)
        assert [type(each) for each in failed] == [Died]
        wait_for(lambda: not any(Path(f"/proc/{each}").exists() for each in children))
    finally:
        for each in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(each, signal.SIGKILL)
        made.close()


def test_a_sandbox_that_cannot_be_started_is_no_fault_of_the_file(
    file: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "NURSERY", Path("/nowhere/nursery.py"))
    monkeypatch.setattr(pool, "_pools", {})
    with pytest.raises(SandboxAway):
        measure(file(sound("wav", "pcm_s16le", seconds=1)))
    for each in pool._pools.values():
        each.close()


def test_an_account_has_no_more_than_its_share_while_others_wait() -> None:
    places = FilePlaces(4, 2)
    with places.one("a", 0), places.one("a", 0):
        with pytest.raises(NoPlace), places.one("a", 0):
            pass
        with places.one("b", 0):
            with pytest.raises(NoPlace), places.one("b", 0):
                pass  # the last one is for who has none
            with places.one("c", 0), pytest.raises(NoPlace), places.one("d", 0):
                pass
    with places.one("a", 0), places.one("a", 0):
        pass


def test_a_free_place_is_given_to_who_has_least() -> None:
    places, order = FilePlaces(2, 2), list[str]()

    def wait(account: str) -> None:
        with places.one(account, 30):
            order.append(account)

    with places.one("a", 0):
        with places.one("b", 0):
            waiting = []
            for account in ("a", "a", "c"):  # c came last, and has nothing yet
                waiting.append(threading.Thread(target=wait, args=(account,)))
                waiting[-1].start()
                wait_for(lambda: len(places._waiting) == len(waiting))
        wait_for(lambda: order)
    for thread in waiting:
        thread.join()
    assert order == ["c", "a", "a"]


def test_one_place_is_given_in_turns() -> None:
    """However many one account has in the queue, and however early they came."""
    places, order = FilePlaces(1, 1), list[str]()

    def wait(account: str) -> None:
        with places.one(account, 30):
            order.append(account)

    with places.one("a", 0):
        waiting = []
        for account in ("a", "a", "a", "b"):
            waiting.append(threading.Thread(target=wait, args=(account,)))
            waiting[-1].start()
            wait_for(lambda: len(places._waiting) == len(waiting))
    for thread in waiting:
        thread.join()
    assert order == ["b", "a", "a", "a"]


def test_a_machine_without_processes_is_no_fault_of_the_file() -> None:
    with pytest.raises(SandboxAway):
        pool._verdict(b'\n{"away": true}', 10)
    with pytest.raises(SandboxAway):
        pool._verdict(b'\n{"ended": -9, "late": true, "cpu": 4.9}', 10)
    with pytest.raises(Died, match="time"):
        pool._verdict(b'\n{"ended": -9, "late": true, "cpu": 5.0}', 10)


def test_an_account_whose_files_hold_up_its_line_does_not_wait_in_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of those who wait holds a thread of a worker's."""
    monkeypatch.setattr("storage.sandbox.places.SLOW_SECONDS", 0.0)
    places = FilePlaces(2, 1)

    def wait() -> None:
        with places.one("a", 30):
            pass

    with places.one("a", 0):
        first = threading.Thread(target=wait)
        first.start()
        wait_for(lambda: len(places._waiting) == 1)
        begin = time.monotonic()
        with pytest.raises(NoPlace), places.one("a", 30):
            pass
        assert time.monotonic() - begin < 10
        with places.one("b", 0):
            pass
    first.join()


def test_a_large_picture_takes_its_turn_and_is_read(file: Writer) -> None:
    found = verdict(file(hostile.flat("JPEG")))
    assert isinstance(found, Media)
    assert (found.width, found.height) == (7000, 7000)
    found = verdict(file(film(frames=2, size=(2560, 1440))))
    assert isinstance(found, Media)
    assert found.width == 2560


@given(name=st.sampled_from(sorted(SAMPLES)), seed=st.integers(0, 1000), head=st.booleans())
@settings(
    max_examples=examples(40),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
def test_wrong_bits_are_read_alike_in_the_sandbox(file: Writer, name: str, seed: int, head: bool) -> None:
    data = made(name)
    path = file(flipped(data[:200], seed, 3) + data[200:] if head else flipped(data, seed, 3))
    assert same(verdict(path), judged(path))


def same(one: Media | UnusableResult, other: Media | UnusableResult) -> bool:
    if isinstance(one, UnusableResult) and isinstance(other, UnusableResult):
        return one.code == other.code
    return one == other


def test_the_locks_are_told() -> None:
    made = Pool("tests.storage.probes", 1, 1)
    try:
        assert set(made.locks()) <= {"network", "calls"}
        assert ("calls" in made.locks()) == confine.knows_calls()
    finally:
        made.close()
