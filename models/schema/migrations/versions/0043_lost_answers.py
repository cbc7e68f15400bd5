"""lost answers: an index of those orders alone whose answer is known to be lost

Revision: 0043, after 0042. Lock and statement time-outs are set by models.schema.migrations. Processes of before find the same without it.
"""

import sqlalchemy as sa
from alembic import op

revision = "0043"
down_revision = "0042"
branch_labels = None
depends_on = None
deploy = "pre"
functions = ()


def upgrade() -> None:
    # Next to empty at any time. Building it reads a day's keys, while submits with a key wait.
    op.create_index(
        op.f("ix_idempotency_keys_lost"), "idempotency_keys", ["account_id", "body_hash"],
        unique=False, postgresql_where=sa.text("lost_at is not null"),
    )  # fmt: skip


def downgrade() -> None:
    op.drop_index(op.f("ix_idempotency_keys_lost"), table_name="idempotency_keys")
