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
MODELS = [
    {"id": name, "name": "A picture", "kind": "image", "description": "draws", "input_schema": STRINGS}
    for name in ("other", "sketch-image")
]
PLAN = {"id": "free", "name": "Free", "credits": 10, "granted": "once", "slots": 2, "prices": {}}
EVENT = {"number": 7, "type": "job.succeeded", "created_at": "2026-01-01T00:00:00Z", "job_id": "j1", "data": {}}
UNPAID = {"code": "not_enough_credits", "detail": "this needs 9 credits; 0 are available"}
ACCOUNT = "01a2217d-47c7-7385-97e7-8350749df4d0"
PAGES: dict[tuple[str, str], Any] = {
    ("/v1/models", ""): {"data": MODELS[:1], "next": "two"}, ("/v1/models", "cursor=two"): {"data": MODELS[1:], "next": None},
    ("/v1/me", ""): {"account_id": ACCOUNT}, ("/v1/plans", ""): {"data": [PLAN], "next": None}, ("/v1/events", "limit=20&after=6"): {"data": [EVENT], "next": None},
}  # fmt: skip


@contextmanager
def served() -> Iterator[list[Any]]:
    """An API that answers every order with JOB. Gives what was ordered."""
    ordered: list[Any] = []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path, _, query = self.path.partition("?")
            page = PAGES.get((path, query))
            self._answer(JOB if page is None else page)

        def do_POST(self) -> None:
            ordered.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self._answer(JOB) if ordered[-1]["model"] != "dear" else self._answer(UNPAID, 402)

        def _answer(self, body: Any, status: int = 200) -> None:
            text = json.dumps(body).encode()
            self.send_response(status)
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


def test_what_the_schema_calls_a_text_is_sent_as_a_text() -> None:
    with served() as ordered:
        for model in ("sketch-image", "unknown"):
            done = CliRunner().invoke(app, ["submit", model, "prompt=2024", "seed=7", "size=[1]", "style=ink"])
            assert done.exit_code == 0, done.output
    assert [each["input"] for each in ordered] == [
        {"prompt": "2024", "seed": 7, "size": [1], "style": "ink"},
        {"prompt": 2024, "seed": 7, "size": [1], "style": "ink"},  # nothing is known of it: the order says so
    ]


def test_where_credits_are_used_up_the_command_that_gives_more_is_said_on_a_line_of_its_own() -> None:
    with served():
        done = CliRunner().invoke(app, ["submit", "dear", "--json"], env={"COLUMNS": "40"})
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.splitlines() == [
        "402 not_enough_credits: this needs 9 credits; 0 are available",
        f"If you run this deployment: headrace grant 50 --account {ACCOUNT} --reason 'used up'",
    ]


def test_models_plans_and_events_are_listed_page_by_page_within_80_columns() -> None:
    with served():
        for command, json_of, word in (
            (["models"], MODELS, "sketch-image"), (["plans"], [PLAN], "once"),
            (["events", "--after", "6"], {"data": [EVENT], "next": None}, "job.succeeded"),
        ):  # fmt: skip
            done = CliRunner().invoke(app, [*command, "--json"])
            assert (done.exit_code, json.loads(done.stdout)) == (0, json_of), done.output
            text = CliRunner().invoke(app, command, env={"COLUMNS": "80"}).stdout
            assert word in text
            assert max(map(len, text.splitlines())) <= 80, text
