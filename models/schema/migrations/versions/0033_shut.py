"""what accounts that are shut out have made public is marked, so that lists of public things do not read past it

Revision: 0033, after 0032. Lock and statement time-outs are set by models.schema.migrations.
"""

import sqlalchemy as sa
from alembic import op

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None
deploy = "pre"

ITEMS: dict[str, list[str]] = {
    "ix_gallery_items_newest": ["published_at desc", "id desc"],
    "ix_gallery_items_newest_kind": ["kind", "published_at desc", "id desc"],
    "ix_gallery_items_liked": ["likes desc", "id desc"],
    "ix_gallery_items_liked_kind": ["kind", "likes desc", "id desc"],
    "ix_gallery_items_public_words": ["words"],
}


def upgrade() -> None:
    op.add_column("users", sa.Column("shut_marked", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.create_index(
        "ix_users_to_shut",
        "users",
        ["id"],
        postgresql_where=sa.text("(banned or suspended_at is not null) <> shut_marked"),
    )
    for table, rule in (("gallery_items", "public is true or not shut"), ("collections", "public or not shut")):
        op.add_column(table, sa.Column("shut", sa.Boolean(), server_default=sa.text("false"), nullable=False))
        op.create_check_constraint(op.f(f"ck_{table}_shut"), table, rule)
        op.create_index(f"ix_{table}_shut", table, ["account_id", "shut"], postgresql_where=sa.text("public"))
    _index("public and not shut")


def downgrade() -> None:
    _index("public")
    for table in ("collections", "gallery_items"):
        op.drop_index(f"ix_{table}_shut", table)
        op.drop_constraint(op.f(f"ck_{table}_shut"), table)
        op.drop_column(table, "shut")
    op.drop_index("ix_users_to_shut", "users")
    op.drop_column("users", "shut_marked")


def _index(where: str) -> None:
    """The indices of what all see have these rows and no others."""
    for name, columns in ITEMS.items():
        op.drop_index(name, "gallery_items")
        using = "gin" if columns == ["words"] else "btree"
        op.create_index(
            name,
            "gallery_items",
            [sa.text(each) for each in columns],
            postgresql_using=using,
            postgresql_where=sa.text(where),
        )
    op.drop_index("ix_collections_public", "collections")
    op.create_index("ix_collections_public", "collections", [sa.text("id desc")], postgresql_where=sa.text(where))
