"""parts of the product are switched; users may be editors; articles with revisions, likes and counts

Revision: 0027, after 0026. Lock and statement time-outs are set by models.schema.migrations.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None
deploy = "pre"

NOW = sa.text("app_now()")
TIME = sa.DateTime(timezone=True)
PUBLISHED = sa.text("state = 'published'")


def upgrade() -> None:
    op.create_table(
        "features",
        sa.Column("id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("names", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_features_one")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_features")),
    )
    _roles_are("role in ('user', 'pro', 'editor', 'admin')")
    _make_articles()
    _make_what_hangs_on_them()


def downgrade() -> None:
    for table in (
        "slug_counts",
        "article_likes",
        "article_counts",
        "article_shelves",
        "article_revisions",
        "articles",
        "features",
    ):
        op.drop_table(table)
    op.execute("update users set role = 'pro' where role = 'editor'")
    _roles_are("role in ('user', 'pro', 'admin')")


def _roles_are(rule: str) -> None:
    op.drop_constraint(op.f("ck_users_role"), "users")
    op.create_check_constraint(op.f("ck_users_role"), "users", rule, postgresql_not_valid=True)
    op.execute("alter table users validate constraint ck_users_role")


def _make_articles() -> None:
    op.create_table(
        "articles",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("slug", sa.Text(), nullable=False),
        sa.Column("section", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), server_default=sa.text("'draft'"), nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("teaser", sa.Text(), nullable=True),
        sa.Column("tags", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("premium", sa.Boolean(), nullable=False),
        sa.Column("implication", sa.Text(), nullable=True),
        sa.Column("paper", postgresql.JSONB(), nullable=True),
        sa.Column("citations", postgresql.JSONB(), server_default=sa.text("'[]'::jsonb"), nullable=False),
        sa.Column("html", sa.Text(), nullable=False),
        sa.Column("implication_html", sa.Text(), nullable=True),
        sa.Column("rendering", sa.SmallInteger(), nullable=False),
        sa.Column("opening", sa.Text(), nullable=False),
        sa.Column("plain", sa.Text(), nullable=False),
        sa.Column("search", postgresql.TSVECTOR(), nullable=False),
        sa.Column("open_search", postgresql.TSVECTOR(), nullable=True),
        sa.Column("published_at", TIME, nullable=True),
        sa.Column("created_by", sa.Uuid(), nullable=False),
        sa.Column("updated_by", sa.Uuid(), nullable=False),
        sa.Column("updated_at", TIME, server_default=NOW, nullable=False),
        sa.Column("created_at", TIME, server_default=NOW, nullable=False),
        sa.CheckConstraint("section in ('news', 'research')", name=op.f("ck_articles_section")),
        sa.CheckConstraint("kind in ('tool', 'use_case', 'regulation')", name=op.f("ck_articles_kind")),
        sa.CheckConstraint("(section = 'news') = (kind is not null)", name=op.f("ck_articles_kind_of_news")),
        sa.CheckConstraint("state in ('draft', 'published', 'deleted')", name=op.f("ck_articles_state")),
        sa.CheckConstraint("state <> 'published' or published_at is not null", name=op.f("ck_articles_published_at")),
        sa.CheckConstraint("premium = (open_search is not null)", name=op.f("ck_articles_open_search")),
        sa.CheckConstraint("slug <> '' and version > 0", name=op.f("ck_articles_slug")),
        sa.ForeignKeyConstraint(["created_by"], ["users.id"], name=op.f("fk_articles_created_by")),
        sa.ForeignKeyConstraint(["updated_by"], ["users.id"], name=op.f("fk_articles_updated_by")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_articles")),
    )
    op.create_index("uq_articles_slug", "articles", ["slug"], unique=True)
    op.create_index("ix_articles_state", "articles", ["state", "id"])
    op.create_index("ix_articles_section", "articles", ["section", "kind", "state"])
    op.create_index("ix_articles_published_at", "articles", ["published_at"], postgresql_where=PUBLISHED)
    for column in ("search", "open_search"):
        op.create_index(
            f"ix_articles_{column}", "articles", [column], postgresql_using="gin", postgresql_where=PUBLISHED,
            postgresql_with={"fastupdate": "off"},
        )  # fmt: skip


def _make_what_hangs_on_them() -> None:
    op.create_table(
        "article_revisions",
        sa.Column("article_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("said", postgresql.JSONB(), nullable=False),
        sa.Column("saved_by", sa.Uuid(), nullable=False),
        sa.Column("saved_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(["article_id"], ["articles.id"], name=op.f("fk_article_revisions_article_id")),
        sa.ForeignKeyConstraint(["saved_by"], ["users.id"], name=op.f("fk_article_revisions_saved_by")),
        sa.PrimaryKeyConstraint("article_id", "number", name=op.f("pk_article_revisions")),
    )
    op.create_table(
        "article_shelves",
        sa.Column("shelf", sa.Text(), nullable=False),
        sa.Column("published_at", TIME, nullable=False),
        sa.Column("article_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(["article_id"], ["articles.id"], name=op.f("fk_article_shelves_article_id")),
        sa.PrimaryKeyConstraint("shelf", "published_at", "article_id", name=op.f("pk_article_shelves")),
    )
    op.create_index("ix_article_shelves_article_id", "article_shelves", ["article_id"])
    op.create_table(
        "article_counts",
        sa.Column("article_id", sa.Uuid(), nullable=False),
        sa.Column("views", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("likes", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.CheckConstraint("views >= 0 and likes >= 0", name=op.f("ck_article_counts_counts")),
        sa.ForeignKeyConstraint(["article_id"], ["articles.id"], name=op.f("fk_article_counts_article_id")),
        sa.PrimaryKeyConstraint("article_id", name=op.f("pk_article_counts")),
    )
    op.create_table(
        "article_likes",
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("article_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", TIME, server_default=NOW, nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_article_likes_account_id")),
        sa.ForeignKeyConstraint(["article_id"], ["articles.id"], name=op.f("fk_article_likes_article_id")),
        sa.PrimaryKeyConstraint("account_id", "article_id", name=op.f("pk_article_likes")),
    )
    op.create_table(
        "slug_counts",
        sa.Column("base", sa.Text(), nullable=False),
        sa.Column("used", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("base", name=op.f("pk_slug_counts")),
    )
