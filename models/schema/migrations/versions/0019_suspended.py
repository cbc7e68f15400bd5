"""users can be suspended, and have preferences

Revision: 0019, after 0018. Lock and statement time-outs are set by models.schema.migrations.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None
deploy = "pre"


def upgrade() -> None:
    op.add_column("users", sa.Column("suspended_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("users", sa.Column("preferences", JSONB(), server_default=sa.text("'{}'"), nullable=False))
    op.create_index("ix_users_email", "users", ["email"], postgresql_where=sa.text("email is not null"))
    op.create_index("ix_users_subject", "users", ["subject"])


def downgrade() -> None:
    op.drop_index("ix_users_subject", table_name="users")
    op.drop_index("ix_users_email", table_name="users")
    op.drop_column("users", "preferences")
    op.drop_column("users", "suspended_at")
