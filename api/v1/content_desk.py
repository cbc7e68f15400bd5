"""/v1/content/desk: what editors do with articles."""

from collections.abc import Callable
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Path
from psycopg import Connection
from starlette.requests import Request
from starlette.responses import Response

from api.auth.keyring import by
from api.routes.callers import needs
from api.routes.cursors import MAX_NUMBER, Listing, ListPage, PathId, WantedPage, id_of, number_of, whole_of
from api.routes.fast_routes import answer
from api.routes.once import RepeatKey, asked, once
from api.routes.prefix_router import PrefixRouter
from api.routes.versions import IfMatch, etag_of, seen_version, version_of
from api.routes.walled import WalledRoute
from api.v1.content_shapes import (
    ArticleChange,
    ArticleHeadView,
    ArticleView,
    CitationView,
    NewArticle,
    PaperView,
    Publishing,
    RevisionView,
    WholeRevisionView,
    article_head_view,
    article_view,
    revision_view,
    whole_revision_view,
)
from models.access.scopes import Caller
from models.content import articles, revisions
from models.content.articles import ArticleRow, ArticleText, Citation, Paper
from models.content.tables import ArticleState
from models.db import certain, transaction

router = PrefixRouter(prefix="/v1/content/desk", tags=["content"], route_class=WalledRoute)

DESK = Listing("desk", UUID)
REVISIONS = Listing("revisions", number_of)
_Editor = Annotated[Caller, Depends(needs("edit"))]
MAY_GO = frozenset({"teaser", "implication", "paper"})  # what an article need not have
RevisionNumber = Annotated[str, Path(json_schema_extra={"type": "integer", "minimum": 1, "maximum": MAX_NUMBER})]


class DeskPage(ListPage[ArticleHeadView]):
    """Articles, those that were begun last first."""


class RevisionPage(ListPage[RevisionView]):
    """Earlier versions of an article, the latest first."""


def _tagged(row: ArticleRow, status: int = 200) -> Response:
    return answer(article_view(row), status, etag_of(row.version))


def _done(work: Callable[[Connection[Any]], ArticleRow]) -> Response:
    with certain() as conn:
        row = work(conn)
    return _tagged(row)


def _given(body: NewArticle | ArticleChange) -> dict[str, Any]:
    """The fields that a body gives, as the verbs take them."""
    said = {name: getattr(body, name) for name in body.model_fields_set}
    given: dict[str, Any] = {name: value for name, value in said.items() if value is not None or name in MAY_GO}
    paper: PaperView | None = given.get("paper")
    if paper is not None:
        given["paper"] = Paper(**paper.model_dump())
    citations: list[CitationView] | None = given.get("citations")
    if citations is not None:
        given["citations"] = [Citation(**each.model_dump()) for each in citations]
    return given


@router.post("/articles", status_code=201, response_model=ArticleView, summary="Begin an article")
def create_article(body: NewArticle, request: Request, who: _Editor, idempotency_key: RepeatKey = None) -> Response:
    """A draft, which only editors see."""
    text = ArticleText(**_given(body))
    return once(
        who, idempotency_key, asked(request, body),
        lambda conn: article_view(articles.create_article(conn, by(who, request), who.user_id, text)),
        status=201, location="/v1/content/desk/articles/{id}",
    )  # fmt: skip


@router.get("/articles", response_model=DeskPage, summary="List articles as an editor")
def list_desk_articles(
    _who: _Editor, wanted: Annotated[WantedPage[UUID], Depends(DESK.wanted)], state: ArticleState | None = None
) -> Response:
    """Drafts, published and deleted ones."""
    with transaction() as conn:
        rows = articles.list_articles(conn, state=state, before=wanted.after, limit=wanted.reads)
    return answer(DESK.page(rows, wanted, lambda row: row.id, article_head_view))


@router.get("/articles/{article_id}", response_model=ArticleView, summary="Look at an article as an editor")
def get_desk_article(article_id: PathId, _who: _Editor) -> Response:
    """Its Markdown and its HTML, whatever its state. The ETag is its version."""
    with transaction() as conn:
        return _tagged(articles.find_article(conn, id_of(article_id, "article")))


@router.patch("/articles/{article_id}", response_model=ArticleView, summary="Change an article")
def change_article(
    article_id: PathId, body: ArticleChange, request: Request, who: _Editor, if_match: IfMatch = None
) -> Response:
    """What it said before is kept as a revision; its slug stays. If-Match is needed: of two editors who change one version,
    the second gets 412 with the version that there is now.
    """
    wanted, version, given = id_of(article_id, "article"), seen_version(if_match), _given(body)
    return _done(
        lambda conn: articles.change_article(
            conn, by(who, request), who.user_id, wanted, version, lambda text: text._replace(**given)
        )
    )


@router.post("/articles/{article_id}/publish", response_model=ArticleView, summary="Publish an article")
def publish_article(
    article_id: PathId, body: Publishing, request: Request, who: _Editor, if_match: IfMatch = None
) -> Response:
    """It bears the date of now, or of `at`, and is shown from then on. What was taken back gets a new date; what is shown
    already keeps its own, unless `at` is given.
    """
    wanted, version = id_of(article_id, "article"), version_of(if_match)
    return _done(lambda conn: articles.publish(conn, by(who, request), wanted, at=body.at, version=version))


@router.post("/articles/{article_id}/unpublish", response_model=ArticleView, summary="Take an article back")
def unpublish_article(article_id: PathId, request: Request, who: _Editor, if_match: IfMatch = None) -> Response:
    """It is a draft again, and keeps its date until it is published anew."""
    wanted, version = id_of(article_id, "article"), version_of(if_match)
    return _done(lambda conn: articles.take_article_back(conn, by(who, request), wanted, version=version))


@router.delete("/articles/{article_id}", response_model=ArticleView, summary="Delete an article")
def delete_article(article_id: PathId, request: Request, who: _Editor, if_match: IfMatch = None) -> Response:
    """Nobody but editors sees it any more, and they may restore it."""
    wanted, version = id_of(article_id, "article"), version_of(if_match)
    return _done(lambda conn: articles.delete_article(conn, by(who, request), wanted, version=version))


@router.post("/articles/{article_id}/restore", response_model=ArticleView, summary="Restore an article")
def restore_article(article_id: PathId, request: Request, who: _Editor, if_match: IfMatch = None) -> Response:
    """A deleted article is a draft again."""
    wanted, version = id_of(article_id, "article"), version_of(if_match)
    return _done(lambda conn: articles.restore_article(conn, by(who, request), wanted, version=version))


@router.get("/articles/{article_id}/revisions", response_model=RevisionPage, summary="List what an article was")
def list_revisions(
    article_id: PathId, _who: _Editor, wanted: Annotated[WantedPage[int], Depends(REVISIONS.wanted)]
) -> Response:
    """One revision for each change of what it says, the latest first."""
    with transaction() as conn:
        rows = revisions.list_revisions(
            conn, id_of(article_id, "article"), before=wanted.after, limit=wanted.reads
        )  # fmt: skip
    return answer(REVISIONS.page(rows, wanted, lambda row: row.number, revision_view))


@router.get("/articles/{article_id}/revisions/{number}", response_model=WholeRevisionView, summary="Look at a revision")
def get_revision(article_id: PathId, number: RevisionNumber, _who: _Editor) -> Response:
    """All that the article said then."""
    with transaction() as conn:
        return answer(
            whole_revision_view(
                revisions.find_revision(
                    conn, id_of(article_id, "article"), whole_of(number, "number", least=1, most=MAX_NUMBER)
                )
            )
        )


@router.post(
    "/articles/{article_id}/revisions/{number}/restore",
    response_model=ArticleView,
    summary="Say again what an article was",
)
def restore_revision(
    article_id: PathId, number: RevisionNumber, request: Request, who: _Editor, if_match: IfMatch = None
) -> Response:
    """What it says now is kept as a revision as well. If-Match is needed, as for a change."""
    wanted, revision, version = (
        id_of(article_id, "article"),
        whole_of(number, "number", least=1, most=MAX_NUMBER),
        seen_version(if_match),
    )
    return _done(
        lambda conn: revisions.restore_revision(conn, by(who, request), who.user_id, wanted, revision, version)
    )
