"""The shapes of articles: as readers get them, and as editors write them."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, Field

from api.routes.shapes import Moment, RequestBody
from common.settings import settings
from models.access.scopes import Role, may_read_on
from models.content.articles import ArticleHead, ArticleRow
from models.content.reading import Reading, Teaser
from models.content.revisions import RevisionRow
from models.content.tables import ArticleState, NewsKind, Section

MAX_TITLE_CHARACTERS = 300
MAX_TEASER_CHARACTERS = 1000
MAX_BODY_CHARACTERS = 100_000
MAX_IMPLICATION_CHARACTERS = 20_000
MAX_TAGS = 10
MAX_CITATIONS = 100

_LINE = r"^[^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f][^\x00-\x1f\x7f]*$"  # one line, and not of spaces alone
_Title = Annotated[str, Field(min_length=1, max_length=MAX_TITLE_CHARACTERS, pattern=_LINE)]
_Url = Annotated[str, Field(max_length=2000, pattern=r"^https?://[^\s<>\"\x00-\x1f]+$")]
Tag = Annotated[
    str, Field(min_length=1, max_length=40, pattern=r"^\w[\w.+-]*$", description="One word, kept in small letters.")
]
_Body = Annotated[
    str, Field(min_length=1, max_length=MAX_BODY_CHARACTERS, description="Markdown; HTML in it is shown as text.")
]
_Teaser = Annotated[
    str | None,
    Field(min_length=1, max_length=MAX_TEASER_CHARACTERS, pattern=_LINE, description="Null: the beginning of the body."),
]  # fmt: skip
_Tags = Annotated[list[Tag], Field(max_length=MAX_TAGS)]
_Implication = Annotated[
    str | None, Field(min_length=1, max_length=MAX_IMPLICATION_CHARACTERS, description="Markdown; of research alone.")
]


class PaperView(RequestBody):
    """What research is about."""

    title: _Title
    url: _Url | None = None
    authors: Annotated[list[_Title], Field(max_length=50)] = Field(default_factory=list)
    year: Annotated[int | None, Field(ge=1000, le=9999)] = None


class CitationView(RequestBody):
    """A source that an article names."""

    title: _Title
    url: _Url | None = None


_Paper = Annotated[PaperView | None, Field(description="Of research alone.")]
_Citations = Annotated[list[CitationView], Field(max_length=MAX_CITATIONS, description="Of research alone.")]


class NewArticle(RequestBody):
    """A draft. Its slug is made of its title, once."""

    section: Section
    kind: Annotated[NewsKind | None, Field(description="News has one, research has none.")] = None
    title: _Title
    body: _Body
    teaser: _Teaser = None
    tags: _Tags = Field(default_factory=list)
    premium: Annotated[bool, Field(strict=True, description="Only who is pro, editor or admin reads on.")] = False
    implication: _Implication = None
    paper: _Paper = None
    citations: _Citations = Field(default_factory=list)


class ArticleChange(RequestBody):
    """What is to be otherwise. What is absent stays; null takes a teaser, an implication or a paper away."""

    kind: NewsKind | None = None
    title: _Title | None = None
    body: _Body | None = None
    teaser: _Teaser = None
    tags: _Tags | None = None
    premium: Annotated[bool | None, Field(strict=True)] = None
    implication: _Implication = None
    paper: _Paper = None
    citations: _Citations | None = None


class Publishing(RequestBody):
    """From when an article is shown: null, now."""

    at: Annotated[
        Moment | None, Field(description="A time that lies ahead: it is shown from then on, to the second.")
    ] = None


class TeaserView(BaseModel):
    """What everybody gets of an article."""

    id: UUID
    slug: str
    url: Annotated[str, Field(description="Where people read it.")]
    section: Section
    kind: NewsKind | None
    title: str
    teaser: str
    tags: list[str]
    premium: bool
    published_at: datetime
    updated_at: datetime
    views: Annotated[int, Field(description="Counted together, some seconds late.")]
    likes: int


class ReadingView(TeaserView):
    """An article to be read."""

    may_read: Annotated[
        bool, Field(description="False: it is premium and you are not; `html` and `implication` are null.")
    ]
    html: Annotated[str | None, Field(description="Sanitised.")]
    implication: Annotated[str | None, Field(description="Sanitised HTML.")]
    paper: PaperView | None
    citations: list[CitationView]
    liked: Annotated[bool, Field(description="By you.")]


class FoundView(TeaserView):
    """An article that fits."""

    excerpt: Annotated[str, Field(description="HTML with no element but <mark>.")]


class LikeView(BaseModel):
    """Whether you like an article, and how many do."""

    liked: bool
    likes: int


class ArticleHeadView(BaseModel):
    """An article in an editor's list."""

    id: UUID
    slug: str
    section: Section
    kind: NewsKind | None
    state: Annotated[
        ArticleState, Field(description="`published` and a `published_at` that lies ahead: it waits for it.")
    ]
    version: Annotated[int, Field(description="Send it as If-Match with a change.")]
    title: str
    tags: list[str]
    premium: bool
    published_at: datetime | None
    created_by: UUID
    updated_by: UUID
    created_at: datetime
    updated_at: datetime


class ArticleView(ArticleHeadView):
    """An article as its editors see it."""

    body: str
    html: str
    teaser: str | None
    implication: str | None
    paper: PaperView | None
    citations: list[CitationView]


class RevisionView(BaseModel):
    """What an article was before a change; `number` is the version that it was."""

    number: int
    title: str
    saved_by: UUID
    saved_at: datetime


class WholeRevisionView(RevisionView):
    """All that it said then."""

    section: Section
    kind: NewsKind | None
    body: str
    teaser: str | None
    tags: list[str]
    premium: bool
    implication: str | None
    paper: PaperView | None
    citations: list[CitationView]


def page_url(slug: str) -> str:
    """Where people read an article."""
    pattern = settings().content_url
    return pattern.replace("{slug}", slug) if pattern else f"{settings().public_url}/v1/content/articles/{slug}"


def teaser_view(row: Teaser) -> dict[str, Any]:
    """What everybody gets of an article."""
    return {**row._asdict(), "url": page_url(row.slug)}


def reading_view(row: Reading, role: Role | None) -> dict[str, Any]:
    """An article as somebody of this role reads it."""
    may_read = may_read_on(role, premium=row.top.premium)
    return {
        **teaser_view(row.top), "may_read": may_read, "html": row.html if may_read else None,
        "implication": row.implication_html if may_read else None, "paper": row.paper, "citations": row.citations,
        "liked": row.liked,
    }  # fmt: skip


def article_head_view(row: ArticleHead) -> dict[str, Any]:
    """An article in an editor's list."""
    return row._asdict()


_NOT_SHOWN = frozenset({"implication_html", "rendering", "opening"})


def article_view(row: ArticleRow) -> dict[str, Any]:
    """An article as its editors see it."""
    return {name: value for name, value in row._asdict().items() if name not in _NOT_SHOWN}


def revision_view(row: RevisionRow) -> dict[str, Any]:
    """An earlier version in a list."""
    return {"number": row.number, "title": row.said["title"], "saved_by": row.saved_by, "saved_at": row.saved_at}


def whole_revision_view(row: RevisionRow) -> dict[str, Any]:
    """All of an earlier version."""
    return {**revision_view(row), **row.said}
