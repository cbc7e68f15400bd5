"""grants have a priority, a scope and what was paid; jobs have labels; accounts have alerts of their own

Revision: 0020, after 0019. Lock and statement time-outs are set by models.schema.migrations. Processes of before use grants in the
order that they know, and give none a scope.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None
deploy = "pre"
functions = ("end_job_v3", "write_end_v2")
retires = ("end_job_v2",)

CHECKS = {
    "priority": "priority between 0 and 100",
    "scope": "cardinality(models) > 0 and cardinality(kinds) > 0",
    "paid": "(paid_per_credit is null) = (paid_currency is null) and paid_per_credit >= 0",
}


def upgrade() -> None:
    for column in (
        sa.Column("priority", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("models", postgresql.ARRAY(sa.Text()), nullable=True),
        sa.Column("kinds", postgresql.ARRAY(sa.Text()), nullable=True),
        sa.Column("paid_per_credit", sa.Numeric(24, 10), nullable=True),
        sa.Column("paid_currency", sa.Text(), nullable=True),
    ):
        op.add_column("grants", column)
    for name, rule in CHECKS.items():
        op.create_check_constraint(op.f(f"ck_grants_{name}"), "grants", rule, postgresql_not_valid=True)
        op.execute(f"alter table grants validate constraint ck_grants_{name}")
    # What was paid for the packs that were sold until now.
    op.execute(
        """update grants g set paid_per_credit = least(p.paid, p.price) / p.credits, paid_currency = p.paid_currency from payments p
            where g.kind = 'purchase' and g.ref like 'payment:%%' and p.id = split_part(g.ref, ':', 2)::uuid and p.credits > 0
              and p.paid is not null"""
    )
    op.add_column("accounts", sa.Column("credit_alerts", postgresql.ARRAY(sa.BigInteger()), nullable=True))
    op.add_column("jobs", sa.Column("labels", postgresql.JSONB(), nullable=True))
    op.create_index(
        "ix_jobs_labels", "jobs", ["labels"], postgresql_using="gin", postgresql_ops={"labels": "jsonb_path_ops"},
        postgresql_where=sa.text("labels is not null"),
    )  # fmt: skip


def downgrade() -> None:
    op.drop_index("ix_jobs_labels", table_name="jobs")
    op.drop_column("jobs", "labels")
    op.drop_column("accounts", "credit_alerts")
    for name in CHECKS:
        op.drop_constraint(op.f(f"ck_grants_{name}"), "grants")
    for name in ("paid_currency", "paid_per_credit", "kinds", "models", "priority"):
        op.drop_column("grants", name)
