"""how often a live attempt was tried for after its limit

Revision: 0031, after 0030. Lock and statement time-outs are set by models.schema.migrations.
"""

import sqlalchemy as sa
from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None
deploy = "pre"


def upgrade() -> None:
    op.add_column("job_runs", sa.Column("late_tries", sa.SmallInteger(), server_default="0", nullable=False))


def downgrade() -> None:
    op.drop_column("job_runs", "late_tries")
