"""kept rows: whose a job is, or was, holds for those of before as well; whose forgotten jobs were is found by an index

Revision: 0038, after 0037. Lock and statement time-outs are set by models.schema.migrations. It reads `jobs` three times: apart from 0037, whose
locks nobody could read or write beside.
"""

import sqlalchemy as sa
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
    # Only the rows that a duty makes are in it: no submit and no end pays for it.
    op.create_index(
        "ix_jobs_past", "jobs", ["past_account_id"], postgresql_where=sa.text("past_account_id is not null")
    )


def downgrade() -> None:
    op.drop_index("ix_jobs_past", table_name="jobs")  # what is known of the rows stays true
