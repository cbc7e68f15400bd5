"""the spine

Revision: 0001, after . Lock and statement time-outs are set by models.migrations.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None
deploy = "pre"
functions = ("app_now", "refuse_change", "refuse_older_token")

APP_NOW = """
create function app_now() returns timestamptz language sql stable parallel safe as $$
  select now() + coalesce(nullif(current_setting('app.clock_offset', true), ''), '0')::interval
$$
"""

# What no code of ours may do, refused by the database itself.
GUARDS = (
    """create function refuse_change() returns trigger language plpgsql as $$
       begin raise exception '% of % is refused: %', tg_op, tg_table_name, tg_argv[0] using errcode = 'restrict_violation'; end $$""",
    """create function refuse_older_token() returns trigger language plpgsql as $$
       begin raise exception 'the token of a run never falls' using errcode = 'restrict_violation'; end $$""",
    """create trigger ledger_is_append_only before update or delete on ledger_entries
       for each row execute function refuse_change('a ledger entry is repaired by another entry')""",
    """create trigger ledger_is_never_emptied before truncate on ledger_entries
       for each statement execute function refuse_change('a ledger entry is repaired by another entry')""",
    """create trigger ended_jobs_never_change before update on jobs for each row when (old.ended is not null)
       execute function refuse_change('an ended job never changes')""",
    """create trigger jobs_are_kept before delete on jobs for each row
       execute function refuse_change('a job is kept for ever')""",
    """create trigger tokens_grow before update on job_runs for each row when (new.token < old.token)
       execute function refuse_older_token()""",
)


def upgrade() -> None:
    op.execute(APP_NOW)
    op.create_table(
        "duties",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("done", sa.Integer(), server_default="0", nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("cursor", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_duties")),
    )
    op.create_table(
        "events",
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=True),
        sa.Column("data", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("app_now()"), nullable=False),
        sa.CheckConstraint("number > 0", name=op.f("ck_events_number")),
        sa.PrimaryKeyConstraint("account_id", "number", "created_at", name=op.f("pk_events")),
        postgresql_partition_by="RANGE (created_at)",
    )
    op.create_table(
        "models",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("current", sa.Boolean(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("entry", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("app_now()"), nullable=False),
        sa.CheckConstraint("kind in ('image', 'video', 'speech', 'text')", name=op.f("ck_models_kind")),
        sa.CheckConstraint("version > 0", name=op.f("ck_models_version")),
        sa.PrimaryKeyConstraint("id", "version", name=op.f("pk_models")),
    )
    op.create_index("ix_models_current", "models", ["id"], unique=True, postgresql_where=sa.text("current"))
    op.create_table(
        "plans",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("position", sa.SmallInteger(), nullable=False),
        sa.Column("credits", sa.BigInteger(), nullable=False),
        sa.Column("granted", sa.Text(), nullable=False),
        sa.Column("price_cents", sa.Integer(), nullable=True),
        sa.Column("credit_price_usd_micros", sa.BigInteger(), nullable=False),
        sa.Column("markup_bp", sa.Integer(), nullable=False),
        sa.Column("storage_quota_bytes", sa.BigInteger(), nullable=False),
        sa.Column("slots", sa.Integer(), nullable=False),
        sa.CheckConstraint("granted in ('once', 'monthly')", name=op.f("ck_plans_granted")),
        sa.CheckConstraint("credit_price_usd_micros > 0 and slots > 0", name=op.f("ck_plans_positive")),
        sa.CheckConstraint("credits >= 0 and price_cents >= 0 and markup_bp >= 0", name=op.f("ck_plans_not_negative")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_plans")),
    )
    op.create_table(
        "users",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("issuer", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=True),
        sa.Column("role", sa.Text(), server_default="user", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("app_now()"), nullable=False),
        sa.CheckConstraint("role in ('user', 'pro', 'admin')", name=op.f("ck_users_role")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("issuer", "subject", name=op.f("uq_users_issuer_subject")),
    )
    op.create_table(
        "worker_processes",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("queues", sa.Text(), nullable=False),
        sa.Column("threads", sa.Integer(), nullable=False),
        sa.Column("threads_alive", sa.Integer(), nullable=False),
        sa.Column("busy", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), server_default=sa.text("app_now()"), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_worker_processes")),
    )
    op.create_table(
        "accounts",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("plan_id", sa.Text(), nullable=False),
        sa.Column("available", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("reserved", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("debt", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("slots_in_use", sa.Integer(), server_default="0", nullable=False),
        sa.Column("storage_bytes", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("event_number", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("app_now()"), nullable=False),
        sa.CheckConstraint(
            "available >= 0 and reserved >= 0 and debt >= 0", name=op.f("ck_accounts_credits_not_negative")
        ),
        sa.CheckConstraint(
            "slots_in_use >= 0 and storage_bytes >= 0 and event_number >= 0",
            name=op.f("ck_accounts_counts_not_negative"),
        ),
        sa.ForeignKeyConstraint(["plan_id"], ["plans.id"], name=op.f("fk_accounts_plan_id")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_accounts_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_accounts")),
        sa.UniqueConstraint("user_id", name=op.f("uq_accounts_user_id")),
        postgresql_with={"fillfactor": "70"},
    )
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("app_now()"), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("length(hash) = 32", name=op.f("ck_api_keys_hash")),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_api_keys_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("hash", name=op.f("uq_api_keys_hash")),
    )
    op.create_index(op.f("ix_api_keys_account_id"), "api_keys", ["account_id"], unique=False)
    op.create_index(op.f("ix_api_keys_prefix"), "api_keys", ["prefix"], unique=False)
    op.create_table(
        "jobs",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("api_key_id", sa.Uuid(), nullable=True),
        sa.Column("model_id", sa.Text(), nullable=False),
        sa.Column("model_version", sa.Integer(), nullable=False),
        sa.Column("input", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("retry_of", sa.Uuid(), nullable=True),
        sa.Column("price_credits", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("unit", sa.Text(), nullable=True),
        sa.Column("quantity_milli", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("price_numerator", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("price_denominator", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("app_now()"), nullable=False),
        sa.Column(
            "live_id", sa.Uuid(), sa.Computed("case when ended is null then id end", persisted=True), nullable=True
        ),
        sa.Column("ended", sa.Text(), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("resolution", sa.Text(), nullable=True),
        sa.Column("charged_credits", sa.BigInteger(), nullable=True),
        sa.Column("overrun_credits", sa.BigInteger(), nullable=True),
        sa.Column("attempts", sa.SmallInteger(), nullable=True),
        sa.Column("error_code", sa.Text(), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "(ended = 'failed') = (error_code is not null) or ended is null", name=op.f("ck_jobs_error")
        ),
        sa.CheckConstraint(
            "case ended when 'succeeded' then resolution = 'settle' when 'failed' then resolution = 'refund' when 'canceled' then resolution in ('settle', 'refund') else resolution is null end",
            name=op.f("ck_jobs_resolution"),
        ),
        sa.CheckConstraint("ended in ('succeeded', 'failed', 'canceled')", name=op.f("ck_jobs_ended")),
        sa.CheckConstraint("queue in ('interactive', 'batch')", name=op.f("ck_jobs_queue")),
        sa.CheckConstraint("(ended is null) = (ended_at is null)", name=op.f("ck_jobs_ended_at")),
        sa.CheckConstraint(
            "price_credits >= 0 and coalesce(charged_credits, 0) between 0 and price_credits",
            name=op.f("ck_jobs_price"),
        ),
        sa.CheckConstraint(
            "price_denominator > 0 and price_numerator >= 0 and quantity_milli >= 0", name=op.f("ck_jobs_rate")
        ),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_jobs_account_id")),
        sa.ForeignKeyConstraint(
            ["model_id", "model_version"], ["models.id", "models.version"], name=op.f("fk_jobs_model_id_model_version")
        ),
        sa.ForeignKeyConstraint(["retry_of"], ["jobs.id"], name=op.f("fk_jobs_retry_of")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_jobs")),
        sa.UniqueConstraint("id", "resolution", name=op.f("uq_jobs_id_resolution")),
        sa.UniqueConstraint("live_id", name=op.f("uq_jobs_live_id")),
    )
    op.create_index(op.f("ix_jobs_account_id"), "jobs", ["account_id", sa.literal_column("id desc")], unique=False)
    op.create_index(
        op.f("ix_jobs_account_id_ended"), "jobs", ["account_id", "ended", sa.literal_column("id desc")], unique=False
    )
    op.create_index(
        op.f("ix_jobs_account_id_model_id"),
        "jobs",
        ["account_id", "model_id", sa.literal_column("id desc")],
        unique=False,
    )
    op.create_table(
        "subscriptions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("plan_id", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), server_default="active", nullable=False),
        sa.Column("interval", sa.Text(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("periods_granted", sa.Integer(), server_default="0", nullable=False),
        sa.Column("next_grant_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("app_now()"), nullable=False),
        sa.CheckConstraint("interval in ('monthly', 'yearly')", name=op.f("ck_subscriptions_interval")),
        sa.CheckConstraint("status in ('active', 'expired', 'canceled')", name=op.f("ck_subscriptions_status")),
        sa.CheckConstraint("ends_at > started_at and periods_granted >= 0", name=op.f("ck_subscriptions_period")),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_subscriptions_account_id")),
        sa.ForeignKeyConstraint(["plan_id"], ["plans.id"], name=op.f("fk_subscriptions_plan_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_subscriptions")),
    )
    op.create_index(
        "ix_subscriptions_active",
        "subscriptions",
        ["account_id"],
        unique=True,
        postgresql_where=sa.text("status = 'active'"),
    )
    op.create_index(
        "ix_subscriptions_ends_at",
        "subscriptions",
        ["ends_at"],
        unique=False,
        postgresql_where=sa.text("status = 'active'"),
    )
    op.create_index(
        "ix_subscriptions_next_grant_at",
        "subscriptions",
        ["next_grant_at"],
        unique=False,
        postgresql_where=sa.text("status = 'active'"),
    )
    op.create_table(
        "assets",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("index", sa.SmallInteger(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("media_type", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("width", sa.Integer(), nullable=True),
        sa.Column("height", sa.Integer(), nullable=True),
        sa.Column("duration_ms", sa.Integer(), nullable=True),
        sa.Column("thumbnail_key", sa.Text(), nullable=True),
        sa.Column("thumbnail_bytes", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("status", sa.Text(), server_default="stored", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("app_now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expired_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("purged_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("(status = 'stored') = (expired_at is null)", name=op.f("ck_assets_expired_at")),
        sa.CheckConstraint("purged_at is null or status <> 'stored'", name=op.f("ck_assets_purged_at")),
        sa.CheckConstraint("status in ('stored', 'expired', 'deleted')", name=op.f("ck_assets_status")),
        sa.CheckConstraint(
            "size_bytes > 0 and thumbnail_bytes >= 0 and length(sha256) = 32", name=op.f("ck_assets_bytes")
        ),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_assets_account_id")),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_assets_job_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_assets")),
        sa.UniqueConstraint("job_id", "index", name=op.f("uq_assets_job_id_index")),
    )
    op.create_index(
        "ix_assets_expires_at", "assets", ["expires_at"], unique=False, postgresql_where=sa.text("status = 'stored'")
    )
    op.create_index(
        "ix_assets_purge",
        "assets",
        ["expired_at"],
        unique=False,
        postgresql_where=sa.text("status <> 'stored' and purged_at is null"),
    )
    op.create_table(
        "attempts",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.SmallInteger(), nullable=False),
        sa.Column("token", sa.BigInteger(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("route", sa.SmallInteger(), nullable=False),
        sa.Column("phase", sa.Text(), nullable=False),
        sa.Column("provider_job_id", sa.Text(), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), server_default=sa.text("app_now()"), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("error_code", sa.Text(), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("charged", sa.Boolean(), nullable=True),
        sa.Column("cost_usd_micros", sa.BigInteger(), nullable=True),
        sa.Column("usage", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.CheckConstraint("phase <> 'accepted' or provider_job_id is not null", name=op.f("ck_attempts_accepted")),
        sa.CheckConstraint(
            "phase in ('intent', 'accepted', 'unknown', 'done', 'failed', 'abandoned')", name=op.f("ck_attempts_phase")
        ),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_attempts_job_id")),
        sa.PrimaryKeyConstraint("job_id", "number", name=op.f("pk_attempts")),
        sa.UniqueConstraint("provider", "provider_job_id", name=op.f("uq_attempts_provider_provider_job_id")),
    )
    op.create_index(
        "ix_attempts_live",
        "attempts",
        ["job_id"],
        unique=True,
        postgresql_where=sa.text("phase in ('intent', 'accepted', 'unknown')"),
    )
    op.create_table(
        "grants",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("ref", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("remaining", sa.BigInteger(), nullable=False),
        sa.Column("open", sa.Boolean(), sa.Computed("remaining > 0", persisted=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("job_id", sa.Uuid(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("app_now()"), nullable=False),
        sa.CheckConstraint("kind in ('signup', 'plan', 'purchase', 'gift', 'goodwill')", name=op.f("ck_grants_kind")),
        sa.CheckConstraint(
            "amount > 0 and remaining between 0 and amount and (revoked_at is null or remaining = 0)",
            name=op.f("ck_grants_amount"),
        ),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_grants_account_id")),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_grants_job_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_grants")),
        sa.UniqueConstraint("account_id", "ref", name=op.f("uq_grants_account_id_ref")),
        sa.UniqueConstraint("id", "account_id", name=op.f("uq_grants_id_account_id")),
        postgresql_with={"fillfactor": "70"},
    )
    op.create_index(
        "ix_grants_expires_at",
        "grants",
        ["expires_at"],
        unique=False,
        postgresql_where=sa.text("open and expires_at is not null"),
    )
    op.create_index(
        "ix_grants_open", "grants", ["account_id", "expires_at", "id"], unique=False, postgresql_where=sa.text("open")
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("body_hash", sa.LargeBinary(), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("app_now()"), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_idempotency_keys_account_id")),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_idempotency_keys_job_id")),
        sa.PrimaryKeyConstraint("account_id", "key", name=op.f("pk_idempotency_keys")),
    )
    op.create_index(op.f("ix_idempotency_keys_created_at"), "idempotency_keys", ["created_at"], unique=False)
    op.create_table(
        "job_runs",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("model_id", sa.Text(), nullable=False),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("priority", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("requeued", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("status", sa.Text(), server_default="queued", nullable=False),
        sa.Column("dispatched", sa.Boolean(), nullable=False),
        sa.Column("token", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("lease_owner", sa.Text(), nullable=True),
        sa.Column("wake_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("rings", sa.Integer(), server_default="0", nullable=False),
        sa.Column("attempts", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("attempts_spent", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("rescues", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("progress", sa.SmallInteger(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("cancel_requested_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("deadline_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("app_now()"), nullable=False),
        sa.CheckConstraint("lease_owner is null or status <> 'queued'", name=op.f("ck_job_runs_lease")),
        sa.CheckConstraint("queue in ('interactive', 'batch')", name=op.f("ck_job_runs_queue")),
        sa.CheckConstraint(
            "status = 'queued' or (dispatched and wake_at is not null and started_at is not null)",
            name=op.f("ck_job_runs_slot"),
        ),
        sa.CheckConstraint("status in ('queued', 'running', 'reconciling')", name=op.f("ck_job_runs_status")),
        sa.CheckConstraint(
            "attempts_spent between 0 and attempts and progress between 0 and 100", name=op.f("ck_job_runs_counts")
        ),
        sa.CheckConstraint("not dispatched or wake_at is not null", name=op.f("ck_job_runs_wake")),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_job_runs_account_id")),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.live_id"], name="fk_job_runs_job_id", initially="DEFERRED", deferrable=True
        ),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_job_runs")),
        postgresql_with={"fillfactor": "70"},
    )
    op.create_index("ix_job_runs_account_model", "job_runs", ["account_id", "model_id"], unique=False)
    op.create_index(
        "ix_job_runs_line",
        "job_runs",
        ["account_id", sa.literal_column("requeued desc"), sa.literal_column("priority desc"), "job_id"],
        unique=False,
        postgresql_where=sa.text("not dispatched"),
    )
    op.create_index(
        "ix_job_runs_wake_at", "job_runs", ["wake_at"], unique=False, postgresql_where=sa.text("wake_at is not null")
    )
    op.create_table(
        "reservations",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("resolution", sa.Text(), nullable=True),
        sa.Column("settled", sa.BigInteger(), nullable=True),
        sa.Column("refunded", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("app_now()"), nullable=False),
        sa.Column("resolved_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "resolution = 'settle' or coalesce(settled, 0) = 0", name=op.f("ck_reservations_refund_spends_nothing")
        ),
        sa.CheckConstraint("resolution in ('settle', 'refund')", name=op.f("ck_reservations_resolution")),
        sa.CheckConstraint("amount >= 0", name=op.f("ck_reservations_amount")),
        sa.CheckConstraint(
            "case when resolution is null then settled is null and refunded is null and resolved_at is null else settled >= 0 and refunded >= 0 and settled + refunded = amount and resolved_at is not null end",
            name=op.f("ck_reservations_resolved"),
        ),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_reservations_account_id")),
        sa.ForeignKeyConstraint(
            ["job_id", "resolution"],
            ["jobs.id", "jobs.resolution"],
            name="fk_reservations_resolution",
            initially="DEFERRED",
            deferrable=True,
        ),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_reservations_job_id"),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_reservations")),
        sa.UniqueConstraint("job_id", "resolution", name=op.f("uq_reservations_job_id_resolution")),
    )
    op.create_table(
        "ledger_entries",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("from_bucket", sa.Text(), nullable=False),
        sa.Column("to_bucket", sa.Text(), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=True),
        sa.Column("grant_id", sa.Uuid(), nullable=True),
        sa.Column("available_after", sa.BigInteger(), nullable=False),
        sa.Column("reserved_after", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("app_now()"), nullable=False),
        sa.CheckConstraint(
            "(kind in ('grant', 'expire', 'revoke')) = (grant_id is not null)", name=op.f("ck_ledger_entries_grant")
        ),
        sa.CheckConstraint(
            "(kind in ('reserve', 'settle', 'refund')) = (job_id is not null)", name=op.f("ck_ledger_entries_job")
        ),
        sa.CheckConstraint(
            "(kind, from_bucket, to_bucket) in (('grant', 'issued', 'available'), ('reserve', 'available', 'reserved'), ('settle', 'reserved', 'spent'), ('refund', 'reserved', 'available'), ('expire', 'available', 'expired'), ('revoke', 'available', 'revoked'))",
            name=op.f("ck_ledger_entries_move"),
        ),
        sa.CheckConstraint(
            "amount > 0 and available_after >= 0 and reserved_after >= 0", name=op.f("ck_ledger_entries_amount")
        ),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_ledger_entries_account_id")),
        sa.ForeignKeyConstraint(["grant_id"], ["grants.id"], name=op.f("fk_ledger_entries_grant_id")),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_ledger_entries_job_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger_entries")),
    )
    op.create_index(
        op.f("ix_ledger_entries_account_id"),
        "ledger_entries",
        ["account_id", sa.literal_column("id desc")],
        unique=False,
    )
    op.create_index(
        "uq_ledger_entries_grant",
        "ledger_entries",
        ["grant_id"],
        unique=True,
        postgresql_where=sa.text("kind = 'grant'"),
    )
    op.create_index(
        "uq_ledger_entries_job",
        "ledger_entries",
        ["job_id", "kind"],
        unique=True,
        postgresql_where=sa.text("job_id is not null"),
    )
    op.create_table(
        "reservation_grants",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("grant_id", sa.Uuid(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("settled", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("amount > 0 and settled between 0 and amount", name=op.f("ck_reservation_grants_amount")),
        sa.ForeignKeyConstraint(["grant_id"], ["grants.id"], name=op.f("fk_reservation_grants_grant_id")),
        sa.ForeignKeyConstraint(["job_id"], ["reservations.job_id"], name=op.f("fk_reservation_grants_job_id")),
        sa.PrimaryKeyConstraint("job_id", "grant_id", name=op.f("pk_reservation_grants")),
    )
    # The two circles that hold a job, its run and its reservation together; deferred, so that one transaction makes both ends.
    op.create_foreign_key(
        "fk_jobs_live_id", "jobs", "job_runs", ["live_id"], ["job_id"], deferrable=True, initially="DEFERRED"
    )
    op.create_foreign_key(
        "fk_jobs_resolution",
        "jobs",
        "reservations",
        ["id", "resolution"],
        ["job_id", "resolution"],
        deferrable=True,
        initially="DEFERRED",
    )
    for statement in GUARDS:
        op.execute(statement)


def downgrade() -> None:
    op.drop_constraint("fk_jobs_live_id", "jobs")
    op.drop_constraint("fk_jobs_resolution", "jobs")
    op.drop_table("reservation_grants")
    op.drop_index("uq_ledger_entries_job", table_name="ledger_entries", postgresql_where=sa.text("job_id is not null"))
    op.drop_index("uq_ledger_entries_grant", table_name="ledger_entries", postgresql_where=sa.text("kind = 'grant'"))
    op.drop_index(op.f("ix_ledger_entries_account_id"), table_name="ledger_entries")
    op.drop_table("ledger_entries")
    op.drop_table("reservations")
    op.drop_index("ix_job_runs_wake_at", table_name="job_runs", postgresql_where=sa.text("wake_at is not null"))
    op.drop_index("ix_job_runs_line", table_name="job_runs", postgresql_where=sa.text("not dispatched"))
    op.drop_index("ix_job_runs_account_model", table_name="job_runs")
    op.drop_table("job_runs")
    op.drop_index(op.f("ix_idempotency_keys_created_at"), table_name="idempotency_keys")
    op.drop_table("idempotency_keys")
    op.drop_index("ix_grants_open", table_name="grants", postgresql_where=sa.text("open"))
    op.drop_index(
        "ix_grants_expires_at", table_name="grants", postgresql_where=sa.text("open and expires_at is not null")
    )
    op.drop_table("grants")
    op.drop_index(
        "ix_attempts_live",
        table_name="attempts",
        postgresql_where=sa.text("phase in ('intent', 'accepted', 'unknown')"),
    )
    op.drop_table("attempts")
    op.drop_index(
        "ix_assets_purge", table_name="assets", postgresql_where=sa.text("status <> 'stored' and purged_at is null")
    )
    op.drop_index("ix_assets_expires_at", table_name="assets", postgresql_where=sa.text("status = 'stored'"))
    op.drop_table("assets")
    op.drop_index(
        "ix_subscriptions_next_grant_at", table_name="subscriptions", postgresql_where=sa.text("status = 'active'")
    )
    op.drop_index("ix_subscriptions_ends_at", table_name="subscriptions", postgresql_where=sa.text("status = 'active'"))
    op.drop_index("ix_subscriptions_active", table_name="subscriptions", postgresql_where=sa.text("status = 'active'"))
    op.drop_table("subscriptions")
    op.drop_index(op.f("ix_jobs_account_id_model_id"), table_name="jobs")
    op.drop_index(op.f("ix_jobs_account_id_ended"), table_name="jobs")
    op.drop_index(op.f("ix_jobs_account_id"), table_name="jobs")
    op.drop_table("jobs")
    op.drop_index(op.f("ix_api_keys_prefix"), table_name="api_keys")
    op.drop_index(op.f("ix_api_keys_account_id"), table_name="api_keys")
    op.drop_table("api_keys")
    op.drop_table("accounts")
    op.drop_table("worker_processes")
    op.drop_table("users")
    op.drop_table("plans")
    op.drop_index("ix_models_current", table_name="models", postgresql_where=sa.text("current"))
    op.drop_table("models")
    op.drop_table("events")
    op.drop_table("duties")
    for name in ("app_now()", "refuse_change()", "refuse_older_token()"):
        op.execute(f"drop function {name}")
