"""All four products, from end to end: against a system of the tests, and against the one that `make examples` starts."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cli.embedded.servers import free_ports
from examples import browser
from examples.__main__ import EXAMPLES
from examples.photos import SIZES
from examples.pixorly.pages import why_not
from examples.starting import open_admin, open_house
from tests.cli.embedded.test_embedded import processes_of
from tests.conftest import environment
from tests.faults.test_demo import clean_environment
from tests.flows.test_examples import examples
from tests.support import ADMIN_TOKEN, OWN_SECRET, System, assert_books_are_clean, eventually, one

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]

PROGRAM = [sys.executable, "-m", "examples", "--start"]
CHECKS, LATER = 116, 5  # in all, and those of them that need another day
BROWSED = 0 if browser.PROGRAM else 2  # those that are left out where there is no Chromium
IN_NODE = 0 if why_not() is None else 1  # and where there is no node, or no JavaScript client


def lines(mark: str, text: str) -> list[str]:
    return re.findall(f"^{mark} .*", text, re.MULTILINE)


def test_a_running_system_does_what_each_product_needs(system: System, tmp_path: Path) -> None:
    issuer, mail, xendit = free_ports(3)
    given = {
        "OIDC_ISSUERS": f"http://127.0.0.1:{issuer}", "SMTP_URL": f"smtp://127.0.0.1:{mail}", "MANUAL_PAYMENTS": "true",
        "CLERK_WEBHOOK_SECRET": "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD", "XENDIT_URL": f"http://127.0.0.1:{xendit}",
        "XENDIT_KEY": "xnd_x", "XENDIT_CALLBACK_TOKEN": OWN_SECRET, "HOUSE_ACCOUNT": open_house(),
        "HEADRACE_PICTURES": str(tmp_path),
    }  # fmt: skip
    with environment(given):
        system.start("api", "worker", "scheduler", "deliver")
        key = open_admin()
        done = examples(HEADRACE_URL=system.url, HEADRACE_ADMIN_KEY=key, PROVISIONING_ADMIN_TOKEN=ADMIN_TOKEN, **given)
        assert done.returncode == 0, done.stdout + done.stderr
        left = LATER + BROWSED + IN_NODE
        assert (len(lines("✓", done.stdout)), len(lines("–", done.stdout))) == (CHECKS - left, left), done.stdout
        pictures = {f"{page}-{size}.png" for page in ("collection", "certificate") for size in SIZES}
        assert {path.name for path in tmp_path.glob("*.png")} == (set() if BROWSED else pictures)
        assert all(secret not in done.stdout + done.stderr for secret in (key, ADMIN_TOKEN, OWN_SECRET))
        assert one("select count(*) from api_keys where revoked_at is null") == (1,), "a service key is left behind"
        assert_books_are_clean()


def test_they_start_a_system_of_their_own_also_after_one_that_was_killed(tmp_path: Path) -> None:
    root = str(Path(__file__).resolve().parents[2])
    own = {**clean_environment(), "PYTHONPATH": root}
    killed = subprocess.Popen(PROGRAM, cwd=tmp_path, env=own, stdout=subprocess.DEVNULL)
    eventually(lambda: any(tmp_path.glob(".headrace/examples/processes/*")), seconds=60, what="the processes")
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    done = subprocess.run(PROGRAM, cwd=tmp_path, env=own, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(lines("✓", done.stdout)) == CHECKS - BROWSED - IN_NODE, done.stdout
    assert "the books hold" in done.stdout
    assert set(EXAMPLES) <= set(re.findall(r"^│ (\w+)", done.stdout, re.MULTILINE))
    assert processes_of(tmp_path) == []
    assert os.environ.get("CLOCK_OFFSET_SECONDS") is None
