"""functions have versions: what Python calls says in its name which; and each thing of the schema has its one name

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


# What names things twice or oddly, now and before. Nothing was released under the names of before.
TABLES = {"delivery_lines": "delivery_queues"}
COLUMNS = {
    ("deliveries", "line_id"): "queue_id",
    ("api_keys", "line_id"): "root_id",
    ("users", "left_at"): "erased_at",
    ("announcements", "told"): "notified",
}
INDEXES = {
    "ix_delivery_lines_due": "ix_delivery_queues_due",
    "ix_delivery_lines_suspect": "ix_delivery_queues_suspect",
    "ix_delivery_lines_leased": "ix_delivery_queues_leased",
    "ix_delivery_lines_idle": "ix_delivery_queues_idle",
    "ix_users_leaving": "ix_users_to_erase",
}
CONSTRAINTS = {
    "ck_delivery_lines_lease": "ck_delivery_queues_lease",
    "fk_delivery_lines_account_id": "fk_delivery_queues_account_id",
    "pk_delivery_lines": "pk_delivery_queues",
}


def upgrade() -> None:
    op.execute(DOUBLES)
    for old, new in TABLES.items():
        op.rename_table(old, new)
    for (table, old), new in COLUMNS.items():
        op.alter_column(table, old, new_column_name=new)
    for old, new in INDEXES.items():
        op.execute(f"alter index {old} rename to {new}")
    for old, new in CONSTRAINTS.items():
        op.execute(f"alter table delivery_queues rename constraint {old} to {new}")
    _rename_in_jobs("line", "queue")


def downgrade() -> None:
    _rename_in_jobs("queue", "line")
    for old, new in CONSTRAINTS.items():
        op.execute(f"alter table delivery_queues rename constraint {new} to {old}")
    for old, new in INDEXES.items():
        op.execute(f"alter index {new} rename to {old}")
    for (table, old), new in COLUMNS.items():
        op.alter_column(table, new, new_column_name=old)
    for old, new in TABLES.items():
        op.rename_table(new, old)


def _rename_in_jobs(old: str, new: str) -> None:
    """Of the address that a living job brought, where its deliveries go. Ended jobs never change, and deliver nothing more."""
    op.execute(
        f"update jobs set webhook = webhook - '{old}' || jsonb_build_object('{new}', webhook->'{old}')"
        f" where ended is null and webhook ? '{old}'"
    )
