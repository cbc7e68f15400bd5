"""grants have a priority, a scope and what was paid; jobs have labels; accounts have alerts of their own; holds without a job

Revision: 0021, after 0020. Lock and statement time-outs are set by models.schema.migrations. Processes of before use grants in the
order that they know, and give none a scope.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0021"
down_revision = "0020"
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
    _make_holds()


JOB = "(kind in ('reserve', 'settle', 'refund')) = (job_id is not null)"
JOB_OR_HOLD = "(kind in ('reserve', 'settle', 'refund')) = (num_nonnulls(job_id, hold_id) = 1) and num_nonnulls(job_id, hold_id) <= 1"


def _make_holds() -> None:
    op.create_table(
        "holds",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("api_key_id", sa.Uuid(), nullable=True),
        sa.Column("reference", sa.Text(), nullable=True),
        sa.Column("model", sa.Text(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=True),
        sa.Column("labels", postgresql.JSONB(), nullable=True),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("settled", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("released", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("ended", sa.Text(), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("app_now()"), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "amount > 0 and settled >= 0 and released >= 0 and settled + released <= amount",
            name=op.f("ck_holds_amount"),
        ),
        sa.CheckConstraint("(ended is null) = (ended_at is null)", name=op.f("ck_holds_ended_at")),
        sa.CheckConstraint("(ended is null) = (settled + released < amount)", name=op.f("ck_holds_ended_whole")),
        sa.CheckConstraint("ended in ('settled', 'released', 'expired')", name=op.f("ck_holds_ended")),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_holds_account_id_accounts")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_holds")),
        sa.UniqueConstraint("account_id", "reference", name=op.f("uq_holds_account_id_reference")),
    )
    op.create_index(op.f("ix_holds_account_id"), "holds", ["account_id", sa.text("id desc")])
    op.create_index("ix_holds_expires_at", "holds", ["expires_at"], postgresql_where=sa.text("ended is null"))
    op.create_index("ix_holds_open", "holds", ["account_id"], postgresql_where=sa.text("ended is null"))
    op.create_index(
        "ix_holds_labels", "holds", ["labels"], postgresql_using="gin", postgresql_ops={"labels": "jsonb_path_ops"},
        postgresql_where=sa.text("labels is not null"),
    )  # fmt: skip
    op.create_table(
        "hold_grants",
        sa.Column("hold_id", sa.Uuid(), nullable=False),
        sa.Column("grant_id", sa.Uuid(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("settled", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("released", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.CheckConstraint(
            "amount > 0 and settled >= 0 and released >= 0 and settled + released <= amount",
            name=op.f("ck_hold_grants_amount"),
        ),
        sa.ForeignKeyConstraint(["grant_id"], ["grants.id"], name=op.f("fk_hold_grants_grant_id_grants")),
        sa.ForeignKeyConstraint(["hold_id"], ["holds.id"], name=op.f("fk_hold_grants_hold_id_holds")),
        sa.PrimaryKeyConstraint("hold_id", "grant_id", name=op.f("pk_hold_grants")),
    )
    op.create_index(op.f("ix_hold_grants_grant_id"), "hold_grants", ["grant_id"])
    op.add_column("ledger_entries", sa.Column("hold_id", sa.Uuid(), nullable=True))
    op.create_foreign_key(
        op.f("fk_ledger_entries_hold_id_holds"),
        "ledger_entries",
        "holds",
        ["hold_id"],
        ["id"],
        postgresql_not_valid=True,
    )
    op.execute("alter table ledger_entries validate constraint fk_ledger_entries_hold_id_holds")
    op.create_index(
        "ix_ledger_entries_hold", "ledger_entries", ["hold_id"], postgresql_where=sa.text("hold_id is not null")
    )
    _entries_are(JOB_OR_HOLD)


def _entries_are(rule: str) -> None:
    op.drop_constraint(op.f("ck_ledger_entries_job"), "ledger_entries")
    op.create_check_constraint(op.f("ck_ledger_entries_job"), "ledger_entries", rule, postgresql_not_valid=True)
    op.execute("alter table ledger_entries validate constraint ck_ledger_entries_job")


def downgrade() -> None:
    """Refused by the check where a hold has moved credits: without its entries the books would be wrong."""
    _entries_are(JOB)
    op.drop_index("ix_ledger_entries_hold", table_name="ledger_entries")
    op.drop_column("ledger_entries", "hold_id")
    op.drop_table("hold_grants")
    op.drop_table("holds")
    op.drop_index("ix_jobs_labels", table_name="jobs")
    op.drop_column("jobs", "labels")
    op.drop_column("accounts", "credit_alerts")
    for name in CHECKS:
        op.drop_constraint(op.f(f"ck_grants_{name}"), "grants")
    for name in ("paid_currency", "paid_per_credit", "kinds", "models", "priority"):
        op.drop_column("grants", name)
