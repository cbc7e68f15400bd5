"""usage: what accounts did, had made and kept, by quarters of an hour, counted by triggers

Revision: 0023, after 0022. Lock and statement time-outs are set by models.schema.migrations. What jobs did before is counted once,
while all that writes of accounts and jobs waits, or is told to come again.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from models.schema.functions import FILES

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None
deploy = "pre"
functions = ("count_job", "count_late_cost", "count_hold", "count_storage")

COUNTED = (
    "succeeded", "failed", "canceled", "credits", "results", "cost_usd_micros", "tokens_in", "tokens_out", "requests",
    "bytes_added", "bytes_removed",
)  # fmt: skip
TRIGGERS = (
    """create constraint trigger jobs_are_counted after update of ended on jobs deferrable initially deferred
       for each row when (old.ended is null and new.ended is not null) execute function count_job()""",
    """create trigger late_costs_are_counted after update of cost_usd_micros on attempts
       for each row when (old.ended_at is not null and old.cost_usd_micros is null and new.cost_usd_micros is not null)
       execute function count_late_cost()""",
    """create trigger holds_are_counted after update of settled on holds
       for each row when (new.settled > old.settled) execute function count_hold()""",
    """create trigger storage_is_counted after update of storage_bytes on accounts
       for each row when (new.storage_bytes <> old.storage_bytes) execute function count_storage()""",
)
QUARTER = "date_bin('15 min', {}, 'epoch')"
KEY = "md5(coalesce({}.labels::text, ''))::uuid"
JOBS = f"""
insert into usage (account_id, at, source, model_id, labels_key, labels, succeeded, failed, canceled, credits, results,
                   cost_usd_micros, tokens_in, tokens_out)
select j.account_id, {QUARTER.format("j.ended_at")}, 'job', j.model_id, {KEY.format("j")}, j.labels,
       count(*) filter (where j.ended = 'succeeded'), count(*) filter (where j.ended = 'failed'),
       count(*) filter (where j.ended = 'canceled'), coalesce(sum(j.charged_credits), 0), coalesce(sum(s.results), 0),
       coalesce(sum(a.cost), 0), coalesce(sum(a.tokens_in), 0), coalesce(sum(a.tokens_out), 0)
  from jobs j
  left join (select job_id, least(coalesce(sum(cost_usd_micros), 0), 1e12) as cost, least(coalesce(sum((usage->>'tokens_in')::numeric), 0), 1e12) as tokens_in,
                    least(coalesce(sum((usage->>'tokens_out')::numeric), 0), 1e12) as tokens_out from attempts group by job_id) a on a.job_id = j.id
  left join (select job_id, count(*) as results from assets group by job_id) s on s.job_id = j.id
 where j.ended is not null group by 1, 2, 4, 5, 6
"""
HOLDS = f"""
insert into usage (account_id, at, source, model_id, labels_key, labels, credits)
select h.account_id, {QUARTER.format("e.created_at")}, 'hold', coalesce(h.model, ''), {KEY.format("h")}, h.labels, sum(e.amount)
  from ledger_entries e join holds h on h.id = e.hold_id where e.kind = 'settle' group by 1, 2, 4, 5, 6
"""
STORAGE = f"""
insert into usage (account_id, at, source, bytes_added)
select id, {QUARTER.format("app_now()")}, 'storage', storage_bytes from accounts where storage_bytes > 0
"""
MONTHS = """
do $$
declare
  m timestamp := date_trunc('month', least(app_now(), (select min(ended_at) from jobs), (select min(created_at) from ledger_entries)) at time zone 'UTC');
begin
  while m <= (app_now() at time zone 'UTC') + interval '3 months' loop
    execute format('create table if not exists %I partition of usage for values from (%L) to (%L)', to_char(m, '"usage"_YYYY_MM'),
                   m::text || '+00', (m + interval '1 month')::text || '+00');
    m := m + interval '1 month';
  end loop;
end $$
"""


def upgrade() -> None:
    op.create_table(
        "usage",
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("model_id", sa.Text(), server_default="", nullable=False),
        sa.Column(
            "labels_key",
            sa.Uuid(),
            server_default=sa.text("'d41d8cd9-8f00-b204-e980-0998ecf8427e'"),
            nullable=False,
        ),
        sa.Column("labels", postgresql.JSONB(), nullable=True),
        *(sa.Column(name, sa.BigInteger(), server_default=sa.text("0"), nullable=False) for name in COUNTED),
        sa.CheckConstraint("source in ('job', 'hold', 'storage', 'requests')", name=op.f("ck_usage_source")),
        sa.PrimaryKeyConstraint("account_id", "at", "source", "model_id", "labels_key", name=op.f("pk_usage")),
        postgresql_partition_by="RANGE (at)",
    )
    for name in functions:
        op.get_bind().exec_driver_sql(FILES[name].read_text())
    for trigger in TRIGGERS:  # from here on nobody ends a job until all of this is committed
        op.execute(trigger)
    op.execute(MONTHS)
    for statement in ("set local enable_seqscan = on", "set local enable_hashjoin = on", JOBS, HOLDS, STORAGE):
        op.execute(statement)


def downgrade() -> None:
    op.execute("drop trigger storage_is_counted on accounts")
    op.execute("drop trigger holds_are_counted on holds")
    op.execute("drop trigger late_costs_are_counted on attempts")
    op.execute("drop trigger jobs_are_counted on jobs")
    op.drop_table("usage")
