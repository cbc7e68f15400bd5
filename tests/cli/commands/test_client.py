"""Commands of a client: what they send, and that JSON stands alone."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from typer.testing import CliRunner

from cli.main import app
from tests.conftest import environment

JOB = {
    "id": "j1", "status": "succeeded", "model": "sketch-image", "created_at": "2026-01-01T00:00:00Z", "waiting": None,
    "progress": 100, "credits": {"reserved": 1, "charged": 1}, "outputs": [],
}  # fmt: skip
STRINGS = {"type": "object", "properties": {"prompt": {"type": "string"}, "seed": {"type": "integer"}}}


@contextmanager
def served() -> Iterator[list[Any]]:
    """An API that answers every order with JOB. Gives what was ordered."""
    ordered: list[Any] = []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            model = {"id": "sketch-image", "input_schema": STRINGS}
            self._answer({"data": [model], "next": None} if self.path.startswith("/v1/models") else JOB)

        def do_POST(self) -> None:
            ordered.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self._answer(JOB)

        def _answer(self, body: Any) -> None:
            text = json.dumps(body).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: Any) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        with environment({"PUBLIC_URL": f"http://127.0.0.1:{server.server_port}", "HEADRACE_API_KEY": "hr_x"}):
            yield ordered
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_with_json_a_job_that_is_followed_leaves_stdout_to_one_document() -> None:
    with served():
        for command in (["submit", "sketch-image", "prompt=x", "--watch"], ["watch", "j1"]):
            done = CliRunner().invoke(app, [*command, "--json"])
            assert done.exit_code == 0, done.output
            assert json.loads(done.stdout) == JOB
            assert "succeeded" in done.stderr
