"""Which rows lie with an account, were the accounts parted over several databases, and which every part would need a copy of.

Row-level security plays one part: a role sees the rows of one account and what all share, and can write no others.
"""

from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.sql import SQL, Identifier, Literal

# Rows that lie with what they hang on: the column, and the table whose id it is.
BY_PARENT = {
    "attempts": ("job_id", "jobs"), "kept_texts": ("job_id", "jobs"), "passed_over": ("job_id", "jobs"),
    "provider_callbacks": ("job_id", "jobs"), "reservation_grants": ("grant_id", "grants"), "restored_jobs": ("job_id", "jobs"),
    "batch_orders": ("batch_id", "batches"), "hold_grants": ("grant_id", "grants"), "key_spending": ("key_id", "api_keys"),
    "collection_items": ("collection_id", "collections"), "share_links": ("collection_id", "collections"),
    "refunds": ("payment_id", "payments"), "subscription_payments": ("subscription_id", "subscriptions"),
}  # fmt: skip
# What is the same for all, and why it may be: read by every part, or written by few.
GLOBAL = {
    "models": "the catalogue: a copy in each part, written by `catalogue apply`", "plans": "as the catalogue",
    "packs": "as the catalogue", "providers": "as the catalogue", "features": "as the catalogue",
    "articles": "what editors write, for everybody", "article_counts": "of articles", "article_revisions": "of articles",
    "article_shelves": "of articles", "slug_counts": "of articles and courses", "courses": "what teachers write, for everybody",
    "course_counts": "of courses", "course_modules": "of courses", "lessons": "of courses", "quiz_questions": "of courses",
    "summaries": "made for everybody who asks for the same", "announcements": "told in every part, each to its own accounts",
    "promotions": "a code's uses are counted for all: with one owner", "promotion_uses": "beside its code",
    "pauses": "an operator's word, for all parts", "provider_days": "what a provider has cost: a sum of all parts",
    "acts": "the audit log: each part's own, read together", "bulk_runs": "an operator's, one in each part",
    "inbound_events": "what companies call in: taken in anywhere, acted on where the payment lies",
    "duties": "each part's own turns", "worker_processes": "each part's own", "clock_jumps": "each part's own",
    "web_accounts": "the web client's own people: parted by their `user_id`", "web_credentials": "as web_accounts",
    "web_months": "as web_accounts", "web_usage": "as web_accounts",
    "probes": "each part's own", "cdn_purges": "each part's own", "audit_marks": "each part's own",
    "archived_files": "each part's own files, under a prefix of its own", "forgotten_rows": "as archived_files",
}  # fmt: skip
ME = "current_setting('headrace.me')::uuid"


def place_of(table: str, columns: set[str]) -> str | None:
    """Where a table's rows lie: `account`, `parent` or `everywhere`; None: nobody has said."""
    if table in GLOBAL:
        return "everywhere"
    if table in BY_PARENT:
        return "parent"
    return "account" if "account_id" in columns or table in {"accounts", "users"} else None


def condition(table: str, columns: set[str]) -> str:
    """Which rows of a table lie with the account."""
    if table == "accounts":
        return f"id = {ME}"
    if table == "users":
        return f"id in (select user_id from accounts where id = {ME})"
    if table in BY_PARENT:
        column, parent = BY_PARENT[table]
        return f"{column} in (select id from {parent})"
    past = f" or past_account_id = {ME}" if "past_account_id" in columns else ""
    return f"account_id = {ME}{past}"


def part(conn: Connection[Any], tables: dict[str, set[str]], role: str, account_id: UUID) -> None:
    """Let a role, which owns nothing, see and write one account's rows and what all share."""
    conn.execute(SQL("alter role {} set headrace.me = {}").format(Identifier(role), Literal(str(account_id))))
    for table, columns in tables.items():
        if place_of(table, columns) != "everywhere":
            conn.execute(SQL("alter table {} enable row level security").format(Identifier(table)))
            rule = SQL(condition(table, columns))  # type: ignore[arg-type]  # our own words
            conn.execute(
                SQL("create policy part on {} using ({}) with check ({})").format(Identifier(table), rule, rule)
            )
