"""Credits that somebody gives: every grant but a sign-up's is in the audit log, with who gave it and why."""

from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection

from models.access import audit_log
from models.access.audit_log import By
from models.credits import ledger
from models.credits.ledger import ANY_USE, GrantTerms


def give(
    conn: Connection[Any],
    by: By,
    account_id: UUID,
    *,
    kind: str,
    amount: int,
    ref: str,
    reason: str,
    expires_at: datetime | None = None,
    job_id: UUID | None = None,
    terms: GrantTerms = ANY_USE,
) -> UUID | None:
    """Grant credits once per `ref`, as `ledger.grant` does, and write down who and why where it is new.

    One statement more per grant, in its transaction. Rejected: acts that a trigger writes (it knows neither).
    """
    grant_id = ledger.grant(
        conn, account_id, kind=kind, amount=amount, ref=ref, expires_at=expires_at, job_id=job_id, terms=terms
    )
    if grant_id is not None:
        details = {"priority": terms.priority, "models": terms.models, "kinds": terms.kinds, "expires_at": expires_at}
        audit_log.record(
            conn, by, "credits.grant", str(account_id), amount=amount, grant=grant_id, kind=kind, reason=reason,
            **{name: value for name, value in details.items() if value},
        )  # fmt: skip
    return grant_id
