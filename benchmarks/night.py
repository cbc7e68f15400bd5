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
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import httpx

from benchmarks.stand import SCHEMA, Report, Stand
from models.access import api_keys
from models.catalogue import entries
from models.catalogue.entries import Entry
from models.catalogue.providers import ProviderEntry
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
    "night-slow": {"pending": True, "ready_seconds": 600},
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
        self._http = httpx.Client(base_url=url, follow_redirects=True, timeout=60)
        self._send(self.read("/sign-in"), {"secret": secret})

    def read(self, page: str) -> str:
        """A page's text. Raises HTTPStatusError."""
        return self._http.get(f"/console{page}").raise_for_status().text

    def act(self, page: str, fields: dict[str, str]) -> None:
        """Open the page of an act, fill its form in, and send it."""
        self._send(self.read(page), fields)

    def _send(self, text: str, fields: dict[str, str]) -> None:
        form = next(
            each for each in _forms(text) if {"once", "secret"} & each.fields
        )  # not those of theme and sign-out
        self._http.post(form.action, data={**form.hidden, **fields}).raise_for_status()


class _Form(NamedTuple):
    action: str
    hidden: dict[str, str]
    fields: set[str]


def _forms(text: str) -> Iterator[_Form]:
    for action, body in re.findall(r'<form[^>]*method="post"[^>]*action="([^"]+)"[^>]*>(.*?)</form>', text, re.DOTALL):
        hidden = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', body)
        yield _Form(
            unescape(action),
            {name: unescape(value) for name, value in hidden},
            set(re.findall(r' name="([^"]+)"', body)),
        )


def measure(stand: Stand, report: Report) -> None:
    """Bring the trouble about, do all twenty tasks both ways, and write the table."""
    scene = Scene(stand)
    rows = []
    for task in scene.tasks():
        began = time.monotonic()
        scene.command(task.command)
        told = time.monotonic()
        scene.open(task)
        by_command, by_page = told - began, time.monotonic() - told
        report.add(task.wish, by_command, "s", ratio=by_page / by_command, to=f"it; page {by_page:.2f} s")
        rows.append((task, by_command, by_page))
    write(rows)


class Scene:
    """A system in trouble, and an operator."""

    def __init__(self, stand: Stand) -> None:
        stand.environment["SKETCH_BOOK"] = str(
            stand.folder / "sketch.db"
        )  # it remembers what it began and did not answer
        secrets = stand.fresh()
        self.stand = stand
        with transaction() as conn:
            far = ProviderEntry(name="far", adapter="replicate", base_url="https://far.invalid")
            entries.apply(conn, [_entry(name, options) for name, options in TROUBLES.items()], [far])
            first, second, self.account = (
                row[0] for row in conn.execute("select id from accounts order by id limit 3").fetchall()
            )
            conn.execute("update users set role = 'admin' where id = %s", [first])  # an account's id is its user's here
            operator = api_keys.NewKey("night", scopes=("read", "admin"))
            _, self.secret = api_keys.create(conn, first, operator)
            self.webhook = endpoints.create(conn, self.account, "https://headrace.invalid/hook", ["job.failed"])[0].id
        self.other = second
        stand.start("api", extra={"ENVIRONMENT": "development"})  # a console's cookie is for https elsewhere
        stand.start("worker", "scheduler", "deliver")
        self.http = httpx.Client(
            base_url=f"http://127.0.0.1:{stand.port}", headers={"authorization": f"Bearer {secrets[2]}"}, timeout=60
        )
        self.failed = self.order("night-broken", FAILED_JOBS)
        self.lost, self.well = self.order("night-lost", 4), self.order("night-well", 4)
        self.slow = self.order("night-slow", 4)
        wait_for(lambda: self.count(status="failed", model="night-broken") == FAILED_JOBS, "the failed jobs")
        wait_for(lambda: self.count(status="reconciling", model="night-lost") == len(self.lost), "the parked jobs")
        wait_for(lambda: self.count(status="succeeded", model="night-well") == len(self.well), "the jobs that are well")
        wait_for(lambda: self.count(status="running", model="night-slow") >= 1, "the jobs that run")
        self.console = Console(f"http://127.0.0.1:{stand.port}", self.secret)

    def order(self, model: str, count: int) -> list[str]:
        """Order so many jobs of a model."""
        found = []
        for _ in range(count):
            answer = self.http.post("/v1/jobs", json={"model": model, "input": {"prompt": "a harbour"}})
            found.append(answer.raise_for_status().json()["id"])
        return found

    def count(self, **wanted: str) -> int:
        """How many jobs an operator finds."""
        answer = self.http.get(
            "/v1/admin/jobs", params={**wanted, "limit": 100}, headers={"authorization": f"Bearer {self.secret}"}
        )
        return len(answer.raise_for_status().json()["data"])

    def workers(self) -> list[str]:
        """The names of the worker processes that are there."""
        answer = self.http.get("/v1/admin/workers", headers={"authorization": f"Bearer {self.secret}"})
        return [each["id"] for each in answer.raise_for_status().json()["workers"]]

    def command(self, arguments: list[str]) -> None:
        """Run `headrace`. Raises CalledProcessError."""
        environment = {**os.environ, **self.stand.environment, "COLUMNS": "80"}
        done = subprocess.run(
            [sys.executable, "-c", "from cli.main import main; main()", *arguments],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"headrace {' '.join(arguments)}: {done.stdout[-600:]}{done.stderr[-600:]}")

    def open(self, task: Task) -> None:
        """Look at a task's page, or send the form that is on it."""
        if task.form is None:
            self.console.read(task.page)
        else:
            self.console.act(task.page, task.form)

    def tasks(self) -> Iterator[Task]:
        """Twenty tasks, in the order in which a night has them. What is done by command is done to something else by page."""
        why, says = ["--reason", REASON], {"reason": REASON}
        wanted = {"status": "failed", "model": "night-broken"}
        where = [part for name, value in wanted.items() for part in ("--where", f"{name}={value}")]
        yield Task("Is all that should run there, and well?", ["doctor"], "")
        yield Task("How long are the lines, and whose?", ["ops", "queues"], "/queues")
        yield Task("Which workers are there, and what is each at?", ["ops", "workers"], "/workers")
        yield Task("Which provider fails?", ["queues"], "/providers")
        yield Task("Which jobs failed, with what error?", ["ops", "find", *where], f"/jobs?{urlencode(wanted)}")
        yield Task("What happened to this job?", ["ops", "story", self.failed[0]], f"/jobs/{self.failed[1]}")
        yield Task(
            "Let nothing of this model begin for half an hour", ["ops", "pause", "model", "night-slow", "--minutes", "30", *why],
            "/pauses/new", {"what": "model", "name": "night-broken", "seconds": "1800", **says},
        )  # fmt: skip
        yield Task(
            "Let it go on", ["ops", "resume", "model", "night-slow", *why],
            "/pauses/resume?what=model&name=night-broken", says,
        )  # fmt: skip
        yield Task(
            "Ask nothing of this provider for ten minutes", ["ops", "rest", "far", "--seconds", "600", *why],
            "/providers/far/rest", {"seconds": "600", **says},
        )  # fmt: skip
        yield Task("Ask it again", ["ops", "wake", "far", *why], "/providers/far/wake", says)
        yield Task(
            f"How many jobs would be tried again, and for how many credits? ({FAILED_JOBS} failed)",
            ["ops", "bulk", "retry", *where, "--dry-run", *why], f"/bulk/new?{urlencode({'act': 'retry', **wanted})}",
        )  # fmt: skip
        yield Task(
            f"Try the {FAILED_JOBS} again, and see it done", ["ops", "bulk", "retry", *where, "--yes", *why],
            f"/bulk/new?{urlencode({'act': 'retry', **wanted})}", says,
        )  # fmt: skip
        yield Task("Whose outcome does nobody know?", ["parked"], "/jobs?status=reconciling")
        yield Task(
            "Give this one up: its credits go back",
            ["ops", "discard", self.lost[0], *why],
            f"/jobs/{self.lost[1]}/discard",
            says,
        )
        yield Task(
            "Give back what this job cost", ["ops", "refund", self.well[0], *why], f"/jobs/{self.well[1]}/refund", says
        )
        yield Task("Stop this job", ["ops", "cancel", self.slow[0], *why], f"/jobs/{self.slow[1]}/cancel", says)
        yield Task(
            "Give an account credits", ["grant", "25", "--account", str(self.account), *why],
            f"/accounts/{self.account}/grant", {"amount": "25", **says},
        )  # fmt: skip
        yield Task(
            "Send a job's webhooks again",
            ["ops", "replay", self.failed[2], *why],
            f"/jobs/{self.failed[3]}/replay",
            says,
        )
        yield Task("Who did what tonight?", ["acts", "--limit", "50"], "/activity")
        yield Task("Are the books right?", ["audit"], "/audit/prove", says)


def wait_for(check: Callable[[], bool], what: str, seconds: float = 120) -> None:
    """Wait until something is so. Raises TimeoutError."""
    end = time.monotonic() + seconds
    while not check():
        if time.monotonic() > end:
            raise TimeoutError(f"{what} did not come within {seconds:g} s")
        time.sleep(0.2)


def write(rows: list[tuple[Task, float, float]]) -> None:
    """Put the table into the document."""
    lines = ["| wish | command | s | page | s |", "|---|---|---|---|---|"]
    for task, by_command, by_page in rows:
        page = f"`/console{shown(task.page)}`" + (" and its button" if task.form is not None else "")
        lines.append(
            f"| {task.wish} | `headrace {shown(' '.join(_quoted(task.command)))}` | {by_command:.1f} | {page} | {by_page:.2f} |"
        )
    text = DOCUMENT.read_text()
    before, _, rest = text.partition(BEGINS)
    DOCUMENT.write_text("\n".join((before + BEGINS, *lines, ENDS)) + rest.partition(ENDS)[2])


def shown(text: str) -> str:
    """What was said, with words in place of this night's ids."""
    text = re.sub(r"(/accounts/|--account )[0-9a-f-]{36}", r"\1ACCOUNT", text)
    return re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "JOB", text)


def _quoted(arguments: list[str]) -> Iterator[str]:
    for each in arguments:
        yield "WHY" if each == REASON else each


def _entry(name: str, options: dict[str, Any]) -> Entry:
    return Entry.model_validate(
        {
            "id": name, "name": name, "kind": "image", "input_schema": SCHEMA, "price": {"unit": "job", "credits": 1},
            "routes": [{"provider": "sketch", "model": "image", "options": {"instant": True, **options}}],
        }
    )  # fmt: skip
