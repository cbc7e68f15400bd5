"""`/certificates/{token}`: what anybody who was given the address sees, without a key and without a script."""

import base64
import hashlib
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from api.certificates.picture import NotDrawable, Wording, drawn, is_drawable
from api.edge.pace import weigh
from api.routes.prefix_router import PrefixRouter
from api.routes.walled import WalledRoute
from common.errors import NotFound
from common.settings import settings
from models.db import transaction
from models.learning.certificates import Certificate, find_certificate

router = PrefixRouter(prefix="/certificates", tags=["learning"], route_class=WalledRoute)

FOLDER = Path(__file__).parent
STYLE = (FOLDER / "certificate.css").read_text()
_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
_PAGES = Environment(loader=FileSystemLoader(FOLDER), autoescape=True, undefined=StrictUndefined)
HEADERS = {
    # Nothing of it runs, whatever a name or a title says.
    "content-security-policy": f"default-src 'none'; style-src 'sha256-{_HASH}'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "cache-control": "private, max-age=300",
}
PICTURE_HEADERS = {
    "cache-control": "private, max-age=300",
    "content-disposition": 'inline; filename="certificate.png"',
}  # fmt: skip
DRAWING_BYTES = 4_000_000  # as much as a drawing costs, in bytes of answers
NAMELESS = "A learner without a name"
_RESPONSES: dict[int | str, dict[str, Any]] = {404: {"description": "There is no such certificate."}}


def date_of(found: Certificate) -> str:
    """As 27 November 2026, in UTC."""
    return f"{found.completed_at:%-d %B %Y}"


def page_of(found: Certificate, token: str) -> str:
    """The page of a certificate. Whatever is in a name or a title is shown as text."""
    address = f"{settings().public_url}/certificates/{token}"
    picture = f"{address}/certificate.png" if is_drawable(wording_of(found, token)) else None
    return _PAGES.get_template("certificate.html").render(
        name=found.name or NAMELESS, course=found.course, level=found.level, date=date_of(found),
        at=found.completed_at.date().isoformat(), address=address, picture=picture,
        style=Markup(STYLE),  # noqa: S704 - our own, from this folder
    )  # fmt: skip


def wording_of(found: Certificate, token: str) -> Wording:
    """What stands on the picture of a certificate."""
    return Wording(
        "Certificate of completion", "This certifies that", found.name or NAMELESS, f"has completed the {found.level} course",
        found.course, date_of(found), f"{settings().public_url}/certificates/{token}",
    )  # fmt: skip


@router.get(
    "/{token}", summary="See a certificate", response_class=Response,
    responses={200: {"content": {"text/html": {}}, "description": "The page."}, **_RESPONSES},
)  # fmt: skip
def get_certificate(token: str) -> Response:
    """Needs no key: the address itself is the secret. A page that shows who has completed which course, and when."""
    with transaction() as conn:
        found = find_certificate(conn, token)
    return Response(page_of(found, token), headers=HEADERS, media_type="text/html; charset=utf-8")


@router.get(
    "/{token}/certificate.png", summary="See a certificate as a picture", response_class=Response,
    responses={200: {"content": {"image/png": {}}, "description": "The picture."}, **_RESPONSES},
)  # fmt: skip
def get_certificate_picture(token: str, request: Request) -> Response:
    """A4, across, fit for print. 404 too where the fonts of this machine lack letters of the name: the page shows them."""
    with transaction() as conn:
        found = find_certificate(conn, token)
    weigh(request.scope, DRAWING_BYTES)
    try:
        return Response(drawn(wording_of(found, token)), headers=PICTURE_HEADERS, media_type="image/png")
    except NotDrawable:
        raise NotFound("the fonts of this machine lack letters of this certificate; its page shows it") from None
