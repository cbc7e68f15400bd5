"""keys, acts and limits

Revision: 0004, after 0003. Lock and statement time-outs are set by models.migrations.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None
deploy = "pre"


def upgrade() -> None:
    op.create_table(
        "acts",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("app_now()"), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("key_id", sa.Uuid(), nullable=True),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("details", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("address", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_acts")),
    )
    op.create_index("ix_acts_subject", "acts", ["subject", sa.literal_column("id desc")], unique=False)
    op.create_table(
        "key_spending",
        sa.Column("key_id", sa.Uuid(), nullable=False),
        sa.Column("month", sa.Date(), nullable=False),
        sa.Column("credits", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("credits >= 0", name=op.f("ck_key_spending_credits")),
        sa.ForeignKeyConstraint(["key_id"], ["api_keys.id"], name=op.f("fk_key_spending_key_id")),
        sa.PrimaryKeyConstraint("key_id", "month", name=op.f("pk_key_spending")),
    )
    op.add_column(
        "api_keys",
        sa.Column("scopes", sa.ARRAY(sa.Text()), server_default="{generate,read,write,delete}", nullable=False),
    )
    op.add_column("api_keys", sa.Column("models", sa.ARRAY(sa.Text()), nullable=True))
    op.add_column("api_keys", sa.Column("per_minute", sa.Integer(), nullable=True))
    op.add_column("api_keys", sa.Column("monthly_credits", sa.BigInteger(), nullable=True))
    op.add_column("api_keys", sa.Column("uses", sa.BigInteger(), server_default=sa.text("0"), nullable=False))
    op.add_column("api_keys", sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("api_keys", sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True))
    op.create_check_constraint(
        op.f("ck_api_keys_limits"), "api_keys", "per_minute > 0 and monthly_credits >= 0 and uses >= 0"
    )
    op.add_column("plans", sa.Column("daily_text_jobs", sa.Integer(), nullable=True))
    op.execute("update plans set daily_text_jobs = 5 where id = 'free'")
    op.execute(
        """create trigger acts_are_append_only before update or delete on acts
           for each row execute function refuse_change('what was done stays written down')"""
    )
    op.execute(
        """create trigger acts_are_never_emptied before truncate on acts
           for each statement execute function refuse_change('what was done stays written down')"""
    )


def downgrade() -> None:
    op.drop_column("plans", "daily_text_jobs")
    op.drop_constraint(op.f("ck_api_keys_limits"), "api_keys")
    op.drop_column("api_keys", "expires_at")
    op.drop_column("api_keys", "last_used_at")
    op.drop_column("api_keys", "uses")
    op.drop_column("api_keys", "monthly_credits")
    op.drop_column("api_keys", "per_minute")
    op.drop_column("api_keys", "models")
    op.drop_column("api_keys", "scopes")
    op.drop_table("key_spending")
    op.drop_index("ix_acts_subject", table_name="acts")
    op.drop_table("acts")
