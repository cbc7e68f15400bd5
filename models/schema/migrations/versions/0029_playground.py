"""playground sessions, summaries, and the texts that they keep

Revision: 0029, after 0028. Lock and statement time-outs are set by models.schema.migrations.
"""

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None
deploy = "pre"


def upgrade() -> None:
    op.create_table(
        "kept_texts",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.Text(), server_default="waiting", nullable=False),
        sa.Column("truncated", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("kept_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("text", sa.Text(), nullable=True),
        sa.CheckConstraint("state in ('waiting', 'kept', 'none')", name=op.f("ck_kept_texts_state")),
        sa.CheckConstraint("(state = 'kept') = (text is not null)", name=op.f("ck_kept_texts_text")),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_kept_texts_job_id_jobs")),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_kept_texts")),
    )
    op.create_index("ix_kept_texts_waiting", "kept_texts", ["job_id"], postgresql_where=sa.text("state = 'waiting'"))
    op.create_table(
        "playground_sessions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("explanation", sa.Text(), nullable=True),
        sa.Column("is_public", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("app_now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("app_now()"), nullable=False),
        sa.CheckConstraint("length(title) between 1 and 200", name=op.f("ck_playground_sessions_title")),
        sa.CheckConstraint("length(explanation) <= 10000", name=op.f("ck_playground_sessions_explanation")),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_playground_sessions_account_id_accounts")
        ),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_playground_sessions_job_id_jobs")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_playground_sessions")),
        sa.UniqueConstraint("job_id", name=op.f("uq_playground_sessions_job_id")),
    )
    op.create_index(
        op.f("ix_playground_sessions_account_id"),
        "playground_sessions",
        ["account_id", sa.text("id desc")],
    )
    op.create_table(
        "summaries",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=True),
        sa.Column("ordered_by", sa.Uuid(), nullable=False),
        sa.Column("paragraph_job", sa.Uuid(), nullable=False),
        sa.Column("implications_job", sa.Uuid(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("app_now()"), nullable=False),
        sa.CheckConstraint("kind in ('article', 'paper')", name=op.f("ck_summaries_kind")),
        sa.CheckConstraint("(kind = 'paper') = (implications_job is not null)", name=op.f("ck_summaries_parts")),
        sa.CheckConstraint("length(title) between 1 and 200", name=op.f("ck_summaries_title")),
        sa.ForeignKeyConstraint(["paragraph_job"], ["jobs.id"], name=op.f("fk_summaries_paragraph_job_jobs")),
        sa.ForeignKeyConstraint(["implications_job"], ["jobs.id"], name=op.f("fk_summaries_implications_job_jobs")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_summaries")),
        sa.UniqueConstraint("paragraph_job", name=op.f("uq_summaries_paragraph_job")),
        sa.UniqueConstraint("implications_job", name=op.f("uq_summaries_implications_job")),
    )


def downgrade() -> None:
    op.drop_table("summaries")
    op.drop_table("playground_sessions")
    op.drop_table("kept_texts")
