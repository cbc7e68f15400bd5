"""what living jobs may bring

Revision: 0013, after 0012. Lock and statement time-outs are set by models.migrations. Jobs that live already are counted
with nothing, as their runs say.
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None
deploy = "pre"


def upgrade() -> None:
    for table in ("accounts", "job_runs"):
        op.add_column(table, sa.Column("expected_bytes", sa.BigInteger(), server_default="0", nullable=False))
    op.create_check_constraint("expected_not_negative", "accounts", "expected_bytes >= 0")


def downgrade() -> None:
    op.drop_constraint(op.f("ck_accounts_expected_not_negative"), "accounts")
    for table in ("accounts", "job_runs"):
        op.drop_column(table, "expected_bytes")
