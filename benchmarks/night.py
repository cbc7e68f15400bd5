"""Twenty tasks at three in the morning, each by its command and by its page of the console, on a system that is in trouble; how long
each takes goes into docs/operations.md.
"""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from html import unescape
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import httpx

from benchmarks.stand import SCHEMA, Report, Stand
from cli.embedded.servers import free_ports
from models.access import api_keys
from models.catalogue import entries
from models.catalogue.entries import Entry
from models.db import transaction
from models.events import endpoints

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "operations.md"
BEGINS, ENDS = "<!-- night: written by `python -m benchmarks night` -->", "<!-- night ends -->"
FAILED_JOBS = 50
REASON = "three in the morning"
# What goes wrong, by the options of a sketch route.
TROUBLES: dict[str, dict[str, Any]] = {
    "night-broken": {"fail": "permanent"},
    "night-lost": {"forget": True, "recovery": "none"},
    "night-slow": {"delay_seconds": 600},
    "night-well": {},
}


class Task(NamedTuple):
    """What an operator wants, the command that does it, and the page: one that is read, or one whose form is sent."""

    wish: str
    command: list[str]
    page: str
    form: dict[str, str] | None = None


class Console:
    """Somebody who is signed in at the console, without a browser."""

    def __init__(self, url: str, secret: str) -> None:
        # The session's cookie is for https outside development; this far side is our own machine.
        policy = DefaultCookiePolicy(secure_protocols=("https", "http"))
        self._http = httpx.Client(base_url=url, cookies=CookieJar(policy), follow_redirects=True, timeout=60)
        self._send(self.read("/sign-in"), {"secret": secret})

    def read(self, page: str) -> str:
        """A page's text. Raises HTTPStatusError."""
        return self._http.get(f"/console{page}").raise_for_status().text

    def act(self, page: str, fields: dict[str, str]) -> None:
        """Open the page of an act, fill its form in, and send it."""
        self._send(self.read(page), fields)

    def _send(self, text: str, fields: dict[str, str]) -> None:
        form = next(each for each in _forms(text) if set(fields) <= each.fields)
        self._http.post(form.action, data={**form.hidden, **fields}).raise_for_status()


class _Form(NamedTuple):
    action: str
    hidden: dict[str, str]
    fields: set[str]


def _forms(text: str) -> Iterator[_Form]:
    for action, body in re.findall(r'<form[^>]*method="post"[^>]*action="([^"]+)"[^>]*>(.*?)</form>', text, re.DOTALL):
        hidden = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', body)
        yield _Form(
            unescape(action), {name: unescape(value) for name, value in hidden}, set(re.findall(r' name="([^"]+)"', body))
        )


def measure(stand: Stand, report: Report) -> None:
    """Bring the trouble about, do all twenty tasks both ways, and write the table."""
    secrets = stand.fresh()
    stand.environment.update(METRICS_PORT=str(free_ports(1)[0]))
    scene = _Scene(stand, secrets)
    rows = []
    for task in scene.tasks():
        by_command = _seconds(lambda task=task: scene.command(task.command))  # type: ignore[misc]  # bound at once
        page: Callable[[], object] = (
            (lambda task=task: scene.console.read(task.page))  # type: ignore[misc]  # as above
            if task.form is None
            else (lambda task=task: scene.console.act(task.page, task.form))  # type: ignore[misc]  # as above
        )
        by_page = _seconds(page)
        report.add(task.wish, by_command, "s", ratio=by_page / by_command, to=f"the command: its page {by_page:.2f} s")
        rows.append((task, by_command, by_page))
    write(rows)
