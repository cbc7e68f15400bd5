"""uploads

Revision: 0005, after 0004. Lock and statement time-outs are set by models.migrations.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None
deploy = "pre"


def upgrade() -> None:
    op.create_table(
        "uploads",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("media_type", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("width", sa.Integer(), nullable=True),
        sa.Column("height", sa.Integer(), nullable=True),
        sa.Column("duration_ms", sa.Integer(), nullable=True),
        sa.Column("status", sa.Text(), server_default="stored", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("app_now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expired_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("purged_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("status in ('stored', 'expired', 'deleted')", name=op.f("ck_uploads_status")),
        sa.CheckConstraint("(status = 'stored') = (expired_at is null)", name=op.f("ck_uploads_expired_at")),
        sa.CheckConstraint("purged_at is null or status <> 'stored'", name=op.f("ck_uploads_purged_at")),
        sa.CheckConstraint("size_bytes > 0 and length(sha256) = 32", name=op.f("ck_uploads_bytes")),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_uploads_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_uploads")),
        sa.UniqueConstraint("key", name=op.f("uq_uploads_key")),
    )
    op.create_index(op.f("ix_uploads_account_id"), "uploads", ["account_id", sa.literal_column("id desc")])
    stored = sa.text("status = 'stored'")
    op.create_index("ix_uploads_same", "uploads", ["account_id", "sha256"], postgresql_where=stored)
    op.create_index("ix_uploads_expires_at", "uploads", ["expires_at"], postgresql_where=stored)
    op.create_index(
        "ix_uploads_purge", "uploads", ["expired_at"],
        postgresql_where=sa.text("status <> 'stored' and purged_at is null"),
    )  # fmt: skip


def downgrade() -> None:
    op.drop_table("uploads")
