"""The examples, as a stranger runs them, against real processes on real servers."""

import io
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from rich.console import Console

from cli.embedded.locked import hold
from cli.embedded.servers import free_ports
from examples.__main__ import EXAMPLES
from examples.running import Difference, Example, Outcome, Step, print_summary, run, same
from tests.support import ADMIN_TOKEN, System, assert_books_are_clean, one

ROOT = Path(__file__).resolve().parents[2]


def examples(*names: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "examples", *names], cwd=ROOT, env={**os.environ, **environment}, check=False,
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip


def test_the_web_clients_functions_do_what_they_did_again_and_again(system: System) -> None:
    system.start("api")
    for number in (1, 2):
        done = examples("webclient", HEADRACE_URL=system.url, PROVISIONING_ADMIN_TOKEN=ADMIN_TOKEN)
        assert done.returncode == 0, done.stdout + done.stderr
        assert len(re.findall("^✓ ", done.stdout, re.MULTILINE)) == 11
        assert ADMIN_TOKEN not in done.stdout + done.stderr
        assert one("select count(*) from web_accounts") == (number,)
    assert_books_are_clean()


def test_a_difference_is_told_and_ends_with_1(system: System) -> None:
    system.start("api")
    done = examples("webclient", HEADRACE_URL=system.url, PROVISIONING_ADMIN_TOKEN="another")
    assert done.returncode == 1
    assert "✗ the token opens the door" in done.stdout
    assert "should be 200" in done.stdout
    assert "but is    401" in done.stdout


@pytest.mark.parametrize(("names", "environment", "status", "said"), [
    (["nothing"], {}, 2, "there is no example nothing"),
    ([], {"PROVISIONING_ADMIN_TOKEN": ""}, 1, "set PROVISIONING_ADMIN_TOKEN"),
    (["webclient"], {"PROVISIONING_ADMIN_TOKEN": "x", "HEADRACE_URL": "http://127.0.0.1:1"}, 1, "Connection refused"),
])  # fmt: skip
def test_what_keeps_an_example_from_running_is_said(
    names: list[str], environment: dict[str, str], status: int, said: str
) -> None:
    done = examples(*names, **environment)
    assert (done.returncode, said in done.stdout + done.stderr) == (status, True), done.stdout + done.stderr


@contextmanager
def liar() -> Iterator[str]:
    """A system that answers everything with 200 and nothing."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            self.send_response(200)
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        do_POST = do_PATCH = do_DELETE = do_GET  # noqa: N815 - their names in http.server

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_wrong_answers_are_told_by_every_example_and_end_with_1() -> None:
    issuer, mail, xendit = free_ports(3)
    with liar() as url:
        done = examples(
            HEADRACE_URL=url, HEADRACE_ADMIN_KEY="hr_x", PROVISIONING_ADMIN_TOKEN="x", CLERK_WEBHOOK_SECRET="whsec_eA==",
            OIDC_ISSUERS=f"http://127.0.0.1:{issuer}", SMTP_URL=f"smtp://127.0.0.1:{mail}",
            XENDIT_URL=f"http://127.0.0.1:{xendit}", XENDIT_CALLBACK_TOKEN="x",
        )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    assert re.findall("^✗ ([^:]+)", done.stdout, re.MULTILINE) == [
        "a service key acts for CineWeave's users", "a user is made; a forged event is refused",
        "the token opens the door, and nothing else does", "a service key acts for Reimaji's users",
    ]  # fmt: skip
    assert len(re.findall("^  should be ", done.stdout, re.MULTILINE)) == 2
    assert len(re.findall("POST /v1/keys is not as described", done.stdout)) == 2
    assert "Traceback" not in done.stdout + done.stderr


def _stop(*_: object) -> None:
    raise Difference("it is 5 and should be 4")


def test_a_wrong_answer_ends_its_example_alone_and_what_comes_later_waits_for_the_clock() -> None:
    did: list[str] = []

    def example(name: str, *steps: Step) -> Example:
        return Example(name, "for a test", (), lambda *_: steps)

    def step(name: str, days: int = 0) -> Step:
        return Step(f"A1 {name}", name, lambda: did.append(name), days)

    both = (
        example("one", step("1"), Step("A1 2", "2", _stop), step("3"), step("late 1", 2)),
        example("two", step("4"), step("late 2", 5), step("late 3", 2), step("5")),
    )
    console = Console(file=io.StringIO(), width=200)
    first, second = run(both, "http://127.0.0.1:1", {}, console, lambda days: did.append(f"clock {days}"))
    assert did == ["1", "4", "5", "clock 2", "late 3", "clock 5", "late 2"]
    assert (first.wrong, first.passed, second.is_well, second.passed) == ("2", 1, True, 4)
    did.clear()
    outcomes = run(both, "http://127.0.0.1:1", {}, console)
    assert (did, [each.left_out for each in outcomes]) == (["1", "4", "5"], [0, 2])


def test_a_second_run_beside_one_that_goes_on_is_refused(tmp_path: Path) -> None:
    with closing(hold(tmp_path / "examples")):
        done = examples("--start", HEADRACE_STATE=str(tmp_path))
    assert (done.returncode, "already running in" in done.stderr) == (1, True), done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_the_summary_has_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    long = Outcome("example", [], "a sentence about what is not as it should be " * 5)
    print_summary([long, Outcome("other")], Console(width=200))
    assert {len(line) for line in capsys.readouterr().out.splitlines()} == {80}


def test_tables_are_written_of_a_system_of_their_own_alone() -> None:
    done = examples("--write", "webclient", HEADRACE_URL="http://127.0.0.1:1", PROVISIONING_ADMIN_TOKEN="x")
    assert (done.returncode, "--write goes with --start" in done.stderr) == (2, True), done.stdout + done.stderr


def test_every_example_is_documented_and_compares() -> None:
    for name in EXAMPLES:
        assert (ROOT / "docs" / f"port-{name}.md").is_file()
        text = (ROOT / "docs" / f"port-{name}.md").read_text()
        shown = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text)
        assert len(shown) > 9
        assert [f"{path}::{test}" for path, test in shown if f"def {test}(" not in (ROOT / path).read_text()] == []
    with pytest.raises(Difference, match="but is    2"):
        same(2, 1, "x")


def test_examples_know_a_system_by_its_api_alone() -> None:
    ours = {"tests", "api", "workers", "scheduler", "storage", "companies", "common", "models", "cli"}
    used = {
        path.name: ours & set(re.findall(r"^ *(?:from|import) (\w+)", path.read_text(), re.MULTILINE))
        for path in (ROOT / "examples").rglob("*.py")
    }
    assert used.pop("starting.py") == {"cli", "common", "models"}
    assert {name: found for name, found in used.items() if found} == {}
