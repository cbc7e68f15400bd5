"""audit marks: up to which entry the ledger of an account is proven, and its sums there

Revision: 0045, after 0044. Lock and statement time-outs are set by models.schema.migrations. Processes of before prove all, and know no marks.
"""

import sqlalchemy as sa
from alembic import op

revision = "0045"
down_revision = "0044"
branch_labels = None
depends_on = None
deploy = "pre"
functions = ()


def upgrade() -> None:
    op.create_table(
        "audit_marks",
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("entry_id", sa.BigInteger(), nullable=False),
        sa.Column("available", sa.BigInteger(), nullable=False),
        sa.Column("reserved", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("available >= 0 and reserved >= 0", name=op.f("ck_audit_marks_sums")),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_audit_marks")),
    )


def downgrade() -> None:
    op.drop_table("audit_marks")
