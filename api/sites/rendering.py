"""Pages: Jinja templates that escape whatever they are given, and headers under which nothing else runs."""

import hashlib
from datetime import UTC, datetime
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import RedirectResponse, Response

from api.sites import wording
from api.sites.sessions import Site, SiteSession, form_token
from common.settings import settings
from companies.registry import configured
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
_SHARED = FOLDER / "pages"


@lru_cache(maxsize=8)
def _templates(folder: Path) -> Environment:
    """A site's own templates, and those that all share."""
    made = Environment(
        loader=FileSystemLoader([folder, _SHARED]), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    made.filters.update(wording.FILTERS)
    made.globals.update(
        state_look=wording.state_look, entry_look=wording.entry_look, percent=wording.percent,
        counted=wording.counted_as, span=wording.span, offset=wording.offset, title_of=wording.title_of,
    )  # fmt: skip
    return made


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


class SitePage(NamedTuple):
    """One request for a page, by somebody who may see it."""

    site: Site
    session: SiteSession
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
            self.site, template, status, theme=self.theme, signed_in=self.name, said=self.said, here=self.path,
            form_token=form_token(self.site, self.session.number), now=now, ago=lambda moment: wording.ago(moment, now),
            until=lambda moment: wording.until(moment, now), at=lambda moment: wording.at(moment, now), **values,
        )  # fmt: skip

    def go(self, path: str, *, done: str | None = None) -> Response:
        """To another page of the site, after an act."""
        query = f"?{urlencode({'done': done})}" if done else ""
        return RedirectResponse(f"{self.site.root}{path}{query}", 303, HEADERS)

    def to(self, address: str) -> Response:
        """To an address that `link` has made."""
        return RedirectResponse(address, 303, HEADERS)


def written(site: Site, template: str, status: int, /, **values: Any) -> Response:
    """A page as an answer."""
    common = {
        "root": site.root, "mark": static_mark(), "environment": settings().environment, "version": our_version(),
        "public_root": site.root.removesuffix(f"/{site.name}"), "link": site.link, "site": site, "pays": bool(configured()),
    }  # fmt: skip
    text = _templates(site.folder).get_template(template).render(**common, **values)
    return Response(text, status, HEADERS, "text/html; charset=utf-8")
