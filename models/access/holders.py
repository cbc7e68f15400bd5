"""Who stands behind an account, asked of the database and not of what a process remembers."""

from typing import Any
from uuid import UUID

from psycopg import Connection

from common.errors import NotAuthenticated
from models.access.scopes import Role
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
