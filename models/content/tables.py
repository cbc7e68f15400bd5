"""The tables of articles: what editors write, what of it stands on which shelf, what it was before, and what readers make of it."""

from datetime import datetime
from typing import Any, Literal, get_args
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    PrimaryKeyConstraint,
    SmallInteger,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, TSVECTOR
from sqlmodel import Field, SQLModel

from models.columns import UTC_TIME, counter, created_at, in_list, moment

Section = Literal["news", "research"]
NewsKind = Literal["tool", "use_case", "regulation"]
ArticleState = Literal["draft", "published", "deleted"]
SECTIONS_OF_CONTENT: tuple[Section, ...] = get_args(Section)
NEWS_KINDS: tuple[NewsKind, ...] = get_args(NewsKind)
ARTICLE_STATES: tuple[ArticleState, ...] = get_args(ArticleState)


def _search_index(column: str) -> Index:
    """Written at once, not kept in a list that each search would read through: editors write seldom."""
    return Index(
        f"ix_articles_{column}", column, postgresql_using="gin", postgresql_where=text("state = 'published'"),
        postgresql_with={"fastupdate": "off"},
    )  # fmt: skip


class Article(SQLModel, table=True):
    """News or research. `html`, `opening` (the beginning, as plain text), `plain` (all of it) and `search` are made of the
    rest when it is saved, and of one that is premium `open_search`, in which those search who get its teaser alone. `published_at` is when it is shown, or was last; one that lies ahead is waited for by whoever reads.
    """

    __tablename__ = "articles"
    __table_args__ = (
        CheckConstraint(in_list("section", *SECTIONS_OF_CONTENT), name="section"),
        CheckConstraint(in_list("kind", *NEWS_KINDS), name="kind"),
        CheckConstraint("(section = 'news') = (kind is not null)", name="kind_of_news"),
        CheckConstraint(in_list("state", *ARTICLE_STATES), name="state"),
        CheckConstraint("state <> 'published' or published_at is not null", name="published_at"),
        CheckConstraint("premium = (open_search is not null)", name="open_search"),
        CheckConstraint("slug <> '' and version > 0", name="slug"),
        Index("uq_articles_slug", "slug", unique=True),
        Index("ix_articles_state", "state", "id"),
        Index("ix_articles_section", "section", "kind", "state"),
        Index("ix_articles_published_at", "published_at", postgresql_where=text("state = 'published'")),
        *(_search_index(column) for column in ("search", "open_search")),
    )

    id: UUID = Field(primary_key=True)
    slug: str = Field(sa_type=Text, nullable=False)
    section: str = Field(sa_type=Text, nullable=False)
    kind: str | None = Field(default=None, sa_type=Text, nullable=True)
    state: str = Field(
        default="draft", sa_type=Text, nullable=False, sa_column_kwargs={"server_default": text("'draft'")}
    )
    version: int = Field(default=1, sa_type=Integer, nullable=False, sa_column_kwargs={"server_default": text("1")})
    title: str = Field(sa_type=Text, nullable=False)
    body: str = Field(sa_type=Text, nullable=False)
    teaser: str | None = Field(default=None, sa_type=Text, nullable=True)
    tags: list[str] = Field(sa_column=Column(ARRAY(Text), nullable=False))
    premium: bool = Field(sa_type=Boolean, nullable=False)
    implication: str | None = Field(default=None, sa_type=Text, nullable=True)
    paper: dict[str, Any] | None = Field(default=None, sa_column=Column(JSONB(none_as_null=True), nullable=True))
    citations: list[dict[str, Any]] = Field(sa_column=Column(JSONB, nullable=False, server_default=text("'[]'::jsonb")))
    html: str = Field(sa_type=Text, nullable=False)
    implication_html: str | None = Field(default=None, sa_type=Text, nullable=True)
    rendering: int = Field(sa_type=SmallInteger, nullable=False)
    opening: str = Field(sa_type=Text, nullable=False)
    plain: str = Field(sa_type=Text, nullable=False)
    search: Any = Field(sa_column=Column(TSVECTOR, nullable=False))
    open_search: Any = Field(default=None, sa_column=Column(TSVECTOR, nullable=True))
    published_at: datetime | None = moment()
    created_by: UUID = Field(foreign_key="users.id", nullable=False)
    updated_by: UUID = Field(foreign_key="users.id", nullable=False)
    updated_at: datetime = created_at()
    created_at: datetime = created_at()


class ArticleRevision(SQLModel, table=True):
    """What an article said before a change; `number` is the version that it was."""

    __tablename__ = "article_revisions"
    __table_args__ = (PrimaryKeyConstraint("article_id", "number"),)

    article_id: UUID = Field(sa_column=Column(ForeignKey("articles.id"), nullable=False))
    number: int = Field(sa_type=Integer, nullable=False)
    said: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False))
    saved_by: UUID = Field(foreign_key="users.id", nullable=False)
    saved_at: datetime = Field(sa_column=Column(UTC_TIME, nullable=False))


class ArticleShelf(SQLModel, table=True):
    """One list that a published article stands in: of its section, its kind, its tags, and of each of these with a tag.
    Whatever list is asked for is a part of this table's key, read backwards.
    """

    __tablename__ = "article_shelves"
    __table_args__ = (
        PrimaryKeyConstraint("shelf", "published_at", "article_id"),
        Index("ix_article_shelves_article_id", "article_id"),
    )

    shelf: str = Field(sa_type=Text, nullable=False)
    published_at: datetime = Field(sa_column=Column(UTC_TIME, nullable=False))
    article_id: UUID = Field(sa_column=Column(ForeignKey("articles.id"), nullable=False))


class ArticleCount(SQLModel, table=True):
    """What is counted of an article, apart from it, so that no reader writes where editors do."""

    __tablename__ = "article_counts"
    __table_args__ = (CheckConstraint("views >= 0 and likes >= 0", name="counts"),)

    article_id: UUID = Field(sa_column=Column(ForeignKey("articles.id"), primary_key=True))
    views: int = counter()
    likes: int = counter()


class ArticleLike(SQLModel, table=True):
    """That an account's user likes an article."""

    __tablename__ = "article_likes"

    account_id: UUID = Field(foreign_key="accounts.id", primary_key=True)
    article_id: UUID = Field(foreign_key="articles.id", primary_key=True)
    created_at: datetime = created_at()


class SlugCount(SQLModel, table=True):
    """How often a slug was made of a title, so that the next one of the same title is found at once."""

    __tablename__ = "slug_counts"

    base: str = Field(primary_key=True, sa_type=Text)
    used: int = Field(sa_type=BigInteger, nullable=False)
