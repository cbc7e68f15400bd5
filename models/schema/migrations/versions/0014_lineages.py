"""keys know who made them: budgets and rates are those of a line, and what a revoked key has made ends with it

Revision: 0014, after 0013. Lock and statement time-outs are set by models.migrations.
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None
deploy = "pre"
functions = ("dispatch_account", "deliver_events", "end_job")


def upgrade() -> None:
    # Keys that older code has rotated stay lines of their own: nothing says out of which key they came.
    op.add_column("api_keys", sa.Column("line_id", sa.Uuid(), nullable=True))
    for name in ("lineage", "makers"):
        op.add_column(
            "api_keys", sa.Column(name, sa.ARRAY(sa.Uuid()), server_default=sa.text("'{}'::uuid[]"), nullable=False)
        )
    op.add_column("api_keys", sa.Column("retires_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index(
        "ix_api_keys_retires_at", "api_keys", ["retires_at"], postgresql_where=sa.text("retires_at is not null")
    )


def downgrade() -> None:
    op.execute("update api_keys set expires_at = least(expires_at, retires_at) where retires_at is not null")
    op.drop_index("ix_api_keys_retires_at", table_name="api_keys")
    for name in ("retires_at", "makers", "lineage", "line_id"):
        op.drop_column("api_keys", name)
