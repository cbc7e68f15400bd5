"""results can be kept past their plan's time; what is stored of each kind is counted; a CDN is told of what is gone

Revision: 0025, after 0024. Lock and statement time-outs are set by models.schema.migrations. Processes of before store, expire and
delete as they did: triggers count for them.
"""

import sqlalchemy as sa
from alembic import op

from models.schema.functions import FILES

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None
deploy = "pre"
functions = ("count_results", "count_uploads")

STORED = "status = 'stored'"
COUNTED = """
insert into stored_kinds (account_id, kind, bytes, files)
select account_id, kind, sum(bytes), count(*) from (
  select account_id, size_bytes + thumbnail_bytes as bytes,
         case split_part(media_type, '/', 1) when 'image' then 'image' when 'video' then 'video' when 'audio' then 'speech'
                                             else 'text' end as kind
    from assets where status = 'stored'
   union all
  select account_id, size_bytes, 'uploads' from uploads where status = 'stored') x
 group by account_id, kind
"""


def upgrade() -> None:
    # Refers to accounts, which whoever writes files locks before them.
    op.create_table(
        "stored_kinds",
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("files", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.CheckConstraint(
            "kind in ('image', 'video', 'speech', 'text', 'uploads')", name=op.f("ck_stored_kinds_kind")
        ),
        sa.CheckConstraint("bytes >= 0 and files >= 0", name=op.f("ck_stored_kinds_not_negative")),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_stored_kinds_account_id_accounts")),
        sa.PrimaryKeyConstraint("account_id", "kind", name=op.f("pk_stored_kinds")),
    )
    op.add_column("assets", sa.Column("plan_ends_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index(
        "ix_assets_largest", "assets", ["account_id", sa.text("(size_bytes + thumbnail_bytes) desc"), "id"],
        postgresql_where=sa.text(STORED),
    )  # fmt: skip
    op.create_index(
        "ix_uploads_largest", "uploads", ["account_id", sa.text("size_bytes desc"), "id"],
        postgresql_where=sa.text(STORED),
    )  # fmt: skip
    op.create_table(
        "cdn_purges",
        sa.Column("file_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("app_now()"), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), server_default=sa.text("app_now()"), nullable=False),
        sa.Column("tries", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("file_id", name=op.f("pk_cdn_purges")),
    )
    op.create_index(op.f("ix_cdn_purges_due_at"), "cdn_purges", ["due_at"])
    for table, name in (("assets", "count_results"), ("uploads", "count_uploads")):
        op.get_bind().exec_driver_sql(FILES[name].read_text())
        op.execute(
            f"""create trigger {table}_are_counted after insert on {table} referencing new table as new_rows
                for each statement execute function {name}()"""
        )
        op.execute(
            f"""create trigger {table}_are_counted_again after update on {table}
                referencing old table as old_rows new table as new_rows for each statement execute function {name}()"""
        )
    # The triggers hold both tables against writers until this transaction's end, so nothing is counted twice or not at all.
    op.execute(COUNTED)


def downgrade() -> None:
    for table in ("assets", "uploads"):
        op.execute(f"drop trigger {table}_are_counted on {table}")
        op.execute(f"drop trigger {table}_are_counted_again on {table}")
    op.drop_table("stored_kinds")
    op.drop_table("cdn_purges")
    op.drop_index("ix_uploads_largest", table_name="uploads")
    op.drop_index("ix_assets_largest", table_name="assets")
    op.execute("update assets set expires_at = plan_ends_at where plan_ends_at is not null and status = 'stored'")
    op.drop_column("assets", "plan_ends_at")
