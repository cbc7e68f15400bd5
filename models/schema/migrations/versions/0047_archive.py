"""archive: months are detached, and rows of forgotten jobs set aside, until they are in the bucket

Revision: 0047, after 0046. Lock and statement time-outs are set by models.schema.migrations. Processes of before archive nothing: they drop months
and forget jobs as ever, so ARCHIVE is switched on once none of them runs.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0047"
down_revision = "0046"
branch_labels = None
depends_on = None
deploy = "pre"
functions = ("detach_month_v1", "drop_detached_v1")


def upgrade() -> None:
    op.create_table(
        "archived_files",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("month", sa.Date(), nullable=True),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("rows", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=True),
        sa.Column("opened_at", sa.DateTime(timezone=True), server_default=sa.text("app_now()"), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("archived_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "kind in ('events', 'deliveries', 'usage', 'jobs', 'attempts', 'assets')",
            name=op.f("ck_archived_files_kind"),
        ),
        sa.CheckConstraint("(archived_at is null) = (bytes is null)", name=op.f("ck_archived_files_archived_at")),
        sa.CheckConstraint("archived_at is null or closed_at is not null", name=op.f("ck_archived_files_closed_at")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_archived_files")),
        sa.UniqueConstraint("kind", "month", name=op.f("uq_archived_files_kind_month")),
    )
    op.create_index(
        "ix_archived_files_open", "archived_files", ["kind"], unique=True, postgresql_where=sa.text("closed_at is null")
    )
    op.create_index(
        "ix_archived_files_waiting",
        "archived_files",
        ["closed_at"],
        postgresql_where=sa.text("closed_at is not null and archived_at is null"),
    )
    op.create_table(
        "forgotten_rows",
        sa.Column("file_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("data", postgresql.JSONB(), nullable=False),
        sa.ForeignKeyConstraint(
            ["file_id"], ["archived_files.id"], name=op.f("fk_forgotten_rows_file_id_archived_files")
        ),
        sa.PrimaryKeyConstraint("file_id", "number", name=op.f("pk_forgotten_rows")),
    )


def downgrade() -> None:
    op.drop_table("forgotten_rows")
    op.drop_table("archived_files")
