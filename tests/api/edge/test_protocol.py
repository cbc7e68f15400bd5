"""What one stranger can do before anything is known of them: bytes without end, and connections without a word."""

import resource
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import httpx
import pytest
import redis

from api.edge.door import Door, Room, room_of
from api.edge.pace import Pace
from cli.embedded.processes import ROOT
from cli.embedded.servers import Addresses
from common.peers import peer_of, plain
from common.settings import Settings
from tests.conftest import environment, fresh_database, new_system
from tests.strangers import CHUNKED, REQUEST, Stranger, crowd, memory_mb
from tests.support import System, account, eventually, key_of, model, status

ROOM_MB = 20  # that a process may have grown by before it is attacked again
GROWTH_MB = 100  # each attack here sends a tenth of what the did
SHORT = {"HEADER_SECONDS": "1", "BODY_SECONDS": "1", "IDLE_SECONDS": "2"}
ELSEWHERE = "127.0.0.9"  # where strangers come from: others at their own address would share their pace
LATE = 2.0  # seconds: others are served long before; the machine may be busy


@pytest.fixture(scope="module")
def shared(stack: Addresses, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[System, float]]:
    """One system for the tests that leave nothing behind but a process that has seen much: each start costs seconds."""
    folder = tmp_path_factory.mktemp("shared")
    with fresh_database(stack), new_system(folder / "sketch.db", folder / "state") as system:
        model("slow", options={"pending": True, "ready_seconds": 60})
        system.start("api")
        yield system, memory_mb(system.processes.pid("api"))


@pytest.fixture
def api(shared: tuple[System, float], stack: Addresses) -> System:
    """An API process that holds hardly more memory than a new one, or what an attack costs would find room in it; and
    that remembers nobody's refusals.
    """
    system, fresh_mb = shared
    with redis.Redis.from_url(stack.redis_url) as client:
        client.flushall()
    if memory_mb(system.processes.pid("api")) - fresh_mb > ROOM_MB:
        system.processes.stop("api")
        system.start("api")
    return system


@contextmanager
def attacked(system: System) -> Iterator[None]:
    """For the time of an attack others are served, and afterwards the process has as much memory as before."""
    pid = system.processes.pid("api")
    port = httpx.URL(system.url).port
    httpx.get(f"{system.url}/healthz")
    before, peaks, slowest = memory_mb(pid), [memory_mb(pid)], [0.0]
    over = threading.Event()

    def look() -> None:
        while True:
            begun = time.monotonic()
            assert status(f"http://127.0.0.1:{port}/healthz", seconds=30) == 200
            slowest.append(time.monotonic() - begun)
            peaks.append(memory_mb(pid))
            if over.wait(0.02):
                return

    with ThreadPoolExecutor(1) as pool:
        looking = pool.submit(look)
        try:
            yield
        finally:
            over.set()
        looking.result()
    print(f"{before:.0f} MB before, {max(peaks):.0f} at most, /healthz in {max(slowest):.3f} s at most")
    assert max(peaks) - before < GROWTH_MB
    assert max(slowest) < LATE


def port_of(system: System) -> int:
    port = httpx.URL(system.url).port
    assert port is not None
    return port


@pytest.mark.parametrize("read", [False, True], ids=["answers unread", "answers read"])
def test_a_flood_of_pipelined_requests_costs_no_memory(api: System, read: bool) -> None:
    with attacked(api), Stranger(port_of(api), source=ELSEWHERE) as stranger:
        stranger.pour(REQUEST, 8_000_000, seconds=5, read=read)


# How each begins, goes on, and is answered: 401 or 400, whichever comes first, where the flood is behind a head.
FLOODS = {
    "a header without end": (b"GET / HTTP/1.1\r\nHost: x\r\na: ", b"b" * 1024, b"431"),
    "headers without end": (b"GET / HTTP/1.1\r\nHost: x\r\n", b"a:b\r\n", b"431"),
    "an address without end": (b"GET /", b"b" * 1024, b"431"),
    "a method without end": (b"", b"G" * 1024, b"400"),
    "trailers without end": (CHUNKED + b"0\r\n", b"a:b\r\n", b"40"),
    "a trailer without end": (CHUNKED + b"0\r\na: ", b"b" * 1024, b"40"),
    "an extension without end": (CHUNKED + b"1;", b"b" * 1024, b"40"),
    "chunks of one byte": (CHUNKED, b"1\r\nx\r\n", b"40"),
    "a body without end": (CHUNKED, b"400\r\n" + b"x" * 1024 + b"\r\n", b"401"),
    "blank lines": (b"", b"\r\n" * 512, b""),
}


@pytest.mark.parametrize("what", FLOODS)
def test_a_request_without_end_costs_no_memory_and_is_refused(api: System, what: str) -> None:
    begin, piece, status = FLOODS[what]
    with attacked(api), Stranger(port_of(api), source=ELSEWHERE) as stranger:
        stranger.say(begin)
        sent = stranger.pour(piece, 64_000_000, seconds=8)
        heard = stranger.hear(30) if status else b""
        assert sent < 64_000_000 or not status, "it is cut off"
    if heard:  # where the line was cut while we still sent, the answer may be lost
        assert heard.startswith(b"HTTP/1.1 " + status), heard[:200]


def test_a_refusal_is_a_problem_like_any_other_with_the_same_headers(api: System) -> None:
    with Stranger(port_of(api)) as stranger:
        stranger.say(b"GET / HTTP/1.1\r\n" + b"".join(b"h%d: x\r\n" % n for n in range(200)) + b"\r\n")
        heard = stranger.hear()
    head, _, body = heard.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 431 ")
    for header in (b"content-type: application/problem+json", b"x-content-type-options: nosniff", b"connection: close"):
        assert header in head
    assert b'"code":"headers_too_large"' in body


def test_refusals_leave_nothing_behind(system: System) -> None:
    """Each once cost what its connection had sent for ever: the exception that it was told by kept it."""
    system.start("api", api={"STRANGERS_PER_SECOND": "100000"})
    floods = [FLOODS["headers without end"], FLOODS["chunks of one byte"], (b"", b"GET / HTTP/1.1\r\n\r\n")]
    pid = system.processes.pid("api")

    def once(number: int) -> None:
        begin, piece = floods[number % 3][:2]
        with Stranger(port_of(system)) as stranger:
            stranger.say(begin)
            stranger.pour(piece, 250_000, seconds=5)
            with suppress(OSError):
                stranger.hear()

    with ThreadPoolExecutor(4) as several:
        list(several.map(once, range(30)))
        before = memory_mb(pid)
        list(several.map(once, range(300)))
    assert memory_mb(pid) - before < 20


def test_trailers_do_not_pass_for_headers(api: System) -> None:
    key = key_of(account(amount=5))
    body = b"0\r\nauthorization: Bearer " + key.encode() + b"\r\n\r\n"
    with Stranger(port_of(api)) as stranger:
        stranger.say(CHUNKED + body)
        assert stranger.hear_until(b"\r\n\r\n").startswith(b"HTTP/1.1 401 ")


def test_requests_that_come_together_are_all_answered_in_their_order(api: System) -> None:
    paths = [f"/v1/models/none{n}" for n in range(20)] + ["/healthz"] * 20
    with Stranger(port_of(api)) as stranger:
        stranger.say(b"".join(f"GET {path} HTTP/1.1\r\nHost: {'x' * 50}\r\n\r\n".encode() for path in paths))
        heard = b""
        while heard.count(b"HTTP/1.1 ") < len(paths) or not heard.endswith(b"}"):
            heard += stranger.hear_until(b"}")
    assert [f"none{n}'" in part for n, part in enumerate(heard.decode().split("HTTP/1.1 404")[1:])] == [True] * 20
    assert heard.count(b"HTTP/1.1 200 OK") == 20


def test_what_follows_a_wish_for_another_protocol_is_not_taken_for_a_request(api: System) -> None:
    """Between a proxy and us it would be somebody else's next request on the same connection."""
    hidden = b"GET /v1/models/hidden HTTP/1.1\r\nHost: x\r\n\r\n"
    head = b"POST /v1/models HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: h2c\r\nContent-Length: %d\r\n\r\n"
    with Stranger(port_of(api)) as stranger:
        stranger.say(head % len(hidden))
        time.sleep(0.2)  # in a packet of its own, as a proxy may send it
        stranger.say(hidden)
        heard = stranger.hear()
    assert heard.startswith(b"HTTP/1.1 405 ")
    assert heard.count(b"HTTP/1.1 ") == 1


def test_after_the_last_request_nothing_more_is_read(api: System) -> None:
    with Stranger(port_of(api)) as stranger:
        stranger.say(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" + REQUEST)
        heard = stranger.hear()
    assert heard.count(b"HTTP/1.1 ") == 1


# Time


def test_who_asks_nothing_half_or_never_to_the_end_is_let_go(system: System) -> None:
    system.start("api", api=SHORT)
    port = port_of(system)
    half_head, half_body = REQUEST[:20], b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\n{"
    said = {b"": b"", b"\r\n": b"", half_head: b"HTTP/1.1 408", half_body: b"HTTP/1.1 401"}
    with ExitStack() as stack:
        strangers = {say: stack.enter_context(Stranger(port)) for say in said}
        for say, stranger in strangers.items():
            stranger.say(say)
        for say, stranger in strangers.items():
            assert stranger.hear(15).startswith(said[say]), say
        idle = stack.enter_context(Stranger(port))
        idle.say(REQUEST)
        assert idle.hear(15).startswith(b"HTTP/1.1 404"), (
            "one that was answered may rest for a while, and is closed then"
        )


@pytest.mark.parametrize(("begin", "drip"), [
    (b"GET / HTTP/1.1\r\na:", b"b"), (b"", b"\r\n"), (CHUNKED + b"1000\r\n", b"x"), (CHUNKED + b"0\r\n", b"a:b\r\n"),
], ids=["head", "nothing", "body", "trailers"])  # fmt: skip
def test_who_sends_one_byte_now_and_then_is_let_go_as_well(system: System, begin: bytes, drip: bytes) -> None:
    system.start("api", api=SHORT)
    with Stranger(port_of(system)) as stranger:
        stranger.say(begin)

        def dripped() -> bool:
            try:
                stranger.say(drip)
            except OSError:
                return True
            return False

        eventually(dripped, seconds=15, what="the end of a connection")


def test_a_body_of_a_tenant_that_does_not_come_is_a_408(system: System) -> None:
    system.start("api", api=SHORT)
    key = key_of(account(amount=5))
    head = f"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Length: 50\r\n\r\n"
    with Stranger(port_of(system)) as stranger:
        stranger.say(head.encode() + b"{")
        assert stranger.hear(15).startswith(b"HTTP/1.1 408 ")
    assert "Traceback" not in system.processes.log("api").read_text()


def test_who_takes_no_answers_is_let_go(system: System) -> None:
    system.start("api", api={**SHORT, "SLOW_READER_SECONDS": "0.5"})
    with Stranger(port_of(system)) as stranger:
        stranger.say(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 200)  # more than the line's buffers hold
        eventually(lambda: not stranger.is_connected(), seconds=30, what="the end of the connection")
    assert httpx.get(f"{system.url}/healthz").status_code == 200


def test_who_waits_for_us_is_not_idle(system: System) -> None:
    """A stream of events and a wait for a job's end are longer than every time-out."""
    model("slow", options={"pending": True, "ready_seconds": 60})
    system.start("api", api={**SHORT, "HEARTBEAT_SECONDS": "1"})
    key = key_of(account(amount=5))
    body = b'{"model":"slow","input":{}}'
    order = f"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nPrefer: wait=5\r\nContent-Length: {len(body)}\r\n\r\n"
    listen = f"GET /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nAccept: text/event-stream\r\n\r\n"
    with Stranger(port_of(system)) as stream, Stranger(port_of(system)) as waiting:
        stream.say(listen.encode())
        stream.hear_until(b"event: balance")
        begun = time.monotonic()
        waiting.say(order.encode() + body)
        assert waiting.hear_until(b"\r\n\r\n").startswith(b"HTTP/1.1 201 ")
        assert time.monotonic() - begun > 4
        for _ in range(3):
            stream.hear_until(b":\n\n")


def test_a_stream_with_a_request_behind_it_ends_with_its_client(system: System) -> None:
    """One stream is all that an account may have here: one that outlived its client would be in the way."""
    system.start("api", api={"LISTENERS_PER_ACCOUNT": "1", "HEARTBEAT_SECONDS": "0.2"})
    key = key_of(account(amount=5))
    listen = f"GET /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nAccept: text/event-stream\r\n\r\n"
    with Stranger(port_of(system)) as stream:
        stream.say(listen.encode() + REQUEST)
        stream.hear_until(b"event: balance")

    def free() -> bool:
        with Stranger(port_of(system)) as other:
            other.say(listen.encode())
            return other.hear_until(b"\r\n\r\n").startswith(b"HTTP/1.1 200 ")

    eventually(free, what="a place for another stream")


# Numbers


def test_an_address_has_only_so_many_connections_and_the_others_come_in(system: System) -> None:
    system.start("api", api={"CONNECTIONS_PER_ADDRESS": "20", "STRANGERS_PER_SECOND": "100000"})
    port = port_of(system)
    with crowd(port, 40, source="127.0.0.2") as strangers:
        eventually(lambda: sum(each.is_open() for each in strangers) <= 20, what="the end of too many")
        assert sum(each.is_open() for each in strangers) == 20
        heard = strangers[-1].hear()
        assert not heard or heard.startswith(b"HTTP/1.1 429 ")
        assert httpx.get(f"{system.url}/healthz").status_code == 200

    def again() -> bool:
        with Stranger(port, source="127.0.0.2") as stranger:
            stranger.say(REQUEST)
            return stranger.hear_until(b"\r\n\r\n").startswith(b"HTTP/1.1 404 ")

    eventually(again, what="a place for the address")


@pytest.fixture
def poor(system: System, tmp_path: Path) -> System:
    """An API process that may open 1,024 descriptors and no more."""
    procfile = tmp_path / "Procfile"
    text = (ROOT / "Procfile").read_text()
    procfile.write_text(text.replace("api: python", f"api: prlimit --nofile=1024:1024 {sys.executable}"))
    system.processes = type(system.processes)(tmp_path / "poor", system.processes._environment, procfile=procfile)
    return system


@pytest.mark.skipif(
    resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 3000, reason="this machine allows too few descriptors"
)
@pytest.mark.parametrize("sources", [1, 8], ids=["of one address", "of eight addresses"])
def test_more_idle_connections_than_descriptors_shut_nobody_out(poor: System, sources: int) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (3000, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    poor.start("api", api={"CONNECTIONS_PER_ADDRESS": "5000"})
    key = key_of(account(amount=5))
    try:
        with ExitStack() as stack:
            for number in range(sources):
                stack.enter_context(crowd(port_of(poor), 1100 // sources + 1, source=f"127.0.0.{number + 2}"))
            for _ in range(5):
                with httpx.Client(base_url=poor.url, headers={"authorization": f"Bearer {key}"}, timeout=10) as client:
                    assert client.get("/readyz").status_code == 200
                    assert client.post(
                        "/v1/quotes", json={"model": "sketch-image", "input": {"prompt": "a"}}
                    ).is_success
    finally:
        poor.stop()
    log = poor.processes.log("api").read_text()
    assert "1024 descriptors" in log
    assert "Too many open files" not in log


def test_the_limit_of_descriptors_is_raised_and_told(system: System, tmp_path: Path) -> None:
    procfile = tmp_path / "Procfile"
    text = (ROOT / "Procfile").read_text()
    procfile.write_text(text.replace("api: python", f"api: prlimit --nofile=300:2000 {sys.executable}"))
    system.processes = type(system.processes)(tmp_path / "other", system.processes._environment, procfile=procfile)
    system.start("api")
    pid = system.processes.pid("api")
    assert resource.prlimit(pid, resource.RLIMIT_NOFILE) == (2000, 2000)
    system.stop()
    assert "2000 descriptors" in system.processes.log("api").read_text()


def test_descriptors_are_divided_so_that_something_is_left_for_us() -> None:
    for descriptors in (64, 256, 1024, 4096, 20_000, 1_048_576):
        room = room_of(descriptors, most=20_000, each=256)
        assert room.most + room.backlog < descriptors, room
        assert room.each <= max(1, room.most // 4), room
    assert room_of(1024, most=20_000, each=256) == Room(1024, 768, 192, 128)
    assert room_of(1_048_576, most=20_000, each=256) == Room(1_048_576, 20_000, 256, 2048)


def test_one_stranger_is_an_address_or_a_subscribers_network() -> None:
    assert peer_of("192.0.2.7") == peer_of("::ffff:192.0.2.7") != peer_of("192.0.2.8")
    assert peer_of("2001:db8::1") == peer_of("2001:db8:0:0:ffff::9%eth0") != peer_of("2001:db8:0:1::1")
    assert peer_of("unknown") == "unknown"
    assert [plain(each) for each in ("::ffff:192.0.2.7", "2001:DB8::1", "x")] == ["192.0.2.7", "2001:db8::1", "x"]


class Guest:
    def __init__(self) -> None:
        self.out = False
        self.checked = 0

    def check(self, now: float) -> None:
        self.checked += 1

    def make_room(self) -> None:
        self.out = True


def test_where_all_is_full_the_one_that_has_rested_longest_makes_room() -> None:
    door = Door(Room(100, 3, 3, 16), Pace(400))
    first, busy, last = (Guest() for _ in range(3))
    for number, each in enumerate((busy, first, last)):
        assert door.enter(each, f"10.0.0.{number}") is None
    door.works(busy)
    assert door.enter(Guest(), "10.0.0.9") is None
    assert (first.out, busy.out, last.out, len(door)) == (True, False, False, 3)
    door.works(last)
    assert door.enter(Guest(), "10.0.0.8") is None, "the newest rests as well"


def test_every_connection_is_looked_at_within_a_second_and_few_at_once() -> None:
    door = Door(Room(100_000, 20_000, 20_000, 16), Pace(400))
    guests = [Guest() for _ in range(20_000)]
    for guest in guests:
        door.enter(guest, "10.0.0.1")
    counts = []
    for _ in range(10):
        door.sweep(1.0)
        counts.append(sum(guest.checked for guest in guests))
    assert counts[0] == 2000
    assert all(guest.checked == 1 for guest in guests)


def test_who_works_is_never_thrown_out() -> None:
    door = Door(Room(100, 2, 2, 16), Pace(400))
    for number in range(2):
        guest = Guest()
        assert door.enter(guest, f"10.0.0.{number}") is None
        door.works(guest)
    assert door.enter(Guest(), "10.0.0.9") is not None


# Through a proxy


def test_only_a_listed_proxy_says_for_whom_it_asks(system: System) -> None:
    system.start("api", api={"TRUSTED_PROXIES": "127.0.0.2", "FAILED_AUTH_PER_MINUTE": "2"})

    def asked(source: str, forwarded: str) -> int:
        with Stranger(port_of(system), source=source) as stranger:
            stranger.say(
                f"GET /v1/credits HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer x\r\nX-Forwarded-For: {forwarded}\r\n\r\n".encode()
            )
            return int(stranger.hear_until(b"\r\n\r\n")[9:12])

    assert [asked("127.0.0.2", f"192.0.2.{n}") for n in range(4)] == [401] * 4, "four strangers"
    assert [asked("127.0.0.3", f"192.0.2.{n}") for n in range(10, 14)] == [401, 401, 429, 429], (
        "one, who says to be four"
    )
    assert [asked("127.0.0.2", "192.0.2.99, 192.0.2.50") for n in range(3)] == [401, 401, 429]
    assert asked("127.0.0.2", "192.0.2.50, 192.0.2.51") == 401, "the last one is whom the proxy saw"


def test_one_address_behind_a_proxy_has_only_so_many_requests_under_way(system: System) -> None:
    system.start("api", api={"TRUSTED_PROXIES": "127.0.0.2/32", "CONNECTIONS_PER_ADDRESS": "3"})
    key = key_of(account(amount=5))

    def listen(address: str, stack: ExitStack) -> int:
        stream = stack.enter_context(Stranger(port_of(system), source="127.0.0.2"))
        stream.say(
            f"GET /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nAccept: text/event-stream\r\n"
            f"X-Forwarded-For: {address}\r\n\r\n".encode()
        )
        return int(stream.hear_until(b"\r\n\r\n")[9:12])

    with ExitStack() as stack:
        assert [listen("2001:db8::1", stack) for _ in range(2)] + [listen("2001:db8::2", stack)] == [200] * 3
        assert listen("2001:db8::3", stack) == 429, "it is the same subscriber's"
        assert listen("2001:db8:0:1::1", stack) == 200
    with ExitStack() as stack:
        eventually(lambda: listen("2001:db8::1", stack) == 200, what="a place")


@pytest.mark.parametrize("wrong", ["proxy.example.com", "*", "0.0.0.0/0", "::/0", "10.0.0.1/8"])
def test_a_list_of_proxies_that_says_nothing_or_everything_is_refused(wrong: str) -> None:
    with environment({"TRUSTED_PROXIES": wrong}), pytest.raises(ValueError, match="TRUSTED_PROXIES"):
        Settings(_env_file=None)
    with environment({"TRUSTED_PROXIES": "10.0.0.1, 2001:db8::/64"}):
        assert Settings(_env_file=None).trusted_proxies == ("10.0.0.1", "2001:db8::/64")
