"""The console's pages: Jinja templates that escape whatever they are given, and headers under which nothing else runs."""

import hashlib
from datetime import UTC, datetime
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import RedirectResponse, Response

from api.console import wording
from api.console.sessions import ConsoleSession, console_root, form_token
from common.settings import settings
from models.access.scopes import Caller

FOLDER = Path(__file__).parent
STATIC = FOLDER / "static"
STATIC_TYPES = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml"}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {"content-security-policy": POLICY, "cache-control": "no-store", "x-robots-tag": "noindex"}
THEMES = ("system", "light", "dark")
# What is said after an act, by the word in the address that the act leads to.
SAID_AFTER = {
    "given": "The credits are given.", "taken": "The credits are taken back.", "paused": "It is paused.",
    "resumed": "It goes on.", "canceled": "The job is canceled, or will be as soon as its attempt lets it.",
    "retried": "A new job is ordered.", "refunded": "The credits are given back.", "drained": "The worker ends when its jobs have.",
    "suspended": "Nobody is let in as this user any more.", "let-in": "The user is let in again.",
    "sent": "It is sent again.", "begun": "It has begun.", "rested": "The provider rests.", "woken": "The provider is asked again.", "stopped": "It goes no further.", "discarded": "The job is given up.",
}  # fmt: skip

_templates = Environment(
    loader=FileSystemLoader(FOLDER / "pages"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_templates.filters.update(wording.FILTERS)
_templates.globals.update(
    state_look=wording.state_look, entry_look=wording.entry_look, percent=wording.percent, counted=wording.counted_as,
    span=wording.span, offset=wording.offset, title_of=wording.title_of,
)  # fmt: skip


@lru_cache(maxsize=1)
def static_files() -> dict[str, bytes]:
    """What pages load: our own files, by name."""
    return {path.name: path.read_bytes() for path in sorted(STATIC.iterdir()) if path.suffix in STATIC_TYPES}


@lru_cache(maxsize=1)
def static_mark() -> str:
    """What stands behind the addresses of those files, so that a new release's are not taken for the last one's."""
    return hashlib.sha256(b"".join(static_files().values())).hexdigest()[:12]


@lru_cache(maxsize=1)
def our_version() -> str:
    """Of this release."""
    return version("headrace")


class ConsolePage(NamedTuple):
    """One request for a page, by somebody who may see it."""

    session: ConsoleSession
    who: Caller
    name: str  # of who has signed in, as people read it
    theme: str
    path: str  # with its query
    said: str | None

    @property
    def now(self) -> datetime:
        """The time at which the page is written."""
        return datetime.now(UTC)

    def show(self, template: str, status: int = 200, /, **values: Any) -> Response:
        """The page, with what it says."""
        now = self.now
        return written(
            template, status, theme=self.theme, signed_in=self.name, said=self.said, here=self.path,
            form_token=form_token(self.session.number), now=now, ago=lambda moment: wording.ago(moment, now),
            until=lambda moment: wording.until(moment, now), at=lambda moment: wording.at(moment, now), **values,
        )  # fmt: skip

    def go(self, path: str, *, done: str | None = None) -> Response:
        """To another page of the console, after an act."""
        query = f"?{urlencode({'done': done})}" if done else ""
        return RedirectResponse(f"{console_root()}{path}{query}", 303, HEADERS)

    def to(self, address: str) -> Response:
        """To an address that `link` has made."""
        return RedirectResponse(address, 303, HEADERS)


def written(template: str, status: int, /, **values: Any) -> Response:
    """A page as an answer."""
    common = {
        "root": console_root(), "mark": static_mark(), "environment": settings().environment, "version": our_version(),
        "public_root": console_root().removesuffix("/console"), "link": link,
    }  # fmt: skip
    text = _templates.get_template(template).render(**common, **values)
    return Response(text, status, HEADERS, "text/html; charset=utf-8")


def link(path: str, **query: Any) -> str:
    """An address on the console; what is None is left out of the query."""
    given = {name: value for name, value in query.items() if value is not None and value != ""}
    return console_root() + quote(path) + (f"?{urlencode(given)}" if given else "")
