"""No address that a user gives leads into our own network, nor holds a worker for longer or fills more than it may."""

import gzip
import resource
import ssl
import time
import tracemalloc
import zlib
from pathlib import Path

import httpcore
import pytest

from common.guard import AddressRefused, check, open_url
from tests.common.far import certificate, dripping, far, moved, ok

PUBLIC = "93.184.216.34"


def refusal(url: str, **options: object) -> AddressRefused:
    options = {"max_bytes": 1000, "seconds": 5, "resolve": lambda _host, _port: [PUBLIC], **options}
    with pytest.raises(AddressRefused) as caught, open_url(url, **options) as answer:
        answer.read()
    return caught.value


@pytest.mark.parametrize("host", [
    # as they are usually written
    "127.0.0.1", "127.8.8.8", "0.0.0.0", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1",
    "169.254.1.1", "192.0.0.8", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "240.0.0.1",
    "255.255.255.255", "192.88.99.1",
    # clouds tell their machines secrets there
    "169.254.169.254", "169.254.170.2", "100.100.100.200", "168.63.129.16", "[fd00:ec2::254]", "metadata.google.internal",
    "metadata", "instance-data", "metadata.google.internal.",
    # in other spellings
    "2130706433", "017700000001", "0x7f000001", "0x7f.1", "0x7f.0.0.1", "0177.0.0.1", "0177.1", "127.1", "127.0.1",
    "010.0.0.1", "127.0.0.1.", "0", "0x", "0x0", "2852039166", "0xa9fea9fe", "0251.0376.0251.0376", "1.2.3.4.5", "08.8.8.8",
    "256.1.1.1", "8.8.8", "134744072", "4294967297", "①②⑦.⓪.⓪.①", "127。0。0。1", "１２７.0.0.1",
    # IPv6
    "[::1]", "[::]", "[fe80::1]", "[fc00::1]", "[fd12:3456::1]", "[ff02::1]", "[2001:db8::1]", "[fec0::1]", "[100::1]",
    "[3fff::1]", "[2001:2::1]", "[5f00::1]", "[0:0:0:0:0:0:0:1]", "[fe80::1%25eth0]",
    # IPv4 inside IPv6: mapped, compatible, NAT64, 6to4, Teredo, ISATAP
    "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:ffff:a9fe:a9fe]", "[::127.0.0.1]", "[::ffff:0:127.0.0.1]",
    "[64:ff9b::127.0.0.1]", "[64:ff9b::a9fe:a9fe]", "[64:ff9b:1::1]", "[2002:7f00:1::]", "[2002:a9fe:a9fe::1]",
    "[2001:0:7f00:1::1]", "[2001:0:808:808::80ff:fffe]", "[2001:0:808:808::f7f7:f7f7]", "[2600::5efe:a9fe:a9fe]",
    # names of this machine and this network
    "localhost", "LOCALHOST", "localhost.", "app.localhost", "printer.local", "db.internal", "redis", "postgres",
    "host.docker.internal", "router.home.arpa", "nas.lan", "ｌocalhost", "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ",
    # no names at all
    "", ".", "..", "a..b.com", "-a.com", "a%2ecom", "127%2e0%2e0%2e1", "exa mple.com", "a" * 64 + ".com", "[::1", "[v1.x]", "a_b!.com",
])  # fmt: skip
def test_what_is_not_public_is_refused_without_asking_anybody(host: str) -> None:
    def resolve(_host: str, _port: int) -> list[str]:
        raise AssertionError("nobody is to be asked")

    for url in (f"http://{host}/", f"https://{host}:8443/x?y"):
        with pytest.raises(AddressRefused) as caught:
            check(url)
        assert caught.value.code == "refused_address"
        assert not caught.value.retryable
        assert refusal(url, resolve=resolve).code == "refused_address"


@pytest.mark.parametrize("url", [
    "ftp://example.com/", "file:///etc/passwd", "gopher://example.com/", "data:text/plain,x", "javascript:alert(1)",
    "//example.com/", "/etc/passwd", "example.com", "http:/example.com", "http:example.com", "http:///etc", "",
    "http://user@example.com/", "http://user:secret@example.com/", "http://:@example.com/", "http://@example.com/",
    "http://example.com@127.0.0.1/", "http://127.0.0.1#@example.com/", "http://example.com\\@127.0.0.1/",
    "http://example.com:22/", "http://example.com:25/", "http://example.com:0/", "http://example.com:99999/",
    "http://example.com:8o/", "http://example.com:-1/", " http://example.com/", "http://example.com/\r\nHost: x",
    "http://example.com/\n", "http://exam\tple.com/", "http://example.com/" + "x" * 9000, "http://[::ffff:8.8.8.8]@x/",
    "http://example.com/\ud800", "http://ex\ud800.com/",
])  # fmt: skip
def test_odd_urls_are_refused(url: str) -> None:
    with pytest.raises(AddressRefused) as caught:
        check(url)
    assert caught.value.code == "refused_address"
    assert "secret" not in caught.value.message


@pytest.mark.parametrize(("url", "seen"), [
    ("http://example.com", "http://example.com/"), ("HTTPS://Example.COM./a b".replace(" ", "%20"), "https://example.com/a%20b"),
    ("http://example.com:8080/x?a=1&b=%2F#part", "http://example.com:8080/x?a=1&b=%2F"),
    ("https://example.com:443/", "https://example.com/"), ("http://bücher.example/ü", "http://xn--bcher-kva.example/%C3%BC"),
    ("http://8.8.8.8/", "http://8.8.8.8/"), ("http://[2606:4700::1111]/", "http://[2606:4700::1111]/"),
    ("http://[64:ff9b::8.8.8.8]/", "http://[64:ff9b::808:808]/"), ("http://[::ffff:8.8.8.8]:8080/", "http://[::ffff:808:808]:8080/"),
    ("http://a-1_b.example.com/", "http://a-1_b.example.com/"),
])  # fmt: skip
def test_public_urls_pass_in_their_usual_spelling(url: str, seen: str) -> None:
    found = check(url).url
    assert found.replace("::ffff:8.8.8.8", "::ffff:808:808") == seen  # newer Pythons write mapped ones with dots


@pytest.mark.parametrize("found", [
    ["127.0.0.1"], [PUBLIC, "10.0.0.1"], ["10.0.0.1", PUBLIC], [PUBLIC, "::1"], ["169.254.169.254"], ["fe80::1%eth0"],
    ["::ffff:10.0.0.1"], ["64:ff9b::a00:1"], ["0.0.0.0"], ["not an address"],
])  # fmt: skip
def test_a_name_with_one_private_address_is_refused_in_the_words_for_a_name_that_is_not_there(found: list[str]) -> None:
    """Whoever may name addresses must not learn which names there are inside."""

    def nobody(_host: str, _port: int) -> list[str]:
        raise OSError("Name or service not known")

    inside = refusal("http://photos.example/", resolve=lambda _host, _port: found)
    nowhere = [refusal("http://photos.example/", resolve=each) for each in (nobody, lambda _host, _port: [])]
    assert {(each.code, each.message, each.retryable) for each in nowhere} == {
        (inside.code, inside.message, inside.retryable)
    }
    assert inside.code == "unreachable"
    assert not any(word in inside.message for word in (*found, "photos")), "what lies inside is not told"


@pytest.fixture
def connected(monkeypatch: pytest.MonkeyPatch):
    """Every connection goes to a local server instead; gives the addresses that were meant."""
    meant: list[tuple[str, int]] = []
    real = httpcore.SyncBackend.connect_tcp
    servers: list[int] = []

    def connect(self, host, port, timeout=None, local_address=None, socket_options=None):
        meant.append((host, port))
        return real(self, "127.0.0.1", servers[-1], timeout, local_address, socket_options)

    monkeypatch.setattr(httpcore.SyncBackend, "connect_tcp", connect)
    return meant, servers


def test_the_checked_address_is_the_one_connected_to(connected) -> None:
    """DNS rebinding: the name is public when it is checked and private a moment later. It is asked once."""
    meant, servers = connected
    answers = iter([[PUBLIC], ["127.0.0.1"]])
    with far(ok(b"hello")) as server:
        servers.append(server.port)
        with open_url(
            "http://photos.example/a?b", max_bytes=10, seconds=5, resolve=lambda _host, _port: next(answers)
        ) as answer:
            assert (answer.status, answer.read()) == (200, b"hello")
    assert meant == [(PUBLIC, 80)]
    assert next(answers) == ["127.0.0.1"], "it was not asked again"
    assert "host: photos.example\r\n" in server.heads[0].lower() + "\r\n"
    assert server.heads[0].startswith("GET /a?b HTTP/1.1")


def test_tls_is_spoken_with_the_name_and_not_with_the_address(connected, tmp_path: Path) -> None:
    meant, servers = connected
    theirs, ours = certificate(tmp_path, "photos.example")
    named: list[str | None] = []
    theirs.sni_callback = lambda _socket, name, _context: named.append(name)
    with far(ok(b"hello"), theirs) as server:
        servers.append(server.port)
        options = {"max_bytes": 10, "seconds": 5, "resolve": lambda _host, _port: [PUBLIC]}
        with open_url("https://photos.example/", tls=ours, **options) as answer:
            assert answer.read() == b"hello"
        with (
            pytest.raises(AddressRefused, match="certificate") as caught,
            open_url("https://photos.example/", **options),
        ):
            pass
        assert caught.value.code == "unreachable"
        with pytest.raises(AddressRefused), open_url("https://other.example/", tls=ours, **options):
            pass
    assert named == ["photos.example", "photos.example", "other.example"]
    assert meant == [(PUBLIC, 443)] * 3
    assert isinstance(ours, ssl.SSLContext)


def test_a_host_is_tried_at_its_other_addresses(connected) -> None:
    meant, servers = connected
    with far(ok(b"hello")) as server:
        servers.append(server.port)
        found = iter([httpcore.ConnectError("refused")])
        real = httpcore.SyncBackend.connect_tcp

        def connect(self, host, *rest):
            for error in found:
                meant.append((host, 0))
                raise error
            return real(self, host, *rest)

        httpcore.SyncBackend.connect_tcp = connect
        with open_url(
            "http://photos.example/", max_bytes=9, seconds=5, resolve=lambda _host, _port: ["2606:4700::1", PUBLIC]
        ) as answer:
            answer.read()
    assert meant == [("2606:4700::1", 0), (PUBLIC, 80)]


@pytest.mark.parametrize("place", [
    "http://127.0.0.1:1/", "http://169.254.169.254/latest/meta-data/", "http://2130706433/", "http://localhost/",
    "//10.0.0.1/", "file:///etc/passwd", "http://user:secret@example.com/", "http://[::1]/", "http://inside.example/",
    "http://[::bad/", "http://inside.example:99999/",
])  # fmt: skip
def test_a_redirect_to_what_is_not_public_is_refused(place: str) -> None:
    def resolve(host: str, _port: int) -> list[str]:
        return ["10.1.2.3"] if host == "inside.example" else [PUBLIC]

    with far(moved(place)) as server:
        refused = "unreachable" if place == "http://inside.example/" else "refused_address"
        assert refusal(server.url + "/a", allow=[server.place], resolve=resolve).code == refused
        assert len(server.heads) == 1


def test_redirects_are_followed_and_counted() -> None:
    def answer(_server, path, send) -> None:
        left = int(path[1:])
        send(moved(f"/{left - 1}") if left else ok(b"here"))

    with far(answer) as server:
        with open_url(f"{server.url}/3", max_bytes=10, seconds=5, allow=[server.place]) as found:
            assert (found.read(), found.url) == (b"here", f"{server.url}/0")
        assert refusal(f"{server.url}/4", allow=[server.place]).code == "bad_status"
        error = refusal(f"{server.url}/1", allow=[server.place], max_redirects=0)
        assert (error.code, error.status) == ("bad_status", 302)


def test_headers_and_bodies_do_not_follow_to_another_origin() -> None:
    with far(ok(b"")) as second, far(moved(f"{second.url}/b", "307 Temporary Redirect")) as first:
        with open_url(
            first.url, max_bytes=9, seconds=5, method="POST", body=b"{}", headers={"Authorization": "Bearer x"},
            allow=[first.place, second.place],
        ):  # fmt: skip
            pass
        assert "authorization: Bearer x" in first.heads[0]
        assert "authorization" not in second.heads[0]
        assert second.heads[0].startswith("POST")
        assert (first.bodies, second.bodies) == ([b"{}"], [b"{}"])
    with far(lambda _s, path, send: send(moved("/b") if path == "/a" else ok(b""))) as server:
        with open_url(f"{server.url}/a", max_bytes=9, seconds=5, method="POST", body=b"{}", allow=[server.place]):
            pass
        assert server.heads[1].startswith("GET")
        assert server.bodies[1] == b""


def test_ten_gigabytes_are_refused_before_one_byte_of_them_is_read() -> None:
    with far(b"HTTP/1.1 200 OK\r\nContent-Length: 10737418240\r\n\r\n") as server:
        started = time.monotonic()
        assert refusal(server.url, allow=[server.place], seconds=10).code == "too_large"
        assert time.monotonic() - started < 2


@pytest.mark.parametrize("head", [
    b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"",
])  # fmt: skip
def test_a_body_without_a_length_ends_at_the_limit_and_is_not_held_in_memory(head: bytes) -> None:
    """Without any head it is a head without end that is sent."""
    part = b"x" * 65536
    if b"chunked" in head:
        part = b"10000\r\n" + part + b"\r\n"

    def answer(server, _path, send) -> None:
        send(head or b"HTTP/1.1 200 OK\r\nA: ")
        while server.sent < 10 * 1024**3 and not server.closing.is_set():
            send(part)

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with far(answer) as server:
        limit, seen = 5_000_000, 0
        with pytest.raises(AddressRefused) as caught:
            with open_url(server.url, max_bytes=limit, seconds=20, allow=[server.place]) as found:
                for chunk in found.chunks():
                    seen += len(chunk)
        assert caught.value.code == ("too_large" if head else "unreachable")
        assert seen <= limit
        assert server.sent < 4 * limit + 16_000_000  # what the socket's buffers hold
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 40_000  # KiB


@pytest.mark.parametrize(("head", "drop"), [
    (b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n", b"x"), (b"HTTP/1.1 200 OK\r\n", b"A: b\r\n"),
    (b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"), (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    (b"", b""),
])  # fmt: skip
def test_a_slow_answer_ends_by_the_time_in_all_however_regularly_it_drips(head: bytes, drop: bytes) -> None:
    with far(dripping(head, drop, 0.05)) as server:
        started = time.monotonic()
        error = refusal(server.url, allow=[server.place], seconds=0.6)
        assert (error.code, error.retryable) == ("too_slow", True)
        assert 0.5 < time.monotonic() - started < 2


def test_a_resolver_and_a_redirect_loop_share_the_same_time() -> None:
    def slow(_host: str, _port: int) -> list[str]:
        time.sleep(2)
        return [PUBLIC]

    started = time.monotonic()
    assert refusal("http://photos.example/", resolve=slow, seconds=0.3).code == "too_slow"

    def answer(_server, _path, send) -> None:
        time.sleep(0.4)
        send(moved("/again"))

    with far(answer) as server:
        assert refusal(server.url, allow=[server.place], seconds=0.6).code == "too_slow"
    assert time.monotonic() - started < 2


def test_a_reader_that_takes_nothing_of_our_body_ends_by_the_time() -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listening:
        place = f"127.0.0.1:{listening.getsockname()[1]}"
        started = time.monotonic()
        error = refusal(f"http://{place}/", allow=[place], seconds=0.6, method="POST", body=bytes(50_000_000))
        assert error.code == "too_slow"
        assert time.monotonic() - started < 2


def test_a_body_is_not_unpacked_unasked() -> None:
    bomb = gzipped(bytes(50_000_000))
    assert len(bomb) < 60_000
    with far(ok(bomb, "Content-Encoding: gzip")) as server:
        with open_url(server.url, max_bytes=60_000, seconds=5, allow=[server.place]) as answer:
            assert answer.read() == bomb
        assert "accept-encoding: identity" in server.heads[0]


BODY = bytes(range(256)) * 60


def gzipped(data: bytes, level: int = 9) -> bytes:
    """The same bytes each time: tests are told apart by what they are given."""
    return gzip.compress(data, level, mtime=0)


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize(("sent", "encoding"), [
    (BODY, None), (BODY, ""), (BODY, "identity"), (BODY, "aws-chunked"), (gzipped(BODY), "gzip"), (gzipped(BODY), " GZip "), (gzipped(BODY), "x-gzip"),
    (gzipped(BODY), "aws-chunked,gzip"), (zlib.compress(BODY), "deflate"), (raw_deflate(BODY), "deflate"),
    (gzipped(BODY[:1000]) + gzipped(BODY[1000:]), "gzip"), (gzipped(BODY) + bytes(512), "gzip"), (gzipped(BODY, 0), "gzip"),
])  # fmt: skip
def test_content_is_what_lies_at_the_address_however_it_was_packed(sent: bytes, encoding: str | None) -> None:
    headers = [] if encoding is None else [f"Content-Encoding: {encoding}"]
    for answer_bytes in (ok(sent, *headers), chunked(sent, *headers)):
        with far(answer_bytes) as server:
            with open_url(server.url, max_bytes=200_000, seconds=5, allow=[server.place]) as answer:
                assert b"".join(answer.content()) == BODY


def chunked(body: bytes, *headers: str) -> bytes:
    """In chunks of seven bytes, so that every border lies somewhere."""
    head = "\r\n".join(["HTTP/1.1 200 OK", "Transfer-Encoding: chunked", *headers]).encode() + b"\r\n\r\n"
    parts = [body[place : place + 7] for place in range(0, len(body), 7)]
    return head + b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


@pytest.mark.parametrize(("sent", "encodings", "code", "retryable"), [
    (BODY, ["br"], "bad_encoding", False), (BODY, ["zstd"], "bad_encoding", False), (BODY, ["gzip"], "bad_encoding", False), (BODY, ["deflate"], "bad_encoding", False),
    (gzipped(gzipped(BODY)), ["gzip, gzip"], "bad_encoding", False), (gzipped(gzipped(BODY)), ["gzip", "gzip"], "bad_encoding", False),
    (gzipped(BODY)[:-1], ["gzip"], "bad_encoding", True), (gzipped(BODY)[:20], ["gzip"], "bad_encoding", True), (b"", ["gzip"], "bad_encoding", True),
    (gzipped(BODY) + b"more", ["gzip"], "bad_encoding", False), (gzipped(bytes(500_000)), ["gzip"], "too_large", False),
    (gzipped(bytes(50_000_000)), ["gzip"], "too_large", False), (zlib.compress(bytes(50_000_000)), ["deflate"], "too_large", False),
])  # fmt: skip
def test_content_that_cannot_be_unpacked_says_why(
    sent: bytes, encodings: list[str], code: str, retryable: bool
) -> None:
    with far(ok(sent, *[f"Content-Encoding: {each}" for each in encodings])) as server:
        with open_url(server.url, max_bytes=400_000, seconds=20, allow=[server.place]) as answer:
            tracemalloc.start()
            try:
                with pytest.raises(AddressRefused) as caught:
                    for _ in answer.content():
                        pass
                assert tracemalloc.get_traced_memory()[1] < 2_000_000
            finally:
                tracemalloc.stop()
    assert (caught.value.code, caught.value.retryable) == (code, retryable)


def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with far(ok(b"through the proxy")) as proxy, far(ok(b"straight")) as server:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        with open_url(server.url, max_bytes=100, seconds=5, allow=[server.place]) as answer:
            assert answer.read() == b"straight"
        assert proxy.heads == []


@pytest.mark.parametrize(("status", "retryable"), [
    ("404 Not Found", False), ("403 Forbidden", False), ("500 Oh", True), ("503 Busy", True), ("429 Slowly", True),
    ("304 Not Modified", False),
])  # fmt: skip
def test_a_status_that_is_no_success_is_an_error_unless_it_is_wanted(status: str, retryable: bool) -> None:
    body = b"" if status.startswith("304") else b"no"
    with far(ok(body, status=status)) as server:
        error = refusal(server.url, allow=[server.place])
        assert (error.code, error.retryable, error.status) == ("bad_status", retryable, int(status[:3]))
        with open_url(server.url, max_bytes=10, seconds=5, allow=[server.place], any_status=True) as answer:
            assert (answer.status, answer.read()) == (int(status[:3]), body)


@pytest.mark.parametrize("said", [
    b"", b"\x00\x01\x02", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", b"SSH-2.0-OpenSSH\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
])  # fmt: skip
def test_nonsense_and_answers_that_break_off_are_unreachable(said: bytes) -> None:
    with far(said) as server:
        error = refusal(server.url, allow=[server.place])
        assert (error.code, error.retryable) == ("unreachable", True)


def test_a_host_that_is_not_there_is_unreachable() -> None:
    with far(b"") as server:
        place = server.place
    error = refusal(f"http://{place}/", allow=[place])
    assert (error.code, error.retryable) == ("unreachable", True)

    def nobody(_host: str, _port: int) -> list[str]:
        raise OSError("Name or service not known")

    assert refusal("http://photos.example/", resolve=nobody).code == "unreachable"
    assert refusal("http://photos.example/", resolve=lambda _host, _port: []).code == "unreachable"


def test_what_the_operator_allows_is_one_host_at_one_port() -> None:
    assert check("http://minio:9000/", ["minio:9000"]).allowed
    assert check("http://127.0.0.1:22/", ["127.0.0.1:22"]).allowed
    for url in ("http://minio:9001/", "http://minio/", "http://other:9000/", "http://127.1:9000/"):
        with pytest.raises(AddressRefused):
            check(url, ["minio:9000", "127.0.0.1:9000"])
    with pytest.raises(AddressRefused):
        check("http://user@minio:9000/", ["minio:9000"])
