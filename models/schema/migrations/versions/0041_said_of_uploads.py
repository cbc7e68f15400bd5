"""said of uploads: what clients say of the files that they send

Revision: 0041, after 0040. Lock and statement time-outs are set by models.schema.migrations. Processes of before write and read none.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0041"
down_revision = "0040"
branch_labels = None
depends_on = None
deploy = "pre"
functions = ()


def upgrade() -> None:
    op.add_column("uploads", sa.Column("said", postgresql.JSONB(), nullable=True))


def downgrade() -> None:
    op.drop_column("uploads", "said")
