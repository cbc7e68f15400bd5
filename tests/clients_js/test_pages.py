"""@headrace/react in a real browser: tabs, sleep, lost lines, and what is left behind."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import httpx
import pytest

from examples.browser import PROGRAM, Page, browser
from models.access.audit_log import By
from models.db import transaction
from models.jobs import pauses
from tests.clients_js.house import BUILT, CLIENTS, ClientHouse, needs_clients, run_node
from tests.proxies import Mode
from tests.support import balance, ended, eventually

pytestmark = [
    needs_clients,
    pytest.mark.skipif(
        PROGRAM is None and os.environ.get("CI") != "true", reason="no Chromium on this machine: make tools"
    ),
]
SLEEP_SECONDS = int(os.environ.get("SLEEP_SECONDS", "0"))  # 600 by hand: a laptop that was shut
BURST = 300
BUNDLE = """
import { build } from "esbuild";
const made = await build({ entryPoints: ["tests/page.jsx"], bundle: true, format: "iife", jsx: "automatic", write: false,
  define: { "process.env.NODE_ENV": '"development"' } });
process.stdout.write(made.outputFiles[0].text);
"""


def page_script() -> bytes:
    """What the site serves: the page, in development, so that strict mode does everything twice."""
    return run_node("--input-type=module", given=BUNDLE).encode() if BUILT.exists() and CLIENTS.exists() else b""


@pytest.fixture
def window(tmp_path: Path) -> Iterator[Page]:
    with browser(tmp_path) as page:
        yield page


@pytest.fixture
def arrive(house: ClientHouse) -> Iterator["Arrive"]:
    """Makes somebody with so many credits."""
    with ExitStack() as leaving:
        yield lambda credits=100: leaving.enter_context(closing(Visitor(house, credits)))


class Visitor:
    """Somebody with an account, their tabs, and a program of theirs that orders besides."""

    def __init__(self, house: ClientHouse, credits: int) -> None:
        self.house = house
        self.account_id: UUID
        self.account_id, self.key = house.key(credits=credits)
        self.api = httpx.Client(base_url=house.system.url, headers={"authorization": f"Bearer {self.key}"}, timeout=30)
        house.site.token = self._token

    def close(self) -> None:
        """They have gone."""
        self.api.close()

    def _token(self) -> dict[str, Any]:
        wanted = {"may": ["read", "stream", "generate"], "credits": 100, "seconds": 60}
        made: dict[str, Any] = self.api.post("/v1/tokens", json=wanted).raise_for_status().json()
        return made

    def opens(self, tab: Page, *, through: str = "", **asked: str) -> Page:
        """The product's page in a tab, once it knows the account."""
        tab.go(f"{self.house.site.url}/?{urlencode({'api': through or self.house.system.url, **asked})}")
        self.waits(tab, "seen.loading === false && seen.open", what="the page's snapshot")
        return tab

    def waits(self, tab: Page, condition: str, *, what: str) -> None:
        """Until a condition holds in a tab."""
        try:
            eventually(lambda: bool(tab.run(condition)), what=what)
        except AssertionError as error:
            raise AssertionError(f"{error}; it sees {tab.run('JSON.stringify([seen, types, requests])')}") from error

    def orders(self, count: int = 1, model: str = "quick") -> list[str]:
        """Jobs that no page has ordered."""
        asked = [self.api.post("/v1/jobs", json={"model": model, "input": {}}) for _ in range(count)]
        return [each.raise_for_status().json()["id"] for each in asked]

    def sees(self, tab: Page, jobs: list[str], *, status: str = "succeeded") -> None:
        """Until a tab shows these jobs in a state, read whole, and the balance that goes with them; nothing was missed on the way."""
        self.waits(tab, f"{jobs}.every((id) => seen.jobs[id] === '{status}')", what=f"{len(jobs)} jobs {status}")
        available, reserved = balance(self.account_id)
        self.waits(tab, f"seen.available === {available} && seen.reserved === {reserved}", what="the balance")
        numbers = tab.run("numbers")
        assert numbers == list(range(numbers[0], numbers[-1] + 1)) if numbers else True


Arrive = Callable[..., Visitor]


def one_stream(house: ClientHouse, count: int = 1) -> None:
    eventually(lambda: house.streams() == count, what=f"{count} streams")


def test_two_tabs_have_one_stream_and_who_is_left_takes_it_over(
    house: ClientHouse, window: Page, arrive: Arrive
) -> None:
    who = arrive()
    before = who.orders(2)
    for job in before:
        ended(who.api, job)
    first = who.opens(window)
    assert first.run("Object.keys(seen.jobs).length") == 2
    second = who.opens(first.another())
    one_stream(house)
    first.run("generate.submit({}).then(() => 0)")
    who.waits(first, "made.status === 'succeeded' && made.outputs === 1", what="the page's own job")
    job = first.run("made.id")
    for tab in (first, second):
        who.sees(tab, [job, *before])
        who.waits(tab, "seen.checked === 3", what="all of the job")
    slow = who.orders(2, "slow")
    who.sees(second, slow, status="running")
    first.close()
    one_stream(house)
    who.sees(second, slow)
    assert second.run("types.filter((type) => type === 'snapshot').length") == 0
    assert second.run("requests.filter((each) => each === 'GET /v1/jobs').length") == 0


@pytest.mark.timeout(240 + SLEEP_SECONDS)
def test_a_page_that_slept_catches_up_from_where_it_was(house: ClientHouse, window: Page, arrive: Arrive) -> None:
    """Its stream is gone when it wakes: what it missed is on the next one."""
    who = arrive()
    tab = who.opens(window)
    snapshots = "types.filter((type) => type === 'snapshot').length"
    assert tab.run(snapshots) == 1
    who.sees(tab, who.orders())
    tab.freeze()
    one_stream(house, 0)
    missed = who.orders(3)
    for job in missed:
        ended(who.api, job)
    time.sleep(SLEEP_SECONDS)
    tab.freeze(frozen=False)
    who.sees(tab, missed)
    one_stream(house)
    assert tab.run(snapshots) == 1


def test_a_burst_of_hundreds_is_followed_by_few_requests(house: ClientHouse, window: Page, arrive: Arrive) -> None:
    """Jobs that end at the same time are read together, by one of the tabs."""
    who = arrive(1000)
    with transaction() as conn:
        conn.execute("update accounts set plan_id = 'enterprise' where id = %s", [who.account_id])
    tab = who.opens(window)
    other = who.opens(tab.another())
    lines = "".join('{"model": "quick", "input": {}, "queue": "interactive"}\n' for _ in range(BURST))
    headers = {"content-type": "application/x-ndjson"}
    who.api.post("/v1/batches", content=lines, headers=headers).raise_for_status()
    for each in (tab, other):
        who.waits(
            each, f"Object.values(seen.jobs).filter((s) => s === 'succeeded').length === {BURST}", what="the burst"
        )
        who.waits(each, f"seen.checked === {BURST}", what="all of each job")
    who.sees(tab, [])
    asked = [each for page in (tab, other) for each in page.run("requests") if each.startswith("GET /v1/jobs")]
    assert len(asked) <= BURST / 10, asked


def test_a_tab_that_froze_without_a_word_is_robbed_of_the_stream_and_joins_again(
    house: ClientHouse, window: Page, arrive: Arrive
) -> None:
    who = arrive()
    deaf = who.opens(window, deaf="1", quick="10")
    awake = who.opens(deaf.another(), quick="10")
    one_stream(house)
    deaf.freeze()
    house.restart_api()
    missed = who.orders(2)
    who.sees(awake, missed)
    deaf.freeze(frozen=False)
    who.sees(deaf, missed)
    who.sees(deaf, who.orders())
    one_stream(house)


def test_a_line_that_is_lost_and_an_api_that_restarts_leave_no_gap(
    house: ClientHouse, window: Page, arrive: Arrive
) -> None:
    who = arrive()
    tab = who.opens(window, through=house.line.place(house.system.url))
    with house.line.being(Mode.REFUSE):
        who.waits(tab, "!seen.open && seen.error", what="a page without a line")
        missed = who.orders(2)
    tab.run("window.dispatchEvent(new Event('online')); 0")
    who.sees(tab, missed)
    slow = who.orders(1, "slow")
    house.restart_api()
    who.sees(tab, slow)
    assert tab.run("[seen.error ?? null, seen.open]") == [None, True]


def test_a_job_that_begins_while_a_page_has_no_line_is_running_when_it_is_back(
    house: ClientHouse, window: Page, arrive: Arrive
) -> None:
    """That it runs is no event of those that are kept: whoever resumes is told it again."""
    who = arrive()
    tab = who.opens(window, through=house.line.place(house.system.url))
    with transaction() as conn:
        pauses.pause(conn, By("tester"), "model", "slower", "so that it waits")
    jobs = who.orders(1, "slower")
    who.sees(tab, jobs, status="queued")
    who.waits(
        tab,
        "types.includes('job.queued') && requests.includes('GET /v1/jobs/' + Object.keys(seen.jobs)[0])",
        what="all of it",
    )
    with house.line.being(Mode.REFUSE):
        who.waits(tab, "!seen.open && seen.error", what="a page without a line")
        with transaction() as conn:
            pauses.resume(conn, By("tester"), "model", "slower", "it may go on")
        eventually(lambda: who.api.get(f"/v1/jobs/{jobs[0]}").json()["status"] == "running", what="a running job")
    tab.run("window.dispatchEvent(new Event('online')); 0")
    who.sees(tab, jobs, status="running")
    who.api.post(f"/v1/jobs/{jobs[0]}/cancel").raise_for_status()
    who.sees(tab, jobs, status="canceled")


def test_orders_are_priced_refused_canceled_and_looked_at(house: ClientHouse, window: Page, arrive: Arrive) -> None:
    """With a key for a token: those for browsers may not cancel."""
    who = arrive(1)
    house.site.token = lambda: {"token": who.key, "account": str(who.account_id)}
    tab = who.opens(window, model="slower")
    tab.run("generate.price({}).then(() => 0)")
    who.waits(tab, "made.price === 1", what="a price")
    tab.run("generate.submit({}).then(() => 0)")
    who.waits(tab, "made.status === 'running'", what="a running job")
    job = tab.run("made.id")
    assert tab.run("generate.submit({}).catch((error) => error.code)") == "not_enough_credits"
    who.waits(tab, "made.error === 'not_enough_credits' && made.status === 'idle'", what="a refusal")
    who.api.post(f"/v1/jobs/{job}/cancel").raise_for_status()
    who.sees(tab, [job], status="canceled")
    tab.run(f"look('{job}'), 0")
    who.waits(tab, "one.status === 'canceled'", what="one job")
    tab.run("look('0198c0de-0000-7000-8000-000000000000'), 0")
    who.waits(tab, "one.error === 'not_found' && !one.loading", what="a job that is none")
    tab.run("generate.submit({}).then(() => generate.cancel()).then(() => 0)")
    who.waits(tab, "made.status === 'canceled'", what="a canceled order")


def test_what_is_unmounted_in_mid_flight_or_never_mounted_leaves_nothing_behind(
    house: ClientHouse, window: Page, arrive: Arrive
) -> None:
    who = arrive()
    tab = who.opens(window)
    assert tab.run("holds()") == {"listeners": 6, "intervals": 2, "channels": 1, "locks": 1}
    tab.run("show('late'), 0")  # it suspends before it was ever mounted
    who.waits(tab, "document.body.innerText === 'later'", what="a page that waits")
    nothing = {"listeners": 0, "intervals": 0, "channels": 0, "locks": 0}
    eventually(lambda: tab.run("holds()") == nothing, what="nothing held")
    one_stream(house, 0)
    tab.run("resume(), 0")
    who.waits(tab, "window.late === 'there 0 100'", what="a page that waited")
    one_stream(house)
    tab.run("show('order'), 0")
    who.waits(tab, "generate.status === 'idle'", what="an order form")
    tab.run("void generate.submit({}), void generate.price({}), leave(), 0")
    eventually(lambda: tab.run("holds()") == nothing, what="nothing held")
    one_stream(house, 0)


def test_where_tabs_cannot_speak_each_has_a_stream(house: ClientHouse, window: Page, arrive: Arrive) -> None:
    who = arrive()
    first = who.opens(window, alone="1")
    second = who.opens(first.another(), alone="1")
    one_stream(house, 2)
    jobs = who.orders()
    who.sees(first, jobs)
    who.sees(second, jobs)
