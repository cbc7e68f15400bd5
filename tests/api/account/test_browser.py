"""An account's own pages in a real browser: somebody signs in, sees a price, orders, watches it end, sees the picture, copies the request
and runs it, makes a key and revokes it; axe-core finds nothing serious. With HEADRACE_PICTURES, pictures of all pages are written there.
"""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from examples import browser
from examples.browser import Page
from models.db import transaction
from tests.api.account.test_input_forms import HARD
from tests.api.console.house import AXE, browser_waits, come_in, operator, press, serious, words, write
from tests.api.console.scenery import populate
from tests.api.console.test_shots import WIDTHS, write_small
from tests.support import System, account, balance, eventually, key_of, one, rows

FOLDER = os.environ.get("HEADRACE_PICTURES")

pytestmark = [
    pytest.mark.skipif(browser.PROGRAM is None, reason="no Chromium on this machine: make tools"),
    pytest.mark.timeout(600),
]


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    with browser.browser(tmp_path) as found:
        found.resize(1280, 900)
        yield found


def test_somebody_tries_a_model_copies_the_request_and_makes_a_key(system: System, page: Page) -> None:
    who = account(amount=20)
    secret = key_of(who)
    system.start("api", "worker")
    come_in(page, system.url, secret, "account")
    assert "20" in words(page)
    press(page, "Try a model")
    browser_waits(
        page,
        "location.pathname === '/account/try' && document.querySelectorAll('a[href$=\"model=sketch-image\"]').length === 1",
    )
    page.run("document.querySelector('a[href$=\"model=sketch-image\"]').click()")
    browser_waits(page, "document.querySelectorAll('textarea[name=\"in.prompt\"]').length === 1")
    write(page, 'textarea[name="in.prompt"]', str(HARD["prompt"]).replace("\n", " "))
    press(page, "See the price")
    browser_waits(page, "document.body.innerText.includes('Order for 1 credit')")
    assert balance(who) == (20, 0)
    press(page, "Order for 1 credit")
    browser_waits(page, "location.search.startsWith('?job=')")
    eventually(lambda: rows("select ended from jobs") == [("succeeded",)], seconds=90, what="the picture")
    browser_waits(
        page, "document.querySelector('.shot img') && document.querySelector('.shot img').naturalWidth === 768"
    )
    assert "Succeeded" in words(page)
    assert "1 credit charged" in words(page)
    code = page.run("document.querySelector('#code-curl').textContent")
    assert "$HEADRACE_API_KEY" in code
    ran = subprocess.run(
        ["bash", "-c", code],
        env={**os.environ, "HEADRACE_API_KEY": secret},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert '"model":"sketch-image"' in ran.stdout
    assert one("select count(*), count(distinct input) from jobs") == (2, 1)
    page.go(f"{system.url}/account/keys/new")
    write(page, "#f-name", "render farm")
    press(page, "Make the key")
    browser_waits(page, "document.querySelectorAll('#secret-made').length === 1")
    made = page.run("document.querySelector('#secret-made').textContent")
    assert made.startswith("hr_")
    press(page, "I have kept it")
    browser_waits(page, "location.pathname === '/account/keys' && document.querySelectorAll('tbody').length === 1")
    assert made not in page.run("document.documentElement.outerHTML")
    page.run(
        "[...document.querySelectorAll('tbody tr')].find((each) => each.innerText.includes('render farm')).querySelector('a.danger').click()"
    )
    browser_waits(page, "location.pathname.endsWith('/revoke') && document.readyState === 'complete'")
    press(page, "Revoke the key")
    browser_waits(page, "location.search === '?done=revoked' && document.querySelectorAll('[role=status]').length > 0")
    assert rows("select revoked_at is not null from api_keys where name = 'render farm'") == [(True,)]
    assert page.run("performance.getEntriesByType('resource').every((each) => each.name.startsWith(location.origin))")


def scene(system: System) -> tuple[str, dict[str, str]]:
    """A customer with some history. Returns a key, and the pages to look at."""
    boss, _ = operator()
    there: dict[str, Any] = populate(boss, jobs=200)
    who: UUID = there["account"]
    with transaction() as conn:
        conn.execute("update webhook_endpoints set failing_since = null where account_id = %s", [who])
    system.start("api")
    paths = {
        "balance": "", "use": "/use", "models": "/try", "try": "/try?model=flux-schnell", "tried": f"/try?job={there['told']}", "watch": f"/try?job={there['running']}",
        "jobs": "/jobs", "job": f"/jobs/{there['failed']}", "running": f"/jobs/{there['running']}", "cancel": f"/jobs/{there['running']}/cancel", "keys": "/keys", "new-key": "/keys/new",
        "webhooks": "/webhooks", "webhook": f"/webhooks/{there['webhook']}", "new-webhook": "/webhooks/new", "payments": "/payments", "nothing": "/nothing",
    }  # fmt: skip
    return key_of(who), paths


def choose_theme(page: Page, url: str, theme: str) -> None:
    page.go(f"{url}/account/keys")
    page.run(f"document.querySelector('button[name=theme][value={theme}]').click()")
    browser_waits(page, f"document.documentElement.dataset.theme === '{theme}'")


@pytest.mark.skipif(not AXE.exists(), reason="no axe-core on this machine: make tools")
def test_axe_finds_nothing_serious(system: System, page: Page) -> None:
    secret, paths = scene(system)
    page.go(f"{system.url}/account/sign-in")
    found = serious(page, "/sign-in")
    come_in(page, system.url, secret, "account")
    for theme, width in (("light", 1440), ("dark", 390)):
        page.resize(width, 900)
        choose_theme(page, system.url, theme)
        for path in paths.values():
            page.go(f"{system.url}/account{path}")
            found += serious(page, f"{path} {theme} {width}")
    assert found == []


@pytest.mark.skipif(FOLDER is None, reason="HEADRACE_PICTURES names no folder")
def test_pictures_are_taken(system: System, page: Page) -> None:
    folder = Path(FOLDER or "")
    folder.mkdir(parents=True, exist_ok=True)
    secret, paths = scene(system)
    come_in(page, system.url, secret, "account")
    for theme in ("light", "dark"):
        choose_theme(page, system.url, theme)
        for width, height in WIDTHS.items():
            page.resize(width, height)
            for name, path in paths.items():
                page.go(f"{system.url}/account{path}")
                wide = page.run("document.documentElement.scrollWidth")
                assert wide <= width, f"{name} at {width}: {wide}"
                page.resize(width, min(2400, max(height, page.run("document.documentElement.scrollHeight"))))
                write_small(folder / f"{name}-{width}-{theme}.png", page.picture())
                page.resize(width, height)
