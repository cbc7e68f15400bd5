"""deliveries know which attempt has begun; what only grew can be forgotten; a job's own events have an index

Revision: 0011, after 0010. Lock and statement time-outs are set by models.migrations.
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None
deploy = "pre"

FORGOTTEN = (("api_keys", "revoked_at"), ("api_keys", "expires_at"), ("uploads", "purged_at"))


def upgrade() -> None:
    op.add_column("deliveries", sa.Column("begun", sa.SmallInteger(), server_default="0", nullable=False))
    op.execute("update deliveries set begun = attempts where status = 'pending' and attempts > 0")
    op.create_index(
        "ix_deliveries_failed",
        "deliveries",
        ["account_id", "endpoint_id", "status", sa.literal_column("created_at desc"), sa.literal_column("id desc")],
        postgresql_where=sa.text("status in ('failed', 'disabled')"),
    )
    op.add_column(
        "delivery_lines",
        sa.Column("used_at", sa.DateTime(timezone=True), server_default=sa.text("app_now()"), nullable=False),
    )
    op.create_index(
        "ix_delivery_lines_idle", "delivery_lines", ["used_at"], postgresql_where=sa.text("wake_at is null")
    )
    op.add_column(
        "announcements",
        sa.Column("missed", sa.ARRAY(sa.Uuid()), server_default=sa.text("'{}'::uuid[]"), nullable=False),
    )
    op.add_column("announcements", sa.Column("walked_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("webhook_endpoints", sa.Column("tests", sa.Integer(), server_default="0", nullable=False))
    op.add_column("webhook_endpoints", sa.Column("tests_since", sa.DateTime(timezone=True), nullable=True))
    for table, column in FORGOTTEN:
        op.create_index(f"ix_{table}_{column}", table, [column], postgresql_where=sa.text(f"{column} is not null"))
    op.create_table(
        "clock_jumps",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("by_seconds", sa.Float(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("app_now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_clock_jumps")),
    )
    op.execute("drop trigger acts_are_append_only on acts")
    op.execute(
        """create trigger acts_are_append_only before update on acts
           for each row execute function refuse_change('what was done stays written down')"""
    )
    op.execute(
        """create trigger acts_are_kept_for_a_year before delete on acts for each row
           when (old.at > app_now() - interval '365 days')
           execute function refuse_change('what was done stays written down')"""
    )
    op.create_index("ix_events_job", "events", ["job_id"], postgresql_where=sa.text("job_id is not null"))


def downgrade() -> None:
    op.drop_index("ix_events_job", table_name="events")
    op.execute("drop trigger acts_are_kept_for_a_year on acts")
    op.execute("drop trigger acts_are_append_only on acts")
    op.execute(
        """create trigger acts_are_append_only before update or delete on acts
           for each row execute function refuse_change('what was done stays written down')"""
    )
    op.drop_table("clock_jumps")
    for table, column in FORGOTTEN:
        op.drop_index(f"ix_{table}_{column}", table_name=table)
    op.drop_column("webhook_endpoints", "tests_since")
    op.drop_column("webhook_endpoints", "tests")
    op.drop_column("announcements", "walked_at")
    op.drop_column("announcements", "missed")
    op.drop_index("ix_delivery_lines_idle", table_name="delivery_lines")
    op.drop_column("delivery_lines", "used_at")
    op.drop_index("ix_deliveries_failed", table_name="deliveries")
    op.drop_column("deliveries", "begun")
