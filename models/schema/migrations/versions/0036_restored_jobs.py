"""restored jobs: those that lived in a backup, of which no attempt begins by itself; months that are made by functions

Revision: 0036, after 0035. Lock and statement time-outs are set by models.schema.migrations. Processes of before know nothing of
it; it is empty unless a backup was restored by a release that has it.
"""

import sqlalchemy as sa
from alembic import op

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None
deploy = "pre"
functions = ("make_month_v1", "drop_month_v1")


def upgrade() -> None:
    op.create_table(
        "restored_jobs",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("app_now()"), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_restored_jobs_job_id_jobs")),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_restored_jobs")),
    )


def downgrade() -> None:
    op.drop_table("restored_jobs")
