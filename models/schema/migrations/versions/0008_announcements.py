"""announcements

Revision: 0008, after 0007. Lock and statement time-outs are set by models.migrations.
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None
deploy = "pre"


def upgrade() -> None:
    op.create_table(
        "announcements",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("plan_id", sa.Text(), nullable=True),
        sa.Column("reached", sa.Uuid(), nullable=True),
        sa.Column("told", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("app_now()"), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("length(title) <= 200 and length(body) <= 4000", name=op.f("ck_announcements_size")),
        sa.ForeignKeyConstraint(["plan_id"], ["plans.id"], name=op.f("fk_announcements_plan_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_announcements")),
    )
    op.create_index("ix_announcements_open", "announcements", ["id"], postgresql_where=sa.text("finished_at is null"))


def downgrade() -> None:
    op.drop_table("announcements")
