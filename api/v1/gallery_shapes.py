"""Items and collections as clients see them. What they have in common with outputs of jobs is called as it is there."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Query
from pydantic import BaseModel, Field

from api.routes.cursors import ListPage
from api.routes.shapes import Day, Moment, RequestBody
from common.links import url_of
from models.gallery import links, tables
from models.gallery.collections import CollectionRow
from models.gallery.contents import MAX_AT_ONCE
from models.gallery.items import ItemRow
from models.gallery.links import LinkRow
from models.gallery.members import InvitationRow, MemberRow
from models.gallery.words import MAX_QUERY, kind_of

FirstDay = Annotated[Day | None, Query(alias="from", description="The first day, UTC.")]
LastDay = Annotated[Day | None, Query(alias="to", description="The last day, UTC.")]
SearchText = Annotated[
    str,
    Query(
        min_length=1,
        max_length=MAX_QUERY,
        description='Words of the prompt: all of them; "in a row", begin*, -without.',
    ),
]


class ItemView(BaseModel):
    """A stored result to look at or listen to. Of somebody else's, `job` is null."""

    id: UUID
    kind: Literal["image", "video", "sound"]
    own: bool
    title: str | None
    prompt: str | None
    model: str
    seed: int | None
    job: UUID | None
    url: str
    thumbnail_url: str | None
    media_type: str
    size_bytes: int
    sha256: str
    width: int | None
    height: int | None
    duration_seconds: float | None
    public: bool
    published_at: datetime | None
    likes: int
    liked: Annotated[bool, Field(description="By whoever asks.")]
    created_at: datetime
    expires_at: Annotated[datetime | None, Field(description="Null: it is kept for ever.")]


class ItemPage(ListPage[ItemView]):
    """Items."""


class ItemChange(RequestBody):
    """What is to be different; the rest stays."""

    public: Annotated[bool, Field(strict=True, description="False: nobody else sees it, in no collection either.")] = (
        False
    )
    title: Annotated[str | None, Field(description=f"At most {tables.MAX_TITLE} characters; null: none.")] = None


class CollectionRequest(RequestBody):
    """A collection to make."""

    name: Annotated[str, Field(description=f"At most {tables.MAX_NAME} characters.")]
    description: Annotated[str, Field(description=f"At most {tables.MAX_DESCRIPTION} characters.")] = ""
    public: Annotated[bool, Field(strict=True)] = False


class CollectionChange(RequestBody):
    """What is to be different; the rest stays."""

    name: str = ""
    description: str = ""
    public: Annotated[bool, Field(strict=True)] = False
    cover: Annotated[UUID | None, Field(description="One of its items; null: the first.")] = None


_Items = Annotated[list[UUID], Field(min_length=1, max_length=MAX_AT_ONCE)]


class ItemsRequest(RequestBody):
    """Items by their ids."""

    items: _Items


class OrderRequest(RequestBody):
    """Items of a collection, in the order in which they are to stand."""

    items: _Items
    after: Annotated[UUID | None, Field(description="Right behind this one; null: at the beginning.")] = None


class ChangedView(BaseModel):
    """How many items a request has added, removed or moved, and how many there are now."""

    changed: int
    total: int


class CollectionView(BaseModel):
    """A collection. `standing` is what whoever asks is to it; `total` counts what is in it, whoever sees it."""

    id: UUID
    name: str
    description: str
    public: bool
    standing: Literal["owner", "editor", "viewer", "public"]
    total: int
    cover: Annotated[UUID | None, Field(description="The chosen one, or the first that you see.")]
    cover_url: str | None
    created_at: datetime


class CollectionPage(ListPage[CollectionView]):
    """Collections, newest first."""


class LinkRequest(RequestBody):
    """A link to share a collection by."""

    expires_at: Moment | None = None
    password: Annotated[
        str | None, Field(min_length=1, max_length=links.MAX_PASSWORD, description="Asked for on the page.")
    ] = None


class LinkView(BaseModel):
    """A share link. Its address is shown once, when it is made. `views` may be some seconds behind."""

    id: UUID
    has_password: bool
    views: int
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


class NewLinkView(LinkView):
    """A share link that was just made."""

    url: str


class LinkPage(ListPage[LinkView]):
    """Share links, newest first."""


class MemberRequest(RequestBody):
    """Somebody to invite."""

    email: str
    role: Literal["viewer", "editor"] = "viewer"


class MemberChange(RequestBody):
    """What a collaborator may do."""

    role: Literal["viewer", "editor"]


class MemberView(BaseModel):
    """Somebody who was invited. `accepted_at` null: who has not accepted yet."""

    id: UUID
    email: str
    role: Literal["viewer", "editor"]
    created_at: datetime
    accepted_at: datetime | None


class MemberPage(ListPage[MemberView]):
    """Collaborators, oldest first."""


class InvitationView(BaseModel):
    """An invitation to your own address."""

    id: UUID
    collection: UUID
    name: str
    role: Literal["viewer", "editor"]
    created_at: datetime


class InvitationPage(ListPage[InvitationView]):
    """Invitations, newest first."""


def item_view(row: ItemRow, viewer: UUID) -> dict[str, Any]:
    """An item, as it is answered to an account."""
    own = row.account_id == viewer
    return {
        "id": row.id,
        "kind": kind_of(row.media_type),
        "own": own,
        "title": row.title,
        "prompt": row.prompt,
        "model": row.model_id,
        "seed": row.seed,
        "job": row.job_id if own else None,
        "url": url_of(row.id),
        "thumbnail_url": url_of(row.id, thumbnail=True) if row.thumbnail else None,
        "media_type": row.media_type,
        "size_bytes": row.size_bytes,
        "sha256": row.sha256.hex(),
        "width": row.width,
        "height": row.height,
        "duration_seconds": row.duration_ms / 1000 if row.duration_ms is not None else None,
        "public": row.public is True,
        "published_at": row.published_at,
        "likes": row.likes,
        "liked": row.liked,
        "created_at": row.created_at,
        "expires_at": row.expires_at,
    }


def collection_view(row: CollectionRow) -> dict[str, Any]:
    """A collection, as it is answered."""
    cover = row.shown_cover
    return {
        "id": row.id,
        "name": row.name,
        "description": row.description,
        "public": row.public,
        "standing": row.standing.value,
        "total": row.total,
        "cover": cover,
        "cover_url": url_of(cover, thumbnail=row.cover_has_thumbnail) if cover is not None else None,
        "created_at": row.created_at,
    }


def link_view(row: LinkRow) -> dict[str, Any]:
    """A share link, as it is answered."""
    shown = row._asdict()
    del shown["collection_id"]
    return shown


def member_view(row: MemberRow) -> dict[str, Any]:
    """A collaborator, as it is answered."""
    return row._asdict()


def invitation_view(row: InvitationRow) -> dict[str, Any]:
    """An invitation, as it is answered."""
    return {
        "id": row.id,
        "collection": row.collection_id,
        "name": row.name,
        "role": row.role,
        "created_at": row.created_at,
    }
