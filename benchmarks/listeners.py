"""Listeners to server-sent events, many, in a process of their own: writes when each heard which event."""

import asyncio
import json
import re
import sys
import time
from functools import partial
from typing import Any

import uvloop

NUMBER = re.compile(rb"(?:^|\n)id: (\d+)\n")

OF_AN_ADDRESS = 2000  # streams: an API process lets one address have a share of its connections only


class Listener(asyncio.Protocol):
    """One open stream. Only the ids are read: listening must cost little itself."""

    def __init__(self, request: bytes, account: int, heard: list[tuple[int, int, float]]) -> None:
        self._request, self._account, self._heard = request, account, heard
        self.open: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._rest = b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        now = time.time()
        if not self.open.done():
            self._rest += data
            if self._rest[9:12] != b"200":
                self.open.set_exception(RuntimeError(data.decode(errors="replace")))
            elif b"event: balance" in self._rest and self._rest.rstrip(b"\r\n0").endswith(b"}"):
                self.open.set_result(None)
                self._rest = b""
            return
        data = self._rest + data
        end = data.rfind(b"\n\n") + 2
        self._rest = data[end:] if end >= 2 else data
        for match in NUMBER.finditer(data, 0, max(end, 0)):
            self._heard.append((self._account, int(match[1]), now))

    def connection_lost(self, _error: Exception | None) -> None:
        if not self.open.done():
            self.open.set_exception(RuntimeError("the API closed a stream"))


async def main() -> None:
    """Open the streams that the first line of the input asks for, say so, and answer the next line with what was heard."""
    loop = asyncio.get_running_loop()
    task = json.loads(await loop.run_in_executor(None, sys.stdin.readline))
    heard: list[tuple[int, int, float]] = []
    streams = []
    for number in range(task["listeners"]):
        account = number % len(task["keys"])
        head = (
            f"GET /v1/events HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n"
            f"Authorization: Bearer {task['keys'][account]}\r\n\r\n"
        )
        _, stream = await loop.create_connection(
            partial(Listener, head.encode(), account, heard),
            "127.0.0.1",
            task["port"],
            local_addr=(f"127.0.0.{2 + number // OF_AN_ADDRESS}", 0),
        )
        streams.append(stream)
        if len(streams) % 50 == 0:
            await asyncio.gather(*(each.open for each in streams))
    await asyncio.gather(*(each.open for each in streams))
    print("open", flush=True)
    await loop.run_in_executor(None, sys.stdin.readline)
    lost = sum(each.transport.is_closing() for each in streams)
    print(json.dumps({"heard": heard, "lost": lost}), flush=True)


if __name__ == "__main__":
    uvloop.run(main())
