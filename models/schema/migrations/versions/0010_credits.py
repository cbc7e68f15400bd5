"""credits: settled always, one grace period, debts and subscriptions mended

Revision: 0010. Lock and statement time-outs are set by models.migrations.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None
deploy = "pre"
functions = ("refuse_unsettled",)

# A refunded job's lots said null, which was read as "still held". Those of living jobs stay null.
SETTLED = """
update reservation_grants l set settled = 0 from reservations v
 where v.job_id = l.job_id and v.resolution is not null and l.settled is null
"""

# What the account owes: what was spent of grants that were taken back, less what other grants have paid of it. Wrong
# where a refunded job counted as held, or a grant that had paid a debt was taken back and the debt forgotten.
DEBTS = """
update accounts a set debt = x.owed from (
  select g.account_id, greatest(0, sum(case when g.revoked_at is not null then
           (select coalesce(sum(l.settled), 0) from jobs j join reservation_grants l on l.job_id = j.id
             where j.account_id = g.account_id and l.grant_id = g.id)
         else
           -(select coalesce(sum(e.amount), 0) from ledger_entries e
              where e.account_id = g.account_id and e.grant_id = g.id and e.kind = 'revoke')
         end))::bigint as owed
    from grants g where g.account_id in (select account_id from grants where revoked_at is not null)
   group by g.account_id) x
 where a.id = x.account_id and a.debt <> x.owed
"""

# Renewals added months to the last end, so that a subscription begun on the 31st ended on the 28th for ever after
# February. The months paid for are the difference of the months: adding months never skips one.
ENDS = """
update subscriptions s set ends_at = x.ends_at from (
  select id, (begun + make_interval(months => ((extract(year from ending) - extract(year from begun)) * 12
                                               + extract(month from ending) - extract(month from begun))::int))
             at time zone 'UTC' as ends_at
    from (select id, started_at at time zone 'UTC' as begun, ends_at at time zone 'UTC' as ending
            from subscriptions where status = 'active') y) x
 where s.id = x.id and x.ends_at > s.ends_at
"""

GUARDS = (
    """create function refuse_unsettled() returns trigger language plpgsql as $$
       begin
         if exists (select 1 from reservation_grants where job_id = new.job_id and settled is null) then
           raise exception 'a reservation is resolved only with each of its grants' using errcode = 'restrict_violation';
         end if;
         return null;
       end $$""",
    """create constraint trigger reservations_settle_their_grants after update of resolution on reservations
       deferrable initially deferred for each row when (new.resolution is not null) execute function refuse_unsettled()""",
)


def upgrade() -> None:
    op.add_column("grants", sa.Column("first_expires_at", sa.DateTime(timezone=True), nullable=True))
    for statement in (SETTLED, DEBTS, ENDS, *GUARDS):
        op.execute(statement)


def downgrade() -> None:
    op.execute("drop trigger reservations_settle_their_grants on reservations")
    op.execute("drop function refuse_unsettled()")
    op.drop_column("grants", "first_expires_at")
