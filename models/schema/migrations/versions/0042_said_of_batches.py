"""said of batches: what a dialect was told of a batch, to tell it again

Revision: 0042, after 0041. Lock and statement time-outs are set by models.schema.migrations. Processes of before write and read none.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0042"
down_revision = "0041"
branch_labels = None
depends_on = None
deploy = "pre"
functions = ()


def upgrade() -> None:
    op.add_column("batches", sa.Column("said", postgresql.JSONB(), nullable=True))


def downgrade() -> None:
    op.drop_column("batches", "said")
