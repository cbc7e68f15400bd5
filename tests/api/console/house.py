"""Somebody who is signed in at the console, for its tests."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from html import unescape
from uuid import UUID

from httpx import Response
from starlette.testclient import TestClient

from api.main import make_app
from examples.browser import BrowserFault, Page
from models.access import api_keys
from models.db import transaction
from tests.support import account, eventually


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


def sign_in(http: TestClient, secret: str, **fields: str) -> Response:
    """Open the form, fill it in, send it."""
    form = http.get("/console/sign-in")
    return http.post("/console/sign-in", data={"form_token": token_in(form), "secret": secret, **fields})


def send(http: TestClient, path: str, page: str = "/console/jobs", **fields: str) -> Response:
    """Send a form with the token of a page."""
    return http.post(path, data={"form_token": token_in(http.get(page)), **fields})


# In a browser


def come_in(page: Page, url: str, secret: str) -> None:
    """Sign in as a person does."""
    page.go(f"{url}/console/sign-in")
    page.run(f"document.querySelector('#secret').value = {secret!r}; document.querySelector('form').requestSubmit()")
    browser_waits(page, "location.pathname === '/console' && document.readyState === 'complete'")


def browser_waits(page: Page, expression: str) -> None:
    """Until this is so; while a page gives way to another there is none to ask."""

    def is_so() -> bool:
        try:
            return bool(page.run(f"Boolean({expression})"))  # a part of the page would come as an empty object
        except BrowserFault:
            return False

    eventually(is_so, what=expression)
