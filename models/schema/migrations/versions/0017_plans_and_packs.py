"""plans have prices per currency and what else a subscription needs; packs; results are kept as the plan says

Revision: 0017, after 0016. Lock and statement time-outs are set by models.schema.migrations. Processes of before see plans and
subscriptions as they know them: what is new has a default.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None
deploy = "pre"
functions = ("end_job_v2",)

CHECKS = {
    "priority": "priority between -100 and 100",
    "allowances": "token_allowance >= 0 and trial_days >= 0 and grace_days >= 0",
    "result_hours": "result_hours between 1 and 876000",
}


def upgrade() -> None:
    for column in (
        sa.Column("product", sa.Text(), server_default="headrace", nullable=False),
        sa.Column("prices", postgresql.JSONB(), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("priority", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("token_allowance", sa.BigInteger(), nullable=True),
        sa.Column("result_hours", sa.Integer(), nullable=True),
        sa.Column("trial_days", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("grace_days", sa.SmallInteger(), server_default="3", nullable=False),
    ):
        op.add_column("plans", column)
    for name, rule in CHECKS.items():
        op.create_check_constraint(op.f(f"ck_plans_{name}"), "plans", rule)
    # What a plan cost until now is its price for a month, in the only currency that there was.
    op.execute(
        """update plans set prices = jsonb_build_object('monthly', jsonb_build_object(
             'USD', to_char(price_cents / 100.0, 'FM9999999999990.00')))
            where granted = 'monthly' and price_cents > 0"""
    )
    op.create_table(
        "packs",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("product", sa.Text(), server_default="headrace", nullable=False),
        sa.Column("position", sa.SmallInteger(), nullable=False),
        sa.Column("credits", sa.BigInteger(), nullable=False),
        sa.Column("prices", postgresql.JSONB(), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("expires_days", sa.Integer(), nullable=True),
        sa.CheckConstraint("credits > 0 and expires_days > 0", name=op.f("ck_packs_positive")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_packs")),
    )
    _widen_subscriptions()


LIVING = "status in ('trial', 'active', 'past_due')"
# Of subscriptions: what was there, and what takes its place.
RULES = {
    "status": (
        "status in ('active', 'expired', 'canceled')",
        "status in ('trial', 'active', 'past_due', 'expired', 'canceled')",
    ),
    "period": (
        "ends_at > started_at and periods_granted >= 0",
        "ends_at >= coalesce(anchor, started_at) and periods_granted >= 0",
    ),
    "renewer": (None, "renewer in ('manual', 'stripe', 'xendit', 'truelayer')"),
    "change": (None, "(next_plan_id is null) = (change_at is null) and next_interval in ('monthly', 'yearly')"),
}
MOMENT = sa.DateTime(timezone=True)


def _widen_subscriptions() -> None:
    for column in (
        sa.Column("anchor", MOMENT, nullable=True),
        sa.Column("renewer", sa.Text(), server_default="manual", nullable=False),
        sa.Column("company_id", sa.Text(), nullable=True),
        sa.Column("cancel_at_end", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("trial_ends_at", MOMENT, nullable=True),
        sa.Column("next_plan_id", sa.Text(), nullable=True),
        sa.Column("next_interval", sa.Text(), nullable=True),
        sa.Column("change_at", MOMENT, nullable=True),
    ):
        op.add_column("subscriptions", column)
    op.create_foreign_key(op.f("fk_subscriptions_next_plan_id"), "subscriptions", "plans", ["next_plan_id"], ["id"])
    _put_rules(1)
    op.drop_index("ix_subscriptions_active", table_name="subscriptions")
    op.create_index(
        "ix_subscriptions_living", "subscriptions", ["account_id"], unique=True, postgresql_where=sa.text(LIVING)
    )
    op.create_index(
        "ix_subscriptions_trial",
        "subscriptions",
        ["account_id"],
        unique=True,
        postgresql_where=sa.text("trial_ends_at is not null"),
    )
    _put_due_indexes(LIVING)
    op.create_table(
        "subscription_payments",
        sa.Column("payment_ref", sa.Text(), nullable=False),
        sa.Column("subscription_id", sa.Uuid(), nullable=False),
        sa.Column("months", sa.Integer(), nullable=False),
        sa.Column("starts_at", MOMENT, nullable=False),
        sa.Column("ends_at", MOMENT, nullable=False),
        sa.Column("unpaid_at", MOMENT, nullable=True),
        sa.Column("created_at", MOMENT, server_default=sa.text("app_now()"), nullable=False),
        sa.CheckConstraint("months > 0", name=op.f("ck_subscription_payments_months")),
        sa.ForeignKeyConstraint(
            ["subscription_id"], ["subscriptions.id"], name=op.f("fk_subscription_payments_subscription_id")
        ),
        sa.PrimaryKeyConstraint("payment_ref", name=op.f("pk_subscription_payments")),
    )
    op.create_index("ix_subscription_payments_subscription_id", "subscription_payments", ["subscription_id"])


def _put_rules(which: int) -> None:
    for name, rules in RULES.items():
        op.execute(f"alter table subscriptions drop constraint if exists ck_subscriptions_{name}")
        if rules[which] is not None:
            op.create_check_constraint(op.f(f"ck_subscriptions_{name}"), "subscriptions", rules[which])


def _put_due_indexes(where: str) -> None:
    for name in ("next_grant_at", "ends_at"):
        op.drop_index(f"ix_subscriptions_{name}", table_name="subscriptions")
        op.create_index(f"ix_subscriptions_{name}", "subscriptions", [name], postgresql_where=sa.text(where))


def downgrade() -> None:
    op.drop_table("subscription_payments")
    # What the release before knows: a trial or a plan that waits for its payment is one that runs.
    op.execute("update subscriptions set status = 'active' where status in ('trial', 'past_due')")
    op.execute("update subscriptions set started_at = anchor where anchor is not null")
    op.execute("update subscriptions set ends_at = started_at + interval '1 s' where ends_at <= started_at")
    for name in ("living", "trial"):
        op.drop_index(f"ix_subscriptions_{name}", table_name="subscriptions")
    op.create_index(
        "ix_subscriptions_active",
        "subscriptions",
        ["account_id"],
        unique=True,
        postgresql_where=sa.text("status = 'active'"),
    )
    _put_due_indexes("status = 'active'")
    _put_rules(0)
    op.drop_constraint(op.f("fk_subscriptions_next_plan_id"), "subscriptions", type_="foreignkey")
    for name in (
        "change_at",
        "next_interval",
        "next_plan_id",
        "trial_ends_at",
        "cancel_at_end",
        "company_id",
        "renewer",
        "anchor",
    ):
        op.drop_column("subscriptions", name)
    op.drop_table("packs")
    for name in CHECKS:
        op.drop_constraint(op.f(f"ck_plans_{name}"), "plans", type_="check")
    for name in ("grace_days", "trial_days", "result_hours", "token_allowance", "priority", "prices", "product"):
        op.drop_column("plans", name)
