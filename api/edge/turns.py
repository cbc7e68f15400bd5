"""Whose request it is, and when its turn comes, as far as it is a stranger's."""

import asyncio
from collections.abc import Callable, MutableMapping
from enum import IntEnum
from typing import Any, cast

from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from api.edge.pace import Pace
from common.peers import peer_of


class Stage(IntEnum):
    """How far the newest request on a connection has come."""

    RESTING = 0  # none, or the last one is answered
    HEAD = 1
    BODY = 2
    DONE = 3  # all here, and not answered
    DEAF = 4  # what comes is not looked at: the answers under way are the last
    OVER = 5  # refused, and about to be closed


class Turn:
    """What one connection does later, counted meanwhile as waiting; nothing of it is done once the connection is gone."""

    def __init__(self, loop: asyncio.AbstractEventLoop, pace: Pace) -> None:
        self._loop, self._pace = loop, pace
        self._later: asyncio.TimerHandle | None = None
        self._waits_as = ""

    def wait(self, seconds: float, peer: str, act: Callable[[], None]) -> None:
        """Do it later, unless `stop` comes first."""
        self._later = self._loop.call_later(seconds, self._come, act)
        self._waits_as = peer
        self._pace.waits(peer)

    def _come(self, act: Callable[[], None]) -> None:
        self.stop()
        act()

    def stop(self) -> None:
        """Wait no longer."""
        if self._later is not None:
            self._later.cancel()
            self._later = None
            self._pace.end_wait(self._waits_as)


def proxied_peer(app: Any, scope: MutableMapping[str, Any]) -> str | None:
    """Who asks through a proxy of ours, as uvicorn will read the proxy's word. None: the proxy does not say."""
    forwarded = b", ".join(value for name, value in scope["headers"] if name == b"x-forwarded-for")
    trusted = cast(ProxyHeadersMiddleware, app).trusted_hosts
    host = trusted.get_trusted_client_address(forwarded.decode("latin-1"))[0]
    return peer_of(host) if host else None
