"""payments: what is ordered for money, and money that goes back; promotion codes, top-ups

Revision: 0018, after 0017. Lock and statement time-outs are set by models.schema.migrations.
"""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None
deploy = "pre"


def upgrade() -> None:
    op.create_table(
        "payments",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("company", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("item", sa.Text(), nullable=False),
        sa.Column("interval", sa.Text(), nullable=True),
        sa.Column("credits", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("price", sa.Numeric(precision=20, scale=4), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), server_default="pending", nullable=False),
        sa.Column("money", sa.Text(), server_default="pending", nullable=False),
        sa.Column("paid", sa.Numeric(precision=20, scale=4), nullable=True),
        sa.Column("paid_currency", sa.Text(), nullable=True),
        sa.Column("refunded", sa.Numeric(precision=20, scale=4), server_default="0", nullable=False),
        sa.Column("refund_failed", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("dispute", sa.Text(), nullable=True),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("credits_given", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("moves", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("holds", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("company_id", sa.Text(), nullable=True),
        sa.Column("payment_ref", sa.Text(), nullable=True),
        sa.Column("pay_url", sa.Text(), nullable=True),
        sa.Column("return_url", sa.Text(), nullable=True),
        sa.Column("keep_card", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("customer_id", sa.Text(), nullable=True),
        sa.Column("card_id", sa.Text(), nullable=True),
        sa.Column("subscription_id", sa.Text(), nullable=True),
        sa.Column("check_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("looks", sa.Integer(), server_default="0", nullable=False),
        sa.Column("token", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("app_now()"), nullable=False),
        sa.Column("paid_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(money = 'paid') = (paid is not null) and (paid is null) = (paid_at is null)",
            name=op.f("ck_payments_paid"),
        ),
        sa.CheckConstraint(
            "(purpose in ('plan', 'renewal')) = (interval is not null)", name=op.f("ck_payments_interval")
        ),
        sa.CheckConstraint("dispute in ('inquiry', 'open', 'won', 'lost')", name=op.f("ck_payments_dispute")),
        sa.CheckConstraint(
            "money in ('pending', 'processing', 'paid', 'expired', 'failed')", name=op.f("ck_payments_money")
        ),
        sa.CheckConstraint("problem in ('underpaid', 'overpaid', 'other_currency')", name=op.f("ck_payments_problem")),
        sa.CheckConstraint("purpose in ('pack', 'plan', 'refill', 'renewal')", name=op.f("ck_payments_purpose")),
        sa.CheckConstraint(
            "status in ('pending', 'processing', 'paid', 'expired', 'failed', 'partly_refunded', 'refunded', 'refund_failed', 'inquiry', 'disputed', 'won', 'lost')",
            name=op.f("ck_payments_status"),
        ),
        sa.CheckConstraint("credits_given between 0 and credits", name=op.f("ck_payments_credits")),
        sa.CheckConstraint("price >= 0 and refunded >= 0 and coalesce(paid, 0) >= 0", name=op.f("ck_payments_amounts")),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_payments_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payments")),
        sa.UniqueConstraint("company", "company_id", name=op.f("uq_payments_company_company_id")),
        sa.UniqueConstraint("company", "payment_ref", name=op.f("uq_payments_company_payment_ref")),
    )
    op.create_index(
        op.f("ix_payments_account_id"), "payments", ["account_id", sa.literal_column("id desc")], unique=False
    )
    op.create_index(
        "ix_payments_check_at", "payments", ["check_at"], unique=False, postgresql_where=sa.text("check_at is not null")
    )
    op.create_index(
        "ix_payments_paid_at", "payments", ["paid_at"], unique=False, postgresql_where=sa.text("paid_at is not null")
    )
    op.create_table(
        "refunds",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("payment_id", sa.Uuid(), nullable=False),
        sa.Column("amount", sa.Numeric(precision=20, scale=4), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("refused", sa.Text(), nullable=True),
        sa.Column("check_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("tries", sa.Integer(), server_default="0", nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("app_now()"), nullable=False),
        sa.CheckConstraint("amount > 0", name=op.f("ck_refunds_amount")),
        sa.CheckConstraint("sent_at is null or refused is null", name=op.f("ck_refunds_end")),
        sa.ForeignKeyConstraint(["payment_id"], ["payments.id"], name=op.f("fk_refunds_payment_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refunds")),
    )
    op.create_index(
        "ix_refunds_due", "refunds", ["check_at"], unique=False, postgresql_where=sa.text("check_at is not null")
    )
    op.create_index(op.f("ix_refunds_payment_id"), "refunds", ["payment_id"], unique=False)
    op.create_table(
        "promotions",
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("credits", sa.BigInteger(), nullable=True),
        sa.Column("plan_id", sa.Text(), nullable=True),
        sa.Column("interval", sa.Text(), nullable=True),
        sa.Column("max_uses", sa.Integer(), nullable=True),
        sa.Column("uses", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("app_now()"), nullable=False),
        sa.CheckConstraint("(credits is null) = (plan_id is not null)", name=op.f("ck_promotions_one_thing")),
        sa.CheckConstraint("(plan_id is null) = (interval is null)", name=op.f("ck_promotions_interval")),
        sa.CheckConstraint(
            "credits > 0 and uses between 0 and coalesce(max_uses, uses)", name=op.f("ck_promotions_counts")
        ),
        sa.ForeignKeyConstraint(["plan_id"], ["plans.id"], name=op.f("fk_promotions_plan_id")),
        sa.PrimaryKeyConstraint("code", name=op.f("pk_promotions")),
    )
    op.create_table(
        "promotion_uses",
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("app_now()"), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_promotion_uses_account_id")),
        sa.ForeignKeyConstraint(["code"], ["promotions.code"], name=op.f("fk_promotion_uses_code")),
        sa.PrimaryKeyConstraint("account_id", "code", name=op.f("pk_promotion_uses")),
    )
    op.create_table(
        "refills",
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("pack_id", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("threshold", sa.BigInteger(), nullable=False),
        sa.Column("monthly_limit", sa.Numeric(precision=20, scale=4), nullable=False),
        sa.Column("company", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.Text(), nullable=False),
        sa.Column("card_id", sa.Text(), nullable=False),
        sa.Column("paused", sa.Text(), nullable=True),
        sa.Column("ordered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("app_now()"), nullable=False),
        sa.CheckConstraint("threshold > 0 and monthly_limit > 0", name=op.f("ck_refills_positive")),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_refills_account_id")),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_refills")),
    )
    op.create_index(
        "ix_refills_on", "refills", ["account_id"], unique=False, postgresql_where=sa.text("paused is null")
    )
    # ### end Alembic commands ###
    op.create_index("ix_ledger_entries_created_at", "ledger_entries", ["created_at"], postgresql_using="brin")


def downgrade() -> None:
    op.drop_index("ix_ledger_entries_created_at", table_name="ledger_entries")
    for name in ("refills", "promotion_uses", "promotions", "refunds", "payments"):
        op.drop_table(name)
