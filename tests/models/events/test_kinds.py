"""One vocabulary of events: whoever names a kind has it from `models.events.kinds`."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args
from uuid import uuid4

import orjson
import pytest

from api.live import hub
from api.live.redis_wakes import understood
from api.main import make_app
from api.v1.jobs_shapes import JobEvent
from models.events import kinds
from models.events.notifications import NOTICES

ROOT = Path(__file__).resolve().parents[3]
ALL = {*kinds.STORED, *kinds.LIVE}
OTHERS = {"webhook.test"}  # what is written like a kind and is none: a delivery that no event has made
ACT = re.compile(
    r"""record\(\s*conn,\s*[\w.]+(?:\(\))?,\s*"[a-z_.]+"|action = '[a-z_.]+'|ForeignKey\("[a-z_.]+"\)"""
)  # nor is an act of the audit log, or a column
FIRST = "|".join(sorted({kind.partition(".")[0] for kind in ALL}))
NAMED = re.compile(rf"""['"]((?:{FIRST})\.(?!html)[a-z_]+)['"]""")  # a page of the console is none
# Statements that write events of their own; each goes on to `events.follow_up`, or is called by what does.
WRITERS = {"models/events/events.py", "models/jobs/submit.py", "models/jobs/write_end_v3.sql"}


def sources() -> Iterator[tuple[str, str]]:
    for package in ("api", "workers", "scheduler", "models", "cli"):
        for path in (ROOT / package).rglob("*"):
            if path.suffix in {".py", ".sql"} and "versions" not in path.parts:
                yield str(path.relative_to(ROOT)), path.read_text()


def test_no_kind_is_there_twice() -> None:
    assert len(ALL) == len(kinds.STORED) + len(kinds.LIVE)


def test_code_names_only_kinds_that_there_are() -> None:
    assert NAMED.findall("""add(conn, "job.vanished") 'credits.low'""") == ["job.vanished", "credits.low"]
    found = {(path, kind) for path, text in sources() for kind in NAMED.findall(ACT.sub("", text))}
    assert len(found) > 30
    assert {(path, kind) for path, kind in found if kind not in ALL | OTHERS} == set()


def test_events_are_written_in_named_places_alone() -> None:
    assert {path for path, text in sources() if re.search(r"insert\s+into\s+events\b", text)} == WRITERS


def test_the_page_on_events_has_each_kind_and_no_other() -> None:
    table = (ROOT / "docs/events.md").read_text().partition("|---|---|\n")[2].partition("\n\n")[0]
    found: list[str] = []
    for row in table.splitlines():
        first = ""
        for name in re.findall(r"`([a-z.]+)`", row.split("|")[1]):
            first = first or name
            found.append(first.partition(".")[0] + name if name.startswith(".") else name)
    assert sorted(found) == sorted(ALL)


def test_the_page_on_webhooks_has_each_kind_that_is_delivered() -> None:
    text = (ROOT / "docs/webhooks.md").read_text().partition("\nEvents: ")[2].partition(". Running")[0]
    found: list[str] = []
    for name in re.findall(r"`([a-z.]+)`", text):
        found.append(found[-1].partition(".")[0] + name if name.startswith(".") else name)
    assert sorted(found) == sorted(kinds.STORED)


def _enums(schema: Any) -> Iterator[list[str]]:
    if isinstance(schema, dict):
        if "enum" in schema:
            yield schema["enum"]
        for each in schema.values():
            yield from _enums(each)
    elif isinstance(schema, list):
        for each in schema:
            yield from _enums(each)


def test_the_openapi_document_has_them() -> None:
    shapes = make_app().openapi()["components"]["schemas"]
    for name in ("NewWebhook", "WebhookChange"):
        assert list(_enums(shapes[name]["properties"]["events"])) == [list(kinds.STORED)]
    assert list(_enums(shapes["JobRequest"]["properties"]["webhook_events"])) == [list(kinds.JOB_EVENTS)]
    said = shapes["Event"]["properties"]["type"]["description"]
    assert set(re.findall(r"[a-z]+\.[a-z]+|announcement", said)) == ALL


def test_streams_and_orders_know_the_same_kinds() -> None:
    assert set(kinds.JOB_ENDS) == hub.ENDS
    assert set(kinds.JOB_ENDS) <= set(kinds.JOB_EVENTS) <= set(kinds.STORED)
    assert get_args(JobEvent) == kinds.JOB_EVENTS


def test_people_are_notified_of_kinds_that_there_are() -> None:
    assert set(NOTICES) <= set(kinds.STORED)


@pytest.mark.parametrize("kind", kinds.LIVE)
def test_what_is_only_live_is_understood(kind: str) -> None:
    who, job = uuid4(), uuid4()
    said, nonsense = understood(orjson.dumps([[who, kind, job, {"reason": "later"}]]))
    assert (said, nonsense) == ([(who, (kind, job, {"reason": "later"}))], 0)
