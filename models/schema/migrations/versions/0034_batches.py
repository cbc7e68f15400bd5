"""batches; the index of accounts' lines has only what stands in them: no retry that is not due, no job that its batch keeps back

Revision: 0034, after 0033. Lock and statement time-outs are set by models.schema.migrations.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None
deploy = "pre"

LINE = ["account_id", sa.text("requeued desc"), sa.text("priority desc"), "job_id"]
OPEN = "ended_at is null"


def _index_line(which: str) -> None:
    op.drop_index("ix_job_runs_line", "job_runs")
    op.create_index("ix_job_runs_line", "job_runs", LINE, postgresql_where=sa.text(which))


def upgrade() -> None:
    _index_line("not dispatched and wake_at is null")
    op.create_table(
        "batches",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("orders", sa.SmallInteger(), nullable=False),
        sa.Column("accepted", sa.SmallInteger(), nullable=False),
        sa.Column("reserved", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("max_running", sa.SmallInteger(), nullable=True),
        sa.Column("let_go", sa.SmallInteger(), nullable=False),
        sa.Column("running", postgresql.ARRAY(sa.Uuid()), server_default="{}", nullable=False),
        sa.Column("ended_up_to", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("cancel_requested_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("counts", postgresql.JSONB(none_as_null=True), nullable=True),
        sa.Column("charged", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("app_now()"), nullable=False),
        sa.CheckConstraint(
            "orders between 1 and 10000 and accepted between 1 and orders", name=op.f("ck_batches_orders")
        ),
        sa.CheckConstraint(
            "let_go between 0 and orders and ended_up_to between 0 and orders", name=op.f("ck_batches_places")
        ),
        sa.CheckConstraint("max_running between 1 and 1000", name=op.f("ck_batches_max_running")),
        sa.CheckConstraint(
            "(ended_at is null) = (counts is null) and (counts is null) = (charged is null)",
            name=op.f("ck_batches_ended"),
        ),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_batches_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_batches")),
    )
    op.create_index(op.f("ix_batches_account_id"), "batches", ["account_id", sa.text("id desc")])
    op.create_index("ix_batches_open", "batches", ["id"], postgresql_where=sa.text(OPEN))
    op.create_index("ix_batches_open_of", "batches", ["account_id"], postgresql_where=sa.text(OPEN))
    op.create_index(
        "ix_batches_limited",
        "batches",
        ["id"],
        postgresql_where=sa.text(f"{OPEN} and cancel_requested_at is null and let_go < orders"),
    )
    op.create_table(
        "batch_orders",
        sa.Column("batch_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.SmallInteger(), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=True),
        sa.Column("custom_id", sa.Text(), nullable=True),
        sa.Column("error", postgresql.JSONB(none_as_null=True), nullable=True),
        sa.CheckConstraint("(job_id is null) = (error is not null)", name=op.f("ck_batch_orders_job_or_error")),
        sa.CheckConstraint("length(custom_id) between 1 and 100", name=op.f("ck_batch_orders_custom_id")),
        sa.ForeignKeyConstraint(["batch_id"], ["batches.id"], name=op.f("fk_batch_orders_batch_id")),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_batch_orders_job_id")),
        sa.PrimaryKeyConstraint("batch_id", "number", name=op.f("pk_batch_orders")),
    )


def downgrade() -> None:
    op.execute("update job_runs set wake_at = null where wake_at = 'infinity'")  # they go on, all at once
    op.drop_table("batch_orders")
    op.drop_table("batches")
    _index_line("not dispatched")
