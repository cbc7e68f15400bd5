"""users of issuers, and events from outside

Revision: 0006, after 0005. Lock and statement time-outs are set by models.migrations.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None
deploy = "pre"


def upgrade() -> None:
    op.create_table(
        "inbound_events",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=True),
        sa.Column("payload", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), server_default=sa.text("app_now()"), nullable=False),
        sa.Column("processed_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_inbound_events")),
        sa.UniqueConstraint("source", "event_id", name=op.f("uq_inbound_events_source_event_id")),
    )
    op.create_index(
        "ix_inbound_events_subject",
        "inbound_events",
        ["source", "subject"],
        postgresql_where=sa.text("subject is not null"),
    )
    op.add_column("users", sa.Column("first_name", sa.Text(), nullable=True))
    op.add_column("users", sa.Column("last_name", sa.Text(), nullable=True))
    op.add_column("users", sa.Column("banned", sa.Boolean(), server_default="false", nullable=False))
    op.add_column("users", sa.Column("updated_at_provider", sa.DateTime(timezone=True), nullable=True))
    op.add_column("users", sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("users", sa.Column("left_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index(
        "ix_users_leaving",
        "users",
        ["deleted_at"],
        postgresql_where=sa.text("deleted_at is not null and left_at is null"),
    )


def downgrade() -> None:
    op.drop_index("ix_users_leaving", table_name="users")
    for column in ("left_at", "deleted_at", "updated_at_provider", "banned", "last_name", "first_name"):
        op.drop_column("users", column)
    op.drop_table("inbound_events")
