"""The examples, as a stranger runs them, against real processes on real servers."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from examples.__main__ import EXAMPLES
from examples.running import Difference, same
from tests.support import ADMIN_TOKEN, System, assert_books_are_clean, one

ROOT = Path(__file__).resolve().parents[2]


def run(*names: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "examples", *names], cwd=ROOT, env={**os.environ, **environment}, check=False,
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip


def test_the_web_clients_functions_do_what_they_did_again_and_again(system: System) -> None:
    system.start("api")
    for number in (1, 2):
        done = run("webclient", HEADRACE_URL=system.url, PROVISIONING_ADMIN_TOKEN=ADMIN_TOKEN)
        assert done.returncode == 0, done.stdout + done.stderr
        assert len(re.findall("^✓ ", done.stdout, re.MULTILINE)) == 11
        assert ADMIN_TOKEN not in done.stdout + done.stderr
        assert one("select count(*) from web_accounts") == (number,)
    assert_books_are_clean()


def test_a_difference_is_told_and_ends_with_1(system: System) -> None:
    system.start("api")
    done = run("webclient", HEADRACE_URL=system.url, PROVISIONING_ADMIN_TOKEN="another")
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
    done = run(*names, **environment)
    assert (done.returncode, said in done.stdout + done.stderr) == (status, True), done.stdout + done.stderr


def test_every_example_is_documented_and_compares() -> None:
    for name in EXAMPLES:
        assert (ROOT / "docs" / f"port-{name}.md").is_file()
        text = (ROOT / "docs" / f"port-{name}.md").read_text()
        shown = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text)
        assert len(shown) > 9
        assert [f"{path}::{test}" for path, test in shown if f"def {test}(" not in (ROOT / path).read_text()] == []
    with pytest.raises(Difference, match="but is    2"):
        same(2, 1, "x")
