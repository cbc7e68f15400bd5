"""What becomes of the gallery of a user who is deleted: nothing is left of it."""

from typing import Any
from uuid import UUID

from psycopg import Connection

MAX_COLLECTIONS = 20  # per transaction: each may have 2,000 items
MAX_ROWS = 2000


def erase(conn: Connection[Any], account_id: UUID) -> bool:
    """Delete an account's collections, memberships, likes and what was said of its items; a bounded number of each. Returns
    whether nothing is left. Run again, it goes on where it stopped.
    """
    gone = conn.execute(
        "delete from collections where id = any(array(select id from collections where account_id = %s limit %s))",
        [account_id, MAX_COLLECTIONS],
    ).rowcount
    left = gone >= MAX_COLLECTIONS
    conn.execute("delete from collection_members where account_id = %s", [account_id])
    gone = conn.execute(
        """with liked as materialized (
             select g.id from gallery_items g join (select item_id from item_likes where account_id = %(who)s limit %(most)s) l
                 on l.item_id = g.id order by g.id for no key update of g),
           gone as (delete from item_likes l using liked where l.item_id = liked.id and l.account_id = %(who)s returning l.item_id)
           update gallery_items g set likes = g.likes - 1 from gone where g.id = gone.item_id""",
        {"who": account_id, "most": MAX_ROWS},
    ).rowcount
    left = left or gone >= MAX_ROWS
    gone = conn.execute(
        "delete from gallery_items where id = any(array(select id from gallery_items where account_id = %s limit %s))",
        [account_id, MAX_ROWS],
    ).rowcount
    return not (left or gone >= MAX_ROWS)
