"""spending: what each provider with a limit has cost today

Revision: 0039, after 0038. Lock and statement time-outs are set by models.schema.migrations. Processes of before know no limit of a day.
"""

import sqlalchemy as sa
from alembic import op

revision = "0039"
down_revision = "0038"
branch_labels = None
depends_on = None
deploy = "pre"
functions = ()


def upgrade() -> None:
    op.create_table(
        "provider_days",
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("usd_micros", sa.BigInteger(), nullable=False),
        sa.Column("counted_until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("provider", name=op.f("pk_provider_days")),
    )


def downgrade() -> None:
    op.drop_table("provider_days")
