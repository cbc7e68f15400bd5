"""The console as a site: its cookies, its place, and how people come in."""

from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends

from api.routes.walled import AdminRoute
from api.sites.rendering import SitePage
from api.sites.routing import FORM_BYTES, PageRoute, page_for
from api.sites.sessions import Site
from api.sites.signing import make_doors, site_router
from common.tokens import CONSOLE, CONSOLE_FORM

SAID_AFTER = {
    "given": "The credits are given.", "taken": "The credits are taken back.", "paused": "It is paused.",
    "resumed": "It goes on.", "canceled": "The job is canceled, or will be as soon as its attempt lets it.",
    "retried": "A new job is ordered.", "refunded": "The credits are given back.", "drained": "The worker ends when its jobs have.",
    "suspended": "Nobody is let in as this user any more.", "let-in": "The user is let in again.",
    "sent": "It is sent again.", "begun": "It has begun.", "rested": "The provider rests.", "woken": "The provider is asked again.", "stopped": "It goes no further.", "discarded": "The job is given up.",
}  # fmt: skip
CONSOLE_SITE = Site(
    "console", "Console", "admin", CONSOLE, CONSOLE_FORM, Path(__file__).parent / "pages", FORM_BYTES, SAID_AFTER
)
Viewed = Annotated[SitePage, Depends(page_for("admin"))]


class ConsoleRoute(PageRoute, AdminRoute):
    """A page of the console or an act, in the operators' place."""

    site = CONSOLE_SITE


def console_router() -> APIRouter:
    """For one part of the console."""
    return site_router(ConsoleRoute)


CONSOLE_DOORS = make_doors(
    ConsoleRoute, "This key or token is not for operators: it needs the scope and the role admin."
)
