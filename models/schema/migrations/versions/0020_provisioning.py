"""provisioning: the web client's credentials, its reports of usage, its accounts and their months

Revision: 0020, after 0019. Lock and statement time-outs are set by models.schema.migrations.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None
deploy = "pre"

MOMENT = sa.DateTime(timezone=True)
NOW = sa.text("app_now()")


def upgrade() -> None:
    op.create_table(
        "web_credentials",
        sa.Column("row_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("token_hash", sa.Text(), nullable=False),
        sa.Column("salt", sa.Text(), nullable=False),
        sa.Column("scopes", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("plan", sa.Text(), nullable=False),
        sa.Column("issued_at", MOMENT, nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("provider_reference", sa.Text(), nullable=True),
        sa.Column("metadata", JSONB(), nullable=True),
        sa.Column("last_rotated_at", MOMENT, nullable=True),
        sa.Column("as_saved", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", MOMENT, server_default=NOW, nullable=False),
        sa.CheckConstraint("length(as_saved) = 32", name=op.f("ck_web_credentials_as_saved")),
        sa.PrimaryKeyConstraint("row_id", name=op.f("pk_web_credentials")),
        sa.UniqueConstraint("id", name=op.f("uq_web_credentials_id")),
    )
    op.create_index(
        "ix_web_credentials_issued_at", "web_credentials", [sa.text("issued_at desc"), sa.text("row_id desc")]
    )
    op.create_index(
        "ix_web_credentials_active", "web_credentials",
        ["user_id", "provider", sa.text("issued_at desc"), sa.text("row_id desc")],
        postgresql_where=sa.text("status = 'active'"),
    )  # fmt: skip
    op.create_table(
        "web_usage",
        sa.Column("row_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("tokens_used", sa.BigInteger(), nullable=False),
        sa.Column("cost_minor_units", sa.BigInteger(), nullable=False),
        sa.Column("recorded_at", MOMENT, nullable=False),
        sa.Column("created_at", MOMENT, server_default=NOW, nullable=False),
        sa.CheckConstraint("tokens_used >= 0 and cost_minor_units >= 0", name=op.f("ck_web_usage_not_negative")),
        sa.PrimaryKeyConstraint("row_id", name=op.f("pk_web_usage")),
        sa.UniqueConstraint("id", name=op.f("uq_web_usage_id")),
    )
    op.create_index(
        "ix_web_usage_user_id", "web_usage", ["user_id", sa.text("recorded_at desc"), sa.text("row_id desc")]
    )
    op.create_table(
        "web_accounts",
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("plan", sa.Text(), nullable=False),
        sa.Column("billing_status", sa.Text(), nullable=False),
        sa.Column("premium_expires_at", MOMENT, nullable=True),
        sa.Column("used_at", MOMENT, server_default=NOW, nullable=False),
        sa.Column("created_at", MOMENT, server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_web_accounts")),
    )
    op.create_table(
        "web_months",
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("month", sa.Date(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("tokens_used", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.CheckConstraint("tokens_used >= 0", name=op.f("ck_web_months_not_negative")),
        sa.ForeignKeyConstraint(["user_id"], ["web_accounts.user_id"], name=op.f("fk_web_months_user_id")),
        sa.PrimaryKeyConstraint("user_id", "month", "provider", name=op.f("pk_web_months")),
    )


def downgrade() -> None:
    for name in ("web_months", "web_accounts", "web_usage", "web_credentials"):
        op.drop_table(name)
