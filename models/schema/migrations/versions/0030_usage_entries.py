"""what is counted for usage is noted when it happens, and added up by a duty

Revision: 0030, after 0029. Lock and statement time-outs are set by models.schema.migrations. Triggers note what processes of any release do.
"""

import sqlalchemy as sa
from alembic import op

from models.schema.functions import FILES

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None
deploy = "pre"
functions = ("note_job", "note_storage", "count_cost")
retires = ("count_job", "count_storage", "count_late_cost")

ENDS = "after update of ended on jobs"
ENDED = "when (old.ended is null and new.ended is not null)"
COSTS = """create trigger late_costs_are_counted after update of cost_usd_micros on attempts
           for each row when (old.ended_at is not null and old.cost_usd_micros is null and new.cost_usd_micros is not null)
           execute function {}()"""
STORED = """create trigger storage_is_counted after update of storage_bytes on accounts
            for each row when (new.storage_bytes <> old.storage_bytes) execute function {}()"""
ADD_UP = """
insert into usage (account_id, at, source, model_id, labels_key, labels, succeeded, failed, canceled, credits, results, cost_usd_micros,
                   tokens_in, tokens_out, bytes_added, bytes_removed)
select account_id, at, source, model_id, labels_key, labels, sum(succeeded), sum(failed), sum(canceled), sum(credits), sum(results), sum(cost),
       sum(tokens_in), sum(tokens_out), sum(bytes_added), sum(bytes_removed)
  from (select e.account_id, date_bin('15 min', j.ended_at, 'epoch') as at, 'job' as source, j.model_id,
               md5(coalesce(j.labels::text, ''))::uuid as labels_key, j.labels, (j.ended = 'succeeded')::int as succeeded,
               (j.ended = 'failed')::int as failed, (j.ended = 'canceled')::int as canceled, coalesce(j.charged_credits, 0) as credits, s.results, a.cost,
               a.tokens_in, a.tokens_out, 0 as bytes_added, 0 as bytes_removed
          from usage_entries e join jobs j on j.id = e.job_id
         cross join lateral (select count(*) as results from assets where job_id = j.id) s
         cross join lateral (select least(coalesce(sum(cost_usd_micros), 0), 1e12)::bigint as cost,
                                    least(coalesce(sum((usage->>'tokens_in')::numeric), 0), 1e12)::bigint as tokens_in,
                                    least(coalesce(sum((usage->>'tokens_out')::numeric), 0), 1e12)::bigint as tokens_out
                               from attempts where job_id = j.id) a
        union all
        select account_id, at, 'storage', '', 'd41d8cd9-8f00-b204-e980-0998ecf8427e', null, 0, 0, 0, 0, 0, 0, 0, 0, bytes_added, bytes_removed
          from usage_entries where job_id is null) x
 group by account_id, at, source, model_id, labels_key, labels
    on conflict (account_id, at, source, model_id, labels_key) do update
   set succeeded = usage.succeeded + excluded.succeeded, failed = usage.failed + excluded.failed, canceled = usage.canceled + excluded.canceled,
       credits = usage.credits + excluded.credits, results = usage.results + excluded.results,
       cost_usd_micros = usage.cost_usd_micros + excluded.cost_usd_micros, tokens_in = usage.tokens_in + excluded.tokens_in,
       tokens_out = usage.tokens_out + excluded.tokens_out, bytes_added = usage.bytes_added + excluded.bytes_added,
       bytes_removed = usage.bytes_removed + excluded.bytes_removed
"""


def upgrade() -> None:
    op.create_table(
        "usage_entries",
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("bytes_added", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("bytes_removed", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.CheckConstraint("(job_id is null) = (at is not null)", name=op.f("ck_usage_entries_what")),
        sa.PrimaryKeyConstraint("account_id", "id", name=op.f("pk_usage_entries")),
    )
    op.execute("drop trigger jobs_are_counted on jobs")
    _count_by("note_storage", "count_cost")
    op.get_bind().exec_driver_sql(FILES["note_job"].read_text())
    op.execute(f"create trigger jobs_are_noted {ENDS} for each row {ENDED} execute function note_job()")


def downgrade() -> None:
    op.execute("drop trigger jobs_are_noted on jobs")
    _count_by("count_storage", "count_late_cost")
    op.get_bind().exec_driver_sql(FILES["count_job"].read_text())
    op.execute(
        f"create constraint trigger jobs_are_counted {ENDS} deferrable initially deferred for each row {ENDED} execute function count_job()"
    )
    op.execute(ADD_UP)
    op.drop_table("usage_entries")


def _count_by(storage: str, cost: str) -> None:
    """Have these functions called, under the locks of the triggers: nothing is counted twice or not at all."""
    op.execute("drop trigger storage_is_counted on accounts")
    op.execute("drop trigger late_costs_are_counted on attempts")
    for name, trigger in ((storage, STORED), (cost, COSTS)):
        op.get_bind().exec_driver_sql(FILES[name].read_text())
        op.execute(trigger.format(name))
