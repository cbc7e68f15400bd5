"""plans have prices per currency and what else a subscription needs; packs; results are kept as the plan says

Revision: 0017, after 0015. Lock and statement time-outs are set by models.schema.migrations. Processes of before see plans and
subscriptions as they know them: what is new has a default.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0017"
down_revision = "0015"
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


def downgrade() -> None:
    op.drop_table("packs")
    for name in CHECKS:
        op.drop_constraint(op.f(f"ck_plans_{name}"), "plans", type_="check")
    for name in ("grace_days", "trial_days", "result_hours", "token_allowance", "priority", "prices", "product"):
        op.drop_column("plans", name)
