"""operations: pauses, bulk runs, what operators see of workers and find jobs by

Revision: 0035, after 0034. Lock and statement time-outs are set by models.schema.migrations. Processes of before know no pauses:
they claim and dispatch what is paused.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None
deploy = "pre"
functions = ("paused_now_v1", "dispatch_account_v2", "end_job_v5")
retires = ("end_job_v4",)

MOMENT = sa.DateTime(timezone=True)
NOW = sa.text("app_now()")
INDICES = (
    ("ix_jobs_failed", "jobs", [sa.text("id desc")], {"postgresql_where": sa.text("ended = 'failed'")}),
    ("ix_jobs_retry_of", "jobs", ["retry_of"], {"postgresql_where": sa.text("retry_of is not null")}),
    ("ix_jobs_ended_at", "jobs", ["ended_at"], {"postgresql_using": "brin", "postgresql_with": {"pages_per_range": "16"}}),
    ("ix_job_runs_reconciling", "job_runs", ["job_id"], {"postgresql_where": sa.text("status = 'reconciling'")}),
)  # fmt: skip


def upgrade() -> None:
    op.create_table(
        "pauses",
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("until", MOMENT, nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("created_at", MOMENT, server_default=NOW, nullable=False),
        sa.Column("place", sa.Uuid(), nullable=True),
        sa.Column("passes", sa.SmallInteger(), server_default="0", nullable=False),
        sa.CheckConstraint("what in ('queue', 'model', 'provider', 'account')", name=op.f("ck_pauses_what")),
        sa.PrimaryKeyConstraint("what", "name", name=op.f("pk_pauses")),
    )
    op.create_table(
        "bulk_runs",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("act", sa.Text(), nullable=False),
        sa.Column("filter", postgresql.JSONB(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("key_id", sa.Uuid(), nullable=True),
        sa.Column("address", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), server_default="running", nullable=False),
        sa.Column("place", sa.Uuid(), nullable=False),
        sa.Column("jobs", sa.Integer(), nullable=False),
        sa.Column("credits", sa.BigInteger(), nullable=False),
        sa.Column("done", sa.Integer(), server_default="0", nullable=False),
        sa.Column("skipped", sa.Integer(), server_default="0", nullable=False),
        sa.Column("credits_done", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("reasons", postgresql.JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.Column("created_at", MOMENT, server_default=NOW, nullable=False),
        sa.Column("finished_at", MOMENT, nullable=True),
        sa.CheckConstraint("act in ('retry', 'refund', 'discard', 'cancel')", name=op.f("ck_bulk_runs_act")),
        sa.CheckConstraint("status in ('running', 'stopped', 'done')", name=op.f("ck_bulk_runs_status")),
        sa.CheckConstraint("(status = 'done') = (finished_at is not null)", name=op.f("ck_bulk_runs_finished_at")),
        sa.CheckConstraint("jobs >= 0 and done >= 0 and skipped >= 0", name=op.f("ck_bulk_runs_counts")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bulk_runs")),
    )
    op.create_index("ix_bulk_runs_running", "bulk_runs", ["id"], postgresql_where=sa.text("status = 'running'"))
    op.add_column("worker_processes", sa.Column("version", sa.Text(), nullable=True))
    op.add_column("worker_processes", sa.Column("jobs", postgresql.ARRAY(sa.Uuid()), nullable=True))
    op.add_column("worker_processes", sa.Column("drained_at", MOMENT, nullable=True))
    for name, table, columns, options in INDICES:
        op.create_index(name, table, columns, **options)


def downgrade() -> None:
    for name, table, _, _ in reversed(INDICES):
        op.drop_index(name, table_name=table)
    for column in ("drained_at", "jobs", "version"):
        op.drop_column("worker_processes", column)
    op.drop_table("bulk_runs")
    op.drop_table("pauses")
