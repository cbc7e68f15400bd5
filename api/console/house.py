"""Webhooks with their deliveries, the proof of the books, and who did what."""

import re
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from psycopg import Connection
from starlette.requests import Request
from starlette.responses import Response

from api.console.site import CONSOLE_SITE, Viewed, console_router
from api.routes.cursors import Listing, WantedPage, id_of
from api.sites.forms import ActForm, ask_first, carry_out, done_once
from api.sites.routing import Actor, Posted, shaped
from api.v1.admin import ACTS
from api.v1.admin_accounts import Because
from api.v1.webhooks import DELIVERIES
from common.errors import NotFound
from models.access import audit_log
from models.credits.audit import RULES
from models.db import transaction
from models.events import deliveries
from models.events.deliveries import STATUSES
from models.fleet import processes
from models.fleet.replicas import caught_up
from models.operations.receivers import Receiver, find_receiver, list_receivers
from models.operations.titles import account_names, user_names

router = console_router()

PAGE_ROWS = 25
MAX_SUBJECT = 100
RECEIVERS = Listing("receivers", UUID)
AUDIT_DUTY = "audit"


@router.get("/webhooks")
def show_webhooks(page: Viewed, request: Request) -> Response:
    """Endpoints of all accounts; those that fail apart."""
    given = request.query_params
    troubled, cursor = given.get("troubled") == "true", given.get("cursor")
    account_id = id_of(given["account_id"], "account") if given.get("account_id") else None
    before = None if cursor is None else RECEIVERS.place_of(cursor)
    with caught_up() as conn:
        rows, following = list_receivers(conn, before=before, account_id=account_id, troubled=troubled, limit=PAGE_ROWS)
    kept = {"troubled": "true" if troubled else None, "account_id": str(account_id) if account_id else None}
    return page.show(
        "webhooks.html", rows=rows, states=[receiver_state(each) for each in rows], troubled=troubled, account_id=account_id,
        following=CONSOLE_SITE.link("/webhooks", **kept, cursor=RECEIVERS.cursor_of(following)) if following else None,
        newest=CONSOLE_SITE.link("/webhooks", **kept) if cursor else None,
    )  # fmt: skip


def receiver_state(receiver: Receiver) -> str:
    """How an endpoint stands."""
    if not receiver.enabled:
        return "off"
    return "failed" if receiver.failing_since is not None else "ok"


@router.get("/webhooks/{webhook_id}")
def show_webhook(page: Viewed, webhook_id: str, request: Request) -> Response:
    """One endpoint, and what was sent there."""
    wanted, cursor = id_of(webhook_id, "webhook"), request.query_params.get("cursor")
    status = request.query_params.get("status")
    status = status if status in STATUSES else None
    place = WantedPage(None if cursor is None else DELIVERIES.place_of(cursor), PAGE_ROWS)
    with transaction() as conn:
        receiver = find_receiver(conn, wanted)
        if receiver is None:
            raise NotFound(f"no webhook {wanted}")
        rows = deliveries.list_deliveries(
            conn, receiver.account_id, receiver.id, status=status, before=place.after, limit=place.reads
        )
    shown, path = rows[: place.limit], f"/webhooks/{wanted}"
    more = len(rows) > place.limit
    return page.show(
        "webhook.html", receiver=receiver, state_name=receiver_state(receiver), rows=shown, status=status, statuses=STATUSES,
        following=CONSOLE_SITE.link(path, status=status, cursor=DELIVERIES.cursor_of((shown[-1].created_at, shown[-1].id))) if more else None,
        newest=CONSOLE_SITE.link(path, status=status) if cursor else None,
    )  # fmt: skip


# The proof of the books


class Proven(NamedTuple):
    """A rule, and whether it held when it was last looked at; None: it never was."""

    name: str
    meaning: str
    holds: bool | None


class LastProof(NamedTuple):
    """The last turn of the audit."""

    began_at: datetime | None
    ended_at: datetime | None
    next_at: datetime | None
    error: str | None


@router.get("/audit")
def show_audit(page: Viewed) -> Response:
    """Every rule with its last proof."""
    with transaction() as conn:
        proof = last_proof(conn)
    rules = proven_rules(proof)
    return page.show("audit.html", rules=rules, proof=proof, broken=[each for each in rules if each.holds is False])


def last_proof(conn: Connection[object]) -> LastProof:
    """When the books were proven last, and what was found."""
    row = next((each for each in processes.duty_turns(conn) if each["name"] == AUDIT_DUTY), None)
    return (
        LastProof(None, None, None, None)
        if row is None
        else LastProof(row["started_at"], row["finished_at"], row["next_at"], row["error"])
    )


def proven_rules(proof: LastProof) -> list[Proven]:
    """What the last proof says of each rule. A turn that failed for another reason has proven nothing."""
    named = set(re.findall(r"\w+", proof.error or ""))
    broken = {rule.name for rule in RULES if rule.name in named}
    proven = proof.ended_at is not None and (proof.error is None or bool(broken))
    return [Proven(rule.name, rule.meaning, (rule.name not in broken) if proven else None) for rule in RULES]


@router.get("/audit/prove")
def ask_proof(page: Viewed) -> Response:
    """Before it is proven out of turn."""
    return ask_first(page, PROVE)


@router.post("/audit/prove")
def prove_now(page: Viewed, actor: Actor, fields: Posted) -> Response:
    """Make the audit's turn due."""

    def verb(conn: Connection[object]) -> None:
        reason = shaped(Because, fields, "reason").reason
        if not processes.hasten(conn, AUDIT_DUTY):
            raise NotFound("no scheduler has ever proven the books: start one first")
        audit_log.record(conn, actor, "audit.prove", AUDIT_DUTY, reason=reason)

    return carry_out(page, PROVE, fields, lambda: done_once(page, PROVE, fields, verb), "begun")


PROVE = ActForm(
    "Prove the books now", "The next scheduler that looks does it, within seconds. It reads all entries and changes nothing.", "/audit/prove",
    "/audit", "Prove them", active="audit",
)  # fmt: skip


# Who did what


@router.get("/activity")
def show_activity(page: Viewed, request: Request) -> Response:
    """The audit log, newest first; of one subject where one is named."""
    given = request.query_params
    subject, cursor = given.get("subject", "").strip()[:MAX_SUBJECT], given.get("cursor")
    wanted = WantedPage(None if cursor is None else ACTS.place_of(cursor), PAGE_ROWS)
    with transaction() as conn:
        rows = audit_log.list_acts(conn, before=wanted.after, subject=subject or None, limit=wanted.reads)
        shown = rows[: wanted.limit]
        known = [found for each in shown for text in (each.actor, each.subject) if (found := _uuid(text)) is not None]
        names = {**account_names(conn, known), **user_names(conn, known)}
    more = len(rows) > wanted.limit
    return page.show(
        "activity.html", rows=shown, subject=subject, names={str(key): value for key, value in names.items()},
        following=CONSOLE_SITE.link("/activity", subject=subject, cursor=ACTS.cursor_of(shown[-1].id)) if more else None,
        newest=CONSOLE_SITE.link("/activity", subject=subject) if cursor else None,
    )  # fmt: skip


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
