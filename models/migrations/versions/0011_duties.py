"""deliveries know which attempt has begun; what only grew can be forgotten; a job's own events have an index

Revision: 0011, after 0008. Lock and statement time-outs are set by models.migrations.
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("deliveries", sa.Column("begun", sa.SmallInteger(), server_default="0", nullable=False))
    op.execute("update deliveries set begun = attempts where status = 'pending' and attempts > 0")
    op.add_column(
        "delivery_lines",
        sa.Column("used_at", sa.DateTime(timezone=True), server_default=sa.text("app_now()"), nullable=False),
    )
    op.create_index(
        "ix_delivery_lines_idle", "delivery_lines", ["used_at"], postgresql_where=sa.text("wake_at is null")
    )
    op.create_index("ix_events_job", "events", ["job_id"], postgresql_where=sa.text("job_id is not null"))


def downgrade() -> None:
    op.drop_index("ix_events_job", table_name="events")
    op.drop_index("ix_delivery_lines_idle", table_name="delivery_lines")
    op.drop_column("delivery_lines", "used_at")
    op.drop_column("deliveries", "begun")
