"""the gallery: what is said of results, likes, collections, share links, collaborators; plans say who may have these

Revision: 0026, after 0025. Lock and statement time-outs are set by models.schema.migrations. Nothing of `assets` or `jobs` changes: the
duty `index_results` writes the rows of what is there already.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None
deploy = "pre"

# Searches correct words that were mistyped where the database has this; without it, or the right to it, they do not.
COMPARES = """
do $$ begin
  create extension if not exists pg_trgm;
exception when insufficient_privilege or feature_not_supported or undefined_file then
  raise notice 'pg_trgm cannot be had here: words that were mistyped are not corrected';
end $$
"""


def upgrade() -> None:
    op.add_column("plans", sa.Column("collaborators", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.execute("update plans set collaborators = true where id = 'enterprise'")
    op.execute(COMPARES)
    _make_items()
    _make_collections()


def _make_items() -> None:
    op.create_table(
        "gallery_items",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("model_id", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("words", postgresql.TSVECTOR(), nullable=False),
        sa.Column("public", sa.Boolean(), nullable=True),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("title", sa.Text(), nullable=True),
        sa.Column("likes", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.CheckConstraint("kind in ('image', 'video', 'sound')", name=op.f("ck_gallery_items_kind")),
        sa.CheckConstraint("(public is true) = (published_at is not null)", name=op.f("ck_gallery_items_published_at")),
        sa.CheckConstraint("length(title) between 1 and 200", name=op.f("ck_gallery_items_title")),
        sa.CheckConstraint("likes >= 0", name=op.f("ck_gallery_items_likes")),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_gallery_items_account_id")),
        sa.ForeignKeyConstraint(["id"], ["assets.id"], name=op.f("fk_gallery_items_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_gallery_items")),
    )
    op.create_index(op.f("ix_gallery_items_expires_at"), "gallery_items", ["expires_at"])
    op.create_index(
        "ix_gallery_items_liked",
        "gallery_items",
        [sa.text("likes desc"), sa.text("id desc")],
        postgresql_where=sa.text("public"),
    )
    op.create_index(
        "ix_gallery_items_liked_kind",
        "gallery_items",
        ["kind", sa.text("likes desc"), sa.text("id desc")],
        postgresql_where=sa.text("public"),
    )
    op.create_index(
        "ix_gallery_items_model",
        "gallery_items",
        ["account_id", "kind", "model_id", sa.text("created_at desc"), sa.text("id desc")],
    )
    op.create_index(
        "ix_gallery_items_newest",
        "gallery_items",
        [sa.text("published_at desc"), sa.text("id desc")],
        postgresql_where=sa.text("public"),
    )
    op.create_index(
        "ix_gallery_items_newest_kind",
        "gallery_items",
        ["kind", sa.text("published_at desc"), sa.text("id desc")],
        postgresql_where=sa.text("public"),
    )
    op.create_index(
        "ix_gallery_items_own", "gallery_items", ["account_id", "kind", sa.text("created_at desc"), sa.text("id desc")]
    )
    op.create_index(
        "ix_gallery_items_own_public",
        "gallery_items",
        ["account_id", "kind", sa.text("created_at desc"), sa.text("id desc")],
        postgresql_where=sa.text("public"),
    )
    op.create_index(
        "ix_gallery_items_public_words",
        "gallery_items",
        ["words"],
        postgresql_using="gin",
        postgresql_where=sa.text("public"),
    )
    op.create_index("ix_gallery_items_words", "gallery_items", ["words"], postgresql_using="gin")
    op.create_table(
        "item_likes",
        sa.Column("item_id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("app_now()"), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_item_likes_account_id")),
        sa.ForeignKeyConstraint(
            ["item_id"], ["gallery_items.id"], name=op.f("fk_item_likes_item_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("item_id", "account_id", name=op.f("pk_item_likes")),
    )
    op.create_index(op.f("ix_item_likes_account_id"), "item_likes", ["account_id"])


def _make_collections() -> None:
    op.create_table(
        "collections",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), server_default="", nullable=False),
        sa.Column("public", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("cover_id", sa.Uuid(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("app_now()"), nullable=False),
        sa.CheckConstraint("length(description) <= 2000", name=op.f("ck_collections_description")),
        sa.CheckConstraint("length(name) between 1 and 200", name=op.f("ck_collections_name")),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_collections_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_collections")),
    )
    op.create_index(op.f("ix_collections_account_id"), "collections", ["account_id", sa.text("id desc")])
    op.create_index("ix_collections_public", "collections", [sa.text("id desc")], postgresql_where=sa.text("public"))
    op.create_table(
        "collection_items",
        sa.Column("collection_id", sa.Uuid(), nullable=False),
        sa.Column("item_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("added_by", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("app_now()"), nullable=False),
        sa.ForeignKeyConstraint(["added_by"], ["accounts.id"], name=op.f("fk_collection_items_added_by")),
        sa.ForeignKeyConstraint(
            ["collection_id"], ["collections.id"], name=op.f("fk_collection_items_collection_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["item_id"], ["gallery_items.id"], name=op.f("fk_collection_items_item_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("collection_id", "item_id", name=op.f("pk_collection_items")),
    )
    op.create_index(op.f("ix_collection_items_item_id"), "collection_items", ["item_id"])
    op.create_index("ix_collection_items_position", "collection_items", ["collection_id", "position"])
    op.create_table(
        "share_links",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("collection_id", sa.Uuid(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("password_salt", sa.LargeBinary(), nullable=True),
        sa.Column("password_hash", sa.LargeBinary(), nullable=True),
        sa.Column("views", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("app_now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("(password_hash is null) = (password_salt is null)", name=op.f("ck_share_links_password")),
        sa.CheckConstraint("length(hash) = 32", name=op.f("ck_share_links_hash")),
        sa.ForeignKeyConstraint(
            ["collection_id"], ["collections.id"], name=op.f("fk_share_links_collection_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_share_links")),
        sa.UniqueConstraint("hash", name=op.f("uq_share_links_hash")),
    )
    op.create_index(op.f("ix_share_links_collection_id"), "share_links", ["collection_id", sa.text("id desc")])
    op.create_table(
        "collection_members",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("collection_id", sa.Uuid(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("app_now()"), nullable=False),
        sa.Column("accepted_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("role in ('viewer', 'editor')", name=op.f("ck_collection_members_role")),
        sa.CheckConstraint("(account_id is null) = (accepted_at is null)", name=op.f("ck_collection_members_accepted")),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_collection_members_account_id")),
        sa.ForeignKeyConstraint(
            ["collection_id"], ["collections.id"], name=op.f("fk_collection_members_collection_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_collection_members")),
    )
    op.create_index(
        "ix_collection_members_account",
        "collection_members",
        ["account_id"],
        postgresql_where=sa.text("account_id is not null"),
    )
    op.create_index(
        "ix_collection_members_open", "collection_members", ["email"], postgresql_where=sa.text("account_id is null")
    )
    op.create_index(
        "uq_collection_members_account",
        "collection_members",
        ["collection_id", "account_id"],
        unique=True,
        postgresql_where=sa.text("account_id is not null"),
    )
    op.create_index(op.f("ix_collection_members_collection_id_id"), "collection_members", ["collection_id", "id"])
    op.create_index("uq_collection_members_email", "collection_members", ["collection_id", "email"], unique=True)


def downgrade() -> None:
    for table in (
        "collection_members",
        "share_links",
        "collection_items",
        "collections",
        "item_likes",
        "gallery_items",
    ):
        op.drop_table(table)
    op.drop_column("plans", "collaborators")
