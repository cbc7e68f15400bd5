"""Clerk's events about users. Order is not guaranteed and each may come many times: the end is the same.

Payloads: https://clerk.com/docs/webhooks/overview; the fields read here are those of Clerk's User object.
"""

import logging
from datetime import UTC, datetime
from typing import Any

from psycopg import Connection

from common.settings import settings
from models.identity import inbound, people
from models.identity.erasure import erase_account, shut_out
from models.identity.people import Identity, Profile
from models.jobs.dispatch import Ring

log = logging.getLogger(__name__)

SOURCE = "clerk"
MAX_TEXT = 320  # the longest e-mail address there can be
LAST_MS = 253_402_300_799_000  # the end of the year 9999


def receive(conn: Connection[Any], event_id: str, event: dict[str, Any], *, issuer: str) -> list[Ring]:
    """Store an event and do what it says, once. Returns the jobs to ring after the commit.

    Events that we do not know, or that name no user, are stored and left unprocessed.
    """
    kind, data = _text(event.get("type")) or "unknown", event.get("data")
    user = data if isinstance(data, dict) and kind.startswith("user.") else {}
    subject = _text(user.get("id"))
    number = inbound.store(conn, SOURCE, event_id, kind, event, subject=subject)
    if number is None:
        return []
    if subject is None or kind not in {"user.created", "user.updated", "user.deleted"}:
        if kind.startswith("user."):
            log.warning("Clerk's event %s (%s) was stored and does nothing", event_id, kind)
        return []
    identity, plan, rings = Identity(issuer, subject), settings().default_plan, list[Ring]()
    if kind == "user.deleted":
        rings = erase_account(conn, people.bury(conn, identity, plan))
    else:
        person = people.describe(conn, identity, profile_of(user), plan)
        if person.refused == "banned":
            shut_out(conn, person.account_id)
    inbound.mark_processed(conn, number)
    if people.is_deleted(conn, identity):
        inbound.erase(conn, SOURCE, subject)
    return rings


def profile_of(user: dict[str, Any]) -> Profile:
    """What Clerk's User object says. The e-mail is the primary one; a user may have none."""
    changed = user.get("updated_at")
    valid = isinstance(changed, int) and 0 <= changed <= LAST_MS
    addresses = user.get("email_addresses")
    primary = next(
        (
            each.get("email_address")
            for each in (addresses if isinstance(addresses, list) else [])
            if isinstance(each, dict) and each.get("id") and each.get("id") == user.get("primary_email_address_id")
        ),
        None,
    )
    return Profile(
        updated_at=datetime.fromtimestamp(changed / 1000 if valid and changed else 0, UTC),
        banned=user.get("banned") is True,
        email=_text(primary),
        first_name=_text(user.get("first_name")),
        last_name=_text(user.get("last_name")),
    )


def _text(value: Any) -> str | None:
    return value[:MAX_TEXT] if isinstance(value, str) and value else None
