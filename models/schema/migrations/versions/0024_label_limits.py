"""labels have limits

Revision: 0024, after 0023. Lock and statement time-outs are set by models.schema.migrations. Processes of before know no labels:
what they end of labelled jobs is not lowered.
"""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None
deploy = "pre"
functions = ("end_job_v4", "write_end_v3", "lower_label_spending_v1")
retires = ("end_job_v3", "write_end_v2")


def upgrade() -> None:
    op.create_table(
        "label_limits",
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("monthly_credits", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("app_now()"), nullable=False),
        sa.CheckConstraint("monthly_credits >= 0", name=op.f("ck_label_limits_monthly_credits")),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_label_limits_account_id")),
        sa.PrimaryKeyConstraint("account_id", "name", "value", name=op.f("pk_label_limits")),
    )
    op.create_table(
        "label_spending",
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("month", sa.Date(), nullable=False),
        sa.Column("credits", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("credits >= 0", name=op.f("ck_label_spending_credits")),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_label_spending_account_id")),
        sa.PrimaryKeyConstraint("account_id", "name", "value", "month", name=op.f("pk_label_spending")),
    )
    op.add_column(
        "accounts", sa.Column("has_label_limits", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    )
    for table in ("jobs", "holds"):
        op.create_index(
            f"ix_{table}_labelled", table, ["account_id", "created_at"], postgresql_where=sa.text("labels is not null")
        )


def downgrade() -> None:
    for table in ("jobs", "holds"):
        op.drop_index(f"ix_{table}_labelled", table_name=table)
    op.drop_column("accounts", "has_label_limits")
    op.drop_table("label_spending")
    op.drop_table("label_limits")
