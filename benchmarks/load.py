"""An HTTP load in a process of its own: so many connections, each asking again as soon as it is answered, or, with `pace`, so many
requests a second of all together, at random times: an answer that is late delays none but its own connection's next.
"""

import asyncio
import json
import random
import sys
import time
from functools import partial
from itertools import cycle
from typing import Any

import uvloop


class Connection(asyncio.Protocol):
    """One client. Answers are read by their Content-Length, nothing more: the load must cost little itself."""

    def __init__(self, requests: list[bytes], latencies: list[float], errors: list[bytes], until: float,
                 pause: float = 0.0) -> None:  # fmt: skip
        self._requests, self._latencies, self._errors, self._until = cycle(requests), latencies, errors, until
        self._buffer = b""
        self._begun = 0.0
        self._pause = pause  # between two requests, on average
        self._due = time.perf_counter()
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._ask_next()

    def _ask_next(self) -> None:
        """Ask now, or at a time of its own that does not hang on when the last was answered."""
        if not self._pause:
            self._ask()
            return
        self._due += random.expovariate(1 / self._pause)
        if self._due >= self._until:
            self._transport.close()
            return
        asyncio.get_running_loop().call_later(max(0.0, self._due - time.perf_counter()), self._ask)

    def _ask(self) -> None:
        self._begun = self._due if self._pause else time.perf_counter()
        self._transport.write(next(self._requests))

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._buffer[:end].lower()
        at = head.find(b"content-length: ") + 16
        length = int(head[at : head.find(b"\r\n", at) if b"\r\n" in head[at:] else end])
        if len(self._buffer) < end + 4 + length:
            return
        now = time.perf_counter()
        self._latencies.append(now - self._begun)
        if head[9:10] != b"2":
            self._errors.append(self._buffer[: end + 4 + length])
        self._buffer = self._buffer[end + 4 + length :]
        if now < self._until:
            self._ask_next()
        else:
            self._transport.close()

    def connection_lost(self, _error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(None)


def request_of(method: str, path: str, key: str, body: bytes) -> bytes:
    """A request as it goes over the wire."""
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def main(task: dict[str, Any]) -> dict[str, Any]:
    """Run one load; returns its figures."""
    latencies: list[float] = []
    errors: list[bytes] = []
    body = task["body"].encode() if task["method"] == "POST" else b""
    paths = task["path"] if isinstance(task["path"], list) else [task["path"]]
    begin, spent = time.perf_counter(), time.process_time()
    loop = asyncio.get_running_loop()
    connections = []
    clients, keys = task["clients"], task["keys"]
    pause = clients / task["pace"] if task.get("pace") else 0.0
    for number in range(clients):  # more keys than clients are asked with in turns
        requests = [
            request_of(task["method"], paths[turn % len(paths)], keys[turn % len(keys)], body)
            for turn in range(number, max(clients, len(keys)), clients)
        ]
        _, connection = await loop.create_connection(
            partial(Connection, requests, latencies, errors, begin + task["seconds"], pause),
            "127.0.0.1", task["port"],
        )  # fmt: skip
        connections.append(connection)
    await asyncio.gather(*(connection.done for connection in connections))
    if errors:
        print(errors[0].decode(errors="replace"), file=sys.stderr)
    latencies.sort()
    return {
        "rate": len(latencies) / (time.perf_counter() - begin),
        "p50_ms": 1000 * latencies[len(latencies) // 2],
        "p99_ms": 1000 * latencies[int(len(latencies) * 0.99)],
        "max_ms": 1000 * latencies[-1],
        "cpu_ms": 1000 * (time.process_time() - spent) / len(latencies),
        "errors": len(errors),
    }


if __name__ == "__main__":
    print(json.dumps(uvloop.run(main(json.load(sys.stdin)))))
