"""Uvicorn with our protocol, our door, and streams that end when the process is told to stop."""

import asyncio
import logging
import signal
import socket
import sys
from collections.abc import Callable

import uvicorn
from fastapi import FastAPI
from uvicorn.server import ServerState

from api.edge.door import RESERVED, Door, raise_descriptor_limit, room_of
from api.edge.pace import Pace
from api.edge.protocol import Protocol
from common.settings import settings
from common.telemetry import figures

log = logging.getLogger(__name__)


class CountedState(ServerState):
    """Uvicorn's, with the door that every connection comes through."""

    def __init__(self, door: Door) -> None:
        super().__init__()
        self.door = door


class Server(uvicorn.Server):
    """Uvicorn's, which looks at its connections, and ends the streams when it is told to stop: it would wait for their
    clients to go.
    """

    def __init__(self, config: uvicorn.Config, door: Door, ending: Callable[[], object]) -> None:
        super().__init__(config)
        self._ending = ending
        self.server_state = CountedState(door)
        self._door = door

    async def on_tick(self, counter: int) -> bool:
        self._door.sweep(asyncio.get_running_loop().time())  # each tenth of a second
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._ending()
        await super().shutdown(sockets)


def serve(app: FastAPI, *, ending: Callable[[], object]) -> None:
    """Serve until SIGTERM or SIGINT. `ending` is called before it waits for requests under way."""
    chosen = settings()
    descriptors = raise_descriptor_limit(chosen.connections_max + RESERVED + chosen.connections_max // 7)
    room = room_of(descriptors, most=chosen.connections_max, each=chosen.connections_per_address)
    log.info(
        "%d descriptors (ulimit -n): %d connections at most (CONNECTIONS_MAX is %d), %d of one address; %d are left for us",
        descriptors, room.most, chosen.connections_max, room.each, descriptors - room.most,
    )  # fmt: skip
    config = uvicorn.Config(
        app, host=chosen.api_host, port=chosen.api_port, loop="uvloop", http=Protocol, ws="none", backlog=room.backlog,
        proxy_headers=bool(chosen.trusted_proxies), forwarded_allow_ips=list(chosen.trusted_proxies),
        access_log=False, server_header=False, date_header=False, timeout_graceful_shutdown=10, log_level="info",
        log_config=None,  # its lines go through our own filter
    )  # fmt: skip
    door = Door(room, Pace(chosen.strangers_per_second), chosen.trusted_proxies)
    figures.CONNECTIONS.read_by(lambda: [((), float(len(door)))])
    # Uvicorn raises the signal that it obeyed once more when it is over: by the default that kills us before we have sent our last spans.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit())
    Server(config, door, ending).run()
