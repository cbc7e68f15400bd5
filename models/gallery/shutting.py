"""Marks what accounts that were shut out have made public, and takes the marks off when they are let in again.

Whether others see a thing is asked of its owner at each look, so a ban holds at once. But a list of public things would read past
all that were ever made public by whoever is banned: the marks keep them out of its index.
"""

from typing import Any

from psycopg import Connection

_SHUT = "banned or suspended_at is not null"
_MARK = """update {table} set shut = %(shut)s where id = any(array(
             select id from {table} where id = any(array(
                      select id from {table} where account_id = %(account)s and public and shut = not %(shut)s limit %(limit)s))
              order by id for no key update)) and public"""
# Asked when the batch is done: one of it may have been deleted or made private meanwhile, so its size says nothing of the rest.
_DONE = """update users set shut_marked = %(shut)s where id = %(user)s
              and not exists (select 1 from gallery_items where account_id = %(account)s and public and shut = not %(shut)s)
              and not exists (select 1 from collections where account_id = %(account)s and public and shut = not %(shut)s)"""


def mark(conn: Connection[Any], limit: int) -> int:
    """Mark so many things of the next user whose marks are not as they should be. Returns of how many it was; a user who has
    nothing more to be marked counts as one. 0: there is nobody.
    """
    row = conn.execute(
        f"""select id, {_SHUT} from users where ({_SHUT}) <> shut_marked limit 1 for no key update skip locked"""
    ).fetchone()
    if row is None:
        return 0
    account = conn.execute("select id from accounts where user_id = %s", [row[0]]).fetchone()
    values = {"user": row[0], "account": account and account[0], "shut": row[1], "limit": limit}
    done = [conn.execute(_MARK.format(table=table), values).rowcount for table in ("gallery_items", "collections")]
    return sum(done) + conn.execute(_DONE, values).rowcount
