"""kept rows: whose a job is, or was, holds for those of before as well

Revision: 0038, after 0037. Lock and statement time-outs are set by models.schema.migrations. It reads `jobs` once, while others write.
"""

from alembic import op

revision = "0038"
down_revision = "0037"
branch_labels = None
depends_on = None
deploy = "pre"
functions = ()


def upgrade() -> None:
    for name in ("ck_jobs_owner", "ck_jobs_past"):
        op.execute(f"alter table jobs validate constraint {name}")


def downgrade() -> None:
    pass  # what is known of them stays true
