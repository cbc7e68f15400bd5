"""The gallery's tables: what is said of results, and collections of them. What a result is stands in `assets` and `jobs`."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import TSVECTOR
from sqlmodel import Field, SQLModel

from models.columns import UTC_TIME, counter, created_at, in_list, moment
from models.gallery.rights import ROLES
from models.gallery.words import KINDS

MAX_TITLE = 200
MAX_NAME = 200
MAX_DESCRIPTION = 2000
MAX_EMAIL = 320


class GalleryItem(SQLModel, table=True):
    """What the gallery knows of a stored result. A duty writes the row soon after the job has ended, and deletes it with its
    time; until it is there, a result is an item all the same, of which nothing has been said.

    `public` null: never said, so that nobody else sees it but those with whom its owner shares a collection; false: said to
    be private, and nobody does. `shut`: its owner is shut out, and `shutting` has come by: no list of public items reads it. `words` are those of the prompt as it was read, in a language and by `words.FOLDING`, and a word for its account.
    """

    __tablename__ = "gallery_items"
    __table_args__ = (
        CheckConstraint(in_list("kind", *KINDS), name="kind"),
        CheckConstraint("likes >= 0", name="likes"),
        CheckConstraint(f"length(title) between 1 and {MAX_TITLE}", name="title"),
        CheckConstraint("(public is true) = (published_at is not null)", name="published_at"),
        CheckConstraint("public is true or not shut", name="shut"),
        Index("ix_gallery_items_own", "account_id", "kind", text("created_at desc"), text("id desc")),
        Index("ix_gallery_items_model", "account_id", "kind", "model_id", text("created_at desc"), text("id desc")),
        Index("ix_gallery_items_own_public", "account_id", "kind", text("created_at desc"), text("id desc"), postgresql_where=text("public")),
        Index("ix_gallery_items_newest", text("published_at desc"), text("id desc"), postgresql_where=text("public and not shut")),
        Index("ix_gallery_items_newest_kind", "kind", text("published_at desc"), text("id desc"), postgresql_where=text("public and not shut")),
        Index("ix_gallery_items_liked", text("likes desc"), text("id desc"), postgresql_where=text("public and not shut")),
        Index("ix_gallery_items_liked_kind", "kind", text("likes desc"), text("id desc"), postgresql_where=text("public and not shut")),
        Index("ix_gallery_items_words", "words", postgresql_using="gin"),
        Index("ix_gallery_items_public_words", "words", postgresql_using="gin", postgresql_where=text("public and not shut")),
        Index("ix_gallery_items_shut", "account_id", "shut", postgresql_where=text("public")),
        Index(None, "expires_at"),
    )  # fmt: skip

    id: UUID = Field(sa_column=Column(Uuid, ForeignKey("assets.id"), primary_key=True))
    account_id: UUID = Field(foreign_key="accounts.id", nullable=False)
    kind: str = Field(sa_type=Text, nullable=False)
    model_id: str = Field(sa_type=Text, nullable=False)
    created_at: datetime = Field(sa_column=Column(UTC_TIME, nullable=False))  # the result's
    expires_at: datetime = Field(sa_column=Column(UTC_TIME, nullable=False))  # the result's, when it was stored
    language: str = Field(sa_type=Text, nullable=False)
    words: Any = Field(sa_column=Column(TSVECTOR, nullable=False))
    public: bool | None = Field(default=None, sa_type=Boolean, nullable=True)
    shut: bool = Field(
        default=False, sa_type=Boolean, nullable=False, sa_column_kwargs={"server_default": text("false")}
    )
    published_at: datetime | None = moment()
    title: str | None = Field(default=None, sa_type=Text, nullable=True)
    likes: int = counter()


class ItemLike(SQLModel, table=True):
    """That an account likes an item."""

    __tablename__ = "item_likes"
    __table_args__ = (Index(None, "account_id"),)

    item_id: UUID = Field(sa_column=Column(Uuid, ForeignKey("gallery_items.id", ondelete="CASCADE"), primary_key=True))
    account_id: UUID = Field(primary_key=True, foreign_key="accounts.id")
    created_at: datetime = created_at()


class Collection(SQLModel, table=True):
    """A choice of items in an order of their own. Whatever is in it changes under the lock of this row."""

    __tablename__ = "collections"
    __table_args__ = (
        CheckConstraint(f"length(name) between 1 and {MAX_NAME}", name="name"),
        CheckConstraint(f"length(description) <= {MAX_DESCRIPTION}", name="description"),
        Index(None, "account_id", text("id desc")),
        CheckConstraint("public or not shut", name="shut"),
        Index("ix_collections_public", text("id desc"), postgresql_where=text("public and not shut")),
        Index("ix_collections_shut", "account_id", "shut", postgresql_where=text("public")),
    )

    id: UUID = Field(primary_key=True)
    account_id: UUID = Field(foreign_key="accounts.id", nullable=False)
    name: str = Field(sa_type=Text, nullable=False)
    description: str = Field(default="", sa_type=Text, nullable=False, sa_column_kwargs={"server_default": ""})
    public: bool = Field(
        default=False, sa_type=Boolean, nullable=False, sa_column_kwargs={"server_default": text("false")}
    )
    # Its owner is shut out, as with items.
    shut: bool = Field(
        default=False, sa_type=Boolean, nullable=False, sa_column_kwargs={"server_default": text("false")}
    )
    cover_id: UUID | None = Field(default=None, sa_type=Uuid, nullable=True)  # shown while it is in it and may be seen
    created_at: datetime = created_at()


class CollectionItem(SQLModel, table=True):
    """That an item is in a collection, once, at a place. Who adds what is their own lets those see it who may look."""

    __tablename__ = "collection_items"
    __table_args__ = (
        Index("ix_collection_items_position", "collection_id", "position"),
        Index(None, "item_id"),
    )

    collection_id: UUID = Field(
        sa_column=Column(Uuid, ForeignKey("collections.id", ondelete="CASCADE"), primary_key=True)
    )
    item_id: UUID = Field(sa_column=Column(Uuid, ForeignKey("gallery_items.id", ondelete="CASCADE"), primary_key=True))
    position: int = Field(sa_type=Integer, nullable=False)
    added_by: UUID = Field(foreign_key="accounts.id", nullable=False)
    created_at: datetime = created_at()


class ShareLink(SQLModel, table=True):
    """An address under which a collection is seen without a key. A fast hash is right for its token, which is 192 random
    bits; its password is a person's, and has a slow one.
    """

    __tablename__ = "share_links"
    __table_args__ = (
        CheckConstraint("length(hash) = 32", name="hash"),
        CheckConstraint("(password_hash is null) = (password_salt is null)", name="password"),
        Index(None, "collection_id", text("id desc")),
    )

    id: UUID = Field(primary_key=True)
    collection_id: UUID = Field(
        sa_column=Column(Uuid, ForeignKey("collections.id", ondelete="CASCADE"), nullable=False)
    )
    hash: bytes = Field(sa_column=Column(LargeBinary, nullable=False, unique=True))
    password_salt: bytes | None = Field(default=None, sa_column=Column(LargeBinary, nullable=True))
    password_hash: bytes | None = Field(default=None, sa_column=Column(LargeBinary, nullable=True))
    views: int = Field(sa_type=BigInteger, default=0, nullable=False, sa_column_kwargs={"server_default": "0"})
    created_at: datetime = created_at()
    expires_at: datetime | None = moment()
    revoked_at: datetime | None = moment()


class CollectionMember(SQLModel, table=True):
    """Somebody who was invited to a collection by e-mail. `account_id` is theirs once they have accepted."""

    __tablename__ = "collection_members"
    __table_args__ = (
        CheckConstraint(in_list("role", *ROLES), name="role"),
        CheckConstraint("(account_id is null) = (accepted_at is null)", name="accepted"),
        Index(None, "collection_id", "id"),
        Index("uq_collection_members_email", "collection_id", "email", unique=True),
        Index("uq_collection_members_account", "collection_id", "account_id", unique=True, postgresql_where=text("account_id is not null")),
        Index("ix_collection_members_account", "account_id", postgresql_where=text("account_id is not null")),
        Index("ix_collection_members_open", "email", postgresql_where=text("account_id is null")),
    )  # fmt: skip

    id: UUID = Field(primary_key=True)
    collection_id: UUID = Field(
        sa_column=Column(Uuid, ForeignKey("collections.id", ondelete="CASCADE"), nullable=False)
    )
    email: str = Field(sa_type=Text, nullable=False)  # in small letters
    role: str = Field(sa_type=Text, nullable=False)
    account_id: UUID | None = Field(default=None, foreign_key="accounts.id", nullable=True)
    created_at: datetime = created_at()
    accepted_at: datetime | None = moment()
