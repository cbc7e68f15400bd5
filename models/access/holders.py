"""Who stands behind an account, asked of the database and not of what a process remembers."""

from typing import Any
from uuid import UUID

from psycopg import Connection

from common.errors import NotAuthenticated
from models.access import api_keys
from models.access.scopes import Caller, Role, scopes_of
from models.locks import lock_account


def find_current_role(conn: Connection[Any], account_id: UUID) -> Role:
    """The role of an account's user, who may still act; takes the account's lock, under which people are shut out. What a
    process knows of somebody may be seconds old: whatever outlives the request asks here. Raises NotAuthenticated.
    """
    lock_account(conn, account_id)
    row = conn.execute(  # a later statement than the lock: it sees what was committed while the lock was waited for
        """select u.role, case when u.deleted_at is not null then 'deleted' when u.banned then 'banned'
                  when u.suspended_at is not null then 'suspended' end
             from accounts a join users u on u.id = a.user_id where a.id = %s""",
        [account_id],
    ).fetchone()
    if row is None or row[1] is not None:
        raise NotAuthenticated(f"this user is {'gone' if row is None else row[1]}")
    role: Role = row[0]
    return role


def find_holder(conn: Connection[Any], user_id: UUID, key_id: UUID | None) -> Caller:
    """Who a session is of, as they stand now: by the key that it began with, or as the person who signed in. Raises
    NotAuthenticated where the key has ended, or the user may not act any more.
    """
    if key_id is not None:
        found = api_keys.caller_by_id(conn, key_id)
        if found is None or found.suspended or found.user_id != user_id:
            raise NotAuthenticated("the key of this session has ended")
        return found
    row = conn.execute(
        """select a.id, u.role from users u join accounts a on a.user_id = u.id
            where u.id = %s and u.deleted_at is null and not u.banned and u.suspended_at is null""",
        [user_id],
    ).fetchone()
    if row is None:
        raise NotAuthenticated("the user of this session may not act any more")
    return Caller(row[0], user_id, None, scopes_of(row[1]), row[1])
