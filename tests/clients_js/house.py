"""What tests of clients/js share: a running system, node programs and pages that use the built packages, a product's own site."""

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from cli.embedded.servers import free_ports
from tests.proxies import Proxy, proxy
from tests.support import System, account, key_of, model

CLIENTS = Path(__file__).parents[2] / "clients" / "js"
NODE = shutil.which("node")
BUILT = CLIENTS / "client" / "dist" / "built-from.txt"
needs_clients = pytest.mark.skipif(
    NODE is None or not BUILT.exists() or not (CLIENTS / "node_modules").is_dir(),
    reason="clients/js is not built: make clients",
)
PAGE = "<!doctype html><meta charset=utf-8><title>product</title><div id=root></div><script src=/page.js></script>"


def run_node(*arguments: str, seconds: float = 60, given: str = "", **environment: str) -> str:
    """What node prints, run among the clients; `given` is a module that it reads from its standard input."""
    done = subprocess.run(
        [str(NODE), *arguments], cwd=CLIENTS, input=given, capture_output=True, text=True, timeout=seconds, check=False,
        env={**os.environ, **environment},
    )  # fmt: skip
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
    return done.stdout


class ClientHouse:
    """An API that pages of `site` may call, through a proxy of their own where they like; models `quick`, `slow` (five seconds), `broken` and
    those of the standard catalogue.
    """

    def __init__(self, system: System, site: "Site", line: Proxy, metrics_port: int) -> None:
        self.system, self.site, self.line, self._metrics_port = system, site, line, metrics_port
        self.settings = {
            "CORS_ORIGINS": site.url, "METRICS_PORT": str(metrics_port), "METRICS_HOST": "127.0.0.1", "HEARTBEAT_SECONDS": "1",
            "MAX_UPLOAD_BYTES": str(256 << 20),
        }  # fmt: skip

    def start(self) -> None:
        """API, worker and scheduler."""
        self.system.start("api", "worker", "scheduler", api=self.settings)

    def restart_api(self) -> None:
        """The API ends its streams, and comes again."""
        self.system.processes.stop("api")
        self.system.start("api", api=self.settings)

    def streams(self) -> int:
        """How many streams of events the API has open."""
        text = httpx.get(f"http://127.0.0.1:{self._metrics_port}/metrics").text
        return sum(int(float(line.split()[-1])) for line in text.splitlines() if line.startswith("headrace_streams "))

    def key(self, *, credits: int = 1000) -> tuple[UUID, str]:
        """A new account with so many credits, and its key."""
        account_id = account(amount=credits)
        return account_id, key_of(account_id)

    def run(self, script: str, *, seconds: float = 60, **given: str) -> Any:
        """What a module prints last, as JSON; `client` is a Headrace with `KEY`."""
        head = """import * as headrace from "@headrace/client";
            const { Headrace } = headrace;
            const client = new Headrace({ url: process.env.URL, key: process.env.KEY });
            const refused = (asked) => asked.then(() => null, (error) => [error.name, error.code]);
        """
        printed = run_node(
            "--input-type=module", given=head + script, seconds=seconds, **{"URL": self.system.url, **given}
        )
        return json.loads(printed.strip().splitlines()[-1])


class Site:
    """A product's own site, on another origin than the API: a page, its script, and tokens for it."""

    def __init__(self, script: bytes) -> None:
        self.token: Callable[[], dict[str, Any]] = dict
        self.tokens_asked = 0
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer("text/javascript", script) if self.path == "/page.js" else self._answer(
                    "text/html", PAGE.encode()
                )

            def do_POST(self) -> None:
                site.tokens_asked += 1
                self._answer("application/json", json.dumps(site.token()).encode())

            def _answer(self, media_type: str, body: bytes) -> None:
                self.send_response(200)
                self.send_header("content-type", media_type)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Serve nobody any more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def client_house(system: System, script: bytes = b"") -> Iterator[ClientHouse]:
    """The whole of it for the time of a block; its processes run."""
    model("quick")
    model("slow", options={"instant": False, "delay_seconds": 5.0})
    model("slower", options={"instant": False, "delay_seconds": 30.0})  # seen running by a page on a busy machine too
    model("broken", options={"fail": "permanent"})
    site = Site(script)
    try:
        with proxy(system.url) as line:
            made = ClientHouse(system, site, line, free_ports(1)[0])
            made.start()
            yield made
    finally:
        site.close()
