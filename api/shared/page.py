"""`/shared/{token}`: a collection as a page, for whoever has its link. Made here, without any script; what its owner has taken
back since is not on it, and nothing of it is kept by browsers or proxies.
"""

import time
from datetime import datetime
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from uuid import UUID

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from api.edge.pace import know
from api.edge.texts import check_form
from api.routes.cursors import Listing, number_of
from api.routes.prefix_router import PrefixRouter
from api.services import services
from api.shared import looks
from common.errors import DomainError, LinkGone, NotFound, RateLimited
from common.settings import settings
from common.tokens import SHARED, body_of, make_token
from models.db import transaction
from models.gallery import collections, contents, links
from models.gallery.collections import CollectionRow
from models.gallery.contents import Placed
from models.gallery.links import MAX_PASSWORD, OpenLink

router = PrefixRouter(tags=["shared"])

PAGES = Path(__file__).with_name("pages")
TOKENS = Path(__file__).parents[1] / "sites" / "static" / "tokens.css"  # colours and sizes of every page of ours
PAGE_ITEMS = 48
COOKIE = "headrace_shared"
COOKIE_SECONDS = 3600
FORM_BYTES = 4096
POLICY = (
    "default-src 'none'; img-src 'self' data:; media-src 'self'; style-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
HEADERS = {"content-security-policy": POLICY, "cache-control": "no-store", "x-robots-tag": "noindex"}
# What is said in place of a page, by the status.
SAID = {
    404: ("There is nothing here", "The link may be cut off or mistyped. Ask whoever gave it to you."),
    410: (
        "This is not shared any more",
        "The link has expired or was taken back. Ask whoever gave it to you for another one.",
    ),
    429: ("Too many attempts", "Wait a minute, then try again."),
}
LATER = ("This cannot be shown now", "Try again in a moment.")
_templates = Environment(
    loader=FileSystemLoader(PAGES), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)


def _place_of(text: str) -> tuple[int, UUID]:
    position, _, item_id = text.partition(" ")
    return number_of(position), UUID(item_id)


SHARED_ITEMS = Listing("shared-items", _place_of, lambda place: f"{place[0]} {place[1]}", usual=PAGE_ITEMS)


class _Shown(NamedTuple):
    """What a link leads to."""

    collection: CollectionRow
    rows: list[Placed]


@router.get("/shared/{token}", include_in_schema=False)
async def show(token: str, request: Request) -> Response:
    """The page, or the form that asks for its password."""
    try:
        return await _page(token, request)
    except DomainError as error:
        return _said(error)


@router.post("/shared/{token}", include_in_schema=False)
async def enter(token: str, request: Request) -> Response:
    """Takes the password; where it is right, leads to the page. Wrong ones are counted as keys are that fail."""
    try:
        link = await _opened(token, request)
        return await _entered(token, link, request)
    except DomainError as error:
        return _said(error)


@router.get("/shared/static/shared.css", include_in_schema=False)
async def style() -> Response:
    """How the pages look."""
    return Response(_style(), headers={"cache-control": "public, max-age=3600"}, media_type="text/css")


@lru_cache(maxsize=1)
def _style() -> bytes:
    return TOKENS.read_bytes() + (PAGES / "shared.css").read_bytes()


async def _opened(token: str, request: Request) -> OpenLink:
    link = await services(request.app).places.open.run(partial(_find, token))
    know(request.scope)
    return link


def _find(token: str) -> OpenLink:
    with transaction() as conn:
        return links.opened(conn, token)


async def _page(token: str, request: Request) -> Response:
    link = await _opened(token, request)
    if link.hashed is not None and not _has_entered(request, link):
        return _written("password.html", 200, token=token, wrong=False, longest=MAX_PASSWORD)
    cursor = request.query_params.get("cursor")
    after = SHARED_ITEMS.place_of(cursor) if cursor is not None else None
    shown = await services(request.app).places.open.run(partial(_read, link, after))
    if after is None:
        services(request.app).views.note(link.id)
    return _collection(token, link, shown, after)


def _read(link: OpenLink, after: tuple[int, UUID] | None) -> _Shown:
    with transaction() as conn:
        found = collections.of_link(conn, link.collection_id)
        if found is None:
            raise LinkGone("this is not shared any more")
        return _Shown(found, contents.list_items(conn, None, found, after=after, limit=PAGE_ITEMS + 1))


def _collection(token: str, link: OpenLink, shown: _Shown, after: tuple[int, UUID] | None) -> Response:
    row, rows = shown.collection, shown.rows[:PAGE_ITEMS]
    more = len(shown.rows) > PAGE_ITEMS
    owner, count = looks.owner_of(row), looks.counted(len(rows), more=more or after is not None)
    following = SHARED_ITEMS.cursor_of((rows[-1].position, rows[-1].item.id)) if more else None
    return _written(
        "collection.html",
        200,
        name=row.name,
        description=row.description,
        described=link.hashed is None,  # what has a password says nothing of itself where its link is shown
        summary=looks.summary_of(row, count),
        address=f"{settings().public_url}/shared/{token}",
        picture=looks.picture_of(row),
        owner=owner,
        initials=looks.initials_of(owner) if owner else "",
        count=count,
        until=_day(link.expires_at),
        pieces=looks.pieces_of(rows, from_the_start=after is None),
        first=looks.page_address(token) if after is not None else None,
        following=looks.page_address(token, following) if following is not None else None,
    )


def _day(moment: datetime | None) -> str | None:
    return None if moment is None else f"{moment.day} {moment:%b %Y}"


async def _entered(token: str, link: OpenLink, request: Request) -> Response:
    here = services(request.app)
    if link.hashed is not None:
        async with here.rates.may_fail(request):
            right = await here.places.open.run(partial(link.opens, await _password(request)))
            if not right:
                await here.rates.count_failure(request)
        if not right:
            return _written("password.html", 403, token=token, wrong=True, longest=MAX_PASSWORD)
    answer = Response(status_code=303, headers={**HEADERS, "location": f"{settings().public_url}/shared/{token}"})
    public = urlsplit(settings().public_url)
    answer.set_cookie(
        COOKIE,
        make_token(SHARED, link.id.bytes + int(time.time() + COOKIE_SECONDS).to_bytes(8, "big")),
        max_age=COOKIE_SECONDS,
        path=f"{public.path}/shared/{token}",
        secure=public.scheme == "https",
        httponly=True,
        samesite="lax",
    )
    return answer


async def _password(request: Request) -> str:
    """What was typed. A form of another kind has none, and what is too long is not hashed."""
    if not request.headers.get("content-type", "").lower().startswith("application/x-www-form-urlencoded"):
        return ""
    if len(await request.body()) > FORM_BYTES:
        return ""
    async with request.form(max_files=0, max_fields=4) as form:
        check_form(form)
        found = form.get("password", "")
    return "" if isinstance(found, UploadFile) or len(found) > MAX_PASSWORD else found


def _has_entered(request: Request, link: OpenLink) -> bool:
    body = body_of(SHARED, request.cookies.get(COOKIE, ""))
    return body is not None and body[:16] == link.id.bytes and int.from_bytes(body[16:], "big") > time.time()


def _said(error: DomainError) -> Response:
    if error.status in (400, 422):  # a cursor of another page, a form that cannot be read
        error = NotFound("there is nothing here")
    if not isinstance(error, NotFound | LinkGone | RateLimited) and error.status < 500:
        raise HTTPException(error.status, error.detail)
    title, says = SAID.get(error.status, LATER)
    answer = _written("said.html", error.status, title=title, says=says)
    if "retry_after" in error.extra:
        answer.headers["retry-after"] = str(error.extra["retry_after"])
    return answer


def _written(template: str, status: int, **values: Any) -> Response:
    return Response(_templates.get_template(template).render(values), status, HEADERS, "text/html; charset=utf-8")
