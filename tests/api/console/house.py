"""Somebody who is signed in at the console, for its tests."""

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from html import unescape
from pathlib import Path
from typing import Any
from uuid import UUID

from httpx import Response
from starlette.testclient import TestClient

from api.main import make_app
from examples.browser import BrowserFault, Page
from models.access import api_keys
from models.db import transaction
from tests.support import account, eventually

AXE = Path(__file__).resolve().parents[3] / ".headrace" / "tools" / "axe.min.js"


def operator(email: str = "mara@example.com") -> tuple[UUID, str]:
    """An account whose user is an admin, and an admin key of it."""
    who = account()
    with transaction() as conn:
        conn.execute(
            "update users set role = 'admin', email = %s where id = (select user_id from accounts where id = %s)",
            [email, who],
        )
        return who, api_keys.create(conn, who, api_keys.NewKey("console", scopes=("read", "admin")))[1]


@contextmanager
def console() -> Iterator[TestClient]:
    """The API, whose redirects are looked at."""
    with TestClient(
        make_app(), base_url="https://console.example", raise_server_exceptions=False, follow_redirects=False
    ) as client:
        yield client


def token_in(page: Response) -> str:
    """The form token of a page."""
    found = re.search(r'name="form_token" value="([^"]+)"', page.text)
    assert found is not None, page.text
    return unescape(found[1])


def sign_in(http: TestClient, secret: str, site: str = "console", **fields: str) -> Response:
    """Open the form, fill it in, send it."""
    form = http.get(f"/{site}/sign-in")
    return http.post(f"/{site}/sign-in", data={"form_token": token_in(form), "secret": secret, **fields})


def send(http: TestClient, path: str, page: str = "/console/jobs", **fields: str) -> Response:
    """Send a form with the token of a page."""
    return http.post(path, data={"form_token": token_in(http.get(page)), **fields})


# In a browser


def come_in(page: Page, url: str, secret: str, site: str = "console") -> None:
    """Sign in as a person does."""
    page.go(f"{url}/{site}/sign-in")
    page.run(f"document.querySelector('#secret').value = {secret!r}; document.querySelector('form').requestSubmit()")
    browser_waits(page, f"location.pathname === '/{site}' && document.readyState === 'complete'")


def browser_waits(page: Page, expression: str) -> None:
    """Until this is so; while a page gives way to another there is none to ask."""

    def is_so() -> bool:
        try:
            return bool(page.run(f"Boolean({expression})"))  # a part of the page would come as an empty object
        except BrowserFault:
            return False

    eventually(is_so, seconds=60, what=expression)


def press(page: Page, text: str) -> None:
    """Follow the link, or press the button, that says this, once it is there: a page has its address before it is read whole."""
    found = f"[...document.querySelectorAll('main a, main button, nav button')].find((each) => each.innerText.trim() === {json.dumps(text)})"
    browser_waits(page, found)
    page.run(f"{found}.click()")


def write(page: Page, field: str, text: str) -> None:
    """Type into a field."""
    page.run(f"document.querySelector('{field}').value = {json.dumps(text)}")


def words(page: Page) -> str:
    found: str = page.run("document.body.innerText")
    return found


def serious(page: Page, where: str) -> list[Any]:
    """What axe-core holds against a page. Its script comes in by the debugger: the page's own policy would refuse it."""
    page.run(AXE.read_text() + "; true")
    end = time.monotonic() + 60
    page.run(
        "window.found = null; axe.run(document, { resultTypes: ['violations'] }).then((each) => { window.found = each.violations; }, (error) => { window.found = String(error); }); true"
    )
    while (found := page.run("window.found && JSON.stringify(window.found)")) is None:
        assert time.monotonic() < end
        time.sleep(0.05)
    return [
        (where, each["id"], each["impact"], [node["html"][:200] for node in each["nodes"][:3]], each["nodes"][0].get("failureSummary", "")[:300])
        for each in json.loads(found) if each["impact"] in {"serious", "critical"}
    ]  # fmt: skip
