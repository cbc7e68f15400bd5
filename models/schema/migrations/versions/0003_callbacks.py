"""callbacks and keys of users at providers

Revision: 0003, after 0002. Lock and statement time-outs are set by models.migrations.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None
deploy = "pre"


def upgrade() -> None:
    op.create_table(
        "provider_keys",
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("hint", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("app_now()"), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_provider_keys_account_id")),
        sa.PrimaryKeyConstraint("account_id", "provider", name=op.f("pk_provider_keys")),
    )
    op.create_table(
        "provider_callbacks",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.SmallInteger(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("headers", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("app_now()"), nullable=False),
        sa.CheckConstraint("length(body) <= 262144 and length(sha256) = 32", name=op.f("ck_provider_callbacks_bytes")),
        sa.ForeignKeyConstraint(
            ["job_id", "number"],
            ["attempts.job_id", "attempts.number"],
            name=op.f("fk_provider_callbacks_job_id_number"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_provider_callbacks")),
        sa.UniqueConstraint("job_id", "number", "sha256", name=op.f("uq_provider_callbacks_job_id_number_sha256")),
    )
    op.add_column("job_runs", sa.Column("next_route", sa.SmallInteger(), server_default="0", nullable=False))
    op.add_column("job_runs", sa.Column("called_back", sa.Boolean(), server_default="false", nullable=False))


def downgrade() -> None:
    op.drop_column("job_runs", "called_back")
    op.drop_column("job_runs", "next_route")
    op.drop_table("provider_callbacks")
    op.drop_table("provider_keys")
