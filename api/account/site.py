"""An account's own pages as a site: its cookies, how its people come in, and what each route needs of their key."""

from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends

from api.routes.walled import WalledRoute
from api.sites.rendering import SitePage
from api.sites.routing import PageRoute, page_for
from api.sites.sessions import Site
from api.sites.signing import make_doors, site_router
from common.tokens import ACCOUNT, ACCOUNT_FORM

INPUT_BYTES = 262_144  # of a form with the input of a job
SAID = {
    "revoked": "The key is revoked.", "canceled": "The job is canceled, or will be as soon as its attempt lets it.",
    "tested": "A test event is on its way: look for it below.", "sent": "It is sent again.", "removed": "The webhook is removed.",
    "on": "The webhook is on again.",
}  # fmt: skip
ACCOUNT_SITE = Site(
    "account", "Account", "read", ACCOUNT, ACCOUNT_FORM, Path(__file__).parent / "pages", INPUT_BYTES, SAID
)

Looking = Annotated[SitePage, Depends(page_for("read"))]
Writing = Annotated[SitePage, Depends(page_for("write"))]
Ordering = Annotated[SitePage, Depends(page_for("generate"))]
Deleting = Annotated[SitePage, Depends(page_for("delete"))]


class AccountRoute(PageRoute, WalledRoute):
    """A page of an account or an act, behind the wall between tenants."""

    site = ACCOUNT_SITE


def account_router() -> APIRouter:
    """For one part of an account's pages."""
    return site_router(AccountRoute)


ACCOUNT_DOORS = make_doors(AccountRoute, "This key may not look at its account: it needs the scope read.")
