"""Our end of a provider's calls back: keeps what came, as `Callback`s."""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from workers.providers.base import Callback


def came(headers: Mapping[str, str], body: bytes, at: float | None = None) -> Callback:
    """A call that came now, or when it is said."""
    return Callback(headers, body, time.time() if at is None else at)


class Listener:
    """What was sent to `url`, in its order."""

    def __init__(self) -> None:
        self.url = ""
        self._calls: list[Callback] = []
        self._came = threading.Condition()

    def take(self, call: Callback) -> None:
        with self._came:
            self._calls.append(call)
            self._came.notify_all()

    def calls(self, part: str = "", *, count: int = 1, seconds: float = 15) -> list[Callback]:
        """The calls whose body has `part`, once there are `count`."""
        end = time.monotonic() + seconds

        def found() -> list[Callback]:
            return [call for call in self._calls if part.encode() in call.body]

        with self._came:
            while len(found()) < count:
                assert self._came.wait(end - time.monotonic()), f"{len(found())} of {count} calls came"
            return found()

    @contextmanager
    def running(self) -> Iterator["Listener"]:
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, self))
        server.daemon_threads = True
        self.url = f"http://127.0.0.1:{server.server_port}/callback"
        thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.05), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    def __init__(self, listener: Listener, *args: object) -> None:
        self._listener = listener
        super().__init__(*args)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        self._listener.take(came({name.lower(): value for name, value in self.headers.items()}, body))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass
