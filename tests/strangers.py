"""Connections as nobody well-behaved makes them: raw bytes, for the attacks that tests and benchmarks make."""

import contextlib
import os
import select
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

REQUEST = b"GET /v1/models/none HTTP/1.1\r\nHost: x\r\n\r\n"
ESTABLISHED = "01"  # in /proc/net/tcp
CHUNKED = b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


class Stranger:
    """One connection. `source` is the address it comes from: all of 127.0.0.0/8 is this machine."""

    def __init__(self, port: int, *, source: str = "127.0.0.1", seconds: float = 10.0) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=seconds, source_address=(source, 0))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.socket.close()

    def say(self, data: bytes) -> None:
        """Send something that must be taken."""
        self.socket.sendall(data)

    def pour(self, piece: bytes, size: int, *, seconds: float = 20.0, read: bool = False) -> int:
        """Send a piece again and again, until so many bytes are sent, nobody takes any for a while, or the line is cut.
        Returns how many went out."""
        data, sent, end = piece * max(1, 262_144 // len(piece)), 0, time.monotonic() + seconds
        self.socket.setblocking(False)
        with contextlib.suppress(OSError):
            while sent < size and time.monotonic() < end:
                readable, writable, _ = select.select([self.socket] if read else [], [self.socket], [], 2.0)
                if readable and not self.socket.recv(1 << 20):
                    break
                if writable:
                    sent += self.socket.send(data[sent % len(piece) :])
                elif not readable:
                    break
        return sent

    def hear(self, seconds: float = 10.0) -> bytes:
        """All that comes until the other end closes; b"" too where the line is cut. Raises TimeoutError where it stays."""
        heard = bytearray()
        end = time.monotonic() + seconds
        try:
            while True:
                self.socket.settimeout(max(0.01, end - time.monotonic()))
                part = self.socket.recv(65_536)
                if not part:
                    return bytes(heard)
                heard += part
        except ConnectionError:
            return bytes(heard)

    def hear_until(self, needle: bytes, seconds: float = 20.0) -> bytes:
        """What comes, up to and with these bytes. Raises ConnectionError where the line ends before."""
        heard = bytearray()
        self.socket.settimeout(seconds)
        while needle not in heard:
            part = self.socket.recv(65_536)
            if not part:
                raise ConnectionError(f"the end came after {bytes(heard[-500:])!r}")
            heard += part
        return bytes(heard)

    def is_open(self) -> bool:
        """Whether the other end has not closed yet."""
        self.socket.setblocking(False)
        try:
            return self.socket.recv(1, socket.MSG_PEEK) != b""
        except BlockingIOError:
            return True
        except ConnectionError:
            return False

    def is_connected(self) -> bool:
        """Whether the other end, which is on this machine, still has the connection, whatever we have not read."""
        here, there = (end[1] for end in (self.socket.getsockname(), self.socket.getpeername()))
        lines = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
        ends = [(line[1].rpartition(":")[2], line[2].rpartition(":")[2]) for line in lines if line[3] == ESTABLISHED]
        return (f"{there:04X}", f"{here:04X}") in ends


@contextlib.contextmanager
def crowd(port: int, count: int, *, source: str = "127.0.0.1") -> Iterator[list[Stranger]]:
    """So many connections that are opened and say nothing; those that nobody accepts are left out."""
    made: list[Stranger] = []
    try:
        for _ in range(count):
            with contextlib.suppress(OSError):
                made.append(Stranger(port, source=source, seconds=3))
        yield made
    finally:
        for each in made:
            each.socket.close()


def memory_mb(pid: int) -> float:
    """What a process has in memory now."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
