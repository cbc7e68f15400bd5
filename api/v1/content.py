"""/v1/content: what is published, for everybody; of what is premium, all of it for those who may read on."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Path, Query
from starlette.requests import Request
from starlette.responses import Response

from api.edge.pace import weigh
from api.routes.callers import needs, perhaps
from api.routes.cursors import Listing, ListPage, WantedPage, moment_and_id_of, moment_and_id_text
from api.routes.fast_routes import answer
from api.routes.prefix_router import PrefixRouter
from api.routes.walled import WalledRoute
from api.services import services
from api.v1.content_shapes import (
    FoundView,
    LikeView,
    ReadingView,
    Tag,
    TeaserView,
    reading_view,
    teaser_view,
)
from models.access.scopes import Caller, may_read_on
from models.content import reading, searching
from models.content.reading import Teaser
from models.content.searching import FoundArticle
from models.content.states import part_of_list
from models.content.tables import NewsKind, Section
from models.db import certain, transaction
from models.fleet.replicas import caught_up

router = PrefixRouter(prefix="/v1/content", tags=["content"], route_class=WalledRoute)


class ArticlePage(ListPage[TeaserView]):
    """Articles, newest first."""


class FoundPage(ListPage[FoundView]):
    """Articles that fit, the best first."""


def _rank_and_id_of(text: str) -> tuple[float, UUID]:
    """Raises ValueError."""
    rank, _, article_id = text.partition(" ")
    return float.fromhex(rank), UUID(article_id)


def _rank_and_id_text(place: tuple[float, UUID]) -> str:
    return f"{place[0].hex()} {place[1]}"


ARTICLES = Listing("articles", moment_and_id_of, moment_and_id_text)
FOUND = Listing("found", _rank_and_id_of, _rank_and_id_text)

Reader = Annotated[Caller | None, Depends(perhaps)]
Slug = Annotated[str, Path(description="A text that is none names nothing: 404.")]
# Who has a key may send it: then what is premium is answered whole.
KEY_OR_NONE: dict[str, Any] = {"security": [{}, {"key": ["read"]}]}


def heavy(request: Request, who: Caller | None, body: Response) -> Response:
    """An answer that anybody may have, counted by its size where nobody is known."""
    if who is None:
        weigh(request.scope, len(body.body))
    return body


@router.get("/articles", response_model=ArticlePage, summary="List articles", openapi_extra=KEY_OR_NONE)
def list_articles(
    request: Request,
    who: Reader,
    wanted: Annotated[WantedPage[tuple[datetime, UUID]], Depends(ARTICLES.wanted)],
    section: Section | None = None,
    kind: NewsKind | None = None,
    tag: Annotated[Tag | None, Query()] = None,
) -> Response:
    """News and research together, or a section, a kind of news, a tag, or a tag of one of these; newest first."""
    part = part_of_list(section, kind)
    with caught_up() as conn:
        rows = reading.list_shown(
            conn, part=part, tag=tag and tag.lower(), before=wanted.after, limit=wanted.reads
        )  # fmt: skip
    page = ARTICLES.page(rows, wanted, _place, teaser_view)
    return heavy(request, who, answer(page))


def _place(row: Teaser) -> tuple[datetime, UUID]:
    return row.published_at, row.id


@router.get("/search", response_model=FoundPage, summary="Search articles", openapi_extra=KEY_OR_NONE)
def search_articles(
    request: Request,
    who: Reader,
    wanted: Annotated[WantedPage[tuple[float, UUID]], Depends(FOUND.wanted)],
    q: Annotated[
        str, Query(min_length=1, max_length=200, description='Words; "a phrase"; this or that; -without. The last may be a part.')
    ],
    section: Section | None = None,
) -> Response:  # fmt: skip
    """Titles, tags and bodies of news and research together, the best first. Of premium articles the body is searched for those
    who may read it.
    """
    reads_on = may_read_on(who.role if who else None, premium=True)
    with caught_up() as conn:
        rows = searching.search(
            conn, q, section=section, reads_on=reads_on, before=wanted.after, limit=wanted.reads
        )  # fmt: skip
    return heavy(request, who, answer(FOUND.page(rows, wanted, lambda row: (row.rank, row.top.id), _found_view)))


def _found_view(row: FoundArticle) -> dict[str, Any]:
    return {**teaser_view(row.top), "excerpt": row.excerpt}


@router.get("/articles/{slug}", response_model=ReadingView, summary="Read an article", openapi_extra=KEY_OR_NONE)
def get_article(slug: Slug, request: Request, who: Reader) -> Response:
    """The whole of it; of a premium article only the teaser, unless your key is of somebody who is pro, editor or admin."""
    with transaction() as conn:
        row = reading.read_article(conn, slug, account_id=who.account_id if who else None)
    services(request.app).reads.note(row.top.id)
    return heavy(request, who, answer(reading_view(row, who.role if who else None)))


@router.put("/articles/{slug}/like", response_model=LikeView, summary="Like an article")
def like_article(slug: Slug, who: Annotated[Caller, Depends(needs("write"))]) -> Response:
    """Once per user, however often it is said."""
    return _like(slug, who, liked=True)


@router.delete("/articles/{slug}/like", response_model=LikeView, summary="Like an article no more")
def unlike_article(slug: Slug, who: Annotated[Caller, Depends(needs("write"))]) -> Response:
    """Takes a like back, if there is one."""
    return _like(slug, who, liked=False)


def _like(slug: str, who: Caller, *, liked: bool) -> Response:
    with certain() as conn:
        likes = reading.like(conn, who.account_id, slug, liked=liked)
    return answer({"liked": liked, "likes": likes})
