"""The one way in which an address given by a user, or out of a provider's answer, is fetched: inputs of jobs, webhooks
out, results.

A name is resolved once, every address it has is checked, and the checked address is the one connected to, so that a
name which answers differently a moment later (DNS rebinding) gains nothing. httpcore is used without httpx around it: it
reads no proxy from the environment, follows no redirect and unpacks no body by itself, and takes a network of our own.
"""

import math
import socket
import ssl
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any
from urllib.parse import urljoin

import certifi
import httpcore

from common.addresses import AddressRefused, Target, nowhere, parse, public_addresses
from common.encodings import unpacked
from common.keepalives import keepalive_options

__all__ = ["AddressRefused", "FarAnswer", "check", "open_url", "resolved", "system_resolver"]

CONNECT_SECONDS = 5.0  # for one of a host's addresses
MAX_ADDRESSES = 4  # of a host that are tried
MAX_REDIRECTS = 3
HEADER_BYTES = 1024 * 1024  # what may come besides the body: headers, 1xx answers, the edges of chunks
RESOLVING = threading.BoundedSemaphore(32)  # getaddrinfo has no time-out, so a hung one keeps its thread
REDIRECTS = {301, 302, 303, 307, 308}

Resolver = Callable[[str, int], Sequence[str]]  # host and port to IP addresses; none, or OSError: there is no such host


def system_resolver(host: str, port: int) -> list[str]:
    """The machine's own resolver."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(each[4][0]) for each in found))


def check(url: str, allow: Collection[str] = ()) -> Target:
    """Refuse what can be refused without asking a resolver. Raises AddressRefused (refused_address)."""
    return parse(url, allow)


class FarAnswer:
    """A far side's answer. Its body may be read once, inside the block: as it was sent (`chunks`, `read`), or unpacked
    (`content`) where the server packed it although it was asked not to.
    """

    def __init__(self, url: str, response: httpcore.Response, max_bytes: int, deadline: "_Deadline") -> None:
        self.url = url  # after redirects
        self.status: int = response.status
        self.headers: dict[str, str] = {}
        for name, value in response.headers:
            key, text = name.decode("latin-1").lower(), value.decode("latin-1")
            self.headers[key] = (
                f"{self.headers[key]}, {text}" if key == "content-encoding" and key in self.headers else text
            )
        self._response, self._max_bytes, self._deadline = response, max_bytes, deadline

    def chunks(self) -> Iterator[bytes]:
        """The body. Raises AddressRefused: too_large, too_slow, unreachable (it broke off)."""
        declared = self.headers.get("content-length", "")
        if declared.isascii() and declared.isdigit() and int(declared) > self._max_bytes:
            raise _too_large(self._max_bytes)
        size = 0
        with _mapped(self._deadline):
            for chunk in self._response.iter_stream():
                size += len(chunk)
                if size > self._max_bytes:
                    raise _too_large(self._max_bytes)
                yield chunk

    def content(self) -> Iterator[bytes]:
        """What lies at the address. Raises AddressRefused as `chunks` does, and bad_encoding; too_large counts what was unpacked."""
        return unpacked(self.chunks(), self.headers.get("content-encoding", ""), self._max_bytes)

    def read(self) -> bytes:
        """The whole body, for small ones."""
        return b"".join(self.chunks())


@contextmanager
def open_url(
    url: str,
    *,
    max_bytes: int,
    seconds: float,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    allow: Collection[str] = (),
    max_redirects: int = MAX_REDIRECTS,
    any_status: bool = False,
    idle_seconds: float = math.inf,
    resolve: Resolver = system_resolver,
    tls: ssl.SSLContext | None = None,
) -> Iterator[FarAnswer]:
    """Fetch a user's address, for `seconds` in all, from resolving to the body's last byte, redirects included; no single
    wait for the network is longer than `idle_seconds`.

    `allow` names places (`host:port`) that may be private. A status outside 200 to 299 raises unless `any_status`;
    with `max_redirects=0` a redirect is such a status. `headers` go to the origin they were given for and no other.
    Raises AddressRefused.
    """
    deadline = _Deadline(seconds, idle_seconds)
    target, hops = parse(url, allow), 0
    while True:
        with _exchange(target, method, headers or {}, body, max_bytes, deadline, resolve, tls) as response:
            place = _location(response) if max_redirects and response.status in REDIRECTS else None
            if place is None:
                answer = FarAnswer(target.url, response, max_bytes, deadline)
                if not any_status and not 200 <= answer.status <= 299:
                    raise _bad_status(answer.status)
                yield answer
                return
        hops += 1
        if hops > max_redirects:
            raise AddressRefused("bad_status", f"there were more than {max_redirects} redirects")
        following = _following(target.url, place, allow)
        if following[:3] != target[:3]:
            headers = None
        if response.status == 303 or (response.status in {301, 302} and method == "POST"):
            method, body = "GET", None
        target = following


@contextmanager
def _exchange(
    target: Target,
    method: str,
    headers: Mapping[str, str],
    body: bytes | None,
    max_bytes: int,
    deadline: "_Deadline",
    resolve: Resolver,
    tls: ssl.SSLContext | None,
) -> Iterator[httpcore.Response]:
    """One request to one checked place, over a connection of its own."""
    network = _Network(_addresses(target, resolve, deadline), deadline, 2 * max_bytes + HEADER_BYTES)
    sent = {"accept-encoding": "identity", "user-agent": "Headrace", **{k.lower(): v for k, v in headers.items()}}
    sent |= {"host": target.authority, "connection": "close"}
    if body is not None:
        sent["content-length"] = str(len(body))
    place = httpcore.URL(scheme=target.scheme, host=target.host, port=target.port, target=target.path)
    with httpcore.ConnectionPool(
        ssl_context=tls or trusted(), max_connections=1, http1=True, http2=False, retries=0, network_backend=network
    ) as pool:
        with _mapped(deadline):
            response = pool.handle_request(httpcore.Request(method, place, headers=list(sent.items()), content=body))
        try:
            yield response
        finally:
            response.close()


@lru_cache(maxsize=1)
def trusted() -> ssl.SSLContext:
    """The authorities that everybody trusts, read once: that takes 30 ms of a core."""
    return ssl.create_default_context(cafile=certifi.where())


def _following(url: str, place: str, allow: Collection[str]) -> Target:
    try:
        return parse(urljoin(url, place), allow)
    except ValueError:
        raise AddressRefused("refused_address", "it redirects to what is not a URL") from None


def _location(response: httpcore.Response) -> str | None:
    return next(
        (value.decode("utf-8", "replace") for name, value in response.headers if name.lower() == b"location"), None
    )


# Resolving


def _addresses(target: Target, resolve: Resolver, deadline: "_Deadline") -> list[str]:
    """The checked addresses of a target. An address needs no resolver, and was checked when it was parsed."""
    if target.address is not None:
        return [target.host]
    found = _resolved(target.host, target.port, resolve, deadline)
    if not found:
        raise nowhere(target.host, found)
    checked = list(found) if target.allowed else public_addresses(target.host, found)
    return checked[:MAX_ADDRESSES]


def resolved(host: str, port: int, seconds: float) -> Sequence[str]:
    """The addresses of a server that the operator named, unchecked; the resolver itself has no time-out. Raises AddressRefused."""
    return _resolved(host, port, system_resolver, _Deadline(seconds))


def _resolved(host: str, port: int, resolve: Resolver, deadline: "_Deadline") -> Sequence[str]:
    found: list[Sequence[str]] = []

    def ask() -> None:
        try:
            found.append(resolve(host, port))
        except (OSError, UnicodeError):
            found.append(())
        finally:
            RESOLVING.release()

    if not RESOLVING.acquire(timeout=deadline.left()):
        raise _too_slow(deadline.seconds)
    thread = threading.Thread(target=ask, name="resolver", daemon=True)
    thread.start()
    thread.join(deadline.left())
    if not found:
        raise _too_slow(deadline.seconds)
    return found[0]


# The network under httpcore


class _Deadline:
    """One end for everything that a fetch waits for."""

    def __init__(self, seconds: float, idle_seconds: float = math.inf) -> None:
        self.seconds, self._idle = seconds, idle_seconds
        self._end = time.monotonic() + seconds

    def left(self, at_most: float | None = None) -> float:
        """Seconds to wait now. Raises AddressRefused (too_slow) when there are none."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise _too_slow(self.seconds)
        return min(left, self._idle if at_most is None else at_most)

    @property
    def passed(self) -> bool:
        return time.monotonic() >= self._end


class _Network(httpcore.NetworkBackend):
    """Connects to the checked addresses, whatever host it is asked for."""

    def __init__(self, addresses: Sequence[str], deadline: _Deadline, max_bytes: int) -> None:
        self._addresses, self._deadline, self._left = addresses, deadline, max_bytes
        self._inner = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002 - ours is one deadline for all
        local_address: str | None = None,  # noqa: ARG002 - httpcore gives it; we bind to none
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        failure: Exception = httpcore.ConnectError(f"no address of {host}")
        for address in self._addresses:
            try:
                left = self._deadline.left(CONNECT_SECONDS)
                options = [*keepalive_options(), *(socket_options or ())]
                return _Stream(self._inner.connect_tcp(address, port, left, None, options), self._deadline, self._left)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure


class _Stream(httpcore.NetworkStream):
    """A connection that ends at the deadline however slowly it drips, and after so many bytes of whatever kind."""

    def __init__(self, inner: httpcore.NetworkStream, deadline: _Deadline, max_bytes: int) -> None:
        self._inner, self._deadline, self._max_bytes, self._left = inner, deadline, max_bytes, max_bytes

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002 - as above
        data = self._inner.read(max_bytes, self._deadline.left())
        self._left -= len(data)
        if self._left < 0:
            raise _too_large(self._max_bytes)
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002 - as above
        # Not the inner stream's own write: that gives each packet the whole time again.
        sock, view = self._inner.get_extra_info("socket"), memoryview(buffer)
        try:
            while view:
                sock.settimeout(self._deadline.left())
                view = view[sock.send(view) :]
        except TimeoutError as error:
            raise httpcore.WriteTimeout(str(error)) from error
        except OSError as error:
            raise httpcore.WriteError(str(error)) from error

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002 - as above
    ) -> httpcore.NetworkStream:
        secured = self._inner.start_tls(ssl_context, server_hostname, self._deadline.left())
        return _Stream(secured, self._deadline, self._max_bytes)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


@contextmanager
def _mapped(deadline: _Deadline) -> Iterator[None]:
    """What httpcore raises, in our words. Its own text stays inside: it may name what lies in our network."""
    try:
        yield
    except httpcore.TimeoutException as error:
        if deadline.passed:
            raise _too_slow(deadline.seconds) from error
        raise AddressRefused("unreachable", "the host did not answer in time", retryable=True) from error
    except (httpcore.NetworkError, httpcore.ProtocolError) as error:
        why = "its certificate is not trusted" if "CERTIFICATE_VERIFY_FAILED" in str(error) else type(error).__name__
        raise AddressRefused(
            "unreachable", f"the host could not be reached, or broke off: {why}", retryable=True
        ) from error


def _too_slow(seconds: float) -> AddressRefused:
    return AddressRefused("too_slow", f"it took longer than {seconds:g} seconds", retryable=True)


def _too_large(limit: int) -> AddressRefused:
    return AddressRefused("too_large", f"it has more than {limit} bytes")


def _bad_status(status: int) -> AddressRefused:
    return AddressRefused(
        "bad_status", f"the host answered {status}", retryable=status in {408, 425, 429} or status >= 500, status=status
    )
