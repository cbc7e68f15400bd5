"""repeats: orders without a name that are sent again

Revision: 0040, after 0039. Lock and statement time-outs are set by models.schema.migrations. Processes of before make no such keys.
"""

import sqlalchemy as sa
from alembic import op

revision = "0040"
down_revision = "0039"
branch_labels = None
depends_on = None
deploy = "pre"
functions = ()


def upgrade() -> None:
    op.add_column("idempotency_keys", sa.Column("lost_at", sa.DateTime(timezone=True), nullable=True))
    # Empty: no key has begun so before. Building it reads a day's keys, while submits with a key wait.
    op.create_index(
        op.f("ix_idempotency_keys_sent"), "idempotency_keys", ["account_id", "body_hash", "created_at"],
        unique=False, postgresql_where=sa.text("key like '~%'"),
    )  # fmt: skip


def downgrade() -> None:
    op.drop_index(op.f("ix_idempotency_keys_sent"), table_name="idempotency_keys")
    op.drop_column("idempotency_keys", "lost_at")
