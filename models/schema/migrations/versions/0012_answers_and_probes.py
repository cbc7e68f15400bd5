"""answers and probes

Revision: 0012, after 0011. Lock and statement time-outs are set by models.migrations.
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None
deploy = "pre"


def upgrade() -> None:
    op.create_table(
        "answered_requests",
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("body_hash", sa.LargeBinary(), nullable=False),
        sa.Column("answer", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("app_now()"), nullable=False),
        sa.CheckConstraint("length(body_hash) = 32", name=op.f("ck_answered_requests_hash")),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_answered_requests_account_id")),
        sa.PrimaryKeyConstraint("account_id", "key", name=op.f("pk_answered_requests")),
    )
    op.create_index(op.f("ix_answered_requests_created_at"), "answered_requests", ["created_at"])
    op.create_table(
        "probes",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("filler", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_probes")),
    )
    # Kept in the row itself: four kilobytes of nothing would be packed into a few bytes.
    op.execute("alter table probes alter column filler set storage plain")


def downgrade() -> None:
    op.drop_table("probes")
    op.drop_table("answered_requests")
