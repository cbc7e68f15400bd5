"""keeping: prompts and ended jobs that are forgotten, persons who are erased

Revision: 0037, after 0036. Lock and statement time-outs are set by models.schema.migrations. Processes of before go on: nothing is
forgotten until PROMPT_DAYS or JOB_DAYS says so, which they do not know.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0037"
down_revision = "0036"
branch_labels = None
depends_on = None
deploy = "pre"
functions = ("refuse_rewriting",)

MOMENT = sa.DateTime(timezone=True)
NOW = sa.text("app_now()")
# As its file says; a function is there before the trigger that calls it.
REFUSE = """create function refuse_rewriting() returns trigger language plpgsql as $$
       begin raise exception 'not yet' using errcode = 'restrict_violation'; end $$"""
ENDED = """create trigger ended_jobs_never_change before update on jobs for each row when (old.ended is not null)
       execute function {}('an ended job never changes')"""


def upgrade() -> None:
    op.create_table(
        "passed_over",
        sa.Column("walk", sa.Text(), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("look_again_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_passed_over_job_id_jobs")),
        sa.PrimaryKeyConstraint("walk", "job_id", name=op.f("pk_passed_over")),
    )
    op.create_index("ix_passed_over_due", "passed_over", ["walk", "look_again_at"])
    op.create_table(
        "erasures",
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("place", sa.Uuid(), nullable=True),
        sa.Column("created_at", MOMENT, server_default=NOW, nullable=False),
        sa.Column("finished_at", MOMENT, nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_erasures_account_id_accounts")),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_erasures")),
    )
    op.create_index("ix_erasures_open", "erasures", ["account_id"], postgresql_where=sa.text("finished_at is null"))
    for column in (
        sa.Column("input_erased_at", MOMENT, nullable=True),
        sa.Column("past_account_id", sa.Uuid(), nullable=True),
        sa.Column("remains", postgresql.JSONB(), nullable=True),
    ):
        op.add_column("jobs", column)
    op.alter_column("jobs", "account_id", nullable=True)
    # Checked for new rows alone; 0038 looks at those of before, while others write.
    op.execute(
        "alter table jobs add constraint ck_jobs_owner check (num_nonnulls(account_id, past_account_id) = 1) not valid"
    )
    op.execute(
        """alter table jobs add constraint ck_jobs_past check
           (past_account_id is null or (ended is not null and input_erased_at is not null and remains is not null)) not valid"""
    )
    op.execute(REFUSE)
    op.execute("drop trigger ended_jobs_never_change on jobs")
    op.execute(ENDED.format("refuse_rewriting"))


def downgrade() -> None:
    op.execute("drop trigger ended_jobs_never_change on jobs")
    op.execute("update jobs set account_id = past_account_id, past_account_id = null where account_id is null")
    op.execute(ENDED.format("refuse_change"))
    op.drop_constraint("ck_jobs_past", "jobs")
    op.drop_constraint("ck_jobs_owner", "jobs")
    op.alter_column("jobs", "account_id", nullable=False)
    for column in ("remains", "past_account_id", "input_erased_at"):
        op.drop_column("jobs", column)
    op.drop_table("erasures")
    op.drop_table("passed_over")
