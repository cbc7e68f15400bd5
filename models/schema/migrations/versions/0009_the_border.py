"""the border: an attempt may be delivered, keeps the key that began it, and is live while it has no end

Revision: 0009, after 0008. Lock and statement time-outs are set by models.migrations.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None
deploy = "pre"

OLD_LIVE = "phase in ('intent', 'accepted', 'unknown')"
LIVE = "phase in ('intent', 'unknown', 'accepted', 'delivered')"


def upgrade() -> None:
    op.add_column("attempts", sa.Column("delivered", postgresql.JSONB(none_as_null=True), nullable=True))
    op.add_column("attempts", sa.Column("delivered_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("attempts", sa.Column("own_key", sa.LargeBinary(), nullable=True))
    op.add_column("job_runs", sa.Column("held_back", sa.Boolean(), server_default="false", nullable=False))
    op.create_index(
        "ix_job_runs_held_back", "job_runs", ["account_id", "model_id"], postgresql_where=sa.text("held_back")
    )
    # What is under way was begun with the account's own key where it has one.
    op.execute(
        f"""update attempts a set own_key = k.secret from jobs j join provider_keys k on k.account_id = j.account_id
             where j.id = a.job_id and k.provider = a.provider and a.{OLD_LIVE}"""
    )
    op.execute(f"update attempts set ended_at = app_now() where not ({OLD_LIVE}) and ended_at is null")
    op.drop_constraint("ck_attempts_phase", "attempts")
    op.create_check_constraint("phase", "attempts", f"{LIVE} or phase in ('done', 'failed', 'abandoned')")
    op.create_check_constraint("live", "attempts", f"({LIVE}) = (ended_at is null)")
    op.create_check_constraint("delivered", "attempts", "(phase = 'delivered') = (delivered is not null)")
    op.drop_index("ix_attempts_live", "attempts")
    op.create_index(
        "ix_attempts_live", "attempts", ["job_id"], unique=True, postgresql_where=sa.text("ended_at is null")
    )


def downgrade() -> None:
    op.drop_index("ix_attempts_live", "attempts")
    op.execute(
        "update attempts set phase = case when provider_job_id is null then 'unknown' else 'accepted' end, delivered = null"
        " where phase = 'delivered'"
    )
    op.drop_constraint("ck_attempts_delivered", "attempts")
    op.drop_constraint("ck_attempts_live", "attempts")
    op.drop_constraint("ck_attempts_phase", "attempts")
    op.create_check_constraint("phase", "attempts", f"{OLD_LIVE} or phase in ('done', 'failed', 'abandoned')")
    op.create_index("ix_attempts_live", "attempts", ["job_id"], unique=True, postgresql_where=sa.text(OLD_LIVE))
    op.drop_index("ix_job_runs_held_back", "job_runs")
    op.drop_column("job_runs", "held_back")
    op.drop_column("attempts", "own_key")
    op.drop_column("attempts", "delivered_at")
    op.drop_column("attempts", "delivered")
