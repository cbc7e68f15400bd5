"""A provider's connections, as the kernel has them."""

import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from common.guard import AddressRefused, open_url
from tests.support import eventually
from workers.providers.base import OutcomeUnknown, ProviderError
from workers.providers.wire import Wire

KEEPALIVE_TIMER = "02:"  # Linux, Documentation/networking/proc_net_tcp


def order(place: str) -> None:
    Wire(f"http://{place}").send("POST", "/", headers={}, seconds=30, repeatable=False, json={})


def fetch(place: str) -> None:
    with open_url(f"http://{place}/result.png", seconds=30, max_bytes=100, allow=[place]) as answer:
        answer.read()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lists the timers of sockets")
@pytest.mark.parametrize("ask", [order, fetch], ids=lambda ask: ask.__name__)
def test_whoever_waits_for_an_answer_looks_whether_the_other_is_still_there(ask: Callable[[str], None]) -> None:
    """One whose host lost its power says nothing, for ever."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def call() -> None:
            with suppress(OutcomeUnknown, ProviderError, AddressRefused):
                ask(f"127.0.0.1:{port}")

        caller = threading.Thread(target=call, daemon=True)
        caller.start()
        conn, _ = listener.accept()
        with conn:
            conn.recv(65_536)  # it has been asked, and works
            eventually(lambda: _timer(port).startswith(KEEPALIVE_TIMER), what="the timer of keepalives")
        caller.join()


def _timer(port: int) -> str:
    """What the kernel waits for at the end of the connection that leads to this port."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return next((each[5] for each in lines if each[2].endswith(f":{port:04X}") and each[3] == "01"), "")
