"""functions have versions: what Python calls says in its name which

Revision: 0015, after 0014. Lock and statement time-outs are set by models.schema.migrations. Processes of before go on
calling the functions without a version, which the first migration after v0.1.0 retires.
"""

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None
deploy = "pre"
functions = (
    "dispatch_account_v1",
    "deliver_events_v1",
    "settle_grants_v1",
    "store_assets_v1",
    "write_end_v1",
    "end_job_v1",
)

# An upgrade of before left two of a function that had got a parameter. Whoever calls one gets it back at once, in this
# transaction, as revision 0014 has it.
DOUBLES = """
do $$
declare
  each regprocedure;
begin
  for each in
    select p.oid from pg_proc p join pg_namespace n on n.oid = p.pronamespace
     where n.nspname = current_schema() and p.proname in ('dispatch_account', 'deliver_events', 'end_job')
  loop
    execute 'drop function ' || each;
  end loop;
end $$
"""


def upgrade() -> None:
    op.execute(DOUBLES)


def downgrade() -> None:
    pass
