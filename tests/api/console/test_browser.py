"""The console in a real browser: somebody signs in, finds a job by its error, reads its story, corrects credits and signs out; axe-core
finds nothing serious on any page, in both themes, on a desk and on a phone.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from examples import browser
from examples.browser import Page
from models.db import transaction
from models.jobs.cancel import cancel
from tests.api.console.house import AXE, browser_waits, come_in, operator, press, serious, words, write
from tests.api.console.scenery import populate
from tests.models.operations.test_finding import failed
from tests.support import (
    System,
    account,
    assert_books_are_clean,
    balance,
    eventually,
    model,
    one,
    placed,
    rows,
)

pytestmark = [
    pytest.mark.skipif(browser.PROGRAM is None, reason="no Chromium on this machine: make tools"),
    pytest.mark.timeout(600),
]


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    with browser.browser(tmp_path) as found:
        found.resize(1280, 900)
        yield found


def test_somebody_finds_a_job_by_its_error_reads_its_story_and_corrects_credits(system: System, page: Page) -> None:
    boss, secret = operator("mara@headrace.example")
    there = populate(boss, jobs=40)
    system.start("api")
    page.go(f"{system.url}/console/sign-in")
    page.run("location.href = '/console/jobs?status=failed'")
    browser_waits(page, "location.search.startsWith('?next=') && document.querySelector('#secret')")
    write(page, "#secret", "hr_nothing")
    press(page, "Sign in")
    browser_waits(page, "document.querySelector('#secret-error')")
    write(page, "#secret", secret)
    press(page, "Sign in")
    browser_waits(
        page,
        "location.pathname === '/console/jobs' && document.querySelector('#find') && location.search === '?status=failed'",
    )
    write(page, "#find", "error:timed_out")
    page.run("document.querySelector('.find-form').requestSubmit()")
    browser_waits(
        page,
        f"location.search.includes('error=timed_out') && document.querySelector('a[href$=\"{there['failed']}\"]')",
    )
    page.run(f"document.querySelector('a[href$=\"{there['failed']}\"]').click()")
    browser_waits(page, f"location.pathname.endsWith('{there['failed']}') && document.querySelector('.tl')")
    for word in ("Ordered", "Attempt 1 at sketch failed", "504 from queue.fal.run after 60 s", "12 credits refunded"):
        assert word in words(page), word
    page.run("document.querySelector('.kv a[href*=accounts]').click()")
    browser_waits(page, f"location.pathname.endsWith('/accounts/{there['account']}')")
    before = balance(there["account"])[0]
    press(page, "Give credits…")
    browser_waits(page, "document.querySelector('#f-amount')")
    write(page, "#f-amount", "25")
    write(page, "#f-reason", "the film failed at their provider")
    press(page, "Give credits")
    browser_waits(page, "location.search === '?done=given' && document.querySelector('[role=status]')")
    assert "The credits are given." in words(page)
    assert balance(there["account"])[0] == before + 25
    assert rows("select details->>'reason' from acts where action = 'credits.grant' order by id desc limit 1") == [
        ("the film failed at their provider",)
    ]
    press(page, "Sign out")
    browser_waits(page, "location.pathname === '/console/sign-in'")
    page.go(f"{system.url}/console/sign-in")
    assert "mara" not in words(page)


def test_a_queue_is_paused_for_a_minute_and_fifty_failed_jobs_are_tried_again(system: System, page: Page) -> None:
    _, secret = operator()
    who, offer = account(amount=200, plan="studio"), model(price={"credits": 2})
    broken = [failed(placed(who, offer), "timed_out", "no answer") for _ in range(50)]
    system.start("api", "worker", "scheduler")
    come_in(page, system.url, secret)
    page.go(f"{system.url}/console/queues")
    page.run("document.querySelector('[aria-label=\"Pause interactive\"]').click()")
    browser_waits(page, "document.querySelector('#f-seconds')")
    write(page, "#f-seconds", "60")
    write(page, "#f-reason", "the provider is slow")
    press(page, "Pause it")
    browser_waits(page, "document.body.innerText.includes('Queue interactive is paused until')")
    page.go(f"{system.url}/console/jobs?status=failed&error=timed_out")
    press(page, "Retry…")
    browser_waits(page, "document.querySelector('.dry')")
    assert "50" in page.run("document.querySelector('.dry .figures').innerText")
    write(page, "#f-reason", "they were down")
    press(page, "Retry 50 jobs")
    browser_waits(page, "document.querySelector('progress.bar[value=\"50\"]')")  # the page refreshes itself
    waits = "select count(*) from job_runs where status = 'queued' and not dispatched"
    assert one(waits) == (50,), "they wait for their queue"
    page.go(f"{system.url}/console/queues")
    press(page, "Resume…")
    browser_waits(page, "document.querySelector('#f-reason')")
    write(page, "#f-reason", "fast again")
    press(page, "Resume it")
    browser_waits(page, "location.search === '?done=resumed'")
    again = "select count(*) from jobs where ended = 'succeeded' and retry_of = any(%s)"
    eventually(lambda: one(again, broken) == (50,), what="the end of all that was tried again", seconds=60)
    assert_books_are_clean()


def test_pages_are_refreshed_by_themselves_charts_are_read_by_key_and_copies_are_taken(
    system: System, page: Page
) -> None:
    boss, secret = operator()
    there = populate(boss, jobs=40)
    system.start("api")
    come_in(page, system.url, secret)
    assert page.run("document.querySelectorAll('.plot svg .ln').length") >= 6
    page.run("document.querySelector('.plot').focus()")
    page.run(
        "document.querySelector('.plot').dispatchEvent(new KeyboardEvent('keydown', { key: 'ArrowLeft', bubbles: true }))"
    )
    assert "succeeded" in page.run("document.querySelector('.chart .read').innerText")
    page.go(f"{system.url}/console/jobs/{there['running']}")
    assert "Running now" in words(page)
    page.run("window.stays = true")
    with transaction() as conn:
        cancel(conn, there["running"])
    eventually(lambda: "Asked to cancel" in words(page), what="the page to tell it")
    assert page.run("window.stays") is True
    page.run("document.querySelector('[data-live]').click()")
    assert page.run("document.querySelector('[data-live]').getAttribute('aria-pressed')") == "false"
    page.run("document.body.dispatchEvent(new KeyboardEvent('keydown', { key: '/', bubbles: true, cancelable: true }))")
    assert page.run("document.activeElement.id") == "find"
    assert page.run("performance.getEntriesByType('resource').every((each) => each.name.startsWith(location.origin))")


@pytest.mark.skipif(not AXE.exists(), reason="no axe-core on this machine: make tools")
def test_axe_finds_nothing_serious(system: System, page: Page) -> None:
    boss, secret = operator()
    there = populate(boss, jobs=60)
    system.start("api")
    paths = ["", "/jobs", f"/jobs/{there['told']}", f"/jobs/{there['running']}", "/queues", "/workers", "/providers", "/catalogue", "/catalogue/flux-schnell",
             "/accounts", f"/accounts/{there['account']}", f"/accounts/{there['account']}/grant", "/payments", "/webhooks", f"/webhooks/{there['webhook']}",
             "/scheduler", "/audit", "/activity", "/bulk", "/bulk/new?act=retry&status=failed", "/pauses/new", "/nothing"]  # fmt: skip
    page.go(f"{system.url}/console/sign-in")
    found = serious(page, "/sign-in")
    come_in(page, system.url, secret)
    for theme, width in (("light", 1440), ("dark", 390)):
        page.resize(width, 900)
        page.go(f"{system.url}/console/scheduler")
        page.run(f"document.querySelector('button[name=theme][value={theme}]').click()")
        browser_waits(page, f"document.documentElement.dataset.theme === '{theme}'")
        for path in paths:
            page.go(f"{system.url}/console{path}")
            found += serious(page, f"{path} {theme} {width}")
    assert found == []
