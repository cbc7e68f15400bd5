"""lines: indices by which nothing reads the line of an account to find what is in it, before it or beside it

Revision: 0044, after 0043. Lock and statement time-outs are set by models.schema.migrations. Processes of before find what they look
for by the new indices; what they counted by account and model is counted of dispatched jobs alone.
"""

import sqlalchemy as sa
from alembic import op

revision = "0044"
down_revision = "0043"
branch_labels = None
depends_on = None
deploy = "pre"
functions = ("dispatch_account_v3", "end_job_v6", "end_jobs_v1")

LINES = ["account_id", "queue", "model_id", sa.text("requeued desc"), sa.text("priority desc"), "job_id"]


def upgrade() -> None:
    # Building them reads the living jobs, while submits and steps wait: a second for a million.
    op.create_index(
        "ix_job_runs_lines", "job_runs", LINES,
        postgresql_include=["created_at"], postgresql_where=sa.text("not dispatched and wake_at is null"),
    )  # fmt: skip
    op.create_index("ix_job_runs_account_id", "job_runs", ["account_id", sa.text("job_id desc")])
    op.create_index(
        "ix_job_runs_dispatched", "job_runs", ["account_id", "model_id"], postgresql_where=sa.text("dispatched")
    )
    op.create_index(
        "ix_job_runs_delayed", "job_runs", ["account_id", "wake_at"],
        postgresql_where=sa.text("not dispatched and wake_at is not null"),
    )  # fmt: skip
    op.drop_index("ix_job_runs_account_model", "job_runs")


def downgrade() -> None:
    op.create_index("ix_job_runs_account_model", "job_runs", ["account_id", "model_id"])
    for name in ("delayed", "dispatched", "account_id", "lines"):
        op.drop_index(f"ix_job_runs_{name}", "job_runs")
