"""The web client's accounts: one per user, changed in place, and the tokens of a calendar month (UTC) against its allowance.

What is paid and what is used stand apart: a change of plan leaves the tokens alone, and tokens leave the plan alone. Nothing
is ever set to 0 when a month begins: each month has its own count, so that a call that comes late, or waits for another's
lock over the end of a month, adds to the month in which it was made and to no other.
"""

from datetime import datetime
from typing import Any, NamedTuple

from psycopg import Connection

from common.errors import InvalidInput
from common.settings import settings

FREE = "free"  # what a new account is on, and what it pays
MAX_MONTH_TOKENS = 2**53 - 1  # what a number of JavaScript can hold


class WebAccountRow(NamedTuple):
    """An account, and its month."""

    user_id: str
    plan: str
    billing_status: str
    premium_expires_at: datetime | None
    month_tokens: int
    monthly_allowance: int
    used_at: datetime


def get_or_create(conn: Connection[Any], user_id: str, *, at: datetime | None = None) -> WebAccountRow:
    """A user's account; the first that asks makes it. `at`: the moment of the call, in whose month it is; None: now."""
    found = _read(conn, user_id, at)
    if found is None:
        conn.execute(
            """insert into web_accounts (user_id, plan, billing_status, used_at)
               values (%s, %s, %s, coalesce(%s::timestamptz, app_now())) on conflict do nothing""",
            [user_id, FREE, FREE, at],
        )
        found = _read(conn, user_id, at)
    assert found is not None  # noqa: S101 - nothing deletes one
    return found


def update(
    conn: Connection[Any], user_id: str, plan: str, billing_status: str, premium_expires_at: datetime | None
) -> WebAccountRow:
    """Change what a user is on, in place; a user who has no account yet gets one. No end: none is kept."""
    conn.execute(
        """insert into web_accounts (user_id, plan, billing_status, premium_expires_at) values (%s, %s, %s, %s)
           on conflict (user_id) do update
              set plan = excluded.plan, billing_status = excluded.billing_status,
                  premium_expires_at = excluded.premium_expires_at""",
        [user_id, plan, billing_status, premium_expires_at],
    )
    return get_or_create(conn, user_id)


def record_tokens(
    conn: Connection[Any], user_id: str, provider: str, tokens: int, *, at: datetime | None = None
) -> WebAccountRow:
    """Count tokens against the month; a user who has no account yet gets one. What goes beyond the allowance counts as well:
    it was used. Raises InvalidInput where a month would have more than can be told.
    """
    # The account's row first, which is the lock under which its month is summed up.
    conn.execute(
        """insert into web_accounts as a (user_id, plan, billing_status, used_at)
           values (%s, %s, %s, coalesce(%s::timestamptz, app_now()))
           on conflict (user_id) do update set used_at = greatest(a.used_at, excluded.used_at)""",
        [user_id, FREE, FREE, at],
    )
    conn.execute(
        f"""insert into web_months as m (user_id, month, provider, tokens_used) values (%s, {_MONTH}, %s, %s)
            on conflict (user_id, month, provider) do update set tokens_used = m.tokens_used + excluded.tokens_used""",
        [user_id, at, provider, tokens],
    )
    counted = get_or_create(conn, user_id, at=at)
    if counted.month_tokens > MAX_MONTH_TOKENS:
        raise InvalidInput(f"the month would have more than {MAX_MONTH_TOKENS} tokens", param="tokensUsed")
    return counted


_MONTH = "date_trunc('month', coalesce(%s::timestamptz, app_now()) at time zone 'UTC')::date"


def _read(conn: Connection[Any], user_id: str, at: datetime | None) -> WebAccountRow | None:
    row = conn.execute(
        f"""select a.user_id, a.plan, a.billing_status, a.premium_expires_at,
                   (select coalesce(sum(m.tokens_used), 0) from web_months m
                     where m.user_id = a.user_id and m.month = {_MONTH})::bigint,
                   coalesce(p.token_allowance, %s), a.used_at
              from web_accounts a left join plans p on p.id = a.plan where a.user_id = %s""",
        [at, settings().monthly_token_allowance, user_id],
    ).fetchone()
    return None if row is None else WebAccountRow(*row)
