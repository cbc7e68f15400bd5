"""All that is stored of one person, as rows for them to take along: `GET /v1/me/export`, `headrace export`.

It is read page by page, each in a transaction of its own and by an index, so that whoever reads slowly holds nothing. What
changes meanwhile may be in it or not; each row is in it once.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Connection

from common.errors import NotFound

MAX_ROWS = 500  # of one page

_OF_JOBS = "jobs j join {} t on t.job_id = j.id"
_JOBS = "j.account_id = %(account)s"
_MINE = "t.account_id = %(account)s"


class ExportSection(NamedTuple):
    """One kind of rows: `source` has them as `t`, `keys` order them and are columns of an index. What is hidden opens doors, here or
    elsewhere, or is none of theirs.
    """

    name: str
    source: str
    whose: str = _MINE
    keys: Sequence[str] = ("t.id",)
    hidden: Sequence[str] = ()


class Subject(NamedTuple):
    """Whose export it is. `subject` is what the identity provider calls them."""

    account: UUID
    user: UUID
    subject: str
    sections: tuple[ExportSection, ...]


class ExportPage(NamedTuple):
    """Rows of one section, and where it goes on; None: the section ends here."""

    rows: list[dict[str, Any]]
    after: tuple[Any, ...] | None


ExportPlace = tuple[int, tuple[Any, ...] | None]  # the section, and the keys of its row that was read last
START: ExportPlace = (0, None)

SECTIONS = (
    ExportSection("profile", "users t", "t.id = %(user)s", hidden=("shut_marked",)),
    ExportSection("account", "accounts t", "t.id = %(account)s"),
    ExportSection("keys", "api_keys t", hidden=("hash",)),
    ExportSection("key_spending", "api_keys k join key_spending t on t.key_id = k.id", "k.account_id = %(account)s", ("t.key_id", "t.month")),
    ExportSection("browser_tokens", "browser_tokens t", hidden=("hash",)),
    ExportSection("label_limits", "label_limits t", keys=("t.name", "t.value")),
    ExportSection("label_spending", "label_spending t", keys=("t.name", "t.value", "t.month")),
    ExportSection("provider_keys", "provider_keys t", keys=("t.provider",), hidden=("secret",)),
    ExportSection("idempotency_keys", "idempotency_keys t", keys=("t.key",), hidden=("body_hash",)),
    ExportSection("subscriptions", "subscriptions t"),
    ExportSection("subscription_payments", "subscriptions s join subscription_payments t on t.subscription_id = s.id", "s.account_id = %(account)s", ("t.payment_ref",)),
    ExportSection("payments", "payments t", hidden=("token",)),
    ExportSection("refunds", "payments p join refunds t on t.payment_id = p.id", "p.account_id = %(account)s"),
    ExportSection("refill", "refills t", keys=("t.account_id",)),
    ExportSection("promotions", "promotion_uses t", keys=("t.code",)),
    ExportSection("grants", "grants t"),
    ExportSection("holds", "holds t"),
    ExportSection("hold_grants", "holds h join hold_grants t on t.hold_id = h.id", "h.account_id = %(account)s", ("h.id", "t.grant_id")),
    ExportSection("ledger", "ledger_entries t"),
    ExportSection("jobs", "jobs t", hidden=("live_id",)),
    ExportSection("reservations", _OF_JOBS.format("reservations"), _JOBS, ("j.id",)),
    ExportSection("reservation_grants", _OF_JOBS.format("reservation_grants"), _JOBS, ("j.id", "t.grant_id")),
    ExportSection("attempts", _OF_JOBS.format("attempts"), _JOBS, ("j.id", "t.number"), ("own_key", "delivered", "token")),
    ExportSection("results", _OF_JOBS.format("assets"), _JOBS, ("j.id", "t.index")),
    ExportSection("batches", "batches t", hidden=("running", "let_go", "ended_up_to")),
    ExportSection("batch_orders", "batches b join batch_orders t on t.batch_id = b.id", "b.account_id = %(account)s", ("b.id", "t.number")),
    ExportSection("uploads", "uploads t"),
    ExportSection("stored_kinds", "stored_kinds t", keys=("t.kind",)),
    ExportSection("usage", "usage t", keys=("t.at", "t.source", "t.model_id", "t.labels_key")),
    ExportSection("events", "events t", keys=("t.number", "t.created_at")),
    ExportSection("webhooks", "webhook_endpoints t", hidden=("secret", "previous_secret", "previous_until")),
    ExportSection("deliveries", "deliveries t", keys=("t.created_at", "t.id"), hidden=("queue_id",)),
    ExportSection("notifications", "notifications t"),
    ExportSection("gallery", "jobs j join assets s on s.job_id = j.id join gallery_items t on t.id = s.id", _JOBS, ("j.id", "s.index"), ("words", "language", "shut")),
    ExportSection("likes", "item_likes t", keys=("t.item_id",)),
    ExportSection("collections", "collections t", hidden=("shut",)),
    ExportSection("collection_items", "collections c join collection_items t on t.collection_id = c.id", "c.account_id = %(account)s", ("c.id", "t.item_id")),
    ExportSection("share_links", "collections c join share_links t on t.collection_id = c.id", "c.account_id = %(account)s", ("c.id", "t.id"), ("hash", "password_salt", "password_hash")),
    ExportSection("collaborators", "collections c join collection_members t on t.collection_id = c.id", "c.account_id = %(account)s", ("c.id", "t.id")),
    ExportSection("collaborations", "collection_members t"),
    ExportSection("article_likes", "article_likes t", keys=("t.article_id",)),
    ExportSection("enrolments", "enrolments t"),
    ExportSection("lesson_progress", "lesson_progress t", keys=("t.lesson_id",)),
    ExportSection("lesson_visits", "lesson_visits t", keys=("t.lesson_id", "t.visit")),
    ExportSection("quiz_attempts", "quiz_attempts t"),
    ExportSection("playground_sessions", "playground_sessions t"),
    ExportSection("kept_texts", "playground_sessions s join kept_texts t on t.job_id = s.job_id", "s.account_id = %(account)s", ("s.id",)),
    ExportSection("web_account", "web_accounts t", "t.user_id = %(subject)s", ("t.user_id",)),
    ExportSection("web_months", "web_months t", "t.user_id = %(subject)s", ("t.month", "t.provider")),
    ExportSection("web_usage", "web_usage t", "t.user_id = %(subject)s", ("t.recorded_at", "t.row_id")),
    ExportSection("web_credentials", "web_credentials t", "t.user_id = %(subject)s", ("t.row_id",), ("token_hash", "salt", "provider_reference")),
    ExportSection("told_by_others", "inbound_events t", "t.source = any(%(companies)s) and t.subject in (%(subject)s, %(account_text)s)"),
    # What operators did to them, their account and their jobs; who it was, and from where, is the operators'.
    ExportSection("acts", "acts t", "t.subject in (%(account_text)s, %(user_text)s)", hidden=("actor", "key_id", "address")),
    ExportSection("acts_on_jobs", "jobs j join acts t on t.subject = j.id::text", _JOBS, ("j.id", "t.id"), ("actor", "key_id", "address")),
)  # fmt: skip

# Tables that name an account or a user and are in no section, and why.
LEFT_OUT = {
    "audit_marks": "sums of the ledger, which is exported",
    "job_runs": "the living part of a job, which goes with its end",
    "erasures": "of whoever is in it, nothing is left to export",
    "usage_entries": "added up into usage within seconds",
    "answered_requests": "sealed copies of what was answered, kept a day",
    "delivery_queues": "where a sender stands",
    "webhook_secrets": "what signs, and nothing else",
}
COMPANIES = ("clerk", "xendit", "stripe", "truelayer")


def find(conn: Connection[Any], account_id: UUID) -> Subject:
    """Whose account it is. Raises NotFound."""
    row = conn.execute(
        "select a.id, u.id, u.subject from accounts a join users u on u.id = a.user_id where a.id = %s", [account_id]
    ).fetchone()
    if row is None:
        raise NotFound(f"no account {account_id}", param="id")
    # Deliveries lie apart for each endpoint, those that were removed included: so an index has their order.
    endpoints = conn.execute(
        "select distinct endpoint_id from deliveries where account_id = %s", [account_id]
    ).fetchall()
    return Subject(row[0], row[1], row[2], tuple(_apart(SECTIONS, [each[0] for each in endpoints])))


def _apart(sections: Sequence[ExportSection], endpoints: Sequence[UUID | None]) -> Iterator[ExportSection]:
    for section in sections:
        if section.name != "deliveries":
            yield section
            continue
        for each in endpoints:
            which = "is null" if each is None else f"= '{each}'"
            yield section._replace(whose=f"{section.whose} and t.endpoint_id {which}")


def page(conn: Connection[Any], who: Subject, section: ExportSection, after: tuple[Any, ...] | None) -> ExportPage:
    """The next rows of a section, in the order of its keys."""
    keys, places = ", ".join(section.keys), [f"k{number}" for number in range(len(section.keys))]
    # The first key by itself as well: a page of joined tables begins in its index where the one before has ended.
    behind = (
        f" and {section.keys[0]} >= %(k0)s and ({keys}) > ({', '.join(f'%({each})s' for each in places)})"
        if after
        else ""
    )
    rows = conn.execute(
        f"""select to_jsonb(t) - %(hidden)s::text[], {keys} from {section.source}
             where {section.whose}{behind} order by {keys} limit %(limit)s""",
        {
            "account": who.account, "user": who.user, "subject": who.subject, "account_text": str(who.account), "user_text": str(who.user),
            "companies": list(COMPANIES), "hidden": list(section.hidden), "limit": MAX_ROWS, **dict(zip(places, after or (), strict=False)),
        },
    ).fetchall()  # fmt: skip
    return ExportPage([row[0] for row in rows], tuple(rows[-1][1:]) if len(rows) == MAX_ROWS else None)


def next_lines(
    conn: Connection[Any], who: Subject, place: ExportPlace
) -> tuple[list[dict[str, Any]], ExportPlace | None]:
    """The next lines as they are written, and where to go on; None: that was all."""
    number, after = place
    section = who.sections[number]
    read = page(conn, who, section, after)
    found = [{"kind": section.name, "data": row} for row in read.rows]
    if read.after is not None:
        return found, (number, read.after)
    return found, (number + 1, None) if number + 1 < len(who.sections) else None
