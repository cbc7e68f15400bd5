"""What a company's hook tells is a hint, as a message in Redis is: stored once, and followed by a look at the company."""

from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Connection
from uuid_utils.compat import uuid7

from models.identity import inbound

RENEWALS = ("invoice.paid", "invoice.payment_failed", "invoice.payment_action_required", "invoice.voided")


class Received(NamedTuple):
    """Whether a hint was new, and how many payments it pointed at."""

    new: bool
    payments: int


def receive(
    conn: Connection[Any],
    company: str,
    event_id: str,
    kind: str,
    company_ids: tuple[str, ...],
    payload: dict[str, Any],
    *,
    subscription_id: str | None = None,
) -> Received:
    """Keep a hint, and have what it points at looked at now. What it points at may be nobody's, or not ours: it is kept
    all the same. Told again it changes nothing.
    """
    number = inbound.store(conn, company, event_id, kind, payload)
    if number is None:
        return Received(new=False, payments=0)
    accounts = conn.execute(
        # A look that is under way may have come too early to see it: its word does not count any more.
        """update payments set check_at = app_now(), looks = 0, token = token + 1
            where id = any(array(
              select id from payments where company = %s and (company_id = any(%s) or payment_ref = any(%s))
               order by id for no key update)) returning account_id""",
        [company, list(company_ids), list(company_ids)],
    ).fetchall()
    if not accounts and subscription_id is not None and kind in RENEWALS:
        accounts = begin_renewal(conn, company, company_ids[0], subscription_id)
    if accounts:
        inbound.mark_processed(conn, number, subject=str(accounts[0][0]))  # so that it can be erased with its user
    return Received(new=True, payments=len(accounts))


def begin_renewal(conn: Connection[Any], company: str, invoice_id: str, subscription_id: str) -> list[tuple[UUID]]:
    """Let a company's own invoice for the next period of a subscription that was begun here become a payment, once. Returns
    whose. For a month it is asked about: so long a company may try a card that was declined.
    """
    rows: list[tuple[UUID]] = conn.execute(
        """insert into payments (id, account_id, company, purpose, item, interval, price, currency, company_id, subscription_id,
                                 expires_at, check_at)
           select %s, account_id, company, 'renewal', item, interval, price, currency, %s, subscription_id,
                  app_now() + interval '30 days', app_now()
             from payments where company = %s and subscription_id = %s and purpose = 'plan' order by id desc limit 1
           on conflict (company, company_id) do nothing returning account_id""",
        [uuid7(), invoice_id, company, subscription_id],
    ).fetchall()
    return rows
