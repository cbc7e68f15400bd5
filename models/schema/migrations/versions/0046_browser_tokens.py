"""browser tokens: a part of what an account may do, for minutes

Revision: 0046, after 0045. Lock and statement time-outs are set by models.schema.migrations. Processes of before know no tokens, and refuse them.
"""

import sqlalchemy as sa
from alembic import op

revision = "0046"
down_revision = "0045"
branch_labels = None
depends_on = None
deploy = "pre"
functions = ()


def upgrade() -> None:
    op.create_table(
        "browser_tokens",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("may", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("key_id", sa.Uuid(), nullable=True),
        sa.Column("job_id", sa.Uuid(), nullable=True),
        sa.Column("model_id", sa.Text(), nullable=True),
        sa.Column("credits", sa.BigInteger(), nullable=True),
        sa.Column("spent", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("app_now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("length(hash) = 32", name=op.f("ck_browser_tokens_hash")),
        sa.CheckConstraint(
            "may <@ '{read,stream,generate}' and cardinality(may) > 0", name=op.f("ck_browser_tokens_may")
        ),
        sa.CheckConstraint("spent >= 0 and spent <= coalesce(credits, 0)", name=op.f("ck_browser_tokens_credits")),
        sa.CheckConstraint("credits is not null or not 'generate' = any(may)", name=op.f("ck_browser_tokens_purse")),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_browser_tokens_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_browser_tokens")),
        sa.UniqueConstraint("hash", name=op.f("uq_browser_tokens_hash")),
    )
    op.create_index(op.f("ix_browser_tokens_account_id"), "browser_tokens", ["account_id"], unique=False)
    op.create_index(op.f("ix_browser_tokens_expires_at"), "browser_tokens", ["expires_at"], unique=False)


def downgrade() -> None:
    op.drop_table("browser_tokens")
